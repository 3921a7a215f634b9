//! The panic guard around every task of a shard.
//!
//! A panic inside a monoio task unwinds the whole runtime, so one bad connection would end its shard. `Caught` stops
//! the unwinding at the task, in its poll and in its drop, counts it under the task's name, and the shard goes on. It
//! adds no allocation: the future sits inside. Needs `panic = "unwind"`. Not covered: a panic in a `Drop` that runs
//! while another panic unwinds (Rust aborts), and the future given to `run`, which therefore stays trivial.

use std::{
    cell::RefCell,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// How often tasks panicked on this shard, by the name they were spawned under.
#[derive(Default)]
pub struct Panics(RefCell<Vec<(&'static str, u64)>>);

impl Panics {
    fn count(&self, name: &'static str) {
        let mut counts = self.0.borrow_mut();
        match counts.iter_mut().find(|(known, _)| *known == name) {
            Some((_, n)) => *n += 1,
            None => counts.push((name, 1)),
        }
    }

    /// Counts by name, in the order in which the names first panicked.
    pub fn by_name(&self) -> Vec<(&'static str, u64)> {
        self.0.borrow().clone()
    }

    pub fn total(&self) -> u64 {
        self.0.borrow().iter().map(|(_, n)| n).sum()
    }
}

/// A task whose panics end it and nothing else.
pub struct Caught<F> {
    task: Option<F>,
    name: &'static str,
    panics: Rc<Panics>,
}

impl<F> Caught<F> {
    pub fn new(name: &'static str, task: F, panics: Rc<Panics>) -> Caught<F> {
        Caught { task: Some(task), name, panics }
    }

    /// Drops the task where it stands; a panic in that drop is counted too.
    fn end(&mut self) {
        // An assignment that panics in the old value's drop has still stored `None`: nothing is dropped twice.
        if catch_unwind(AssertUnwindSafe(|| self.task = None)).is_err() {
            self.panics.count(self.name);
        }
    }
}

impl<F: Future<Output = ()>> Future for Caught<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `task` is the only field that needs pinning; it is polled in place below and never moved out, only
        // dropped in place by `end`.
        let this = unsafe { self.get_unchecked_mut() };
        let Some(task) = this.task.as_mut() else { return Poll::Ready(()) };
        // SAFETY: `task` lives inside the pinned `this` and stays there until it is dropped (see above).
        let task = unsafe { Pin::new_unchecked(task) };
        match catch_unwind(AssertUnwindSafe(|| task.poll(cx))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(())) => {}
            Err(_) => this.panics.count(this.name),
        }
        this.end();
        Poll::Ready(())
    }
}

impl<F> Drop for Caught<F> {
    fn drop(&mut self) {
        if self.task.is_some() {
            self.end();
        }
    }
}

/// Something foreign that may panic: each use of it, and its drop, is guarded. After a panic it answers nothing more.
pub struct Guarded<T>(Option<T>);

impl<T> Guarded<T> {
    pub fn new(inner: T) -> Guarded<T> {
        Guarded(Some(inner))
    }

    /// `None` after a panic, this one or an earlier one.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let inner = self.0.as_mut()?;
        let done = catch_unwind(AssertUnwindSafe(|| f(inner))).ok();
        if done.is_none() {
            self.end();
        }
        done
    }

    fn end(&mut self) {
        // What is left of it may panic once more on its way out.
        let _ = catch_unwind(AssertUnwindSafe(|| self.0 = None));
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    #[test]
    fn a_panic_in_poll_or_drop_is_counted_once_under_its_name() {
        let panics = Rc::new(Panics::default());
        let poll_to_end = |name, task: Pin<Box<dyn Future<Output = ()>>>| {
            let mut caught = std::pin::pin!(Caught::new(name, task, panics.clone()));
            let mut cx = Context::from_waker(Waker::noop());
            assert_eq!(caught.as_mut().poll(&mut cx), Poll::Ready(()));
            assert_eq!(caught.as_mut().poll(&mut cx), Poll::Ready(()), "polled again after its end");
        };
        poll_to_end("calm", Box::pin(async {}));
        assert_eq!(panics.total(), 0);
        poll_to_end("poll", Box::pin(async { panic!("in poll") }));
        poll_to_end("poll", Box::pin(async { panic!("in poll") }));
        poll_to_end("local", Box::pin(async { drop(PanicsInDrop) }));
        let held = PanicsInDrop;
        drop(Caught::new("never polled", async move { drop(held) }, panics.clone()));
        assert_eq!(panics.by_name(), [("poll", 2), ("local", 1), ("never polled", 1)]);
    }

    #[test]
    fn a_guarded_thing_that_panicked_answers_nothing_more_and_drops_quietly() {
        let mut calm = Guarded::new(1);
        assert_eq!((calm.with(|n| *n + 1), calm.with(|n| *n + 1)), (Some(2), Some(2)));
        let mut guarded = Guarded::new(PanicsInDrop);
        assert_eq!(guarded.with(|_| 1), Some(1));
        assert_eq!(guarded.with(|_| -> u8 { panic!("foreign") }), None);
        assert_eq!(guarded.with(|_| 1), None);
        drop(Guarded::new(PanicsInDrop));
    }
}
