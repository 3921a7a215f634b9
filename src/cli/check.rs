//! `lasso check`: all problems, or a summary; with `--print` the resolved profiles.

use crate::cli::options::Options;
use crate::cli::profiles::{self, Source};
use crate::config::{Loaded, Problem};
use std::collections::BTreeSet;
use std::fmt::Write;

/// What to print, and the exit code.
pub struct Report {
    pub out: String,
    pub err: String,
    pub code: i32,
}

pub fn run(print: bool, options: &Options) -> Report {
    match profiles::load(options) {
        Err(problems) if print => Report { out: String::new(), err: listed(&problems), code: 1 },
        Err(problems) => Report { out: listed(&problems), err: String::new(), code: 1 },
        Ok(loaded) if print => Report { out: crate::config::print::yaml(&loaded.topology), err: warnings(&loaded), code: 0 },
        Ok(loaded) => Report { out: summary(&loaded, &Source::of(options)), err: String::new(), code: 0 },
    }
}

fn listed(problems: &[Problem]) -> String {
    let mut out: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    let _ = writeln!(out, "{}", counted(problems.len(), "problem"));
    out
}

fn warnings(loaded: &Loaded) -> String {
    loaded.warnings.iter().map(|warning| format!("warning: {warning}\n")).collect()
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn summary(loaded: &Loaded, source: &Source) -> String {
    let top = &loaded.topology;
    let mut out = format!("ok: {} from {}\n", counted(top.profiles.len(), "profile"), source.shown());
    for profile in top.profiles.values() {
        let providers: usize = profile.chains.values().map(|chain| chain.providers.len()).sum();
        let instances: BTreeSet<u16> =
            profile.chains.values().flat_map(|chain| chain.providers.values()).map(|p| p.instance.0).collect();
        let limit = match profile.rps_limit {
            0 => "no client limit".to_owned(),
            rps => format!("{rps} calls/s, burst {}", profile.burst_limit),
        };
        let _ = writeln!(
            out,
            "  {}: {}, {}, {}, {limit}",
            profile.slug,
            counted(profile.chains.len(), "chain"),
            counted(providers, "provider"),
            counted(instances.len(), "instance"),
        );
        for chain in profile.chains.values() {
            let websockets = chain.providers.values().filter(|p| top.instances[p.instance].ws.is_some()).count();
            let (key, number) = (&chain.key, chain.chain_number);
            let _ =
                writeln!(out, "    {key} ({number}): {}, {websockets} with ws_url", counted(chain.providers.len(), "provider"));
        }
    }
    let _ = writeln!(out, "{} in all", counted(top.instances.len(), "instance"));
    out.push_str(&warnings(loaded));
    out
}
