//! How many client connections the node may have: one count for the process, changed once in a connection's life and by no
//! call, so one atomic operation is cheap enough and the bound holds whatever shard the kernel gives a client to.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The bound; clones are the same one.
#[derive(Clone)]
pub struct Admissions(Arc<Door>);

struct Door {
    limit: u64,
    inside: AtomicU64,
}

/// The right of one connection to be there; dropping it gives the right back.
pub struct Admission(Arc<Door>);

impl Admissions {
    pub fn new(limit: u64) -> Admissions {
        Admissions(Arc::new(Door { limit, inside: AtomicU64::new(0) }))
    }

    /// `None`: there are as many as there may be.
    pub fn admit(&self) -> Option<Admission> {
        let one_more = |inside: u64| Some(inside + 1).filter(|inside| *inside <= self.0.limit);
        self.0.inside.try_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok()?;
        Some(Admission(self.0.clone()))
    }

    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_together_never_exceed_the_bound_and_what_leaves_makes_room() {
        let all = Admissions::new(100);
        let threads = (0..4).map(|_| {
            let all = all.clone();
            std::thread::spawn(move || (0..60).filter_map(|_| all.admit()).collect::<Vec<_>>())
        });
        let mut inside: Vec<Admission> = threads.collect::<Vec<_>>().into_iter().flat_map(|t| t.join().unwrap()).collect();
        assert_eq!(inside.len(), 100);
        assert!(all.admit().is_none());
        inside.truncate(98);
        assert_eq!((0..5).map_while(|_| all.admit()).collect::<Vec<_>>().len(), 2);
    }
}
