//! What a shard counts, readable from other threads while it counts.
//!
//! One writer, so a count is a plain load and store: no locked instruction on a call's path. Readers may see a count
//! that is a moment old. Each shard's counts are an allocation of their own, so no two shards write one cache line.

use crate::base::ids::{Id, InstanceId};
use crate::observe::shortage::{Shortage, Shortages};
use std::sync::atomic::{AtomicU64, Ordering};

/// A count with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Totals since the shard began.
#[derive(Debug, Default)]
pub struct Counters {
    /// JSON-RPC calls accepted, batch items each.
    pub calls: Count,
    /// Replies with a provider's result or error, or answered here.
    pub replies: Count,
    /// Refusals of our own after trying.
    pub refusals: Count,
    /// Calls refused by the client limit.
    pub limited: Count,
    /// Attempts after the first of a call.
    pub failovers: Count,
    /// Answers whose client connection was ended because the provider's answer broke while it was passed on.
    pub truncated: Count,
    /// Messages on providers' WebSockets that answer nothing that is waited for.
    pub strays: Count,
    /// Client connections taken.
    pub connections: Count,
    /// Subscription events put into clients' queues.
    pub events: Count,
    /// Clients closed because they did not take their events.
    pub slow_consumers: Count,
    /// Panics of connection tasks are counted by the runtime; these are answers that no rule knew.
    pub unknown_outcomes: Count,
    /// What was lacking, and how often.
    shortages: [Count; Shortage::ALL.len()],
    /// Attempts, and failed ones, for each instance.
    instances: Vec<(Count, Count)>,
}

impl Counters {
    pub fn new(instances: usize) -> Counters {
        Counters { instances: (0..instances).map(|_| Default::default()).collect(), ..Counters::default() }
    }

    pub fn attempt(&self, instance: InstanceId, failed: bool) {
        if let Some((attempts, failures)) = self.instances.get(instance.index()) {
            attempts.add(1);
            failures.add(u64::from(failed));
        }
    }

    pub fn lack(&self, shortage: Shortage) {
        self.shortages.get(shortage.index()).into_iter().for_each(|count| count.add(1));
    }

    pub fn shortages(&self) -> Shortages {
        std::array::from_fn(|index| self.shortages.get(index).map_or(0, Count::get))
    }

    /// Attempts and failed attempts on an instance.
    pub fn of_instance(&self, instance: InstanceId) -> (u64, u64) {
        self.instances.get(instance.index()).map_or((0, 0), |(a, f)| (a.get(), f.get()))
    }
}
