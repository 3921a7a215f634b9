//! When each channel of a chain is probed.
//!
//! A healthy one is due every interval, whatever the number of channels; among the due, the one that has waited longest goes
//! first. Failing ones back off, but the first failure is looked into at once: most are over by then. One that calls wait for,
//! or that is suspected of something, is asked every second, but never before the moment that it named itself, and ever less
//! often where it refuses our credentials and no call can find that it takes them again. First probes come one by one, a moment
//! apart, because the first calls of clients are ranked by them; later ones keep that distance. Few channels stay close together
//! on purpose: heights that were asked for at one moment can be compared without knowing how fast the chain is.
//! Rejected: one channel a tick, by which three hundred channels were asked every minute instead of every twelve seconds.

use crate::base::ids::ChannelId;
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// How a probe ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeEnd {
    Ok,
    Failed,
    /// It is on another chain than configured.
    WrongChain,
    /// Our credentials were refused.
    Auth,
    Limited {
        retry_after_ms: Option<u64>,
    },
    /// It could not be asked, for a reason of ours.
    Unasked,
}

/// Waits in seconds after one, two, ... failures in a row.
const BACKOFF_S: [u64; 6] = [0, 2, 4, 8, 16, 30];

/// Whether a channel's next probe may wait for its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Urgency {
    Usual,
    /// Calls have nobody else, or what it is suspected of is to be decided.
    Urgent,
    /// Calls have nobody else, and none reaches it because it was last seen on another chain: only a probe finds it well again.
    Unreached,
    /// It had refused our credentials and has served a call since.
    Back,
}

#[derive(Clone, Copy, Debug)]
struct Probed {
    channel: ChannelId,
    interval_ms: u64,
    due: Instant,
    ended: Instant,
    /// It said itself when it wants to be asked again: urgency changes nothing before.
    not_before: Instant,
    /// A probe is under way.
    is_out: bool,
    /// How often in a row our credentials were refused.
    refusals: u32,
    failures: u32,
}

#[derive(Clone, Debug)]
pub struct Schedule {
    all: Vec<Probed>,
}

impl Schedule {
    /// `channels` with their intervals; first probes come one by one, and never after the first interval.
    pub fn new(channels: &[(ChannelId, u64)], now: Instant) -> Schedule {
        let count = channels.len().max(1) as u64;
        let first = |(place, (channel, interval_ms)): (usize, &(ChannelId, u64))| {
            let spread_ms = (count * limits::PROBE_GAP_MS).min(*interval_ms);
            let due = now.plus_ms(spread_ms * place as u64 / count);
            Probed {
                channel: *channel,
                interval_ms: *interval_ms,
                due,
                ended: now,
                not_before: Instant::ZERO,
                is_out: false,
                refusals: 0,
                failures: 0,
            }
        };
        Schedule { all: channels.iter().enumerate().map(first).collect() }
    }

    /// A channel to probe now, if one is due; it counts as asked.
    pub fn next(&mut self, now: Instant, urgency: impl Fn(ChannelId) -> Urgency) -> Option<ChannelId> {
        let soon = |p: &Probed| p.due.min(p.ended.plus_ms(limits::PROBE_URGENT_MS));
        let due = |p: &Probed| match urgency(p.channel) {
            Urgency::Usual => p.due,
            Urgency::Urgent => soon(p).max(p.not_before),
            Urgency::Unreached if p.refusals > 0 => p.ended.plus_ms(refused_ms(p.refusals)),
            Urgency::Unreached => soon(p).max(p.not_before),
            Urgency::Back => soon(p),
        };
        let waiting = self.all.iter_mut().filter(|p| !p.is_out && due(p) <= now);
        let chosen = waiting.min_by_key(|p| due(p))?;
        chosen.is_out = true;
        Some(chosen.channel)
    }

    /// A probe of `channel` begins out of its turn; `false` while one is under way.
    pub fn begin(&mut self, channel: ChannelId) -> bool {
        self.all.iter_mut().find(|p| p.channel == channel).is_some_and(|p| !std::mem::replace(&mut p.is_out, true))
    }

    /// Its last probe was turned away for our credentials.
    pub fn was_refused(&self, channel: ChannelId) -> bool {
        self.all.iter().any(|p| p.channel == channel && p.refusals > 0)
    }

    /// The probe of `channel` ended.
    pub fn on_end(&mut self, channel: ChannelId, end: ProbeEnd, now: Instant, rng: &mut Rng) {
        let Some(probed) = self.all.iter_mut().find(|p| p.channel == channel) else { return };
        (probed.is_out, probed.ended) = (false, now);
        probed.refusals = if end == ProbeEnd::Auth { probed.refusals.saturating_add(1) } else { 0 };
        probed.failures = match end {
            ProbeEnd::Ok => 0,
            ProbeEnd::Failed | ProbeEnd::WrongChain => probed.failures.saturating_add(1),
            ProbeEnd::Auth | ProbeEnd::Limited { .. } | ProbeEnd::Unasked => probed.failures,
        };
        let wait_ms = match end {
            ProbeEnd::Ok => probed.interval_ms,
            ProbeEnd::Failed | ProbeEnd::WrongChain => backoff_ms(probed.failures, rng),
            ProbeEnd::Unasked => limits::PROBE_URGENT_MS,
            ProbeEnd::Auth => limits::PROBE_AUTH_MS,
            ProbeEnd::Limited { retry_after_ms } => retry_after_ms.unwrap_or(limits::COOLDOWN_MS).max(limits::PROBE_URGENT_MS),
        };
        probed.due = now.plus_ms(wait_ms);
        let is_told = matches!(end, ProbeEnd::Auth | ProbeEnd::Limited { .. });
        probed.not_before = if is_told { probed.due } else { Instant::ZERO };
    }
}

/// How long after so many refusals of our credentials one that no call reaches is asked again: whoever keeps saying no is not
/// asked every second.
fn refused_ms(refusals: u32) -> u64 {
    (limits::TRIAL_PAUSE_MS << refusals.saturating_sub(1).min(16)).min(limits::PROBE_AUTH_MS)
}

/// By failures in a row, ±20 %.
fn backoff_ms(failures: u32, rng: &mut Rng) -> u64 {
    let place = (failures.saturating_sub(1) as usize).min(BACKOFF_S.len() - 1);
    let full_ms = Duration::from_secs(BACKOFF_S.get(place).copied().unwrap_or(30)).as_millis() as u64;
    full_ms * (80 + rng.below(41)) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::ZERO.plus_ms(ms)
    }

    #[test]
    fn waits_follow_the_table() {
        let check = |ends: &[ProbeEnd], want_ms: std::ops::RangeInclusive<u64>| {
            for seed in 0..50 {
                let (mut schedule, mut rng) = (Schedule::new(&[(ChannelId(3), 12_000)], at(0)), Rng::new(seed));
                let mut now = at(0);
                for end in ends {
                    now = schedule.all[0].due.max(now);
                    assert_eq!(schedule.next(now, |_| Urgency::Usual), Some(ChannelId(3)));
                    assert_eq!(schedule.next(now, |_| Urgency::Usual), None, "one probe of a channel at a time");
                    schedule.on_end(ChannelId(3), *end, now, &mut rng);
                }
                let wait = schedule.all[0].due.since(now).as_millis() as u64;
                assert!(want_ms.contains(&wait), "{ends:?}: {wait}");
            }
        };
        let f = ProbeEnd::Failed;
        check(&[ProbeEnd::Ok], 12_000..=12_000);
        check(&[f], 0..=0);
        check(&[f, f], 1_600..=2_400);
        check(&[f, f, f], 3_200..=4_800);
        check(&[f, f, f, ProbeEnd::WrongChain], 6_400..=9_600);
        check(&[f; 5], 12_800..=19_200);
        check(&[f; 6], 24_000..=36_000);
        check(&[f; 60], 24_000..=36_000);
        check(&[f, f, f, ProbeEnd::Ok, f], 0..=0);
        check(&[ProbeEnd::Auth], 120_000..=120_000);
        check(&[ProbeEnd::Limited { retry_after_ms: None }], 30_000..=30_000);
        check(&[ProbeEnd::Limited { retry_after_ms: Some(90_000) }], 90_000..=90_000);
        check(&[ProbeEnd::Limited { retry_after_ms: Some(5_000) }], 5_000..=5_000);
    }

    #[test]
    fn none_begins_out_of_turn_while_one_is_under_way() {
        let (mut schedule, mut rng) = (Schedule::new(&[(ChannelId(3), 12_000)], at(0)), Rng::new(1));
        assert!(!schedule.begin(ChannelId(4)), "not one of ours");
        assert_eq!(schedule.next(at(0), |_| Urgency::Usual), Some(ChannelId(3)));
        assert!(!schedule.begin(ChannelId(3)));
        schedule.on_end(ChannelId(3), ProbeEnd::Ok, at(60), &mut rng);
        assert!(schedule.begin(ChannelId(3)));
        assert!(!schedule.begin(ChannelId(3)));
        assert_eq!(schedule.next(at(99_000), |_| Urgency::Urgent), None);
    }

    #[test]
    fn an_urgent_one_is_asked_every_second() {
        let (mut schedule, mut rng) = (Schedule::new(&[(ChannelId(3), 60_000)], at(0)), Rng::new(1));
        let mut now = at(0);
        for _ in 0..9 {
            assert_eq!(schedule.next(now, |_| Urgency::Usual), Some(ChannelId(3)));
            schedule.on_end(ChannelId(3), ProbeEnd::Failed, now, &mut rng);
            now = schedule.all[0].due.max(now);
        }
        let ended = schedule.all[0].ended;
        let wait = now.since(ended).as_millis() as u64;
        assert!(wait > 20_000, "{wait}");
        assert_eq!(schedule.next(ended.plus_ms(limits::PROBE_URGENT_MS), |_| Urgency::Usual), None);
        assert_eq!(schedule.next(ended.plus_ms(limits::PROBE_URGENT_MS - 1), |_| Urgency::Urgent), None);
        assert_eq!(schedule.next(ended.plus_ms(limits::PROBE_URGENT_MS), |_| Urgency::Urgent), Some(ChannelId(3)));
    }

    /// Urgency never overrides what a provider said; that it has served a call since does.
    #[test]
    fn what_a_provider_said_is_heeded() {
        let check = |end: ProbeEnd, urgency: Urgency, want_ms: u64| {
            let (mut schedule, mut rng) = (Schedule::new(&[(ChannelId(3), 60_000)], at(0)), Rng::new(1));
            assert!(schedule.begin(ChannelId(3)));
            schedule.on_end(ChannelId(3), end, at(0), &mut rng);
            assert_eq!(schedule.next(at(want_ms - 1), |_| urgency), None, "{end:?} {urgency:?}");
            assert_eq!(schedule.next(at(want_ms), |_| urgency), Some(ChannelId(3)), "{end:?} {urgency:?}");
        };
        let limited = ProbeEnd::Limited { retry_after_ms: Some(20_000) };
        check(limited, Urgency::Urgent, 20_000);
        check(limited, Urgency::Usual, 20_000);
        check(ProbeEnd::Auth, Urgency::Urgent, limits::PROBE_AUTH_MS);
        check(ProbeEnd::Auth, Urgency::Unreached, limits::TRIAL_PAUSE_MS);
        check(limited, Urgency::Unreached, 20_000);
        check(ProbeEnd::Auth, Urgency::Back, limits::PROBE_URGENT_MS);
    }

    #[test]
    fn whoever_keeps_refusing_our_credentials_is_asked_ever_less_often() {
        let waits = [1, 2, 3, 6, 7, 8, u32::MAX].map(refused_ms);
        assert_eq!(waits, [2_000, 4_000, 8_000, 64_000, 120_000, 120_000, 120_000]);
        let (mut schedule, mut rng) = (Schedule::new(&[(ChannelId(3), 60_000)], at(0)), Rng::new(1));
        let mut now = at(0);
        assert!(schedule.begin(ChannelId(3)));
        let ends = [(ProbeEnd::Auth, 2_000), (ProbeEnd::Auth, 4_000), (ProbeEnd::WrongChain, 1_000), (ProbeEnd::Auth, 2_000)];
        for (end, wait_ms) in ends {
            schedule.on_end(ChannelId(3), end, now, &mut rng);
            let soonest = schedule.all[0].due.min(now.plus_ms(wait_ms));
            assert_eq!(schedule.next(Instant(soonest.0 - 1), |_| Urgency::Unreached), None, "{end:?}");
            now = now.plus_ms(wait_ms);
            assert_eq!(schedule.next(now, |_| Urgency::Unreached), Some(ChannelId(3)), "{end:?}");
        }
    }

    #[test]
    fn a_thousand_channels_are_as_fresh_as_ten_and_come_evenly() {
        for count in [10u16, 1_000] {
            let channels: Vec<(ChannelId, u64)> = (0..count).map(|n| (ChannelId(n), 12_000)).collect();
            let (mut schedule, mut rng) = (Schedule::new(&channels, at(0)), Rng::new(1));
            let (mut seen, mut most) = (vec![0u32; usize::from(count)], 0);
            for tick in 1..=60_000 / limits::PROBE_TICK_MS {
                let now = at(tick * limits::PROBE_TICK_MS);
                let mut in_tick = 0;
                while let Some(channel) = schedule.next(now, |_| Urgency::Usual) {
                    seen[usize::from(channel.0)] += 1;
                    in_tick += 1;
                    schedule.on_end(channel, ProbeEnd::Ok, now, &mut rng);
                }
                most = most.max(in_tick);
            }
            assert!(seen.iter().all(|n| (5..=6).contains(n)), "{seen:?}");
            assert!(most <= 3 + count / 40, "{most} of {count} in one tick");
        }
    }
}
