//! Bounds of sums: what many connections make the node hold together is bounded, not only what each of them does; and what
//! one connection does in small pieces is bounded, not only each piece.
//!
//! Three clients that a node meets: some whose bodies stop just before their end (together more than the budget of bodies),
//! a WebSocket that only answers pings, again and again, and many that ping and do not read. Seen from outside: how many
//! bytes of unfinished requests the node has taken, what its budget of bodies says, how many pongs come once they are read,
//! from all of them together.

use super::launch::Way;
use super::stage::{Part, Setting, Stage, Wire, call};
use crate::seeds;
use crate::weather::pick;
use crate::world::{Link, Trace};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::demo::knobs::Knobs;
use lasso::runtime::world::{Duplex, Instant, World};
use lasso::shard::Fault;
use monoio::io::AsyncReadRent;
use std::cell::Cell;
use std::rc::Rc;

/// More bodies at once than the budget holds.
const BODIES: u64 = 20;
const BODY_BYTES: usize = limits::REQUEST_BODY_BYTES - 1_000;
/// What stands on the way to the node and in its connections' own buffers, for each.
const WAY_BYTES: u64 = 512 << 10;
const CONTROL_FRAMES: usize = 40_000;
const FRAME_BYTES: usize = 120;
/// Clients that ask for pongs and do not read, as many pings of each, and what stands on the way to each.
const ASKERS: u64 = 120;
const PINGS: usize = 200;
const ASKERS_WINDOW: u64 = 4 << 10;
const END_MS: u64 = 25_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Flood {
    Bodies,
    Pongs,
    Pings,
}

/// What all that did not read were sent once they did.
#[derive(Default)]
struct Unread {
    readers: Cell<u64>,
    came: Cell<u64>,
    /// What they still sent meanwhile, which was not owed at one time.
    passed: Cell<u64>,
}

impl Unread {
    /// What stands on the way was sent. The rest was kept for them: what a shard may owe to all, and what each is owed in any
    /// case, once waiting and once being written.
    fn judge(&self, stage: &Stage, count: u64, shards: u64) {
        let owed = self.came.get().saturating_sub(self.passed.get() + self.readers.get() * ASKERS_WINDOW);
        let most = shards * (limits::PONGS_BYTES + limits::SOCKET_PONGS_BYTES) as u64 + count * 2 * limits::PONG_BYTES as u64;
        if owed > most {
            stage.violation(format!("{owed} bytes of pongs were kept for {count} that do not read, at most {most}"));
        }
    }
}

struct Outcome {
    trace: Trace,
    flood: Flood,
    /// Bytes that the node took from the clients.
    taken: u64,
}

fn run(seed: u64, bug: Fault) -> Outcome {
    let mut draw = Rng::new(seed).fork(77);
    // Bodies are many bytes: not every time.
    let flood = [Flood::Bodies, Flood::Pongs, Flood::Pings, Flood::Pongs, Flood::Pings][draw.below(5) as usize];
    let setting = Setting { fault: bug, ..Setting::new(seed, 2_000, vec![Part::new(Knobs::default(), Way::Http)]) };
    let stage = Stage::new(seed, setting);
    // By client.
    let mut all: Vec<Rc<Cell<u64>>> = Vec::new();
    let count = match flood {
        Flood::Bodies => BODIES,
        Flood::Pongs => 1 + draw.below(4),
        Flood::Pings => ASKERS + draw.below(80),
    };
    let unread = Rc::<Unread>::default();
    for _ in 0..count {
        let (host, stage) = (stage.client_host(), stage.clone());
        let window = if flood == Flood::Pings { ASKERS_WINDOW } else { pick(&mut draw, &[64 << 10, 256 << 10]) } as usize;
        let unread = unread.clone();
        stage.node.link(&host, |link| *link = Link { window, ..Link::PLAIN });
        let (world, taken) = (host.clone(), Rc::<Cell<u64>>::default());
        all.push(taken.clone());
        host.spawn("flood", async move {
            world.sleep_until(Instant::ZERO.plus_ms(2_000)).await;
            match flood {
                Flood::Bodies => stop_before_the_end(&world, &stage, &taken).await,
                Flood::Pongs => answer_pings(&world, &stage, &taken).await,
                Flood::Pings => ping_unread(&world, &stage, &taken, &unread).await,
            }
        });
    }
    let shards = stage.shards.len() as u64;
    watch(&stage, flood, all.clone(), shards);
    let trace = stage.play(Instant::ZERO.plus_ms(END_MS), |stage| unread.judge(stage, count, shards));
    Outcome { trace, flood, taken: all.iter().map(|mine| mine.get()).sum() }
}

/// Looks at the sums now and then.
fn watch(stage: &Rc<Stage>, flood: Flood, all: Vec<Rc<Cell<u64>>>, shards: u64) {
    let stage = stage.clone();
    // What shards keep drawn from a budget is their reserve, at most two steps each.
    let reserve = shards * 2 * 256 * 1024;
    stage.node.clone().spawn("watch", async move {
        loop {
            stage.node.sleep_until(stage.node.now().plus_ms(50)).await;
            let drawn = stage.shared.bodies.drawn();
            if flood != Flood::Bodies && drawn > reserve {
                return stage.violation(format!("{drawn} bytes of the budget of bodies are drawn, and there is no body"));
            }
            let most = limits::INFLIGHT_BODY_BYTES + BODIES * WAY_BYTES + reserve;
            let taken: u64 = all.iter().map(|mine| mine.get()).sum();
            if flood == Flood::Bodies && taken > most {
                return stage.violation(format!("{taken} bytes of unfinished bodies were taken, at most {most}"));
            }
        }
    });
}

/// A body that never ends, in bounds of its own; what the node took and let go of does not count.
async fn stop_before_the_end(world: &crate::world::Sim, stage: &Rc<Stage>, mine: &Rc<Cell<u64>>) {
    let Ok(stream) = world.connect(stage.node.at(super::launch::NODE_PORT)).await else { return };
    let (mut read, mut write) = stream.split();
    let head = format!("POST /rpc/main HTTP/1.1\r\nhost: lasso\r\ncontent-length: {}\r\n\r\n", limits::REQUEST_BODY_BYTES);
    let mut left = head.into_bytes();
    left.resize(left.len() + BODY_BYTES, b' ');
    // What is taken behind an early answer is read and dropped: it is not held.
    let (taken, held) = (Rc::<Cell<u64>>::default(), mine.clone());
    let (count, is_held) = (taken.clone(), Rc::new(Cell::new(true)));
    let is_refused = is_held.clone();
    world.spawn("refusal", async move {
        let _ = read.read(Vec::with_capacity(1024)).await;
        is_refused.set(false);
        held.set(0);
        // Kept open, so that the rest can be sent.
        std::future::pending::<()>().await;
    });
    let (timer, held) = (world.clone(), mine.clone());
    world.spawn("held", async move {
        while is_held.get() {
            held.set(count.get());
            timer.sleep_until(timer.now().plus_ms(10)).await;
        }
    });
    super::stage::put(&mut write, left, taken).await;
    world.sleep_until(Instant::ZERO.plus_ms(END_MS)).await;
}

async fn answer_pings(world: &crate::world::Sim, stage: &Rc<Stage>, taken: &Cell<u64>) {
    let Ok(mut wire) = Wire::connect(world, &stage.node, "/ws/rpc/main").await else {
        return stage.violation("a client is not let in".into());
    };
    for _ in 0..CONTROL_FRAMES {
        if wire.frame(0x8a, &[b'p'; FRAME_BYTES]).await.is_err() {
            break;
        }
    }
    taken.set(taken.get() + wire.taken.get());
    // And it is a client still.
    if wire.say(&call(1, "eth_gasPrice", "[]")).await.is_err() || wire.hear().await.is_err() {
        stage.violation("a client that answered pings was cut off".into());
    }
}

async fn ping_unread(world: &crate::world::Sim, stage: &Rc<Stage>, taken: &Rc<Cell<u64>>, unread: &Unread) {
    let Ok(wire) = Wire::connect(world, &stage.node, "/ws/rpc/main").await else {
        return stage.violation("a client is not let in".into());
    };
    let (before, sent) = (wire.taken.get(), wire.taken.clone());
    let pings: Vec<u8> = (0..PINGS).flat_map(|_| super::sockets::masked(0x89, &[b'p'; FRAME_BYTES], &mut Rng::new(1))).collect();
    let (mut read, mut write) = wire.split();
    let count = sent.clone();
    world.spawn("pings", async move {
        super::stage::put(&mut write, pings, count).await;
    });
    world.sleep_until(Instant::ZERO.plus_ms(6_000)).await;
    let pinged = sent.get() - before;
    // What stands in the windows, or comes while it is read, was never owed at one time.
    let came = super::stage::drain(world, &mut read, 3_000).await;
    let passed = sent.get() - before - pinged;
    taken.set(taken.get() + pinged);
    let add = |sum: &Cell<u64>, more| sum.set(sum.get() + more);
    add(&unread.readers, 1);
    add(&unread.came, came);
    add(&unread.passed, passed);
}

#[test]
fn soak() {
    seeds::soak("sums", 30, |seed| run(seed, Fault::None).trace);
}

#[test]
fn replay() {
    seeds::replay("sums", |seed| run(seed, Fault::None).trace);
}

/// The checker can see a budget of items only.
#[test]
fn a_budget_per_item_is_found() {
    let found = (0..1_000).find_map(|seed| {
        let violations = run(seed, Fault::BudgetPerItem).trace.violations;
        violations.into_iter().find(|text| text.contains("unfinished bodies")).map(|text| (seed, text))
    });
    let (seed, text) = found.expect("not found in 1000 seeds");
    eprintln!("BudgetPerItem found by seed {seed}: {text}");
}

#[test]
fn every_corner_is_reached() {
    let outcomes: Vec<Outcome> = (0..16).map(|seed| run(seed, Fault::None)).collect();
    for flood in [Flood::Bodies, Flood::Pongs, Flood::Pings] {
        let taken = outcomes.iter().filter(|o| o.flood == flood).map(|o| o.taken).max();
        assert!(taken > Some(100_000), "{flood:?} {taken:?}");
    }
    assert!(outcomes.iter().all(|o| o.trace.polls > 100));
}
