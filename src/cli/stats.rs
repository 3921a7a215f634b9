//! `lasso stats`: a running node in tables, once or again and again; or a snapshot file of one.
//!
//! The first question must be answered; once watching, a node that went away is told and waited for.

use crate::cli::ask::{Client, Fault};
use crate::cli::asking::Asking;
use crate::cli::nodes::{self, NodeScope};
use crate::cli::options::{Settings, Usage};
use crate::cli::picture::{self, ChainState, MethodState, Picture, ProviderState, ShardState};
use crate::observe::kept::Kept;
use crate::observe::table::{self, Cell, Column, Paper, Tone, ms, percent, whole};
use crate::runtime::background;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const WATCH_SECONDS: u64 = 2;
const WATCH_SECONDS_MAX: u64 = 86_400;
/// To the upper left, and everything below is empty.
const CLEAR: &str = "\x1b[H\x1b[2J";

#[derive(Clone, Debug)]
pub struct Options {
    pub asking: Asking,
    pub json: bool,
    /// Seconds between two pictures.
    pub watch: Option<u64>,
    pub from: Option<PathBuf>,
    /// Which nodes it is about, when not only the one that is asked.
    pub scope: Option<NodeScope>,
}

impl Options {
    pub(super) fn read(settings: &Settings) -> Result<Options, Usage> {
        let watch = match settings.text("watch") {
            Some("") => Some(WATCH_SECONDS),
            _ => settings.number("watch", 1, WATCH_SECONDS_MAX)?,
        };
        let from = settings.path("from");
        if from.is_some() && watch.is_some() {
            return Err(Usage("--from shows a file once: leave --watch or --from out".to_owned()));
        }
        let scope = NodeScope::read(settings)?;
        if from.is_some() && scope.is_some() {
            return Err(Usage("--from shows a file of one node: leave it or --cluster out".to_owned()));
        }
        Ok(Options { asking: Asking::read(settings)?, json: settings.switch("json")?, watch, from, scope })
    }
}

pub fn run(options: &Options) -> i32 {
    let paper = paper();
    if let Some(file) = &options.from {
        return finish(&of_file(file, options.json, paper));
    }
    let client = Client::new(&options.asking.node);
    let mut next = asked(&client, options, paper);
    let Some(seconds) = options.watch else { return finish(&next) };
    if next.is_err() {
        return finish(&next);
    }
    loop {
        if !show_again(&next, options.json) {
            return 0;
        }
        background::pause(Duration::from_secs(seconds));
        next = asked(&client, options, self::paper());
    }
}

fn asked(client: &Client, options: &Options, paper: Paper) -> Result<String, Fault> {
    let Some(scope) = &options.scope else {
        return picture::take(client, &options.asking).map(|picture| shown(&picture, options, paper));
    };
    let chains = nodes::take(client, &options.asking, scope)?;
    Ok(match options.json {
        true => format!("{}\n", serde_json::json!({ "shape": 1, "chains": chains })),
        false => nodes::tables(&chains, options.asking.node.shown(), paper),
    })
}

/// Colours and cuts are for terminals; `NO_COLOR` set to anything forbids colours (no-color.org).
pub fn paper() -> Paper {
    let is_terminal = std::io::stdout().is_terminal();
    let is_colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let width = ratatui::crossterm::terminal::size().ok().map(|(width, _)| usize::from(width)).filter(|width| *width > 0);
    Paper { width: width.filter(|_| is_terminal), colours: is_terminal && !is_colourless && !is_dumb }
}

fn shown(picture: &Picture, options: &Options, paper: Paper) -> String {
    match options.json {
        // A picture is made of texts and numbers: it has a JSON form.
        true => serde_json::to_string(picture).unwrap_or_default() + "\n",
        false => tables(picture, options.asking.node.shown(), paper),
    }
}

fn finish(said: &Result<String, Fault>) -> i32 {
    match said {
        Ok(text) => super::put(text, 0),
        Err(fault) => {
            eprintln!("lasso: {fault}");
            1
        }
    }
}

/// False when nobody reads any more.
fn show_again(said: &Result<String, Fault>, json: bool) -> bool {
    let mut out = std::io::stdout().lock();
    let clear = if out.is_terminal() && !json { CLEAR } else { "" };
    let written = match said {
        Ok(text) if json => out.write_all(text.as_bytes()),
        Ok(text) => writeln!(out, "{clear}{text}"),
        Err(fault) => {
            eprintln!("lasso: {fault}");
            Ok(())
        }
    };
    written.and_then(|()| out.flush()).is_ok()
}

/// `3 d 4 h`, `5 min`, `42 s`.
pub fn span(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, min, s) => format!("{min} min {s} s"),
        (0, h, min, _) => format!("{h} h {min} min"),
        (d, h, ..) => format!("{d} d {h} h"),
    }
}

pub fn tables(picture: &Picture, url: &str, paper: Paper) -> String {
    let node = &picture.node;
    let mut out = format!(
        "lasso {} at {url}: {}, node {}, region {}, up {}, {}\n",
        node.version,
        node.status,
        node.node_id,
        node.region,
        span(node.uptime_seconds),
        picture.timestamp
    );
    for chain in &picture.chains {
        out.push('\n');
        out.push_str(&of_chain(chain, paper));
    }
    out.push('\n');
    out.push_str(&of_shards(picture, paper));
    out
}

pub const fn column(title: &'static str, is_number: bool, drop: u8) -> Column {
    Column { title, is_number, drop }
}

/// Status, circuit, calls and the slow end of latency stay longest.
pub const PROVIDER_COLUMNS: [Column; 11] = [
    column("provider", false, 0),
    column("status", false, 0),
    column("circuit", false, 1),
    column("height", true, 6),
    column("lag", true, 3),
    column("calls/min", true, 0),
    column("success", true, 2),
    column("p50 ms", true, 4),
    column("p95 ms", true, 5),
    column("p99 ms", true, 0),
    column("probe ms", true, 7),
];

pub const SHARD_COLUMNS: [Column; 11] = [
    column("shard", false, 0),
    column("clients", true, 0),
    column("websockets", true, 5),
    column("subscriptions", true, 6),
    column("in flight", true, 2),
    column("calls", true, 0),
    column("refused", true, 1),
    column("failovers", true, 1),
    column("longest stall ms", true, 3),
    column("p50 ms", true, 4),
    column("p99 ms", true, 0),
];

fn of_chain(chain: &ChainState, paper: Paper) -> String {
    let mut out = format!(
        "{} ({}), profile {}: head {}, {:.1} calls/s, failovers in the last minute: {}\n",
        chain.chain,
        chain.chain_id,
        chain.profile,
        whole(chain.head),
        chain.calls_per_second,
        chain.failovers,
    );
    let rows: Vec<Vec<Cell>> = chain.providers.iter().map(of_provider).collect();
    out.push_str(&table::render(&PROVIDER_COLUMNS, &rows, paper));
    for provider in chain.providers.iter().filter(|p| !p.reason.is_empty()) {
        let _ = writeln!(
            out,
            "{}",
            paper.tinted(&format!("  {}: {}", provider.id, provider.reason), Tone::of_status(&provider.status))
        );
    }
    out
}

pub fn of_provider(provider: &ProviderState) -> Vec<Cell> {
    let circuit = circuits(provider);
    let circuit_tone = if circuit == "closed" { Tone::Plain } else { Tone::Warn };
    let minute = &provider.minute;
    vec![
        provider.id.clone().into(),
        Cell::toned(provider.status.clone(), Tone::of_status(&provider.status)),
        Cell::toned(circuit, circuit_tone),
        whole(provider.height).into(),
        whole(provider.lag_blocks).into(),
        minute.calls.to_string().into(),
        percent(minute.success_rate).into(),
        ms(minute.p50_ms).into(),
        ms(minute.p95_ms).into(),
        ms(minute.p99_ms).into(),
        ms(provider.probe_latency_ms).into(),
    ]
}

/// One word where all its circuits are alike, else each with its transport.
pub fn circuits(provider: &ProviderState) -> String {
    let word = |channel: &picture::ChannelState| match channel.manual {
        Some(_) => format!("{} by hand", channel.circuit),
        None => channel.circuit.clone(),
    };
    let mut channels = provider.channels.iter();
    match channels.next() {
        None => "-".to_owned(),
        Some(first) if channels.all(|other| word(other) == word(first)) => word(first),
        Some(_) => {
            let each: Vec<String> = provider.channels.iter().map(|c| format!("{} {}", c.transport, word(c))).collect();
            each.join(", ")
        }
    }
}

pub fn of_shard(shard: &ShardState) -> Vec<Cell> {
    vec![
        shard.name.clone().into(),
        shard.client_connections.to_string().into(),
        shard.websocket_clients.to_string().into(),
        shard.subscriptions.to_string().into(),
        shard.attempts_in_flight.to_string().into(),
        shard.calls.to_string().into(),
        shard.refusals.to_string().into(),
        shard.failovers.to_string().into(),
        ms(shard.stall_max_ms).into(),
        ms(shard.p50_ms).into(),
        ms(shard.p99_ms).into(),
    ]
}

fn of_shards(picture: &Picture, paper: Paper) -> String {
    let rows: Vec<Vec<Cell>> = picture.shards.iter().chain([&picture.total]).map(of_shard).collect();
    format!("shards, since the start\n{}", table::render(&SHARD_COLUMNS, &rows, paper))
}

fn of_file(file: &Path, json: bool, paper: Paper) -> Result<String, Fault> {
    let fault = |text: String| Fault { text, is_gone: false };
    let shown = file.display();
    let bytes = super::snapshots::read_file(file).map_err(|why| fault(format!("{shown} cannot be read: {why}")))?;
    let kept = Kept::parse(&bytes).map_err(|why| fault(format!("{shown} is no snapshot of a node: {why}")))?;
    let rows: Vec<MethodState> = kept.data.snapshot_data.iter().map(picture::of_kept).collect();
    if json {
        let value = serde_json::json!({
            "shape": 1, "profile": kept.profile, "chain": kept.chain_name, "timestamp": kept.datetime,
            "node_id": kept.data.node_id, "region": kept.data.region, "methods": rows,
        });
        return Ok(format!("{value}\n"));
    }
    let head = format!(
        "{} of profile {}: the hour before {}, node {}, region {}\n",
        kept.chain_name, kept.profile, kept.datetime, kept.data.node_id, kept.data.region
    );
    Ok(head + &method_table(&rows, paper))
}

fn method_table(rows: &[MethodState], paper: Paper) -> String {
    let columns = [&[column("provider", false, 0), column("over", false, 0)], &METHOD_COLUMNS[..]].concat();
    let row = |method: &MethodState| -> Vec<Cell> {
        let whose = [method.provider.clone().into(), method.transport.clone().into()];
        whose.into_iter().chain(of_method(method)).collect()
    };
    table::render(&columns, &rows.iter().map(row).collect::<Vec<_>>(), paper)
}

pub const METHOD_COLUMNS: [Column; 7] = [
    column("method", false, 0),
    column("calls", true, 0),
    column("success", true, 1),
    column("p50 ms", true, 2),
    column("p90 ms", true, 4),
    column("p95 ms", true, 3),
    column("p99 ms", true, 0),
];

/// Under `METHOD_COLUMNS`.
pub fn of_method(method: &MethodState) -> Vec<Cell> {
    vec![
        method.method.clone().into(),
        method.calls.to_string().into(),
        percent(method.success_rate).into(),
        ms(method.p50_ms).into(),
        ms(method.p90_ms).into(),
        ms(method.p95_ms).into(),
        ms(method.p99_ms).into(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        assert_eq!([7, 67, 3_700, 90_061].map(span), ["7 s", "1 min 7 s", "1 h 1 min", "1 d 1 h"]);
    }
}
