//! Links, connections and listeners: TCP as an application sees it.
//!
//! Each connection is two directions. A write puts bytes on the wire as a segment with an arrival time (latency, jitter,
//! bandwidth, never before the segment ahead of it); arrived bytes wait for the reader; both together are bounded by the
//! window, so a slow reader stops its writer. The end of the stream and resets are segments too, so they stay in order.
//!
//! What Linux does and most simulators forget is kept: unread data at close makes it a reset, data that arrives at a
//! closed end is answered with a reset, a reset destroys what was not read yet, a full backlog drops the SYN.

use super::executor::{Event, Executor};
use lasso::base::rng::Rng;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Waker;

/// A machine of the simulated network; its address is `10.0.x.y`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Host(pub u16);

impl Host {
    pub fn ip(self) -> IpAddr {
        let [high, low] = self.0.to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    pub fn of(ip: IpAddr) -> Option<Host> {
        match ip {
            IpAddr::V4(ip) if ip.octets()[..2] == [10, 0] => Some(Host(u16::from_be_bytes([ip.octets()[2], ip.octets()[3]]))),
            _ => None,
        }
    }
}

/// How bytes fare between two hosts. Probabilities are per million.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// One way.
    pub latency_us: u64,
    /// Up to this is added to each segment, and to each step of a handshake.
    pub jitter_us: u64,
    /// Bytes per second and direction of a connection; 0 is without bound.
    pub bandwidth: u64,
    /// The same towards the listener, where that is another; 0 is `bandwidth`.
    pub uplink: u64,
    /// Bytes on the wire and unread, per direction.
    pub window: usize,
    /// A read or write that takes fewer bytes than it could.
    pub partial_ppm: u64,
    /// An arriving segment that ends the connection for both sides.
    pub reset_ppm: u64,
    /// The address answers connection attempts with a reset.
    pub refused: bool,
    /// Nothing arrives before this (ns): a cut that heals, or a clogged link.
    pub blocked_until: u64,
    /// Datagrams that never arrive, and that arrive twice.
    pub lost_ppm: u64,
    pub twice_ppm: u64,
    /// Datagrams towards this one never arrive.
    pub deaf: Option<Host>,
}

impl Link {
    pub const PLAIN: Link = Link {
        latency_us: 100,
        jitter_us: 0,
        bandwidth: 0,
        uplink: 0,
        window: 128 * 1024,
        partial_ppm: 0,
        reset_ppm: 0,
        refused: false,
        blocked_until: 0,
        lost_ppm: 0,
        twice_ppm: 0,
        deaf: None,
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Data(usize),
    End,
    Reset,
}

/// Bytes towards one end.
struct Direction {
    /// What has arrived (`arrived` bytes) and what is on its way.
    wire: VecDeque<u8>,
    arrived: usize,
    segments: VecDeque<(u64, Segment)>,
    /// The peer has finished and that is known here.
    ended: bool,
    /// A `Deliver` event is planned.
    armed: bool,
    last_arrival: u64,
    sender_free: u64,
}

/// One end's socket.
struct End {
    /// Halves not dropped yet; at 0 the socket is closed.
    handles: u8,
    /// The end of its stream was sent.
    finished: bool,
    /// Shut down in both directions by its closer.
    shut: bool,
    reset: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    local: SocketAddr,
}

pub struct Connection {
    generation: u64,
    link: usize,
    /// Indexed by the end that the bytes go to.
    towards: [Direction; 2],
    ends: [End; 2],
}

/// The end that accepted.
const LISTENER: usize = 1;

/// What a machine has run out of: its own `connect` and `accept` fail, whatever the other side does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scarce {
    /// EMFILE, at `accept` too.
    Descriptors,
    /// ENFILE, at `accept` too.
    Files,
    /// EADDRNOTAVAIL: no local port is free.
    Ports,
    /// ENOBUFS.
    Buffers,
    /// ENOMEM.
    Memory,
    /// ENETDOWN.
    Network,
}

impl Scarce {
    pub const ALL: [Scarce; 6] =
        [Scarce::Descriptors, Scarce::Files, Scarce::Ports, Scarce::Buffers, Scarce::Memory, Scarce::Network];

    pub fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Scarce::Descriptors => libc::EMFILE,
            Scarce::Files => libc::ENFILE,
            Scarce::Ports => libc::EADDRNOTAVAIL,
            Scarce::Buffers => libc::ENOBUFS,
            Scarce::Memory => libc::ENOMEM,
            Scarce::Network => libc::ENETDOWN,
        })
    }

    fn hinders_accept(self) -> bool {
        matches!(self, Scarce::Descriptors | Scarce::Files)
    }
}

/// Connections that no one has accepted yet.
pub struct Backlog {
    pub host: Host,
    pub waiting: VecDeque<Socket>,
    pub limit: usize,
    pub acceptor: Option<Waker>,
}

/// Names one end of one connection; the generation tells a reused slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Socket {
    pub slot: usize,
    pub generation: u64,
    pub end: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    Reset,
    BrokenPipe,
}

pub struct Network {
    pub connections: Slab<Connection>,
    links: Vec<Link>,
    link_of: HashMap<(Host, Host), usize>,
    /// What a host has run out of, and until when (ns).
    scarce: HashMap<Host, (Scarce, u64)>,
    listeners: HashMap<SocketAddr, Vec<usize>>,
    pub backlogs: Slab<Backlog>,
    pub draw: Rng,
    next_generation: u64,
    next_port: u16,
    pub executor: Rc<Executor>,
    /// Faults happen only before this (ns); afterwards the world is healed.
    pub faults_until: u64,
    pub tally: Tally,
}

/// What happened, so that a test can show that its faults were really there.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Tally {
    pub connections: u64,
    pub segments: u64,
    pub resets_injected: u64,
    pub resets_sent: u64,
    pub partial_reads: u64,
    pub partial_writes: u64,
    pub refused: u64,
    pub backlog_full: u64,
    /// Connections not made, or not accepted, for want of something of one's own.
    pub scarce: u64,
}

impl Network {
    pub fn new(draw: Rng, executor: Rc<Executor>) -> Network {
        Network {
            connections: Slab::new(),
            links: vec![Link::PLAIN],
            link_of: HashMap::new(),
            scarce: HashMap::new(),
            listeners: HashMap::new(),
            backlogs: Slab::new(),
            draw,
            next_generation: 0,
            next_port: 20_000,
            executor,
            faults_until: u64::MAX,
            tally: Tally::default(),
        }
    }

    /// The link between two hosts, in either direction; made from the default one when first named.
    pub fn link_mut(&mut self, a: Host, b: Host) -> &mut Link {
        let fresh = self.links.len();
        let index = *self.link_of.entry((a.min(b), a.max(b))).or_insert(fresh);
        if index == fresh {
            self.links.push(self.links[0]);
        }
        &mut self.links[index]
    }

    pub fn link_index(&mut self, from: Host, to: IpAddr) -> usize {
        let Some(to) = Host::of(to) else { return 0 };
        self.link_of.get(&(from.min(to), from.max(to))).copied().unwrap_or(0)
    }

    pub fn link(&self, index: usize) -> &Link {
        &self.links[index]
    }

    /// One step of a handshake, in ns.
    pub fn one_way(&mut self, link: usize) -> u64 {
        let link = self.links[link];
        (link.latency_us + self.draw.below(link.jitter_us + 1)) * 1000
    }

    pub fn exhaust(&mut self, host: Host, of: Scarce, until: u64) {
        self.scarce.insert(host, (of, until));
    }

    /// What `host` lacks to connect (or to accept) now.
    pub fn lacking(&mut self, host: Host, accepting: bool) -> Option<Scarce> {
        let (of, until) = *self.scarce.get(&host)?;
        let lacks = self.executor.now() < until && (!accepting || of.hinders_accept());
        lacks.then(|| {
            self.tally.scarce += 1;
            of
        })
    }

    fn faulty(&self) -> bool {
        self.executor.now() < self.faults_until
    }

    pub fn is_faulty(&self) -> bool {
        self.faulty()
    }

    pub fn draw_chance(&mut self, ppm: u64) -> bool {
        ppm > 0 && self.draw.chance(ppm)
    }

    // --- listeners ---

    pub fn listen(&mut self, host: Host, mut at: SocketAddr, limit: usize) -> usize {
        if at.ip().is_unspecified() {
            at.set_ip(host.ip());
        }
        let backlog = self.backlogs.insert(Backlog { host, waiting: VecDeque::new(), limit, acceptor: None });
        self.listeners.entry(at).or_default().push(backlog);
        backlog
    }

    /// Forgets a listener; returns the connections that nobody accepted, which the caller resets.
    pub fn unlisten(&mut self, backlog: usize) -> Vec<Socket> {
        self.listeners.values_mut().for_each(|list| list.retain(|b| *b != backlog));
        self.backlogs.try_remove(backlog).map(|b| b.waiting.into()).unwrap_or_default()
    }

    /// One of the listeners that share the address, as SO_REUSEPORT would choose.
    pub fn listener(&mut self, at: SocketAddr) -> Option<usize> {
        let list = self.listeners.get(&at).filter(|list| !list.is_empty())?;
        Some(list[self.draw.below(list.len() as u64) as usize])
    }

    /// Makes a connection and returns (its caller's end, its listener's end).
    pub fn establish(&mut self, link: usize, from: Host, to: SocketAddr) -> (Socket, Socket) {
        let generation = self.next_generation;
        self.next_generation += 1;
        self.next_port = if self.next_port >= 60_000 { 20_000 } else { self.next_port + 1 };
        let now = self.executor.now();
        let direction = || Direction {
            wire: VecDeque::new(),
            arrived: 0,
            segments: VecDeque::new(),
            ended: false,
            armed: false,
            last_arrival: now,
            sender_free: now,
        };
        let end = |local| End { handles: 2, finished: false, shut: false, reset: false, reader: None, writer: None, local };
        let ends = [end(SocketAddr::new(from.ip(), self.next_port)), end(to)];
        let slot = self.connections.insert(Connection { generation, link, towards: [direction(), direction()], ends });
        self.tally.connections += 1;
        self.executor.mix(generation);
        (Socket { slot, generation, end: 0 }, Socket { slot, generation, end: 1 })
    }

    // --- one end's operations ---

    fn get(&mut self, socket: Socket) -> Option<&mut Connection> {
        self.connections.get_mut(socket.slot).filter(|c| c.generation == socket.generation)
    }

    pub fn peer(&self, socket: Socket) -> Option<SocketAddr> {
        let connection = self.connections.get(socket.slot).filter(|c| c.generation == socket.generation)?;
        Some(connection.ends[1 - socket.end].local)
    }

    pub fn is_reset(&self, socket: Socket) -> bool {
        self.connections.get(socket.slot).is_some_and(|c| c.generation == socket.generation && c.ends[socket.end].reset)
    }

    /// `Some(n)`: a read would give up to `n` bytes, 0 for the end. `None`: it would wait, and `waker` is told.
    pub fn poll_readable(&mut self, socket: Socket, waker: &Waker) -> Option<Result<usize, Trouble>> {
        let Some(connection) = self.get(socket) else { return Some(Err(Trouble::BrokenPipe)) };
        let (direction, end) = (&connection.towards[socket.end], &mut connection.ends[socket.end]);
        if end.reset {
            Some(Err(Trouble::Reset))
        } else if direction.arrived > 0 {
            Some(Ok(direction.arrived))
        } else if direction.ended || end.shut {
            Some(Ok(0))
        } else {
            store(&mut end.reader, waker);
            None
        }
    }

    /// How many of `available` bytes this operation takes: usually all, with faults any number from 1.
    pub fn portion(&mut self, socket: Socket, available: usize, reading: bool) -> usize {
        let Some(link) = self.get(socket).map(|c| c.link) else { return available };
        let partial = self.links[link].partial_ppm;
        if available < 2 || partial == 0 || !self.faulty() || !self.draw.chance(partial) {
            return available;
        }
        let counter = if reading { &mut self.tally.partial_reads } else { &mut self.tally.partial_writes };
        *counter += 1;
        // Half of the short ones are very short: that is where parsers that resume go wrong.
        let most = if self.draw.chance(500_000) { available.min(8) } else { available };
        1 + self.draw.below(most as u64) as usize
    }

    /// The arrived bytes, of which `fill` takes `n` off the front; then the writer has room again.
    pub fn take(&mut self, socket: Socket, n: usize, fill: impl FnOnce(&mut VecDeque<u8>, usize)) {
        self.executor.mix(n as u64);
        let Some(connection) = self.connections.get_mut(socket.slot).filter(|c| c.generation == socket.generation) else {
            return;
        };
        let direction = &mut connection.towards[socket.end];
        fill(&mut direction.wire, n);
        direction.arrived -= n;
        let held = direction.wire.len();
        let window = self.links[connection.link].window;
        if window.saturating_sub(held) >= window.div_ceil(4)
            && let Some(waker) = connection.ends[1 - socket.end].writer.take()
        {
            waker.wake();
        }
    }

    /// How many bytes a write may put on the wire now; `None`: it must wait, and `waker` is told.
    pub fn poll_writable(&mut self, socket: Socket, waker: &Waker) -> Option<Result<usize, Trouble>> {
        let window = self.get(socket).map(|c| c.link).map_or(0, |link| self.links[link].window.max(1));
        let Some(connection) = self.get(socket) else { return Some(Err(Trouble::BrokenPipe)) };
        let (direction, end) = (&connection.towards[1 - socket.end], &mut connection.ends[socket.end]);
        if end.reset {
            return Some(Err(Trouble::Reset));
        }
        if end.finished || end.shut {
            return Some(Err(Trouble::BrokenPipe));
        }
        let room = window.saturating_sub(direction.wire.len());
        // As Linux does: a writer that had to wait goes on when there is room worth a segment.
        if room < window.div_ceil(4) {
            store(&mut end.writer, waker);
            return None;
        }
        Some(Ok(room))
    }

    /// Puts `n` bytes on the wire, appended by `drain`.
    pub fn put(&mut self, socket: Socket, n: usize, drain: impl FnOnce(&mut VecDeque<u8>, usize)) {
        self.executor.mix(n as u64);
        let Some(connection) = self.get(socket) else { return };
        drain(&mut connection.towards[1 - socket.end].wire, n);
        self.send(socket, Segment::Data(n));
    }

    /// Sends the end of the stream (once).
    pub fn finish(&mut self, socket: Socket) {
        let Some(end) = self.get(socket).map(|c| &mut c.ends[socket.end]) else { return };
        if !std::mem::replace(&mut end.finished, true) && !end.reset {
            self.send(socket, Segment::End);
        }
    }

    /// `shutdown(SHUT_RDWR)`: what has arrived can still be read, then the end; writes fail; the peer sees the end.
    pub fn shut(&mut self, socket: Socket) {
        self.finish(socket);
        let Some(end) = self.get(socket).map(|c| &mut c.ends[socket.end]) else { return };
        end.shut = true;
        end.wake();
    }

    /// Ends the connection at once with a reset, as SO_LINGER 0 does.
    pub fn abort(&mut self, socket: Socket) {
        let Some(end) = self.get(socket).map(|c| &mut c.ends[socket.end]) else { return };
        (end.finished, end.shut) = (true, true);
        end.wake();
        self.send_reset(socket);
    }

    /// A half was dropped. With the second one the socket closes: politely, or by a reset when data was left unread.
    pub fn drop_half(&mut self, socket: Socket) {
        let Some(connection) = self.get(socket) else { return };
        let end = &mut connection.ends[socket.end];
        end.handles -= 1;
        if end.handles > 0 {
            return;
        }
        (end.reader, end.writer) = (None, None);
        let unread = connection.towards[socket.end].arrived > 0 && !end.reset;
        if connection.ends[1 - socket.end].handles == 0 {
            self.connections.remove(socket.slot);
        } else if unread {
            self.send_reset(socket);
        } else {
            self.finish(socket);
        }
    }

    fn send_reset(&mut self, socket: Socket) {
        let Some(connection) = self.get(socket) else { return };
        let out = &mut connection.towards[1 - socket.end];
        if out.segments.back().is_some_and(|s| s.1 == Segment::Reset) || connection.ends[1 - socket.end].reset {
            return;
        }
        connection.ends[socket.end].finished = true;
        self.tally.resets_sent += 1;
        self.send(socket, Segment::Reset);
    }

    // --- the wire ---

    fn send(&mut self, socket: Socket, segment: Segment) {
        let now = self.executor.now();
        let Some(link) = self.get(socket).map(|c| c.link) else { return };
        let Link { bandwidth, uplink, .. } = self.links[link];
        let travel = self.one_way(link);
        let to = 1 - socket.end;
        let Some(connection) = self.get(socket) else { return };
        let direction = &mut connection.towards[to];
        let bytes = if let Segment::Data(n) = segment { n as u64 } else { 0 };
        let bandwidth = if to == LISTENER && uplink > 0 { uplink } else { bandwidth };
        let sending = (bytes * 1_000_000_000).checked_div(bandwidth).unwrap_or(0);
        direction.sender_free = direction.sender_free.max(now) + sending;
        let arrival = (direction.sender_free + travel).max(direction.last_arrival);
        direction.last_arrival = arrival;
        direction.segments.push_back((arrival, segment));
        if !std::mem::replace(&mut direction.armed, true) {
            let event = Event::Deliver { connection: socket.slot, generation: socket.generation, to };
            self.executor.plan(arrival, event);
        }
    }

    /// Carries out a `Deliver` event.
    pub fn deliver(&mut self, slot: usize, generation: u64, to: usize) {
        let now = self.executor.now();
        let here = Socket { slot, generation, end: to };
        let Some(connection) = self.get(here) else { return };
        connection.towards[to].armed = false;
        let link = self.connections[slot].link;
        let blocked_until = self.links[link].blocked_until.min(self.faults_until);
        if blocked_until > now {
            return self.arm(here, blocked_until);
        }
        let reset_ppm = if self.faulty() { self.links[link].reset_ppm } else { 0 };
        while let Some(connection) = self.get(here) {
            let Some(&(at, segment)) = connection.towards[to].segments.front() else { return };
            if at > now {
                return self.arm(here, at);
            }
            connection.towards[to].segments.pop_front();
            self.tally.segments += 1;
            if reset_ppm > 0 && segment != Segment::Reset && self.draw.chance(reset_ppm) {
                self.tally.resets_injected += 1;
                self.die(here);
                self.die(Socket { end: 1 - to, ..here });
                return;
            }
            self.arrive(here, segment);
        }
    }

    fn arm(&mut self, here: Socket, at: u64) {
        if let Some(connection) = self.get(here) {
            connection.towards[here.end].armed = true;
            self.executor.plan(at, Event::Deliver { connection: here.slot, generation: here.generation, to: here.end });
        }
    }

    fn arrive(&mut self, here: Socket, segment: Segment) {
        let Some(connection) = self.get(here) else { return };
        let (direction, end) = (&mut connection.towards[here.end], &mut connection.ends[here.end]);
        match segment {
            Segment::Data(n) if end.handles == 0 || end.shut || end.reset => {
                // Nobody reads here any more: the bytes are lost and their sender is told.
                let from = direction.arrived;
                direction.wire.drain(from..from + n);
                self.send_reset(here);
            }
            Segment::Data(n) => {
                direction.arrived += n;
                end.wake_reader();
            }
            Segment::End => {
                direction.ended = true;
                end.wake_reader();
            }
            Segment::Reset => self.die(here),
        }
    }

    /// This end learns that the connection is gone; what it has not read is lost.
    fn die(&mut self, here: Socket) {
        let Some(connection) = self.get(here) else { return };
        let direction = &mut connection.towards[here.end];
        direction.wire.clear();
        direction.segments.clear();
        direction.arrived = 0;
        let end = &mut connection.ends[here.end];
        end.reset = true;
        end.wake();
    }
}

impl End {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake(&mut self) {
        self.wake_reader();
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

fn store(slot: &mut Option<Waker>, waker: &Waker) {
    if !slot.as_ref().is_some_and(|old| old.will_wake(waker)) {
        *slot = Some(waker.clone());
    }
}
