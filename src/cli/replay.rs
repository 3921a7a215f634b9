//! `lasso bench --replay FILE --node URL`: plays the calls of a record against a node, and tells what they took.
//!
//! It says first what it will send, and asks where that is much. Reads only: whatever may act, carries a signature or
//! belongs to one provider is left out and named. A node's key in the URL reaches no output.

use crate::base::ids::EntryId;
use crate::base::limits;
use crate::base::time::Duration;
use crate::cli::ask::{Address, part};
use crate::cli::options::{Driver, Settings as Given, Usage};
use crate::cli::serve::driver_choice;
use crate::config::topology::{Strategy, Topology};
use crate::config::{SourceFile, load};
use crate::control::replay::{MethodPlayed, Played, ground, play};
use crate::observe::table::{self, Cell, Column, Paper};
use crate::replay::made_up::Ground;
use crate::replay::read::{Record, RecordReader};
use crate::replay::score::{self, CallMix, LeftOutCounts};
use crate::runtime::cores;
use crate::runtime::dns::Resolver;
use crate::runtime::flag::Flag;
use crate::runtime::signals;
use crate::runtime::tls::TlsSettings;
use crate::runtime::uring::{self, ShardOptions};
use crate::runtime::world::World;
use crate::shard::{Fault as Bug, Node, Settings, Shard};
use crate::snapshot::Snapshot;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Options {
    pub file: PathBuf,
    /// Without a slash at its end; user and password in front of the host.
    pub node: NodeUrl,
    pub speed: f64,
    pub is_asked: bool,
    /// A file for the figures.
    pub json: Option<PathBuf>,
}

/// Flags of `lasso bench` that mean nothing to a replay.
const COMPARING: [&str; 14] = [
    "url", "profiles", "profile", "chain", "methods", "rate", "for", "ramp", "price", "seed", "csv", "html", "baseline",
    "suggest",
];

/// A node's address, which may hold a password.
#[derive(Clone)]
pub struct NodeUrl {
    url: String,
    shown: String,
}

impl std::fmt::Debug for NodeUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Options {
    pub(super) fn read(given: &Given, file: PathBuf) -> Result<Options, Usage> {
        let example = "lasso bench --replay FILE --node http://127.0.0.1:4000";
        if let Some(name) = COMPARING.iter().find(|name| given.all(name).next().is_some()) {
            return Err(Usage(format!("--{name} is for comparing providers (leave it or --replay out)")));
        }
        let text = given.text("node").ok_or_else(|| Usage(format!("bench --replay needs the node to replay to: {example}")))?;
        let address = Address::parse(text).ok_or_else(|| given.bad("node", "like http://127.0.0.1:4000, without a path"))?;
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let node = NodeUrl { url: url.trim().trim_end_matches('/').to_owned(), shown: address.shown().to_owned() };
        let speed = match given.text("speed").map(str::parse::<f64>) {
            None => 1.0,
            Some(Ok(speed)) if speed > 0.0 && speed <= limits::REPLAY_SPEED_MAX => speed,
            Some(_) => return Err(given.bad("speed", &format!("a number above 0, at most {}", limits::REPLAY_SPEED_MAX))),
        };
        Ok(Options { file, node, speed, is_asked: !given.switch("yes")?, json: given.path("json") })
    }
}

/// Reads a record line by line; the error is for people.
pub fn read_record(path: &Path) -> Result<Record, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|fault| format!("{shown}: {fault}"))?;
    let (mut file, mut reader) = (BufReader::new(file), RecordReader::new());
    let mut line = Vec::new();
    loop {
        line.clear();
        let most = limits::RECORD_LINE_BYTES as u64 + 1;
        let count = file.by_ref().take(most).read_until(b'\n', &mut line).map_err(|fault| format!("{shown}: {fault}"))?;
        if count == 0 {
            break;
        }
        let is_whole = line.last() == Some(&b'\n');
        if is_whole {
            line.pop();
        } else if count as u64 == most {
            file.skip_until(b'\n').map_err(|fault| format!("{shown}: {fault}"))?;
        }
        reader.take(&line, is_whole).map_err(|problem| format!("{shown}: {problem}"))?;
    }
    reader.finish().map_err(|problem| format!("{shown}: {problem}"))
}

/// What of a record could not be used, for standard error.
pub fn problems(record: &Record) -> String {
    let mut out = String::new();
    for problem in &record.problems {
        let _ = writeln!(out, "lasso: {problem}");
    }
    let untold = record.unread_lines.saturating_sub(record.problems.len() as u64);
    if untold > 0 {
        let _ = writeln!(out, "lasso: and {untold} further lines");
    }
    if record.lost > 0 {
        let _ = writeln!(out, "lasso: {} sampled calls are missing from the record: the disk was too slow", record.lost);
    }
    if let Some(why) = &record.stopped {
        let _ = writeln!(out, "lasso: the record ended before its node: {why}");
    }
    out
}

pub fn run(options: &Options) -> i32 {
    match replay(options) {
        Ok(Some(text)) => super::put(&text, 0),
        Ok(None) => 0,
        Err(why) => {
            eprintln!("lasso: {why}");
            1
        }
    }
}

/// `None`: the person said no.
fn replay(options: &Options) -> Result<Option<String>, String> {
    let record = Rc::new(read_record(&options.file)?);
    eprint!("{}", problems(&record));
    let (mix, left_out) = score::announce(&record);
    if mix.total() == 0 {
        return Err("the record has no call that can be replayed".to_owned());
    }
    eprint!("{}", announcement(options, &record, &mix, &left_out));
    if options.is_asked && mix.total() as usize >= limits::REPLAY_UNASKED_CALLS && !is_agreed()? {
        return Ok(None);
    }
    // A refused raise leaves the limit as it is.
    let _ = cores::raise_file_limit();
    let topology = topology(&record, &options.node.url)?;
    let hosts: Vec<String> = topology.instances.values().flat_map(|i| i.http.iter().map(|e| e.host.to_string())).collect();
    let resolver = Resolver::start(hosts.iter().map(String::as_str)).map_err(|fault| format!("resolver: {fault}"))?;
    resolver.ready(Duration::from_millis(limits::ASK_TIMEOUT_MS));
    let stop = Arc::new(Flag::default());
    let raised = stop.clone();
    signals::watch(move |_| raised.raise()).map_err(|fault| format!("signals: {fault}"))?;
    let tls = TlsSettings::load([]).map_err(|fault| fault.to_string())?;
    let shard_options = ShardOptions { driver: driver_choice(Driver::Auto), names: resolver.view(), ..ShardOptions::default() };
    let (played, _) = uring::run(shard_options, async |world| {
        let snapshot = Snapshot::new(topology, Strategy::Priority, "replay", 2);
        let node = Node::new(Settings::without_clients("replay"), snapshot, uring::process_secret());
        let shard = Shard::new(world.clone(), node, 0, &tls, Bug::None);
        shard.start();
        whole_replay(&shard, &record, (options.speed, stop)).await
    })
    .map_err(|fault| fault.to_string())?;
    let played = played?;
    if let Some(path) = &options.json {
        let text = format!("{}\n", as_json(&record, &mix, &played));
        std::fs::write(path, text).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(Some(as_text(&record, &mix, &played)))
}

/// Asks each chain for its ground, then plays.
async fn whole_replay<W: World>(shard: &Rc<Shard<W>>, record: &Rc<Record>, how: (f64, Arc<Flag>)) -> Result<Played, String> {
    let entries = entries(shard, record.chains.len()).ok_or("the record's chains cannot be told apart")?;
    let mut grounds: Vec<Option<Ground>> = Vec::new();
    for (place, chain) in record.chains.iter().enumerate() {
        let is_called = record.calls.iter().any(|call| usize::from(call.chain) == place);
        let entry = entries.get(place).filter(|_| is_called);
        let found = match entry {
            Some(entry) => Some(ground(shard, *entry).await),
            None => None,
        };
        if let Some(Err(why)) = &found {
            eprintln!("lasso: calls of {} (profile {}) are left out: {why}", chain.chain, chain.profile);
        }
        grounds.push(found.and_then(Result::ok));
    }
    if grounds.iter().all(Option::is_none) {
        return Err("the node answers for no chain of the record".to_owned());
    }
    Ok(play(shard, record.clone(), entries, &grounds, how).await)
}

/// By place in the record's chains.
fn entries<W: World>(shard: &Shard<W>, chains: usize) -> Option<Vec<EntryId>> {
    let topology = shard.latest().topology.clone();
    let profile = topology.profiles.values().next()?;
    let entry = |place| Some(profile.chains.get(*profile.chain_by_name.get(format!("c{place}").as_str())?)?.first_entry);
    (0..chains).map(entry).collect()
}

/// The node as one provider for each chain of the record, in its order.
fn topology(record: &Record, node: &str) -> Result<Topology, String> {
    let ws = node.strip_prefix("https").map(|rest| format!("wss{rest}"));
    let ws = ws.or_else(|| node.strip_prefix("http").map(|rest| format!("ws{rest}"))).unwrap_or_default();
    let chains = record.chains.iter().enumerate().map(|(place, chain)| {
        let path = format!("rpc/profile/{}/{}", part(&chain.profile), part(&chain.chain));
        let provider = json!({
            "id": "node",
            "url": format!("{node}/{path}"),
            "ws_url": format!("{ws}/ws/{path}"),
            "max_connections": limits::REPLAY_CONNECTIONS,
            "sharing_mode": "isolated",
        });
        (format!("c{place}"), json!({ "chain_id": chain.chain_id, "providers": [provider] }))
    });
    let chains: serde_json::Map<String, Value> = chains.collect();
    let text = json!({ "name": "replay", "slug": "default", "chains": chains }).to_string();
    let loaded = load(&[SourceFile { name: "default.yml".to_owned(), text }], &|_| None);
    let told = |problems: Vec<crate::config::Problem>| problems.first().map_or(String::new(), |problem| problem.to_string());
    loaded
        .map(|loaded| loaded.topology)
        .map_err(|problems| format!("the record's chains cannot be asked for: {}", told(problems)))
}

fn is_agreed() -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("that is much: say --yes to send it".to_owned());
    }
    eprint!("Send them? [y/N] ");
    let mut said = String::new();
    std::io::stdin().lock().read_line(&mut said).map_err(|fault| fault.to_string())?;
    Ok(matches!(said.trim(), "y" | "Y" | "yes"))
}

fn announcement(options: &Options, record: &Record, mix: &CallMix, left_out: &LeftOutCounts) -> String {
    let length_s = record.length_us() as f64 / 1e6 / options.speed;
    let mut out = format!(
        "{} of {} recorded calls go to {} within {length_s:.0} s ({:.1} a second), after one eth_getBlockByNumber for each of {} chain(s).\n",
        mix.total(),
        record.calls.len(),
        options.node.shown,
        mix.total() as f64 / length_s.max(0.001),
        mix.chains(),
    );
    for (method, count) in mix.by_method().iter().take(SHOWN_METHODS) {
        let _ = writeln!(out, "  {:>6.2} %  {method}", share(*count, mix.total()));
    }
    let others = mix.by_method().len().saturating_sub(SHOWN_METHODS);
    if others > 0 {
        let _ = writeln!(out, "  and {others} other methods");
    }
    let made_up = record.calls.iter().filter(|call| call.params.is_none()).count();
    if made_up > 0 {
        out.push_str("Parameters that were not recorded are made up (docs/replay.md): the mix is the record's, the cost of a call is not.\n");
    }
    if record.weight() > 1 {
        let _ = writeln!(out, "One call in {} was recorded, so this is so much less than the node had.", record.weight());
    }
    for ((method, why), count) in left_out {
        let _ = writeln!(out, "Left out: {count} × {method}, {}.", why.why());
    }
    out
}

const SHOWN_METHODS: usize = 12;

fn share(count: u64, of: u64) -> f64 {
    count as f64 * 100.0 / of.max(1) as f64
}

fn quantile_ms(sorted: &[u32], quantile: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * quantile).round() as usize).map(|us| f64::from(*us) / 1000.0)
}

fn sorted(values: &[u32]) -> Vec<u32> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
}

fn as_text(record: &Record, announced: &CallMix, played: &Played) -> String {
    const COLUMNS: &[Column] = &[
        Column { title: "method", is_number: false, drop: 0 },
        Column { title: "calls", is_number: true, drop: 0 },
        Column { title: "share %", is_number: true, drop: 2 },
        Column { title: "p50 ms", is_number: true, drop: 0 },
        Column { title: "p90 ms", is_number: true, drop: 1 },
        Column { title: "p99 ms", is_number: true, drop: 0 },
        Column { title: "failed", is_number: true, drop: 0 },
        Column { title: "with", is_number: false, drop: 3 },
    ];
    let mut methods: Vec<(&u16, &MethodPlayed)> = played.by_method.iter().collect();
    methods.sort_by_key(|(_, told)| std::cmp::Reverse(told.took_us.len()));
    let rows: Vec<Vec<Cell>> = methods
        .into_iter()
        .map(|(place, told)| {
            let took = sorted(&told.took_us);
            let ms = |quantile| table::ms(quantile_ms(&took, quantile));
            let failures = told.failures.iter().map(|(word, count)| format!("{count} {word}")).collect::<Vec<_>>().join(", ");
            let name = record.methods.get(usize::from(*place)).map_or("", |name| name);
            let calls = took.len() as u64;
            let failed: u64 = told.failures.values().sum();
            [
                name.to_owned(),
                calls.to_string(),
                format!("{:.2}", share(calls, played.mix.total())),
                ms(0.5),
                ms(0.9),
                ms(0.99),
                failed.to_string(),
                failures,
            ]
            .map(Cell::from)
            .into()
        })
        .collect();
    let mut out = table::render(COLUMNS, &rows, Paper::default());
    let late = sorted(&played.late_us);
    let _ = writeln!(
        out,
        "\n{} calls in {:.1} s; the mix differs from the record's by {:.2} % at most; sent {} ms after their moment at the median, {} ms at p99.",
        played.mix.total(),
        played.took.as_secs_f64(),
        announced.difference(&played.mix) * 100.0,
        table::ms(quantile_ms(&late, 0.5)),
        table::ms(quantile_ms(&late, 0.99)),
    );
    if played.held_back > 0 {
        let _ = writeln!(
            out,
            "{} calls were held back because {} were under way: the node, or this machine, does not keep up at this speed.",
            played.held_back,
            limits::REPLAY_UNDER_WAY
        );
    }
    out
}

fn as_json(record: &Record, announced: &CallMix, played: &Played) -> Value {
    let method = |(place, told): (&u16, &MethodPlayed)| {
        let took = sorted(&told.took_us);
        let ms = |quantile| quantile_ms(&took, quantile);
        json!({
            "method": record.methods.get(usize::from(*place)),
            "calls": took.len(),
            "p50_ms": ms(0.5), "p90_ms": ms(0.9), "p99_ms": ms(0.99), "p999_ms": ms(0.999),
            "failures": told.failures,
        })
    };
    let late = sorted(&played.late_us);
    json!({
        "calls": played.mix.total(),
        "seconds": played.took.as_secs_f64(),
        "mix_difference": announced.difference(&played.mix),
        "late_ms": { "p50": quantile_ms(&late, 0.5), "p99": quantile_ms(&late, 0.99), "max": quantile_ms(&late, 1.0) },
        "held_back": played.held_back,
        "methods": played.by_method.iter().map(method).collect::<Vec<_>>(),
        "left_out": played.left_out.iter().map(|((name, why), n)| json!({ "method": name, "why": why.why(), "calls": n })).collect::<Vec<_>>(),
    })
}
