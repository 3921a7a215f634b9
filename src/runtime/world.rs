//! The seam: everything a shell may ask of the outside. Production implements it on monoio (`uring`), the simulator on
//! a seeded run queue with a virtual clock (`tests/sim`); both build the node with the same constructors.
//!
//! Why a trait of ours: monoio has no test clock and takes no foreign driver. Generic code costs 0.2–0.7 % of a call,
//! measured. Futures are not `Send`: a shard's state never leaves its thread.
//!
//! Two laws that the types cannot say:
//! - **No read is abandoned.** On io_uring a dropped read may have taken bytes. One task reads a connection; a deadline
//!   shuts the socket down through its `Closer`, and the read completes with that. A stream whose read was dropped is
//!   never read again (the simulator panics on it).
//! - **No task wakes itself inside its own poll**: monoio would run it again before anyone else.

use crate::base::rng::Rng;
pub use crate::base::time::{Duration, Instant, WallTime};
use arrayvec::ArrayVec;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
};

use crate::base::limits::DNS_ADDRESSES;

/// The addresses of a host, in the order to try them; empty while unknown or unresolvable.
pub type Addresses = ArrayVec<SocketAddr, DNS_ADDRESSES>;

/// The read half: monoio's owned-buffer reads, plus waiting without holding a buffer.
pub trait ReadHalf: AsyncReadRent + 'static {
    /// Resolves when a read would not wait (bytes, end of file, or an error). May be dropped at any time.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>>;
}

/// The write half: monoio's owned-buffer writes, nothing added.
pub trait WriteHalf: AsyncWriteRent + 'static {}
impl<T: AsyncWriteRent + 'static> WriteHalf for T {}

/// A handle to end a connection from outside the task that owns it. Does nothing once the stream is gone.
pub trait Closer: Clone + 'static {
    /// Shuts both directions down: a pending read completes with end of file, a pending write with an error.
    fn close(&self);
    /// Whether the peer reset the connection (not: merely finished sending). Never blocks.
    fn is_reset(&self) -> bool;
    /// Tells connections of one thread apart that exist at the same time.
    fn id(&self) -> usize;
}

/// A connected byte stream. Both halves must be dropped for the connection to close.
pub trait Duplex: 'static {
    type Read: ReadHalf;
    type Write: WriteHalf;
    type Closer: Closer;
    fn split(self) -> (Self::Read, Self::Write);
    fn closer(&self) -> Self::Closer;
    /// The peer's address; the unspecified address when the socket is already dead.
    fn peer(&self) -> SocketAddr;
}

pub trait Accept<W: World>: 'static {
    fn accept(&mut self) -> impl Future<Output = io::Result<W::Stream>>;
}

/// A socket for datagrams; clones are the same socket. One task receives, any may send.
pub trait Datagrams: Clone + 'static {
    /// Where it is bound; the real port when 0 was asked for.
    fn local(&self) -> io::Result<SocketAddr>;
    /// The next datagram, from its sender's address, written into `buffer` from the start; what is longer than its capacity is
    /// cut. As a stream's read, it is never abandoned.
    fn receive(&self, buffer: Vec<u8>) -> impl Future<Output = (io::Result<SocketAddr>, Vec<u8>)>;
    /// Hands a datagram to the network, which may lose it.
    fn send(&self, datagram: Vec<u8>, to: SocketAddr) -> impl Future<Output = io::Result<()>>;
    /// How many came and found no room, so far; 0 where the system does not say.
    fn overflowed(&self) -> u64;
}

pub trait World: Clone + 'static {
    type Stream: Duplex;
    type Listener: Accept<Self>;
    type Datagrams: Datagrams;
    /// Whether fault points are live; `false` in production, where they compile to nothing.
    const FAULTS: bool;

    /// Monotonic; read once per wake-up and passed down.
    fn now(&self) -> Instant;
    /// For display and files only.
    fn wall(&self) -> WallTime;
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()>;
    /// Runs `task` on this shard. A panic in it ends that task only and is counted under `name`.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static);
    fn connect(&self, to: SocketAddr) -> impl Future<Output = io::Result<Self::Stream>>;
    fn listen(&self, at: SocketAddr) -> io::Result<Self::Listener>;
    fn datagrams(&self, at: SocketAddr) -> io::Result<Self::Datagrams>;
    /// The resolver's last good answer for a host name or an address literal. Never blocks: shards do not resolve.
    fn addresses(&self, host: &str, port: u16) -> Addresses;
    /// Every address of a host that other nodes are behind, as last resolved; empty while unknown. Never blocks.
    fn peer_addresses(&self, host: &str) -> Vec<IpAddr>;
    /// Tasks of this shard that a panic ended, since the start.
    fn panics(&self) -> u64;

    /// A new independent stream of randomness.
    fn rng(&self) -> Rng;
    /// What nobody outside can guess, and nobody had before.
    fn unguessable(&self) -> io::Result<[u8; 32]>;
}
