//! How a WebSocket to a provider ended, and whether that is held against the provider
//! (docs/behaviour/health.md#ends-of-websockets).
//!
//! A provider may close a connection that has lived and carries nothing: that is how nodes restart. Everything else is a
//! suspicion of its own class, which our probe decides. Calls that were under way fail over whatever the code: a close that all calls of a
//! connection share cannot say which of them was at fault.

use crate::observe::category::Category;

/// By whom, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// The provider closed it with this code (1005: without one), or told in words that it gives up.
    Closed(u16),
    /// The connection ended without a close.
    Lost,
    /// What came was no WebSocket, or more than it may be.
    Broken,
    /// It answered no ping, or took nothing.
    Silent,
    /// We had no more use for it.
    Ours,
}

/// The end of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    pub how: How,
    /// It had lived for `limits::LINK_STABLE_MS`.
    pub was_stable: bool,
    /// A call on it was answered.
    pub has_answered: bool,
    /// Calls and subscriptions that it still owed something.
    pub pending: usize,
}

impl Ending {
    /// The close code for people: 1006 when there was none.
    pub fn code(self) -> u16 {
        match self.how {
            How::Closed(code) => code,
            How::Lost | How::Silent => 1006,
            How::Broken => 1002,
            How::Ours => 1000,
        }
    }

    /// What is held against the provider; nothing for a close in order.
    pub fn penalty(self) -> Option<Category> {
        let in_order = matches!(self.how, How::Closed(1000 | 1001 | 1012)) && self.was_stable && self.pending == 0;
        if in_order || self.how == How::Ours { None } else { Some(self.category()) }
    }

    /// It worked: what ended it is no reason to wait before another one is made.
    pub fn has_worked(self) -> bool {
        self.was_stable || self.has_answered || self.pending > 0
    }

    /// The class of the close code.
    pub fn category(self) -> Category {
        match self.how {
            How::Closed(1002 | 1011 | 1012 | 1013) => Category::ServerError,
            How::Closed(1003 | 1008) => Category::InvalidRequest,
            How::Closed(1009) => Category::RequestTooLarge,
            How::Broken => Category::MalformedResponse,
            How::Closed(_) | How::Lost | How::Silent | How::Ours => Category::Network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Category as C;

    #[test]
    fn each_ending_has_its_effect() {
        let check = |how, was_stable, pending, want| {
            let ending = Ending { how, was_stable, has_answered: false, pending };
            assert_eq!(ending.penalty(), want, "{ending:?}");
        };
        for code in [1000, 1001, 1012] {
            let class = if code == 1012 { C::ServerError } else { C::Network };
            check(How::Closed(code), true, 0, None);
            check(How::Closed(code), true, 1, Some(class));
            check(How::Closed(code), false, 0, Some(class));
        }
        for (code, class) in [
            (1002, C::ServerError),
            (1003, C::InvalidRequest),
            (1005, C::Network),
            (1006, C::Network),
            (1008, C::InvalidRequest),
            (1009, C::RequestTooLarge),
            (1011, C::ServerError),
            (1013, C::ServerError),
            (1014, C::Network),
            (1015, C::Network),
            (4001, C::Network),
        ] {
            check(How::Closed(code), true, 0, Some(class));
        }
        check(How::Lost, true, 0, Some(C::Network));
        check(How::Silent, true, 0, Some(C::Network));
        check(How::Broken, true, 0, Some(C::MalformedResponse));
        check(How::Ours, false, 3, None);
        let worked =
            |was_stable, has_answered, pending| Ending { how: How::Lost, was_stable, has_answered, pending }.has_worked();
        assert!(!worked(false, false, 0));
        assert!(worked(true, false, 0) && worked(false, true, 0) && worked(false, false, 1));
        assert_eq!(Ending { how: How::Lost, was_stable: true, has_answered: true, pending: 0 }.code(), 1006);
    }
}
