//! What clients asked, what providers received, and the laws between the two. The providers' journal is written here, so
//! a reply can be traced to the very call that earned it, and a call that must not be repeated can be counted.
//!
//! Calls are told apart by method and parameters: the callers give nearly each one parameters of its own.

use super::circuits::{Circuits, channel_name};
use crate::world::Sim;
use lasso::chain::method::{self, Safety};
use lasso::demo::journal::{Attached, Ended, Journal, Received};
use lasso::demo::knobs::Fault;
use lasso::runtime::world::{Instant, World};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};

/// Method, and parameters as a provider receives them.
pub type Key = (String, Vec<u8>);

/// Dispatches of a repeatable call, each with one re-send on a fresh connection, and all of them once more for a block that was
/// announced and that nobody had at first.
const MOST_SENDS: usize = 12;
/// The ids of what the node asks for itself: `lasso-probe`, `lasso-head`, `lasso-block`.
const OWN_ID: &[u8] = b"\"lasso-";
const PROBE_ID: &[u8] = b"\"lasso-probe\"";
/// Over WebSocket the node's own ids are numbers from here on.
const OWN_NUMBER: u64 = 1 << 48;
/// Providers that one call may reach that must not be repeated.
const MOST_UNSAFE: usize = 3;

struct Asked {
    times: usize,
    /// The first time.
    at: Instant,
    safety: Safety,
}

struct Seen {
    provider: String,
    at: Instant,
    /// `None`: the provider answered with an error of its own.
    result: Option<u64>,
    fault: Option<Fault>,
}

/// How a reply stands to what providers said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Provenance {
    /// A provider received this call and gave exactly this.
    Given,
    /// A provider that received this call has an error or a fault to its name.
    Failed,
    /// Providers received this call and none gave this.
    Invented,
    /// No provider received this call.
    Unseen,
}

pub struct Book {
    sim: Sim,
    pub circuits: Circuits,
    asked: RefCell<BTreeMap<Key, Asked>>,
    seen: RefCell<BTreeMap<Key, Vec<Seen>>>,
    /// Raw id (quoted) to who made it.
    filters: RefCell<BTreeMap<Vec<u8>, BTreeSet<String>>>,
    /// WebSocket connections, by provider and its count.
    sockets: RefCell<BTreeSet<(String, u64)>>,
    over_ws: Cell<u64>,
}

impl Book {
    pub fn new(sim: &Sim) -> Book {
        Book {
            sim: sim.clone(),
            circuits: Circuits::new(sim),
            asked: RefCell::default(),
            seen: RefCell::default(),
            filters: RefCell::default(),
            sockets: RefCell::default(),
            over_ws: Cell::new(0),
        }
    }

    /// Clients' calls that came over WebSockets.
    pub fn over_ws(&self) -> u64 {
        self.over_ws.get()
    }

    /// A client sends this call (once more).
    pub fn ask(&self, key: &Key, safety: Safety) {
        self.asked.borrow_mut().entry(key.clone()).or_insert(Asked { times: 0, at: self.sim.now(), safety }).times += 1;
    }

    /// Where `result` may come from, for a call sent at `sent`.
    pub fn of_result(&self, key: &Key, result: &[u8], sent: Instant) -> Provenance {
        let seen = self.seen.borrow();
        let Some(all) = seen.get(key) else { return Provenance::Unseen };
        let digest = digest(result);
        let given = all.iter().any(|s| s.at >= sent && s.result == Some(digest) && s.fault.is_none_or(may_be_whole));
        if given { Provenance::Given } else { Provenance::Invented }
    }

    /// Why a call may have ended in an error.
    pub fn of_error(&self, key: &Key, sent: Instant) -> Provenance {
        let seen = self.seen.borrow();
        let Some(all) = seen.get(key) else { return Provenance::Unseen };
        let failed = all.iter().any(|s| s.at >= sent && (s.result.is_none() || s.fault.is_some()));
        if failed { Provenance::Failed } else { Provenance::Invented }
    }

    /// The laws that are judged at the end.
    pub fn audit(&self) {
        let asked = self.asked.borrow();
        for (key, all) in self.seen.borrow().iter() {
            let name = || format!("{} {}", key.0, String::from_utf8_lossy(&key.1));
            let Some(Asked { times, safety, .. }) = asked.get(key) else {
                self.sim.violation(format!("providers received {} that nobody asked for", name()));
                continue;
            };
            let most = match safety {
                Safety::Repeatable => MOST_SENDS,
                Safety::RawTransaction | Safety::Filter | Safety::Once => MOST_UNSAFE,
            };
            if all.len() > times * most {
                self.sim.violation(format!("{} was sent {} times for {times} call(s), at most {most} each", name(), all.len()));
            }
            if *safety != Safety::Repeatable && *times == 1 {
                self.audit_unsafe(&name(), all);
            }
            if let Some(makers) = self.makers(key) {
                for seen in all.iter().filter(|s| !makers.contains(&s.provider)) {
                    self.sim.violation(format!("{} went to {}, the filter is at {makers:?}", name(), seen.provider));
                }
            }
            let providers: BTreeSet<&str> = all.iter().map(|s| s.provider.as_str()).collect();
            for provider in providers.iter().filter(|_| *safety == Safety::RawTransaction) {
                let here = all.iter().filter(|s| s.provider == *provider).count();
                if here > *times {
                    self.sim.violation(format!("{} was sent to {provider} {here} times for {times} call(s)", name()));
                }
            }
        }
    }
}

impl Book {
    /// For a call that uses a filter: the providers that have made one with this id.
    fn makers(&self, key: &Key) -> Option<BTreeSet<String>> {
        let uses_filter = method::is_filter_use(method::lookup(key.0.as_bytes()));
        let id = key.1.strip_prefix(b"[")?.strip_suffix(b"]").filter(|_| uses_filter)?;
        Some(self.filters.borrow().get(id).cloned().unwrap_or_default())
    }

    /// Judged when it is the only one of its kind, so that it is known when it was sent.
    fn arrived(&self, key: &Key, channel: &str, request: u64) {
        let asked = self.asked.borrow();
        if let Some(Asked { times: 1, at, .. }) = asked.get(key) {
            self.circuits.on_call(channel, *at, request);
        }
    }

    /// What must not be repeated goes on to another provider only when each before it turned it away at the door.
    fn audit_unsafe(&self, name: &str, all: &[Seen]) {
        for pair in all.windows(2) {
            let turned_away = pair[0].result.is_none() || pair[0].fault.is_some_and(Fault::is_refusal);
            if !turned_away {
                let (here, next, fault) = (&pair[0].provider, &pair[1].provider, pair[0].fault);
                self.sim.violation(format!("{name} may have been carried out by {here} ({fault:?}), and was sent to {next} too"));
            }
        }
    }
}

/// A fault under which the whole answer may still have come.
fn may_be_whole(fault: Fault) -> bool {
    let is_repaired = matches!(fault, Fault::NoVersion | Fault::OldVersion | Fault::GzipBomb);
    fault.is_harmless() || is_repaired || matches!(fault, Fault::ResetAt(_) | Fault::StallAt(_))
}

fn digest(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

impl Journal for Book {
    fn received(&self, call: &Received<'_>) {
        let params = if call.params.is_empty() { b"[]".to_vec() } else { call.params.to_vec() };
        let key = (call.method.to_string(), params);
        let shown = || String::from_utf8_lossy(&key.1[..key.1.len().min(200)]).into_owned();
        self.sim
            .say(|| format!("{} gets {} {} on connection {} ({:?})", call.provider, key.0, shown(), call.connection, call.fault));
        let is_ws = self.sockets.borrow().contains(&(call.provider.to_owned(), call.connection));
        let channel = channel_name(call.provider, is_ws);
        let number = std::str::from_utf8(call.id).ok().and_then(|id| id.parse::<u64>().ok());
        let is_own = if is_ws { number.is_some_and(|id| id >= OWN_NUMBER) } else { call.id.starts_with(OWN_ID) };
        if call.id == PROBE_ID || (is_own && is_ws && call.method == "eth_chainId") {
            self.circuits.on_probe(&channel, call.request);
        }
        if is_own {
            return;
        }
        self.over_ws.set(self.over_ws.get() + u64::from(is_ws));
        self.arrived(&key, &channel, call.request);
        if let Some(id) = call.result.filter(|_| method::is_filter_create(method::lookup(call.method.as_bytes()))) {
            self.filters.borrow_mut().entry(id.to_vec()).or_default().insert(call.provider.to_string());
        }
        let (provider, at) = (call.provider.to_string(), self.sim.now());
        self.sim.note(digest(&key.1));
        // Without compression a bomb is four megabytes of space before a right answer.
        let fault = call.fault.filter(|fault| !(is_ws && *fault == Fault::GzipBomb));
        // Zeros stand where the result would.
        let (result, fault) = match fault {
            Some(Fault::Zeros { bytes, .. }) => (Some(digest(format!("\"0x{}\"", "0".repeat(bytes)).as_bytes())), None),
            other => (call.result.map(digest), other),
        };
        let seen = Seen { provider, at, result, fault };
        self.seen.borrow_mut().entry(key).or_default().push(seen);
    }

    fn attached(&self, what: &Attached<'_>) {
        self.sim.say(|| format!("{what:?}"));
        if what.key.is_none() && what.is_open {
            self.sockets.borrow_mut().insert((what.provider.to_owned(), what.connection));
        }
    }

    fn ended(&self, request: &Ended<'_>) {
        for is_ws in [false, true] {
            self.circuits.on_end(&channel_name(request.provider, is_ws), request.request);
        }
    }
}
