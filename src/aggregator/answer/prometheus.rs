//! `/metrics`: what is counted and what is so, for Prometheus and whoever reads its text.
//!
//! One family for one question, with labels from closed lists: profiles, chains and providers of the configuration, two
//! transports, the methods of our table (`other` for the rest), words of ours. Never an address, a client or a client's
//! text, so that nobody but the operator's own configuration makes series. Counters are of the process: a shard that is
//! started again goes on counting. A row of attempts has all its outcomes from its first attempt on, so that rates see the
//! first of each; only categories, which are many, appear when they occur.
//!
//! Written on the thread that judges, which no call waits for. Worst case, with all `FIGURE_ROWS` in use: some 60 MB.

mod attempts;
mod channels;
mod node;

use super::Moment;
use crate::aggregator::Aggregator;
use crate::base::ids::{ChannelId, EntryId, InstanceId};
use crate::config::topology::{Chain, Provider};
use crate::observe::expose::{Exposition, Family, Format, Labels, Value};
use crate::observe::question::Answer;

/// About what one row of attempts, and one provider, take in the text.
const ROW_BYTES: usize = 3_500;
const PROVIDER_BYTES: usize = 4_000;

/// A provider as configured.
struct Seat<'a> {
    labels: Labels,
    chain: &'a Chain,
    provider: &'a Provider,
    entry: EntryId,
    channels: Vec<(ChannelId, Labels)>,
}

impl Seat<'_> {
    fn instance(&self) -> InstanceId {
        self.provider.instance
    }
}

impl Aggregator {
    pub(super) fn prometheus(&self, format: Format, at: Moment) -> Answer {
        let seats = self.seats();
        let rows = self.rows(&seats);
        let mut out = Exposition::new(format, rows.len() * ROW_BYTES + (seats.len() + self.heard.len()) * PROVIDER_BYTES);
        self.write_node(&mut out, at);
        self.write_shards(&mut out, at);
        self.write_chains(&mut out, at);
        self.write_providers(&mut out, &seats, at);
        self.write_channels(&mut out, &seats, at);
        attempts::write(&mut out, &rows);
        Answer { status: 200, kind: format.content_type(), body: out.finish() }
    }

    fn seats(&self) -> Vec<Seat<'_>> {
        let mut seats = Vec::new();
        for profile in self.topology.profiles.values() {
            for chain in profile.chains.values() {
                for (id, provider) in chain.providers.iter() {
                    let of_chain = Labels::default().with("profile", &profile.slug).with("chain", &chain.key);
                    let labels = of_chain.with("provider", &provider.id);
                    let with_transport = |id: ChannelId| (id, labels.clone().with("transport", id.transport().word()));
                    let channels = self.channels_of(provider.instance).map(with_transport).collect();
                    seats.push(Seat { labels, chain, provider, entry: chain.entry(id), channels });
                }
            }
        }
        seats
    }
}

/// A family with one sample, or none where the value is unknown, for each of these.
fn each<'a, T: 'a>(
    out: &mut Exposition,
    family: Family,
    all: impl IntoIterator<Item = &'a T>,
    labels: impl Fn(&'a T) -> &'a Labels,
    value: impl Fn(&'a T) -> Option<Value>,
) {
    out.family(&family);
    for one in all {
        if let Some(value) = value(one) {
            out.sample(labels(one), value);
        }
    }
}

#[cfg(test)]
#[path = "prometheus/tests.rs"]
mod tests;
