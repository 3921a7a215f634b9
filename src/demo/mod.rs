//! Simulated providers. A deterministic chain, looked at by providers that are slow, limited, behind or broken in ways
//! that a number chooses, served over HTTP/1.1 and WebSockets by code generic over the `World`.
//!
//! One set of providers serves three users: `lasso demo` (real sockets, no network needed), the load test, and the
//! simulator, whose checkers read the providers' journal. What they answer is a pure function of the chain's seed, the
//! time, and what was asked, so the same seed gives the same bytes. Recorded answers were rejected: they hold few
//! methods, and their parts (hashes, receipts, logs) do not follow a head that moves.
//!
//! Reading order: identity, forks, chain_model, arrival, pool, render, params, filters, state, rpc, log_query, feeds (the pure
//! half: what a healthy node would say); knobs, lies, marks, envelope, framing, frames, telling,
//! journal, provider (what this one says instead); server,
//! socket; manners and cast (who is who in the demo).

pub mod arrival;
pub mod cast;
pub mod chain_model;
pub mod envelope;
pub mod feeds;
pub mod filters;
pub mod forks;
pub mod frames;
pub mod framing;
pub mod identity;
pub mod journal;
pub mod knobs;
pub mod lies;
pub mod log_query;
pub mod manners;
pub mod marks;
pub mod params;
pub mod pool;
pub mod provider;
pub mod render;
pub mod rpc;
pub mod server;
pub mod socket;
pub mod state;
pub mod telling;

#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod provider_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod socket_tests;
