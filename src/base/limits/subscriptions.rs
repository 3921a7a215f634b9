//! Bounds of subscriptions: what is kept of a chain, what is asked for, and what may wait for those who read.

use super::{COALESCE_BYTES, UPSTREAM_BUFFER_BYTES};

/// Addresses of one log filter, positions of its topics, and choices at one position: geth's own bounds.
pub const FILTER_ADDRESSES: usize = 1_000;
pub const FILTER_TOPICS: usize = 4;
pub const FILTER_CHOICES: usize = 1_000;
/// A head as clients get it, without its transactions; extra data of some chains carries the seals of hundreds of validators.
pub const HEAD_EVENT_BYTES: usize = 256 * 1024;
/// Blocks behind the newest that a stream remembers: a deeper reorg ends it.
pub const STREAM_CHAIN_BLOCKS: usize = 256;
/// Heads announced or fetched that wait for a missing one, per stream.
pub const STREAM_HELD_HEADS: usize = 2_048;
pub const STREAM_HELD_BYTES: usize = 32 << 20;
/// Logs that all streams together keep to take them back in a reorg: one copy of a log, whatever the number of filters.
pub const STREAM_LOG_BYTES: usize = 64 << 20;
/// Addresses, and choices of one topic, of a question for several filters; beyond them all logs are asked for.
pub const UNION_ADDRESSES: usize = 100;
pub const UNION_TOPICS: usize = 100;
/// While so much is not told yet, no block is asked for but the next.
pub const LOGS_AHEAD_BYTES: usize = 16 << 20;
/// An answer that its bloom contradicts is doubted for so long, also when it was confirmed.
pub const LOGS_DOUBT_MS: u64 = 5_000;
/// One provider's second answer confirms its first after so long.
pub const LOGS_AGAIN_MS: u64 = 1_000;
/// What is not configured of heads: the silence that ends a subscription, in block times and bounds, and missing blocks.
pub const SILENT_BLOCKS: u64 = 3;
pub const HEADS_TIMEOUT_MIN_MS: u64 = 5_000;
pub const HEADS_TIMEOUT_MAX_MS: u64 = 60_000;
pub const HEADS_TIMEOUT_MS: u64 = 35_000;
pub const BACKFILL_MIN_BLOCKS: u64 = 100;
/// A leader whose newest block is lower than everything told is asked for it again after this.
pub const LOWER_HEAD_LOOK_MS: u64 = 1_000;
/// A block below which nothing was told waits so long for what other providers have in its place; each of some others is given
/// a part of that, some times while they disagree.
pub const BELIEF_MS: u64 = 2_000;
pub const OPINION_MS: u64 = 600;
pub const OPINIONS_ASKED: usize = 8;
pub const OPINION_ROUNDS: u32 = 3;
/// After so many blocks that nobody else announced, and not more often, one that stands so far below the newest is compared with
/// what others have. So many heads of other feeds are remembered for it.
pub const FORK_LOOK_BLOCKS: u64 = 4;
pub const FORK_LOOK_MS: u64 = 5_000;
pub const FORK_LOOK_DEPTH: usize = 2;
pub const OTHERS_HEADS: usize = 64;
/// One that was found on a fork of its own does not lead again for so long, while another can.
pub const FORK_SHUN_MS: u64 = 600_000;
/// Pending transactions that a stream remembers to have told; a mempool's order of size.
pub const STREAM_SEEN_TRANSACTIONS: usize = 16_384;
/// A provider that turned a fetch away without a hint is not asked for one this long.
pub const FILL_REST_MS: u64 = 1_000;
/// Groups of a route that resume from a block each: at work, and 32 times as many waiting; and subscriptions that have resumed.
pub const RESUMPTIONS: usize = 8;
pub const RESUMED: usize = 65_536;
/// What a stream asks for at once, and the pause before it asks again.
pub const FILL_PARALLEL: usize = 4;
pub const FILL_RETRY_MS: u64 = 250;
/// A fetch that was not answered for so long is asked of a second provider too; one that failed goes behind the others for this time.
pub const FILL_HEDGE_MS: u64 = 1_000;
pub const FILL_DOUBT_MS: u64 = 30_000;
/// Letters of one shard that wait in its mailbox, and behind it; then its subscriptions are cut.
pub const LETTERS: usize = 4_096;
pub const LETTERS_HELD: usize = 65_536;
/// Wishes that wait for the control thread; one more is refused.
pub const WISHES: usize = 16_384;
/// Subscriptions of one client connection.
pub const SOCKET_SUBSCRIPTIONS: usize = 128;
/// Events and bytes that may wait for one client: beyond them it is slow if it has taken nothing for so long.
pub const SOCKET_EVENTS: usize = 10_000;
pub const SOCKET_EVENT_BYTES: usize = 4 << 20;
pub const SOCKET_STILL_MS: u64 = 10_000;
/// Whoever is beyond them and took something that lately is waited for as long, all of a shard for the second; then come bounds.
pub const SOCKET_WAITED_MS: u64 = 3_000;
pub const PAUSES_MS: u64 = 6_000;
pub const SOCKET_EVENTS_MAX: usize = 8 * SOCKET_EVENTS;
pub const SOCKET_EVENT_BYTES_MAX: usize = 8 * SOCKET_EVENT_BYTES;
/// What all queues of a shard's clients hold of events: a payload once, and each place in a queue.
pub const QUEUES_BYTES: usize = 64 << 20;
/// Places of a queue that are kept when it is empty.
pub const SOCKET_QUEUE_KEPT: usize = 64;
/// Events put into queues before those who write them have their turn.
pub const FAN_OUT_SLICE: usize = 256;
/// One write to a client for whom more waits than a short one takes.
pub const BURST_WRITE_BYTES: usize = UPSTREAM_BUFFER_BYTES - COALESCE_BYTES;
/// A subscription is answered within this time.
pub const SUBSCRIBE_MS: u64 = 10_000;
/// Before a connection is closed with its stream: for its calls in flight.
pub const SOCKET_LEAVE_MS: u64 = 1_000;
/// An upstream subscription outlives its last client by this (docs/behaviour/clients.md#provider-sockets).
pub const TOPIC_LINGER_MS: u64 = 60_000;
/// A provider that failed a stream is not asked again by it for this long, doubling up to the second while another leads.
pub const SHUN_MS: u64 = 1_000;
pub const SHUN_MAX_MS: u64 = 30_000;
/// The best provider is asked alone for so long when a stream begins; whoever waits has waited a fifth of its time then.
pub const SUBSCRIBE_SHARE_MS: u64 = 2_000;
/// Events that may come before their subscription's confirmation, for each connection.
pub const FEED_EARLY_EVENTS: usize = 256;
/// Subscriptions of a connection that a provider is told nobody asked for.
pub const FEED_DECLINED: usize = 16;
/// A provider that has not answered an `eth_subscribe` by then never will: another connection is tried.
pub const SUBSCRIBE_NEVER_MS: u64 = 20_000;
/// Of a provider's id of a subscription.
pub const SUBSCRIPTION_ID_BYTES: usize = 128;
pub const UNSUBSCRIBE_MS: u64 = 5_000;
/// An `eth_unsubscribe` that failed so often ends its connection.
pub const UNSUBSCRIBE_TRIES: usize = 2;
/// Blocks whose first announcement is remembered, to time the others by.
pub const PACE_BLOCKS: usize = 128;
/// Topics of all shards at once, idle ones among them, and those of one client address. Heads always have room.
pub const TOPICS: usize = 16_384;
pub const TOPICS_IDLE: usize = 256;
pub const CLIENT_TOPICS: usize = 1_024;
/// Locks over which clients' topics are spread.
pub const TOPIC_LOCKS: usize = 64;
/// One fetch of a missing block or its logs.
pub const FILL_TIMEOUT_MS: u64 = 5_000;
/// Polling for heads: as often as a part of the block time, within bounds; and how many failures in a row end it.
pub const POLLS_PER_BLOCK: u64 = 4;
pub const POLL_MIN_MS: u64 = 250;
pub const POLL_MAX_MS: u64 = 3_000;
pub const POLL_FAILURES: u32 = 3;
/// The most that passes between two polls while they fail, and the least after a limit.
pub const POLL_AGAIN_MS: u64 = 1_000;
/// One poll, over one transport: who is slower than this has nothing new to tell on most chains.
pub const POLL_TIMEOUT_MS: u64 = 3_000;
/// So long before a silent subscription is given up, at most, it is asked whether its chain stands still.
pub const SILENCE_DOUBT_MS: u64 = 2_000;
/// A chain whose block time is not configured is polled as if it were this.
pub const POLLED_BLOCK_MS: u64 = 2_000;
/// A block that nobody has after so many answers is given up, if the provider has announced a newer one.
pub const FILL_TRIES: u32 = 5;
