//! Subscriptions in the simulated world: clients come, listen, stall, end what they asked for and come again, while their
//! providers fail in every way, disagree about the chain and reorganise it. Then the world is healed, and everyone who
//! subscribes must be told everything.
//!
//! What is owed to one subscription is `continuity`'s to judge, what is owed to a connection `subscriber`'s. Here is the
//! story; what befalls chain and providers is `worse`'s, and what is owed to providers `watch`'s.

use super::book::Book;
use super::calls::CHAIN_ID;
use super::continuity::{Truth, announcements};
use super::launch;
use super::subscriber::{Expect, Remembered, Subscriber, Tally};
use super::trouble;
use super::watch::Watch;
use super::worse::{self, Flaw, Liar, Misfortunes, Reach, Worse};
use crate::seeds;
use crate::weather::{self, coin, one_in, pick};
use crate::world::{Ended, Link, Sim, Trace};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::config::topology::Strategy;
use lasso::demo::chain_model::{APPROVAL, ChainModel, SWAP, TRANSFER};
use lasso::demo::forks::Tip;
use lasso::demo::identity::digest;
use lasso::demo::knobs::Knobs;
use lasso::demo::lies::Lie;
use lasso::demo::provider::Provider;
use lasso::demo::rpc::Network;
use lasso::health::breaker::Policy;
use lasso::runtime::world::{Duration, Instant, World};
use lasso::shard::{Fault, Node, Shard};
use lasso::snapshot::Snapshot;
use lasso::stream::bug::Bug;
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

/// Faults end here.
pub const HEALED_MS: u64 = 60_000;
/// Whoever comes from here on finds a well world: circuits, rests and shunned providers have been tried again.
const WELL_MS: u64 = HEALED_MS + 50_000;
/// The last sessions end between these.
const PARTING_MS: (u64, u64) = (WELL_MS + 20_000, WELL_MS + 30_000);
/// Everyone has left, and nothing is kept for anybody any more.
const END_MS: u64 = PARTING_MS.1 + limits::TOPIC_LINGER_MS + 60_000;
/// In a well world everything is told within this time.
const TOLD_MS: u64 = 8_000;
/// Transactions of a block, where there is much to tell.
const BUSY: (u64, u64) = (150, 200);

struct Scene {
    node: Sim,
    truth: Rc<Truth>,
    shared: Arc<Node>,
    shards: Vec<Rc<Shard<Sim>>>,
    tally: Rc<Cell<Tally>>,
    watch: Rc<Watch>,
    /// Nothing goes wrong but reorgs, which every provider sees at once, and what costs clients nothing.
    is_calm: bool,
    is_flawed: bool,
    /// A while it may be told what one provider alone has.
    is_forked: bool,
    /// Connections to providers outlive the healing.
    is_kept: bool,
    /// A branch that is never canonical.
    lone: u32,
    /// The chain falls, and what is told of it then depends on where the stream began.
    falls: bool,
    /// Both profiles have a provider with a WebSocket: nothing is polled.
    is_subscribed: bool,
    link: Link,
    /// Clients that were served to the end in the well world.
    served: Cell<u64>,
}

/// A run's trace, and what it reached.
struct Told {
    trace: Trace,
    tally: Tally,
}

/// What is drawn of a scene's providers before they start.
struct Plot {
    worse: Worse,
    flaw: Option<Flaw>,
    liar: Option<Liar>,
    is_calm: bool,
    /// A branch that is never canonical.
    lone: u32,
    reach: Vec<Reach>,
}

/// Starts each with its manners and misfortunes; whether connections to them outlive the healing.
fn start_providers(seed: u64, node: &Sim, (network, watch): (&Rc<Network>, &Rc<Watch>), plot: &Plot, draw: &mut Rng) -> bool {
    let blackout = (!plot.is_calm && one_in(draw, 5)).then(|| trouble::blackout(draw));
    let (kinds, shared) = (worse::kinds(draw), blackout.into_iter().chain(plot.worse.outage).collect::<Vec<_>>());
    let is_kept = one_in(&mut Rng::new(seed).fork(64), 4);
    let misfortunes = Misfortunes { kinds: &kinds, shared: &shared, lone: plot.lone, is_kept };
    let hidden = (!plot.is_calm).then(|| worse::hidden(seed, &network.chain)).flatten();
    for (index, reach) in plot.reach.iter().enumerate() {
        let manners = if plot.is_calm || hidden.is_some() { trouble::calm_knobs(draw) } else { worse::knobs(draw) };
        let (takes_http, takes_sockets) = (*reach != Reach::Socket, *reach != Reach::Http);
        let keeps_fallen = plot.worse.keeps_fallen();
        let mut knobs = Knobs { takes_http, takes_sockets, hidden_at: hidden, keeps_fallen, ..manners };
        plot.flaw.iter().for_each(|flaw| flaw.spoil(&mut knobs, index + 1 == plot.reach.len()));
        plot.liar.iter().for_each(|liar| liar.spoil(&mut knobs, (index, plot.reach.len()), plot.lone));
        let provider = Provider::new(&format!("p{index}"), network.clone(), knobs, draw.fork(30 + index as u64));
        let provider = Rc::new(provider.with_journal(watch.clone()));
        let host = node.host();
        if !plot.is_calm && one_in(draw, 3) {
            let link = weather::link(draw);
            node.link(&host, |l| *l = link);
        }
        launch::start_provider(node, &host, &provider, Instant::ZERO);
        if !plot.is_calm {
            misfortunes.befall(node, &host, &provider, draw);
        }
    }
    is_kept
}

/// How each of so many providers is reached; now and then nobody has a WebSocket.
fn reaches(count: usize, draw: &mut Rng) -> Vec<Reach> {
    let is_polled = one_in(draw, 8);
    let reach = |index| match draw.below(6) {
        _ if is_polled => Reach::Http,
        0 | 1 if index > 0 => Reach::Http,
        2 if index > 0 => Reach::Socket,
        _ => Reach::Both,
    };
    (0..count).map(reach).collect()
}

impl Scene {
    /// `is_busy`: calm, but there is so much to tell that one may be slow about it.
    fn new(seed: u64, draw: &mut Rng, fault: Fault, is_busy: bool) -> Rc<Scene> {
        let node = Sim::new(seed);
        node.heal_at(Instant::ZERO.plus_ms(HEALED_MS));
        let is_calm = one_in(draw, 4) || is_busy;
        let mut chain = ChainModel::new(seed, CHAIN_ID, Duration::from_millis(pick(draw, &[1_000, 2_000, 4_000])));
        let worse = if is_busy { Worse::default() } else { Worse::draw(seed) };
        worse.befall(&mut chain, draw);
        if is_busy {
            chain.transactions = BUSY;
        }
        let lone = chain.forks.fork(0, chain.start_height + 3 + draw.below(10));
        let network = Rc::new(Network::new(chain));
        let watch = Rc::new(Watch::new(node.clone()));
        let count = 2 + draw.below(3) as usize;
        let mut reach = reaches(count, draw);
        let flaw = worse.flaw.filter(|_| is_calm);
        let liar = worse.liar.filter(|_| is_calm && flaw.is_none());
        if flaw == Some(Flaw::BadHttp) {
            reach.fill(Reach::Both);
        }
        let plot = Plot { worse, flaw, liar, is_calm, lone, reach };
        let is_kept = start_providers(seed, &node, (&network, &watch), &plot, draw);
        let Plot { reach, .. } = plot;
        let shards = 2 + draw.below(2) as u32;
        let snapshot = Snapshot::new(
            worse::topology(&reach, is_calm, worse.silence_ms(is_calm), draw),
            Strategy::LoadBalanced,
            "sim",
            shards as usize + 1,
        );
        let shared = Node::new(launch::settings(&node, shards), snapshot, [draw.next(), draw.next()]);
        let shards = launch::start_shards(&node, &shared, fault);
        let policy = Policy { recovery_max: Duration::from_secs(8), ..Policy::new(5, 2, 2_000) };
        // Kept alive by its own task.
        drop(launch::start_aggregator(&node, &shared, policy, draw.fork(7), Rc::new(Book::new(&node))));
        let has_socket = |reach: &Reach| *reach != Reach::Http;
        let is_subscribed = reach.iter().any(has_socket) && reach.iter().rev().take(worse::SECOND).any(has_socket);
        let is_plain = is_calm || coin(draw);
        let link = if is_plain { Link::PLAIN } else { weather::link(draw) };
        // Thin links would carry a crowded block's logs for minutes.
        let link = if worse.is_crowded() { Link::PLAIN } else { link };
        node.say(|| format!("reach {reach:?}, calm {is_calm}, clients' {link:?}, {worse:?}"));
        let mut truth = Truth::new(network);
        truth.has_odd_blooms = liar == Some(Liar::About(Lie::ZeroBloom));
        let truth = Rc::new(truth);
        let (tally, served) = (Rc::default(), Cell::new(0));
        Rc::new(Scene {
            node,
            truth,
            shared,
            shards,
            tally,
            watch,
            is_calm,
            is_flawed: flaw.is_some() || liar.is_some(),
            is_forked: liar == Some(Liar::Forked),
            is_kept,
            lone,
            falls: worse.falls(),
            is_subscribed,
            link,
            served,
        })
    }

    /// Looks at the providers now and then.
    fn start_watch(self: &Rc<Self>) {
        let scene = self.clone();
        self.node.spawn("watch", async move {
            loop {
                scene.node.sleep_until(scene.node.now().plus_ms(500)).await;
                scene.watch.look(scene.is_calm);
            }
        });
    }

    /// Users send transactions to the network.
    fn start_users(self: &Rc<Self>, mut draw: Rng) {
        let scene = self.clone();
        self.node.spawn("users", async move {
            while scene.node.now() < Instant::ZERO.plus_ms(PARTING_MS.1) {
                let network = &scene.truth.network;
                for _ in 0..draw.below(4) {
                    let round = network.chain.round_at(scene.node.now());
                    network.pool.borrow_mut().accept(digest(&[draw.next()]), round);
                }
                scene.node.sleep_until(scene.node.now().plus_ms(draw.below(3_000))).await;
            }
        });
    }

    /// Sessions until the world is well, then one that must go well to its end.
    async fn client(self: Rc<Self>, world: Sim, number: u64, mut draw: Rng) {
        world.sleep_until(Instant(draw.below(15_000) * 1_000_000)).await;
        let (mut session, mut remembered) = (0, Vec::new());
        // A stream of draws of its own, so that those who come back change nothing else of a seed.
        let mut returning = draw.fork(70);
        while world.now() < Instant::ZERO.plus_ms(HEALED_MS + 10_000) {
            let until = world.now().plus_ms(pick(&mut draw, &[3_000, 15_000, 60_000, 200_000]));
            let name = format!("client {number}.{session}");
            remembered = self.session(&world, name, until, (remembered, &mut returning), &mut draw).await;
            world.sleep_until(world.now().plus_ms(draw.below(3_000))).await;
            session += 1;
        }
        world.sleep_until(Instant::ZERO.plus_ms(WELL_MS)).await;
        if let Some(client) = self.connect(&world, format!("client {number} at last"), true, &mut draw).await {
            client.subscribe(json!(["newHeads"]));
            let until = Instant::ZERO.plus_ms(PARTING_MS.0 + draw.below(PARTING_MS.1 - PARTING_MS.0));
            self.listen(&world, &client, until, &mut draw).await;
            client.judge(Instant::ZERO.plus_ms(world.now().as_ms() - TOLD_MS));
            if client.has_ended() || client.live().is_empty() {
                world.violation(format!("client {number} has nothing at last"));
            }
            client.leave().await;
            self.served.set(self.served.get() + 1);
        } else {
            world.violation(format!("client {number} cannot connect at last"));
        }
    }

    async fn connect(&self, world: &Sim, name: String, is_well: bool, draw: &mut Rng) -> Option<Rc<Subscriber>> {
        let path = if coin(draw) { "/ws/rpc/main" } else { "/ws/rpc/profile/second/main" };
        // On a thin link a close may stand behind more than the node waits for.
        let is_thin = self.link.bandwidth != Link::PLAIN.bandwidth || self.link.window < Link::PLAIN.window;
        let is_frail = (self.link.reset_ppm > 0 || is_thin) && !is_well;
        let expect = Expect {
            is_well: is_well || (self.is_calm && !self.is_forked),
            is_frail,
            bytes_per_second: bytes_per_second(&self.link),
        };
        Subscriber::connect(world, &self.node, path, name, &self.truth, &self.tally, expect).await
    }

    /// Goes on with what it remembers of the session before; says what can be resumed after this one.
    async fn session(
        &self,
        world: &Sim,
        name: String,
        until: Instant,
        (remembered, returning): (Vec<Remembered>, &mut Rng),
        draw: &mut Rng,
    ) -> Vec<Remembered> {
        let Some(client) = self.connect(world, name, false, draw).await else { return remembered };
        for subscription in remembered {
            if !one_in(returning, 4) {
                client.resume(subscription);
            }
        }
        let until = until.min(Instant::ZERO.plus_ms(WELL_MS - 5_000));
        self.listen(world, &client, until, draw).await;
        if self.is_calm && !client.has_ended() && !self.is_forked {
            client.judge(Instant::ZERO.plus_ms(world.now().as_ms().saturating_sub(TOLD_MS)));
            self.judge_order(&client);
        }
        if coin(draw) {
            client.leave().await
        } else {
            client.vanish()
        }
        client.remember()
    }

    /// Where nothing fails, heads come exactly as the chain went.
    fn judge_order(&self, client: &Subscriber) {
        if !self.is_subscribed || self.falls || self.is_flawed {
            return;
        }
        let network = &self.truth.network;
        client.with_heads(|view| {
            let told = view.told();
            // The head that was known at the confirmation is at most this old.
            let from = Instant::ZERO.plus_ms(view.confirmed().as_ms().saturating_sub(1_000));
            let all = announcements(network, from, view.heard, limits::MODEL_FEED_LOOK_MS);
            let begins = (0..all.len()).find(|start| is_told_of(told, all[*start..].iter().map(|(_, tip)| *tip)));
            let Some(first) = told.first() else { return };
            let is_missed = |(at, tip): &(Instant, Tip)| *at > view.confirmed() && tip.height >= first.height;
            if begins.is_none_or(|start| all[..start].iter().any(is_missed)) {
                let confirmed = view.confirmed();
                self.node.violation(format!("confirmed at {confirmed:?}, told {told:?}, where the chain went {all:?}"));
            }
        });
    }

    /// Does as clients do until then, or until the connection has ended.
    async fn listen(&self, world: &Sim, client: &Rc<Subscriber>, until: Instant, draw: &mut Rng) {
        while world.now() < until && !client.has_ended() {
            let live = client.live();
            match draw.below(12) {
                0..=4 if live.len() < 5 && !client.is_waiting() => client.subscribe(self.wish(draw)),
                5 if live.len() > 1 && !client.is_waiting() => {
                    client.unsubscribe(live[draw.below(live.len() as u64) as usize].clone());
                }
                6 => client.ask(),
                // Without a WebSocket nobody can serve it.
                8 if self.is_subscribed && live.len() < 5 && !client.is_waiting() => client.subscribe(passed(draw)),
                7 if !self.is_calm && world.now() < Instant::ZERO.plus_ms(HEALED_MS) && one_in(draw, 6) => {
                    client.be_deaf(world.now().plus_ms(1_000 + draw.below(90_000)));
                }
                _ => {}
            }
            let pause_ms = 200 + draw.below(4_000);
            world.sleep_until(world.now().plus_ms(pause_ms).min(until)).await;
        }
    }

    /// Params of a subscription; the same filters in several spellings.
    fn wish(&self, draw: &mut Rng) -> Value {
        let hex = |bytes: &[u8]| bytes.iter().fold(String::from("0x"), |text, byte| format!("{text}{byte:02x}"));
        let chain = &self.truth.network.chain;
        let contract = |n| hex(&chain.contract(n).0);
        let (a, b) = (contract(0), contract(1));
        let loud = format!("0x{}", a[2..].to_uppercase());
        match draw.below(10) {
            0..=3 => json!(["newHeads"]),
            4 => json!(["logs", {}]),
            5 => json!(["logs", { "address": a }]),
            6 => json!(["logs", {"address": [loud]}]),
            7 => json!(["logs", if coin(draw) { json!({"address": [a, b]}) } else { json!({"address": [b, a]}) }]),
            8 => json!(["logs", {"topics": [hex(&TRANSFER.0)]}]),
            _ => json!(["logs", {"address": null, "topics": [[hex(&SWAP.0), hex(&APPROVAL.0)], null]}]),
        }
    }
}

/// Whether these heads were told of the chain's announcements, in order. A reorg below a stream's beginning is told from the
/// beginning up, and the beginning sinks where a resumption joins that began lower: so what is left out is lower than all
/// that was told before.
fn is_told_of(told: &[Tip], all: impl Iterator<Item = Tip>) -> bool {
    let (mut told, mut lowest) = (told.iter().copied().peekable(), u64::MAX);
    for tip in all {
        match told.peek() {
            None => return true,
            Some(next) if *next == tip => lowest = lowest.min(tip.height),
            Some(_) if lowest < u64::MAX && tip.height < lowest => continue,
            Some(_) => return false,
        }
        told.next();
    }
    told.peek().is_none()
}

/// Params of a subscription that is passed on.
fn passed(draw: &mut Rng) -> Value {
    match draw.below(4) {
        0 => json!(["newPendingTransactions"]),
        1 => json!(["newPendingTransactions", false]),
        2 => json!(["newPendingTransactions", true]),
        _ => json!(["syncing"]),
    }
}

/// What a link carries at best: its bandwidth, and a window for each crossing.
fn bytes_per_second(link: &Link) -> u64 {
    let bandwidth = if link.bandwidth == 0 { u64::MAX } else { link.bandwidth };
    bandwidth.min(link.window as u64 * 1_000_000 / (link.latency_us + link.jitter_us).max(1)).max(1)
}

fn run(seed: u64, fault: Fault) -> Told {
    let mut draw = Rng::new(seed).fork(60);
    let scene = Scene::new(seed, &mut draw, fault, false);
    scene.start_watch();
    scene.start_users(draw.fork(90));
    let clients = 1 + draw.below(5);
    for number in 0..clients {
        let host = scene.node.host();
        let link = scene.link;
        scene.node.link(&host, |l| *l = link);
        host.spawn("client", scene.clone().client(host.clone(), number, draw.fork(100 + number)));
    }
    end(scene, seed, clients)
}

fn end(scene: Rc<Scene>, seed: u64, clients: u64) -> Told {
    let ended = scene.node.run(Instant::ZERO.plus_ms(END_MS));
    let sockets: usize = scene.shards.iter().map(|shard| shard.client_count()).sum();
    if sockets > 0 {
        scene.node.violation(format!("{sockets} client connections remain"));
    }
    if scene.served.get() < clients {
        scene.node.violation(format!("{} clients of {clients} came to their end", scene.served.get()));
    }
    scene.watch.end(scene.is_kept);
    if scene.is_calm {
        let tally = scene.tally.get();
        scene.watch.judge_questions(&scene.truth.network, tally.resumed + tally.not_resumed, scene.lone);
    }
    let (node, mut tally) = (scene.node.clone(), scene.tally.get());
    tally.slow = scene.shared.counters.iter().map(|counters| counters.slow_consumers.get()).sum();
    let shards: Vec<Weak<Shard<Sim>>> = scene.shards.iter().map(Rc::downgrade).collect();
    drop(scene);
    assert_eq!(ended, Ended::Deadline, "seed {seed}");
    let mut trace = node.finish(ended);
    let left = shards.iter().filter(|shard| shard.strong_count() > 0).count();
    if left > 0 {
        trace.violations.push(format!("{left} shards outlive their world"));
    }
    Told { trace, tally }
}

/// One that does not read while there is much to tell is closed; its neighbour on the same subscription misses nothing.
#[test]
fn a_slow_consumer_costs_itself_only() {
    let mut draw = Rng::new(5);
    let scene = Scene::new(5, &mut draw, Fault::None, true);
    for is_deaf in [true, false] {
        let (scene, world) = (scene.clone(), scene.node.host());
        world.clone().spawn("client", async move {
            let bytes_per_second = bytes_per_second(&Link::PLAIN);
            let (name, expect) = (format!("deaf: {is_deaf}"), Expect { is_well: !is_deaf, is_frail: false, bytes_per_second });
            let connecting = Subscriber::connect(&world, &scene.node, "/ws/rpc/main", name, &scene.truth, &scene.tally, expect);
            let Some(client) = connecting.await else { return };
            (0..5).for_each(|_| client.subscribe(json!(["logs"])));
            world.sleep_until(Instant::ZERO.plus_ms(5_000)).await;
            if is_deaf {
                client.be_deaf(Instant::ZERO.plus_ms(60_000));
            }
            world.sleep_until(Instant::ZERO.plus_ms(70_000)).await;
            client.judge(Instant::ZERO.plus_ms(60_000));
            if client.has_ended() == is_deaf && (is_deaf || client.live().len() == 5) {
                scene.served.set(scene.served.get() + 1);
            }
            client.leave().await;
        });
    }
    let told = end(scene, 5, 2);
    assert_eq!((told.trace.violations, told.tally.slow), (Vec::<String>::new(), 1));
}

/// The checkers can see: each deliberate bug is found within a thousand seeds.
#[test]
fn deliberate_bugs_are_found() {
    // A block that was left out is a hole, or comes when it is fetched for a later one.
    let cases: [(Bug, &[&str]); 6] = [
        (Bug::GapOffByOne, &["a hole", "after its descendant"]),
        (Bug::DuplicateAfterOverlap, &["twice"]),
        (Bug::RemovedDropped, &["not taken back"]),
        (Bug::DeadlineRestarted, &["silent for"]),
        (Bug::DoubtBelieved, &["a hole", "was not told"]),
        (Bug::ResumeSkips, &["a hole"]),
    ];
    for (bug, signs) in cases {
        let found = (0..1000).find_map(|seed| {
            let violations = run(seed, Fault::Stream(bug)).trace.violations;
            // What fails without the bug says nothing about it.
            let is_found = !violations.is_empty() && run(seed, Fault::None).trace.violations.is_empty();
            is_found.then_some((seed, violations))
        });
        let (seed, violations) = found.unwrap_or_else(|| panic!("{bug:?} was not found in 1000 seeds"));
        eprintln!("{bug:?} found by seed {seed}: {}", violations[0]);
        assert!(
            violations.iter().any(|v| signs.iter().any(|sign| v.contains(sign))),
            "{bug:?} was found by accident: {violations:?}"
        );
    }
}

/// The faults reach the node and its clients: else a soak that finds nothing means nothing.
#[test]
fn every_corner_is_reached() {
    let mut all = Tally::default();
    for seed in 0..100 {
        all += run(seed, Fault::None).tally;
    }
    eprintln!("{all:?}");
    assert!(all.subscribed > 500 && all.refused >= 5 && all.given_up > 10, "{all:?}");
    assert!(all.cut_off >= 3, "{all:?}");
    assert!(all.resumed > 100 && all.not_resumed > 5, "{all:?}");
    assert!(all.heads > 10_000 && all.dropped > 300 && all.logs > 10_000 && all.taken_back > 300, "{all:?}");
    assert!(all.passed > 1_000, "{all:?}");
}

/// Each of these was once wrong, in the node or in this world.
#[test]
fn seeds_that_were_wrong_hold() {
    let seeds = [
        403, 1310, 1613, 2163, 2584, 2609, 2861, 10_552, 12_358, 12_761, 13_119, 13_990, 14_257, 14_714, 15_790, 16_469, 16_718,
        18_396, 19_265, 21_038, 21_423, 22_133, 46_142, 65_324, 201_190,
    ];
    for seed in seeds {
        let violations = run(seed, Fault::None).trace.violations;
        assert!(violations.is_empty(), "seed {seed}: {violations:?}");
    }
}

#[test]
fn soak() {
    seeds::soak("subscriptions", 150, |seed| run(seed, Fault::None).trace);
}

#[test]
fn replay() {
    seeds::replay("subscriptions", |seed| run(seed, Fault::None).trace);
}
