//! What goes wrong with a seed's providers: manners and faults that each has from the start, and troubles that come and go.
//!
//! Each seed draws its own few kinds of trouble and gives its providers some of them, so that over many seeds every kind
//! meets every other, and many meet none.

use crate::weather::{coin, one_in, pick};
use crate::world::{Link, Sim};
use lasso::base::rng::Rng;
use lasso::demo::arrival::{Absent, Arrival};
use lasso::demo::knobs::{Fault, Knobs, Latency, Rate, TooMany};
use lasso::demo::provider::Provider;
use lasso::runtime::world::{Instant, World};
use std::cell::Cell;
use std::rc::Rc;

/// Every trouble begins before this, and lasts at most `LONGEST_MS`.
const LAST_BEGIN_NS: u64 = 26_000_000_000;
const LONGEST_MS: u64 = 12_000;
/// How long an outage lasts.
const OUTAGE_MS: (u64, u64) = (5_000, 60_000);
/// How long a flapping provider stays as it is, at most.
const FLAP_MS: u64 = 1_500;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Connections are refused.
    Refused,
    /// Nothing passes the link, either way.
    Cut,
    /// Connections are closed as they come.
    Down,
    /// Up and down, over and over.
    Flap,
    /// Filters are forgotten.
    Restart,
    /// Ten times as slow.
    Slow,
    /// Too many requests: with or without saying for how long.
    Limited,
    /// Its head is behind.
    Lag,
    /// Its head stands still.
    Frozen,
    /// Its head is said to be far ahead.
    Lie,
    /// Requests are taken and never answered.
    Silent,
    /// Says that it is another chain.
    OtherChain,
    /// Our credentials are refused.
    Unpaid,
    /// HTTP is refused and WebSockets are served, or the reverse.
    HttpAway,
    SocketAway,
}

const KINDS: [Kind; 13] = [
    Kind::Refused,
    Kind::Cut,
    Kind::Down,
    Kind::Flap,
    Kind::Restart,
    Kind::Slow,
    Kind::Limited,
    Kind::Lag,
    Kind::Frozen,
    Kind::Lie,
    Kind::Silent,
    Kind::OtherChain,
    Kind::Unpaid,
];

/// One trouble of one provider.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    kind: Kind,
    begins: Instant,
    ends: Instant,
    /// Decides the details.
    salt: u64,
}

/// The kinds that this seed has at all.
pub fn kinds(draw: &mut Rng) -> Vec<Kind> {
    let most = 1 + draw.below(4);
    (0..most).map(|_| KINDS[draw.below(KINDS.len() as u64) as usize]).collect()
}

/// One provider's part in them.
pub fn draw(draw: &mut Rng, kinds: &[Kind]) -> Vec<Trouble> {
    let mut one = || {
        let kind = kinds[draw.below(kinds.len() as u64) as usize];
        let begins = Instant(draw.below(LAST_BEGIN_NS));
        Trouble { kind, begins, ends: begins.plus_ms(draw.below(LONGEST_MS)), salt: draw.next() }
    };
    let count = one().salt % 3;
    (0..count).map(|_| one()).collect()
}

/// What all providers may suffer at once, so that nobody is left and clients' calls become trials.
pub fn blackout(draw: &mut Rng) -> Trouble {
    const DARK: [Kind; 5] = [Kind::Refused, Kind::Cut, Kind::Down, Kind::Flap, Kind::Silent];
    let kind = DARK[draw.below(DARK.len() as u64) as usize];
    let begins = Instant(draw.below(LAST_BEGIN_NS / 4));
    Trouble { kind, begins, ends: begins.plus_ms(LONGEST_MS / 4 + draw.below(LONGEST_MS)), salt: draw.next() }
}

/// The same for a time in which streams are given up, or just not.
pub fn outage(draw: &mut Rng) -> Trouble {
    let begins = Instant(draw.below(LAST_BEGIN_NS));
    Trouble { ends: begins.plus_ms(OUTAGE_MS.0 + draw.below(OUTAGE_MS.1 - OUTAGE_MS.0)), begins, ..blackout(draw) }
}

/// A provider, the way to it, and whether the troubles are over for good.
#[derive(Clone)]
pub struct Victim {
    pub node: Sim,
    pub host: Sim,
    pub provider: Rc<Provider>,
    pub healed: Rc<Cell<bool>>,
}

impl Victim {
    pub fn suffers(self, trouble: Trouble) {
        let node = self.node.clone();
        node.clone().spawn("trouble", async move {
            node.sleep_until(trouble.begins).await;
            let Trouble { kind, ends, salt, .. } = trouble;
            node.say(|| format!("{} suffers {kind:?} until {} us", self.provider.name, ends.0 / 1000));
            match kind {
                Kind::Flap => self.flap(ends, salt).await,
                _ => self.once(kind, ends, salt).await,
            }
        });
    }

    async fn once(&self, kind: Kind, ends: Instant, salt: u64) {
        let undo = self.begin(kind, ends, salt);
        self.node.sleep_until(ends).await;
        if !self.healed.get() {
            self.node.link(&self.host, |l| l.refused = false);
            self.provider.tune(undo);
        }
    }

    async fn flap(&self, ends: Instant, salt: u64) {
        let mut draw = Rng::new(salt);
        while self.node.now() < ends && !self.healed.get() {
            let is_down = coin(&mut draw);
            self.provider.tune(|k| k.down = is_down);
            self.node.sleep_until(self.node.now().plus_ms(1 + draw.below(FLAP_MS))).await;
        }
        self.provider.tune(|k| k.down = false);
    }

    /// Begins it, and says how it is taken back.
    fn begin(&self, kind: Kind, ends: Instant, salt: u64) -> Box<dyn FnOnce(&mut Knobs)> {
        let (provider, was, mut draw) = (&self.provider, self.provider.manners(), Rng::new(salt));
        match kind {
            Kind::Refused => self.node.link(&self.host, |l| l.refused = true),
            Kind::Cut => self.node.link(&self.host, |l: &mut Link| l.blocked_until = ends.0),
            Kind::Restart => provider.restart(),
            Kind::Down => provider.tune(|k| k.down = true),
            Kind::Slow => provider.tune(|k| k.latency = scaled(k.latency, 10.0)),
            Kind::Limited => {
                let rate = rate(&mut draw);
                provider.tune(|k| k.rate = Some(rate));
            }
            Kind::Lag => provider.tune(|k| k.lag_blocks = 2 + draw.below(40)),
            Kind::Frozen => {
                let head = provider.head_at(self.node.now());
                provider.tune(|k| k.frozen_at = Some(head));
            }
            Kind::Lie => provider.tune(|k| k.announce_ahead = pick(&mut draw, &[5, 1_000, 1 << 40, u64::MAX])),
            Kind::Silent => provider.tune(|k| k.faults.insert(0, (1_000_000, Fault::Silence))),
            Kind::OtherChain => provider.tune(|k| k.chain_number = Some(1 + draw.below(3))),
            Kind::Unpaid => provider.tune(|k| k.faults.insert(0, (1_000_000, Fault::StatusAndError(401)))),
            Kind::HttpAway => provider.tune(|k| k.takes_http = false),
            Kind::SocketAway => {
                provider.tune(|k| k.takes_sockets = false);
                provider.restart();
            }
            Kind::Flap => {}
        }
        let Knobs { takes_http, takes_sockets, .. } = was;
        Box::new(move |k: &mut Knobs| match kind {
            Kind::Down => k.down = false,
            Kind::Slow => k.latency = scaled(k.latency, 0.1),
            Kind::Limited => k.rate = None,
            Kind::Lag => k.lag_blocks = 0,
            Kind::Frozen => k.frozen_at = None,
            Kind::Lie => k.announce_ahead = 0,
            Kind::OtherChain => k.chain_number = None,
            Kind::HttpAway => k.takes_http = takes_http,
            Kind::SocketAway => k.takes_sockets = takes_sockets,
            Kind::Silent | Kind::Unpaid => {
                let own = if kind == Kind::Silent { Fault::Silence } else { Fault::StatusAndError(401) };
                k.faults.retain(|f| *f != (1_000_000, own));
            }
            Kind::Refused | Kind::Cut | Kind::Restart | Kind::Flap => {}
        })
    }
}

fn scaled(latency: Latency, factor: f64) -> Latency {
    Latency { p50_ms: latency.p50_ms * factor, p95_ms: latency.p95_ms * factor }
}

/// From a few a second to a flood, refused in every way there is.
fn rate(draw: &mut Rng) -> Rate {
    let refusals = [
        TooMany::InResult,
        TooMany::Code(-32005),
        TooMany::StatusAndError,
        TooMany::Status { retry_after_s: None },
        TooMany::Status { retry_after_s: Some(2) },
    ];
    let refusal = refusals[draw.below(refusals.len() as u64) as usize];
    Rate { per_second: 1 + draw.below(20) as u32, burst: 1 + draw.below(20) as u32, refusal }
}

/// Where nothing goes wrong.
pub fn calm_knobs(draw: &mut Rng) -> Knobs {
    let p50_ms = pick(draw, &[0, 1, 5]) as f64;
    Knobs { latency: Latency { p50_ms, p95_ms: 2.0 * p50_ms }, ..Knobs::default() }
}

/// Manners and faults of a provider from the start: a few kinds each, so that each gets its chance.
pub fn knobs(draw: &mut Rng) -> Knobs {
    let p50_ms = pick(draw, &[0, 1, 20, 300, 1_500]) as f64;
    let mut knobs = Knobs { latency: Latency { p50_ms, p95_ms: pick(draw, &[1, 2, 10]) as f64 * p50_ms }, ..Knobs::default() };
    let all = Fault::ALL;
    for _ in 0..draw.below(5) {
        let chance = pick(draw, &[10_000, 100_000, 400_000]) as u32;
        let fault = match draw.below(8) {
            // Somewhere in an answer too long to hold.
            0 => Fault::ResetAt(draw.below(1 << 20) as usize),
            1 => Fault::StallAt(draw.below(1 << 20) as usize),
            _ => all[draw.below(all.len() as u64) as usize],
        };
        knobs.faults.push((chance, fault));
    }
    if one_in(draw, 5) {
        knobs.rate = Some(rate(draw));
    }
    if one_in(draw, 5) {
        knobs.close_after = Some(1 + draw.below(5) as u32);
    }
    if one_in(draw, 8) {
        knobs.missing_methods = vec!["eth_call", "eth_sendRawTransaction", "eth_newFilter"];
    }
    if one_in(draw, 8) {
        let words = [Fault::StatusText(403, "not in your plan"), Fault::Bare(403), Fault::StatusAndError(403)];
        knobs.method_faults = vec![("eth_getLogs", words[draw.below(3) as usize])];
    }
    knobs.absent = Absent::ALL[draw.below(4) as usize];
    if one_in(draw, 3) {
        knobs.arrival = Arrival { most_ms: pick(draw, &[100, 600, 3_000]), http_behind_ms: pick(draw, &[0, 100, 600]) };
    }
    if one_in(draw, 8) {
        knobs.lag_blocks = draw.below(10);
    }
    if coin(draw) {
        knobs.late_blocks = 100_000;
    }
    knobs
}
