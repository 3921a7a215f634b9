//! The real binary on real sockets: hostile requests, hostile providers, recorded answers, limits, drain, real clients.
//!
//! Nothing here links the node's code into the process under test: each test starts `lasso serve` and talks to it.

mod clients;
mod hostile;
mod harness;
mod http;
mod memory;
mod provider;
mod vectors;
