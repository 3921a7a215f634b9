//! What follows the call and not the provider: a text in the request that breaks whoever gets it, and a time that one call
//! takes everywhere. Such calls exist: a contract that returns a megabyte of zeros, a body that a firewall resets, a revert
//! reason that is not UTF-8, a call that any machine works on for eight seconds. A router that holds what they cause against
//! the providers loses all of them to one client.
//!
//! A mark is looked for in the raw request, so it can be an address, a method's name or a whole member; it needs no parsing
//! that a broken call could break.

use super::identity::{digest_bytes, mix};
use super::knobs::Fault;
use crate::base::time::Duration;

/// Requests that contain `text` meet `fault`, at any provider that has the mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub text: &'static str,
    pub fault: Fault,
}

/// The fault that is marked in this request, if any.
pub fn marked(marks: &[Mark], request: &[u8]) -> Option<Fault> {
    let has = |mark: &&Mark| memchr::memmem::find(request, mark.text.as_bytes()).is_some();
    marks.iter().find(has).map(|mark| mark.fault)
}

/// The time that calls of one method take beside the provider's own delay: between the two bounds, each doubling as likely
/// as the next, and the same for the same parameters at every provider of a chain.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CallTime {
    pub method: &'static str,
    pub fastest_ms: f64,
    pub slowest_ms: f64,
}

impl CallTime {
    pub fn of(self, seed: u64, params: &[u8]) -> Duration {
        let unit = mix(&[seed, digest_bytes(0x71e, params).number()]) as f64 / u64::MAX as f64;
        let ms = self.fastest_ms * (self.slowest_ms / self.fastest_ms.max(0.001)).max(1.0).powf(unit);
        Duration::from_micros((ms * 1e3) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_wherever_it_stands() {
        let marks = [Mark { text: "dead01", fault: Fault::Reset }, Mark { text: "\"trace_block\"", fault: Fault::Garbage }];
        let check = |request: &str, want| assert_eq!(marked(&marks, request.as_bytes()), want, "{request}");
        check(r#"{"method":"eth_call","params":[{"to":"0xdead01"}]}"#, Some(Fault::Reset));
        check(r#"{"method":"trace_block"}"#, Some(Fault::Garbage));
        check(r#"{"method":"eth_call"}"#, None);
        assert_eq!(marked(&[], b"dead01"), None);
    }

    #[test]
    fn a_calls_time_is_its_own_everywhere_and_spans_the_bounds() {
        let time = CallTime { method: "eth_call", fastest_ms: 2.0, slowest_ms: 8_000.0 };
        let of = |n: u64| time.of(7, &n.to_be_bytes());
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), time.of(8, &1u64.to_be_bytes()));
        let all: Vec<Duration> = (0..2_000).map(of).collect();
        let ms = Duration::from_millis;
        assert!(all.iter().all(|time| (ms(2)..=ms(8_000)).contains(time)));
        let below = |bound| all.iter().filter(|time| **time < ms(bound)).count();
        assert!((800..1_200).contains(&below(126)) && below(10) > 200 && below(4_000) < 1_950);
    }
}
