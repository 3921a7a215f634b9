//! One seed's story: who is there, what goes wrong and when, and what must hold at the end.

use super::book::Book;
use super::calls::{CHAIN_ID, Caller, Menu};
use super::check::Sky;
use super::circuits::Sights;
use super::client::{Crowd, CrowdTally, Manner, client};
use super::front::Fronts;
use super::idler::{Silence, idler};
use super::launch::{self, NODE_PORT, Way};
use super::trouble::{self, Trouble, Victim};
use crate::weather::{self, one_in, pick};
use crate::world::{Ended, Link, Sim, Trace};
use lasso::aggregator::Aggregator;
use lasso::base::ids::InstanceId;
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::config::topology::Strategy;
use lasso::demo::chain_model::ChainModel;
use lasso::demo::knobs::{self, Knobs};
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::runtime::world::{Duration, Instant, World};
use lasso::shard::{Fault, Node, Shard};
use lasso::snapshot::{Gates, Set, Snapshot};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

/// Everything is well from here on.
const HEALED: Instant = Instant(40_000_000_000);
/// The longest story of a client is told by then.
const TOLD: Instant = Instant(1_500_000_000_000);
/// Circuits are tried again this long after they opened, doubling up to the second.
const RECOVERY_MS: u64 = 2_000;
const RECOVERY_MAX_MS: u64 = 8_000;
/// After healing, for the deadlines of before to pass.
const SETTLING_MS: u64 = 3 * RECOVERY_MAX_MS;
/// Where a provider may have fallen silent behind a whole answer: its connections look well until they have aged out.
const SETTLING_SILENT_MS: u64 = limits::UPSTREAM_IDLE_MS + 5_000;
/// Where a provider may have said just before that we ask too often: a half-open circuit's trials wait for the end of its rest.
const SETTLING_RESTED_MS: u64 = limits::COOLDOWN_MS + RECOVERY_MAX_MS;
/// How long lively clients may take.
const LIVELY_MS: u64 = 40_000;
/// After healing, every provider has been probed again; one that had refused our credentials waits longest.
const PROBED_MS: u64 = limits::PROBE_AUTH_MS + 2 * limits::PROBE_TIMEOUT_MS;
/// The slowest way to a client.
const SLOWEST_CLIENT_BYTES_S: u64 = 1 << 20;
/// The slowest way from a provider that answers at such length, in a second and at once.
const LONG_ANSWERS_BYTES: usize = 4 << 20;
/// Heads are polled so often, as nobody configures it otherwise.
const POLL_MS: u64 = 12_000;
/// After healing, no provider rests any more because it had limited us.
const FORGIVEN_MS: u64 = limits::COOLDOWN_MAX_MS + limits::PROBE_TIMEOUT_MS;
/// When everyone has left: idle connections are closed by then, on both sides.
const QUIET_MS: u64 = limits::UPSTREAM_IDLE_MS + limits::KEEP_ALIVE_MS + 5_000;

const STRATEGIES: [Strategy; 4] = [Strategy::Priority, Strategy::LoadBalanced, Strategy::Fastest, Strategy::LatencyWeighted];

struct Story {
    node: Sim,
    draw: Rng,
    /// Nothing goes wrong at all.
    calm: bool,
    /// `rps`, `burst`; none without a limit.
    limit: Option<(u32, u32)>,
    max_connections: u32,
    providers: Vec<(Sim, Rc<Provider>)>,
    fronts: Fronts,
    /// The control thread's is the last.
    shards: Vec<Rc<Shard<Sim>>>,
    judge: Rc<RefCell<Aggregator>>,
    shared: Arc<Node>,
    crowd: Rc<Crowd>,
    unique: Rc<Cell<u64>>,
    head: u64,
    menu: Menu,
    before_lively: CrowdTally,
    healed: Rc<Cell<bool>>,
    /// The kinds of trouble that come and go.
    troubles: Vec<trouble::Kind>,
    /// What all providers suffer at once, while clients insist.
    blackout: Option<Trouble>,
    healed_at: Instant,
    network: Rc<Network>,
    /// Some provider stalls in the middle, or just behind, an answer.
    silent: bool,
    /// A provider limits how often it may be asked, until it is healed.
    rests: bool,
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
    /// Calls that came over HTTP/2; those refused unseen; connections that ended in good order.
    pub over_http2: u64,
    pub not_taken: u64,
    pub goaways: u64,
    pub sights: Sights,
    /// Calls that providers got over WebSockets.
    pub over_ws: u64,
    /// Of these, answered over another shard's link.
    pub handed_over: u64,
    /// How long after healing the last circuit closed.
    pub closed_ms: u64,
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

/// Each provider's priority, how it is reached, and whether over HTTP/2.
fn configured(seed: u64, fault: Fault, priorities: Vec<u64>, fronts: &Fronts) -> Vec<(u64, Way, bool)> {
    let mut ways = Rng::new(seed).fork(22);
    // Calls seldom need a turn where providers have two channels: that bug is looked for where they have one.
    let only_http = fault == Fault::SkipTurn;
    let mut way = || match ways.below(4) {
        _ if only_http => Way::Http,
        0 | 1 => Way::Http,
        2 => Way::Both,
        // On more than `LINK_SHARDS` shards, through those that keep a connection.
        _ => Way::Ws,
    };
    priorities.into_iter().enumerate().map(|(index, priority)| (priority, way(), fronts.is_of(index as u64))).collect()
}

impl Story {
    fn new(seed: u64, fault: Fault) -> Story {
        let mut draw = Rng::new(seed).fork(20);
        let node = Sim::new(seed);
        node.heal_at(HEALED);
        let calm = one_in(&mut draw, 5);
        let limit = one_in(&mut draw, 4).then(|| (1 + draw.below(10) as u32, 1 + draw.below(20) as u32));
        // Where nothing may fail there must be connections enough for every batch to come through in time.
        let max_connections = if calm { pick(&mut draw, &[64, 256]) } else { pick(&mut draw, &[1, 2, 4, 16, 256]) } as u32;
        let book = Rc::new(Book::new(&node));
        let network = Rc::new(Network::new(ChainModel::new(seed, CHAIN_ID, Duration::from_secs(2))));
        let head = network.chain.start_height;
        let count = 1 + draw.below(5);
        let (mut providers, mut silent, mut rests) = (Vec::new(), false, false);
        for index in 0..count {
            let knobs = if calm { trouble::calm_knobs(&mut draw) } else { trouble::knobs(&mut draw) };
            silent |= knobs.faults.iter().any(|(_, fault)| matches!(fault, knobs::Fault::StallAt(_)));
            rests |= knobs.rate.is_some() || knobs.faults.iter().any(|(_, fault)| matches!(fault, knobs::Fault::TooMany(_)));
            let provider = Provider::new(&format!("p{index}"), network.clone(), knobs, draw.fork(30 + index));
            providers.push(start_provider(&node, &mut draw, calm, provider.with_journal(book.clone())));
        }
        let shards = 1 + draw.below(8) as u32;
        let priorities = (0..count).map(|_| 1 + draw.below(3)).collect::<Vec<_>>();
        let fronts = Fronts::start(seed, &providers);
        let configured = configured(seed, fault, priorities, &fronts);
        let topology = launch::topology_of(&configured, limit, max_connections);
        let strategy = STRATEGIES[draw.below(4) as usize];
        let shared = Node::new(
            launch::settings(&node, shards),
            Snapshot::new(topology, strategy, "sim", shards as usize + 1),
            [draw.next(), draw.next()],
        );
        let shards = launch::start_shards(&node, &shared, fault);
        let breaker = Policy { recovery_max: Duration::from_millis(RECOVERY_MAX_MS), ..Policy::new(5, 2, RECOVERY_MS) };
        let judge = launch::start_aggregator(&node, &shared, breaker, draw.fork(7), book.clone());
        let mut link = if calm { calm_link(&mut draw) } else { weather::link(&mut draw) };
        if link.bandwidth > 0 {
            // A batch's answers may be tens of MB: a client that takes them slowly gets them whole, but not before the story ends.
            link.bandwidth = link.bandwidth.max(SLOWEST_CLIENT_BYTES_S);
        }
        let (mut menu_draw, mut draw_of_troubles) = (draw.fork(8), draw.fork(9));
        let crowd = Crowd::new(book, Sky { calm, limited: limit.is_some() }, link);
        Story {
            node,
            draw,
            calm,
            limit,
            max_connections,
            providers,
            fronts,
            shards,
            judge,
            shared,
            crowd,
            unique: Rc::new(Cell::new(1)),
            head,
            menu: Menu::draw(&mut menu_draw),
            before_lively: CrowdTally::default(),
            healed: Rc::default(),
            troubles: trouble::kinds(&mut draw_of_troubles),
            blackout: (!calm && one_in(&mut draw_of_troubles, 6)).then(|| trouble::blackout(&mut draw_of_troubles)),
            healed_at: Instant::NEVER,
            network,
            silent,
            rests,
        }
    }

    /// Whatever comes and goes before the world is healed.
    fn start_troubles(&mut self) {
        if self.calm {
            return;
        }
        let draw = &mut self.draw;
        self.node.stall(weather::stalls(draw, HEALED.0));
        for (host, provider) in &self.providers {
            for trouble in trouble::draw(draw, &self.troubles).into_iter().chain(self.blackout) {
                let (node, host, provider) = (self.node.clone(), host.clone(), provider.clone());
                Victim { node, host, provider, healed: self.healed.clone() }.suffers(trouble);
            }
        }
    }

    /// Looks at the bounds now and then.
    fn start_watch(&self) {
        let (node, shards, healed) = (self.node.clone(), self.shards.clone(), self.healed.clone());
        let most = (self.max_connections / (shards.len() - 1) as u32).max(1);
        let providers = self.providers.len() as u16;
        node.clone().spawn("watch", async move {
            while !healed.get() {
                node.sleep_until(node.now().plus_ms(100)).await;
                for shard in &shards {
                    if let Some(open) = shard.upstream_counts().into_iter().find(|open| *open > most) {
                        node.violation(format!("{open} connections to one provider, at most {most} a shard"));
                    }
                }
                for instance in (0..providers).map(InstanceId) {
                    let calls = &shards[..shards.len() - 1];
                    let links: usize = calls.iter().map(|shard| shard.links().count_to(instance)).sum();
                    if links > calls.len().min(limits::LINK_SHARDS) * (1 + limits::LINK_ASIDES) {
                        node.violation(format!("{links} WebSockets for calls to one provider, on {} shards", calls.len()));
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
            let (caller, mut manner) = (self.caller(self.menu, index), Manner::draw(&mut self.draw));
            let mut begins = Instant(self.draw.below(20_000_000_000));
            if self.blackout.is_some() {
                (manner.posts, manner.pause_ms, manner.leave) = (10 + self.draw.below(30), 500, None);
                begins = Instant(begins.0 / 4);
            }
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
            "calm {}, limit {:?}, {} shard(s), {} connections to a provider\nclients' link {:?}\nproviders' links {links:#?}\n{:?}\n{:?}, for all {:?}",
            self.calm,
            self.limit,
            self.shards.len(),
            self.max_connections,
            self.crowd.link,
            self.menu,
            self.troubles,
            self.blackout
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
        let rests = self.rests || self.troubles.contains(&trouble::Kind::Limited);
        let waits = [(self.silent, SETTLING_SILENT_MS), (rests, SETTLING_RESTED_MS), (true, SETTLING_MS)];
        let settling_ms = waits.into_iter().filter(|(is, _)| *is).map(|(_, ms)| ms).fold(0, u64::max);
        self.heal();
        if ended == Ended::Livelock {
            return ended;
        }
        let ended = self.node.run(self.after_ms(settling_ms));
        // Who refused our credentials is probed seldom, and who rests is tried when it has, so its circuit waits for that.
        self.judge_gates(|gates| (gates.open | gates.half_open) & !(gates.misconfigured | gates.limited));
        ended
    }

    /// Every read succeeds in a healed world.
    fn lively(&mut self) -> Ended {
        self.start_lively_clients();
        let ended = self.node.run(self.after_ms(LIVELY_MS));
        self.judge_liveness();
        ended
    }

    /// By `ms` after healing the marks must be gone.
    fn until_well_for(&mut self, ended: Ended, ms: u64, marks: impl Fn(&Gates) -> Set) -> Ended {
        if ended == Ended::Livelock {
            return ended;
        }
        let ended = self.node.run(self.healed_at.plus_ms(ms).max(self.node.now()));
        self.judge_gates(marks);
        ended
    }

    /// When everyone has left, nothing remains.
    fn quiet(&mut self) -> Ended {
        let ended = self.node.run(self.after_ms(QUIET_MS));
        self.judge_remains();
        let ended = self.until_well_for(ended, PROBED_MS, |g| g.wrong_chain | g.misconfigured | g.open | g.half_open);
        let ended = self.until_level(ended);
        self.judge_height();
        self.judge_ready();
        self.until_well_for(ended, FORGIVEN_MS, |g| g.limited)
    }

    /// Within a poll there is a second in which nobody lags. Credit comes in whole blocks (docs/behaviour/health.md#lag), so on a
    /// chain of 2 s a provider that is polled each 12 s may be two short of the others just before its poll: a block by its place
    /// within the block time, and one more by a measured block time that is a little long.
    fn until_level(&mut self, mut ended: Ended) -> Ended {
        for _ in 0..POLL_MS / 1_000 {
            let snapshot = self.shared.snapshot.latest();
            if snapshot.plans.values().flat_map(|plans| plans.values()).all(|plan| plan.gates.lagging == 0) {
                return ended;
            }
            if ended != Ended::Livelock {
                ended = self.node.run(self.after_ms(1_000));
            }
        }
        self.judge_gates(|gates| gates.lagging);
        ended
    }

    fn after_ms(&self, ms: u64) -> Instant {
        self.node.now().plus_ms(ms)
    }

    fn reached(&self) -> Reached {
        let (crowd, mut reached) = (self.crowd.tally.get(), Reached::default());
        (reached.results, reached.errors, reached.limited) = (crowd.results, crowd.errors, crowd.limited);
        (reached.excused, reached.filters, reached.long_replies) = (crowd.excused, crowd.filters, crowd.long_replies);
        (reached.over_http2, reached.not_taken, reached.goaways) = self.fronts.seen();
        reached.over_ws = self.crowd.book.over_ws();
        reached.handed_over = self.shards.iter().map(|shard| shard.answered_errands()).sum();
        reached.sights = self.crowd.book.circuits.sights();
        reached.closed_ms = self.crowd.book.circuits.last_closed().since(self.healed_at).as_millis() as u64;
        for counters in &self.shared.counters {
            reached.truncated += counters.truncated.get();
            reached.failovers += counters.failovers.get();
            reached.refusals += counters.refusals.get();
        }
        reached
    }

    /// In every window no client was let through more often than the burst and the rate allow
    /// (docs/behaviour/clients.md#client-limits).
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
        self.healed_at = self.node.now();
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

    /// No provider of any plan has these marks any more.
    fn judge_gates(&self, marks: impl Fn(&Gates) -> Set) {
        let snapshot = self.shared.snapshot.latest();
        for plan in snapshot.plans.values().flat_map(|plans| plans.values()).filter(|plan| marks(&plan.gates) != 0) {
            self.node.violation(format!(
                "well again for {} ms, and still {:?}, heights {:?}",
                self.well_for_ms(),
                plan.gates,
                plan.heights
            ));
        }
    }

    /// Whatever was said of heights: the truth of at most two polls ago has won.
    fn judge_height(&self) {
        let now = self.node.now();
        let chain = &self.network.chain;
        let polled_before = Instant(now.0.saturating_sub(2 * POLL_MS * 1_000_000));
        let truth = chain.height_at(polled_before)..=chain.height_at(now);
        let snapshot = self.shared.snapshot.latest();
        for plan in snapshot.plans.values().flat_map(|plans| plans.values()) {
            if !plan.consensus.is_some_and(|height| truth.contains(&height)) {
                self.node.violation(format!("the chain is at {truth:?}, not at {:?}: {:?}", plan.consensus, plan.heights));
            }
        }
    }

    fn well_for_ms(&self) -> u64 {
        self.node.now().since(self.healed_at).as_millis() as u64
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
        // The control thread goes on probing, on a few connections that it keeps.
        let (control, shards) = self.shards.split_last().expect("the control thread's shard");
        let of_control: u64 = control.upstream_counts().iter().map(|&n| u64::from(n)).sum();
        let links: u64 = self.shards.iter().map(|shard| shard.links().count() as u64).sum();
        check("connections", self.node.open_connections() as u64, of_control + self.fronts.own_connections() + links);
        let most = u64::from(limits::CONTROL_CONNECTIONS) * self.providers.len() as u64;
        check("connections of the control thread", of_control, most);
        for shard in shards {
            check("client connections", shard.client_count() as u64, 0);
            check("attempts", shard.attempt_count() as u64, 0);
            check("kept buffers", shard.kept_buffers() as u64, (2 * limits::POOLED_BUFFERS + limits::POOLED_LONG_BUFFERS) as u64);
            check("upstream connections", shard.upstream_counts().iter().map(|&n| u64::from(n)).sum(), 0);
        }
        let recorded: u64 = self.shards.iter().map(|s| s.recorded_samples()).sum();
        let merged = self.judge.borrow().merged_samples();
        if merged != recorded {
            self.node.violation(format!("{recorded} attempts were recorded, {merged} reached the aggregator"));
        }
        let noted: u64 = self.shards.iter().map(|s| s.noted_calls()).sum();
        let (told, untold) = self.judge.borrow().told_calls();
        if told + untold != noted {
            self.node.violation(format!("{noted} calls ended, {told} were told of and {untold} counted"));
        }
        // What a shard keeps drawn from a budget is its reserve, at most two steps.
        let reserve = self.shards.len() as u64 * 2 * 256 * 1024;
        check("bytes of bodies", self.shared.bodies.drawn(), reserve);
        check("bytes of answers", self.shared.answers.drawn(), reserve);
    }
}

/// On a host of its own, behind a link of its own; its name may be unknown for a while.
fn start_provider(node: &Sim, draw: &mut Rng, calm: bool, provider: Provider) -> (Sim, Rc<Provider>) {
    let (host, provider) = (node.host(), Rc::new(provider));
    let mut link = if calm { calm_link(draw) } else { weather::link(draw) };
    if provider.manners().faults.iter().any(|(_, fault)| matches!(fault, knobs::Fault::Zeros { .. })) {
        // A megabyte in every other answer, one after another over one WebSocket: on a slow way they outlast the story.
        link.window = link.window.max(LONG_ANSWERS_BYTES);
        link.bandwidth = if link.bandwidth == 0 { 0 } else { link.bandwidth.max(LONG_ANSWERS_BYTES as u64) };
    }
    node.link(&host, |l| *l = link);
    let known_from = if !calm && one_in(draw, 10) { Instant(draw.below(HEALED.0)) } else { Instant::ZERO };
    launch::start_provider(node, &host, &provider, known_from);
    (host, provider)
}

fn calm_link(draw: &mut Rng) -> Link {
    Link { latency_us: pick(draw, &[10, 500, 2_000]), jitter_us: draw.below(1_000), ..Link::PLAIN }
}
