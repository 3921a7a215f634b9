//! One HTTP/1.1 connection to a provider: who reads it, and how it waits in the pool.
//!
//! **Its next read is always armed.** The reader is a future made once with the connection and polled by whoever owns it;
//! between calls it has a read under way. So an end of file, or bytes nobody asked for, are noticed without a system
//! call when the connection is taken from the pool, and no read is ever dropped, which on io_uring would lose bytes. The
//! armed read simply becomes the next answer's. Rejected: a reader task per connection (a second wake-up on every
//! answer), and peeking the socket at every checkout (a system call on every call).

use crate::base::time::Instant;
use crate::runtime::bytes_io::{read_more, write_all};
use crate::runtime::gather::{Gather, write_gather};
use crate::runtime::tls::Transport;
use crate::runtime::world::{Duplex, ReadHalf, World};
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

pub type Link<W> = Transport<<W as World>::Stream>;

/// Where the reader and the connection's owner meet.
#[derive(Default)]
struct Exchange {
    /// A buffer to read into, behind what it holds.
    wanted: Cell<Option<Vec<u8>>>,
    done: Cell<Option<(io::Result<usize>, Vec<u8>)>>,
}

pub struct Upstream<W: World> {
    reader: Pin<Box<dyn Future<Output = ()>>>,
    exchange: Rc<Exchange>,
    writer: <Link<W> as Duplex>::Write,
    closer: <Link<W> as Duplex>::Closer,
    /// A read is under way although no answer is awaited.
    armed: bool,
    idle_since: Instant,
    answers: u64,
}

impl<W: World> Upstream<W> {
    pub fn new(link: Link<W>, now: Instant) -> Upstream<W> {
        let closer = link.closer();
        let (read, writer) = link.split();
        let exchange = Rc::new(Exchange::default());
        let reader = Box::pin(read_on_demand(read, exchange.clone()));
        Upstream { reader, exchange, writer, closer, armed: false, idle_since: now, answers: 0 }
    }

    pub fn closer(&self) -> <Link<W> as Duplex>::Closer {
        self.closer.clone()
    }

    /// Has carried an answer before: its end before the next answer may only mean that the provider tired of idling.
    pub fn is_reused(&self) -> bool {
        self.answers > 0
    }

    pub fn idle_since(&self) -> Instant {
        self.idle_since
    }

    /// Goes idle after a complete answer: arms the next read.
    pub fn rest(&mut self, buf: Vec<u8>, now: Instant) {
        self.answers += 1;
        self.idle_since = now;
        self.armed = true;
        self.exchange.wanted.set(Some(buf));
        self.poll_reader(&mut Context::from_waker(Waker::noop()));
    }

    /// Whether nothing has come while it was idle. What did come is an end of file or bytes that answer nothing.
    pub fn is_quiet(&mut self) -> bool {
        self.poll_reader(&mut Context::from_waker(Waker::noop()));
        let done = self.exchange.done.take();
        let quiet = done.is_none();
        self.exchange.done.set(done);
        quiet
    }

    /// The next bytes. The armed read's buffer comes first; else `spare` gives one with room, to be read into behind what
    /// it holds.
    pub async fn read(&mut self, spare: impl FnOnce() -> Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
        if !std::mem::take(&mut self.armed) {
            self.exchange.wanted.set(Some(spare()));
        }
        poll_fn(|cx| {
            self.poll_reader(cx);
            self.exchange.done.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    pub async fn write(&mut self, bytes: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
        write_all(&mut self.writer, bytes).await
    }

    pub async fn write_gather(&mut self, pieces: Gather) -> (io::Result<()>, Gather) {
        write_gather(&mut self.writer, pieces).await
    }

    fn poll_reader(&mut self, cx: &mut Context<'_>) {
        // It never ends: it waits for the next buffer.
        let _: Poll<()> = self.reader.as_mut().poll(cx);
    }
}

async fn read_on_demand<R: ReadHalf>(mut read: R, exchange: Rc<Exchange>) {
    loop {
        // Only the owner polls this, and only after it has put a buffer there: nobody needs waking.
        let buf = poll_fn(|_| exchange.wanted.take().map_or(Poll::Pending, Poll::Ready)).await;
        exchange.done.set(Some(read_more(&mut read, buf).await));
    }
}
