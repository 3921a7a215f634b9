//! Listening sockets, one per shard on one port, and nobody else's port.
//!
//! Shards share a port by SO_REUSEPORT, which by itself would also let a second copy of the program in unseen. So the
//! first socket binds and listens *without* it: the kernel then refuses if anyone holds the port, shared or not. Only
//! afterwards is the option set on it, which lets the siblings bind. There is no gap in which another could slip in; a
//! probe socket that is closed again would leave one. `--reuse-port` (a rolling restart) skips that check.
//! A port is retried for a second: a process on io_uring holds its port some milliseconds past its exit.

use crate::base::limits::LISTEN_BACKLOG;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::fd::AsRawFd,
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
}

impl Listeners {
    /// One socket for each shard; port 0 picks a free one for all. `share` joins a port that others hold already.
    pub fn bind(at: SocketAddr, shards: usize, share: bool) -> Result<Listeners, ListenFault> {
        let fault = |cause| ListenFault { at, cause };
        let first = patiently(|| socket(at, share)).map_err(fault)?;
        let address = first.local_addr().map_err(fault)?;
        SockRef::from(&first).set_reuse_port(true).map_err(fault)?;
        let mut sockets = vec![first];
        for _ in 1..shards {
            sockets.push(patiently(|| socket(address, true)).map_err(fault)?);
        }
        Ok(Listeners { sockets, address })
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

    /// Stops listening on every shard, for a drain: their pending accepts fail, new clients are refused, and
    /// connections that nobody had accepted yet are reset.
    pub fn stop(&self) {
        for socket in &self.sockets {
            // SAFETY: plain system call on a descriptor that `socket` keeps open.
            unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
        }
    }
}

/// One listening socket that shares its port with nobody.
pub(super) fn bind_alone(at: SocketAddr) -> io::Result<TcpListener> {
    socket(at, false)
}

fn socket(at: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    if at.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?; // a restart must not wait for TIME_WAIT
    socket.set_reuse_port(share)?;
    socket.bind(&at.into())?;
    socket.listen(LISTEN_BACKLOG)?;
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
        let kept = ours.of_shard(0).unwrap();
        ours.stop();
        assert!(TcpStream::connect(ours.address()).is_err(), "refused after stop");
        assert!(kept.accept().is_err(), "a duplicate is stopped too");
    }

    #[test]
    fn a_foreign_address_is_explained() {
        let fault = Listeners::bind("203.0.113.1:0".parse().unwrap(), 1, false).err().expect("not ours");
        assert!(fault.to_string().contains("does not have that address"), "{fault}");
    }
}
