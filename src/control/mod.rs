//! The control thread: whatever the node asks providers for its own sake. It is a shard without clients, so probes take the
//! same path as calls, report in the same epochs, and are simulated by the same means.
//!
//! Every 100 ms each chain's due channels are probed, at most 64 of the node at once; trials of half-open circuits come on top,
//! because their permits are given one at a time. A node whose providers are all dead starts like any other and finds them when they
//! return.

pub mod bench;
pub mod cluster;
mod heights;
mod probing;
pub mod replay;
mod streams;

use crate::base::ids::{ChannelId, EntryId, InstanceId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::runtime::mailbox::Inbox;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::stream::fanout::Wish;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// One channel to watch.
#[derive(Clone, Copy, Debug)]
struct Watched {
    channel: ChannelId,
    /// Some entry of it: any will do, they share the channel.
    entry: EntryId,
    interval_ms: u64,
    chain_number: u64,
    /// Its height is asked for too: of an instance's HTTP channel, or of its only one.
    polls_head: bool,
}

/// When each instance last announced a head by subscription.
#[derive(Default)]
pub(crate) struct Announced(RefCell<BTreeMap<InstanceId, Instant>>);

impl Announced {
    fn note(&self, instance: InstanceId, now: Instant) {
        self.0.borrow_mut().insert(instance, now);
    }

    /// Its height is known without asking for it.
    fn is_fresh(&self, instance: InstanceId, now: Instant) -> bool {
        let fresh = Duration::from_millis(limits::HEAD_FRESH_MS);
        self.0.borrow().get(&instance).is_some_and(|at| now.since(*at) < fresh)
    }
}

/// Starts everything on `shard`, which must be the control thread's. `wishes`: what the shards want of it.
pub fn start<W: World>(shard: &Rc<Shard<W>>, wishes: Inbox<Wish>) {
    let announced = Rc::new(Announced::default());
    shard.world().spawn("streams", streams::run(shard.clone(), wishes, announced.clone()));
    if let Some(settings) = shard.node().settings.cluster.clone() {
        shard.world().spawn("cluster", cluster::run(shard.world().clone(), settings, cluster::seat::of_node(shard.node())));
    }
    let by_chain = watched(shard);
    let unanswered = Rc::new(RefCell::new(by_chain.keys().copied().collect::<BTreeSet<u64>>()));
    let under_way = Rc::new(Cell::new(0));
    for (_, instances) in by_chain {
        let watch = probing::watch(shard.clone(), instances, unanswered.clone(), announced.clone(), under_way.clone());
        shard.world().spawn("probes", watch);
    }
}

/// Every channel with an endpoint here once, by chain; the shortest interval of its entries counts.
fn watched<W: World>(shard: &Rc<Shard<W>>) -> BTreeMap<u64, Vec<Watched>> {
    let topology = shard.node().snapshot.latest().topology.clone();
    let region = &shard.node().settings.region;
    let mut found: BTreeMap<ChannelId, Watched> = BTreeMap::new();
    for (entry, place) in topology.entries.iter() {
        let Some((_, chain, _)) = topology.of_entry(entry) else { continue };
        let instance = &topology.instances[place.instance];
        let (http, ws) = (instance.http_from(region).is_some(), instance.ws_from(region).is_some());
        for (transport, _) in [(Transport::Http, http), (Transport::Ws, ws)].into_iter().filter(|(_, has)| *has) {
            let channel = ChannelId::of(place.instance, transport);
            let (interval_ms, chain_number) = (chain.probe_interval_ms, chain.chain_number);
            let polls_head = transport == Transport::Http || !http;
            let have = found.entry(channel).or_insert(Watched { channel, entry, interval_ms, chain_number, polls_head });
            have.interval_ms = have.interval_ms.min(interval_ms);
        }
    }
    let mut by_chain: BTreeMap<u64, Vec<Watched>> = BTreeMap::new();
    for watched in found.into_values() {
        by_chain.entry(watched.chain_number).or_default().push(watched);
    }
    by_chain
}
