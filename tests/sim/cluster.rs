//! Clusters of 3 to 20 nodes: the cluster's tasks alone, on networks that lose, repeat, delay and cut, with wrong clocks, processes
//! that are killed and come back, name servers that lie, a node with another secret, and somebody who sends what was recorded again.
//!
//! While faults last, laws hold: what a node is shown are the cluster's nodes and nobody else; no datagram is heard twice; who never
//! proved itself gets no more bytes than it sends. Then the network heals, and within `CONVERGES_MS` every node shows every other as
//! responding, and holds the same orders of operators, whoever gave them and when. Then one is killed for good and must be gone everywhere
//! within `GONE_MS`.
//!
//! Cases that others met, which are among the draws: processes that come back at once at their address with an id that was declared down
//! (consul#4879, memberlist#157); two sides that have declared each other down (foca#25, foca#15); a node that hears nobody and is heard,
//! which made all others flicker (consul#5928); name servers that know only dead addresses at the start (alertmanager#1449); an address
//! that another cluster's node got (alertmanager#1835).

use crate::seeds;
use crate::world::{Ended, Letter, Link, Sim, Trace};
use lasso::base::rng::Rng;
use lasso::base::time::Instant;
use lasso::cluster::advice::{AdvicePolicy, Counsel, UpstreamKey};
use lasso::cluster::discovery::ClusterQuery;
use lasso::cluster::frame::NodeCard;
use lasso::cluster::health::PeerState;
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::sessions::SessionBug;
use lasso::cluster::settings::ClusterSettings;
use lasso::cluster::view::ClusterView;
use lasso::control::cluster::{ClusterSeat, run};
use lasso::observe::question::Order;
use lasso::runtime::world::World;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

const PORT: u16 = 7946;
const NAME: &str = "lasso.internal";
const SECRET: &str = "a secret that is long enough";
/// After the last fault.
const CONVERGES_MS: u64 = 40_000;
/// After a kill.
const GONE_MS: u64 = 40_000;

#[test]
fn soak() {
    seeds::soak("cluster", 60, scenario);
}

#[test]
fn replay() {
    seeds::replay("cluster", scenario);
}

fn scenario(seed: u64) -> Trace {
    story(seed, SessionBug::None)
}

/// The laws are not empty: each deliberate bug breaks one within a few seeds.
#[test]
fn deliberate_bugs_are_found() {
    for bug in [SessionBug::NoWindow, SessionBug::NoChallenge] {
        let found = (0..8).find(|seed| !story(*seed, bug).violations.is_empty());
        assert!(found.is_some(), "{bug:?} was not found");
    }
}

/// One process of the cluster.
struct Process {
    view: Rc<RefCell<ClusterView>>,
    /// What its operator wants on every node, and what it heard of others' wishes.
    orders: Rc<RefCell<VecDeque<(UpstreamKey, Order)>>>,
    counsel: Rc<RefCell<Counsel>>,
    /// How many datagrams were on the tape when it began.
    began: usize,
}

struct Place {
    host: Sim,
    at: SocketAddr,
    /// `None`: nothing runs there.
    process: RefCell<Option<Process>>,
    skew_ms: i64,
    starts: Cell<u32>,
}

struct Theatre {
    sim: Sim,
    places: Vec<Place>,
    /// Speaks another secret.
    stranger: SocketAddr,
    evil: SocketAddr,
    draw: RefCell<Rng>,
    bug: SessionBug,
    /// What was sent to each from the evil address.
    evil_bytes: RefCell<BTreeMap<SocketAddr, usize>>,
}

fn settings(at: SocketAddr, secret: &str) -> ClusterSettings {
    ClusterSettings {
        query: ClusterQuery::Name(NAME.to_owned()),
        listen: at,
        secrets: ClusterSecrets::new(Some(secret), None, "lasso").expect("a good secret"),
        advice: AdvicePolicy::Usual,
        name_servers: Vec::new(),
    }
}

fn start(host: &Sim, at: SocketAddr, secret: &str, id: &str, bug: SessionBug) -> Process {
    let view = Rc::new(RefCell::new(ClusterView::default()));
    let (shown, teller) = (view.clone(), host.clone());
    let (orders, counsel) = (Rc::<RefCell<VecDeque<_>>>::default(), Rc::<RefCell<Counsel>>::default());
    let (given, heard) = (orders.clone(), counsel.clone());
    let seat = ClusterSeat {
        card: NodeCard::new(id, "region", "0.1.0", 1),
        publish: Box::new(move |view| *shown.borrow_mut() = view),
        exchange: Box::new(move |cluster, now| {
            while let Some((upstream, order)) = given.borrow_mut().pop_front() {
                cluster.order(upstream, order, now);
            }
            cluster.take_counsel().into_iter().for_each(|counsel| *heard.borrow_mut() = counsel);
        }),
        tell: Box::new(move |event| teller.say(|| format!("{at} tells {event:?}"))),
        is_ending: Box::new(|| false),
        bug,
    };
    host.spawn("cluster", run(host.clone(), settings(at, secret), seat));
    Process { view, orders, counsel, began: host.taped().len() }
}

impl Theatre {
    fn new(seed: u64, bug: SessionBug) -> Theatre {
        let mut draw = Rng::new(seed).fork(77);
        let sim = Sim::new(seed);
        sim.tape();
        let count = 3 + draw.below(if seed.is_multiple_of(4) { 18 } else { 6 });
        let places: Vec<Place> = (0..count)
            .map(|_| {
                let host = sim.host();
                let skew_ms = if draw.chance(300_000) { draw.below(172_800_000) as i64 - 86_400_000 } else { 0 };
                host.skew_clock(skew_ms);
                let at = host.at(PORT);
                Place { host, at, process: RefCell::default(), skew_ms, starts: Cell::new(0) }
            })
            .collect();
        let theatre = Theatre {
            stranger: sim.host().at(PORT),
            evil: sim.host().at(666),
            sim,
            places,
            draw: RefCell::new(draw),
            bug,
            evil_bytes: RefCell::default(),
        };
        theatre.draw_links();
        theatre
    }

    fn below(&self, n: u64) -> u64 {
        self.draw.borrow_mut().below(n)
    }

    fn chance(&self, ppm: u64) -> bool {
        self.draw.borrow_mut().chance(ppm)
    }

    fn draw_links(&self) {
        let (lost, twice) = (self.below(4) * 60_000, self.below(3) * 50_000);
        for (index, a) in self.places.iter().enumerate() {
            for b in &self.places[..index] {
                let latency_us = [200, 1_000, 40_000, 100_000][self.below(4) as usize];
                let jitter_us = self.below(latency_us + 1);
                let link = Link { latency_us, jitter_us, lost_ppm: lost, twice_ppm: twice, ..Link::PLAIN };
                a.host.link(&b.host, |l| *l = link);
            }
        }
    }

    fn start(&self, index: usize) {
        let place = &self.places[index];
        place.starts.set(place.starts.get() + 1);
        self.sim.say(|| format!("{} starts", place.at));
        *place.process.borrow_mut() = Some(start(&place.host, place.at, SECRET, &format!("node-{index}"), self.bug));
    }

    fn kill(&self, index: usize) {
        let place = &self.places[index];
        self.sim.say(|| format!("{} is killed", place.at));
        place.host.kill_datagrams(place.at);
        *place.process.borrow_mut() = None;
    }

    /// What the name server says: all places, and whatever else.
    fn name(&self, lies: bool) {
        let mut ips: Vec<IpAddr> = self.places.iter().map(|place| place.at.ip()).collect();
        ips.push(self.stranger.ip());
        if lies {
            match self.below(3) {
                0 => ips.clear(),
                1 => ips.extend((0..40).map(|n| IpAddr::from([203, 0, 113, n]))),
                _ => ips = vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([255, 255, 255, 255]), self.stranger.ip()],
            }
        }
        self.sim.name(NAME, &ips, Instant::ZERO);
    }

    async fn wait(&self, ms: u64) {
        self.sim.sleep_until(self.sim.now().plus_ms(ms)).await;
    }

    /// One fault, which is over by `until`.
    async fn trouble(&self, until: Instant) {
        let left = until.since(self.sim.now()).as_millis() as u64;
        let lasts = 1_000 + self.below(left.clamp(2_000, 60_000));
        match self.below(5) {
            0 => self.partition(lasts),
            1 => self.half_a_network(),
            2 | 3 => {
                let index = self.below(self.places.len() as u64) as usize;
                self.kill(index);
                if self.chance(600_000) {
                    self.wait(self.below(25_000)).await;
                }
                self.start(index);
            }
            _ => self.name(true),
        }
    }

    fn partition(&self, lasts_ms: u64) {
        let sides: Vec<bool> = self.places.iter().map(|_| self.chance(500_000)).collect();
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

    /// One node hears nobody any more, and is heard.
    fn half_a_network(&self) {
        let deaf = self.below(self.places.len() as u64) as usize;
        self.sim.say(|| format!("{} is deaf", self.places[deaf].at));
        for (_, other) in self.places.iter().enumerate().filter(|(index, _)| *index != deaf) {
            self.places[deaf].host.link(&other.host, |link| link.deaf = Some(self.places[deaf].host.id()));
        }
    }

    /// Sends some of what was recorded again, as it was or from the evil address.
    fn repeat_recorded(&self) {
        let tape = self.sim.taped();
        for _ in 0..self.below(20) {
            if tape.is_empty() {
                return;
            }
            let mut letter = tape[self.below(tape.len() as u64) as usize].clone();
            if self.chance(300_000) {
                letter.to = self.places[self.below(self.places.len() as u64) as usize].at;
            }
            if self.chance(300_000) {
                letter.from = self.evil;
                *self.evil_bytes.borrow_mut().entry(letter.to).or_default() += letter.bytes.len();
            }
            if self.chance(100_000) {
                let place = self.below(letter.bytes.len() as u64) as usize;
                letter.bytes[place] ^= 1 << self.below(8);
            }
            self.sim.forge(letter);
        }
    }

    fn check_laws(&self) {
        let known: BTreeSet<SocketAddr> = self.places.iter().map(|place| place.at).collect();
        for place in &self.places {
            let process = place.process.borrow();
            let Some(view) = process.as_ref().map(|p| p.view.borrow()) else { continue };
            for peer in &view.peers {
                if !known.contains(&peer.address) || peer.address == place.at {
                    self.sim.violation(format!("{} shows {}", place.at, peer.address));
                }
            }
        }
        let answered: BTreeMap<SocketAddr, usize> = {
            let mut sums = BTreeMap::new();
            let to_evil = |letter: &&Letter| letter.to == self.evil;
            self.sim.taped().iter().filter(to_evil).for_each(|l| *sums.entry(l.from).or_default() += l.bytes.len());
            sums
        };
        for (from, bytes) in answered {
            let sent = self.evil_bytes.borrow().get(&from).copied().unwrap_or(0);
            if bytes > sent {
                self.sim.violation(format!("{from} sent {bytes} bytes to who never proved itself and sent {sent}"));
            }
        }
    }

    /// Sends all that was ever sent to those who are there.
    fn repeat_all(&self) {
        for letter in self.sim.taped() {
            self.sim.forge(letter);
        }
    }

    /// No process has heard more datagrams than were made for it since it began.
    fn check_replays(&self) {
        let tape = self.sim.taped();
        for place in &self.places {
            let process = place.process.borrow();
            let Some(process) = process.as_ref() else { continue };
            let heard = process.view.borrow().datagrams.heard;
            let made: BTreeSet<&[u8]> = tape[process.began..].iter().filter(|l| l.to == place.at).map(|l| &l.bytes[..]).collect();
            let most = made.len() as u64;
            if heard > most {
                self.sim.violation(format!("{} heard {heard} datagrams of {most}", place.at));
            }
        }
    }

    fn skew_between(&self, of: &Place, seen_by: &Place) -> i64 {
        of.skew_ms - seen_by.skew_ms
    }

    /// What is wrong with what a node shows, if every other one should be responding.
    /// An operator at some node wants something everywhere.
    fn order(&self) {
        let index = self.below(self.places.len() as u64) as usize;
        let upstream = UpstreamKey { chain_number: 1, tag: self.below(3) as u32 };
        let order = [Order::Open, Order::Close, Order::Auto][self.below(3) as usize];
        if let Some(process) = self.places[index].process.borrow().as_ref() {
            self.sim.say(|| format!("{} orders {order:?} for {}", self.places[index].at, upstream.tag));
            process.orders.borrow_mut().push_back((upstream, order));
        }
    }

    /// Whose orders differ. A node is not told what was ordered at itself, so one of them may not show the order that stands.
    fn divided(&self) -> Option<String> {
        let processes = || self.places.iter().filter(|place| place.process.borrow().is_some());
        let mut shown: BTreeMap<UpstreamKey, Vec<(u64, Vec<u8>, Order)>> = BTreeMap::new();
        for place in processes() {
            let process = place.process.borrow();
            for order in process.iter().flat_map(|process| process.counsel.borrow().orders.clone()) {
                shown.entry(order.upstream).or_default().push((order.number, order.session.0.to_vec(), order.order));
            }
        }
        let count = processes().count();
        let wrong = shown.into_iter().find(|(_, all)| all.windows(2).any(|two| two[0] != two[1]) || all.len() + 1 < count);
        wrong.map(|(upstream, all)| format!("of {count} nodes these show orders for {}: {all:?}", upstream.tag))
    }

    fn incomplete(&self) -> Option<String> {
        for place in &self.places {
            let process = place.process.borrow();
            let Some(view) = process.as_ref().map(|p| p.view.borrow()) else { continue };
            for other in self.places.iter().filter(|other| other.at != place.at && other.process.borrow().is_some()) {
                let seen: Vec<_> = view.peers.iter().filter(|peer| peer.address == other.at).collect();
                let [peer] = seen[..] else { return Some(format!("{} shows {} {} times", place.at, other.at, seen.len())) };
                if peer.state != PeerState::Responding {
                    let counts = &view.datagrams;
                    return Some(format!("{} shows {} as {:?} ({counts:?})", place.at, other.at, peer.state));
                }
                let off = peer.clock_skew_ms.map(|skew| skew - self.skew_between(other, place));
                if off.is_none_or(|off| off.abs() > 400) {
                    return Some(format!(
                        "{} thinks that the clock of {} is {:?} ms off",
                        place.at, other.at, peer.clock_skew_ms
                    ));
                }
            }
        }
        None
    }

    fn shows(&self, gone: SocketAddr) -> Option<String> {
        for place in &self.places {
            let process = place.process.borrow();
            let Some(view) = process.as_ref().map(|p| p.view.borrow()) else { continue };
            let state = view.peers.iter().find(|peer| peer.address == gone).map(|peer| peer.state);
            if state.is_some_and(|state| state != PeerState::Disconnected) {
                return Some(format!("{} shows {gone} as {state:?}", place.at));
            }
        }
        None
    }
}

/// Waits until nothing is wrong any more, under the laws and while old datagrams come again.
async fn settles(theatre: &Theatre, what: &str, limit_ms: u64, wrong: impl Fn() -> Option<String>) {
    let look = || {
        theatre.repeat_recorded();
        theatre.check_laws();
    };
    theatre.sim.settles(what, limit_ms, look, wrong).await;
}

fn story(seed: u64, bug: SessionBug) -> Trace {
    let theatre = Rc::new(Theatre::new(seed, bug));
    let sim = theatre.sim.clone();
    let faults_end = Instant::ZERO.plus_ms(20_000 + theatre.below(160_000));
    sim.heal_at(faults_end);
    let stage = theatre.clone();
    sim.spawn("story", async move {
        play(&stage, faults_end).await;
        stage.check_replays();
        stage.sim.stop();
    });
    let ended = sim.run(faults_end.plus_ms(10 * (CONVERGES_MS + GONE_MS)));
    if ended != Ended::Stopped {
        sim.violation(format!("the story did not end: {ended:?}"));
    }
    drop(theatre);
    sim.finish(ended)
}

async fn play(theatre: &Theatre, faults_end: Instant) {
    theatre.name(theatre.chance(200_000));
    let stranger = theatre.stranger;
    let _stranger = start(
        &theatre.sim.sibling(crate::world::Host::of(stranger.ip()).expect("a host")),
        stranger,
        "another one that is long enough",
        "stranger",
        theatre.bug,
    );
    for index in 0..theatre.places.len() {
        theatre.start(index);
        theatre.wait(theatre.below(2_000)).await;
    }
    while theatre.sim.now() < faults_end {
        theatre.wait(1_000 + theatre.below(10_000)).await;
        theatre.repeat_recorded();
        theatre.check_laws();
        if theatre.chance(300_000) {
            theatre.order();
        }
        if theatre.sim.now() < faults_end {
            theatre.trouble(faults_end).await;
        }
    }
    theatre.name(false);
    settles(theatre, "converged", CONVERGES_MS, || theatre.incomplete()).await;
    settles(theatre, "of one mind", CONVERGES_MS, || theatre.divided()).await;
    let victim = theatre.below(theatre.places.len() as u64) as usize;
    theatre.kill(victim);
    let at = theatre.places[victim].at;
    settles(theatre, "gone", GONE_MS, || theatre.shows(at)).await;
    theatre.start(victim);
    settles(theatre, "back", CONVERGES_MS, || theatre.incomplete()).await;
    for _ in 0..2 {
        theatre.repeat_all();
        theatre.wait(2_000).await;
    }
    settles(theatre, "still whole", CONVERGES_MS, || theatre.incomplete()).await;
}
