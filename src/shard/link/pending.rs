//! Calls of one WebSocket that wait for their answer, by an id of ours.
//!
//! An id is a serial number and a place: an answer that comes after its call was forgotten finds another serial in the place,
//! or nobody, and is dropped. Each call knows when its frame was handed to the kernel: before that nothing of it can have
//! reached the provider, and the provider's time has not begun.

use crate::base::limits;
use crate::base::time::Instant;
use crate::runtime::budget::Permit;
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// A whole message, and its charge when it is long.
pub struct Message {
    pub bytes: Vec<u8>,
    pub permit: Option<Permit>,
}

/// Why a call got no answer on its connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallFault {
    /// Nothing of it was written: the connection ended before, or takes no more calls.
    NotSent,
    /// It was written, and the connection ended.
    Lost,
    /// It may have been written, and no answer came in time.
    Late,
    /// Its answer was longer than a message may be, and was skipped.
    TooLarge,
}

#[derive(Default)]
pub struct Pending {
    waiting: RefCell<Slab<Waiting>>,
    next_serial: Cell<u64>,
    has_answered: Cell<bool>,
}

struct Waiting {
    serial: u64,
    written_at: Option<Instant>,
    answer: Option<Result<Message, CallFault>>,
    waker: Option<Waker>,
}

const PLACE_BITS: u32 = 8;
/// Ids of the node's own questions begin at 2^48, so that whoever reads a provider's log can tell them from calls.
const OWN_SERIAL: u64 = 1 << 40;

impl Pending {
    /// `is_own`: for the node's own questions.
    pub fn new(is_own: bool) -> Pending {
        Pending { next_serial: Cell::new(if is_own { OWN_SERIAL } else { 0 }), ..Pending::default() }
    }

    /// An id for one more call; `None` when there are too many.
    pub fn insert(&self) -> Option<u64> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= limits::LINK_PENDING {
            return None;
        }
        let serial = self.next_serial.get();
        self.next_serial.set(serial + 1);
        let place = waiting.insert(Waiting { serial, written_at: None, answer: None, waker: None });
        Some(serial << PLACE_BITS | place as u64)
    }

    /// Calls that wait, or have not taken their answer yet.
    pub fn len(&self) -> usize {
        self.waiting.borrow().len()
    }

    fn with<R>(&self, id: u64, f: impl FnOnce(&mut Waiting) -> R) -> Option<R> {
        let mut waiting = self.waiting.borrow_mut();
        let entry = waiting.get_mut((id & ((1 << PLACE_BITS) - 1)) as usize)?;
        (entry.serial == id >> PLACE_BITS).then(|| f(entry))
    }

    /// True when it had not been written.
    pub fn forget(&self, id: u64) -> bool {
        let was_unwritten = self.with(id, |entry| entry.written_at.is_none());
        if was_unwritten.is_some() {
            self.waiting.borrow_mut().try_remove((id & ((1 << PLACE_BITS) - 1)) as usize);
        }
        was_unwritten.unwrap_or(false)
    }

    /// Gives a call its answer; false when nobody waits for it.
    pub fn answer(&self, id: u64, message: Message) -> bool {
        self.has_answered.set(true);
        self.settle(id, Ok(message))
    }

    /// Whether any was.
    pub fn has_answered(&self) -> bool {
        self.has_answered.get()
    }

    /// The same for one that is skipped.
    pub fn too_large(&self, id: u64) -> bool {
        self.settle(id, Err(CallFault::TooLarge))
    }

    fn settle(&self, id: u64, answer: Result<Message, CallFault>) -> bool {
        let is_taken = self.with(id, |entry| {
            if entry.answer.is_some() {
                return false;
            }
            entry.answer = Some(answer);
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
            true
        });
        is_taken.unwrap_or(false)
    }

    /// Its frame is handed to the kernel.
    pub fn on_write(&self, id: u64, now: Instant) {
        self.with(id, |entry| entry.written_at = Some(now));
    }

    /// When that was.
    pub fn written_at(&self, id: u64) -> Option<Instant> {
        self.with(id, |entry| entry.written_at).flatten()
    }

    /// The connection ended: tells everyone who waits, and how many they were.
    pub fn end(&self) -> usize {
        let mut count = 0;
        for (_, entry) in self.waiting.borrow_mut().iter_mut().filter(|(_, entry)| entry.answer.is_none()) {
            count += 1;
            entry.answer = Some(Err(if entry.written_at.is_some() { CallFault::Lost } else { CallFault::NotSent }));
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
        count
    }

    /// Waits for the answer to `id`. May be dropped at any time.
    pub async fn wait(&self, id: u64) -> Result<Message, CallFault> {
        poll_fn(|cx| {
            let polled = self.with(id, |entry| match entry.answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    entry.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            });
            polled.unwrap_or(Poll::Ready(Err(CallFault::Late)))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Context;

    fn message(bytes: &[u8]) -> Message {
        Message { bytes: bytes.to_vec(), permit: None }
    }

    fn look(pending: &Pending, id: u64) -> Option<Result<Vec<u8>, CallFault>> {
        match std::pin::pin!(pending.wait(id)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(got) => Some(got.map(|message| message.bytes)),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_answer_finds_its_call_and_no_other() {
        let pending = Pending::default();
        let (a, b) = (pending.insert().unwrap(), pending.insert().unwrap());
        assert_eq!(look(&pending, a), None);
        assert!(pending.answer(b, message(b"b")) && !pending.answer(b, message(b"again")));
        assert_eq!((look(&pending, a), look(&pending, b)), (None, Some(Ok(b"b".to_vec()))));
        pending.forget(a);
        let c = pending.insert().unwrap();
        assert_eq!(c & 255, a & 255, "the place is used again");
        assert!(!pending.answer(a, message(b"late")), "and the old id finds nobody there");
        assert!(!pending.answer(77 << PLACE_BITS, message(b"never asked")) && !pending.answer(200, message(b"nor that")));
        pending.forget(a);
        let waiting = pending.waiting.borrow().len();
        assert_eq!((waiting, look(&pending, c)), (2, None));
    }

    #[test]
    fn an_end_tells_who_was_written() {
        let pending = Pending::default();
        let [a, b] = [(), ()].map(|()| pending.insert().unwrap());
        [a, b].iter().for_each(|id| pending.on_write(*id, Instant::ZERO.plus_ms(7)));
        let c = pending.insert().unwrap();
        assert!(pending.answer(b, message(b"x")));
        assert_eq!(pending.end(), 2);
        assert_eq!(look(&pending, a), Some(Err(CallFault::Lost)));
        assert_eq!(look(&pending, b), Some(Ok(b"x".to_vec())));
        assert_eq!(look(&pending, c), Some(Err(CallFault::NotSent)));
        assert_eq!((pending.written_at(a), pending.written_at(c)), (Some(Instant::ZERO.plus_ms(7)), None));
        assert_eq!([a, c, c].map(|id| pending.forget(id)), [false, true, false]);
    }

    #[test]
    fn own_questions_have_ids_of_their_own_and_all_are_exact_in_a_double() {
        let (calls, own) = (Pending::default(), Pending::new(true));
        assert!(calls.insert().is_some_and(|id| id < 1 << 48));
        assert!(own.insert().is_some_and(|id| (1 << 48..1 << 52).contains(&id)));
    }

    #[test]
    fn there_is_a_bound() {
        let pending = Pending::default();
        let ids: Vec<u64> = (0..limits::LINK_PENDING).map(|_| pending.insert().unwrap()).collect();
        assert_eq!(pending.insert(), None);
        pending.forget(ids[3]);
        assert!(pending.insert().is_some());
    }
}
