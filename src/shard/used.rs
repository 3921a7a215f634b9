//! Which grants to measure a provider again this shard has used.
//!
//! The aggregator never gives the same one twice, so a few recent ones are all there is to remember.

use crate::snapshot::Grant;
use std::cell::Cell;

/// Grants are numbered in order, so two that fall into one place are this many grants apart.
const GRANTS: usize = 1024;

pub struct Used {
    /// The last used grant of each place.
    grants: Box<[Cell<u32>]>,
}

impl Default for Used {
    fn default() -> Used {
        Used { grants: (0..GRANTS).map(|_| Cell::new(0)).collect() }
    }
}

impl Used {
    /// Uses a grant: once.
    pub fn take_grant(&self, grant: &Grant) -> bool {
        let place = self.grants.get(grant.id as usize % GRANTS);
        place.is_some_and(|place| place.replace(grant.id) != grant.id)
    }
}
