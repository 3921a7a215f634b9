//! Deliberate bugs of the stream machines, to prove that checkers find them: the model's here, and the simulator's. A node
//! that serves people has none; only a world with faults can give it one. Rejected: changing the machines' output in the
//! test, which would test the test.

/// A bug that a machine can be told to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// A gap of one block passes for none.
    GapOffByOne,
    /// The first head after a switch is emitted although it was emitted before.
    DuplicateAfterOverlap,
    /// A reorg takes logs back silently.
    RemovedDropped,
    /// A hole's deadline begins anew with each announcement that is judged.
    DeadlineRestarted,
    /// An answer that may lack logs is told as whole, and nobody else is asked.
    DoubtBelieved,
    /// Whoever resumes is not told the first block that it missed.
    ResumeSkips,
}
