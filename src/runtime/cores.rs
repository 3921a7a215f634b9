//! Which cores we may use, and one supervised thread per shard.
//!
//! A shard is pinned when each has a core to itself, so that its memory stays in that core's caches. Under a CPU quota
//! (a container's limit) it is not: two containers would both pin to core 0 and leave the rest idle. A panic that
//! reaches the top of a shard ends its connections but not the shard: it is started again, and counted.

use std::{
    io,
    num::NonZero,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// A shard that cannot stay up must not spin.
const RESTART_PAUSE: Duration = Duration::from_millis(100);

/// How soon an end is noticed by whoever does something meanwhile.
const END_POLL: Duration = Duration::from_millis(50);

/// Where a shard runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seat {
    /// 0-based.
    pub shard: usize,
    /// The core it is pinned to, if it is.
    pub core: Option<usize>,
}

/// One seat for each core we may use, or for each of `asked` shards.
pub fn seats(asked: Option<NonZero<usize>>) -> Vec<Seat> {
    arrange(&usable_cores(), quota(), asked.map(NonZero::get))
}

fn arrange(cores: &[usize], quota: usize, asked: Option<usize>) -> Vec<Seat> {
    let shards = asked.unwrap_or(quota.min(cores.len())).max(1);
    let pinned = quota >= cores.len() && shards <= cores.len();
    (0..shards).map(|shard| Seat { shard, core: cores.get(shard).copied().filter(|_| pinned) }).collect()
}

/// The cores in this thread's affinity mask, ascending; empty when the system does not tell.
fn usable_cores() -> Vec<usize> {
    // SAFETY: a `cpu_set_t` is an array of integers, for which zero is valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a live local of the size that is passed.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: every index is below the set's size in bits.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}

/// How many cores' worth of time we may use: affinity and the control group's quota.
fn quota() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Pins the calling thread. Being refused is no fault: it costs a little speed.
fn pin(core: usize) -> bool {
    if core >= libc::CPU_SETSIZE as usize {
        return false;
    }
    // SAFETY: a `cpu_set_t` is an array of integers, for which zero is valid; `core` is inside of it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) == 0
    }
}

/// The shards' threads.
pub struct Shards {
    threads: Vec<thread::JoinHandle<()>>,
    restarts: Arc<AtomicU64>,
}

impl Shards {
    /// Starts a thread `shard-N` for each seat. `body` runs a shard to its end, and again after a panic.
    pub fn start(seats: &[Seat], body: impl Fn(Seat) + Send + Sync + 'static) -> io::Result<Shards> {
        let (body, restarts) = (Arc::new(body), Arc::new(AtomicU64::new(0)));
        let start = |seat: &Seat| {
            let (seat, body, restarts) = (*seat, body.clone(), restarts.clone());
            let name = format!("shard-{}", seat.shard);
            thread::Builder::new().name(name).spawn(move || supervise(seat, &*body, &restarts))
        };
        let threads = seats.iter().map(start).collect::<io::Result<Vec<_>>>()?;
        Ok(Shards { threads, restarts })
    }

    /// How often a shard had to be started again.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Waits for `limit`, or less when every shard has ended by then.
    pub fn ended_within(&self, limit: Duration) -> bool {
        let end = std::time::Instant::now() + limit;
        loop {
            if self.threads.iter().all(thread::JoinHandle::is_finished) {
                return true;
            }
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            thread::sleep(left.min(END_POLL));
        }
    }

    /// Waits until every shard has ended.
    pub fn join(self) {
        for thread in self.threads {
            // `supervise` lets no panic through.
            let _ = thread.join();
        }
    }
}

fn supervise(seat: Seat, body: &(dyn Fn(Seat) + Send + Sync), restarts: &AtomicU64) {
    if let Some(core) = seat.core {
        pin(core);
    }
    while catch_unwind(AssertUnwindSafe(|| body(seat))).is_err() {
        restarts.fetch_add(1, Ordering::Relaxed);
        thread::sleep(RESTART_PAUSE);
    }
}

/// Raises the soft limit of open files to the hard one; returns the limit that now holds.
pub fn raise_file_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live local.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: `wanted` is a live local.
    let raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) } == 0;
    Ok(if raised { wanted.rlim_cur } else { limit.rlim_cur })
}

/// Keeps the kernel from backing this process with huge pages. Our memory is many small blocks that come and go: a huge
/// page that holds one of them stays resident whole (measured: an idle client cost 2 KB with them and 0.7 KB without).
pub fn refuse_huge_pages() {
    // SAFETY: plain system call without pointers. Where it is refused, more memory is resident, and nothing else.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn shards_are_pinned_only_when_each_has_a_core_of_its_own() {
        let check = |cores: &[usize], quota, asked, expected: &[Option<usize>]| {
            let seats = arrange(cores, quota, asked);
            assert_eq!(seats.iter().map(|s| s.core).collect::<Vec<_>>(), expected, "{cores:?} {quota} {asked:?}");
            assert!(seats.iter().enumerate().all(|(i, s)| s.shard == i));
        };
        check(&[0, 1], 2, None, &[Some(0), Some(1)]);
        check(&[3, 5, 8], 3, None, &[Some(3), Some(5), Some(8)]);
        check(&[3, 5, 8], 3, Some(2), &[Some(3), Some(5)]);
        check(&[3, 5], 2, Some(3), &[None, None, None]);
        check(&[0, 1, 2, 3], 2, None, &[None, None]);
        check(&[0, 1, 2, 3], 2, Some(1), &[None]);
        check(&[], 1, None, &[None]);
    }

    #[test]
    fn this_machine_has_cores_and_a_thread_can_be_pinned() {
        let cores = usable_cores();
        let last = *cores.last().expect("at least one core");
        thread::spawn(move || {
            assert!(pin(last));
            assert_eq!(usable_cores(), [last]);
            assert!(!pin(usize::MAX));
        })
        .join()
        .unwrap();
        assert!(raise_file_limit().unwrap() > 0);
    }

    #[test]
    fn a_panicking_shard_is_started_again() {
        let runs = Arc::new(Mutex::new(Vec::new()));
        let log = runs.clone();
        let seats = [Seat { shard: 0, core: None }, Seat { shard: 1, core: None }];
        let shards = Shards::start(&seats, move |seat| {
            let mut log = log.lock().unwrap_or_else(|e| e.into_inner());
            log.push((seat.shard, thread::current().name().map(str::to_string)));
            let first = log.iter().filter(|(shard, _)| *shard == 1).count() == 1;
            drop(log);
            assert!(seat.shard == 0 || !first, "expected by this test");
        })
        .unwrap();
        let restarts = shards.restarts.clone();
        shards.join();
        let mut runs = std::mem::take(&mut *runs.lock().unwrap());
        runs.sort();
        let name = |n: usize| (n, Some(format!("shard-{n}")));
        assert_eq!(runs, [name(0), name(1), name(1)]);
        assert_eq!(restarts.load(Ordering::Relaxed), 1);
    }
}
