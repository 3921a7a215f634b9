//! As many channels as a large operator has: each is probed at its own interval however many others there are, spread over
//! time. A node that probes so many a second and no more shows heights of a minute ago, and notices a death a minute late.

use super::launch::Way;
use super::stage::{Part, Setting, Stage};
use crate::seeds;
use crate::weather::pick;
use crate::world::Trace;
use lasso::base::rng::Rng;
use lasso::demo::knobs::Knobs;
use lasso::runtime::world::Instant;

/// A chain has at most so many providers in a profile.
const OF_PROFILE: usize = 60;
const INTERVAL_MS: u64 = 12_000;
/// Everyone has been probed once by then.
const FIRST_MS: u64 = 14_000;
const END_MS: u64 = 75_000;
/// A probe may come so late: a tick, the way, the one before it.
const LATE_MS: u64 = 3_000;
/// Probes that may come within a tenth of a second, where even spread would give a tenth of the rate.
const BURST: usize = 12;

struct Outcome {
    trace: Trace,
    channels: usize,
    probes: usize,
}

fn run(seed: u64) -> Outcome {
    let mut draw = Rng::new(seed).fork(76);
    let providers = pick(&mut draw, &[10, 60, 150, 150]) as usize;
    let part = |_| Part::new(Knobs::default(), Way::Both);
    let profiles = providers.div_ceil(OF_PROFILE);
    let setting = Setting { profiles, ..Setting::new(seed, 2_000, (0..providers).map(part).collect()) };
    let stage = Stage::new(seed, setting);
    let mut probes = 0;
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| probes = judge(stage, providers));
    Outcome { trace, channels: 2 * providers, probes }
}

fn judge(stage: &Stage, providers: usize) -> usize {
    let got = stage.ear.got.borrow();
    let is_probe = |of: &&super::stage::Got| of.is_own && of.method == "eth_chainId";
    for (provider, is_ws) in (0..providers).flat_map(|provider| [false, true].map(|is_ws| (provider, is_ws))) {
        let mine = got.iter().filter(is_probe).filter(|of| of.provider == provider && of.is_ws == is_ws);
        // As if everyone had been probed when the first round is over.
        let times: Vec<u64> = mine.map(|of| of.at.as_ms()).filter(|at| *at > FIRST_MS).collect();
        let bounds = [FIRST_MS].into_iter().chain(times).chain([END_MS]).collect::<Vec<u64>>();
        let late = bounds.windows(2).map(|pair| (pair[0], pair[1])).find(|(from, to)| to - from > INTERVAL_MS + LATE_MS);
        if let Some((from, to)) = late {
            let text = format!("one of {} channels, p{provider} (ws {is_ws}), was not probed", 2 * providers);
            stage.violation(format!("{text} from {from} to {to} ms; the interval is {INTERVAL_MS}"));
        }
    }
    let times: Vec<u64> = got.iter().filter(is_probe).map(|of| of.at.as_ms()).filter(|at| *at > FIRST_MS).collect();
    let even = 2 * providers * 100 / INTERVAL_MS as usize;
    let most = times.iter().enumerate().map(|(place, at)| times[place..].iter().take_while(|t| **t < at + 100).count()).max();
    if most.unwrap_or(0) > 4 * even + BURST {
        stage.violation(format!("{most:?} probes within a tenth of a second, of {} channels", 2 * providers));
    }
    times.len()
}

#[test]
fn soak() {
    seeds::soak("channels", 6, |seed| run(seed).trace);
}

#[test]
fn replay() {
    seeds::replay("channels", |seed| run(seed).trace);
}

#[test]
fn every_corner_is_reached() {
    let outcomes: Vec<Outcome> = (0..4).map(run).collect();
    let seen: Vec<_> = outcomes.iter().map(|o| (o.channels, o.probes, o.trace.polls)).collect();
    assert!(outcomes.iter().any(|o| o.channels == 300) && outcomes.iter().all(|o| o.probes > o.channels), "{seen:?}");
}
