//! WebSockets to providers that carry one call at a time, beside the one that all calls of a shard share.
//!
//! What one call does to a shared connection happens to all the others on it: it may end it. Over HTTP such a call has a
//! connection to itself; where a provider has no HTTP it gets one here. So go calls that must not be repeated (whoever else
//! made the connection end would leave their outcome unknown), and calls that were lost with the shared one once. One is kept
//! for a moment after an answer, as long as a pooled HTTP/1.1 connection counts as fresh, and closed behind a call that was
//! given up. They are an extra: there are few, and where a provider grants none more the shared one must do, with no word
//! against the provider.
//! Rejected: to let such calls wait until the shared one is empty (a call may take minutes), and a second shared one (poison
//! would share that).

use crate::base::ids::{Id, InstanceId};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::deadlines::Watch;
use crate::shard::link::{Link, Word};
use crate::shard::links::suspect;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// One shard's.
pub struct Asides<W: World> {
    /// By instance.
    places: Vec<Allowance>,
    /// Between two calls.
    idle: RefCell<Vec<Idle<W>>>,
}

#[derive(Default)]
struct Allowance {
    /// That carry a call or are being made for one.
    at_work: Cell<usize>,
    /// None was granted: not asked again before.
    rest_until: Cell<Instant>,
}

struct Idle<W: World> {
    link: Rc<Link<W>>,
    since: Instant,
}

/// Whether a call goes by itself.
pub fn goes_aside(rule: ConnectionRule) -> bool {
    rule != ConnectionRule::Pooled
}

impl<W: World> Asides<W> {
    pub fn new(instances: usize) -> Asides<W> {
        Asides { places: (0..instances).map(|_| Allowance::default()).collect(), idle: RefCell::default() }
    }

    /// To one instance, with those that are idle.
    pub fn count_to(&self, instance: InstanceId) -> usize {
        let idle = self.idle.borrow().iter().filter(|idle| idle.link.instance() == instance).count();
        idle + self.places.get(instance.index()).map_or(0, |allowance| allowance.at_work.get())
    }

    /// A connection to `instance` for one call alone, made by `by` if none is at hand; `None`: the shared one must do. May be
    /// dropped at any time.
    pub async fn take<'a>(
        &'a self,
        shard: &'a Shard<W>,
        watch: &Watch<W>,
        instance: InstanceId,
        rule: ConnectionRule,
        by: Instant,
    ) -> Option<Aside<'a, W>> {
        let allowance = self.places.get(instance.index()).filter(|_| !shard.is_control())?;
        // The last one is for calls that must not be repeated.
        let most = limits::LINK_ASIDES - usize::from(rule != ConnectionRule::RecentlyUsed);
        let now = shard.recent();
        if allowance.at_work.get() >= most {
            return None;
        }
        let at_work = AtWork::begin(&allowance.at_work);
        if rule != ConnectionRule::New
            && let Some(link) = self.take_idle(instance, now)
        {
            return Some(Aside { link, shard, is_free: Cell::new(false), _at_work: at_work });
        }
        // Those that are idle count too.
        if now < allowance.rest_until.get() || self.count_to(instance) > limits::LINK_ASIDES {
            return None;
        }
        let owner = shard.me.upgrade()?;
        let by = by.min(now.plus_ms(limits::LINK_ASIDE_OPEN_MS));
        let hearer = shard.me.clone();
        let hear = move |word| {
            if let (Word::Ended(ending), Some(shard)) = (word, hearer.upgrade())
                && ending.pending > 0
            {
                suspect(&shard, instance, ending);
            }
        };
        match watch.bound(Link::open(&owner, instance, by, hear)).await {
            Ok(Ok(link)) => Some(Aside { link, shard, is_free: Cell::new(false), _at_work: at_work }),
            Ok(Err(_)) => {
                allowance.rest_until.set(shard.now().plus_ms(limits::LINK_ASIDE_REST_MS));
                None
            }
            Err(_) => None,
        }
    }

    fn take_idle(&self, instance: InstanceId, now: Instant) -> Option<Rc<Link<W>>> {
        let mut idle = self.idle.borrow_mut();
        let is_fit = |idle: &Idle<W>| idle.link.instance() == instance && idle.link.is_open() && idle.is_fresh(now);
        let place = idle.iter().rposition(is_fit)?;
        Some(idle.swap_remove(place).link)
    }

    /// Closes what has been idle for too long.
    pub fn beat(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| {
            let is_kept = idle.is_fresh(now) && idle.link.is_open();
            if !is_kept {
                idle.link.close();
            }
            is_kept
        });
    }
}

impl<W: World> Idle<W> {
    fn is_fresh(&self, now: Instant) -> bool {
        now.since(self.since) < Duration::from_millis(limits::FRESH_IDLE_MS)
    }
}

struct AtWork<'a>(&'a Cell<usize>);

impl AtWork<'_> {
    fn begin(count: &Cell<usize>) -> AtWork<'_> {
        count.set(count.get() + 1);
        AtWork(count)
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// The connection of one call. Dropped, it waits for another one where the call was answered, and is closed where it was not.
pub struct Aside<'a, W: World> {
    link: Rc<Link<W>>,
    shard: &'a Shard<W>,
    is_free: Cell<bool>,
    _at_work: AtWork<'a>,
}

impl<W: World> Aside<'_, W> {
    pub fn link(&self) -> Rc<Link<W>> {
        self.link.clone()
    }

    /// Its call was answered.
    pub fn set_free(&self) {
        self.is_free.set(true);
    }
}

impl<W: World> Drop for Aside<'_, W> {
    fn drop(&mut self) {
        if self.is_free.get() && self.link.is_open() {
            let idle = Idle { link: self.link.clone(), since: self.shard.recent() };
            self.shard.asides.idle.borrow_mut().push(idle);
        } else {
            self.link.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_must_not_share_goes_by_itself() {
        let goes = [ConnectionRule::Pooled, ConnectionRule::RecentlyUsed, ConnectionRule::New].map(goes_aside);
        assert_eq!(goes, [false, true, true]);
    }
}
