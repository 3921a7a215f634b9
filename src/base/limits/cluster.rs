//! Bounds of the cluster: what a node keeps of others, sends them unasked, and waits for.

/// What one datagram may be: below every tunnel's MTU, so that none is fragmented.
pub const CLUSTER_DATAGRAM_BYTES: usize = 1_200;
/// What the kernel may keep of them for us. An answer of figures is up to 256 at once, and the kernel counts 2,304 bytes for one of full length:
/// its usual 208 KiB hold 92.
pub const CLUSTER_SOCKET_BYTES: usize = 1 << 20;
/// Shorter secrets can be guessed from one recorded datagram.
pub const CLUSTER_SECRET_BYTES_MIN: usize = 16;
pub const CLUSTER_PORT: u16 = 7946;
/// Sessions with whom datagrams are exchanged. Nobody gets in without the secret, so this bounds a mistake, not an attack.
pub const CLUSTER_SESSIONS: usize = 1_024;
/// A session that was silent for this long must answer a challenge again.
pub const CLUSTER_SESSION_SILENT_MS: u64 = 600_000;
/// Challenges that wait for their answer; the time for one; how many are sent in a second; and at most one to a session in this.
pub const CLUSTER_CHALLENGES: usize = 1_024;
pub const CLUSTER_CHALLENGE_MS: u64 = 10_000;
pub const CLUSTER_CHALLENGES_PER_SECOND: u32 = 256;
pub const CLUSTER_CHALLENGE_GAP_MS: u64 = 300;
/// Addresses at which one session has answered a challenge (a node with IPv4 and IPv6 has two).
pub const CLUSTER_SESSION_ADDRESSES: usize = 4;
/// Members that the membership protocol knows, those that are down included.
pub const CLUSTER_MEMBERS: usize = 1_024;
/// A member that is down is told of for so long.
pub const CLUSTER_DOWN_KEPT_MS: u64 = 3_600_000;
/// The membership protocol's rhythm: one member is probed in each period, directly, and through others after the round trip; who
/// is suspected has so long to object.
pub const CLUSTER_PROBE_MS: u64 = 2_000;
pub const CLUSTER_PROBE_RTT_MS: u64 = 900;
pub const CLUSTER_SUSPECT_MS: u64 = 10_000;
/// How often names are resolved, and how many addresses are taken from them.
pub const CLUSTER_DISCOVERY_MS: u64 = 5_000;
pub const CLUSTER_ADDRESSES: usize = 1_024;
/// An address that never answers is greeted each time names are resolved so often, and then after this.
pub const CLUSTER_EAGER_GREETINGS: u32 = 12;
pub const CLUSTER_LAZY_GREETING_MS: u64 = 30_000;
/// An address that was found to be our own is not asked again for so long.
pub const CLUSTER_OWN_ADDRESS_MS: u64 = 60_000;
/// Health checks: how often, how long an answer may take, how many must fail.
pub const CLUSTER_CHECK_MS: u64 = 15_000;
pub const CLUSTER_CHECK_TIMEOUT_MS: u64 = 5_000;
pub const CLUSTER_CHECK_FAILURES: u32 = 3;
/// Until a node has said who it is, it is asked this often.
pub const CLUSTER_INTRODUCTION_MS: u64 = 2_000;
/// Whom the members doubt is asked this often, and is as they say when it gives no answer for so long.
pub const CLUSTER_DOUBT_MS: u64 = 1_000;
pub const CLUSTER_FRESH_MS: u64 = 5_000;
/// A session that was silent for this long is greeted at its address again.
pub const CLUSTER_QUIET_MS: u64 = 30_000;
/// Who was silent for this long is gone, whatever others say.
pub const CLUSTER_SILENT_MS: u64 = 300_000;
/// A node that is gone is shown for so long.
pub const CLUSTER_FORGET_MS: u64 = 24 * 3_600_000;
/// Nodes that are shown.
pub const CLUSTER_NODES: usize = 1_024;
/// Datagrams with a wrong secret are told of once in this.
pub const CLUSTER_COMPLAINT_MS: u64 = 60_000;
pub const CLUSTER_TICK_MS: u64 = 100;
/// What is shown is renewed at least this often.
pub const CLUSTER_VIEW_MS: u64 = 1_000;
/// Datagrams taken in a row before the thread's other tasks have their turn.
pub const CLUSTER_RECEIVED_AT_ONCE: u32 = 64;
/// How long a name server may take to tell of services, how often that is looked at, and how many of their hosts are looked up one by one.
pub const CLUSTER_LOOKUP_MS: u64 = 2_000;
pub const CLUSTER_LOOKUP_POLL_MS: u64 = 20;
pub const CLUSTER_SERVICE_HOSTS: usize = 64;
/// After an error of the socket.
pub const CLUSTER_SOCKET_RETRY_MS: u64 = 1_000;

// --- figures of other nodes ---
/// After a question about other nodes their figures are fetched for so long, each node's anew after `CLUSTER_DIGEST_MS`.
pub const CLUSTER_DIGEST_WANTED_MS: u64 = 60_000;
pub const CLUSTER_DIGEST_MS: u64 = 5_000;
/// A node's figures that are older are told to be stale; those that are much older are left out, and forgotten.
pub const CLUSTER_DIGEST_STALE_MS: u64 = 15_000;
pub const CLUSTER_DIGEST_KEPT_MS: u64 = 300_000;
/// Digests that a node keeps of itself, to tell differences to them.
pub const CLUSTER_DIGESTS_KEPT: usize = 8;
/// Differences that are ready to be sent, one for each chain and digest that somebody has.
pub const CLUSTER_DIGEST_ANSWERS: usize = 64;
/// What an answer may be: datagrams. Rows of one node's chain, and of all of them.
pub const CLUSTER_DIGEST_PARTS: usize = 1_024;
pub const CLUSTER_DIGEST_ROWS: usize = 2_048;
pub const CLUSTER_DIGEST_ROWS_IN_ALL: usize = 262_144;
/// Any one count of a digest, so that no sum over all rows of all nodes overflows; and any one time or height.
pub const CLUSTER_DIGEST_COUNT: u64 = 1 << 40;
pub const CLUSTER_DIGEST_NUMBER: u64 = 1 << 56;
/// Datagrams of one answer that are asked for at once, and answers that come at once.
pub const CLUSTER_DIGEST_WINDOW: u32 = 16;
pub const CLUSTER_DIGEST_PULLS: usize = 16;
/// Who has no digest yet makes one: it is asked again after this.
pub const CLUSTER_DIGEST_SOON_MS: u64 = 400;
/// Profiles' chains that are looked at at once.
pub const CLUSTER_DIGEST_TOPICS: usize = 256;
/// A window that brings nothing more for so long is asked for again, so often.
pub const CLUSTER_DIGEST_QUIET_MS: u64 = 600;
pub const CLUSTER_DIGEST_ATTEMPTS: u32 = 5;
/// How long an answer may take in all.
pub const CLUSTER_DIGEST_PULL_MS: u64 = 60_000;
/// Digests' bytes in a second, fetched and served each; beyond it figures become older.
pub const CLUSTER_DIGEST_BYTES_PER_SECOND: u64 = 512 * 1024;
/// How long a question waits for nodes whose figures are not here yet.
pub const CLUSTER_DIGEST_PATIENCE_MS: u64 = 2_000;
/// Questions about other nodes that wait at once.
pub const CLUSTER_QUESTIONS: usize = 32;

const _: () = assert!(CLUSTER_DIGEST_MS * 2 < CLUSTER_DIGEST_STALE_MS && CLUSTER_DIGEST_STALE_MS < CLUSTER_DIGEST_KEPT_MS);
const _: () = assert!((CLUSTER_DIGEST_ROWS_IN_ALL as u64) <= u64::MAX / CLUSTER_DIGEST_COUNT / 32, "and thirty categories");
const _: () = assert!(CLUSTER_DIGEST_PARTS <= u16::MAX as usize && CLUSTER_DIGEST_WINDOW <= 64);
const _: () = assert!(CLUSTER_PROBE_RTT_MS * 2 < CLUSTER_PROBE_MS);
const _: () = assert!(CLUSTER_CHECK_TIMEOUT_MS < CLUSTER_CHECK_MS);
/// What happens on other nodes, while somebody listens: each node is asked so often, and one that falls silent again after so long; so many
/// at once, for so many datagrams each.
pub const CLUSTER_NEWS_MS: u64 = 1_000;
pub const CLUSTER_NEWS_QUIET_MS: u64 = 1_000;
pub const CLUSTER_NEWS_ASKS: usize = 32;
pub const CLUSTER_NEWS_WINDOW: usize = 16;
/// What a node keeps for others: events, their bytes, and those of one. A new listener hears the newest few of each node.
pub const CLUSTER_NEWS_EVENTS: usize = 512;
pub const CLUSTER_NEWS_BYTES: usize = 512 * 1024;
pub const CLUSTER_NEWS_EVENT_BYTES: usize = 32 * 1024;
pub const CLUSTER_NEWS_RECENT: u64 = 32;
const _: () = assert!(CLUSTER_NEWS_WINDOW <= u8::MAX as usize && CLUSTER_NEWS_EVENT_BYTES < CLUSTER_NEWS_BYTES);
/// Advice: words of one node, of all, and operators' orders that are kept.
pub const CLUSTER_WORDS_OF_ONE: usize = 256;
pub const CLUSTER_WORDS: usize = 16_384;
pub const CLUSTER_ORDERS: usize = 64;
/// What is true is told again so often, what is new at most so often, and a word that was not repeated is forgotten after this.
pub const CLUSTER_ADVICE_REPEAT_MS: u64 = 15_000;
pub const CLUSTER_ADVICE_GAP_MS: u64 = 1_000;
pub const CLUSTER_ADVICE_KEPT_MS: u64 = 60_000;
/// Orders given here that wait to be told.
pub const CLUSTER_UNTOLD_ORDERS: usize = 16;
