//! One core's node: its listener, client connections, upstream pools and the data path between them. Shards share
//! nothing that a call waits for; each is one thread in production and one set of tasks in the simulator, built by the
//! same constructor over a `World`.
//!
//! Reading order: `listener` takes connections, `client_http` reads requests and writes replies, `request` decides what
//! one asks, `forward` is a call's way through the providers, `attempt` one dispatch, over HTTP with `incoming` as an answer
//! arrives and `relay` for a long one passed on as it comes (`pool` and `upstream_http` keep HTTP/1.1 connections, `http2`
//! shared ones), or over one of the WebSockets of `links`, if need be another
//! shard's (`hand_over`). `subscribers` hands events to `socket`, at the pace of `fan_out`.

mod absent;
mod admin;
mod aside;
mod attempt;
mod attempt_link;
mod batch;
mod bell;
mod buffers;
mod call;
mod client_http;
mod cluster;
mod deadlines;
mod dial;
mod errands;
mod event_stream;
mod explain;
mod fan_out;
mod forward;
mod hand_over;
#[cfg(feature = "http2")]
mod http2;
#[cfg(not(feature = "http2"))]
#[path = "no_http2.rs"]
mod http2;
mod incoming;
mod inquiry;
mod link;
mod links;
mod listener;
mod local;
mod node;
mod noted;
mod passed;
mod pool;
mod refusal;
mod relay;
mod reporter;
mod reply;
mod request;
mod resumed;
mod rpc;
mod sampling;
mod socket;
mod subscribers;
mod target;
mod traced;
mod turn_line;
mod upstream_http;
mod used;
mod veto;
mod witness;

pub use bell::Bell;
pub use cluster::CONFIG_REVISION;
pub use deadlines::Deadlines;
pub use dial::ConnectFault;
pub use errands::Errand;
pub use inquiry::{Found, Inquiry, InquiryEnd, inquire, put};
pub use link::{CallFault, Link, LinkFault, Word};
pub use links::Links;
pub use node::{Node, Settings};
/// For `benches/instructions`, which counts what a reply's head and an event's frame cost.
pub use reply::{Manner, begin_head, end_head};
pub use socket::{SubscriptionId, event_len, write_event};
pub use veto::Vetoes;

use crate::base::ids::{ChannelId, Id, InstanceId};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::health::sightings::Sightings;
use crate::observe::category::Category;
use crate::observe::report::{Event, Load, StreamLoad};
use crate::observe::unreached::Unreached;
use crate::runtime::budget::{Permit, Share};
use crate::runtime::counters::Counters;
use crate::runtime::flag::Flag;
use crate::runtime::gather::Gather;
use crate::runtime::mailbox::Inbox;
use crate::runtime::publish::Reader;
use crate::runtime::reports::Lane;
use crate::runtime::served::HeardServed;
use crate::runtime::tls::TlsSettings;
use crate::runtime::world::World;
use crate::snapshot::Snapshot;
use crate::stream::bug::Bug;
use crate::stream::fanout::Letter;
use aside::Asides;
use buffers::{Buffers, Size};
use errands::Errands;
use fan_out::FanOut;
use reporter::Reporter;
use slab::Slab;
use socket::Socket;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use subscribers::Subscribers;
use target::Target;
use turn_line::TurnLines;
use used::Used;

/// The snapshot as a shard holds it: counting references within a shard costs no atomic operation.
type Current = Rc<Arc<Snapshot>>;

pub struct Shard<W: World> {
    /// For tasks that outlive whoever starts them.
    me: Weak<Shard<W>>,
    world: W,
    node: Arc<Node>,
    index: usize,
    counters: Arc<Counters>,
    snapshot: RefCell<(Reader<Snapshot>, Current)>,
    /// Shares of the node-wide byte budgets.
    bodies: Share,
    answers: Share,
    /// By instance.
    targets: Vec<Rc<Target<W>>>,
    buffers: Buffers,
    gathers: RefCell<Vec<Gather>>,
    /// Attempts under way, swept finely.
    attempts: Rc<Deadlines<W>>,
    reporter: Reporter,
    vetoes: Vetoes,
    /// By channel: why it could not be reached, and when that was told.
    unreached: RefCell<Vec<Option<(Unreached, Instant)>>>,
    /// Grants to measure again that were used.
    used: Used,
    /// Calls that wait because nobody's circuit is closed.
    turn_lines: Rc<TurnLines>,
    /// Client connections, swept coarsely.
    clients: Rc<Deadlines<W>>,
    /// WebSockets to providers.
    links: Links<W>,
    asides: Asides<W>,
    /// Calls made for other shards and by them.
    errands: Errands,
    /// WebSockets of clients.
    sockets: RefCell<Slab<Rc<Socket<W>>>>,
    /// Bytes of pongs that they are owed.
    owed_pongs: Rc<Cell<usize>>,
    subscribers: Subscribers<W>,
    fan_out: FanOut<W>,
    /// By chain number: who announced what lately.
    sightings: RefCell<BTreeMap<u64, Sightings>>,
    /// What it knows of what all shards have served.
    heard_served: RefCell<HeardServed>,
    /// The control thread's streams.
    stream_load: Cell<StreamLoad>,
    rng: RefCell<Rng>,
    /// Connections that may hold a buffer while they wait.
    seats: Cell<usize>,
    next_call_id: Cell<u64>,
    /// The last reading of the clock: good enough for deadlines of seconds.
    recent: Cell<Instant>,
    last_sweep: Cell<Instant>,
    /// Since the last report.
    stall_max: Cell<Duration>,
    /// The response head's unchanging lines.
    reply_fields: Box<[u8]>,
    fault: Fault,
}

/// A deliberate bug, to prove that the simulator's checkers find it. Only a world with `FAULTS` can have one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Fault {
    #[default]
    None,
    /// A reply is written twice now and then.
    DoubleReply,
    /// A raw transaction whose connection was lost is sent to the next provider.
    RepeatRaw,
    /// Calls are sent whatever the circuits say.
    IgnoreCircuits,
    /// A call to a channel whose circuit is not closed waits for no turn.
    SkipTurn,
    /// What goes wrong with a call is held against its provider at once.
    PenaltyWithoutProof,
    /// A height that a provider is only credited with decides whether it has a block.
    CreditedHeight,
    /// Each body is bounded, and their sum is not.
    BudgetPerItem,
    /// A client for which a burst of ours waits is taken for slow.
    BurstIsSlow,
    /// A machine of the streams has one.
    Stream(Bug),
}

impl<W: World> Shard<W> {
    pub fn new(world: W, node: Arc<Node>, index: usize, tls: &TlsSettings, fault: Fault) -> Rc<Shard<W>> {
        let mut reader = node.snapshot.reader();
        let current = Rc::new(reader.get().clone());
        let settings = &node.settings;
        let targets = Target::for_all(&current.topology, settings, settings.shards as usize == index, tls);
        let lane = node.lanes.get(index).cloned().unwrap_or_else(Lane::new);
        let reporter = Reporter::new(lane, index as u16, &current.topology, settings.request_log_rate, world.now());
        let vetoes = Vetoes::new(2 * current.topology.instances.len());
        let unreached = RefCell::new(vec![None; 2 * current.topology.instances.len()]);
        let counters = node.counters.get(index).cloned().unwrap_or_default();
        let reply_fields = reply::unchanging_fields(&node.settings);
        let rng = world.rng();
        let asides = Asides::new(current.topology.instances.len());
        let links = Links::new(current.topology.instances.len(), index, settings.shards as usize);
        Rc::new_cyclic(|me| Shard {
            me: me.clone(),
            links,
            asides,
            errands: Errands::default(),
            index,
            counters,
            snapshot: RefCell::new((reader, current)),
            bodies: node.bodies.share(),
            answers: node.answers.share(),
            targets,
            buffers: Buffers::default(),
            gathers: RefCell::default(),
            attempts: Rc::default(),
            reporter,
            vetoes,
            used: Used::default(),
            turn_lines: Rc::default(),
            unreached,
            clients: Rc::default(),
            sockets: RefCell::default(),
            owed_pongs: Rc::default(),
            subscribers: Subscribers::default(),
            fan_out: FanOut::new(world.now()),
            sightings: RefCell::default(),
            heard_served: RefCell::default(),
            stream_load: Cell::default(),
            rng: RefCell::new(rng),
            seats: Cell::new(limits::HOT_SEATS),
            next_call_id: Cell::new(1),
            recent: Cell::new(world.now()),
            last_sweep: Cell::new(world.now()),
            stall_max: Cell::new(Duration::ZERO),
            reply_fields,
            fault: if W::FAULTS { fault } else { Fault::None },
            world,
            node,
        })
    }

    /// Starts the sweeps. The listener is started with `listen`.
    pub fn start(self: &Rc<Self>) {
        self.world.spawn("attempt sweep", sweep_attempts(self.clone()));
        self.world.spawn("connection sweep", sweep_connections(self.clone()));
        self.world.spawn("report", report_epochs(self.clone()));
    }

    /// Takes clients from `listener` until the node drains.
    pub fn listen(self: &Rc<Self>, listener: W::Listener) {
        self.world.spawn("listener", listener::accept(self.clone(), listener));
    }

    /// Takes what the control thread writes to this shard's subscribers.
    pub fn correspond(self: &Rc<Self>, inbox: Inbox<Letter>) {
        self.world.spawn("turns", fan_out::take_turns(self.clone()));
        self.world.spawn("letters", subscribers::read_letters(self.clone(), inbox));
    }

    /// Makes calls for shards without a link of their own, and takes what such shards made for this one.
    pub fn serve_errands(self: &Rc<Self>, inbox: Inbox<Errand>) {
        self.world.spawn("errands", hand_over::read_errands(self.clone(), inbox));
    }

    pub fn world(&self) -> &W {
        &self.world
    }

    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The current snapshot, for tasks beside the data path.
    pub fn latest(&self) -> Arc<Snapshot> {
        (*self.snapshot()).clone()
    }

    /// The deliberate bug of this node's streams, if it has one.
    pub fn stream_bug(&self) -> Option<Bug> {
        match self.fault {
            Fault::Stream(bug) => Some(bug),
            Fault::None | Fault::DoubleReply | Fault::RepeatRaw | Fault::IgnoreCircuits | Fault::SkipTurn => None,
            Fault::PenaltyWithoutProof | Fault::CreditedHeight | Fault::BudgetPerItem | Fault::BurstIsSlow => None,
        }
    }

    /// How its streams stand, for the next report.
    pub fn set_stream_load(&self, load: StreamLoad) {
        self.stream_load.set(load);
    }

    /// Tells the aggregator of something.
    pub fn tell(&self, event: Event) {
        self.reporter.tell(event);
    }

    /// Begins to end: idle clients are closed now, busy ones after their reply.
    pub fn drain(&self) {
        self.node.draining.raise();
        self.clients.drain_idle();
        self.beat(self.recent());
    }

    /// Whether the draining node can do without this shard: it has no client, nor has one that may hand calls over to it.
    pub fn may_leave(&self) -> bool {
        if self.client_count() > 0 {
            return false;
        }
        self.node.emptied.get(self.index).into_iter().for_each(Flag::raise);
        self.node.emptied.len() <= limits::LINK_SHARDS || self.node.emptied.iter().all(Flag::is_raised)
    }

    /// Ends every client connection, and reports what was tallied until now.
    pub fn close(&self) {
        self.report(self.now());
        self.clients.close_all();
        self.sockets.borrow().iter().for_each(|(_, socket)| socket.lose());
        self.links.close_all();
    }

    /// The WebSockets to providers.
    pub fn links(&self) -> &Links<W> {
        &self.links
    }

    /// Those of them that carry one call each.
    pub fn asides(&self) -> &Asides<W> {
        &self.asides
    }

    /// Whether this is the control thread's.
    fn is_control(&self) -> bool {
        self.index == self.node.settings.shards as usize
    }

    /// Tells why there is no connection: what of ours was lacking is counted, what the provider is about reaches people.
    fn note_fault(&self, channel: ChannelId, fault: &ConnectFault) {
        fault.shortage().into_iter().for_each(|shortage| self.counters.lack(shortage));
        let late = (*fault == ConnectFault::Late && self.is_control()).then_some(Unreached::Late);
        let Some(why) = fault.unreached().or(late) else { return };
        let (now, mut told) = (self.recent(), self.unreached.borrow_mut());
        let Some(told) = told.get_mut(channel.index()) else { return };
        let is_news =
            told.is_none_or(|(before, at)| before != why || now.since(at) >= Duration::from_millis(limits::UNREACHED_TOLD_MS));
        if is_news {
            *told = Some((why, now));
            self.reporter.tell(Event::Unreached { channel, why });
        }
    }

    /// Counts a failure against a channel that is no call's.
    fn blame(&self, channel: ChannelId, category: Category) {
        self.reporter.blame(channel, category);
        self.vetoes.on_failure(channel, category == Category::Network, self.reporter.epoch());
    }

    /// Client connections here.
    pub fn client_count(&self) -> usize {
        self.clients.len() + self.sockets.borrow().len()
    }

    /// What time asks of the WebSockets.
    fn beat(&self, now: Instant) {
        self.sockets.borrow().iter().for_each(|(_, socket)| socket.beat(now));
        self.asides.beat(now);
        self.links.beat(now);
        // While there are attempts their sweep looks.
        if self.attempts.is_empty() {
            self.links.cut_stuck(now);
        }
    }

    /// Attempts under way here, for the simulator's checks of the bounds.
    pub fn attempt_count(&self) -> usize {
        self.attempts.len()
    }

    /// Upstream connections that exist, by instance index.
    pub fn upstream_counts(&self) -> Vec<u32> {
        self.targets.iter().map(|t| t.pool.open()).collect()
    }

    /// Attempts told to the tally since start.
    pub fn recorded_samples(&self) -> u64 {
        self.reporter.recorded()
    }

    /// Calls whose end was noted since start.
    pub fn noted_calls(&self) -> u64 {
        self.reporter.noted()
    }

    /// Calls of other shards that were answered over this shard's links.
    pub fn answered_errands(&self) -> u64 {
        self.errands.answered()
    }

    pub fn kept_buffers(&self) -> usize {
        self.buffers.kept()
    }

    /// Reads the clock; at most three times a call.
    fn now(&self) -> Instant {
        let now = self.world.now();
        self.recent.set(now);
        now
    }

    /// The clock as last read, a moment ago on a busy shard and at most `IDLE_SWEEP_MS` on an idle one.
    fn recent(&self) -> Instant {
        self.recent.get()
    }

    /// The current snapshot; one load when it has not moved.
    fn snapshot(&self) -> Current {
        let (reader, current) = &mut *self.snapshot.borrow_mut();
        if reader.refresh() {
            *current = Rc::new(reader.held().clone());
            self.vetoes.lift(current.merged_epochs.get(self.index).copied().unwrap_or(0));
        }
        current.clone()
    }

    fn target(&self, instance: InstanceId) -> Option<&Rc<Target<W>>> {
        self.targets.get(instance.index())
    }

    /// `buf`, or a larger one with its content: with a capacity of `room`, and in any case with some room left.
    fn with_room(&self, buf: Vec<u8>, room: usize) -> Vec<u8> {
        let room = room.max(buf.len() + 1);
        if buf.capacity() >= room {
            return buf;
        }
        let size = if room > limits::UPSTREAM_BUFFER_BYTES { Size::Long } else { Size::Upstream };
        let mut larger = self.buffers.take(size);
        larger.reserve_exact(room);
        larger.extend_from_slice(&buf);
        self.buffers.give(buf);
        larger
    }

    /// Charges a request's bytes so far to the node-wide budget; `None` when that is used up. Small ones fit the buffers
    /// that the connections' own bound covers, and hold no permit.
    fn charge_body(&self, bytes: usize, held: Option<Permit>) -> Option<Option<Permit>> {
        if bytes <= limits::CLIENT_BUFFER_BYTES {
            return Some(held);
        }
        let bytes = (bytes as u64).max(limits::BODY_CHARGE_MIN_BYTES);
        if W::FAULTS && self.fault == Fault::BudgetPerItem {
            return Some(held);
        }
        match held {
            Some(mut permit) => permit.raise_to(bytes).then_some(Some(permit)),
            None => self.bodies.take(bytes).map(Some),
        }
    }

    /// Gives a buffer back on the way out.
    fn give_and<T>(&self, buf: Vec<u8>, result: T) -> T {
        self.buffers.give(buf);
        result
    }

    /// Under which this shard reports.
    fn producer(&self) -> u16 {
        self.index as u16
    }

    fn take_call_id(&self) -> u64 {
        let id = self.next_call_id.get();
        self.next_call_id.set(id + 1);
        id
    }

    fn gather(&self) -> Gather {
        self.gathers.borrow_mut().pop().unwrap_or_default()
    }

    fn give_gather(&self, gather: Gather) {
        let mut kept = self.gathers.borrow_mut();
        if kept.len() < limits::POOLED_LONG_BUFFERS {
            kept.push(gather);
        }
    }

    /// A busy shard never parks, and then timers do not fire: the data path sweeps when the sweep is overdue.
    fn sweep_if_overdue(&self, now: Instant) {
        if now.since(self.last_sweep.get()) >= Duration::from_millis(4 * limits::SWEEP_MS) {
            self.sweep(now, false);
            self.report_if_due(now);
        }
    }

    /// Sends what was tallied up, once an epoch.
    fn report_if_due(&self, now: Instant) {
        if self.reporter.is_due(now) {
            self.report(now);
        }
    }

    fn report(&self, now: Instant) {
        let load = Load {
            client_connections: self.client_count() as u32,
            attempts_in_flight: self.attempts.len() as u32,
            upstream_connections: self.targets.iter().map(|t| t.pool.open()).sum(),
            stall_max: self.stall_max.replace(Duration::ZERO),
            late_epochs: 0,
            panics: self.world.panics(),
            calls: self.counters.calls.get(),
            replies: self.counters.replies.get(),
            refusals: self.counters.refusals.get(),
            limited: self.counters.limited.get(),
            failovers: self.counters.failovers.get(),
            truncated: self.counters.truncated.get(),
            strays: self.counters.strays.get(),
            links: self.links.count() as u32,
            connections: self.counters.connections.get(),
            sockets: self.sockets.borrow().len() as u32,
            subscriptions: self.subscription_count() as u32,
            topics: self.topic_count() as u32,
            events: self.counters.events.get(),
            slow_consumers: self.counters.slow_consumers.get(),
            shortages: self.counters.shortages(),
            streams: self.stream_load.get(),
        };
        self.reporter.send(now, load);
    }

    fn note_stall(&self, late: Duration) {
        self.stall_max.set(self.stall_max.get().max(late));
    }

    fn sweep(&self, now: Instant, look_for_resets: bool) {
        self.last_sweep.set(now);
        let before = now - Duration::from_millis(limits::RESET_CHECK_MS);
        self.attempts.sweep(now, look_for_resets.then_some(before));
        self.links.cut_stuck(now);
        // Letters that are not taken wait for a timer.
        self.fan_out.ease();
    }
}

/// Ends late attempts every `SWEEP_MS` while there are any, and now and then those whose client has left.
async fn sweep_attempts<W: World>(shard: Rc<Shard<W>>) {
    let mut last_reset_check = shard.world.now();
    loop {
        shard.attempts.until_needed().await;
        shard.world.sleep_until(shard.world.now().plus_ms(limits::SWEEP_MS)).await;
        let now = shard.now();
        let look_for_resets = now.since(last_reset_check) >= Duration::from_millis(limits::RESET_CHECK_MS);
        if look_for_resets {
            last_reset_check = now;
        }
        shard.sweep(now, look_for_resets);
    }
}

/// Sends the tally up every epoch, also when a busy loop lets no timer fire (`sweep_if_overdue`).
async fn report_epochs<W: World>(shard: Rc<Shard<W>>) {
    loop {
        let due = shard.world.now().plus_ms(limits::EPOCH_MS);
        shard.world.sleep_until(due).await;
        let now = shard.now();
        shard.note_stall(now.since(due));
        shard.report_if_due(now);
    }
}

/// Ends idle and stalled client connections, and pooled connections that are dead or old.
async fn sweep_connections<W: World>(shard: Rc<Shard<W>>) {
    loop {
        shard.world.sleep_until(shard.world.now().plus_ms(limits::IDLE_SWEEP_MS)).await;
        let now = shard.now();
        shard.clients.sweep(now, None);
        shard.beat(now);
        shard.send_owed_wishes();
        if shard.node.draining.is_raised() {
            shard.clients.drain_idle();
        }
        for target in &shard.targets {
            target.sweep(now);
        }
        shard.buffers.trim();
        shard.clients.trim();
        shard.attempts.trim();
    }
}
