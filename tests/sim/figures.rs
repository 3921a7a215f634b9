//! Figures between the nodes of a cluster, of 3 to 50 nodes: on networks that lose, repeat, delay and cut, with processes that are killed and come back.
//! Some nodes are watched, as by somebody who looks at the page of each.
//!
//! Laws, at each moment and at each watched node: what is shown of a process is what that process has once said of itself, never less than
//! before, and in all its parts the same; no process is shown twice. When nothing happens any more, every watched node shows within
//! `SETTLES_MS` the sum of what all living processes count. Of one that was killed the figures are told to be old, and then forgotten.

use crate::seeds;
use crate::world::{Ended, Link, Sim, Trace};
use lasso::base::ids::Transport;
use lasso::base::limits::{CLUSTER_DIGEST_KEPT_MS, CLUSTER_DIGEST_MS, CLUSTER_DIGEST_STALE_MS};
use lasso::base::rng::Rng;
use lasso::base::time::{Duration, Instant};
use lasso::cluster::advice::AdvicePolicy;
use lasso::cluster::digest::{DigestAbout, DigestRow, DigestTopic, NodeDigest};
use lasso::cluster::discovery::ClusterQuery;
use lasso::cluster::engine::Cluster;
use lasso::cluster::frame::NodeCard;
use lasso::cluster::gathering::DigestBug;
use lasso::cluster::merging::{ClusterScope, merge};
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::sessions::SessionBug;
use lasso::cluster::settings::ClusterSettings;
use lasso::control::cluster::ClusterSeat;
use lasso::runtime::world::World;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

const PORT: u16 = 7946;
const NAME: &str = "lasso.internal";
/// After the last fault and the last call: membership converges, and everybody is asked once more.
const SETTLES_MS: u64 = 40_000 + 2 * CLUSTER_DIGEST_STALE_MS;

#[test]
fn soak() {
    seeds::soak("figures", 12, scenario);
}

#[test]
fn replay() {
    seeds::replay("figures", scenario);
}

fn topic() -> DigestTopic {
    DigestTopic::new("default", 1)
}

fn scenario(seed: u64) -> Trace {
    story(seed, DigestBug::None)
}

/// The laws are not empty: each deliberate bug breaks one within a few seeds.
#[test]
fn deliberate_bugs_are_found() {
    for bug in [DigestBug::KeepsEarlierRuns, DigestBug::ForgetsWhatItHas] {
        let found = (0..8).find(|seed| !story(*seed, bug).violations.is_empty());
        assert!(found.is_some(), "{bug:?} was not found");
    }
}

/// One run of a process, and what it counts.
struct Run {
    number: u64,
    rows: u64,
    calls: Cell<u64>,
    is_watched: Cell<bool>,
    made: Cell<Option<Instant>>,
    names: Vec<Arc<DigestAbout>>,
    /// What it shows.
    shown: RefCell<Shown>,
    /// What each run showed last.
    before: RefCell<BTreeMap<u64, u64>>,
    wrong: RefCell<Vec<String>>,
}

#[derive(Default, Clone)]
struct Shown {
    sum: u64,
    responding: usize,
    is_stale: bool,
    oldest: Duration,
    runs: BTreeMap<u64, u64>,
}

impl Run {
    fn new(number: u64, rows: u64, is_watched: bool) -> Rc<Run> {
        let name =
            |row: u64| Arc::new(DigestAbout::Provider { id: format!("provider-{row}").into(), transport: Transport::Http });
        Rc::new(Run {
            number,
            rows,
            calls: Cell::new(0),
            is_watched: Cell::new(is_watched),
            made: Cell::default(),
            names: (0..rows).map(name).collect(),
            shown: RefCell::default(),
            before: RefCell::default(),
            wrong: RefCell::default(),
        })
    }

    /// Every row has all calls; the minute's go up and down.
    fn digest(&self, now: Instant) -> NodeDigest {
        let calls = self.calls.get();
        let row = |(nth, name): (usize, &Arc<DigestAbout>)| {
            let mut row = DigestRow::new(name.clone());
            row.total.successes = calls;
            row.hour.successes = calls;
            row.hour.latencies.add(100 + nth % 20 + calls as usize % 7, &[calls]);
            row.minute.successes = calls % 13;
            row.minute.latencies.add(90 + calls as usize % 13, &[calls % 13]);
            (row.hour, row.minute) = (row.hour.canonical(), row.minute.canonical());
            (nth as u32, row)
        };
        let chains = BTreeMap::from([(topic(), self.names.iter().enumerate().map(row).collect())]);
        NodeDigest { made: now, config_revision: self.number, minute: Duration::from_secs(60), chains }
    }

    fn exchange(&self, cluster: &mut Cluster, now: Instant) {
        let is_due = self.made.get().is_none_or(|at| now.since(at).as_millis() as u64 >= CLUSTER_DIGEST_MS);
        if cluster.wants_digest(now) && is_due {
            self.made.set(Some(now));
            cluster.offer_digest(Arc::new(self.digest(now)));
        }
        if self.is_watched.get() {
            cluster.want_figures(topic(), now);
            self.look(cluster, now);
        }
    }

    fn look(&self, cluster: &Cluster, now: Instant) {
        let known = cluster.known_nodes(topic(), now);
        let mut shown = Shown::default();
        for figures in known.iter().filter_map(|node| node.figures.as_ref()) {
            let run = figures.config_revision;
            let calls: BTreeSet<u64> = figures.rows.iter().map(|row| row.total.successes).collect();
            let Some(first) = calls.first().copied() else { continue };
            let in_buckets = |row: &&DigestRow| row.hour.latencies.buckets().map(|(_, n)| n).sum::<u64>();
            let is_whole =
                calls.len() == 1 && figures.rows.iter().all(|row| in_buckets(row) == first && row.minute.successes == first % 13);
            if !is_whole {
                self.wrong.borrow_mut().push(format!("run {run} is shown in parts: {calls:?}"));
            }
            if shown.runs.insert(run, first).is_some() {
                self.wrong.borrow_mut().push(format!("run {run} is shown twice"));
            }
            let before = self.before.borrow_mut().insert(run, first).unwrap_or(0);
            if before > first {
                self.wrong.borrow_mut().push(format!("run {run} went from {before} to {first}"));
            }
        }
        let merged = merge(&known, &ClusterScope::Everybody);
        (shown.sum, shown.responding) = (merged.all.total.successes, merged.responding);
        (shown.is_stale, shown.oldest) = (merged.is_stale(), merged.oldest);
        *self.shown.borrow_mut() = shown;
    }
}

struct Place {
    host: Sim,
    at: SocketAddr,
    run: RefCell<Option<Rc<Run>>>,
    is_watched: bool,
}

struct Town {
    sim: Sim,
    places: Vec<Place>,
    /// All there ever were, by number.
    runs: RefCell<Vec<Rc<Run>>>,
    draw: RefCell<Rng>,
    bug: DigestBug,
}

impl Town {
    fn new(seed: u64, bug: DigestBug) -> Town {
        let mut draw = Rng::new(seed).fork(78);
        let sim = Sim::new(seed);
        let count = 3 + draw.below(if seed.is_multiple_of(6) { 48 } else { 9 });
        let watched = 1 + draw.below(3);
        let place = |nth: u64| {
            let host = sim.host();
            let at = host.at(PORT);
            Place { host, at, run: RefCell::default(), is_watched: nth < watched }
        };
        let places: Vec<Place> = (0..count).map(place).collect();
        let (lost, twice) = (draw.below(4) * 50_000, draw.below(3) * 50_000);
        for (index, a) in places.iter().enumerate() {
            for b in &places[..index] {
                let latency_us = [200, 1_000, 40_000, 100_000][draw.below(4) as usize];
                let jitter_us = draw.below(latency_us + 1);
                a.host.link(&b.host, |l| *l = Link { latency_us, jitter_us, lost_ppm: lost, twice_ppm: twice, ..Link::PLAIN });
            }
        }
        let ips: Vec<IpAddr> = places.iter().map(|place| place.at.ip()).collect();
        sim.name(NAME, &ips, Instant::ZERO);
        Town { sim, places, runs: RefCell::default(), draw: RefCell::new(draw), bug }
    }

    fn below(&self, n: u64) -> u64 {
        self.draw.borrow_mut().below(n)
    }

    fn start(&self, index: usize) {
        let place = &self.places[index];
        let number = self.runs.borrow().len() as u64 + 1;
        let run = Run::new(number, 1 + self.below(120), place.is_watched);
        self.runs.borrow_mut().push(run.clone());
        *place.run.borrow_mut() = Some(run.clone());
        let (teller, at, bug) = (place.host.clone(), place.at, self.bug);
        self.sim.say(|| format!("{at} starts as run {number}"));
        let mut is_new = true;
        let seat = ClusterSeat {
            card: NodeCard::new(&format!("node-{index}"), "region", "0.1.0", 1),
            publish: Box::new(|_| {}),
            exchange: Box::new(move |cluster, now| {
                if std::mem::take(&mut is_new) {
                    cluster.set_digest_bug(bug);
                }
                run.exchange(cluster, now);
            }),
            tell: Box::new(move |event| teller.say(|| format!("{at} tells {event:?}"))),
            is_ending: Box::new(|| false),
            bug: SessionBug::None,
        };
        let settings = ClusterSettings {
            query: ClusterQuery::Name(NAME.to_owned()),
            listen: place.at,
            secrets: ClusterSecrets::new(Some("a secret that is long enough"), None, "lasso").expect("a good secret"),
            advice: AdvicePolicy::Off,
            name_servers: Vec::new(),
        };
        place.host.spawn("cluster", lasso::control::cluster::run(place.host.clone(), settings, seat));
    }

    fn kill(&self, index: usize) {
        let place = &self.places[index];
        self.sim.say(|| format!("{} is killed", place.at));
        place.host.kill_datagrams(place.at);
        if let Some(run) = place.run.borrow_mut().take() {
            // Its tasks go on in the simulator, and nobody looks at what they show.
            run.is_watched.set(false);
        }
    }

    fn partition(&self, lasts_ms: u64) {
        let sides: Vec<bool> = self.places.iter().map(|_| self.below(2) == 0).collect();
        let until = self.sim.now().plus_ms(lasts_ms).0;
        self.sim.say(|| format!("partition for {lasts_ms} ms: {sides:?}"));
        for (index, a) in self.places.iter().enumerate() {
            for (other, b) in self.places[..index].iter().enumerate() {
                if sides[index] != sides[other] {
                    a.host.link(&b.host, |link| link.blocked_until = until);
                }
            }
        }
    }

    async fn wait(&self, ms: u64) {
        self.sim.sleep_until(self.sim.now().plus_ms(ms)).await;
    }

    fn living(&self) -> Vec<Rc<Run>> {
        self.places.iter().filter_map(|place| place.run.borrow().clone()).collect()
    }

    /// Some calls everywhere.
    fn work(&self) {
        for run in self.living() {
            run.calls.set(run.calls.get() + self.below(9));
        }
    }

    fn check_laws(&self) {
        for run in self.runs.borrow().iter() {
            run.wrong.borrow_mut().drain(..).for_each(|why| self.sim.violation(format!("at run {}: {why}", run.number)));
            for (other, calls) in &run.shown.borrow().runs {
                let counted = self.runs.borrow().get(*other as usize - 1).map_or(0, |other| other.calls.get());
                if *calls > counted {
                    self.sim.violation(format!("run {} shows {calls} calls of run {other}, which has {counted}", run.number));
                }
            }
        }
    }

    /// What is wrong with what a watched node shows, now that nothing happens.
    fn unsettled(&self) -> Option<String> {
        let living = self.living();
        let sum: u64 = living.iter().map(|run| run.calls.get() * run.rows).sum();
        for run in living.iter().filter(|run| run.is_watched.get()) {
            let shown = run.shown.borrow();
            if (shown.sum, shown.responding, shown.is_stale) != (sum, living.len(), false) {
                let Shown { sum: got, responding, is_stale, oldest, runs } = shown.clone();
                return Some(format!(
                    "run {} shows {got} of {sum} calls, {responding} of {} nodes, stale: {is_stale}, oldest {oldest:?}: {runs:?}",
                    run.number,
                    living.len()
                ));
            }
        }
        None
    }

    async fn settles(&self, what: &str, limit_ms: u64, wrong: impl Fn() -> Option<String>) {
        self.sim.settles(what, limit_ms, || self.check_laws(), wrong).await;
    }
}

fn story(seed: u64, bug: DigestBug) -> Trace {
    let town = Rc::new(Town::new(seed, bug));
    let sim = town.sim.clone();
    let faults_end = Instant::ZERO.plus_ms(20_000 + town.below(100_000));
    sim.heal_at(faults_end);
    let stage = town.clone();
    sim.spawn("story", async move {
        play(&stage, faults_end).await;
        stage.sim.stop();
    });
    let ended = sim.run(faults_end.plus_ms(4 * SETTLES_MS + 2 * CLUSTER_DIGEST_KEPT_MS));
    if ended != Ended::Stopped {
        sim.violation(format!("the story did not end: {ended:?}"));
    }
    drop(town);
    sim.finish(ended)
}

async fn play(town: &Town, faults_end: Instant) {
    for index in 0..town.places.len() {
        town.start(index);
        town.wait(town.below(500)).await;
    }
    while town.sim.now() < faults_end {
        for _ in 0..1 + town.below(8) {
            town.wait(1_000).await;
            town.work();
            town.check_laws();
        }
        match town.below(3) {
            0 => town.partition(1_000 + town.below(40_000)),
            1 => {
                let index = town.below(town.places.len() as u64) as usize;
                town.kill(index);
                town.wait(town.below(20_000)).await;
                town.start(index);
            }
            _ => {}
        }
    }
    town.settles("settled", SETTLES_MS, || town.unsettled()).await;
    // A node that nobody watches dies for good.
    let victim = town.places.len() - 1;
    if town.places[victim].is_watched {
        return;
    }
    town.kill(victim);
    let is_told = || {
        let living = town.living();
        let mut watched = living.iter().filter(|run| run.is_watched.get());
        let untold = watched.find(|run| !run.shown.borrow().is_stale || run.shown.borrow().responding != living.len());
        untold.map(|run| format!("run {} shows {:?} as fresh", run.number, run.shown.borrow().runs))
    };
    town.settles("told to be old", CLUSTER_DIGEST_STALE_MS + CLUSTER_DIGEST_MS, is_told).await;
    let forgotten = || {
        let living = town.living();
        let sum: u64 = living.iter().map(|run| run.calls.get() * run.rows).sum();
        let other = living.iter().find(|run| run.is_watched.get() && run.shown.borrow().sum != sum);
        other.map(|run| format!("run {} shows {} of {sum} calls", run.number, run.shown.borrow().sum))
    };
    town.settles("forgotten", CLUSTER_DIGEST_KEPT_MS + CLUSTER_DIGEST_MS, forgotten).await;
}
