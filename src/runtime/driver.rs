//! Builds a shard's runtime: io_uring if the kernel lets us, epoll if not. Both are first class, because containers
//! often forbid io_uring; both serve the same types, so nothing above knows which it got.
//!
//! The ladder, each rung taken when the one above was refused: SINGLE_ISSUER + COOP_TASKRUN, no flags (kernels before
//! 6.0), a smaller ring when memory was refused (RLIMIT_MEMLOCK), epoll. DEFER_TASKRUN is out: with monoio 0.2.4 a shard
//! whose run queue never empties would reap no completion at all. SQPOLL is out: it burns a core. monoio's own
//! FusionDriver is out: it dies when ring memory is refused. Every refusal is kept, as text for one warning.

use crate::base::limits::{RING_ENTRIES, RING_ENTRIES_MIN};
use io_uring::{IoUring, Probe, opcode};
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, RuntimeBuilder, time::TimeDriver};
use std::{fmt, io, sync::OnceLock};

/// What the operator asked for (`--driver`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum DriverChoice {
    /// io_uring, or epoll where it is refused.
    #[default]
    Auto,
    /// io_uring or nothing: starting fails where it is refused.
    IoUring,
    Epoll,
}

/// What a shard runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    /// io_uring with SINGLE_ISSUER and COOP_TASKRUN.
    IoUring,
    /// io_uring without flags: an older kernel.
    IoUringPlain,
    Epoll,
}

impl Driver {
    /// For logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Driver::IoUring => "io_uring",
            Driver::IoUringPlain => "io_uring (no flags)",
            Driver::Epoll => "epoll",
        }
    }
}

/// A rung that the kernel refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    pub driver: Driver,
    pub entries: u32,
    pub cause: String,
    pub remedy: &'static str,
}

/// What was built, and what was refused before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriverReport {
    pub driver: Driver,
    /// Entries of the ring; 0 on epoll.
    pub entries: u32,
    pub refused: Vec<Refused>,
}

impl DriverReport {
    /// One line for people when the shard did not get the best driver; `None` when it did.
    pub fn warning(&self) -> Option<String> {
        let last = self.refused.last()?;
        let got = match self.driver {
            Driver::Epoll => "running on epoll".to_string(),
            other => format!("running on {} with a ring of {} entries", other.word(), self.entries),
        };
        Some(format!("{got}: {} was refused: {} ({})", last.driver.word(), last.cause, last.remedy))
    }
}

/// No driver could be built.
#[derive(Debug)]
pub struct DriverFault(pub Vec<Refused>);

impl fmt::Display for DriverFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no I/O driver could be built")?;
        let mut told = Vec::new();
        for refused in &self.0 {
            if !told.contains(&&refused.cause) {
                told.push(&refused.cause);
                write!(f, "; {}: {} ({})", refused.driver.word(), refused.cause, refused.remedy)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for DriverFault {}

pub(super) type Runtime = FusionRuntime<TimeDriver<IoUringDriver>, TimeDriver<LegacyDriver>>;

/// Builds the runtime of the calling thread; SINGLE_ISSUER binds the ring to the thread that created it.
pub(super) fn build(want: DriverChoice) -> Result<(Runtime, DriverReport), DriverFault> {
    let mut refused = Vec::new();
    if want != DriverChoice::Epoll
        && let Some((runtime, driver, entries)) = build_ring(&mut refused)
    {
        return Ok((FusionRuntime::Uring(runtime), DriverReport { driver, entries, refused }));
    }
    if want == DriverChoice::IoUring {
        return Err(DriverFault(refused));
    }
    match RuntimeBuilder::<LegacyDriver>::new().with_entries(RING_ENTRIES).enable_timer().build() {
        Ok(runtime) => Ok((FusionRuntime::Legacy(runtime), DriverReport { driver: Driver::Epoll, entries: 0, refused })),
        Err(e) => {
            refused.push(refusal(Driver::Epoll, 0, &e));
            Err(DriverFault(refused))
        }
    }
}

fn build_ring(refused: &mut Vec<Refused>) -> Option<(monoio::Runtime<TimeDriver<IoUringDriver>>, Driver, u32)> {
    if let Err(e) = operations_known() {
        refused.push(refusal(Driver::IoUring, RING_ENTRIES, &e));
        return None;
    }
    for driver in [Driver::IoUring, Driver::IoUringPlain] {
        for entries in [RING_ENTRIES, RING_ENTRIES_MIN] {
            match ring(driver, entries) {
                Ok(runtime) => return Some((runtime, driver, entries)),
                Err(e) => {
                    refused.push(refusal(driver, entries, &e));
                    if e.raw_os_error() != Some(libc::ENOMEM) {
                        break; // only memory is cured by a smaller ring
                    }
                }
            }
        }
    }
    None
}

fn ring(driver: Driver, entries: u32) -> io::Result<monoio::Runtime<TimeDriver<IoUringDriver>>> {
    let mut flags = IoUring::builder();
    if driver == Driver::IoUring {
        flags.setup_single_issuer().setup_coop_taskrun();
    }
    RuntimeBuilder::<IoUringDriver>::new().with_entries(entries).uring_builder(flags).enable_timer().build()
}

/// Whether this kernel's io_uring knows every operation that monoio submits: older ones build a ring that then fails.
/// Asked once per process: the kernel counts a closed ring's memory for some time.
fn operations_known() -> io::Result<()> {
    static REFUSED: OnceLock<Option<i32>> = OnceLock::new();
    let ask = || probe_operations().err().map(|e| e.raw_os_error().unwrap_or(libc::EIO));
    match REFUSED.get_or_init(ask) {
        None => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(*errno)),
    }
}

fn probe_operations() -> io::Result<()> {
    let needed = [
        opcode::Accept::CODE,
        opcode::AsyncCancel::CODE,
        opcode::Close::CODE,
        opcode::Connect::CODE,
        opcode::PollAdd::CODE,
        opcode::Readv::CODE,
        opcode::Recv::CODE,
        opcode::Send::CODE,
        opcode::Timeout::CODE,
        opcode::Writev::CODE,
    ];
    let probe_ring = IoUring::new(2)?;
    let mut probe = Probe::new();
    probe_ring.submitter().register_probe(&mut probe)?;
    match needed.iter().all(|code| probe.is_supported(*code)) {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
    }
}

fn refusal(driver: Driver, entries: u32, error: &io::Error) -> Refused {
    let remedy = match error.raw_os_error() {
        Some(libc::ENOMEM) => "raise the locked-memory limit: ulimit -l, or LimitMEMLOCK= in systemd",
        Some(libc::EPERM | libc::EACCES) => {
            "allow io_uring in the container's seccomp profile and set sysctl kernel.io_uring_disabled=0, or pass --driver epoll"
        }
        Some(libc::ENOSYS | libc::EOPNOTSUPP) => "use Linux 5.19 or newer, or pass --driver epoll",
        Some(libc::EINVAL) => "Linux 6.0 or newer knows these flags",
        Some(libc::EMFILE | libc::ENFILE) => "raise the limit of open files: ulimit -n, or LimitNOFILE= in systemd",
        _ => "pass --driver epoll to stop asking for it",
    };
    Refused { driver, entries, cause: error.to_string(), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_is_honoured_and_epoll_always_works() {
        let (_runtime, report) = build(DriverChoice::Epoll).expect("epoll");
        assert_eq!(report, DriverReport { driver: Driver::Epoll, entries: 0, refused: vec![] });
        let (runtime, report) = build(DriverChoice::Auto).expect("some driver");
        assert_eq!(matches!(runtime, FusionRuntime::Legacy(_)), report.driver == Driver::Epoll);
        assert_eq!(report.warning().is_some(), !report.refused.is_empty());
    }

    #[test]
    fn a_refusal_names_cause_and_remedy() {
        let check = |errno, remedy: &str| {
            let refused = vec![refusal(Driver::IoUring, 1024, &io::Error::from_raw_os_error(errno))];
            let text = DriverReport { driver: Driver::Epoll, entries: 0, refused }.warning().unwrap();
            assert!(text.starts_with("running on epoll: io_uring was refused: "), "{text}");
            assert!(text.contains(remedy), "{text}");
        };
        let twice = vec![refusal(Driver::IoUring, 1024, &io::Error::from_raw_os_error(libc::ENOMEM)); 2];
        assert_eq!(DriverFault(twice).to_string().matches("ulimit -l").count(), 1);
        check(libc::ENOMEM, "ulimit -l");
        check(libc::EPERM, "seccomp");
        check(libc::ENOSYS, "Linux 5.19");
        check(libc::EIO, "--driver epoll");
    }
}
