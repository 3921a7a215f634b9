//! What subscriptions are told, against a view that grows, turns and goes back.

use super::*;
use crate::base::time::{Duration, Instant};
use crate::demo::chain_model::ChainModel;
use crate::demo::identity::keccak;
use crate::demo::rpc::Network;
use serde_json::{Value, json};

const START: u64 = 1_000_000;

/// 1 leaves the trunk at START + 3, 2 leaves 1 at START + 4.
fn network() -> Network {
    let mut chain = ChainModel::new(7, 1, Duration::from_secs(1));
    let one = chain.forks.fork(0, START + 3);
    chain.forks.fork(one, START + 4);
    chain.forks.turn(Instant(1), one);
    Network::new(chain)
}

fn subject(params: Value) -> Result<Subject, i64> {
    let list = params.as_array().cloned().unwrap_or_default();
    Subject::parse(Params(&list)).map_err(|error| error.code)
}

fn tip<'a>(network: &'a Network, branch: u32, above: u64) -> View<'a> {
    View { branch, ..View::honest(network, START + above) }
}

fn feeds(subjects: &[Value], view: &View<'_>) -> Feeds {
    let feeds = Feeds::default();
    for (place, params) in subjects.iter().enumerate() {
        feeds.add(place.to_string(), subject(params.clone()).expect("a subject"), 1).expect("room");
    }
    feeds.open(1, view);
    feeds
}

/// Each event as its subscription's id and what it says.
fn told(feeds: &Feeds, view: &View<'_>) -> Vec<(String, Value)> {
    let value = |event: Event| (event.id, serde_json::from_slice(&event.result).expect("JSON"));
    feeds.advance(view).into_iter().map(value).collect()
}

#[test]
fn subjects_and_their_keys() {
    let key = |params: Value| subject(params).map(|subject| subject.key());
    let (a, b) = ("0x00000000000000000000000000000000000000aa", "0x00000000000000000000000000000000000000BB");
    assert_eq!(key(json!(["logs", {"address": [a, b]}])), key(json!(["logs", {"address": [b, a, b]}])));
    assert_eq!(key(json!(["logs", {"address": a}])), key(json!(["logs", {"address": [a]}])));
    assert_eq!(key(json!(["logs"])), key(json!(["logs", null])));
    assert_ne!(key(json!(["logs"])), key(json!(["logs", {"address": a}])));
    assert_ne!(key(json!(["newPendingTransactions"])), key(json!(["newPendingTransactions", true])));
    for (params, code) in [(json!(["newBlocks"]), -32601), (json!([]), -32602), (json!(["logs", 5]), -32602)] {
        assert_eq!(subject(params), Err(code));
    }
}

#[test]
fn each_block_is_told_once_its_logs_after_its_head() {
    let network = network();
    let feeds = feeds(&[json!(["newHeads"]), json!(["logs"])], &tip(&network, 0, 0));
    assert!(told(&feeds, &tip(&network, 0, 0)).is_empty());
    let events = told(&feeds, &tip(&network, 0, 2));
    let mut want = Vec::new();
    for height in [START + 1, START + 2] {
        let block = network.block(0, height);
        want.push(("0".to_owned(), height, None));
        want.extend((0..block.logs().count()).map(|place| ("1".to_owned(), height, Some(format!("{place:#x}")))));
    }
    let shown = |(id, event): &(String, Value)| {
        let number = event["number"].as_str().or(event["blockNumber"].as_str()).expect("a number");
        let height = u64::from_str_radix(&number[2..], 16).expect("hex");
        (id.clone(), height, event["logIndex"].as_str().map(str::to_owned))
    };
    assert_eq!(events.iter().map(shown).collect::<Vec<_>>(), want);
    assert!(told(&feeds, &tip(&network, 0, 2)).is_empty() && told(&feeds, &tip(&network, 0, 1)).is_empty());
}

#[test]
fn a_reorg_takes_logs_back_newest_first_then_tells_the_new_branch() {
    let network = network();
    let feeds = feeds(&[json!(["newHeads"]), json!(["logs"])], &tip(&network, 0, 2));
    let mut logs: Vec<Value> = Vec::new();
    let mut chain = vec![START + 2];
    // There, over to another branch and deeper, and back.
    for (branch, above) in [(0, 5), (1, 5), (2, 6), (0, 6), (0, 7)] {
        let view = tip(&network, branch, above);
        for (id, mut event) in told(&feeds, &view) {
            if id == "0" {
                let number = u64::from_str_radix(&event["number"].as_str().expect("a number")[2..], 16).expect("hex");
                chain.retain(|height| *height < number);
                assert_eq!(chain.last().map(|below| below + 1), Some(number), "parents before children");
                chain.push(number);
            } else if event["removed"] == true {
                event["removed"] = json!(false);
                assert_eq!(logs.pop(), Some(event), "newest first");
            } else {
                logs.push(event);
            }
        }
        let mut want = Vec::new();
        for height in START + 3..=view.head {
            let block = network.block(branch, height);
            for (transaction, log) in block.logs() {
                let mut out = Vec::new();
                render::log(&mut out, &block, transaction, log, false);
                want.push(serde_json::from_slice::<Value>(&out).expect("JSON"));
            }
        }
        assert_eq!((logs.clone(), chain.last()), (want, Some(&view.head)), "branch {branch}");
    }
}

#[test]
fn filters_select_by_condition_and_range() {
    let network = network();
    let all: Vec<Value> = {
        let feeds = feeds(&[json!(["logs"])], &tip(&network, 0, 0));
        told(&feeds, &tip(&network, 0, 2)).into_iter().map(|(_, log)| log).collect()
    };
    let check = |filter: Value, keep: &dyn Fn(&Value) -> bool| {
        let feeds = feeds(&[json!(["logs", filter])], &tip(&network, 0, 0));
        let got: Vec<Value> = told(&feeds, &tip(&network, 0, 2)).into_iter().map(|(_, log)| log).collect();
        assert_eq!(got, all.iter().filter(|log| keep(log)).cloned().collect::<Vec<_>>(), "{filter}");
    };
    let (address, topic) = (all[0]["address"].clone(), all[0]["topics"][0].clone());
    check(json!({ "address": address }), &|log| log["address"] == address);
    check(json!({"topics": [topic]}), &|log| log["topics"][0] == topic);
    let second = format!("{:#x}", START + 2);
    check(json!({"fromBlock": second, "toBlock": "latest"}), &|log| log["blockNumber"] == second.as_str());
    check(json!({"toBlock": format!("{:#x}", START)}), &|_| false);
}

#[test]
fn it_begins_with_its_confirmation() {
    let network = network();
    let feeds = feeds(&[json!(["newHeads"])], &tip(&network, 0, 0));
    feeds.add("late".into(), Subject::Heads, 2).expect("room");
    assert_eq!(told(&feeds, &tip(&network, 0, 1)).len(), 1);
    feeds.open(2, &tip(&network, 0, 1));
    assert_eq!(told(&feeds, &tip(&network, 0, 2)).len(), 2);
    assert_eq!((feeds.remove("late"), feeds.remove("late")), (Some(Subject::Heads), None));
    assert_eq!((told(&feeds, &tip(&network, 0, 3)).len(), feeds.take_all().len(), feeds.is_empty()), (1, 1, true));
    for place in 0..MODEL_FEEDS {
        feeds.add(place.to_string(), Subject::Syncing, 3).expect("room");
    }
    assert!(feeds.add("more".into(), Subject::Syncing, 3).is_err());
}

#[test]
fn pending_transactions_and_syncing() {
    let network = network();
    let subjects = [json!(["newPendingTransactions"]), json!(["newPendingTransactions", true]), json!(["syncing"])];
    let feeds = feeds(&subjects, &tip(&network, 0, 0));
    let hash = keccak(b"raw");
    assert!(network.pool.borrow_mut().accept(hash, START));
    let events = told(&feeds, &tip(&network, 0, 0));
    let (one, whole) = (&events[0].1, &events[1].1);
    assert_eq!((events.len(), one, &whole["blockHash"]), (2, &whole["hash"], &Value::Null));
    let behind = View { tip: START + 20, ..tip(&network, 0, 0) };
    assert_eq!(told(&feeds, &behind)[0].1["syncing"], true);
    assert!(told(&feeds, &behind).is_empty());
    assert_eq!(told(&feeds, &tip(&network, 0, 0)), [("2".to_owned(), json!(false))]);
}

#[test]
fn of_a_long_jump_the_newest_are_told() {
    let network = network();
    let feeds = feeds(&[json!(["newHeads"])], &tip(&network, 0, 0));
    let events = told(&feeds, &tip(&network, 0, 10_000));
    assert_eq!(events.len() as u64, MODEL_FEED_BLOCKS + 1);
    assert_eq!(events.last().map(|(_, head)| head["number"].clone()), Some(json!(format!("{:#x}", START + 10_000))));
}
