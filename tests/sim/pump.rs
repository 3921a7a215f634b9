//! The simulator's own proof: the smallest proxy (accept, connect, two pumps) between clients and an echo, in any weather.
//! A client gets its bytes back whole and in order, or an error; it never gets other bytes, and never a clean end too soon.

use crate::seeds;
use crate::weather;
use crate::world::{Ended, Sim, SimStream, Trace};
use lasso::base::rng::Rng;
use lasso::runtime::world::{Accept, Closer, Duplex, Instant, World};
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::cell::Cell;
use std::io;
use std::rc::Rc;

/// Long enough for the slowest weather; a client that is not done by then has hung.
const HORIZON: Instant = Instant(3_600_000_000_000);

#[test]
fn soak() {
    seeds::soak("pump", 400, scenario);
}

#[test]
fn replay() {
    seeds::replay("pump", scenario);
}

#[test]
fn seeds_differ() {
    let (a, b) = (scenario(1), scenario(2));
    assert_ne!(a.hash, b.hash);
    assert_eq!(a, scenario(1));
}

/// The weather is real: over some seeds every fault occurs, and most clients are served all the same.
#[test]
fn faults_occur() {
    let (mut resets, mut short_reads, mut short_writes) = (0, 0, 0);
    for seed in 0..40 {
        let tally = scenario(seed).tally;
        resets += tally.resets_injected;
        short_reads += tally.partial_reads;
        short_writes += tally.partial_writes;
    }
    assert!(resets > 10 && short_reads > 1_000 && short_writes > 1_000, "{resets} {short_reads} {short_writes}");
}

fn scenario(seed: u64) -> Trace {
    let mut draw = Rng::new(seed).fork(10);
    let node = Sim::new(seed);
    let (origin, clients) = (node.host(), node.host());
    for (a, b) in [(&node, &origin), (&node, &clients)] {
        let link = weather::link(&mut draw);
        a.link(b, |l| *l = link);
    }
    node.stall(weather::stalls(&mut draw, HORIZON.0));
    spawn_echo(&origin, 7);
    spawn_proxy(&node, 8, origin.at(7));
    let count = 1 + draw.below(12);
    let left = Rc::new(Cell::new(count));
    for client in 0..count {
        let (world, to, left) = (clients.clone(), node.at(8), left.clone());
        let bytes = draw.below(40_000) as usize;
        let mut rng = draw.fork(client);
        clients.spawn("client", async move {
            let sent: Vec<u8> = (0..bytes).map(|_| rng.next() as u8).collect();
            match exchange(&world, to, &sent).await {
                Ok(got) if got == sent => world.note(1),
                Ok(got) => world.violation(format!("client {client} sent {} bytes and got {} others", sent.len(), got.len())),
                Err(error) => world.note(error.kind() as u64),
            }
            left.set(left.get() - 1);
            if left.get() == 0 {
                world.stop();
            }
        });
    }
    let ended = node.run(HORIZON);
    if ended != Ended::Stopped {
        node.violation(format!("{} of {count} clients hang: {ended:?}", left.get()));
    }
    node.finish(ended)
}

pub fn spawn_echo(world: &Sim, port: u16) {
    let world = world.clone();
    let mut listener = world.listen(world.at(port)).expect("the simulated port is free");
    world.clone().spawn("echo listener", async move {
        while let Ok(stream) = listener.accept().await {
            world.spawn("echo", async move {
                let (mut read, mut write) = stream.split();
                let _ = pump(&mut read, &mut write).await;
            });
        }
    });
}

fn spawn_proxy(world: &Sim, port: u16, origin: std::net::SocketAddr) {
    let world = world.clone();
    let mut listener = world.listen(world.at(port)).expect("the simulated port is free");
    world.clone().spawn("proxy listener", async move {
        while let Ok(client) = listener.accept().await {
            let inner = world.clone();
            world.spawn("proxy", async move {
                let Ok(upstream) = inner.connect(origin).await else { return client.closer().abort() };
                let closers = (client.closer(), upstream.closer());
                let (mut client_read, mut client_write) = client.split();
                let (mut upstream_read, mut upstream_write) = upstream.split();
                let both = closers.clone();
                // A fault on one side must not look like a clean end on the other.
                let abort = move || (both.0.abort(), both.1.abort());
                let back = abort.clone();
                inner.spawn("proxy up", async move {
                    if pump(&mut client_read, &mut upstream_write).await.is_err() {
                        abort();
                    }
                });
                inner.spawn("proxy down", async move {
                    if pump(&mut upstream_read, &mut client_write).await.is_err() {
                        back();
                    }
                });
            });
        }
    });
}

/// Copies until the end, then finishes the other side.
async fn pump(read: &mut <SimStream as Duplex>::Read, write: &mut <SimStream as Duplex>::Write) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(4096);
    loop {
        let (outcome, filled) = read.read(buffer).await;
        if outcome? == 0 {
            return write.shutdown().await;
        }
        buffer = write_all(write, filled).await?;
        buffer.clear();
    }
}

async fn write_all(write: &mut <SimStream as Duplex>::Write, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    let (mut bytes, mut at) = (bytes, 0);
    while at < bytes.len() {
        let (outcome, slice) = write.write(bytes.slice(at..)).await;
        bytes = slice.into_inner();
        at += outcome?;
    }
    Ok(bytes)
}

/// Sends `sent`, half-closes, and reads to the end, both at once so that windows cannot lock up.
async fn exchange(world: &Sim, to: std::net::SocketAddr, sent: &[u8]) -> io::Result<Vec<u8>> {
    let stream = world.connect(to).await?;
    let closer = stream.closer();
    let (mut read, mut write) = stream.split();
    let bytes = sent.to_vec();
    world.spawn("client's writer", async move {
        if write_all(&mut write, bytes).await.is_ok() {
            let _ = write.shutdown().await;
        }
    });
    let mut got = Vec::with_capacity(8192);
    loop {
        if got.capacity() - got.len() < 1024 {
            got.reserve(8192);
        }
        let (from, to) = (got.len(), got.capacity());
        let (outcome, slice) = read.read(got.slice_mut(from..to)).await;
        got = slice.into_inner();
        match outcome {
            Ok(0) if closer.is_reset() => return Err(io::ErrorKind::ConnectionReset.into()),
            Ok(0) => return Ok(got),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    }
}
