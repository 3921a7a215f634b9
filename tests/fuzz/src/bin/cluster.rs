//! What nodes tell each other, opened with the right key so that the readers behind the seal are reached, and name servers' answers.
#![no_main]

use lasso::base::rng::Rng;
use lasso::base::time::{Instant, WallTime};
use lasso::cluster::advice::AdvicePolicy;
use lasso::cluster::engine::{Cluster, ClusterMoment, ClusterTerms};
use lasso::cluster::frame::{Frame, NodeCard};
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::services::{RecordKind, answer};
use lasso::cluster::sessions::{SessionBug, Sessions};
use std::net::SocketAddr;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = answer(data, 0, "_lasso._udp.internal", RecordKind::Service);
    if let Ok(frame) = Frame::read(data) {
        assert_eq!(Frame::read(&frame.write()), Ok(frame));
    }
    let secrets = || ClusterSecrets::new(Some("a secret that is long enough"), None, "lasso").expect("a good secret");
    let [here, there] = [1, 2].map(|n| SocketAddr::from(([10, 0, 0, n], 7946)));
    let at = |ms| ClusterMoment { now: Instant::ZERO.plus_ms(ms), wall: WallTime(ms) };
    let terms = ClusterTerms { secrets: secrets(), advice: AdvicePolicy::All };
    let mut node = Cluster::new(NodeCard::new("a", "b", "c", 1), terms, [1; 32], Rng::new(1), SessionBug::None);
    node.arrive(there, data, at(0));
    assert!(node.take_datagrams().is_empty(), "nothing is sent to who did not open");
    // A peer with the secret, which says whatever it likes.
    let mut peer = Sessions::new(secrets(), [2; 32], SessionBug::None);
    let mut next = peer.greet(here, 0, at(1).now);
    while let Some(datagram) = next.take() {
        node.arrive(there, &datagram, at(1));
        for (_, back) in node.take_datagrams() {
            if let lasso::cluster::sessions::DatagramArrival::Meeting { answer: Some(answer), .. } = peer.arrive(here, &back, at(1).now) {
                next = Some(answer);
            }
        }
    }
    for own in peer.all() {
        for frame in [Frame::Membership(data.to_vec())].into_iter().chain(Frame::read(data).ok()) {
            if let Some((_, datagram)) = peer.say(own, &frame) {
                node.arrive(there, &datagram, at(2));
            }
        }
    }
    for ms in [100, 5_000, 20_000, 400_000] {
        node.tick(at(ms).now);
        node.take_datagrams();
    }
});
