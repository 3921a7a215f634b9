//! What each client holds, over all shards: how many different things, so that nobody takes everybody's share.
//!
//! A client's connections land on any shard, and several of them may hold the same thing, which counts once. A hold is a
//! value that gives itself back, so a connection or a shard that ends in whatever way keeps nothing. It is taken and given
//! where subscriptions begin and end, not by calls, so a lock of few clients does. Rejected: a share for each shard (a client's
//! connections are not spread evenly), and counting without names (many connections to one thing would count as many).

use super::limiter::ClientKey;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

/// By client: what it holds, and how often.
type Shelf<T> = HashMap<ClientKey, HashMap<T, u32>>;

pub struct Holdings<T> {
    parts: Box<[Mutex<Shelf<T>>]>,
}

/// One hold of a client on a thing.
pub struct Hold<T: Eq + Hash> {
    all: Arc<Holdings<T>>,
    client: ClientKey,
    what: T,
}

impl<T: Eq + Hash + Clone> Holdings<T> {
    pub fn new(locks: usize) -> Arc<Holdings<T>> {
        Arc::new(Holdings { parts: (0..locks.max(1)).map(|_| Mutex::default()).collect() })
    }

    /// Nothing when the client would hold more than `most` different things.
    pub fn take(self: &Arc<Self>, client: ClientKey, what: &T, most: usize) -> Option<Hold<T>> {
        let mut shelf = self.part(client)?.lock();
        let held = shelf.entry(client).or_default();
        let count = held.len();
        match held.entry(what.clone()) {
            Entry::Occupied(mut place) => *place.get_mut() += 1,
            Entry::Vacant(place) if count < most => {
                place.insert(1);
            }
            Entry::Vacant(_) => return None,
        }
        drop(shelf);
        Some(Hold { all: self.clone(), client, what: what.clone() })
    }
}

impl<T> Holdings<T> {
    fn part(&self, client: ClientKey) -> Option<&Mutex<Shelf<T>>> {
        self.parts.get(client.spread(self.parts.len()))
    }
}

impl<T: Eq + Hash> Drop for Hold<T> {
    fn drop(&mut self) {
        let Some(part) = self.all.part(self.client) else { return };
        let mut shelf = part.lock();
        let Some(held) = shelf.get_mut(&self.client) else { return };
        if let Some(count) = held.get_mut(&self.what) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.what);
            }
        }
        if held.is_empty() {
            shelf.remove(&self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::limiter::Limiter;

    #[test]
    fn one_client_holds_so_many_different_things_and_each_as_often_as_it_likes() {
        let (all, limiter) = (Holdings::new(4), Limiter::new([1, 2]));
        let client = |n: u8| limiter.key(2, &[n]);
        let take = |n, what: u32| all.take(client(n), &what, 3);
        let mut held: Vec<_> = [1, 2, 3, 3, 3].map(|what| take(1, what)).into_iter().collect();
        assert!(held.iter().all(Option::is_some) && take(1, 4).is_none());
        assert!(take(2, 4).is_some(), "another one's share is its own");
        // What is held twice is still there.
        held.pop();
        assert!(take(1, 4).is_none());
        held.truncate(2);
        assert!(take(1, 4).is_some());
        held.clear();
        assert!(all.parts.iter().all(|part| part.lock().is_empty()), "nothing is kept of those who have gone");
    }

    #[test]
    fn threads_together_get_exactly_the_share() {
        let (all, client) = (Holdings::new(2), Limiter::new([3, 4]).key(2, b"one"));
        let took: usize = std::thread::scope(|scope| {
            let take = |first: u32| {
                let all = all.clone();
                scope.spawn(move || (first..first + 100).filter_map(|n| all.take(client, &n, 150)).collect::<Vec<_>>())
            };
            let threads: Vec<_> = [0, 100, 200].map(take).into_iter().collect();
            let held: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            held.iter().map(Vec::len).sum()
        });
        assert_eq!(took, 150);
    }
}
