//! What a method's call is about, and where its parameters name it. Subjects count from 0; an argument that is not there means `latest`.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locator {
    /// It names no block, or one that says nothing about who has it.
    Nowhere,
    /// A number, a tag, a hash or an EIP-1898 object; what is asked for is kept by every full node.
    Block(u8),
    /// The same, and what is asked for is state at that block, which pruned nodes drop.
    State(u8),
    /// The first two arguments are blocks.
    Blocks,
    /// The first argument is a transaction's hash, or an operation's.
    Transaction,
    /// The first argument is a log filter: a range of blocks, or one by hash.
    Logs,
    /// The same over traces, which are made from state.
    StateLogs,
}

impl Locator {
    /// Whether a pruned node may lack what is asked for.
    pub fn is_state(self) -> bool {
        matches!(self, Locator::State(_) | Locator::StateLogs)
    }
}
