//! Answers too large to hold: the look at the first bytes that decides whether one may be streamed, and the walk over the
//! rest as it passes.
//!
//! While the result passes, only its end is looked for: it is not proven to be JSON. What follows it is short, so it is collected and judged by the
//! very code that judges held answers; a machine of its own for the tail would be a second opinion to keep in step.

use super::answer::{AnswerFault, Members, Place, Stop, is_two, object_start, same_id};
use crate::base::limits::{ANSWER_DEPTH, ANSWER_TAIL_BYTES};
use crate::base::span::Span;
use crate::wire::json::{Skipper, skip_space};

/// What the first bytes of an answer say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefix {
    /// The outcome has not been reached.
    NeedMore,
    /// A result begins at `value_start`. `id`: when it came before. `is_plain`: what came before is what clients expect,
    /// the version and no `"error":null`.
    Result {
        value_start: usize,
        id: Option<Span>,
        version_seen: bool,
        error_seen: bool,
        is_plain: bool,
    },
    /// An error: to be held whole.
    Error,
    Bad(AnswerFault),
}

/// Looks at the bytes that have come so far.
pub fn scan_prefix(held: &[u8]) -> Prefix {
    if skip_space(held, 0) == held.len() {
        return Prefix::NeedMore;
    }
    let mut members = Members::default();
    let walked = object_start(held).and_then(|at| members.walk(held, at, Place::First, true));
    // What follows the value will be walked again by the stream: only what stands before it counts.
    let result_at = |value_start: usize| {
        let before = |member: Option<Span>| member.filter(|span| (span.start as usize) < value_start);
        Prefix::Result {
            value_start,
            id: before(members.id),
            version_seen: before(members.version).is_some(),
            error_seen: before(members.error).is_some(),
            is_plain: before(members.version).is_some_and(|raw| is_two(raw.of(held))) && before(members.error).is_none(),
        }
    };
    match walked {
        Ok(Stop::Result(value_start)) => result_at(value_start),
        Ok(Stop::Error) => Prefix::Error,
        // The whole object without an outcome that is not null: an explicit null result, or a fault.
        Ok(Stop::End(_)) => match (members.judge(held), members.result) {
            (Ok(_), Some(result)) => result_at(result.start as usize),
            (Ok(_), None) => Prefix::Bad(AnswerFault::Neither),
            (Err(fault), _) => Prefix::Bad(fault),
        },
        Err(AnswerFault::Truncated) => Prefix::NeedMore,
        Err(fault) => Prefix::Bad(fault),
    }
}

/// An answer's result passing by, then its tail.
#[derive(Clone, Debug)]
pub struct ResultStream {
    value: Skipper,
    /// What followed the value, closing brace included; bounded.
    tail: Vec<u8>,
    in_tail: bool,
    version_seen: bool,
    error_seen: bool,
    /// The id came before the result and was right.
    id_seen: bool,
    sent_id: Vec<u8>,
}

impl ResultStream {
    /// After [`scan_prefix`] said `Result` of `held`. `sent_id`: the raw token that went out. Fails when the id that came
    /// first is another's. Then feed it `held[value_start..]` and everything after.
    pub fn new(prefix: &Prefix, held: &[u8], sent_id: &[u8]) -> Result<ResultStream, AnswerFault> {
        let Prefix::Result { id, version_seen, error_seen, .. } = *prefix else {
            return Err(AnswerFault::Neither);
        };
        if id.is_some_and(|id| !same_id(id.of(held), sent_id)) {
            return Err(AnswerFault::OtherId);
        }
        Ok(ResultStream {
            value: Skipper::new(ANSWER_DEPTH - 1),
            tail: Vec::new(),
            in_tail: false,
            version_seen,
            error_seen,
            id_seen: id.is_some(),
            sent_id: sent_id.to_vec(),
        })
    }

    /// How many of these bytes, from the first, belong to the result.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, AnswerFault> {
        let mut of_result = 0;
        if !self.in_tail {
            match self.value.feed(bytes)? {
                None => return Ok(bytes.len()),
                Some(end) => of_result = end,
            }
            self.in_tail = true;
        }
        let tail = bytes.get(of_result..).unwrap_or(&[]);
        if self.tail.len() + tail.len() > ANSWER_TAIL_BYTES {
            return Err(AnswerFault::TrailingData);
        }
        self.tail.extend_from_slice(tail);
        Ok(of_result)
    }

    /// Whether the result's last byte has passed.
    pub fn result_ended(&self) -> bool {
        self.in_tail
    }

    /// To be asked when the body's framing says that it ended: was it an answer to our call? Says where in the tail, from its
    /// comma on, an error stands that is null.
    pub fn finish(&self) -> Result<Option<Span>, AnswerFault> {
        if !self.in_tail {
            return Err(AnswerFault::Truncated);
        }
        // The spans of what came before are not in this buffer; that they were seen is all that counts.
        let seen = |yes: bool| yes.then_some(Span::NONE);
        let mut members = Members {
            version: seen(self.version_seen),
            id: seen(self.id_seen),
            result: seen(true),
            error: seen(self.error_seen),
            error_key: 0,
        };
        let Stop::End(end) = members.walk(&self.tail, 0, Place::AfterValue, false)? else {
            return Err(AnswerFault::NotJson);
        };
        if skip_space(&self.tail, end) != self.tail.len() {
            return Err(AnswerFault::TrailingData);
        }
        let id = members.id.ok_or(AnswerFault::NoId)?;
        if !self.id_seen && !same_id(id.of(&self.tail), &self.sent_id) {
            return Err(AnswerFault::OtherId);
        }
        let Some(error) = members.error.filter(|_| !self.error_seen) else { return Ok(None) };
        if error.of(&self.tail) != b"null" {
            return Err(AnswerFault::Both);
        }
        let comma = self.tail.get(..members.error_key).and_then(|before| before.iter().rposition(|byte| *byte == b','));
        Ok(comma.map(|comma| Span::new(comma, error.end as usize)))
    }
}
