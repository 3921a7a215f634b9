//! Bounds of `lasso bench`: what it sends at most for each purpose, how it spaces what it sends, and what it keeps.

// --- how much (docs/bench.md) ---
/// Providers that one run compares: the pairs grow with the square.
pub const BENCH_PROVIDERS: usize = 16;
/// Up to here nobody is asked whether it may be sent.
pub const BENCH_UNASKED_CALLS: u64 = 1_000;
/// Calls of the mix of one run, over all providers.
pub const BENCH_CALLS_MAX: u64 = 1_000_000;
pub const BENCH_RATE_MAX: f64 = 1_000.0;
pub const BENCH_SECONDS_MAX: u64 = 86_400;
/// Calls that a file may list, and its size.
pub const BENCH_LISTED: usize = 100_000;
pub const BENCH_FILE_BYTES: u64 = 64 << 20;

// --- what is asked of each provider ---
/// The first question of each transport, and again where the first answer was none.
pub const BENCH_FIRST_TRIES: u64 = 2;
/// What it is given, and the pause between.
pub const BENCH_FIRST_MS: u64 = 5_000;
pub const BENCH_FIRST_PAUSE_MS: u64 = 1_000;
/// Whole blocks that are read for addresses and transactions.
pub const BENCH_BLOCKS_READ: u64 = 3;
/// Addresses, contracts and transactions that parameters are drawn from.
pub const BENCH_FACTS: usize = 64;
/// Shown of the text by which a provider names its program.
pub const BENCH_CLIENT_CHARS: usize = 120;
/// How far below the lowest head a block is that all must have.
pub const BENCH_BELOW_HEAD: u64 = 3;
/// States further back than this are old: what full nodes keep is 128.
pub const BENCH_OLD_BLOCKS: u64 = 1_024;
/// Questions about one block.
pub const BENCH_AGREED: u64 = 8;
pub const BENCH_METHODS: u64 = 13;
pub const BENCH_DEPTH_CALLS: u64 = 40;
pub const BENCH_DEPTH_FIRST: u64 = 4;
pub const BENCH_DEPTH_STEP: u64 = 64;
/// How often a question of a search that brought nothing is asked again.
pub const BENCH_AGAIN: u32 = 2;
/// Depths are found to this part of themselves.
pub const BENCH_DEPTH_PARTS: u64 = 128;
pub const BENCH_RANGE_CALLS: u64 = 24;
pub const BENCH_RANGE_PARTS: u64 = 100;
/// No wider range of logs is asked for.
pub const BENCH_LOG_BLOCKS: u64 = 100_000;
/// Between two calls of the searches to one provider.
pub const BENCH_SEARCH_PAUSE_MS: u64 = 150;
/// What the searches take at most; then they are left.
pub const BENCH_SEARCHES_MS: u64 = 60_000;
/// A call on a new connection every so often, and so many of each transport.
pub const BENCH_COLD_MS: u64 = 3_000;
pub const BENCH_COLD_CALLS: u64 = 40;
pub const BENCH_RAMP_STEP_MS: u64 = 3_000;

// --- how calls are spaced and judged ---
/// What a call is given.
pub const BENCH_TIMEOUT_MS: u64 = 10_000;
/// The beginning of a run that is sent and not measured: connections are made in it.
pub const BENCH_WARM_MS: u64 = 1_000;
/// Between the calls of one moment.
pub const BENCH_APART_MS: u64 = 5;
/// What a timer of ours may be late without its counting.
pub const BENCH_TIMER_MS: u64 = 2;
/// How soon a wish to end is seen.
pub const BENCH_NAP_MS: u64 = 100;
/// How often people are shown how a run goes.
pub const BENCH_SHOWN_MS: u64 = 250;
/// Answers that are under way at a wish to end.
pub const BENCH_LAST_MS: u64 = 1_000;
/// Refusals in a row that are a wall, the first rest from it, and rests before it is taken for a ban.
pub const BENCH_WALL: u32 = 5;
pub const BENCH_REST_MS: u64 = 1_000;
pub const BENCH_RESTS: u32 = 3;

// --- new blocks ---
/// A provider that announces none is asked this often, and in a long run so many times.
pub const BENCH_POLL_MS: u64 = 1_000;
pub const BENCH_POLLS: u64 = 600;
/// How long the beginning of the mix waits for everybody to be watched.
pub const BENCH_WATCH_MS: u64 = 3_000;
/// Blocks that are followed, and that one answer may show at once.
pub const BENCH_BLOCKS: usize = 65_536;
pub const BENCH_BLOCKS_AT_ONCE: u64 = 1_000;
/// A block of the last moments does not make anybody late.
pub const BENCH_BLOCK_GRACE_MS: u64 = 3_000;

// --- resampling ---
/// Values drawn for the comparisons of one method, and rounds of each.
pub const BENCH_RESAMPLED: usize = 20_000_000;
pub const BENCH_ROUNDS_MIN: usize = 1_000;
pub const BENCH_ROUNDS_MAX: usize = 2_000;
