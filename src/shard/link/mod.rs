//! One WebSocket to one provider: calls out under ids of ours, answers and events in. Shards make them for calls, the
//! control thread for subscriptions.
//!
//! One task reads and one writes; callers queue frames and wait for a message with their id, so a slow answer holds up no
//! other. The link belongs to nobody's call: a call that is given up is forgotten here and the connection lives on. What
//! ends it ends it once, for everyone: pending calls are told whether they had been written, and the owner hears how it
//! ended. Whatever comes counts as a sign of life, so a provider that sends events but answers no ping is not dropped.
//! A message beyond 16 MiB is skipped and fails the call that it answers, and no other.
//! Fails towards closing: a frame that breaks the protocol, a message of frames without end, one that does not come along
//! (`stall`), silence.

mod opening;
mod outbox;
mod pending;
mod stall;

pub use opening::LinkFault;
pub use pending::{CallFault, Message};

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::health::ending::{Ending, How};
use crate::runtime::budget::Permit;
use crate::runtime::bytes_io::read_more;
use crate::runtime::tls::Transport;
use crate::runtime::world::{Closer, Duplex, World};
use crate::shard::Shard;
use crate::shard::buffers::Size;
use crate::shard::deadlines::{UpstreamCloser, Watched};
use crate::wire::jsonrpc::{Inbound, id_at_end, sort_inbound, write_integer};
use crate::wire::websocket::{Event, Opcode, Protocol, masked_close_frame, write_masked_frame};
use outbox::Outbox;
use pending::Pending;
use stall::{MinRate, StallTimer};
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

type ReadOf<W> = <Transport<<W as World>::Stream> as Duplex>::Read;
type WriteOf<W> = <Transport<<W as World>::Stream> as Duplex>::Write;

/// What comes without having been asked for in particular.
pub enum Word {
    /// `result` is the raw value in `message`, proven to be JSON.
    Event { subscription: Box<[u8]>, result: Range<usize>, message: Vec<u8> },
    /// The last word.
    Ended(Ending),
}

pub struct Link<W: World> {
    shard: Rc<Shard<W>>,
    instance: InstanceId,
    closer: UpstreamCloser<W>,
    outbox: Outbox,
    pending: Pending,
    hear: Box<dyn Fn(Word)>,
    opened_at: Instant,
    ended: Cell<Option<How>>,
    /// What the provider still owes beside answers: the owner's subscriptions.
    owed: Cell<usize>,
    ping_at: Cell<Instant>,
    pong_by: Cell<Instant>,
    misses: Cell<u8>,
    /// When what is being written must have been taken.
    write_by: Cell<Instant>,
    /// Nothing is read because this node has no room: what is silent is not the provider.
    is_paused: Cell<bool>,
    /// When a message so long that others wait behind it was last seen coming, or there was no room to read on.
    hindered_at: Cell<Instant>,
    /// Times the message that has come in part.
    stall: Cell<StallTimer>,
    /// Since when it is there for one call; which must not be sent again; and which another one has joined.
    reserved_at: Cell<Option<Instant>>,
    /// The client's connection on which that call came.
    reserved_for: Cell<Option<usize>>,
    is_unrepeatable: Cell<bool>,
    is_joined: Cell<bool>,
    /// After the end: when the connection is cut.
    end_by: Cell<Instant>,
}

impl<W: World> Link<W> {
    /// Connects and upgrades within `deadline`. `hear` is told of events and, once, of the end.
    pub async fn open(
        shard: &Rc<Shard<W>>,
        instance: InstanceId,
        deadline: Instant,
        hear: impl Fn(Word) + 'static,
    ) -> Result<Rc<Link<W>>, LinkFault> {
        let opened = opening::open(shard, instance, deadline).await?;
        let now = shard.now();
        let link = Rc::new(Link {
            shard: shard.clone(),
            instance,
            closer: opened.closer,
            outbox: Outbox::default(),
            pending: Pending::new(shard.is_control()),
            hear: Box::new(hear),
            opened_at: now,
            ended: Cell::new(None),
            owed: Cell::new(0),
            ping_at: Cell::new(now.plus_ms(limits::LINK_PING_MS)),
            pong_by: Cell::new(Instant::NEVER),
            misses: Cell::new(0),
            write_by: Cell::new(Instant::NEVER),
            is_paused: Cell::new(false),
            hindered_at: Cell::new(Instant::ZERO),
            stall: Cell::new(StallTimer::new(MinRate::ALONE)),
            reserved_at: Cell::new(None),
            reserved_for: Cell::new(None),
            is_unrepeatable: Cell::new(false),
            is_joined: Cell::new(false),
            end_by: Cell::new(Instant::NEVER),
        });
        let place = shard.links.all.borrow_mut().insert(link.clone());
        let listed = Listed { link: link.clone(), place };
        shard.world.spawn("link writer", outbox::write(link.clone(), opened.write));
        shard.world.spawn("link reader", read(listed, opened.read, opened.rest));
        Ok(link)
    }

    /// Sends one call and waits for the message that answers it; it is whole, but not judged. `params` is raw JSON.
    pub async fn call(&self, method: &[u8], params: &[u8], deadline: Instant) -> Result<Vec<u8>, CallFault> {
        let sent =
            self.send(&[b"{\"jsonrpc\":\"2.0\",\"id\":"], &[b",\"method\":\"", method, b"\",\"params\":", params, b"}"])?;
        let watch = self.shard.attempts.watch_attempt(self.shard.now(), deadline, None);
        match watch.bound(sent.answer()).await {
            Ok(answer) => answer.map(|message| message.bytes),
            Err(Watched::Running | Watched::Late | Watched::ClientGone | Watched::Drained) => Err(CallFault::Late),
        }
    }

    /// Queues a call whose text is `before`, an id of ours, `after`.
    pub fn send(&self, before: &[&[u8]], after: &[&[u8]]) -> Result<Sent<'_, W>, CallFault> {
        if !self.outbox.has_room() {
            return Err(CallFault::NotSent);
        }
        let id = self.pending.insert().ok_or(CallFault::NotSent)?;
        let mut token = Vec::with_capacity(20);
        write_integer(&mut token, id as i64);
        let parts: arrayvec::ArrayVec<&[u8], 12> =
            before.iter().copied().chain(std::iter::once(&token[..])).chain(after.iter().copied()).collect();
        let mask = self.mask();
        let write = |frames: &mut Vec<u8>| write_masked_frame(frames, Opcode::Text, mask, &parts);
        match parts.iter().map(|part| part.len()).sum::<usize>() > limits::LINK_CALL_BYTES {
            true => self.outbox.push_long(id, write),
            false => self.outbox.push_call(id, write),
        }
        Ok(Sent { link: self, id })
    }

    /// Ends it in order.
    pub fn close(&self) {
        if self.is_open() {
            self.say_close(1000, "");
            self.end(How::Ours);
        }
    }

    /// Ends it because of what came on it, or did not: `how` is held against the provider.
    pub fn give_up(&self, how: How) {
        if self.is_open() {
            self.say_close(1002, "");
            self.end(how);
        }
    }

    pub fn is_open(&self) -> bool {
        self.ended.get().is_none()
    }

    /// How it ended, if it has.
    pub fn ended(&self) -> Option<How> {
        self.ended.get()
    }

    pub fn instance(&self) -> InstanceId {
        self.instance
    }

    /// How many subscriptions it carries: an end then leaves something owed.
    pub fn set_owed(&self, subscriptions: usize) {
        self.owed.set(subscriptions);
    }

    fn mask(&self) -> [u8; 4] {
        (self.shard.rng.borrow_mut().next() as u32).to_ne_bytes()
    }

    fn say_close(&self, code: u16, reason: &str) {
        let frame = masked_close_frame(self.mask(), code, reason);
        self.outbox.push(|frames| frames.extend_from_slice(&frame));
    }

    /// Once, whoever notices first.
    fn end(&self, how: How) {
        if !self.is_open() {
            return;
        }
        self.ended.set(Some(how));
        self.outbox.end();
        let now = self.shard.recent();
        self.end_by.set(now.plus_ms(limits::LINGER_MS));
        let pending = self.pending.end() + self.owed.get();
        let was_stable = now.since(self.opened_at) >= Duration::from_millis(limits::LINK_STABLE_MS);
        let has_answered = self.pending.has_answered();
        (self.hear)(Word::Ended(Ending { how, was_stable, has_answered, pending }));
    }

    /// It carries one call from `now` on, which came on the client's connection `holder`; what comes of one that `is_unrepeatable`
    /// is waited for whoever else waits.
    pub fn reserve(&self, is_unrepeatable: bool, holder: Option<usize>, now: Instant) {
        self.reserved_at.set(Some(now));
        self.reserved_for.set(holder);
        self.is_unrepeatable.set(is_unrepeatable);
        self.with_stall(|stall| stall.set_rate(MinRate::ALONE));
    }

    /// The call that it carries has waited for so long, without a byte, that it will hardly end it now: another one may join.
    pub fn may_be_joined(&self, now: Instant) -> bool {
        let is_quiet = self.reserved_at.get().is_some_and(|at| now >= at.plus_ms(limits::LINK_STALL_MS));
        is_quiet && self.calls() > 0 && self.is_open() && !self.is_unrepeatable.get() && !self.stall.get().is_amid()
    }

    /// It carries repeatable calls of one client's connection, which is that one, and no message is under way.
    pub fn is_free_to(&self, holder: Option<usize>) -> bool {
        let is_its = self.reserved_at.get().is_some() && self.reserved_for.get() == holder;
        is_its && self.calls() > 0 && self.is_open() && !self.is_unrepeatable.get() && !self.stall.get().is_amid()
    }

    pub fn reserved_for(&self) -> Option<usize> {
        self.reserved_for.get()
    }

    /// Another call joins the one that it was reserved for.
    pub fn join(&self) {
        self.is_joined.set(true);
        self.share();
    }

    pub fn was_joined(&self) -> bool {
        self.is_joined.get()
    }

    /// Calls that wait on it.
    pub fn calls(&self) -> usize {
        self.pending.len()
    }

    /// Calls of clients share it from now on, or wait for it: a message that stands still is waited for less long.
    pub fn share(&self) {
        if !self.is_unrepeatable.get() {
            self.with_stall(|stall| stall.set_rate(MinRate::SHARED));
        }
    }

    fn with_stall<R>(&self, f: impl FnOnce(&mut StallTimer) -> R) -> R {
        let mut stall = self.stall.get();
        let result = f(&mut stall);
        self.stall.set(stall);
        result
    }

    /// A message has come in part, and its rest does not come. Looks at the clock of the caller, who looks every few moments.
    pub(super) fn is_stuck(&self, now: Instant) -> bool {
        !self.is_paused.get() && self.is_open() && self.with_stall(|stall| stall.is_stuck(now))
    }

    /// Nothing more is to be had of it: whoever waits is told now.
    pub(super) fn cut(&self) {
        self.end(How::Silent);
        self.closer.close();
    }

    /// What time asks of it; called by the shard's coarse sweep.
    pub(super) fn beat(&self, now: Instant) {
        if self.is_paused.get() {
            // Nor does a provider read what we write while it cannot write itself.
            self.note_life();
            self.ping_at.set(now.plus_ms(limits::LINK_PING_MS));
            if self.write_by.get() < Instant::NEVER {
                self.begin_write(now);
            }
        }
        if now >= self.write_by.get() {
            return self.cut();
        }
        if !self.is_open() {
            if now >= self.end_by.get() {
                self.closer.close();
            }
            return;
        }
        if now >= self.pong_by.get() {
            self.misses.set(self.misses.get() + 1);
            if self.misses.get() >= limits::LINK_MISSES {
                return self.cut();
            }
            self.ping_at.set(now);
        }
        if now >= self.ping_at.get() {
            let mask = self.mask();
            self.outbox.push(|frames| write_masked_frame(frames, Opcode::Ping, mask, &[]));
            self.ping_at.set(now.plus_ms(limits::LINK_PING_MS));
            self.pong_by.set(now.plus_ms(limits::LINK_PONG_MS));
        }
    }

    /// Something is being written, or a part of it was taken.
    fn begin_write(&self, now: Instant) {
        self.write_by.set(now.plus_ms(limits::LINK_WRITE_MS + limits::IDLE_SWEEP_MS));
    }

    fn end_write(&self) {
        self.write_by.set(Instant::NEVER);
    }

    fn note_life(&self) {
        self.misses.set(0);
        self.pong_by.set(Instant::NEVER);
    }

    /// Since then an answer may have waited behind another's, or because we did not read: its provider may have sent it in time.
    pub fn was_hindered_since(&self, at: Instant) -> bool {
        self.stall.get().is_amid() || self.hindered_at.get() > at
    }

    fn note_hindrance(&self) {
        self.hindered_at.set(self.shard.world.now());
    }

    /// A message too long to be held is passing; `id`: of the call that it answers, if that is seen. True: it was for a call.
    fn skip(&self, id: Option<u64>) -> bool {
        id.is_some_and(|id| {
            self.shard.counters.strays.add(u64::from(!self.pending.too_large(id)));
            true
        })
    }

    fn take(&self, message: Message) {
        match sort_inbound(&message.bytes) {
            Inbound::Answer(id) => {
                if !self.pending.answer(id, message) {
                    self.shard.counters.strays.add(1);
                }
            }
            Inbound::Event { subscription, result } => {
                let subscription = subscription.of(&message.bytes).into();
                (self.hear)(Word::Event { subscription, result: result.range(), message: message.bytes });
            }
            Inbound::Error(error) if gives_up(error.of(&message.bytes)) => {
                self.say_close(1013, "");
                self.end(How::Closed(1013));
            }
            Inbound::Error(_) | Inbound::Unknown => self.shard.counters.strays.add(1),
        }
    }
}

/// An error for no call in particular by which a provider says that its connection is of no further use
/// (docs/behaviour/health.md#ends-of-websockets).
fn gives_up(error: &[u8]) -> bool {
    let has = |word: &[u8]| error.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
    has(b"-32701") || has(b"timeout")
}

/// A call that was queued. Dropped, it is forgotten; its answer then finds nobody.
pub struct Sent<'a, W: World> {
    link: &'a Link<W>,
    id: u64,
}

impl<W: World> Sent<'_, W> {
    /// The id under which it went out.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// When its frame was handed to the kernel; `None`: nothing of it can have reached the provider.
    pub fn written_at(&self) -> Option<Instant> {
        self.link.pending.written_at(self.id)
    }

    pub async fn answer(&self) -> Result<Message, CallFault> {
        self.link.pending.wait(self.id).await
    }
}

impl<W: World> Drop for Sent<'_, W> {
    fn drop(&mut self) {
        if self.link.pending.forget(self.id) {
            self.link.outbox.withdraw(self.id);
        }
    }
}

/// A link that its shard knows. Shard and link hold each other until this is dropped, which happens also where the reader
/// panics, or its shard ends under it.
struct Listed<W: World> {
    link: Rc<Link<W>>,
    place: usize,
}

impl<W: World> Drop for Listed<W> {
    fn drop(&mut self) {
        self.link.end(How::Lost);
        self.link.closer.close();
        self.link.shard.links.forget(&self.link, self.place);
        self.link.shard.asides.forget(&self.link);
    }
}

async fn read<W: World>(listed: Listed<W>, mut from: ReadOf<W>, rest: Vec<u8>) {
    let link = &listed.link;
    let how = read_messages(link, &mut from, &rest).await;
    link.end(how);
    linger(link, &mut from).await;
}

async fn read_messages<W: World>(link: &Rc<Link<W>>, from: &mut ReadOf<W>, rest: &[u8]) -> How {
    let shard = &link.shard;
    let mut protocol = Protocol::client(limits::LINK_MESSAGE_BYTES);
    protocol.feed(rest);
    // The charge of the message that is coming; and whether one that is skipped is nobody's any more.
    let (mut permit, mut is_settled) = (None, false);
    let mut buf = shard.buffers.take(Size::Upstream);
    // A message has ended, or this node did not read: the time of the one that is coming begins now.
    let mut is_new = true;
    loop {
        let came = buf.len();
        while let Some(event) = protocol.event() {
            is_new |= !matches!(event, Event::Pong | Event::Skipping(_));
            match event {
                Event::Message(message) => {
                    let mut permit: Option<Permit> = permit.take();
                    permit.iter_mut().for_each(|permit| permit.lower_to(message.len() as u64));
                    link.take(Message { bytes: message, permit });
                }
                Event::Skipping(first) => {
                    permit = None;
                    is_settled = link.skip(sort_inbound(&first).answer());
                }
                // What was neither an answer at its beginning nor at its end was an event, and its stream has a hole now.
                Event::Skipped(last) if !is_settled && !link.skip(id_at_end(&last)) && link.owed.get() > 0 => {
                    link.give_up(How::Broken);
                }
                Event::Skipped(_) | Event::Pong | Event::End => {}
            }
        }
        let answers = protocol.take_outgoing_masked(link.mask());
        if !answers.is_empty() {
            link.outbox.push(|frames| frames.extend_from_slice(&answers));
        }
        if protocol.has_ended() || !link.is_open() {
            shard.buffers.give(buf);
            return protocol.close_code().map_or(How::Broken, How::Closed);
        }
        if protocol.is_amid() {
            let now = shard.world.now();
            link.with_stall(|stall| stall.on_bytes(came, is_new, now));
        } else {
            link.with_stall(StallTimer::rest);
        }
        buf.clear();
        let (result, more) = read_more(from, buf).await;
        buf = more;
        if !matches!(result, Ok(1..)) {
            shard.buffers.give(buf);
            return How::Lost;
        }
        link.note_life();
        let bytes = protocol.held() + buf.len();
        if bytes > limits::LINK_CALL_BYTES {
            link.note_hindrance();
        }
        while bytes > limits::HOLD_BYTES && !charge(shard, &mut permit, bytes as u64) {
            // Nothing more is read until the node has room for it.
            link.is_paused.set(true);
            link.note_hindrance();
            shard.world.sleep_until(shard.world.now().plus_ms(limits::SWEEP_MS)).await;
        }
        is_new = link.is_paused.replace(false);
        protocol.feed(&buf);
    }
}

/// Charges a long message's bytes so far to the node's budget, in doubling steps; false when that has no room now.
fn charge<W: World>(shard: &Shard<W>, permit: &mut Option<Permit>, bytes: u64) -> bool {
    let wanted = 2 * bytes;
    match permit {
        Some(permit) if permit.bytes() >= bytes => true,
        Some(permit) => permit.raise_to(wanted),
        None => {
            *permit = shard.answers.take(wanted);
            permit.is_some()
        }
    }
}

/// Reads away what still comes after the end, so that our last frame is not lost to a reset.
async fn linger<W: World>(link: &Rc<Link<W>>, from: &mut ReadOf<W>) {
    let mut left = limits::LINGER_BYTES;
    let mut buf = link.shard.buffers.take(Size::Client);
    while left > 0 {
        buf.clear();
        let (result, more) = read_more(from, buf).await;
        buf = more;
        match result {
            Ok(n @ 1..) => left = left.saturating_sub(n),
            _ => break,
        }
    }
    link.shard.buffers.give(buf);
}
