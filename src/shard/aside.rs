//! WebSockets to providers that carry one call at a time, beside the one that all calls of a shard share.
//!
//! What one call does to a shared connection happens to all the others on it: it may end it. Over HTTP such a call has a
//! connection to itself; where a provider has no HTTP it gets one here. So go calls that must not be repeated (whoever else
//! made the connection end would leave their outcome unknown), and calls that were lost with the shared one once. One is kept
//! for a moment after an answer, as long as a pooled HTTP/1.1 connection counts as fresh, and closed behind a call that was
//! given up. They are an extra: there are few, and where a provider grants none more the shared one must do, with no word
//! against the provider. While all of them are at work the next call waits a moment for one to come free, and then joins one whose
//! call has been waiting for so long that it will hardly end it any more: over the shared one it would soon be lost again, with
//! those that it was lost with.
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
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

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
    /// Calls that wait for one to come free.
    waiting: RefCell<Vec<Waker>>,
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
        let room = match AtWork::begin(allowance, most) {
            Some(at_work) => Room::Own(at_work),
            // Boxed: a rare path whose state would sit in every call.
            None => Box::pin(wait_for_room(shard, watch, instance, (allowance, most), by)).await?,
        };
        let at_work = match room {
            Room::Own(at_work) => at_work,
            Room::Beside(link) => return Some(Aside::joining(link, shard)),
        };
        let now = shard.recent();
        if rule != ConnectionRule::New
            && let Some(link) = self.take_idle(instance, now)
        {
            return Some(Aside::new(link, shard, rule, at_work));
        }
        if now < allowance.rest_until.get() {
            return None;
        }
        // Those that are idle count too, and give way to a new one.
        if self.count_to(instance) > limits::LINK_ASIDES {
            self.close_idle(instance);
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
            Ok(Ok(link)) => Some(Aside::new(link, shard, rule, at_work)),
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

    /// Closes the one that has been idle for longest.
    fn close_idle(&self, instance: InstanceId) {
        let mut idle = self.idle.borrow_mut();
        let places = idle.iter().enumerate().filter(|(_, idle)| idle.link.instance() == instance);
        let oldest = places.min_by_key(|(_, idle)| idle.since).map(|(place, _)| place);
        if let Some(place) = oldest {
            idle.swap_remove(place).link.close();
        }
    }

    /// A link is gone.
    pub(super) fn forget(&self, link: &Rc<Link<W>>) {
        self.idle.borrow_mut().retain(|idle| !Rc::ptr_eq(&idle.link, link));
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

struct AtWork<'a>(&'a Allowance);

impl AtWork<'_> {
    /// `None` while there are so many.
    fn begin(allowance: &Allowance, most: usize) -> Option<AtWork<'_>> {
        let count = allowance.at_work.get();
        (count < most).then(|| {
            allowance.at_work.set(count + 1);
            AtWork(allowance)
        })
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.at_work.set(self.0.at_work.get().saturating_sub(1));
        // All of them: one that has given up would not pass it on.
        self.0.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// Where a call goes when all are at work.
enum Room<'a, W: World> {
    /// One has come free.
    Own(AtWork<'a>),
    Beside(Rc<Link<W>>),
}

/// Until one that is at work comes free or may be joined, for a while.
async fn wait_for_room<'a, W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    instance: InstanceId,
    (allowance, most): (&'a Allowance, usize),
    by: Instant,
) -> Option<Room<'a, W>> {
    let look = || match AtWork::begin(allowance, most) {
        Some(at_work) => Some(Room::Own(at_work)),
        None => shard.links.to_join(instance, shard.recent()).map(Room::Beside),
    };
    // After that, whichever of them is still at work may be joined.
    watch.set_deadline(by.min(shard.now().plus_ms(limits::LINK_STALL_MS)));
    let freed = poll_fn(|cx| match look() {
        Some(room) => Poll::Ready(room),
        None => {
            shard.links.share_all(instance);
            allowance.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        }
    });
    let freed = watch.bound(freed).await;
    if !watch.revive(by, shard.now()) {
        watch.set_deadline(by);
    }
    freed.ok().or_else(look)
}

/// The connection of one call. Dropped, it waits for another one where the call was answered, and is closed where it was not, or
/// where another one had joined it; whoever is the last on it gives its place back.
pub struct Aside<'a, W: World> {
    link: Rc<Link<W>>,
    shard: &'a Shard<W>,
    is_free: Cell<bool>,
}

impl<'a, W: World> Aside<'a, W> {
    fn new(link: Rc<Link<W>>, shard: &'a Shard<W>, rule: ConnectionRule, at_work: AtWork<'a>) -> Aside<'a, W> {
        link.reserve(rule == ConnectionRule::RecentlyUsed, shard.recent());
        // Its place is the connection's now.
        std::mem::forget(at_work);
        Aside { link, shard, is_free: Cell::new(false) }
    }

    fn joining(link: Rc<Link<W>>, shard: &'a Shard<W>) -> Aside<'a, W> {
        link.join();
        Aside { link, shard, is_free: Cell::new(false) }
    }

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
        if self.link.calls() > 0 {
            return;
        }
        let allowance = self.shard.asides.places.get(self.link.instance().index());
        drop(allowance.map(AtWork));
        if self.is_free.get() && self.link.is_open() && !self.link.was_joined() {
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
