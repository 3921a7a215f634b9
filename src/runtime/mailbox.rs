//! Messages from other threads into a shard: a bounded queue and a bell.
//!
//! The bell is an eventfd that the shard awaits in its own ring, so monoio's `sync` feature (6 % a call) is not needed
//! and both drivers serve it. It is rung once per sleep, not once per message: without that, p99 of a wake-up is twenty
//! times worse. A full box refuses the message, and the sender decides; a message is never lost in silence.
//!
//! Where all shards are tasks of one thread (the simulator) the bell is the reader's waker.

use crossbeam_queue::ArrayQueue;
use monoio::net::UnixStream;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    io,
    os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
};

/// The sending side; any thread, any number of clones.
pub struct Mailbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    queue: ArrayQueue<T>,
    bell: Bell,
    /// Set from the ring until the shard has begun to drain: whoever finds it set need not ring.
    rung: AtomicBool,
}

enum Bell {
    EventFd(OwnedFd),
    /// Of the task that waits, in the same thread.
    Waker(Mutex<Option<Waker>>),
}

impl Bell {
    fn ring(&self) {
        match self {
            Bell::EventFd(bell) => {
                let one = 1u64;
                // SAFETY: writes the 8 bytes of a live local to an open descriptor. It cannot fail but on a counter at
                // its maximum, where the bell already sounds.
                unsafe { libc::write(bell.as_raw_fd(), (&raw const one).cast(), 8) };
            }
            Bell::Waker(waiting) => {
                if let Some(waker) = waiting.lock().take() {
                    waker.wake();
                }
            }
        }
    }
}

impl<T> Mailbox<T> {
    /// A box for `capacity` messages (at least one), and the place that receives them.
    pub fn new(capacity: usize) -> io::Result<(Mailbox<T>, Address<T>)> {
        // SAFETY: plain system call; the result is checked below.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let bell = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Mailbox::with_bell(capacity, Bell::EventFd(bell)))
    }

    /// The same for a reader in the sender's own thread.
    pub fn within_thread(capacity: usize) -> (Mailbox<T>, Address<T>) {
        Mailbox::with_bell(capacity, Bell::Waker(Mutex::default()))
    }

    fn with_bell(capacity: usize, bell: Bell) -> (Mailbox<T>, Address<T>) {
        let shared = Arc::new(Shared { queue: ArrayQueue::new(capacity.max(1)), bell, rung: AtomicBool::new(false) });
        (Mailbox(shared.clone()), Address(shared))
    }

    /// Puts a message in and wakes the shard; gives it back when the box is full.
    pub fn post(&self, message: T) -> Result<(), T> {
        self.0.queue.push(message)?;
        // The swap pairs with the one in `receive`: either it sees our message, or we see `false` and ring.
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            self.0.bell.ring();
        }
        Ok(())
    }

    /// Messages waiting now.
    pub fn waiting(&self) -> usize {
        self.0.queue.len()
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Mailbox(self.0.clone())
    }
}

/// The mailboxes of all shards, by shard; a shard that starts again registers its new one in the old one's place.
pub struct Directory<T>(Arc<Mutex<Vec<Option<Mailbox<T>>>>>);

impl<T> Clone for Directory<T> {
    fn clone(&self) -> Self {
        Directory(self.0.clone())
    }
}

impl<T> Directory<T> {
    pub fn new(shards: usize) -> Directory<T> {
        Directory(Arc::new(Mutex::new((0..shards).map(|_| None).collect())))
    }

    /// Posts to one shard; gives the message back when its box is full, or it has none.
    pub fn post(&self, shard: usize, message: T) -> Result<(), T> {
        match self.0.lock().get(shard) {
            Some(Some(mailbox)) => mailbox.post(message),
            _ => Err(message),
        }
    }

    pub fn register(&self, shard: usize, mailbox: Mailbox<T>) {
        if let Some(slot) = self.0.lock().get_mut(shard) {
            *slot = Some(mailbox);
        }
    }
}

impl<T: Copy> Directory<T> {
    /// Posts to every shard; a full box is left out, because what fills it is the same message.
    pub fn post_all(&self, message: T) {
        for mailbox in self.0.lock().iter().flatten() {
            let _ = mailbox.post(message);
        }
    }
}

/// The receiving side before it is bound to its shard; may be sent to the shard's thread.
pub struct Address<T>(Arc<Shared<T>>);

impl<T> Address<T> {
    /// Opens the box on the shard that will read it; call inside its runtime.
    pub fn open(self) -> io::Result<Inbox<T>> {
        let bell = match &self.0.bell {
            Bell::Waker(_) => None,
            Bell::EventFd(bell) => {
                let own = bell.try_clone()?;
                // SAFETY: `own` is handed over whole. monoio only polls this descriptor and closes it; nothing
                // socket-like is ever asked of it (its type for sockets is the one that offers `readable`).
                let as_stream = unsafe { std::os::unix::net::UnixStream::from_raw_fd(own.into_raw_fd()) };
                Some(UnixStream::from_std(as_stream)?)
            }
        };
        Ok(Inbox { shared: self.0, bell })
    }
}

/// The receiving side on its shard.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
    /// Of another thread's ring.
    bell: Option<UnixStream>,
}

impl<T> Inbox<T> {
    /// The next message, if one waits.
    pub fn try_receive(&mut self) -> Option<T> {
        self.shared.queue.pop()
    }

    /// The next message; waits for it. May be dropped at any time: it takes a message only when it returns it.
    pub async fn receive(&mut self) -> io::Result<T> {
        loop {
            if let Some(message) = self.try_receive() {
                return Ok(message);
            }
            // Nothing there: from here on senders must ring. Whoever posted before this swap is seen by the next look.
            self.shared.rung.swap(false, Ordering::AcqRel);
            if let Some(message) = self.try_receive() {
                return Ok(message);
            }
            match &self.bell {
                Some(bell) => {
                    bell.readable(false).await?;
                    silence(bell);
                }
                None => self.woken().await,
            }
        }
    }

    /// Resolves when there is something, in the sender's own thread.
    async fn woken(&self) {
        poll_fn(|cx| {
            if let Bell::Waker(waiting) = &self.shared.bell
                && self.shared.queue.is_empty()
            {
                *waiting.lock() = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

fn silence(bell: &UnixStream) {
    let mut count = 0u64;
    // SAFETY: reads 8 bytes into a live local from an open, non-blocking descriptor; a bell that was silenced already
    // answers EAGAIN, which is as good.
    unsafe { libc::read(bell.as_raw_fd(), (&raw mut count).cast(), 8) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{
        driver::DriverChoice,
        uring::{ShardOptions, run},
    };
    use std::{thread, time::Duration};

    #[test]
    fn an_idle_shard_wakes_and_every_message_arrives_in_order() {
        const EACH: u64 = 30_000;
        for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
            let (mailbox, address) = Mailbox::<(u64, u64)>::new(64).unwrap();
            thread::scope(|scope| {
                for sender in 0..3 {
                    let mailbox = mailbox.clone();
                    scope.spawn(move || {
                        thread::sleep(Duration::from_millis(50)); // the shard is parked by then
                        for n in 0..EACH {
                            while mailbox.post((sender, n)).is_err() {
                                thread::yield_now();
                            }
                            if n % 10_000 == 0 {
                                thread::sleep(Duration::from_millis(3)); // and parks again
                            }
                        }
                    });
                }
                run(ShardOptions { driver, ..Default::default() }, |_world| async move {
                    let mut inbox = address.open().unwrap();
                    let mut next = [0; 3];
                    while next != [EACH; 3] {
                        let (sender, n) = inbox.receive().await.unwrap();
                        assert_eq!(n, next[sender as usize]);
                        next[sender as usize] += 1;
                    }
                    assert!(inbox.try_receive().is_none());
                })
                .unwrap();
            });
        }
    }

    #[test]
    fn a_full_box_refuses() {
        let (mailbox, _address) = Mailbox::new(2).unwrap();
        assert_eq!((mailbox.post(1), mailbox.post(2), mailbox.post(3)), (Ok(()), Ok(()), Err(3)));
        assert_eq!(mailbox.waiting(), 2);
    }
}
