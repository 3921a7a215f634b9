//! A node of a cluster that is at work, and strangers: who send garbage, what is well formed and sealed with another secret, and what
//! was recorded, whole, cut, damaged, under any address, of this life and of an earlier one. Nothing of it is heard, nothing is learnt, and at
//! no moment has an address got more bytes than came from it.

use super::tests::{SECRET, cluster, moment, place};
use super::*;
use std::collections::BTreeMap;

/// Real nodes; strangers have other addresses, or these ones.
const NODES: u8 = 3;
const STRANGERS: u64 = 200;

struct Siege {
    nodes: Vec<(u8, Cluster)>,
    /// Datagrams of an earlier life of the same nodes, with the same secret.
    earlier: Vec<Vec<u8>>,
    /// Datagrams to the first node of this life.
    recent: Vec<Vec<u8>>,
    /// Speaks another secret.
    foreign: Sessions,
    draw: Rng,
    /// By address that never proved itself: bytes that came from there and that went there.
    bytes: BTreeMap<SocketAddr, (usize, usize)>,
    sent: u64,
}

/// Runs nodes as `run` does, and gives what reached the first one.
fn run_taped(nodes: &mut [(u8, Cluster)], from_ms: u64, to_ms: u64) -> Vec<Vec<u8>> {
    let mut taped = Vec::new();
    for ms in (from_ms..to_ms).step_by(100) {
        let at = moment(ms);
        let mut mail = Vec::new();
        for (n, node) in nodes.iter_mut() {
            if ms % 5_000 == 0 {
                node.found((1..=NODES).map(place).collect(), at.now);
            }
            node.tick(at.now);
            mail.extend(node.take_datagrams().into_iter().map(|(to, datagram)| (place(*n), to, datagram)));
        }
        while let Some((from, to, datagram)) = mail.pop() {
            if to == place(1) {
                taped.push(datagram.clone());
            }
            let Some((n, node)) = nodes.iter_mut().find(|(n, _)| place(*n) == to) else { continue };
            node.arrive(from, &datagram, at);
            mail.extend(node.take_datagrams().into_iter().map(|(to, datagram)| (place(*n), to, datagram)));
        }
    }
    taped
}

fn some_nodes(life: u8) -> Vec<(u8, Cluster)> {
    (1..=NODES).map(|n| (n, cluster(n + life, SECRET))).collect()
}

impl Siege {
    fn new() -> Siege {
        let earlier = run_taped(&mut some_nodes(100), 0, 20_000);
        let mut nodes = some_nodes(0);
        let recent = run_taped(&mut nodes, 0, 20_000);
        assert!(earlier.len() > 20 && recent.len() > 20, "{} {}", earlier.len(), recent.len());
        assert_eq!(nodes[0].1.view().coverage(), (3, 3));
        let secrets = ClusterSecrets::new(Some("another one that is long enough"), None, "lasso").unwrap();
        let foreign = Sessions::new(secrets, [77; 32], SessionBug::None);
        Siege { nodes, earlier, recent, foreign, draw: Rng::new(5), bytes: BTreeMap::new(), sent: 0 }
    }

    fn below(&mut self, n: usize) -> usize {
        self.draw.below(n as u64) as usize
    }

    fn recorded(&mut self) -> Vec<u8> {
        let is_earlier = self.draw.chance(500_000);
        let tape = if is_earlier { &self.earlier } else { &self.recent };
        tape[self.draw.below(tape.len() as u64) as usize].clone()
    }

    fn datagram(&mut self, now: Instant) -> Vec<u8> {
        let mut recorded = self.recorded();
        match self.below(8) {
            0 => (0..self.below(1_700)).map(|_| self.draw.next() as u8).collect(),
            1 => {
                recorded.truncate(self.below(recorded.len() + 1));
                recorded
            }
            2 => {
                let place = self.below(recorded.len());
                recorded[place] ^= 1 << self.below(8);
                recorded
            }
            3 => {
                let longer = recorded.len() + self.below(2_000);
                recorded.resize(longer, 0);
                recorded
            }
            // A right head over something else.
            4 => {
                recorded[27..].iter_mut().for_each(|byte| *byte = self.draw.next() as u8);
                recorded
            }
            5 => self.foreign.greet(place(1), 0, now).unwrap(),
            _ => recorded,
        }
    }

    /// One datagram to the first node.
    fn attack(&mut self, at: ClusterMoment) {
        let datagram = self.datagram(at.now);
        let stranger = self.draw.below(STRANGERS);
        // Some say that they are one of the nodes.
        let from = match stranger {
            0 => place(2),
            1 => place(3),
            2 => place(1),
            n => SocketAddr::from(([203, 0, 113, n as u8], 1_000 + n as u16)),
        };
        self.sent += 1;
        let (_, node) = &mut self.nodes[0];
        node.arrive(from, &datagram, at);
        self.bytes.entry(from).or_default().0 += datagram.len();
        for (to, answer) in node.take_datagrams() {
            assert_eq!(to, from, "what comes from one address moves nothing to another");
            let (came, went) = self.bytes.get_mut(&to).unwrap();
            *went += answer.len();
            assert!(went <= came, "{to} got {went} bytes for {came}");
        }
    }
}

fn besiege(packets: u64) -> Siege {
    let mut siege = Siege::new();
    let (mut ms, batch) = (20_000, 100);
    while siege.sent < packets {
        // Nobody else speaks meanwhile, so that whatever is heard was the strangers'.
        let before = siege.nodes[0].1.view();
        (0..batch).for_each(|n| siege.attack(moment(ms + n % 90)));
        let (after, counsel) = (siege.nodes[0].1.view(), siege.nodes[0].1.take_counsel());
        assert_eq!((after.datagrams.heard, &after.peers), (before.datagrams.heard, &before.peers));
        assert!(counsel.is_none(), "{counsel:?}");
        let unheard = |view: &ClusterView| view.datagrams.unheard.values().sum::<u64>();
        assert!(unheard(&after) > unheard(&before), "they are counted");
        // And the cluster goes on among itself.
        run_taped(&mut siege.nodes, ms + 100, ms + 200);
        ms += 200;
    }
    run_taped(&mut siege.nodes, ms, ms + 20_000);
    siege
}

fn judge(mut siege: Siege) {
    let (_, node) = &mut siege.nodes[0];
    let view = node.view();
    let places: Vec<SocketAddr> = view.peers.iter().map(|peer| peer.address).collect();
    assert_eq!((view.coverage(), places), ((3, 3), vec![place(2), place(3)]), "{view:?}");
    let counted: u64 = view.datagrams.unheard.values().sum();
    eprintln!("{} datagrams of strangers: {:?}", siege.sent, view.datagrams.unheard);
    for why in [Unheard::Malformed, Unheard::WrongSecret, Unheard::Replayed, Unheard::OtherVersion] {
        assert!(view.datagrams.unheard(why) > siege.sent / 2_000, "{why:?}: {:?}", view.datagrams.unheard);
    }
    // The rest said that it was ourselves, or that it wants to be known.
    assert!(counted * 2 > siege.sent, "{counted} of {}", siege.sent);
    // Over all of them together, too.
    let went: usize = siege.bytes.values().map(|(_, went)| went).sum();
    let came: usize = siege.bytes.values().map(|(came, _)| came).sum();
    eprintln!("{came} bytes came and {went} went back");
    assert!(went > 0 && went * 20 < came, "who could have been a node is asked, and seldom: {went} of {came}");
}

#[test]
fn strangers_are_not_heard_and_get_no_more_than_they_send() {
    judge(besiege(40_000));
}

#[test]
#[ignore = "slow without optimisation: cargo test --profile ci --lib a_million_datagrams -- --ignored --nocapture"]
fn a_million_datagrams_of_strangers_change_nothing() {
    judge(besiege(1_000_000));
}
