//! A provider behind a WebSocket, over any `World`: the same provider on the same port, reached by an upgrade.
//!
//! A connection is a reader, a writer, a task for each message (answers come in the order in which they are ready), and a
//! ticker that looks now and then whether the subscriptions have something to be told. Looking was chosen over being told:
//! what a provider sees changes with time and with its knobs. Like the HTTP half it has no timeouts and no heartbeats of its
//! own. It ends with its peer, with the provider's restart, or as a fault says; a peer that does not read is cut off.

use super::feeds::Feeds;
use super::frames;
use super::framing::{End, Plan, Step};
use super::provider::Asked;
use super::server::Seat;
use crate::base::limits::{CLIENT_BUFFER_BYTES, MODEL_FEED_IDLE_MS, MODEL_FEED_LOOK_MS, MODEL_SOCKET_OUTBOX};
use crate::base::time::Duration;
use crate::runtime::bytes_io::{finish_writing, read_more, write_all};
use crate::runtime::world::{Duplex, ReadHalf, World, WriteHalf};
use crate::shard::Bell;
use crate::wire::http::{Field, HttpFault, RequestHead, write_status_line};
use crate::wire::websocket::{Event, Protocol, accept_key};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

type CloserOf<W> = <<W as World>::Stream as Duplex>::Closer;

struct Outgoing {
    plan: Plan,
    /// The request that it answers.
    request: Option<u64>,
}

pub struct Socket<W: World> {
    seat: Seat<W>,
    number: u64,
    closer: CloserOf<W>,
    /// The provider's count of restarts when it began.
    born_in: u64,
    feeds: Feeds,
    outbox: RefCell<VecDeque<Outgoing>>,
    filled: Bell,
    /// The reader has ended: nobody is there any more.
    is_gone: Cell<bool>,
    /// Nothing is written any more, and the connection stays open.
    is_mute: Cell<bool>,
}

const NO_UPGRADE: HttpFault = HttpFault { status: 400, reason: "not a WebSocket handshake" };

/// The head that accepts an upgrade.
pub fn accept(head: &RequestHead, buf: &[u8]) -> Result<Vec<u8>, HttpFault> {
    let field = |field| head.field(field).of(buf);
    let is_asked = field(Field::Upgrade).eq_ignore_ascii_case(b"websocket") && field(Field::SecWebsocketVersion) == b"13";
    let key = accept_key(field(Field::SecWebsocketKey)).filter(|_| is_asked).ok_or(NO_UPGRADE)?;
    let mut out = Vec::new();
    write_status_line(&mut out, 101);
    let fields = format!("Upgrade: websocket\r\nConnection: Upgrade\r\nServer: model\r\nSec-WebSocket-Accept: {key}\r\n\r\n");
    out.extend_from_slice(fields.as_bytes());
    Ok(out)
}

/// Serves a connection that was upgraded with `head`; `rest` came behind the request.
pub async fn run<W: World>(
    seat: Seat<W>,
    number: u64,
    closer: CloserOf<W>,
    mut read: impl ReadHalf,
    write: impl WriteHalf,
    head: Vec<u8>,
    rest: &[u8],
) {
    let (world, born_in) = (seat.server().world.clone(), seat.server().provider.restarts());
    let socket = Rc::new(Socket {
        seat,
        number,
        closer,
        born_in,
        feeds: Feeds::default(),
        outbox: RefCell::default(),
        filled: Bell::default(),
        is_gone: Cell::new(false),
        is_mute: Cell::new(false),
    });
    socket.seat.server().provider.connected(number, true);
    socket.push(frames::send(head), None);
    world.spawn("model-writer", socket.clone().write(write));
    world.spawn("model-ticker", socket.clone().tick());
    socket.read(&mut read, rest).await;
    socket.is_gone.set(true);
    socket.filled.ring();
    let provider = &socket.seat.server().provider;
    provider.forget(&socket.feeds, number);
    provider.connected(number, false);
}

impl<W: World> Socket<W> {
    async fn read(self: &Rc<Self>, read: &mut impl ReadHalf, rest: &[u8]) {
        let mut protocol = Protocol::server(self.seat.server().provider.socket_message_bytes());
        protocol.feed(rest);
        let (mut earlier, mut buf) = (0, Vec::with_capacity(CLIENT_BUFFER_BYTES));
        loop {
            while let Some(event) = protocol.event() {
                match event {
                    Event::Message(body) => {
                        self.take(&body, earlier);
                        earlier += 1;
                    }
                    Event::Pong | Event::Skipping(_) | Event::Skipped(_) => {}
                    Event::End => return self.push(Plan { end: End::Close, ..frames::send(protocol.take_outgoing()) }, None),
                }
            }
            let answers = protocol.take_outgoing();
            if !answers.is_empty() {
                self.push(frames::send(answers), None);
            }
            buf.clear();
            buf = match read_more(read, buf).await {
                (Ok(1..), buf) => buf,
                (Ok(0) | Err(_), _) => return,
            };
            protocol.feed(&buf);
        }
    }

    /// One message: a call or a batch. Its answer comes when its time has come.
    fn take(self: &Rc<Self>, body: &[u8], earlier: u32) {
        let server = self.seat.server();
        let (now, connection) = (server.world.now(), self.number);
        let asked = Asked { body, connection, earlier, keep_alive: true, now, feeds: Some(&self.feeds) };
        let (request, plan) = server.provider.serve(&asked);
        let socket = self.clone();
        server.world.spawn("model-answer", async move {
            let world = &socket.seat.server().world;
            if plan.delay > Duration::ZERO {
                world.sleep_until(now + plan.delay).await;
            }
            // What happened before the answer is told before it; what it opens is told after it.
            socket.tell();
            socket.push(plan, Some(request));
            socket.seat.server().provider.open(&socket.feeds, request, world.now());
        });
    }

    fn tell(&self) {
        let server = self.seat.server();
        for plan in server.provider.tell(&self.feeds, server.world.now()) {
            self.push(plan, None);
        }
    }

    async fn tick(self: Rc<Self>) {
        let server = self.seat.server();
        loop {
            let pause_ms = if self.feeds.is_empty() { MODEL_FEED_IDLE_MS } else { MODEL_FEED_LOOK_MS };
            server.world.sleep_until(server.world.now().plus_ms(pause_ms)).await;
            if self.is_gone.get() {
                return;
            }
            if server.provider.is_down() || server.provider.restarts() != self.born_in {
                return (server.cut)(&self.closer);
            }
            self.tell();
        }
    }

    fn push(&self, plan: Plan, request: Option<u64>) {
        let mut outbox = self.outbox.borrow_mut();
        if outbox.len() >= MODEL_SOCKET_OUTBOX && !self.is_mute.get() {
            return (self.seat.server().cut)(&self.closer);
        }
        if !self.is_mute.get() {
            outbox.push_back(Outgoing { plan, request });
            self.filled.ring();
        } else if let Some(request) = request {
            self.seat.server().provider.ended(request, false);
        }
    }

    async fn next(&self) -> Option<Outgoing> {
        loop {
            if let Some(next) = self.outbox.borrow_mut().pop_front() {
                return Some(next);
            }
            if self.is_gone.get() {
                return None;
            }
            self.filled.heard().await;
        }
    }

    async fn write(self: Rc<Self>, mut write: impl WriteHalf) {
        let server = self.seat.server();
        while let Some(Outgoing { plan, request }) = self.next().await {
            let mut is_sent = true;
            for step in plan.steps {
                match step {
                    Step::Send(bytes) => is_sent = is_sent && write_all(&mut write, bytes).await.0.is_ok(),
                    Step::Pause(pause) => server.world.sleep_until(server.world.now() + pause).await,
                }
            }
            if let Some(request) = request {
                server.provider.ended(request, is_sent);
            }
            match plan.end {
                End::KeepAlive if is_sent => {}
                End::Silence if is_sent => self.abandon(),
                End::Close if is_sent => {
                    self.abandon();
                    // Fails only when the peer is gone, which is as good.
                    return drop(finish_writing(&mut write).await);
                }
                _ => {
                    self.abandon();
                    return (server.cut)(&self.closer);
                }
            }
        }
        self.abandon();
    }

    /// Nothing is sent any more, so nothing is subscribed to.
    fn abandon(&self) {
        self.is_mute.set(true);
        self.seat.server().provider.forget(&self.feeds, self.number);
        for waiting in self.outbox.take() {
            if let Some(request) = waiting.request {
                self.seat.server().provider.ended(request, false);
            }
        }
    }
}
