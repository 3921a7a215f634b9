//! What this node tells the others of providers, and what it makes of what they tell.
//!
//! Orders are carried out as if they had been given here. A rest ranks a channel behind the others, and a limit spares calls a refusal,
//! until a success of ours says otherwise. A verdict of another node (a wrong chain, refused credentials) only asks for a probe of ours at once:
//! it may have its own way to that provider.

use crate::aggregator::Aggregator;
use crate::base::ids::{ChannelId, Id, InstanceId};
use crate::base::time::Instant;
use crate::cluster::advice::{AdviceKind, AdvicePolicy, AdviceWord, Counsel, HeardWord, OwnWord, SharedOrder, UpstreamKey};
use crate::health::breaker::Manual;
use crate::health::learnt::Lesson;
use crate::observe::category::Category;
use crate::observe::happening::{Happening, Level};
use crate::observe::question::Order;
use std::sync::Arc;

impl Aggregator {
    /// Takes over what was heard since the last step, and lays out what this node knows. True: something moved.
    pub(super) fn advise(&mut self, now: Instant) -> bool {
        let Some(policy) = self.node.settings.cluster.as_ref().map(|cluster| cluster.advice) else { return false };
        let own = self.own_words(policy, now);
        if own != self.told_words {
            self.node.own_words.publish(own.clone());
            self.told_words = own;
        }
        if !self.counsel.refresh() {
            return false;
        }
        let counsel = self.counsel.held().clone();
        self.heed_words(&counsel, now);
        counsel.orders.iter().for_each(|order| self.heed_order(order, now));
        true
    }

    pub(super) fn upstream_key(&self, instance: InstanceId) -> Option<UpstreamKey> {
        self.topology.instances.get(instance).map(|i| UpstreamKey { chain_number: i.chain_number, tag: i.tag })
    }

    fn instance_of(&self, upstream: UpstreamKey) -> Option<InstanceId> {
        let id = *self.topology.instance_by_tag.get(&upstream.tag)?;
        self.topology.instances.get(id).filter(|i| i.chain_number == upstream.chain_number).map(|_| id)
    }

    /// Only what was met here: what others say is theirs to repeat.
    fn own_words(&self, policy: AdvicePolicy, now: Instant) -> Vec<OwnWord> {
        let mut words = Vec::new();
        for (id, channel) in self.channels.iter() {
            let Some(upstream) = self.upstream_key(id.instance()) else { continue };
            let rest = channel.cooldown.is_limited(now).then(|| (AdviceKind::Rest, 0, channel.cooldown.until()));
            let learnt = channel.learnt.view(now);
            // The largest that was not rejected is one less than the smallest that was.
            let limit = |kind, most: Option<u64>| most.map(|most| (kind, most.saturating_add(1), Instant::NEVER));
            let more = [
                channel.wrong_chain.map(|got| (AdviceKind::WrongChain, got, Instant::NEVER)),
                channel.misconfigured_since.map(|_| (AdviceKind::Credentials, 0, Instant::NEVER)),
                limit(AdviceKind::LogRange, learnt.max_log_range),
                limit(AdviceKind::Depth, learnt.max_depth),
            ];
            let all = rest.into_iter().chain(more.into_iter().flatten()).filter(|(kind, ..)| policy.allows(*kind));
            words.extend(all.map(|(kind, value, until)| {
                let word = AdviceWord { upstream, transport: id.transport(), kind, value };
                OwnWord { word, until }
            }));
        }
        words
    }

    fn heed_words(&mut self, counsel: &Counsel, now: Instant) {
        let mut rests: Vec<Option<(Instant, Arc<str>)>> = vec![None; self.channels.len()];
        for (heard, by) in &counsel.words {
            let Some(id) = self.instance_of(heard.word.upstream).map(|i| ChannelId::of(i, heard.word.transport)) else {
                continue;
            };
            match heard.word.kind {
                AdviceKind::Rest => {
                    if let Some(rest) = rests.get_mut(id.index())
                        && rest.as_ref().is_none_or(|(until, _)| *until < heard.until)
                    {
                        *rest = Some((heard.until, by.as_str().into()));
                    }
                }
                _ => self.heed_finding(id, heard, now),
            }
        }
        for (id, rest) in (0..self.channels.len()).map(ChannelId::from_index).zip(rests) {
            self.with(id, |channel| channel.advised.on_rest(rest));
        }
    }

    fn heed_finding(&mut self, id: ChannelId, heard: &HeardWord, now: Instant) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        match heard.word.kind {
            AdviceKind::WrongChain if channel.wrong_chain.is_none() => channel.suspicion.raise(0, Category::Unavailable, now),
            AdviceKind::Credentials if channel.misconfigured_since.is_none() => channel.suspicion.raise(0, Category::Auth, now),
            AdviceKind::LogRange => channel.advised.on_limit(Lesson::LogRange { blocks: heard.word.value }, now),
            AdviceKind::Depth => channel.advised.on_limit(Lesson::ArchiveDepth { blocks_behind: heard.word.value }, now),
            AdviceKind::WrongChain | AdviceKind::Credentials | AdviceKind::Rest => {}
        }
    }

    /// Once: an order of an operator here that came later stands.
    fn heed_order(&mut self, order: &SharedOrder, now: Instant) {
        let mark = (order.number, order.session);
        let is_heeded = self.heeded_orders.get(&order.upstream).is_some_and(|heeded| *heeded >= mark);
        let Some(instance) = self.instance_of(order.upstream).filter(|_| !is_heeded) else { return };
        self.heeded_orders.insert(order.upstream, mark);
        self.hold(instance, order.order, Some(order.node_id.as_str().into()), now);
        let label = self.topology.instances.get(instance).map(|i| i.label.to_string());
        let happening = Happening::new("cluster.order", Level::Info, now)
            .with("order", order.order.word())
            .with("instance", label)
            .with("peer_id", order.node_id.to_string())
            .with("message", "an operator's order for every node was carried out here");
        self.happenings.push(happening);
    }

    /// Holds an instance's circuits, or lets them go. `by`: the node where that was ordered, when it was not here.
    pub(super) fn hold(&mut self, instance: InstanceId, order: Order, by: Option<Arc<str>>, now: Instant) {
        let manual = match order {
            Order::Open => Some(Manual::Open),
            Order::Close => Some(Manual::Close),
            Order::Auto => None,
        };
        for id in self.channels_of(instance) {
            let Some(channel) = self.channels.get_mut(id) else { continue };
            channel.advised.ordered_by = by.clone();
            let transition = channel.breaker.set_manual(manual, now);
            self.tell_circuit(id, transition, now);
        }
    }
}
