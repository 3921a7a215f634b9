//! Bounds of records, of what is played from them, and of what is computed from them.

/// So many of a million calls where `--record-rate` says nothing: all of them on a small node's hour are a few MiB.
pub const RECORD_PER_MILLION: u64 = 1_000_000;
/// Sampled calls that wait for the file, and what their parameters may weigh together; more are counted as lost.
pub const RECORD_QUEUED: usize = 8_192;
pub const RECORD_QUEUED_BYTES: u64 = 16 << 20;
/// Taken from the queue at once.
pub const RECORD_BATCH: usize = 512;
/// A record's file, in MiB, unless `--record-mib` says otherwise, and at most.
pub const RECORD_MIB: u64 = 256;
pub const RECORD_MIB_MAX: u64 = 1 << 20;
/// Longer parameters are left out of a record.
pub const RECORD_PARAMS_BYTES: usize = 64 << 10;
/// Attempts of one call that are written down.
pub const RECORD_ATTEMPTS: usize = 8;
/// Samples still waiting when the process ends are written within this time.
pub const RECORD_FLUSH_MS: u64 = 2_000;
/// A line of a record: a header names every provider of every profile.
pub const RECORD_LINE_BYTES: usize = 8 << 20;
/// Calls of a record that are read; what follows is left out, and told.
pub const RECORD_CALLS: usize = 4_000_000;
/// Lines that cannot be read and are told one by one.
pub const RECORD_PROBLEMS: usize = 20;
/// Different names of methods in one record.
pub const RECORD_METHODS: usize = 4_096;

/// Calls of a replay that are under way at once; beyond it the player, not the node, would be measured.
pub const REPLAY_UNDER_WAY: usize = 4_096;
/// Connections from a replay to its node.
pub const REPLAY_CONNECTIONS: u32 = 4_096;
/// A replayed call that has no answer by then has failed.
pub const REPLAY_TIMEOUT_MS: u64 = 130_000;
/// A replay may be so much faster than its record.
pub const REPLAY_SPEED_MAX: f64 = 10_000.0;
/// Calls that a replay sends without asking whether it may.
pub const REPLAY_UNASKED_CALLS: usize = 1_000;
/// Call data of a made-up call, at most.
pub const REPLAY_DATA_BYTES: usize = 32 << 10;
/// Calls that a rehearsal plays for a record of a share, at most, copies included.
pub const REHEARSAL_CALLS: u64 = 2_000_000;
/// How long the record's last call is followed, in virtual time.
pub const REHEARSAL_TAIL_MS: u64 = 1_000;

const _: () = assert!(RECORD_PARAMS_BYTES < RECORD_LINE_BYTES && (RECORD_PARAMS_BYTES as u64) < RECORD_QUEUED_BYTES);
