//! Deliberate bugs of the stream machines, to prove that the model's checkers find them. Outside tests there are none, and
//! the question costs nothing. Rejected: mutating the machines' output in the test, which would test the test.

/// A bug that a machine can be told to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A gap of one block passes for none.
    GapOffByOne,
    /// The first head after a switch is emitted although it was emitted before.
    DuplicateAfterOverlap,
    /// A reorg takes logs back silently.
    RemovedDropped,
}

/// The bug that a machine has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sabotage {
    #[cfg(test)]
    pub bug: Option<Bug>,
}

impl Sabotage {
    #[cfg(test)]
    pub fn is(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    #[cfg(not(test))]
    pub fn is(self, _: Bug) -> bool {
        false
    }
}
