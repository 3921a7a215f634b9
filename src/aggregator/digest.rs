//! This node's figures as other nodes are told them: made every few seconds while somebody wants them, and not otherwise.
//!
//! Making one reads every figure there is, some milliseconds with thousands of them, which delays an epoch by as much; calls do not wait for epochs.

use crate::aggregator::Aggregator;
use crate::aggregator::answer::Moment;
use crate::base::ids::{ChainId, ChannelId, EntryId, Id, MethodId, ProfileId, Transport};
use crate::base::limits;
use crate::base::time::{Instant, WallTime};
use crate::chain::method;
use crate::cluster::digest::{DigestAbout, DigestHealth, DigestRow, DigestTopic, NodeDigest};
use crate::config::topology::Chain;
use crate::health::breaker::Gate;
use crate::observe::figures::{FigureWindows, Window, span_of};
use crate::observe::shown::STATUS_WORDS;
use crate::shard::CONFIG_REVISION;
use std::collections::BTreeMap;
use std::sync::Arc;

/// When the last one was made, and the names of its rows, which all of them share.
#[derive(Default)]
pub(super) struct DigestMaking {
    made: Option<Instant>,
    names: BTreeMap<u32, Arc<DigestAbout>>,
}

impl Aggregator {
    /// A digest, when one is due.
    pub(super) fn share_digest(&mut self, now: Instant) {
        let is_wanted = now < *self.node.digests_wanted.latest();
        let is_due = self.digests.made.is_none_or(|at| now.since(at).as_millis() as u64 >= limits::CLUSTER_DIGEST_MS);
        if is_wanted && is_due {
            self.digests.made = Some(now);
            let digest = self.make_digest(now);
            self.node.digest.publish(digest);
        }
    }

    pub fn make_digest(&mut self, now: Instant) -> NodeDigest {
        let canonical = |mut row: DigestRow| {
            (row.total, row.hour, row.minute) = (row.total.canonical(), row.hour.canonical(), row.minute.canonical());
            row
        };
        let mut names = std::mem::take(&mut self.digests.names);
        let mut chains = BTreeMap::new();
        for (profile_id, profile) in self.topology.profiles.iter() {
            for (chain_id, chain) in profile.chains.iter() {
                let rows = self.digest_chain((profile_id, chain_id), chain, &mut names, now);
                let rows = rows.into_iter().map(|(id, row)| (id, canonical(row))).collect();
                chains.insert(DigestTopic::new(&profile.slug, chain.chain_number), rows);
            }
        }
        self.digests.names = names;
        NodeDigest { made: now, config_revision: CONFIG_REVISION, minute: span_of(Window::Minute, now), chains }
    }

    fn digest_chain(
        &self,
        (profile_id, chain_id): (ProfileId, ChainId),
        chain: &Chain,
        names: &mut BTreeMap<u32, Arc<DigestAbout>>,
        now: Instant,
    ) -> BTreeMap<u32, DigestRow> {
        let mut row = |number: u32, about: &dyn Fn() -> DigestAbout| {
            DigestRow::new(names.entry(number).or_insert_with(|| Arc::new(about())).clone())
        };
        let (mut rows, mut of_methods) = (BTreeMap::new(), BTreeMap::new());
        let mut windows = FigureWindows::default();
        for (id, provider) in chain.providers.iter() {
            let entry = chain.entry(id);
            for channel in self.channels_of(provider.instance) {
                let transport = channel.transport();
                let about = || DigestAbout::Provider { id: provider.id.clone().into(), transport };
                let number = provider_row(entry, transport);
                let mut sums = row(number, &about);
                sums.health = self.digest_health(chain, channel, now);
                rows.insert(number, sums);
            }
            for (transport, method, figure) in self.figures.of_entry(entry) {
                windows.take(figure, now);
                let about = || DigestAbout::Provider { id: provider.id.clone().into(), transport };
                let number = provider_row(entry, transport);
                add(rows.entry(number).or_insert_with(|| row(number, &about)), &windows);
                let about = || DigestAbout::Method(method::info(method).name.into());
                let of_method = || row(self.method_row(profile_id, chain_id, method), &about);
                add(of_methods.entry(method).or_insert_with(of_method), &windows);
            }
        }
        rows.extend(of_methods.into_iter().map(|(method, sums)| (self.method_row(profile_id, chain_id, method), sums)));
        rows
    }

    /// Behind all providers' rows, by the chain's place and the method's.
    fn method_row(&self, profile: ProfileId, chain: ChainId, method: MethodId) -> u32 {
        let before = self.topology.profiles.values().take(profile.index()).map(|p| p.chains.len()).sum::<usize>();
        let place = (before + chain.index()) * method::COUNT + method.index();
        (2 * self.topology.entries.len() + place) as u32
    }

    /// The provider's status, and the channel's circuit.
    fn digest_health(&self, chain: &Chain, channel: ChannelId, now: Instant) -> DigestHealth {
        let heads = self.heads.get(&chain.chain_number);
        let lag = heads.and_then(|heads| heads.lag(channel.instance(), now));
        // Words do not hang on the clock for people.
        let at = Moment { now, wall: WallTime(0) };
        let (_, (status, _)) = self.best_channel(chain, channel.instance(), lag, at);
        let circuit = match self.channels.get(channel).map(|channel| channel.breaker.gate()) {
            None => 0,
            Some(Gate::Closed) => 1,
            Some(Gate::HalfOpen) => 2,
            Some(Gate::Open) => 3,
        };
        DigestHealth {
            status: STATUS_WORDS.iter().position(|word| *word == status).map_or(0, |place| place as u8 + 1),
            circuit,
            height: heads.and_then(|heads| heads.height(channel.instance())).map_or(0, |(height, _)| height),
            lag_blocks: lag.map_or(0, |lag| lag.min(0).unsigned_abs()),
        }
    }
}

fn provider_row(entry: EntryId, transport: Transport) -> u32 {
    entry.0 * 2 + transport as u32
}

fn add(row: &mut DigestRow, windows: &FigureWindows) {
    row.total.add(&windows.total);
    row.hour.add(&windows.hour);
    row.minute.add(&windows.minute);
}
