//! What the story of subscriptions owes to providers: one subscription of a kind at a time, and one question for each block's
//! logs, with a second opinion where the first answer may lack some.

use super::worse::ROUTES;
use crate::world::Sim;
use lasso::base::limits;
use lasso::demo::identity::{Hash, Kind};
use lasso::demo::journal::{self, Attached, Journal, Received};
use lasso::demo::params::Params;
use lasso::demo::rpc::Network;
use lasso::runtime::world::{Instant, World};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// A provider may have two subscriptions of a kind for so long, because it does not know yet that one is dead.
const DEAD_MS: u64 = 40_000;
/// Questions for a block's logs where every provider is well, each time that it becomes canonical: one, and a second opinion.
const OPINIONS: u64 = 2;

/// A provider's name and a subscription's key.
type Kept = (String, String);

/// What providers see: subscriptions, each with its connection and when it began.
pub struct Watch {
    sim: Sim,
    /// Questions for the logs of a block.
    asked: RefCell<BTreeMap<Hash, u64>>,
    open: RefCell<BTreeMap<Kept, Vec<(u64, Instant)>>>,
}

impl Journal for Watch {
    fn received(&self, call: &Received<'_>) {
        self.sim.say(|| {
            let params = String::from_utf8_lossy(call.params).into_owned();
            format!("{} gets {} {params} on connection {} ({:?})", call.provider, call.method, call.connection, call.fault)
        });
        if call.method == "eth_getLogs"
            && call.fault.is_none()
            && let Some(block) = block_asked_for(call.params)
        {
            *self.asked.borrow_mut().entry(block).or_default() += 1;
        }
    }

    fn ended(&self, _: &journal::Ended<'_>) {}

    fn attached(&self, what: &Attached<'_>) {
        self.sim.say(|| format!("{what:?}"));
        let Some(key) = what.key else { return };
        let mut open = self.open.borrow_mut();
        let all = open.entry((what.provider.to_owned(), key.to_owned())).or_default();
        if what.is_open {
            all.push((what.connection, self.sim.now()));
        } else if let Some(place) = all.iter().position(|(connection, _)| *connection == what.connection) {
            all.remove(place);
        }
    }
}

impl Watch {
    pub fn new(sim: Sim) -> Watch {
        Watch { sim, asked: RefCell::default(), open: RefCell::default() }
    }

    /// Nobody is asked more than is needed, where nobody fails. Whoever resumes asks for itself what it missed; what it is to
    /// take back is asked for some times where nobody has it, by its own machine and once more by the shared one. What is on the
    /// branch `lone` was never canonical.
    pub fn judge_questions(&self, network: &Network, resumed: u64, lone: u32) {
        let for_resumed = resumed * (OPINIONS + 2 * 2 * u64::from(limits::FILL_TRIES));
        for (block, count) in self.asked.borrow().iter() {
            let Some(name) = network.chain.name(block).filter(|name| name.kind == Kind::Block && name.branch != lone) else {
                continue;
            };
            let visits = network.chain.forks.visits(name.branch, name.height, self.sim.now()) as u64;
            let most = visits * ROUTES * OPINIONS + for_resumed;
            if *count > most {
                self.sim.violation(format!("the logs of {name:?} were asked for {count} times, where {most} are enough"));
            }
        }
    }

    /// Two of a kind are one that is dead, or a fault of the node's. On one connection a provider that fails may keep one that it
    /// was asked to end, or made twice and tells nothing of: only one that is well has none of these.
    pub fn look(&self, is_calm: bool) {
        for ((provider, key), all) in self.open.borrow().iter() {
            let most_ms = if is_calm { 1_000 } else { DEAD_MS };
            let first = all.first().map(|(connection, _)| *connection);
            let others = all.iter().skip(1).filter(|(connection, _)| is_calm || Some(*connection) != first);
            let since = others.map(|(_, began)| *began).min();
            if since.is_some_and(|since| self.sim.now() >= since.plus_ms(most_ms)) {
                self.sim.violation(format!("{provider} has {} subscriptions to {key} for {most_ms} ms: {all:?}", all.len()));
            }
        }
    }

    /// At the end only the node's own heads are subscribed to. `is_kept`: connections of the time of faults live on, and perhaps
    /// on them a subscription to syncing that its provider made although it said no: it is told nothing, so nobody finds out.
    pub fn end(&self, is_kept: bool) {
        let is_judged = |key: &str| key != "newHeads" && !(is_kept && key == "syncing");
        for ((provider, key), all) in self.open.borrow().iter().filter(|((_, key), _)| is_judged(key)) {
            if !all.is_empty() {
                self.sim.violation(format!("{provider} still has a subscription to {key}: {all:?}"));
            }
        }
    }
}

fn block_asked_for(params: &[u8]) -> Option<Hash> {
    let filter: Value = serde_json::from_slice::<Vec<Value>>(params).ok()?.first()?.get("blockHash")?.clone();
    Params(&[filter]).hash(0).ok()
}
