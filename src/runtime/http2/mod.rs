//! HTTP/2 to providers: a connection that carries many calls, each of which can end without the others noticing.
//!
//! Framing, HPACK, stream states and flow control are the `h2` crate's, which knows no runtime: we poll it over our own
//! streams. It is foreign code that reads hostile bytes, so every use of it is guarded: a panic costs its connection.
//! monoio-http's fork was judged first and refused: it is of 2024 and without `h2`'s bounds on CONTINUATION, resets and
//! tiny frames, brings rustls 0.21, tokio-util and a second set of crates, and keeps two exclusive references to one stream.
//! Reading releases flow-control window only for what the reader took before: nobody is sent more than he takes.

pub mod wire;

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::runtime::caught::Guarded;
use crate::runtime::world::Duplex;
use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{PingPong, Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use wire::{Pulse, Wire};

/// What every call to one provider begins with.
pub struct CallHead {
    uri: Uri,
    fields: HeaderMap,
}

/// Fields that belong to a connection, or to HTTP/1.1.
const NOT_SENT: [&str; 8] =
    ["connection", "host", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "content-length"];

impl CallHead {
    /// `None`: this cannot be said in HTTP/2.
    pub fn new<'a>(
        scheme: &str,
        authority: &str,
        path: &str,
        fields: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Option<CallHead> {
        let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()?;
        let mut map = HeaderMap::new();
        for (name, value) in fields.filter(|(name, _)| !NOT_SENT.contains(name)) {
            map.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
        }
        Some(CallHead { uri, fields: map })
    }

    /// `added`: fields of this call alone; an empty or impossible value is left out.
    fn request(&self, added: &[(&str, &[u8])], body_len: usize) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = Version::HTTP_2;
        *request.headers_mut() = self.fields.clone();
        request.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from(body_len));
        for (name, value) in added.iter().filter(|(_, value)| !value.is_empty()) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
                request.headers_mut().insert(name, value);
            }
        }
        request
    }
}

/// An answer's head.
pub struct AnswerFields {
    pub status: u16,
    fields: HeaderMap,
}

impl AnswerFields {
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
    }
}

/// How a call ended before its answer's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamFault {
    /// The provider says that it did not look at it (GOAWAY below it, REFUSED_STREAM).
    NotTaken,
    /// The provider reset it.
    Lost,
    /// The connection is gone, and with it whatever was on it.
    Gone,
}

impl StreamFault {
    fn of(error: &h2::Error) -> StreamFault {
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        match error.is_remote() && (error.is_go_away() || refused) {
            true => StreamFault::NotTaken,
            false if error.is_reset() => StreamFault::Lost,
            false => StreamFault::Gone,
        }
    }
}

/// A connection, as those see it who call over it.
pub struct Session {
    /// `None`: takes no new calls.
    sender: RefCell<Option<Guarded<SendRequest<Bytes>>>>,
    pings: RefCell<Option<Guarded<PingPong>>>,
    pulse: Rc<Pulse>,
    is_over: Cell<bool>,
    /// Everybody who waits for something of this connection: a panic leaves nobody else to wake them.
    waiting: RefCell<Slab<Option<Waker>>>,
}

/// Drives a connection: to be polled by a task of its own until it ends.
pub struct Driver {
    connection: Guarded<Connection<Wire, Bytes>>,
    session: Rc<Session>,
    greeted: bool,
}

/// Begins HTTP/2 on a fresh connection. `None`: the foreign code failed.
pub fn open<S: Duplex>(stream: S, clock: impl Fn() -> Instant + 'static) -> Option<(Rc<Session>, Driver)> {
    let pulse = Rc::new(Pulse::new(Box::new(clock)));
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits::H2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW_BYTES)
        .max_frame_size(limits::H2_FRAME_BYTES)
        .max_header_list_size(limits::ANSWER_HEAD_BYTES as u32)
        .initial_max_send_streams(limits::H2_STREAMS)
        // Every call that is given up is a reset, and what its provider still sends is nobody's error. The crate's own
        // bound would end the connection of all for them.
        .max_concurrent_reset_streams(limits::H2_RESETS_KEPT)
        .reset_stream_duration(Duration::from_millis(limits::H2_RESETS_KEPT_MS))
        .max_local_error_reset_streams(None);
    let wire = Wire::new(stream, Some(pulse.clone()));
    let mut handshake = Guarded::new(Box::pin(builder.handshake::<Wire, Bytes>(wire)));
    // It only fills the outbox, so it is done at once.
    let polled = handshake.with(|h| h.as_mut().poll(&mut Context::from_waker(Waker::noop())))?;
    let Poll::Ready(Ok((sender, mut connection))) = polled else { return None };
    let session = Rc::new(Session {
        sender: RefCell::new(Some(Guarded::new(sender))),
        pings: RefCell::new(connection.ping_pong().map(Guarded::new)),
        pulse,
        is_over: Cell::new(false),
        waiting: RefCell::default(),
    });
    Some((session.clone(), Driver { connection: Guarded::new(connection), session, greeted: false }))
}

impl Driver {
    /// Moves the connection on. `Ready(true)`: it ended in good order or by the network; `Ready(false)`: by a panic.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let polled = self.connection.with(|c| Pin::new(c).poll(cx));
        if !self.greeted && self.session.pulse.is_greeted() {
            self.greeted = true;
            self.session.wake_all();
        }
        match polled {
            Some(Poll::Pending) => Poll::Pending,
            Some(Poll::Ready(_)) => Poll::Ready(true),
            None => Poll::Ready(false),
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.session.is_over.set(true);
        self.session.retire();
        self.session.wake_all();
    }
}

impl Session {
    /// Bytes that arrived since the beginning.
    pub fn arrived(&self) -> u64 {
        self.pulse.bytes()
    }

    pub fn last_arrival(&self) -> Instant {
        self.pulse.last()
    }

    /// Neither ended nor retired, here or by the provider.
    pub fn is_open(&self) -> bool {
        let ready = self.with_sender(|s| s.poll_ready(&mut Context::from_waker(Waker::noop())));
        !self.is_over.get() && !matches!(ready, None | Some(Poll::Ready(Err(_))))
    }

    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Takes no new calls; the connection ends after those under way.
    pub fn retire(&self) {
        let sender = self.sender.borrow_mut().take();
        drop(sender);
    }

    /// The provider allows one more stream beside `streams`.
    pub fn has_room(&self, streams: usize) -> bool {
        let has_room = self.with_sender(|s| {
            streams < s.current_max_send_streams()
                && matches!(s.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
        });
        has_room == Some(true)
    }

    fn with_sender<R>(&self, f: impl FnOnce(&mut SendRequest<Bytes>) -> R) -> Option<R> {
        self.sender.borrow_mut().as_mut()?.with(f)
    }

    /// The provider's settings have come; `false`: the connection ended before.
    pub async fn greeted(self: &Rc<Self>) -> bool {
        let seat = Seat::new(self);
        poll_fn(|cx| match (self.is_over.get(), self.pulse.is_greeted()) {
            (true, _) => Poll::Ready(false),
            (_, true) => Poll::Ready(true),
            _ => {
                seat.wait(cx);
                Poll::Pending
            }
        })
        .await
    }

    /// Asks for a sign of life, unless one is awaited already.
    pub fn ping(&self) {
        if let Some(pings) = self.pings.borrow_mut().as_mut() {
            let _: Option<Poll<_>> = pings.with(|p| p.poll_pong(&mut Context::from_waker(Waker::noop())));
            let _: Option<Result<_, _>> = pings.with(|p| p.send_ping(h2::Ping::opaque()));
        }
    }

    /// Sends a call; `None`: the connection takes none, and nothing was sent.
    pub fn send(self: &Rc<Self>, head: &CallHead, added: &[(&str, &[u8])], body: Vec<u8>) -> Option<Stream> {
        let begun = self.with_sender(|sender| {
            let ready = sender.poll_ready(&mut Context::from_waker(Waker::noop()));
            let (answer, mut out) = match ready {
                Poll::Ready(Ok(())) => sender.send_request(head.request(added, body.len()), false).ok()?,
                Poll::Ready(Err(_)) | Poll::Pending => return None,
            };
            // Fails if the connection ended this moment, which the answer's waiting will find out.
            let _ = out.send_data(Bytes::from(body), true);
            Some(answer)
        });
        let answer = Guarded::new(begun??);
        Some(Stream { answer, body: None, left: Bytes::new(), owed: 0, seat: Seat::new(self) })
    }

    fn wake_all(&self) {
        let wakers: Vec<Waker> = self.waiting.borrow_mut().iter_mut().filter_map(|(_, waker)| waker.take()).collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A place among those who wait.
struct Seat {
    session: Rc<Session>,
    key: usize,
}

impl Seat {
    fn new(session: &Rc<Session>) -> Seat {
        Seat { session: session.clone(), key: session.waiting.borrow_mut().insert(None) }
    }

    fn wait(&self, cx: &Context<'_>) {
        if let Some(place) = self.session.waiting.borrow_mut().get_mut(self.key) {
            *place = Some(cx.waker().clone());
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.session.waiting.borrow_mut().try_remove(self.key);
    }
}

/// One call and its answer. Dropped before its end, it is reset and the connection goes on.
pub struct Stream {
    answer: Guarded<ResponseFuture>,
    body: Option<Guarded<RecvStream>>,
    /// Of a frame that did not fit.
    left: Bytes,
    /// Given to the reader, and not yet to the window.
    owed: usize,
    seat: Seat,
}

impl Stream {
    /// Waits for the answer's head.
    pub async fn head(&mut self) -> Result<AnswerFields, StreamFault> {
        let got = poll_fn(|cx| {
            let polled = self.answer.with(|answer| Pin::new(answer).poll(cx));
            settle(polled, &self.seat, cx)
        })
        .await?;
        let (parts, body) = got.into_parts();
        self.body = Some(Guarded::new(body));
        Ok(AnswerFields { status: parts.status.as_u16(), fields: parts.headers })
    }

    /// Appends to `buf`, into its spare capacity only, what has come, and waits when that is nothing. `true`: that was all.
    /// Everything given before counts as taken.
    pub async fn read(&mut self, buf: &mut Vec<u8>) -> Result<bool, StreamFault> {
        let Some(body) = self.body.as_mut() else { return Err(StreamFault::Lost) };
        let owed = std::mem::take(&mut self.owed);
        // Fails only if the stream is over, which the next lines find out.
        let _ = body.with(|b| b.flow_control().release_capacity(owed));
        let before = buf.len();
        loop {
            let taken = self.left.len().min(buf.capacity() - buf.len());
            buf.extend_from_slice(&self.left.split_to(taken));
            self.owed += taken;
            if !self.left.is_empty() {
                return Ok(false);
            }
            let has_some = buf.len() > before;
            let next = poll_fn(|cx| {
                let polled = body.with(|b| b.poll_data(cx).map(Option::transpose));
                match settle(polled, &self.seat, cx) {
                    Poll::Pending if has_some => Poll::Ready(Ok(None)),
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(got) => Poll::Ready(got.map(Some)),
                }
            })
            .await?;
            match next {
                None => return Ok(false),
                Some(None) => return Ok(true),
                Some(Some(bytes)) => self.left = bytes,
            }
        }
    }
}

/// What a poll of the foreign code means, once panics and the connection's end are taken into account.
fn settle<T>(polled: Option<Poll<Result<T, h2::Error>>>, seat: &Seat, cx: &Context<'_>) -> Poll<Result<T, StreamFault>> {
    match polled {
        Some(Poll::Ready(Ok(value))) => Poll::Ready(Ok(value)),
        Some(Poll::Ready(Err(error))) => Poll::Ready(Err(StreamFault::of(&error))),
        Some(Poll::Pending) if !seat.session.is_over() => {
            seat.wait(cx);
            Poll::Pending
        }
        Some(Poll::Pending) | None => Poll::Ready(Err(StreamFault::Gone)),
    }
}
