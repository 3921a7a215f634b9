//! What waits to be written to a WebSocket, in order, and the task that writes it.
//!
//! Short frames are put together into one write, more of them where much waits; a long answer goes out from the buffer it
//! came in. A client that takes nothing for as long as a write may last is closed: its queue is bounded by then, because
//! nothing more is read from it. What events hold is counted for all queues of the shard, by whoever holds it: a payload once,
//! and each place in a queue.

use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::runtime::bytes_io::{finish_writing, write_all_by_parts};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::bell::Bell;
use crate::shard::buffers::Size;
use crate::shard::client_http::WriteOf;
use crate::shard::reply::{self, Body};
use crate::shard::socket::Socket;
use crate::shard::socket::subscription::{SubscriptionId, event_len, write_event};
use crate::stream::backlog::{ReaderPace, Unread};
use crate::wire::websocket::{Opcode, Owed, keep_newest, write_frame_head};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

enum Item {
    /// Whole frames.
    Frames(Vec<u8>),
    /// One text message.
    Reply(Body),
    /// One message about a subscription.
    Event(SubscriptionId, Queued),
}

/// An event's payload, shared by all of the shard who get it.
pub struct Payload {
    bytes: Arc<[u8]>,
    /// What all queues of the shard hold.
    held: Rc<Cell<usize>>,
}

impl Payload {
    pub fn new(bytes: Arc<[u8]>, held: &Rc<Cell<usize>>) -> Rc<Payload> {
        held.set(held.get() + bytes.len());
        Rc::new(Payload { bytes, held: held.clone() })
    }
}

impl Drop for Payload {
    fn drop(&mut self) {
        self.held.set(self.held.get().saturating_sub(self.bytes.len()));
    }
}

/// A payload's place in one queue.
struct Queued(Rc<Payload>);

impl Queued {
    fn new(payload: Rc<Payload>) -> Queued {
        payload.held.set(payload.held.get() + size_of::<Item>());
        Queued(payload)
    }

    fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.held.set(self.0.held.get().saturating_sub(size_of::<Item>()));
    }
}

/// What came of an event's queueing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Queueing {
    Done,
    /// So much waits now that the client must be reading.
    Crowded,
    /// It was not taken: more waits than anybody may let wait.
    Full,
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Frames(bytes) => bytes.len(),
            Item::Reply(body) => body.len(),
            Item::Event(_, queued) => event_len(queued.bytes()),
        }
    }
}

/// Bytes of pongs that wait or are being written: one client's, and those of all clients of the shard, which are bounded together.
#[derive(Default)]
struct PongDebt {
    mine: Cell<usize>,
    to_all: Rc<Cell<usize>>,
}

impl PongDebt {
    /// So many bytes in the place of so many.
    fn change(&self, before: usize, after: usize) {
        [&self.mine, &*self.to_all].iter().for_each(|sum| sum.set((sum.get() + after).saturating_sub(before)));
    }
}

impl Drop for PongDebt {
    fn drop(&mut self) {
        self.change(self.mine.get(), 0);
    }
}

pub struct Outbox {
    items: RefCell<VecDeque<Item>>,
    /// Pongs that are owed, the newest of them: what a client that asks and never reads makes us keep is bounded.
    pongs: RefCell<Vec<u8>>,
    debt: PongDebt,
    bytes: Cell<usize>,
    /// The part of them that is subscription events.
    unread: Cell<Unread>,
    pace: Cell<ReaderPace>,
    /// The client has taken something since the last look, or events have begun to wait.
    has_moved: Cell<bool>,
    /// Much waits, or waited and was not taken yet.
    is_crowded: Cell<bool>,
    /// Nothing more is taken; what is here is still written.
    has_ended: Cell<bool>,
    /// For the writer: there is something.
    filled: Bell,
    /// For the reader: there is room again.
    drained: Bell,
}

impl Outbox {
    pub fn new(owed_to_all: Rc<Cell<usize>>, now: Instant) -> Outbox {
        Outbox {
            items: RefCell::default(),
            pongs: RefCell::default(),
            debt: PongDebt { mine: Cell::default(), to_all: owed_to_all },
            bytes: Cell::default(),
            unread: Cell::default(),
            pace: Cell::new(ReaderPace::new(now)),
            has_moved: Cell::default(),
            is_crowded: Cell::default(),
            has_ended: Cell::default(),
            filled: Bell::default(),
            drained: Bell::default(),
        }
    }

    pub fn push_frames(&self, bytes: Vec<u8>) {
        self.push(Item::Frames(bytes));
    }

    /// Answers to control frames: pongs, in the place of older ones where there is no room for all, and a close.
    pub fn owe(&self, owed: Owed) {
        if !owed.pongs.is_empty() && !self.has_ended.get() {
            let mut pongs = self.pongs.borrow_mut();
            let before = pongs.len();
            pongs.extend_from_slice(&owed.pongs);
            let is_plenty = self.debt.to_all.get() < limits::PONGS_BYTES;
            keep_newest(&mut pongs, if is_plenty { limits::SOCKET_PONGS_BYTES } else { limits::PONG_BYTES });
            self.debt.change(before, pongs.len());
            self.filled.ring();
        }
        if !owed.close.is_empty() {
            self.push_frames(owed.close);
        }
    }

    pub fn push_reply(&self, body: Body) {
        self.push(Item::Reply(body));
    }

    /// A connection that has ended takes events and forgets them.
    pub fn push_event(&self, id: SubscriptionId, payload: Rc<Payload>) -> Queueing {
        if self.has_ended.get() {
            return Queueing::Done;
        }
        let before = self.unread.get();
        let unread = before.plus(event_len(&payload.bytes));
        if unread.is_too_much() {
            return Queueing::Full;
        }
        if before.events == 0 {
            self.has_moved.set(true);
        }
        self.unread.set(unread);
        self.push(Item::Event(id, Queued::new(payload)));
        if unread.is_much() && !self.is_crowded.replace(true) { Queueing::Crowded } else { Queueing::Done }
    }

    /// How it reads, as of now.
    fn look(&self, now: Instant) -> ReaderPace {
        let mut pace = self.pace.get();
        pace.look(self.has_moved.take(), now);
        self.pace.set(pace);
        pace
    }

    /// A part of what waits was taken.
    pub fn on_taken(&self) {
        self.has_moved.set(true);
    }

    pub fn is_slow(&self, now: Instant) -> bool {
        self.look(now).is_slow(self.unread.get(), now)
    }

    /// For so long it has taken nothing; nothing is asked of one without events.
    pub fn still(&self, now: Instant) -> Option<Duration> {
        (self.unread.get().events > 0 && !self.has_ended.get()).then(|| self.look(now).still(now))
    }

    /// Whether others are held up until it has taken what it has.
    pub fn is_waited_for(&self, now: Instant) -> bool {
        self.look(now).is_waited_for(now)
    }

    /// Others were held up for it.
    pub fn was_waited_for(&self, time: Duration) {
        let mut pace = self.pace.get();
        pace.was_waited_for(time);
        self.pace.set(pace);
    }

    /// Not crowded any more: it has taken most of it, or has ended.
    pub fn is_eased(&self) -> bool {
        self.has_ended.get() || self.unread.get().is_eased()
    }

    /// It is in the crowd, and need not be.
    fn has_eased(&self) -> bool {
        self.is_crowded.get() && self.is_eased()
    }

    /// It leaves the crowd.
    pub fn on_eased(&self) {
        let mut pace = self.pace.get();
        pace.on_eased();
        self.pace.set(pace);
        self.is_crowded.set(false);
    }

    /// Forgets what is not being written yet.
    pub fn drop_waiting(&self) {
        let items = std::mem::take(&mut *self.items.borrow_mut());
        let bytes = items.iter().map(Item::len).sum::<usize>();
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        self.unread.set(Unread::default());
    }

    fn push(&self, item: Item) {
        if !self.has_ended.get() {
            self.bytes.set(self.bytes.get() + item.len());
            self.items.borrow_mut().push_back(item);
            self.filled.ring();
        }
    }

    /// The writer ends after what is here.
    pub fn end(&self) {
        self.has_ended.set(true);
        self.filled.ring();
        self.drained.ring();
    }

    pub fn has_ended(&self) -> bool {
        self.has_ended.get()
    }

    /// Resolves when little enough waits to go on reading.
    pub async fn has_room(&self) {
        while self.bytes.get() > limits::SOCKET_OUTBOX_BYTES && !self.has_ended.get() {
            self.drained.heard().await;
        }
    }

    async fn next(&self) -> Option<Item> {
        loop {
            let pongs = self.pongs.take();
            if !pongs.is_empty() {
                self.bytes.set(self.bytes.get() + pongs.len());
                return Some(Item::Frames(pongs));
            }
            if let Some(item) = self.items.borrow_mut().pop_front() {
                self.taken(&item);
                return Some(item);
            }
            if self.has_ended.get() {
                return None;
            }
            // What a burst has grown is given back.
            self.items.borrow_mut().shrink_to(limits::SOCKET_QUEUE_KEPT);
            self.filled.heard().await;
        }
    }

    fn next_short(&self, room: usize) -> Option<Item> {
        let item = self.items.borrow_mut().pop_front_if(|item| item.len() <= room)?;
        self.taken(&item);
        Some(item)
    }

    fn taken(&self, item: &Item) {
        if let Item::Event(_, queued) = item {
            self.unread.set(self.unread.get().minus(event_len(queued.bytes())));
        }
    }

    fn written(&self, bytes: usize) {
        // What is not waiting any more was among it.
        self.debt.change(self.debt.mine.get(), self.pongs.borrow().len());
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        self.drained.ring();
    }

    /// More waits than a short write takes.
    fn is_burst(&self) -> bool {
        self.bytes.get() > limits::CLIENT_BUFFER_BYTES
    }
}

/// Writes until the outbox has ended or the client is gone.
pub async fn write<W: World>(socket: Rc<Socket<W>>, mut to: WriteOf<W>) {
    while let Some(item) = socket.outbox.next().await {
        let waiting = item.len();
        socket.begin_write();
        let (sent, more) = match item {
            Item::Reply(body) if body.len() > limits::COALESCE_BYTES => (write_long(&socket, &mut to, body).await, 0),
            item => write_short(&socket, &mut to, item).await,
        };
        socket.end_write();
        socket.outbox.written(waiting + more);
        if !sent {
            return socket.lose();
        }
        if socket.outbox.has_eased() {
            socket.shard.fan_out.ease();
        }
    }
    // A client that is gone already needs no end.
    let _ = finish_writing(&mut to).await;
}

/// As many frames as fit one buffer; says how many bytes beyond the first item's they were.
async fn write_short<W: World>(socket: &Socket<W>, to: &mut WriteOf<W>, first: Item) -> (bool, usize) {
    let shard = &socket.shard;
    let (size, most) = match socket.outbox.is_burst() && shard.fan_out.begin_burst() {
        true => (Size::Upstream, limits::BURST_WRITE_BYTES),
        false => (Size::Client, limits::COALESCE_BYTES),
    };
    let mut out = shard.buffers.take(size);
    append(shard, &mut out, first);
    let mut more = 0;
    while let Some(item) = socket.outbox.next_short(most.saturating_sub(out.len())) {
        more += item.len();
        append(shard, &mut out, item);
    }
    let (result, out) = write_all_by_parts(to, out, || socket.on_part()).await;
    if size == Size::Upstream {
        shard.fan_out.end_burst();
    }
    shard.buffers.give(out);
    (result.is_ok(), more)
}

fn append<W: World>(shard: &Shard<W>, out: &mut Vec<u8>, item: Item) {
    match item {
        Item::Frames(bytes) => out.extend_from_slice(&bytes),
        Item::Reply(body) => {
            write_frame_head(out, Opcode::Text, body.len());
            shard.buffers.give(body.append_to(out));
        }
        Item::Event(id, queued) => {
            let payload = queued.bytes();
            write_frame_head(out, Opcode::Text, event_len(payload));
            write_event(out, id, payload);
        }
    }
}

async fn write_long<W: World>(socket: &Socket<W>, to: &mut WriteOf<W>, body: Body) -> bool {
    let shard = &socket.shard;
    let mut head = shard.buffers.take(Size::Client);
    write_frame_head(&mut head, Opcode::Text, body.len());
    reply::write_gathered(shard, to, head, body, || socket.on_part()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(outbox: &Outbox, count: usize) {
        let mut pong = vec![0x8a, 125];
        pong.resize(limits::PONG_BYTES, b'p');
        outbox.owe(Owed { pongs: pong.repeat(count), close: Vec::new() });
    }

    #[test]
    fn pongs_that_many_clients_do_not_read_are_bounded_together() {
        let all: Rc<Cell<usize>> = Rc::default();
        let clients: Vec<Outbox> = (0..500).map(|_| Outbox::new(all.clone(), Instant::ZERO)).collect();
        for _ in 0..4 {
            clients.iter().for_each(|client| ping(client, 30));
        }
        let waiting = || clients.iter().map(|client| client.pongs.borrow().len()).sum::<usize>();
        assert_eq!(all.get(), waiting());
        assert!(all.get() <= limits::PONGS_BYTES + limits::SOCKET_PONGS_BYTES + 500 * limits::PONG_BYTES, "{}", all.get());
        assert!(clients.iter().all(|client| client.pongs.borrow().len() >= limits::PONG_BYTES), "everybody is owed one");
        // Those that are being written count until they are.
        let taken = clients[0].pongs.take().len();
        assert_eq!(all.get(), waiting() + taken);
        ping(&clients[0], 1);
        clients[0].written(taken);
        assert_eq!(all.get(), waiting());
        drop(clients);
        assert_eq!(all.get(), 0);
    }
    #[test]
    fn what_queues_hold_is_counted_once_for_all_who_share_it_and_for_nobody_who_has_gone() {
        let held: Rc<Cell<usize>> = Rc::default();
        let clients: Vec<Outbox> = (0..3).map(|_| Outbox::new(Rc::default(), Instant::ZERO)).collect();
        let payload = Payload::new(vec![b'x'; 1_000].into(), &held);
        let id = SubscriptionId([7; 16]);
        clients.iter().for_each(|client| assert_eq!(client.push_event(id, payload.clone()), Queueing::Done));
        drop(payload);
        let place = size_of::<Item>();
        assert_eq!(held.get(), 1_000 + 3 * place);
        clients[0].drop_waiting();
        assert!(clients[1].next_short(usize::MAX).is_some());
        assert_eq!(held.get(), 1_000 + place);
        drop(clients);
        assert_eq!(held.get(), 0);
    }

    #[test]
    fn a_burst_crowds_a_queue_and_only_what_is_beyond_its_last_bound_is_refused() {
        let (held, client) = (Rc::default(), Outbox::new(Rc::default(), Instant::ZERO));
        let push = || client.push_event(SubscriptionId([7; 16]), Payload::new(vec![b'x'].into(), &held));
        let came: Vec<Queueing> = (0..=limits::SOCKET_EVENTS_MAX).map(|_| push()).collect();
        let crowded = came.iter().position(|queueing| *queueing == Queueing::Crowded);
        assert_eq!((crowded, came.last()), (Some(limits::SOCKET_EVENTS), Some(&Queueing::Full)));
        assert_eq!(came.iter().filter(|queueing| **queueing == Queueing::Done).count(), limits::SOCKET_EVENTS_MAX - 1);
        // It reads: most of it has gone.
        let now = Instant::ZERO.plus_ms(100);
        assert!(client.is_waited_for(now) && !client.is_eased());
        while client.unread.get().events > limits::SOCKET_EVENTS / 2 {
            assert!(client.next_short(usize::MAX).is_some());
        }
        assert!(client.is_eased());
        client.on_eased();
        assert!(!client.is_crowded.get());
        // It does not any more.
        assert!(!client.is_waited_for(now.plus_ms(limits::SOCKET_WAITED_MS)));
    }
}
