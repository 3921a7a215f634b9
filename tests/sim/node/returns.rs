//! Streams outlive their providers: whoever is back first is led by at once.
//!
//! All providers of a chain go away together for 5 to 60 s, in one of the ways in which a provider is away, and come back one
//! after the other: whole, or over one transport only, or with limits for whoever subscribes. Clients hear newHeads meanwhile.
//! So soon after the first return everything is told, or the connection was closed in the time that is promised for that; and
//! nobody is closed whose providers are back before that time. A provider that asks for a second's rest is given it.

use super::continuity::Truth;
use super::launch::Way;
use super::stage::{Got, Part, Setting, Stage};
use super::subscriber::{Expect, Subscriber, Tally};
use crate::seeds;
use crate::weather::{coin, one_in, pick};
use crate::world::{Sim, Trace};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::demo::knobs::{Fault, Knobs, Latency, SubscribeFault};
use lasso::runtime::world::{Instant, World};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;

const BLOCK_MS: u64 = 2_000;
const BACKFILL_MS: u64 = 30_000;
/// Silence after which a subscription is stale, and so the longest until its end is noticed.
const STALE_MS: u64 = 6_000;
/// From the first provider's return until all is told; what was sent while nothing passed is given its time first.
const SERVED_MS: u64 = 1_500;
const CUT_MS: u64 = limits::POLL_TIMEOUT_MS;
/// And until a polled one that says nothing is found out.
const POLLED_MS: u64 = limits::POLL_TIMEOUT_MS + limits::POLL_AGAIN_MS;
/// Deadlines and the way of the close.
const CLOSE_MS: u64 = 3_000;
/// A limit on subscriptions lasts so long after a return, and is asked about each second.
const LIMITED_MS: u64 = 2_500;
const LIMIT_ASKED_MS: u64 = 1_000;

/// How a provider is away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Away {
    /// Its port is closed.
    Refused,
    /// Connections are closed as they come.
    Closed,
    /// A proxy in front of it says so.
    Page,
    /// Nothing passes.
    Cut,
}

const WAYS: [Away; 4] = [Away::Refused, Away::Closed, Away::Page, Away::Cut];
const PROXY: (u32, Fault) = (1_000_000, Fault::Page(502));

/// How one comes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Back {
    Whole,
    HttpOnly,
    WsOnly,
    /// Whole, but subscriptions are limited for a while.
    Limited,
}

/// One provider's absence.
#[derive(Clone, Copy, Debug)]
struct Absence {
    away: Away,
    gone: Instant,
    back: Instant,
    how: Back,
}

impl Absence {
    /// When heads can be had of it again.
    fn serves_from(&self, way: Way) -> Option<Instant> {
        match (self.how, way) {
            (Back::HttpOnly, Way::Ws) | (Back::WsOnly, Way::Http) => None,
            (Back::Limited, Way::Ws) => Some(self.back.plus_ms(LIMITED_MS + LIMIT_ASKED_MS)),
            _ if self.away == Away::Cut => Some(self.back.plus_ms(CUT_MS)),
            _ => Some(self.back),
        }
    }

    fn begin(&self, node: &Sim, stage: &Stage, place: usize) {
        let provider = &stage.providers[place];
        node.say(|| format!("{} goes: {self:?}", provider.name));
        match self.away {
            Away::Refused => node.link(&stage.hosts[place], |link| link.refused = true),
            Away::Closed => {}
            Away::Page => provider.tune(|knobs| knobs.faults.push(PROXY)),
            Away::Cut => node.link(&stage.hosts[place], |link| link.blocked_until = self.back.0),
        }
        if self.how == Back::Limited {
            provider.tune(|knobs| knobs.subscribe_faults.push((1_000_000, SubscribeFault::Limited)));
        }
        if matches!(self.away, Away::Refused | Away::Closed) {
            provider.tune(|knobs| knobs.down = true);
        }
        if self.away != Away::Cut {
            provider.restart();
        }
    }

    fn end(&self, node: &Sim, stage: &Stage, place: usize) {
        let provider = &stage.providers[place];
        node.say(|| format!("{} is back", provider.name));
        node.link(&stage.hosts[place], |link| link.refused = false);
        provider.tune(|knobs| {
            knobs.down = false;
            knobs.faults.retain(|fault| *fault != PROXY);
            knobs.takes_http &= self.how != Back::WsOnly;
            knobs.takes_sockets &= self.how != Back::HttpOnly;
        });
        // What was open before a cut would go on.
        if matches!(self.how, Back::HttpOnly | Back::WsOnly) {
            provider.restart();
        }
    }
}

fn go(stage: &Rc<Stage>, place: usize, absence: Absence) {
    let (node, stage) = (stage.node.clone(), stage.clone());
    node.clone().spawn("away", async move {
        node.sleep_until(absence.gone).await;
        absence.begin(&node, &stage, place);
        node.sleep_until(absence.back).await;
        absence.end(&node, &stage, place);
        node.sleep_until(absence.back.plus_ms(LIMITED_MS)).await;
        stage.providers[place].tune(|knobs| knobs.subscribe_faults.clear());
    });
}

/// A run's trace, and what it reached.
struct Told {
    trace: Trace,
    tally: Tally,
    was_served: bool,
}

fn run(seed: u64) -> Told {
    let mut draw = Rng::new(seed).fork(73);
    let count = 1 + draw.below(3) as usize;
    let p50_ms = pick(&mut draw, &[1, 10]) as f64;
    let ways: Vec<Way> = (0..count).map(|_| [Way::Both, Way::Both, Way::Ws, Way::Http][draw.below(4) as usize]).collect();
    let knobs = || Knobs { latency: Latency { p50_ms, p95_ms: 1.5 * p50_ms }, ..Knobs::default() };
    let mut setting = Setting::new(seed, BLOCK_MS, ways.iter().map(|way| Part::new(knobs(), *way)).collect());
    setting.chain_lines = format!(
        "    block_time_ms: {BLOCK_MS}\n    websocket:\n      new_heads_timeout_ms: {STALE_MS}\n      failover:\n        \
         backfill_timeout_ms: {BACKFILL_MS}\n"
    );
    let stage = Stage::new(seed, setting);
    let away = WAYS[draw.below(4) as usize];
    let gone = Instant::ZERO.plus_ms(10_000 + draw.below(2_000));
    let first = gone.plus_ms(pick(&mut draw, &[5_000, 16_000, 22_000, 29_000, 60_000]));
    let mut absences: Vec<Absence> = Vec::new();
    for place in 0..count {
        let how = [Back::Whole, Back::HttpOnly, Back::WsOnly, Back::Limited][draw.below(4) as usize];
        let later_ms = if place == 0 { 0 } else { pick(&mut draw, &[0, 300, 2_000, 90_000]) };
        absences.push(Absence { away, gone, back: first.plus_ms(later_ms), how });
        go(&stage, place, absences[place]);
    }
    let served = absences.iter().zip(&ways).filter_map(|(absence, way)| absence.serves_from(*way)).min();
    let (tally, was_served) = (Rc::<Cell<Tally>>::default(), Rc::new(Cell::new(false)));
    let truth = Rc::new(Truth::new(stage.network.clone()));
    for number in 0..1 + draw.below(2) {
        let (world, stage, truth, tally, was_served) =
            (stage.client_host(), stage.clone(), truth.clone(), tally.clone(), was_served.clone());
        let joins = Instant::ZERO.plus_ms(1_000 + draw.below(4_000));
        let has_more = one_in(&mut draw, 3) && coin(&mut draw);
        world.clone().spawn("client", async move {
            world.sleep_until(joins).await;
            let expect = Expect { is_well: false, is_frail: false, bytes_per_second: u64::MAX };
            let name = format!("client {number}");
            let connecting = Subscriber::connect(&world, &stage.node, "/ws/rpc/main", name, &truth, &tally, expect);
            let Some(client) = connecting.await else { return };
            client.subscribe(json!(["newHeads"]));
            if has_more {
                client.subscribe(json!(["newHeads"]));
            }
            watch(&world, &client, gone, served).await;
            was_served.set(was_served.get() || !client.has_ended());
            client.leave().await;
        });
    }
    let trace = stage.play(Instant::ZERO.plus_ms(170_000), |stage| {
        if let Some((first, second)) = hurried(&stage.ear.got.borrow(), &absences) {
            stage.violation(format!("asked for a second's rest at {} ms, asked again at {} ms", first.as_ms(), second.as_ms()));
        }
    });
    Told { trace, tally: tally.get(), was_served: was_served.get() }
}

/// What one client is owed, from the loss on.
async fn watch(world: &Sim, client: &Subscriber, gone: Instant, served: Option<Instant>) {
    world.sleep_until(gone).await;
    if client.live().is_empty() {
        world.violation("it has no subscription, in a well world".into());
    }
    let must_end = gone.plus_ms(STALE_MS + POLLED_MS + BACKFILL_MS + CLOSE_MS);
    let in_time = served.filter(|served| *served <= gone.plus_ms(BACKFILL_MS - CLOSE_MS));
    if let Some(back) = served.filter(|served| *served < must_end) {
        world.sleep_until(back.plus_ms(SERVED_MS)).await;
        if client.has_ended() && in_time.is_some() {
            world.violation(format!("closed, though a provider was there from {} ms on", back.as_ms()));
        }
        client.judge(back);
        for later_ms in [10_000, 20_000] {
            let at = back.plus_ms(later_ms);
            world.sleep_until(at.plus_ms(SERVED_MS)).await;
            client.judge(at);
        }
    } else {
        world.sleep_until(must_end).await;
        if !client.has_ended() {
            world.violation(format!("nobody was there since {} ms, and it is still open", gone.as_ms()));
        }
    }
}

/// A subscription asked for again within the second that its provider asked for.
fn hurried(got: &[Got], absences: &[Absence]) -> Option<(Instant, Instant)> {
    let limited = |place: usize| absences.get(place).filter(|absence| absence.how == Back::Limited);
    let asked: Vec<&Got> = got.iter().filter(|call| call.method == "eth_subscribe").collect();
    asked.iter().enumerate().find_map(|(place, first)| {
        let absence = limited(first.provider)?;
        let is_limited = first.at > absence.back && first.at < absence.back.plus_ms(LIMITED_MS - 100);
        let again = asked[place + 1..].iter().find(|later| later.provider == first.provider)?;
        let is_early = again.at < first.at.plus_ms(900) && again.at < absence.back.plus_ms(LIMITED_MS - 100);
        (is_limited && is_early).then_some((first.at, again.at))
    })
}

#[test]
fn soak() {
    seeds::soak("returns", 150, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("returns", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let (mut all, mut served) = (Tally::default(), 0);
    for seed in 0..40 {
        let told = run(seed);
        all += told.tally;
        served += u64::from(told.was_served);
    }
    assert!(served > 10 && all.given_up > 5 && all.heads > 500, "{served} {all:?}");
}
