//! What grows with the size of a node and of a cluster, run alone, at any size, for `scripts/scale` to fit lines to.
//!
//!   scale epoch SHARDS PROFILES CHAINS PROVIDERS METHODS     the aggregator's step, busy and idle
//!   scale cluster NODES CHAINS                               one node's engine, with so many chains looked at
//!
//! Each prints one JSON object. Both need no threads and no sockets, so sixty-four shards and two hundred nodes can be had on
//! one core; costs are this thread's time by the scheduler's clock, whoever else wants the core.
//! How it fails: a size that the program's own bounds forbid is said and ends it with 2.

mod cluster;
mod epoch;
#[path = "../../region/mod.rs"]
mod region;

use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What this thread has computed so far. Its `schedstat` would be as old as the last tick.
fn thread_cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec to be written, and lives as long as the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every kernel has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<usize> = words.iter().skip(1).filter_map(|word| word.parse().ok()).collect();
    match (words.first().map(String::as_str), numbers.as_slice()) {
        (Some("epoch"), &[shards, profiles, chains, providers, methods]) => {
            epoch::measure(&epoch::Size { shards, profiles, chains, providers, methods });
        }
        (Some("cluster"), &[nodes, chains]) => cluster::measure(nodes, chains),
        _ => {
            eprintln!("scale: epoch SHARDS PROFILES CHAINS PROVIDERS METHODS, or cluster NODES CHAINS");
            std::process::exit(2);
        }
    }
}
