//! The interfaces for people and their tools that need more than this shard knows: questions to the aggregator, the
//! explanation of a choice, an operator's order to a circuit.

use crate::base::ids::{ChainId, ProfileId};
use crate::base::limits;
use crate::cluster::advice::AdvicePolicy;
use crate::cluster::merging::ClusterScope;
use crate::cluster::telling::ClusterQuestion;
use crate::config::topology::{Profile, Topology};
use crate::observe::expose::Format;
use crate::observe::question::{Answer, Asked, Order, Question};
use crate::route::resolve::{DEFAULT_PROFILE, Local, arguments, query_value};
use crate::runtime::desk::Ticket;
use crate::runtime::world::World;
use crate::shard::Shard;
use crate::shard::client_http::Client;
use crate::shard::explain;
use crate::wire::http::{Field, RequestHead};
use serde_json::json;
use std::net::IpAddr;

/// Answers an interface that asks the aggregator or the rules; `local` answers the others.
pub async fn answer<W: World>(client: &Client<W>, what: Local, head: &RequestHead, buf: &[u8]) -> Answer {
    let (path, query) = (arguments(head.path.of(buf)), head.query.of(buf));
    let snapshot = client.shard.snapshot();
    let topology = &snapshot.topology;
    let argument = |nth: usize| path.get(nth).map_or("", String::as_str);
    let profile = query_value(query, "profile").unwrap_or_else(|| DEFAULT_PROFILE.to_owned());
    let question = match what {
        Local::Shards => Question::Shards,
        Local::Status => Question::Status,
        Local::Region => Question::Region,
        Local::Prometheus => Question::Prometheus { format: Format::of_accept(head.field(Field::Accept).of(buf)) },
        Local::Providers | Local::Metrics => match find(topology, &profile, argument(2)) {
            Ok(place) if what == Local::Metrics && scope(query).is_some() => return compared(client, place, query).await,
            Ok((profile, chain)) if what == Local::Metrics => {
                let histograms = query_value(query, "histograms").as_deref() == Some("true");
                Question::Metrics { profile, chain, histograms }
            }
            Ok((profile, chain)) => Question::Providers { profile, chain },
            Err(refusal) => return refusal,
        },
        Local::Explain => {
            return match find(topology, argument(2), argument(3)) {
                Ok((profile, chain)) => explain::answer(&client.shard, &snapshot, profile, chain, argument(4), query),
                Err(refusal) => refusal,
            };
        }
        Local::Breakers => match order(client, topology, head, buf, [argument(2), argument(3), argument(4), argument(5)]) {
            Ok(question) => question,
            Err(refusal) => return refusal,
        },
        Local::Root | Local::Dashboard | Local::Asset | Local::Health | Local::Ready | Local::Chains | Local::Cluster => {
            return elsewhere();
        }
        Local::OpenApi | Local::Events | Local::Reload => return elsewhere(),
    };
    ask(&client.shard, question).await
}

/// Whose figures are wanted, when they are not this node's as they stand: `scope=cluster`, `region=R` or `node=ID`.
fn scope(query: &[u8]) -> Option<Result<ClusterScope, Answer>> {
    let given = ["scope", "region", "node"].map(|name| query_value(query, name));
    Some(Ok(match given.map(|value| value.filter(|value| !value.is_empty())) {
        [None, None, None] => return None,
        [Some(scope), None, None] if scope == "node" => return None,
        [Some(scope), None, None] if scope == "cluster" => ClusterScope::Everybody,
        [None, Some(region), None] => ClusterScope::Region(region.into()),
        [None, None, Some(id)] => ClusterScope::Node(id.into()),
        _ => return Some(Err(refused(400, "whose figures?", "one of scope=cluster, region=REGION and node=NODE_ID"))),
    }))
}

/// The figures of several nodes about one chain.
async fn compared<W: World>(client: &Client<W>, (profile, chain): (ProfileId, ChainId), query: &[u8]) -> Answer {
    let shard = &client.shard;
    let scope = match scope(query) {
        Some(Ok(scope)) => scope,
        Some(Err(refusal)) => return refusal,
        None => return elsewhere(),
    };
    let topology = shard.snapshot().topology.clone();
    let (profile, chain) = (&topology.profiles[profile], &topology.profiles[profile].chains[chain]);
    let question = ClusterQuestion {
        profile: profile.slug.clone(),
        chain: chain.key.clone(),
        chain_number: chain.chain_number,
        scope,
        histograms: query_value(query, "histograms").as_deref() == Some("true"),
        wall: shard.world.wall(),
    };
    match shard.node.cluster_desk.ask(question) {
        Some(ticket) => awaited(shard, ticket).await,
        None => refused(503, "too many questions at once", "ask again in a second"),
    }
}

/// Were one of `local`'s to come here.
fn elsewhere() -> Answer {
    refused(404, "nothing answers here", "GET /api/openapi.json lists the interfaces")
}

async fn ask<W: World>(shard: &Shard<W>, what: Question) -> Answer {
    let Some(ticket) = shard.node.desk.ask(Asked { what, wall: shard.world.wall() }) else {
        return refused(503, "too many questions at once", "ask again in a second");
    };
    awaited(shard, ticket).await
}

async fn awaited<W: World>(shard: &Shard<W>, ticket: Ticket<Answer>) -> Answer {
    let until = shard.now().plus_ms(limits::ANSWER_WAIT_MS);
    while shard.now() < until {
        if let Some(answer) = ticket.take() {
            return answer;
        }
        shard.world.sleep_until(shard.world.now().plus_ms(limits::ANSWER_POLL_MS)).await;
    }
    refused(503, "the aggregator did not answer in time", "the machine is overloaded; ask again in a second")
}

pub fn refused(status: u16, error: &str, hint: &str) -> Answer {
    Answer::json(status, json!({ "error": error, "hint": hint }).to_string())
}

/// Who asks for a chain that is not there is told which are (docs/behaviour/shown.md#figures).
fn find(topology: &Topology, slug: &str, chain: &str) -> Result<(ProfileId, ChainId), Answer> {
    let not_found = |body: serde_json::Value| Answer::json(404, body.to_string());
    let found = topology.profile_by_slug.get(slug).and_then(|id| Some((*id, topology.profiles.get(*id)?)));
    let Some((profile, scope)) = found else {
        let all: Vec<&str> = topology.profiles.values().map(|p| p.slug.as_ref()).collect();
        return Err(not_found(json!({ "error": "Profile not found", "profile": slug, "available_profiles": all })));
    };
    let keys = |scope: &Profile| scope.chains.values().map(|c| c.key.to_string()).collect::<Vec<_>>();
    let missing = || not_found(json!({ "error": "Chain not found", "chain": chain, "available_chains": keys(scope) }));
    scope.chain_by_name.get(chain).map(|chain| (profile, *chain)).ok_or_else(missing)
}

/// `POST /api/breakers/:profile/:chain/:provider/{open,close,auto}`; with `?cluster=true` for every node.
fn order<W: World>(
    client: &Client<W>,
    topology: &Topology,
    head: &RequestHead,
    buf: &[u8],
    [profile, chain, provider, word]: [&str; 4],
) -> Result<Question, Answer> {
    if !is_local_operator(client.peer, head, buf) {
        let hint = "orders are taken from this machine only: POST to http://127.0.0.1 with content-type application/json, \
             and not through a proxy or a browser";
        return Err(refused(403, "not allowed from here", hint));
    }
    let order = Order::from_word(word).ok_or_else(|| refused(404, "no such order", "it is open, close or auto"))?;
    let (profile, chain) = find(topology, profile, chain)?;
    let configured = &topology.profiles[profile].chains[chain];
    let Some(id) = configured.provider_by_id.get(provider) else {
        let all: Vec<&str> = configured.providers.values().map(|p| p.id.as_ref()).collect();
        let body = json!({ "error": "Provider not found", "provider": provider, "available_providers": all });
        return Err(Answer::json(404, body.to_string()));
    };
    let is_for_all = query_value(head.query.of(buf), "cluster").as_deref() == Some("true");
    let advice = client.shard.node.settings.cluster.as_ref().map_or(AdvicePolicy::Off, |cluster| cluster.advice);
    if is_for_all && advice == AdvicePolicy::Off {
        let hint = "CLUSTER_DNS_QUERY makes it part of one, and --cluster-advice must not be off; without --cluster the order is for this node";
        return Err(refused(409, "this node tells no others of orders", hint));
    }
    Ok(Question::Breaker { entry: configured.entry(*id), order, is_for_all })
}

/// docs/behaviour/http.md#operators: a front proxy on this machine makes every client a loopback peer, and a browser on it sends
/// what any page tells it to, so both are told by what they add.
fn is_local_operator(peer: IpAddr, head: &RequestHead, buf: &[u8]) -> bool {
    let field = |field| head.field(field).of(buf);
    let is_absent = |name| field(name).is_empty();
    let host = std::str::from_utf8(field(Field::Host)).unwrap_or("");
    peer.to_canonical().is_loopback()
        && !head.forwarded
        && is_absent(Field::Origin)
        && is_absent(Field::SecFetchSite)
        && is_loopback_host(host)
        && field(Field::ContentType)
            .split(|b| *b == b';')
            .next()
            .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

/// A name that only this machine answers to, with or without a port.
fn is_loopback_host(host: &str) -> bool {
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) => name,
        _ => host,
    };
    let bare = without_port.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{Scan, scan_request};

    #[test]
    fn hosts() {
        let check = |host, want| assert_eq!(is_loopback_host(host), want, "{host}");
        for host in ["localhost", "LOCALHOST:4000", "127.0.0.1", "127.9.9.9:4000", "[::1]", "[::1]:4000", "::1"] {
            check(host, true);
        }
        for host in [
            "",
            "localhost.evil.example",
            "10.0.0.1:4000",
            "evil.example:80",
            "[2001:db8::1]:4000",
            "0.0.0.0:4000",
            "127.0.0.1.nip.io",
        ] {
            check(host, false);
        }
    }

    #[test]
    fn only_a_person_on_this_machine_gives_orders() {
        let check = |peer: &str, fields: &str, want: bool| {
            let text = format!("POST /api/breakers/default/one/a/open HTTP/1.1\r\n{fields}content-length: 0\r\n\r\n");
            let Scan::Done(head) = scan_request(text.as_bytes(), 0) else { panic!("{text}") };
            assert_eq!(is_local_operator(peer.parse().unwrap(), &head, text.as_bytes()), want, "{peer} {fields}");
        };
        let plain = "host: localhost:4000\r\ncontent-type: application/json\r\n";
        check("127.0.0.1", plain, true);
        check("::1", plain, true);
        check("10.0.0.1", plain, false);
        check("127.0.0.1", "host: localhost:4000\r\n", false);
        check("127.0.0.1", "host: evil.example\r\ncontent-type: application/json\r\n", false);
        for added in [
            "x-forwarded-for: 1.2.3.4",
            "forwarded: for=1.2.3.4",
            "x-real-ip: 1.2.3.4",
            "x-forwarded-host: a",
            "origin: http://localhost:4000",
            "sec-fetch-site: same-origin",
        ] {
            check("127.0.0.1", &format!("{plain}{added}\r\n"), false);
        }
    }
}
