//! What makes one simulated provider unlike another: numbers for its manners (delay, limits, lag, memory) and a list of
//! faults with their rates. Plain data; a test or a running demo swaps the whole of it at any moment.

use super::arrival::{Absent, Arrival};
use super::lies::Lie;
use super::marks::{CallTime, Mark};
use crate::base::limits::{MODEL_BATCH_ITEMS, MODEL_LOG_RANGE, MODEL_LOG_RESULTS, REQUEST_BODY_BYTES};
use crate::base::{rng::Rng, time::Duration, time::Instant};

/// A provider's manners. `Default` is an honest archive node that answers at once.
#[derive(Clone, Debug)]
pub struct Knobs {
    /// Gone: connections are closed as they come.
    pub down: bool,
    /// Which transports it offers.
    pub takes_http: bool,
    pub takes_sockets: bool,
    pub latency: Latency,
    /// Methods that are slower or faster: name, factor on the drawn delay.
    pub method_factors: Vec<(&'static str, f64)>,
    /// Times that calls of these methods take by themselves.
    pub times: Vec<CallTime>,
    /// Faults that follow the request's text; they come before any drawn one.
    pub marks: Vec<Mark>,
    /// What always becomes of calls of these methods.
    pub method_faults: Vec<(&'static str, Fault)>,
    /// The same of calls that come over HTTP.
    pub http_faults: Vec<(&'static str, Fault)>,
    /// Microseconds that each KiB of an answer adds.
    pub kib_us: u64,
    /// Per million requests, which fault; drawn in this order, at most one each.
    pub faults: Vec<(u32, Fault)>,
    /// The same for subscriptions asked for, and for events told.
    pub subscribe_faults: Vec<(u32, SubscribeFault)>,
    pub event_faults: Vec<(u32, EventFault)>,
    pub rate: Option<Rate>,
    /// Blocks that it is behind the network, always.
    pub lag_blocks: u64,
    /// Blocks that it is ahead of the network, always: blocks that nobody else has, and another chain on a `branch` of its own.
    pub ahead_blocks: u64,
    /// Per million blocks: how many reach it only when the next one is there.
    pub late_blocks: u32,
    /// How late each block comes to it.
    pub arrival: Arrival,
    pub absent: Absent,
    /// Blocks by which `eth_blockNumber` boasts beyond what it serves.
    pub announce_ahead: u64,
    /// Its head has stopped here.
    pub frozen_at: Option<u64>,
    /// It neither announces nor gives the block at this height.
    pub hidden_at: Option<u64>,
    /// Follows this branch, whatever is canonical.
    pub branch: Option<u32>,
    /// Hears of a reorg so much later.
    pub turns_late_ms: u64,
    /// Serves blocks that a reorg dropped, by their hash.
    pub keeps_orphans: bool,
    /// So it does with those of a chain that fell.
    pub keeps_fallen: bool,
    /// Blocks of state it keeps; `None` keeps all.
    pub archive_depth: Option<u64>,
    /// Most blocks and logs of one `eth_getLogs`.
    pub log_range: u64,
    pub log_results: usize,
    /// Says that it is another chain.
    pub chain_number: Option<u64>,
    /// Every balance that it gives is a wrong one.
    pub gives_false_balances: bool,
    /// What it says of blocks is not so.
    pub lie: Option<Lie>,
    /// Larger batches are refused.
    pub batch_items: usize,
    /// Longer WebSocket messages end the connection with 1009.
    pub socket_message_bytes: usize,
    /// Answered with -32601. A trailing `*` stands for any rest.
    pub missing_methods: Vec<&'static str>,
    /// Closes a connection after this many requests.
    pub close_after: Option<u32>,
}

impl Default for Knobs {
    fn default() -> Knobs {
        Knobs {
            down: false,
            takes_http: true,
            takes_sockets: true,
            latency: Latency::NONE,
            method_factors: Vec::new(),
            times: Vec::new(),
            marks: Vec::new(),
            method_faults: Vec::new(),
            http_faults: Vec::new(),
            kib_us: 0,
            faults: Vec::new(),
            subscribe_faults: Vec::new(),
            event_faults: Vec::new(),
            rate: None,
            lag_blocks: 0,
            ahead_blocks: 0,
            late_blocks: 0,
            arrival: Arrival::default(),
            absent: Absent::Geth,
            announce_ahead: 0,
            frozen_at: None,
            hidden_at: None,
            branch: None,
            turns_late_ms: 0,
            keeps_orphans: true,
            keeps_fallen: false,
            archive_depth: None,
            log_range: MODEL_LOG_RANGE,
            log_results: MODEL_LOG_RESULTS,
            chain_number: None,
            gives_false_balances: false,
            lie: None,
            batch_items: MODEL_BATCH_ITEMS,
            socket_message_bytes: REQUEST_BODY_BYTES,
            missing_methods: Vec::new(),
            close_after: None,
        }
    }
}

impl Knobs {
    /// The fault of one request, if any.
    pub fn draw_fault(&self, rng: &mut Rng) -> Option<Fault> {
        draw(&self.faults, rng)
    }

    pub fn lacks(&self, method: &str) -> bool {
        self.missing_methods.iter().any(|missing| match missing.strip_suffix('*') {
            Some(start) => method.starts_with(start),
            None => method == *missing,
        })
    }

    pub fn fault_of(&self, method: &str, is_http: bool) -> Option<Fault> {
        let over_http = self.http_faults.iter().filter(|_| is_http);
        self.method_faults.iter().chain(over_http).find(|(name, _)| *name == method).map(|(_, fault)| *fault)
    }

    pub fn factor(&self, method: &str) -> f64 {
        self.method_factors.iter().find(|(name, _)| *name == method).map_or(1.0, |(_, factor)| *factor)
    }
}

/// At most one of `faults`, each at its rate per million.
pub fn draw<T: Copy>(faults: &[(u32, T)], rng: &mut Rng) -> Option<T> {
    let mut draw = rng.below(1_000_000);
    for (rate, fault) in faults {
        match draw.checked_sub(u64::from(*rate)) {
            Some(rest) => draw = rest,
            None => return Some(*fault),
        }
    }
    None
}

/// A lognormal delay, given by two of its percentiles as monitors publish them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Latency {
    pub p50_ms: f64,
    pub p95_ms: f64,
}

/// No delay is longer, whatever the tail says.
const DELAY_MAX_MS: f64 = 60_000.0;
/// The standard normal distribution's 95th percentile.
const Z95: f64 = 1.645;

impl Latency {
    pub const NONE: Latency = Latency { p50_ms: 0.0, p95_ms: 0.0 };

    pub fn draw(self, rng: &mut Rng) -> Duration {
        if self.p50_ms <= 0.0 {
            return Duration::ZERO;
        }
        let sigma = (self.p95_ms / self.p50_ms).max(1.0).ln() / Z95;
        // Box and Muller: two uniform draws to one normal; `1 - unit` is never 0.
        let normal = (-2.0 * (1.0 - rng.unit()).ln()).sqrt() * (std::f64::consts::TAU * rng.unit()).cos();
        let ms = self.p50_ms * (sigma * normal).exp();
        Duration::from_nanos((ms.clamp(0.0, DELAY_MAX_MS) * 1e6) as u64)
    }
}

/// A limit of requests: a token bucket, and what is said when it is empty.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rate {
    pub per_second: u32,
    pub burst: u32,
    pub refusal: TooMany,
}

/// The ways in which providers say "slow down".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TooMany {
    /// HTTP 429, with or without `Retry-After`.
    Status { retry_after_s: Option<u32> },
    /// HTTP 429 with a JSON-RPC error, and the hint in its text.
    StatusAndError,
    /// HTTP 200 and a JSON-RPC error with this code.
    Code(i64),
    /// HTTP 200, and the error object sits in `result`.
    InResult,
}

/// Tokens of a `Rate`: when the bucket will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bucket {
    full_at: Instant,
}

impl Bucket {
    /// Takes `cost` tokens, or none.
    pub fn take(&mut self, rate: &Rate, cost: u32, now: Instant) -> bool {
        let period = 1_000_000_000 / u64::from(rate.per_second.max(1));
        let full_at = self.full_at.max(now) + Duration::from_nanos(period * u64::from(cost));
        let admitted = full_at.since(now) <= Duration::from_nanos(period * u64::from(rate.burst.max(1)));
        if admitted {
            self.full_at = full_at;
        }
        admitted
    }
}

/// What goes wrong with one answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    // --- HTTP that is no JSON-RPC ---
    /// A gateway's HTML page with this status.
    Page(u16),
    /// This status without a body.
    Bare(u16),
    /// This status with a JSON-RPC error.
    StatusAndError(u16),
    /// A refusal in plain words, as firewalls and API gateways give it.
    StatusText(u16, &'static str),
    /// 301 to elsewhere.
    Moved,
    PlainText,
    EmptyBody,
    TooMany(TooMany),
    // --- JSON-RPC errors ---
    Error(i64, &'static str),
    /// `"error":"some text"`.
    ErrorAsText,
    /// An error whose text is not UTF-8: the author of a contract chose it.
    NotUtf8,
    // --- envelopes that are wrong ---
    Garbage,
    /// Well framed, but the JSON stops in the middle.
    CutJson,
    WrongId,
    NoId,
    NullId,
    TwoIds,
    ResultAndError,
    TwoResults,
    NoResult,
    NoVersion,
    OldVersion,
    InArray,
    TrailingJson,
    // --- envelopes that are odd and right ---
    ExtraKeys,
    IdLast,
    Spaced,
    /// As one node program or another writes it.
    Dialect(Dialect),
    // --- framing that is odd and right ---
    Gzip,
    /// Chunks of odd sizes with extensions and a trailer.
    Chunked,
    /// The answer in pieces with pauses between.
    Pieces,
    /// No length: the body ends with the connection.
    UntilClose,
    /// Says keep-alive, then closes.
    CloseAfter,
    /// Interim 1xx answers first.
    Interim,
    /// Unasked-for bytes after the answer, made to look like the next one.
    ExtraAnswer,
    /// A good answer, this many milliseconds late.
    Late(u64),
    // --- framing that is wrong ---
    /// A result of so many zeros, compressed where HTTP can: what a contract may return.
    Zeros {
        bytes: usize,
        is_gzip: bool,
    },
    /// Says gzip and is not.
    NotGzip,
    /// Two MiB of spaces in a few KiB.
    GzipBomb,
    /// Ends before its declared length.
    CutBody,
    /// Ends without the last chunk.
    CutChunked,
    /// A chunk of 2 GiB is announced.
    HugeChunk,
    BadChunk,
    TwoLengths,
    LengthAndChunked,
    /// 80 KiB of header fields.
    HugeHead,
    // --- connections ---
    /// Reset when the request is in; no answer byte.
    Reset,
    /// Reset after this many bytes of the answer (head included).
    ResetAt(usize),
    /// No answer, and the connection stays open.
    Silence,
    /// Silent after this many bytes of the answer.
    StallAt(usize),
}

/// Envelopes of real nodes that are not quite JSON-RPC 2.0, and clear all the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// `"error":null` beside the result.
    NullError,
    /// `"result":null` beside the error.
    NullResult,
    /// `"code":"-32000"`.
    CodeAsText,
    /// `"code":-32000.0`.
    CodeAsFraction,
    /// `details` instead of a message, and no code.
    Details,
}

/// What goes wrong with one subscription that is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SubscribeFault {
    Refused,
    /// With the words of a node that does not offer it.
    NotOffered,
    /// Refused for a second, it says.
    Limited,
    /// Confirmed this many milliseconds late, and told from then on.
    Late(u64),
    /// Told at once, and confirmed this many milliseconds late.
    EventsFirst(u64),
    /// Told, and never confirmed.
    Never,
    /// Made twice and confirmed twice, under two ids.
    Twice,
}

/// What goes wrong with one event, or with its connection when it is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventFault {
    Missing,
    Duplicate,
    /// Comes behind its successor, with its block's others.
    Reordered,
    /// Under an id that nobody was given.
    WrongId,
    /// A head becomes one that nobody knows, of the same height, of the one below, or of one far above.
    Foreign {
        above: i64,
    },
    /// From here on no events; pings and calls are answered.
    Stall,
    /// From here on nothing at all.
    HalfOpen,
    /// The connection is closed with this code, 1006: without a word.
    Close(u16),
    BadFrame,
    /// The message stops in the middle, and the connection is cut.
    CutMessage,
}

impl EventFault {
    /// One of each, for tests that want to meet them all.
    pub const ALL: &[EventFault] = &[
        EventFault::Missing,
        EventFault::Duplicate,
        EventFault::Reordered,
        EventFault::WrongId,
        EventFault::Foreign { above: 0 },
        EventFault::Foreign { above: 10_000 },
        EventFault::Stall,
        EventFault::HalfOpen,
        EventFault::Close(1000),
        EventFault::Close(1001),
        EventFault::Close(1006),
        EventFault::Close(1008),
        EventFault::Close(1011),
        EventFault::Close(1012),
        EventFault::Close(1013),
        EventFault::BadFrame,
        EventFault::CutMessage,
    ];

    /// It takes all of a block's logs or none: of single ones nobody could see it.
    pub fn is_of_whole_blocks(self) -> bool {
        use EventFault::*;
        match self {
            Missing | Reordered | WrongId | Stall | HalfOpen => true,
            Duplicate | Foreign { .. } | Close(_) | BadFrame | CutMessage => false,
        }
    }
}

impl Fault {
    /// One of each, for tests that want to meet them all.
    pub const ALL: &[Fault] = &[
        Fault::Page(502),
        Fault::Bare(503),
        Fault::StatusAndError(500),
        Fault::StatusText(400, "request could not be processed"),
        Fault::StatusText(403, "forbidden"),
        Fault::StatusText(405, "method not allowed"),
        Fault::StatusText(422, "unprocessable"),
        Fault::StatusText(431, "request header fields too large"),
        Fault::Moved,
        Fault::PlainText,
        Fault::EmptyBody,
        Fault::TooMany(TooMany::Status { retry_after_s: Some(3) }),
        Fault::TooMany(TooMany::Status { retry_after_s: None }),
        Fault::TooMany(TooMany::StatusAndError),
        Fault::TooMany(TooMany::Code(-32005)),
        Fault::TooMany(TooMany::InResult),
        Fault::Error(-32603, "internal error"),
        Fault::ErrorAsText,
        Fault::NotUtf8,
        Fault::Garbage,
        Fault::CutJson,
        Fault::WrongId,
        Fault::NoId,
        Fault::NullId,
        Fault::TwoIds,
        Fault::ResultAndError,
        Fault::TwoResults,
        Fault::NoResult,
        Fault::NoVersion,
        Fault::OldVersion,
        Fault::InArray,
        Fault::TrailingJson,
        Fault::ExtraKeys,
        Fault::IdLast,
        Fault::Spaced,
        Fault::Dialect(Dialect::NullError),
        Fault::Dialect(Dialect::NullResult),
        Fault::Dialect(Dialect::CodeAsText),
        Fault::Dialect(Dialect::CodeAsFraction),
        Fault::Dialect(Dialect::Details),
        Fault::Gzip,
        Fault::Chunked,
        Fault::Pieces,
        Fault::UntilClose,
        Fault::CloseAfter,
        Fault::Interim,
        Fault::ExtraAnswer,
        Fault::Late(5),
        Fault::Zeros { bytes: 1 << 20, is_gzip: true },
        Fault::Zeros { bytes: 300 << 10, is_gzip: false },
        Fault::NotGzip,
        Fault::GzipBomb,
        Fault::CutBody,
        Fault::CutChunked,
        Fault::HugeChunk,
        Fault::BadChunk,
        Fault::TwoLengths,
        Fault::LengthAndChunked,
        Fault::HugeHead,
        Fault::Reset,
        Fault::ResetAt(40),
        Fault::Silence,
        Fault::StallAt(40),
    ];

    /// What calls themselves can bring about at any provider, for tests of what a node makes of it.
    pub const OF_CALLS: &[Fault] = &[
        Fault::UntilClose,
        Fault::Reset,
        Fault::ResetAt(40),
        Fault::Silence,
        Fault::StallAt(40),
        Fault::StatusText(400, "request could not be processed"),
        Fault::StatusText(403, "forbidden"),
        Fault::StatusText(405, "method not allowed"),
        Fault::StatusText(422, "unprocessable"),
        Fault::StatusText(431, "request header fields too large"),
        Fault::Page(502),
        Fault::Bare(500),
        Fault::Garbage,
        Fault::CutBody,
        Fault::CutJson,
        Fault::NotUtf8,
        Fault::ErrorAsText,
        Fault::Error(-32603, "internal error"),
        Fault::Dialect(Dialect::NullError),
        Fault::Dialect(Dialect::NullResult),
        Fault::Dialect(Dialect::CodeAsText),
        Fault::Dialect(Dialect::CodeAsFraction),
        Fault::Dialect(Dialect::Details),
        Fault::Zeros { bytes: 1 << 20, is_gzip: true },
        Fault::Zeros { bytes: 17 << 20, is_gzip: false },
    ];

    /// Odd but right: a correct and patient client still gets the answer.
    pub fn is_harmless(self) -> bool {
        use Fault::*;
        matches!(
            self,
            ExtraKeys
                | IdLast
                | Spaced
                | Dialect(self::Dialect::NullError)
                | Gzip
                | Chunked
                | Pieces
                | UntilClose
                | CloseAfter
                | Interim
                | ExtraAnswer
                | Late(_)
        )
    }

    /// Refused at the door: the node behind never saw the call, so a raw transaction is not in the pool.
    pub fn is_refusal(self) -> bool {
        use Fault::*;
        matches!(
            self,
            Page(_)
                | Bare(_)
                | StatusAndError(_)
                | StatusText(..)
                | Moved
                | PlainText
                | TooMany(_)
                | Error(..)
                | ErrorAsText
                | NotUtf8
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_have_the_percentiles_asked_for() {
        let (latency, mut rng) = (Latency { p50_ms: 60.0, p95_ms: 140.0 }, Rng::new(1));
        let mut drawn: Vec<Duration> = (0..20_000).map(|_| latency.draw(&mut rng)).collect();
        drawn.sort();
        let near = |at: usize, ms: f64| {
            let got = drawn[at].as_secs_f64() * 1e3;
            assert!((got / ms - 1.0).abs() < 0.05, "{got} is not near {ms}");
        };
        near(10_000, 60.0);
        near(19_000, 140.0);
        assert_eq!(Latency::NONE.draw(&mut rng), Duration::ZERO);
        let wild = Latency { p50_ms: 1e9, p95_ms: f64::INFINITY };
        assert!((0..100).all(|_| wild.draw(&mut rng) <= Duration::from_secs(60)));
        assert_eq!(Latency { p50_ms: 5.0, p95_ms: 1.0 }.draw(&mut rng), Duration::from_millis(5));
    }

    #[test]
    fn the_bucket_admits_burst_then_rate() {
        let rate = Rate { per_second: 10, burst: 5, refusal: TooMany::InResult };
        let mut bucket = Bucket::default();
        let mut admitted = |ms: u64, cost| bucket.take(&rate, cost, Instant::ZERO.plus_ms(1_000_000 + ms));
        assert_eq!((0..10).filter(|_| admitted(0, 1)).count(), 5);
        assert_eq!((admitted(99, 1), admitted(100, 1), admitted(100, 1)), (false, true, false));
        assert_eq!((0..1000).filter(|ms| admitted(1000 + ms, 1)).count(), 5 + 9);
        assert_eq!((admitted(9000, 6), admitted(9000, 5), admitted(9000, 1)), (false, true, false));
    }

    #[test]
    fn faults_come_at_their_rates() {
        let knobs = Knobs { faults: vec![(100_000, Fault::Garbage), (50_000, Fault::Silence)], ..Knobs::default() };
        let mut rng = Rng::new(3);
        let drawn: Vec<_> = (0..20_000).map(|_| knobs.draw_fault(&mut rng)).collect();
        let count = |fault| drawn.iter().filter(|one| **one == fault).count();
        assert!((1_850..2_150).contains(&count(Some(Fault::Garbage))));
        assert!((900..1_100).contains(&count(Some(Fault::Silence))));
        assert_eq!(Knobs::default().draw_fault(&mut rng), None);
    }

    #[test]
    fn missing_methods_and_factors() {
        let knobs = Knobs {
            missing_methods: vec!["debug_*", "eth_call"],
            method_factors: vec![("eth_getLogs", 4.0)],
            ..Knobs::default()
        };
        assert!(knobs.lacks("debug_traceCall") && knobs.lacks("eth_call") && !knobs.lacks("eth_callMany"));
        assert_eq!((knobs.factor("eth_getLogs"), knobs.factor("eth_call")), (4.0, 1.0));
        let knobs = Knobs { method_faults: vec![("eth_call", Fault::Bare(403))], ..Knobs::default() };
        assert_eq!((knobs.fault_of("eth_call", false), knobs.fault_of("eth_chainId", true)), (Some(Fault::Bare(403)), None));
        let knobs = Knobs { http_faults: vec![("eth_call", Fault::Bare(403))], ..Knobs::default() };
        assert_eq!((knobs.fault_of("eth_call", false), knobs.fault_of("eth_call", true)), (None, Some(Fault::Bare(403))));
    }
}
