//! Samples as the lines of a record, with names instead of ids.

use crate::base::ids::{ChannelId, EntryId, ProviderId};
use crate::base::time::{Instant, WallTime};
use crate::chain::method;
use crate::cli::options::Options;
use crate::config::topology::{Chain, Topology};
use crate::observe::decision::Ended;
use crate::observe::sampled::{Sample, SampledAttempt, SampledCall, SampledProbe};
use crate::replay::line::{
    ABSENT, AttemptLine, CallLine, NoteLine, OK, ProbeLine, RecordChain, RecordHeader, RecordOverride, RecordProvider,
    RecordRules, SCHEMA,
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// What turns ids and instants into text.
pub struct Encoder {
    topology: Arc<Topology>,
    /// Times count from here.
    began: Instant,
}

impl Encoder {
    pub fn new(topology: Arc<Topology>, began: Instant) -> Encoder {
        Encoder { topology, began }
    }

    /// The line of one sample, with its end; `None` for what has no name any more.
    pub fn line(&self, sample: &Sample) -> Option<Vec<u8>> {
        match sample {
            Sample::Call(call) => line(&self.call(call)?),
            Sample::Probe(probe) => line(&self.probe(probe)?),
        }
    }

    pub fn note(&self, now: Instant, lost: Option<u64>, stopped: Option<&str>) -> Option<Vec<u8>> {
        line(&NoteLine { at_us: self.since(now), lost, stopped: stopped.map(str::to_owned) })
    }

    fn since(&self, at: Instant) -> u64 {
        at.since(self.began).as_micros() as u64
    }

    fn call(&self, call: &SampledCall) -> Option<CallLine> {
        let profile = self.topology.profiles.get(call.profile)?;
        let chain = profile.chains.get(call.chain)?;
        let name = |provider: ProviderId| chain.providers.get(provider).map(|provider| provider.id.to_string());
        let (end, code) = end(call.end);
        Some(CallLine {
            at_us: self.since(call.began),
            profile: profile.slug.to_string(),
            chain: chain.key.to_string(),
            method: method_name(call),
            transport: call.transport.word().to_owned(),
            strategy: call.strategy.word().to_owned(),
            end: end.to_owned(),
            took_us: call.ended.since(call.began).as_micros() as u64,
            code,
            pin: call.pin.and_then(name),
            failover: call.pin.is_some() && call.allow_failover,
            bytes: call.shape.bytes,
            depth: call.shape.depth,
            range: call.shape.range,
            by_hash: call.shape.by_hash,
            archival: call.shape.archival,
            bulk: call.shape.is_bulk,
            bound: call.shape.is_bound,
            attempts: call.attempts.iter().filter_map(|attempt| self.attempt(attempt)).collect(),
            params: one_line(&call.params),
        })
    }

    fn attempt(&self, attempt: &SampledAttempt) -> Option<AttemptLine> {
        let (_, _, provider) = self.topology.of_entry(attempt.entry)?;
        let outcome = match (attempt.fault, attempt.is_answer) {
            (Some(word), _) => word,
            (None, true) => OK,
            (None, false) => ABSENT,
        };
        Some(AttemptLine {
            provider: provider.id.to_string(),
            over: attempt.transport.word().to_owned(),
            us: attempt.took.as_micros() as u64,
            outcome: outcome.to_owned(),
            answer: attempt.is_answer && attempt.fault.is_some(),
        })
    }

    /// Under the first name that the upstream has: it is the same one under all of them.
    fn probe(&self, probe: &SampledProbe) -> Option<ProbeLine> {
        let (profile, chain, provider) = self.topology.of_entry(self.entry_of(probe.channel)?)?;
        Some(ProbeLine {
            at_us: self.since(probe.ended),
            probe: [&profile.slug, &chain.key, &provider.id].map(|name| name.to_string()),
            over: probe.channel.transport().word().to_owned(),
            us: probe.outcome.ok().map(|took| took.as_micros() as u64),
            outcome: probe.outcome.err().unwrap_or(OK).to_owned(),
            behind: probe.is_behind,
        })
    }

    fn entry_of(&self, channel: ChannelId) -> Option<EntryId> {
        self.topology.entries.iter().find(|(_, entry)| entry.instance == channel.instance()).map(|(id, _)| id)
    }
}

/// A JSON value as a line; nothing where it cannot be written, which no value of ours is.
fn line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut out = serde_json::to_vec(value).ok()?;
    out.push(b'\n');
    Some(out)
}

/// The first line. No URL, no key, no header of a provider: its id and what chooses it.
pub fn header(topology: &Topology, options: &Options, region: &str, wall: WallTime) -> Option<Vec<u8>> {
    let recording = options.record.as_ref()?;
    let breaker = &options.rules.breaker;
    let chains = topology.profiles.values().flat_map(|profile| profile.chains.values().map(move |chain| (profile, chain)));
    line(&RecordHeader {
        lasso_record: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        began: wall.rfc3339(),
        began_ms: wall.0,
        share: recording.per_million as f64 / 1e6,
        params: recording.with_params,
        rules: RecordRules {
            breaker_failures: breaker.failures,
            breaker_successes: breaker.successes,
            breaker_recovery_ms: breaker.recovery.as_millis() as u64,
            latency_exponent: options.rules.beta,
        },
        chains: chains
            .map(|(profile, chain)| RecordChain {
                profile: profile.slug.to_string(),
                chain: chain.key.to_string(),
                chain_id: chain.chain_number,
                strategy: chain.default_strategy.unwrap_or(options.default_strategy).word().to_owned(),
                archival_threshold: chain.archival_threshold,
                providers: providers(topology, chain, region),
                only: only(chain),
            })
            .collect(),
    })
}

fn providers(topology: &Topology, chain: &Chain, region: &str) -> Vec<RecordProvider> {
    let texts = |names: &[Box<str>]| names.iter().map(|name| name.to_string()).collect();
    let one = |provider: &crate::config::topology::Provider| {
        let instance = topology.instances.get(provider.instance);
        RecordProvider {
            id: provider.id.to_string(),
            priority: provider.priority,
            http: instance.is_some_and(|instance| instance.http_from(region).is_some()),
            ws: instance.is_some_and(|instance| instance.ws_from(region).is_some()),
            upstream: provider.instance.0,
            archival: provider.archival,
            local: provider.regions.is_empty() || provider.regions.iter().any(|one| **one == *region),
            unsupported_categories: provider.capabilities.unsupported_categories.iter().map(|c| c.word().to_owned()).collect(),
            unsupported_methods: texts(&provider.capabilities.unsupported_methods),
            max_block_range: provider.capabilities.max_block_range,
        }
    };
    chain.providers.values().map(one).collect()
}

fn only(chain: &Chain) -> Vec<RecordOverride> {
    let rules = chain.method_overrides.iter().filter(|rule| !rule.providers.is_empty());
    let name = |id: &ProviderId| chain.providers.get(*id).map(|provider| provider.id.to_string());
    rules
        .map(|rule| RecordOverride {
            method: rule.method.to_string(),
            providers: rule.providers.iter().filter_map(name).collect(),
        })
        .collect()
}

/// A method of no table is written as its client wrote it, when it looks like a method at all: what a stranger puts there may
/// be anything.
fn method_name(call: &SampledCall) -> String {
    if call.method != method::UNKNOWN {
        return method::info(call.method).name.to_owned();
    }
    let name = std::str::from_utf8(&call.other_method).unwrap_or("");
    let is_name = name.split_once('_').is_some_and(|(namespace, rest)| {
        let is_plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        namespace.len() <= 16 && is_plain(namespace) && is_plain(rest)
    });
    if is_name { name.to_owned() } else { "unknown".to_owned() }
}

/// Whitespace between JSON's tokens may hold line ends; inside its texts there are none.
fn one_line(params: &[u8]) -> Option<Box<RawValue>> {
    let text =
        String::from_utf8(params.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }).collect()).ok()?;
    RawValue::from_string(text).ok()
}

fn end(end: Ended) -> (&'static str, Option<i64>) {
    match end {
        Ended::Result { .. } => ("result", None),
        Ended::Error { code, .. } => ("error", Some(code)),
        Ended::Refused { code, .. } => ("refused", Some(code)),
        Ended::Truncated => ("truncated", None),
        Ended::ClientGone => ("client_gone", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChainId, InstanceId, MethodId, ProfileId, Transport};
    use crate::base::time::Duration;
    use crate::config::topology::Strategy;
    use crate::config::{SourceFile, load};
    use crate::observe::category::Category;
    use crate::observe::sampled::CallShape;
    use crate::replay::read::{RecordedOutcome, read};
    use arrayvec::ArrayVec;

    const KEY: &str = "s3cr3tk3y";

    fn topology() -> Arc<Topology> {
        let text = format!(
            "slug: default\nchains:\n  main:\n    chain_id: 1\n    providers:\n      - {{id: a, priority: 4, url: 'https://user:{KEY}@a.example/{KEY}', headers: {{x-api-key: {KEY}}}}}\n      - {{id: b, url: 'https://b.example/{KEY}', ws_url: 'wss://b.example/{KEY}'}}\n"
        );
        Arc::new(load(&[SourceFile { name: "default.yml".into(), text }], &|_| None).expect("a good profile").topology)
    }

    fn call(method: MethodId, params: &str) -> SampledCall {
        let attempt = |entry, transport, fault, is_answer| SampledAttempt {
            entry: EntryId(entry),
            transport,
            took: Duration::from_millis(7),
            fault,
            is_answer,
        };
        let attempts = [
            attempt(0, Transport::Http, Some(Category::RateLimit.word()), false),
            attempt(1, Transport::Ws, Some(Category::ExecutionRevert.word()), true),
        ];
        SampledCall {
            began: Instant::ZERO.plus_ms(1_500),
            ended: Instant::ZERO.plus_ms(1_520),
            profile: ProfileId(0),
            chain: ChainId(0),
            method,
            other_method: ArrayVec::new(),
            strategy: Strategy::Fastest,
            transport: Transport::Ws,
            pin: Some(ProviderId(1)),
            allow_failover: true,
            shape: CallShape { bytes: 99, depth: Some(3), ..CallShape::default() },
            end: Ended::Error { code: 3, category: Some(Category::ExecutionRevert) },
            attempts: attempts.into_iter().collect(),
            params: params.as_bytes().into(),
        }
    }

    fn options() -> Options {
        let args = ["--record", "x", "--record-rate", "0.25"].map(std::ffi::OsString::from);
        match crate::cli::parse(args.into(), crate::cli::Env::new([], None)) {
            Ok(crate::cli::Command::Serve(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    /// What was written is read back as it was, on one line each, and no secret is in it.
    #[test]
    fn what_is_written_is_read() {
        let topology = topology();
        let encoder = Encoder::new(topology.clone(), Instant::ZERO.plus_ms(1_000));
        let mut text = header(&topology, &options(), "here", WallTime(5)).expect("a header");
        let eth_call = method::lookup(b"eth_call");
        let probe = SampledProbe {
            ended: Instant::ZERO.plus_ms(1_001),
            channel: ChannelId::of(InstanceId(1), Transport::Ws),
            is_behind: true,
            outcome: Ok(Duration::from_micros(321)),
        };
        let samples = [Sample::Call(Box::new(call(eth_call, "[{\"to\":\"0x1\"},\r\n \"latest\"]"))), Sample::Probe(probe)];
        samples.iter().for_each(|sample| text.extend(encoder.line(sample).expect("a line")));
        text.extend(encoder.note(Instant::ZERO.plus_ms(2_000), Some(4), None).expect("a line"));
        assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), 4);
        let shown = String::from_utf8(text.clone()).expect("text");
        assert!(!shown.contains(KEY) && !shown.contains("example"), "{shown}");

        let record = read(&text).expect("a record");
        assert_eq!((record.problems.len(), record.weight(), record.lost), (0, 4, 4));
        let got = &record.calls[0];
        assert_eq!((got.at_us, got.took_us, record.method(got), got.pin), (500_000, 20_000, "eth_call", Some(1)));
        assert_eq!((got.transport, got.strategy, got.depth, got.bytes), (Transport::Ws, Strategy::Fastest, Some(3), 99));
        assert_eq!(got.params.as_deref(), Some("[{\"to\":\"0x1\"},   \"latest\"]"));
        let outcomes: Vec<_> = got.attempts.iter().map(|attempt| (attempt.place.provider, attempt.outcome)).collect();
        assert_eq!(
            outcomes,
            [(0, RecordedOutcome::Failed(Category::RateLimit)), (1, RecordedOutcome::OwnError(Category::ExecutionRevert))]
        );
        assert!(record.probes[0].is_behind);
        assert_eq!((record.probes[0].outcome, record.probes[0].place.transport), (Ok(321), Transport::Ws));
        assert_eq!(
            record.chains[0].providers.iter().map(|p| (p.priority, p.http, p.ws)).collect::<Vec<_>>(),
            [(4, true, false), (100, true, true)]
        );
    }

    #[test]
    fn names_of_strangers_are_written_when_they_are_names() {
        let check = |other: &str, want: &str| {
            let other_method = other.bytes().collect();
            assert_eq!(method_name(&SampledCall { other_method, ..call(method::UNKNOWN, "") }), want);
        };
        check("foo_barBaz", "foo_barBaz");
        check("my secret", "unknown");
        check("0xdeadbeef", "unknown");
        check("a_b\"c", "unknown");
        check("", "unknown");
    }
}
