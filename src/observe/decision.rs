//! One client's call as people are told of it: what was asked, who answered, how long it took, how it ended.
//!
//! A shard writes it down as it is, fixed in size and unformatted, into its tally's list; names, times and text are added
//! by the thread that has no calls to answer. A busy node cannot tell of every call, so each epoch has room for some good
//! ones and as many troubled ones (docs/behaviour/shown.md#events), and what found none is counted. The first of each epoch are
//! told, not a random draw: it costs a comparison, and a reader wants to see calls, not to compute shares from them (the
//! figures are for that).

use crate::base::ids::{ChainId, EntryId, MethodId, ProfileId, Transport};
use crate::base::limits;
use crate::base::time::{Duration, Instant};
use crate::chain::method;
use crate::config::topology::Strategy;
use crate::observe::category::Category;
use arrayvec::ArrayVec;

#[derive(Clone, Debug)]
pub struct Decision {
    /// When its reply was written, or given up.
    pub ended: Instant,
    pub profile: ProfileId,
    pub chain: ChainId,
    pub method: MethodId,
    /// The client's own word for a method that is in no table, as far as it fits.
    pub other_method: ArrayVec<u8, { limits::METHOD_NAME_SHOWN_BYTES }>,
    pub strategy: Strategy,
    /// The client's.
    pub transport: Transport,
    /// The provider asked last, and over what.
    pub selected: Option<(EntryId, Transport)>,
    /// Its circuit.
    pub circuit: &'static str,
    pub retries: u8,
    pub selection: Duration,
    pub upstream: Duration,
    pub total: Duration,
    pub end: Ended,
    pub request_id: ArrayVec<u8, { limits::REQUEST_ID_MAX }>,
}

/// How a call ended for its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With a result; `None`: it was passed on as it came.
    Result { bytes: Option<u64> },
    /// With a provider's error.
    Error { code: i64, category: Option<Category> },
    /// With a no of our own.
    Refused { code: i64, category: Option<Category> },
    /// With part of a long result, because the provider's or the client's connection broke.
    Truncated,
    /// The client did not wait.
    ClientGone,
}

impl Ended {
    pub fn is_success(self) -> bool {
        matches!(self, Ended::Result { .. })
    }
}

impl Decision {
    pub fn method_name(&self) -> &str {
        match self.method {
            method::UNKNOWN => std::str::from_utf8(&self.other_method).unwrap_or("unknown"),
            known => method::info(known).name,
        }
    }

    /// Told even when there are too many good ones.
    pub fn is_trouble(&self) -> bool {
        is_trouble(self.end, self.total)
    }
}

/// A call that failed, or that took longer than people like.
pub fn is_trouble(end: Ended, total: Duration) -> bool {
    !end.is_success() || total >= Duration::from_millis(limits::SLOW_CALL_MS)
}

/// How many calls the whole node tells of in a second: so many good ones and as many troubled ones.
#[derive(Clone, Debug)]
pub struct Ration {
    each_s: u32,
    second: u64,
    calm: u32,
    trouble: u32,
}

impl Ration {
    pub fn new(each_s: u32) -> Ration {
        Ration { each_s, second: 0, calm: 0, trouble: 0 }
    }

    /// Takes one of this second's; `false` when there is none left.
    pub fn take(&mut self, is_trouble: bool, now: Instant) -> bool {
        let second = now.as_ms() / 1000;
        if second != self.second {
            (self.second, self.calm, self.trouble) = (second, 0, 0);
        }
        let taken = if is_trouble { &mut self.trouble } else { &mut self.calm };
        let has_one = *taken < self.each_s;
        *taken += u32::from(has_one);
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_ration_of_each_kind() {
        let mut ration = Ration::new(2);
        // (ms, is_trouble, whether there was one left)
        let check = |ration: &mut Ration, steps: &[(u64, bool, bool)]| {
            for (ms, is_trouble, want) in steps {
                assert_eq!(ration.take(*is_trouble, Instant::ZERO.plus_ms(*ms)), *want, "at {ms} ms");
            }
        };
        check(&mut ration, &[(0, false, true), (1, false, true), (2, false, false), (3, true, true), (999, true, true)]);
        check(
            &mut ration,
            &[(999, true, false), (1000, true, true), (1000, false, true), (5999, false, true), (5999, false, true)],
        );
        check(&mut ration, &[(5999, false, false)]);
        assert!(!Ration::new(0).take(true, Instant::ZERO), "none is none");
    }

    #[test]
    fn failures_and_slow_calls_are_trouble() {
        let check =
            |end: Ended, ms: u64, want: bool| assert_eq!(is_trouble(end, Duration::from_millis(ms)), want, "{end:?} {ms}");
        let result = Ended::Result { bytes: Some(1) };
        check(result, 0, false);
        check(result, limits::SLOW_CALL_MS - 1, false);
        check(result, limits::SLOW_CALL_MS, true);
        check(Ended::Error { code: 3, category: None }, 0, true);
        check(Ended::Refused { code: -32000, category: None }, 0, true);
        check(Ended::ClientGone, 0, true);
    }
}
