//! Which one-time rights this shard has used: permits for half-open trials, and grants to measure a provider again.
//!
//! The aggregator never gives the same one twice, so a few recent ones are all there is to remember.

use crate::base::ids::{PermitId, SlotId};
use crate::base::time::Instant;
use crate::snapshot::{ChainPlan, Grant, Lease, Set, bit};
use std::cell::{Cell, RefCell};

/// Grants are numbered in order, so two that fall into one place are this many grants apart.
const GRANTS: usize = 1024;

pub struct Used {
    permits: RefCell<Vec<PermitId>>,
    /// The last used grant of each place.
    grants: Box<[Cell<u32>]>,
}

/// Permits are few; older ones have expired long before.
const PERMITS: usize = 256;

impl Default for Used {
    fn default() -> Used {
        Used { permits: RefCell::default(), grants: (0..GRANTS).map(|_| Cell::new(0)).collect() }
    }
}

impl Used {
    /// Half-open channels that a call of `shard` may be sent to.
    #[inline]
    pub fn permitted(&self, plan: &ChainPlan, shard: u16, now: Instant) -> Set {
        if plan.leases.is_empty() {
            return 0;
        }
        let mine = plan.leases.iter().filter(|lease| self.is_usable(lease, shard, now));
        mine.fold(0, |mask, lease| mask | bit(lease.slot))
    }

    fn is_usable(&self, lease: &Lease, shard: u16, now: Instant) -> bool {
        lease.shard == shard && now < lease.start_by && !self.permits.borrow().contains(&lease.permit)
    }

    /// Uses the permit for `slot`; `None` when another call of this shard did.
    pub fn take_permit(&self, plan: &ChainPlan, slot: SlotId, shard: u16, now: Instant) -> Option<PermitId> {
        let lease = plan.leases.iter().find(|lease| lease.slot == slot && self.is_usable(lease, shard, now))?;
        let mut permits = self.permits.borrow_mut();
        if permits.len() >= PERMITS {
            permits.remove(0);
        }
        permits.push(lease.permit);
        Some(lease.permit)
    }

    /// Uses a grant: once.
    pub fn take_grant(&self, grant: &Grant) -> bool {
        let place = self.grants.get(grant.id as usize % GRANTS);
        place.is_some_and(|place| place.replace(grant.id) != grant.id)
    }
}
