//! What figures for other nodes cost, of a node with ten chains of thirty providers: making a digest of itself (the aggregator, each five seconds
//! while somebody wants it), the difference to the digest before, taking one over, sealing and opening a part, and the answer to a question about
//! two hundred nodes (the control thread).

mod region;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lasso::base::time::{Duration, WallTime};
use lasso::cluster::difference::{self, ReadDigest};
use lasso::cluster::digest::{DigestTopic, NodeDigest};
use lasso::cluster::frame::{DIGEST_PART_BYTES, DigestPart, Frame, NodeCard};
use lasso::cluster::health::PeerState;
use lasso::cluster::merging::{ClusterScope, KnownNode, NodeFigures};
use lasso::cluster::seal::SealedHead;
use lasso::cluster::secret::ClusterSecrets;
use lasso::cluster::secret::SessionId;
use lasso::cluster::telling::{ClusterQuestion, answer};
use region::{BusyNode, CHAINS, PROVIDERS};

fn digests(c: &mut Criterion) {
    let mut busy = BusyNode::new(1);
    // An hour has passed, and a busy minute.
    for nth in 0..24 {
        busy.work(5);
        busy.now = busy.now.plus_ms(if nth < 12 { 295_000 } else { 0 });
    }
    let (before, after) = (busy.work(5), busy.work(5));
    let topic = DigestTopic::new("default", 4);
    c.bench_function(&format!("digest/make one of {CHAINS} chains with {PROVIDERS} providers"), |b| {
        b.iter(|| busy.aggregator.make_digest(busy.now));
    });
    let what = format!("of a chain with {PROVIDERS} providers");
    let whole = |digest: &NodeDigest| difference::write(&[], digest, &topic);
    let changes = difference::write(before.rows(&topic), &after, &topic);
    eprintln!("{} rows, {} bytes whole, {} of changes in 5 s", after.rows(&topic).len(), whole(&after).len(), changes.len());
    c.bench_function(&format!("digest/write the whole {what}"), |b| b.iter(|| whole(&after)));
    c.bench_function(&format!("digest/write the difference {what}"), |b| {
        b.iter(|| difference::write(before.rows(&topic), &after, &topic));
    });
    let mut held = ReadDigest::default();
    difference::read(&mut held, &whole(&before)).unwrap_or_else(|bad| panic!("{bad:?}"));
    c.bench_function(&format!("digest/take the difference over {what}"), |b| {
        b.iter_batched_ref(|| held.clone(), |held| difference::read(held, &changes), BatchSize::LargeInput);
    });
    difference::read(&mut held, &changes).unwrap_or_else(|bad| panic!("{bad:?}"));
    question(c, &held);
}

/// About one chain of two hundred nodes.
fn question(c: &mut Criterion, held: &ReadDigest) {
    let cards: Vec<NodeCard> = (0..200).map(|n| NodeCard::new(&format!("n{n}"), &format!("r{}", n % 8), "0.1.0", 1)).collect();
    let question = ClusterQuestion {
        profile: "default".into(),
        chain: "chain-3".into(),
        chain_number: 4,
        scope: ClusterScope::Everybody,
        histograms: false,
        wall: WallTime(0),
    };
    c.bench_function("digest/answer a question about 200 nodes", |b| {
        b.iter(|| {
            let known: Vec<KnownNode<'_>> = cards
                .iter()
                .map(|card| {
                    let rows = held.rows.values().collect();
                    let (age, minute) = (Duration::from_secs(3), Duration::from_secs(60));
                    let figures = Some(NodeFigures { age, minute, config_revision: 1, rows });
                    KnownNode { card: Some(card), state: PeerState::Responding, is_own: false, figures }
                })
                .collect();
            answer(&question, &known).1.to_string().len()
        });
    });
}

fn parts(c: &mut Criterion) {
    let secrets =
        ClusterSecrets::new(Some("a secret that is long enough"), None, "lasso").unwrap_or_else(|why| panic!("{why:?}"));
    let session = SessionId([7; 16]);
    let key = secrets.key(0, session).unwrap_or_else(|| panic!("there is one"));
    let part = Frame::DigestPart(DigestPart { bytes: vec![9; DIGEST_PART_BYTES], ..DigestPart::default() });
    let head = SealedHead { session, counter: 1 };
    c.bench_function("digest/write and seal a part", |b| b.iter(|| head.seal(&key, part.write())));
    let sealed = head.seal(&key, part.write()).unwrap_or_else(|| panic!("it fits"));
    c.bench_function("digest/open and read a part", |b| {
        b.iter(|| head.open(&key, &sealed).map(|plain| Frame::read(&plain)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(200)).sample_size(20);
    targets = digests, parts
}
criterion_main!(benches);
