//! `/api/explain/:profile/:chain/:method`: what this shard would choose now, and for every channel why or why not.

use crate::base::ids::{ChainId, MethodId, ProfileId, ProviderId, SlotId, Transport};
use crate::base::span::Span;
use crate::base::time::Instant;
use crate::chain::method::{self, Gate, Safety};
use crate::chain::params::{BlockAsk, block_in_words};
use crate::config::topology::{Chain, Strategy};
use crate::health::breaker::HELD_CLOSED;
use crate::observe::question::Answer;
use crate::route::explain::{Part, Stage, explain};
use crate::route::fit::Fit;
use crate::route::resolve::{Meta, Route, query_value};
use crate::route::select::{self, Ask};
use crate::runtime::world::World;
use crate::shard::admin::refused;
use crate::shard::{Current, Shard};

use crate::snapshot::{ChainPlan, Gates, Set, bit};
use serde_json::{Value, json};

pub fn answer<W: World>(
    shard: &Shard<W>,
    snapshot: &Current,
    profile: ProfileId,
    chain: ChainId,
    name: &str,
    query: &[u8],
) -> Answer {
    let (plan, configured) = (snapshot.plan(profile, chain), snapshot.chain(profile, chain));
    let asked = match Thought::read(configured, query) {
        Ok(asked) => asked,
        Err(refusal) => return refusal,
    };
    let route = Route {
        profile,
        chain,
        strategy: asked.strategy,
        pin: asked.pin,
        allow_failover: false,
        transport: asked.transport,
        meta: Meta::None,
        region: Span::NONE,
    };
    let method = method::lookup(name.as_bytes());
    let mut ask = select::ask(plan, &route, method, name.as_bytes());
    ask.local = plan.fixed.preferred(configured, &asked.region);
    Fit::at_block(plan, method, name.as_bytes(), asked.block).apply_to(&mut ask);
    let gate = method::gate(name.as_bytes());
    if let Gate::Guarded(category) = gate {
        ask.eligible &= plan.fixed.opened(category);
    }
    let terms = plan.fixed.terms(method, name.as_bytes());
    ask.reachable &= shard.links.reach(plan, ask.reachable);
    ask.vetoed = shard.vetoes.mask(plan);
    let parts = explain(plan, &ask, &mut shard.rng.borrow_mut().fork(2));
    let mut rows: Vec<(SlotId, Part)> = parts.iter().map(|(id, part)| (id, *part)).collect();
    rows.sort_by_key(|(id, part)| (part.turn.unwrap_or(usize::MAX), std::cmp::Reverse(part.stage), *id));
    let chosen = rows.first().filter(|(_, part)| part.turn == Some(0)).map(|(slot, _)| *slot);
    let name_of = |slot: SlotId| configured.providers[plan.fixed.providers[slot]].id.as_ref();
    let body = json!({
        "profile": snapshot.topology.profiles[profile].slug,
        "chain": configured.key,
        "chain_id": configured.chain_number,
        "method": name,
        "is_known_method": method != method::UNKNOWN,
        "handling": handling(gate, ask.eligible),
        "is_repeatable": terms.safety == Safety::Repeatable,
        "timeout_ms": terms.timeout_ms,
        "strategy": ask.strategy.word(),
        "needs_archive": ask.archival,
        "consensus_height": plan.consensus,
        "timestamp": shard.world.wall().rfc3339(),
        "chosen": chosen.map(name_of),
        "chosen_transport": chosen.map(|slot| plan.fixed.channels[slot].transport().word()),
        "is_drawn": parts.values().any(|part| part.odds > 0.0 && part.odds < 1.0),
        "is_dark": plan.has_nobody(),
        "providers": rows.iter().map(|(id, part)| provider(plan, configured, &ask, (*id, part), shard.recent())).collect::<Vec<_>>(),
    });
    Answer::json(200, body.to_string())
}

/// What becomes of the method before anybody is chosen.
fn handling(gate: Gate, eligible: Set) -> &'static str {
    match gate {
        Gate::Forward => "forwarded",
        Gate::Local => "answered by this node, unless it is pinned or has parameters",
        Gate::Guarded(_) if eligible == 0 => "blocked: no provider's unsupported_categories leave its category out",
        Gate::Guarded(_) => "forwarded to those whose unsupported_categories leave its category out",
        Gate::SubscribeOnly => "subscriptions only: over WebSocket",
    }
}

/// The call that is thought of.
struct Thought {
    strategy: Option<Strategy>,
    block: BlockAsk,
    transport: Option<Transport>,
    pin: Option<ProviderId>,
    /// The one that the client prefers, or empty.
    region: String,
}

impl Thought {
    fn read(chain: &Chain, query: &[u8]) -> Result<Thought, Answer> {
        let strategy = match query_value(query, "strategy") {
            None => None,
            Some(word) => Some(Strategy::from_word(&word).ok_or_else(|| {
                refused(400, &format!("no strategy \"{word}\""), "use priority, load-balanced, fastest or latency-weighted")
            })?),
        };
        let block = match query_value(query, "block") {
            None => BlockAsk::None,
            Some(text) => block_in_words(&text)
                .ok_or_else(|| refused(400, &format!("no block \"{text}\""), "use a number, 0x hex, latest or earliest"))?,
        };
        let transport = match query_value(query, "transport").as_deref() {
            None => None,
            Some("http") => Some(Transport::Http),
            Some("ws") => Some(Transport::Ws),
            Some(word) => return Err(refused(400, &format!("no transport \"{word}\""), "use http or ws")),
        };
        let pin = match query_value(query, "provider") {
            None => None,
            Some(id) => Some(chain.provider_by_id.get(id.as_str()).copied().ok_or_else(|| {
                refused(404, &format!("no provider \"{id}\" on this chain"), "GET /api/providers/:chain lists them")
            })?),
        };
        Ok(Thought { strategy, block, transport, pin, region: query_value(query, "region").unwrap_or_default() })
    }
}

fn provider(plan: &ChainPlan, chain: &Chain, ask: &Ask, (id, part): (SlotId, &Part), now: Instant) -> Value {
    let configured = &chain.providers[plan.fixed.providers[id]];
    let height = plan.heights.get(id).filter(|height| height.optimistic > 0);
    let gates = &plan.gates;
    let by_latency = matches!(ask.strategy, Strategy::Fastest | Strategy::LatencyWeighted);
    let is_unmeasured = by_latency && plan.ranking(ask.method).qualified & bit(id) == 0;
    let is = |set: Set| set & bit(id) != 0;
    json!({
        "id": configured.id,
        "transport": plan.fixed.channels[id].transport().word(),
        "stage": part.stage.word(),
        "reason": reason(part, plan.trouble(id).map(|trouble| trouble.why(now)), (is_unmeasured, gates, id)),
        "turn": part.turn,
        "odds": rounded(part.odds),
        "tier": part.tier,
        "priority": configured.priority,
        "is_local": part.is_local,
        "circuit": plan.circuit(id),
        "is_rate_limited": is(gates.limited),
        "is_misconfigured": part.is_misconfigured,
        "is_forked": part.is_forked,
        "is_behind": part.is_behind,
        "is_pruned": part.is_pruned,
        "is_vetoed_here": part.is_vetoed,
        "height": height.map(|h| h.optimistic),
        "reported_height": height.map(|h| h.reported),
        "lag_blocks": height.map(|h| h.lag.min(0).unsigned_abs()),
        "evidence": evidence(plan, ask.method, id),
    })
}

/// Why it is not asked, or why it comes later than others that nothing speaks against. `trouble`: of its circuit.
fn reason(part: &Part, trouble: Option<String>, (is_unmeasured, gates, id): (bool, &Gates, SlotId)) -> String {
    let is = |set: Set| set & bit(id) != 0;
    match (part.stage, &trouble) {
        (Stage::CircuitOpen, Some(why)) => return format!("its circuit is open: {why}"),
        // Its words name the circuit themselves.
        (Stage::HalfOpen, Some(why)) => return why.clone(),
        (Stage::Candidate, _) => {}
        (stage, _) => return stage.reason().to_owned(),
    }
    let demotions = [
        (part.is_forked, "it follows another fork than two others that agree, so it is tried last"),
        (part.is_misconfigured, "it refuses our credentials, so it is tried last"),
        (part.is_pruned, "the state asked for is old and it is not marked `archival: true`, so archives go first"),
        (part.is_behind, "it is behind the chain or the block asked for, so others go first"),
        (part.is_vetoed, "it failed here a moment ago, so others go first"),
        (is(gates.limited), "it is rate-limited, so others go first"),
        (!part.is_local, "it is of another region, so local ones of its tier go first"),
        (is_unmeasured, "it has too few good calls of this method to be ranked by, so those with enough go first"),
    ];
    let in_the_dark = trouble.map(|why| format!("nobody's circuit is closed, so it is tried all the same ({why})"));
    let demoted = demotions.iter().filter(|(is, _)| *is).map(|(_, why)| (*why).to_owned());
    // What changes nothing now, and may soon.
    let notes = [
        (is(gates.held_closed), HELD_CLOSED),
        (is(gates.suspected), "calls of it failed, perhaps by their own fault: our probe decides"),
    ];
    let noted = notes.iter().filter(|(is, _)| *is).map(|(_, note)| (*note).to_owned());
    let mut found: Vec<String> = in_the_dark.into_iter().chain(demoted).collect();
    if found.is_empty() {
        found.push(Stage::Candidate.reason().to_owned());
    }
    found.extend(noted);
    found.join("; ")
}

fn evidence(plan: &ChainPlan, method: MethodId, id: SlotId) -> Value {
    let ranking = plan.ranking(method);
    let Some(standing) = ranking.standings.get(id) else { return Value::Null };
    let ms = |us: u32| f64::from(us) / 1000.0;
    let measured = |us: u32| standing.latency_us.map(|_| ms(us));
    json!({
        "latency_ms": standing.latency_us.map(ms),
        "p50_ms": measured(standing.p50_us),
        "p90_ms": measured(standing.p90_us),
        "p99_ms": measured(standing.p99_us),
        "samples": rounded(standing.samples),
        "successes": standing.successes,
        "reliability": rounded(standing.reliability),
        "failures_in_a_row": standing.failures_in_a_row,
        "is_qualified": standing.qualified,
        "weight": rounded(ranking.weight(id)),
        "probe_latency_ms": standing.prior_us.map(ms),
        "kept_latency_ms": standing.kept_us.map(ms),
        "first_attempt_waits_ms": ranking.patience_ms(id),
    })
}

fn rounded(x: f32) -> f64 {
    (f64::from(x) * 10_000.0).round() / 10_000.0
}
