//! A provider that announces nothing: because its chain stands still, as a development node's does between transactions, or because its
//! subscription is dead. The one keeps its connection, with whatever else it carries; the other loses it
//! (docs/subscriptions.md#which-provider-leads).

use crate::feed::{Chain, Feed};
use crate::harness::{DRIVERS, Lasso};
use crate::multiplex::{Watcher, profile};
use serde_json::json;
use std::time::{Duration, Instant};

/// What follows from the block time: the least there is.
const SILENCE: Duration = Duration::from_secs(5);

fn start(feed: &Feed, driver: &str) -> Lasso {
    let (slug, text) = profile("default", &[feed], "    block_time_ms: 400\n");
    Lasso::start_many(&[(&slug, text)], &["--driver", driver])
}

#[test]
fn a_chain_that_stands_still_keeps_its_subscriptions() {
    for driver in DRIVERS {
        let chain = Chain::new();
        let feed = Feed::new(&chain);
        let mut lasso = start(&feed, driver);
        let mut heads = Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]));
        let mut pending = Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newPendingTransactions"]));
        chain.mine();
        heads.head();
        pending.event();
        let before = (feed.count("newheads"), feed.count("newpendingtransactions"));
        std::thread::sleep(3 * SILENCE);
        assert_eq!((feed.count("newheads"), feed.count("newpendingtransactions")), before, "{driver}: {:#?}", lasso.said());
        let next = chain.mine();
        assert_eq!(heads.head(), next, "{driver}");
        pending.event();
        lasso.assert_alive();
    }
}

#[test]
fn a_subscription_that_tells_nothing_while_its_chain_goes_on_is_made_anew() {
    for driver in DRIVERS {
        let chain = Chain::new();
        let feed = Feed::new(&chain);
        let mut lasso = start(&feed, driver);
        let mut heads = Watcher::new(lasso.address, "/ws/rpc/one", &json!(["newHeads"]));
        chain.mine();
        heads.head();
        let before = feed.count("newheads").total;
        feed.mute(true);
        let next = chain.mine();
        let began = Instant::now();
        assert_eq!(heads.head(), next, "{driver}");
        let took = began.elapsed();
        assert!(took < SILENCE + Duration::from_secs(3), "{driver}: told after {took:?}");
        feed.mute(false);
        std::thread::sleep(Duration::from_secs(2));
        assert!(feed.count("newheads").total > before, "{driver}: nothing was made anew; {:#?}", lasso.said());
        lasso.assert_alive();
    }
}
