//! Listening sockets, one per shard on one port, and nobody else's port.
//!
//! Shards share a port by SO_REUSEPORT, which by itself would also let a second copy of the program in unseen. So the
//! first socket binds and listens *without* it: the kernel then refuses if anyone listens there, shared or not. Only
//! afterwards is the option set on it, which lets the siblings listen too. `--reuse-port` (a rolling restart) skips that check.
//! Binding and listening are two steps. A port that is taken shows at the first, early; clients come only after the
//! second, which is the last thing of a start: a socket that listens beside a predecessor's takes its share of clients
//! whether anybody serves them or not. Whoever bound in between and listens first wins, and the other is told.
//! A port is retried for a second: a process on io_uring holds its port some milliseconds past its exit.

use crate::base::limits::{CLUSTER_SOCKET_BYTES, LISTEN_BACKLOG};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, UdpSocket},
    os::fd::{AsRawFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

const RETRY_FOR: Duration = Duration::from_secs(1);
const RETRY_EVERY: Duration = Duration::from_millis(10);

/// Why the node cannot listen.
#[derive(Debug)]
pub struct ListenFault {
    pub at: SocketAddr,
    pub cause: io::Error,
}

impl fmt::Display for ListenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let remedy = match self.cause.kind() {
            io::ErrorKind::AddrInUse => {
                "another process has this port: stop it, choose another port, or pass --reuse-port to share it with a running lasso of the same user"
            }
            io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE; a shared port needs the same user",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "check the address",
        };
        write!(f, "cannot listen on {}: {} ({remedy})", self.at, self.cause)
    }
}

impl std::error::Error for ListenFault {}

/// The listening sockets of a node, made on the main thread before any shard starts.
pub struct Listeners {
    sockets: Vec<TcpListener>,
    address: SocketAddr,
    is_open: AtomicBool,
}

impl Listeners {
    /// One socket for each shard, which does not listen yet; port 0 picks a free one for all. `share` joins a port that others hold already.
    pub fn bind(at: SocketAddr, shards: usize, share: bool) -> Result<Listeners, ListenFault> {
        let fault = |cause| ListenFault { at, cause };
        let first = patiently(|| bound(at, share)).map_err(fault)?;
        let address = first.local_addr().map_err(fault)?;
        let mut sockets = vec![first];
        for _ in 1..shards {
            sockets.push(patiently(|| bound(address, true)).map_err(fault)?);
        }
        Ok(Listeners { sockets, address, is_open: AtomicBool::new(false) })
    }

    /// Listens, on all of them: from here on clients come.
    pub fn open(&self) -> Result<(), ListenFault> {
        let fault = |cause| ListenFault { at: self.address, cause };
        for socket in self.sockets.iter().map(SockRef::from) {
            patiently(|| socket.listen(LISTEN_BACKLOG)).map_err(fault)?;
            // The first one listened alone; its siblings join it.
            socket.set_reuse_port(true).map_err(fault)?;
        }
        self.is_open.store(true, Ordering::Release);
        Ok(())
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Where the node listens; the real port when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket of a shard, as a duplicate: a shard that has to be started again finds it still open, with the
    /// connections that arrived meanwhile.
    pub fn of_shard(&self, shard: usize) -> io::Result<TcpListener> {
        match self.sockets.get(shard) {
            Some(socket) => socket.try_clone(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Whether a connection waits for this shard to accept it. Never blocks.
    pub fn has_queue(&self, shard: usize) -> bool {
        self.sockets.get(shard).is_some_and(|socket| {
            let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: `asked` is one valid pollfd for the duration of the call; a timeout of 0 never blocks.
            let n = unsafe { libc::poll(&raw mut asked, 1, 0) };
            n == 1 && asked.revents & libc::POLLIN != 0
        })
    }

    /// Stops listening for this shard, for a drain: its pending accept fails, new clients go to others or are refused, and a
    /// connection that nobody had accepted yet is reset. So the queue is emptied first.
    pub fn stop(&self, shard: usize) {
        if let Some(socket) = self.sockets.get(shard) {
            // SAFETY: plain system call on a descriptor that `socket` keeps open.
            unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
        }
    }
}

/// One listening socket that shares its port with nobody.
pub(super) fn bind_alone(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = bound(at, false)?;
    SockRef::from(&socket).listen(LISTEN_BACKLOG)?;
    Ok(socket)
}

/// A socket for datagrams that shares its port with nobody. At the start a port is waited for as a listener's is.
pub fn bind_datagrams_patiently(at: SocketAddr) -> Result<UdpSocket, ListenFault> {
    patiently(|| bind_datagrams(at)).map_err(|cause| ListenFault { at, cause })
}

pub(super) fn bind_datagrams(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // The kernel gives what net.core.rmem_max allows, and says nothing; what is lost all the same is counted.
    socket.set_recv_buffer_size(CLUSTER_SOCKET_BYTES)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

/// Datagrams that a socket's buffer had no room for, since it was made.
pub(super) fn datagrams_overflowed(socket: RawFd) -> u64 {
    /// Place of the drops among what the kernel tells of a socket's memory (linux/sock_diag.h).
    const DROPS: usize = 8;
    let mut told = [0u32; DROPS + 1];
    let mut length = size_of_val(&told) as libc::socklen_t;
    // SAFETY: `told` is a live local of `length` bytes, and the kernel writes no more than that.
    let failed =
        unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, told.as_mut_ptr().cast(), &raw mut length) };
    // An older kernel tells less, and leaves the rest as it was.
    if failed == 0 { told[DROPS].into() } else { 0 }
}

fn bound(at: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?; // a restart must not wait for TIME_WAIT
    socket.set_reuse_port(share)?;
    socket.bind(&at.into())?;
    Ok(socket.into())
}

fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let give_up = Instant::now() + RETRY_FOR;
    loop {
        match attempt() {
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && Instant::now() < give_up => {
                std::thread::sleep(RETRY_EVERY);
            }
            settled => return settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpStream};

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn shards_share_and_strangers_are_refused_unless_asked() {
        let ours = Listeners::bind(ANY, 3, false).unwrap();
        ours.open().unwrap();
        assert_ne!(ours.address().port(), 0);
        for shard in 0..3 {
            assert_eq!(ours.of_shard(shard).unwrap().local_addr().unwrap(), ours.address());
        }
        assert!(ours.of_shard(3).is_err());
        let began = Instant::now();
        let fault = Listeners::bind(ours.address(), 1, false).err().expect("held by another");
        assert!(began.elapsed() >= RETRY_FOR, "it waits for a predecessor to let go");
        assert!(fault.to_string().contains("--reuse-port"), "{fault}");
        let joined = Listeners::bind(ours.address(), 2, true).unwrap();
        joined.open().unwrap();
        drop(ours);
        assert!(Listeners::bind(joined.address(), 1, false).is_err(), "a sharing holder is a holder too");
    }

    #[test]
    fn a_port_freed_within_a_second_is_taken() {
        let holder = bind_alone(ANY).unwrap();
        let at = holder.local_addr().unwrap();
        let freeing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(holder);
        });
        Listeners::bind(at, 2, false).unwrap();
        freeing.join().unwrap();
    }

    #[test]
    fn every_shard_gets_connections_and_stop_ends_them_all() {
        let ours = Listeners::bind(ANY, 4, false).unwrap();
        assert!(TcpStream::connect(ours.address()).is_err(), "nobody is let in before all is ready");
        ours.open().unwrap();
        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(ours.address()).unwrap()).collect();
        let mut accepted = 0;
        for shard in 0..4 {
            let socket = ours.of_shard(shard).unwrap();
            socket.set_nonblocking(true).unwrap();
            let mine = std::iter::from_fn(|| socket.accept().ok()).count();
            assert!(mine > 0, "shard {shard} was left out");
            accepted += mine;
        }
        assert_eq!(accepted, clients.len());
        assert!((0..4).all(|shard| !ours.has_queue(shard)));
        let _waiting = TcpStream::connect(ours.address()).unwrap();
        assert_eq!((0..4).filter(|shard| ours.has_queue(*shard)).count(), 1);
        let kept = ours.of_shard(0).unwrap();
        (0..4).for_each(|shard| ours.stop(shard));
        assert!(TcpStream::connect(ours.address()).is_err(), "refused after stop");
        assert!(kept.accept().is_err(), "a duplicate is stopped too");
    }

    #[test]
    fn of_two_that_bound_before_either_listened_one_is_told() {
        let first = Listeners::bind(ANY, 1, false).unwrap();
        let second = Listeners::bind(first.address(), 1, false);
        first.open().unwrap();
        let fault = second.and_then(|second| second.open()).expect_err("the port is the first one's");
        assert!(fault.to_string().contains("another process has this port"), "{fault}");
    }

    #[test]
    fn a_foreign_address_is_explained() {
        let fault = Listeners::bind("203.0.113.1:0".parse().unwrap(), 1, false).err().expect("not ours");
        assert!(fault.to_string().contains("does not have that address"), "{fault}");
    }
}
