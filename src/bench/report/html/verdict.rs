//! What was found, in sentences, before any figure. What each provider has and refuses is left to the table below it, and
//! what is said of one method stands at that method.

use super::Report;
use super::page::heading;
use crate::bench::report::verdict::About;
use maud::{Markup, html};

pub(super) fn card(report: &Report<'_>) -> Markup {
    let of = |about: &About| -> Vec<&str> {
        report.sentences.iter().filter(|sentence| sentence.about == *about).map(|sentence| sentence.text.as_str()).collect()
    };
    let lead = of(&About::Overall);
    html! {
        section.card.verdict aria-labelledby="verdict" {
            (heading("verdict", "Verdict"))
            @for text in of(&About::Run) { p.ended { (text) } }
            @if lead.is_empty() { (only_methods(report)) }
            @for text in &lead { p.lead { (text) } }
            div.said {
                (group("Trouble", "bad", &of(&About::Trouble)))
                (group("Agreement", if report.findings.disagreements.is_empty() { "" } else { "bad" }, &of(&About::Agreement)))
                (group("New blocks", "", &of(&About::Blocks)))
                (group("What this run cannot say", "", &of(&About::Caveat)))
            }
        }
    }
}

/// With one comparison, or none, its sentence is the verdict.
fn only_methods(report: &Report<'_>) -> Markup {
    let is_method = |about: &About| matches!(about, About::Method { .. });
    html! { @for sentence in report.sentences.iter().filter(|s| is_method(&s.about)).take(3) { p.lead { (sentence.text) } } }
}

fn group(title: &str, class: &str, texts: &[&str]) -> Markup {
    html! {
        @if !texts.is_empty() {
            div.group {
                h3 class=(class) { (title) }
                ul { @for text in texts { li { (text) } } }
            }
        }
    }
}
