//! Sentences about providers: whose answers differ, who has new blocks late, how far back each reaches, and its limits.

use crate::base::limits;
use crate::bench::findings::{Camp, Depth, Disagreement, Findings, Freshness, Provider, ProviderState};
use crate::bench::report::words::{counted, estimate_ms, found_by, list, name, names, plain, rate, shortened, time, verb, whole};

/// Whether one camp is larger than every other.
pub(in crate::bench::report) fn majority(disagreement: &Disagreement) -> Option<&Camp> {
    let first = disagreement.camps.first()?;
    let is_larger = disagreement.camps.iter().skip(1).all(|camp| camp.providers.len() < first.providers.len());
    is_larger.then_some(first)
}

pub(super) fn agreement(findings: &Findings) -> Vec<String> {
    let measured = findings.providers.iter().filter(|provider| provider.state == ProviderState::Measured).count();
    if findings.disagreements.is_empty() {
        let nobody = "No two providers were seen to disagree about a result at one block.".to_owned();
        return if measured > 1 { vec![nobody] } else { Vec::new() };
    }
    let mut out: Vec<String> = minorities(findings).into_iter().collect();
    let shown = findings.disagreements.iter().take(limits::REPORT_DISAGREEMENTS);
    out.extend(shown.map(|disagreement| one_disagreement(findings, disagreement)));
    let more = findings.disagreements.len().saturating_sub(limits::REPORT_DISAGREEMENTS);
    if more > 0 {
        out.push(format!("{} more {} not answered alike.", counted(more as u64, "question"), verb(more, "was", "were")));
    }
    out
}

/// Who stands against a majority, and how often, where there is more than one question to sum up.
fn minorities(findings: &Findings) -> Option<String> {
    let all = findings.disagreements.len();
    if all < 2 {
        return None;
    }
    let mut counts = vec![0_usize; findings.providers.len()];
    for disagreement in findings.disagreements.iter().filter(|d| majority(d).is_some()) {
        for provider in disagreement.camps.iter().skip(1).flat_map(|camp| &camp.providers) {
            if let Some(count) = counts.get_mut(*provider) {
                *count += 1;
            }
        }
    }
    let parts: Vec<String> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(provider, count)| format!("{} in {count}", name(findings, provider)))
        .collect();
    (!parts.is_empty()).then(|| format!("{all} questions were not answered alike; against the majority: {}.", list(&parts)))
}

fn one_disagreement(findings: &Findings, disagreement: &Disagreement) -> String {
    let answer = |camp: &Camp| shortened(&camp.answer, limits::REPORT_ANSWER_CHARS);
    let says = |camp: &Camp| {
        let who = names(findings, &camp.providers);
        format!("{} {} {}", list(&who), verb(who.len(), "answers", "answer"), answer(camp))
    };
    let method = plain(&disagreement.method);
    let params = shortened(&disagreement.params, limits::REPORT_ANSWER_CHARS);
    let question = format!("{method} {params} at block {}", whole(disagreement.block_number));
    let camps: Vec<String> = match majority(disagreement) {
        Some(most) => {
            disagreement.camps.iter().skip(1).map(says).chain([format!("against the majority's {}", answer(most))]).collect()
        }
        None => disagreement.camps.iter().map(says).collect(),
    };
    let unclear = if majority(disagreement).is_none() { "; nobody can say who is right" } else { "" };
    format!("{question}: {}{unclear}.", camps.join(", "))
}

/// Behind the first by more than what the way of finding out can mistake.
pub(in crate::bench::report) fn is_late(freshness: &Freshness) -> bool {
    let grain_ms = if freshness.is_pushed { 0 } else { freshness.asked_every_ms.unwrap_or(0) };
    freshness.behind_ms.low > (grain_ms as f64).max(ON_TIME_MS)
}

/// Nobody notices less between two providers.
const ON_TIME_MS: f64 = 50.0;

pub(super) fn blocks(findings: &Findings) -> Vec<String> {
    let mut known: Vec<(usize, &Freshness)> =
        findings.providers.iter().enumerate().filter_map(|(index, p)| Some((index, p.freshness.as_ref()?))).collect();
    if known.len() < 2 {
        return Vec::new();
    }
    known.sort_by(|a, b| a.1.behind_ms.value.total_cmp(&b.1.behind_ms.value));
    let mut out = Vec::new();
    if let Some((provider, most)) = known.iter().rev().max_by_key(|(_, f)| f.first).filter(|(_, f)| f.first > 0) {
        out.push(format!("{} has new blocks first: {} of {}.", name(findings, *provider), whole(most.first), whole(most.blocks)));
    }
    let (late, on_time): (Vec<_>, Vec<_>) = known.iter().partition(|(_, freshness)| is_late(freshness));
    if let (Some((_, last)), true) = (on_time.last(), on_time.len() > 1) {
        let who: Vec<usize> = on_time.iter().map(|(provider, _)| *provider).collect();
        let within = time(last.behind_ms.value.max(0.0));
        out.push(format!("{} have them within {within} of the first (median).", list(&names(findings, &who))));
    }
    let late_ones: Vec<String> = late
        .iter()
        .map(|(provider, f)| {
            format!("{} {} behind the first ({})", name(findings, *provider), estimate_ms(&f.behind_ms), found_by(f))
        })
        .collect();
    if !late_ones.is_empty() {
        out.push(format!("Late with new blocks: {}.", list(&late_ones)));
    }
    out
}

pub(super) fn reach(findings: &Findings) -> Vec<String> {
    let mut out = depths(findings);
    out.extend(log_ranges(findings));
    out.extend(rates(findings));
    out.extend(missing(findings));
    out.extend(prices(findings));
    out
}

/// What each provider that has one says of itself.
fn each(findings: &Findings, said: impl Fn(&Provider) -> Option<String>) -> Vec<String> {
    let with = findings.providers.iter().enumerate().filter_map(|(index, provider)| Some((index, said(provider)?)));
    with.map(|(index, text)| format!("{} {text}", name(findings, index))).collect()
}

fn depths(findings: &Findings) -> Vec<String> {
    let of = |wanted: fn(Depth) -> bool| -> Vec<usize> {
        let fits = |p: &Provider| p.depth.is_some_and(wanted);
        findings.providers.iter().enumerate().filter(|(_, p)| fits(p)).map(|(index, _)| index).collect()
    };
    let mut out = Vec::new();
    let archives = of(|depth| depth == Depth::Archive);
    if !archives.is_empty() {
        let have = verb(archives.len(), "gives", "give");
        out.push(format!("{} {have} states from the first block on.", list(&names(findings, &archives))));
    }
    let some = each(findings, |provider| match provider.depth {
        Some(Depth::Blocks { blocks }) => Some(format!("{} back", counted(blocks, "block"))),
        _ => None,
    });
    if !some.is_empty() {
        out.push(format!("States reach less far elsewhere: {}.", list(&some)));
    }
    let unknown = of(|depth| depth == Depth::Unknown);
    if !unknown.is_empty() {
        out.push(format!("How far back {} could not be found out.", {
            let reach = verb(unknown.len(), "reaches", "reach");
            format!("{} {reach}", list(&names(findings, &unknown)))
        }));
    }
    out
}

fn log_ranges(findings: &Findings) -> Option<String> {
    let parts = each(findings, |provider| {
        let range = provider.log_range?;
        Some(match range.refused_blocks {
            Some(refused) => format!("{} (not {})", whole(range.answered_blocks), whole(refused)),
            None => format!("at least {}", whole(range.answered_blocks)),
        })
    });
    (!parts.is_empty()).then(|| format!("Blocks that one eth_getLogs may span: {}.", list(&parts)))
}

fn rates(findings: &Findings) -> Option<String> {
    let parts = each(findings, |provider| {
        let limit = provider.rate_limit?;
        Some(match limit.refused_per_second {
            Some(refused) => format!("{} (refuses at {})", rate(limit.served_per_second), rate(refused)),
            None => format!("at least {}", rate(limit.served_per_second)),
        })
    });
    (!parts.is_empty()).then(|| format!("Calls a second that are served without a refusal: {}.", list(&parts)))
}

fn missing(findings: &Findings) -> Option<String> {
    let mut alike: Vec<(Vec<usize>, &[String])> = Vec::new();
    for (index, provider) in findings.providers.iter().enumerate().filter(|(_, p)| !p.missing_methods.is_empty()) {
        match alike.iter_mut().find(|(_, methods)| *methods == provider.missing_methods) {
            Some((who, _)) => who.push(index),
            None => alike.push((vec![index], &provider.missing_methods)),
        }
    }
    let part = |(who, methods): &(Vec<usize>, &[String])| {
        let methods: Vec<String> = methods.iter().map(|method| plain(method)).collect();
        format!("{} {} {}", list(&names(findings, who)), verb(who.len(), "lacks", "lack"), methods.join(", "))
    };
    let parts: Vec<String> = alike.iter().map(part).collect();
    (!parts.is_empty()).then(|| format!("Methods that are not there: {}.", parts.join("; ")))
}

fn prices(findings: &Findings) -> Option<String> {
    let is_measured = |provider: &Provider| provider.state == ProviderState::Measured;
    let parts = each(findings, |provider| provider.price_per_million.filter(|_| is_measured(provider)).map(rate));
    (!parts.is_empty()).then(|| format!("Price of a million calls, as given: {}.", list(&parts)))
}
