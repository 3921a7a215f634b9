//! HTTP/1.1, strictly: heads to spans, chunked bodies to payload, and back. Sans-IO and without allocation.
//!
//! The idea: whatever two parsers could read in two ways is refused, because a proxy that guesses is how one client's
//! bytes become another client's request. httparse finds the tokens; it accepts bare LF and knows nothing of framing,
//! so every rule of RFC 9112 that protects message borders stands here on top of it. Results are spans, not slices, so
//! that they outlive the borrow while the buffer travels to the kernel and back. Rejected: monoio-http (mis-frames
//! duplicate lengths, panics on a long name, buffers whole bodies) and a header map (allocates for fields nobody reads).
//!
//! How it fails: a fault names the status to answer and a sentence for people; the connection always ends after it,
//! since the border of the next message is no longer known.

mod answer;
mod chunked;
mod diagnose;
mod fault;
mod field;
mod lines;
mod request;
mod target;
mod upgrade;
mod write;

#[cfg(test)]
mod cases;
#[cfg(test)]
mod drive;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod vectors;

pub use answer::{AnswerFraming, AnswerHead, answer_of_fields, scan_answer};
pub use chunked::{ChunkStep, Chunked, Compacted, compact};
pub use fault::HttpFault;
pub use field::Field;
pub use request::{Framing, Method, RequestHead, fields_named, scan_request};
pub use upgrade::{UpgradeAnswer, scan_upgrade};
pub use write::{write_chunk_end, write_chunk_head, write_decimal, write_status_line};

/// What a look at a buffer gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scan<T> {
    /// Not decidable yet; call again with more bytes, and with the length looked at now as `seen`.
    NeedMore,
    Done(T),
    /// Refused; more bytes never change that.
    Bad(HttpFault),
}
