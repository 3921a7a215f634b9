//! A provider behind HTTP/1.1, over any `World`. One task per connection: read a request, let the provider plan, carry
//! the plan out, in order (pipelined requests wait their turn, as RFC 9112 §9.3.2 wants). An upgrade makes it a `socket`.
//!
//! It has no timeouts of its own. An idle or silent connection ends when its client ends it, which is what many real
//! providers do, and what a router has to live with. Bounded all the same: connections, heads and bodies have limits.

use super::framing::{End, Step};
use super::provider::{Asked, Provider};
use super::socket;
use crate::base::limits::{CLIENT_BUFFER_BYTES, HEAD_BYTES, MODEL_CONNECTIONS, REQUEST_BODY_BYTES};
use crate::base::time::{Duration, Instant};
use crate::runtime::bytes_io::{read_more, write_all, write_static};
use crate::runtime::world::{Accept, Closer, Duplex, ReadHalf, World, WriteHalf};
use crate::wire::http::{Chunked, Framing, HttpFault, Method, RequestHead, Scan, compact, scan_request, write_status_line};
use std::{cell::Cell, io, net::SocketAddr, ops::Range, rc::Rc};

/// How a connection is cut off. The trait has no reset (the node never resets on purpose), so a world that can do it
/// says how; without one, cutting off is closing both directions at once.
pub type Cut<W> = Rc<dyn Fn(&<<W as World>::Stream as Duplex>::Closer)>;

pub struct Server<W: World> {
    pub world: W,
    pub provider: Rc<Provider>,
    pub cut: Cut<W>,
    live: Cell<usize>,
    made: Cell<u64>,
}

/// Counts a connection while it lives.
pub struct Seat<W: World>(Rc<Server<W>>);

impl<W: World> Seat<W> {
    pub fn server(&self) -> &Server<W> {
        &self.0
    }
}

impl<W: World> Drop for Seat<W> {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get() - 1);
    }
}

/// Listens at `at` and serves `provider` there until the world ends.
pub fn start<W: World>(world: &W, at: SocketAddr, provider: Rc<Provider>, cut: Option<Cut<W>>) -> io::Result<()> {
    serve(world, world.listen(at)?, provider, cut);
    Ok(())
}

/// Serves `provider` on a listener that is there already (whose port, say, the kernel chose).
pub fn serve<W: World>(world: &W, listener: W::Listener, provider: Rc<Provider>, cut: Option<Cut<W>>) {
    let cut = cut.unwrap_or_else(|| Rc::new(Closer::close));
    let server = Server { world: world.clone(), provider, cut, live: Cell::new(0), made: Cell::new(0) };
    world.spawn("model-provider", accept(Rc::new(server), listener));
}

/// After so many failures in a row the listener is dead.
const ACCEPT_FAILURES: u32 = 100;
/// Pause after a failed accept (usually: no free descriptors).
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

async fn accept<W: World>(server: Rc<Server<W>>, mut listener: W::Listener) {
    let mut failures = 0;
    while failures < ACCEPT_FAILURES {
        let Ok(stream) = listener.accept().await else {
            failures += 1;
            server.world.sleep_until(server.world.now() + ACCEPT_PAUSE).await;
            continue;
        };
        failures = 0;
        if server.provider.is_down() || server.live.get() >= MODEL_CONNECTIONS {
            (server.cut)(&stream.closer());
            continue;
        }
        server.live.set(server.live.get() + 1);
        server.made.set(server.made.get() + 1);
        server.world.spawn("model-connection", connection(Seat(server.clone()), server.made.get(), stream));
    }
}

async fn connection<W: World>(seat: Seat<W>, number: u64, stream: W::Stream) {
    let server = &*seat.0;
    let closer = stream.closer();
    let (mut read, mut write) = stream.split();
    let mut buf = Vec::with_capacity(CLIENT_BUFFER_BYTES);
    let mut earlier = 0;
    loop {
        let head;
        (head, buf) = match read_head(&mut read, buf).await {
            Ok(read) => read,
            Err(Some(fault)) => return refuse(&mut write, &fault).await,
            Err(None) => return,
        };
        if head.upgrade && head.method == Method::Get && server.provider.takes_sockets() {
            let accepted = match socket::accept(&head, &buf) {
                Ok(accepted) => accepted,
                Err(fault) => return refuse(&mut write, &fault).await,
            };
            buf.drain(..head.len.min(buf.len()));
            return socket::run(seat, number, closer, read, write, accepted, &buf).await;
        }
        let request = match read_request(server, &mut read, &mut write, head, buf).await {
            Ok(request) => request,
            Err(Some(fault)) => return refuse(&mut write, &fault).await,
            Err(None) => return,
        };
        if server.provider.is_down() {
            return (server.cut)(&closer);
        }
        let (keep_alive, now) = (request.keep_alive, server.world.now());
        let body = request.buf.get(request.body.clone()).unwrap_or(&[]);
        let (id, plan) = server.provider.serve(&Asked { body, connection: number, earlier, keep_alive, now, feeds: None });
        let sent = send(&server.world, &mut write, now + plan.delay, plan.steps).await;
        server.provider.ended(id, sent.is_ok());
        match plan.end {
            _ if sent.is_err() => return,
            End::KeepAlive => {}
            End::Close => return finish(&mut write).await,
            End::Reset => return (server.cut)(&closer),
            End::Silence => return drain(&mut read, request.buf).await,
        }
        earlier += 1;
        buf = request.buf;
        buf.drain(..request.rest.min(buf.len()));
    }
}

async fn send<W: World>(world: &W, write: &mut impl WriteHalf, at: Instant, steps: Vec<Step>) -> io::Result<()> {
    if at > world.now() {
        world.sleep_until(at).await;
    }
    for step in steps {
        match step {
            Step::Send(bytes) => write_all(write, bytes).await.0?,
            Step::Pause(pause) => world.sleep_until(world.now() + pause).await,
        }
    }
    Ok(())
}

/// A request in its buffer.
struct Request {
    buf: Vec<u8>,
    body: Range<usize>,
    /// Where the next one starts.
    rest: usize,
    keep_alive: bool,
}

const NOT_POST: HttpFault = HttpFault { status: 405, reason: "a provider takes JSON-RPC by POST" };

const NOT_HTTP: HttpFault = HttpFault { status: 426, reason: "this provider speaks WebSocket only" };

/// The next request's head; `Err(None)` when the client is gone.
async fn read_head<R: ReadHalf>(read: &mut R, mut buf: Vec<u8>) -> Result<(RequestHead, Vec<u8>), Option<HttpFault>> {
    let mut seen = 0;
    loop {
        match scan_request(&buf, seen) {
            Scan::Done(head) => return Ok((head, buf)),
            Scan::Bad(fault) => return Err(Some(fault)),
            Scan::NeedMore => seen = buf.len(),
        }
        // The scanner refuses a head above `HEAD_BYTES`, so the buffer stops growing.
        buf = read_on(read, buf, HEAD_BYTES).await.ok_or(None)?;
    }
}

async fn read_request<W: World, R: ReadHalf>(
    server: &Server<W>,
    read: &mut R,
    write: &mut impl WriteHalf,
    head: RequestHead,
    buf: Vec<u8>,
) -> Result<Request, Option<HttpFault>> {
    if !server.provider.takes_http() {
        return Err(Some(NOT_HTTP));
    }
    if head.method != Method::Post {
        return Err(Some(NOT_POST));
    }
    if head.expect_continue {
        write_static(write, b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| None)?;
    }
    read_body(read, buf, &head).await
}

async fn read_body<R: ReadHalf>(read: &mut R, mut buf: Vec<u8>, head: &RequestHead) -> Result<Request, Option<HttpFault>> {
    let (start, keep_alive) = (head.len, head.keep_alive);
    match head.framing {
        Framing::None => Ok(Request { buf, body: start..start, rest: start, keep_alive }),
        Framing::Length(length) => {
            let end = start + usize::try_from(length).unwrap_or(usize::MAX).min(REQUEST_BODY_BYTES);
            while buf.len() < end {
                buf = read_on(read, buf, end).await.ok_or(None)?;
            }
            Ok(Request { buf, body: start..end, rest: end, keep_alive })
        }
        Framing::Chunked => {
            let mut decoder = Chunked::new(REQUEST_BODY_BYTES as u64);
            let (mut end, mut at) = (start, start);
            loop {
                let compacted = compact(&mut decoder, &mut buf, end, at).map_err(Some)?;
                (end, at) = (compacted.payload_end, compacted.rest_start);
                if compacted.done {
                    return Ok(Request { buf, body: start..end, rest: at, keep_alive });
                }
                let more = buf.len() + CLIENT_BUFFER_BYTES;
                buf = read_on(read, buf, more).await.ok_or(None)?;
            }
        }
    }
}

/// Reads once, with room for a buffer of `wanted` bytes; `None` at the end.
async fn read_on<R: ReadHalf>(read: &mut R, mut buf: Vec<u8>, wanted: usize) -> Option<Vec<u8>> {
    if buf.capacity() == buf.len() {
        buf.reserve(wanted.saturating_sub(buf.len()).max(CLIENT_BUFFER_BYTES));
    }
    match read_more(read, buf).await {
        (Ok(0) | Err(_), _) => None,
        (Ok(_), buf) => Some(buf),
    }
}

/// Reads and forgets until the client goes away.
async fn drain<R: ReadHalf>(read: &mut R, mut buf: Vec<u8>) {
    loop {
        buf.clear();
        match read_on(read, buf, CLIENT_BUFFER_BYTES).await {
            Some(same) => buf = same,
            None => return,
        }
    }
}

async fn refuse(write: &mut impl WriteHalf, fault: &HttpFault) {
    let mut out = Vec::new();
    write_status_line(&mut out, fault.status);
    let fields = format!(
        "Content-Type: text/plain\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{}",
        fault.reason.len(),
        fault.reason
    );
    out.extend_from_slice(fields.as_bytes());
    // The client may be gone already; there is nobody else to tell.
    let _ = write_all(write, out).await;
    finish(write).await;
}

/// Says that nothing follows. Fails only when the connection is gone, which is as good.
async fn finish(write: &mut impl WriteHalf) {
    let _ = write.shutdown().await;
}
