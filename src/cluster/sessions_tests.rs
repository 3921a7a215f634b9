//! Two or three sessions that talk over a wire that loses, repeats and remembers.

use super::super::frame::NodeCard;
use super::super::seal::SMALLEST_DATAGRAM_BYTES;
use super::*;

const SECRET: &str = "a secret that is long enough";
const OLDER: &str = "another one that is long enough";

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(ms)
}

fn place(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7946))
}

fn node(seed: u8, secrets: (Option<&str>, Option<&str>), name: &str) -> Sessions {
    let secrets = ClusterSecrets::new(secrets.0, secrets.1, name).unwrap();
    Sessions::new(secrets, [seed; 32], SessionBug::None)
}

fn usual(seed: u8) -> Sessions {
    node(seed, (Some(SECRET), None), "lasso")
}

fn reply(arrival: &DatagramArrival) -> Option<Vec<u8>> {
    match arrival {
        DatagramArrival::Meeting { answer, .. } | DatagramArrival::Unheard { answer, .. } => answer.clone(),
        DatagramArrival::Said { .. } | DatagramArrival::Own => None,
    }
}

fn met(arrival: &DatagramArrival) -> Option<Met> {
    if let DatagramArrival::Meeting { met, .. } = arrival { *met } else { None }
}

/// `a` at place 1 greets `b` at place 2; every datagram that passed.
fn introduce(a: &mut Sessions, b: &mut Sessions, now: Instant) -> Vec<Vec<u8>> {
    let mut passed = Vec::new();
    let mut next = a.greet(place(2), 0, now);
    let mut to_b = true;
    while let Some(datagram) = next {
        let arrival = if to_b { b.arrive(place(1), &datagram, now) } else { a.arrive(place(2), &datagram, now) };
        next = reply(&arrival);
        passed.push(datagram);
        to_b = !to_b;
    }
    passed
}

#[test]
fn three_datagrams_make_two_strangers_known() {
    let (mut a, mut b) = (usual(1), usual(2));
    let passed = introduce(&mut a, &mut b, at(0));
    assert_eq!(passed.len(), 3);
    assert!(a.is_known(b.own()) && b.is_known(a.own()));
    let (to, datagram) = a.say(b.own(), &Frame::Check { number: 5 }).unwrap();
    assert_eq!(to, place(2));
    assert_eq!(
        b.arrive(place(1), &datagram, at(1)),
        DatagramArrival::Said { session: a.own(), frame: Frame::Check { number: 5 } }
    );
    assert_eq!(b.arrive(place(1), &datagram, at(2)), unheard(Unheard::Replayed));
}

#[test]
fn whatever_is_recorded_is_worth_nothing_to_a_restarted_node() {
    let (mut a, mut b) = (usual(1), usual(2));
    let mut tape = introduce(&mut a, &mut b, at(0));
    for number in 0..50 {
        tape.push(a.say(b.own(), &Frame::Check { number }).unwrap().1);
    }
    tape.push(a.say(b.own(), &Frame::Bye).unwrap().1);
    // The process at place 2 is another one now, and a is gone.
    let mut c = usual(3);
    for round in 0..3u64 {
        for datagram in &tape {
            let (before, now) = (datagram.len(), at(1000 + round * 400));
            let arrival = c.arrive(place(1), datagram, now);
            assert!(!matches!(arrival, DatagramArrival::Said { .. }) && met(&arrival).is_none(), "{arrival:?}");
            assert!(reply(&arrival).is_none_or(|answer| answer.len() <= before));
        }
    }
    assert!(c.all().is_empty());
}

#[test]
fn strangers_get_no_more_bytes_than_they_send_and_only_so_many_answers() {
    let (mut a, mut b) = (usual(1), usual(2));
    introduce(&mut a, &mut b, at(0));
    let shortest = a.say(b.own(), &Frame::Bye).unwrap().1;
    assert_eq!(shortest.len(), SMALLEST_DATAGRAM_BYTES);
    let mut c = usual(3);
    let (mut bytes_in, mut bytes_out) = (0, 0);
    for ms in 0..1_000 {
        bytes_in += shortest.len();
        bytes_out += reply(&c.arrive(place(1), &shortest, at(ms))).map_or(0, |answer| answer.len());
    }
    assert!(
        bytes_out > 0 && bytes_out * 100 < bytes_in,
        "one answer in {CLUSTER_CHALLENGE_GAP_MS} ms: {bytes_out} of {bytes_in}"
    );
    // Many strangers at once: so many answers in a second.
    let mut answers = 0;
    for stranger in 0..2_000u64 {
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&stranger.to_be_bytes());
        let mut d = Sessions::new(ClusterSecrets::new(Some(SECRET), None, "lasso").unwrap(), seed, SessionBug::None);
        let greeting = d.greet(place(3), 0, at(2_000)).unwrap();
        answers += u32::from(reply(&c.arrive(place(4), &greeting, at(2_000))).is_some());
    }
    assert_eq!(answers, CLUSTER_CHALLENGES_PER_SECOND);
    assert!(c.challenges.len() <= CLUSTER_CHALLENGES);
}

#[test]
fn nothing_is_answered_that_does_not_open() {
    let mut a = node(1, (Some(OLDER), None), "lasso");
    let mut b = node(2, (Some(SECRET), None), "other");
    let mut c = usual(3);
    for stranger in [&mut a, &mut b] {
        let greeting = stranger.greet(place(3), 0, at(0)).unwrap();
        assert_eq!(c.arrive(place(1), &greeting, at(0)), unheard(Unheard::WrongSecret));
    }
    assert_eq!(c.arrive(place(1), b"LC", at(0)), unheard(Unheard::Malformed));
    assert_eq!(c.arrive(place(1), &[0; 600], at(0)), unheard(Unheard::Malformed));
    let mut later = usual(1).greet(place(3), 0, at(0)).unwrap();
    later[2] = 9;
    assert_eq!(c.arrive(place(1), &later, at(0)), unheard(Unheard::OtherVersion));
    // Our own session's name under another secret does not make a place ours.
    let mut own = c.greet(place(9), 0, at(0)).unwrap();
    assert_eq!(c.arrive(place(9), &own, at(0)), DatagramArrival::Own);
    own[40] ^= 1;
    assert_eq!(c.arrive(place(9), &own, at(0)), unheard(Unheard::WrongSecret));
    assert!(c.all().is_empty());
}

#[test]
fn a_secret_is_replaced_node_by_node() {
    let older = || node(1, (Some(OLDER), None), "lasso");
    let both = |seed| node(seed, (Some(SECRET), Some(OLDER)), "lasso");
    let newer = || node(4, (Some(SECRET), None), "lasso");
    for (mut a, mut b) in [(older(), both(2)), (both(2), older()), (both(2), both(3))] {
        introduce(&mut a, &mut b, at(0));
        assert!(a.is_known(b.own()) && b.is_known(a.own()));
        let (_, said) = b.say(a.own(), &Frame::Bye).unwrap();
        assert!(matches!(a.arrive(place(2), &said, at(1)), DatagramArrival::Said { .. }), "in the secret that the other speaks");
    }
    // Where the older one is no longer known, the second greeting is understood.
    let (mut a, mut b) = (both(2), newer());
    assert!(introduce(&mut a, &mut b, at(0)).len() == 1 && !b.is_known(a.own()));
    let greeting = a.greet(place(2), 1, at(5_000)).unwrap();
    let answer = reply(&b.arrive(place(1), &greeting, at(5_000))).unwrap();
    assert!(met(&a.arrive(place(2), &answer, at(5_000))).is_some());
}

#[test]
fn a_restarted_node_takes_its_older_selfs_place_and_the_late_answer_of_the_dead_does_not() {
    let (mut a, mut b) = (usual(1), usual(2));
    introduce(&mut a, &mut b, at(0));
    // b greets whoever is at place 1; a's last answer is delayed in the network.
    let greeting = b.greet(place(1), 0, at(100)).unwrap();
    let late = reply(&a.arrive(place(2), &greeting, at(101))).unwrap();
    let mut again = usual(11);
    let hello = again.greet(place(2), 0, at(200)).unwrap();
    let challenge = reply(&b.arrive(place(1), &hello, at(200))).unwrap();
    let proof = reply(&again.arrive(place(2), &challenge, at(201))).unwrap();
    let now_met = met(&b.arrive(place(1), &proof, at(202))).unwrap();
    assert_eq!((now_met.session, now_met.is_new, now_met.replaced), (again.own(), true, Some(a.own())));
    assert!(!b.is_known(a.own()));
    assert_eq!(met(&b.arrive(place(1), &late, at(203))), None, "the address has a newer holder");
    assert!(b.is_known(again.own()) && !b.is_known(a.own()));
}

#[test]
fn a_new_address_must_answer_too() {
    let (mut a, mut b) = (usual(1), usual(2));
    introduce(&mut a, &mut b, at(0));
    let (_, said) = a.say(b.own(), &Frame::Check { number: 1 }).unwrap();
    let arrival = b.arrive(place(7), &said, at(1000));
    assert!(matches!(arrival, DatagramArrival::Unheard { why: Unheard::Unproven, .. }), "{arrival:?}");
    assert_eq!(b.address(a.own()), Some(place(1)), "nobody is pointed elsewhere by who sends on a datagram");
    let answer = reply(&a.arrive(place(2), &reply(&arrival).unwrap(), at(1001))).unwrap();
    let moved = met(&b.arrive(place(7), &answer, at(1002))).unwrap();
    assert_eq!((moved.is_new, moved.replaced), (false, None));
    assert_eq!(b.address(a.own()), Some(place(7)));
    let (_, said) = a.say(b.own(), &Frame::Check { number: 2 }).unwrap();
    assert!(matches!(b.arrive(place(1), &said, at(1003)), DatagramArrival::Said { .. }), "the older one is still good");
}

/// Somebody on the way holds an answer back and sends it from elsewhere, to have us speak to a third party.
#[test]
fn an_answer_from_elsewhere_proves_nothing() {
    let (mut a, mut b) = (usual(1), usual(2));
    let greeting = a.greet(place(2), 0, at(0)).unwrap();
    let answer = reply(&b.arrive(place(1), &greeting, at(0))).unwrap();
    assert_eq!(met(&a.arrive(place(66), &answer, at(1))), None);
    assert!(a.all().is_empty());
}

#[test]
fn a_forgotten_session_is_known_again_after_one_round_trip() {
    let (mut a, mut b) = (usual(1), usual(2));
    introduce(&mut a, &mut b, at(0));
    let later = at(CLUSTER_SESSION_SILENT_MS + 1);
    b.prune(later);
    assert!(!b.is_known(a.own()));
    let (_, said) = a.say(b.own(), &Frame::Check { number: 1 }).unwrap();
    let challenge = reply(&b.arrive(place(1), &said, later)).unwrap();
    let proof = reply(&a.arrive(place(2), &challenge, later)).unwrap();
    assert!(met(&b.arrive(place(1), &proof, later)).is_some_and(|met| met.is_new));
    assert_eq!(b.arrive(place(1), &said, later), unheard(Unheard::Replayed), "what it said before is no news now");
    // An answer is good for seconds, and for one time.
    b.forget(a.own());
    let (_, said) = a.say(b.own(), &Frame::Check { number: 2 }).unwrap();
    let challenge = reply(&b.arrive(place(1), &said, later.plus_ms(1_000))).unwrap();
    let proof = reply(&a.arrive(place(2), &challenge, later.plus_ms(1_000))).unwrap();
    let too_late = later.plus_ms(1_000 + CLUSTER_CHALLENGE_MS);
    assert_eq!(met(&b.arrive(place(1), &proof, too_late)), None);
}

#[test]
fn names_for_people_are_unique() {
    let words: std::collections::BTreeSet<_> = Unheard::ALL.iter().map(|why| why.word()).collect();
    assert_eq!(words.len(), Unheard::ALL.len());
    assert_eq!(NodeCard::new("é".repeat(200).as_str(), "", "", 0).node_id.len(), 128);
}

/// The deliberate bugs do what they say, so that a checker that is silent about them has been looked at.
#[test]
fn the_deliberate_bugs_are_bugs() {
    let buggy = |bug| Sessions::new(ClusterSecrets::new(Some(SECRET), None, "lasso").unwrap(), [5; 32], bug);
    let mut a = usual(1);
    let mut credulous = buggy(SessionBug::NoChallenge);
    introduce(&mut a, &mut credulous, at(0));
    credulous.forget(a.own());
    let (_, said) = a.say(credulous.own(), &Frame::Bye).unwrap();
    assert!(matches!(credulous.arrive(place(1), &said, at(9)), DatagramArrival::Said { .. }));
    let (mut a, mut deaf) = (usual(1), buggy(SessionBug::NoWindow));
    introduce(&mut a, &mut deaf, at(0));
    let (_, said) = a.say(deaf.own(), &Frame::Bye).unwrap();
    assert!(matches!(deaf.arrive(place(1), &said, at(1)), DatagramArrival::Said { .. }));
    assert!(matches!(deaf.arrive(place(1), &said, at(2)), DatagramArrival::Said { .. }));
}
