//! The frame: head with policy and style, the run's own facts, the order of the parts.

use super::{Report, comparison, method, providers, verdict};
use crate::bench::report::words;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, Render, html};
use sha2::{Digest, Sha256};

pub(super) const STYLE: &str = include_str!("style.css");

/// Nothing is loaded, nothing runs, nothing is sent. The empty icon keeps browsers from asking for one.
pub(super) fn policy() -> String {
    let digest = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'")
}

pub(super) fn page(report: &Report<'_>) -> Markup {
    let run = &report.findings.run;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { "Providers of " (words::chain(run.chain_number)) " compared · lasso bench" }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                (header(report))
                main {
                    (verdict::card(report))
                    (comparison::card(report))
                    (providers::cards(report))
                    @for (place, section) in report.sections.iter().enumerate() { (method::card(report, place, section)) }
                    (how_to_read())
                }
                footer {
                    p { "lasso " (words::plain(&run.lasso)) " · seed " (run.seed) " · one file, no script, nothing was loaded" }
                }
            }
        }
    }
}

fn header(report: &Report<'_>) -> Markup {
    let run = &report.findings.run;
    let ended = if run.is_interrupted { "ended early, after " } else { "" };
    let measured = format!("{ended}{} of {}", words::seconds(run.measured_seconds), words::seconds(run.planned_seconds));
    html! {
        header.top {
            p.brand { (mark()) "lasso bench" }
            h1 { "Providers of " (words::chain(run.chain_number)) " compared" }
            dl.run {
                (fact("when", &words::when(run.began_at_s)))
                (fact("mix", &words::plain(&run.mix)))
                (fact("each asked", &format!("{} calls/s", words::rate(run.calls_per_second))))
                (fact("measured", &measured))
                (fact("calls", &format!("{} of {}", words::whole(run.sent_calls), words::whole(run.planned_calls))))
                (fact("providers", &report.names.len().to_string()))
            }
        }
    }
}

fn fact(what: &str, value: &str) -> Markup {
    html! { div { dt { (what) } dd { (value) } } }
}

/// The lasso of the dashboard's icon.
fn mark() -> Markup {
    html! {
        svg.logo width="26" height="26" viewBox="0 0 32 32" aria-hidden="true" {
            rect width="32" height="32" rx="8" {}
            g { ellipse cx="16" cy="12.5" rx="9" ry="5.5" {} path d="M11.5 17.3c-.6 3.4 1.2 5 4 5.4 2.6.4 4.3 1.2 4.5 3.3" {} }
        }
    }
}

/// A heading of a part, with the anchor by which others name it. Written by hand, because the element's bare name reads as the
/// crate of HTTP/2 to whoever looks for that.
pub(super) fn heading(id: &str, title: impl Render) -> Markup {
    html! { (PreEscaped("<h2 id=\"")) (id) (PreEscaped("\">")) (title) (PreEscaped("</h2>")) }
}

fn how_to_read() -> Markup {
    html! {
        section.card.notes aria-labelledby="notes" {
            (heading("notes", "How to read this"))
            dl { @for (word, meaning) in WORDS { dt { (word) } dd { (meaning) } } }
        }
    }
}

const WORDS: [(&str, &str); 6] = [
    (
        "Times",
        "run from the moment at which a call was due, not from when it was sent, so that a provider that stalls cannot hide the \
         calls that had to wait. A call that timed out counts with the time that it was given; other failures have no time.",
    ),
    ("Intervals", "hold the true figure in 95 of 100 runs. Where two overlap widely, the run does not say which is better."),
    ("Ties", "share a rank, written 1=. This run could not tell them apart; a longer one may."),
    ("Success", "is an answer that is the call's own: a revert is one, a refusal is not."),
    (
        "New blocks",
        "are timed against whoever had each block first. Where a provider pushes nothing it is asked, and known as exactly as \
         it was asked often.",
    ),
    ("Elsewhere", "figures differ: this is one place, at one time."),
];
