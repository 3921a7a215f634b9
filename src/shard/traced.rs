//! A call's part in traces (W3C Trace Context): what the client's fields say, spans of ours, what a provider is told.
//!
//! The client's fields stay in its buffer and are passed on from there, so that a node that traces nothing passes them on
//! unchanged and without a copy. Where this exchange is sampled, the provider's parent is the attempt's own span. Over a
//! WebSocket nothing is passed on: its calls have no fields. With traces off all of this is a branch a call.

use crate::base::rng::Rng;
use crate::base::span::Span;
use crate::base::time::Instant;
use crate::observe::category::Category;
use crate::observe::decision::Ended;
use crate::observe::spans::{self, Attempt, Exchange, What};
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::attempt::Got;
use crate::shard::call::Call;
use crate::shard::noted::Noted;
use crate::snapshot::ChainPlan;
use crate::wire::http::{Field, RequestHead};
use crate::wire::trace_context::{PARENT_BYTES, Parent, SpanId, TraceId, is_state};

/// The client's own trace, in its request's buffer.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientTrace {
    /// A valid `traceparent`, or nothing.
    parent: Span,
    /// A valid `tracestate`, or nothing.
    state: Span,
}

impl ClientTrace {
    /// What cannot be read counts as absent; a state without a parent means nothing.
    pub fn read(head: &RequestHead, buf: &[u8]) -> ClientTrace {
        let parent = head.field(Field::Traceparent);
        if parent == Span::NONE || Parent::parse(parent.of(buf)).is_none() {
            return ClientTrace::default();
        }
        let state = head.field(Field::Tracestate);
        ClientTrace { parent, state: if is_state(state.of(buf)) { state } else { Span::NONE } }
    }
}

/// What a call carries of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traced {
    client: ClientTrace,
    live: Option<Live>,
    /// Of the provider's HTTP answer to the attempt under way.
    pub status: Option<u16>,
}

/// A sampled exchange of ours.
#[derive(Clone, Copy, Debug)]
struct Live {
    /// The client's parent, or one in which only the trace means anything.
    parent: Parent,
    has_parent: bool,
    own: SpanId,
    /// The attempt under way.
    attempt: SpanId,
}

/// The two fields as a provider gets them.
#[derive(Clone, Copy, Debug)]
pub struct TraceFields<'a> {
    pub parent: &'a [u8],
    /// Empty: there is none.
    pub state: &'a [u8],
}

impl Traced {
    pub fn of(client: ClientTrace) -> Traced {
        Traced { client, ..Traced::default() }
    }

    /// What an HTTP provider is told. `buf` is the client's buffer; `own` is room for a parent of ours.
    pub fn fields<'a>(&self, buf: &'a [u8], own: &'a mut [u8; PARENT_BYTES]) -> Option<TraceFields<'a>> {
        let state = self.client.state.of(buf);
        if let Some(live) = &self.live {
            *own = live.parent.below(live.attempt).write();
            return Some(TraceFields { parent: own, state });
        }
        (self.client.parent != Span::NONE).then(|| TraceFields { parent: self.client.parent.of(buf), state })
    }
}

fn random<const N: usize>(rng: &mut Rng) -> [u8; N] {
    let mut out = [0; N];
    for eight in out.chunks_mut(8) {
        // Zero is no id; it would take this long to see the difference anyway.
        let bits = rng.next().max(1).to_be_bytes();
        eight.iter_mut().zip(bits).for_each(|(byte, bits)| *byte = bits);
    }
    out
}

impl<W: World> Shard<W> {
    /// A call goes on its way: whether it is traced is decided here.
    #[inline]
    pub fn begin_exchange(&self, call: &mut Call<W>) {
        if let Some(spans) = &self.node.settings.spans {
            let parent = Parent::parse(call.trace.traced.client.parent.of(call.outgoing.source.bytes()));
            let rng = &mut self.rng.borrow_mut();
            let joined = parent.unwrap_or_else(|| Parent { trace: random(rng), span: [0; 8], flags: 0 });
            if spans.sampler.takes(parent.as_ref(), &joined.trace) {
                let live = Live { parent: joined, has_parent: parent.is_some(), own: random(rng), attempt: [0; 8] };
                call.trace.traced.live = Some(live);
            }
        }
    }

    #[inline]
    pub fn begin_attempt(&self, call: &mut Call<W>) {
        if let Some(live) = &mut call.trace.traced.live {
            live.attempt = random(&mut self.rng.borrow_mut());
            call.trace.traced.status = None;
        }
    }

    #[inline]
    pub fn end_attempt(&self, call: &Call<W>, plan: &ChainPlan, began: Instant, got: &Got<W>) {
        if let (Some(live), Some(slot)) = (&call.trace.traced.live, call.trace.selected) {
            let (entry, transport) = (plan.fixed.entry(slot), plan.fixed.channels[slot].transport());
            let status = call.trace.traced.status;
            let (fault, is_answer) = fault_of(got);
            let what = What::Attempt(Attempt { entry, transport, status, fault, is_answer });
            self.tell_span(live, (live.attempt, Some(live.own)), call.ask.method, (began, self.now()), what);
        }
    }

    /// A call has ended and its reply is written, or given up.
    #[inline]
    pub fn end_exchange(&self, noted: &Noted<'_>, end: Ended) {
        if let Some((trace, ask)) = noted.trace
            && let Some(live) = &trace.traced.live
        {
            let plan = noted.snapshot.plan(noted.route.profile, noted.route.chain);
            let what = What::Exchange(Exchange {
                profile: noted.route.profile,
                chain: noted.route.chain,
                strategy: trace.strategy,
                transport: noted.transport,
                selected: trace.selected.map(|slot| plan.fixed.entry(slot)),
                retries: trace.retries,
                end,
            });
            let parent = live.has_parent.then_some(live.parent.span);
            self.tell_span(live, (live.own, parent), ask.method, (noted.started, self.now()), what);
        }
    }

    fn tell_span(
        &self,
        live: &Live,
        (id, parent): (SpanId, Option<SpanId>),
        method: crate::base::ids::MethodId,
        (began, ended): (Instant, Instant),
        what: What,
    ) {
        let trace: TraceId = live.parent.trace;
        if let Some(spans) = &self.node.settings.spans {
            spans.push(spans::Span { trace, id, parent, method, began, ended, what });
        }
    }
}

/// What went wrong, in a word; and whether it is the client's answer all the same.
pub(super) fn fault_of<W: World>(got: &Got<W>) -> (Option<&'static str>, bool) {
    match got {
        Got::Answer { category, .. } => (category.map(Category::word), true),
        Got::Stream(_) => (None, true),
        Got::Absent { .. } | Got::Unproven { .. } => (None, false),
        Got::Refused { outcome, .. } => (Some(outcome.category.word()), false),
        Got::NotSent(_) | Got::Lost { .. } => (Some(Category::Network.word()), false),
        Got::TimedOut { .. } => (Some(Category::Timeout.word()), false),
        Got::ClientGone => (Some("client_gone"), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{Scan, scan_request};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn told(fields: &str, live: bool) -> String {
        let text = format!("POST /rpc/one HTTP/1.1\r\nhost: a\r\n{fields}content-length: 0\r\n\r\n");
        let Scan::Done(head) = scan_request(text.as_bytes(), 0) else { panic!("{text}") };
        let mut traced = Traced::of(ClientTrace::read(&head, text.as_bytes()));
        if live {
            let parent = Parent { trace: [1; 16], span: [2; 8], flags: 0 };
            traced.live = Some(Live { parent, has_parent: true, own: [3; 8], attempt: [4; 8] });
        }
        let (mut own, mut out) = ([0; PARENT_BYTES], Vec::new());
        if let Some(TraceFields { parent, state }) = traced.fields(text.as_bytes(), &mut own) {
            for (name, value) in
                [("traceparent: ", parent), ("tracestate: ", state)].iter().filter(|(_, value)| !value.is_empty())
            {
                [name.as_bytes(), value, b"\r\n"].iter().for_each(|part| out.extend_from_slice(part));
            }
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn what_a_client_says_is_passed_on_as_it_came_or_not_at_all() {
        let check = |fields: &str, want: &str| assert_eq!(told(fields, false), want, "{fields}");
        let (parent, state) = (format!("traceparent: {PARENT}\r\n"), "tracestate: a=1,b=2\r\n");
        check("", "");
        check(&parent, &parent);
        check(&format!("{state}{}", parent.to_uppercase().replace(&PARENT.to_uppercase(), PARENT)), &format!("{parent}{state}"));
        check(state, "");
        check(&format!("traceparent: {PARENT}x\r\n{state}"), "");
        check(&format!("{parent}tracestate: \u{7}\r\n").replace('\u{7}', "=="), &parent);
        // Two of a kind: nobody knows which is meant.
        check(&format!("{parent}{parent}{state}"), "");
        check(&format!("{parent}{state}{state}{state}"), &parent);
    }

    #[test]
    fn a_sampled_attempt_is_its_providers_parent() {
        let own = "traceparent: 00-01010101010101010101010101010101-0404040404040404-01\r\n";
        assert_eq!(told("", true), own);
        assert_eq!(told(&format!("traceparent: {PARENT}\r\ntracestate: a=1\r\n"), true), format!("{own}tracestate: a=1\r\n"));
    }

    #[test]
    fn ids_are_drawn_whole() {
        let mut rng = Rng::new(3);
        let ids: Vec<[u8; 16]> = (0..64).map(|_| random(&mut rng)).collect();
        for place in 0..16 {
            assert!(ids.iter().any(|id| id[place] != ids[0][place]), "byte {place} is always the same");
        }
    }
}
