//! The process, and each of its shards. One line of a table for each family: a new figure is one line more.

use super::{Moment, each};
use crate::aggregator::Aggregator;
use crate::aggregator::answer::node::Heard;
use crate::cluster::health::PeerState;
use crate::cluster::sessions::Unheard;
use crate::observe::expose::{Exposition, Family, Labels, Value};
use crate::observe::report::StreamLoad;
use crate::observe::shortage::Shortage;
use crate::runtime::process;

type Gauges<T> = &'static [(Family, fn(&T) -> Value)];

/// Of the node as a whole.
const NODE: Gauges<Aggregator> = &[
    (Family::gauge("lasso_ready", "1 once every chain had an answer from a provider, or its time."), |a| {
        a.node.ready.is_raised().into()
    }),
    (Family::gauge("lasso_draining", "1 while the node ends."), |a| a.node.draining.is_raised().into()),
    (Family::gauge("lasso_request_memory_bytes", "Memory that request bodies hold beyond their connections' buffers."), |a| {
        a.node.bodies.drawn().into()
    }),
    (Family::gauge("lasso_answer_memory_bytes", "Memory that held answers take."), |a| a.node.answers.drawn().into()),
    (Family::counter("lasso_attempts_unfiled", "Attempts beyond the bounds of memory, which are in no figure by method."), |a| {
        (a.unfiled_samples + a.figures.homeless).into()
    }),
    (Family::counter("lasso_events_dropped", "Events of shards beyond what an epoch holds."), |a| a.dropped_events.into()),
    (Family::counter("lasso_log_lines_dropped", "Log lines that standard output did not take."), |a| {
        a.node.settings.log_losses.count().into()
    }),
    (Family::counter("lasso_request_log_unwritten", "Calls beyond what a second's log has room for."), |a| {
        a.told.untold_calls.into()
    }),
    (Family::gauge("lasso_client_connections_max", "Clients' connections that there may be; more are answered 503."), |a| {
        a.node.admissions.limit().into()
    }),
    (Family::gauge("lasso_event_readers", "Open /api/events streams."), |a| a.node.events.readers().into()),
];

/// What subscriptions did upstream of the shards.
const STREAMS: Gauges<StreamLoad> = &[
    (Family::gauge("lasso_stream_followers", "Streams that clients share, each led by one provider."), |s| s.followers.into()),
    (Family::gauge("lasso_stream_feeds", "Providers that are subscribed to or polled."), |s| s.feeds.into()),
    (Family::gauge("lasso_upstream_subscriptions", "Subscriptions at providers."), |s| s.upstream_subscriptions.into()),
    (Family::counter("lasso_stream_events", "Events before they were fanned out."), |s| s.events.into()),
    (Family::counter("lasso_stream_duplicates", "Announcements that said nothing new."), |s| s.duplicates.into()),
    (Family::counter("lasso_stream_losses", "Leaders of streams that were lost."), |s| s.losses.into()),
    (Family::counter("lasso_stream_switches", "Changes from one leader to another."), |s| s.switches.into()),
    (Family::counter("lasso_stream_filled", "Blocks, and logs of blocks, that had to be asked for."), |s| s.filled.into()),
    (Family::counter("lasso_stream_closed", "Streams that could not be kept whole."), |s| s.closed.into()),
];

/// Of each shard; the control thread, which has no clients, is one.
const SHARDS: Gauges<Heard> = &[
    (Family::counter("lasso_rpc_calls", "JSON-RPC calls accepted, each of a batch."), |h| h.load.calls.into()),
    (Family::counter("lasso_rpc_replies", "Calls answered with a provider's result or error, or by the node itself."), |h| {
        h.load.replies.into()
    }),
    (Family::counter("lasso_rpc_refusals", "Calls that no provider answered."), |h| h.load.refusals.into()),
    (Family::counter("lasso_rpc_rate_limited", "Calls over their client's limit."), |h| h.load.limited.into()),
    (Family::counter("lasso_answers_truncated", "Answers cut off because the provider's broke while it was passed on."), |h| {
        h.load.truncated.into()
    }),
    (Family::gauge("lasso_client_connections", "Clients' connections."), |h| h.load.client_connections.into()),
    (Family::counter("lasso_client_connections_accepted", "Clients' connections taken."), |h| h.load.connections.into()),
    (Family::gauge("lasso_upstream_connections", "HTTP connections to providers."), |h| h.load.upstream_connections.into()),
    (Family::gauge("lasso_upstream_websockets", "WebSockets to providers."), |h| h.load.links.into()),
    (Family::counter("lasso_upstream_strays", "Messages on providers' WebSockets that answered nothing."), |h| {
        h.load.strays.into()
    }),
    (Family::gauge("lasso_attempts_in_flight", "Attempts that wait for a provider."), |h| h.load.attempts_in_flight.into()),
    (Family::gauge("lasso_websocket_clients", "Clients' WebSockets."), |h| h.load.sockets.into()),
    (Family::gauge("lasso_subscriptions", "Clients' subscriptions."), |h| h.load.subscriptions.into()),
    (Family::gauge("lasso_subscription_topics", "Different things that they subscribe to."), |h| h.load.topics.into()),
    (Family::counter("lasso_subscription_events", "Events queued for subscribers."), |h| h.load.events.into()),
    (Family::counter("lasso_slow_consumers", "Subscribers closed for not taking their events."), |h| {
        h.load.slow_consumers.into()
    }),
    (Family::counter("lasso_panics", "Tasks that panicked, each of which ended one connection."), |h| h.panics().into()),
    (Family::counter("lasso_shard_restarts", "Times that the shard ended and was started again."), |h| h.restarts.into()),
    (
        Family::gauge("lasso_loop_stall_seconds", "The longest that the shard's loop was late in the last 30 to 60 seconds."),
        |h| h.stall().into(),
    ),
    (Family::counter("lasso_epochs_late", "Reports that found their queue full and were merged into the next one."), |h| {
        h.late_epochs().into()
    }),
];

impl Aggregator {
    pub(super) fn write_node(&self, out: &mut Exposition, at: Moment) {
        let (settings, none) = (&self.node.settings, Labels::default());
        out.family(&Family::info("lasso_build", "The program's version."));
        out.sample(&Labels::default().with("version", env!("CARGO_PKG_VERSION")), 1u64);
        out.family(&Family::info("lasso_node", "The node's name and region."));
        out.sample(&Labels::default().with("node_id", &settings.node_id).with("region", &settings.region), 1u64);
        out.family(&Family::gauge("lasso_uptime_seconds", "Time since the start."));
        out.sample(&none, self.node.uptime_seconds(at.now));
        for (family, value) in NODE {
            out.family(family);
            out.sample(&none, value(self));
        }
        let streams = self.heard.last().map(|heard| heard.load.streams).unwrap_or_default();
        for (family, value) in STREAMS {
            out.family(family);
            out.sample(&none, value(&streams));
        }
        self.write_cluster(out);
        write_process(out, settings.started.0);
    }

    /// Nothing of a node that works alone.
    fn write_cluster(&self, out: &mut Exposition) {
        if self.node.settings.cluster.is_none() {
            return;
        }
        let (view, none) = (self.node.cluster.latest(), Labels::default());
        out.family(&Family::gauge("lasso_cluster_nodes", "Other nodes, by how they are."));
        for state in PeerState::ALL {
            out.sample_of(&none, "state", state.word(), view.count(state) as u64);
        }
        out.family(&Family::counter("lasso_cluster_datagrams", "Datagrams to and from other nodes, unheard ones among them."));
        for (direction, count) in [("sent", view.datagrams.sent), ("received", view.datagrams.received)] {
            out.sample_of(&none, "direction", direction, count);
        }
        out.family(&Family::counter("lasso_cluster_datagrams_refused", "Datagrams that were not listened to, by reason."));
        for why in Unheard::ALL {
            out.sample_of(&none, "reason", why.word(), view.datagrams.unheard(why));
        }
        let overflowed = "Datagrams that found no room in the socket's buffer; a larger net.core.rmem_max gives it up to 1 MiB.";
        out.family(&Family::counter("lasso_cluster_datagrams_overflowed", overflowed));
        out.sample(&none, view.datagrams.overflowed);
        let gathered = view.digests.gathered;
        out.family(&Family::counter("lasso_cluster_digest_bytes", "Figures that went to and came from other nodes."));
        for (direction, bytes) in [("sent", view.digests.sent_bytes), ("received", gathered.received_bytes)] {
            out.sample_of(&none, "direction", direction, bytes);
        }
        out.family(&Family::counter("lasso_cluster_digests", "Other nodes' figures that were asked for, by what became of it."));
        for (result, count) in [("taken", gathered.taken), ("refused", gathered.refused), ("unanswered", gathered.unanswered)] {
            out.sample_of(&none, "result", result, count);
        }
    }

    pub(super) fn write_shards(&self, out: &mut Exposition, at: Moment) {
        let control = self.heard.len().saturating_sub(1);
        let name = |index: usize| if index == control { "control".to_owned() } else { index.to_string() };
        let label = |(index, heard): (usize, _)| (Labels::default().with("shard", &name(index)), heard);
        let shards: Vec<(Labels, &Heard)> = self.heard.iter().enumerate().map(label).collect();
        for (family, value) in SHARDS {
            each(out, *family, &shards, |(labels, _)| labels, |(_, heard)| Some(value(heard)));
        }
        out.family(&Family::counter(
            "lasso_shortages",
            "Things that this node or its machine lacked, which no provider is blamed for.",
        ));
        for (labels, heard) in &shards {
            for shortage in Shortage::ALL {
                let count = heard.load.shortages.get(shortage.index()).copied().unwrap_or(0);
                out.sample_of(labels, "of", shortage.word(), count);
            }
        }
        let family = Family::gauge("lasso_epoch_lag_seconds", "Time since the shard's last report.");
        each(out, family, &shards, |(labels, _)| labels, |(_, heard)| Some(at.now.since(heard.until).into()));
    }
}

/// Under the names that every exporter uses.
fn write_process(out: &mut Exposition, started_ms: u64) {
    let (usage, (open, most)) = (process::usage(), process::open_files());
    let start = Value::Micros(started_ms.saturating_mul(1_000));
    let all = [
        (Family::gauge("process_start_time_seconds", "When the process began, since 1970."), start),
        (Family::counter("process_cpu_seconds", "Processor time, user and system."), usage.cpu.into()),
        (Family::gauge("process_resident_memory_bytes", "Memory in use."), usage.memory_bytes.into()),
        (Family::gauge("process_virtual_memory_bytes", "Memory mapped."), usage.virtual_bytes.into()),
        (Family::gauge("process_threads", "Threads."), usage.threads.into()),
        (Family::gauge("process_open_fds", "Open files and sockets."), open.into()),
        (Family::gauge("process_max_fds", "Most files and sockets that may be open."), most.into()),
    ];
    for (family, value) in &all {
        out.family(family);
        out.sample(&Labels::default(), *value);
    }
}
