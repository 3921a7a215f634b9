//! Questions to the thread that knows, and its answers: a bounded queue there, a slot of its own for each answer.
//!
//! For people's questions only. The asking shard looks at its slot every few milliseconds: it must not wait for another
//! thread, and a bell for each shard is not worth a question a second. A question whose asker went away is answered
//! into a slot that nobody reads; a full desk refuses.

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;
use std::sync::Arc;

pub struct Desk<Q, A>(ArrayQueue<(Q, Reply<A>)>);

/// Where the answer goes.
pub struct Reply<A>(Arc<Mutex<Option<A>>>);

/// Where it is looked for.
pub struct Ticket<A>(Arc<Mutex<Option<A>>>);

impl<Q, A> Desk<Q, A> {
    pub fn new(capacity: usize) -> Arc<Desk<Q, A>> {
        Arc::new(Desk(ArrayQueue::new(capacity.max(1))))
    }

    /// `None` when too many wait.
    pub fn ask(&self, question: Q) -> Option<Ticket<A>> {
        let slot = Arc::new(Mutex::new(None));
        self.0.push((question, Reply(slot.clone()))).ok()?;
        Some(Ticket(slot))
    }

    pub fn next(&self) -> Option<(Q, Reply<A>)> {
        self.0.pop()
    }
}

impl<A> Reply<A> {
    pub fn give(self, answer: A) {
        *self.0.lock() = Some(answer);
    }
}

impl<A> Ticket<A> {
    /// The answer, once it is there.
    pub fn take(&self) -> Option<A> {
        self.0.lock().take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reaches_its_own_asker() {
        let desk: Arc<Desk<u32, String>> = Desk::new(2);
        let (one, two) = (desk.ask(1).unwrap(), desk.ask(2).unwrap());
        assert!(desk.ask(3).is_none(), "the desk is full");
        assert!(one.take().is_none());
        let there = desk.clone();
        std::thread::spawn(move || {
            while let Some((question, reply)) = there.next() {
                reply.give(format!("to {question}"));
            }
        })
        .join()
        .unwrap();
        assert_eq!((two.take().as_deref(), one.take().as_deref()), (Some("to 2"), Some("to 1")));
        assert!(two.take().is_none() && desk.next().is_none());
    }
}
