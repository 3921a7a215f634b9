//! `lasso bench`: which provider is best for me? Says what it will send, asks, measures, and prints.
//!
//! What fails is told before anything is sent: files that cannot be read or written, names that nobody knows. The findings
//! go to standard output, everything else to standard error. Ctrl-C ends the measuring and prints what there is; a second one
//! ends the process.

mod announcement;
mod bars;
mod options;
mod outputs;
mod providers;

pub use options::Options;

use crate::base::limits;
use crate::bench::findings::ProviderState;
use crate::bench::mix::{self, Mix};
use crate::bench::plan::RunTerms;
use crate::config::suggest;
use crate::config::topology::{Strategy, Topology};
use crate::control::bench::{self as driver, BenchEnd, BenchOrder, Show};
use crate::runtime::dns::Resolver;
use crate::runtime::flag::Flag;
use crate::runtime::signals::{self, Signal};
use crate::runtime::tls::TlsSettings;
use crate::runtime::uring::{self, ShardOptions};
use crate::shard::{Fault, Node, Settings, Shard};
use crate::snapshot::Snapshot;
use announcement::Consent;
use bars::Bars;
use outputs::Outputs;
use providers::Compared;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Names are waited for this long.
const NAMES_WAIT: Duration = Duration::from_secs(2);
/// What a busy machine may add to calls before it is told.
const DELAY_TOLD_MS: f64 = 5.0;

/// The exit code: 1 where nothing could be measured, or something is worse than in the baseline.
pub fn run(options: &Options) -> i32 {
    match try_run(options) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("lasso: {why}");
            1
        }
    }
}

fn try_run(options: &Options) -> Result<i32, String> {
    let field = providers::field(options)?;
    let mix = read_mix(&options.methods)?;
    let outputs = Outputs::prepare(options)?;
    let (order, topology) = order(options, field, mix);
    if order.plan().total() > limits::BENCH_CALLS_MAX {
        let most = limits::BENCH_CALLS_MAX;
        return Err(format!(
            "this would send {} calls, and a run sends at most {most}: lower --rate or --for",
            order.plan().total()
        ));
    }
    eprint!("{}", announcement::text(&order));
    match announcement::consent(&order, options.is_sure) {
        Consent::Given => {}
        Consent::Refused => {
            eprintln!("Nothing was sent.");
            return Ok(1);
        }
        Consent::Unasked => {
            eprintln!("lasso: nobody is there to be asked: add --yes, or lower --rate or --for");
            return Ok(2);
        }
    }
    let end = measure(order, topology)?;
    if end.own_delay_ms > DELAY_TOLD_MS {
        eprintln!(
            "This machine was busy: calls were sent up to {:.0} ms late, which counts as everybody's time. Measure again with a lower --rate or when it is idle.",
            end.own_delay_ms
        );
    }
    let is_well = outputs.write(&end.findings)?;
    let has_measured = end
        .findings
        .providers
        .iter()
        .any(|provider| matches!(provider.state, ProviderState::Measured | ProviderState::Banned { .. }));
    Ok(if is_well && has_measured { 0 } else { 1 })
}

/// A mix's word, or a file.
fn read_mix(given: &str) -> Result<Mix, String> {
    if let Some(mix) = Mix::named(given) {
        return Ok(mix);
    }
    let path = Path::new(given);
    let cannot = |error: std::io::Error| {
        let hint =
            suggest::did_you_mean(given, mix::WORDS).unwrap_or_else(|| format!("a mix is one of {}", mix::WORDS.join(", ")));
        format!("--methods {given} cannot be read: {error} ({hint})")
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(limits::BENCH_FILE_BYTES + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > limits::BENCH_FILE_BYTES {
        return Err(format!("--methods {given} is larger than {} bytes (take a part of it)", limits::BENCH_FILE_BYTES));
    }
    // Its folder may say what nobody else should know.
    let name = path.file_name().map_or_else(|| given.to_owned(), |name| name.to_string_lossy().into_owned());
    Mix::listed(&name, &text).map_err(|fault| format!("--methods {given}, {fault}"))
}

fn order(options: &Options, field: Compared, mix: Mix) -> (BenchOrder, Topology) {
    let terms = RunTerms { calls_per_second: options.calls_per_second, seconds: options.seconds, has_ramp: options.has_ramp };
    let [drawn, _] = uring::process_secret();
    // Short enough to be typed.
    let seed = options.seed.unwrap_or(drawn % 1_000_000);
    let Compared { topology, entrants, entries, chain_number } = field;
    (BenchOrder { entrants, entries, chain_number, mix, terms, seed }, topology)
}

/// The whole run, on this thread.
fn measure(order: BenchOrder, topology: Topology) -> Result<BenchEnd, String> {
    let ca_files: BTreeSet<&str> = topology.instances.values().filter_map(|i| i.ca_file.as_deref()).collect();
    let tls = TlsSettings::load(ca_files).map_err(|fault| fault.to_string())?;
    let asked = |entry| Some(&topology.instances[topology.entries.get(entry)?.instance]);
    let endpoints = order.entries.iter().filter_map(|entry| asked(*entry)).flat_map(|i| i.http.iter().chain(i.ws.iter()));
    let hosts: BTreeSet<&str> = endpoints.map(|endpoint| endpoint.host.as_ref()).collect();
    let resolver = Resolver::start(hosts).map_err(|error| format!("resolver: {error}"))?;
    // A name that does not resolve makes a dead provider, with this as its reason.
    resolver.ready(NAMES_WAIT);
    let settings = Settings { started: uring::wall_now(), ..Settings::without_clients("bench") };
    let snapshot = Snapshot::new(topology, Strategy::Priority, &settings.region, settings.shards as usize + 1);
    let node = Node::new(settings, snapshot, uring::process_secret());
    let stop = Arc::new(Flag::default());
    let raised = stop.clone();
    let on_signal = move |signal| {
        if signal == Signal::Stop {
            raised.raise();
        }
    };
    signals::watch(on_signal).map_err(|error| format!("signals: {error}"))?;
    let bars = std::io::stderr().is_terminal().then(|| Bars::new(&order.entrants)).map(Rc::new);
    let shown = bars.clone();
    let show: Show = Rc::new(move |stage, budget, record| shown.iter().for_each(|bars| bars.show(stage, budget, record)));
    let options = ShardOptions { names: resolver.view(), ..ShardOptions::default() };
    let run = uring::run(options, async |world| {
        let shard = Shard::new(world.clone(), node.clone(), 0, &tls, Fault::None);
        shard.start();
        let end = driver::run(shard.clone(), order, stop.clone(), show).await;
        shard.close();
        end
    });
    bars.iter().for_each(|bars| bars.clear());
    run.map(|(end, _)| end).map_err(|fault| fault.to_string())
}
