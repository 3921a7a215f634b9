//! What waits to be written to a provider: frames in a row, masked when they were queued, handed to the kernel as one piece.

use crate::base::limits;
use crate::health::ending::How;
use crate::runtime::bytes_io::{finish_writing, write_all_by_parts};
use crate::runtime::world::{Closer, World};
use crate::shard::bell::Bell;
use crate::shard::buffers::Size;
use crate::shard::link::{Link, WriteOf};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

#[derive(Default)]
pub(super) struct Outbox {
    frames: RefCell<Vec<u8>>,
    has_ended: Cell<bool>,
    filled: Bell,
}

impl Outbox {
    /// Room for one more call.
    pub fn has_room(&self) -> bool {
        !self.has_ended.get() && self.frames.borrow().len() < limits::LINK_OUTBOX_BYTES
    }

    /// Adds frames with `write`, unless it has ended.
    pub fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.has_ended.get() {
            write(&mut self.frames.borrow_mut());
            self.filled.ring();
        }
    }

    /// Nothing more is taken; what is here is still written.
    pub fn end(&self) {
        self.has_ended.set(true);
        self.filled.ring();
    }

    /// What is here, in exchange for an empty buffer; nothing at the end.
    async fn take(&self, mut empty: Vec<u8>) -> (bool, Vec<u8>) {
        loop {
            if !self.frames.borrow().is_empty() {
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
