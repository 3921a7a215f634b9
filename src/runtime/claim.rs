//! Whether something handed to another thread is done there, or was taken back before: decided once, by whoever comes first.
//!
//! Who gives up after taking it back knows that it was never begun; without this, giving up could only mean "perhaps".

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Clones are the same claim.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicU8>);

impl Claim {
    /// About to begin; false when it was withdrawn, or taken already.
    pub fn take(&self) -> bool {
        self.settle(TAKEN)
    }

    /// Takes it back; false when it was begun, or withdrawn already.
    pub fn withdraw(&self) -> bool {
        self.settle(WITHDRAWN)
    }

    fn settle(&self, to: u8) -> bool {
        self.0.compare_exchange(OPEN, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    pub fn is_same(&self, other: &Claim) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_two_threads_has_it() {
        for _ in 0..200 {
            let claim = Claim::default();
            let (taken, withdrawn) = std::thread::scope(|scope| {
                let taken = scope.spawn(|| claim.take());
                let withdrawn = scope.spawn(|| claim.withdraw());
                (taken.join().unwrap(), withdrawn.join().unwrap())
            });
            assert!(taken != withdrawn);
            assert!(!claim.take() && !claim.withdraw(), "and it stays so");
        }
        let claim = Claim::default();
        assert!(claim.is_same(&claim.clone()) && !claim.is_same(&Claim::default()));
    }
}
