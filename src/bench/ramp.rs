//! At which rate a provider begins to refuse: rates that rise step by step, each kept for three seconds, until one is refused.
//! Only where it was asked for, and last of all, because some providers answer this with a ban. The first refusal ends it.
//!
//! Three seconds, because most limits save up what was not used for a second. How it fails: a limit over a minute or a day is
//! not seen, and where more is saved up the limit is taken for a step higher than it is.

use crate::base::limits;
use crate::bench::findings::RateLimit;

/// Calls a second of the steps.
const RATES: [u32; 8] = [2, 5, 10, 20, 35, 50, 75, 100];

#[derive(Clone, Debug, Default)]
pub struct Ramp {
    step: usize,
    served: Option<u32>,
    refused: Option<u32>,
    is_over: bool,
}

/// All that a ramp to its end sends.
pub fn calls() -> u64 {
    RATES.iter().map(|rate| calls_at(*rate)).sum()
}

/// Calls of the step with this rate.
pub fn calls_at(rate: u32) -> u64 {
    u64::from(rate) * limits::BENCH_RAMP_STEP_MS / 1_000
}

impl Ramp {
    /// The next step's rate.
    pub fn rate(&self) -> Option<u32> {
        RATES.get(self.step).copied().filter(|_| !self.is_over)
    }

    /// The step was served whole.
    pub fn on_served(&mut self) {
        self.served = self.rate().or(self.served);
        self.step += 1;
    }

    pub fn on_refused(&mut self) {
        self.refused = self.rate();
        self.is_over = true;
    }

    /// `None`: not even one step came to its end.
    pub fn found(&self) -> Option<RateLimit> {
        let served = self.served.or(self.refused.map(|_| 0))?;
        Some(RateLimit { served_per_second: served.into(), refused_per_second: self.refused.map(f64::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_between_two_steps() {
        let climb = |truth: u32| {
            let mut ramp = Ramp::default();
            while let Some(rate) = ramp.rate() {
                if rate <= truth { ramp.on_served() } else { ramp.on_refused() }
            }
            ramp.found()
        };
        let check = |truth, served: f64, refused: Option<f64>| {
            let want = RateLimit { served_per_second: served, refused_per_second: refused };
            assert_eq!(climb(truth), Some(want), "{truth}");
        };
        check(25, 20.0, Some(35.0));
        check(1, 0.0, Some(2.0));
        check(9_999, 100.0, None);
        assert_eq!(Ramp::default().found(), None);
        assert_eq!(calls(), 891);
    }
}
