//! A TCP relay in front of a node, so that one node is several providers which fail apart: killed, it refuses connections and the ones it
//! had are gone; stalled, it accepts and passes nothing on, as a stopped process does.
//!
//! Threads that look about every few milliseconds, because that is short enough here and needs nothing to wake them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

const LOOK: Duration = Duration::from_millis(10);

pub struct Relay {
    pub at: SocketAddr,
    /// Where the node is; a restarted one may be elsewhere.
    target: Arc<Mutex<SocketAddr>>,
    is_stalled: Arc<AtomicBool>,
    run: Option<Run>,
}

/// From a start to a kill.
struct Run {
    is_over: Arc<AtomicBool>,
    acceptor: JoinHandle<()>,
}

/// One direction of one connection.
struct Pipe {
    from: TcpStream,
    to: TcpStream,
    is_over: Arc<AtomicBool>,
    is_stalled: Arc<AtomicBool>,
}

impl Relay {
    pub fn start(target: SocketAddr) -> Relay {
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut relay = Relay { at, target: Arc::new(Mutex::new(target)), is_stalled: Arc::default(), run: None };
        relay.restart();
        relay
    }

    /// Where it was before.
    pub fn restart(&mut self) {
        let listener = TcpListener::bind(self.at).expect("its port is free");
        self.at = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("it does not block");
        let (target, is_stalled) = (self.target.clone(), self.is_stalled.clone());
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        let acceptor = std::thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                match listener.accept() {
                    Ok((client, _)) => join(client, *target.lock().expect("no panic"), &ends, &is_stalled),
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        });
        self.run = Some(Run { is_over, acceptor });
    }

    pub fn kill(&mut self) {
        let Run { is_over, acceptor } = self.run.take().expect("it runs");
        is_over.store(true, Ordering::SeqCst);
        acceptor.join().expect("no panic");
    }

    pub fn stall(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::SeqCst);
    }

    pub fn aim(&self, target: SocketAddr) {
        *self.target.lock().expect("no panic") = target;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if self.run.is_some() {
            self.kill();
        }
    }
}

/// Where nobody listens at the target, the client's connection ends.
fn join(client: TcpStream, target: SocketAddr, is_over: &Arc<AtomicBool>, is_stalled: &Arc<AtomicBool>) {
    let Ok(node) = TcpStream::connect(target) else { return };
    for stream in [&client, &node] {
        stream.set_nonblocking(false).expect("it blocks");
        stream.set_nodelay(true).expect("no delay");
        stream.set_read_timeout(Some(LOOK)).expect("a timeout");
    }
    let twin = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
    for (from, to) in [(twin(&client), twin(&node)), (node, client)] {
        let pipe = Pipe { from, to, is_over: is_over.clone(), is_stalled: is_stalled.clone() };
        std::thread::spawn(move || pipe.run());
    }
}

impl Pipe {
    fn run(mut self) {
        let mut bytes = [0; 1 << 16];
        while !self.is_over.load(Ordering::SeqCst) {
            if self.is_stalled.load(Ordering::SeqCst) {
                std::thread::sleep(LOOK);
                continue;
            }
            match self.from.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) if self.to.write_all(&bytes[..count]).is_ok() => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => break,
            }
        }
        // Both directions: who speaks to a node that is gone hears of it.
        let _ = self.from.shutdown(Shutdown::Both);
        let _ = self.to.shutdown(Shutdown::Both);
    }
}
