//! Every bound of the program, in one place, with the relations between them checked at compile time.
//! What they mean to a user is in the document that a heading names.

// --- client requests (docs/behaviour/http.md, docs/behaviour/calls.md) ---
/// Largest request body, also after decoding chunks.
pub const REQUEST_BODY_BYTES: usize = 8_000_000;
/// Request bodies in memory, node-wide.
pub const INFLIGHT_BODY_BYTES: u64 = 128 << 20;
/// What a body is charged at least, so that many tiny ones are counted too.
pub const BODY_CHARGE_MIN_BYTES: u64 = 4096;
/// Calls in one batch unless its profile says otherwise: what clients that batch by themselves send (viem's 1,000).
pub const BATCH_ITEMS: u32 = 1_000;
/// What a profile may allow. More is not even taken apart, since the answer would name each call.
pub const BATCH_ITEMS_MAX: usize = 10_000;
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
/// After a last reply: what is still read away, so that the reply is not lost to a reset; how long nothing may come, and how
/// long something may.
pub const LINGER_MS: u64 = 1_000;
pub const LINGER_ALL_MS: u64 = 60_000;
pub const LINGER_BYTES: usize = 64 << 20;
/// So much of a body gives it `BODY_TIMEOUT_MS` more; a mere byte now and then does not.
pub const BODY_PROGRESS_BYTES: usize = 64 * 1024;
/// Header fields of clients that one profile or provider passes on.
pub const FORWARDED_FIELDS: usize = 16;
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
/// Chunk extensions of one body together: nobody uses them but to make a small body cost a large one's reading.
pub const CHUNK_EXTENSION_BYTES: usize = 64 * 1024;

// --- answers of providers (docs/behaviour/calls.md) ---
/// Up to here an answer is held whole, verified, and may still fail over; beyond, it is streamed.
pub const HOLD_BYTES: usize = 256 * 1024;
/// What may follow a streamed result: the id and closing brace, perhaps a few keys of the node's own.
pub const ANSWER_TAIL_BYTES: usize = 16 * 1024;
/// Inside a batch an answer is held whole up to this.
pub const BATCH_ANSWER_BYTES: usize = 32 << 20;
/// Held answers beyond `HOLD_BYTES`, node-wide.
pub const INFLIGHT_ANSWER_BYTES: u64 = 256 << 20;
/// A streamed answer that brings nothing for this long is ended.
pub const STREAM_STALL_MS: u64 = 10_000;
pub const ANSWER_HEAD_BYTES: usize = 64 * 1024;
pub const ANSWER_HEADERS: usize = 128;
/// Optional header fields of one gzip member (a FEXTRA field alone may have 64 KiB).
pub const GZIP_HEADER_BYTES: usize = 66 * 1024;
/// Members of one gzip stream: each costs a fresh window, so many empty ones would cost more than they bring.
pub const GZIP_MEMBERS: u32 = 1024;

// --- upstream connections (docs/behaviour/calls.md#stale-connections) ---
/// Per instance, node-wide, split over the shards.
pub const MAX_CONNECTIONS: u32 = 256;
/// What of them the control thread may have, for probes, heads and what streams ask for, to which two were too few.
pub const CONTROL_CONNECTIONS: u32 = 8;
/// Calls that wait for a connection, per shard and instance.
pub const CONNECTION_WAITERS: usize = 4096;
pub const CONNECT_TIMEOUT_MS: u64 = 5_000;
pub const UPSTREAM_IDLE_MS: u64 = 60_000;
/// A call that must not be repeated takes no connection idle longer than this.
pub const FRESH_IDLE_MS: u64 = 1_000;

// --- HTTP/2 to providers ---
/// Connections of one shard to one instance that take calls; more calls than their streams wait.
pub const H2_CONNECTIONS: usize = 4;
/// Calls at once on one connection, where the provider allows as many.
pub const H2_STREAMS: usize = 256;
/// What one answer may send ahead of its reader, and all answers of a connection: a stalled one never stops another.
pub const H2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
pub const H2_CONNECTION_WINDOW_BYTES: u32 = H2_STREAMS as u32 * H2_STREAM_WINDOW_BYTES;
pub const H2_FRAME_BYTES: u32 = 64 * 1024;
/// Read at once, and gathered before a write.
pub const H2_BUFFER_BYTES: usize = 64 * 1024;
/// Streams that we reset and still know, so that what their provider had sent already is no fault of the connection's.
pub const H2_RESETS_KEPT: usize = 4_096;
pub const H2_RESETS_KEPT_MS: u64 = 10_000;
/// A connection on which we reset so many is retired: providers count them too, and end it in worse order.
pub const H2_RESETS: u32 = 16_384;
/// Times one attempt is sent again because the provider said that it did not look at it.
pub const H2_RESENDS: u8 = 3;
/// A provider that turned a call away so often rests this long, more when it repeats.
pub const H2_SHED_MS: u64 = 1_000;
/// A connection silent this long is asked for a sign of life, which must come within the second.
pub const H2_PING_MS: u64 = 10_000;
pub const H2_PONG_MS: u64 = 5_000;

// --- the total time of a call, all attempts together ---
pub const CALL_CHEAP_MS: u64 = 10_000;
/// What runs code or searches.
pub const CALL_HEAVY_MS: u64 = 30_000;
/// What runs a block again.
pub const CALL_TRACE_MS: u64 = 120_000;
pub const CALL_RAW_MS: u64 = 15_000;
/// The longest that a profile may give one.
pub const CALL_MAX_MS: u64 = 600_000;
/// Patterns of method names that a profile or chain may give terms of its own.
pub const METHOD_PATTERNS: usize = 256;

// --- attempts (docs/behaviour/calls.md#attempts-and-times) ---
pub const ATTEMPTS: u8 = 3;
pub const ATTEMPT_MIN_MS: u64 = 25;
/// Share of the total that one attempt of a cheap read may use while others are left.
pub const FIRST_ATTEMPT_PERCENT: u64 = 60;
/// The least that an attempt is given where its provider is known to be fast, of a cheap read and of others.
pub const PATIENCE_MIN_MS: u64 = 250;
pub const PATIENCE_HEAVY_MIN_MS: u64 = 2_000;
/// What a cheap read gives a provider of which nothing is known, and a connection that is being made.
pub const PATIENCE_UNKNOWN_MS: u64 = 1_500;
/// Providers looked at for one call, sent to or not.
pub const CANDIDATES: u8 = 16;
pub const PROVIDERS_PER_CHAIN: usize = 64;
/// Each over HTTP and over WebSocket.
pub const SLOTS_PER_CHAIN: usize = 2 * PROVIDERS_PER_CHAIN;

// --- shards ---
/// Deadlines are swept, not timed one by one: this is their grain.
pub const SWEEP_MS: u64 = 10;
/// How often, and from which age on, calls under way are looked at for a client that has reset its connection.
pub const RESET_CHECK_MS: u64 = 100;
/// Idle connections are looked at this often.
pub const IDLE_SWEEP_MS: u64 = 1_000;
/// Connections per shard that may hold a buffer while they wait for the next request.
pub const HOT_SEATS: usize = 64;
pub const CLIENT_BUFFER_BYTES: usize = 4 * 1024;
pub const UPSTREAM_BUFFER_BYTES: usize = 16 * 1024;
pub const STREAM_BUFFER_BYTES: usize = 112 * 1024;
/// Buffers a shard keeps for reuse, of each size.
pub const POOLED_BUFFERS: usize = 512;
/// Bodies up to this are copied beside their head into one write; larger ones go by a gathering write, uncopied.
pub const COALESCE_BYTES: usize = 2 * 1024;
pub const POOLED_LONG_BUFFERS: usize = 64;
/// Descriptors kept for files and threads, and for each shard's own and the clients that it turns away.
pub const FILES: u64 = 40;
pub const FILES_PER_SHARD: u64 = 24;
/// Clients turned away that one shard waits for, so that they hear why; more are closed at once.
pub const REFUSALS: u32 = 8;
/// Room for fewer client connections is warned of at the start.
pub const CLIENTS_FEW: u64 = 1_024;
/// More cannot be asked for.
pub const CLIENTS_MAX: u64 = 1 << 24;
/// Why a provider cannot be reached is reported again after this, and told of again after the second.
pub const UNREACHED_TOLD_MS: u64 = 10_000;
pub const UNREACHED_AGAIN_MS: u64 = 60_000;
/// What this node lacks is told at most this often, each kind.
pub const SHORTAGE_TOLD_MS: u64 = 60_000;
pub const LISTEN_BACKLOG: i32 = 4096;
pub const RING_ENTRIES: u32 = 1024;
pub const RING_ENTRIES_MIN: u32 = 256;

// --- what answers mean (docs/behaviour/answers.md) ---
/// Of an error's text, this much is looked at.
pub const ERROR_TEXT_BYTES: usize = 2048;
/// A provider's own hint when to come back is believed up to this.
pub const RETRY_AFTER_MAX_MS: u64 = 3_600_000;
/// A failure hidden inside a result is never longer.
pub const HIDDEN_ERROR_BYTES: usize = 4096;

/// A pause after `accept` failed, so that a lasting cause does not spin.
pub const ACCEPT_PAUSE_MS: u64 = 10;
/// `/api/ready` says yes after this long even without an answer of every chain.
pub const READY_AFTER_MS: u64 = 10_000;

// --- epochs: what shards report and the aggregator merges ---
/// Producers report this often.
pub const EPOCH_MS: u64 = 100;
/// Reports of one producer that may wait to be merged; a producer that finds them full goes on with its tally.
pub const REPORT_QUEUE: usize = 8;
/// Rare events of one producer in one epoch; more are counted and dropped.
pub const EPOCH_EVENTS: usize = 1_024;
/// (entry, transport, method) rows of one tally; attempts beyond are counted by channel only.
pub const TALLY_ROWS: usize = 16_384;
/// (entry, transport, method) rows of figures for people; some 5 KB each when busy. Attempts beyond are only counted.
pub const FIGURE_ROWS: usize = 16_384;
/// Questions of people's that wait for the aggregator; one more is told to come again.
pub const QUESTIONS: usize = 64;
/// Calls that a node tells of in a second: so many good ones and as many that failed or were slow
/// (docs/behaviour/shown.md#events).
pub const REQUEST_LOG_RATE: u32 = 256;
pub const REQUEST_LOG_RATE_MAX: u32 = 1_000;
/// A call that took as long is told of like a failed one.
pub const SLOW_CALL_MS: u64 = 1_000;
/// Of a method's name that is in no table.
pub const METHOD_NAME_SHOWN_BYTES: usize = 48;
/// Whoever asked looks this often, and gives up after this long.
pub const ANSWER_POLL_MS: u64 = 10;
pub const ANSWER_WAIT_MS: u64 = 3_000;

// --- events and the log (docs/behaviour/shown.md#events) ---
/// Events kept for readers of `/api/events`, and their bytes.
pub const BACKLOG_EVENTS: usize = 4_096;
pub const BACKLOG_BYTES: usize = 4 << 20;
/// Events in one message, and the time between two.
pub const EVENT_BATCH: usize = 100;
pub const EVENT_BATCH_MS: u64 = 50;
/// A message that is told where there is no room for the rest.
pub const EVENT_MESSAGE_BYTES: usize = 4_096;
/// A reader hears something at least this often.
pub const EVENT_HEARTBEAT_MS: u64 = 15_000;
/// Readers of the whole node; one more is told to come again.
pub const EVENT_READERS: u32 = 256;
/// Names of events in one reader's wish.
pub const EVENT_NAMES: usize = 32;
/// Lines that wait for standard output; more are counted and dropped.
pub const LOG_LINES: usize = 8_192;
/// Lines still unwritten when the process ends are waited for this long.
pub const LOG_FLUSH_MS: u64 = 2_000;

// --- traces (W3C Trace Context, OpenTelemetry) ---
/// A longer `tracestate` is not passed on; the specification asks for at least this much.
pub const TRACESTATE_BYTES: usize = 512;
pub const TRACESTATE_MEMBERS: usize = 32;
/// Spans that wait for the exporter, where `OTEL_BSP_*` says nothing; more are counted and dropped.
pub const SPANS_QUEUED: usize = 8_192;
pub const SPANS_QUEUED_MAX: usize = 1 << 20;
pub const SPANS_BATCH: usize = 512;
pub const SPANS_DELAY_MS: u64 = 5_000;
/// One attempt to deliver a batch, and how often it is tried.
pub const SPANS_TIMEOUT_MS: u64 = 10_000;
pub const SPANS_TRIES: u32 = 5;
/// The pause before the second try, doubling; a collector's Retry-After counts up to the longest.
pub const SPANS_PAUSE_MS: u64 = 1_000;
pub const SPANS_PAUSE_MAX_MS: u64 = 30_000;
/// What a collector answers is read so far.
pub const SPANS_ANSWER_BYTES: u64 = 64 << 10;
/// Spans still waiting when the process ends are delivered within this time.
pub const SPANS_FLUSH_MS: u64 = 2_000;

// --- WebSocket clients (docs/behaviour/clients.md#client-sockets) ---
/// Requests of one connection under way (a batch is one) where a profile does not say, as many as it may say, and their bytes.
pub const SOCKET_CALLS: u32 = 256;
pub const SOCKET_CALLS_MAX: u64 = 4_096;
pub const SOCKET_BYTES: usize = 32 << 20;
/// Messages held beside them before no more is read.
pub const SOCKET_AHEAD_BYTES: usize = 64 << 10;
/// Bytes that wait to be sent before no more requests are read.
pub const SOCKET_OUTBOX_BYTES: usize = 4 << 20;
/// Pongs that are owed to a client, whole frames: at least eight, and every one to whoever reads them.
pub const SOCKET_PONGS_BYTES: usize = 1 << 10;
/// The same of all clients of a shard: beyond it each is owed what one pong may be long, the newest.
pub const PONGS_BYTES: usize = 64 << 10;
pub const PONG_BYTES: usize = 2 + 125;
/// Frames of one message, from a client or a provider: 8 MB in 64-byte fragments.
pub const SOCKET_FRAMES: usize = 1 << 17;
pub const SOCKET_PING_MS: u64 = 30_000;
pub const SOCKET_PONG_MS: u64 = 5_000;
/// Pings in a row without a pong, after which the client is taken for gone.
pub const SOCKET_MISSES: u8 = 2;

// --- calls handed over between shards ---
/// Asks and results of one shard that wait in its mailbox; one more ask is not sent, one more result comes again.
pub const ERRANDS: usize = 4_096;
/// Calls of one shard that others make for it.
pub const ERRANDS_OUT: usize = 1_024;
/// Calls that one shard makes for others.
pub const ERRANDS_RUNNING: usize = 4_096;

// --- WebSockets to providers (docs/behaviour/clients.md#provider-sockets, docs/behaviour/health.md#reconnecting) ---
/// A provider's message, and a frame of one.
pub const LINK_MESSAGE_BYTES: usize = 16 << 20;
/// Longer calls go over HTTP where their provider has it.
pub const LINK_CALL_BYTES: usize = 128 << 10;
/// A longer message is skipped and fails its call alone; a frame longer than this ends the connection.
pub const LINK_SKIP_BYTES: u64 = 256 << 20;
/// Shards that keep a connection to one instance for calls.
pub const LINK_SHARDS: usize = 4;
/// Connections of one shard to one instance that carry one call each; the last is for calls that must not be repeated.
pub const LINK_ASIDES: usize = 16;
/// One is made within this time, or the shared one must do; where none was granted, none is asked for so long.
pub const LINK_ASIDE_OPEN_MS: u64 = 2_000;
pub const LINK_ASIDE_REST_MS: u64 = 5_000;
/// Calls of one connection that wait for their answer; one more goes elsewhere.
pub const LINK_PENDING: usize = 256;
/// Bytes that wait to be written before no more calls are taken.
pub const LINK_OUTBOX_BYTES: usize = 16 << 20;
pub const LINK_PING_MS: u64 = 15_000;
/// A pong, or anything else, must have come this long after a ping.
pub const LINK_PONG_MS: u64 = 5_000;
/// Pings in a row that nothing came after.
pub const LINK_MISSES: u8 = 2;
/// A part of what is written must have been taken by then.
pub const LINK_WRITE_MS: u64 = 5_000;
/// Where calls share one, a message that is under way brings `UPSTREAM_BUFFER_BYTES` in each of these spans.
pub const LINK_STALL_MS: u64 = 1_000;
/// A connection that lived this long had been made well.
pub const LINK_STABLE_MS: u64 = 5_000;
/// Each failure in a row adds this to the wait for the next connection, up to the second; with jitter up to the third.
pub const LINK_RETRY_STEP_MS: u64 = 5_000;
pub const LINK_RETRY_MAX_MS: u64 = 30_000;
pub const LINK_RETRY_JITTER_MS: u64 = 1_000;
/// The first connections of a node are spread over this.
pub const LINK_START_JITTER_MS: u64 = 3_000;
/// The same cap where calls want the connection and the breaker does the long waiting.
pub const LINK_WANTED_RETRY_MAX_MS: u64 = 1_000;

// --- limits learnt from a provider's errors ---
/// How long a lesson holds.
pub const LEARNT_MS: u64 = 600_000;
/// How long "too many results" holds, which depends on the filter as much as on the range.
pub const LEARNT_SIZE_MS: u64 = 60_000;
/// Methods that one channel is known not to offer; the oldest are forgotten.
pub const LEARNT_METHODS: usize = 32;
/// No node prunes state nearer to its head (reth keeps 64 blocks at least, geth 128).
pub const LEARNT_DEPTH_MIN_BLOCKS: u64 = 64;

// --- how providers stand (docs/behaviour/health.md) ---
/// Rows of latency evidence (channel and method); 1.7 KB each. Pairs beyond stay unmeasured until rows are forgotten.
pub const EVIDENCE_ROWS: usize = 16_384;
/// Latency samples that one row weighs at most: a busy row follows a change within some hundred calls.
pub const EVIDENCE_WEIGHT: f32 = 256.0;
/// Outcomes that one row's reliability weighs at most.
pub const RELIABILITY_WEIGHT: f32 = 512.0;
/// Without a hint a rate-limited provider rests this long, doubling up to the second.
pub const COOLDOWN_MS: u64 = 30_000;
pub const COOLDOWN_MAX_MS: u64 = 300_000;
/// A provider whose evidence for a method is older is measured again by one diverted call, at most this often.
pub const REMEASURE_MS: u64 = 5_000;
/// Older reports of a height decide nothing, and no more blocks than fit in it are credited to one.
pub const HEAD_FRESH_MS: u64 = 30_000;
/// A height this much above what the others and the past allow needs a witness; witnesses are this close.
pub const HEAD_SLACK_BLOCKS: u64 = 3;
/// A block whose time is further ahead of our clock is no proof of its height.
pub const BLOCK_AHEAD_S: u64 = 900;
/// Heads of a chain whose announcers a shard knows, and of each so many announcers.
pub const ANNOUNCED_HEADS: usize = 1_024;
pub const ANNOUNCERS: usize = 16;
/// Heights that a shard's clients were told of, and for how long a block that they were told of is promised to them.
pub const TOLD_HEIGHTS: usize = 128;
pub const PROMISE_MS: u64 = 30_000;
/// Before nobody's having a promised block is believed, everybody is asked again after so long, or after one block.
pub const ABSENT_PAUSE_MS: u64 = 1_000;
/// Whoever is asked whether it has what another one lacks answers within this time.
pub const ABSENT_ATTEMPT_MS: u64 = 1_500;
/// Time between blocks where it is neither measured nor configured.
pub const BLOCK_TIME_MS: u64 = 12_000;
/// Measured block times outside are discarded, and fewer of them are not used.
pub const BLOCK_TIME_MIN_MS: f64 = 50.0;
pub const BLOCK_TIME_MAX_MS: f64 = 60_000.0;
pub const BLOCK_TIME_SAMPLES: u32 = 5;
/// How often is looked whose probe is due, and how long its answer is awaited.
pub const PROBE_TICK_MS: u64 = 100;
pub const PROBE_TIMEOUT_MS: u64 = 5_000;
/// While no circuit of a chain is closed, and while a channel is suspected, it is asked this often.
pub const PROBE_URGENT_MS: u64 = 1_000;
/// Probes under way at once, over all chains.
pub const PROBES_UNDER_WAY: usize = 64;
/// What a channel is suspected of is forgotten after this long, unless a probe has decided it.
pub const SUSPICION_MS: u64 = 10_000;
/// An open circuit whose probes have been good for so long is tried whatever its timer says.
pub const PROBES_WELL_MS: u64 = 30_000;
/// The pause after a trial without a verdict and without a hint, doubling.
pub const TRIAL_PAUSE_MS: u64 = 2_000;
/// Calls of one shard and chain that wait for their turn while no circuit is closed; one more is refused.
pub const DARK_WAITERS: usize = 1_024;
/// How often the first of them looks whether it may go.
pub const DARK_LOOK_MS: u64 = 10;
/// A height that is far above all others' is held against them so often within seconds; then with each poll.
pub const HEAD_COMPARISONS: u32 = 3;
/// Polls of the height that may be left out in a row while it is announced.
pub const HEAD_POLLS_LEFT_OUT: u32 = 2;
/// Between two first probes, where that leaves time for all of them.
pub const PROBE_GAP_MS: u64 = 50;
/// A provider that refuses our credentials is asked again this often.
pub const PROBE_AUTH_MS: u64 = 120_000;
/// A half-open trial begins this soon after its permit was leased, or the permit comes back.
pub const TRIAL_START_MS: u64 = 1_000;
/// Its result is awaited this long: twice the longest total time of a call.
pub const TRIAL_RESULT_MS: u64 = 90_000;

// --- client limits (docs/behaviour/clients.md#client-limits) ---
pub const LIMIT_RPS: u32 = 100;
pub const LIMIT_BURST: u32 = 500;
/// Cells of the node-wide limiter table; 16 bytes each.
pub const LIMITER_CELLS: usize = 1 << 16;
pub const LIMITER_WAYS: usize = 8;

// --- configuration ---
pub const PROFILE_FILE_BYTES: u64 = 4 << 20;
pub const PROBLEMS_SHOWN: usize = 200;
/// Text read again to find the lines of one file's problems; a huge file shows fewer of them.
pub const PROBLEM_LINES_BYTES: usize = 64 << 20;
/// Values in one profile file, counting what aliases repeat.
pub const YAML_NODES: u32 = 1_000_000;
/// Profile files in the directory.
pub const PROFILES: usize = 1024;
pub const CHAINS_PER_PROFILE: usize = 1024;
/// Physical upstreams of all profiles.
pub const INSTANCES: usize = 16_384;
/// Names of profiles, chains, providers: they stand in URLs, logs and metrics.
pub const NAME_BYTES: usize = 128;
/// A provider's URL.
pub const URL_BYTES: usize = 4096;
/// Headers that a provider's configuration adds to each request, and all their bytes.
pub const PROVIDER_HEADERS: usize = 32;
pub const PROVIDER_HEADER_BYTES: usize = 8 * 1024;
/// Connections of one instance, at most.
pub const MAX_CONNECTIONS_MAX: u32 = 65_536;
/// Shorter strings are never treated as secrets: they would match by chance.
pub const SECRET_BYTES_MIN: usize = 6;
/// lasso_meta in a header above this is left out (docs/behaviour/shown.md#metadata).
pub const META_HEADER_BYTES: usize = 4096;
pub const REQUEST_ID_MIN: usize = 20;
pub const REQUEST_ID_MAX: usize = 200;
/// A browser may keep a preflight answer this long (docs/behaviour/http.md#cors).
pub const PREFLIGHT_MAX_AGE_S: u32 = 86_400;

// --- snapshot files (docs/behaviour/shown.md#snapshot-files) ---
pub const SNAPSHOT_EVERY_MS: u64 = 3_600_000;
pub const SNAPSHOT_CLEAN_MS: u64 = 6 * 3_600_000;
/// Older ones are deleted, and of one chain's the oldest beyond the number.
pub const SNAPSHOT_KEEP_S: u64 = 7 * 86_400;
pub const SNAPSHOT_FILES_PER_CHAIN: usize = 200;
/// What is older says nothing of today's providers; after a start it counts for so long.
pub const SNAPSHOT_FRESH_S: u64 = 86_400;
pub const SNAPSHOT_PRIOR_MS: u64 = 3_600_000;
pub const SNAPSHOT_FILE_BYTES: u64 = 64 << 20;
pub const SNAPSHOT_ROWS: usize = 65_536;
/// Bad files of one chain that are looked past.
pub const SNAPSHOT_TRIES: usize = 3;

// --- commands that ask a node ---
/// One question, from connecting to its last byte.
pub const ASK_TIMEOUT_MS: u64 = 5_000;
pub const ASK_BODY_BYTES: u64 = 64 << 20;
/// What `lasso top` remembers: events, and figures of past polls.
pub const TOP_EVENTS: usize = 500;
pub const TOP_HISTORY: usize = 400;
/// One line of the node's event stream.
pub const TOP_EVENT_BYTES: u64 = 1 << 20;

mod bench;
mod cluster;
mod records;
mod report;
mod subscriptions;
pub use bench::*;
pub use cluster::*;
pub use records::*;
pub use report::*;
pub use subscriptions::*;

// --- resolver ---
pub const DNS_TTL_MS: u64 = 30_000;
pub const DNS_NEGATIVE_TTL_MS: u64 = 5_000;
pub const DNS_ADDRESSES: usize = 16;

// --- simulated providers (demo) ---
/// Raw transactions the model chain remembers; the oldest are forgotten.
pub const MODEL_SENT_KEPT: usize = 16_384;
/// Of them in one block; more wait for the next.
pub const MODEL_SENT_PER_BLOCK: usize = 200;
/// Largest raw transaction taken, as in geth.
pub const MODEL_RAW_BYTES: usize = 128 * 1024;
/// Blocks one `eth_getLogs` may span, and logs it may return, on a simulated provider without limits of its own.
pub const MODEL_LOG_RANGE: u64 = 10_000;
pub const MODEL_LOG_RESULTS: usize = 20_000;
/// Filters a simulated provider keeps; the oldest are forgotten.
pub const MODEL_FILTERS: usize = 1_024;
/// Largest sized answer a call may ask of the model (`state::CALL_SIZED`).
pub const MODEL_SIZED_BYTES: usize = 8 << 20;
/// Connections one simulated provider serves at once.
pub const MODEL_CONNECTIONS: usize = 4_096;
/// Items in a batch to a simulated provider.
pub const MODEL_BATCH_ITEMS: usize = 1_000;
/// Subscriptions of one connection to a simulated provider.
pub const MODEL_FEEDS: usize = 1_024;
/// Of a longer jump of its head only so many blocks are told.
pub const MODEL_FEED_BLOCKS: u64 = 128;
/// How often it looks whether there is something to tell, with and without subscriptions.
pub const MODEL_FEED_LOOK_MS: u64 = 25;
pub const MODEL_FEED_IDLE_MS: u64 = 250;
/// Messages that wait for a peer which does not read, before it is cut off.
pub const MODEL_SOCKET_OUTBOX: usize = 20_000;

const _: () = assert!(HEAD_BYTES < REQUEST_BODY_BYTES && ID_BYTES < ANSWER_TAIL_BYTES && (REFUSALS as u64) < FILES_PER_SHARD);
const _: () = assert!(HOLD_BYTES <= BATCH_ANSWER_BYTES && BATCH_ANSWER_BYTES as u64 <= INFLIGHT_ANSWER_BYTES);
const _: () = assert!(REQUEST_BODY_BYTES as u64 <= INFLIGHT_BODY_BYTES && CHAINS_PER_PROFILE < INSTANCES);
const _: () = assert!(CLIENT_BUFFER_BYTES < HEAD_BYTES && COALESCE_BYTES <= CLIENT_BUFFER_BYTES);
const _: () = assert!(SLOTS_PER_CHAIN <= 128, "a set of channels is one u128");
const _: () = assert!(H2_STREAM_WINDOW_BYTES as usize >= HOLD_BYTES && H2_CONNECTION_WINDOW_BYTES < 1 << 31);
const _: () = assert!(LIMITER_CELLS.is_power_of_two() && LIMITER_CELLS.is_multiple_of(LIMITER_WAYS));
const _: () = assert!(TALLY_ROWS < u16::MAX as usize && LINK_PENDING <= 256, "a row is a u16, a pending call a byte of its id");
const _: () = assert!(LINK_MESSAGE_BYTES <= BATCH_ANSWER_BYTES && (LINK_MESSAGE_BYTES as u64) < LINK_SKIP_BYTES);
const _: () = assert!(BATCH_PARALLEL <= BATCH_ITEMS as usize && BATCH_ITEMS as usize <= BATCH_ITEMS_MAX);
const _: () = assert!(SOCKET_EVENT_BYTES_MAX < QUEUES_BYTES && SOCKET_WAITED_MS < PAUSES_MS && PAUSES_MS < SOCKET_STILL_MS);
const _: () = assert!(SOCKET_SUBSCRIPTIONS <= CLIENT_TOPICS && CLIENT_TOPICS < TOPICS && PROFILES < INSTANCES);
const _: () = assert!(2 * INSTANCES < u16::MAX as usize, "ids of instances and channels are u16");
