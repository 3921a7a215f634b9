//! The page of one of three nodes in a browser: tests/clients/regions.mjs does what a person does and judges what a person sees. Screenshots
//! are in target/regions, to be looked at.
//!
//! Each region has its own trouble: nobody is there at alchemy's address in us, infura fails a fifth of its calls in ap, and llama takes
//! 150 ms in us and 5 ms elsewhere. Then the node of us is killed.

use crate::clients::Tools;
use crate::cluster::{WITHIN, list, ports, responding, start_in, until};
use crate::harness::Lasso;
use crate::http;
use crate::page::browser;
use crate::provider::{Provider, answer, ok, with_status, write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const REGIONS: [&str; 3] = ["eu", "us", "ap"];
const PROVIDERS: [&str; 3] = ["alchemy", "infura", "llama"];

/// One that takes so long, and fails every `fails`th call; 0: none.
fn provider(takes: Duration, fails: usize) -> Provider {
    let calls = AtomicUsize::new(0);
    Provider::new(move |got, stream| {
        std::thread::sleep(takes);
        let body = ok(&got.id, "\"0x64\"");
        let count = calls.fetch_add(1, Ordering::Relaxed) + 1;
        let is_bad = fails > 0 && count.is_multiple_of(fails);
        write(stream, &if is_bad { with_status("500 Internal Server Error", "", &body) } else { answer(&body) })
    })
}

/// Where nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address")
}

/// The same providers everywhere; what is behind their names differs by region.
fn profile(at: [SocketAddr; 3]) -> String {
    let lines = PROVIDERS.iter().zip(at).map(|(id, at)| format!("      - id: {id}\n        url: \"http://{at}/key\"\n"));
    format!(
        "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n{}",
        lines.collect::<String>()
    )
}

fn profile_in(region: &str, kept: &mut Vec<Provider>) -> String {
    let mut of = |takes_ms: u64, fails: usize| {
        let made = provider(Duration::from_millis(takes_ms), fails);
        let at = made.address;
        kept.push(made);
        at
    };
    let alchemy = if region == "us" { nowhere() } else { of(if region == "eu" { 20 } else { 40 }, 0) };
    let infura = of(10, if region == "ap" { 5 } else { 0 });
    profile([alchemy, infura, of(if region == "us" { 150 } else { 5 }, 0)])
}

/// Calls of every provider, some a second, until the node is gone or `ended`.
fn load(at: SocketAddr, ended: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) && TcpStream::connect(at).is_ok() {
            for id in PROVIDERS {
                let (mut client, body) = (http::Client::new(at), http::READ);
                let length = body.len();
                let head = format!("POST /rpc/provider/{id}/one HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
                client.send([head.as_bytes(), body.as_bytes()].concat().as_slice());
                if client.answer().is_none() {
                    return;
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn the_page_compares_regions_and_says_which_one_is_silent() {
    let Some(tools): Option<Tools> = browser() else { return };
    let (ports, mut kept) = (ports::<3>(), Vec::new());
    let query = list(&ports);
    let mut start = |region: &str, port: u16| {
        let id = format!("{region}-1");
        start_in(&profile_in(region, &mut kept), &id, region, port, &query)
    };
    let mut nodes: Vec<Lasso> = REGIONS.iter().zip(ports).map(|(region, port)| start(region, port)).collect();
    let ended = Arc::new(AtomicBool::new(false));
    for node in &nodes {
        until(node, WITHIN, "complete", |c| responding(c) == 3);
        load(node.address, ended.clone());
    }
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("regions").display().to_string();
    let script = tools.client("regions.mjs", &format!("http://{}", nodes[0].address), &[&pictures]);
    script.says("kill us");
    drop(nodes.remove(1));
    let said = script.finish("regions.mjs");
    ended.store(true, Ordering::Relaxed);
    println!("{}", said.join("\n"));
    assert!(said.last().is_some_and(|line| line.ends_with("regions: right")), "{said:#?}");
}
