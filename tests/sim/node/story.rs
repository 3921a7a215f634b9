//! One seed's story: who is there, what goes wrong and when, and what must hold at the end.

use super::book::Book;
use super::calls::{CHAIN_ID, Caller, Menu};
use super::check::{SECRET, Sky};
use super::client::{Crowd, CrowdTally, Manner, client};
use super::idler::{Silence, idler};
use crate::weather::{self, coin, one_in, pick};
use crate::world::{Ended, Link, Sim, Trace};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::config::topology::{Strategy, Topology};
use lasso::config::{SourceFile, load};
use lasso::demo::chain_model::ChainModel;
use lasso::demo::knobs::{self, Knobs, Latency, Rate, TooMany};
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::demo::server;
use lasso::route::limit::TrustedProxies;
use lasso::runtime::tls::TlsSettings;
use lasso::runtime::world::{Duration, Instant, World};
use lasso::shard::{Fault, Node, Settings, Shard};
use lasso::snapshot::Snapshot;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

const NODE_PORT: u16 = 4000;
const PROVIDER_PORT: u16 = 8545;
/// Everything is well from here on.
const HEALED: Instant = Instant(40_000_000_000);
/// The longest story of a client is told by then.
const TOLD: Instant = Instant(400_000_000_000);
/// After healing, for the deadlines of before to pass.
const SETTLING_MS: u64 = 10_000;
/// Where a provider may have fallen silent behind a whole answer: its connections look well until they have aged out.
const SETTLING_SILENT_MS: u64 = limits::UPSTREAM_IDLE_MS + 5_000;
/// How long lively clients may take.
const LIVELY_MS: u64 = 40_000;
/// When everyone has left: idle connections are closed by then, on both sides.
const QUIET_MS: u64 = limits::UPSTREAM_IDLE_MS + limits::KEEP_ALIVE_MS + 5_000;

struct Story {
    node: Sim,
    draw: Rng,
    /// Nothing goes wrong at all.
    calm: bool,
    /// `rps`, `burst`; none without a limit.
    limit: Option<(u32, u32)>,
    max_connections: u32,
    providers: Vec<(Sim, Rc<Provider>)>,
    shards: Vec<Rc<Shard<Sim>>>,
    shared: Arc<Node>,
    crowd: Rc<Crowd>,
    unique: Rc<Cell<u64>>,
    head: u64,
    menu: Menu,
    before_lively: CrowdTally,
    healed: Rc<Cell<bool>>,
    /// Some provider stalls in the middle, or just behind, an answer.
    silent: bool,
}

/// A run's trace, and what it reached.
pub struct Told {
    pub trace: Trace,
    pub reached: Reached,
}

/// Counts of what must happen now and then, or the simulator has gone blind.
#[derive(Clone, Copy, Default, Debug)]
pub struct Reached {
    pub results: u64,
    pub errors: u64,
    pub limited: u64,
    pub excused: u64,
    pub truncated: u64,
    pub failovers: u64,
    pub refusals: u64,
    pub filters: u64,
    pub long_replies: u64,
}

pub fn run(seed: u64, fault: Fault) -> Told {
    let mut story = Story::new(seed, fault);
    story.node.say(|| format!("seed {seed}: {}", story.describe()));
    let mut ended = Ended::Stopped;
    let acts: [fn(&mut Story) -> Ended; 4] = [Story::troubled, Story::settle, Story::lively, Story::quiet];
    for act in acts {
        if ended != Ended::Livelock {
            ended = act(&mut story);
        }
    }
    story.crowd.book.audit();
    let reached = story.reached();
    // The shards hold the world, and the world their tasks: both go here.
    let node = story.node.clone();
    drop(story);
    Told { trace: node.finish(ended), reached }
}

impl Story {
    fn new(seed: u64, fault: Fault) -> Story {
        let mut draw = Rng::new(seed).fork(20);
        let node = Sim::new(seed);
        node.heal_at(HEALED);
        let calm = one_in(&mut draw, 5);
        let limit = one_in(&mut draw, 4).then(|| (1 + draw.below(20) as u32, 1 + draw.below(60) as u32));
        // Where nothing may fail there must be connections enough for every batch to come through in time.
        let max_connections = if calm { pick(&mut draw, &[64, 256]) } else { pick(&mut draw, &[1, 2, 4, 16, 256]) } as u32;
        let book = Rc::new(Book::new(&node));
        let network = Rc::new(Network::new(ChainModel::new(seed, CHAIN_ID, Duration::from_secs(2))));
        let head = network.chain.start_height;
        let count = 1 + draw.below(5);
        let (mut providers, mut silent) = (Vec::new(), false);
        for index in 0..count {
            let host = node.host();
            let knobs = if calm { calm_knobs(&mut draw) } else { knobs(&mut draw) };
            silent |= knobs.faults.iter().any(|(_, fault)| matches!(fault, knobs::Fault::StallAt(_)));
            let name = format!("p{index}");
            let provider = Provider::new(&name, network.clone(), knobs, draw.fork(30 + index)).with_journal(book.clone());
            let provider = Rc::new(provider);
            let link = if calm { calm_link(&mut draw) } else { weather::link(&mut draw) };
            node.link(&host, |l| *l = link);
            let known_from = if !calm && one_in(&mut draw, 10) { Instant(draw.below(HEALED.0)) } else { Instant::ZERO };
            node.name(&format!("{name}.example"), &[host.at(PROVIDER_PORT).ip()], known_from);
            let cut: server::Cut<Sim> = Rc::new(|closer| closer.abort());
            server::start(&host, host.at(PROVIDER_PORT), provider.clone(), Some(cut)).expect("the simulated port is free");
            providers.push((host, provider));
        }
        let shards = 1 + draw.below(4) as u32;
        let topology = topology(&mut draw, count, limit, max_connections);
        let strategy = [Strategy::Priority, Strategy::LoadBalanced, Strategy::Fastest][draw.below(3) as usize];
        let shared = Node::new(settings(&node, shards), Snapshot::new(topology, strategy), [draw.next(), draw.next()]);
        let shards = (0..shards as usize).map(|index| start_shard(&node, &shared, index, fault)).collect();
        let link = if calm { calm_link(&mut draw) } else { weather::link(&mut draw) };
        let crowd = Rc::new(Crowd {
            book,
            sky: Cell::new(Sky { calm, limited: limit.is_some() }),
            tally: Cell::default(),
            left: Cell::new(0),
            number: Cell::new(0),
            link,
            admitted: RefCell::default(),
        });
        if !calm {
            node.stall(weather::stalls(&mut draw, HEALED.0));
        }
        let menu = Menu::draw(&mut draw);
        let unique = Rc::new(Cell::new(1));
        Story {
            node,
            draw,
            calm,
            limit,
            max_connections,
            providers,
            shards,
            shared,
            crowd,
            unique,
            head,
            menu,
            before_lively: CrowdTally::default(),
            healed: Rc::default(),
            silent,
        }
    }

    /// Cuts and outages that come and go before the world is healed.
    fn start_troubles(&mut self) {
        if self.calm {
            return;
        }
        let (node, draw) = (self.node.clone(), &mut self.draw);
        for (host, provider) in &self.providers {
            for _ in 0..draw.below(3) {
                let (world, host, provider, healed) = (node.clone(), host.clone(), provider.clone(), self.healed.clone());
                let begins = Instant(draw.below(30_000_000_000));
                let ends = begins.plus_ms(draw.below(8_000));
                let kind = draw.below(4);
                node.spawn("trouble", async move {
                    world.sleep_until(begins).await;
                    if healed.get() {
                        return;
                    }
                    match kind {
                        0 => world.link(&host, |l| l.refused = true),
                        1 => world.link(&host, |l| l.blocked_until = ends.0),
                        2 => provider.tune(|k| k.down = true),
                        _ => provider.restart(),
                    }
                    world.sleep_until(ends).await;
                    world.link(&host, |l| l.refused = false);
                    provider.tune(|k| k.down = false);
                });
            }
        }
    }

    /// Looks at the bounds now and then.
    fn start_watch(&self) {
        let (node, shards, healed) = (self.node.clone(), self.shards.clone(), self.healed.clone());
        let most = (self.max_connections / shards.len() as u32).max(1);
        node.clone().spawn("watch", async move {
            while !healed.get() {
                node.sleep_until(node.now().plus_ms(100)).await;
                for shard in &shards {
                    if let Some(open) = shard.upstream_counts().into_iter().find(|open| *open > most) {
                        node.violation(format!("{open} connections to one provider, at most {most} a shard"));
                    }
                }
            }
        });
    }

    fn start_clients(&mut self) {
        let hosts: Vec<Sim> = (0..1 + self.draw.below(3)).map(|_| self.node.host()).collect();
        let link = self.crowd.link;
        hosts.iter().for_each(|host| self.node.link(host, |l| *l = link));
        let (count, idlers) = (1 + self.draw.below(14), self.draw.below(3));
        self.crowd.left.set(count + idlers);
        for _ in 0..idlers {
            let (world, silence) = (hosts[0].clone(), Silence::draw(&mut self.draw));
            let (to, crowd) = (self.node.at(NODE_PORT), self.crowd.clone());
            let begins = Instant(self.draw.below(20_000_000_000));
            world.clone().spawn("idler", async move {
                world.sleep_until(begins).await;
                idler(world, to, silence, crowd).await;
            });
        }
        for index in 0..count {
            let world = hosts[self.draw.below(hosts.len() as u64) as usize].clone();
            let (caller, manner) = (self.caller(self.menu, index), Manner::draw(&mut self.draw));
            let begins = Instant(self.draw.below(20_000_000_000));
            self.spawn_client(world, caller, manner, begins);
        }
    }

    fn caller(&mut self, menu: Menu, salt: u64) -> Caller {
        let draw = self.draw.fork(100 + salt);
        Caller::new(draw, menu, &self.crowd.book, &self.unique, self.providers.len() as u64, self.head)
    }

    fn spawn_client(&self, world: Sim, caller: Caller, manner: Manner, begins: Instant) {
        let (to, crowd) = (self.node.at(NODE_PORT), self.crowd.clone());
        world.clone().spawn("client", async move {
            world.sleep_until(begins).await;
            client(world, to, caller, manner, crowd).await;
        });
    }

    /// The seed's circumstances, for a person who replays it.
    fn describe(&self) -> String {
        let links: Vec<Link> = self.providers.iter().map(|(host, _)| self.node.link_to(host)).collect();
        format!(
            "calm {}, limit {:?}, {} shard(s), {} connections to a provider\nclients' link {:?}\nproviders' links {links:#?}\n{:?}",
            self.calm,
            self.limit,
            self.shards.len(),
            self.max_connections,
            self.crowd.link,
            self.menu
        )
    }

    /// Safety under faults.
    fn troubled(&mut self) -> Ended {
        self.start_troubles();
        self.start_watch();
        self.start_clients();
        let ended = self.node.run(TOLD);
        if self.crowd.left.get() > 0 {
            self.node.violation(format!("{} clients hang", self.crowd.left.get()));
        }
        if let Some((rps, burst)) = self.limit {
            self.judge_limit(rps, burst);
        }
        ended
    }

    /// The world is healed, and given time to notice.
    fn settle(&mut self) -> Ended {
        let ended = self.node.run(HEALED);
        let settling_ms = if self.silent { SETTLING_SILENT_MS } else { SETTLING_MS };
        self.heal();
        if ended == Ended::Livelock { ended } else { self.node.run(self.after_ms(settling_ms)) }
    }

    /// Every read succeeds in a healed world.
    fn lively(&mut self) -> Ended {
        self.start_lively_clients();
        let ended = self.node.run(self.after_ms(LIVELY_MS));
        self.judge_liveness();
        self.judge_ready();
        ended
    }

    /// When everyone has left, nothing remains.
    fn quiet(&mut self) -> Ended {
        let ended = self.node.run(self.after_ms(QUIET_MS));
        self.judge_remains();
        ended
    }

    fn after_ms(&self, ms: u64) -> Instant {
        self.node.now().plus_ms(ms)
    }

    fn reached(&self) -> Reached {
        let (crowd, mut reached) = (self.crowd.tally.get(), Reached::default());
        (reached.results, reached.errors, reached.limited) = (crowd.results, crowd.errors, crowd.limited);
        (reached.excused, reached.filters, reached.long_replies) = (crowd.excused, crowd.filters, crowd.long_replies);
        for tally in &self.shared.tallies {
            reached.truncated += tally.truncated.get();
            reached.failovers += tally.failovers.get();
            reached.refusals += tally.refusals.get();
        }
        reached
    }

    /// In every window no client was let through more often than the burst and the rate allow (CONTRACT §7).
    fn judge_limit(&self, rps: u32, burst: u32) {
        let mut admitted = self.crowd.admitted.borrow_mut();
        admitted.sort_unstable();
        for from in 0..admitted.len() {
            let (host, start, ..) = admitted[from];
            let mine: Vec<_> = admitted[from..].iter().take_while(|a| a.0 == host).collect();
            for (_, _, end, _) in mine.iter().take(60) {
                let inside: u64 = mine.iter().filter(|a| a.2 <= *end).map(|a| a.3).sum();
                let most = u64::from(burst) + (u64::from(rps) * (end - start)).div_ceil(1_000_000_000);
                if inside > most {
                    let text = format!("client host {host} was let through {inside} times in {} ns, at most {most}", end - start);
                    return self.node.violation(text);
                }
            }
        }
    }

    fn heal(&mut self) {
        self.healed.set(true);
        for (host, provider) in &self.providers {
            // At once: with one connection for all, a batch's queue must fit in its time.
            provider.tune(|k| *k = Knobs::default());
            self.node.link(host, |l| *l = Link::PLAIN);
        }
    }

    fn start_lively_clients(&mut self) {
        self.crowd.sky.set(Sky { calm: true, limited: self.limit.is_some() });
        let count = 3;
        self.crowd.left.set(count);
        self.before_lively = self.crowd.tally.get();
        for index in 0..count {
            let (world, caller) = (self.node.host(), self.caller(Menu::PLAIN, 1_000 + index));
            self.spawn_client(world, caller, Manner::PLAIN, Instant::ZERO);
        }
    }

    fn judge_liveness(&self) {
        let tally = self.crowd.tally.get();
        let before = self.before_lively;
        let errors = tally.errors > before.errors || tally.refused_connections > before.refused_connections;
        if self.crowd.left.get() > 0 || errors {
            self.node.violation(format!("not lively after healing: {tally:?}, {} clients hang", self.crowd.left.get()));
        }
    }

    fn judge_ready(&self) {
        if !self.shared.ready.is_raised() {
            self.node.violation("not ready although every provider answers".into());
        }
    }

    fn judge_remains(&self) {
        let check = |what: &str, count: u64, most: u64| {
            if count > most {
                self.node.violation(format!("{count} {what} remain, at most {most}"));
            }
        };
        check("connections", self.node.open_connections() as u64, 0);
        for shard in &self.shards {
            check("client connections", shard.client_count() as u64, 0);
            check("attempts", shard.attempt_count() as u64, 0);
            check("kept buffers", shard.kept_buffers() as u64, (2 * limits::POOLED_BUFFERS + limits::POOLED_LONG_BUFFERS) as u64);
            check("upstream connections", shard.upstream_counts().iter().map(|&n| u64::from(n)).sum(), 0);
        }
        // What a shard keeps drawn from a budget is its reserve, at most two steps.
        let reserve = self.shards.len() as u64 * 2 * 256 * 1024;
        check("bytes of bodies", self.shared.bodies.drawn(), reserve);
        check("bytes of answers", self.shared.answers.drawn(), reserve);
    }
}

fn start_shard(node: &Sim, shared: &Arc<Node>, index: usize, fault: Fault) -> Rc<Shard<Sim>> {
    thread_local! {
        static TLS: TlsSettings = TlsSettings::only([]).expect("no files to read");
    }
    let shard = TLS.with(|tls| Shard::new(node.clone(), shared.clone(), index, tls, fault));
    shard.start();
    shard.listen(node.listen(node.at(NODE_PORT)).expect("the simulated port is free"));
    shard
}

fn settings(node: &Sim, shards: u32) -> Settings {
    Settings {
        node_id: "sim".into(),
        region: "sim".into(),
        scheme: None,
        host: "localhost:4000".into(),
        shards,
        trusted_proxies: TrustedProxies::loopback(),
        started: node.wall(),
    }
}

/// The profile, as a person would write it.
fn topology(draw: &mut Rng, providers: u64, limit: Option<(u32, u32)>, max_connections: u32) -> Topology {
    let (rps, burst) = limit.unwrap_or((0, 1));
    let mut text = format!(
        "name: Simulated\nslug: default\nrps_limit: {rps}\nburst_limit: {burst}\nchains:\n  main:\n    chain_id: {CHAIN_ID}\n    providers:\n"
    );
    for index in 0..providers {
        let priority = 1 + draw.below(3);
        text += &format!(
            "      - id: p{index}\n        name: P{index}\n        priority: {priority}\n        \
             url: http://p{index}.example:{PROVIDER_PORT}/{SECRET}\n        max_connections: {max_connections}\n"
        );
    }
    let files = [SourceFile { name: "default.yml".into(), text }];
    match load(&files, &|_| None) {
        Ok(loaded) => loaded.topology,
        Err(problems) => panic!("the simulated profile has problems: {problems:?}"),
    }
}

fn calm_link(draw: &mut Rng) -> Link {
    Link { latency_us: pick(draw, &[10, 500, 2_000]), jitter_us: draw.below(1_000), ..Link::PLAIN }
}

fn calm_knobs(draw: &mut Rng) -> Knobs {
    let p50_ms = pick(draw, &[0, 1, 5]) as f64;
    Knobs { latency: Latency { p50_ms, p95_ms: 2.0 * p50_ms }, ..Knobs::default() }
}

/// Manners and faults of a provider: a few kinds each, so that each gets its chance.
fn knobs(draw: &mut Rng) -> Knobs {
    let p50_ms = pick(draw, &[0, 1, 20, 300, 1_500]) as f64;
    let mut knobs = Knobs { latency: Latency { p50_ms, p95_ms: pick(draw, &[1, 2, 10]) as f64 * p50_ms }, ..Knobs::default() };
    let all = knobs::Fault::ALL;
    for _ in 0..draw.below(5) {
        let rate = pick(draw, &[10_000, 100_000, 400_000]) as u32;
        let fault = match draw.below(8) {
            // Somewhere in an answer too long to hold.
            0 => knobs::Fault::ResetAt(draw.below(1 << 20) as usize),
            1 => knobs::Fault::StallAt(draw.below(1 << 20) as usize),
            _ => all[draw.below(all.len() as u64) as usize],
        };
        knobs.faults.push((rate, fault));
    }
    if one_in(draw, 5) {
        let refusal = [TooMany::InResult, TooMany::Code(-32005), TooMany::Status { retry_after_s: None }][draw.below(3) as usize];
        knobs.rate = Some(Rate { per_second: 1 + draw.below(20) as u32, burst: 1 + draw.below(20) as u32, refusal });
    }
    if one_in(draw, 5) {
        knobs.close_after = Some(1 + draw.below(5) as u32);
    }
    if one_in(draw, 8) {
        knobs.missing_methods = vec!["eth_call", "eth_sendRawTransaction", "eth_newFilter"];
    }
    if one_in(draw, 8) {
        knobs.lag_blocks = draw.below(10);
    }
    if coin(draw) {
        knobs.late_blocks = 100_000;
    }
    knobs
}
