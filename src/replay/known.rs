//! What a record tells of every provider: what would it have answered to this call, at that time?
//!
//! Nobody can know that of a provider that was not asked. What is known is what it did around that time, so an answer is
//! drawn from there, the nearest evidence first: the same method at the same provider within a quarter of a minute, then
//! within a minute, then whatever else it was asked within a minute (other methods, and our own probes, which go to every
//! provider whatever the strategy), then the same of any time. What comes from other methods is scaled by how much longer
//! this method takes than those, where that was seen at all. A draw and not a mean: strategies are about tails. Few and
//! near rather than many and far: providers change from minute to minute.
//!
//! An outage is evidence of its own. While one lasts hardly anybody calls, so a window over it would hold the good answers of
//! before and after; and its failures in a window beside it would spoil good times. So a run of failures that lasts is taken out of the evidence,
//! and is what is drawn from inside it.
//!
//! It cannot know what the strategy itself changes: a provider that gets more calls may slow down or refuse them. It draws
//! each attempt by itself, so that a bad second of a provider is spread over half a minute.

use crate::base::ids::ChannelId;
use crate::base::rng::Rng;
use crate::observe::category::Class;
use crate::replay::read::{Record, RecordedOutcome, RecordedPlace};
use std::collections::BTreeMap;

/// The same method, nearby: so many at most, and what is too few.
const NEAR_US: u64 = 15_000_000;
const NEAR_SAMPLES: usize = 24;
const NEAR_ENOUGH: usize = 12;
/// The same method, within a minute to each side.
const MINUTE_US: u64 = 60_000_000;
const MINUTE_SAMPLES: usize = 10;
const MINUTE_ENOUGH: usize = 5;
/// Any question, within a minute to each side.
const ANY_SAMPLES: usize = 6;
const ANY_ENOUGH: usize = 3;
/// What is drawn from where nothing is near.
const DISTANT_SAMPLES: usize = 20;
/// So many good answers of a method around a probe can be held against it.
const TELLING_SAMPLES: usize = 5;
/// So many failures in a row, over so long, are an outage.
const OUTAGE_FAILURES: usize = 3;
const OUTAGE_US: u64 = 2_000_000;

/// One attempt that was seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Seen {
    pub took_us: u32,
    pub outcome: RecordedOutcome,
}

/// Where a drawn answer comes from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Basis {
    /// The same method, within a minute.
    Measured,
    /// Other methods or probes within a minute, scaled.
    Scaled,
    /// The same method, at another time.
    Distant,
    /// Other methods or probes, at another time.
    DistantScaled,
}

impl Basis {
    pub const ALL: [Basis; 4] = [Basis::Measured, Basis::Scaled, Basis::Distant, Basis::DistantScaled];

    pub fn words(self) -> &'static str {
        match self {
            Basis::Measured => "calls of the same method within a minute",
            Basis::Scaled => "other methods and probes within a minute",
            Basis::Distant => "calls of the same method at other times",
            Basis::DistantScaled => "other methods and probes at other times",
        }
    }
}

/// What a channel was asked: a method by its place in the record, or one of our probes.
type What = Option<u16>;

#[derive(Clone, Copy, Debug)]
struct Moment {
    at_us: u64,
    what: What,
    seen: Seen,
}

/// A time in which a channel answered nobody.
#[derive(Clone, Debug)]
struct Outage {
    from_us: u64,
    to_us: u64,
    failures: Vec<Moment>,
}

#[derive(Clone, Debug, Default)]
pub struct Known {
    outages: BTreeMap<ChannelId, Vec<Outage>>,
    /// By time, without outages.
    by_method: BTreeMap<(ChannelId, What), Vec<Moment>>,
    by_channel: BTreeMap<ChannelId, Vec<Moment>>,
    /// How much longer a method takes than a probe, as a logarithm.
    effects: BTreeMap<u16, f64>,
}

impl Known {
    pub fn new(record: &Record, channel_of: impl Fn(RecordedPlace) -> Option<ChannelId>) -> Known {
        let mut known = Known::default();
        for call in &record.calls {
            let mut at_us = call.at_us;
            for attempt in &call.attempts {
                let moment =
                    Moment { at_us, what: Some(call.method), seen: Seen { took_us: attempt.took_us, outcome: attempt.outcome } };
                if let Some(channel) = channel_of(attempt.place).filter(|_| attempt.outcome != RecordedOutcome::Nothing) {
                    known.add(channel, moment);
                }
                at_us = at_us.saturating_add(attempt.took_us.into());
            }
        }
        for probe in &record.probes {
            let outcome = match probe.outcome {
                Ok(_) => RecordedOutcome::Answered,
                Err(Some(category)) => RecordedOutcome::Failed(category),
                Err(None) => continue,
            };
            let seen = Seen { took_us: probe.outcome.unwrap_or(0), outcome };
            if let Some(channel) = channel_of(probe.place) {
                known.add(channel, Moment { at_us: probe.at_us, what: None, seen });
            }
        }
        known.by_channel.values_mut().for_each(|list| list.sort_by_key(|moment| moment.at_us));
        known.take_outages_out();
        for (channel, list) in &known.by_channel {
            for moment in list {
                known.by_method.entry((*channel, moment.what)).or_default().push(*moment);
            }
        }
        known.effects = effects(&known.by_method);
        known
    }

    fn add(&mut self, channel: ChannelId, moment: Moment) {
        self.by_channel.entry(channel).or_default().push(moment);
    }

    fn take_outages_out(&mut self) {
        for (channel, list) in &mut self.by_channel {
            let outages = outages(list);
            let is_outside = |moment: &Moment| !outages.iter().any(|outage| outage.holds(moment.at_us));
            list.retain(is_outside);
            self.outages.insert(*channel, outages);
        }
    }

    /// Something was seen of it.
    pub fn knows(&self, channel: ChannelId) -> bool {
        self.by_channel.contains_key(&channel)
    }

    /// What `channel` might have answered. `None`: nothing is known of it.
    pub fn draw(&self, channel: ChannelId, method: u16, at_us: u64, rng: &mut Rng) -> Option<(Seen, Basis)> {
        if let Some(outage) = self.outage(channel, at_us) {
            return pick(&outage.failures, rng).map(|moment| (moment.seen, Basis::Measured));
        }
        let own = self.by_method.get(&(channel, Some(method))).map_or(&[][..], Vec::as_slice);
        let any = self.by_channel.get(&channel).map_or(&[][..], Vec::as_slice);
        let near = nearest(own, at_us, NEAR_SAMPLES, NEAR_US);
        if near.len() >= NEAR_ENOUGH {
            return pick(near, rng).map(|moment| (moment.seen, Basis::Measured));
        }
        let same = nearest(own, at_us, MINUTE_SAMPLES, MINUTE_US);
        if same.len() >= MINUTE_ENOUGH {
            return pick(same, rng).map(|moment| (moment.seen, Basis::Measured));
        }
        let others = nearest(any, at_us, ANY_SAMPLES, MINUTE_US);
        if others.len() >= ANY_ENOUGH {
            return pick(others, rng).map(|moment| (self.scaled(moment, method), Basis::Scaled));
        }
        if own.len() >= MINUTE_ENOUGH {
            return pick(nearest(own, at_us, DISTANT_SAMPLES, u64::MAX), rng).map(|moment| (moment.seen, Basis::Distant));
        }
        let distant = pick(nearest(any, at_us, DISTANT_SAMPLES, u64::MAX), rng);
        if let Some(moment) = distant {
            return Some((self.scaled(moment, method), Basis::DistantScaled));
        }
        // It was never seen to answer.
        let failures = self.outages.get(&channel)?.first()?;
        pick(&failures.failures, rng).map(|moment| (moment.seen, Basis::Distant))
    }

    /// What a probe of ours would have found.
    pub fn draw_probe(&self, channel: ChannelId, at_us: u64, rng: &mut Rng) -> Option<Seen> {
        if let Some(outage) = self.outage(channel, at_us) {
            return pick(&outage.failures, rng).map(|moment| moment.seen);
        }
        let probes = self.by_method.get(&(channel, None)).map_or(&[][..], Vec::as_slice);
        let near = nearest(probes, at_us, ANY_SAMPLES, MINUTE_US);
        let any = self.by_channel.get(&channel).map_or(&[][..], Vec::as_slice);
        let from = if near.is_empty() { nearest(any, at_us, DISTANT_SAMPLES, u64::MAX) } else { near };
        pick(from, rng).map(|moment| moment.seen)
    }

    fn outage(&self, channel: ChannelId, at_us: u64) -> Option<&Outage> {
        self.outages.get(&channel)?.iter().find(|outage| outage.holds(at_us))
    }

    fn scaled(&self, moment: Moment, method: u16) -> Seen {
        let effect = |what: What| what.and_then(|method| self.effects.get(&method)).copied().unwrap_or(0.0);
        let factor = (effect(Some(method)) - effect(moment.what)).exp();
        let is_known = self.effects.contains_key(&method) && moment.what.is_none_or(|what| self.effects.contains_key(&what));
        let took_us = if is_known { (f64::from(moment.seen.took_us) * factor) as u32 } else { moment.seen.took_us };
        Seen { took_us, ..moment.seen }
    }
}

impl Outage {
    fn holds(&self, at_us: u64) -> bool {
        (self.from_us..=self.to_us).contains(&at_us)
    }
}

/// Runs of failures of the provider's own in what was seen of one channel, by time. When one began and ended nobody saw: half-way
/// to the good answers beside it is the best guess.
fn outages(sorted: &[Moment]) -> Vec<Outage> {
    let is_failed = |moment: &Moment| match moment.seen.outcome {
        RecordedOutcome::Failed(category) => matches!(category.class(), Class::ProviderFailure | Class::Quota),
        _ => false,
    };
    let (mut found, mut good_us) = (Vec::<Outage>::new(), None::<u64>);
    let mut open: Option<Outage> = None;
    for run in sorted.chunk_by(|a, b| is_failed(a) == is_failed(b)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if !is_failed(first) {
            if let Some(mut outage) = open.take() {
                outage.to_us += first.at_us.saturating_sub(outage.to_us) / 2;
                found.push(outage);
            }
            good_us = Some(last.at_us);
        } else if run.len() >= OUTAGE_FAILURES && last.at_us - first.at_us >= OUTAGE_US {
            let from_us = good_us.map_or(first.at_us, |good| good + (first.at_us - good) / 2);
            open = Some(Outage { from_us, to_us: last.at_us, failures: run.to_vec() });
        }
    }
    found.extend(open);
    found
}

/// The nearest ones, at most `count` of them and none farther than `reach_us`, half of them before and half after where there are
/// so many.
fn nearest(sorted: &[Moment], at_us: u64, count: usize, reach_us: u64) -> &[Moment] {
    let middle = sorted.partition_point(|moment| moment.at_us < at_us);
    let from = middle.saturating_sub(count / 2).min(sorted.len().saturating_sub(count));
    let some = sorted.get(from..(from + count).min(sorted.len())).unwrap_or(&[]);
    let first = some.partition_point(|moment| moment.at_us < at_us.saturating_sub(reach_us));
    let end = some.partition_point(|moment| moment.at_us <= at_us.saturating_add(reach_us));
    some.get(first..end).unwrap_or(&[])
}

fn pick(from: &[Moment], rng: &mut Rng) -> Option<Moment> {
    from.get(rng.below(from.len() as u64) as usize).copied()
}

/// For each method, the median over all probes of ln(the median of its calls around the probe / the probe). Beside each other in
/// time, because a provider's medians over hours say more of its changes than of the method.
fn effects(by_method: &BTreeMap<(ChannelId, What), Vec<Moment>>) -> BTreeMap<u16, f64> {
    let mut ratios: BTreeMap<u16, Vec<f64>> = BTreeMap::new();
    for ((channel, what), calls) in by_method {
        let (Some(method), Some(probes)) = (what, by_method.get(&(*channel, None))) else { continue };
        let is_good = |moment: &&Moment| moment.seen.outcome == RecordedOutcome::Answered;
        for probe in probes.iter().filter(is_good) {
            let near: Vec<u32> = nearest(calls, probe.at_us, NEAR_SAMPLES, NEAR_US)
                .iter()
                .filter(is_good)
                .map(|moment| moment.seen.took_us)
                .collect();
            if near.len() >= TELLING_SAMPLES
                && let Some(median) = median(near.into_iter().map(f64::from).collect())
            {
                ratios.entry(*method).or_default().push((median.max(1.0) / f64::from(probe.seen.took_us).max(1.0)).ln());
            }
        }
    }
    ratios.into_iter().filter_map(|(method, all)| Some((method, median(all)?))).collect()
}

/// The mean of the two in the middle where there are two.
fn median(mut all: Vec<f64>) -> Option<f64> {
    all.sort_by(f64::total_cmp);
    let above = all.get(all.len() / 2)?;
    let below = all.get(all.len().checked_sub(1)? / 2)?;
    Some(below.midpoint(*above))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{InstanceId, Transport};
    use crate::replay::read::tests::{call_line, record};

    fn channel(place: RecordedPlace) -> Option<ChannelId> {
        Some(ChannelId::of(InstanceId(place.provider), place.transport))
    }

    fn call(at_s: u64, method: &str, provider: &str, us: u64) -> String {
        let attempts = format!(r#","attempts":[{{"provider":"{provider}","over":"http","us":{us},"outcome":"ok"}}]"#);
        call_line(at_s * 1_000_000, method, &attempts)
    }

    fn probe(at_s: u64, provider: &str, us: u64) -> String {
        format!(
            r#"{{"at_us":{},"probe":["default","main","{provider}"],"over":"http","us":{us},"outcome":"ok"}}"#,
            at_s * 1_000_000
        )
    }

    fn known(lines: &[String]) -> (Record, Known) {
        let record = record(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let known = Known::new(&record, channel);
        (record, known)
    }

    fn drawn(known: &Known, provider: u16, method: u16, at_s: u64) -> Option<(u32, Basis)> {
        let channel = ChannelId::of(InstanceId(provider), Transport::Http);
        known.draw(channel, method, at_s * 1_000_000, &mut Rng::new(1)).map(|(seen, basis)| (seen.took_us, basis))
    }

    /// Provider a is called; of b there are probes only, and calls take three times as long as probes.
    #[test]
    fn the_nearest_evidence_is_drawn_from() {
        let mut lines: Vec<String> = (0..600).map(|n| call(n, "eth_call", "a", if n < 300 { 3_000 } else { 6_000 })).collect();
        lines.extend((0..50).map(|n| probe(n * 12, "a", if n < 25 { 1_000 } else { 2_000 })));
        lines.extend((0..50).map(|n| probe(n * 12, "b", if n < 25 { 10_000 } else { 500 })));
        let (_, known) = known(&lines);
        assert_eq!(drawn(&known, 0, 0, 100), Some((3_000, Basis::Measured)));
        assert_eq!(drawn(&known, 0, 0, 500), Some((6_000, Basis::Measured)));
        // 6 ms or 3 ms to 2 ms or 1 ms.
        let (us, basis) = drawn(&known, 1, 0, 100).expect("known by its probes");
        assert!((29_000..=31_000).contains(&us) && basis == Basis::Scaled, "{us}");
        let (us, _) = drawn(&known, 1, 0, 500).expect("known by its probes");
        assert!((1_450..=1_550).contains(&us), "{us}");
        // Long after the last of them.
        assert_eq!(drawn(&known, 0, 0, 9_000), Some((6_000, Basis::Distant)));
        assert_eq!(drawn(&known, 1, 0, 9_000).map(|(_, basis)| basis), Some(Basis::DistantScaled));
        assert_eq!(drawn(&known, 2, 0, 100), None);
    }

    /// Gone for half a minute, in which three calls and two probes found that out.
    #[test]
    fn an_outage_is_neither_outvoted_nor_spread() {
        let failed = |at_s: u64| call(at_s, "eth_call", "a", 9).replace("\"ok\"", "\"network_error\"");
        let mut lines: Vec<String> =
            (0..300).filter(|n| !(100..130).contains(n)).map(|n| call(n, "eth_call", "a", 3_000)).collect();
        lines.extend([100, 101, 102, 112, 124].map(failed));
        // One that fails alone is no outage.
        lines.push(failed(50));
        let (_, known) = known(&lines);
        for at_s in [100, 110, 118, 124, 126] {
            assert_eq!(drawn(&known, 0, 0, at_s), Some((9, Basis::Measured)), "{at_s}");
        }
        let channel = ChannelId::of(InstanceId(0), Transport::Http);
        let mut rng = Rng::new(1);
        let mut failures = |at_s: u64| {
            (0..400)
                .filter(|_| known.draw(channel, 0, at_s * 1_000_000, &mut rng).is_some_and(|(seen, _)| seen.took_us == 9))
                .count()
        };
        assert_eq!((failures(95), failures(135)), (0, 0));
        assert!((5..=40).contains(&failures(50)), "one in 24");
    }

    #[test]
    fn windows_are_cut_where_they_should_be() {
        let moment = |at_us| Moment { at_us, what: None, seen: Seen { took_us: 1, outcome: RecordedOutcome::Answered } };
        let list: Vec<Moment> = (0..100).map(|n| moment(n * 10)).collect();
        let check = |got: &[Moment], want: (u64, u64, usize)| {
            assert_eq!((got[0].at_us, got[got.len() - 1].at_us, got.len()), want);
        };
        check(nearest(&list, 500, 20, 20), (480, 520, 5));
        check(nearest(&list, 0, 20, 20), (0, 20, 3));
        check(nearest(&list, 0, 20, u64::MAX), (0, 190, 20));
        check(nearest(&list, 500, 20, u64::MAX), (400, 590, 20));
        check(nearest(&list, 99_999, 20, u64::MAX), (800, 990, 20));
        assert!(nearest(&[], 5, 20, 9).is_empty() && nearest(&list, 5_000, 20, 10).is_empty());
    }
}
