//! Clients that call one after the other, each on its own connection, and keep the time that every call took.

use crate::http::{Client, READ};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Tests that judge times hold this, so that they do not judge each other's load.
pub fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // Whoever panicked with it has reported that.
    TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub ended: Instant,
    pub took: Duration,
}

struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Vec<Sample>>>,
}

impl Load {
    /// `clients` of them ask `path` for a balance until they are stopped; after an error they pause, so that refusals,
    /// which cost nothing, do not take the machine.
    pub fn start(at: SocketAddr, path: &'static str, clients: usize) -> Load {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            done: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            first_failure: Mutex::default(),
        });
        let spawn = |_| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.run(at, path))
        };
        Load { clients: (0..clients).map(spawn).collect(), shared }
    }

    /// Calls answered, well or not.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::SeqCst)
    }

    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// The text of the first answer without a result.
    pub fn first_failure(&self) -> Option<String> {
        self.shared.first_failure.lock().expect("no panic").clone()
    }

    /// Ends it; what each successful call took, by their ends.
    pub fn stop(self) -> Vec<Sample> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut all: Vec<Sample> = self.clients.into_iter().flat_map(|c| c.join().expect("no panic")).collect();
        all.sort_by_key(|sample| sample.ended);
        all
    }
}

impl Shared {
    fn run(&self, at: SocketAddr, path: &str) -> Vec<Sample> {
        let (mut client, mut samples) = (Client::new(at), Vec::new());
        while !self.stop.load(Ordering::SeqCst) {
            let began = Instant::now();
            let got = client.post(path, READ);
            let ended = Instant::now();
            if got.status == 200 && got.is_whole && got.text().contains("\"result\":\"0x600d\"") {
                samples.push(Sample { ended, took: ended - began });
            } else {
                self.failed.fetch_add(1, Ordering::SeqCst);
                self.first_failure.lock().expect("no panic").get_or_insert_with(|| got.text());
                std::thread::sleep(Duration::from_millis(5));
            }
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        samples
    }
}

/// The middle one of the p99s of windows of this length between two moments: one hiccup of the machine spoils one window.
pub fn usual_p99(samples: &[Sample], from: Instant, to: Instant, window: Duration) -> Duration {
    let mut p99s = Vec::new();
    let mut start = from;
    while start + window <= to {
        let inside = samples.iter().filter(|s| (start..start + window).contains(&s.ended));
        let mut took: Vec<Duration> = inside.map(|s| s.took).collect();
        took.sort_unstable();
        // Nothing came to an end: everything took longer than the window.
        p99s.push(took.get(took.len() * 99 / 100).copied().unwrap_or(window));
        start += window;
    }
    p99s.sort_unstable();
    p99s[p99s.len() / 2]
}
