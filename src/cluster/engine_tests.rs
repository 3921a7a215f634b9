//! Whole parts, carried by hand: the simulator has the networks.

use super::super::frame::SCHEMA_OF_NEWS;
use super::*;

pub(super) fn cluster(n: u8, secret: &str) -> Cluster {
    let secrets = ClusterSecrets::new(Some(secret), None, "lasso").unwrap();
    let card = NodeCard::new(&format!("node-{n}"), "eu", "0.1.0", 1);
    let terms = ClusterTerms { secrets, advice: AdvicePolicy::Usual };
    Cluster::new(card, terms, [n; 32], Rng::new(u64::from(n)), SessionBug::None)
}

pub(super) fn place(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 7946))
}

pub(super) fn moment(ms: u64) -> ClusterMoment {
    ClusterMoment { now: Instant::ZERO.plus_ms(ms), wall: WallTime(1_000_000 + ms) }
}

/// Carries what there is until nobody says anything more.
fn carry(nodes: &mut [(u8, Cluster)], at: ClusterMoment) {
    loop {
        let mut mail = Vec::new();
        for (n, node) in nodes.iter_mut() {
            mail.extend(node.take_datagrams().into_iter().map(|(to, datagram)| (place(*n), to, datagram)));
        }
        if mail.is_empty() {
            return;
        }
        for (from, to, datagram) in mail {
            if let Some((_, node)) = nodes.iter_mut().find(|(n, _)| place(*n) == to) {
                node.arrive(from, &datagram, at);
            }
        }
    }
}

fn run(nodes: &mut [(u8, Cluster)], from_ms: u64, to_ms: u64) {
    for ms in (from_ms..to_ms).step_by(100) {
        for (_, node) in nodes.iter_mut() {
            if ms % 5_000 == 0 {
                // All addresses, one's own among them, as a name server gives them.
                node.found((1..=4).map(place).collect(), moment(ms).now);
            }
            node.tick(moment(ms).now);
        }
        carry(nodes, moment(ms));
    }
}

pub(super) const SECRET: &str = "a secret that is long enough";

/// Who is asked by a node where somebody listens: those that know what events are. An older one answers what it knows, as before.
#[test]
fn a_node_of_an_older_version_is_not_asked_what_happens_there() {
    let mut nodes: Vec<(u8, Cluster)> = (1..=3).map(|n| (n, cluster(n, SECRET))).collect();
    nodes[2].1.card.schema = SCHEMA_OF_NEWS - 1;
    nodes[0].1.want_news(true);
    run(&mut nodes, 0, 3_000);
    let asks: Vec<usize> = nodes.iter_mut().map(|(_, node)| node.take_news_asks().len()).collect();
    assert_eq!(asks, [0, 1, 0]);
    assert_eq!(nodes[0].1.view().coverage(), (3, 3));
    nodes[0].1.want_news(false);
    run(&mut nodes, 3_000, 8_000);
    let asks: Vec<usize> = nodes.iter_mut().map(|(_, node)| node.take_news_asks().len()).collect();
    assert_eq!(asks, [0, 0, 0], "nobody listens");
}

#[test]
fn three_nodes_see_each_other_within_seconds_and_one_that_leaves_is_forgotten() {
    let mut nodes: Vec<(u8, Cluster)> = (1..=3).map(|n| (n, cluster(n, SECRET))).collect();
    run(&mut nodes, 0, 3_000);
    for (n, node) in &nodes {
        let view = node.view();
        assert_eq!((view.coverage(), view.status()), ((3, 3), "healthy"), "{n}: {view:?}");
        assert!(view.peers.iter().all(|peer| peer.clock_skew_ms == Some(0) && peer.card.is_some()));
    }
    nodes[2].1.leave(moment(3_000).now);
    carry(&mut nodes, moment(3_000));
    nodes.truncate(2);
    run(&mut nodes, 3_100, 4_000);
    for (n, node) in &mut nodes {
        assert_eq!(node.view().coverage(), (2, 2), "{n}");
        let left = node.take_events().into_iter().filter(|e| matches!(e, ClusterEvent::Changed(change) if change.to.is_none()));
        assert_eq!(left.count(), 1);
    }
}

#[test]
fn a_wrong_secret_is_told_once_a_minute_with_its_address_and_teaches_nothing() {
    let mut nodes = vec![(1, cluster(1, SECRET)), (2, cluster(2, "another one that is long enough"))];
    run(&mut nodes, 0, 90_000);
    for (n, node) in &mut nodes {
        let (view, other) = (node.view(), place(3 - *n));
        assert!(view.peers.is_empty());
        let refused = view.datagrams.unheard(Unheard::WrongSecret);
        assert!(refused >= 10, "{refused}");
        let events = node.take_events();
        let told: Vec<u64> = events
            .iter()
            .map(|event| match event {
                ClusterEvent::WrongSecret { from, count } if *from == other => *count,
                event => panic!("{event:?}"),
            })
            .collect();
        assert_eq!((told.len(), told[0]), (2, 1), "{told:?}");
    }
}

#[test]
fn a_killed_node_is_unresponsive_and_then_gone_and_its_successor_takes_its_place() {
    let mut nodes: Vec<(u8, Cluster)> = (1..=3).map(|n| (n, cluster(n, SECRET))).collect();
    run(&mut nodes, 0, 20_000);
    nodes.truncate(2);
    let mut seen = Vec::new();
    for ms in (20_000..60_000).step_by(1_000) {
        run(&mut nodes, ms, ms + 1_000);
        let state = nodes[0].1.view().peers.iter().find(|peer| peer.address == place(3)).map(|peer| peer.state);
        if seen.last().is_none_or(|(_, last)| *last != state) {
            seen.push((ms - 20_000, state));
        }
    }
    let states: Vec<_> = seen.iter().map(|(_, state)| state.unwrap()).collect();
    use PeerState::{Disconnected, Responding, Unresponsive};
    assert_eq!(states, [Responding, Unresponsive, Disconnected], "{seen:?}");
    assert!(seen[2].0 <= 30_000, "{seen:?}");
    nodes.push((3, cluster(33, SECRET)));
    run(&mut nodes, 60_000, 65_000);
    assert_eq!(nodes[0].1.view().coverage(), (3, 3));
}
