//! The runtime of a tool's one thread: the product's ring flags, epoll where the kernel refuses a ring.
//!
//! SINGLE_ISSUER and COOP_TASKRUN as the product, so that the relay is the floor of the same kind. DEFER_TASKRUN starves
//! completions while tasks are ready (measured); FusionDriver does not fall back on ENOMEM.

use monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::net::SocketAddr;
use std::{io, str::FromStr};

/// Operations in flight before a submit is forced.
const ENTRIES: u32 = 4096;
/// Connections that wait to be accepted: a load opens all of its own at once.
const BACKLOG: i32 = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    Auto,
    IoUring,
    Epoll,
}

#[derive(Debug)]
pub struct UnknownDriver(String);

impl std::error::Error for UnknownDriver {}
impl std::fmt::Display for UnknownDriver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no driver is called {}; write auto, io_uring or epoll", self.0)
    }
}

impl FromStr for Driver {
    type Err = UnknownDriver;
    fn from_str(word: &str) -> Result<Driver, UnknownDriver> {
        match word {
            "auto" => Ok(Driver::Auto),
            "io_uring" => Ok(Driver::IoUring),
            "epoll" => Ok(Driver::Epoll),
            other => Err(UnknownDriver(other.to_owned())),
        }
    }
}

/// Runs `task` on this thread. `task` gets the word of the driver that runs it.
pub fn run<T>(want: Driver, task: impl AsyncFnOnce(&'static str) -> T) -> Result<T, String> {
    if want != Driver::Epoll {
        let mut ring = io_uring::IoUring::builder();
        ring.setup_single_issuer().setup_coop_taskrun();
        let built = RuntimeBuilder::<IoUringDriver>::new().with_entries(ENTRIES).uring_builder(ring).enable_timer().build();
        match built {
            Ok(mut runtime) => return Ok(runtime.block_on(task("io_uring"))),
            Err(e) if want == Driver::IoUring => {
                return Err(format!("io_uring is refused by the kernel: {e}; try --driver epoll"));
            }
            Err(e) => eprintln!("loadtest: io_uring is refused by the kernel ({e}); using epoll"),
        }
    }
    let built = RuntimeBuilder::<LegacyDriver>::new().with_entries(ENTRIES).enable_timer().build();
    let mut runtime = built.map_err(|e| format!("epoll is refused by the kernel: {e}"))?;
    Ok(runtime.block_on(task("epoll")))
}

/// A listener that owns its port alone (monoio would share it silently), retried while a predecessor's ring lets go of it.
pub fn listen(at: SocketAddr) -> Result<monoio::net::TcpListener, String> {
    let options = monoio::net::ListenerOpts::new().reuse_port(false).backlog(BACKLOG);
    let mut tries = 0;
    loop {
        match monoio::net::TcpListener::bind_with_config(at, &options) {
            Ok(listener) => return Ok(listener),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse && tries < 100 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(e) => return Err(format!("cannot listen at {at}: {e}")),
        }
    }
}
