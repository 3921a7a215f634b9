//! A lasso node in the simulated world, put together as production puts it together: shards, control, aggregator; and the
//! providers that it is configured with.

use super::book::Book;
use super::calls::CHAIN_ID;
use super::check::SECRET;
use crate::world::Sim;
use lasso::aggregator::{Aggregator, Rules};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::config::topology::Topology;
use lasso::config::{SourceFile, load};
use lasso::control;
use lasso::demo::provider::Provider;
use lasso::demo::server;
use lasso::health::breaker::Policy;
use lasso::route::limit::TrustedProxies;
use lasso::runtime::journal::Losses;
use lasso::runtime::mailbox::Mailbox;
use lasso::runtime::tls::TlsSettings;
use lasso::runtime::world::{Instant, World};
use lasso::shard::{Fault, Node, Settings, Shard};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

pub const NODE_PORT: u16 = 4000;
pub const PROVIDER_PORT: u16 = 8545;
/// Where the same provider speaks HTTP/2.
pub const FRONT_PORT: u16 = 8546;

/// Starts `provider` on `host`, under its name from `known_from` on.
pub fn start_provider(node: &Sim, host: &Sim, provider: &Rc<Provider>, known_from: Instant) {
    node.name(&format!("{}.example", provider.name), &[host.at(PROVIDER_PORT).ip()], known_from);
    let cut: server::Cut<Sim> = Rc::new(|closer| closer.abort());
    server::start(host, host.at(PROVIDER_PORT), provider.clone(), Some(cut)).expect("the simulated port is free");
}

fn start_shard(node: &Sim, shared: &Arc<Node>, index: usize, fault: Fault) -> Rc<Shard<Sim>> {
    let shard = new_shard(node, shared, index, fault);
    shard.start();
    let (mailbox, letters) = Mailbox::within_thread(limits::LETTERS);
    shared.letters.register(index, mailbox);
    shard.correspond(letters.open().expect("nothing to open"));
    let (mailbox, errands) = Mailbox::within_thread(limits::ERRANDS);
    shared.errands.register(index, mailbox);
    shard.serve_errands(errands.open().expect("nothing to open"));
    shard.listen(node.listen(node.at(NODE_PORT)).expect("the simulated port is free"));
    shard
}

fn new_shard(node: &Sim, shared: &Arc<Node>, index: usize, fault: Fault) -> Rc<Shard<Sim>> {
    thread_local! {
        static TLS: TlsSettings = TlsSettings::only([]).expect("no files to read");
    }
    TLS.with(|tls| Shard::new(node.clone(), shared.clone(), index, tls, fault))
}

/// Every shard, and the control thread's last.
pub fn start_shards(node: &Sim, shared: &Arc<Node>, fault: Fault) -> Vec<Rc<Shard<Sim>>> {
    let clients = (0..shared.settings.shards as usize).map(|index| start_shard(node, shared, index, fault));
    clients.chain([start_control(node, shared, fault)]).collect()
}

/// Of the other deliberate bugs it has none: they are a data path's.
fn start_control(node: &Sim, shared: &Arc<Node>, fault: Fault) -> Rc<Shard<Sim>> {
    let fault = if matches!(fault, Fault::Stream(_)) { fault } else { Fault::None };
    let shard = new_shard(node, shared, shared.settings.shards as usize, fault);
    shard.start();
    let (mailbox, wishes) = Mailbox::within_thread(limits::WISHES);
    shared.wishes.register(0, mailbox);
    control::start(&shard, wishes.open().expect("nothing to open"));
    shard
}

/// Its thread, as a task: a step every epoch.
pub fn start_aggregator(node: &Sim, shared: &Arc<Node>, breaker: Policy, draw: Rng, book: Rc<Book>) -> Rc<RefCell<Aggregator>> {
    let rules = Rules { breaker, beta: 3.0 };
    let judge = Aggregator::new(shared.clone(), rules, draw);
    let judge = Rc::new(RefCell::new(judge));
    let (world, stepped, told) = (node.clone(), judge.clone(), shared.clone());
    let mut published = shared.snapshot.reader();
    node.spawn("aggregator", async move {
        loop {
            published.refresh();
            book.circuits.look(published.version(), published.held());
            world.sleep_until(world.now().plus_ms(limits::EPOCH_MS)).await;
            for happening in stepped.borrow_mut().step(world.now()) {
                let json = told.events.push(&happening, world.wall());
                world.say(|| json.to_string());
            }
        }
    });
    judge
}

pub fn settings(node: &Sim, shards: u32) -> Settings {
    Settings {
        node_id: "sim".into(),
        region: "sim".into(),
        scheme: None,
        host: "localhost:4000".into(),
        shards,
        trusted_proxies: TrustedProxies::loopback(),
        client_connections_max: limits::CLIENTS_MAX,
        request_log_rate: limits::REQUEST_LOG_RATE,
        started: node.wall(),
        spans: None,
        recorder: None,
        log_losses: Losses::default(),
        cluster: None,
    }
}

/// How a provider is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    Http,
    Ws,
    Both,
}

/// The profile, as a person would write it: providers `p0`, `p1`, ... `limit`: calls a second, and burst.
pub fn topology(priorities: &[(u64, Way)], limit: Option<(u32, u32)>, max_connections: u32) -> Topology {
    let providers = priorities.iter().map(|(priority, way)| (*priority, *way, false)).collect::<Vec<_>>();
    topology_of(&providers, limit, max_connections)
}

/// The same with whether each is spoken to over HTTP/2.
pub fn topology_of(providers: &[(u64, Way, bool)], limit: Option<(u32, u32)>, max_connections: u32) -> Topology {
    let (rps, burst) = limit.unwrap_or((0, 1));
    let mut text = format!(
        "name: Simulated\nslug: default\nrps_limit: {rps}\nburst_limit: {burst}\nws_calls_at_work: 8\nchains:\n  main:\n    chain_id: {CHAIN_ID}\n    providers:\n"
    );
    for (index, (priority, way, is_http2)) in providers.iter().enumerate() {
        let (port, http2) = if *is_http2 { (FRONT_PORT, "on") } else { (PROVIDER_PORT, "auto") };
        text += &format!(
            "      - id: p{index}\n        name: P{index}\n        priority: {priority}\n        \
             max_connections: {max_connections}\n        http2: {http2}\n"
        );
        if *way != Way::Ws {
            text += &format!("        url: http://p{index}.example:{port}/{SECRET}\n");
        }
        if *way != Way::Http {
            text += &format!("        ws_url: ws://p{index}.example:{PROVIDER_PORT}/{SECRET}\n");
        }
    }
    let files = [SourceFile { name: "default.yml".into(), text }];
    match load(&files, &|_| None) {
        Ok(loaded) => loaded.topology,
        Err(problems) => panic!("the simulated profile has problems: {problems:?}"),
    }
}
