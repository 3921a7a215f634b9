//! From a number to a run, and from a failure back to one command.
//!
//! | variable | means |
//! |---|---|
//! | `SIM_SEED=123` | what `replay` runs, in full words |
//! | `SIM_SEEDS=N` | how many seeds a soak runs (each soak has its own default) |
//! | `SIM_FROM=N` | the first of them (default 0, so every run of the suite is the same) |
//! | `SIM_SECONDS=N` | run fresh seeds, chosen by the clock, until the time is over; overrides `SIM_SEEDS` |
//! | `SIM_THREADS=N` | threads to spread them over (default: one per core); a seed's history does not depend on it |
//! | `SIM_LOG=1` | tells the story as it goes: who connects, sends, receives |
//!
//! One seed in sixteen is run twice, and both runs must leave the same trace: a simulator that is not deterministic
//! finds bugs that nobody can look at.

use crate::world::Trace;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

/// A scenario: everything about the run follows from the seed.
pub type Scenario = fn(u64) -> Trace;

const TWICE_EVERY: u64 = 16;

/// Runs `default_count` seeds, or what the environment asks for; panics with the failures and how to replay them.
pub fn soak(name: &str, default_count: u64, scenario: Scenario) {
    let seconds = variable("SIM_SECONDS");
    let from = variable("SIM_FROM").unwrap_or_else(|| if seconds.is_some() { fresh() } else { 0 });
    let count = if seconds.is_some() { u64::MAX } else { variable("SIM_SEEDS").unwrap_or(default_count) };
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let (began, limit) = (Instant::now(), Duration::from_secs(seconds.unwrap_or(u64::MAX >> 1)));
    let (next, polls, virtual_ns) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let slowest = Mutex::new((Duration::ZERO, from));
    let (failed, failures) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..variable("SIM_THREADS").unwrap_or(cores).max(1) {
            scope.spawn(|| {
                while !failed.load(Relaxed) && began.elapsed() < limit {
                    let index = next.fetch_add(1, Relaxed);
                    if index >= count {
                        break;
                    }
                    let started = Instant::now();
                    let trace = match check(from.wrapping_add(index), scenario) {
                        Ok(trace) => trace,
                        Err(failure) => {
                            failed.store(true, Relaxed);
                            failures.lock().unwrap().push(failure);
                            break;
                        }
                    };
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = (*slowest).max((started.elapsed(), from.wrapping_add(index)));
                    drop(slowest);
                    polls.fetch_add(trace.polls, Relaxed);
                    virtual_ns.fetch_add(trace.now, Relaxed);
                }
            });
        }
    });
    let ran = next.into_inner().min(count);
    let (took, simulated) = (began.elapsed().as_secs_f64(), virtual_ns.into_inner() as f64 / 3.6e12);
    let rate = ran as f64 * 60.0 / took;
    let ((long, which), polls) = (slowest.into_inner().unwrap(), polls.into_inner());
    eprintln!("{name}: {ran} seeds from {from} in {took:.1} s ({rate:.0} a minute), {simulated:.1} virtual hours, {polls} polls");
    eprintln!("{name}: the slowest was seed {which} with {} ms", long.as_millis());
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Runs the seed of `SIM_SEED` and prints what became of it; without the variable there is nothing to replay.
pub fn replay(name: &str, scenario: Scenario) {
    let Some(seed) = variable("SIM_SEED") else { return };
    match check(seed, scenario) {
        Ok(trace) => eprintln!("{name}: seed {seed} holds: {trace:?}"),
        Err(failure) => panic!("{name}: {failure}"),
    }
}

/// One seed, twice when it is its turn; the failure begins with the seed.
pub fn check(seed: u64, scenario: Scenario) -> Result<Trace, String> {
    let trace = scenario(seed);
    let again =
        format!("seed {seed} failed; replay it with\n  SIM_SEED={seed} cargo test {}--test sim -- replay --nocapture", profile());
    if !trace.violations.is_empty() {
        let shown = trace.violations.iter().take(10).map(|v| format!("\n  - {v}")).collect::<String>();
        return Err(format!("{again}\n{} violation(s), ended {:?}:{shown}", trace.violations.len(), trace.ended));
    }
    if seed.is_multiple_of(TWICE_EVERY) {
        let second = scenario(seed);
        if second != trace {
            return Err(format!("{again}\ntwo runs differ:\n  {trace:?}\n  {second:?}"));
        }
    }
    Ok(trace)
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A first seed that no earlier soak began with.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    now << 20
}

/// The cargo profile that this binary was built with, as a flag: overflow checks differ, so a replay must use the same.
fn profile() -> String {
    let exe = std::env::current_exe().unwrap_or_default();
    let directory =
        exe.parent().and_then(|deps| deps.parent()).and_then(|d| d.file_name()).and_then(|n| n.to_str()).unwrap_or("debug");
    match directory {
        "debug" => String::new(),
        "release" => "--release ".into(),
        other => format!("--profile {other} "),
    }
}
