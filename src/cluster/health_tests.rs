//! One peer's way through the states, second by second.

use super::*;

const ME: SessionId = SessionId([1; 16]);

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(ms)
}

fn place(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7946))
}

struct Story {
    checkup: Checkup,
    rng: Rng,
    ms: u64,
    standing: Option<Standing>,
    answers: bool,
    told: Vec<(u64, PeerState)>,
}

impl Story {
    fn new() -> Story {
        let mut checkup = Checkup::default();
        checkup.met(ME, place(1), None, at(0));
        let standing = Some(Standing::Alive);
        Story { checkup, rng: Rng::new(7), ms: 0, standing, answers: true, told: Vec::new() }
    }

    fn run(&mut self, seconds: u64) -> usize {
        let mut checks = 0;
        for _ in 0..seconds * 10 {
            self.ms += 100;
            let news = PeerNews { standing: self.standing, heard: None };
            for (session, number) in self.checkup.tick(at(self.ms), &mut self.rng, |_| news) {
                checks += 1;
                if self.answers {
                    let card = NodeCard::new("eu-1", "eu", "0.1.0", 3);
                    let (later, wall) = (at(self.ms + 80), WallTime(1_000_000 + self.ms + 80));
                    self.checkup.answered(session, (number, 1_000_000 + self.ms + 40 + 5_000, card), later, wall);
                }
            }
            let changes = self.checkup.take_changes();
            self.told.extend(changes.iter().filter_map(|change| Some((self.ms, change.to?))));
        }
        checks
    }

    fn peer(&self) -> &PeerHealth {
        &self.checkup.peers[&ME]
    }
}

#[test]
fn who_answers_responds_and_its_clock_is_known() {
    let mut story = Story::new();
    let checks = story.run(600);
    assert!((40..=48).contains(&checks), "every 15 s: {checks} checks in 600 s");
    use PeerState::{Connected, Discovering, Responding};
    assert_eq!(story.told.iter().map(|(_, state)| *state).collect::<Vec<_>>(), [Connected, Discovering, Responding]);
    let peer = story.peer();
    assert_eq!((peer.clock_skew_ms, peer.card.as_ref().map(|card| card.config_revision)), (Some(5_000), Some(3)));
}

#[test]
fn three_failed_checks_in_a_row_make_it_unresponsive_and_one_answer_brings_it_back() {
    let mut story = Story::new();
    story.run(60);
    story.answers = false;
    let fell = story.ms;
    story.run(60);
    let (when, state) = *story.told.last().unwrap();
    assert_eq!(state, PeerState::Unresponsive);
    assert!((30_000..=50_500).contains(&(when - fell)), "{} ms", when - fell);
    story.answers = true;
    let rose = story.ms;
    story.run(16);
    assert_eq!((story.told.last().unwrap().1, story.told.len()), (PeerState::Responding, 5));
    assert!(story.told.last().unwrap().0 - rose <= 15_100);
}

#[test]
fn who_is_silent_and_suspected_is_unresponsive_at_once_and_then_gone_for_a_day() {
    let mut story = Story::new();
    story.run(60);
    story.answers = false;
    story.standing = Some(Standing::Suspect);
    story.run(16);
    assert_eq!(story.told.last().unwrap().1, PeerState::Unresponsive);
    story.standing = Some(Standing::Down);
    story.run(1);
    assert_eq!(story.told.last().unwrap().1, PeerState::Disconnected);
    story.standing = None;
    assert_eq!(story.run(3_600), 0, "nobody is asked who is gone");
    assert_eq!(story.peer().state, PeerState::Disconnected);
    let heard = story.peer().heard;
    let news = PeerNews::default();
    story.checkup.tick(heard.plus_ms(CLUSTER_FORGET_MS - 1), &mut story.rng, |_| news);
    assert_eq!(story.checkup.peers.len(), 1);
    story.checkup.tick(heard.plus_ms(CLUSTER_FORGET_MS), &mut story.rng, |_| news);
    assert_eq!(story.checkup.peers.len(), 0);
}

#[test]
fn what_others_say_of_one_that_answers_counts_nothing() {
    let mut story = Story::new();
    story.run(60);
    let told = story.told.len();
    for standing in [Standing::Suspect, Standing::Down, Standing::Suspect, Standing::Down] {
        story.standing = Some(standing);
        let checks = story.run(10);
        assert!((8..=11).contains(&checks), "asked each second while it is doubted: {checks}");
    }
    assert_eq!(story.told.len(), told);
    // What somebody held back and sends now is no answer.
    story.answers = false;
    for second in 0..8 {
        let now = at(story.ms + second * 1_000);
        let news = PeerNews { standing: story.standing, heard: Some(now) };
        story.checkup.tick(now, &mut story.rng, |_| news);
    }
    assert_eq!(story.peer().state, PeerState::Disconnected);
}

#[test]
fn it_returns_with_all_it_was_known_by() {
    let mut story = Story::new();
    story.run(60);
    (story.answers, story.standing) = (false, Some(Standing::Down));
    story.run(20);
    assert_eq!(story.peer().state, PeerState::Disconnected);
    (story.answers, story.standing) = (true, Some(Standing::Alive));
    let now = at(story.ms);
    story.checkup.met(ME, place(1), None, now);
    story.run(1);
    assert_eq!(story.peer().state, PeerState::Responding);
}

#[test]
fn places_are_taken_by_who_is_there_and_leaving_is_no_failure() {
    let mut checkup = Checkup::default();
    let other = SessionId([2; 16]);
    checkup.met(ME, place(1), None, at(0));
    checkup.met(other, place(1), Some(ME), at(1));
    assert_eq!(checkup.peers.keys().copied().collect::<Vec<_>>(), [other]);
    checkup.take_changes();
    checkup.left(other);
    let changes = checkup.take_changes();
    assert_eq!((changes.len(), changes[0].to, checkup.peers.len()), (1, None, 0));
}

#[test]
fn the_table_is_bounded_and_the_gone_make_room() {
    let mut checkup = Checkup::default();
    let session = |n: usize| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        SessionId(bytes)
    };
    let address = |n: usize| SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 1));
    (0..CLUSTER_NODES + 10).for_each(|n| checkup.met(session(n), address(n), None, at(0)));
    assert_eq!(checkup.peers.len(), CLUSTER_NODES);
    let mut rng = Rng::new(1);
    checkup.tick(at(CLUSTER_SILENT_MS), &mut rng, |_| PeerNews::default());
    checkup.met(session(CLUSTER_NODES + 20), address(CLUSTER_NODES + 20), None, at(CLUSTER_SILENT_MS));
    assert!(checkup.peers.len() == CLUSTER_NODES && checkup.peers.contains_key(&session(CLUSTER_NODES + 20)));
}
