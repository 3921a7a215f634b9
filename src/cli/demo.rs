//! `lasso demo`: the real node, on simulated providers in the same process, over real sockets.
//!
//! Nothing of the node knows that it is a demo: the providers listen on loopback ports and a profile names them, like
//! any other. They run on a thread of their own so that the node's shards are what they are in production.

use crate::base::ids::{Id, InstanceId};
use crate::cli::log::Log;
use crate::cli::options::{LogFormat, Options};
use crate::cli::serve::{Running, driver_choice};
use crate::config::topology::Topology;
use crate::config::{self, SourceFile};
use crate::demo::{cast, server};
use crate::runtime::background::{self, Background};
use crate::runtime::uring::{self, ShardOptions};
use crate::runtime::world::World;
use crate::shard::Node;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

/// The model world is the same every time.
const SEED: u64 = 1;
const TICK: Duration = Duration::from_secs(1);
/// Without calls, a line this often.
const QUIET_TICKS: u64 = 15;

pub fn run(options: Options) -> i32 {
    let log = match Log::start(&options) {
        // A person at a terminal is told of a second, not of each call.
        Ok(log) if log.format() == LogFormat::Text => log.without_calls(),
        Ok(log) => log,
        Err(why) => {
            eprintln!("lasso: {why}");
            return 1;
        }
    };
    let code = demo(&options, &log);
    log.flush();
    code
}

fn demo(options: &Options, log: &Log) -> i32 {
    match start(options, log) {
        Ok((running, _providers)) => {
            show_what_to_try(log, running.address);
            let mut ticker = Ticker::new(&running);
            running.wait_with(TICK, |node| ticker.tick(node, log))
        }
        Err(why) => {
            log.error("demo.failed", &why);
            1
        }
    }
}

fn start(options: &Options, log: &Log) -> Result<(Running, Background), String> {
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let bound = (0..cast::size()).map(|_| TcpListener::bind(loopback)).collect::<Result<Vec<_>, _>>();
    let listeners = bound.map_err(|e| format!("no port for a simulated provider: {e}"))?;
    let addresses: Result<Vec<SocketAddr>, _> = listeners.iter().map(TcpListener::local_addr).collect();
    let addresses = addresses.map_err(|e| format!("no port for a simulated provider: {e}"))?;
    let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
    let driver = driver_choice(options.driver);
    let providers = background::start("providers", move || {
        let options = ShardOptions { driver, listeners, ..ShardOptions::default() };
        let served = uring::run(options, async |world| serve(&world, &addresses).await);
        served.map_or_else(|fault| fault.to_string(), |(why, _)| why)
    })
    .map_err(|e| format!("no thread for the simulated providers: {e}"))?;
    let file = SourceFile { name: "default.yml".into(), text: cast::profile_yaml(&ports) };
    let loaded =
        config::load(&[file], &|_| None).map_err(|problems| problems.iter().map(|p| format!("{p}\n")).collect::<String>())?;
    Ok((Running::start(options, loaded.topology, log)?, providers))
}

/// Serves every simulated provider for ever; returns only why it cannot.
async fn serve<W: World>(world: &W, addresses: &[SocketAddr]) -> String {
    for (provider, address) in cast::providers(SEED, world.wall().0).into_iter().zip(addresses) {
        if let Err(e) = server::start(world, *address, provider, None) {
            return format!("{address}: {e}");
        }
    }
    loop {
        world.sleep_until(world.now() + Duration::from_secs(3600)).await;
    }
}

const POST: &str = "-H 'content-type: application/json' -d";

fn show_what_to_try(log: &Log, address: SocketAddr) {
    let base = format!("http://localhost:{}", address.port());
    let call =
        |id: u8, method: &str, params: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":[{params}]}}"#);
    let balance = call(2, "eth_getBalance", r#""0x0000000000000000000000000000000000000001","latest""#);
    let batch = format!("[{},{}]", call(3, "eth_blockNumber", ""), call(4, "eth_gasPrice", ""));
    let commands = [
        (
            "the latest block, from the preferred provider",
            format!("curl -s {base}/rpc/ethereum {POST} '{}'", call(1, "eth_blockNumber", "")),
        ),
        (
            "a balance from any provider, and who answered how fast",
            format!("curl -s '{base}/rpc/load-balanced/base?include_meta=body' {POST} '{balance}'"),
        ),
        (
            "a batch, first tried on a provider that fails two times in five",
            format!("curl -s '{base}/rpc/arbitrum/rubble?allow_failover=true' {POST} '{batch}'"),
        ),
        (
            "every new block, whichever provider announces it",
            format!(
                "npx wscat -c ws://localhost:{}/ws/rpc/base -w 30 -x '{}'",
                address.port(),
                call(5, "eth_subscribe", r#""newHeads""#)
            ),
        ),
    ];
    if log.format() == LogFormat::Json {
        return commands.iter().for_each(|(what, command)| {
            log.info("demo.try", &[("message", (*what).into()), ("command", command.as_str().into())]);
        });
    }
    log.plain("\nThree chains on simulated providers are ready. Try, in another terminal:\n");
    commands.iter().for_each(|(what, command)| log.plain(&format!("  # {what}\n  {command}\n")));
    log.plain("Every second with calls is told below; stop with Ctrl-C.\n");
}

/// Tells once a second what the node did in it.
struct Ticker {
    before: Totals,
    /// The instances by name, as `chain/provider`.
    names: Vec<(InstanceId, String)>,
    quiet: u64,
}

#[derive(Clone, Default)]
struct Totals {
    calls: u64,
    failovers: u64,
    refusals: u64,
    /// Attempts and failed ones, by place in `Ticker::names`.
    attempts: Vec<(u64, u64)>,
}

impl Ticker {
    fn new(running: &Running) -> Ticker {
        let names = names(&running.node.snapshot.latest().topology);
        Ticker { before: Totals::default(), names, quiet: 0 }
    }

    fn tick(&mut self, node: &Node, log: &Log) {
        let now = self.totals(node);
        let calls = now.calls - self.before.calls;
        self.quiet = if calls == 0 { self.quiet + 1 } else { 0 };
        if calls > 0 {
            log.info("demo.second", &self.fields(&now));
        } else if self.quiet.is_multiple_of(QUIET_TICKS) {
            log.info("demo.waiting", &[("message", "no calls; the commands above make some".into())]);
        }
        self.before = now;
    }

    fn totals(&self, node: &Node) -> Totals {
        let mut totals = Totals { attempts: vec![(0, 0); self.names.len()], ..Totals::default() };
        for counters in &node.counters {
            totals.calls += counters.calls.get();
            totals.failovers += counters.failovers.get();
            totals.refusals += counters.refusals.get();
            for ((id, _), sum) in self.names.iter().zip(&mut totals.attempts) {
                let (attempts, failed) = counters.of_instance(*id);
                *sum = (sum.0 + attempts, sum.1 + failed);
            }
        }
        totals
    }

    fn fields(&self, now: &Totals) -> Vec<(&'static str, serde_json::Value)> {
        let mut providers = String::new();
        let old = self.before.attempts.iter().copied().chain(std::iter::repeat((0, 0)));
        for (((_, name), (attempts, failed)), (had, had_failed)) in self.names.iter().zip(&now.attempts).zip(old) {
            let (attempts, failed) = (attempts - had, failed - had_failed);
            if attempts > 0 {
                // Writing to a String does not fail.
                let _ = write!(providers, "{}{name}:{attempts}", if providers.is_empty() { "" } else { " " });
                if failed > 0 {
                    let _ = write!(providers, "(-{failed})");
                }
            }
        }
        vec![
            ("calls", (now.calls - self.before.calls).into()),
            ("failovers", (now.failovers - self.before.failovers).into()),
            ("refusals", (now.refusals - self.before.refusals).into()),
            ("attempts", providers.into()),
        ]
    }
}

fn names(topology: &Topology) -> Vec<(InstanceId, String)> {
    let chains = topology.profiles.values().flat_map(|profile| profile.chains.values());
    let mut names: Vec<_> =
        chains.flat_map(|c| c.providers.values().map(|p| (p.instance, format!("{}/{}", c.key, p.id)))).collect();
    names.sort_by_key(|(id, _)| id.index());
    names.dedup_by_key(|(id, _)| *id);
    names
}
