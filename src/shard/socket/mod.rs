//! A client's WebSocket: calls in, replies out in the order in which they are ready (docs/behaviour/clients.md#client-sockets).
//!
//! Three kinds of tasks share one `Socket`: the connection's own reads and takes messages apart, each request runs in a
//! task of its own (as many as the profile allows), and one writes. So a slow call holds up no other, and a client that does not read holds
//! up only itself: above a bound of unwritten bytes no more requests are read. The shard's coarse sweep beats: it pings,
//! counts missing pongs, ends what hangs, and tells clients of a drain.

mod handshake;
mod message;
mod outbox;
mod reading;
mod subscription;

pub use handshake::{NoUpgrade, Upgrade, upgrade};
pub use outbox::Payload;
pub use subscription::{SubscriptionId, event_len, write_event};

use crate::base::limits;
use crate::base::time::Instant;
use crate::route::resolve::Route;
use crate::runtime::limiter::ClientKey;
use crate::runtime::world::{Closer, World};
use crate::shard::Shard;
use crate::shard::bell::Bell;
use crate::shard::client_http::Client;
use crate::shard::deadlines::ClientCloser;
use crate::stream::event::BlockHash;
use crate::wire::websocket::{Opcode, Protocol, close_frame, write_frame_head};
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
    /// Whose subscriptions these are, whatever the profile.
    address: ClientKey,
    /// From the address that it connected to: where its subscriptions go on.
    resume: Option<BlockHash>,
    closer: ClientCloser<W>,
    pub outbox: Outbox,
    /// Nobody reads or writes any more: calls under way end.
    is_gone: Rc<Cell<bool>>,
    /// Requests under way, how many there may be, and their bytes.
    calls: Cell<usize>,
    calls_at_work: usize,
    bytes: Cell<usize>,
    /// Messages that wait for their place among them; and for the reader: there may be one.
    held_back: Cell<usize>,
    freed: Bell,
    /// Nothing is read for want of such a place, so no pong can be seen.
    is_unread: Cell<bool>,
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
    let calls_at_work = shard.snapshot().topology.profiles[upgrade.route.profile].ws_calls_at_work as usize;
    let socket = Rc::new(Socket {
        route: upgrade.route,
        region: upgrade.region,
        key: upgrade.key,
        address: upgrade.address,
        resume: upgrade.resume,
        closer,
        outbox: Outbox::new(shard.owed_pongs.clone(), now),
        is_gone: Rc::default(),
        calls: Cell::new(0),
        calls_at_work,
        held_back: Cell::new(0),
        freed: Bell::default(),
        is_unread: Cell::new(false),
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
    let attended = Attended { place: shard.sockets.borrow_mut().insert(socket.clone()), socket };
    let socket = &attended.socket;
    shard.world.spawn("websocket writer", outbox::write(socket.clone(), write));
    let mut protocol = Protocol::server(limits::REQUEST_BODY_BYTES);
    protocol.feed(&upgrade.rest);
    reading::read_messages(socket, read, protocol).await;
}

/// A connection that its shard knows. They hold each other until this is dropped, which happens also where its reader panics,
/// or its shard ends under it.
struct Attended<W: World> {
    socket: Rc<Socket<W>>,
    place: usize,
}

impl<W: World> Drop for Attended<W> {
    fn drop(&mut self) {
        let Attended { socket, place } = self;
        socket.is_gone.set(true);
        socket.outbox.end();
        socket.end_subscriptions();
        socket.shard.fan_out.forget(socket);
        socket.shard.sockets.borrow_mut().try_remove(*place);
    }
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
        if self.outbox.is_slow(now) {
            return self.close_slow(now);
        }
        self.end_if_drained(now);
        self.leave_if_due(now);
        if self.is_unread.get() {
            self.pong_by.set(Instant::NEVER);
        }
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
        if self.shard.node.draining.is_raised() && self.has_no_work() && !self.outbox.has_ended() {
            self.answer_waiting();
            self.close(1001, "the node is stopping", now);
        }
    }

    /// Closes it once its calls in flight are answered, or soon (docs/behaviour/clients.md#client-sockets: within 2 s).
    pub fn leave(&self, code: u16, reason: &str, now: Instant) {
        if !self.is_leaving() {
            let by = now.plus_ms(limits::SOCKET_LEAVE_MS);
            *self.leaving.borrow_mut() = Some(Leaving { code, reason: reason.into(), by });
        }
        self.leave_if_due(now);
    }

    /// Whose it is, whatever the profile.
    pub fn address(&self) -> ClientKey {
        self.address
    }

    fn has_no_work(&self) -> bool {
        self.calls.get() == 0 && self.held_back.get() == 0
    }

    fn is_leaving(&self) -> bool {
        self.leaving.borrow().is_some()
    }

    fn leave_if_due(&self, now: Instant) {
        if let Some(leaving) = &*self.leaving.borrow()
            && !self.outbox.has_ended()
            && (self.has_no_work() || now >= leaving.by)
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
        self.freed.ring();
        self.closer.close();
    }

    /// A part of what is being written was taken.
    fn on_part(&self) {
        self.outbox.on_taken();
        self.begin_write();
    }

    /// Something is being written, or a part of it was taken.
    fn begin_write(&self) {
        self.write_by.set(self.shard.recent().plus_ms(limits::CLIENT_WRITE_TIMEOUT_MS));
    }

    fn end_write(&self) {
        self.write_by.set(Instant::NEVER);
    }
}
