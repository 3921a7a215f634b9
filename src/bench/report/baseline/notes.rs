//! Whether two runs may be compared at all, and what one of them has that the other lacks: told, and counted as nothing.

use crate::bench::findings::Findings;
use crate::bench::report::words;
use std::collections::BTreeSet;
use std::fmt;

/// Why two runs have nothing to say about each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incomparable {
    Chain { then: u64, now: u64 },
    Mix { then: String, now: String },
    NothingInCommon,
}

impl fmt::Display for Incomparable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incomparable::Chain { then, now } => {
                write!(f, "the baseline is of chain {then} and this run of chain {now}: give a baseline of this chain")
            }
            Incomparable::Mix { then, now } => {
                write!(f, "the baseline was measured with the mix {then} and this run with {now}: measure with --methods {then}")
            }
            Incomparable::NothingInCommon => {
                write!(f, "the baseline and this run have no provider and method in common: use the names that the baseline has")
            }
        }
    }
}

impl std::error::Error for Incomparable {}

pub fn comparable(old: &Findings, new: &Findings) -> Result<(), Incomparable> {
    let (then, now) = (&old.run, &new.run);
    if then.chain_number != now.chain_number {
        return Err(Incomparable::Chain { then: then.chain_number, now: now.chain_number });
    }
    if then.mix != now.mix {
        return Err(Incomparable::Mix { then: words::plain(&then.mix), now: words::plain(&now.mix) });
    }
    let names = |findings: &Findings| -> BTreeSet<String> { findings.providers.iter().map(|p| p.name.clone()).collect() };
    if names(old).is_disjoint(&names(new)) {
        return Err(Incomparable::NothingInCommon);
    }
    Ok(())
}

/// What is in one of them only, and what was measured otherwise.
pub fn notes(old: &Findings, new: &Findings) -> Vec<String> {
    let mut out = Vec::new();
    let providers =
        |findings: &Findings| -> BTreeSet<String> { findings.providers.iter().map(|p| words::plain(&p.name)).collect() };
    out.extend(only_in(&providers(old), &providers(new), "measured"));
    let common: BTreeSet<String> = providers(old).intersection(&providers(new)).cloned().collect();
    out.extend(only_in(&questions(old, &common), &questions(new, &common), "asked"));
    let (then, now) = (&old.run, &new.run);
    if then.calls_per_second != now.calls_per_second {
        let (then, now) = (words::rate(then.calls_per_second), words::rate(now.calls_per_second));
        out.push(format!(
            "The baseline was measured at {then} calls a second and this run at {now}: the load may be what differs."
        ));
    }
    if then.is_interrupted || now.is_interrupted {
        let which = if then.is_interrupted { "The baseline" } else { "This run" };
        out.push(format!("{which} was ended early: its intervals are wide, and less can be shown."));
    }
    out
}

/// What providers of both runs were asked, as `eth_call of alpha over HTTP`.
fn questions(findings: &Findings, providers: &BTreeSet<String>) -> BTreeSet<String> {
    let text = |cell: &crate::bench::findings::Cell| {
        let name = words::name(findings, cell.provider);
        let question = format!("{} of {name} over {}", words::plain(&cell.method), words::transport(&cell.transport));
        providers.contains(&name).then_some(question)
    };
    findings.cells.iter().filter_map(text).collect()
}

fn only_in(old: &BTreeSet<String>, new: &BTreeSet<String>, what: &str) -> Vec<String> {
    let list = |of: &BTreeSet<String>, without: &BTreeSet<String>| -> Vec<String> {
        let all: Vec<String> = of.difference(without).cloned().collect();
        let more = all.len().saturating_sub(SHOWN);
        let rest = (more > 0).then(|| format!("{more} more"));
        all.into_iter().take(SHOWN).chain(rest).collect()
    };
    let (gone, added) = (list(old, new), list(new, old));
    let told = |which: Vec<String>, sentence: &str| {
        let verb = words::verb(which.len(), "was", "were");
        (!which.is_empty()).then(|| format!("{} {verb} {what} {sentence}.", words::list(&which)))
    };
    [told(gone, "in the baseline only"), told(added, "in this run only")].into_iter().flatten().collect()
}

/// Names of one sentence.
const SHOWN: usize = 8;
