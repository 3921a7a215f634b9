//! Calls that shards do for each other: what they write to one another, and the table of who waits for a result.
//!
//! A ticket is a place in the asking shard's table and a claim that both sides hold. The claim makes it the only one of its
//! kind, also after a shard began anew with the same places, and says for certain whether a call that was given up can have
//! been written: the keeper takes it just before it writes, the asker withdraws it when it gives up.
//! A result that finds nobody is dropped. Rejected: numbers as tickets (a shard that starts again would count from one).

use crate::base::ids::InstanceId;
use crate::base::limits;
use crate::route::exchange::{AttemptTime, ConnectionRule};
use crate::runtime::budget::Charge;
use crate::runtime::claim::Claim;
use crate::shard::dial::ConnectFault;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// From shard to shard.
pub enum Errand {
    /// To one that keeps a link.
    Ask(Ask),
    /// To the one that asked.
    Done { ticket: Ticket, result: Result<Brought, Unanswered> },
}

/// A call over the keeper's link to `instance`.
pub struct Ask {
    /// The shard that asks.
    pub from: usize,
    pub ticket: Ticket,
    pub instance: InstanceId,
    /// The JSON-RPC text without its id, which the keeper gives it.
    pub text: Vec<u8>,
    /// Where the id goes.
    pub id_at: usize,
    /// For a long text.
    pub charge: Option<Charge>,
    pub time: AttemptTime,
    pub rule: ConnectionRule,
}

/// The message that answers.
pub struct Brought {
    /// The id under which the call went out.
    pub id: u64,
    pub bytes: Vec<u8>,
    /// For a long one.
    pub charge: Option<Charge>,
}

/// Why a call over a link has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// Nothing of it was written to the provider.
    NotSent(ConnectFault),
    /// It was written, and the connection ended; `is_alone`: no other call was on it.
    Lost { is_alone: bool },
    /// The provider takes no text as long as this.
    TooLong,
    /// It may have been written, and no answer came in time. `is_hindered`: it may have waited where we could not read it.
    Late { is_hindered: bool },
    /// It was answered at greater length than may be held.
    TooLarge,
    /// It may have been written, and nobody waits for it.
    ClientGone,
}

#[derive(Clone, Debug)]
pub struct Ticket {
    place: usize,
    pub claim: Claim,
}

/// One shard's: what it waits for, and how much it does for others.
#[derive(Default)]
pub struct Errands {
    waiting: RefCell<Slab<Waiting>>,
    /// Turns among an instance's keepers.
    turn: Cell<usize>,
    running: Cell<usize>,
    /// Calls of other shards that were answered here.
    answered: Cell<u64>,
}

struct Waiting {
    claim: Claim,
    result: Option<Result<Brought, Unanswered>>,
    waker: Option<Waker>,
}

impl Errands {
    /// A place for one more result; `None` when there are too many.
    pub fn open(&self) -> Option<Awaited<'_>> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= limits::ERRANDS_OUT {
            return None;
        }
        let claim = Claim::default();
        let place = waiting.insert(Waiting { claim: claim.clone(), result: None, waker: None });
        Some(Awaited { all: self, ticket: Ticket { place, claim } })
    }

    /// Gives a call its result; false when nobody waits for it.
    pub fn bring(&self, ticket: &Ticket, result: Result<Brought, Unanswered>) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let Some(entry) = waiting.get_mut(ticket.place).filter(|entry| entry.claim.is_same(&ticket.claim)) else {
            return false;
        };
        entry.result = Some(result);
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
        true
    }

    pub fn next_turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    /// One more is done for another shard; false when there are too many.
    pub fn begin(&self) -> bool {
        let has_room = self.running.get() < limits::ERRANDS_RUNNING;
        self.running.set(self.running.get() + usize::from(has_room));
        has_room
    }

    pub fn note_answer(&self) {
        self.answered.set(self.answered.get() + 1);
    }

    pub fn answered(&self) -> u64 {
        self.answered.get()
    }

    pub fn end(&self) {
        self.running.set(self.running.get().saturating_sub(1));
    }
}

/// The asking side of a ticket. Dropped, it is forgotten, and not begun if it was not begun by then.
pub struct Awaited<'a> {
    all: &'a Errands,
    pub ticket: Ticket,
}

impl Awaited<'_> {
    pub async fn result(&self) -> Result<Brought, Unanswered> {
        poll_fn(|cx| match self.all.waiting.borrow_mut().get_mut(self.ticket.place) {
            Some(entry) => match entry.result.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    entry.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            },
            None => Poll::Ready(Err(Unanswered::Late { is_hindered: false })),
        })
        .await
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.ticket.claim.withdraw();
        self.all.waiting.borrow_mut().try_remove(self.ticket.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    fn brought(text: &str) -> Result<Brought, Unanswered> {
        Ok(Brought { id: 1, bytes: text.into(), charge: None })
    }

    fn look(awaited: &Awaited<'_>) -> Option<Result<Vec<u8>, Unanswered>> {
        match std::pin::pin!(awaited.result()).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => Some(result.map(|brought| brought.bytes)),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_result_finds_its_ticket_and_no_other() {
        let errands = Errands::default();
        let (a, b) = (errands.open().unwrap(), errands.open().unwrap());
        assert!(errands.bring(&b.ticket, brought("b")));
        assert_eq!((look(&a), look(&b)), (None, Some(Ok(b"b".to_vec()))));
        let old = a.ticket.clone();
        drop(a);
        let c = errands.open().unwrap();
        assert_eq!(c.ticket.place, old.place, "the place is used again");
        assert!(!errands.bring(&old, brought("late")), "and the old ticket finds nobody there");
        assert_eq!(look(&c), None);
        // A shard that began anew has the same places.
        let anew = Errands::default();
        let first = anew.open().unwrap();
        assert!(!anew.bring(&c.ticket, brought("of another life")) && look(&first).is_none());
        assert!(errands.bring(&c.ticket, Err(Unanswered::TooLarge)));
        assert_eq!(look(&c), Some(Err(Unanswered::TooLarge)));
    }

    #[test]
    fn what_is_forgotten_is_not_begun() {
        let errands = Errands::default();
        let [early, late] = [(), ()].map(|()| errands.open().unwrap());
        let [of_early, of_late] = [&early, &late].map(|awaited| awaited.ticket.clone());
        assert!(of_late.claim.take());
        drop((early, late));
        assert!(!of_early.claim.take() && !of_late.claim.withdraw());
    }

    #[test]
    fn there_are_bounds() {
        let errands = Errands::default();
        let mut all: Vec<Awaited<'_>> = (0..limits::ERRANDS_OUT).map(|_| errands.open().unwrap()).collect();
        assert!(errands.open().is_none());
        all.pop();
        assert!(errands.open().is_some());
        assert!((0..limits::ERRANDS_RUNNING).all(|_| errands.begin()) && !errands.begin());
        errands.end();
        assert!(errands.begin() && !errands.begin());
    }
}
