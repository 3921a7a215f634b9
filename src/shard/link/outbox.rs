//! What waits to be written to a provider: frames in a row, masked when they were queued, handed to the kernel as one piece.
//! Long ones wait by themselves, and go out one at a time between the others: a transaction must not wait for megabytes that
//! somebody else queued before it. Where each call's frame stands is known until it is taken, so that a call which is given up
//! before is not written at all: whoever was told that nothing was sent may send it elsewhere.

use crate::base::limits;
use crate::health::ending::How;
use crate::runtime::bytes_io::{finish_writing, write_all_by_parts};
use crate::runtime::world::{Closer, World};
use crate::shard::bell::Bell;
use crate::shard::buffers::Size;
use crate::shard::link::{Link, WriteOf};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ops::Range;
use std::rc::Rc;

#[derive(Default)]
pub(super) struct Outbox {
    frames: RefCell<Vec<u8>>,
    /// The calls among these frames, by id, which rises, and where each one's frame ends and begins.
    calls: RefCell<Vec<(u64, Range<usize>)>>,
    long: RefCell<VecDeque<(u64, Vec<u8>)>>,
    long_bytes: Cell<usize>,
    /// The others went last.
    is_longs_turn: Cell<bool>,
    has_ended: Cell<bool>,
    filled: Bell,
}

impl Outbox {
    /// Room for one more call.
    pub fn has_room(&self) -> bool {
        !self.has_ended.get() && self.frames.borrow().len() + self.long_bytes.get() < limits::LINK_OUTBOX_BYTES
    }

    /// Adds frames with `write`, unless it has ended.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.has_ended.get() {
            write(&mut self.frames.borrow_mut());
            self.filled.ring();
        }
    }

    /// The same for the frame of one call.
    pub fn push_call(&self, id: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if self.has_ended.get() {
            return;
        }
        let start = self.frames.borrow().len();
        self.push(write);
        self.calls.borrow_mut().push((id, start..self.frames.borrow().len()));
    }

    /// The same for a long one.
    pub fn push_long(&self, id: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.has_ended.get() {
            let mut frame = Vec::new();
            write(&mut frame);
            self.long_bytes.set(self.long_bytes.get() + frame.len());
            self.long.borrow_mut().push_back((id, frame));
            self.filled.ring();
        }
    }

    /// A call that waits here is given up: it is not written.
    pub fn withdraw(&self, id: u64) {
        let mut calls = self.calls.borrow_mut();
        if let Ok(place) = calls.binary_search_by_key(&id, |(id, _)| *id) {
            let (_, range) = calls.remove(place);
            let bytes = range.len();
            calls.iter_mut().skip(place).for_each(|(_, later)| *later = later.start - bytes..later.end - bytes);
            self.frames.borrow_mut().drain(range);
        }
        let mut long = self.long.borrow_mut();
        if let Some(place) = long.iter().position(|(waiting, _)| *waiting == id)
            && let Some((_, frame)) = long.remove(place)
        {
            self.long_bytes.set(self.long_bytes.get().saturating_sub(frame.len()));
        }
    }

    fn take_long(&self) -> Option<(u64, Vec<u8>)> {
        let may = self.is_longs_turn.take() || self.frames.borrow().is_empty();
        let (id, frame) = if may { self.long.borrow_mut().pop_front() } else { None }?;
        self.long_bytes.set(self.long_bytes.get().saturating_sub(frame.len()));
        Some((id, frame))
    }

    /// Nothing more is taken; control frames are still written, and no call: each is told that it was not sent.
    pub fn end(&self) {
        self.has_ended.set(true);
        let mut frames = self.frames.borrow_mut();
        self.calls.take().into_iter().rev().for_each(|(_, range)| drop(frames.drain(range)));
        self.long.take();
        self.long_bytes.set(0);
        self.filled.ring();
    }

    /// What is here, in exchange for an empty buffer; nothing at the end. `on_write` is told of each call among it.
    async fn take(&self, mut empty: Vec<u8>, on_write: impl Fn(u64)) -> (bool, Vec<u8>) {
        loop {
            if let Some((id, frame)) = self.take_long() {
                on_write(id);
                return (true, frame);
            }
            if !self.frames.borrow().is_empty() {
                self.is_longs_turn.set(true);
                self.calls.borrow_mut().drain(..).for_each(|(id, _)| on_write(id));
                std::mem::swap(&mut empty, &mut self.frames.borrow_mut());
                return (true, empty);
            }
            if self.has_ended.get() {
                return (false, empty);
            }
            self.filled.heard().await;
        }
    }
}

/// Writes until the outbox has ended or the connection is gone.
pub(super) async fn write<W: World>(link: Rc<Link<W>>, mut to: WriteOf<W>) {
    let shard = link.shard.clone();
    loop {
        let on_write = |id| link.pending.on_write(id, shard.recent());
        let (is_more, frames) = link.outbox.take(shard.buffers.take(Size::Client), on_write).await;
        if !is_more {
            break;
        }
        link.begin_write(shard.recent());
        // A provider that goes on taking it has the time again, however long it is.
        let (result, frames) = write_all_by_parts(&mut to, frames, || link.begin_write(shard.recent())).await;
        link.end_write();
        shard.buffers.give(frames);
        if result.is_err() {
            link.end(How::Lost);
            break link.closer.close();
        }
    }
    // A provider that is gone already needs no end.
    let _ = finish_writing(&mut to).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn next(outbox: &Outbox) -> Option<Vec<u8>> {
        match std::pin::pin!(outbox.take(Vec::new(), |_| ())).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((is_more, frames)) => is_more.then_some(frames),
            Poll::Pending => None,
        }
    }

    #[test]
    fn long_frames_let_the_others_pass_and_are_not_starved() {
        let outbox = Outbox::default();
        let long = |id, text: &str| outbox.push_long(id, |frames| frames.extend_from_slice(text.as_bytes()));
        long(1, "long 1");
        long(2, "long 2");
        let push = |text: &str| outbox.push(|frames| frames.extend_from_slice(text.as_bytes()));
        push("a");
        push("b");
        assert_eq!(next(&outbox).as_deref(), Some(&b"ab"[..]));
        push("c");
        assert_eq!(next(&outbox).as_deref(), Some(&b"long 1"[..]));
        push("d");
        assert_eq!(next(&outbox).as_deref(), Some(&b"cd"[..]));
        assert_eq!(next(&outbox).as_deref(), Some(&b"long 2"[..]));
        assert_eq!((next(&outbox), outbox.long_bytes.get()), (None, 0));
        outbox.push_long(3, |frames| frames.resize(limits::LINK_OUTBOX_BYTES, 0));
        assert!(!outbox.has_room());
        outbox.withdraw(3);
        assert!(outbox.has_room());
    }

    #[test]
    fn a_call_that_is_given_up_before_it_was_taken_is_not_written() {
        let filled = || {
            let outbox = Outbox::default();
            let push = |frames: &mut Vec<u8>, text: &str| frames.extend_from_slice(text.as_bytes());
            outbox.push(|frames| push(frames, "ping "));
            [(1, "one "), (2, "two "), (3, "three ")]
                .iter()
                .for_each(|(id, text)| outbox.push_call(*id, |frames| push(frames, text)));
            outbox.push(|frames| push(frames, "pong "));
            outbox.push_call(4, |frames| push(frames, "four "));
            outbox
        };
        let after = |withdrawn: &[u64]| {
            let outbox = filled();
            withdrawn.iter().for_each(|id| outbox.withdraw(*id));
            String::from_utf8(next(&outbox).unwrap()).unwrap()
        };
        assert_eq!(after(&[]), "ping one two three pong four ");
        assert_eq!(after(&[2]), "ping one three pong four ");
        assert_eq!(after(&[1, 4, 2, 9, 1]), "ping three pong ");
        // At the end every call is told that it was not sent.
        let outbox = filled();
        outbox.end();
        assert_eq!(next(&outbox).as_deref(), Some(&b"ping pong "[..]));
        assert_eq!(next(&outbox), None);
    }
}
