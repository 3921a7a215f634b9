//! Datagrams: lost, repeated, late and out of order as their link wants it; a socket that is not read drops what comes.
//!
//! Nothing tells a sender what became of one. A cut link loses them in both directions, or towards one of its ends only, which is
//! what half a network looks like. Everything that is sent can be taped, and sent again by somebody else under any address.

use super::executor::Event;
use super::network::Host;
use super::{Sim, WALL_START_MS};
use lasso::runtime::world::{Datagrams, WallTime, World};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What a socket holds unread (Linux's default buffer, in small datagrams).
const UNREAD: usize = 512;
const LARGEST: usize = 65_507;

#[derive(Default)]
struct Unread {
    letters: VecDeque<(SocketAddr, Vec<u8>)>,
    overflowed: u64,
    reader: Option<Waker>,
}

#[derive(Clone)]
pub struct Letter {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// What all hosts' datagrams go through.
#[derive(Default)]
pub struct Post {
    /// With the binding's number.
    bound: HashMap<SocketAddr, (u64, Unread)>,
    next_binding: u64,
    under_way: Slab<Letter>,
    next_port: u16,
    tape: Option<Vec<Letter>>,
    /// Milliseconds by which a host's clock is wrong.
    skews: HashMap<Host, i64>,
    pub tally: PostTally,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct PostTally {
    pub sent: u64,
    pub lost: u64,
    pub repeated: u64,
    pub dropped: u64,
}

pub struct Binding {
    sim: Sim,
    at: SocketAddr,
    number: u64,
}

impl Binding {
    /// Its process lives.
    fn is_bound(&self) -> bool {
        self.sim.post().bound.get(&self.at).is_some_and(|(number, _)| *number == self.number)
    }
}

/// Clones are the same socket, which is free when the last one goes.
#[derive(Clone)]
pub struct SimDatagrams(Rc<Binding>);

impl Drop for Binding {
    fn drop(&mut self) {
        if !self.sim.is_tearing() && self.is_bound() {
            self.sim.post().bound.remove(&self.at);
        }
    }
}

/// The law that no read is abandoned, for datagrams.
struct Unfinished<'a>(&'a Sim);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if !self.0.is_tearing() && !std::thread::panicking() {
            self.0.violation("a receive was abandoned: on io_uring it may have taken a datagram".to_owned());
        }
    }
}

impl Datagrams for SimDatagrams {
    fn local(&self) -> io::Result<SocketAddr> {
        Ok(self.0.at)
    }

    async fn receive(&self, mut buffer: Vec<u8>) -> (io::Result<SocketAddr>, Vec<u8>) {
        let binding = &self.0;
        let unfinished = Unfinished(&binding.sim);
        let (from, bytes) = poll_fn(|cx| {
            let mut post = binding.sim.post();
            let mine = post.bound.get_mut(&binding.at).filter(|(number, _)| *number == binding.number);
            let Some((_, unread)) = mine else { return Poll::Pending };
            match unread.letters.pop_front() {
                Some(letter) => Poll::Ready(letter),
                None => {
                    unread.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await;
        std::mem::forget(unfinished);
        let room = buffer.capacity();
        buffer.clear();
        buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        (Ok(from), buffer)
    }

    fn overflowed(&self) -> u64 {
        let binding = &self.0;
        binding.sim.post().bound.get(&binding.at).map_or(0, |(_, unread)| unread.overflowed)
    }

    async fn send(&self, datagram: Vec<u8>, to: SocketAddr) -> io::Result<()> {
        if datagram.len() > LARGEST {
            return Err(io::Error::from_raw_os_error(90)); // EMSGSIZE
        }
        if self.0.is_bound() {
            self.0.sim.mail(Letter { from: self.0.at, to, bytes: datagram });
        }
        Ok(())
    }
}

impl Sim {
    pub(super) fn bind_datagrams(&self, at: SocketAddr) -> io::Result<SimDatagrams> {
        let mut at = at;
        if at.ip().is_unspecified() {
            at.set_ip(self.id().ip());
        }
        let mut post = self.post();
        if at.port() == 0 {
            post.next_port += 1;
            at.set_port(30_000 + post.next_port);
        }
        if post.bound.contains_key(&at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        post.next_binding += 1;
        let number = post.next_binding;
        post.bound.insert(at, (number, Unread::default()));
        Ok(SimDatagrams(Rc::new(Binding { sim: self.clone(), at, number })))
    }

    /// The process that holds `at` is killed: what it sends goes nowhere, and another one may bind the address.
    pub fn kill_datagrams(&self, at: SocketAddr) {
        self.post().bound.remove(&at);
    }

    fn mail(&self, letter: Letter) {
        self.say(|| format!("{} sends {} bytes to {}", letter.from, letter.bytes.len(), letter.to));
        if let Some(tape) = &mut self.post().tape {
            tape.push(letter.clone());
        }
        self.forge(letter);
    }

    /// Gives a letter to the network, from whoever it says; it is not taped.
    pub fn forge(&self, letter: Letter) {
        self.post().tally.sent += 1;
        let Some(from) = Host::of(letter.from.ip()) else { return };
        let copies = {
            let mut network = self.network();
            let index = network.link_index(from, letter.to.ip());
            let (faulty, now, link) = (network.is_faulty(), self.now().0, *network.link(index));
            let is_cut = link.blocked_until > now || link.deaf == Host::of(letter.to.ip());
            match () {
                () if !faulty => 1,
                () if is_cut || network.draw_chance(link.lost_ppm) => 0,
                () if network.draw_chance(link.twice_ppm) => 2,
                () => 1,
            }
        };
        let mut post = self.post();
        post.tally.lost += u64::from(copies == 0);
        post.tally.repeated += u64::from(copies == 2);
        drop(post);
        for _ in 0..copies {
            let travel = {
                let mut network = self.network();
                let index = network.link_index(from, letter.to.ip());
                network.one_way(index)
            };
            let place = self.post().under_way.insert(letter.clone());
            self.shared.executor.plan(self.now().0 + travel, Event::Post { letter: place });
        }
    }

    /// A letter arrives.
    pub(super) fn deliver_letter(&self, place: usize) {
        let mut post = self.post();
        let Some(letter) = post.under_way.try_remove(place) else { return };
        self.say(|| format!("{} bytes from {} reach {}", letter.bytes.len(), letter.from, letter.to));
        let waker = match post.bound.get_mut(&letter.to) {
            Some((_, unread)) if unread.letters.len() < UNREAD => {
                unread.letters.push_back((letter.from, letter.bytes));
                unread.reader.take()
            }
            unheard => {
                unheard.into_iter().for_each(|(_, unread)| unread.overflowed += 1);
                post.tally.dropped += 1;
                None
            }
        };
        drop(post);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Begins to tape every datagram.
    pub fn tape(&self) {
        self.post().tape = Some(Vec::new());
    }

    /// What was taped so far.
    pub fn taped(&self) -> Vec<Letter> {
        self.post().tape.clone().unwrap_or_default()
    }

    /// Sets this host's clock wrong.
    pub fn skew_clock(&self, ms: i64) {
        self.post().skews.insert(self.id(), ms);
    }

    pub(super) fn wall_here(&self) -> WallTime {
        let skew = self.post().skews.get(&self.id()).copied().unwrap_or(0);
        WallTime((WALL_START_MS + self.now().as_ms()).saturating_add_signed(skew))
    }
}
