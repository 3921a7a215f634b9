//! One thing that is worse than it was, as a sentence with both intervals.

use crate::bench::findings::{Estimate, ProviderState};
use crate::bench::report::words;
use std::fmt;

/// Which figure of a cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Figure {
    Median,
    P99,
    Success,
}

#[derive(Clone, PartialEq, Debug)]
pub enum Regression {
    Figure {
        provider: String,
        transport: String,
        method: String,
        figure: Figure,
        then: Estimate,
        now: Estimate,
    },
    /// It has new blocks later than it had.
    Lateness {
        provider: String,
        then: Estimate,
        now: Estimate,
    },
    /// It had something and has it no more; no interval is needed to see that.
    Lost {
        provider: String,
        what: String,
    },
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Regression::Figure { provider, transport, method, figure, then, now } => {
                let where_ = format!("{provider}, {method} over {}", words::transport(transport));
                let (then_text, now_text) = match figure {
                    Figure::Success => (words::estimate_share(then), words::estimate_share(now)),
                    _ => (words::estimate_ms(then), words::estimate_ms(now)),
                };
                match figure {
                    Figure::Success => write!(f, "{where_}: success fell from {then_text} to {now_text}."),
                    Figure::Median => write!(f, "{where_}: the median rose from {then_text} to {now_text}{}.", rise(then, now)),
                    Figure::P99 => write!(f, "{where_}: p99 rose from {then_text} to {now_text}{}.", rise(then, now)),
                }
            }
            Regression::Lateness { provider, then, now } => {
                let (then, now) = (words::estimate_ms(then), words::estimate_ms(now));
                write!(f, "{provider} has new blocks later: {now} behind the first instead of {then}.")
            }
            Regression::Lost { provider, what } => write!(f, "{provider} {what}."),
        }
    }
}

/// `, +23%`; nothing where the old figure is nothing.
fn rise(then: &Estimate, now: &Estimate) -> String {
    if then.value <= 0.0 {
        return String::new();
    }
    format!(", +{:.0}%", (now.value / then.value - 1.0) * 100.0)
}

pub(super) fn state(state: &ProviderState) -> String {
    match state {
        ProviderState::Measured => "measured".to_owned(),
        ProviderState::Dead { reason } => format!("dead ({})", words::plain(reason)),
        ProviderState::WrongChain { chain_number } => format!("on chain {chain_number}"),
        ProviderState::Refused { reason } => format!("it refuses our credentials ({})", words::plain(reason)),
        ProviderState::Banned { after_calls } => format!("it stopped serving us after {}", words::counted(*after_calls, "call")),
    }
}
