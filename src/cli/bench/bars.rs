//! One bar for each provider on standard error, while it is a terminal: how much of what was announced has been sent to it, and
//! what became of it. Drawn four times a second by the run's own thread, which takes some microseconds of it.

use crate::bench::findings::ProviderState;
use crate::bench::plan::CallBudget;
use crate::bench::record::{Entrant, Record};
use crate::control::bench::BenchStage;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::borrow::Cow;

pub struct Bars {
    all: MultiProgress,
    bars: Vec<ProgressBar>,
}

/// What a bar looks like; the name is first.
const LOOK: &str = "{prefix} [{bar:30}] {pos:>6}/{len:<6} {msg}";

impl Bars {
    pub fn new(entrants: &[Entrant]) -> Bars {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        let width = entrants.iter().map(|entrant| entrant.name.len()).max().unwrap_or(0);
        let style = ProgressStyle::with_template(LOOK).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = |entrant: &Entrant| {
            let bar = all.add(ProgressBar::new(1).with_style(style.clone().progress_chars("=> ")));
            bar.set_prefix(format!("{:width$}", entrant.name));
            bar
        };
        let bars = entrants.iter().map(bar).collect();
        Bars { all, bars }
    }

    pub fn show(&self, stage: BenchStage, budget: &CallBudget, record: &Record) {
        for (provider, bar) in self.bars.iter().enumerate() {
            bar.set_length(budget.plan().of_provider(provider));
            bar.set_position(budget.sent_to(provider));
            let state = record.learnt.get(provider).map(|learnt| &learnt.state);
            bar.set_message(state.map_or(Cow::Borrowed(""), |state| word(stage, state)));
        }
    }

    /// Makes room for the table.
    pub fn clear(&self) {
        // A terminal that has gone needs no clearing.
        let _ = self.all.clear();
    }
}

fn word(stage: BenchStage, state: &ProviderState) -> Cow<'static, str> {
    match state {
        ProviderState::Measured => Cow::Borrowed(stage.words()),
        ProviderState::Dead { .. } => Cow::Borrowed("no answer"),
        ProviderState::WrongChain { chain_number } => Cow::Owned(format!("another chain: {chain_number}")),
        ProviderState::Refused { .. } => Cow::Borrowed("refuses our credentials"),
        ProviderState::Banned { after_calls } => Cow::Owned(format!("refuses everything since {after_calls} calls")),
    }
}
