//! `lasso serve`: reads the profiles, starts the shards, waits for a signal, drains, ends.
//!
//! Everything that can fail, fails before the node listens, with all problems named: whoever sees the port open is served.
//! From `node.ready` on it ends by a signal, or because a part of it ended that cannot be had again.

use crate::aggregator::Aggregator;
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::time::WallTime;
use crate::cli::cluster::ClusterParts;
use crate::cli::descriptors::Descriptors;
use crate::cli::log::Log;
use crate::cli::node_id::node_id;
use crate::cli::options::{Driver, Options};
use crate::cli::profiles;
use crate::cli::recording::{RecordFile, Recording};
use crate::cli::snapshots::Keeper;
use crate::cli::traces::{Exporter, Wish};
use crate::config::topology::Topology;
use crate::control;
use crate::observe::happening::{Happening, Level};
use crate::observe::question::{Asked, Question};
use crate::runtime::background::{self, Background};
use crate::runtime::cores::{self, Seat, Shards};
use crate::runtime::dns::Resolver;
use crate::runtime::driver::{DriverChoice, DriverReport};
use crate::runtime::flag::Flag;
use crate::runtime::latch::Latch;
use crate::runtime::listen::Listeners;
use crate::runtime::mailbox::{Directory, Inbox, Mailbox};
use crate::runtime::recorder::Recorder;
use crate::runtime::signals::{self, Signal};
use crate::runtime::spans::Spans;
use crate::runtime::tls::TlsSettings;
use crate::runtime::uring::{self, ShardOptions};
use crate::runtime::world::World;
use crate::shard::{Fault, Node, Settings, Shard};
use crate::snapshot::Snapshot;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZero;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a shard is told.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Take clients.
    Listen,
    /// End within this time.
    Drain { within_ms: u64 },
}

/// Names are waited for this long at the start; a name that stays silent is retried in the background.
const NAMES_WAIT: Duration = Duration::from_secs(2);
const START_WAIT: Duration = Duration::from_secs(30);
const DRAIN_POLL_MS: u64 = 20;
/// A drain takes whoever waits to be accepted, for this long at most.
const QUEUE_WAIT_MS: u64 = 1_000;
const QUEUE_POLL_MS: u64 = 1;

pub fn run(options: Options) -> i32 {
    let log = match Log::start(&options) {
        Ok(log) => log,
        Err(why) => {
            eprintln!("lasso: {why}");
            return 1;
        }
    };
    let code = serve(&options, &log);
    log.flush();
    code
}

fn serve(options: &Options, log: &Log) -> i32 {
    let loaded = match profiles::load(options) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.iter().for_each(|problem| log.error("config.problem", &problem.to_string()));
            return 1;
        }
    };
    loaded.warnings.iter().for_each(|warning| log.warn("config.warning", &warning.to_string()));
    match Running::start(options, loaded.topology, log) {
        Ok(running) => running.wait(),
        Err(why) => {
            log.error("node.failed", &why);
            1
        }
    }
}

/// A node that accepts.
pub struct Running {
    pub node: Arc<Node>,
    pub address: SocketAddr,
    shards: Shards,
    log: Log,
    traces: Option<Exporter>,
    record: Option<Recording>,
    /// Kept for its threads and what they publish.
    _resolver: Resolver,
    _cluster: ClusterParts,
    /// The aggregator and the control thread.
    _beside: [Background; 2],
    /// Writes snapshots at the end too.
    keeper: Option<Keeper>,
}

impl Running {
    /// Starts every shard. The error is for people.
    pub fn start(options: &Options, topology: Topology, log: &Log) -> Result<Running, String> {
        report_options(options, &topology, log);
        cores::refuse_huge_pages();
        // A refused raise leaves the limit as it is, which the log then shows.
        let file_limit = cores::raise_file_limit().unwrap_or(0);
        let mut seats = cores::seats(options.shards.and_then(NonZero::new));
        if !options.pin {
            seats.iter_mut().for_each(|seat| seat.core = None);
        }
        let listeners = listeners(options, seats.len())?;
        let ca_files: BTreeSet<&str> = topology.instances.values().filter_map(|i| i.ca_file.as_deref()).collect();
        let tls = TlsSettings::load(ca_files).map_err(|fault| fault.to_string())?;
        let address = listeners.address();
        let room = Descriptors::share_out(file_limit, seats.len(), &topology);
        let settings = settings(options, address, seats.len(), room, log)?;
        let resolver = resolve_names(&topology, &settings.region, log)?;
        let mut cluster = ClusterParts::prepare(options.cluster.as_ref(), options.reuse_port)?;
        let traces = Wish::from_env(&options.env)?;
        let spans = traces.as_ref().map(|wish| Spans::new(wish.sampler, wish.queue));
        let record_file = options.record.as_ref().map(|record| RecordFile::open(&record.file)).transpose()?;
        let recorder = options.record.as_ref().map(|record| Recorder::new(record.per_million, record.with_params));
        let settings = Settings { spans: spans.clone(), recorder, ..settings };
        let snapshot = Snapshot::new(topology, options.default_strategy, &settings.region, settings.shards as usize + 1);
        let node = Node::new(settings, snapshot, uring::process_secret());
        let export = |(wish, spans)| Exporter::start(wish, spans, &node, log);
        let traces = traces.zip(spans).map(export).transpose()?;
        let record = record_file.map(|file| Recording::start(file, options, &node, log)).transpose()?;
        let keeper = Keeper::new(options, &node, log);
        let judge = start_aggregator(&node, options, log, keeper.as_ref())?;
        let start = Start {
            node: node.clone(),
            listeners: Arc::new(listeners),
            tls,
            resolver: resolver.view(),
            driver: driver_choice(options.driver),
            orders: Directory::new(seats.len()),
            started: Latch::default(),
            drain_ms: options.drain_seconds * 1000,
            is_running: Arc::default(),
        };
        stop_on_signal(&start, log)?;
        let control = start_control(&start, &mut cluster)?;
        let (started, is_running, count) = (start.started.clone(), start.is_running.clone(), seats.len());
        let (listeners, orders) = (start.listeners.clone(), start.orders.clone());
        let shards = Shards::start(&seats, move |seat| start.run_shard(seat)).map_err(|e| format!("no thread: {e}"))?;
        let reports = all_started(&started, count)?;
        if let Some(keeper) = &keeper {
            keeper.start().map_err(|e| format!("no thread: {e}"))?;
        }
        is_running.raise();
        // A signal may have come meanwhile: then the shards end by themselves.
        if !node.draining.is_raised() {
            listeners.open().map_err(|fault| fault.to_string())?;
            orders.post_all(Order::Listen);
            tell(&node, log, ready(&reports, address, file_limit, log));
        }
        let log = log.clone();
        Ok(Running {
            node,
            address,
            shards,
            log,
            _resolver: resolver,
            _cluster: cluster,
            traces,
            record,
            _beside: [judge, control],
            keeper,
        })
    }

    /// Until a signal has ended every shard.
    pub fn wait(self) -> i32 {
        self.shards.join();
        settle(&self.node);
        self.traces.iter().for_each(Exporter::stop);
        self.record.iter().for_each(Recording::stop);
        if let Some(mut keeper) = self.keeper {
            keeper.write_all();
        }
        self.log.info("node.stopped", &[]);
        0
    }

    /// The same, and calls `act` every `tick` meanwhile.
    pub fn wait_with(self, tick: Duration, mut act: impl FnMut(&Node)) -> i32 {
        while !self.shards.ended_within(tick) {
            act(&self.node);
        }
        self.wait()
    }
}

fn listeners(options: &Options, shards: usize) -> Result<Listeners, String> {
    let at = SocketAddr::new(options.listen, options.port);
    Listeners::bind(at, shards, options.reuse_port).map_err(|fault| fault.to_string())
}

/// Waits for every shard.
fn all_started(started: &Latch<Result<DriverReport, String>>, count: usize) -> Result<Vec<DriverReport>, String> {
    let reports = started.wait(count, START_WAIT).into_iter().collect::<Result<Vec<_>, _>>()?;
    if reports.len() < count { Err("a shard did not start within 30 s".to_owned()) } else { Ok(reports) }
}

/// What a shard's thread needs; again after a panic.
struct Start {
    node: Arc<Node>,
    listeners: Arc<Listeners>,
    tls: TlsSettings,
    resolver: crate::runtime::dns::DnsView,
    driver: DriverChoice,
    orders: Directory<Order>,
    started: Latch<Result<DriverReport, String>>,
    drain_ms: u64,
    /// Every shard has started once.
    is_running: Arc<Flag>,
}

impl Start {
    fn run_shard(&self, seat: Seat) {
        if let Err(why) = self.try_run_shard(seat) {
            if self.is_running.is_raised() && !self.node.draining.is_raised() {
                // Its share of the clients would wait for ever.
                background::give_up(&format!("shard {} cannot come back: {why}", seat.shard));
            }
            self.started.arrive(Err(format!("shard {}: {why}", seat.shard)));
        }
    }

    fn try_run_shard(&self, seat: Seat) -> Result<(), String> {
        let listener = self.listeners.of_shard(seat.shard).map_err(|e| format!("its socket: {e}"))?;
        let (mailbox, address) = Mailbox::new(16).map_err(|e| format!("its mailbox: {e}"))?;
        self.orders.register(seat.shard, mailbox);
        let (mailbox, letters) = Mailbox::new(limits::LETTERS).map_err(|e| format!("its mailbox: {e}"))?;
        self.node.letters.register(seat.shard, mailbox);
        let (mailbox, errands) = Mailbox::new(limits::ERRANDS).map_err(|e| format!("its mailbox: {e}"))?;
        self.node.errands.register(seat.shard, mailbox);
        let names = self.resolver.clone();
        let options = ShardOptions { driver: self.driver, listeners: vec![listener], names, ..ShardOptions::default() };
        let at = self.listeners.address();
        let (result, _) = uring::run(options, async |world| {
            let mut orders = address.open().map_err(|e| format!("its mailbox: {e}"))?;
            let listener = world.listen(at).map_err(|e| format!("listening: {e}"))?;
            let shard = Shard::new(world.clone(), self.node.clone(), seat.shard, &self.tls, Fault::None);
            shard.start();
            shard.correspond(letters.open().map_err(|e| format!("its mailbox: {e}"))?);
            shard.serve_errands(errands.open().map_err(|e| format!("its mailbox: {e}"))?);
            self.started.arrive(Ok(world.driver().clone()));
            let within_ms = self.take_clients(&shard, listener, &mut orders).await?;
            self.stop_listening(&world, seat).await;
            shard.drain();
            let deadline = world.now().plus_ms(within_ms);
            loop {
                // What was accepted last is seen after a turn.
                world.sleep_until(world.now().plus_ms(DRAIN_POLL_MS)).await;
                if shard.may_leave() || world.now() >= deadline {
                    break;
                }
            }
            shard.close();
            Ok(())
        })
        .map_err(|fault| fault.to_string())?;
        result
    }
}

impl Start {
    /// Serves from the order to listen until the one to drain; returns the time for that. An order given before this shard had
    /// a mailbox reached nobody, so what it was about is looked at too.
    async fn take_clients<W: World>(
        &self,
        shard: &Rc<Shard<W>>,
        listener: W::Listener,
        orders: &mut Inbox<Order>,
    ) -> Result<u64, String> {
        if self.node.draining.is_raised() {
            return Ok(self.drain_ms);
        }
        let mut listener = Some(listener);
        if self.listeners.is_open() {
            listener.take().into_iter().for_each(|listener| shard.listen(listener));
        }
        loop {
            match orders.receive().await.map_err(|e| format!("its mailbox: {e}"))? {
                Order::Listen => listener.take().into_iter().for_each(|listener| shard.listen(listener)),
                Order::Drain { within_ms } => return Ok(within_ms),
            }
        }
    }

    /// Accepts until nobody waits, then no more.
    async fn stop_listening<W: World>(&self, world: &W, seat: Seat) {
        let until = world.now().plus_ms(QUEUE_WAIT_MS);
        while self.listeners.has_queue(seat.shard) && world.now() < until {
            world.sleep_until(world.now().plus_ms(QUEUE_POLL_MS)).await;
        }
        self.listeners.stop(seat.shard);
    }
}

/// The thread that judges providers. Without it the node would route by what it last knew for ever, so its end ends the
/// process, loudly.
fn start_aggregator(node: &Arc<Node>, options: &Options, log: &Log, keeper: Option<&Keeper>) -> Result<Background, String> {
    let [seed, _] = uring::process_secret();
    let mut aggregator = Aggregator::new(node.clone(), options.rules, Rng::new(seed));
    if let Some(keeper) = keeper {
        keeper.load(|kept| aggregator.remember(kept, uring::process_now()));
    }
    let (node, log) = (node.clone(), log.clone());
    let mut step = move || {
        let now = uring::process_now();
        aggregator.step(now).into_iter().for_each(|happening| tell(&node, &log, happening));
    };
    // What was remembered orders the very first call.
    step();
    background::every("aggregator", Duration::from_millis(limits::EPOCH_MS), step).map_err(|e| format!("no thread: {e}"))
}

/// Waits until what the shards reported last is merged and told of. An answer comes after the merge of its step, the next
/// one's after that step has told.
fn settle(node: &Node) {
    let until = uring::process_now().plus_ms(limits::ANSWER_WAIT_MS);
    for _ in 0..2 {
        let Some(ticket) = node.desk.ask(Asked { what: Question::Region, wall: uring::wall_now() }) else { return };
        while ticket.take().is_none() && uring::process_now() < until {
            background::pause(crate::base::time::Duration::from_millis(limits::ANSWER_POLL_MS));
        }
    }
}

/// Tells the log and whoever listens.
fn tell(node: &Node, log: &Log, happening: Happening) {
    let age_ms = uring::process_now().since(happening.at).as_millis() as u64;
    let wall = WallTime(uring::wall_now().0.saturating_sub(age_ms));
    let json = node.events.push(&happening, wall);
    log.happened(&happening, json);
}

/// The thread that probes.
fn start_control(start: &Start, cluster: &mut ClusterParts) -> Result<Background, String> {
    let (datagrams, peer_names) = (Vec::from_iter(cluster.socket.take()), cluster.names());
    let (node, tls, names, driver) = (start.node.clone(), start.tls.clone(), start.resolver.clone(), start.driver);
    let (mailbox, wishes) = Mailbox::new(limits::WISHES).map_err(|e| format!("its mailbox: {e}"))?;
    node.wishes.register(0, mailbox);
    let body = move || {
        let options = ShardOptions { driver, listeners: Vec::new(), names, peer_names, datagrams };
        let index = node.settings.shards as usize;
        let run = uring::run(options, async |world| {
            let shard = Shard::new(world.clone(), node.clone(), index, &tls, Fault::None);
            shard.start();
            control::start(&shard, wishes.open().map_err(|e| format!("its mailbox: {e}"))?);
            std::future::pending::<Result<(), String>>().await
        });
        match run {
            Ok((Err(why), _)) => why,
            Ok((Ok(()), _)) => "it returned".to_owned(),
            Err(fault) => fault.to_string(),
        }
    };
    background::vital("control", body).map_err(|e| format!("no thread: {e}"))
}

fn stop_on_signal(start: &Start, log: &Log) -> Result<(), String> {
    let (node, orders, log, within_ms) = (start.node.clone(), start.orders.clone(), log.clone(), start.drain_ms);
    let act = move |signal| match signal {
        Signal::Stop => {
            let draining = Happening::new("node.draining", Level::Info, uring::process_now());
            tell(&node, &log, draining.with("within_ms", within_ms));
            node.draining.raise();
            orders.post_all(Order::Drain { within_ms });
        }
        Signal::Reload => log.warn("config.reload", "SIGHUP: this version reads profiles at start only; restart it"),
    };
    signals::watch(act).map_err(|e| format!("signals: {e}"))
}

/// The hosts that a node of this region calls.
fn resolve_names(topology: &Topology, region: &str, log: &Log) -> Result<Resolver, String> {
    let endpoints = topology.instances.values().flat_map(|i| i.http_from(region).into_iter().chain(i.ws_from(region)));
    let hosts: BTreeSet<&str> = endpoints.map(|e| e.host.as_ref()).collect();
    let resolver = Resolver::start(hosts).map_err(|e| format!("resolver: {e}"))?;
    if !resolver.ready(NAMES_WAIT) {
        log.warn("dns.slow", "some host names are not resolved yet; they are retried in the background");
    }
    for (host, why) in resolver.faults() {
        log.warn("dns.unresolved", &format!("{host}: {why} (its providers are skipped until it resolves)"));
    }
    Ok(resolver)
}

fn settings(options: &Options, address: SocketAddr, shards: usize, room: Descriptors, log: &Log) -> Result<Settings, String> {
    room.warning(options.client_connections).iter().for_each(|warning| log.warn("node.open_files", warning));
    let node_id = node_id(options).map_err(|e| format!("node id: {e}"))?;
    Ok(Settings {
        region: options.region.clone().unwrap_or_else(|| node_id.clone()).into(),
        node_id: node_id.into(),
        scheme: options.scheme.map(|s| s.word().into()),
        host: shown_host(&options.host, address.port()).into(),
        shards: shards as u32,
        trusted_proxies: options.trusted_proxies.clone(),
        client_connections_max: options.client_connections.unwrap_or(room.clients()),
        request_log_rate: options.request_log_rate,
        started: uring::wall_now(),
        spans: None,
        recorder: None,
        log_losses: log.losses(),
        cluster: options.cluster.clone(),
    })
}

/// The host for URLs shown to people, with the port unless it is one that URLs leave out.
fn shown_host(host: &str, port: u16) -> String {
    if matches!(port, 80 | 443) || host.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
}

pub(super) fn driver_choice(driver: Driver) -> DriverChoice {
    match driver {
        Driver::Auto => DriverChoice::Auto,
        Driver::IoUring => DriverChoice::IoUring,
        Driver::Epoll => DriverChoice::Epoll,
    }
}

fn report_options(options: &Options, topology: &Topology, log: &Log) {
    if !options.ignored_variables.is_empty() {
        let names = options.ignored_variables.join(", ");
        log.warn("config.ignored", &format!("set, but without effect in this version: {names}"));
    }
    options.notices.iter().for_each(|notice| log.warn("config.notice", notice));
    for profile in topology.profiles.values() {
        let providers: usize = profile.chains.values().map(|c| c.providers.len()).sum();
        let message = format!("Loaded profile: {}", profile.slug);
        let fields = [("message", message.into()), ("chains", profile.chains.len().into()), ("providers", providers.into())];
        log.info("config.profile", &fields);
    }
}

fn ready(reports: &[DriverReport], address: SocketAddr, file_limit: u64, log: &Log) -> Happening {
    if let Some(warning) = reports.iter().find_map(DriverReport::warning) {
        log.warn("node.driver", &warning);
    }
    let driver = reports.first().map_or("none", |r| r.driver.word());
    Happening::new("node.ready", Level::Info, uring::process_now())
        .with("listen", address.to_string())
        .with("shards", reports.len())
        .with("driver", driver)
        .with("open_files_max", file_limit)
        .with("version", env!("CARGO_PKG_VERSION"))
}
