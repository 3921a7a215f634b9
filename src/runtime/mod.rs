//! The outside, behind one trait. The only room that names monoio, libc, `unsafe`, atomics, locks and threads.

/// How many client connections there may be.
pub mod admission;
/// A named thread beside the shards.
pub mod background;
/// The node-wide byte budgets of bodies in memory.
pub mod budget;
/// Whole-buffer reads and writes over the trait's halves.
pub mod bytes_io;
/// The panic guard around every task.
pub mod caught;
/// Which cores we may use; one pinned, supervised thread per shard.
pub mod cores;
/// Host names to addresses, off the shards.
pub mod dns;
/// io_uring, or epoll where the kernel refuses it.
pub mod driver;
/// One write of several pieces, none of them copied.
pub mod gather;
pub mod holdings;
/// HTTP/2 to providers: many calls on one connection.
#[cfg(feature = "http2")]
pub mod http2;
/// The node-wide table of client limits.
pub mod limiter;
/// Who comes first, the one that does a thing or the one that takes it back.
pub mod claim;
/// The newest events, for whoever listens.
pub mod events;
/// Spans of traces on their way to a collector.
pub mod spans;
/// Sampled calls on their way to a record's file.
pub mod recorder;
/// Lines on their way to standard output.
pub mod journal;
/// A yes or no between threads.
pub mod flag;
/// Waiting for threads to have started.
pub mod latch;
/// Listening sockets, one per shard on one port.
pub mod listen;
/// Messages from other threads into a shard.
pub mod mailbox;
/// A few words from one thread to another.
pub mod notes;
/// Which errors of the system are about this machine.
pub mod own_fault;
/// What the process takes of its machine.
pub mod process;
/// The newest of a value, from one writer to every shard.
pub mod publish;
/// Filled tallies up to the aggregator, emptied ones back.
pub mod reports;
/// SIGTERM, SIGINT, SIGHUP.
pub mod signals;
/// What a shard counts.
pub mod counters;
/// People's questions to the thread that knows.
pub mod desk;
/// The heights that clients were last given as the newest.
pub mod served;
/// TLS to providers: trust, handshake, faults.
pub mod tls;
/// A TLS connection as a stream.
pub mod tls_stream;
/// The production `World`.
pub mod uring;
/// One call at a time to each channel whose circuit is not closed.
pub mod turns;
/// The seam.
pub mod world;
