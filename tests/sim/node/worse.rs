//! What happens to the chain and the providers of the story of subscriptions: reorgs, rounds without a block, falls, a crowded
//! block; manners, faults and troubles of each provider, and times at which nobody is there.
//!
//! Each seed has some of it, so that every kind meets every other over many seeds and most are met alone. What is worse than
//! most chains are (`Worse`) has chances of its own, drawn apart.

use super::calls::CHAIN_ID;
use super::launch::PROVIDER_PORT;
use super::subscriptions::HEALED_MS;
use super::trouble::{self, Kind, Trouble, Victim};
use crate::weather::{coin, one_in, pick};
use crate::world::Sim;
use lasso::base::rng::Rng;
use lasso::config::topology::Topology;
use lasso::config::{SourceFile, load};
use lasso::demo::chain_model::ChainModel;
use lasso::demo::knobs::{EventFault, Fault, Knobs, Latency, SubscribeFault};
use lasso::demo::lies::Lie;
use lasso::demo::provider::Provider;
use lasso::runtime::world::{Instant, World};
use std::cell::Cell;
use std::rc::Rc;

/// Reorgs and falls end here.
const LAST_TURN_MS: u64 = 55_000;

const KINDS: [Kind; 11] = [
    Kind::Refused,
    Kind::Cut,
    Kind::Down,
    Kind::Flap,
    Kind::Restart,
    Kind::Slow,
    Kind::Lag,
    Kind::Frozen,
    Kind::Silent,
    Kind::HttpAway,
    Kind::SocketAway,
];

/// What is worse than most chains are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Worse {
    /// In a million rounds.
    pub null_rounds: u32,
    /// After so many turns the chain falls.
    fall: Option<Fall>,
    /// The block of so many rounds after the beginning has so many transactions.
    crowded: Option<(u64, u64)>,
    /// All providers are away at once.
    pub outage: Option<Trouble>,
    /// In a calm world.
    pub flaw: Option<Flaw>,
    /// In a calm world without a flaw.
    pub liar: Option<Liar>,
}

/// One provider that lies to nobody's harm, because others do not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Liar {
    About(Lie),
    /// It follows a branch that is never canonical, as high as the others' chain: two others are needed to show it.
    Forked,
}

impl Liar {
    const ALL: [Liar; 4] = [Liar::About(Lie::Partial), Liar::About(Lie::Invented), Liar::About(Lie::ZeroBloom), Liar::Forked];

    /// The manners of one of so many providers.
    pub fn spoil(self, knobs: &mut Knobs, (index, count): (usize, usize), lone: u32) {
        match self {
            Liar::About(lie) if index == 0 => knobs.lie = Some(lie),
            Liar::Forked if index == 0 && count > SECOND => knobs.branch = Some(lone),
            Liar::About(_) | Liar::Forked => {}
        }
    }
}

/// What costs clients nothing where all else is well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// All providers but one announce heads that nobody knows, so far above the chain.
    Foreign { above: i64 },
    /// Nobody gives blocks and logs over HTTP, where all else is answered.
    BadHttp,
}

impl Flaw {
    const ALL: [Flaw; 4] =
        [Flaw::Foreign { above: 0 }, Flaw::Foreign { above: -1 }, Flaw::Foreign { above: 10_000 }, Flaw::BadHttp];

    /// The manners of one provider.
    pub fn spoil(self, knobs: &mut Knobs, is_last: bool) {
        match self {
            Flaw::Foreign { above } if !is_last => knobs.event_faults.push((300_000, EventFault::Foreign { above })),
            Flaw::Foreign { .. } => {}
            Flaw::BadHttp => {
                let page = |method| (method, Fault::Page(502));
                knobs.http_faults = ["eth_getLogs", "eth_getBlockByNumber", "eth_getBlockByHash"].map(page).to_vec();
            }
        }
    }
}

/// A development node that is reset or reverted.
#[derive(Clone, Copy, Debug)]
struct Fall {
    after: u64,
    by: u64,
    /// So many blocks below where it falls to are of the new chain.
    deep: u64,
    /// What was above is still given by its hash.
    is_kept: bool,
}

impl Worse {
    pub fn draw(seed: u64) -> Worse {
        let mut draw = Rng::new(seed).fork(62);
        let null_rounds = if one_in(&mut draw, 5) { pick(&mut draw, &[50_000, 300_000]) as u32 } else { 0 };
        let fall = one_in(&mut draw, 4).then(|| Fall {
            after: draw.below(3),
            by: if coin(&mut draw) { 1 + draw.below(12) } else { pick(&mut draw, &[30, 300, 5_000]) },
            deep: pick(&mut draw, &[0, 0, 3, 20, 200]),
            is_kept: one_in(&mut Rng::new(seed).fork(66), 3),
        });
        let crowded = one_in(&mut draw, 12).then(|| (2 + draw.below(12), 4_500 + draw.below(1_500)));
        let outage = one_in(&mut draw, 5).then(|| trouble::outage(&mut draw));
        let mut draw = Rng::new(seed).fork(63);
        let flaw = coin(&mut draw).then(|| Flaw::ALL[draw.below(Flaw::ALL.len() as u64) as usize]);
        let mut draw = Rng::new(seed).fork(65);
        let liar = one_in(&mut draw, 3).then(|| Liar::ALL[draw.below(Liar::ALL.len() as u64) as usize]);
        // A full bloom shows nothing, and a chain that fell has nothing at the heights of one that did not.
        let shows = |liar: &Liar| match liar {
            Liar::About(Lie::Partial) => crowded.is_none(),
            Liar::Forked => fall.is_none(),
            Liar::About(_) => true,
        };
        let liar = liar.filter(shows);
        Worse { null_rounds, fall, crowded, outage, flaw, liar }
    }

    pub fn falls(self) -> bool {
        self.fall.is_some()
    }

    /// Whether providers give the blocks of a chain that fell.
    pub fn keeps_fallen(self) -> bool {
        self.fall.is_some_and(|fall| fall.is_kept)
    }

    pub fn is_crowded(self) -> bool {
        self.crowded.is_some()
    }

    /// When heads are silent: where rounds pass without a block, and nothing else may go wrong, later.
    pub fn silence_ms(self, is_calm: bool) -> u64 {
        if is_calm && self.null_rounds > 0 { 30_000 } else { 8_000 }
    }

    /// Gives the chain its history.
    pub fn befall(self, chain: &mut ChainModel, draw: &mut Rng) {
        chain.null_rounds = self.null_rounds;
        chain.crowded = self.crowded.map(|(rounds, count)| (chain.start_height + rounds, count));
        if self.fall.is_some() || !one_in(draw, 4) {
            self.reorganise(chain, draw);
        }
    }

    /// Reorgs of depth 1 to 5, some back to the branch of before, now and then two close together, and the fall in the place of
    /// one; none while a block comes, so that everyone who looks sees both one after the other.
    fn reorganise(self, chain: &mut ChainModel, draw: &mut Rng) {
        let (mut branch, mut before, mut last, mut turns) = (0, None, None, 0);
        let block_ms = chain.block_time.as_millis() as u64;
        let mut at = Instant::ZERO.plus_ms(2_000 + draw.below(10_000));
        while at < Instant::ZERO.plus_ms(LAST_TURN_MS) {
            let (round, height) = (chain.round_at(at), chain.tip_at(branch, at));
            at = at.plus_ms(if one_in(draw, 3) { block_ms } else { 3_000 + draw.below(20_000) });
            if last.replace(round) == Some(round) {
                continue;
            }
            let moment = chain.born_at(round).plus_ms(block_ms / 4 + draw.below(block_ms / 2));
            // Back, if that is no deeper than other reorgs.
            let back = before.filter(|(_, from)| height < from + 5 && coin(draw)).map(|(branch, _)| branch);
            let from = height + 1 - (1 + draw.below(5));
            turns += 1;
            if let Some(fall) = self.fall.filter(|fall| fall.after + 1 == turns) {
                (branch, before) = (chain.forks.fall(moment, fall.by, height + 1 - fall.by - fall.deep), None);
                continue;
            }
            let next = back.unwrap_or_else(|| chain.forks.fork(branch, from));
            before = Some((branch, from));
            branch = next;
            chain.forks.turn(moment, branch);
        }
    }
}

/// Kinds of trouble that this seed has.
pub fn kinds(draw: &mut Rng) -> Vec<Kind> {
    (0..1 + draw.below(3)).map(|_| KINDS[draw.below(KINDS.len() as u64) as usize]).collect()
}

fn event_faults(draw: &mut Rng) -> Vec<(u32, EventFault)> {
    let mut faults = Vec::new();
    for _ in 0..draw.below(4) {
        let fault = EventFault::ALL[draw.below(EventFault::ALL.len() as u64) as usize];
        use EventFault::{Duplicate, Foreign, Missing, Reordered, WrongId};
        let is_small = matches!(fault, Missing | Duplicate | Reordered | WrongId | Foreign { .. });
        let rate = if is_small { pick(draw, &[10_000, 100_000, 400_000]) } else { pick(draw, &[1_000, 10_000, 50_000]) };
        faults.push((rate as u32, fault));
    }
    faults
}

fn subscribe_faults(draw: &mut Rng) -> Vec<(u32, SubscribeFault)> {
    let faults = [
        SubscribeFault::Refused,
        SubscribeFault::Limited,
        SubscribeFault::Late(500),
        SubscribeFault::Late(9_000),
        SubscribeFault::Late(12_000),
        SubscribeFault::EventsFirst(3_000),
        SubscribeFault::NotOffered,
        SubscribeFault::Never,
        SubscribeFault::Twice,
        SubscribeFault::Twice,
    ];
    let mut drawn = Vec::new();
    for _ in 0..draw.below(3) {
        drawn.push((pick(draw, &[50_000, 300_000]) as u32, faults[draw.below(faults.len() as u64) as usize]));
    }
    drawn
}

/// Now and then there is a block that nobody announces or gives until the world is healed: whoever waits for it must be told so
/// in time, whatever is announced after it. Providers have good manners then: switches would end the wait as well.
pub fn hidden(seed: u64, chain: &ChainModel) -> Option<u64> {
    let mut draw = Rng::new(seed).fork(61);
    one_in(&mut draw, 6).then(|| chain.start_height + 2 + draw.below(8))
}

/// Manners of one provider in a world that is not calm.
pub fn knobs(draw: &mut Rng) -> Knobs {
    let mut knobs = if one_in(draw, 4) { trouble::knobs(draw) } else { trouble::calm_knobs(draw) };
    knobs.event_faults = event_faults(draw);
    knobs.subscribe_faults = subscribe_faults(draw);
    knobs.keeps_orphans = coin(draw);
    if coin(draw) {
        knobs.turns_late_ms = pick(draw, &[100, 1_000, 4_000, 15_000]);
    }
    if one_in(draw, 4) {
        knobs.late_blocks = 200_000;
    }
    knobs
}

/// Profiles: each is followed by itself.
pub const ROUTES: u64 = 2;
/// The second profile has so many of the providers, the last ones.
pub const SECOND: usize = 2;

/// How a provider is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    Both,
    Http,
    Socket,
}

/// Two profiles of the same providers: `default` has all, `second` some of them in another order.
pub fn topology(reach: &[Reach], is_calm: bool, silence_ms: u64, draw: &mut Rng) -> Topology {
    let (most, timeout_ms) = if is_calm { (100, 15_000) } else { (pick(draw, &[4, 100]), pick(draw, &[5_000, 15_000])) };
    let settings = format!(
        "    chain_id: {CHAIN_ID}\n    block_time_ms: 2000\n    websocket:\n      new_heads_timeout_ms: {silence_ms}\n      failover:\n        \
         max_backfill_blocks: {most}\n        backfill_timeout_ms: {timeout_ms}\n    providers:\n"
    );
    let mut file = |slug: &str, members: Vec<usize>| {
        let mut text = format!("name: {slug}\nslug: {slug}\nrps_limit: 0\nchains:\n  main:\n{settings}");
        for index in members {
            let address = format!("p{index}.example:{PROVIDER_PORT}/k");
            text += &format!("      - id: p{index}\n        priority: {}\n", 1 + draw.below(3));
            if reach[index] != Reach::Socket {
                text += &format!("        url: http://{address}\n");
            }
            if reach[index] != Reach::Http {
                text += &format!("        ws_url: ws://{address}\n");
            }
        }
        SourceFile { name: format!("{slug}.yml"), text }
    };
    let all: Vec<usize> = (0..reach.len()).collect();
    let some = all.iter().rev().copied().take(SECOND).collect();
    let files = [file("default", all), file("second", some)];
    match load(&files, &|_| None) {
        Ok(loaded) => loaded.topology,
        Err(problems) => panic!("the simulated profiles have problems: {problems:?}"),
    }
}

/// Whatever comes and goes at one provider before the world is healed.
pub struct Misfortunes<'a> {
    pub kinds: &'a [Kind],
    /// What all suffer at once.
    pub shared: &'a [Trouble],
    /// A branch that is never canonical.
    pub lone: u32,
    /// Connections outlive the healing: what was never confirmed on them, the node has to find out.
    pub is_kept: bool,
}

impl Misfortunes<'_> {
    pub fn befall(&self, node: &Sim, host: &Sim, provider: &Rc<Provider>, draw: &mut Rng) {
        let healed = Rc::new(Cell::new(false));
        for trouble in trouble::draw(draw, self.kinds).into_iter().chain(self.shared.iter().copied()) {
            let (node, host, provider) = (node.clone(), host.clone(), provider.clone());
            Victim { node, host, provider, healed: healed.clone() }.suffers(trouble);
        }
        let (world, provider, lone) = (node.clone(), provider.clone(), self.lone);
        let stray = one_in(draw, 4).then(|| (draw.below(30_000), 2_000 + draw.below(20_000)));
        let above = one_in(draw, 2).then(|| pick(draw, &[0, 10_000]) as i64);
        let is_kept = self.is_kept;
        if is_kept {
            provider.tune(|knobs| knobs.subscribe_faults.push((300_000, SubscribeFault::Never)));
        }
        node.spawn("heal", async move {
            // A while on a branch of its own, or only its announcements are.
            if let Some((from, long)) = stray {
                world.sleep_until(Instant::ZERO.plus_ms(from)).await;
                provider.tune(|knobs| stray_off(knobs, above, lone));
                world.sleep_until(Instant::ZERO.plus_ms(from + long)).await;
                provider.tune(|knobs| {
                    knobs.branch = None;
                    knobs.event_faults.retain(|(rate, _)| *rate < ALWAYS);
                });
            }
            world.sleep_until(Instant::ZERO.plus_ms(HEALED_MS)).await;
            healed.set(true);
            let latency = Latency { p50_ms: 1.0, p95_ms: 2.0 };
            provider.tune(|knobs| *knobs = Knobs { latency, keeps_fallen: knobs.keeps_fallen, ..Knobs::default() });
            // What had fallen silent is not awaited.
            if !is_kept {
                provider.restart();
            }
        });
    }
}

/// Every time, as a chance in a million.
const ALWAYS: u32 = 1_000_000;

fn stray_off(knobs: &mut Knobs, above: Option<i64>, lone: u32) {
    match above {
        Some(above) => knobs.event_faults.insert(0, (ALWAYS, EventFault::Foreign { above })),
        None => knobs.branch = Some(lone),
    }
}
