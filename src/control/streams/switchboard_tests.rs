//! Followers and feeds on a bench: what is wished and said goes in, acts come out.

use super::super::fill::Filled;
use super::*;
use crate::base::ids::{ChainId, InstanceId, ProfileId, SlotId};
use crate::config::topology::Strategy;
use crate::config::{SourceFile, load};
use crate::snapshot::bit;
use crate::stream::continuity::Opinions;
use crate::stream::event::{BlockHash, Head};
use crate::stream::fanout::ResumeStep;
use crate::stream::filter::LogFilter;

/// Providers `a` (first) and `b` with WebSockets, `c` without; two profiles share all of them. Chain `bare` has only `d`,
/// without.
const PROFILE: &str = "\nchains:\n  main:\n    chain_id: 1\n    providers:\n      \
     - {id: a, url: 'http://a', ws_url: 'ws://a', priority: 1}\n      \
     - {id: b, url: 'http://b', ws_url: 'ws://b', priority: 2}\n      - {id: c, url: 'http://c', priority: 3}\n  \
     bare:\n    chain_id: 2\n    providers:\n      - {id: d, url: 'http://d'}\n";

struct Bench {
    board: Switchboard,
    snapshot: Snapshot,
    now: Instant,
}

impl Bench {
    fn new() -> Bench {
        let file = |slug: &str| SourceFile { name: format!("{slug}.yml"), text: format!("name: {slug}\nslug: {slug}{PROFILE}") };
        let topology = load(&[file("default"), file("other")], &|_| None).expect("a sound profile").topology;
        let board = Switchboard::new(&topology, "here", None);
        let snapshot = Snapshot::new(topology, Strategy::Priority, "here", 1);
        let mut bench = Bench { board, snapshot, now: Instant::ZERO.plus_ms(1_000) };
        bench.look();
        // Its own interest in heads.
        assert_eq!(bench.step(), ["feed a", "feed b"]);
        bench
    }

    fn look(&mut self) {
        self.board.see(Arc::new(self.snapshot.clone()));
    }

    fn topic(profile: u16, chain: u16, key: Key) -> Topic {
        Topic { profile: ProfileId(profile), chain: ChainId(chain), pin: None, allow_failover: false, key }
    }

    fn open(&mut self, shard: u16, topic: Topic) {
        self.board.on_wish(Wish::Open { shard, topic: Arc::new(topic), ticket: Ticket(7) }, self.now);
    }

    fn close(&mut self, shard: u16, topic: Topic) {
        self.board.on_wish(Wish::Close { shard, topic: Arc::new(topic) }, self.now);
    }

    fn say(&mut self, feed: &str, said: Said) {
        self.board.on_said(feed_of(feed), said, self.now);
    }

    /// The acts, each in a few words, and what is asked for is answered by `block`.
    fn step_with(&mut self, block: Option<Head>) -> Vec<String> {
        let acts = self.board.step(self.now, 1_000);
        acts.into_iter().map(|act| self.word(act, block.as_ref())).collect()
    }

    fn step(&mut self) -> Vec<String> {
        self.step_with(None)
    }

    fn word(&mut self, act: Act, block: Option<&Head>) -> String {
        match act {
            Act::Feed(feed) => format!("feed {}", name_of(feed)),
            Act::Seen(_, head) => format!("seen {}", head.number),
            Act::Tell(feed, what) => format!("tell {} {what:?}", name_of(feed)),
            Act::Post(shard, letter) => match letter {
                Letter::Seen { head, .. } => format!("seen {shard} {}", head.height),
                Letter::Opened { .. } => format!("opened {shard}"),
                Letter::Refused { reason, .. } => format!("refused {shard}: {reason}"),
                Letter::Event { payload, .. } => format!("event {shard} {}", String::from_utf8_lossy(&payload)),
                Letter::Resume { tickets, step } => {
                    format!("resume {shard} {:?} {}", tickets.iter().map(|t| t.0).collect::<Vec<_>>(), step_word(&step))
                }
                Letter::Ended { reason, .. } => format!("ended {shard}: {reason}"),
                Letter::Cut => format!("cut {shard}"),
            },
            Act::Fill(order) => {
                if let Some((number, hash)) = order.compared() {
                    let (follower, opinions) = (order.follower(), Opinions::default());
                    self.board.on_filled(Filled::Opinions { follower, number, hash, opinions }, self.now);
                    return "compare".to_owned();
                }
                if let Some(block) = block {
                    let ask = crate::stream::continuity::Ask::Latest;
                    let filled =
                        Filled::Block { follower: order.follower(), ask, failed: None, block: Some(Box::new(block.clone())) };
                    self.board.on_filled(filled, self.now);
                }
                "fill".to_owned()
            }
        }
    }

    /// Opens newHeads of shard 0 on the main chain, led by `a`, standing at block 1.
    fn standing() -> Bench {
        let mut bench = Bench::new();
        bench.open(0, Bench::topic(0, 0, Key::NewHeads));
        assert_eq!(bench.step(), ["feed a"]);
        bench.say("a", Said::Confirmed(Key::NewHeads));
        assert_eq!(bench.step_with(Some(head(1))), ["fill", "tell a Leads"]);
        assert_eq!(bench.step(), ["compare", "opened 0"]);
        bench
    }

    fn wanted(&self, feed: &str) -> usize {
        self.board.wanted(feed_of(feed)).0.len()
    }
}

fn step_word(step: &ResumeStep) -> String {
    match step {
        ResumeStep::Begin => "begin".into(),
        ResumeStep::Event(payload) => format!("event {}", String::from_utf8_lossy(payload)),
        ResumeStep::Join => "join".into(),
        ResumeStep::Refuse(why) => format!("refuse {why}"),
        ResumeStep::End(why) => format!("end {why}"),
    }
}

/// `a` and `b` subscribe, `A` to `D` poll.
fn feed_of(name: &str) -> FeedId {
    let letter = name.bytes().next().unwrap_or(b'a');
    let mode = if letter.is_ascii_lowercase() { Mode::Subscribing } else { Mode::Polling };
    FeedId { mode, instance: InstanceId(u16::from(letter.to_ascii_lowercase() - b'a')) }
}

fn name_of(feed: FeedId) -> String {
    let letter = char::from(b'a' + feed.instance.0 as u8);
    if feed.mode == Mode::Subscribing { letter.to_string() } else { letter.to_ascii_uppercase().to_string() }
}

fn head(n: u8) -> Head {
    let payload = format!("{n}").into_bytes().into();
    Head {
        number: n.into(),
        hash: BlockHash([n; 32]),
        parent: BlockHash([n - 1; 32]),
        bloom: None,
        gas_used: None,
        timestamp_s: None,
        fetched: false,
        payload,
    }
}

fn said(n: u8) -> Said {
    Said::Head(Arc::new(head(n)))
}

#[test]
fn a_topic_is_opened_once_the_chain_is_known_and_events_follow() {
    let mut bench = Bench::standing();
    bench.say("a", said(2));
    bench.say("b", said(3));
    assert_eq!(bench.step(), ["event 0 2"]);
    bench.open(1, Bench::topic(0, 0, Key::NewHeads));
    assert_eq!(bench.step(), ["opened 1"]);
    bench.say("a", said(3));
    assert_eq!(bench.step(), ["event 0 3", "event 1 3"]);
}

#[test]
fn profiles_that_share_an_instance_share_its_subscription() {
    let mut bench = Bench::standing();
    bench.open(0, Bench::topic(1, 0, Key::NewHeads));
    // Confirmed long ago, for the other profile; no feed changes.
    assert_eq!(bench.step_with(Some(head(1))), ["fill", "tell a Leads"]);
    assert_eq!(bench.step(), ["compare", "opened 0"]);
    assert_eq!(bench.wanted("a"), 1);
}

#[test]
fn a_lost_leader_is_followed_by_another_instance() {
    let mut bench = Bench::standing();
    bench.say("b", Said::Confirmed(Key::NewHeads));
    bench.say("a", Said::Lost);
    assert_eq!(bench.step_with(Some(head(1))), ["fill", "tell a Lost", "tell b Leads", "feed a", "feed b"]);
}

#[test]
fn while_nobody_leads_everybody_is_asked_and_who_confirms_first_leads() {
    let mut bench = Bench::standing();
    bench.say("a", Said::Lost);
    // All but the one that was just lost, which comes a moment later; failures change nothing.
    assert_eq!(bench.step(), ["tell a Lost", "feed a", "feed b", "feed B", "feed C"]);
    for name in ["b", "B", "C"] {
        bench.say(name, Said::Lost);
    }
    assert_eq!(bench.step(), Vec::<String>::new());
    bench.now = bench.now.plus_ms(limits::SHUN_MS);
    assert!(bench.board.wake_at() <= bench.now);
    assert_eq!(bench.step(), ["feed a", "feed A"]);
    // Long after, whatever has failed meanwhile.
    bench.now = bench.now.plus_ms(20_000);
    ["a", "b", "A", "B", "C"].into_iter().for_each(|name| bench.say(name, Said::Lost));
    assert_eq!((bench.step(), bench.board.wanted(feed_of("C")).1), (vec![], true));
    bench.say("C", Said::Confirmed(Key::NewHeads));
    // A subscription takes a polled one's place.
    assert_eq!(bench.step(), ["fill", "tell C Leads", "feed b", "feed A", "feed B"]);
    bench.say("a", Said::Confirmed(Key::NewHeads));
    assert_eq!(bench.step(), ["fill", "tell a Leads", "feed C"]);
}

/// Also one whose feed was not wanted for this: what is confirmed already leads at once.
#[test]
fn a_confirmation_that_nobody_asked_for_is_taken() {
    let mut bench = Bench::new();
    bench.say("b", Said::Confirmed(Key::NewHeads));
    bench.open(0, Bench::topic(0, 0, Key::NewHeads));
    assert_eq!(bench.step(), ["feed a"]);
    bench.say("a", Said::Lost);
    assert_eq!(bench.step_with(Some(head(1))), ["fill", "tell b Leads", "feed a", "feed b"]);
}

#[test]
fn at_the_very_start_the_best_is_asked_alone_for_a_moment() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 0, Key::Syncing));
    assert_eq!(bench.step(), ["feed a"]);
    bench.now = bench.now.plus_ms(limits::SUBSCRIBE_SHARE_MS - 1);
    assert_eq!(bench.step(), Vec::<String>::new());
    bench.now = bench.now.plus_ms(1);
    assert!(bench.board.wake_at() <= bench.now);
    assert_eq!(bench.step(), ["feed b"]);
    // The first may still win.
    bench.say("a", Said::Confirmed(Key::Syncing));
    assert_eq!(bench.step(), ["opened 0", "tell a Leads", "feed b"]);
}

#[test]
fn who_puts_us_off_is_asked_again_and_ends_nothing() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 0, Key::Syncing));
    assert_eq!(bench.step(), ["feed a"]);
    bench.say("a", Said::PutOff(Key::Syncing));
    assert_eq!(bench.step(), ["feed b"]);
    bench.say("b", Said::PutOff(Key::Syncing));
    assert_eq!(bench.step(), Vec::<String>::new());
    bench.say("b", Said::Confirmed(Key::Syncing));
    assert_eq!(bench.step(), ["opened 0", "tell b Leads", "feed a"]);
    bench.say("b", Said::PutOff(Key::Syncing));
    assert_eq!(bench.step(), Vec::<String>::new(), "said of what came before its confirmation");
}

/// What is passed on has no machine that says when it cannot be kept.
#[test]
fn a_forwarded_stream_that_nobody_leads_ends_in_time() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 0, Key::Syncing));
    bench.step();
    bench.say("a", Said::Confirmed(Key::Syncing));
    bench.step();
    bench.say("a", Said::Lost);
    bench.step();
    bench.say("b", Said::PutOff(Key::Syncing));
    bench.now = bench.now.plus_ms(29_999);
    assert!(!bench.step().iter().any(|act| act.starts_with("ended")));
    bench.now = bench.now.plus_ms(1);
    assert!(bench.step().contains(&"ended 0: no provider is left for this subscription".to_owned()));
}

#[test]
fn a_stalled_polled_leader_is_left_for_one_that_has_something_newer() {
    let mut bench = Bench::standing();
    Arc::make_mut(&mut bench.snapshot.plans[ProfileId(0)][ChainId(0)]).gates.misconfigured |= bit(SlotId(1)) | bit(SlotId(3));
    bench.look();
    bench.say("a", Said::Lost);
    assert_eq!(bench.step(), ["tell a Lost", "feed a", "feed B", "feed C"]);
    bench.say("B", Said::Confirmed(Key::NewHeads));
    assert_eq!(bench.step_with(Some(head(2))), ["fill", "tell B Leads", "feed C"]);
    assert_eq!(bench.step(), ["event 0 2"]);
    bench.say("B", Said::Stalled);
    assert_eq!(bench.step(), ["feed A"]);
    bench.say("A", Said::Confirmed(Key::NewHeads));
    bench.say("A", said(2));
    assert_eq!(bench.step(), Vec::<String>::new(), "it knows no more");
    bench.say("A", said(3));
    assert_eq!(bench.step_with(None), ["event 0 3", "tell A Leads", "feed B"]);
}

/// A restarted node is back before its circuit is.
#[test]
fn with_nobody_else_left_an_open_circuit_does_not_keep_a_stream_waiting() {
    let mut bench = Bench::standing();
    Arc::make_mut(&mut bench.snapshot.plans[ProfileId(0)][ChainId(0)]).gates.open |= u128::MAX;
    bench.look();
    assert_eq!(bench.step(), Vec::<String>::new(), "the leader stays: nobody is better off");
    bench.say("b", Said::Confirmed(Key::NewHeads));
    bench.say("a", Said::Lost);
    assert_eq!(bench.step_with(Some(head(1))), ["fill", "tell a Lost", "tell b Leads", "feed a", "feed b"]);
}

#[test]
fn a_leader_that_falls_behind_leads_until_another_is_confirmed() {
    let mut bench = Bench::standing();
    Arc::make_mut(&mut bench.snapshot.plans[ProfileId(0)][ChainId(0)]).gates.lagging |= bit(SlotId(0)) | bit(SlotId(1));
    bench.look();
    assert_eq!(bench.step(), ["feed b"]);
    bench.say("a", said(2));
    assert_eq!(bench.step(), ["event 0 2"]);
    bench.say("b", Said::Confirmed(Key::NewHeads));
    assert_eq!(bench.step_with(Some(head(3))), ["fill", "tell b Leads", "feed a"]);
    bench.say("a", said(4));
    bench.say("b", said(4));
    assert_eq!(bench.step(), ["event 0 3", "event 0 4"]);
}

#[test]
fn a_leader_on_another_fork_comes_last_however_it_is_preferred() {
    let mut bench = Bench::standing();
    Arc::make_mut(&mut bench.snapshot.plans[ProfileId(0)][ChainId(0)]).gates.forked |= bit(SlotId(0)) | bit(SlotId(1));
    bench.look();
    assert_eq!(bench.step(), ["feed b"]);
    bench.say("b", Said::Confirmed(Key::NewHeads));
    assert_eq!(bench.step_with(Some(head(2))), ["fill", "tell b Leads", "feed a"]);
    bench.say("a", said(90));
    bench.say("b", said(2));
    assert_eq!(bench.step(), ["event 0 2"]);
}

/// One question for a block, whatever the number of filters, and nothing of them is subscribed to upstream.
#[test]
fn logs_run_beside_heads_and_are_asked_for_once_a_block() {
    let mut bench = Bench::standing();
    let of = |byte: u8| {
        let address = format!("0x{}", format!("{byte:02x}").repeat(20));
        Key::Logs(LogFilter::parse(&serde_json::json!({ "address": address })).expect("a filter"))
    };
    for byte in 0..3 {
        bench.open(0, Bench::topic(0, 0, of(byte)));
    }
    assert_eq!(bench.step(), ["opened 0", "opened 0", "opened 0"]);
    assert_eq!(bench.wanted("a"), 1);
    bench.say("a", said(2));
    assert_eq!(bench.step(), ["event 0 2", "fill"]);
    bench.say("a", said(3));
    assert_eq!(bench.step(), ["event 0 3", "fill"]);
}

#[test]
fn a_subscription_outlives_its_last_client_for_a_while() {
    let mut bench = Bench::standing();
    bench.close(0, Bench::topic(0, 0, Key::NewHeads));
    bench.now = bench.now.plus_ms(limits::TOPIC_LINGER_MS - 1);
    assert_eq!((bench.step(), bench.board.load().followers), (vec![], 1));
    bench.now = bench.now.plus_ms(1);
    bench.step();
    assert_eq!(bench.board.load().followers, 0);
    // A shard that began again wants nothing either.
    let mut bench = Bench::standing();
    bench.board.on_wish(Wish::Began { shard: 0 }, bench.now);
    bench.now = bench.now.plus_ms(limits::TOPIC_LINGER_MS);
    bench.step();
    assert_eq!(bench.board.load().followers, 0);
}

#[test]
fn what_nobody_can_serve_is_refused_with_the_reason() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 1, Key::Syncing));
    assert_eq!(bench.step(), ["refused 0: no provider of this chain can serve it: it needs one with a ws_url"]);
    bench.open(0, Bench::topic(0, 0, Key::Syncing));
    bench.step();
    for name in ["a", "b"] {
        bench.say(name, Said::Refused(Key::Syncing));
        bench.now = bench.now.plus_ms(10);
        let acts = bench.step();
        let is_refused = acts.iter().any(|act| act == "refused 0: every provider of this chain refuses this subscription");
        assert_eq!(is_refused, name == "b", "{acts:?}");
    }
}

/// What one refused long ago does not end a stream that another has led since.
#[test]
fn a_refusal_is_forgotten_once_somebody_leads() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 0, Key::Syncing));
    assert_eq!(bench.step(), ["feed a"]);
    bench.say("a", Said::Refused(Key::Syncing));
    assert_eq!(bench.step(), ["feed a", "feed b"]);
    bench.say("b", Said::Confirmed(Key::Syncing));
    assert_eq!(bench.step(), ["opened 0", "tell b Leads"]);
    bench.now = bench.now.plus_ms(limits::SHUN_MS);
    bench.say("b", Said::Lost);
    assert_eq!(bench.step(), ["tell b Lost", "feed a", "feed b"], "asked again");
    bench.say("a", Said::Refused(Key::Syncing));
    bench.step();
    bench.say("b", Said::Refused(Key::Syncing));
    bench.now = bench.now.plus_ms(10);
    assert!(bench.step().iter().any(|act| act.starts_with("ended 0: every provider of this chain refuses")));
}

#[test]
fn switches_are_counted_whatever_is_followed() {
    for key in [Key::NewHeads, Key::Syncing, Key::NewPendingTransactions { whole: false }] {
        let mut bench = Bench::new();
        bench.open(0, Bench::topic(0, 0, key.clone()));
        bench.step();
        bench.say("a", Said::Confirmed(key.clone()));
        bench.step_with(Some(head(1)));
        assert_eq!(bench.board.load().switches, 0, "{key:?}");
        Arc::make_mut(&mut bench.snapshot.plans[ProfileId(0)][ChainId(0)]).gates.lagging |= bit(SlotId(0)) | bit(SlotId(1));
        bench.look();
        bench.step();
        bench.say("b", Said::Confirmed(key.clone()));
        bench.step_with(Some(head(2)));
        let load = bench.board.load();
        assert_eq!((load.switches, load.losses), (1, 0), "{key:?}");
    }
}

#[test]
fn what_nobody_confirms_is_refused_in_time() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 0, Key::NewHeads));
    bench.step();
    bench.now = bench.now.plus_ms(limits::SUBSCRIBE_MS);
    assert!(bench.step().contains(&"refused 0: no provider confirmed it in time".to_owned()));
}

/// Found by the simulator, seed 78: it woke itself for ever.
#[test]
fn a_follower_without_candidates_does_not_wake_at_once() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 1, Key::NewHeads));
    bench.step();
    bench.say("D", Said::Lost);
    bench.step();
    Arc::make_mut(&mut bench.snapshot.plans[ProfileId(0)][ChainId(1)]).gates.open |= u128::MAX;
    bench.look();
    bench.now = bench.now.plus_ms(limits::SHUN_MS);
    assert_eq!(bench.step(), Vec::<String>::new());
    assert!(bench.board.wake_at() > bench.now, "{:?}", bench.board.wake_at());
}

#[test]
fn a_chain_without_websockets_is_polled() {
    let mut bench = Bench::new();
    bench.open(0, Bench::topic(0, 1, Key::NewHeads));
    assert_eq!(bench.step(), ["feed D"]);
    bench.say("D", Said::Confirmed(Key::NewHeads));
    assert_eq!(bench.step_with(Some(head(1))), ["fill", "tell D Leads"]);
    assert_eq!(bench.step(), ["opened 0"]);
}

#[test]
fn a_stream_that_cannot_be_kept_is_ended_with_the_reason() {
    let mut bench = Bench::standing();
    bench.say("a", Said::Lost);
    bench.step();
    bench.now = bench.now.plus_ms(120_000);
    let acts = bench.step();
    assert!(acts.iter().any(|act| act.starts_with("ended 0: missing blocks did not come within")), "{acts:?}");
    assert_eq!((bench.board.load().followers, bench.board.load().closed), (0, 1));
}

fn filter_of(n: u32) -> Key {
    Key::parse(format!("[\"logs\",{{\"address\":\"0x{n:040x}\"}}]").as_bytes()).expect("a sound filter")
}

#[test]
fn what_nobody_wants_any_more_is_kept_for_few_and_the_oldest_go_first() {
    let mut bench = Bench::standing();
    let few = limits::TOPICS_IDLE as u32;
    for n in 0..few + 10 {
        bench.open(0, Bench::topic(0, 0, filter_of(n)));
        bench.close(0, Bench::topic(0, 0, filter_of(n)));
    }
    bench.step();
    let kept = |bench: &Bench| bench.board.followers.values().map(Follower::topic_count).sum::<usize>();
    assert_eq!(kept(&bench), 1 + limits::TOPICS_IDLE);
    // One that is wanted again is not among them, however old.
    bench.open(0, Bench::topic(0, 0, filter_of(10)));
    for n in few + 10..2 * few + 20 {
        bench.open(0, Bench::topic(0, 0, filter_of(n)));
        bench.close(0, Bench::topic(0, 0, filter_of(n)));
    }
    bench.step();
    assert_eq!(kept(&bench), 2 + limits::TOPICS_IDLE);
}

#[test]
fn heads_have_room_whatever_else_there_is() {
    let mut bench = Bench::new();
    for n in 0..(limits::TOPICS + limits::TOPICS_IDLE) as u32 {
        bench.open(0, Bench::topic(0, 0, filter_of(n)));
    }
    let opened = |bench: &mut Bench, key: Key| {
        bench.open(1, Bench::topic(0, 0, key));
        !bench.step().iter().any(|act| act.starts_with("refused 1: the node has as many different subscriptions as it can"))
    };
    assert!(!opened(&mut bench, filter_of(u32::MAX)));
    assert!(opened(&mut bench, Key::NewHeads));
}
