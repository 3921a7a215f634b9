//! The production `World`: monoio on io_uring or epoll, one instance per shard, on the shard's own thread.
//!
//! A stream is always split: two halves share the socket through one `Rc`, and a closer holds it weakly, so that a
//! deadline may shut a connection down from outside and a closer that outlives its stream does nothing (file
//! descriptors are reused). monoio keeps the descriptor open while an operation is under way, even past both halves.

use super::{
    caught::{Caught, Panics},
    dns::DnsView,
    driver::{self, Driver, DriverChoice, DriverFault, DriverReport},
    world::{Accept, Addresses, Closer, Datagrams, Duplex, Duration, Instant, ReadHalf, WallTime, World},
};
use crate::base::rng::Rng;
use monoio::{
    io::{OwnedReadHalf, OwnedWriteHalf, Splitable},
    net::{TcpListener, TcpStream, udp::UdpSocket},
};
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    cell::{Cell, RefCell, UnsafeCell},
    future::Future,
    hash::{BuildHasher, RandomState},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    rc::{Rc, Weak},
    sync::OnceLock,
    time::SystemTime,
};

/// A day: sleeps are cut to it, so that `Instant::NEVER` is no overflow in the timer wheel.
const LONGEST_SLEEP: Duration = Duration::from_secs(86_400);

/// What a shard's world is made of.
#[derive(Default)]
pub struct ShardOptions {
    pub driver: DriverChoice,
    /// Sockets that already listen; `listen` hands them out by their address.
    pub listeners: Vec<std::net::TcpListener>,
    /// The resolver's answers; without one, only literals and `localhost` have addresses.
    pub names: DnsView,
    /// The same about hosts that other nodes are behind.
    pub peer_names: DnsView,
    /// Sockets for datagrams that are bound already; `datagrams` hands them out by their address.
    pub datagrams: Vec<std::net::UdpSocket>,
}

struct Shared {
    epoch: std::time::Instant,
    report: DriverReport,
    panics: Rc<Panics>,
    listeners: RefCell<Vec<std::net::TcpListener>>,
    names: RefCell<DnsView>,
    peer_names: RefCell<DnsView>,
    datagrams: RefCell<Vec<std::net::UdpSocket>>,
    rng: RefCell<Rng>,
    streams_of_rng: Cell<u64>,
}

/// The production world. Clones are handles to the same shard.
#[derive(Clone)]
pub struct Uring(Rc<Shared>);

/// Builds this thread's runtime and runs `make(world)` to its end; tasks still alive then are dropped.
/// The main future should only wait (for the mailbox, say): its panic ends the shard.
pub fn run<T, F: Future<Output = T>>(
    options: ShardOptions,
    make: impl FnOnce(Uring) -> F,
) -> Result<(T, DriverReport), DriverFault> {
    let (mut runtime, report) = driver::build(options.driver)?;
    let world = Uring(Rc::new(Shared {
        epoch: process_epoch(),
        report: report.clone(),
        panics: Rc::new(Panics::default()),
        listeners: RefCell::new(options.listeners),
        names: RefCell::new(options.names),
        peer_names: RefCell::new(options.peer_names),
        datagrams: RefCell::new(options.datagrams),
        rng: RefCell::new(Rng::new(RandomState::new().hash_one(0u8))),
        streams_of_rng: Cell::new(0),
    }));
    Ok((runtime.block_on(async move { make(world).await }), report))
}

/// One epoch for all shards, because instants meet in the node-wide limiter.
pub fn process_epoch() -> std::time::Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    *EPOCH.get_or_init(std::time::Instant::now)
}

/// The time on the clock that every `Uring` of this process shares, for threads that are no shard.
pub fn process_now() -> Instant {
    Instant(nanos(process_epoch().elapsed()))
}

/// The wall clock, for threads that are no shard. For display only.
pub fn wall_now() -> WallTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Two random numbers that nobody outside can guess: keys of hash tables that clients fill.
pub fn process_secret() -> [u64; 2] {
    [RandomState::new().hash_one(0u8), RandomState::new().hash_one(1u8)]
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Uring {
    /// What this shard runs on, and what the kernel refused.
    pub fn driver(&self) -> &DriverReport {
        &self.0.report
    }

    /// Panics of this shard's tasks.
    pub fn panics(&self) -> &Panics {
        &self.0.panics
    }

    fn on_epoll(&self) -> bool {
        self.0.report.driver == Driver::Epoll
    }
}

impl World for Uring {
    type Stream = TcpPair;
    type Listener = Listener;
    type Datagrams = UdpDatagrams;
    const FAULTS: bool = false;

    fn now(&self) -> Instant {
        Instant(nanos(self.0.epoch.elapsed()))
    }

    fn wall(&self) -> WallTime {
        wall_now()
    }

    async fn sleep_until(&self, at: Instant) {
        let at = Duration::from_nanos(at.0);
        while let Some(left) = at.checked_sub(self.0.epoch.elapsed())
            && !left.is_zero()
        {
            let until = self.0.epoch + at.min(self.0.epoch.elapsed() + LONGEST_SLEEP);
            monoio::time::sleep_until(monoio::time::Instant::from_std(until)).await;
        }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        drop(monoio::spawn(Caught::new(name, task, self.0.panics.clone())));
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<TcpPair> {
        TcpPair::new(TcpStream::connect_addr(to).await?, to)
    }

    /// The shard's own pre-bound socket if `at` is its address; otherwise binds `at`, alone (no SO_REUSEPORT).
    fn listen(&self, at: SocketAddr) -> io::Result<Listener> {
        let mut bound = self.0.listeners.borrow_mut();
        let mine = bound.iter().position(|l| l.local_addr().is_ok_and(|own| own == at));
        let socket = match mine {
            Some(i) => bound.swap_remove(i),
            None => super::listen::bind_alone(at)?,
        };
        // On io_uring a non-blocking socket would answer EAGAIN at once on some kernels; epoll needs it non-blocking.
        socket.set_nonblocking(self.on_epoll())?;
        let address = socket.local_addr()?;
        Ok(Listener { socket: TcpListener::from_std(socket)?, address })
    }

    /// As `listen`: a socket that was bound for `at`, or a new one.
    fn datagrams(&self, at: SocketAddr) -> io::Result<UdpDatagrams> {
        let mut bound = self.0.datagrams.borrow_mut();
        let mine = bound.iter().position(|socket| socket.local_addr().is_ok_and(|own| own == at));
        let socket = match mine {
            Some(place) => bound.swap_remove(place),
            None => super::listen::bind_datagrams(at)?,
        };
        socket.set_nonblocking(self.on_epoll())?;
        let is_v6 = socket.local_addr()?.is_ipv6();
        Ok(UdpDatagrams { socket: Rc::new(UdpSocket::from_std(socket)?), is_v6 })
    }

    fn addresses(&self, host: &str, port: u16) -> Addresses {
        self.0.names.borrow_mut().addresses(host, port)
    }

    fn peer_addresses(&self, host: &str) -> Vec<IpAddr> {
        self.0.peer_names.borrow_mut().all(host)
    }

    fn panics(&self) -> u64 {
        self.0.panics.total()
    }

    fn rng(&self) -> Rng {
        let salt = self.0.streams_of_rng.get();
        self.0.streams_of_rng.set(salt.wrapping_add(1));
        self.0.rng.borrow_mut().fork(salt)
    }

    fn unguessable(&self) -> io::Result<[u8; 32]> {
        let mut out = [0; 32];
        let filled = SystemRandom::new().fill(&mut out);
        filled.map(|()| out).map_err(|_| io::Error::other("the system has no randomness"))
    }
}

/// A UDP socket on this shard.
#[derive(Clone)]
pub struct UdpDatagrams {
    socket: Rc<UdpSocket>,
    /// It speaks of IPv4 addresses as of mapped ones.
    is_v6: bool,
}

impl Datagrams for UdpDatagrams {
    fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    async fn receive(&self, buffer: Vec<u8>) -> (io::Result<SocketAddr>, Vec<u8>) {
        let (result, buffer) = self.socket.recv_from(buffer).await;
        (result.map(|(_, from)| SocketAddr::new(from.ip().to_canonical(), from.port())), buffer)
    }

    async fn send(&self, datagram: Vec<u8>, to: SocketAddr) -> io::Result<()> {
        let to = match to.ip() {
            IpAddr::V4(ip) if self.is_v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        };
        self.socket.send_to(datagram, to).await.0.map(drop)
    }

    fn overflowed(&self) -> u64 {
        super::listen::datagrams_overflowed(self.socket.as_raw_fd())
    }
}

/// A TCP connection, as two halves of one socket.
pub struct TcpPair {
    read: OwnedReadHalf<TcpStream>,
    write: OwnedWriteHalf<TcpStream>,
    peer: SocketAddr,
}

impl TcpPair {
    fn new(stream: TcpStream, peer: SocketAddr) -> io::Result<TcpPair> {
        // Fails only on a socket that is already dead; the first read will say so.
        let _ = stream.set_nodelay(true);
        let (read, write) = stream.into_split();
        Ok(TcpPair { read, write, peer: SocketAddr::new(peer.ip().to_canonical(), peer.port()) })
    }
}

impl Duplex for TcpPair {
    type Read = OwnedReadHalf<TcpStream>;
    type Write = OwnedWriteHalf<TcpStream>;
    type Closer = TcpCloser;

    fn split(self) -> (Self::Read, Self::Write) {
        (self.read, self.write)
    }

    fn closer(&self) -> TcpCloser {
        TcpCloser(Rc::downgrade(&self.read.0))
    }

    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

impl ReadHalf for OwnedReadHalf<TcpStream> {
    fn readable(&mut self) -> impl Future<Output = io::Result<()>> {
        // SAFETY: the cell is shared by this half, the write half and weak closers of one thread. None of them keeps a
        // `&mut TcpStream` across an await or moves the stream out; all that they do goes through the descriptor.
        let stream = unsafe { &*self.0.get() };
        stream.readable(false)
    }
}

/// Ends a connection from outside its task; does nothing once both halves are gone.
#[derive(Clone)]
pub struct TcpCloser(Weak<UnsafeCell<TcpStream>>);

impl TcpCloser {
    fn with_fd<T>(&self, ask: impl FnOnce(libc::c_int) -> T) -> Option<T> {
        let stream = self.0.upgrade()?;
        // SAFETY: as in `readable`: same thread, no `&mut` is alive between polls, and the borrow ends with this line.
        let fd = unsafe { &*stream.get() }.as_raw_fd();
        Some(ask(fd)) // `stream` still holds the socket open, so `fd` is its own
    }
}

impl Closer for TcpCloser {
    fn close(&self) {
        // SAFETY: plain system call on a descriptor that is open for the duration of the call.
        self.with_fd(|fd| unsafe { libc::shutdown(fd, libc::SHUT_RDWR) });
    }

    /// Error or hang-up on the socket: the peer reset it, or both directions are closed. A peer that has only finished
    /// sending shows neither.
    fn is_reset(&self) -> bool {
        self.with_fd(|fd| {
            let mut asked = libc::pollfd { fd, events: 0, revents: 0 };
            // SAFETY: `asked` is one valid pollfd for the duration of the call; a timeout of 0 never blocks.
            let n = unsafe { libc::poll(&raw mut asked, 1, 0) };
            n == 1 && asked.revents & (libc::POLLERR | libc::POLLHUP) != 0
        })
        .unwrap_or(false)
    }

    fn id(&self) -> usize {
        self.0.as_ptr().addr()
    }
}

/// A listening socket on this shard.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Where it listens; the real port when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Accept<Uring> for Listener {
    async fn accept(&mut self) -> io::Result<TcpPair> {
        let (stream, peer) = self.socket.accept().await?;
        TcpPair::new(stream, peer)
    }
}

#[cfg(test)]
#[path = "uring_tests.rs"]
mod tests;
