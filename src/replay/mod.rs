//! Records of calls (`--record FILE`), and what can be made of them without a network: a replay's calls and their times, and
//! what each provider would have answered to a call that it did not get.
//!
//! A record is lines of JSON (`line`): a header, then calls and probes as they ended. `read` takes any text and tells what it
//! cannot use by line number. `made_up` makes parameters for calls that were recorded without theirs, `score` puts calls
//! in order, and `known` is the evidence that a rehearsal draws from.

pub mod known;
pub mod line;
pub mod made_up;
pub mod read;
pub mod score;
