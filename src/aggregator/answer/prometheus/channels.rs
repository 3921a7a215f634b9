//! Chains, their providers, and each provider's transports: circuits, rests, heads, feeds.

use super::{Moment, Seat, each};
use crate::aggregator::Aggregator;
use crate::aggregator::channel::Channel;
use crate::base::ids::{ChannelId, Transport};
use crate::chain::method;
use crate::config::topology::Chain;
use crate::health::breaker::Gate;
use crate::observe::expose::{Exposition, Family, Labels, Value};
use crate::observe::report::FeedState;
use crate::observe::shown::STATUS_WORDS;

const GATES: [Gate; 3] = [Gate::Closed, Gate::HalfOpen, Gate::Open];

impl Aggregator {
    /// It may be sent calls: it has answered, is of the right chain, and its circuit is not open.
    pub(in crate::aggregator::answer) fn is_available(&self, id: ChannelId) -> bool {
        let channel = &self.channels[id];
        channel.is_known && channel.breaker.gate() != Gate::Open && channel.wrong_chain.is_none()
    }

    pub(super) fn write_chains(&self, out: &mut Exposition, at: Moment) {
        let mut chains: Vec<(Labels, &Chain)> = Vec::new();
        for profile in self.topology.profiles.values() {
            let labels = |chain: &Chain| Labels::default().with("profile", &profile.slug).with("chain", &chain.key);
            chains.extend(profile.chains.values().map(|chain| (labels(chain), chain)));
        }
        out.family(&Family::info("lasso_chain", "A chain of a profile, and its EIP-155 number."));
        for (labels, chain) in &chains {
            out.sample(&labels.clone().with("chain_id", &chain.chain_number.to_string()), 1u64);
        }
        let mut of_chains = |name, help, value: &dyn Fn(&Chain) -> Option<Value>| {
            each(out, Family::gauge(name, help), &chains, |(labels, _)| labels, |(_, chain)| value(chain));
        };
        let is_up = |chain: &Chain| {
            let is_up = |instance| self.channels_of(instance).any(|id| self.is_available(id));
            chain.providers.values().filter(|provider| is_up(provider.instance)).count() as u64
        };
        let heads = |chain: &Chain| self.heads.get(&chain.chain_number);
        let head = |chain: &Chain| Some(heads(chain)?.consensus(at.now)?.into());
        of_chains("lasso_chain_providers", "Configured providers.", &|c| Some((c.providers.len() as u64).into()));
        let help = "Providers that answered once, are of the right chain and have a circuit that is not open.";
        of_chains("lasso_chain_providers_available", help, &|c| Some(is_up(c).into()));
        of_chains("lasso_chain_head_height", "Height that the chain's providers agree on.", &head);
        of_chains("lasso_chain_block_time_seconds", "Time between blocks.", &|c| Some(heads(c)?.block_time().into()));
        let help = "Blocks behind the agreed height from which a provider is used after the others.";
        of_chains("lasso_chain_max_lag_blocks", help, &|c| Some(c.max_lag_blocks.into()));
    }

    pub(super) fn write_providers(&self, out: &mut Exposition, seats: &[Seat<'_>], at: Moment) {
        out.family(&Family::gauge("lasso_provider_status", "1 for the one word that says how a provider is, 0 for the others."));
        let heads = |seat: &Seat<'_>| self.heads.get(&seat.chain.chain_number);
        let lag = |seat: &Seat<'_>| heads(seat)?.lag(seat.instance(), at.now);
        for seat in seats {
            let (_, (status, _)) = self.best_channel(seat.chain, seat.instance(), lag(seat), at);
            for word in STATUS_WORDS {
                out.sample_of(&seat.labels, "status", word, word == status);
            }
        }
        let mut of_seats = |family, value: &dyn Fn(&Seat<'_>) -> Option<Value>| {
            each(out, family, seats, |seat| &seat.labels, value);
        };
        let help = "1 when it answered once, is of the right chain and has a circuit that is not open.";
        let is_up = |seat: &Seat<'_>| Some(seat.channels.iter().any(|(id, _)| self.is_available(*id)).into());
        of_seats(Family::gauge("lasso_provider_available", help), &is_up);
        let help = "Blocks behind the height that the chain's providers agree on.";
        let behind = |seat: &Seat<'_>| Some(lag(seat)?.min(0).unsigned_abs().into());
        of_seats(Family::gauge("lasso_provider_lag_blocks", help), &behind);
        let height = |seat: &Seat<'_>| heads(seat)?.height(seat.instance());
        let help = "The last height that it told.";
        of_seats(Family::gauge("lasso_provider_head_height", help), &|seat| Some(height(seat)?.0.into()));
        let help = "Time since it told a height.";
        of_seats(Family::gauge("lasso_provider_head_age_seconds", help), &|seat| Some(at.now.since(height(seat)?.1).into()));
        let feed = |seat: &Seat<'_>| self.feed_of(seat);
        let help = "1 while its connection for subscriptions is open; 0 also for a provider that is polled.";
        of_seats(Family::gauge("lasso_feed_connected", help), &|seat| Some(feed(seat).is_connected.into()));
        let help = "What we are subscribed to at this provider.";
        of_seats(Family::gauge("lasso_feed_subscriptions", help), &|seat| Some(feed(seat).subscriptions.into()));
        let help = "New heads that it announced.";
        of_seats(Family::counter("lasso_feed_heads", help), &|seat| Some(feed(seat).heads.into()));
        let help = "Behind the first provider to announce the same block, on average.";
        of_seats(Family::gauge("lasso_feed_delay_seconds", help), &|seat| feed(seat).delay_us.map(Value::Micros));
    }

    fn feed_of(&self, seat: &Seat<'_>) -> FeedState {
        let ws = seat.channels.iter().find(|(id, _)| id.transport() == Transport::Ws);
        ws.or(seat.channels.first()).map(|(id, _)| self.channels[*id].feed).unwrap_or_default()
    }

    pub(super) fn write_channels(&self, out: &mut Exposition, seats: &[Seat<'_>], at: Moment) {
        let all: Vec<(&Labels, ChannelId, &Channel)> =
            seats.iter().flat_map(|seat| &seat.channels).map(|(id, labels)| (labels, *id, &self.channels[*id])).collect();
        out.family(&Family::gauge("lasso_circuit_state", "1 for the state that a circuit is in, 0 for the others."));
        for (labels, _, channel) in &all {
            for gate in GATES {
                out.sample_of(labels, "state", gate.word(), gate == channel.breaker.gate());
            }
        }
        out.family(&Family::info("lasso_circuit", "Why a circuit is as it is, and what the provider's last failure meant."));
        for (labels, _, channel) in &all {
            let last = channel.last_failure.map_or("none", |(category, _)| category.word());
            let breaker = &channel.breaker;
            let state = (*labels).clone().with("state", breaker.gate().word());
            out.sample(&state.with("reason", breaker.reason()).with("last_failure", last), 1u64);
        }
        let mut of_channels = |family, value: &dyn Fn(ChannelId, &Channel) -> Option<Value>| {
            each(out, family, &all, |(labels, ..)| *labels, |(_, id, channel)| value(*id, channel));
        };
        let help = "Times that its circuit opened, by failures or by hand.";
        of_channels(Family::counter("lasso_circuit_opens", help), &|_, c| Some(c.opened.into()));
        let help = "Failures in a row that count against it.";
        of_channels(Family::gauge("lasso_circuit_failures_in_a_row", help), &|_, c| Some(c.breaker.run().into()));
        let help = "1 while it rests because it said that we ask too often.";
        of_channels(Family::gauge("lasso_provider_rate_limited", help), &|_, c| Some(c.limited_until(at.now).is_some().into()));
        let help = "1 while it refuses our credentials.";
        of_channels(Family::gauge("lasso_provider_misconfigured", help), &|_, c| Some(c.misconfigured_since.is_some().into()));
        let help = "1 while it serves another chain than configured, or follows another fork than two others that agree.";
        of_channels(Family::gauge("lasso_provider_wrong_chain", help), &|id, c| {
            Some((c.wrong_chain.is_some() || self.forked(id, at.now).is_some()).into())
        });
        let probe = |id: ChannelId| self.evidence.standing(id, method::UNKNOWN, at.now).prior_us;
        let help = "Time that our own probes of it take, smoothed.";
        of_channels(Family::gauge("lasso_probe_latency_seconds", help), &|id, _| Some(Value::Micros(probe(id)?.into())));
    }
}
