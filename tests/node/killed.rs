//! A provider is killed: within a second, whatever people look at says so, and why.
//!
//! Each place to look is one line of `VOICES`: its name, and what it says of the provider that was killed, once it says
//! that its circuit is open.

use crate::actor::{Actor, steady};
use crate::api::of_provider;
use crate::harness::Lasso;
use crate::http::Client;
use crate::load::{Load, alone};
use crate::metrics::scrape;
use crate::scenario::{profile, within};
use std::time::{Duration, Instant};

/// Why, in the words that all of them must use.
const REASON: &str = "failure_threshold_exceeded";
const CAUSE: &str = "network_error";

/// What can be looked at.
struct Scene {
    lasso: Lasso,
    /// Everything that the node has printed.
    log: String,
}

/// The text in which it is said, or nothing while it is not.
type Voice = fn(&mut Scene) -> Option<String>;

const VOICES: [(&str, Voice); 3] = [("/metrics", of_metrics), ("/api/providers", of_api), ("the log", of_log)];

fn of_metrics(scene: &mut Scene) -> Option<String> {
    let text = scrape(scene.lasso.address);
    let line = |start: &str, end: &str| text.lines().find(|line| line.starts_with(start) && line.ends_with(end));
    let a = r#"profile="default",chain="one",provider="a""#;
    line(&format!("lasso_circuit_state{{{a}"), r#"state="open"} 1"#)?;
    line(&format!("lasso_provider_available{{{a}"), " 0")?;
    line(&format!("lasso_provider_status{{{a}"), r#"status="circuit_open"} 1"#)?;
    line(&format!("lasso_circuit_info{{{a}"), "} 1").map(str::to_owned)
}

fn of_api(scene: &mut Scene) -> Option<String> {
    let mut client = Client::new(scene.lasso.address);
    client.send(b"GET /api/providers/one HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let providers = client.answer().expect("an answer").json();
    let a = of_provider(&providers, "a");
    let is_open = a["status"] == "circuit_open" && a["circuit"]["state"] == "open";
    is_open.then(|| format!("{} {} {}", a["reason"], a["circuit"]["reason"], a["last_failure"]["category"]))
}

fn of_log(scene: &mut Scene) -> Option<String> {
    scene.lasso.said().iter().for_each(|line| scene.log.extend([line, "\n"]));
    let is_it = |line: &&str| line.contains("\"provider.circuit\"") && line.contains(REASON);
    scene.log.lines().find(is_it).map(str::to_owned)
}

#[test]
fn a_killed_provider_is_told_of_everywhere_within_a_second() {
    let _turn = alone();
    let (killed, good) = (Actor::new(steady(1)), Actor::new(steady(1)));
    let lasso = Lasso::start(&profile(&[killed.address, good.address]), "io_uring");
    let load = Load::start(lasso.address, "/rpc/one", 1);
    within(Duration::from_secs(10), "calls", || killed.calls() > 50);
    let mut scene = Scene { lasso, log: String::new() };
    assert_eq!(VOICES.map(|(_, voice)| voice(&mut scene)), [const { None }; VOICES.len()], "nothing has happened yet");

    killed.close();
    let began = Instant::now();
    let mut heard: [Option<(String, Duration)>; VOICES.len()] = Default::default();
    within(Duration::from_secs(5), "all of them say so", || {
        for ((_, voice), heard) in VOICES.iter().zip(&mut heard) {
            if heard.is_none() {
                *heard = voice(&mut scene).map(|text| (text, began.elapsed()));
            }
        }
        heard.iter().all(Option::is_some)
    });
    for ((name, _), heard) in VOICES.iter().zip(heard) {
        let (text, after) = heard.expect("all were heard");
        eprintln!("killed: {name} said so after {after:?}: {text}");
        assert!(after < Duration::from_secs(1), "{name} said so after {after:?}");
        assert!(text.contains(REASON), "{name} does not say why: {text}");
        assert!(text.contains(CAUSE), "{name} does not name the fault: {text}");
    }
    load.stop();
}
