//! A client's WebSocket: calls in, replies out in the order in which they are ready (CONTRACT §6).
//!
//! Three kinds of tasks share one `Socket`: the connection's own reads and takes messages apart, each request runs in a
//! task of its own (at most 32), and one writes. So a slow call holds up no other, and a client that does not read holds
//! up only itself: above a bound of unwritten bytes no more requests are read. The shard's coarse sweep beats: it pings,
//! counts missing pongs, ends what hangs, and tells clients of a drain.

mod handshake;
mod message;
mod outbox;
mod subscription;

pub use handshake::{NoUpgrade, Upgrade, upgrade};
pub use subscription::SubscriptionId;

use crate::base::limits;
use crate::base::time::Instant;
use crate::route::resolve::Route;
use crate::runtime::bytes_io::read_more;
use crate::runtime::limiter::ClientKey;
use crate::runtime::world::{Closer, ReadHalf, World};
use crate::shard::Shard;
use crate::shard::buffers::Size;
use crate::shard::client_http::{Client, ReadOf};
use crate::shard::deadlines::ClientCloser;
use crate::wire::websocket::{Event, Opcode, Protocol, close_frame, write_frame_head};
use outbox::Outbox;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

pub struct Socket<W: World> {
    shard: Rc<Shard<W>>,
    route: Route,
    /// The region that the client asked for, or empty.
    region: Box<str>,
    /// Whom the client limit counts.
    key: ClientKey,
    closer: ClientCloser<W>,
    outbox: Outbox,
    /// Nobody reads or writes any more: calls under way end.
    is_gone: Rc<Cell<bool>>,
    /// Requests under way, and their bytes.
    calls: Cell<usize>,
    bytes: Cell<usize>,
    ping_at: Cell<Instant>,
    pong_by: Cell<Instant>,
    misses: Cell<u8>,
    /// When what is being written must have been taken.
    write_by: Cell<Instant>,
    /// After our close: when the client's must have come.
    end_by: Cell<Instant>,
    subscriptions: RefCell<Vec<subscription::Held>>,
    /// To be closed so, once its calls in flight are answered or some time has passed.
    leaving: RefCell<Option<Leaving>>,
}

struct Leaving {
    code: u16,
    reason: Box<str>,
    by: Instant,
}

/// Serves a connection that has been upgraded, to its end.
pub async fn converse<W: World>(client: Client<W>, upgrade: Upgrade) {
    let (shard, read, write, closer) = client.into_halves();
    let now = shard.now();
    let socket = Rc::new(Socket {
        route: upgrade.route,
        region: upgrade.region,
        key: upgrade.key,
        closer,
        outbox: Outbox::default(),
        is_gone: Rc::default(),
        calls: Cell::new(0),
        bytes: Cell::new(0),
        ping_at: Cell::new(now.plus_ms(limits::SOCKET_PING_MS)),
        pong_by: Cell::new(Instant::NEVER),
        misses: Cell::new(0),
        write_by: Cell::new(Instant::NEVER),
        end_by: Cell::new(Instant::NEVER),
        subscriptions: RefCell::default(),
        leaving: RefCell::default(),
        shard: shard.clone(),
    });
    let place = shard.sockets.borrow_mut().insert(socket.clone());
    shard.world.spawn("websocket writer", outbox::write(socket.clone(), write));
    let mut protocol = Protocol::server(limits::REQUEST_BODY_BYTES);
    protocol.feed(&upgrade.rest);
    read_messages(&socket, read, protocol).await;
    socket.is_gone.set(true);
    socket.outbox.end();
    socket.end_subscriptions();
    shard.sockets.borrow_mut().try_remove(place);
}

async fn read_messages<W: World>(socket: &Rc<Socket<W>>, mut read: ReadOf<W>, mut protocol: Protocol) {
    let shard = &socket.shard;
    // Of the message that is coming: its bytes so far, and their charge to the node's budget.
    let (mut bytes, mut permit) = (0, None);
    loop {
        while let Some(event) = protocol.event() {
            match event {
                // After our close what still comes is read and not answered.
                Event::Message(_) if socket.outbox.has_ended() => {}
                Event::Message(body) => {
                    bytes = 0;
                    message::take(socket, body, permit.take());
                    socket.outbox.has_room().await;
                }
                Event::Pong => {
                    socket.misses.set(0);
                    socket.pong_by.set(Instant::NEVER);
                }
                Event::End => {}
            }
        }
        let answers = protocol.take_outgoing();
        if !answers.is_empty() {
            socket.outbox.push_frames(answers);
        }
        if protocol.has_ended() {
            socket.outbox.end();
            return linger(socket, read).await;
        }
        if read.readable().await.is_err() {
            return;
        }
        let mut buf = shard.buffers.take(Size::Client);
        buf.clear();
        let (result, buf) = read_more(&mut read, buf).await;
        if matches!(result, Ok(1..)) {
            protocol.feed(&buf);
        }
        bytes += buf.len();
        shard.buffers.give(buf);
        if !matches!(result, Ok(1..)) {
            return;
        }
        let Some(charged) = shard.charge_body(bytes, permit.take()) else {
            socket.close(1013, "the node has no room for this message now", shard.now());
            return linger(socket, read).await;
        };
        permit = charged;
    }
}

/// Reads away what still comes after the last frame, so that it is not lost to a reset.
async fn linger<W: World>(socket: &Rc<Socket<W>>, mut read: ReadOf<W>) {
    socket.end_by.set(socket.shard.now().plus_ms(limits::LINGER_MS));
    let mut left = limits::LINGER_BYTES;
    let mut buf = socket.shard.buffers.take(Size::Client);
    while left > 0 {
        buf.clear();
        let (result, more) = read_more(&mut read, buf).await;
        buf = more;
        match result {
            Ok(n @ 1..) => left = left.saturating_sub(n),
            _ => break,
        }
    }
    socket.shard.buffers.give(buf);
}

impl<W: World> Socket<W> {
    /// What time asks of it; called by the shard's coarse sweep.
    pub fn beat(&self, now: Instant) {
        if now >= self.write_by.get() || now >= self.end_by.get() {
            return self.lose();
        }
        if self.outbox.has_ended() {
            return;
        }
        self.end_if_drained(now);
        self.leave_if_due(now);
        if now >= self.pong_by.get() {
            self.misses.set(self.misses.get() + 1);
            self.pong_by.set(Instant::NEVER);
            if self.misses.get() >= limits::SOCKET_MISSES {
                return self.close(1002, "Heartbeat timeout - no pong responses", now);
            }
        }
        if now >= self.ping_at.get() {
            let mut ping = Vec::with_capacity(2);
            write_frame_head(&mut ping, Opcode::Ping, 0);
            self.outbox.push_frames(ping);
            self.ping_at.set(now.plus_ms(limits::SOCKET_PING_MS));
            self.pong_by.set(now.plus_ms(limits::SOCKET_PONG_MS));
        }
    }

    /// At a drain, once what is under way has been answered.
    fn end_if_drained(&self, now: Instant) {
        if self.shard.node.draining.is_raised() && self.calls.get() == 0 && !self.outbox.has_ended() {
            self.answer_waiting();
            self.close(1001, "the node is stopping", now);
        }
    }

    /// Closes it once its calls in flight are answered, or soon (CONTRACT §6: within 2 s).
    pub fn leave(&self, code: u16, reason: &str, now: Instant) {
        if !self.is_leaving() {
            let by = now.plus_ms(limits::SOCKET_LEAVE_MS);
            *self.leaving.borrow_mut() = Some(Leaving { code, reason: reason.into(), by });
        }
        self.leave_if_due(now);
    }

    fn is_leaving(&self) -> bool {
        self.leaving.borrow().is_some()
    }

    fn leave_if_due(&self, now: Instant) {
        if let Some(leaving) = &*self.leaving.borrow()
            && !self.outbox.has_ended()
            && (self.calls.get() == 0 || now >= leaving.by)
        {
            self.answer_waiting();
            self.close(leaving.code, &leaving.reason, now);
        }
    }

    /// Says why, and ends when the client has answered or a moment has passed.
    pub fn close(&self, code: u16, reason: &str, now: Instant) {
        self.outbox.push_frames(close_frame(code, reason));
        self.outbox.end();
        self.end_by.set(now.plus_ms(limits::LINGER_MS));
    }

    /// Ends it at once.
    pub fn lose(&self) {
        self.is_gone.set(true);
        self.outbox.end();
        self.closer.close();
    }

    fn begin_write(&self) {
        self.write_by.set(self.shard.recent().plus_ms(limits::CLIENT_WRITE_TIMEOUT_MS));
    }

    fn end_write(&self) {
        self.write_by.set(Instant::NEVER);
    }
}
