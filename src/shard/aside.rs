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
//! A client's connection may hold no more of them than it leaves free: one alone half of them, two a third each. Its further calls
//! wait for its own, and then join each other there, so a client whose calls all break connections breaks those of its other
//! calls, and somebody else's always finds one.
//! Rejected: to let such calls wait until the shared one is empty (a call may take minutes), and a second shared one (poison
//! would share that).

use crate::base::ids::{Id, InstanceId};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::route::exchange::ConnectionRule;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::deadlines::Watch;
use crate::shard::dial::ConnectFault;
use crate::shard::link::{Link, Word};
use crate::shard::links::suspect;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One shard's.
pub struct Asides<W: World> {
    /// By instance.
    places: Vec<Allowance>,
    /// Between two calls.
    idle: RefCell<Vec<Idle<W>>>,
}

/// The client's connection that a call came on; `None`: it came from another shard.
type Holder = Option<usize>;

#[derive(Default)]
struct Allowance {
    /// For whom each is at work, or being made.
    holders: RefCell<Vec<Holder>>,
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
        idle + self.places.get(instance.index()).map_or(0, |allowance| allowance.at_work())
    }

    /// A connection to `instance` for one call alone, made by `by` if none is at hand; `None`: the shared one must do. An error
    /// where those of the same client leave no room. May be dropped at any time.
    pub async fn take<'a>(
        &'a self,
        shard: &'a Shard<W>,
        watch: &Watch<W>,
        instance: InstanceId,
        rule: ConnectionRule,
        by: Instant,
    ) -> Result<Option<Aside<'a, W>>, ConnectFault> {
        let Some(allowance) = self.places.get(instance.index()).filter(|_| !shard.is_control()) else { return Ok(None) };
        let wish = Wish { instance, allowance, holder: watch.patron_id(), is_unrepeatable: rule == ConnectionRule::RecentlyUsed };
        let room = match wish.begin() {
            Some(at_work) => Some(Room::Own(at_work)),
            // Boxed: a rare path whose state would sit in every call.
            None => Box::pin(wait_for_room(shard, watch, wish, by)).await?,
        };
        Ok(match room {
            Some(Room::Own(at_work)) => self.make(shard, watch, (instance, rule), at_work, by).await,
            Some(Room::Beside(link)) => Some(Aside::joining(link, shard)),
            None => None,
        })
    }

    /// One that is idle, or a new one.
    async fn make<'a>(
        &'a self,
        shard: &'a Shard<W>,
        watch: &Watch<W>,
        (instance, rule): (InstanceId, ConnectionRule),
        at_work: AtWork<'a>,
        by: Instant,
    ) -> Option<Aside<'a, W>> {
        let now = shard.recent();
        if rule != ConnectionRule::New
            && let Some(link) = self.take_idle(instance, now)
        {
            return Some(Aside::new(link, shard, rule, at_work));
        }
        if now < at_work.allowance.rest_until.get() {
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
                at_work.allowance.rest_until.set(shard.now().plus_ms(limits::LINK_ASIDE_REST_MS));
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

impl Allowance {
    fn at_work(&self) -> usize {
        self.holders.borrow().len()
    }

    fn held_by(&self, holder: Holder) -> usize {
        self.holders.borrow().iter().filter(|of| **of == holder).count()
    }

    fn give_back(&self, holder: Holder) {
        let mut holders = self.holders.borrow_mut();
        if let Some(place) = holders.iter().position(|of| *of == holder) {
            holders.swap_remove(place);
        }
        drop(holders);
        // All of them: one that has given up would not pass it on.
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }
}

/// What a call asks for.
#[derive(Clone, Copy)]
struct Wish<'a> {
    instance: InstanceId,
    allowance: &'a Allowance,
    holder: Holder,
    is_unrepeatable: bool,
}

impl<'a> Wish<'a> {
    /// `None` while there are so many.
    fn begin(self) -> Option<AtWork<'a>> {
        let Wish { allowance, holder, is_unrepeatable, .. } = self;
        // The last one is for calls that must not be repeated.
        let most = limits::LINK_ASIDES - usize::from(!is_unrepeatable);
        let left = most.saturating_sub(allowance.at_work());
        let is_granted = left > 0 && (is_unrepeatable || holder.is_none() || allowance.held_by(holder) < left);
        is_granted.then(|| {
            allowance.holders.borrow_mut().push(holder);
            AtWork { allowance, holder }
        })
    }

    /// Its client has some of them, so it waits for no others.
    fn is_among_its_own(self) -> bool {
        !self.is_unrepeatable && self.holder.is_some() && self.allowance.held_by(self.holder) > 0
    }
}

struct AtWork<'a> {
    allowance: &'a Allowance,
    holder: Holder,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.allowance.give_back(self.holder);
    }
}

/// Where a call goes when all are at work.
enum Room<'a, W: World> {
    /// One has come free.
    Own(AtWork<'a>),
    Beside(Rc<Link<W>>),
}

/// Until one that is at work comes free or may be joined.
async fn wait_for_room<'a, W: World>(
    shard: &Shard<W>,
    watch: &Watch<W>,
    wish: Wish<'a>,
    by: Instant,
) -> Result<Option<Room<'a, W>>, ConnectFault> {
    let links = &shard.links;
    let look = || match wish.begin() {
        Some(at_work) => Some(Room::Own(at_work)),
        None => {
            let holder = wish.is_among_its_own().then_some(wish.holder);
            links.to_join(wish.instance, holder, shard.recent()).map(Room::Beside)
        }
    };
    let wait = |look: &dyn Fn() -> Option<Room<'a, W>>, cx: &mut Context<'_>| match look() {
        Some(room) => Poll::Ready(room),
        None => {
            links.share_all(wish.instance);
            wish.allowance.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        }
    };
    // After that, whichever of them is still at work may be joined.
    watch.set_deadline(by.min(shard.now().plus_ms(limits::LINK_STALL_MS)));
    let freed = watch.bound(poll_fn(|cx| wait(&look, cx))).await;
    if !watch.revive(by, shard.now()) {
        watch.set_deadline(by);
    }
    if let Some(room) = freed.ok().or_else(look) {
        return Ok(Some(room));
    }
    // All of them have an answer under way, or stand still in one and are soon cut; the shared one would hardly do better.
    let own = || wish.is_among_its_own().then(|| links.least_busy_of(wish.instance, wish.holder)).flatten().map(Room::Beside);
    let look_again = || look().or_else(own);
    match watch.bound(poll_fn(|cx| wait(&look_again, cx))).await {
        Ok(room) => Ok(Some(room)),
        Err(_) if wish.is_among_its_own() => Err(ConnectFault::TooManyWaiting),
        Err(_) => Ok(None),
    }
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
        link.reserve(rule == ConnectionRule::RecentlyUsed, at_work.holder, shard.recent());
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
        if let Some(allowance) = allowance {
            allowance.give_back(self.link.reserved_for());
        }
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

    /// How many each of the clients gets that ask one after the other for as many as they can.
    fn granted(holders: &[Holder]) -> Vec<usize> {
        let allowance = Allowance::default();
        let grants = |holder: &Holder| {
            let wish = Wish { instance: InstanceId(0), allowance: &allowance, holder: *holder, is_unrepeatable: false };
            std::iter::from_fn(|| wish.begin()).map(std::mem::forget).count()
        };
        holders.iter().map(grants).collect()
    }

    #[test]
    fn whoever_comes_finds_one_whatever_another_client_holds() {
        assert_eq!(granted(&[Some(1), Some(2), Some(3), Some(4), Some(5)]), [8, 4, 2, 1, 0]);
        assert_eq!(granted(&[None]), [limits::LINK_ASIDES - 1], "another shard's calls are many clients'");
        assert_eq!(granted(&[Some(1), Some(1)]), [8, 0]);
    }

    #[test]
    fn what_must_not_be_repeated_takes_the_last_one() {
        let allowance = Allowance::default();
        let wish = Wish { instance: InstanceId(0), allowance: &allowance, holder: Some(1), is_unrepeatable: true };
        let all: Vec<AtWork<'_>> = std::iter::from_fn(|| wish.begin()).collect();
        assert_eq!((all.len(), allowance.held_by(Some(1))), (limits::LINK_ASIDES, limits::LINK_ASIDES));
        assert!(Wish { is_unrepeatable: false, ..wish }.begin().is_none() && !wish.is_among_its_own());
        drop(all);
        assert_eq!(allowance.at_work(), 0);
    }
}
