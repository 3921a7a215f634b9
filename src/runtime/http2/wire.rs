//! Our streams as the foreign code wants them: polled reads and writes.
//!
//! monoio's operations own their buffer until they are done, so each half is a future made once, which takes a buffer,
//! reads or writes it and gives it back; polling either never drops an operation. Bytes are copied once, between that
//! buffer and the frame parser's. Small frames gather here until the parser flushes: many calls leave in one write.
//! What comes first is looked at: a provider that does not speak HTTP/2 is told apart before a call is sent to it.

use crate::base::limits::H2_BUFFER_BYTES;
use crate::base::time::Instant;
use crate::runtime::bytes_io::{read_more, write_all};
use crate::runtime::world::{Duplex, ReadHalf, WriteHalf};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has arrived on a connection, and when.
pub struct Pulse {
    bytes: Cell<u64>,
    last: Cell<Instant>,
    greeting: RefCell<Vec<u8>>,
    clock: Box<dyn Fn() -> Instant>,
}

const FRAME_HEAD_BYTES: usize = 9;
/// No server begins with more settings than this.
const GREETING_BYTES: usize = 4096;

impl Pulse {
    pub fn new(clock: Box<dyn Fn() -> Instant>) -> Pulse {
        Pulse { bytes: Cell::new(0), last: Cell::new(clock()), greeting: RefCell::default(), clock }
    }

    /// Bytes since the beginning.
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// When the last of them came.
    pub fn last(&self) -> Instant {
        self.last.get()
    }

    /// The provider's first settings are here.
    pub fn is_greeted(&self) -> bool {
        let greeting = self.greeting.borrow();
        matches!(settings_len(&greeting), Some(Some(len)) if self.bytes.get() >= (FRAME_HEAD_BYTES + len) as u64)
    }

    /// Notes what came; `false`: this is no HTTP/2.
    fn note(&self, bytes: &[u8]) -> bool {
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        self.last.set((self.clock)());
        let mut greeting = self.greeting.borrow_mut();
        let missing = FRAME_HEAD_BYTES - greeting.len();
        if missing > 0 {
            greeting.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
        }
        settings_len(&greeting).is_some()
    }
}

/// The length of the SETTINGS frame that begins with `head`: `Some(None)` while that is not known, `None` if it is none.
fn settings_len(head: &[u8]) -> Option<Option<usize>> {
    let Ok(&[a, b, c, kind, flags, s0, s1, s2, s3]) = <&[u8; FRAME_HEAD_BYTES]>::try_from(head) else {
        // HTTP/1.1 and TLS are told by their first byte: no greeting is 64 KiB long.
        return if head.first().is_none_or(|first| *first == 0) { Some(None) } else { None };
    };
    let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    let is_settings = kind == 4 && flags & 1 == 0 && [s0 & 0x7f, s1, s2, s3] == [0; 4];
    (is_settings && len <= GREETING_BYTES && len.is_multiple_of(6)).then_some(Some(len))
}

/// Where a half's future and the adapter meet.
#[derive(Default)]
struct Exchange<T> {
    given: Cell<Option<Vec<u8>>>,
    done: Cell<Option<(io::Result<T>, Vec<u8>)>>,
}

impl<T> Exchange<T> {
    async fn next(&self) -> Vec<u8> {
        // Only the adapter polls the half, and only after it has put a buffer here: nobody needs waking.
        poll_fn(|_| self.given.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

async fn read_on_demand<R: ReadHalf>(mut half: R, exchange: Rc<Exchange<usize>>) {
    loop {
        let buf = exchange.next().await;
        exchange.done.set(Some(read_more(&mut half, buf).await));
    }
}

async fn write_on_demand<W: WriteHalf>(mut half: W, exchange: Rc<Exchange<()>>) {
    loop {
        let buf = exchange.next().await;
        exchange.done.set(Some(write_all(&mut half, buf).await));
    }
}

struct Side<T> {
    half: Pin<Box<dyn Future<Output = ()>>>,
    exchange: Rc<Exchange<T>>,
    busy: bool,
    over: bool,
}

impl<T> Side<T> {
    fn start(&mut self, buf: Vec<u8>) {
        self.exchange.given.set(Some(buf));
        self.busy = true;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(io::Result<T>, Vec<u8>)> {
        // It never ends: it waits for the next buffer.
        let _: Poll<()> = self.half.as_mut().poll(cx);
        match self.exchange.done.take() {
            None => Poll::Pending,
            Some(done) => {
                self.busy = false;
                self.over = done.0.is_err();
                Poll::Ready(done)
            }
        }
    }
}

/// A stream of ours, polled.
pub struct Wire {
    reads: Side<usize>,
    writes: Side<()>,
    /// Read and not yet taken, from `taken` on.
    inbox: Vec<u8>,
    taken: usize,
    outbox: Vec<u8>,
    spare: Vec<u8>,
    pulse: Option<Rc<Pulse>>,
}

impl Wire {
    /// `pulse` is told what comes, and refuses what is not a server's.
    pub fn new<S: Duplex>(stream: S, pulse: Option<Rc<Pulse>>) -> Wire {
        let (read, write) = stream.split();
        let (of_reads, of_writes) = (Rc::<Exchange<usize>>::default(), Rc::<Exchange<()>>::default());
        let reading = Box::pin(read_on_demand(read, of_reads.clone()));
        let writing = Box::pin(write_on_demand(write, of_writes.clone()));
        Wire {
            reads: Side { half: reading, exchange: of_reads, busy: false, over: false },
            writes: Side { half: writing, exchange: of_writes, busy: false, over: false },
            inbox: Vec::with_capacity(H2_BUFFER_BYTES),
            taken: 0,
            outbox: Vec::new(),
            spare: Vec::new(),
            pulse,
        }
    }

    /// Resolves with bytes in the inbox; without any it is the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.taken < self.inbox.len() || self.reads.over {
            return Poll::Ready(Ok(()));
        }
        if !self.reads.busy {
            let mut buf = std::mem::take(&mut self.inbox);
            buf.clear();
            self.taken = 0;
            self.reads.start(buf);
        }
        let Poll::Ready((result, buf)) = self.reads.poll(cx) else { return Poll::Pending };
        self.inbox = buf;
        if result? == 0 {
            self.reads.over = true;
        } else if self.pulse.as_ref().is_some_and(|pulse| !pulse.note(&self.inbox)) {
            self.reads.over = true;
            self.inbox.clear();
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP/2")));
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what has gathered.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.writes.over {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if self.writes.busy {
                let Poll::Ready((result, mut buf)) = self.writes.poll(cx) else { return Poll::Pending };
                buf.clear();
                self.spare = buf;
                result?;
            }
            if self.outbox.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let buf = std::mem::replace(&mut self.outbox, std::mem::take(&mut self.spare));
            self.writes.start(buf);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_fill(cx))?;
        let waiting = self.inbox.get(self.taken..).unwrap_or(&[]);
        let taken = waiting.len().min(buf.remaining());
        buf.put_slice(waiting.get(..taken).unwrap_or(&[]));
        self.taken += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.outbox.len() >= H2_BUFFER_BYTES {
            std::task::ready!(self.poll_send(cx))?;
        }
        if self.writes.over {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let taken = bytes.len().min(H2_BUFFER_BYTES);
        self.outbox.extend_from_slice(bytes.get(..taken).unwrap_or(&[]));
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_are_a_greeting() {
        let check = |chunks: &[&[u8]], accepted: bool, greeted: bool| {
            let pulse = Pulse::new(Box::new(|| Instant(7)));
            let all = chunks.iter().all(|chunk| pulse.note(chunk));
            assert_eq!((all, all && pulse.is_greeted()), (accepted, greeted), "{chunks:?}");
        };
        check(&[b"\0\0\0\x04\0\0\0\0\0"], true, true);
        check(&[b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80"], true, true);
        check(&[b"\0\0\x06\x04\0\0\0\0\0", b"\0\x03\0\0\0"], true, false);
        check(&[b"\0", b"\0\x06\x04\0\0\0", b"\0\0\0\x03\0\0\0", b"\x80"], true, true);
        check(&[b"HTTP/1.1 400 Bad Request\r\n"], false, false);
        check(&[b"H"], false, false);
        check(&[b"\x15\x03\x01\0\x02\x02\x46"], false, false);
        check(&[b"\0\0\x08\x06\0\0\0\0\0........"], false, false);
        check(&[b"\0\0\0\x04\x01\0\0\0\0"], false, false);
        check(&[b"\0\0\x05\x04\0\0\0\0\0"], false, false);
        check(&[b"\0\xff\xfc\x04\0\0\0\0\0"], false, false);
    }
}
