//! Calls written down for people when they end: as plain values, and only those that the epoch has room for.
//!
//! A call pays for this with two comparisons. Names, times and text are the aggregator's (`aggregator/tell.rs`).

use crate::base::ids::Transport;
use crate::base::time::Instant;
use crate::chain::method;
use crate::observe::decision::{Decision, Ended, is_trouble};
use crate::route::resolve::{Route, request_id};
use crate::route::select::Ask;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::call::Trace;
use crate::shard::forward::Reply;
use crate::snapshot::{ChainPlan, Snapshot};
use crate::wire::jsonrpc::AnswerKind;
use arrayvec::ArrayVec;

/// What a call's end is told with.
#[derive(Clone, Copy)]
pub struct Noted<'a> {
    pub snapshot: &'a Snapshot,
    pub route: &'a Route,
    /// The client's.
    pub transport: Transport,
    /// As the client wrote it.
    pub method: &'a [u8],
    /// Empty: one of ours is made when it is needed.
    pub request_id: &'a [u8],
    pub started: Instant,
    /// `None` when no provider was asked.
    pub trace: Option<(&'a Trace, &'a Ask)>,
}

impl<W: World> Shard<W> {
    /// A call has ended.
    pub fn note(&self, noted: Noted<'_>, end: Ended) {
        self.end_exchange(&noted, end);
        self.end_sample(&noted, end);
        let so_far = self.recent().since(noted.started);
        self.reporter.decide(is_trouble(end, so_far), || self.decision(&noted, end));
    }

    fn decision(&self, noted: &Noted<'_>, end: Ended) -> Decision {
        let ended = self.now();
        let plan = noted.snapshot.plan(noted.route.profile, noted.route.chain);
        let trace = noted.trace.map(|(trace, _)| trace);
        let method = noted.trace.map_or_else(|| method::lookup(noted.method), |(_, ask)| ask.method);
        let is_other = method == method::UNKNOWN;
        Decision {
            ended,
            profile: noted.route.profile,
            chain: noted.route.chain,
            method,
            other_method: if is_other { shown(noted.method) } else { ArrayVec::new() },
            strategy: trace.map_or(noted.route.strategy.unwrap_or(plan.fixed.default_strategy), |trace| trace.strategy),
            transport: noted.transport,
            selected: trace.and_then(|trace| selected(plan, trace)),
            circuit: trace.map_or("closed", |trace| trace.circuit),
            retries: trace.map_or(0, |trace| trace.retries),
            selection: trace.map(|trace| trace.selection).unwrap_or_default(),
            upstream: trace.map(|trace| trace.upstream).unwrap_or_default(),
            total: ended.since(noted.started),
            end,
            request_id: match noted.request_id {
                [] => request_id::generate(&mut self.rng.borrow_mut()).into_iter().collect(),
                given => shown(given),
            },
        }
    }
}

fn selected(plan: &ChainPlan, trace: &Trace) -> Option<(crate::base::ids::EntryId, Transport)> {
    let slot = trace.selected?;
    Some((plan.fixed.entry(slot), plan.fixed.channels.get(slot)?.transport()))
}

/// As much as fits, cut where a character ends.
pub(super) fn shown<const N: usize>(bytes: &[u8]) -> ArrayVec<u8, N> {
    let whole = bytes.get(..N).unwrap_or(bytes);
    let valid = match std::str::from_utf8(whole) {
        Ok(text) => text.len(),
        Err(fault) => fault.valid_up_to(),
    };
    whole.iter().take(valid).copied().collect()
}

/// How a call ended, seen from its reply.
pub fn ended<W: World>(reply: &Reply<W>, trace: Option<(&Trace, &Ask)>) -> Ended {
    let category = trace.and_then(|(trace, _)| trace.category);
    match reply {
        Reply::Held(held) => match held.answer.kind {
            AnswerKind::Result(result) => Ended::Result { bytes: Some(result.len() as u64) },
            AnswerKind::Error { code, .. } => Ended::Error { code, category },
        },
        Reply::Stream(_) => Ended::Result { bytes: None },
        Reply::Local(result) => Ended::Result { bytes: Some(result.len() as u64) },
        Reply::Refused(refusal) => Ended::Refused { code: refusal.code, category },
        Reply::Nothing => Ended::ClientGone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_where_a_character_ends() {
        let check = |text: &str, want: &str| assert_eq!(shown::<4>(text.as_bytes()).as_slice(), want.as_bytes(), "{text}");
        check("", "");
        check("abcd", "abcd");
        check("abcde", "abcd");
        check("abc\u{e9}", "abc");
        check("ab\u{e9}d", "ab\u{e9}");
    }
}
