//! The two halves of a simulated connection, its closer, and the listener: what `runtime::world` asks for.
//!
//! The laws about abandoned operations are watched here. On io_uring a dropped read may have taken bytes and a dropped
//! write may have sent some; so a stream whose read (or write) was dropped before it was done must not be read (written)
//! again. Doing so panics, which the executor records with the task's name.

use super::Sim;
use super::buffers::{Drain, Fill, Many, One};
use super::network::{Socket, Trouble};
use lasso::runtime::world::{Accept, Closer, Duplex, ReadHalf};
use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

pub struct SimStream {
    read: SimRead,
    write: SimWrite,
}

pub struct SimRead(Half);
pub struct SimWrite(Half);

struct Half {
    sim: Sim,
    socket: Socket,
    /// An operation was begun and dropped before it was done.
    poisoned: bool,
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.sim.is_tearing() {
            self.sim.network().drop_half(self.socket);
        }
    }
}

impl SimStream {
    pub(super) fn new(sim: &Sim, socket: Socket) -> SimStream {
        let half = || Half { sim: sim.clone(), socket, poisoned: false };
        SimStream { read: SimRead(half()), write: SimWrite(half()) }
    }
}

impl Duplex for SimStream {
    type Read = SimRead;
    type Write = SimWrite;
    type Closer = SimCloser;

    fn split(self) -> (SimRead, SimWrite) {
        (self.read, self.write)
    }

    fn closer(&self) -> SimCloser {
        SimCloser { sim: self.read.0.sim.clone(), socket: self.read.0.socket }
    }

    fn peer(&self) -> SocketAddr {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        self.read.0.sim.network().peer(self.read.0.socket).unwrap_or(nowhere)
    }
}

impl From<Trouble> for io::Error {
    fn from(trouble: Trouble) -> io::Error {
        match trouble {
            Trouble::Reset => io::ErrorKind::ConnectionReset.into(),
            Trouble::BrokenPipe => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

/// One read or write under way. It owns the buffer, as the kernel would. It begins when the method is called, not when
/// the future is first polled, because monoio submits it then.
struct Operation<'a, B> {
    half: &'a mut Half,
    buffer: Option<B>,
}

impl<'a, B> Operation<'a, B> {
    fn begin(half: &'a mut Half, buffer: B, what: &str) -> Self {
        assert!(!half.poisoned, "{what} on a stream whose earlier {what} was dropped before it was done");
        Operation { half, buffer: Some(buffer) }
    }
}

impl<B> Drop for Operation<'_, B> {
    fn drop(&mut self) {
        if self.buffer.is_some() && !self.half.sim.is_tearing() {
            self.half.poisoned = true;
        }
    }
}

struct Reading<'a, B>(Operation<'a, B>);

impl<B: Fill + Unpin> Future for Reading<'_, B> {
    type Output = (io::Result<usize>, B);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = &mut self.get_mut().0;
        let socket = operation.half.socket;
        let mut network = operation.half.sim.network();
        let Some(buffer) = operation.buffer.as_mut() else { return Poll::Pending };
        let room = buffer.room();
        assert!(room > 0, "read into a buffer without room: on a real socket it waits for ever or looks like the end");
        let outcome = match network.poll_readable(socket, cx.waker()) {
            None => return Poll::Pending,
            Some(Ok(0)) => Ok(0),
            Some(Ok(arrived)) => {
                let n = network.portion(socket, arrived.min(room), true);
                network.take(socket, n, |wire, n| buffer.fill(wire, n));
                Ok(n)
            }
            Some(Err(trouble)) => Err(trouble.into()),
        };
        drop(network);
        match operation.buffer.take() {
            Some(buffer) => Poll::Ready((outcome, buffer)),
            None => Poll::Pending,
        }
    }
}

struct Writing<'a, B>(Operation<'a, B>);

impl<B: Drain + Unpin> Future for Writing<'_, B> {
    type Output = (io::Result<usize>, B);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let operation = &mut self.get_mut().0;
        let socket = operation.half.socket;
        let mut network = operation.half.sim.network();
        let Some(buffer) = operation.buffer.as_ref() else { return Poll::Pending };
        let bytes = buffer.bytes();
        let outcome = match network.poll_writable(socket, cx.waker()) {
            None if bytes > 0 => return Poll::Pending,
            None => Ok(0),
            Some(Ok(room)) => {
                let n = network.portion(socket, bytes.min(room), false);
                if n > 0 {
                    network.put(socket, n, |wire, n| buffer.drain(wire, n));
                }
                Ok(n)
            }
            Some(Err(trouble)) => Err(trouble.into()),
        };
        drop(network);
        match operation.buffer.take() {
            Some(buffer) => Poll::Ready((outcome, buffer)),
            None => Poll::Pending,
        }
    }
}

impl AsyncReadRent for SimRead {
    fn read<T: IoBufMut>(&mut self, buf: T) -> impl Future<Output = BufResult<usize, T>> {
        let operation = Reading(Operation::begin(&mut self.0, One(buf), "read"));
        async move {
            let (outcome, One(buf)) = operation.await;
            (outcome, buf)
        }
    }

    fn readv<T: IoVecBufMut>(&mut self, buf: T) -> impl Future<Output = BufResult<usize, T>> {
        let operation = Reading(Operation::begin(&mut self.0, Many(buf), "read"));
        async move {
            let (outcome, Many(buf)) = operation.await;
            (outcome, buf)
        }
    }
}

impl ReadHalf for SimRead {
    async fn readable(&mut self) -> io::Result<()> {
        let half = &self.0;
        poll_fn(|cx| match half.sim.network().poll_readable(half.socket, cx.waker()) {
            Some(_) => Poll::Ready(Ok(())),
            None => Poll::Pending,
        })
        .await
    }
}

impl AsyncWriteRent for SimWrite {
    fn write<T: IoBuf>(&mut self, buf: T) -> impl Future<Output = BufResult<usize, T>> {
        let operation = Writing(Operation::begin(&mut self.0, One(buf), "write"));
        async move {
            let (outcome, One(buf)) = operation.await;
            (outcome, buf)
        }
    }

    fn writev<T: IoVecBuf>(&mut self, buf: T) -> impl Future<Output = BufResult<usize, T>> {
        let operation = Writing(Operation::begin(&mut self.0, Many(buf), "write"));
        async move {
            let (outcome, Many(buf)) = operation.await;
            (outcome, buf)
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.0.sim.network().finish(self.0.socket);
        Ok(())
    }
}

#[derive(Clone)]
pub struct SimCloser {
    sim: Sim,
    socket: Socket,
}

impl Closer for SimCloser {
    fn close(&self) {
        if !self.sim.is_tearing() {
            self.sim.network().shut(self.socket);
        }
    }

    fn is_reset(&self) -> bool {
        self.sim.network().is_reset(self.socket)
    }

    fn id(&self) -> usize {
        2 * self.socket.slot + self.socket.end
    }
}

impl SimCloser {
    /// Ends the connection with a reset, as an application that sets SO_LINGER to 0 does.
    pub fn abort(&self) {
        self.sim.network().abort(self.socket);
    }
}

pub struct SimListener {
    pub(super) sim: Sim,
    pub(super) backlog: usize,
}

impl Accept<Sim> for SimListener {
    async fn accept(&mut self) -> io::Result<SimStream> {
        let socket = poll_fn(|cx| {
            let mut network = self.sim.network();
            let Some(backlog) = network.backlogs.get(self.backlog) else { return Poll::Pending };
            let (host, is_waiting) = (backlog.host, !backlog.waiting.is_empty());
            if is_waiting && let Some(scarce) = network.lacking(host, true) {
                return Poll::Ready(Err(scarce.error()));
            }
            let Some(backlog) = network.backlogs.get_mut(self.backlog) else { return Poll::Pending };
            match backlog.waiting.pop_front() {
                Some(socket) => Poll::Ready(Ok(socket)),
                None => {
                    backlog.acceptor = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await?;
        Ok(SimStream::new(&self.sim, socket))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.sim.is_tearing() {
            return;
        }
        let mut network = self.sim.network();
        for socket in network.unlisten(self.backlog) {
            network.abort(socket);
            network.drop_half(socket);
            network.drop_half(socket);
        }
    }
}
