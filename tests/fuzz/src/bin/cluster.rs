//! What nodes tell each other, opened with the right key so that the readers behind the seal are reached, and name servers' answers.
#![no_main]

use lasso::base::rng::Rng;
use lasso::base::time::{Instant, WallTime};
use lasso::cluster::advice::AdvicePolicy;
use lasso::cluster::difference::{self, ReadDigest};
use lasso::cluster::digest::{DigestTopic, NodeDigest};
use lasso::cluster::engine::{Cluster, ClusterMoment, ClusterTerms};
use lasso::cluster::frame::{DIGEST_PART_BYTES, DigestPart, Frame, NodeCard};
use lasso::cluster::merging::ClusterScope;
use lasso::cluster::news::{self, NewsStock};
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::services::{RecordKind, answer};
use lasso::cluster::sessions::{DatagramArrival, SessionBug, Sessions};
use lasso::cluster::telling::ClusterQuestion;
use std::net::SocketAddr;
use std::sync::Arc;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = answer(data, 0, "_lasso._udp.internal", RecordKind::Service);
    if let Ok(frame) = Frame::read(data) {
        assert_eq!(Frame::read(&frame.write()), Ok(frame));
    }
    let mut held = ReadDigest::default();
    let _ = difference::read(&mut held, data).and_then(|()| difference::read(&mut held, data));
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
            if let DatagramArrival::Meeting { answer: Some(answer), .. } = peer.arrive(here, &back, at(1).now) {
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
    // It says who it is, and gives what it likes for its figures and its news.
    node.want_news(true);
    for ms in (100..6_000).step_by(100) {
        node.want_figures(DigestTopic::new("default", 1), at(ms).now);
        node.offer_digest(Arc::new(NodeDigest { made: at(ms).now, ..NodeDigest::default() }));
        node.tick(at(ms).now);
        node.take_news();
        for (session, ask) in node.take_news_asks() {
            node.tell_news(session, &ask, &NewsStock::default(), at(ms).now);
        }
        for (_, back) in node.take_datagrams() {
            let DatagramArrival::Said { session, frame } = peer.arrive(here, &back, at(ms).now) else { continue };
            for answer in answers(&frame, data) {
                if let Some((_, datagram)) = peer.say(session, &answer) {
                    node.arrive(there, &datagram, at(ms));
                }
            }
        }
    }
    let question = ClusterQuestion {
        profile: "default".into(),
        chain: "one".into(),
        chain_number: 1,
        scope: ClusterScope::Everybody,
        histograms: true,
        wall: WallTime(0),
    };
    assert_eq!(node.answer_question(&question, at(6_000).now).0, 200);
    for ms in [10_000, 20_000, 400_000] {
        node.tick(at(ms).now);
        node.take_datagrams();
    }
});

fn answers(frame: &Frame, data: &[u8]) -> Vec<Frame> {
    match frame {
        Frame::Check { number } => {
            vec![Frame::Answer { number: *number, wall_ms: 0, card: Box::new(NodeCard::new("b", "b", "c", 1)) }]
        }
        Frame::DigestAsk(ask) => {
            let count = data.len().div_ceil(DIGEST_PART_BYTES) as u16;
            let part = |(index, bytes): (usize, &[u8])| {
                let (number, publication, base) = (ask.number, ask.have + 1, ask.have);
                let bytes = bytes.to_vec();
                Frame::DigestPart(DigestPart { number, base, publication, index: index as u16, count, age_ms: 0, bytes })
            };
            data.chunks(DIGEST_PART_BYTES).enumerate().map(part).collect()
        }
        Frame::NewsAsk(ask) => {
            let text = String::from_utf8_lossy(data);
            let events = text.lines().map(Arc::from).collect::<Vec<Arc<str>>>();
            let stock = NewsStock { oldest: 1, first: 1, end: 1 + events.len() as u64, events };
            news::answer(ask, &stock).into_iter().map(Frame::NewsPart).collect()
        }
        _ => Vec::new(),
    }
}
