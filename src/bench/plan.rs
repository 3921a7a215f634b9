//! What is sent to each provider at most, and for what: it is announced before anything is sent, and every question is taken
//! out of it, so nothing is sent that was not announced. A question that is not in the plan any more is not asked, and what
//! it would have found stays unknown. Searches are planned with the most that they can ask, so a run usually sends less.
//! What is counted is calls. A WebSocket's handshake and its pings are none.

use crate::base::limits;

/// Why a provider is asked something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// Which chain, which client, how high, and what recent blocks hold.
    Chain,
    /// The mix that is measured.
    Mix,
    /// Single calls on connections of their own.
    Cold,
    Agreement,
    Freshness,
    Depth,
    Range,
    Methods,
    Ramp,
    /// Once more what went down with a connection that had died idle.
    Again,
}

impl Purpose {
    pub const ALL: [Purpose; 10] = [
        Purpose::Chain,
        Purpose::Mix,
        Purpose::Cold,
        Purpose::Agreement,
        Purpose::Freshness,
        Purpose::Depth,
        Purpose::Range,
        Purpose::Methods,
        Purpose::Ramp,
        Purpose::Again,
    ];

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Purpose::Chain => "chain, client and head",
            Purpose::Mix => "the mix",
            Purpose::Cold => "on new connections",
            Purpose::Agreement => "the same at one block",
            Purpose::Freshness => "new blocks",
            Purpose::Depth => "how far back",
            Purpose::Range => "log range",
            Purpose::Methods => "methods",
            Purpose::Ramp => "rate limit",
            Purpose::Again => "again after a lost connection",
        }
    }
}

/// Over what a provider is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offered {
    pub has_http: bool,
    pub has_ws: bool,
}

impl Offered {
    pub fn transports(self) -> u64 {
        u64::from(self.has_http) + u64::from(self.has_ws)
    }
}

/// How a run goes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RunTerms {
    /// What each provider and transport is sent.
    pub calls_per_second: f64,
    pub seconds: u64,
    /// Rates are raised until a provider refuses.
    pub has_ramp: bool,
}

impl RunTerms {
    /// How often everybody is asked the same.
    pub fn moments(&self) -> u64 {
        ((self.calls_per_second * self.seconds as f64).floor() as u64).max(1)
    }

    /// Between two looks at the head of a provider that announces none.
    pub fn poll_ms(&self) -> u64 {
        (self.watched_ms() / limits::BENCH_POLLS).max(limits::BENCH_POLL_MS)
    }

    /// How long heads are watched at most: the mix, and the searches behind it.
    pub fn watched_ms(&self) -> u64 {
        self.seconds * 1_000 + limits::BENCH_SEARCHES_MS
    }

    /// Calls on new connections, of each transport: every few seconds, because a handshake is dear to both sides.
    pub fn cold_calls(&self) -> u64 {
        (self.seconds * 1_000 / limits::BENCH_COLD_MS).clamp(1, limits::BENCH_COLD_CALLS)
    }
}

/// The most that is sent to each provider.
#[derive(Clone, Debug)]
pub struct CallPlan {
    rows: Vec<[u64; Purpose::ALL.len()]>,
}

impl CallPlan {
    pub fn new(offered: &[Offered], terms: &RunTerms) -> CallPlan {
        CallPlan { rows: offered.iter().map(|offered| row(*offered, terms, offered.has_ws)).collect() }
    }

    pub fn of(&self, provider: usize, purpose: Purpose) -> u64 {
        self.rows.get(provider).and_then(|row| row.get(purpose as usize)).copied().unwrap_or(0)
    }

    /// All that a provider is sent.
    pub fn of_provider(&self, provider: usize) -> u64 {
        self.rows.get(provider).map_or(0, |row| row.iter().sum())
    }

    pub fn total(&self) -> u64 {
        self.rows.iter().flatten().sum()
    }

    /// What it holds for any provider, in the order of purposes, without what is not asked at all.
    pub fn purposes(&self) -> impl Iterator<Item = Purpose> {
        Purpose::ALL.into_iter().filter(|purpose| self.rows.iter().any(|row| row.get(*purpose as usize) != Some(&0)))
    }
}

fn row(offered: Offered, terms: &RunTerms, is_pushed: bool) -> [u64; Purpose::ALL.len()] {
    let transports = offered.transports();
    let mix = terms.moments() * transports;
    Purpose::ALL.map(|purpose| match purpose {
        Purpose::Chain => transports * limits::BENCH_FIRST_TRIES + 2 + limits::BENCH_BLOCKS_READ,
        Purpose::Mix => mix,
        Purpose::Cold => terms.cold_calls() * transports,
        Purpose::Agreement => limits::BENCH_AGREED,
        // Where a subscription is refused the head is asked for.
        Purpose::Freshness => terms.watched_ms() / terms.poll_ms() + 1 + if is_pushed { 2 } else { 0 },
        // The head is asked for first.
        Purpose::Depth => limits::BENCH_DEPTH_CALLS + 1 + u64::from(limits::BENCH_AGAIN),
        Purpose::Range => limits::BENCH_RANGE_CALLS,
        Purpose::Methods => limits::BENCH_METHODS,
        Purpose::Ramp => {
            if terms.has_ramp {
                crate::bench::ramp::calls()
            } else {
                0
            }
        }
        Purpose::Again => mix / 50 + 5,
    })
}

/// What is left of a plan.
#[derive(Clone, Debug)]
pub struct CallBudget {
    plan: CallPlan,
    left: CallPlan,
}

impl CallBudget {
    pub fn new(plan: CallPlan) -> CallBudget {
        CallBudget { left: plan.clone(), plan }
    }

    /// Takes one call for `provider`; `false`: it must not be sent.
    pub fn take(&mut self, provider: usize, purpose: Purpose) -> bool {
        let left = self.left.rows.get_mut(provider).and_then(|row| row.get_mut(purpose as usize));
        let Some(left) = left.filter(|left| **left > 0) else { return false };
        *left -= 1;
        true
    }

    /// One that was taken was not sent after all.
    pub fn give_back(&mut self, provider: usize, purpose: Purpose) {
        if let Some(left) = self.left.rows.get_mut(provider).and_then(|row| row.get_mut(purpose as usize)) {
            *left += 1;
        }
    }

    pub fn plan(&self) -> &CallPlan {
        &self.plan
    }

    pub fn sent(&self) -> u64 {
        self.plan.total() - self.left.total()
    }

    pub fn sent_to(&self, provider: usize) -> u64 {
        self.plan.of_provider(provider) - self.left.of_provider(provider)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: RunTerms = RunTerms { calls_per_second: 5.0, seconds: 60, has_ramp: false };

    #[test]
    fn a_plan_names_every_call_and_a_budget_never_gives_more() {
        let offered = [Offered { has_http: true, has_ws: true }, Offered { has_http: true, has_ws: false }];
        let plan = CallPlan::new(&offered, &TERMS);
        assert_eq!((plan.of(0, Purpose::Mix), plan.of(1, Purpose::Mix), plan.of(1, Purpose::Ramp)), (600, 300, 0));
        assert_eq!(plan.total(), plan.of_provider(0) + plan.of_provider(1));
        assert!(plan.purposes().all(|purpose| purpose != Purpose::Ramp));
        let total = plan.total();
        let mut budget = CallBudget::new(plan);
        let mut taken = 0;
        for provider in 0..3 {
            for purpose in Purpose::ALL {
                while budget.take(provider, purpose) {
                    taken += 1;
                }
            }
        }
        assert_eq!((taken, budget.sent()), (total, total));
        budget.give_back(0, Purpose::Mix);
        assert_eq!((budget.sent(), budget.sent_to(0)), (total - 1, budget.plan().of_provider(0) - 1));
    }

    #[test]
    fn a_short_run_is_below_what_is_asked_about() {
        let terms = RunTerms { calls_per_second: 1.0, seconds: 10, ..TERMS };
        let plan = CallPlan::new(&[Offered { has_http: true, has_ws: false }; 3], &terms);
        assert!(plan.total() < limits::BENCH_UNASKED_CALLS, "{}", plan.total());
    }

    #[test]
    fn a_long_run_asks_for_heads_less_often() {
        let terms = RunTerms { seconds: 36_000, ..TERMS };
        assert!(terms.watched_ms() / terms.poll_ms() <= limits::BENCH_POLLS + 1);
        assert_eq!(TERMS.poll_ms(), limits::BENCH_POLL_MS);
    }
}
