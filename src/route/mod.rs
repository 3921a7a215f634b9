//! The decisions of one call: where it may go, in which order, what an answer means, and when to try again.

pub mod classify;
pub mod exchange;
pub mod explain;
pub mod fit;
pub mod limit;
pub mod meta;
pub mod patience;
pub mod resolve;
pub mod select;
