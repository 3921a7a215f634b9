//! What a request line asks for: path, query and our header fields to one `Target` (docs/behaviour/http.md#paths).
//!
//! A path is split into segments and matched against the route table by literal patterns, first declared match wins,
//! so that the table below reads like the document's. Names are looked up by borrowed `&str`; nothing is allocated unless a
//! `%` has to be decoded or the answer is a refusal. A router crate was rejected: seven shapes do not need a tree, and
//! the rule "literals before variables, per segment count" would be hidden in its priorities.
//! Body keys never change routing: this file does not see the body.

pub mod cors;
mod path;
mod query;
mod refusal;
pub mod request_id;
#[cfg(test)]
mod tests;

pub use path::is_rpc_path;
pub use query::value as query_value;
pub use refusal::Refusal;

pub use crate::base::ids::Transport;
use crate::base::ids::{ChainId, ProfileId, ProviderId};
use crate::base::span::Span;
use crate::config::topology::{Profile, Strategy, Topology};
use crate::wire::http::{Field, Method, RequestHead};
use path::{Segments, WRONG_ESCAPE};
use query::Params;

/// The profile of a path without `/profile/:profile`.
pub const DEFAULT_PROFILE: &str = "default";

/// Where the client wants `lasso_meta` (docs/behaviour/http.md#inputs).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Meta {
    #[default]
    None,
    Headers,
    Body,
}

/// Where a call goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    pub profile: ProfileId,
    pub chain: ChainId,
    /// From the path; `None` follows the chain's default, then the node's.
    pub strategy: Option<Strategy>,
    pub pin: Option<ProviderId>,
    /// A pinned call may fall back to the other providers.
    pub allow_failover: bool,
    pub transport: Option<Transport>,
    pub meta: Meta,
    /// The value of `X-Lasso-Region` in the head's buffer; empty when absent.
    pub region: Span,
}

/// Everything a well-formed request line can mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    Rpc(Route),
    /// An upgrade request to `/ws/...`; whether it carries the right upgrade fields is the handshake's business.
    Websocket(Route),
    Local(Local),
    /// `OPTIONS` on any path: browsers ask so before they send, balancers whether somebody is there.
    Preflight,
}

/// Paths that the node answers by itself. GET ones also accept HEAD. Arguments are read again by whoever answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Local {
    /// `/`: a redirect to the dashboard.
    Root,
    /// The page, of the default profile or of the one named in the path.
    Dashboard,
    /// A file of the page.
    Asset,
    Health,
    Ready,
    Status,
    Region,
    Chains,
    Providers,
    Metrics,
    Shards,
    Cluster,
    /// `/api/openapi.json`: what all of these take and answer.
    OpenApi,
    Explain,
    Events,
    /// `/metrics`, the text format.
    Prometheus,
    Reload,
    Breakers,
}

/// The verbs that routing tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Get,
    Head,
    Post,
    Options,
    Other,
}

/// What `resolve` looks at, cut out of a request head. Absent fields are empty.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub verb: Verb,
    pub path: &'a [u8],
    pub query: &'a [u8],
    /// `X-Lasso-Provider`.
    pub provider: &'a [u8],
    /// `X-Lasso-Transport`.
    pub transport: &'a [u8],
    /// `X-Lasso-Include-Meta`.
    pub include_meta: &'a [u8],
    /// `X-Lasso-Region`, by position.
    pub region: Span,
}

/// The target of a request whose head lies in `buf`, or why there is none.
pub fn resolve(top: &Topology, head: &RequestHead, buf: &[u8]) -> Result<Target, Refusal> {
    let verb = match head.method {
        Method::Get => Verb::Get,
        Method::Head => Verb::Head,
        Method::Post => Verb::Post,
        Method::Options => Verb::Options,
        _ => Verb::Other,
    };
    let field = |field| head.field(field).of(buf);
    let ask = Ask {
        verb,
        path: head.path.of(buf),
        query: head.query.of(buf),
        provider: field(Field::LassoProvider),
        transport: field(Field::LassoTransport),
        include_meta: field(Field::LassoIncludeMeta),
        region: head.field(Field::LassoRegion),
    };
    resolve_ask(top, &ask)
}

/// The same for a request that is no buffer.
pub fn resolve_ask(top: &Topology, ask: &Ask) -> Result<Target, Refusal> {
    let mut store = Vec::new();
    let segments = Segments::split(ask.path, &mut store).ok_or_else(|| Refusal::plain(400, "Bad Request", WRONG_ESCAPE))?;
    if ask.verb == Verb::Options {
        return Ok(Target::Preflight);
    }
    match segments.as_slice() {
        ["rpc", rest @ ..] => {
            let form = Form::of(rest).ok_or_else(Refusal::not_found)?;
            if ask.verb == Verb::Get {
                return Err(Refusal::websocket_elsewhere(ask.path));
            }
            require(ask.verb == Verb::Post, "POST, OPTIONS")?;
            route(top, ask, form).map(Target::Rpc)
        }
        ["ws", "rpc", rest @ ..] => {
            let form = Form::of(rest).ok_or_else(Refusal::not_found)?;
            require(ask.verb == Verb::Get, "GET, OPTIONS")?;
            route(top, ask, form).map(Target::Websocket)
        }
        other => local(other, ask.verb).map(Target::Local),
    }
}

fn require(right: bool, allow: &'static str) -> Result<(), Refusal> {
    if right { Ok(()) } else { Err(Refusal::wrong_verb(allow)) }
}

/// The shapes of an RPC path, names not yet looked up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Form<'a> {
    profile: Option<&'a str>,
    strategy: Option<Strategy>,
    pin: Option<&'a str>,
    chain: &'a str,
}

impl<'a> Form<'a> {
    /// First declared match wins, per number of segments: `/rpc/profile/x` is chain `profile`, provider `x`
    /// (docs/behaviour/http.md#paths).
    fn of(rest: &[&'a str]) -> Option<Form<'a>> {
        match rest {
            ["profile", profile, inner @ ..] if !inner.is_empty() => {
                Form::plain(inner).map(|f| Form { profile: Some(profile), ..f })
            }
            _ => Form::plain(rest),
        }
    }

    fn plain(rest: &[&'a str]) -> Option<Form<'a>> {
        let none = Form { profile: None, strategy: None, pin: None, chain: "" };
        match *rest {
            [chain] => Some(Form { chain, ..none }),
            [first, second] => Some(match strategy_segment(first) {
                Some(strategy) => Form { strategy: Some(strategy), chain: second, ..none },
                None => Form { chain: first, pin: Some(second), ..none },
            }),
            ["provider", pin, chain] => Some(Form { pin: Some(pin), chain, ..none }),
            _ => None,
        }
    }
}

/// Only the hyphened words are paths; the underscore forms are configuration's (docs/behaviour/http.md#paths).
fn strategy_segment(word: &str) -> Option<Strategy> {
    if word.contains('_') { None } else { Strategy::from_word(word) }
}

/// Looks the names up, in the order in which they are reported (docs/behaviour/http.md#paths): profile, chain, provider, then
/// what is asked of them.
fn route(top: &Topology, ask: &Ask, form: Form) -> Result<Route, Refusal> {
    let slug = form.profile.unwrap_or(DEFAULT_PROFILE);
    if slug.trim().is_empty() {
        return Err(Refusal::blank_profile());
    }
    let profile = *top.profile_by_slug.get(slug).ok_or_else(|| Refusal::unknown_profile(slug))?;
    let scope = top.profiles.get(profile).ok_or_else(|| Refusal::unknown_profile(slug))?;
    let chain = *scope.chain_by_name.get(form.chain).ok_or_else(|| Refusal::unknown_chain(form.chain, slug))?;
    let plain = Route {
        profile,
        chain,
        strategy: form.strategy,
        pin: None,
        allow_failover: false,
        transport: None,
        meta: Meta::None,
        region: ask.region,
    };
    if ask.query.is_empty() && ask.provider.is_empty() && ask.transport.is_empty() && ask.include_meta.is_empty() {
        return Ok(Route { pin: find_pin(scope, chain, form.pin)?, ..plain });
    }
    with_options(scope, ask, form, plain)
}

fn find_pin(scope: &Profile, chain: ChainId, name: Option<&str>) -> Result<Option<ProviderId>, Refusal> {
    let Some(name) = name else { return Ok(None) };
    let found = scope.chains.get(chain).and_then(|c| c.provider_by_id.get(name));
    found.copied().map(Some).ok_or_else(|| Refusal::unknown_provider(name))
}

/// The query's and header fields' part. The query wins over the field of the same meaning (docs/behaviour/http.md#inputs).
fn with_options(scope: &Profile, ask: &Ask, form: Form, plain: Route) -> Result<Route, Refusal> {
    let params = Params::parse(ask.query).ok_or_else(|| Refusal::plain(400, "Bad Request", WRONG_ESCAPE))?;
    let header_pin = text(ask.provider);
    let named = [form.pin, params.provider_override(), params.provider_id(), params.provider(), header_pin];
    let pin = find_pin(scope, plain.chain, named.into_iter().flatten().next())?;
    let transport = match params.transport().or_else(|| text(ask.transport)) {
        None => None,
        Some("http") => Some(Transport::Http),
        Some("ws") => Some(Transport::Ws),
        Some(other) => return Err(Refusal::wrong_transport(other)),
    };
    let meta =
        params.include_meta().and_then(meta_mode).or_else(|| text(ask.include_meta).and_then(meta_mode)).unwrap_or_default();
    let strategy = match (plain.strategy, params.strategy()) {
        (None, Some(word)) => Some(Strategy::from_word(word).ok_or_else(|| Refusal::unknown_strategy(word))?),
        (from_path, _) => from_path,
    };
    Ok(Route { pin, allow_failover: params.allow_failover(), transport, meta, strategy, ..plain })
}

/// Unknown words mean nothing (docs/behaviour/http.md#inputs): metadata is an extra and never a reason to refuse a call.
fn meta_mode(word: &str) -> Option<Meta> {
    match word {
        "headers" => Some(Meta::Headers),
        "body" => Some(Meta::Body),
        "none" => Some(Meta::None),
        _ => None,
    }
}

/// A header value as text; empty, blank or not UTF-8 is absent.
fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().map(str::trim).filter(|t| !t.is_empty())
}

/// A path's decoded segments, for those who answer a `Local` with arguments.
pub fn arguments(path: &[u8]) -> Vec<String> {
    let mut store = Vec::new();
    Segments::split(path, &mut store).map_or_else(Vec::new, |s| s.as_slice().iter().map(|s| (*s).to_owned()).collect())
}

/// Our own pages and interfaces.
fn local(segments: &[&str], verb: Verb) -> Result<Local, Refusal> {
    let (found, post) = match segments {
        [] => (Local::Root, false),
        ["dashboard"] | ["dashboard", _] => (Local::Dashboard, false),
        ["dashboard", "assets", _] => (Local::Asset, false),
        ["metrics"] => (Local::Prometheus, false),
        ["api", "health"] => (Local::Health, false),
        ["api", "ready"] => (Local::Ready, false),
        ["api", "status"] => (Local::Status, false),
        ["api", "region"] => (Local::Region, false),
        ["api", "chains"] => (Local::Chains, false),
        ["api", "providers", _] => (Local::Providers, false),
        ["api", "metrics", _] => (Local::Metrics, false),
        ["api", "shards"] => (Local::Shards, false),
        ["api", "cluster"] => (Local::Cluster, false),
        ["api", "openapi.json"] => (Local::OpenApi, false),
        ["api", "explain", _, _, _] => (Local::Explain, false),
        ["api", "events"] => (Local::Events, false),
        ["api", "reload"] => (Local::Reload, true),
        ["api", "breakers", _, _, _, _] => (Local::Breakers, true),
        _ => return Err(Refusal::not_found()),
    };
    match post {
        true => require(verb == Verb::Post, "POST")?,
        false => require(matches!(verb, Verb::Get | Verb::Head), "GET, HEAD")?,
    }
    Ok(found)
}
