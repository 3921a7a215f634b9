//! A TLS connection as a `Duplex`, and the one type that is either that or the plain stream.
//!
//! The halves share the rustls connection in a cell that is never borrowed across an await. The read half owns the
//! ciphertext that came in, the write half what goes out. What reading gives rise to (a key update's answer, an alert)
//! is sent with the next write. A read or write that is dropped half done has lost bytes, so its half refuses to go on.
//! End of file is told apart: after the peer's close_notify it is `Ok(0)`, without it (a cut connection, or one cut by
//! an attacker) it is `UnexpectedEof`.

use super::{
    bytes_io::write_all,
    tls::TlsFault,
    world::{Duplex, ReadHalf, WriteHalf},
};
use crate::base::limits::UPSTREAM_BUFFER_BYTES;
use arrayvec::ArrayVec;
use monoio::{
    BufResult,
    buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut},
    io::{AsyncReadRent, AsyncWriteRent},
};
use rustls::{ClientConnection, Error, IoState};
use std::{
    cell::RefCell,
    io::{self, BufRead, IoSlice, Write},
    net::SocketAddr,
    rc::Rc,
};

/// Pieces of one vectored write that are looked at; more are left for the next write.
const PIECES: usize = 16;
/// An outgoing buffer that grew beyond this is not kept.
const OUTBOX_KEPT_BYTES: usize = 64 * 1024;

pub(super) struct Session {
    pub connection: ClientConnection,
    pub host: Box<str>,
}

/// Gives the connection what it takes of `rest`, and processes it.
pub(super) fn feed(connection: &mut ClientConnection, rest: &mut &[u8]) -> Result<IoState, Error> {
    let taken = connection.read_tls(rest).map_err(|e| Error::General(e.to_string()))?;
    if taken == 0 {
        *rest = &[]; // after close_notify nothing counts
    }
    connection.process_new_packets()
}

/// A TLS connection; its halves can work at the same time.
pub struct TlsStream<S: Duplex> {
    read: TlsRead<S::Read>,
    write: TlsWrite<S::Write>,
    closer: S::Closer,
    peer: SocketAddr,
}

impl<S: Duplex> TlsStream<S> {
    pub(super) fn new(
        session: Rc<RefCell<Session>>,
        (read, inbox, taken): (S::Read, Vec<u8>, usize),
        (write, outbox): (S::Write, Vec<u8>),
        closer: S::Closer,
        peer: SocketAddr,
    ) -> Self {
        let read = TlsRead { session: session.clone(), raw: read, inbox, taken, broken: false };
        TlsStream { read, write: TlsWrite { session, raw: write, outbox, broken: false }, closer, peer }
    }

    /// Whether the server chose HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.read.session.borrow().connection.alpn_protocol() == Some(super::tls::HTTP2)
    }

    /// Whether the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        let session = self.read.session.borrow();
        session.connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }
}

impl<S: Duplex> Duplex for TlsStream<S> {
    type Read = TlsRead<S::Read>;
    type Write = TlsWrite<S::Write>;
    type Closer = S::Closer;

    fn split(self) -> (Self::Read, Self::Write) {
        (self.read, self.write)
    }

    fn closer(&self) -> S::Closer {
        self.closer.clone()
    }

    fn peer(&self) -> SocketAddr {
        self.peer
    }
}

/// Decrypts what it reads into the caller's buffer.
pub struct TlsRead<R> {
    session: Rc<RefCell<Session>>,
    raw: R,
    /// Ciphertext as it came; `taken` bytes of it were given to the session.
    inbox: Vec<u8>,
    taken: usize,
    /// Set while a read is under way; found set, a read was dropped and bytes may be lost.
    broken: bool,
}

impl<R: ReadHalf> TlsRead<R> {
    /// Copies waiting plaintext into `parts` (places and their sizes), decrypting what lies in the inbox as needed.
    /// `None`: more ciphertext is needed.
    ///
    /// # Safety
    /// Every part is valid for writes of its size.
    unsafe fn fill(&mut self, parts: impl Iterator<Item = (*mut u8, usize)>) -> io::Result<Option<usize>> {
        let mut filled = 0;
        for (mut place, mut room) in parts {
            while room > 0 {
                let n = match self.plaintext() {
                    Ok(Some(n)) => n.min(room),
                    Ok(None) => return Ok((filled > 0).then_some(filled)),
                    // What came before the fault is good; the fault shows again at the next read.
                    Err(_) if filled > 0 => return Ok(Some(filled)),
                    Err(e) => return Err(e),
                };
                if n == 0 {
                    return Ok(Some(filled)); // closed by the peer
                }
                let mut session = self.session.borrow_mut();
                let mut reader = session.connection.reader();
                let chunk = reader.fill_buf()?;
                let n = n.min(chunk.len());
                // SAFETY: the caller vouches for `room` bytes at `place`, and `n <= room`; rustls' own buffer is no part
                // of the caller's.
                unsafe {
                    std::ptr::copy_nonoverlapping(chunk.as_ptr(), place, n);
                    place = place.add(n);
                }
                reader.consume(n);
                room -= n;
                filled += n;
            }
        }
        Ok(Some(filled))
    }

    /// Plaintext bytes that wait in one piece: 0 after the peer's close_notify, `None` when ciphertext is missing.
    fn plaintext(&mut self) -> io::Result<Option<usize>> {
        let mut session = self.session.borrow_mut();
        let session = &mut *session;
        loop {
            match session.connection.reader().into_first_chunk() {
                Ok(chunk) => return Ok(Some(chunk.len())),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.kind().into()), // its own text advises programmers
            }
            let mut rest = self.inbox.get(self.taken..).unwrap_or(&[]);
            if rest.is_empty() {
                return Ok(None);
            }
            let fed = feed(&mut session.connection, &mut rest);
            self.taken = self.inbox.len() - rest.len();
            fed.map_err(|e| io::Error::new(io::ErrorKind::InvalidData, TlsFault::from_rustls(e, &session.host)))?;
        }
    }

    /// Reads ciphertext, and tells the session of the end of file.
    async fn refill(&mut self) -> io::Result<()> {
        let mut inbox = std::mem::take(&mut self.inbox);
        self.taken = 0;
        inbox.clear();
        if inbox.capacity() == 0 {
            inbox.reserve_exact(UPSTREAM_BUFFER_BYTES);
        }
        self.broken = true;
        let (result, inbox) = self.raw.read(inbox).await;
        self.broken = false;
        self.inbox = inbox;
        if result? == 0 {
            let mut session = self.session.borrow_mut();
            // An empty read is how rustls learns of the end; whether it was a clean one shows at the next look.
            session.connection.read_tls(&mut io::empty())?;
        }
        Ok(())
    }

    fn check(&self) -> io::Result<()> {
        match self.broken {
            true => Err(io::Error::other("a read of this connection was dropped, so bytes of it may be lost")),
            false => Ok(()),
        }
    }
}

impl<R: ReadHalf> AsyncReadRent for TlsRead<R> {
    async fn read<T: IoBufMut>(&mut self, mut buf: T) -> BufResult<usize, T> {
        if buf.bytes_total() == 0 {
            return (Err(io::ErrorKind::InvalidInput.into()), buf);
        }
        loop {
            if let Err(e) = self.check() {
                return (Err(e), buf);
            }
            let part = (buf.write_ptr(), buf.bytes_total());
            // SAFETY: the buffer promises `bytes_total` writable bytes at `write_ptr`, and is ours during this call.
            match unsafe { self.fill(std::iter::once(part)) } {
                Ok(Some(n)) => {
                    // SAFETY: `fill` has written the first `n` bytes.
                    unsafe { buf.set_init(n) };
                    return (Ok(n), buf);
                }
                Ok(None) => {}
                Err(e) => return (Err(e), buf),
            }
            if let Err(e) = self.refill().await {
                return (Err(e), buf);
            }
        }
    }

    async fn readv<T: IoVecBufMut>(&mut self, mut buf: T) -> BufResult<usize, T> {
        loop {
            if let Err(e) = self.check() {
                return (Err(e), buf);
            }
            // SAFETY: the buffer promises this many valid iovecs at this place, and is ours during this call.
            let parts = unsafe { std::slice::from_raw_parts(buf.write_iovec_ptr(), buf.write_iovec_len()) };
            if parts.iter().all(|v| v.iov_len == 0) {
                return (Err(io::ErrorKind::InvalidInput.into()), buf);
            }
            // SAFETY: each iovec is valid for writes of its length.
            match unsafe { self.fill(parts.iter().map(|v| (v.iov_base.cast(), v.iov_len))) } {
                Ok(Some(n)) => {
                    // SAFETY: `fill` has written the first `n` bytes, in the order of the iovecs.
                    unsafe { buf.set_init(n) };
                    return (Ok(n), buf);
                }
                Ok(None) => {}
                Err(e) => return (Err(e), buf),
            }
            if let Err(e) = self.refill().await {
                return (Err(e), buf);
            }
        }
    }
}

impl<R: ReadHalf> ReadHalf for TlsRead<R> {
    /// May also resolve for a record without application data (a session ticket, say); a read then waits.
    async fn readable(&mut self) -> io::Result<()> {
        self.check()?;
        match self.plaintext() {
            Ok(None) => self.raw.readable().await,
            _ => Ok(()),
        }
    }
}

/// Encrypts what is written to it.
pub struct TlsWrite<W> {
    session: Rc<RefCell<Session>>,
    raw: W,
    outbox: Vec<u8>,
    /// Set while a write is under way; found set, a write was dropped and a record may be half sent.
    broken: bool,
}

impl<W: WriteHalf> TlsWrite<W> {
    /// Encrypts as much as rustls takes at once; returns how many bytes that was.
    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.session.borrow_mut().connection.writer().write_vectored(slices)
    }

    /// Sends all that the session has to send.
    async fn send(&mut self) -> io::Result<()> {
        if self.broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut outbox = std::mem::take(&mut self.outbox);
        outbox.clear();
        {
            let mut session = self.session.borrow_mut();
            while session.connection.wants_write() {
                session.connection.write_tls(&mut outbox)?;
            }
        }
        self.broken = true;
        let (result, outbox) = write_all(&mut self.raw, outbox).await;
        self.broken = result.is_err();
        if outbox.capacity() <= OUTBOX_KEPT_BYTES {
            self.outbox = outbox;
        }
        result
    }
}

impl<W: WriteHalf> AsyncWriteRent for TlsWrite<W> {
    async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        // SAFETY: the buffer promises `bytes_init` readable bytes at `read_ptr`, and is ours during this call.
        let bytes = unsafe { std::slice::from_raw_parts(buf.read_ptr(), buf.bytes_init()) };
        let encrypted = self.encrypt(&[IoSlice::new(bytes)]);
        match (encrypted, self.send().await) {
            (Ok(n), Ok(())) => (Ok(n), buf),
            (Err(e), _) | (_, Err(e)) => (Err(e), buf),
        }
    }

    async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        let encrypted = {
            // SAFETY: the buffer promises this many valid iovecs at this place, and is ours during this call.
            let parts = unsafe { std::slice::from_raw_parts(buf.read_iovec_ptr(), buf.read_iovec_len()) };
            let filled = parts.iter().filter(|v| v.iov_len > 0).take(PIECES);
            let slices: ArrayVec<IoSlice<'_>, PIECES> = filled
                // SAFETY: each iovec is valid for reads of its length.
                .map(|v| IoSlice::new(unsafe { std::slice::from_raw_parts(v.iov_base.cast(), v.iov_len) }))
                .collect();
            self.encrypt(&slices)
        };
        match (encrypted, self.send().await) {
            (Ok(n), Ok(())) => (Ok(n), buf),
            (Err(e), _) | (_, Err(e)) => (Err(e), buf),
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send().await
    }

    /// Sends close_notify, then finishes sending.
    async fn shutdown(&mut self) -> io::Result<()> {
        self.session.borrow_mut().connection.send_close_notify();
        let sent = self.send().await;
        self.raw.shutdown().await?;
        sent
    }
}

/// A provider's connection: plain, or TLS over the same kind of stream.
pub enum Transport<S: Duplex> {
    Plain(S),
    Tls(TlsStream<S>),
}

impl<S: Duplex> Duplex for Transport<S> {
    type Read = TransportRead<S::Read>;
    type Write = TransportWrite<S::Write>;
    type Closer = S::Closer;

    fn split(self) -> (Self::Read, Self::Write) {
        match self {
            Transport::Plain(stream) => {
                let (read, write) = stream.split();
                (TransportRead::Plain(read), TransportWrite::Plain(write))
            }
            Transport::Tls(stream) => {
                let (read, write) = stream.split();
                (TransportRead::Tls(read), TransportWrite::Tls(write))
            }
        }
    }

    fn closer(&self) -> S::Closer {
        match self {
            Transport::Plain(stream) => stream.closer(),
            Transport::Tls(stream) => stream.closer(),
        }
    }

    fn peer(&self) -> SocketAddr {
        match self {
            Transport::Plain(stream) => stream.peer(),
            Transport::Tls(stream) => stream.peer(),
        }
    }
}

pub enum TransportRead<R> {
    Plain(R),
    Tls(TlsRead<R>),
}

impl<R: ReadHalf> AsyncReadRent for TransportRead<R> {
    async fn read<T: IoBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        match self {
            TransportRead::Plain(half) => half.read(buf).await,
            TransportRead::Tls(half) => half.read(buf).await,
        }
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        match self {
            TransportRead::Plain(half) => half.readv(buf).await,
            TransportRead::Tls(half) => half.readv(buf).await,
        }
    }
}

impl<R: ReadHalf> ReadHalf for TransportRead<R> {
    async fn readable(&mut self) -> io::Result<()> {
        match self {
            TransportRead::Plain(half) => half.readable().await,
            TransportRead::Tls(half) => half.readable().await,
        }
    }
}

pub enum TransportWrite<W> {
    Plain(W),
    Tls(TlsWrite<W>),
}

impl<W: WriteHalf> AsyncWriteRent for TransportWrite<W> {
    async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        match self {
            TransportWrite::Plain(half) => half.write(buf).await,
            TransportWrite::Tls(half) => half.write(buf).await,
        }
    }

    async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        match self {
            TransportWrite::Plain(half) => half.writev(buf).await,
            TransportWrite::Tls(half) => half.writev(buf).await,
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        match self {
            TransportWrite::Plain(half) => half.flush().await,
            TransportWrite::Tls(half) => half.flush().await,
        }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            TransportWrite::Plain(half) => half.shutdown().await,
            TransportWrite::Tls(half) => half.shutdown().await,
        }
    }
}
