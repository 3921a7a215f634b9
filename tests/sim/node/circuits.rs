//! The snapshots as they are published, and what they forbid. The laws:
//!
//! - **Order.** A step publishes at most one version; no producer's merged epoch ever goes back.
//! - **One permit.** At most one permit of a channel is out; its number is higher than any before.
//! - **Circuits.** A client's call that reaches a provider was admitted there by some snapshot between its sending and its
//!   arrival that had the circuit closed (a call keeps the snapshot that it began with, and a shard takes each new one over
//!   with its next call), or it had nobody else, and its turn.
//! - **Turns.** Such calls come one at a time, from all shards: of those that came within a second only a few may be unanswered at
//!   once, whose clients had left or that the node had given up.
//! - **Probes.** While the circuit is half-open, our own probes are its trials, and the one that may have been under way
//!   before; each may be sent twice, when its connection had died idle. Of all that came within two seconds at most these
//!   two, sent twice, are unanswered at once.

use crate::world::{Ended, Sim};
use lasso::base::ids::SlotId;
use lasso::base::time::{Duration, Instant};
use lasso::config::topology::Strategy;
use lasso::health::breaker::Gate;
use lasso::runtime::world::World;
use lasso::snapshot::{ChainPlan, Set, Snapshot, bit};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::AddAssign;

/// A probe that has not been answered for so long may have been given up.
const ABANDONED: Duration = Duration::from_secs(2);

/// Calls in the dark are counted over this time, and so many of them may be unanswered.
const DARK_WINDOW: Duration = Duration::from_secs(1);
const DARK_CALLS: usize = 8;

/// What is known of one channel.
struct Circuit {
    /// Since when the gate is as it is; the first is closed.
    gates: Vec<(Instant, Gate)>,
    /// Unanswered calls that came in the dark, and when.
    dark: Vec<(u64, Instant)>,
    last_permit: u64,
    /// Of the current half-open time.
    trials: u64,
    probes: u64,
    /// Unanswered probes that came to it half-open: their request numbers, and when they came.
    flying: Vec<(u64, Instant)>,
}

/// What was seen, so that it is known to have happened at all; of marks, the snapshots that had them.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sights {
    pub opened: u64,
    pub trials: u64,
    pub dark_calls: u64,
    pub limited: u64,
    pub lagging: u64,
    pub misconfigured: u64,
    pub wrong_chain: u64,
}

impl AddAssign for Sights {
    fn add_assign(&mut self, other: Sights) {
        self.opened += other.opened;
        self.trials += other.trials;
        self.dark_calls += other.dark_calls;
        self.limited += other.limited;
        self.lagging += other.lagging;
        self.misconfigured += other.misconfigured;
        self.wrong_chain += other.wrong_chain;
    }
}

/// Under which a channel is kept.
pub fn channel_name(provider: &str, is_ws: bool) -> String {
    format!("{provider}{}", if is_ws { " over ws" } else { "" })
}

pub struct Circuits {
    sim: Sim,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    version: u64,
    merged: Vec<u64>,
    circuits: BTreeMap<String, Circuit>,
    sights: Sights,
}

impl Circuits {
    pub fn new(sim: &Sim) -> Circuits {
        Circuits { sim: sim.clone(), seen: RefCell::default() }
    }

    pub fn sights(&self) -> Sights {
        self.seen.borrow().sights
    }

    /// When a circuit last closed.
    pub fn last_closed(&self) -> Instant {
        let seen = self.seen.borrow();
        let of = |c: &Circuit| c.gates.iter().filter(|(_, gate)| *gate == Gate::Closed).map(|(at, _)| *at).max();
        seen.circuits.values().filter_map(of).max().unwrap_or(Instant::ZERO)
    }

    /// After each step of the aggregator.
    pub fn look(&self, version: u64, snapshot: &Snapshot) {
        let mut seen = self.seen.borrow_mut();
        if version < seen.version || (seen.version > 0 && version > seen.version + 1) {
            self.sim.violation(format!("snapshot {version} follows {}", seen.version));
        }
        if version == seen.version {
            return;
        }
        seen.version = version;
        if seen.merged.iter().zip(&snapshot.merged_epochs).any(|(before, now)| now < before) {
            self.sim.violation(format!("merged epochs went back from {:?} to {:?}", seen.merged, snapshot.merged_epochs));
        }
        seen.merged.clone_from(&snapshot.merged_epochs);
        let (now, seen) = (self.sim.now(), &mut *seen);
        for (profile, plans) in snapshot.plans.iter() {
            for (chain, plan) in plans.iter() {
                let providers = &snapshot.chain(profile, chain).providers;
                for (id, provider) in plan.fixed.providers.iter() {
                    let name = channel_name(&providers[*provider].id, plan.fixed.ws & bit(id) != 0);
                    let circuit = seen.circuits.entry(name.clone()).or_insert_with(Circuit::new);
                    circuit.look(&self.sim, &name, plan, snapshot, id, now, &mut seen.sights);
                }
            }
        }
    }

    /// A client's call, sent at `sent`, has come to a channel.
    pub fn on_call(&self, provider: &str, sent: Instant, request: u64) {
        let (mut seen, now) = (self.seen.borrow_mut(), self.sim.now());
        let Some(circuit) = seen.circuits.get_mut(provider) else { return };
        if was(&circuit.gates, Gate::Closed, sent) {
            return;
        }
        circuit.dark.retain(|(_, came)| now.since(*came) < DARK_WINDOW);
        circuit.dark.push((request, now));
        let flying = circuit.dark.len();
        seen.sights.dark_calls += 1;
        if flying > DARK_CALLS {
            let text = format!("{flying} calls came to {provider} without a turn of their own by {} us", now.0 / 1000);
            self.sim.violation(text);
        }
    }

    /// A probe of ours has come to a channel.
    pub fn on_probe(&self, provider: &str, request: u64) {
        let (mut seen, now) = (self.seen.borrow_mut(), self.sim.now());
        let Some(circuit) = seen.circuits.get_mut(provider) else { return };
        if circuit.gate() != Gate::HalfOpen {
            return;
        }
        circuit.probes += 1;
        circuit.flying.retain(|(_, came)| now.since(*came) < ABANDONED);
        circuit.flying.push((request, now));
        let (probes, trials, flying) = (circuit.probes, circuit.trials, circuit.flying.len());
        if probes > 2 * (trials + 1) || flying > 4 {
            let text = format!("{probes} probes came to half-open {provider}, {flying} are unanswered, of {trials} trials");
            self.sim.violation(text);
        }
    }

    /// Whatever request of `provider` is answered.
    pub fn on_end(&self, provider: &str, request: u64) {
        if let Some(circuit) = self.seen.borrow_mut().circuits.get_mut(provider) {
            circuit.flying.retain(|(of, _)| *of != request);
            circuit.dark.retain(|(of, _)| *of != request);
        }
    }
}

impl Circuit {
    fn new() -> Circuit {
        Circuit {
            gates: vec![(Instant::ZERO, Gate::Closed)],
            dark: Vec::new(),
            last_permit: 0,
            trials: 0,
            probes: 0,
            flying: Vec::new(),
        }
    }

    fn gate(&self) -> Gate {
        self.gates.last().map_or(Gate::Closed, |(_, gate)| *gate)
    }

    #[expect(clippy::too_many_arguments, reason = "a provider's place in a snapshot")]
    fn look(
        &mut self,
        sim: &Sim,
        name: &str,
        plan: &ChainPlan,
        snapshot: &Snapshot,
        id: SlotId,
        now: Instant,
        sights: &mut Sights,
    ) {
        let is = |set: Set| set & bit(id) != 0;
        let gate = match (is(plan.gates.open), is(plan.gates.half_open)) {
            (true, _) => Gate::Open,
            (_, true) => Gate::HalfOpen,
            _ => Gate::Closed,
        };
        if gate != self.gate() {
            self.gates.push((now, gate));
            (self.trials, self.probes) = (0, 0);
            self.flying.clear();
            sights.opened += u64::from(gate == Gate::Open);
        }
        let count = |set: Set| u64::from(is(set));
        sights.limited += count(plan.gates.limited);
        sights.lagging += count(plan.gates.lagging);
        sights.misconfigured += count(plan.gates.misconfigured);
        sights.wrong_chain += count(plan.gates.wrong_chain);
        let channel = plan.fixed.channels[id];
        let trials = snapshot.trials.iter().filter(|trial| trial.channel == channel);
        let out: Vec<u64> = trials.map(|trial| trial.permit.0).collect();
        if out.len() > usize::from(gate == Gate::HalfOpen) {
            sim.violation(format!("{} permits of {name} are out while it is {}", out.len(), gate.word()));
        }
        for permit in out {
            if permit < self.last_permit {
                sim.violation(format!("permit {permit} of {name} is out again, after {}", self.last_permit));
            }
            let is_new = u64::from(permit != self.last_permit);
            self.last_permit = permit;
            self.trials += is_new;
            sights.trials += is_new;
        }
    }
}

/// Some snapshot that was in force since `from` had it so.
fn was(history: &[(Instant, Gate)], what: Gate, from: Instant) -> bool {
    let mut until = Instant::NEVER;
    for (since, is) in history.iter().rev() {
        if until < from {
            return false;
        }
        if *is == what {
            return true;
        }
        until = *since;
    }
    false
}

#[test]
fn snapshots_out_of_order_are_noticed() {
    let check = |published: &[(u64, [u64; 2])], want: usize| {
        let sim = Sim::new(0);
        let circuits = Circuits::new(&sim);
        for (version, merged) in published {
            let mut snapshot =
                Snapshot::new(super::launch::topology(&[(1, super::launch::Way::Http)], None, 4), Strategy::Priority, "sim", 2);
            snapshot.merged_epochs = merged.to_vec();
            circuits.look(*version, &snapshot);
        }
        let violations = sim.finish(Ended::Idle).violations;
        assert_eq!(violations.len(), want, "{published:?}: {violations:?}");
    };
    check(&[(1, [0, 0]), (1, [0, 0]), (2, [3, 1]), (3, [3, 2])], 0);
    check(&[(1, [0, 0]), (3, [3, 1])], 1);
    check(&[(2, [0, 0]), (1, [0, 0])], 1);
    check(&[(1, [3, 1]), (2, [4, 0])], 1);
}
