//! The method table (LB §2): category, what repeating means, the total time a call may take. (Filled in by its owner.)

/// LB §2.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Category {
    Core,
    State,
    Network,
    NodeAdmin,
    Eip1559,
    Eip4844,
    Mempool,
    Filters,
    Subscriptions,
    Batch,
    Debug,
    Trace,
    Txpool,
    LocalOnly,
    Unknown,
}

/// What may happen to a call after it was sent once (LB §2.4, CONTRACT §3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Safety {
    /// A read: up to three dispatches.
    Repeatable,
    /// `eth_sendRawTransaction`: next provider only when nothing was written, or on a refusal before the pool.
    RawTransaction,
    /// Creates or uses state at one provider (filters): one dispatch, that provider.
    Filter,
    /// Unknown to us: one dispatch.
    Once,
}
