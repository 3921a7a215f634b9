//! What waits to be written to a WebSocket, in order, and the task that writes it.
//!
//! Short frames are put together into one write; a long answer goes out from the buffer it came in. A client that takes
//! nothing for as long as a write may last is closed: its queue is bounded by then, because nothing more is read from it.

use crate::base::limits;
use crate::runtime::bytes_io::{finish_writing, write_all};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::bell::Bell;
use crate::shard::buffers::Size;
use crate::shard::client_http::WriteOf;
use crate::shard::reply::{self, Body};
use crate::shard::socket::Socket;
use crate::shard::socket::subscription::{SubscriptionId, event_len, write_event};
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
    /// One message about a subscription; the payload is shared by all who get it.
    Event(SubscriptionId, Rc<Arc<[u8]>>),
}

impl Item {
    fn len(&self) -> usize {
        match self {
            Item::Frames(bytes) => bytes.len(),
            Item::Reply(body) => body.len(),
            Item::Event(_, payload) => event_len(payload),
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

#[derive(Default)]
pub struct Outbox {
    items: RefCell<VecDeque<Item>>,
    /// Pongs that are owed, the newest of them: what a client that asks and never reads makes us keep is bounded.
    pongs: RefCell<Vec<u8>>,
    debt: PongDebt,
    bytes: Cell<usize>,
    /// Of them, subscription events: how many, and their bytes.
    events: Cell<(usize, usize)>,
    /// Nothing more is taken; what is here is still written.
    has_ended: Cell<bool>,
    /// For the writer: there is something.
    filled: Bell,
    /// For the reader: there is room again.
    drained: Bell,
}

impl Outbox {
    pub fn new(owed_to_all: Rc<Cell<usize>>) -> Outbox {
        let debt = PongDebt { mine: Cell::default(), to_all: owed_to_all };
        Outbox { debt, ..Outbox::default() }
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

    /// False when the client has let too many wait. A connection that has ended takes them and forgets them.
    pub fn push_event(&self, id: SubscriptionId, payload: Rc<Arc<[u8]>>) -> bool {
        if self.has_ended.get() {
            return true;
        }
        let (events, bytes) = self.events.get();
        let (events, bytes) = (events + 1, bytes + event_len(&payload));
        if events > limits::SOCKET_EVENTS || bytes > limits::SOCKET_EVENT_BYTES {
            return false;
        }
        self.events.set((events, bytes));
        self.push(Item::Event(id, payload));
        true
    }

    /// Forgets what is not being written yet.
    pub fn drop_waiting(&self) {
        let items = std::mem::take(&mut *self.items.borrow_mut());
        let bytes = items.iter().map(Item::len).sum::<usize>();
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        self.events.set((0, 0));
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
            self.filled.heard().await;
        }
    }

    fn next_short(&self, room: usize) -> Option<Item> {
        let item = self.items.borrow_mut().pop_front_if(|item| item.len() <= room)?;
        self.taken(&item);
        Some(item)
    }

    fn taken(&self, item: &Item) {
        if let Item::Event(_, payload) = item {
            let (events, bytes) = self.events.get();
            self.events.set((events.saturating_sub(1), bytes.saturating_sub(event_len(payload))));
        }
    }

    fn written(&self, bytes: usize) {
        // What is not waiting any more was among it.
        self.debt.change(self.debt.mine.get(), self.pongs.borrow().len());
        self.bytes.set(self.bytes.get().saturating_sub(bytes));
        self.drained.ring();
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
    }
    // A client that is gone already needs no end.
    let _ = finish_writing(&mut to).await;
}

/// As many frames as fit one buffer; says how many bytes beyond the first item's they were.
async fn write_short<W: World>(socket: &Socket<W>, to: &mut WriteOf<W>, first: Item) -> (bool, usize) {
    let shard = &socket.shard;
    let mut out = shard.buffers.take(Size::Client);
    append(shard, &mut out, first);
    let mut more = 0;
    while let Some(item) = socket.outbox.next_short(limits::COALESCE_BYTES.saturating_sub(out.len())) {
        more += item.len();
        append(shard, &mut out, item);
    }
    let (result, out) = write_all(to, out).await;
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
        Item::Event(id, payload) => {
            write_frame_head(out, Opcode::Text, event_len(&payload));
            write_event(out, id, &payload);
        }
    }
}

async fn write_long<W: World>(socket: &Socket<W>, to: &mut WriteOf<W>, body: Body) -> bool {
    let shard = &socket.shard;
    let mut head = shard.buffers.take(Size::Client);
    write_frame_head(&mut head, Opcode::Text, body.len());
    reply::write_gathered(shard, to, head, body, || socket.begin_write()).await
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
        let clients: Vec<Outbox> = (0..500).map(|_| Outbox::new(all.clone())).collect();
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
}
