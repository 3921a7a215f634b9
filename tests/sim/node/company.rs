//! A lost cluster changes no reply: the same seed with a node alone, with one in a cluster, and with one whose cluster is parted, lost for
//! good, or replaced by somebody who floods it with what was recorded. Clients get the same replies in all of them, and as soon.
//!
//! Meanwhile the other nodes advise: one says that a provider rests, an operator there holds a provider open on every node. And now and
//! then a provider fails, never all. Calls ask for what does not depend on the moment (old blocks, the node's own refusals), so equal
//! is equal, byte for byte. Time counts where no provider is in trouble: there every provider answers at once.

use super::launch::Way;
use super::stage::{End, Part, Setting, Stage, Wire, call, post};
use crate::seeds;
use crate::weather::{coin, one_in, pick};
use crate::world::{Letter, Sim, Trace};
use lasso::base::ids::Transport;
use lasso::base::rng::Rng;
use lasso::cluster::advice::{AdviceKind, AdvicePolicy, AdviceWord, OwnWord, UpstreamKey};
use lasso::cluster::discovery::ClusterQuery;
use lasso::cluster::frame::NodeCard;
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::sessions::SessionBug;
use lasso::cluster::settings::ClusterSettings;
use lasso::control::cluster::{ClusterSeat, run as run_cluster};
use lasso::demo::knobs::{Fault, Knobs, TooMany};
use lasso::demo::marks::Mark;
use lasso::demo::provider::Provider;
use lasso::observe::question::Order;
use lasso::runtime::world::{Instant, World};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

const PORT: u16 = 7946;
const NAME: &str = "lasso.internal";
const SECRET: &str = "a secret that is long enough";
/// Calls begin between these, so far apart.
const CALLS_MS: (u64, u64) = (3_000, 46_000);
const STEP_MS: u64 = 125;
/// One provider is in trouble in these stretches.
const TROUBLES_MS: [(u64, u64); 2] = [(9_000, 15_000), (26_000, 33_000)];
/// What a trouble leaves behind (circuits, rests) is over so much later.
const AFTER_MS: u64 = 2_000;
/// The others advise from then on.
const ADVISED_MS: u64 = 6_000;
const PATIENCE_MS: u64 = 30_000;
const END_MS: u64 = 80_000;
/// So much later than a node alone.
const LATER_MS: u64 = 5;

/// What a node has around it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Company {
    Alone,
    Whole,
    /// Away for a while from the moment of loss on.
    Parted,
    /// Away for good, and no name server knows anybody.
    Lost,
    /// Lost, and somebody sends what was recorded and garbage.
    Flooded,
}

const COMPANIES: [Company; 4] = [Company::Whole, Company::Parted, Company::Lost, Company::Flooded];

/// What the others say of providers.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Counsels {
    /// This one rests.
    rest: Option<usize>,
    /// An operator holds this one open.
    order: Option<usize>,
    /// And all the others: what no rule can hide.
    all: bool,
}

/// How a call ended, and how long it took.
type Reply = Option<(End, u64)>;

struct Told {
    trace: Trace,
    replies: Vec<Reply>,
    seen: Seen,
}

/// What the node saw of its company.
#[derive(Clone, Copy, Default, Debug)]
struct Seen {
    /// All others responded, before the loss.
    was_whole: bool,
    /// In the end nobody else does.
    is_alone: bool,
    /// An order that was given elsewhere was carried out here.
    has_obeyed: bool,
    /// In the end a rest that another node told of is heeded.
    is_rested: bool,
    /// Datagrams that were not listened to.
    refused: u64,
}

/// All that a seed decides, the same for every company.
struct Plan {
    seed: u64,
    providers: usize,
    way: Way,
    peers: usize,
    lost_ms: u64,
    /// Who is in trouble, and in which.
    victim: usize,
    troubles: [Fault; 2],
    counsels: Counsels,
}

impl Plan {
    fn draw(seed: u64) -> Plan {
        let mut draw = Rng::new(seed).fork(81);
        let providers = 2 + draw.below(3) as usize;
        let faults = [
            Fault::Page(502),
            Fault::Reset,
            Fault::Garbage,
            Fault::Silence,
            Fault::Error(-32603, "internal error"),
            Fault::TooMany(TooMany::Status { retry_after_s: Some(2) }),
        ];
        // The same one twice: a circuit outlasts the trouble, and another one in trouble beside an open circuit may leave nobody.
        let victim = draw.below(providers as u64) as usize;
        let troubles = [(); 2].map(|()| faults[draw.below(faults.len() as u64) as usize]);
        let some = |draw: &mut Rng| Some(draw.below(providers as u64) as usize);
        let rest = if one_in(&mut draw, 4) { None } else { some(&mut draw) };
        // With two, one held and one in trouble leaves nobody.
        let order = if providers > 2 && coin(&mut draw) { some(&mut draw) } else { None };
        Plan {
            seed,
            providers,
            way: [Way::Http, Way::Http, Way::Both, Way::Ws][draw.below(4) as usize],
            peers: 2 + draw.below(3) as usize,
            lost_ms: 8_000 + pick(&mut draw, &[0, 2_000, 12_000, 19_500]) + draw.below(3_000),
            victim,
            troubles,
            counsels: Counsels { rest, order, all: false },
        }
    }

    fn is_calm(&self, ms: u64) -> bool {
        TROUBLES_MS.iter().all(|(from, to)| ms + AFTER_MS < *from || ms > to + AFTER_MS)
    }
}

fn settings(at: SocketAddr) -> ClusterSettings {
    ClusterSettings {
        query: ClusterQuery::Name(NAME.to_owned()),
        listen: at,
        secrets: ClusterSecrets::new(Some(SECRET), None, "lasso").expect("a good secret"),
        advice: AdvicePolicy::Usual,
        name_servers: Vec::new(),
    }
}

/// Another node, as far as the cluster sees it.
fn start_peer(host: &Sim, index: usize, words: Vec<OwnWord>, mut orders: Vec<UpstreamKey>) {
    let seat = ClusterSeat {
        card: NodeCard::new(&format!("peer-{index}"), "elsewhere", "0.1.0", 1),
        publish: Box::new(drop),
        exchange: Box::new(move |cluster, now| {
            if now >= Instant::ZERO.plus_ms(ADVISED_MS) {
                cluster.know(&words, now);
                orders.drain(..).for_each(|upstream| _ = cluster.order(upstream, Order::Open, now));
            }
        }),
        tell: Box::new(drop),
        is_ending: Box::new(|| false),
        bug: SessionBug::None,
    };
    host.spawn("peer", run_cluster(host.clone(), settings(host.at(PORT)), seat));
}

/// The node's others, and what becomes of them.
fn surround(stage: &Rc<Stage>, plan: &Plan, company: Company) {
    let topology = &stage.shared.snapshot.latest().topology;
    let upstream =
        |index: usize| topology.instances.values().nth(index).map(|i| UpstreamKey { chain_number: i.chain_number, tag: i.tag });
    let rests = plan.counsels.rest.and_then(upstream).into_iter().flat_map(|upstream| {
        let word = |transport| AdviceWord { upstream, transport, kind: AdviceKind::Rest, value: 0 };
        [Transport::Http, Transport::Ws]
            .map(|transport| OwnWord { word: word(transport), until: Instant::ZERO.plus_ms(2 * END_MS) })
    });
    let rests: Vec<OwnWord> = rests.collect();
    let all = (0..plan.providers).filter(|_| plan.counsels.all);
    let orders: Vec<UpstreamKey> = plan.counsels.order.into_iter().chain(all).filter_map(upstream).collect();
    let hosts: Vec<Sim> = (0..plan.peers).map(|_| stage.node.host()).collect();
    let addresses: Vec<_> = hosts.iter().chain([&stage.node]).map(|host| host.at(PORT).ip()).collect();
    stage.node.name(NAME, &addresses, Instant::ZERO);
    for (index, host) in hosts.iter().enumerate() {
        let is_first = index == 0;
        start_peer(
            host,
            index,
            if is_first { rests.clone() } else { Vec::new() },
            if is_first { orders.clone() } else { Vec::new() },
        );
    }
    let (stage, lost) = (stage.clone(), Instant::ZERO.plus_ms(plan.lost_ms));
    stage.node.clone().spawn("loss", async move {
        stage.node.sleep_until(lost).await;
        let until = match company {
            Company::Alone | Company::Whole => return,
            Company::Parted => lost.plus_ms(15_000).0,
            Company::Lost | Company::Flooded => u64::MAX,
        };
        hosts.iter().for_each(|host| stage.node.link(host, |link| link.blocked_until = until));
        if company != Company::Parted {
            stage.node.name(NAME, &[], Instant::ZERO);
        }
        if company == Company::Flooded {
            flood(&stage).await;
        }
    });
}

/// Sends what was recorded, as it was, damaged, from elsewhere, and garbage: a thousand in a second, for ten seconds.
async fn flood(stage: &Stage) {
    let mut draw = Rng::new(1).fork(9);
    let evil = stage.node.host().at(666);
    let tape: Vec<Letter> = stage.node.taped().into_iter().filter(|letter| letter.to == stage.node.at(PORT)).collect();
    for _ in 0..1_000 {
        for _ in 0..10 {
            let mut letter = match tape.get(draw.below(tape.len().max(1) as u64) as usize) {
                Some(letter) if !one_in(&mut draw, 4) => letter.clone(),
                _ => {
                    let bytes = (0..draw.below(1_500)).map(|_| draw.next() as u8).collect();
                    Letter { from: evil, to: stage.node.at(PORT), bytes }
                }
            };
            match draw.below(4) {
                0 => letter.from = evil,
                1 => letter.bytes.truncate(draw.below(letter.bytes.len() as u64 + 1) as usize),
                2 => letter.bytes.iter_mut().take(60).for_each(|byte| *byte ^= u8::from(draw.chance(50_000))),
                _ => {}
            }
            stage.node.forge(letter);
        }
        stage.node.sleep_until(stage.node.now().plus_ms(10)).await;
    }
}

/// A trouble of one provider while it lasts.
fn trouble(stage: &Rc<Stage>, provider: Rc<Provider>, fault: Fault, (from, to): (u64, u64)) {
    let world = stage.node.clone();
    stage.node.spawn("trouble", async move {
        world.sleep_until(Instant::ZERO.plus_ms(from)).await;
        provider.tune(|knobs| knobs.faults = vec![(1_000_000, fault)]);
        world.sleep_until(Instant::ZERO.plus_ms(to)).await;
        provider.tune(|knobs| knobs.faults.clear());
    });
}

/// The path and the body of the `place`-th call.
fn request(place: u64, old: u64) -> (&'static str, String) {
    let address = format!("0x{place:040x}");
    let block = format!("0x{:x}", old - place % 50);
    let balance = call(place, "eth_getBalance", &format!(r#"["{address}","{block}"]"#));
    match place % 12 {
        0 => ("/rpc/fastest/main", balance),
        1 => ("/rpc/load-balanced/main", balance),
        2 => ("/rpc/main", call(place, "eth_getBlockByNumber", &format!(r#"["{block}",false]"#))),
        // Reverts everywhere: its own words come through.
        3 => ("/rpc/main", call(place, "eth_call", &format!(r#"[{{"to":"{REVERTS}"}},"{block}"]"#))),
        4 => ("/rpc/main", call(place, "eth_getLogs", &format!(r#"[{{"fromBlock":"{block}","toBlock":"{block}"}}]"#))),
        5 => ("/rpc/main", format!("[{balance},{}]", call(place, "eth_chainId", "[]"))),
        6 => ("/rpc/main", call(place, "eth_sign", "[]")),
        7 => ("/rpc/main", "{\"jsonrpc\":".to_owned()),
        8 => ("/rpc/nowhere", balance),
        9 => ("/rpc/latency-weighted/main", balance),
        10 => ("/ws/rpc/main", balance),
        _ => ("/rpc/main", balance),
    }
}

const REVERTS: &str = "0x00000000000000000000000000000000000bad00";

async fn ask(stage: &Stage, host: &Sim, path: &str, body: &str) -> End {
    if !path.starts_with("/ws/") {
        return post(host, &stage.node, path, body, PATIENCE_MS).await;
    }
    let heard = async {
        let mut wire = Wire::connect(host, &stage.node, path).await?;
        wire.say(body).await?;
        wire.hear().await
    };
    heard.await.map_or_else(End::Broken, |answer| End::Result(answer.to_string()))
}

fn run(plan: &Plan, company: Company) -> Told {
    let knobs =
        || Knobs { marks: vec![Mark { text: REVERTS, fault: Fault::Error(3, "execution reverted") }], ..Knobs::default() };
    let parts = (0..plan.providers).map(|_| Part::new(knobs(), plan.way)).collect();
    let mut setting = Setting::new(plan.seed, 2_000, parts);
    let old = setting.chain.start_height - 5;
    // The node is the first host of its world.
    let own = SocketAddr::new(crate::world::Host(1).ip(), PORT);
    setting.cluster = (company != Company::Alone).then(|| settings(own));
    let stage = Stage::new(plan.seed, setting);
    stage.node.tape();
    if company != Company::Alone {
        surround(&stage, plan, company);
    }
    for (fault, stretch) in plan.troubles.into_iter().zip(TROUBLES_MS) {
        trouble(&stage, stage.providers[plan.victim].clone(), fault, stretch);
    }
    let times = (CALLS_MS.0..CALLS_MS.1).step_by(STEP_MS as usize);
    let replies: Rc<RefCell<Vec<Reply>>> = Rc::new(RefCell::new(vec![None; times.clone().count()]));
    let host = stage.client_host();
    for (place, begins_ms) in times.enumerate() {
        let (world, stage, replies) = (host.clone(), stage.clone(), replies.clone());
        host.spawn("client", async move {
            let begins = Instant::ZERO.plus_ms(begins_ms);
            world.sleep_until(begins).await;
            let (path, body) = request(place as u64, old);
            let end = ask(&stage, &world, path, &body).await;
            replies.borrow_mut()[place] = Some((end, world.now().since(begins).as_millis() as u64));
        });
    }
    let was_whole = Rc::new(Cell::new(false));
    look_before_the_loss(&stage, plan, &was_whole);
    let mut seen = Seen::default();
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| {
        let view = stage.shared.cluster.latest();
        seen = Seen {
            was_whole: was_whole.get(),
            is_alone: view.coverage().0 == 1,
            has_obeyed: stage.ear.told.borrow().iter().any(|(_, name, _)| name == "cluster.order"),
            is_rested: stage.shared.counsel.latest().words.iter().any(|(heard, _)| heard.word.kind == AdviceKind::Rest),
            refused: view.datagrams.unheard.values().sum(),
        };
    });
    Told { trace, replies: replies.take(), seen }
}

fn look_before_the_loss(stage: &Rc<Stage>, plan: &Plan, was_whole: &Rc<Cell<bool>>) {
    let (stage, total, lost, was_whole) = (stage.clone(), plan.peers + 1, Instant::ZERO.plus_ms(plan.lost_ms), was_whole.clone());
    stage.node.clone().spawn("look", async move {
        stage.node.sleep_until(lost).await;
        was_whole.set(stage.shared.cluster.latest().coverage() == (total, total));
    });
}

/// What is different from a node alone, in words.
fn differences<'a>(plan: &'a Plan, alone: &'a [Reply], other: &'a [Reply]) -> impl Iterator<Item = String> + 'a {
    alone.iter().zip(other).enumerate().filter_map(|(place, (alone, other))| {
        let begins_ms = CALLS_MS.0 + place as u64 * STEP_MS;
        let (Some((end, took)), Some((other_end, other_took))) = (alone, other) else {
            return (alone.is_some() || other.is_some())
                .then(|| format!("call {place} at {begins_ms} ms: alone {alone:?}, else {other:?}"));
        };
        if end != other_end {
            return Some(format!("call {place} at {begins_ms} ms: alone {end:?}, else {other_end:?}"));
        }
        (plan.is_calm(begins_ms) && *other_took > took + LATER_MS)
            .then(|| format!("call {place} at {begins_ms} ms: alone after {took} ms, else after {other_took} ms"))
    })
}

/// Every company of one seed. The traces are added up, so that two runs can be compared.
fn scenario(seed: u64) -> Trace {
    let plan = Plan::draw(seed);
    let alone = run(&plan, Company::Alone);
    let mut trace = alone.trace;
    if let Some(place) = alone.replies.iter().position(|reply| !is_good(reply)) {
        trace.violations.push(format!("alone, call {place}: {:?}", alone.replies[place]));
    }
    for company in COMPANIES {
        let told = run(&plan, company);
        let found = differences(&plan, &alone.replies, &told.replies).take(3).map(|what| format!("{company:?}: {what}"));
        trace.violations.extend(found.chain(told.trace.violations));
        trace.hash = trace.hash.rotate_left(1) ^ told.trace.hash;
        (trace.polls, trace.now) = (trace.polls + told.trace.polls, trace.now + told.trace.now);
    }
    trace
}

/// Somebody answered it, or it was refused for what it is.
fn is_good(reply: &Reply) -> bool {
    match reply {
        Some((End::Result(_), _)) => true,
        Some((End::Error(code, _), _)) => [3, -32601, -32602, -32700].contains(code),
        _ => false,
    }
}

#[test]
fn soak() {
    seeds::soak("company", 12, scenario);
}

#[test]
fn replay() {
    seeds::replay("company", scenario);
}

/// The comparison can see: an operator elsewhere who holds all providers open is no loss of the cluster, and changes replies.
#[test]
fn what_a_cluster_changes_is_found() {
    let mut plan = Plan::draw(0);
    let alone = run(&plan, Company::Alone);
    plan.counsels.all = true;
    let told = run(&plan, Company::Whole);
    assert!(differences(&plan, &alone.replies, &told.replies).count() > 20);
}

#[test]
fn every_corner_is_reached() {
    let (mut heard, mut obeyed, mut faults) = (0, 0, BTreeSet::new());
    for seed in 0..16 {
        let plan = Plan::draw(seed);
        faults.extend(plan.troubles.map(|fault| format!("{fault:?}")));
        for company in COMPANIES {
            let seen = run(&plan, company).seen;
            let is_away = matches!(company, Company::Lost | Company::Flooded);
            assert!(seen.was_whole && seen.is_alone == is_away, "seed {seed}, {company:?}: {seen:?}");
            assert!(company != Company::Flooded || seen.refused > 2_000, "seed {seed}: {seen:?}");
            // A word of somebody who is away runs out.
            assert!(!(is_away && seen.is_rested), "seed {seed}, {company:?}");
            heard += u64::from(seen.is_rested);
            obeyed += u64::from(seen.has_obeyed);
        }
    }
    assert!(heard > 10 && obeyed > 8 && faults.len() >= 5, "{heard} {obeyed} {faults:?}");
}
