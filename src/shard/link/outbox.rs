//! What waits to be written to a provider: frames in a row, masked when they were queued, handed to the kernel as one piece.
//! Long ones wait by themselves, and go out one at a time between the others: a transaction must not wait for megabytes that
//! somebody else queued before it.

use crate::base::limits;
use crate::health::ending::How;
use crate::runtime::bytes_io::{finish_writing, write_all_by_parts};
use crate::runtime::world::{Closer, World};
use crate::shard::bell::Bell;
use crate::shard::buffers::Size;
use crate::shard::link::{Link, WriteOf};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Default)]
pub(super) struct Outbox {
    frames: RefCell<Vec<u8>>,
    long: RefCell<VecDeque<Vec<u8>>>,
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

    /// The same for one long frame.
    pub fn push_long(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.has_ended.get() {
            let mut frame = Vec::new();
            write(&mut frame);
            self.long_bytes.set(self.long_bytes.get() + frame.len());
            self.long.borrow_mut().push_back(frame);
            self.filled.ring();
        }
    }

    fn take_long(&self) -> Option<Vec<u8>> {
        let may = self.is_longs_turn.take() || self.frames.borrow().is_empty();
        let frame = if may { self.long.borrow_mut().pop_front() } else { None }?;
        self.long_bytes.set(self.long_bytes.get().saturating_sub(frame.len()));
        Some(frame)
    }

    /// Nothing more is taken; what is here is still written, but no long frame behind the close.
    pub fn end(&self) {
        self.has_ended.set(true);
        self.long.take();
        self.long_bytes.set(0);
        self.filled.ring();
    }

    /// What is here, in exchange for an empty buffer; nothing at the end.
    async fn take(&self, mut empty: Vec<u8>) -> (bool, Vec<u8>) {
        loop {
            if let Some(frame) = self.take_long() {
                return (true, frame);
            }
            if !self.frames.borrow().is_empty() {
                self.is_longs_turn.set(true);
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
        let (is_more, frames) = link.outbox.take(shard.buffers.take(Size::Client)).await;
        if !is_more {
            break;
        }
        link.pending.on_write();
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
        match std::pin::pin!(outbox.take(Vec::new())).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready((is_more, frames)) => is_more.then_some(frames),
            Poll::Pending => None,
        }
    }

    #[test]
    fn long_frames_let_the_others_pass_and_are_not_starved() {
        let outbox = Outbox::default();
        ["long 1", "long 2"].iter().for_each(|text| outbox.push_long(|frames| frames.extend_from_slice(text.as_bytes())));
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
        outbox.push_long(|frames| frames.resize(limits::LINK_OUTBOX_BYTES, 0));
        assert!(!outbox.has_room());
    }
}
