//! Arrival times of an open loop: call k is due at start + k / rate, whatever happened to the calls before it. In bursts of n
//! the calls of a burst are all due with its first one, and the mean rate is the same.
//!
//! Latency counts from that time, so a stall of the proxy is charged to every call that was due during it (no coordinated
//! omission). monoio's timers tick in milliseconds; a timerfd in the ring wakes the load to the microsecond without
//! spinning, which in the same-core regime would steal the core under test.

use monoio::net::UnixStream;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub struct Pace {
    started: Instant,
    rate: f64,
    /// Calls that are due together.
    burst: u64,
    /// Calls taken so far.
    taken: Cell<u64>,
    idle: RefCell<Vec<Waker>>,
    ended: Cell<bool>,
}

impl Pace {
    pub fn new(started: Instant, rate: f64, burst: u64) -> Pace {
        Pace { started, rate, burst: burst.max(1), taken: Cell::new(0), idle: RefCell::new(Vec::new()), ended: Cell::new(false) }
    }

    fn due_at(&self, call: u64) -> Instant {
        self.started + Duration::from_secs_f64((call - call % self.burst) as f64 / self.rate)
    }

    /// Waits for the next call that is due; its due time. `None` once the loop has ended.
    pub async fn next(&self) -> Option<Instant> {
        poll_fn(|context| {
            if self.ended.get() {
                return Poll::Ready(None);
            }
            let due = self.due_at(self.taken.get());
            if due <= Instant::now() {
                self.taken.set(self.taken.get() + 1);
                return Poll::Ready(Some(due));
            }
            self.idle.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ends the loop. Gives the due times of the calls since `since` that no connection was free to send.
    pub fn end(&self, since: Instant) -> impl Iterator<Item = Instant> {
        let due = if self.ended.replace(true) { 0 } else { self.due_by(Instant::now()) };
        self.idle.take().into_iter().for_each(Waker::wake);
        (self.taken.get()..due).map(|call| self.due_at(call)).filter(move |at| *at >= since)
    }

    /// Calls of `now` and before: the next one is due later.
    fn due_by(&self, now: Instant) -> u64 {
        let mut count = (now.saturating_duration_since(self.started).as_secs_f64() * self.rate) as u64;
        while self.due_at(count) <= now {
            count += 1;
        }
        count
    }

    /// Wakes idle workers as calls become due; with none idle, they take their calls when they come back.
    pub async fn drive(&self) -> io::Result<()> {
        let timer = Timer::new()?;
        while !self.ended.get() {
            let now = Instant::now();
            let due = self.due_by(now);
            for _ in self.taken.get()..due {
                let Some(worker) = self.idle.borrow_mut().pop() else { break };
                worker.wake();
            }
            timer.wait(self.due_at(due.max(self.taken.get())).saturating_duration_since(now)).await?;
        }
        Ok(())
    }
}

/// A timerfd, awaited through the driver.
struct Timer(UnixStream);

impl Timer {
    fn new() -> io::Result<Timer> {
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above has just made `fd`, and nothing else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Only readiness is asked of it, which is the same for any file.
        UnixStream::from_std(std::os::unix::net::UnixStream::from(fd)).map(Timer)
    }

    async fn wait(&self, length: Duration) -> io::Result<()> {
        let length = length.max(Duration::from_nanos(1));
        let at = libc::timespec { tv_sec: length.as_secs() as libc::time_t, tv_nsec: length.subsec_nanos().into() };
        let once = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        // SAFETY: `once` lives through the call; the old value is not asked for.
        if unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &once, std::ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        self.0.readable(false).await?;
        let mut count = [0_u8; 8];
        // SAFETY: `count` has the 8 bytes that a timerfd writes. The value does not matter.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::{self, Driver};
    use std::rc::Rc;

    #[test]
    fn the_schedule_does_not_drift() {
        let started = Instant::now();
        let pace = Pace::new(started, 3.0, 1);
        assert_eq!(pace.due_at(3_000_000), started + Duration::from_secs(1_000_000));
        for call in 0..1000 {
            assert_eq!(pace.due_by(pace.due_at(call)), call + 1, "{call}");
            assert_eq!(pace.due_by(pace.due_at(call + 1) - Duration::from_nanos(1)), call + 1, "{call}");
        }
    }

    #[test]
    fn a_burst_is_due_at_once_and_the_mean_stays() {
        let started = Instant::now();
        let pace = Pace::new(started, 100.0, 50);
        let at = |ms: u64| started + Duration::from_millis(ms);
        assert_eq!((pace.due_at(0), pace.due_at(49), pace.due_at(50)), (at(0), at(0), at(500)));
        assert_eq!((pace.due_by(at(0)), pace.due_by(at(499)), pace.due_by(at(500)), pace.due_by(at(9_999))), (50, 50, 100, 1000));
    }

    /// 20 workers, one of which is slow: all calls are taken, none before its time.
    #[test]
    fn calls_come_when_due_on_both_drivers() {
        for driver in [Driver::Auto, Driver::Epoll] {
            let taken = ring::run(driver, async |_| {
                let pace = Rc::new(Pace::new(Instant::now(), 10_000.0, 1));
                let workers: Vec<_> = (0..20)
                    .map(|number| {
                        let pace = Rc::clone(&pace);
                        monoio::spawn(async move {
                            let mut count = 0_u64;
                            while let Some(due) = pace.next().await {
                                assert!(due <= Instant::now());
                                count += 1;
                                if number == 0 {
                                    monoio::time::sleep(Duration::from_millis(20)).await;
                                }
                            }
                            count
                        })
                    })
                    .collect();
                let driven = Rc::clone(&pace);
                let drive = monoio::spawn(async move { driven.drive().await });
                monoio::time::sleep(Duration::from_millis(200)).await;
                let due = pace.due_by(Instant::now());
                let mut sum = pace.end(Instant::now() - Duration::from_secs(9)).count() as u64;
                for worker in workers {
                    sum += worker.await;
                }
                drive.await.expect("a timer");
                (sum, due)
            });
            let (sum, due) = taken.expect("a driver");
            assert!(due >= 1900, "{due}");
            assert!(sum >= due && sum <= due + 20, "{sum} of {due}");
        }
    }
}
