//! What a JSON-RPC request asks of the node: something it answers by itself, something it refuses, or a call to route.

use crate::base::ids::{MethodId, SlotId};
use crate::base::limits;
use crate::base::rng::Rng;
use crate::base::span::Span;
use crate::base::time::Instant;
use crate::chain::filter_id;
use crate::chain::method::{self, Gate, Safety, Terms};
use crate::chain::method_key::MethodKey;
use crate::config::topology::Strategy;
use crate::route::fit::Fit;
use crate::route::resolve::Route;
use crate::route::select::{self, Ask};
use crate::runtime::world::World;
use crate::shard::call::{Call, FilterRole, Outgoing, SENT_ID_BYTES, Source, Trace};
use crate::shard::deadlines::Patron;
use crate::shard::links;
use crate::shard::passed::PassedFields;
use crate::shard::refusal::RpcRefusal;
use crate::shard::traced::{ClientTrace, Traced};
use crate::shard::{Current, Shard};
use crate::snapshot::{ChainPlan, Set};
use crate::wire::jsonrpc::{Id, ParamsKind, Request};
use std::ops::Range;
use std::rc::Rc;

/// What becomes of one request.
#[expect(clippy::large_enum_variant, reason = "taken apart where it is made; a box would cost every call an allocation")]
pub enum Todo<W: World> {
    Forward(Call<W>),
    /// The raw result, answered here.
    Local(Box<str>),
    Refuse(RpcRefusal),
    /// `eth_subscribe` and its kin, over HTTP.
    Subscribe,
}

/// Where a request came from and what holds for all calls in it.
pub struct Context<W: World> {
    pub snapshot: Current,
    pub route: Route,
    pub started: Instant,
    pub client: Option<Patron<W>>,
    /// Of a single call on HTTP/1.1 whose reply nobody edits.
    pub may_stream: bool,
    /// The same for all calls of a batch, so that they choose alike.
    pub rng: Rng,
    /// Channels of the region to prefer.
    pub local: Set,
    /// The client's trace, if it has one.
    pub client_trace: ClientTrace,
    /// What its head says to providers.
    pub passed: Option<Rc<PassedFields>>,
}

impl<W: World> Context<W> {
    /// `region` is the one that the client asks for, or empty.
    pub fn new(
        shard: &Shard<W>,
        snapshot: Current,
        route: Route,
        region: &str,
        started: Instant,
        patron: Patron<W>,
        may_stream: bool,
    ) -> Context<W> {
        let fixed = &snapshot.plan(route.profile, route.chain).fixed;
        let local = fixed.preferred(snapshot.chain(route.profile, route.chain), region);
        Context {
            route,
            started,
            client: Some(patron),
            may_stream,
            rng: shard.rng.borrow_mut().fork(0),
            local,
            client_trace: ClientTrace::default(),
            passed: None,
            snapshot,
        }
    }

    /// The same for one call of a batch whose turn came at `started`: its time begins there.
    pub fn at(&self, started: Instant) -> Context<W> {
        Context {
            snapshot: self.snapshot.clone(),
            route: self.route,
            started,
            client: self.client.clone(),
            may_stream: self.may_stream,
            rng: self.rng.clone(),
            local: self.local,
            client_trace: self.client_trace,
            passed: self.passed.clone(),
        }
    }

    /// The client's id as it must be echoed.
    pub fn client_id<'a>(request: &Request, body: &'a [u8]) -> &'a [u8] {
        match request.id {
            Id::Value => request.id_span.of(body),
            Id::Null | Id::Absent => b"null",
        }
    }

    /// Decides. `source` holds the request at the spans of `request`; `whole` is the request's own stretch of it. On
    /// anything but `Forward` the source comes back.
    pub fn decide(&self, shard: &Shard<W>, request: &Request, source: Source, whole: Range<usize>) -> (Todo<W>, Option<Source>) {
        let refuse = |refusal, source| (Todo::Refuse(refusal), Some(source));
        let name = request.method.of(source.bytes());
        let plan = self.snapshot.plan(self.route.profile, self.route.chain);
        let mut opened = Set::MAX;
        match method::gate(name) {
            Gate::Guarded(category) => {
                opened = plan.fixed.opened(category);
                if opened == 0 {
                    return refuse(RpcRefusal::blocked(), source);
                }
            }
            Gate::SubscribeOnly => return (Todo::Subscribe, Some(source)),
            Gate::Local if self.route.pin.is_none() && has_no_params(request, source.bytes()) => {
                let chain = self.snapshot.chain(self.route.profile, self.route.chain);
                return (Todo::Local(chain.chain_number_json.clone()), Some(source));
            }
            Gate::Local | Gate::Forward => {}
        }
        let id = method::lookup(name);
        let terms = plan.fixed.terms(id, name);
        let mut fit = Fit::of(plan, id, name, request.params.of(source.bytes()));
        let number = self.snapshot.chain(self.route.profile, self.route.chain).chain_number;
        shard.see_announced(&mut fit, plan, number, self.started);
        let is_bulk = links::is_bulk(id, name, whole.len());
        let mut ask = self.ask(shard, id, name, &fit, is_bulk);
        ask.eligible &= opened;
        ask.remeasure = ask.remeasure.filter(|_| terms.safety == Safety::Repeatable);
        if method::is_filter_use(id) {
            return match self.use_filter(shard, request, source, &mut ask) {
                Ok(outgoing) => (Todo::Forward(self.call(request, ask, (fit, terms), FilterRole::Use, outgoing)), None),
                Err(source) => refuse(RpcRefusal::filter_not_found(), source),
            };
        }
        let role = if method::is_filter_create(id) { FilterRole::Create } else { FilterRole::None };
        let outgoing = match request.canonical && request.id_span.len() <= SENT_ID_BYTES {
            true => Outgoing::canonical(source, whole, request),
            false => Outgoing::emitted(source, request, shard.take_call_id(), Vec::new()),
        };
        (Todo::Forward(self.call(request, ask, (fit, terms), role, outgoing)), None)
    }

    /// What this call asks of the choice of a provider (docs/behaviour/choosing.md#order).
    fn ask(&self, shard: &Shard<W>, method: MethodId, name: &[u8], fit: &Fit, is_bulk: bool) -> Ask {
        let plan = self.snapshot.plan(self.route.profile, self.route.chain);
        let mut ask = select::ask(plan, &self.route, method, name);
        fit.apply_to(&mut ask);
        ask.local = self.local;
        ask.reachable &= shard.links.reach(plan, ask.reachable);
        if is_bulk {
            ask.spare = ask.reachable;
            ask.reachable &= links::around_links(plan, ask.reachable);
        }
        ask.vetoed = shard.vetoes.mask(plan);
        ask.remeasure = self.remeasure(shard, plan, &ask);
        ask
    }

    /// The channel that this call is diverted to, because its evidence is old (docs/behaviour/choosing.md#measuring-again).
    fn remeasure(&self, shard: &Shard<W>, plan: &ChainPlan, ask: &Ask) -> Option<SlotId> {
        let grant = plan.ranking(ask.method).grant.filter(|grant| grant.shard == shard.producer())?;
        let is_measured = matches!(ask.strategy, Strategy::Fastest | Strategy::LatencyWeighted);
        let repeatable = method::info(ask.method).safety == Safety::Repeatable;
        (is_measured && repeatable && ask.pin.is_none() && shard.used.take_grant(&grant)).then_some(grant.slot)
    }

    fn call(&self, request: &Request, ask: Ask, of: (Fit, Terms), filter: FilterRole, outgoing: Outgoing) -> Call<W> {
        let (fit, terms) = of;
        Call {
            snapshot: self.snapshot.clone(),
            profile: self.route.profile,
            chain: self.route.chain,
            ask,
            terms,
            fit,
            filter,
            key: MethodKey::new(ask.method, request.method.of(outgoing.source.bytes())),
            outgoing,
            started: self.started,
            may_stream: self.may_stream && request.id != Id::Absent && filter == FilterRole::None,
            client: self.client.clone(),
            rng: self.rng.clone(),
            trace: Trace { traced: Traced::of(self.client_trace), ..Trace::new(ask.strategy) },
            passed: self.passed.clone(),
        }
    }

    /// A call that uses a filter: only its instance is asked, by that instance's own id. The source back: no such filter.
    fn use_filter(&self, shard: &Shard<W>, request: &Request, source: Source, ask: &mut Ask) -> Result<Outgoing, Source> {
        let params = request.params.of(source.bytes());
        let found = filter_id::find(params).and_then(|span| Some((span, filter_id::decode(span.of(params))?)));
        let Some((span, (tag, digits))) = found else { return Err(source) };
        let chain = self.snapshot.chain(self.route.profile, self.route.chain);
        let instance = self.snapshot.topology.instance_by_tag.get(&tag).copied();
        let plan = self.snapshot.plan(self.route.profile, self.route.chain);
        ask.eligible &= plan.fixed.of_providers(chain, |p| Some(p.instance) == instance);
        if ask.eligible == 0 {
            return Err(source);
        }
        let part = |range: Range<usize>| params.get(range).unwrap_or(&[]);
        let own = [part(0..span.start as usize), b"0x", digits, part(span.end as usize..params.len())].concat();
        let mut outgoing = Outgoing::emitted(source, request, shard.take_call_id(), Vec::new());
        outgoing.prefix.extend_from_slice(&own);
        // The params are in the prefix now.
        outgoing.stretch = 0..0;
        Ok(outgoing)
    }
}

/// `[]`, null or nothing.
fn has_no_params(request: &Request, body: &[u8]) -> bool {
    let is_empty_list = || {
        let inside = request.params.of(body).strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]"));
        inside.is_some_and(|inside| inside.iter().all(u8::is_ascii_whitespace))
    };
    request.params_kind == ParamsKind::None || (request.params_kind == ParamsKind::Array && is_empty_list())
}

/// Moves a request's spans to a buffer in which it begins at `by`.
pub fn shifted(request: Request, by: usize) -> Request {
    let move_by = |span: Span| if span == Span::NONE { span } else { span.shifted(by) };
    Request { id_span: move_by(request.id_span), method: move_by(request.method), params: move_by(request.params), ..request }
}

/// The same request over WebSocket (`data.websocket_url`, docs/behaviour/http.md#refusals).
pub fn websocket_url(scheme: &str, host: &str, path: &str) -> String {
    let scheme = if scheme == "https" { "wss" } else { "ws" };
    let path = path.get(..path.len().min(limits::HEAD_BYTES)).unwrap_or("");
    format!("{scheme}://{host}/ws{path}")
}
