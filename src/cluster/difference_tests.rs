//! Any two digests, the way between them, and what is wrong with it.

use super::*;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::cluster::digest::DigestHealth;
use crate::observe::buckets::bucket_of;
use proptest::prelude::*;

fn window(rng: &mut Rng, has_latencies: bool) -> Counts {
    let mut counts = Counts::default();
    for _ in 0..rng.below(30) {
        let us = 100 << rng.below(12);
        counts.successes += 1;
        counts.sum_us += us;
        counts.max_us = counts.max_us.max(us);
        if has_latencies {
            counts.latencies.add(bucket_of(us + rng.below(us)), &[1 + rng.below(300)]);
        }
    }
    for _ in 0..rng.below(3) {
        counts.set_category(Category::ALL[rng.below(30) as usize], rng.below(1_000));
    }
    (counts.retries, counts.penalised) = (rng.below(5), rng.below(5));
    counts.canonical()
}

fn row(id: u32, rng: &mut Rng) -> DigestRow {
    let about = match id % 3 {
        0 => DigestAbout::Method(format!("eth_method{id}").into()),
        1 => DigestAbout::Provider { id: format!("p{id}").into(), transport: Transport::Http },
        _ => DigestAbout::Provider { id: format!("p{id}").into(), transport: Transport::Ws },
    };
    let mut row = DigestRow::new(Arc::new(about));
    row.health = DigestHealth {
        status: rng.below(9) as u8,
        circuit: rng.below(4) as u8,
        height: rng.below(1 << 40),
        lag_blocks: rng.below(100),
    };
    (row.total, row.hour, row.minute) = (window(rng, false), window(rng, true), window(rng, true));
    row
}

/// Any digest: some of forty rows, each in one of a few states.
fn digest(seed: u64) -> NodeDigest {
    let mut rng = Rng::new(seed);
    let rows = (0..40)
        .map(|id| (rng.chance(600_000), id, u64::from(id) + rng.below(3)))
        .filter(|(is_there, ..)| *is_there)
        .map(|(_, id, state)| (id, row(id, &mut Rng::new(state))))
        .collect();
    with(rows, rng.below(9), rng.below(60_000))
}

fn topic() -> DigestTopic {
    DigestTopic::new("default", 1)
}

fn with(rows: Vec<(u32, DigestRow)>, config_revision: u64, minute_ms: u64) -> NodeDigest {
    let chains = BTreeMap::from([(topic(), rows)]);
    NodeDigest { made: Instant::ZERO, config_revision, minute: Duration::from_millis(minute_ms), chains }
}

fn from_to(base: &NodeDigest, next: &NodeDigest) -> Vec<u8> {
    write(base.rows(&topic()), next, &topic())
}

fn whole(digest: &NodeDigest) -> Vec<u8> {
    write(&[], digest, &topic())
}

fn read_whole(digest: &NodeDigest) -> ReadDigest {
    let mut out = ReadDigest::default();
    read(&mut out, &whole(digest)).expect("it was just written");
    out
}

fn same(read: &ReadDigest, made: &NodeDigest) -> bool {
    (read.config_revision, read.minute) == (made.config_revision, made.minute)
        && read.rows.iter().map(|(id, row)| (*id, row)).eq(made.rows(&topic()).iter().map(|(id, row)| (*id, row)))
}

proptest! {
    #[test]
    fn differences_lead_from_any_digest_to_any_other(seeds in prop::collection::vec(any::<u64>(), 1..6)) {
        let all: Vec<NodeDigest> = seeds.iter().map(|seed| digest(*seed)).collect();
        let mut held = read_whole(&all[0]);
        prop_assert!(same(&held, &all[0]));
        for pair in all.windows(2) {
            read(&mut held, &from_to(&pair[0], &pair[1])).expect("it was just written");
            prop_assert!(same(&held, &pair[1]));
        }
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_read(seed in any::<u64>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = from_to(&digest(seed), &digest(seed ^ 1));
        let mut held = read_whole(&digest(seed));
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = read(&mut held, &bytes);
        let _ = read(&mut read_whole(&digest(seed)), &bytes[..place]);
        for row in held.rows.values() {
            prop_assert!(row.hour.successes <= CLUSTER_DIGEST_COUNT && row.hour.sum_us <= CLUSTER_DIGEST_NUMBER);
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&mut ReadDigest::default(), &bytes);
        let _ = read(&mut read_whole(&digest(1)), &bytes);
    }
}

#[test]
fn a_difference_to_the_same_is_a_header() {
    let one = digest(7);
    assert!(from_to(&one, &one).len() < 16);
}

#[test]
fn counts_do_not_lead_below_zero_or_above_their_bound() {
    let (less, more) = (digest(3), digest(4));
    let mut held = read_whole(&more);
    // It was made from another digest: somewhere it takes away what is not there.
    assert_eq!(read(&mut held, &from_to(&more, &less)).and_then(|()| read(&mut held, &from_to(&more, &less))), Err(BadDigest));
    let mut huge = row(1, &mut Rng::new(1));
    huge.total.successes = u64::MAX;
    huge.hour.latencies.add(5, &[u64::MAX / 4]);
    let held = read_whole(&with(vec![(1, huge)], 1, 1));
    assert_eq!(held.rows[&1].total.successes, CLUSTER_DIGEST_COUNT, "more is told as that");
}

#[test]
fn later_fields_are_skipped_and_unknown_categories_counted() {
    // The header, one row without changes, and what a later version knows more at the end of each.
    let mut bytes = vec![FORM, 2 + 3, 4, 0, b'n', b'e', b'w'];
    let mut body = Vec::new();
    write_about(&mut body, &DigestAbout::Method("eth_call".into()));
    // A plain number beyond ours; a category beyond ours in the total; nothing else; then something new.
    put_number(&mut body, 1 << (PLAIN + 3));
    put_difference(&mut body, -12);
    body.extend([1, 200]);
    put_difference(&mut body, 6);
    body.extend([0, 0, 0, 0]);
    body.extend(b"later");
    bytes.extend([7, NAMED, body.len() as u8]);
    bytes.extend(&body);
    let mut held = ReadDigest::default();
    assert_eq!(read(&mut held, &bytes), Ok(()));
    assert_eq!((held.config_revision, held.rows[&7].total.of_category(Category::Unknown)), (4, 6));
    bytes[0] = FORM + 1;
    assert_eq!(read(&mut held, &bytes), Err(BadDigest));
}

#[test]
fn rows_that_are_not_there_change_nothing_and_too_many_are_refused() {
    let of = |what: u8| [vec![FORM, 2, 0, 0], vec![9, what, 0]].concat();
    assert_eq!(read(&mut ReadDigest::default(), &of(CHANGES)), Err(BadDigest));
    assert_eq!(read(&mut ReadDigest::default(), &of(GONE)), Err(BadDigest));
    let empty = DigestRow::new(row(1, &mut Rng::new(1)).about);
    let rows = |count: usize| with((0..count as u32).map(|id| (id, empty.clone())).collect(), 1, 1);
    assert_eq!(read_whole(&rows(CLUSTER_DIGEST_ROWS)).rows.len(), CLUSTER_DIGEST_ROWS);
    let many = whole(&rows(CLUSTER_DIGEST_ROWS + 1));
    assert_eq!(read(&mut ReadDigest::default(), &many), Err(BadDigest));
}
