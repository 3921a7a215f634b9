//! Every bound of the program, in one place, with the relations between them checked at compile time.
//! Source in brackets: C = the contract's section, LB = the existing implementation's section.

// --- client requests [C §3] ---
/// Largest request body, also after decoding chunks.
pub const REQUEST_BODY_BYTES: usize = 8_000_000;
/// Request bodies in memory, node-wide.
pub const INFLIGHT_BODY_BYTES: u64 = 128 << 20;
/// What a body is charged at least, so that many tiny ones are counted too [LB §1.6].
pub const BODY_CHARGE_MIN_BYTES: u64 = 4096;
/// Calls in one batch.
pub const BATCH_ITEMS: usize = 50;
/// Calls of one batch under way at once.
pub const BATCH_PARALLEL: usize = 8;
/// Request line and header fields together.
pub const HEAD_BYTES: usize = 16 * 1024;
pub const HEADERS: usize = 100;
pub const HEAD_TIMEOUT_MS: u64 = 10_000;
pub const BODY_TIMEOUT_MS: u64 = 30_000;
pub const KEEP_ALIVE_MS: u64 = 75_000;
/// How long one answer may take to be taken by its client without progress.
pub const CLIENT_WRITE_TIMEOUT_MS: u64 = 30_000;
/// Nesting of a request's JSON, and of an answer's that is proven.
pub const JSON_DEPTH: usize = 128;
/// Nesting of an answer: a call trace nests two levels for each of the EVM's 1024 call frames.
pub const ANSWER_DEPTH: usize = 4096;
/// Methods longer than this are refused as invalid.
pub const METHOD_BYTES: usize = 128;
/// A client's id is echoed; above this it is refused.
pub const ID_BYTES: usize = 4096;
/// Top-level keys of a request beyond the four; more is refused, so that repeats are found by plain comparison.
pub const REQUEST_EXTRA_KEYS: usize = 16;
/// Trailing bytes of a chunked body's trailer section, all of it.
pub const TRAILER_BYTES: usize = 8 * 1024;
/// A chunk-size line with its extensions.
pub const CHUNK_LINE_BYTES: usize = 4096;

// --- answers of providers [C §3] ---
/// Up to here an answer is held whole, verified, and may still fail over; beyond, it is streamed.
pub const HOLD_BYTES: usize = 256 * 1024;
/// What may follow a streamed result: the id and closing brace, perhaps a few keys of the node's own.
pub const ANSWER_TAIL_BYTES: usize = 16 * 1024;
/// Inside a batch an answer is held whole up to this.
pub const BATCH_ANSWER_BYTES: usize = 32 << 20;
/// Held answers beyond `HOLD_BYTES`, node-wide.
pub const INFLIGHT_ANSWER_BYTES: u64 = 256 << 20;
pub const ANSWER_HEAD_BYTES: usize = 64 * 1024;
pub const ANSWER_HEADERS: usize = 128;
/// Decoded bytes for each compressed byte.
pub const GZIP_RATIO: u64 = 100;
/// A gzip answer smaller than this is never called a bomb.
pub const GZIP_FLOOR_BYTES: u64 = 1 << 20;

// --- upstream connections [C §3] ---
/// Per instance, node-wide, split over the shards.
pub const MAX_CONNECTIONS: u32 = 256;
/// Calls that wait for a connection, per shard and instance.
pub const CONNECTION_WAITERS: usize = 4096;
pub const CONNECT_TIMEOUT_MS: u64 = 5_000;
pub const UPSTREAM_IDLE_MS: u64 = 60_000;
/// A call that must not be repeated takes no connection idle longer than this.
pub const FRESH_IDLE_MS: u64 = 1_000;

// --- attempts [C §4, LB §1.9, §2.4] ---
pub const ATTEMPTS: u8 = 3;
pub const ATTEMPT_MIN_MS: u64 = 25;
/// Share of the total that the first attempt of a repeatable call may use.
pub const FIRST_ATTEMPT_PERCENT: u64 = 60;
pub const PROVIDERS_PER_CHAIN: usize = 64;

// --- shards ---
/// Deadlines are swept, not timed one by one: this is their grain.
pub const SWEEP_MS: u64 = 10;
/// Idle connections are looked at this often.
pub const IDLE_SWEEP_MS: u64 = 1_000;
/// Connections per shard that may hold a buffer while they wait for the next request.
pub const HOT_SEATS: usize = 256;
pub const CLIENT_BUFFER_BYTES: usize = 4 * 1024;
pub const UPSTREAM_BUFFER_BYTES: usize = 16 * 1024;
pub const STREAM_BUFFER_BYTES: usize = 128 * 1024;
/// Buffers a shard keeps for reuse, of each size.
pub const POOLED_BUFFERS: usize = 512;
/// Bodies up to this are copied beside their head into one write; larger ones go by a gathering write, uncopied.
pub const COALESCE_BYTES: usize = 2 * 1024;
pub const LISTEN_BACKLOG: i32 = 4096;
pub const RING_ENTRIES: u32 = 1024;
pub const RING_ENTRIES_MIN: u32 = 256;

// --- client limits [C §7] ---
pub const LIMIT_RPS: u32 = 100;
pub const LIMIT_BURST: u32 = 500;
/// Cells of the node-wide limiter table; 16 bytes each.
pub const LIMITER_CELLS: usize = 1 << 16;
pub const LIMITER_WAYS: usize = 8;

// --- configuration ---
pub const PROFILE_FILE_BYTES: u64 = 4 << 20;
pub const PROBLEMS_SHOWN: usize = 200;
/// lasso_meta in a header above this is left out [LB §11.3].
pub const META_HEADER_BYTES: usize = 4096;
pub const REQUEST_ID_MIN: usize = 20;
pub const REQUEST_ID_MAX: usize = 200;

// --- resolver ---
pub const DNS_TTL_MS: u64 = 30_000;
pub const DNS_NEGATIVE_TTL_MS: u64 = 5_000;
pub const DNS_ADDRESSES: usize = 16;

const _: () = assert!(HEAD_BYTES < REQUEST_BODY_BYTES);
const _: () = assert!(ID_BYTES < ANSWER_TAIL_BYTES);
const _: () = assert!(HOLD_BYTES <= BATCH_ANSWER_BYTES && BATCH_ANSWER_BYTES as u64 <= INFLIGHT_ANSWER_BYTES);
const _: () = assert!(REQUEST_BODY_BYTES as u64 <= INFLIGHT_BODY_BYTES);
const _: () = assert!(CLIENT_BUFFER_BYTES < HEAD_BYTES && COALESCE_BYTES <= CLIENT_BUFFER_BYTES);
const _: () = assert!(PROVIDERS_PER_CHAIN <= 64, "a set of providers is one u64");
const _: () = assert!(LIMITER_CELLS.is_power_of_two() && LIMITER_CELLS.is_multiple_of(LIMITER_WAYS));
const _: () = assert!(BATCH_PARALLEL <= BATCH_ITEMS);
