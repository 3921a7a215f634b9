//! Waking a task of the same shard: rung while it looks elsewhere, heard when it waits. One listener.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

#[derive(Default)]
pub struct Bell {
    is_rung: Cell<bool>,
    listener: RefCell<Option<Waker>>,
}

impl Bell {
    pub fn ring(&self) {
        self.is_rung.set(true);
        if let Some(waker) = self.listener.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Resolves once it has been rung since the last time. May be dropped at any time.
    pub async fn heard(&self) {
        poll_fn(|cx| {
            if self.is_rung.take() {
                return Poll::Ready(());
            }
            *self.listener.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
