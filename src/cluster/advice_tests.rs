//! Words and orders of a few nodes, carried by hand: late, lost, repeated, in any order.

use super::*;
use crate::base::rng::Rng;

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(ms)
}

fn session(n: u8) -> SessionId {
    SessionId([n; 16])
}

fn upstream(n: u32) -> UpstreamKey {
    UpstreamKey { chain_number: 1, tag: n }
}

fn word(n: u32, kind: AdviceKind, value: u64) -> AdviceWord {
    AdviceWord { upstream: upstream(n), transport: Transport::Http, kind, value }
}

fn rest(n: u32, until: Instant) -> OwnWord {
    OwnWord { word: word(n, AdviceKind::Rest, 0), until }
}

fn name(session: SessionId) -> ArrayString<NAME_BYTES> {
    ArrayString::from(&format!("node-{}", session.0[0])).unwrap()
}

fn words(advice: &[Advice]) -> Vec<AdviceWord> {
    advice.iter().flat_map(|one| one.words.iter().copied()).collect()
}

/// What `book` advises to, as of `now`; words that ran out are gone.
fn heard(book: &mut AdviceBook, now: Instant) -> Vec<(u32, Instant)> {
    book.tick(now);
    book.has_changed = true;
    let counsel = book.take_counsel(session(0), name).unwrap();
    counsel.words.iter().map(|(heard, _)| (heard.word.upstream.tag, heard.until)).collect()
}

#[test]
fn what_is_new_is_told_at_once_and_what_is_true_again_and_again() {
    let mut book = AdviceBook::new(AdvicePolicy::Usual);
    assert_eq!(book.tick(at(0)), []);
    book.know(&[rest(1, at(40_000))], at(1_000));
    assert_eq!(words(&book.tick(at(1_000))), [word(1, AdviceKind::Rest, 39_000)]);
    book.know(&[rest(1, at(40_000))], at(1_100));
    assert_eq!(book.tick(at(1_100)), [], "it is no news");
    book.know(&[rest(1, at(40_000)), rest(2, at(9_000))], at(1_200));
    assert_eq!(book.tick(at(1_200)), [], "news wait a second for more of them");
    assert_eq!(words(&book.tick(at(2_000))).len(), 2);
    assert_eq!(words(&book.tick(at(17_000))), [word(1, AdviceKind::Rest, 23_000)], "a rest that is over is not told");
}

#[test]
fn a_word_ends_with_its_rest_or_when_nobody_repeats_it_or_with_its_node() {
    let mut book = AdviceBook::new(AdvicePolicy::Usual);
    let say = |book: &mut AdviceBook, of: u8, left_ms, now| {
        book.hear(session(of), Advice { words: vec![word(1, AdviceKind::Rest, left_ms)], orders: Vec::new() }, now);
    };
    say(&mut book, 1, 5_000, at(0));
    assert_eq!(heard(&mut book, at(4_999)), [(1, at(5_000))]);
    assert_eq!(heard(&mut book, at(5_000)), []);
    // An hour, said once: the node is gone.
    say(&mut book, 1, 3_600_000, at(10_000));
    assert_eq!(heard(&mut book, at(69_999)).len(), 1);
    assert_eq!(heard(&mut book, at(70_000)), []);
    // Repeated, its end stays where it was first said to be; moved, it moves.
    say(&mut book, 2, 100_000, at(80_000));
    say(&mut book, 2, 84_200, at(95_000));
    assert_eq!(heard(&mut book, at(95_000)), [(1, at(180_000))]);
    say(&mut book, 2, 200_000, at(100_000));
    assert_eq!(heard(&mut book, at(100_000)), [(1, at(300_000))]);
    book.forget(session(2));
    assert_eq!(heard(&mut book, at(100_001)), []);
    // Longer than any provider may ask for.
    say(&mut book, 3, u64::MAX, at(0));
    assert_eq!(heard(&mut book, at(1)), [(1, at(RETRY_AFTER_MAX_MS))]);
}

#[test]
fn the_switch_decides_what_is_told_and_what_is_heeded() {
    let all: Vec<OwnWord> = AdviceKind::ALL.map(|kind| OwnWord { word: word(1, kind, 7), until: Instant::NEVER }).to_vec();
    for (policy, count) in [(AdvicePolicy::Off, 0), (AdvicePolicy::Usual, 1), (AdvicePolicy::All, 5)] {
        let mut book = AdviceBook::new(policy);
        book.know(&all, at(0));
        assert_eq!(words(&book.tick(at(0))).len(), count, "{policy:?}");
        book.hear(session(1), Advice { words: all.iter().map(|own| own.word).collect(), orders: Vec::new() }, at(0));
        assert_eq!(book.heard.len(), count, "{policy:?}");
        let ordered = book.order(upstream(1), Order::Open, (session(0), name(session(0))), at(0));
        assert_eq!(ordered, policy != AdvicePolicy::Off);
    }
}

#[test]
fn words_and_orders_have_bounds() {
    let mut book = AdviceBook::new(AdvicePolicy::Usual);
    for n in 0..2 * CLUSTER_WORDS_OF_ONE as u32 {
        let words = vec![word(n, AdviceKind::Rest, 1_000)];
        book.hear(session(1), Advice { words, orders: Vec::new() }, at(0));
    }
    assert_eq!((book.heard.len(), book.unheard), (CLUSTER_WORDS_OF_ONE, CLUSTER_WORDS_OF_ONE as u64));
    let by = || (session(0), name(session(0)));
    let given = |book: &mut AdviceBook, n| book.order(upstream(n), Order::Open, by(), at(0));
    assert!((0..CLUSTER_ORDERS as u32).all(|n| given(&mut book, n)));
    assert!(!given(&mut book, 999) && given(&mut book, 0));
    // One that was taken back makes room.
    assert!(book.order(upstream(5), Order::Auto, by(), at(0)) && given(&mut book, 999) && !given(&mut book, 5));
    let datagrams = book.tick(at(0));
    assert!(datagrams.iter().all(|one| one.words.len() <= WORDS_AT_ONCE && one.orders.len() <= ORDERS_AT_ONCE));
    assert_eq!(datagrams.iter().map(|one| one.orders.len()).sum::<usize>(), CLUSTER_ORDERS);
}

#[test]
fn an_order_from_beyond_all_counting_is_not_believed() {
    let mut book = AdviceBook::new(AdvicePolicy::Usual);
    let order = |number| SharedOrder {
        upstream: upstream(1),
        order: Order::Open,
        number,
        session: session(1),
        node_id: name(session(1)),
    };
    book.hear(session(1), Advice { words: Vec::new(), orders: vec![order(u64::MAX)] }, at(0));
    assert_eq!(book.orders.len(), 0);
    assert!(book.order(upstream(1), Order::Close, (session(0), name(session(0))), at(0)));
    assert_eq!(book.orders[&upstream(1)].number, 1);
}

/// Nodes that give orders, lose datagrams, hear them late, twice and in any order, and part: in the end all hold the same, and it is an
/// order of which its node had heard all that were there before.
#[test]
fn all_nodes_end_with_the_same_orders() {
    for seed in 0..300 {
        let mut rng = Rng::new(seed);
        let count = 2 + rng.below(5) as usize;
        let mut books: Vec<AdviceBook> = (0..count).map(|_| AdviceBook::new(AdvicePolicy::Usual)).collect();
        let mut mail: Vec<(usize, usize, Advice)> = Vec::new();
        let mut now = 0;
        for step in 0..200 {
            now += rng.below(3_000);
            let of = rng.below(count as u64) as usize;
            let order = [Order::Open, Order::Close, Order::Auto][rng.below(3) as usize];
            if step < 100 && rng.chance(200_000) {
                books[of].order(upstream(rng.below(3) as u32), order, (session(of as u8), name(session(of as u8))), at(now));
            }
            for (from, book) in books.iter_mut().enumerate() {
                for advice in book.tick(at(now)) {
                    let others = (0..count).filter(|to| *to != from);
                    mail.extend(others.map(|to| (from, to, advice.clone())));
                }
            }
            // The last steps lose nothing.
            let lost_ppm = if step < 150 { 500_000 } else { 0 };
            while !mail.is_empty() {
                let (from, to, advice) = mail.swap_remove(rng.below(mail.len() as u64) as usize);
                if rng.chance(100_000) {
                    mail.push((from, to, advice.clone()));
                }
                if !rng.chance(lost_ppm) {
                    books[to].hear(session(from as u8), advice, at(now));
                }
            }
        }
        let first = books[0].orders.clone();
        assert!(books.iter().all(|book| book.orders == first), "seed {seed}");
    }
}

#[test]
fn what_was_ordered_here_is_not_advised_here() {
    let mut book = AdviceBook::new(AdvicePolicy::Usual);
    book.order(upstream(1), Order::Open, (session(7), name(session(7))), at(0));
    let theirs =
        SharedOrder { upstream: upstream(2), order: Order::Close, number: 4, session: session(2), node_id: name(session(2)) };
    book.hear(session(2), Advice { words: vec![word(3, AdviceKind::Rest, 9_000)], orders: vec![theirs.clone()] }, at(0));
    let counsel = book.take_counsel(session(7), name).unwrap();
    assert_eq!(counsel.orders, [theirs]);
    assert_eq!(counsel.words.iter().map(|(_, by)| by.as_str()).collect::<Vec<_>>(), ["node-2"]);
    assert_eq!(book.take_counsel(session(7), name), None, "nothing has changed");
    // The next one given here stands above all that were heard.
    book.order(upstream(2), Order::Auto, (session(7), name(session(7))), at(1));
    assert_eq!(book.orders[&upstream(2)].number, 5);
}
