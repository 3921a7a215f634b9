//! What the machines of a subscription are told and say: how much may be made good, what they ask for, and why they end.

use super::bug::Bug;
use super::event::{BlockHash, Head};

/// How much may be made good (docs/subscriptions.md#when-it-ends).
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub max_backfill_blocks: u64,
    pub backfill_timeout_ms: u64,
    /// A simulated node's deliberate fault.
    pub bug: Option<Bug>,
}

/// A block that is needed, over HTTP. It must answer `on_filled` or `on_fill_failed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ask {
    /// The newest block of the provider that leads now.
    Latest,
    Number(u64),
    Hash(BlockHash),
    /// The same of anybody but the provider that leads now; of that one only where there is nobody else.
    Witness(BlockHash),
    /// What others have at this height, and whether it is this block: answered by `on_opinions`.
    Compare {
        number: u64,
        hash: BlockHash,
    },
}

/// What became of a comparison. Nothing said is for the block.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Opinions {
    /// Another provider has the block.
    pub is_shared: bool,
    /// So many have another one in its place.
    pub denials: u32,
    /// Whoever leads has the block when it is asked for it.
    pub is_own: bool,
}

impl Opinions {
    /// One word against another is for whoever leads.
    pub fn are_for_it(self) -> bool {
        self.is_shared || self.denials == 0 || (self.denials == 1 && self.is_own)
    }
}

/// Why a stream cannot go on (close code 1013).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    TooManyMissing { limit: u64 },
    TimedOut { after_ms: u64 },
    ForkTooDeep { kept: usize },
    NoProvider,
}

impl Reason {
    pub fn word(self) -> &'static str {
        match self {
            Reason::TooManyMissing { .. } => "too many blocks are missing",
            Reason::TimedOut { .. } => "missing blocks did not come in time",
            Reason::ForkTooDeep { .. } => "the chain was reorganised too deep",
            Reason::NoProvider => "no provider is left",
        }
    }

    /// For the close frame: at most 123 bytes.
    pub fn text(self) -> String {
        match self {
            Reason::TooManyMissing { limit } => format!("more than {limit} blocks are missing (max_backfill_blocks)"),
            Reason::TimedOut { after_ms } => format!("missing blocks did not come within {after_ms} ms (backfill_timeout_ms)"),
            Reason::ForkTooDeep { kept } => format!("the chain was reorganised below the last {kept} blocks"),
            Reason::NoProvider => "no provider is left for this subscription".into(),
        }
    }
}

/// What the shell must do now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// To every subscriber, and to the logs streams beside.
    Emit(Head),
    /// A block under the oldest, which some were told in an earlier life: for the logs streams beside.
    Below(Head),
    Fetch(Ask),
    /// What the leading provider announces, nobody else confirms: another one must lead.
    Forsake,
    /// The leading provider is on a fork of its own: another one must lead, and this one not again for long.
    Depose,
    /// Nobody has what some were told in an earlier life, so whoever resumed cannot be told what became of it. The others go on.
    PastLost,
    /// The end; said for ever after.
    Close(Reason),
}
