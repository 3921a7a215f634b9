//! Lasso: one binary between Ethereum applications and their JSON-RPC providers.
//!
//! The rooms, in reading order, which is the order of dependency: a file may name its own room or one above it.
//! `tests/tidy.rs` enforces that, and that nothing above the seam is async or touches a clock, socket, lock or thread.

/// Time without a clock, ids, spans, bounds, randomness.
pub mod base;
/// Bytes to messages and back: HTTP/1.1, JSON spans, JSON-RPC envelopes, gzip.
pub mod wire;
/// The method table, quantities, filter ids, what a call asks of history.
pub mod chain;
/// Profiles to one immutable topology, or all problems at once.
pub mod config;
/// What is seen of providers: outcomes, latency buckets, tallies that travel by epoch, figures for people.
pub mod observe;
/// What follows for a provider: breaker, cooldown, lag, evidence, the schedule of probes.
pub mod health;
/// The one immutable value that every selector reads.
pub mod snapshot;
/// Which provider a call goes to, what its answer means, what happens next.
pub mod route;
/// Records of calls: their lines, what a replay sends for them, what is known from them of every provider.
pub mod replay;
/// Subscriptions: which are the same, and what a client is told when providers fail, fork and come back.
pub mod stream;
/// Other nodes: who may speak, who belongs to the cluster, how each of them is. Advice for people, never on a call's way.
pub mod cluster;
/// The page at `/dashboard`: its files, of what kind, and under which policy a browser may run them.
pub mod dashboard;
/// Providers compared: what is asked of them, what follows from the answers, and how it is told.
pub mod bench;

// ════ the seam: above it no async, clock, socket, lock, thread ════

/// The outside: io_uring and epoll, TLS, names, threads. The only room with `unsafe`.
pub mod runtime;
/// One core's node: listener, client connections, upstream pools, the data path.
pub mod shard;
/// Probes: what the node asks providers for its own sake.
pub mod control;
/// Reports in, verdicts out: the one thread that judges providers.
pub mod aggregator;
/// What another strategy would have chosen: recorded calls through the same rules, in virtual time.
pub mod rehearsal;
/// Simulated providers on a model chain: for `lasso demo`, the load test and the simulator.
pub mod demo;
/// The commands.
pub mod cli;
