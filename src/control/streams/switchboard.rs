//! Between feeds and followers: who hears whom, and what all of them together want of each feed.

use super::Act;
use super::feed::{FeedId, Mode, Said};
use super::fill::Filled;
use super::follower::{Around, Deeds, Follower, FollowerId};
use super::resuming::Returning;
use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::Topology;
use crate::observe::report::StreamLoad;
use crate::snapshot::Snapshot;
use crate::stream::bug::Bug;
use crate::stream::continuity::Rules;
use crate::stream::fanout::{Letter, StreamId, Ticket, Topic, Wish};
use crate::stream::key::Key;
use crate::stream::logs::share;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub struct Switchboard {
    region: Box<str>,
    /// Of a simulated node.
    bug: Option<Bug>,
    snapshot: Option<Arc<Snapshot>>,
    followers: BTreeMap<FollowerId, Follower>,
    by_route: BTreeMap<Topic, FollowerId>,
    /// Topics that nobody wants any more, oldest first; some of them are wanted again.
    idle: VecDeque<(FollowerId, Key)>,
    next_follower: u64,
    next_stream: u64,
    /// Feeds whose heads the node wants for itself.
    own: BTreeSet<FeedId>,
    confirmed: BTreeMap<FeedId, BTreeSet<Key>>,
    /// What is wanted, and whether clients do.
    wanted: BTreeMap<FeedId, (BTreeSet<Key>, bool)>,
    /// The sum of the followers' changes when `wanted` was made.
    changes: Option<u64>,
    /// Of followers that are no more.
    past: Deeds,
    past_changes: u64,
    acts: Vec<Act>,
}

impl Switchboard {
    pub fn new(topology: &Topology, region: &str, bug: Option<Bug>) -> Switchboard {
        let tracks = |entry: &crate::config::topology::Entry| {
            let chain = &topology.profiles[entry.profile].chains[entry.chain];
            let has_socket = topology.instances.get(entry.instance).is_some_and(|i| i.ws_from(region).is_some());
            has_socket && chain.providers.get(entry.provider).is_some_and(|provider| provider.subscribe_new_heads)
        };
        let entries = topology.entries.values().filter(|entry| tracks(entry));
        Switchboard {
            region: region.into(),
            bug,
            snapshot: None,
            followers: BTreeMap::new(),
            by_route: BTreeMap::new(),
            idle: VecDeque::new(),
            next_follower: 1,
            next_stream: 1,
            own: entries.map(|entry| FeedId { mode: Mode::Subscribing, instance: entry.instance }).collect(),
            confirmed: BTreeMap::new(),
            wanted: BTreeMap::new(),
            changes: None,
            past: Deeds::default(),
            past_changes: 0,
            acts: Vec::new(),
        }
    }

    pub fn see(&mut self, snapshot: Arc<Snapshot>) {
        self.snapshot = Some(snapshot);
    }

    pub fn on_wish(&mut self, wish: Wish, now: Instant) {
        match wish {
            Wish::Began { shard } => self.forget_shard(shard, now),
            Wish::Open { shard, topic, ticket } => self.open(shard, topic, ticket, now),
            Wish::Close { shard, topic } => {
                let route = route_of(&topic);
                if let Some(follower) = self.by_route.get(&route).and_then(|id| self.followers.get_mut(id))
                    && follower.on_close(&topic.key, shard, now)
                {
                    self.idle.push_back((follower.id(), topic.key.clone()));
                    self.drop_idle(limits::TOPICS_IDLE, now);
                }
            }
            Wish::Resume { shard, topic, ticket, block } => {
                let returning = Returning { shard, ticket, block };
                match self.by_route.get(&route_of(&topic)).and_then(|id| self.followers.get_mut(id)) {
                    Some(follower) => follower.on_resume(&topic.key, returning, now, &mut self.acts),
                    None => returning.refuse("the subscription has just ended: try again", &mut self.acts),
                }
            }
            Wish::Leave { shard, topic, ticket } => {
                if let Some(follower) = self.by_route.get(&route_of(&topic)).and_then(|id| self.followers.get_mut(id)) {
                    follower.on_leave(shard, ticket);
                }
            }
            Wish::More => {}
        }
    }

    /// The oldest go first.
    fn drop_idle(&mut self, most: usize, now: Instant) {
        while self.idle.len() > most
            && let Some((id, key)) = self.idle.pop_front()
        {
            if let Some(follower) = self.followers.get_mut(&id) {
                follower.drop_idle(&key, now);
            }
        }
    }

    fn open(&mut self, shard: u16, topic: Arc<Topic>, ticket: Ticket, now: Instant) {
        let topics = |board: &Switchboard| board.followers.values().map(Follower::topic_count).sum::<usize>();
        if topics(self) >= limits::TOPICS {
            self.drop_idle(0, now);
        }
        // Those that nobody wants any more are gone with the next step.
        if topic.key != Key::NewHeads && topics(self) >= limits::TOPICS + limits::TOPICS_IDLE {
            let reason = "the node has as many different subscriptions as it can: try again later".into();
            return self.acts.push(Act::Post(usize::from(shard), Letter::Refused { topic, ticket, reason }));
        }
        let route = route_of(&topic);
        let id = match self.by_route.get(&route) {
            Some(id) => *id,
            None => {
                let id = FollowerId(self.next_follower);
                self.next_follower += 1;
                let Some(rules) = self.rules_of(&topic) else { return };
                self.followers.insert(id, Follower::new(id, route.clone(), rules));
                self.by_route.insert(route, id);
                id
            }
        };
        let stream = StreamId(self.next_stream);
        self.next_stream += 1;
        if let Some(follower) = self.followers.get_mut(&id) {
            follower.on_open(topic, stream, shard, ticket, now);
        }
    }

    fn rules_of(&self, topic: &Topic) -> Option<Rules> {
        let chain = self.snapshot.as_ref()?.chain(topic.profile, topic.chain);
        let (max_backfill_blocks, backfill_timeout_ms) = (chain.max_backfill_blocks, chain.backfill_timeout_ms);
        Some(Rules { max_backfill_blocks, backfill_timeout_ms, bug: self.bug })
    }

    /// Nothing of what a shard wanted is wanted any more.
    pub fn forget_shard(&mut self, shard: u16, now: Instant) {
        self.followers.values_mut().for_each(|follower| follower.forget_shard(shard, now));
    }

    pub fn on_said(&mut self, feed: FeedId, said: Said, now: Instant) {
        match &said {
            Said::Confirmed(key) => {
                self.confirmed.entry(feed).or_default().insert(key.clone());
            }
            Said::Lost => {
                self.confirmed.remove(&feed);
            }
            Said::Refused(_) | Said::PutOff(_) | Said::Stalled | Said::Head(_) | Said::Other(..) => {}
        }
        for follower in self.followers.values_mut() {
            follower.on_said(feed, &said, now);
            if let Said::Other(key, event) = &said {
                follower.on_other(feed, key, event, &mut self.acts);
            }
        }
    }

    pub fn on_filled(&mut self, filled: Filled, now: Instant) {
        if let Some(follower) = self.followers.get_mut(&filled.follower()) {
            follower.on_filled(filled, now);
        }
    }

    /// What is to be done now. `room`: so many letters every shard can take.
    pub fn step(&mut self, now: Instant, room: usize) -> Vec<Act> {
        let mut acts = std::mem::take(&mut self.acts);
        let Some(snapshot) = self.snapshot.clone() else { return acts };
        let around = Around { snapshot: &snapshot, region: &self.region, confirmed: &self.confirmed, room, now };
        self.followers.values_mut().for_each(|follower| follower.step(&around, &mut acts));
        share(self.followers.values_mut().filter_map(Follower::logs));
        self.drop_ended();
        self.sum_up(&mut acts);
        acts
    }

    fn drop_ended(&mut self) {
        let ended: Vec<FollowerId> = self.followers.values().filter(|f| f.is_over()).map(Follower::id).collect();
        for id in ended {
            let Some(follower) = self.followers.remove(&id) else { continue };
            self.by_route.retain(|_, of| *of != id);
            self.past.add(&follower.deeds());
            self.past_changes += follower.changes();
        }
    }

    /// Adds up what is wanted of each feed, when anybody's wishes have changed.
    fn sum_up(&mut self, acts: &mut Vec<Act>) {
        let changes = self.past_changes + self.followers.values().map(Follower::changes).sum::<u64>();
        if self.changes.replace(changes) == Some(changes) {
            return;
        }
        let own = self.own.iter().map(|feed| (*feed, (BTreeSet::from([Key::NewHeads]), false)));
        let mut wanted: BTreeMap<FeedId, (BTreeSet<Key>, bool)> = own.collect();
        for follower in self.followers.values() {
            for feed in follower.feeds() {
                let keys = follower.wants_of(feed).filter(|key| feed.hears(key)).cloned();
                let (all, is_urgent) = wanted.entry(feed).or_default();
                all.extend(keys);
                *is_urgent = true;
            }
        }
        let old = std::mem::replace(&mut self.wanted, wanted);
        for feed in old.keys().chain(self.wanted.keys()).collect::<BTreeSet<_>>() {
            if old.get(feed) != self.wanted.get(feed) {
                acts.push(Act::Feed(*feed));
            }
        }
        let wanted = &self.wanted;
        self.confirmed.retain(|feed, keys| {
            keys.retain(|key| wanted.get(feed).is_some_and(|(wanted, _)| wanted.contains(key)));
            !keys.is_empty()
        });
    }

    /// What is wanted of a feed, and whether clients do.
    pub fn wanted(&self, feed: FeedId) -> (BTreeSet<Key>, bool) {
        self.wanted.get(&feed).cloned().unwrap_or_default()
    }

    /// Confirmed subscriptions of a feed; nothing when it has none.
    pub fn subscriptions(&self, feed: FeedId) -> Option<u32> {
        self.confirmed.get(&feed).map(|keys| keys.len() as u32)
    }

    pub fn load(&self) -> StreamLoad {
        let mut deeds = self.past;
        self.followers.values().for_each(|follower| deeds.add(&follower.deeds()));
        let upstream = self.confirmed.iter().filter(|(feed, _)| feed.mode == Mode::Subscribing);
        StreamLoad {
            followers: self.followers.len() as u32,
            feeds: self.wanted.len() as u32,
            upstream_subscriptions: upstream.map(|(_, keys)| keys.len() as u32).sum(),
            events: deeds.events,
            duplicates: deeds.duplicates,
            losses: deeds.losses,
            switches: deeds.switches,
            filled: deeds.filled,
            closed: deeds.closed,
        }
    }

    /// Logs wait for room.
    pub fn has_more(&self) -> bool {
        self.followers.values().any(Follower::has_more)
    }

    pub fn wake_at(&self) -> Instant {
        self.followers.values().map(Follower::wake_at).min().unwrap_or(Instant::NEVER)
    }
}

/// Heads and logs are followed together, what is forwarded by itself.
fn route_of(topic: &Topic) -> Topic {
    let key = match &topic.key {
        Key::NewHeads | Key::Logs(_) => Key::NewHeads,
        forwarded @ (Key::NewPendingTransactions { .. } | Key::Syncing) => forwarded.clone(),
    };
    Topic { key, ..topic.clone() }
}

#[cfg(test)]
#[path = "switchboard_tests.rs"]
mod tests;
