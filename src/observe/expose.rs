//! The text that Prometheus reads: OpenMetrics 1.0 for whoever asks for it, else the older text format 0.0.4.
//!
//! Both are the same lines but for four things, which this writer decides and nobody else: OpenMetrics names a counter's
//! family without `_total` and an info's without `_info`, states the unit, escapes quotes in help, and ends with `# EOF`.
//! Samples go straight into one buffer behind labels that were rendered once for each thing, so a scrape costs what it
//! writes. Rejected: a client library with a registry (our counts live in the aggregator, in another shape, and a
//! registry would keep every number twice), and summaries (percentiles of several nodes cannot be added up).
//!
//! A duration's histogram is cumulated from buckets that are 6 % wide ([`crate::observe::buckets`]). One that straddles a
//! bound counts above it: what `le` tells is never more than was that fast, and at most the share that lay within 6 %
//! below the bound is missing.

use crate::base::time::Duration;
use crate::observe::figures::Latencies;
use crate::wire::http::write_decimal;

/// Which of the two texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Plain,
    OpenMetrics,
}

impl Format {
    /// What an `Accept` field asks for. Whoever weighs both the same gets the newer one; versions are not looked at,
    /// because readers of one version read the lines of the others.
    pub fn of_accept(accept: &[u8]) -> Format {
        let accept = String::from_utf8_lossy(accept).to_ascii_lowercase();
        let weight = |kind: &str| {
            let of_kind = accept.split(',').filter(|part| part.split(';').next().is_some_and(|name| name.trim() == kind));
            of_kind.map(weight_of).fold(0.0, f32::max)
        };
        let newer = weight("application/openmetrics-text");
        if newer > 0.0 && newer >= weight("text/plain") { Format::OpenMetrics } else { Format::Plain }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Format::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// RFC 9110 §12.4.2; what cannot be read weighs as if it were left out.
fn weight_of(part: &str) -> f32 {
    let q = part.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    q.and_then(|q| q.trim().parse().ok()).unwrap_or(1.0)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A 1 whose labels say something.
    Info,
}

/// Samples of one meaning.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    kind: Kind,
    /// As OpenMetrics has it: without `_total` and `_info`, with the unit.
    name: &'static str,
    help: &'static str,
}

/// What a name may end with.
const UNITS: [&str; 3] = ["seconds", "bytes", "blocks"];

impl Family {
    pub const fn counter(name: &'static str, help: &'static str) -> Family {
        Family { kind: Kind::Counter, name, help }
    }

    pub const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { kind: Kind::Gauge, name, help }
    }

    pub const fn histogram(name: &'static str, help: &'static str) -> Family {
        Family { kind: Kind::Histogram, name, help }
    }

    pub const fn info(name: &'static str, help: &'static str) -> Family {
        Family { kind: Kind::Info, name, help }
    }

    /// What its samples' names have behind the family's.
    fn suffix(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram => "",
        }
    }

    fn unit(&self) -> Option<&'static str> {
        UNITS.into_iter().find(|unit| self.name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
    }
}

/// Labels as they stand between the braces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Labels(Vec<u8>);

impl Labels {
    pub fn with(mut self, name: &str, value: &str) -> Labels {
        write_label(&mut self.0, name, value);
        self
    }
}

fn write_label(out: &mut Vec<u8>, name: &str, value: &str) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    write_escaped(out, value, true);
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &str, quotes: bool) {
    if !text.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'"')) {
        // Nearly all: names from a configuration, words of ours.
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            _ => out.push(byte),
        }
    }
}

/// What is written is decimal and exact; there are no floats in what we count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value {
    Number(u64),
    /// In microseconds, written in seconds.
    Micros(u64),
}

impl From<u64> for Value {
    fn from(n: u64) -> Value {
        Value::Number(n)
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Number(n.into())
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Value {
        Value::Number(is.into())
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Value {
        Value::Micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }
}

fn write_value(out: &mut Vec<u8>, value: Value) {
    match value {
        Value::Number(n) => write_decimal(out, n),
        Value::Micros(us) => {
            write_decimal(out, us / 1_000_000);
            let mut part = us % 1_000_000;
            if part > 0 {
                let mut digits = *b".000000";
                for digit in digits.iter_mut().skip(1).rev() {
                    *digit += (part % 10) as u8;
                    part /= 10;
                }
                let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
                out.extend_from_slice(digits.get(..end).unwrap_or(&digits));
            }
        }
    }
}

/// Upper bounds of a duration's buckets: microseconds, and as `le` shows them. From below what a provider in the same
/// rack takes to beyond every deadline.
pub const BOUNDS: [(u64, &str); 14] = [
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1.0"),
    (2_500_000, "2.5"),
    (5_000_000, "5.0"),
    (10_000_000, "10.0"),
    (30_000_000, "30.0"),
];

/// How many durations fell between two bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Spread {
    between: [u64; BOUNDS.len()],
    beyond: u64,
    sum_us: u64,
}

impl Spread {
    /// `sum_us`: of all of them.
    pub fn add(&mut self, latencies: &Latencies, sum_us: u64) {
        self.sum_us += sum_us;
        let mut bounds = BOUNDS.iter().enumerate().peekable();
        for (below_us, count) in latencies.buckets() {
            while bounds.next_if(|(_, (bound_us, _))| below_us - 1 > *bound_us).is_some() {}
            match bounds.peek().and_then(|(place, _)| self.between.get_mut(*place)) {
                Some(to) => *to += count,
                None => self.beyond += count,
            }
        }
    }

    pub fn count(&self) -> u64 {
        self.between.iter().sum::<u64>() + self.beyond
    }
}

/// The text, as far as it is written.
pub struct Exposition {
    format: Format,
    out: Vec<u8>,
    name: &'static str,
    suffix: &'static str,
}

impl Exposition {
    /// `bytes`: about how long it will be.
    pub fn new(format: Format, bytes: usize) -> Exposition {
        Exposition { format, out: Vec::with_capacity(bytes), name: "", suffix: "" }
    }

    /// Begins a family; all its samples follow.
    pub fn family(&mut self, family: &Family) {
        (self.name, self.suffix) = (family.name, family.suffix());
        let is_open = self.format == Format::OpenMetrics;
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info if is_open => "info",
            Kind::Info => "gauge",
        };
        let named = if is_open { "" } else { self.suffix };
        self.about("# TYPE ", named);
        self.out.extend_from_slice(kind.as_bytes());
        if let Some(unit) = family.unit().filter(|_| is_open) {
            self.about("\n# UNIT ", named);
            self.out.extend_from_slice(unit.as_bytes());
        }
        self.about("\n# HELP ", named);
        write_escaped(&mut self.out, family.help, is_open);
        self.out.push(b'\n');
    }

    fn about(&mut self, what: &str, suffix: &str) {
        for part in [what, self.name, suffix, " "] {
            self.out.extend_from_slice(part.as_bytes());
        }
    }

    pub fn sample(&mut self, labels: &Labels, value: impl Into<Value>) {
        self.line(self.suffix, labels, None, value.into());
    }

    /// With one label more.
    pub fn sample_of(&mut self, labels: &Labels, name: &str, word: &str, value: impl Into<Value>) {
        self.line(self.suffix, labels, Some((name, word)), value.into());
    }

    /// Nearly all lines of a scrape are these, so what they share is put together once.
    pub fn spread(&mut self, labels: &Labels, spread: &Spread) {
        let mut same = [self.name.as_bytes(), b"_bucket{", &labels.0].concat();
        same.extend_from_slice(if labels.0.is_empty() { b"le=\"" } else { b",le=\"" });
        let mut sum = 0;
        let bounds = BOUNDS.iter().map(|(_, le)| *le).chain(["+Inf"]);
        for (le, count) in bounds.zip(spread.between.into_iter().chain([spread.beyond])) {
            sum += count;
            self.out.extend_from_slice(&same);
            self.out.extend_from_slice(le.as_bytes());
            self.out.extend_from_slice(b"\"} ");
            write_decimal(&mut self.out, sum);
            self.out.push(b'\n');
        }
        self.line("_sum", labels, None, Value::Micros(spread.sum_us));
        self.line("_count", labels, None, spread.count().into());
    }

    fn line(&mut self, suffix: &str, labels: &Labels, more: Option<(&str, &str)>, value: Value) {
        self.out.extend_from_slice(self.name.as_bytes());
        self.out.extend_from_slice(suffix.as_bytes());
        if !labels.0.is_empty() || more.is_some() {
            self.out.push(b'{');
            self.out.extend_from_slice(&labels.0);
            if let Some((name, word)) = more {
                write_label(&mut self.out, name, word);
            }
            self.out.push(b'}');
        }
        self.out.push(b' ');
        write_value(&mut self.out, value);
        self.out.push(b'\n');
    }

    pub fn finish(mut self) -> Vec<u8> {
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
        self.out
    }
}

#[cfg(test)]
#[path = "expose_tests.rs"]
mod tests;
