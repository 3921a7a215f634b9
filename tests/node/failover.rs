//! A provider dies: its subscribers hear the next one within a second and a block, and no block is missing
//! (docs/subscriptions.md#what-is-promised).

use crate::feed::{ADDRESS, Chain, Feed};
use crate::harness::{DRIVERS, Lasso};
use crate::load::alone;
use crate::multiplex::{Watcher, number, profile};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const BLOCK: Duration = Duration::from_millis(400);
const BOUND: Duration = Duration::from_millis(1_000 + 400);

/// The blocks that one client heard of, and when.
type Heard = Arc<Mutex<Vec<(Instant, u64)>>>;

/// Hears until the connection ends; that blocks follow each other is seen at the end.
fn follow(mut client: Watcher, place: &'static str) -> Heard {
    let heard = Heard::default();
    let told = heard.clone();
    std::thread::spawn(move || {
        while let Ok(event) = client.next() {
            let at = Instant::now();
            told.lock().expect("no panic").push((at, number(&event["params"]["result"][place])));
        }
    });
    heard
}

/// Adds a block every block time until it is stopped.
fn mine(chain: &Chain, stop: &Arc<AtomicBool>) {
    let (chain, stop) = (chain.clone(), stop.clone());
    std::thread::spawn(move || {
        while !stop.load(Ordering::SeqCst) {
            chain.mine();
            std::thread::sleep(BLOCK);
        }
    });
}

#[test]
fn after_a_killed_provider_the_next_is_heard_within_a_second_and_a_block() {
    let _alone = alone();
    for driver in DRIVERS {
        let chain = Chain::new();
        let feeds = [Feed::new(&chain), Feed::new(&chain)];
        let more = format!("    block_time_ms: {}\n", BLOCK.as_millis());
        let (slug, text) = profile("default", &[&feeds[0], &feeds[1]], &more);
        let mut lasso = Lasso::start_many(&[(&slug, text)], &["--driver", driver]);
        // Both providers are known before anything happens.
        std::thread::sleep(Duration::from_secs(2));
        let watch = |params: Value, place| follow(Watcher::new(lasso.address, "/ws/rpc/one", &params), place);
        let mut clients: Vec<Heard> = (0..6).map(|_| watch(json!(["newHeads"]), "number")).collect();
        clients.extend((0..3).map(|_| watch(json!(["logs", {"address": ADDRESS}]), "blockNumber")));
        let stop = Arc::new(AtomicBool::new(false));
        mine(&chain, &stop);
        std::thread::sleep(5 * BLOCK);
        let mut worst = Duration::ZERO;
        // Whichever leads, two of the three are the leader.
        for place in [0, 1, 0] {
            let height = chain.height();
            feeds[place].kill();
            let killed = Instant::now();
            // One that the dead one never told.
            chain.mine();
            std::thread::sleep(6 * BLOCK);
            for heard in &clients {
                let heard = heard.lock().expect("no panic").clone();
                let next = heard.iter().find(|(_, number)| *number > height);
                let took = next.map(|(at, _)| at.saturating_duration_since(killed));
                assert!(took.is_some_and(|took| took <= BOUND), "{driver}: {took:?} after a kill; {}", lasso.said().join("\n"));
                worst = worst.max(took.unwrap_or_default());
            }
            feeds[place].revive();
            // Until it is trusted again.
            std::thread::sleep(Duration::from_secs(8));
        }
        stop.store(true, Ordering::SeqCst);
        std::thread::sleep(3 * BLOCK);
        let height = chain.height();
        for heard in &clients {
            let heard = heard.lock().expect("no panic");
            let numbers: Vec<u64> = heard.iter().map(|(_, number)| *number).collect();
            let wanted: Vec<u64> = (numbers[0]..=height).collect();
            assert_eq!(numbers, wanted, "{driver}: every block once, in order");
        }
        eprintln!("{driver}: {worst:?} from a kill to the next block, at worst");
        lasso.assert_alive();
    }
}
