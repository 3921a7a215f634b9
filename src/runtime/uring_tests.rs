//! The production world on both drivers.

use super::*;
use crate::runtime::bytes_io::{read_more, write_all};
use monoio::io::{AsyncReadRent, AsyncWriteRent};

/// Runs `make` on io_uring (or what the kernel grants) and on epoll.
fn on_both<F: Future<Output = ()>>(make: impl Fn(Uring) -> F) {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let ((), report) = run(ShardOptions { driver, ..Default::default() }, &make).expect("a driver");
        assert!(driver != DriverChoice::Epoll || report.driver == Driver::Epoll);
    }
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn pair(world: &Uring) -> (TcpPair, TcpPair) {
    let mut listener = world.listen(any_port()).unwrap();
    let client = world.connect(listener.address()).await.unwrap();
    (client, listener.accept().await.unwrap())
}

fn after_ms(world: &Uring, ms: u64) -> Instant {
    world.now().plus_ms(ms)
}

/// Waits until `done`, for seconds if the machine is busy.
async fn eventually(world: &Uring, done: impl Fn() -> bool) {
    let give_up = after_ms(world, 10_000);
    while !done() {
        assert!(world.now() < give_up, "never happened");
        world.sleep_until(after_ms(world, 2)).await;
    }
}

#[test]
fn echo() {
    on_both(|world| async move {
        let mut listener = world.listen(any_port()).unwrap();
        let to = listener.address();
        world.spawn("echo", async move {
            let stream = listener.accept().await.unwrap();
            assert!(stream.peer().ip().is_loopback() && stream.peer().port() != 0);
            let (mut read, mut write) = stream.split();
            let mut buf = Vec::with_capacity(1000);
            loop {
                let (n, back) = read.read(buf).await;
                if n.unwrap() == 0 {
                    return;
                }
                let (done, back) = write_all(&mut write, back).await;
                done.unwrap();
                buf = back;
            }
        });
        let stream = world.connect(to).await.unwrap();
        assert_eq!(stream.peer(), to);
        let (mut read, mut write) = stream.split();
        for size in [1usize, 999, 1000, 100_000] {
            let sent: Vec<u8> = (0..size).map(|i| i as u8).collect();
            let (done, sent) = write_all(&mut write, sent).await;
            done.unwrap();
            let mut got = Vec::with_capacity(size);
            while got.len() < size {
                let (n, back) = read_more(&mut read, got).await;
                assert_ne!(n.unwrap(), 0);
                got = back;
            }
            assert!(got == sent, "{size} bytes came back changed");
        }
    });
}

#[test]
fn a_closer_wakes_every_pending_read_write_and_wait() {
    on_both(|world| async move {
        let woken = Rc::new(Cell::new(0));
        let (mut closers, mut peers) = (Vec::new(), Vec::new());
        for i in 0..150 {
            let (stream, peer) = pair(&world).await;
            closers.push(stream.closer());
            peers.push(peer);
            let (mut read, mut write) = stream.split();
            let woken = woken.clone();
            world.spawn("waiter", async move {
                match i % 3 {
                    0 => assert_eq!(read.read(Vec::with_capacity(10)).await.0.unwrap(), 0),
                    1 => read.readable().await.unwrap(),
                    _ => assert!(write_all(&mut write, vec![0; 64 << 20]).await.0.is_err()),
                }
                woken.set(woken.get() + 1);
            });
        }
        world.sleep_until(after_ms(&world, 30)).await;
        assert_eq!(woken.get(), 0);
        closers.iter().for_each(Closer::close);
        eventually(&world, || woken.get() == 150 || world.panics().total() > 0).await;
        assert_eq!(world.panics().by_name(), []);
        closers.iter().for_each(Closer::close); // their streams are gone
        assert!(closers.iter().all(|c| !c.is_reset()));
    });
}

#[test]
fn is_reset_tells_a_reset_from_a_finished_sender() {
    on_both(|world| async move {
        let (client, server) = pair(&world).await;
        let closer = server.closer();
        assert!(!closer.is_reset(), "alive");
        let (client_read, mut client_write) = client.split();
        client_write.shutdown().await.unwrap();
        let (mut server_read, _server_write) = server.split();
        assert_eq!(server_read.read(Vec::with_capacity(1)).await.0.unwrap(), 0);
        assert!(!closer.is_reset(), "the client has only finished sending");
        // SAFETY: see `readable`; a linger of zero makes the coming close a reset.
        let raw = unsafe { &*client_read.0.get() };
        // SAFETY: the descriptor is open and `SockRef` borrows it for this statement only.
        let socket = unsafe { std::os::fd::BorrowedFd::borrow_raw(raw.as_raw_fd()) };
        socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
        drop((client_read, client_write));
        eventually(&world, || closer.is_reset()).await;
    });
}

#[test]
fn a_panicking_task_costs_itself_only() {
    on_both(|world| async move {
        world.spawn("bad", async { panic!("expected by this test") });
        let later = world.clone();
        world.spawn("bad", async move {
            later.sleep_until(after_ms(&later, 1)).await;
            panic!("expected by this test");
        });
        let alive = Rc::new(Cell::new(false));
        let (sets, sleeper) = (alive.clone(), world.clone());
        world.spawn("good", async move {
            sleeper.sleep_until(after_ms(&sleeper, 5)).await;
            sets.set(true);
        });
        eventually(&world, || alive.get() && world.panics().total() == 2).await;
        assert_eq!(world.panics().by_name(), [("bad", 2)]);
    });
}

#[test]
fn timers_fire_and_never_early() {
    on_both(|world| async move {
        let fired = Rc::new(Cell::new(0));
        for ms in [30, 10, 20, 0] {
            let (world2, fired) = (world.clone(), fired.clone());
            let at = after_ms(&world, ms);
            world.spawn("timer", async move {
                world2.sleep_until(at).await;
                assert!(world2.now() >= at, "{ms} ms fired early");
                fired.set(fired.get() + 1);
            });
        }
        let never = world.clone();
        world.spawn("never", async move { never.sleep_until(Instant::NEVER).await });
        eventually(&world, || fired.get() == 4 || world.panics().total() > 0).await;
        assert_eq!(world.panics().total(), 0);
    });
}

#[test]
fn a_given_listener_is_used_and_its_port_refused_to_strangers() {
    let ours = crate::runtime::listen::Listeners::bind(any_port(), 2, false).unwrap();
    ours.open().unwrap();
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        let listeners = vec![ours.of_shard(0).unwrap(), ours.of_shard(1).unwrap()];
        run(ShardOptions { driver, listeners, ..Default::default() }, |world| async move {
            let mut shards = [world.listen(ours_at(&world)).unwrap(), world.listen(ours_at(&world)).unwrap()];
            assert_eq!(world.listen(shards[0].address()).err().unwrap().kind(), io::ErrorKind::AddrInUse);
            let mut left = 0;
            for _ in 0..20 {
                drop(world.connect(shards[0].address()).await.unwrap());
                left += 1;
            }
            for shard in &mut shards {
                while left > 0 {
                    let patience = std::pin::pin!(world.sleep_until(after_ms(&world, 50)));
                    let accept = std::pin::pin!(shard.accept());
                    match futures_util::future::select(accept, patience).await {
                        futures_util::future::Either::Left((stream, _)) => drop(stream.unwrap()),
                        futures_util::future::Either::Right(_) => break,
                    }
                    left -= 1;
                }
            }
            assert_eq!(left, 0);
        })
        .unwrap();
    }
}

fn ours_at(world: &Uring) -> SocketAddr {
    world.0.listeners.borrow()[0].local_addr().unwrap()
}

#[test]
fn randomness_has_independent_streams() {
    on_both(|world| async move {
        let (mut a, mut b) = (world.rng(), world.rng());
        assert_ne!(a.next(), b.next());
        assert!(world.wall().0 > 1_700_000_000_000);
        assert!(world.addresses("unknown.invalid", 80).is_empty());
    });
}

/// What a socket's buffer does not hold is lost; that it was is known.
#[test]
fn datagrams_that_find_no_room_are_counted() {
    const SENT: u64 = 4_000;
    on_both(|world| async move {
        let socket = world.datagrams(any_port()).unwrap();
        assert_eq!(socket.overflowed(), 0);
        let sender = std::net::UdpSocket::bind(any_port()).unwrap();
        (0..SENT).for_each(|_| _ = sender.send_to(&[7; 1_200], socket.local().unwrap()).unwrap());
        let lost = socket.overflowed();
        assert!(lost > 0 && lost < SENT, "{lost}");
        for _ in lost..SENT {
            assert!(socket.receive(Vec::with_capacity(1_200)).await.0.is_ok());
        }
        assert_eq!(socket.overflowed(), lost);
    });
}
