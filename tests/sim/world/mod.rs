//! The simulated world: `World` without a kernel. See `executor` for time and tasks, `network` for what sockets do.
//!
//! One `Sim` handle stands for one host. Clone it to stay on the host, `host()` for another machine; a link between two
//! hosts carries their faults. Everything of a run is in one thread and comes from one seed.

pub mod buffers;
pub mod datagrams;
pub mod executor;
pub mod network;
pub mod stream;

pub use datagrams::{Letter, SimDatagrams};
pub use executor::{Ended, Stalls, quietly};
pub use network::{Host, Link, Scarce, Tally};
pub use stream::{SimListener, SimStream};

use datagrams::Post;
use executor::{Event, Executor, Sleep};
use lasso::base::rng::Rng;
use lasso::runtime::world::{Addresses, Closer, Duplex, Duration, Instant, WallTime, World};
use network::{Network, Socket};
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// A connection attempt that is never answered ends after this, as Linux's six SYN retransmissions do.
const CONNECT_GIVES_UP: u64 = 127_000_000_000;
const BACKLOG: usize = 4096;
/// 2026-01-01T00:00:00Z: the moment a run begins, for display.
const WALL_START_MS: u64 = 1_767_225_600_000;

/// What all hosts share.
pub struct Shared {
    executor: Rc<Executor>,
    network: RefCell<Network>,
    names: RefCell<HashMap<String, Name>>,
    post: RefCell<Post>,
    /// For `World::rng`.
    seeds: RefCell<Rng>,
    next_host: Cell<u16>,
    /// Tells the story as it goes (`SIM_LOG`), for a person who replays a seed.
    loud: bool,
}

struct Name {
    addresses: Vec<IpAddr>,
    /// Unresolvable before this (ns).
    known_from: u64,
}

impl AsRef<Executor> for Shared {
    fn as_ref(&self) -> &Executor {
        &self.executor
    }
}

#[derive(Clone)]
pub struct Sim {
    shared: Rc<Shared>,
    host: Host,
}

/// What a finished run leaves behind.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    pub ended: Ended,
    /// Equal for two runs of one seed.
    pub hash: u64,
    pub polls: u64,
    /// Virtual nanoseconds.
    pub now: u64,
    pub tally: Tally,
    /// Panics, laws broken, and what tests added with `violation`.
    pub violations: Vec<String>,
}

impl Sim {
    pub fn new(seed: u64) -> Sim {
        let mut root = Rng::new(seed);
        let executor = Rc::new(Executor::new(seed));
        let network = RefCell::new(Network::new(root.fork(2), executor.clone()));
        let seeds = RefCell::new(root.fork(3));
        let shared = Shared {
            executor,
            network,
            names: RefCell::default(),
            post: RefCell::default(),
            seeds,
            next_host: Cell::new(2),
            loud: std::env::var_os("SIM_LOG").is_some(),
        };
        Sim { shared: Rc::new(shared), host: Host(1) }
    }

    /// Another machine.
    pub fn host(&self) -> Sim {
        let host = Host(self.shared.next_host.replace(self.shared.next_host.get() + 1));
        Sim { shared: self.shared.clone(), host }
    }

    /// This machine.
    pub fn id(&self) -> Host {
        self.host
    }

    /// How long the whole world was held up since `from`.
    pub fn stalled_since(&self, from: Instant) -> Duration {
        self.shared.executor.stalled_since(from.0)
    }

    /// The handle of a machine that exists already.
    pub fn sibling(&self, host: Host) -> Sim {
        Sim { shared: self.shared.clone(), host }
    }

    /// `port` on this host.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.host.ip(), port)
    }

    /// The link between this host and `other` as it is now.
    pub fn link_to(&self, other: &Sim) -> Link {
        *self.network().link_mut(self.host, other.host)
    }

    /// Changes the link between this host and `other`, both ways.
    pub fn link(&self, other: &Sim, change: impl FnOnce(&mut Link)) {
        change(self.network().link_mut(self.host, other.host));
    }

    /// No fault happens from `at` on: links carry everything whole, unblock, and refuse only what does not listen.
    pub fn heal_at(&self, at: Instant) {
        self.network().faults_until = at.0;
    }

    /// This host is out of something up to `until`.
    pub fn exhaust(&self, of: Scarce, until: Instant) {
        self.network().exhaust(self.host, of, until.0);
    }

    /// Holds the whole world up now and then.
    pub fn stall(&self, stalls: Stalls) {
        self.shared.executor.stalls.set(stalls);
    }

    /// Teaches the resolver a name; before `known_from` it has no answer.
    pub fn name(&self, host: &str, addresses: &[IpAddr], known_from: Instant) {
        let name = Name { addresses: addresses.to_vec(), known_from: known_from.0 };
        self.shared.names.borrow_mut().insert(host.to_string(), name);
    }

    /// Records a broken promise.
    pub fn violation(&self, text: String) {
        self.shared.executor.violation(text);
    }

    /// A line of the story, when someone listens.
    pub fn say(&self, line: impl FnOnce() -> String) {
        if self.shared.loud {
            eprintln!("{:>12} us  {}", self.shared.executor.now() / 1000, line());
        }
    }

    /// Folds a fact of the test's own into the trace.
    pub fn note(&self, fact: u64) {
        self.shared.executor.mix(fact);
    }

    /// Waits until nothing is wrong any more, looking twice a second; says what still is after `limit_ms`.
    pub async fn settles(&self, what: &str, limit_ms: u64, look: impl Fn(), wrong: impl Fn() -> Option<String>) {
        let began = self.now();
        loop {
            self.sleep_until(self.now().plus_ms(500)).await;
            look();
            let took = self.now().since(began).as_millis() as u64;
            match wrong() {
                None => {
                    self.note(took);
                    return self.say(|| format!("{what} after {took} ms"));
                }
                Some(why) if took >= limit_ms => return self.violation(format!("not {what} after {took} ms: {why}")),
                Some(_) => {}
            }
        }
    }

    /// Ends the run after the current poll.
    pub fn stop(&self) {
        self.shared.executor.stop();
    }

    pub fn live_tasks(&self) -> usize {
        self.shared.executor.live_tasks()
    }

    pub fn open_connections(&self) -> usize {
        self.network().connections.len()
    }

    /// Runs to the end of the story or to `until`; may be called again to go on.
    pub fn run(&self, until: Instant) -> Ended {
        let executor = &self.shared.executor;
        quietly(|| {
            executor.run(until.0, |event| match event {
                Event::Deliver { connection, generation, to } => {
                    executor.mix(connection as u64 ^ executor.now());
                    self.network().deliver(connection, generation, to);
                }
                Event::Post { letter } => {
                    executor.mix(letter as u64 ^ executor.now());
                    self.deliver_letter(letter);
                }
                Event::Wake { .. } => {}
            })
        })
    }

    /// Ends the world and says what became of it.
    pub fn finish(self, ended: Ended) -> Trace {
        let executor = self.shared.executor.clone();
        quietly(|| executor.tear_down());
        let tally = self.network().tally;
        Trace {
            ended,
            hash: executor.hash(),
            polls: executor.polls(),
            now: executor.now(),
            tally,
            violations: executor.take_violations(),
        }
    }

    fn network(&self) -> RefMut<'_, Network> {
        self.shared.network.borrow_mut()
    }

    fn post(&self) -> RefMut<'_, Post> {
        self.shared.post.borrow_mut()
    }

    fn is_tearing(&self) -> bool {
        self.shared.executor.is_tearing()
    }

    fn sleep_ns(&self, ns: u64) -> Sleep<Shared> {
        Sleep { world: self.shared.clone(), at: self.shared.executor.now().saturating_add(ns), slot: None }
    }

    /// One SYN's fate.
    async fn knock(&self, to: SocketAddr) -> Knock {
        let link = self.network().link_index(self.host, to.ip());
        let travel = self.network().one_way(link);
        self.sleep_ns(travel).await;
        let mut network = self.network();
        let now = self.shared.executor.now();
        let faulty = now < network.faults_until;
        let blocked_until = network.link(link).blocked_until.min(network.faults_until);
        if blocked_until > now {
            return Knock::Lost;
        }
        self.say(|| format!("host {} connects to {to}", self.host.0));
        let listener = if network.link(link).refused && faulty { None } else { network.listener(to) };
        let Some(listener) = listener else {
            network.tally.refused += 1;
            return Knock::Refused(network.one_way(link));
        };
        let backlog = &network.backlogs[listener];
        if backlog.waiting.len() >= backlog.limit {
            network.tally.backlog_full += 1;
            return Knock::Lost;
        }
        let (near, far) = network.establish(link, self.host, to);
        let backlog = &mut network.backlogs[listener];
        backlog.waiting.push_back(far);
        if let Some(acceptor) = backlog.acceptor.take() {
            acceptor.wake();
        }
        let travel = network.one_way(link);
        Knock::Established(near, travel)
    }
}

enum Knock {
    Lost,
    Refused(u64),
    Established(Socket, u64),
}

impl World for Sim {
    type Stream = SimStream;
    type Listener = SimListener;
    type Datagrams = SimDatagrams;
    const FAULTS: bool = true;

    fn now(&self) -> Instant {
        Instant(self.shared.executor.now())
    }

    fn wall(&self) -> WallTime {
        self.wall_here()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> {
        Sleep { world: self.shared.clone(), at: at.0, slot: None }
    }

    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.shared.executor.spawn(name, task);
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<SimStream> {
        if let Some(scarce) = self.network().lacking(self.host, false) {
            return Err(scarce.error());
        }
        let (began, mut retry) = (self.now().0, 1_000_000_000);
        loop {
            match self.knock(to).await {
                Knock::Established(socket, travel) => {
                    let stream = SimStream::new(self, socket);
                    self.sleep_ns(travel).await;
                    return if stream.closer().is_reset() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(stream) };
                }
                Knock::Refused(travel) => {
                    self.sleep_ns(travel).await;
                    return Err(io::ErrorKind::ConnectionRefused.into());
                }
                // The SYN is sent again after 1, 2, 4 … seconds.
                Knock::Lost if self.now().0 - began < CONNECT_GIVES_UP => {
                    self.sleep_ns(retry).await;
                    retry *= 2;
                }
                Knock::Lost => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
    }

    fn listen(&self, at: SocketAddr) -> io::Result<SimListener> {
        self.listen_with(at, BACKLOG)
    }

    fn addresses(&self, host: &str, port: u16) -> Addresses {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return std::iter::once(SocketAddr::new(ip, port)).collect();
        }
        let names = self.shared.names.borrow();
        let known = names.get(host).filter(|name| self.now().0 >= name.known_from);
        known
            .into_iter()
            .flat_map(|name| &name.addresses)
            .map(|ip| SocketAddr::new(*ip, port))
            .take(Addresses::new().capacity())
            .collect()
    }

    fn datagrams(&self, at: SocketAddr) -> io::Result<SimDatagrams> {
        self.bind_datagrams(at)
    }

    fn peer_addresses(&self, host: &str) -> Vec<IpAddr> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return vec![ip];
        }
        let names = self.shared.names.borrow();
        let known = names.get(host).filter(|name| self.now().0 >= name.known_from);
        known.map(|name| name.addresses.clone()).unwrap_or_default()
    }

    /// A panic is a violation here.
    fn panics(&self) -> u64 {
        0
    }

    fn rng(&self) -> Rng {
        self.shared.seeds.borrow_mut().fork(u64::from(self.host.0))
    }

    fn unguessable(&self) -> io::Result<[u8; 32]> {
        let (mut rng, mut out) = (self.rng(), [0; 32]);
        out.chunks_exact_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next().to_le_bytes()));
        Ok(out)
    }
}

impl Sim {
    /// As `World::listen`, with room for `backlog` connections that were not accepted yet.
    pub fn listen_with(&self, at: SocketAddr, backlog: usize) -> io::Result<SimListener> {
        let backlog = self.network().listen(self.host, at, backlog);
        Ok(SimListener { sim: self.clone(), backlog })
    }
}
