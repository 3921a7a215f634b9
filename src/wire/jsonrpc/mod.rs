//! JSON-RPC 2.0 envelopes as spans: requests judged strictly (what we cannot read as a node would, we refuse), answers
//! judged by what could hurt a client (another's id, two outcomes, none), and replies written or spliced without touching
//! a result's bytes.

mod answer;
mod batch;
mod inbound;
mod repair;
mod request;
mod stream;
#[cfg(test)]
pub(crate) mod vectors;
mod write;

pub use answer::{Answer, AnswerFault, AnswerKind, id_matches, scan_answer};
pub use batch::{BatchFault, scan_batch};
pub use inbound::{Inbound, id_at_end, sort_inbound};
pub use repair::{mend, repair};
pub use request::{Body, Id, ParamsKind, Request, RequestFault, scan_body, scan_item};
pub use stream::{Prefix, ResultStream, scan_prefix};
pub use write::{Splice, splice, splice_points, write_call, write_error, write_integer, write_result};
