//! What all shards of a process have in common: settings, the published snapshot, the few node-wide counters.
//!
//! Shards share nothing that a call must wait for. What is here is read-only, or one atomic operation in `runtime`.

use crate::base::ids::ProfileId;
use crate::base::limits;
use crate::base::time::{Instant, WallTime};
use crate::cluster::advice::{Counsel, OwnWord, UpstreamKey};
use crate::cluster::digest::NodeDigest;
use crate::cluster::engine::ClusterEvent;
use crate::cluster::settings::ClusterSettings;
use crate::cluster::telling::ClusterQuestion;
use crate::cluster::view::ClusterView;
use crate::dashboard::Page;
use crate::observe::question::{Answer, Asked, Order};
use crate::route::classify::Classifier;
use crate::route::limit::{TrustedProxies, client_name};
use crate::runtime::admission::Admissions;
use crate::runtime::budget::Budget;
use crate::runtime::counters::Counters;
use crate::runtime::desk::Desk;
use crate::runtime::events::Events;
use crate::runtime::flag::Flag;
use crate::runtime::holdings::Holdings;
use crate::runtime::journal::Losses;
use crate::runtime::limiter::{ClientKey, Limiter};
use crate::runtime::mailbox::Directory;
use crate::runtime::notes::Notes;
use crate::runtime::publish::Published;
use crate::runtime::recorder::Recorder;
use crate::runtime::reports::Lane;
use crate::runtime::served::Served;
use crate::runtime::spans::Spans;
use crate::runtime::turns::Turns;
use crate::shard::errands::Errand;
use crate::snapshot::Snapshot;
use crate::stream::fanout::{Letter, Topic, Wish};
use std::net::IpAddr;
use std::sync::Arc;

/// Fixed at start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub node_id: Box<str>,
    pub region: Box<str>,
    /// Used in URLs shown to people: `http` or `https`, and the host with its port.
    pub scheme: Option<Box<str>>,
    pub host: Box<str>,
    pub shards: u32,
    pub trusted_proxies: TrustedProxies,
    /// Client connections at once; more are answered 503.
    pub client_connections_max: u64,
    /// Calls of a kind that people are told of in a second; 0: of none.
    pub request_log_rate: u32,
    /// When the process began.
    pub started: WallTime,
    /// Where traced exchanges are told of; `None`: nothing is traced.
    pub spans: Option<Arc<Spans>>,
    /// Where sampled calls are written down; `None`: nothing is recorded.
    pub recorder: Option<Arc<Recorder>>,
    /// Log lines that standard output did not take.
    pub log_losses: Losses,
    /// `None`: the node works alone.
    pub cluster: Option<ClusterSettings>,
}

impl Settings {
    /// Settings of a shard that serves nobody: what a command asks providers with, or only thinks of.
    pub fn without_clients(name: &str) -> Settings {
        Settings {
            node_id: name.into(),
            region: name.into(),
            scheme: None,
            host: "localhost".into(),
            shards: 1,
            trusted_proxies: TrustedProxies::loopback(),
            client_connections_max: 1,
            request_log_rate: 0,
            started: WallTime::default(),
            spans: None,
            recorder: None,
            log_losses: Losses::default(),
            cluster: None,
        }
    }
}

pub struct Node {
    pub settings: Settings,
    pub snapshot: Arc<Published<Snapshot>>,
    /// Client limits, exact across shards.
    pub limiter: Limiter,
    /// Client connections.
    pub admissions: Admissions,
    /// Request bodies in memory beyond the buffers that connections own.
    pub bodies: Budget,
    /// Held answers beyond `HOLD_BYTES`.
    pub answers: Budget,
    pub classifier: Classifier,
    /// Up to the aggregator: one for each shard, and the control thread's.
    pub lanes: Vec<Arc<Lane>>,
    /// One for each shard, written by that shard only.
    pub counters: Vec<Arc<Counters>>,
    /// People's questions to the aggregator.
    pub desk: Arc<Desk<Asked, Answer>>,
    /// What people are told of as it happens.
    pub events: Events,
    /// One call at a time to each channel whose circuit is not closed.
    pub turns: Arc<Turns>,
    /// What clients were given as the newest height.
    pub served: Served,
    /// Who holds which topics.
    pub topics: Arc<Holdings<Arc<Topic>>>,
    /// About subscriptions: to the control thread (the one place), and to each shard.
    pub wishes: Directory<Wish>,
    pub letters: Directory<Letter>,
    /// To each shard, from any.
    pub errands: Directory<Errand>,
    /// Other nodes, as the control thread sees them, and what it wants told of them.
    pub cluster: Arc<Published<ClusterView>>,
    pub cluster_notes: Notes<ClusterEvent>,
    /// What this node knows of providers by itself, orders given here for every node, and what the others advise.
    pub own_words: Arc<Published<Vec<OwnWord>>>,
    pub shared_orders: Notes<(UpstreamKey, Order)>,
    pub counsel: Arc<Published<Counsel>>,
    /// People's questions about several nodes.
    pub cluster_desk: Arc<Desk<ClusterQuestion, Answer>>,
    /// Until when digests of this node are wanted (control), and the newest one (aggregator).
    pub digests_wanted: Arc<Published<Instant>>,
    pub digest: Arc<Published<NodeDigest>>,
    pub page: Page,
    /// Every chain had an answer from a provider, or has had its time.
    pub ready: Flag,
    /// The node is ending.
    pub draining: Flag,
    /// One for each shard: it has no client left at the end.
    pub emptied: Vec<Flag>,
}

impl Node {
    /// `secret` keys the limiter's table, so that nobody can aim at its cells.
    pub fn new(settings: Settings, snapshot: Snapshot, secret: [u64; 2]) -> Arc<Node> {
        let instances = snapshot.topology.instances.len();
        let lanes = (0..=settings.shards).map(|_| Lane::new()).collect();
        let counters = (0..=settings.shards).map(|_| Arc::new(Counters::new(instances))).collect();
        Arc::new(Node {
            snapshot: Published::new(snapshot),
            limiter: Limiter::new(secret),
            classifier: Classifier::new(),
            admissions: Admissions::new(settings.client_connections_max),
            bodies: Budget::new(limits::INFLIGHT_BODY_BYTES),
            answers: Budget::new(limits::INFLIGHT_ANSWER_BYTES),
            lanes,
            counters,
            desk: Desk::new(limits::QUESTIONS),
            events: Events::new(settings.started),
            turns: Turns::new(2 * instances),
            served: Served::new(2 * instances),
            topics: Holdings::new(limits::TOPIC_LOCKS),
            wishes: Directory::new(1),
            letters: Directory::new(settings.shards as usize),
            errands: Directory::new(settings.shards as usize),
            cluster: Published::new(ClusterView::default()),
            cluster_notes: Notes::new(limits::CLUSTER_NODES),
            own_words: Published::new(Vec::new()),
            shared_orders: Notes::new(limits::CLUSTER_UNTOLD_ORDERS),
            counsel: Published::new(Counsel::default()),
            cluster_desk: Desk::new(limits::CLUSTER_QUESTIONS),
            digests_wanted: Published::new(Instant::ZERO),
            digest: Published::new(NodeDigest::default()),
            page: Page::new(),
            ready: Flag::default(),
            draining: Flag::default(),
            emptied: (0..settings.shards).map(|_| Flag::default()).collect(),
            settings,
        })
    }

    /// The limiter's key of a profile's client.
    pub fn client_key(&self, profile: ProfileId, client: IpAddr) -> ClientKey {
        self.limiter.key(0, &client_name(profile, client))
    }

    /// The same for what an address has in all profiles together.
    pub fn address_key(&self, client: IpAddr) -> ClientKey {
        self.limiter.key(2, &client_name(ProfileId(0), client))
    }

    /// Instants start with the process.
    pub fn uptime_seconds(&self, now: Instant) -> u64 {
        now.as_ms() / 1000
    }
}
