//! The findings in sentences: who is best at what and by how much, what is a tie, who disagrees, who is late, what each
//! provider has, and what this run cannot say.
//!
//! A sentence never says more than its interval. "Tie" means that this run could not tell, and that is said; a fast
//! provider that fails often is named as such in the same breath. Every sentence has a subject, so that HTML can put it
//! where it belongs and a terminal can print all of them in one order.

mod limits_of_data;
mod methods;
mod providers;
pub(super) use providers::{is_late, majority};

use crate::bench::findings::{Findings, ProviderState};
use crate::bench::report::words::{counted, name, seconds};

pub fn sentences(findings: &Findings) -> Vec<String> {
    told(findings).into_iter().map(|sentence| sentence.text).collect()
}

/// What a sentence is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum About {
    /// The run's own end.
    Run,
    Overall,
    /// A provider that could not be measured, or not to the end.
    Trouble,
    Method {
        transport: String,
        method: String,
    },
    Agreement,
    Blocks,
    /// Depth, ranges, rates, methods and price.
    Reach,
    /// What the data does not say.
    Caveat,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sentence {
    pub about: About,
    pub text: String,
}

/// All of them, the most important first.
pub(super) fn told(findings: &Findings) -> Vec<Sentence> {
    let mut out = Vec::new();
    let mut say = |about: About, texts: Vec<String>| {
        out.extend(texts.into_iter().map(|text| Sentence { about: about.clone(), text }));
    };
    say(About::Run, interrupted(findings));
    say(About::Overall, methods::overall(findings));
    say(About::Trouble, troubles(findings));
    for (transport, method, texts) in methods::each(findings) {
        say(About::Method { transport, method }, texts);
    }
    say(About::Agreement, providers::agreement(findings));
    say(About::Blocks, providers::blocks(findings));
    say(About::Reach, providers::reach(findings));
    say(About::Caveat, limits_of_data::caveats(findings));
    out
}

fn interrupted(findings: &Findings) -> Vec<String> {
    let run = &findings.run;
    if !run.is_interrupted {
        return Vec::new();
    }
    let (measured, planned) = (seconds(run.measured_seconds), seconds(run.planned_seconds));
    let sent = counted(run.sent_calls, "call");
    vec![format!(
        "The run was ended after {measured} of {planned}: {sent} of {} planned. What follows is what was measured until then.",
        super::words::whole(run.planned_calls)
    )]
}

fn troubles(findings: &Findings) -> Vec<String> {
    let expected = findings.run.chain_number;
    let trouble = |index: usize, state: &ProviderState| {
        let who = name(findings, index);
        let reason = |text: &str| super::words::plain(text.trim().trim_end_matches('.'));
        match state {
            ProviderState::Measured => None,
            ProviderState::Dead { reason: why } => Some(format!("{who} is dead: {}.", reason(why))),
            ProviderState::WrongChain { chain_number } => {
                Some(format!("{who} serves chain {chain_number} instead of {expected} and was asked nothing more."))
            }
            ProviderState::Refused { reason: why } => {
                Some(format!("{who} refused our credentials and was asked nothing more: {}.", reason(why)))
            }
            ProviderState::Banned { after_calls } => Some(format!(
                "{who} stopped serving us after {}; its figures are of the calls before.",
                counted(*after_calls, "call")
            )),
        }
    };
    findings.providers.iter().enumerate().filter_map(|(index, provider)| trouble(index, &provider.state)).collect()
}

#[cfg(test)]
mod tests;
