//! The provider block that the findings support, in the form of a profile: save it as a file of the profiles' directory, or
//! take what is below `providers`. Every line says why it is there, and whatever the findings do not show is left out, so
//! that the program's defaults stay in force.
//!
//! URLs may hold keys and are not in the findings: variables stand in their place. Whoever could not be used is named in a
//! comment. Names come from outside and become ids, so they are cut to what an id may be; comments are one line each.

use crate::base::limits;
use crate::bench::findings::{Depth, Findings, LogRange, Provider, ProviderState};
use crate::bench::report::ranking::{self, Record};
use crate::bench::report::verdict::majority;
use crate::bench::report::words;
use std::fmt::Write;

/// Below this share of answered calls a provider stands behind all that are above.
const RELIABLE_SHARE: f64 = 0.95;

/// Between priorities, so that one can be put between two.
const STEP: usize = 10;

/// What reads the state of an account or runs code on it: what a node without an archive cannot do for old blocks.
const STATE_METHODS: [&str; 5] = ["eth_call", "eth_getBalance", "eth_getCode", "eth_getStorageAt", "eth_getTransactionCount"];

pub fn provider_block(findings: &Findings) -> String {
    let run = &findings.run;
    let mut out = format!(
        "# What lasso bench found on {}: mix {}, {} in {}.\n",
        words::when(run.began_at_s),
        words::plain(&run.mix),
        words::counted(run.sent_calls, "call"),
        words::seconds(run.measured_seconds)
    );
    if run.is_interrupted {
        out.push_str("# The run was ended early: measure again before you rely on it.\n");
    }
    let ranked = ranked(findings);
    out.push_str(&left_out(findings));
    if ranked.is_empty() {
        out.push_str("# No provider could be used, so there is nothing to suggest.\n");
        return out;
    }
    out.push_str("# URLs may hold keys and are not kept: set the variables, or write the URLs here.\nchains:\n");
    let chain = run.chain_number.max(1);
    let _ = writeln!(out, "  chain-{chain}: # the name in URLs\n    chain_id: {chain}\n    providers:");
    let mut ids: Vec<String> = Vec::new();
    for ranked in &ranked {
        let id = unique(id_of(&words::name(findings, ranked.record.provider)), &ids);
        out.push_str(&block(findings, ranked, &id));
        ids.push(id);
    }
    out
}

/// A provider that can be used, with the priority it deserves.
struct Ranked {
    record: Record,
    priority: usize,
    why: String,
}

fn is_usable(provider: &Provider) -> bool {
    provider.state == ProviderState::Measured && (provider.has_http || provider.has_ws)
}

/// What puts a provider behind all others however fast it is; the worse, the larger.
fn burden(findings: &Findings, provider: usize) -> (u8, String) {
    let against = findings
        .disagreements
        .iter()
        .filter(|d| majority(d).is_some())
        .filter(|d| d.camps.iter().skip(1).any(|camp| camp.providers.contains(&provider)))
        .count();
    if against > 0 {
        let times = words::counted(against as u64, "question");
        return (2, format!("last: it answered {times} otherwise than the majority"));
    }
    let (calls, good) = ranking::totals(findings, provider);
    if calls > 0 && (good as f64) < RELIABLE_SHARE * calls as f64 {
        return (1, format!("behind the reliable ones: it answered {} of its calls", words::percent(good as f64 / calls as f64)));
    }
    (0, String::new())
}

/// Best first. Whoever has the same record has the same priority, so that they share the load.
fn ranked(findings: &Findings) -> Vec<Ranked> {
    let mut all: Vec<(u8, String, Record)> = ranking::records(findings)
        .into_iter()
        .filter(|record| findings.providers.get(record.provider).is_some_and(is_usable))
        .map(|record| {
            let (weight, why) = burden(findings, record.provider);
            (weight, why, record)
        })
        .collect();
    all.sort_by_key(|(weight, ..)| *weight);
    let mut out: Vec<Ranked> = Vec::new();
    let mut before: Option<(u8, Option<f64>)> = None;
    let mut priority = 0;
    for (weight, why, record) in all {
        let own = (weight, record.mean_position);
        if before != Some(own) {
            priority += STEP;
        }
        before = Some(own);
        let why = if why.is_empty() { of_record(&record, out.len() + 1) } else { why };
        out.push(Ranked { record, priority, why });
    }
    out
}

fn of_record(record: &Record, place: usize) -> String {
    let comparisons = words::counted(record.comparisons as u64, "comparison");
    let tied = if record.best_tied > 0 { " or tied for it" } else { "" };
    match (record.comparisons, record.best()) {
        (0, _) => "it was compared with nobody".to_owned(),
        (_, 0) => format!("number {place} by its mean position in {comparisons}"),
        (_, best) => format!("best{tied} in {best} of {comparisons}"),
    }
}

fn left_out(findings: &Findings) -> String {
    let mut out = String::new();
    for (index, provider) in findings.providers.iter().enumerate().filter(|(_, provider)| !is_usable(provider)) {
        let why = match &provider.state {
            ProviderState::Dead { reason } => format!("it is dead ({})", words::plain(reason)),
            ProviderState::WrongChain { chain_number } => format!("it serves chain {chain_number}"),
            ProviderState::Refused { reason } => format!("it refused our credentials ({})", words::plain(reason)),
            ProviderState::Banned { after_calls } => {
                format!("it stopped serving us after {}", words::counted(*after_calls, "call"))
            }
            ProviderState::Measured => "it has no URL".to_owned(),
        };
        let _ = writeln!(out, "# {} is left out: {why}.", words::name(findings, index));
    }
    out
}

fn block(findings: &Findings, ranked: &Ranked, id: &str) -> String {
    let Some(provider) = findings.providers.get(ranked.record.provider) else { return String::new() };
    let mut out = format!("      - id: {}\n", quoted(id));
    let mut line = |text: String| {
        let _ = writeln!(out, "        {text}");
    };
    let shown = words::shortened(provider.name.trim(), NAME_CHARS);
    if shown != id && !shown.is_empty() {
        line(format!("name: {}", quoted(&shown)));
    }
    line(format!("priority: {} # {}", ranked.priority, ranked.why));
    let variable = variable_of(id);
    let host = words::plain(&provider.host);
    if provider.has_http {
        line(format!("url: \"${{{variable}_URL}}\" # {host}"));
    }
    if provider.has_ws {
        line(format!("ws_url: \"${{{variable}_WS_URL}}\" # {host}"));
    }
    match provider.depth {
        Some(Depth::Archive) => line("archival: true # it gave states from the first block on".to_owned()),
        Some(Depth::Blocks { blocks }) => {
            line(format!("archival: false # its states reach {} back", words::counted(blocks, "block")));
        }
        Some(Depth::Unknown) | None => {}
    }
    for text in capabilities(provider) {
        line(text);
    }
    for text in remarks(provider) {
        line(format!("# {text}"));
    }
    out
}

/// A name of any script has at most four bytes a character.
const NAME_CHARS: usize = limits::NAME_BYTES / 4;

fn capabilities(provider: &Provider) -> Vec<String> {
    let mut out = Vec::new();
    let missing: Vec<&str> = provider.missing_methods.iter().map(String::as_str).filter(|method| is_method(method)).collect();
    if !missing.is_empty() {
        out.push(format!("  unsupported_methods: [{}] # it said that it does not have them", missing.join(", ")));
    }
    let mut bounds = Vec::new();
    if let Some(LogRange { answered_blocks, refused_blocks: Some(refused) }) = provider.log_range {
        bounds.push(format!(
            "    max_block_range: {answered_blocks} # it refused eth_getLogs over {} blocks",
            words::whole(refused)
        ));
    }
    if let Some(Depth::Blocks { blocks }) = provider.depth {
        bounds.push(format!("    max_block_age: {blocks} # older states it does not have"));
        bounds.push(format!("    block_age_methods: [{}] # what reads states", STATE_METHODS.join(", ")));
    }
    if !bounds.is_empty() {
        out.push("  limits: # what it was seen to refuse".to_owned());
        out.extend(bounds);
    }
    if !out.is_empty() {
        out.insert(0, "capabilities: # what it cannot do".to_owned());
    }
    out
}

/// What no key says, and a person should know.
fn remarks(provider: &Provider) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(limit) = provider.rate_limit {
        let served = words::rate(limit.served_per_second);
        out.push(match limit.refused_per_second {
            Some(refused) => {
                format!(
                    "served {served} calls a second, refused at {}: lasso rests it then, and goes on elsewhere",
                    words::rate(refused)
                )
            }
            None => format!("served {served} calls a second without a refusal; more was not tried"),
        });
    }
    if let Some(range) = provider.log_range.filter(|range| range.refused_blocks.is_none()) {
        out.push(format!("answered eth_getLogs over {} blocks, the most that was tried", words::whole(range.answered_blocks)));
    }
    if let Some(freshness) = &provider.freshness {
        out.push(format!("has new blocks {} after the first", words::estimate_ms(&freshness.behind_ms)));
    }
    out
}

/// As `config` reads method names.
fn is_method(word: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    !word.is_empty() && word.len() <= limits::METHOD_BYTES && word.bytes().all(allowed)
}

/// Letters, digits and `-_.:`; anything else becomes `_`.
fn id_of(name: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':') { c } else { '_' };
    let id: String = name.trim().chars().map(allowed).take(limits::NAME_BYTES - 8).collect();
    if id.chars().all(|c| matches!(c, '.' | '_')) { "provider".to_owned() + &id.replace('.', "") } else { id }
}

/// Different ids have different variables, too.
fn unique(id: String, taken: &[String]) -> String {
    let is_free = |id: &str| taken.iter().all(|other| variable_of(other) != variable_of(id));
    if is_free(&id) {
        return id;
    }
    let numbered = (2..).map(|number: usize| format!("{id}_{number}")).find(|id| is_free(id));
    numbered.unwrap_or(id)
}

fn variable_of(id: &str) -> String {
    let word: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) { format!("P_{word}") } else { word }
}

/// As YAML reads it between double quotes; `${` is no variable here.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::report::plausible;
    use crate::config::{Loaded, SourceFile, load};
    use proptest::prelude::*;

    fn loaded(block: &str) -> Loaded {
        let file = SourceFile { name: "default.yml".to_owned(), text: block.to_owned() };
        let lookup = |name: &str| {
            let host: String = name.bytes().take(24).map(|byte| format!("{byte:x}")).collect();
            let scheme = if name.ends_with("_WS_URL") { "wss" } else { "https" };
            Some(format!("{scheme}://h{host}.example.org/"))
        };
        load(&[file], &lookup).unwrap_or_else(|problems| panic!("{problems:?}\n{block}"))
    }

    #[test]
    fn the_configuration_takes_it_as_it_is_meant() {
        let findings = plausible::findings(7, 12);
        let loaded = loaded(&provider_block(&findings));
        assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
        let chain = &loaded.topology.profiles.values().next().expect("a profile").chains.values().next().expect("a chain");
        assert_eq!(chain.chain_number, 1);
        let of = |id: &str| chain.providers.values().find(|provider| &*provider.id == id);
        for gone in ["harbour", "juniper", "cobalt", "tundra"] {
            assert!(of(gone).is_none(), "{gone}");
        }
        let (first, liar) = (of("meridian").expect("there"), of("rubble").expect("there"));
        assert_eq!((first.priority, first.archival), (10, true));
        assert!(chain.providers.values().all(|provider| provider.priority <= liar.priority), "who disagrees comes last");
        let homestead = of("homestead").expect("there");
        assert_eq!(homestead.capabilities.max_block_range, Some(2_000));
        let quartz = of("quartz").expect("there");
        assert_eq!((quartz.archival, quartz.capabilities.max_block_age), (false, Some(128)));
        assert!(quartz.capabilities.unsupported_methods.iter().any(|method| &**method == "trace_block"));
    }

    #[test]
    fn every_line_says_why() {
        let block = provider_block(&plausible::findings(7, 12));
        let keys = block.lines().filter(|line| line.starts_with("        ") && !line.trim_start().starts_with("name:"));
        for line in keys {
            assert!(line.contains('#'), "{line}");
        }
    }

    #[test]
    fn nobody_to_suggest() {
        let mut findings = plausible::findings(7, 2);
        for provider in &mut findings.providers {
            provider.state = ProviderState::WrongChain { chain_number: 5 };
        }
        let block = provider_block(&findings);
        assert!(
            block.contains("# meridian is left out: it serves chain 5.\n") && block.contains("nothing to suggest"),
            "{block}"
        );
        assert!(block.lines().all(|line| line.starts_with('#')));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn names_are_no_yaml(names in prop::collection::vec("(\\PC|\\$\\{A\\}|[\"'\\\\:#\\n\u{2028}]){0,50}", 3)) {
            let mut findings = plausible::findings(7, 3);
            for (provider, name) in findings.providers.iter_mut().zip(&names) {
                provider.name.clone_from(name);
                provider.host.clone_from(name);
                provider.missing_methods.push(name.clone());
            }
            findings.run.mix.clone_from(&names[0]);
            let loaded = loaded(&provider_block(&findings));
            let chains = &loaded.topology.profiles.values().next().expect("a profile").chains;
            prop_assert_eq!(chains.values().next().map(|chain| chain.providers.len()), Some(3));
        }
    }
}
