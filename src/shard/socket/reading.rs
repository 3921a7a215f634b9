//! A client's bytes to messages, and as many of these at work at a time as may be.
//!
//! Beyond that what comes is held, a little of it, and then left to the kernel, so that the client's own writes wait: a
//! client that sends a thousand calls at once gets a thousand answers. Refusing was rejected: clients do not know the bound.
//! While there is room to hold more, pings between the messages are still seen and answered; once there is none, a missing
//! pong says nothing about the client and is not counted. What a message holds of memory is charged to the node while it
//! comes, its own bytes only: control frames hold nothing and are charged to nobody.

use crate::base::limits;
use crate::base::time::Instant;
use crate::runtime::budget::Permit;
use crate::runtime::bytes_io::read_more;
use crate::runtime::world::{ReadHalf, World};
use crate::shard::buffers::Size;
use crate::shard::client_http::ReadOf;
use crate::shard::socket::{Socket, message};
use crate::wire::websocket::{Event, Protocol};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

/// Messages that wait until others are answered.
#[derive(Default)]
struct HeldBack {
    messages: VecDeque<(Vec<u8>, Option<Permit>)>,
    bytes: usize,
}

/// What a message costs beside its bytes.
const MESSAGE_BYTES: usize = 64;

impl HeldBack {
    fn push(&mut self, body: Vec<u8>, permit: Option<Permit>) {
        self.bytes += body.len() + MESSAGE_BYTES;
        self.messages.push_back((body, permit));
    }

    /// Whether one more may be held.
    fn has_room(&self) -> bool {
        self.bytes < limits::SOCKET_AHEAD_BYTES
    }

    /// Hands on what may be at work.
    fn let_go<W: World>(&mut self, socket: &Rc<Socket<W>>) {
        while self.messages.front().is_some_and(|(body, _)| socket.has_room_for(body.len()))
            && let Some((body, permit)) = self.messages.pop_front()
        {
            self.bytes -= body.len() + MESSAGE_BYTES;
            message::take(socket, body, permit);
        }
        if socket.outbox.has_ended() {
            *self = HeldBack::default();
        }
        socket.held_back.set(self.messages.len());
    }
}

/// Reads until the connection or the conversation ends.
pub(super) async fn read_messages<W: World>(socket: &Rc<Socket<W>>, mut read: ReadOf<W>, mut protocol: Protocol) {
    let shard = &socket.shard;
    let (mut held, mut permit) = (HeldBack::default(), None);
    loop {
        held.let_go(socket);
        while held.has_room()
            && let Some(event) = protocol.event()
        {
            match event {
                // After our close what still comes is read and not answered.
                Event::Message(_) if socket.outbox.has_ended() => {}
                Event::Message(body) => {
                    held.push(body, permit.take());
                    held.let_go(socket);
                    socket.outbox.has_room().await;
                }
                Event::Pong => socket.note_pong(),
                Event::Skipping(_) | Event::Skipped(_) | Event::End => {}
            }
        }
        socket.outbox.owe(protocol.take_owed());
        if protocol.has_ended() {
            socket.outbox.end();
            return linger(socket, read).await;
        }
        socket.outbox.has_room().await;
        match until_news(socket, &mut read, &held).await {
            Ok(News::Bytes) => {}
            Ok(News::Room) => continue,
            Err(_) => return,
        }
        let mut buf = shard.buffers.take(Size::Client);
        buf.clear();
        let (result, buf) = read_more(&mut read, buf).await;
        if matches!(result, Ok(1..)) {
            protocol.feed(&buf);
        }
        shard.buffers.give(buf);
        if !matches!(result, Ok(1..)) {
            return;
        }
        let Some(charged) = shard.charge_body(protocol.held(), permit.take()) else {
            socket.close(1013, "the node has no room for this message now", shard.now());
            return linger(socket, read).await;
        };
        permit = charged;
    }
}

/// What a reader waits for.
enum News {
    Bytes,
    /// A call was answered, and a message waits for its place.
    Room,
}

async fn until_news<W: World>(socket: &Socket<W>, read: &mut ReadOf<W>, held: &HeldBack) -> std::io::Result<News> {
    if held.messages.is_empty() {
        return read.readable().await.map(|()| News::Bytes);
    }
    if !held.has_room() {
        socket.is_unread.set(true);
        socket.freed.heard().await;
        socket.is_unread.set(false);
        return Ok(News::Room);
    }
    let (mut readable, mut freed) = (pin!(read.readable()), pin!(socket.freed.heard()));
    poll_fn(|cx| match freed.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(Ok(News::Room)),
        Poll::Pending => readable.as_mut().poll(cx).map(|done| done.map(|()| News::Bytes)),
    })
    .await
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
    /// Whether one more message may be at work; one is always, however long.
    fn has_room_for(&self, bytes: usize) -> bool {
        let calls = self.calls.get();
        calls == 0 || (calls < self.calls_at_work && self.bytes.get() + bytes <= limits::SOCKET_BYTES)
    }

    fn note_pong(&self) {
        self.misses.set(0);
        self.pong_by.set(Instant::NEVER);
    }
}
