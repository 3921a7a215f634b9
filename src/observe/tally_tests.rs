//! Nothing that is recorded is lost, and an emptied tally is as good as a new one.

use super::*;
use crate::base::rng::Rng;
use crate::observe::buckets;

const HTTP: Transport = Transport::Http;

fn attempted(entry: u32, method: u16, effect: Effect, us: u64) -> Attempted {
    let channel = ChannelId::of(crate::base::ids::InstanceId(entry as u16), HTTP);
    let category = (effect != Effect::Success).then_some(Category::ServerError);
    let latency = Duration::from_micros(us);
    Attempted {
        entry: EntryId(entry),
        channel,
        method: MethodId(method),
        effect,
        category,
        latency,
        is_retry: false,
        is_superseded: false,
    }
}

fn totals(tally: &Tally) -> (u64, u64) {
    let successes: u64 = tally.rows().map(|r| u64::from(r.successes)).sum();
    let buckets: u64 = tally.rows().flat_map(|r| r.buckets().1).map(|n| u64::from(*n)).sum();
    let spilled: u64 = tally.spilled().map(|(_, _, n)| u64::from(n)).sum();
    assert_eq!(successes, buckets + spilled, "every success is in a bucket");
    (successes, tally.rows().map(|r| u64::from(r.others())).sum())
}

#[test]
fn samples_in_are_samples_out_and_a_cleared_tally_is_empty() {
    let (mut tally, mut rng) = (Tally::new(50, 50), Rng::new(1));
    for epoch in 0..20 {
        assert!(tally.is_empty());
        let n = 1 + rng.below(3_000);
        for _ in 0..n {
            let effect = [Effect::Success, Effect::Penalised, Effect::Suspect, Effect::Neutral][rng.below(4) as usize];
            tally.record(&attempted(rng.below(50) as u32, rng.below(70) as u16, effect, rng.below(1 << 27)));
        }
        let (successes, others) = totals(&tally);
        assert_eq!((tally.samples, successes + others), (n, n), "epoch {epoch}");
        let of_channels: u64 = tally.channels().map(|(_, c)| u64::from(c.successes)).sum();
        assert_eq!(of_channels, successes);
        tally.clear();
    }
    assert_eq!(totals(&tally), (0, 0));
}

#[test]
fn a_bucket_that_is_full_spills() {
    let mut tally = Tally::new(1, 1);
    for _ in 0..200_000 {
        tally.record(&attempted(0, 0, Effect::Success, 777));
    }
    assert_eq!(totals(&tally), (200_000, 0));
    let spilled: Vec<_> = tally.spilled().map(|(_, bucket, n)| (bucket, n)).collect();
    assert_eq!(spilled, [(buckets::bucket_of(777), 65_536); 3]);
    tally.clear();
    assert_eq!(tally.spilled().count(), 0);
}

#[test]
fn runs_count_from_the_last_success() {
    let mut tally = Tally::new(1, 1);
    let check = |tally: &mut Tally, effects: &[Effect], want: (u32, u32, u32)| {
        effects.iter().for_each(|effect| tally.record(&attempted(0, 0, *effect, 5)));
        let (_, counts) = tally.channels().next().expect("one channel");
        assert_eq!((counts.successes, counts.penalised, counts.trailing), want, "{effects:?}");
        assert_eq!(tally.rows().next().map(|r| r.trailing), Some(want.2));
        tally.clear();
    };
    let (s, p, q, n) = (Effect::Success, Effect::Penalised, Effect::Suspect, Effect::Neutral);
    check(&mut tally, &[p, p], (0, 2, 2));
    check(&mut tally, &[p, s, p, q, p, n], (1, 3, 2));
    check(&mut tally, &[p, p, s], (1, 2, 0));
    check(&mut tally, &[q, n], (0, 0, 0));
}

#[test]
fn credentials_are_refused_until_a_success() {
    let (mut tally, channel) = (Tally::new(1, 1), ChannelId(0));
    let is_refused = |tally: &Tally| tally.channels().next().map(|(_, c)| c.is_refused);
    tally.refuse(channel);
    assert_eq!(is_refused(&tally), Some(true));
    tally.record(&attempted(0, 0, Effect::Success, 5));
    assert_eq!(is_refused(&tally), Some(false));
    tally.record(&attempted(0, 0, Effect::Success, 5));
    tally.refuse(channel);
    assert_eq!(is_refused(&tally), Some(true));
}

#[test]
fn memory_is_bounded_whatever_is_asked() {
    let mut tally = Tally::new(64, 64);
    for entry in 0..64 {
        for method in 0..40 {
            tally.record(&attempted(entry, method, Effect::Success, 1 << (entry % 26)));
        }
    }
    assert!(tally.heap_bytes() <= 4 << 20, "{} bytes for 64 channels and 40 methods", tally.heap_bytes());
    let mut tally = Tally::new(400, 400);
    for entry in 0..400 {
        for method in 0..method::COUNT as u16 {
            tally.record(&attempted(entry, method, Effect::Success, 9));
        }
    }
    let all = 400 * method::COUNT as u64;
    assert_eq!((tally.samples, tally.homeless), (all, all - limits::TALLY_ROWS as u64));
}

#[test]
fn events_are_bounded_but_permits_are_always_told() {
    let mut tally = Tally::new(1, 1);
    let channel = ChannelId(0);
    for _ in 0..2 * limits::EPOCH_EVENTS {
        tally.tell(Event::Limited { channel, hint_ms: None });
    }
    let ended = Event::TrialEnded { permit: crate::base::ids::PermitId(1), channel, end: crate::observe::report::TrialEnd::Good };
    tally.tell(ended);
    assert_eq!((tally.events.len(), tally.events_dropped as usize), (limits::EPOCH_EVENTS + 1, limits::EPOCH_EVENTS));
    assert_eq!(tally.events.last(), Some(&ended));
}

#[test]
fn a_failure_that_a_success_has_followed_is_counted_and_part_of_no_run() {
    let mut tally = Tally::new(1, 1);
    for (superseded, want) in [(false, (1, 1)), (true, (2, 1)), (false, (3, 2))] {
        tally.record(&Attempted { is_superseded: superseded, ..attempted(0, 0, Effect::Penalised, 5) });
        let (_, counts) = tally.channels().next().expect("one channel");
        assert_eq!((counts.penalised, counts.trailing), want);
        assert_eq!(tally.rows().next().map(|r| (r.penalised, r.trailing)), Some(want));
    }
}
