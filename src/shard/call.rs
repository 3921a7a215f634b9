//! One JSON-RPC call on its way: what is asked, of whom, and the bytes that go upstream.
//!
//! The bytes are three pieces: a prefix of ours, a stretch of the client's own body, a suffix of ours. A canonical call
//! is the stretch alone; every other form has its params there and the rest written around them. So params are never
//! copied, whatever their size, and a call can be sent again because the pieces come back from every write.

use crate::base::ids::{ChainId, ProfileId, SlotId};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::chain::method::{self, Safety, Terms};
use crate::chain::method_key::MethodKey;
use crate::config::topology::Strategy;
use crate::observe::category::Category;
use crate::observe::sampled::SampledCall;
use crate::route::fit::Fit;
use crate::route::select::Ask;
use crate::runtime::gather::{Gather, Piece};
use crate::runtime::world::World;
use crate::shard::Current;
use crate::shard::deadlines::Patron;
use crate::shard::passed::{AddedFields, PassedFields};
use crate::shard::traced::Traced;
use crate::wire::jsonrpc::{ParamsKind, Request};
use crate::wire::trace_context::PARENT_BYTES;
use arrayvec::ArrayVec;
use std::ops::Range;
use std::rc::Rc;

/// The longest id that goes upstream as the client wrote it; a longer one is replaced by ours.
pub const SENT_ID_BYTES: usize = 64;
pub type SentId = ArrayVec<u8, SENT_ID_BYTES>;

/// The client's body: one call's own, or shared by a batch's calls.
#[derive(Clone, Debug)]
pub enum Source {
    Own(Vec<u8>),
    Shared(Rc<Vec<u8>>),
}

impl Default for Source {
    fn default() -> Source {
        Source::Own(Vec::new())
    }
}

impl Source {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Source::Own(bytes) => bytes,
            Source::Shared(bytes) => bytes,
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Source::Own(bytes) => bytes,
            Source::Shared(bytes) => Rc::try_unwrap(bytes).unwrap_or_else(|shared| shared.to_vec()),
        }
    }
}

/// The upstream body, in three pieces, and the id in it.
pub struct Outgoing {
    pub prefix: Vec<u8>,
    pub source: Source,
    pub stretch: Range<usize>,
    pub suffix: &'static [u8],
    /// The id token as sent.
    pub id: SentId,
    /// It is the client's own, so the answer needs no splice.
    pub is_client_id: bool,
    /// Where the id stands in the whole body.
    id_at: Range<usize>,
}

impl Outgoing {
    /// The client's bytes `body` untouched.
    pub fn canonical(source: Source, body: Range<usize>, request: &Request) -> Outgoing {
        let id = request.id_span.of(source.bytes()).iter().copied().take(SENT_ID_BYTES).collect();
        let at = |position: u32| (position as usize).saturating_sub(body.start);
        let id_at = at(request.id_span.start)..at(request.id_span.end);
        Outgoing { prefix: Vec::new(), source, stretch: body, suffix: b"", id, is_client_id: true, id_at }
    }

    /// Canonical form around the client's params, with an id of ours. `prefix` is an empty buffer to use.
    pub fn emitted(source: Source, request: &Request, own_id: u64, mut prefix: Vec<u8>) -> Outgoing {
        let mut id = Vec::with_capacity(20);
        crate::wire::http::write_decimal(&mut id, own_id);
        let method = request.method.of(source.bytes());
        let parts: [&[u8]; 5] = [OPENING, &id, b",\"method\":\"", method, b"\",\"params\":"];
        parts.iter().for_each(|part| prefix.extend_from_slice(part));
        let (open, suffix): (&[u8], &'static [u8]) = match request.params_kind {
            ParamsKind::Array | ParamsKind::Object => (b"", b"}"),
            ParamsKind::Scalar | ParamsKind::None => (b"[", b"]}"),
        };
        prefix.extend_from_slice(open);
        let start = OPENING.len();
        let id_at = start..start + id.len();
        let id = id.iter().copied().collect();
        Outgoing { prefix, source, stretch: request.params.range(), suffix, id, is_client_id: false, id_at }
    }

    /// The body's pieces before its id and after it: what goes out under another id.
    pub fn around_id(&self) -> ([&[u8]; 3], [&[u8]; 3]) {
        let whole = [&self.prefix[..], self.source.bytes().get(self.stretch.clone()).unwrap_or(&[]), self.suffix];
        let mut start = 0;
        let cut = whole.map(|piece| {
            let own = |at: usize| at.saturating_sub(start).min(piece.len());
            let (before, after) = (own(self.id_at.start), own(self.id_at.end));
            start += piece.len();
            (piece.get(..before).unwrap_or(&[]), piece.get(after..).unwrap_or(&[]))
        });
        (cut.map(|(before, _)| before), cut.map(|(_, after)| after))
    }

    /// The raw parameters, a list or an object; for what is rarely asked.
    pub fn params(&self) -> Vec<u8> {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            params: Option<&'a serde_json::value::RawValue>,
        }
        let mut body = Vec::with_capacity(self.len());
        self.append_to(&mut body);
        let read: Option<Body<'_>> = serde_json::from_slice(&body).ok();
        read.and_then(|body| body.params).map_or_else(Vec::new, |params| params.get().as_bytes().to_vec())
    }

    pub fn len(&self) -> usize {
        self.prefix.len() + self.stretch.len() + self.suffix.len()
    }

    /// Appends the whole; for small ones.
    pub fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(self.source.bytes().get(self.stretch.clone()).unwrap_or(&[]));
        out.extend_from_slice(self.suffix);
    }

    /// Moves the pieces into a gathering write behind `head`; `take_back` returns them.
    pub fn lend_to(&mut self, head: Vec<u8>, gather: &mut Gather) {
        gather.push(Piece::Owned(head));
        gather.push(Piece::Owned(std::mem::take(&mut self.prefix)));
        gather.push(match &mut self.source {
            Source::Own(bytes) => Piece::Slice(std::mem::take(bytes), self.stretch.clone()),
            Source::Shared(bytes) => Piece::Shared(bytes.clone(), self.stretch.clone()),
        });
        gather.push(Piece::Static(self.suffix));
    }

    /// The head comes back too.
    pub fn take_back(&mut self, gather: &mut Gather) -> Vec<u8> {
        let mut pieces = gather.take();
        let head = pieces.next().and_then(Piece::into_buffer).unwrap_or_default();
        self.prefix = pieces.next().and_then(Piece::into_buffer).unwrap_or_default();
        if let (Source::Own(bytes), Some(piece)) = (&mut self.source, pieces.next()) {
            *bytes = piece.into_buffer().unwrap_or_default();
        }
        head
    }
}

const OPENING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";

/// What a filter method's call needs (docs/behaviour/calls.md#filters).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FilterRole {
    None,
    /// Its result becomes a filter id that names the instance.
    Create,
    /// Sent to the instance that its id names, with that instance's own id.
    Use,
}

pub struct Call<W: World> {
    pub snapshot: Current,
    pub profile: ProfileId,
    pub chain: ChainId,
    pub ask: Ask,
    pub terms: Terms,
    /// What its parameters ask for.
    pub fit: Fit,
    pub filter: FilterRole,
    /// Under which something is remembered of its method.
    pub key: Option<MethodKey>,
    pub outgoing: Outgoing,
    /// When the request was complete; the total time counts from here.
    pub started: Instant,
    /// A long answer may be passed on as it comes; else it is held whole.
    pub may_stream: bool,
    /// Looked at for a reset.
    pub client: Option<Patron<W>>,
    /// For ties between providers; the same for all calls of a batch, so that they choose alike.
    pub rng: Rng,
    pub trace: Trace,
    /// What its client's head says to providers.
    pub passed: Option<Rc<PassedFields>>,
}

impl<W: World> Call<W> {
    /// The fields of this call alone, for the provider that was chosen. `own` is room for a trace's parent of ours.
    #[inline]
    pub fn added_fields<'a>(&'a self, own: &'a mut [u8; PARENT_BYTES]) -> AddedFields<'a> {
        let mut added = AddedFields::new();
        if let Some(traced) = self.trace.traced.fields(self.outgoing.source.bytes(), own) {
            added.push(("traceparent", traced.parent));
            added.push(("tracestate", traced.state));
        }
        if let (Some(passed), Some(slot)) = (&self.passed, self.trace.selected) {
            let plan = self.snapshot.plan(self.profile, self.chain);
            let provider = &self.snapshot.chain(self.profile, self.chain).providers[plan.fixed.providers[slot]];
            added.extend(passed.allowed(&provider.forward_headers));
        }
        added
    }

    pub fn safety(&self) -> Safety {
        self.terms.safety
    }

    pub fn timeout_ms(&self) -> u64 {
        self.terms.timeout_ms
    }

    /// For texts; a method that is in no table is not repeated to anyone.
    pub fn method_name(&self) -> &'static str {
        method::info(self.ask.method).name
    }
}

/// What `lasso_meta` tells of a call.
#[derive(Clone, Debug)]
pub struct Trace {
    pub strategy: Strategy,
    pub selected: Option<SlotId>,
    pub retries: u8,
    /// What the last error meant.
    pub category: Option<Category>,
    /// The chosen channel's circuit.
    pub circuit: &'static str,
    /// Choosing the providers.
    pub selection: Duration,
    /// Sum over the attempts, connecting included.
    pub upstream: Duration,
    /// What the running attempt was given from the write on.
    pub allotted: Duration,
    pub traced: Traced,
    /// What a record is told of it.
    pub sampled: Option<Box<SampledCall>>,
}

impl Trace {
    pub fn new(strategy: Strategy) -> Trace {
        let (selection, upstream) = (Duration::ZERO, Duration::ZERO);
        Trace {
            strategy,
            selected: None,
            retries: 0,
            category: None,
            circuit: "closed",
            selection,
            upstream,
            allotted: Duration::ZERO,
            traced: Traced::default(),
            sampled: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::jsonrpc::{Body, scan_body};

    /// Under another id the body differs in its id and in nothing else, in every form it may have.
    #[test]
    fn a_body_can_go_out_under_another_id() {
        let check = |text: &str, shared: bool, want: &str| {
            let Ok(Body::Single(request)) = scan_body(text.as_bytes()) else { panic!("{text}") };
            let source = || match shared {
                true => Source::Shared(Rc::new(text.as_bytes().to_vec())),
                false => Source::Own(text.as_bytes().to_vec()),
            };
            let outgoing = match request.canonical {
                true => Outgoing::canonical(source(), 0..text.len(), &request),
                false => Outgoing::emitted(source(), &request, 12, Vec::new()),
            };
            let (before, after) = outgoing.around_id();
            let whole = [before.concat(), b"#".to_vec(), after.concat()].concat();
            assert_eq!(String::from_utf8(whole).expect("text"), want, "{text}");
        };
        let canonical = r#"{"jsonrpc":"2.0","id":"a","method":"m","params":["id"]}"#;
        check(canonical, false, r#"{"jsonrpc":"2.0","id":#,"method":"m","params":["id"]}"#);
        check(
            r#" {"params":[1],"id": 77 ,"method":"m","jsonrpc":"2.0"}"#,
            true,
            r#" {"params":[1],"id": # ,"method":"m","jsonrpc":"2.0"}"#,
        );
        check(r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, true, r#"{"jsonrpc":"2.0","id":#,"method":"m","params":[]}"#);
        check(
            r#"{"id":"\u00e9","method":"m","params":{"id":2}}"#,
            false,
            r#"{"jsonrpc":"2.0","id":#,"method":"m","params":{"id":2}}"#,
        );
    }
}
