//! The WebSockets that one shard keeps: at most one to an instance, opened when routing first wants it.
//!
//! Whoever wants one waits for the same opening; it runs in a task of its own, so that a call that gives up takes nothing
//! away from the others. An opening that fails counts once against its channel, and a connection that ends badly is one suspicion, however
//! many calls waited: the breaker judges connections here, not the calls that happened to share them. A node's shards keep
//! at most `LINK_SHARDS` connections to an instance (docs/behaviour/clients.md#provider-sockets); the instances are spread over
//! the shards, and a shard without one goes over HTTP, or hands its calls over to one that has (`hand_over`).
//! Rejected: opening at start (idle connections to providers that nobody calls), and a queue per instance (the exchange has
//! better places to go while one is down).

use crate::base::ids::{ChannelId, Id, InstanceId, MethodId, Transport};
use crate::base::limits;
use crate::base::time::Instant;
use crate::chain::method;
use crate::health::ending::Ending;
use crate::health::reconnect::Reconnect;
use crate::observe::category::{Category, Class};
use crate::observe::report::Event;
use crate::route::classify::Context;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::dial::ConnectFault;
use crate::shard::link::{Link, LinkFault, Word};
use crate::snapshot::{ChainPlan, Set, bit, members};
use arrayvec::ArrayVec;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Who else hears what comes on a link.
type Listener = Rc<dyn Fn(InstanceId, Word)>;

pub struct Links<W: World> {
    /// Every link that is not gone, for what time asks of them.
    pub(super) all: RefCell<Slab<Rc<Link<W>>>>,
    /// By instance.
    places: Vec<Place<W>>,
    keeper: Keeper,
    listener: RefCell<Option<Listener>>,
}

struct Place<W: World> {
    state: RefCell<State<W>>,
    reconnect: RefCell<Reconnect>,
    waiting: RefCell<Vec<Waker>>,
    ended_by: Cell<Category>,
}

enum State<W: World> {
    Closed(ConnectFault),
    Opening,
    Open(Rc<Link<W>>),
}

/// Calls that hold up a connection which others share, or that must not be held up by those: long ones, those whose answers
/// are long, and raw transactions.
pub fn is_bulk(method: MethodId, name: &[u8], bytes: usize) -> bool {
    let info = method::info(method);
    let is_wide = matches!(info.category, method::Category::Debug | method::Category::Trace);
    let is_named = [&b"debug_"[..], b"trace_", b"arbtrace_"].iter().any(|prefix| name.starts_with(prefix))
        || [&b"eth_getLogs"[..], b"eth_getFilterLogs"].contains(&name)
        || name.ends_with(b"Receipts");
    bytes > limits::LINK_CALL_BYTES || is_wide || is_named || info.safety == method::Safety::RawTransaction
}

/// The channels that such a call may take: no WebSocket of a provider that can be had over HTTP.
pub fn around_links(plan: &ChainPlan, wanted: Set) -> Set {
    let gates = &plan.gates;
    let usable = wanted & !(gates.open | gates.half_open | gates.limited | gates.misconfigured | gates.wrong_chain);
    // The HTTP channel is the slot before.
    !(plan.fixed.second & (usable << 1))
}

/// Which instances this shard keeps links to.
#[derive(Clone, Copy, Debug)]
struct Keeper {
    index: usize,
    shards: usize,
}

impl Keeper {
    /// The control thread keeps all: it is one more, and the only one that is not for calls.
    fn keeps(self, instance: InstanceId) -> bool {
        let Keeper { index, shards } = self;
        index >= shards || (index + instance.index()) % shards.max(1) < limits::LINK_SHARDS
    }

    /// The shards that keep one.
    fn all(self, instance: InstanceId) -> ArrayVec<usize, { limits::LINK_SHARDS }> {
        let shards = self.shards.max(1);
        let first = shards - instance.index() % shards;
        (first..first + shards.min(limits::LINK_SHARDS)).map(|index| index % shards).collect()
    }
}

impl<W: World> Links<W> {
    pub fn new(instances: usize, index: usize, shards: usize) -> Links<W> {
        let cap_ms = if index >= shards { limits::LINK_RETRY_MAX_MS } else { limits::LINK_WANTED_RETRY_MAX_MS };
        let place = |_| Place {
            state: RefCell::new(State::Closed(ConnectFault::Resting)),
            reconnect: RefCell::new(Reconnect::new(cap_ms)),
            ended_by: Cell::new(Category::Network),
            waiting: RefCell::default(),
        };
        Links {
            all: RefCell::default(),
            places: (0..instances).map(place).collect(),
            keeper: Keeper { index, shards },
            listener: RefCell::default(),
        }
    }

    /// Channels of a plan that this shard sends calls over: all of them on most nodes. Where it keeps no link it goes over
    /// HTTP, if the same provider's is among the `wanted`: better than another shard's link.
    #[inline]
    pub fn reach(&self, plan: &ChainPlan, wanted: Set) -> Set {
        if self.keeper.shards <= limits::LINK_SHARDS || plan.fixed.second == 0 {
            return Set::MAX;
        }
        let is_out = |id: &crate::base::ids::SlotId| !self.keeper.keeps(plan.fixed.channels[*id].instance());
        // The HTTP channel is the slot before.
        !members(plan.fixed.second & (wanted << 1)).filter(is_out).fold(0, |set, id| set | bit(id))
    }

    /// A call can be sent over it at once.
    pub fn is_open(&self, instance: InstanceId) -> bool {
        self.places.get(instance.index()).is_some_and(|place| place.open().is_some())
    }

    /// The link to `instance`, if it is there.
    #[inline]
    pub fn at_hand(&self, instance: InstanceId) -> Option<Rc<Link<W>>> {
        self.places.get(instance.index()).and_then(Place::open)
    }

    /// Whether this shard may have a link to `instance`.
    #[inline]
    pub fn keeps(&self, instance: InstanceId) -> bool {
        self.keeper.keeps(instance)
    }

    /// The shards that may.
    pub fn keepers(&self, instance: InstanceId) -> ArrayVec<usize, { limits::LINK_SHARDS }> {
        self.keeper.all(instance)
    }

    /// Who is told of everything that comes on this shard's links. One listener.
    pub fn listen(&self, listener: impl Fn(InstanceId, Word) + 'static) {
        *self.listener.borrow_mut() = Some(Rc::new(listener));
    }

    /// Connections that exist.
    pub fn count(&self) -> usize {
        self.all.borrow().len()
    }

    /// Connections to one instance, those that carry one call at a time included.
    pub fn count_to(&self, instance: InstanceId) -> usize {
        self.all.borrow().iter().filter(|(_, link)| link.instance() == instance && link.is_open()).count()
    }

    /// The link to `instance`, opened if it is not there. May be dropped at any time.
    pub async fn want(&self, shard: &Shard<W>, instance: InstanceId, now: Instant) -> Result<Rc<Link<W>>, ConnectFault> {
        let place = self.places.get(instance.index()).ok_or(ConnectFault::NoEndpoint)?;
        if let Some(link) = place.open() {
            return Ok(link);
        }
        let is_opening = matches!(*place.state.borrow(), State::Opening);
        if !is_opening {
            if !self.keeper.keeps(instance) {
                return Err(ConnectFault::NoEndpoint);
            }
            if now < place.reconnect.borrow().at() {
                return Err(ConnectFault::Resting);
            }
            let shard = shard.me.upgrade().ok_or(ConnectFault::NoEndpoint)?;
            *place.state.borrow_mut() = State::Opening;
            shard.world.clone().spawn("link opening", open(shard, instance));
        }
        place.settled().await
    }

    /// A probe is due, and makes a link of its own if there is none.
    pub fn expect_probe(&self, instance: InstanceId) {
        if let Some(place) = self.places.get(instance.index()) {
            place.reconnect.borrow_mut().on_probe();
        }
    }

    /// The kind of its last link's end.
    pub fn last_end(&self, instance: InstanceId) -> Category {
        self.places.get(instance.index()).map_or(Category::Network, |place| place.ended_by.get())
    }

    /// When a link to `instance` may be tried again; sooner for whoever `is_urgent`.
    pub fn retry_at(&self, instance: InstanceId, is_urgent: bool) -> Instant {
        let Some(place) = self.places.get(instance.index()) else { return Instant::NEVER };
        let mut reconnect = place.reconnect.borrow_mut();
        if is_urgent {
            reconnect.hurry();
        }
        reconnect.at()
    }

    /// There is none, and none may be made yet though clients wait: a question would only wait with them.
    pub fn is_resting(&self, instance: InstanceId, now: Instant) -> bool {
        !self.is_open(instance) && self.retry_at(instance, true) > now
    }

    fn settle(&self, shard: &Shard<W>, instance: InstanceId, opened: Result<Rc<Link<W>>, LinkFault>) {
        let Some(place) = self.places.get(instance.index()) else { return };
        let state = match opened {
            Ok(link) => State::Open(link),
            Err(fault) => {
                place.reconnect.borrow_mut().on_end(false, shard.now(), &mut shard.rng.borrow_mut());
                self.on_failed(shard, instance, place, &fault);
                let fault = connect_fault(fault);
                shard.note_fault(ChannelId::of(instance, Transport::Ws), &fault);
                State::Closed(fault)
            }
        };
        *place.state.borrow_mut() = state;
        place.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    /// What an opening that failed says of its channel. Our own probes speak for themselves.
    fn on_failed(&self, shard: &Shard<W>, instance: InstanceId, place: &Place<W>, fault: &LinkFault) {
        let channel = ChannelId::of(instance, Transport::Ws);
        let category = match fault {
            LinkFault::Connect(fault) if fault.shortage().is_some() => return,
            LinkFault::Connect(ConnectFault::Late) => Category::Timeout,
            LinkFault::Connect(_) | LinkFault::Ended => Category::Network,
            LinkFault::Malformed(_) => Category::MalformedResponse,
            LinkFault::Refused { status, retry_after } => {
                let context =
                    Context { status: *status, retry_after, wall: shard.world.wall(), method: method::UNKNOWN, rules: &[] };
                let outcome = shard.node.classifier.status(&context, b"");
                match (outcome.category, outcome.category.class()) {
                    (_, Class::Quota) => {
                        place.reconnect.borrow_mut().on_limited(outcome.retry_after_ms, shard.recent());
                        return shard.reporter.tell(Event::Limited { channel, hint_ms: outcome.retry_after_ms });
                    }
                    (Category::Auth | Category::Forbidden, _) => return shard.reporter.refuse(channel),
                    (category, _) => category,
                }
            }
        };
        if !shard.is_control() {
            shard.blame(channel, category);
        }
    }

    fn hear(&self, shard: &Shard<W>, instance: InstanceId, word: Word) {
        if let Word::Ended(ending) = &word {
            self.on_ended(shard, instance, *ending);
        }
        let listener = self.listener.borrow().clone();
        if let Some(listener) = listener {
            listener(instance, word);
        }
    }

    fn on_ended(&self, shard: &Shard<W>, instance: InstanceId, ending: Ending) {
        let Some(place) = self.places.get(instance.index()) else { return };
        // To rest after it has worked would make all others wait for what one call does. One that cannot be made again rests; and
        // the control thread's, which no call needs, rests as soon as it does not last.
        let has_worked = if shard.is_control() { ending.was_stable } else { ending.has_worked() };
        place.reconnect.borrow_mut().on_end(has_worked, shard.recent(), &mut shard.rng.borrow_mut());
        place.ended_by.set(ending.category());
        // One restart of a provider ends every shard's connection. Whoever lost calls counts it; a loss while idle is counted
        // once for the node, by the control thread's connection.
        let counts = ending.pending > 0 || shard.is_control();
        if counts {
            suspect(shard, instance, ending);
        }
    }

    /// A link is gone.
    pub(super) fn forget(&self, link: &Rc<Link<W>>, place: usize) {
        self.all.borrow_mut().try_remove(place);
        let Some(place) = self.places.get(link.instance().index()) else { return };
        let mut state = place.state.borrow_mut();
        if matches!(&*state, State::Open(open) if Rc::ptr_eq(open, link)) {
            *state = State::Closed(ConnectFault::Resting);
        }
    }

    /// Says goodbye to every provider.
    pub fn close_all(&self) {
        self.now().iter().for_each(|link| link.close());
    }

    /// What time asks of them. A link that ends tells whoever uses it, who may make another.
    pub fn beat(&self, now: Instant) {
        if !self.all.borrow().is_empty() {
            self.now().iter().for_each(|link| link.beat(now));
        }
    }

    /// Others wait for a connection to `instance`: on none of them a message that stands still is waited for as if it were alone.
    pub fn share_all(&self, instance: InstanceId) {
        self.all.borrow().iter().filter(|(_, link)| link.instance() == instance).for_each(|(_, link)| link.share());
    }

    /// One that was reserved for a call which has been waiting for a while, with the fewest others on it; of one client's
    /// connection where that is named.
    pub fn to_join(&self, instance: InstanceId, holder: Option<Option<usize>>, now: Instant) -> Option<Rc<Link<W>>> {
        let is_its = |link: &Link<W>| holder.is_none_or(|holder| link.reserved_for() == holder);
        self.least_busy(instance, |link| is_its(link) && link.may_be_joined(now))
    }

    /// One that carries calls of that client's connection, with the fewest on it.
    pub fn least_busy_of(&self, instance: InstanceId, holder: Option<usize>) -> Option<Rc<Link<W>>> {
        self.least_busy(instance, |link| link.is_free_to(holder))
    }

    fn least_busy(&self, instance: InstanceId, is_fit: impl Fn(&Link<W>) -> bool) -> Option<Rc<Link<W>>> {
        let all = self.all.borrow();
        let fit = all.iter().map(|(_, link)| link).filter(|link| link.instance() == instance && is_fit(link));
        fit.min_by_key(|link| link.calls()).cloned()
    }

    /// Ends those on which a message stands still. Asked every few moments while calls wait.
    pub fn cut_stuck(&self, now: Instant) {
        let stuck: Vec<Rc<Link<W>>> =
            self.all.borrow().iter().filter(|(_, link)| link.is_stuck(now)).map(|(_, link)| link.clone()).collect();
        stuck.iter().for_each(|link| link.cut());
    }

    fn now(&self) -> Vec<Rc<Link<W>>> {
        self.all.borrow().iter().map(|(_, link)| link.clone()).collect()
    }
}

impl<W: World> Place<W> {
    fn open(&self) -> Option<Rc<Link<W>>> {
        match &*self.state.borrow() {
            State::Open(link) if link.is_open() => Some(link.clone()),
            State::Open(_) | State::Opening | State::Closed(_) => None,
        }
    }

    /// What came of the opening that is under way.
    async fn settled(&self) -> Result<Rc<Link<W>>, ConnectFault> {
        poll_fn(|cx| match &*self.state.borrow() {
            State::Opening => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
            State::Open(link) => Poll::Ready(Ok(link.clone())),
            State::Closed(fault) => Poll::Ready(Err(fault.clone())),
        })
        .await
    }
}

async fn open<W: World>(shard: Rc<Shard<W>>, instance: InstanceId) {
    let owner = shard.me.clone();
    let hear = move |word| {
        if let Some(shard) = owner.upgrade() {
            shard.links.hear(&shard, instance, word);
        }
    };
    let deadline = shard.now().plus_ms(limits::CONNECT_TIMEOUT_MS);
    let turn = OpeningTurn { shard: shard.clone(), instance };
    let opened = Link::open(&shard, instance, deadline, hear).await;
    if let Ok(link) = &opened
        && !shard.is_control()
    {
        link.share();
    }
    shard.links.settle(&shard, instance, opened);
    drop(turn);
}

/// Whoever waits for an opening hears of its end, also when that is a panic: nobody else would open another.
struct OpeningTurn<W: World> {
    shard: Rc<Shard<W>>,
    instance: InstanceId,
}

impl<W: World> Drop for OpeningTurn<W> {
    fn drop(&mut self) {
        if let Some(place) = self.shard.links.places.get(self.instance.index()) {
            let was_left = matches!(*place.state.borrow(), State::Opening);
            if was_left {
                *place.state.borrow_mut() = State::Closed(ConnectFault::Resting);
                place.waiting.borrow_mut().drain(..).for_each(Waker::wake);
            }
        }
    }
}

/// One client's call may have made the provider hang up on everybody: our probe decides whose fault it was.
pub(super) fn suspect<W: World>(shard: &Shard<W>, instance: InstanceId, ending: Ending) {
    if let Some(category) = ending.penalty() {
        shard.reporter.suspect(ChannelId::of(instance, Transport::Ws), category);
    }
}

fn connect_fault(fault: LinkFault) -> ConnectFault {
    match fault {
        LinkFault::Connect(fault) => fault,
        LinkFault::Refused { status, .. } => ConnectFault::NotUpgraded(status),
        LinkFault::Malformed(fault) => ConnectFault::NotUpgraded(fault.status),
        LinkFault::Ended => ConnectFault::Refused(std::io::ErrorKind::ConnectionReset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_or_answered_at_length_is_bulk() {
        let check = |name: &str, bytes, want| {
            assert_eq!(is_bulk(method::lookup(name.as_bytes()), name.as_bytes(), bytes), want, "{name} {bytes}");
        };
        for name in ["debug_traceBlockByNumber", "trace_block", "eth_getLogs", "eth_getBlockReceipts", "debug_unheardOf"] {
            check(name, 100, true);
        }
        check("eth_sendRawTransaction", 100, true);
        check("eth_call", 100, false);
        check("eth_call", limits::LINK_CALL_BYTES, false);
        check("eth_call", limits::LINK_CALL_BYTES + 1, true);
        check("eth_getTransactionReceipt", 100, false);
    }

    #[test]
    fn an_instance_is_kept_by_at_most_so_many_shards_and_by_all_of_few() {
        for shards in 1..=16usize {
            for instance in (0..40).map(InstanceId) {
                let keepers: Vec<usize> = (0..shards).filter(|index| Keeper { index: *index, shards }.keeps(instance)).collect();
                assert_eq!(keepers.len(), shards.min(limits::LINK_SHARDS), "{shards} shards, {instance:?}");
                let mut named = Keeper { index: 0, shards }.all(instance);
                named.sort_unstable();
                assert_eq!(named.as_slice(), keepers, "{shards} shards, {instance:?}");
                assert!(Keeper { index: shards, shards }.keeps(instance), "the control thread");
            }
        }
    }
}
