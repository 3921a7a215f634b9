//! What comes in while a run goes on, and the findings that it makes at any moment: an interrupted run is one that is read
//! earlier.

use crate::base::ids::Transport;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::bench::findings::SCHEMA;
use crate::bench::findings::{
    Cell, Comparison, Depth, Disagreement, Findings, LogRange, Provider, ProviderState, RateLimit, Run,
};
use crate::bench::freshness::BlockRace;
use crate::bench::ranking;
use crate::bench::sample::{Sample, Samples};
use std::collections::BTreeMap;

/// A provider as it is known before it is asked anything.
#[derive(Clone, PartialEq, Debug)]
pub struct Entrant {
    pub name: String,
    /// Without port, path or key.
    pub host: String,
    pub has_http: bool,
    pub has_ws: bool,
    pub price_per_million: Option<f64>,
}

/// What came of one provider beside its calls.
#[derive(Clone, Debug)]
pub struct ProviderNotes {
    pub state: ProviderState,
    pub client_version: Option<String>,
    pub depth: Option<Depth>,
    pub log_range: Option<LogRange>,
    pub rate_limit: Option<RateLimit>,
    pub missing_methods: Vec<String>,
}

impl Default for ProviderNotes {
    fn default() -> ProviderNotes {
        ProviderNotes {
            state: ProviderState::Measured,
            client_version: None,
            depth: None,
            log_range: None,
            rate_limit: None,
            missing_methods: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Record {
    entrants: Vec<Entrant>,
    methods: Vec<String>,
    /// By provider, transport and method.
    cells: BTreeMap<(usize, Transport, usize), Samples>,
    pub learnt: Vec<ProviderNotes>,
    pub disagreements: Vec<Disagreement>,
    pub race: BlockRace,
}

impl Record {
    pub fn new(entrants: Vec<Entrant>, methods: Vec<String>) -> Record {
        let count = entrants.len();
        Record {
            entrants,
            methods,
            cells: BTreeMap::new(),
            learnt: vec![ProviderNotes::default(); count],
            disagreements: Vec::new(),
            race: BlockRace::new(count),
        }
    }

    pub fn is_measured(&self, provider: usize) -> bool {
        self.learnt.get(provider).is_some_and(|learnt| learnt.state == ProviderState::Measured)
    }

    pub fn add(&mut self, provider: usize, transport: Transport, method: &str, sample: Sample) {
        if let Some(samples) = self.samples(provider, transport, method) {
            samples.calls.push(sample);
        }
    }

    pub fn add_cold(&mut self, provider: usize, transport: Transport, method: &str, after_ms: f64) {
        if let Some(samples) = self.samples(provider, transport, method) {
            samples.cold_ms.push(after_ms);
        }
    }

    fn samples(&mut self, provider: usize, transport: Transport, method: &str) -> Option<&mut Samples> {
        let place = self.methods.iter().position(|name| name == method)?;
        Some(self.cells.entry((provider, transport, place)).or_default())
    }

    /// What a run that is described by `run` has found at `now`. `seed`: of the resampling.
    pub fn findings(&self, run: Run, now: Instant, seed: u64) -> Findings {
        let freshness = self.race.found(now);
        let providers = self.entrants.iter().zip(&self.learnt).zip(freshness).map(|((entrant, learnt), freshness)| Provider {
            name: entrant.name.clone(),
            host: entrant.host.clone(),
            has_http: entrant.has_http,
            has_ws: entrant.has_ws,
            state: learnt.state.clone(),
            client_version: learnt.client_version.clone(),
            // Who is not listened to any more is not late.
            freshness: freshness.filter(|_| learnt.state == ProviderState::Measured),
            depth: learnt.depth,
            log_range: learnt.log_range,
            rate_limit: learnt.rate_limit,
            missing_methods: learnt.missing_methods.clone(),
            price_per_million: entrant.price_per_million,
        });
        Findings {
            schema: SCHEMA,
            run,
            providers: providers.collect(),
            cells: self.cells(),
            comparisons: self.comparisons(seed),
            disagreements: self.disagreements.clone(),
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let of = |((provider, transport, method), samples): (&(usize, Transport, usize), &Samples)| {
            Some(samples.cell(*provider, transport.word(), self.methods.get(*method)?))
        };
        self.cells.iter().filter_map(of).collect()
    }

    /// Who was banned or could not be asked is compared with nobody: it does not serve what it is compared at.
    fn comparisons(&self, seed: u64) -> Vec<Comparison> {
        let mut rng = Rng::new(seed);
        let mut comparisons = Vec::new();
        for transport in [Transport::Http, Transport::Ws] {
            for (place, method) in self.methods.iter().enumerate() {
                let is_it = |(provider, of, method): &(usize, Transport, usize)| {
                    *of == transport && *method == place && self.is_measured(*provider)
                };
                let cells = self.cells.iter().filter(|(key, samples)| is_it(key) && !samples.calls.is_empty());
                let cells: Vec<(usize, &Samples)> = cells.map(|((provider, _, _), samples)| (*provider, samples)).collect();
                comparisons.extend(ranking::compare(transport.word(), method, &cells, &mut rng.fork(place as u64)));
            }
        }
        comparisons
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample::CallEnd;

    fn entrant(name: &str) -> Entrant {
        Entrant { name: name.into(), host: "h.example".into(), has_http: true, has_ws: false, price_per_million: None }
    }

    fn run() -> Run {
        Run {
            lasso: "0".into(),
            began_at_s: 0,
            chain_number: 1,
            mix: "wallet".into(),
            calls_per_second: 5.0,
            planned_seconds: 60.0,
            measured_seconds: 60.0,
            planned_calls: 0,
            sent_calls: 0,
            is_interrupted: false,
            seed: 1,
        }
    }

    #[test]
    fn nothing_yet_is_findings_too_and_who_was_banned_is_not_compared() {
        let methods = vec!["eth_call".to_owned(), "eth_gasPrice".to_owned()];
        let mut record = Record::new(vec![entrant("a"), entrant("b"), entrant("c")], methods);
        let empty = record.findings(run(), Instant::ZERO, 1);
        assert_eq!((empty.providers.len(), empty.cells.len(), empty.comparisons.len()), (3, 0, 0));
        for provider in 0..3 {
            for moment in 0..40 {
                let after_ms = 10.0 * (provider + 1) as f64 + f64::from(moment % 7);
                let sample = Sample { moment, end: CallEnd::Answered { after_ms } };
                record.add(provider, Transport::Http, "eth_call", sample);
            }
        }
        record.add(0, Transport::Http, "eth_other", Sample { moment: 0, end: CallEnd::HeldBack });
        record.add_cold(1, Transport::Http, "eth_gasPrice", 90.0);
        if let Some(learnt) = record.learnt.get_mut(0) {
            learnt.state = ProviderState::Banned { after_calls: 40 };
        }
        let found = record.findings(run(), Instant::ZERO, 1);
        let cells: Vec<(usize, &str)> = found.cells.iter().map(|cell| (cell.provider, cell.method.as_str())).collect();
        assert_eq!(cells, [(0, "eth_call"), (1, "eth_call"), (1, "eth_gasPrice"), (2, "eth_call")]);
        assert_eq!(found.comparisons.len(), 1);
        assert_eq!(found.comparisons[0].groups, [[1], [2]]);
        assert_eq!(found, record.findings(run(), Instant::ZERO, 1), "a seed repeats it");
    }
}
