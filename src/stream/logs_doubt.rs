//! What an answer about a block's logs is worth beside what others have said of it.
//!
//! What an answer proves by itself is `proof`'s to say. Here is what follows for the question: who must say it too, for how long,
//! and whether all of the block's logs are asked for next. Rejected: one rule for every doubt (a log that the bloom excludes and one that
//! it misses are of different worth: the first may be invented, the second lost by all who were asked).
//! How it fails: two that say the same are believed where the bloom proves nothing.

use super::*;

/// An answer that was not sure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opinion {
    pub(super) by: InstanceId,
    /// The same for answers that name the same logs.
    pub(super) print: u64,
    pub(super) count: usize,
    pub(super) has_logs: bool,
    /// It was asked for all logs.
    pub(super) is_of_all: bool,
    pub(super) at: Instant,
}

/// A block's logs are asked for: from `due` on, or under way with this filter.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenQuestion {
    pub(super) due: Option<Instant>,
    pub(super) filter: Option<LogFilter>,
    pub(super) opinions: Vec<Opinion>,
    pub(super) may_repeat: bool,
    /// There is one provider: what it says again and again is all that can be had.
    pub(super) is_only: bool,
    /// All logs can be held against the bloom: an answer to less was too doubtful.
    pub(super) wants_all: bool,
    /// So often that was refused; and nobody gives them, so what answers to less say is all that can be had.
    pub(super) refusals: u32,
    pub(super) has_no_all: bool,
    pub(super) failures: u32,
    /// What was kept of a block that is to be taken back, and how much of that was told.
    pub(super) kept: Option<(Vec<Log>, usize)>,
}

impl OpenQuestion {
    /// What an answer proves beside what others have said.
    pub(super) fn in_context(&self, proof: Proof, is_bare: bool) -> Proof {
        match proof {
            // A header without a bloom and an answer without logs, and yet somebody has some.
            Proof::Whole if is_bare && self.opinions.iter().any(|opinion| opinion.has_logs) => Proof::Unsure,
            Proof::Lacking if self.has_no_all => Proof::Unsure,
            proof => proof,
        }
    }

    /// What is unsure counts as soon as it is confirmed. What the bloom contradicts does so when two say it; where there may be
    /// others it takes its time, and where there are none one is enough.
    pub(super) fn is_settled(&self, opinion: &Opinion, proof: Proof, is_old: bool) -> bool {
        self.is_confirmed(opinion)
            && match proof {
                Proof::Whole | Proof::Unsure => true,
                Proof::Exceeding => self.is_only || self.has_second(opinion) || is_old,
                // What was dropped is kept by few nodes, and others say [] of it: that teaches nothing.
                Proof::Lacking => is_old && self.kept.is_none() && (self.is_only || self.is_insisted_on(opinion)),
            }
    }

    /// Somebody else has said the same, or the same one a while ago, and nobody more.
    pub(super) fn is_confirmed(&self, opinion: &Opinion) -> bool {
        let is_same = |other: &Opinion| other.print == opinion.print && (other.by != opinion.by || opinion.is_repeating(other));
        self.opinions.iter().any(is_same) && self.opinions.iter().all(|other| other.count <= opinion.count)
    }

    /// Somebody else has said the same.
    pub(super) fn has_second(&self, opinion: &Opinion) -> bool {
        self.opinions.iter().any(|other| other.print == opinion.print && other.by != opinion.by)
    }

    /// Two say so, and this one has said it a while ago: against the bloom that is how the chain is. One that says it however
    /// often may have lost the logs, and another one may come back.
    pub(super) fn is_insisted_on(&self, opinion: &Opinion) -> bool {
        let mut same = self.opinions.iter().filter(|other| other.print == opinion.print);
        self.has_second(opinion) && same.any(|other| other.by == opinion.by && opinion.is_repeating(other))
    }

    /// The second opinion is asked for at once, further ones at a pace.
    pub(super) fn doubt(&mut self, opinion: Opinion) {
        self.due = Some(if self.opinions.is_empty() { opinion.at } else { opinion.at.plus_ms(FILL_RETRY_MS) });
        self.may_repeat = self.is_confirmed(&opinion) || self.opinions.len() > 1;
        self.opinions.retain(|other| other.by != opinion.by || other.print == opinion.print);
        if !self.opinions.iter().any(|other| other.by == opinion.by) {
            self.opinions.push(opinion);
        }
    }
}

impl Opinion {
    /// It is by the one that said `other`, a while ago.
    pub(super) fn is_repeating(&self, other: &Opinion) -> bool {
        self.by == other.by && self.at.since(other.at) >= Duration::from_millis(LOGS_AGAIN_MS)
    }
}

/// Equal for answers that name the same logs.
pub(super) fn print_of(logs: &[Log]) -> u64 {
    let mut hasher = DefaultHasher::new();
    logs.iter().for_each(|log| (log.transaction, log.index, log.address, &log.topics).hash(&mut hasher));
    logs.len().hash(&mut hasher);
    hasher.finish()
}
