//! What a snapshot file keeps of a chain, and what a new node makes of it: the first order of providers, until calls find a
//! better one.

use super::Moment;
use crate::aggregator::Aggregator;
use crate::base::ids::{ChannelId, EntryId, Transport};
use crate::base::time::Instant;
use crate::chain::method;
use crate::config::topology::{Chain, Profile, Provider};
use crate::health::evidence::Remembered;
use crate::observe::figures::Window;
use crate::observe::kept::{Data, Kept, Row};

const HOUR_S: u64 = 3600;

fn us_of(ms: f64) -> u32 {
    (ms * 1000.0) as u32
}

impl Aggregator {
    /// The last hour of each provider, transport and method that was called.
    pub(super) fn kept(&self, profile: &Profile, chain: &Chain, at: Moment) -> Kept {
        let rows = chain.providers.iter().flat_map(|(id, provider)| self.kept_rows(provider, chain.entry(id), at));
        let settings = &self.node.settings;
        let data =
            Data { node_id: settings.node_id.to_string(), region: settings.region.to_string(), snapshot_data: rows.collect() };
        Kept::new(&profile.slug, &chain.key, at.wall, data)
    }

    fn kept_rows(&self, provider: &Provider, entry: EntryId, at: Moment) -> Vec<Row> {
        let row = |(transport, method, figure): (Transport, _, &crate::observe::figures::Figure)| {
            let counts = figure.counts(Window::Hour, at.now);
            let histogram = counts.latencies.histogram();
            let known = |us: u64| (counts.successes > 0).then(|| super::ms(us));
            let quantile = |q: f64| known(histogram.value_at_quantile(q).min(counts.max_us));
            let row = Row {
                provider_id: provider.id.to_string(),
                transport: transport.word().to_owned(),
                hour_timestamp: (at.wall.0 / 1000).saturating_sub(HOUR_S),
                rpc_method: method::info(method).name.to_owned(),
                rpc_calls: counts.attempts(),
                rpc_avg_duration_ms: known(counts.mean_us()),
                rpc_success_rate: super::rounded(counts.success_rate()),
                p50_ms: quantile(0.5),
                p90_ms: quantile(0.9),
                p95_ms: quantile(0.95),
                p99_ms: quantile(0.99),
                last_updated: at.wall.0.saturating_sub(at.now.since(figure.last).as_millis() as u64),
            };
            (row.rpc_calls > 0).then_some(row)
        };
        self.figures.of_entry(entry).filter_map(row).collect()
    }

    /// Before the first call. Says how many rows will order something; the rest are of providers or methods that are not
    /// here any more, or tell too little.
    pub fn remember(&mut self, kept: &Kept, now: Instant) -> usize {
        kept.data.snapshot_data.iter().filter(|row| self.remember_row(kept, row, now).is_some()).count()
    }

    fn remember_row(&mut self, kept: &Kept, row: &Row, now: Instant) -> Option<()> {
        let profile = self.topology.profiles.get(*self.topology.profile_by_slug.get(kept.profile.as_str())?)?;
        let chain = profile.chains.get(*profile.chain_by_name.get(kept.chain_name.as_str())?)?;
        let provider = chain.providers.get(*chain.provider_by_id.get(row.provider_id.as_str())?)?;
        let instance = provider.instance;
        let method = Some(method::lookup(row.rpc_method.as_bytes())).filter(|id| *id != method::UNKNOWN)?;
        let over = |id: &ChannelId| id.transport().word() == row.transport;
        let channel = self.channels_of(instance).find(over)?;
        let remembered = Remembered {
            p50_us: us_of(row.p50_ms?),
            p90_us: us_of(row.p90_ms?),
            calls: row.rpc_calls,
            success_rate: row.rpc_success_rate,
        };
        self.evidence.remember(channel, method, &remembered, now).then_some(())?;
        let plans = self.plans_of.get(crate::base::ids::Id::index(instance)).into_iter().flatten();
        self.dirty.extend(plans.map(|(profile, chain)| (*profile, *chain, method)));
        Some(())
    }
}
