//! What the simulated sockets, clock and tasks promise, one behaviour a test. If one of these is wrong, every finding of
//! the node's simulation is in doubt.

use crate::pump::spawn_echo;
use crate::world::{Ended, Host, Scarce, Sim, SimStream, Stalls, Trace};
use lasso::runtime::world::{Accept, Closer, Duplex, Instant, ReadHalf, World};
use monoio::buf::VecBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

const PORT: u16 = 80;

/// Two hosts, 1 ms apart; `play` has the connected ends, caller's first. The run must end without a violation.
fn between<F: Future<Output = ()> + 'static>(play: impl FnOnce(Sim, SimStream, SimStream) -> F + 'static) {
    let trace = between_with(play);
    assert_eq!((trace.ended, &trace.violations[..]), (Ended::Idle, &[][..]));
}

fn between_with<F: Future<Output = ()> + 'static>(play: impl FnOnce(Sim, SimStream, SimStream) -> F + 'static) -> Trace {
    let near = Sim::new(1);
    let far = near.host();
    near.link(&far, |link| (link.latency_us, link.window) = (1_000, 4_096));
    let mut listener = far.listen(far.at(PORT)).unwrap();
    let done = Rc::new(RefCell::new(false));
    let flag = done.clone();
    let world = near.clone();
    near.spawn("play", async move {
        let mine = world.connect(far.at(PORT)).await.unwrap();
        let theirs = listener.accept().await.unwrap();
        play(world, mine, theirs).await;
        *flag.borrow_mut() = true;
    });
    let ended = near.run(Instant(600_000_000_000));
    let trace = near.finish(ended);
    assert!(*done.borrow() || !trace.violations.is_empty(), "the play did not come to its end: {trace:?}");
    trace
}

/// The host that `between` connects to: the first one made.
fn far(world: &Sim) -> Sim {
    world.sibling(Host(2))
}

async fn send(write: &mut <SimStream as Duplex>::Write, text: &str) {
    let (outcome, _) = write.write(text.as_bytes().to_vec()).await;
    assert_eq!(outcome.unwrap(), text.len());
}

async fn receive(read: &mut <SimStream as Duplex>::Read) -> String {
    let (outcome, bytes) = read.read(Vec::with_capacity(64)).await;
    outcome.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Polls once and drops.
async fn abandon(future: impl Future) {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn a_handshake_is_a_round_trip_and_bytes_take_one_way() {
    between(|world, mine, theirs| async move {
        assert_eq!(world.now(), Instant(2_000_000));
        assert_eq!((mine.peer(), theirs.peer().ip()), (far(&world).at(PORT), world.at(0).ip()));
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        send(&mut write, "ab").await;
        send(&mut write, "cd").await;
        assert_eq!(receive(&mut read).await, "abcd");
        assert_eq!(world.now(), Instant(3_000_000));
    });
}

#[test]
fn jitter_never_reorders_a_stream() {
    between(|world, mine, theirs| async move {
        world.link(&far(&world), |link| link.jitter_us = 50_000);
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        let writer = world.clone();
        world.spawn("writer", async move {
            for digit in 0..50 {
                send(&mut write, &format!("{digit:02}")).await;
                writer.sleep_until(writer.now().plus_ms(1)).await;
            }
        });
        let mut all = String::new();
        while all.len() < 100 {
            all += &receive(&mut read).await;
        }
        assert_eq!(all, (0..50).map(|d| format!("{d:02}")).collect::<String>());
    });
}

#[test]
fn who_is_out_of_something_neither_connects_nor_accepts() {
    between(|world, _mine, _theirs| async move {
        let far = far(&world);
        let mut listener = far.listen(far.at(81)).unwrap();
        let error = |error: &std::io::Error| error.raw_os_error();
        for scarce in Scarce::ALL {
            world.exhaust(scarce, world.now().plus_ms(10));
            assert_eq!(world.connect(far.at(81)).await.err().as_ref().and_then(error), scarce.error().raw_os_error());
            world.sleep_until(world.now().plus_ms(10)).await;
        }
        far.exhaust(Scarce::Descriptors, world.now().plus_ms(10));
        assert!(world.connect(far.at(81)).await.is_ok(), "the kernel of the other side takes it");
        assert_eq!(listener.accept().await.err().as_ref().and_then(error), Some(libc::EMFILE));
        world.sleep_until(world.now().plus_ms(10)).await;
        assert!(listener.accept().await.is_ok(), "and it is still there");
    });
}

#[test]
fn the_way_up_may_be_slower_than_the_way_down() {
    between(|world, mine, theirs| async move {
        world.link(&far(&world), |link| link.uplink = 1_000);
        let ((mut my_read, mut my_write), (mut read, mut write)) = (mine.split(), theirs.split());
        send(&mut my_write, &"x".repeat(50)).await;
        assert_eq!(receive(&mut read).await.len(), 50);
        assert_eq!(world.now(), Instant(2_000_000 + 50_000_000 + 1_000_000));
        send(&mut write, &"x".repeat(50)).await;
        assert_eq!(receive(&mut my_read).await.len(), 50);
        assert_eq!(world.now(), Instant(2_000_000 + 50_000_000 + 2_000_000));
    });
}

#[test]
fn bandwidth_takes_its_time() {
    between(|world, mine, theirs| async move {
        world.link(&far(&world), |link| link.bandwidth = 1_000);
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        send(&mut write, &"x".repeat(50)).await;
        assert_eq!(receive(&mut read).await.len(), 50);
        assert_eq!(world.now(), Instant(2_000_000 + 50_000_000 + 1_000_000));
    });
}

#[test]
fn the_end_arrives_after_the_bytes_and_leaves_the_other_way_open() {
    between(|_, mine, theirs| async move {
        let ((mut my_read, mut my_write), (mut read, mut write)) = (mine.split(), theirs.split());
        send(&mut my_write, "question").await;
        my_write.shutdown().await.unwrap();
        assert_eq!(my_write.write(vec![1]).await.0.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(receive(&mut read).await, "question");
        assert_eq!(receive(&mut read).await, "");
        send(&mut write, "answer").await;
        assert_eq!(receive(&mut my_read).await, "answer");
    });
}

#[test]
fn a_socket_closes_with_its_second_half() {
    between(|world, mine, theirs| async move {
        let ((my_read, my_write), (mut read, _write)) = (mine.split(), theirs.split());
        drop(my_write);
        world.sleep_until(world.now().plus_ms(5)).await;
        abandon(read.readable()).await;
        drop(my_read);
        assert_eq!(receive(&mut read).await, "");
    });
}

#[test]
fn unread_data_at_close_is_a_reset_that_destroys_what_the_peer_has_not_read() {
    between(|world, mine, theirs| async move {
        let ((my_read, mut my_write), (mut read, mut write)) = (mine.split(), theirs.split());
        send(&mut my_write, "lost").await;
        send(&mut write, "unread").await;
        world.sleep_until(world.now().plus_ms(5)).await;
        drop((my_read, my_write));
        world.sleep_until(world.now().plus_ms(5)).await;
        assert_eq!(read.read(Vec::with_capacity(9)).await.0.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(write.write(vec![1]).await.0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn data_for_a_closed_socket_is_answered_with_a_reset() {
    between(|world, mine, theirs| async move {
        let closer = theirs.closer();
        let (mut read, mut write) = theirs.split();
        drop(mine);
        assert_eq!(receive(&mut read).await, "");
        assert!(!closer.is_reset());
        send(&mut write, "anyone?").await;
        world.sleep_until(world.now().plus_ms(5)).await;
        assert!(closer.is_reset());
        assert_eq!(write.write(vec![1]).await.0.unwrap_err().kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_closer_ends_both_directions_of_its_own_side() {
    between(|world, mine, theirs| async move {
        let closer = mine.closer();
        let ((mut my_read, mut my_write), (mut read, _write)) = (mine.split(), theirs.split());
        let (timer, ends) = (world.clone(), closer.clone());
        world.spawn("sweep", async move {
            timer.sleep_until(timer.now().plus_ms(10)).await;
            ends.close();
        });
        // The window is 4096: this write waits until the closer ends it.
        let (first, _) = my_write.write(vec![0; 9_000]).await;
        assert_eq!(first.unwrap(), 4_096);
        let (second, _) = my_write.write(vec![0; 9_000]).await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(receive(&mut my_read).await, "");
        assert_eq!(world.now(), Instant(12_000_000));
        let (outcome, _) = read.read(Vec::with_capacity(9_000)).await;
        assert_eq!(outcome.unwrap(), 4_096);
        assert_eq!(receive(&mut read).await, "");
        assert!(!closer.is_reset());
        drop((my_read, my_write));
        closer.close();
    });
}

#[test]
fn a_closer_ends_a_read_that_waits() {
    between(|world, mine, theirs| async move {
        let closer = mine.closer();
        let ((mut read, _write), _other_end) = (mine.split(), theirs);
        let timer = world.clone();
        world.spawn("sweep", async move {
            timer.sleep_until(timer.now().plus_ms(10)).await;
            closer.close();
        });
        assert_eq!(receive(&mut read).await, "");
        assert_eq!(world.now(), Instant(12_000_000));
    });
}

#[test]
fn an_abort_is_a_reset_for_the_peer() {
    between(|world, mine, theirs| async move {
        let (mine_closer, closer) = (mine.closer(), theirs.closer());
        let (mut read, _write) = theirs.split();
        mine_closer.abort();
        world.sleep_until(world.now().plus_ms(5)).await;
        assert!(closer.is_reset());
        assert_eq!(read.read(Vec::with_capacity(9)).await.0.unwrap_err().kind(), ErrorKind::ConnectionReset);
        drop(mine);
    });
}

#[test]
fn a_full_window_stops_the_writer_until_the_reader_reads() {
    between(|world, mine, theirs| async move {
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        assert_eq!(write.write(vec![7; 5_000]).await.0.unwrap(), 4_096);
        abandon(write.write(vec![7; 1])).await;
        world.sleep_until(world.now().plus_ms(2)).await;
        assert_eq!(read.read(Vec::with_capacity(96)).await.0.unwrap(), 96);
        drop(write);
    });
}

#[test]
fn gathering_and_scattering_keep_the_order() {
    between(|_, mine, theirs| async move {
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        let (outcome, _) = write.writev(VecBuf::from(vec![b"one ".to_vec(), vec![], b"two ".to_vec(), b"three".to_vec()])).await;
        assert_eq!(outcome.unwrap(), 13);
        let (outcome, pieces) = read.readv(VecBuf::from(vec![vec![0; 3], vec![0; 7], vec![0; 9]])).await;
        assert_eq!(outcome.unwrap(), 13);
        let pieces: Vec<Vec<u8>> = pieces.into();
        assert_eq!(pieces, [b"one".to_vec(), b" two th".to_vec(), b"ree".to_vec()]);
    });
}

#[test]
fn an_abandoned_read_poisons_the_stream_and_an_abandoned_readable_does_not() {
    between(|_, mine, theirs| async move {
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        abandon(read.readable()).await;
        send(&mut write, "fine").await;
        assert_eq!(receive(&mut read).await, "fine");
    });
    let trace = between_with(|_, mine, theirs| async move {
        let ((mut read, _w), _other_end) = (mine.split(), theirs);
        abandon(read.read(Vec::with_capacity(9))).await;
        receive(&mut read).await;
    });
    assert!(trace.violations[0].contains("task `play` panicked: read on a stream whose earlier read was dropped"), "{trace:?}");
    let trace = between_with(|_, mine, theirs| async move {
        let ((mut read, _w), _other_end) = (mine.split(), theirs);
        drop(read.read(Vec::with_capacity(9)));
        receive(&mut read).await;
    });
    assert_eq!(trace.violations.len(), 1, "a read that was begun counts, polled or not");
}

#[test]
fn a_read_without_room_is_a_mistake() {
    let trace = between_with(|_, mine, _theirs| async move {
        let (mut read, _w) = mine.split();
        let _ = read.read(Vec::new()).await;
    });
    assert!(trace.violations[0].contains("without room"), "{trace:?}");
}

#[test]
fn nobody_abandons_anything_at_the_end_of_the_world() {
    let near = Sim::new(1);
    let far = near.host();
    spawn_echo(&far, PORT);
    let world = near.clone();
    near.spawn("waits for ever", async move {
        let (mut read, _write) = world.connect(far.at(PORT)).await.unwrap().split();
        receive(&mut read).await;
    });
    let ended = near.run(Instant(1_000_000_000));
    assert_eq!((near.live_tasks(), near.open_connections()), (3, 1));
    assert_eq!(near.finish(ended).violations, [""; 0]);
}

#[test]
fn connecting_meets_refusal_cuts_and_full_backlogs() {
    let near = Sim::new(1);
    let far = near.host();
    near.link(&far, |link| link.latency_us = 1_000);
    let (world, log) = (near.clone(), Rc::new(RefCell::new(Vec::new())));
    let entries = log.clone();
    near.spawn("play", async move {
        let note = |what: &str, world: &Sim| entries.borrow_mut().push(format!("{what} at {} ms", world.now().as_ms()));
        let error = world.connect(far.at(1)).await.err().unwrap();
        note(&format!("{error:?}"), &world);
        let mut listener = far.listen_with(far.at(PORT), 1).unwrap();
        world.link(&far, |link| link.refused = true);
        let error = world.connect(far.at(PORT)).await.err().unwrap();
        note(&format!("{error:?}"), &world);
        // Cut for 2.5 s: the SYNs of 0 and 1 s are lost, the third (after 2 more seconds) comes through.
        world.link(&far, |link| (link.refused, link.blocked_until) = (false, 2_500_000_000));
        let first = world.connect(far.at(PORT)).await.unwrap();
        note("connected", &world);
        let (other, to) = (world.clone(), far.at(PORT));
        let waiting = entries.clone();
        world.spawn("second", async move {
            let _second = other.connect(to).await.unwrap();
            waiting.borrow_mut().push(format!("second at {} ms", other.now().as_ms()));
        });
        world.sleep_until(world.now().plus_ms(500)).await;
        let _first_there = listener.accept().await.unwrap();
        let _second_there = listener.accept().await.unwrap();
        drop(first);
        // Connections that nobody accepted are reset when their listener goes.
        let third = world.connect(far.at(PORT)).await.unwrap();
        drop(listener);
        world.sleep_until(world.now().plus_ms(5)).await;
        note(if third.closer().is_reset() { "reset" } else { "alive" }, &world);
    });
    let ended = near.run(Instant(60_000_000_000));
    let trace = near.finish(ended);
    assert_eq!((trace.violations.len(), trace.tally.refused, trace.tally.backlog_full), (0, 2, 1), "{trace:?}");
    let expected =
        ["Kind(ConnectionRefused) at 2 ms", "Kind(ConnectionRefused) at 4 ms", "connected at 3008 ms", "second at 4011 ms"];
    assert_eq!(log.borrow()[..4], expected);
    assert!(log.borrow()[4].starts_with("reset"), "{log:?}");
}

#[test]
fn a_cut_holds_bytes_back_until_it_heals() {
    between(|world, mine, theirs| async move {
        let far = far(&world);
        let ((_r, mut write), (mut read, _w)) = (mine.split(), theirs.split());
        world.link(&far, |link| link.blocked_until = 30_000_000_000);
        send(&mut write, "late").await;
        world.heal_at(Instant(20_000_000_000));
        assert_eq!(receive(&mut read).await, "late");
        assert_eq!(world.now(), Instant(20_000_000_000));
    });
}

#[test]
fn listeners_share_an_address() {
    let near = Sim::new(1);
    let far = near.host();
    let taken = Rc::new(RefCell::new([0; 2]));
    for shard in 0..2 {
        let (mut listener, taken) = (far.listen(far.at(PORT)).unwrap(), taken.clone());
        near.spawn("shard", async move {
            while listener.accept().await.is_ok() {
                taken.borrow_mut()[shard] += 1;
            }
        });
    }
    let world = near.clone();
    near.spawn("client", async move {
        for _ in 0..100 {
            world.connect(far.at(PORT)).await.unwrap();
        }
    });
    near.run(Instant::NEVER);
    let [a, b] = *taken.borrow();
    assert!(a + b == 100 && a > 20 && b > 20, "{a} {b}");
}

#[test]
fn names_resolve_when_they_are_known() {
    let near = Sim::new(1);
    let far = near.host();
    near.name("node.example", &[near.at(0).ip(), far.at(0).ip()], Instant(5));
    assert_eq!(near.addresses("10.0.0.9", 1)[..], ["10.0.0.9:1".parse().unwrap()]);
    assert!(near.addresses("node.example", 1).is_empty() && near.addresses("other.example", 1).is_empty());
    let world = near.clone();
    near.spawn("later", async move {
        world.sleep_until(Instant(5)).await;
        assert_eq!(world.addresses("node.example", 1)[..], [world.at(1), far.at(1)]);
    });
    let ended = near.run(Instant::NEVER);
    assert_eq!(near.finish(ended).violations, [""; 0]);
}

#[test]
fn a_panic_ends_its_task_only_and_has_a_name() {
    let sim = Sim::new(1);
    let world = sim.clone();
    sim.spawn("doomed", async { panic!("by {}", "design") });
    sim.spawn("other", async move { world.sleep_until(Instant(7)).await });
    assert_eq!(sim.run(Instant::NEVER), Ended::Idle);
    let trace = sim.finish(Ended::Idle);
    assert_eq!((trace.now, trace.violations.len()), (7, 1));
    assert!(trace.violations[0].contains("task `doomed` panicked: by design (tests/sim/world_tests.rs:"), "{trace:?}");
}

#[test]
fn a_task_that_wakes_itself_is_a_livelock() {
    let sim = Sim::new(1);
    sim.spawn(
        "spinner",
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        }),
    );
    assert_eq!(sim.run(Instant::NEVER), Ended::Livelock);
    assert!(sim.finish(Ended::Livelock).violations[0].contains("`spinner` woke itself"));
}

#[test]
fn timers_fire_in_order_and_a_dropped_one_is_forgotten() {
    let sim = Sim::new(3);
    let order = Rc::new(RefCell::new(Vec::new()));
    for ms in [30, 10, 20] {
        let (world, order) = (sim.clone(), order.clone());
        sim.spawn("sleeper", async move {
            let forgotten = world.sleep_until(Instant::ZERO.plus_ms(5_000));
            abandon(forgotten).await;
            world.sleep_until(Instant::ZERO.plus_ms(ms)).await;
            order.borrow_mut().push((ms, world.now().as_ms()));
        });
    }
    assert_eq!(sim.run(Instant::ZERO.plus_ms(100)), Ended::Deadline);
    assert_eq!(*order.borrow(), [(10, 10), (20, 20), (30, 30)]);
}

#[test]
fn stalls_make_everybody_late_and_end_when_they_should() {
    let sim = Sim::new(3);
    sim.stall(Stalls { ppm: 1_000_000, longest: 50_000_000, until: 1_000_000_000 });
    let world = sim.clone();
    let late = Rc::new(RefCell::new((0, 0)));
    let note = late.clone();
    sim.spawn("sleeper", async move {
        for tick in 1..200 {
            let at = Instant::ZERO.plus_ms(tick * 10).max(world.now());
            world.sleep_until(at).await;
            let by = world.now().since(at).as_nanos();
            let mut note = note.borrow_mut();
            if at < Instant(1_000_000_000) { note.0 += by } else { note.1 += by }
        }
    });
    sim.run(Instant::NEVER);
    assert!(late.borrow().0 > 100_000_000 && late.borrow().1 == 0, "{late:?}");
}
