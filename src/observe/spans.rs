//! Spans of traces as a shard writes them down: fixed in size, without text, for a thread that has time to name things; and
//! the choice of which exchanges have any.
//!
//! One span for a client's exchange, one below it for each attempt at a provider. Names of the environment's variables and
//! of samplers are OpenTelemetry's. Unlike its SDKs, which trace everything when nobody says otherwise, one exchange in a
//! hundred is traced: a node that answers 30,000 calls a second should not drown the collector of whoever sets one variable.

use crate::base::ids::{ChainId, EntryId, MethodId, ProfileId, Transport};
use crate::base::time::Instant;
use crate::config::topology::Strategy;
use crate::observe::decision::Ended;
use crate::wire::trace_context::{Parent, SpanId, TraceId};

#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub trace: TraceId,
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub method: MethodId,
    pub began: Instant,
    pub ended: Instant,
    pub what: What,
}

#[derive(Clone, Copy, Debug)]
pub enum What {
    /// A client's call, from the request to its reply.
    Exchange(Exchange),
    /// One dispatch to a provider.
    Attempt(Attempt),
}

#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub profile: ProfileId,
    pub chain: ChainId,
    pub strategy: Strategy,
    /// The client's.
    pub transport: Transport,
    /// The provider asked last.
    pub selected: Option<EntryId>,
    pub retries: u8,
    pub end: Ended,
}

#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub entry: EntryId,
    pub transport: Transport,
    /// Of the provider's HTTP answer, where there was one.
    pub status: Option<u16>,
    /// What went wrong, by its category's word; `None`: a result.
    pub fault: Option<&'static str>,
    /// It was the client's answer all the same: an error that is the call's own.
    pub is_answer: bool,
}

/// How exchanges without a sampled or unsampled parent are chosen.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Root {
    All,
    None,
    /// Those whose trace id's last 56 bits are below this.
    Below(u64),
}

/// `OTEL_TRACES_SAMPLER`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sampler {
    root: Root,
    /// A client that sends a trace decides for its exchanges.
    asks_parent: bool,
}

/// Bits of a trace id that level 2 of the recommendation calls random.
const RANDOM_BITS: u32 = 56;
const DEFAULT: (&str, &str) = ("parentbased_traceidratio", "0.01");

impl Sampler {
    /// From `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`. The error is a sentence's end: what it must be.
    pub fn from_words(name: Option<&str>, argument: Option<&str>) -> Result<Sampler, String> {
        let (name, usual) = name.map_or(DEFAULT, |name| (name, "1.0"));
        let ratio = || {
            let ratio = argument.unwrap_or(usual).parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            let bound = |ratio: f64| (ratio * (1u64 << RANDOM_BITS) as f64) as u64;
            ratio.map(|ratio| Root::Below(bound(ratio))).ok_or("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1")
        };
        let (asks_parent, plain) = match name.strip_prefix("parentbased_") {
            Some(plain) => (true, plain),
            None => (false, name),
        };
        let root = match plain {
            "always_on" => Root::All,
            "always_off" => Root::None,
            "traceidratio" => ratio()?,
            _ => {
                let known = "always_on, always_off or traceidratio, each also behind parentbased_";
                return Err(format!("OTEL_TRACES_SAMPLER must be {known}"));
            }
        };
        Ok(Sampler { root, asks_parent })
    }

    /// Whether the exchange of this trace is one to tell of.
    pub fn takes(&self, parent: Option<&Parent>, trace: &TraceId) -> bool {
        if let (Some(parent), true) = (parent, self.asks_parent) {
            return parent.is_sampled();
        }
        match self.root {
            Root::All => true,
            Root::None => false,
            Root::Below(bound) => (u128::from_be_bytes(*trace) as u64 & ((1 << RANDOM_BITS) - 1)) < bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Rng;

    fn shares(name: Option<&str>, argument: Option<&str>) -> [u32; 3] {
        let sampler = Sampler::from_words(name, argument).expect("a sampler");
        let parent = |flags| Parent { trace: [1; 16], span: [1; 8], flags };
        let parents = [None, Some(parent(0)), Some(parent(1))];
        let mut rng = Rng::new(5);
        parents.map(|parent| {
            let mut trace = || (u128::from(rng.next()) << 64 | u128::from(rng.next())).to_be_bytes();
            (0..1000).filter(|_| sampler.takes(parent.as_ref(), &trace())).count() as u32
        })
    }

    #[test]
    fn samplers_by_name() {
        // Of a thousand exchanges without a parent, with one that is not sampled, and with one that is.
        let check = |name, argument, want: [std::ops::RangeInclusive<u32>; 3]| {
            let got = shares(name, argument);
            let fits = got.iter().zip(&want).all(|(got, want)| want.contains(got));
            assert!(fits, "{name:?} {argument:?}: {got:?}");
        };
        check(None, None, [2..=30, 0..=0, 1000..=1000]);
        check(None, Some("0.5"), [400..=600, 0..=0, 1000..=1000]);
        check(Some("always_on"), None, [1000..=1000, 1000..=1000, 1000..=1000]);
        check(Some("always_off"), Some("what"), [0..=0, 0..=0, 0..=0]);
        check(Some("traceidratio"), None, [1000..=1000, 1000..=1000, 1000..=1000]);
        check(Some("traceidratio"), Some("0"), [0..=0, 0..=0, 0..=0]);
        check(Some("traceidratio"), Some("0.25"), [190..=310, 190..=310, 190..=310]);
        check(Some("parentbased_always_on"), None, [1000..=1000, 0..=0, 1000..=1000]);
        check(Some("parentbased_always_off"), None, [0..=0, 0..=0, 1000..=1000]);
        check(Some("parentbased_traceidratio"), Some("0.1"), [60..=140, 0..=0, 1000..=1000]);
    }

    #[test]
    fn wrong_words_are_told() {
        let check = |name, argument, part: &str| {
            let told = Sampler::from_words(name, argument).expect_err("refused");
            assert!(told.contains(part), "{told}");
        };
        check(Some("jaeger_remote"), None, "always_on, always_off or traceidratio");
        check(Some("traceidratio"), Some("2"), "from 0 to 1");
        check(Some("parentbased_traceidratio"), Some("half"), "from 0 to 1");
        check(None, Some("NaN"), "from 0 to 1");
    }
}
