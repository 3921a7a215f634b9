//! How high each provider of a chain is, how high the chain is, and who lags (docs/behaviour/health.md#heights).
//!
//! The chain's height is the one a quarter from the top of the fresh reports. A liar must not raise it, or every honest
//! provider would lag: a height well above what the past allows needs a witness, that is a second provider near it or a
//! block of that height served. The past is the previous consensus and twice the usual pace since it moved; leaps within
//! the slack do not move it, so small lies do not add up. There is no past until two providers have agreed once, or one has
//! served its block: the first to speak may lie too. Where nothing counts (before that, a fast chain whose block time is
//! not known yet, a sole provider after a pause), the second highest report holds, or the only one, and so a height that
//! rests on one word ranks nobody. Reports of different times are near when the later one is where the earlier provider
//! may be by then.
//! Whoever serves another chain has blocks of every height, so a block of its own is no proof against two others that agree
//! on less: then it must be on their chain too, by the hash that its chain has at a height of theirs (`control` compares
//! them), or the past must rest on more than such a block. One against one, its own block is enough.
//! One that was found on another chain than two others, by that hash, is apart for as long as it is above them like that.
//! Rejected: the median (trails fast chains), trust by reputation (a liar is honest until it lies), the word of two alone (both
//! may be stuck behind one upstream, and the one that is right would be disbelieved for as long).
//! How it fails: one that lies at up to twice the pace is followed; a stuck provider holds a lone honest one back until
//! that one has served a block; one that passes on the true chain and invents blocks above it is on the others' chain; while
//! two agree on a block that the chain has dropped, a third that is right and far ahead is not believed.

use std::collections::BTreeMap;

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::{Duration, Instant};

/// Weight of a new block-time sample (docs/behaviour/health.md#block-time).
const ALPHA: f64 = 0.15;

#[derive(Clone, Copy, Debug)]
struct Head {
    height: u64,
    at: Instant,
    /// When it came to that height.
    rose: Instant,
    /// Highest block whose content it has served, never above `height`'s last fall.
    served: Option<u64>,
    /// The same, of a chain on which another provider is too.
    shared: Option<u64>,
    /// Where it had another block than two others that agree.
    forked: Option<u64>,
    /// An episode of lag has been told.
    alerted: bool,
}

/// The consensus that a new height is held against.
#[derive(Clone, Copy, Debug)]
struct Past {
    height: u64,
    /// When it came to that height.
    at: Instant,
    /// It rests on more than one provider's word and blocks.
    is_firm: bool,
}

/// Heights of one chain's instances. Rows are made on demand; an instance too many takes the place of the stalest.
#[derive(Clone, Debug)]
pub struct Heads {
    rows: BTreeMap<InstanceId, Head>,
    past: Option<Past>,
    pace: Pace,
}

/// An episode of lag begins, or is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Alert {
    Lags { blocks: u64 },
    CaughtUp,
}

/// What a fork comes to, in words.
pub fn forked_at(height: u64) -> String {
    format!("it follows another fork than two others, which agree: its block {height} is not theirs")
}

/// A fresh report of a height.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Claim {
    height: u64,
    /// The instance has served the block of that height.
    is_served: bool,
    /// So it has, and it is on the chain of another one.
    is_shared: bool,
    at: Instant,
}

/// What speaks for a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Support {
    /// Nothing but what its own provider says and serves, and two others agree on less.
    Outvoted,
    /// What its own provider says.
    Word,
    /// Its provider has served that block.
    Block,
    /// Another provider is near it, or on the same chain.
    Others,
}

impl Heads {
    pub fn new(configured_block_time_ms: Option<u64>) -> Heads {
        let usual_ms = configured_block_time_ms.filter(|ms| *ms > 0).unwrap_or(limits::BLOCK_TIME_MS);
        Heads { rows: BTreeMap::new(), past: None, pace: Pace { usual_ms, ema_ms: 0.0, samples: 0 } }
    }

    /// A poll or a new head. A lower height replaces a higher one (reorg, restarted node); the same one is fresh again.
    pub fn on_head(&mut self, instance: InstanceId, height: u64, now: Instant) {
        let mut risen = None;
        match self.rows.get_mut(&instance) {
            Some(head) => {
                if height < head.height {
                    head.served = head.served.map(|served| served.min(height));
                    head.shared = head.shared.map(|shared| shared.min(height));
                    head.forked = None;
                }
                if height != head.height {
                    let blocks = height.checked_sub(head.height);
                    risen = blocks.map(|blocks| (now.since(head.rose), blocks));
                    head.rose = now;
                }
                (head.height, head.at) = (height, now);
            }
            None => {
                self.make_room();
                self.rows.insert(
                    instance,
                    Head { height, at: now, rose: now, served: None, shared: None, forked: None, alerted: false },
                );
            }
        }
        if let Some((elapsed, blocks)) = risen {
            self.pace.sample(elapsed.as_secs_f64() * 1e3 / blocks as f64);
        }
        self.settle(now);
    }

    fn make_room(&mut self) {
        if self.rows.len() < limits::INSTANCES {
            return;
        }
        let stalest = self.rows.iter().min_by_key(|(_, head)| head.at).map(|(instance, _)| *instance);
        if let Some(stalest) = stalest {
            self.rows.remove(&stalest);
        }
    }

    /// It has served the content of that block, so a lone report of the height is true where no two others agree on less.
    /// `is_shared`: it also has a block that another provider has, at that one's height. Nothing if it reported none.
    pub fn on_served(&mut self, instance: InstanceId, height: u64, is_shared: bool, now: Instant) {
        let Some(head) = self.rows.get_mut(&instance) else { return };
        head.served = head.served.max(Some(height));
        if is_shared {
            head.shared = head.shared.max(Some(height));
            head.forked = None;
        }
        self.settle(now);
    }

    /// At `height` it has another block than two others, which agree. Nothing if it reported no height.
    pub fn on_forked(&mut self, instance: InstanceId, height: u64) {
        if let Some(head) = self.rows.get_mut(&instance) {
            (head.forked, head.shared) = (Some(height), None);
        }
    }

    /// It follows another chain than two others that agree, which differs from theirs at this height: while it is far above
    /// them and nobody near it speaks for it.
    pub fn forked(&self, instance: InstanceId, now: Instant) -> Option<u64> {
        let head = self.rows.get(&instance)?;
        let at = head.forked?;
        let reports = self.fresh(now);
        let place = reports.iter().position(|claim| claim.height == head.height && claim.at == head.at)?;
        (self.support(&reports, place) == Support::Outvoted).then_some(at)
    }

    /// The chain's height; `None` without a fresh report.
    pub fn consensus(&self, now: Instant) -> Option<u64> {
        let reports = self.fresh(now);
        let counted: Vec<u64> = (0..reports.len())
            .filter_map(|place| reports.get(place).map(|claim| (claim.height, self.support(&reports, place))))
            .filter(|(height, support)| match support {
                Support::Block | Support::Others => true,
                Support::Word => self.is_expected(*height, now),
                Support::Outvoted => self.past.is_some_and(|past| past.is_firm) && self.is_expected(*height, now),
            })
            .map(|(height, _)| height)
            .collect();
        let alone = || reports.get(1).or(reports.first()).map(|claim| claim.height);
        counted.get(counted.len() / 4).copied().or_else(alone)
    }

    /// Fresh reports, the highest first.
    fn fresh(&self, now: Instant) -> Vec<Claim> {
        let is_fresh = |head: &&Head| now.since(head.at) <= Duration::from_millis(limits::HEAD_FRESH_MS);
        let report = |head: &Head| {
            let reaches = |height: Option<u64>| height.is_some_and(|height| height >= head.height);
            Claim { height: head.height, is_served: reaches(head.served), is_shared: reaches(head.shared), at: head.at }
        };
        let mut reports: Vec<Claim> = self.rows.values().filter(is_fresh).map(report).collect();
        reports.sort_unstable_by(|a, b| b.cmp(a));
        reports
    }

    /// The past allows it.
    fn is_expected(&self, height: u64, now: Instant) -> bool {
        let reach = |past: Past| self.pace.reach(past.height, past.at, now).saturating_add(limits::HEAD_SLACK_BLOCKS);
        self.past.is_some_and(|past| height <= reach(past))
    }

    fn support(&self, reports: &[Claim], place: usize) -> Support {
        let Some(claim) = reports.get(place) else { return Support::Word };
        let mut others = reports.iter().enumerate().filter(|(other, _)| *other != place);
        if claim.is_shared || others.any(|(_, other)| self.are_near(claim, other)) {
            return Support::Others;
        }
        // Nobody is near it, so whoever is below is far below; of two that agree there are two next to each other that do.
        let below = reports.get(place + 1..).unwrap_or_default();
        if below.windows(2).any(|pair| matches!(pair, [high, low] if self.are_near(low, high))) {
            return Support::Outvoted;
        }
        if claim.is_served { Support::Block } else { Support::Word }
    }

    fn are_near(&self, one: &Claim, other: &Claim) -> bool {
        let (low, high) = if one.height <= other.height { (one, other) } else { (other, one) };
        high.height <= self.pace.reach(low.height, low.at, high.at).saturating_add(limits::HEAD_SLACK_BLOCKS)
    }

    /// Moves the past after an event.
    fn settle(&mut self, now: Instant) {
        let reports = self.fresh(now);
        let supported = |wanted: &[Support]| {
            let place = (0..reports.len()).find(|place| wanted.contains(&self.support(&reports, *place)));
            place.and_then(|place| reports.get(place)).map(|claim| claim.height)
        };
        let (agreed, shared) = (supported(&[Support::Block, Support::Others]), supported(&[Support::Others]));
        let Some(past) = self.past else {
            self.past = agreed.map(|height| Past { height, at: now, is_firm: shared >= Some(height) });
            return;
        };
        let Some(height) = self.consensus(now) else { return };
        let is_usual = height <= self.pace.reach(past.height, past.at, now);
        let is_firm = shared >= Some(height) || (past.is_firm && is_usual);
        if height == past.height {
            self.past = Some(Past { is_firm, ..past });
        } else if agreed >= Some(height) || is_usual {
            self.past = Some(Past { height, at: now, is_firm });
        }
    }

    /// Its last report, and when that was.
    pub fn height(&self, instance: InstanceId) -> Option<(u64, Instant)> {
        self.rows.get(&instance).map(|head| (head.height, head.at))
    }

    /// Where it probably is by now: its report and the blocks that usually came since, of 30 seconds at most
    /// (docs/behaviour/health.md#lag).
    pub fn optimistic(&self, instance: InstanceId, now: Instant) -> Option<u64> {
        let head = self.rows.get(&instance)?;
        let elapsed = now.since(head.at).min(Duration::from_millis(limits::HEAD_FRESH_MS));
        Some(head.height.saturating_add(self.pace.blocks_in(elapsed)))
    }

    /// Blocks from the consensus to its optimistic height; negative is behind.
    pub fn lag(&self, instance: InstanceId, now: Instant) -> Option<i64> {
        let (own, consensus) = (self.optimistic(instance, now)?, self.consensus(now)?);
        let distance = i64::try_from(own.abs_diff(consensus)).unwrap_or(i64::MAX);
        Some(if own < consensus { -distance } else { distance })
    }

    /// Time between blocks: measured, else configured, else 12 s.
    pub fn block_time(&self) -> Duration {
        self.pace.block_time()
    }

    /// Exactly when it has come to lag `threshold` blocks (at least one), and when it is back.
    /// While its lag is unknown the episode goes on.
    pub fn alert(&mut self, instance: InstanceId, threshold: u64, now: Instant) -> Option<Alert> {
        let lag = self.lag(instance, now)?;
        let head = self.rows.get_mut(&instance)?;
        let lags = lag < 0 && lag.unsigned_abs() >= threshold;
        match (std::mem::replace(&mut head.alerted, lags), lags) {
            (false, true) => Some(Alert::Lags { blocks: lag.unsigned_abs() }),
            (true, false) => Some(Alert::CaughtUp),
            (false, false) | (true, true) => None,
        }
    }
}

/// How fast the chain grows: from each provider's own reports, of which one poll knows both the blocks and the time. (Between
/// moves of the consensus, which is made of several providers' polls, the times belong to other blocks than were counted:
/// on a chain of 2 s polled every 12 s that gave up to 4 s, and healthy providers lagged.)
#[derive(Clone, Copy, Debug)]
struct Pace {
    usual_ms: u64,
    ema_ms: f64,
    samples: u32,
}

impl Pace {
    fn block_time(&self) -> Duration {
        if self.samples < limits::BLOCK_TIME_SAMPLES {
            return Duration::from_millis(self.usual_ms);
        }
        Duration::from_nanos((self.ema_ms * 1e6).round() as u64)
    }

    fn blocks_in(&self, elapsed: Duration) -> u64 {
        let blocks = elapsed.as_nanos() / self.block_time().as_nanos().max(1);
        u64::try_from(blocks).unwrap_or(u64::MAX)
    }

    /// The height that twice the usual pace has come to since it was `height` at `at`.
    fn reach(&self, height: u64, at: Instant, now: Instant) -> u64 {
        height.saturating_add(self.blocks_in(now.since(at).saturating_mul(2)))
    }

    fn sample(&mut self, ms: f64) {
        if !(limits::BLOCK_TIME_MIN_MS..=limits::BLOCK_TIME_MAX_MS).contains(&ms) {
            return;
        }
        self.ema_ms = if self.samples == 0 { ms } else { self.ema_ms + ALPHA * (ms - self.ema_ms) };
        self.samples = self.samples.saturating_add(1);
    }
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
