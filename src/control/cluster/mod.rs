//! The cluster's tasks: one receives, one sends what is due, one looks for others. All rules are `cluster`'s.
//!
//! They run on the control thread, so a flood of datagrams costs probes some milliseconds and calls nothing. A socket that cannot be had
//! (a predecessor that drains still holds the port) is tried again: the node works alone meanwhile, and says so.

mod hearsay;
mod lookup;
pub(super) mod seat;

use crate::base::limits::{
    CLUSTER_DATAGRAM_BYTES, CLUSTER_DISCOVERY_MS, CLUSTER_RECEIVED_AT_ONCE, CLUSTER_SOCKET_RETRY_MS, CLUSTER_TICK_MS,
    CLUSTER_VIEW_MS,
};
use crate::base::time::Instant;
use crate::cluster::engine::{Cluster, ClusterEvent, ClusterMoment, ClusterTerms};
use crate::cluster::frame::NodeCard;
use crate::cluster::sessions::SessionBug;
use crate::cluster::settings::ClusterSettings;
use crate::cluster::view::ClusterView;
use crate::runtime::world::{Datagrams, World};
use lookup::Lookup;
use std::cell::RefCell;
use std::rc::Rc;

/// What a node and its cluster have for each other, once in a tick.
pub type TickExchange = Box<dyn FnMut(&mut Cluster, Instant)>;

/// What the tasks need of the node around them.
pub struct ClusterSeat {
    pub card: NodeCard,
    /// Takes a new view.
    pub publish: Box<dyn Fn(ClusterView)>,
    /// Once in a tick: this node's figures and questions about those of all, and what nodes advise each other.
    pub exchange: TickExchange,
    /// Takes what people should be told.
    pub tell: Box<dyn Fn(ClusterEvent)>,
    /// Whether the node ends: then the others are told so.
    pub is_ending: Box<dyn Fn() -> bool>,
    pub bug: SessionBug,
}

/// Runs until the node ends.
pub async fn run<W: World>(world: W, settings: ClusterSettings, mut seat: ClusterSeat) {
    let Some((socket, cluster)) = begin(&world, &settings, &seat).await else { return };
    let mut exchange = std::mem::replace(&mut seat.exchange, Box::new(|_, _| {}));
    let (cluster, seat) = (Rc::new(RefCell::new(cluster)), Rc::new(seat));
    world.spawn("cluster reader", read(world.clone(), socket.clone(), cluster.clone()));
    let lookup = Lookup::new(world.clone(), settings.query, settings.listen.port(), settings.name_servers);
    world.spawn("cluster discovery", discover(world.clone(), lookup, cluster.clone(), seat.clone()));
    let mut shown = Instant::ZERO;
    loop {
        let (now, is_ending) = (world.now(), (seat.is_ending)());
        if is_ending {
            cluster.borrow_mut().leave(now);
        } else {
            exchange(&mut cluster.borrow_mut(), now);
            cluster.borrow_mut().tick(now);
        }
        send_all(&socket, &cluster).await;
        if is_ending {
            return;
        }
        let events = cluster.borrow_mut().take_events();
        if !events.is_empty() || now.since(shown).as_millis() as u64 >= CLUSTER_VIEW_MS {
            let mut view = cluster.borrow().view();
            view.datagrams.overflowed = socket.overflowed();
            (seat.publish)(view);
            shown = now;
        }
        events.into_iter().for_each(&seat.tell);
        world.sleep_until(now.plus_ms(CLUSTER_TICK_MS)).await;
    }
}

/// The socket, as soon as it can be had. `None`: the node ended before.
async fn begin<W: World>(world: &W, settings: &ClusterSettings, seat: &ClusterSeat) -> Option<(W::Datagrams, Cluster)> {
    let mut has_complained = false;
    while !(seat.is_ending)() {
        match world.datagrams(settings.listen).and_then(|socket| Ok((socket, world.unguessable()?))) {
            Ok((socket, seed)) => {
                let terms = ClusterTerms { secrets: settings.secrets.clone(), advice: settings.advice };
                let cluster = Cluster::new(seat.card.clone(), terms, seed, world.rng(), seat.bug);
                return Some((socket, cluster));
            }
            Err(why) if !has_complained => {
                has_complained = true;
                (seat.tell)(ClusterEvent::NoSocket { at: settings.listen, why: why.to_string() });
            }
            Err(_) => {}
        }
        world.sleep_until(world.now().plus_ms(CLUSTER_SOCKET_RETRY_MS)).await;
    }
    None
}

async fn read<W: World>(world: W, socket: W::Datagrams, cluster: Rc<RefCell<Cluster>>) {
    // One byte more than is taken shows what is too long.
    let mut buffer = Vec::with_capacity(CLUSTER_DATAGRAM_BYTES + 1);
    let mut in_a_row = 0;
    loop {
        let (received, filled) = socket.receive(buffer).await;
        let at = ClusterMoment { now: world.now(), wall: world.wall() };
        match received {
            Ok(from) => {
                cluster.borrow_mut().arrive(from, &filled, at);
                send_all(&socket, &cluster).await;
            }
            Err(_) => world.sleep_until(at.now.plus_ms(CLUSTER_SOCKET_RETRY_MS)).await,
        }
        buffer = filled;
        buffer.clear();
        in_a_row += 1;
        if in_a_row == CLUSTER_RECEIVED_AT_ONCE {
            // In a flood every receive is done at once: the thread's other tasks must have their turn.
            in_a_row = 0;
            world.sleep_until(at.now.plus_ms(1)).await;
        }
    }
}

/// A datagram that cannot be sent is lost, as others are.
async fn send_all<D: Datagrams>(socket: &D, cluster: &RefCell<Cluster>) {
    let datagrams = cluster.borrow_mut().take_datagrams();
    for (to, datagram) in datagrams {
        let _ = socket.send(datagram, to).await;
    }
}

/// Asks for the others' addresses again and again; says when there are none, and when there are some again.
async fn discover<W: World>(world: W, mut lookup: Lookup<W>, cluster: Rc<RefCell<Cluster>>, seat: Rc<ClusterSeat>) {
    let (mut found_some, mut told_none) = (false, false);
    while !(seat.is_ending)() {
        let found = lookup.look().await;
        let now = world.now();
        if found.is_empty() && !found_some && !told_none && now.as_ms() > 2 * CLUSTER_DISCOVERY_MS {
            told_none = true;
            (seat.tell)(ClusterEvent::NobodyNamed);
        }
        let is_first = !found_some && !found.is_empty();
        found_some = !found.is_empty();
        if is_first {
            told_none = false;
        }
        cluster.borrow_mut().found(found, now);
        // The first answer takes the resolver a moment.
        let pause_ms = if found_some || told_none { CLUSTER_DISCOVERY_MS } else { CLUSTER_DISCOVERY_MS / 10 };
        world.sleep_until(now.plus_ms(pause_ms)).await;
    }
}
