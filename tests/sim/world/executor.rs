//! A seeded run queue and a virtual clock. Which ready task runs next is a draw; the clock moves only when none is ready,
//! to the next event. One seed is one history, so a failure is a number.
//!
//! It also watches two laws that the types cannot say: a task's panic is recorded with the task's name, and a task that
//! keeps waking itself (on monoio it would starve its shard) ends the run.
//!
//! Nothing here is a scan: a step is a draw from a vector, a slab look-up, or the top of a heap.

use lasso::base::rng::Rng;
use slab::Slab;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Once};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// Polls without a move of the clock after which a run is a livelock.
const POLLS_PER_INSTANT: u64 = 1_000_000;
/// Polls in a row that end with the task having woken itself.
const SELF_WAKES: u32 = 1_000;

/// What happens when the clock reaches a moment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A timer's slot, and its generation so that a slot reused is not woken.
    Wake { slot: usize, generation: u64 },
    /// Segments on their way to one end of a connection have arrived.
    Deliver { connection: usize, generation: u64, to: usize },
    /// A datagram has arrived.
    Post { letter: usize },
}

/// Why a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Nothing is ready and nothing is planned.
    Idle,
    /// A task called `stop`.
    Stopped,
    /// The virtual deadline was reached.
    Deadline,
    /// The clock stood still for too many polls; a violation says who was polled.
    Livelock,
}

type Queue = Arc<Mutex<Vec<(usize, u64)>>>;

struct Waking {
    slot: usize,
    id: u64,
    queued: AtomicBool,
    queue: Queue,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            self.queue.lock().unwrap().push((self.slot, self.id));
        }
    }
}

struct Task {
    name: &'static str,
    future: Pin<Box<dyn Future<Output = ()>>>,
    waking: Arc<Waking>,
    waker: Waker,
    self_wakes: u32,
}

/// The whole machine is held up, as a virtual one is when its host is busy: the clock jumps, and everything is late at once.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stalls {
    /// Per million moves of the clock.
    pub ppm: u64,
    /// Below this, in ns.
    pub longest: u64,
    /// None from then on (ns).
    pub until: u64,
}

pub struct Executor {
    now: Cell<u64>,
    draw: RefCell<Rng>,
    /// `None` while the task is being polled.
    tasks: RefCell<Slab<(u64, Option<Task>)>>,
    next_id: Cell<u64>,
    ready: Queue,
    events: RefCell<BinaryHeap<Reverse<(u64, u64, Event)>>>,
    next_event: Cell<u64>,
    timers: RefCell<Slab<(u64, Option<Waker>)>>,
    pub stalls: Cell<Stalls>,
    /// The end and the length of each stall.
    stalled: RefCell<Vec<(u64, u64)>>,
    hash: Cell<u64>,
    polls: Cell<u64>,
    polls_here: Cell<u64>,
    tearing: Cell<bool>,
    stopped: Cell<bool>,
    violations: RefCell<Vec<String>>,
}

impl Executor {
    pub fn new(seed: u64) -> Executor {
        install_panic_note();
        Executor {
            now: Cell::new(0),
            draw: RefCell::new(Rng::new(seed).fork(1)),
            tasks: RefCell::default(),
            next_id: Cell::new(0),
            ready: Queue::default(),
            events: RefCell::default(),
            next_event: Cell::new(0),
            timers: RefCell::default(),
            stalls: Cell::default(),
            stalled: RefCell::default(),
            hash: Cell::new(seed),
            polls: Cell::new(0),
            polls_here: Cell::new(0),
            tearing: Cell::new(false),
            stopped: Cell::new(false),
            violations: RefCell::default(),
        }
    }

    /// Virtual nanoseconds.
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Folds a fact into the trace; two runs of one seed must agree on the result.
    pub fn mix(&self, fact: u64) {
        self.hash.set((self.hash.get() ^ fact).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(17));
    }

    pub fn hash(&self) -> u64 {
        self.hash.get()
    }

    pub fn polls(&self) -> u64 {
        self.polls.get()
    }

    pub fn is_tearing(&self) -> bool {
        self.tearing.get()
    }

    pub fn stop(&self) {
        self.stopped.set(true);
    }

    pub fn violation(&self, text: String) {
        self.violations.borrow_mut().push(format!("at {} us: {text}", self.now() / 1000));
    }

    pub fn take_violations(&self) -> Vec<String> {
        std::mem::take(&mut self.violations.borrow_mut())
    }

    pub fn live_tasks(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub fn spawn(&self, name: &'static str, future: impl Future<Output = ()> + 'static) {
        if self.tearing.get() {
            return;
        }
        let id = self.next_id.replace(self.next_id.get() + 1);
        let mut tasks = self.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let waking = Arc::new(Waking { slot: entry.key(), id, queued: AtomicBool::new(false), queue: self.ready.clone() });
        let waker = Waker::from(waking.clone());
        waker.wake_by_ref();
        entry.insert((id, Some(Task { name, future: Box::pin(future), waking, waker, self_wakes: 0 })));
    }

    /// Plans `event` for `at`; events of one moment happen in the order they were planned.
    pub fn plan(&self, at: u64, event: Event) {
        let seq = self.next_event.replace(self.next_event.get() + 1);
        self.events.borrow_mut().push(Reverse((at, seq, event)));
    }

    /// Runs until something in [`Ended`] happens. `deliver` carries out what the executor does not know: the network.
    pub fn run(&self, until: u64, mut deliver: impl FnMut(Event)) -> Ended {
        self.stopped.set(false);
        loop {
            while let Some((slot, id)) = self.pick() {
                if !self.poll(slot, id) {
                    return Ended::Livelock;
                }
                if self.stopped.get() {
                    return Ended::Stopped;
                }
            }
            let Some(at) = self.events.borrow().peek().map(|Reverse((at, ..))| *at) else { return Ended::Idle };
            if at > until {
                return Ended::Deadline;
            }
            if at > self.now.get() {
                self.now.set(at + self.stall(at));
                self.polls_here.set(0);
            }
            let now = self.now.get();
            loop {
                let next = self.events.borrow_mut().peek_mut().filter(|top| top.0.0 <= now).map(PeekMut::pop);
                match next {
                    Some(Reverse((_, _, Event::Wake { slot, generation }))) => self.fire(slot, generation),
                    Some(Reverse((_, _, event))) => deliver(event),
                    None => break,
                }
            }
        }
    }

    /// Drops every task, with the poison of abandoned reads switched off: the world ends, nobody abandons anything.
    pub fn tear_down(&self) {
        self.tearing.set(true);
        loop {
            let task = self.tasks.borrow_mut().drain().next();
            let Some((_, task)) = task else { break };
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
                self.violation(format!("a task panicked while it was dropped: {}", message(&panic)));
            }
        }
        self.events.borrow_mut().clear();
    }

    fn pick(&self) -> Option<(usize, u64)> {
        let mut queue = self.ready.lock().unwrap();
        let choices = queue.len() as u64;
        (choices > 0).then(|| queue.swap_remove(self.draw.borrow_mut().below(choices) as usize))
    }

    /// Polls one task; `false` when the run must end because time no longer passes.
    fn poll(&self, slot: usize, id: u64) -> bool {
        let Some(mut task) = self.tasks.borrow_mut().get_mut(slot).filter(|t| t.0 == id).and_then(|t| t.1.take()) else {
            return true;
        };
        self.polls.set(self.polls.get() + 1);
        self.polls_here.set(self.polls_here.get() + 1);
        self.mix(id ^ self.now.get());
        task.waking.queued.store(false, Relaxed);
        let polled = catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut Context::from_waker(&task.waker))));
        let name = task.name;
        match polled {
            Ok(Poll::Pending) => {
                let woke_itself = task.waking.queued.load(Relaxed);
                task.self_wakes = if woke_itself { task.self_wakes + 1 } else { 0 };
                let (self_wakes, here) = (task.self_wakes, self.polls_here.get());
                if let Some(entry) = self.tasks.borrow_mut().get_mut(slot) {
                    entry.1 = Some(task);
                }
                if self_wakes > SELF_WAKES {
                    self.violation(format!("task `{name}` woke itself {self_wakes} times in a row"));
                }
                if here > POLLS_PER_INSTANT {
                    self.violation(format!("{here} polls without a move of the clock; the last was of `{name}`"));
                }
                return self_wakes <= SELF_WAKES && here <= POLLS_PER_INSTANT;
            }
            Ok(Poll::Ready(())) => {}
            Err(panic) => {
                self.mix(0xDEAD);
                self.violation(format!("task `{name}` panicked: {}", message(&panic)));
            }
        }
        self.tasks.borrow_mut().try_remove(slot);
        // What the task held is released outside of any borrow: its streams close, its timers go.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
            self.violation(format!("task `{name}` panicked while it was dropped: {}", message(&panic)));
        }
        true
    }

    /// How late everybody wakes up for `at`, in ns.
    fn stall(&self, at: u64) -> u64 {
        let stalls = self.stalls.get();
        if at < stalls.until && stalls.ppm > 0 && self.draw.borrow_mut().chance(stalls.ppm) {
            let late = self.draw.borrow_mut().below(stalls.longest);
            self.stalled.borrow_mut().push((at + late, late));
            return late;
        }
        0
    }

    /// How long everybody was held up in all, since `from` (ns).
    pub fn stalled_since(&self, from: u64) -> Duration {
        let stalled = self.stalled.borrow();
        Duration::from_nanos(stalled.iter().rev().take_while(|(end, _)| *end >= from).map(|(_, late)| late).sum())
    }

    fn fire(&self, slot: usize, generation: u64) {
        let waker = self.timers.borrow_mut().get_mut(slot).filter(|t| t.0 == generation).and_then(|t| t.1.take());
        if let Some(waker) = waker {
            self.mix(slot as u64);
            waker.wake();
        }
    }
}

/// Waits for a moment. Dropping it forgets the timer.
pub struct Sleep<C: AsRef<Executor>> {
    pub world: Rc<C>,
    pub at: u64,
    pub slot: Option<usize>,
}

impl<C: AsRef<Executor>> Future for Sleep<C> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let executor = (*self.world).as_ref();
        if executor.now() >= self.at {
            return Poll::Ready(());
        }
        let mut timers = executor.timers.borrow_mut();
        if let Some(slot) = self.slot {
            timers[slot].1 = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let generation = executor.next_event.get();
        let slot = timers.insert((generation, Some(cx.waker().clone())));
        drop(timers);
        executor.plan(self.at, Event::Wake { slot, generation });
        self.slot = Some(slot);
        Poll::Pending
    }
}

impl<C: AsRef<Executor>> Drop for Sleep<C> {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            (*self.world).as_ref().timers.borrow_mut().try_remove(slot);
        }
    }
}

thread_local! {
    static WHERE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A task's panic is caught and reported with its place; printing it as well would only bury the seed.
fn install_panic_note() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
            WHERE.with(|w| *w.borrow_mut() = place);
            if std::env::var_os("SIM_LOG").is_some() {
                eprintln!("{info}\n{}", std::backtrace::Backtrace::force_capture());
            }
            if !IN_RUN.with(Cell::get) {
                print(info);
            }
        }));
    });
}

thread_local! {
    static IN_RUN: Cell<bool> = const { Cell::new(false) };
}

/// While `work` runs on this thread, panics are noted instead of printed; those that escape it are printed by whoever catches.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            IN_RUN.with(|flag| flag.set(false));
        }
    }
    IN_RUN.with(|flag| flag.set(true));
    let _loud = Loud;
    work()
}

fn message(panic: &Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    format!("{} ({})", text.unwrap_or_default(), WHERE.with(|w| w.borrow().clone()))
}
