//! Subscriptions as pure machines: which of them are the same, and what a client is told when providers fail, fork and
//! come back (docs/subscriptions.md).
//!
//! The shell carries bytes: it subscribes upstream, feeds what arrives, makes the fetches it is asked for and fans out what
//! is emitted. Heads come first (`continuity`): they alone decide what is canonical. A logs stream (`logs`) follows the
//! heads that were emitted, so it never has to judge a reorg by itself. The rest is `forwarded`: nobody promises it whole.

pub mod backlog;
pub mod bug;
pub mod continuity;
pub mod emptiness;
pub mod event;
pub mod fanout;
pub mod filter;
pub mod forwarded;
pub mod key;
pub mod logs;
pub mod proof;
pub mod resume;
pub mod terms;
mod told;
pub mod union;

#[cfg(test)]
mod believer;
#[cfg(test)]
mod model;
#[cfg(test)]
mod oracle;
