//! Members alone, each message carried by hand.

use super::*;

fn at(ms: u64) -> Instant {
    Instant::ZERO.plus_ms(ms)
}

fn session(n: u16) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&n.to_be_bytes());
    SessionId(bytes)
}

fn place(n: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 7946))
}

fn member(n: u16) -> Membership {
    Membership::new(session(n), Rng::new(u64::from(n)))
}

struct Net {
    nodes: BTreeMap<u16, Membership>,
    now: u64,
    messages: u64,
}

impl Net {
    fn new(count: u16) -> Net {
        Net { nodes: (1..=count).map(|n| (n, member(n))).collect(), now: 0, messages: 0 }
    }

    /// Half a second, with what the cut lets through.
    fn step(&mut self, cut: impl Fn(u16, u16) -> bool) {
        self.now += 500;
        for node in self.nodes.values_mut() {
            node.tick(at(self.now));
        }
        for _ in 0..8 {
            let mut mail = Vec::new();
            for (from, node) in &mut self.nodes {
                mail.extend(
                    node.take_outgoing().into_iter().map(|m| (*from, u16::from_be_bytes([m.to.0[0], m.to.0[1]]), m.message)),
                );
            }
            for (from, to, message) in mail {
                self.messages += 1;
                if !cut(from, to)
                    && let Some(node) = self.nodes.get_mut(&to)
                {
                    let _ = node.arrive(session(from), place(from), &message, at(self.now));
                }
            }
        }
    }

    fn alive(&self, n: u16) -> usize {
        self.nodes[&n].standings().filter(|(_, _, standing)| *standing == Standing::Alive).count()
    }
}

#[test]
fn forty_members_learn_of_each_other_through_one_and_their_hints_are_where_they_were_heard() {
    let mut net = Net::new(40);
    for n in 2..=40 {
        net.nodes.get_mut(&n).unwrap().introduce(session(1), place(1), at(0));
    }
    for _ in 0..120 {
        net.step(|_, _| false);
    }
    for n in 1..=40 {
        assert_eq!(net.alive(n), 39, "{n}");
        for (whom, hint, _) in net.nodes[&n].standings() {
            assert_eq!(hint, place(u16::from_be_bytes([whom.0[0], whom.0[1]])), "seen by {n}");
        }
        assert!(net.nodes[&n].backlog() < 100, "{}", net.nodes[&n].backlog());
    }
    assert!(net.messages < 40 * 60 * 10, "{} messages in a minute", net.messages);
}

#[test]
fn both_sides_of_a_partition_declare_each_other_down_and_find_together_again() {
    let mut net = Net::new(6);
    for n in 2..=6 {
        net.nodes.get_mut(&n).unwrap().introduce(session(1), place(1), at(0));
    }
    (0..60).for_each(|_| net.step(|_, _| false));
    (0..120).for_each(|_| net.step(|a, b| (a <= 3) != (b <= 3)));
    for n in 1..=6 {
        assert_eq!(net.alive(n), 2, "{n} in the partition");
    }
    let healed = (1..=240).find(|_| {
        net.step(|_, _| false);
        (1..=6).all(|n| net.alive(n) == 5)
    });
    assert!(healed.is_some_and(|halves| halves <= 60 * 2), "{healed:?}");
}

#[test]
fn who_is_replaced_is_down_at_once_and_everybody_hears_of_it() {
    let mut net = Net::new(4);
    for n in 2..=4 {
        net.nodes.get_mut(&n).unwrap().introduce(session(1), place(1), at(0));
    }
    (0..40).for_each(|_| net.step(|_, _| false));
    net.nodes.remove(&4);
    let now = at(net.now);
    net.nodes.get_mut(&1).unwrap().replace(session(4), now);
    assert_eq!(net.nodes[&1].standing(session(4)), Some(Standing::Down));
    (0..4).for_each(|_| net.step(|_, _| false));
    assert_eq!(net.nodes[&2].standing(session(4)), Some(Standing::Down));
    assert_eq!(net.nodes[&3].standing(session(4)), Some(Standing::Down));
}

#[test]
fn a_message_under_anothers_name_is_refused() {
    let (mut a, mut b) = (member(1), member(2));
    a.introduce(session(2), place(2), at(0));
    let message = a.take_outgoing().remove(0).message;
    assert_eq!(b.arrive(session(3), place(1), &message, at(0)), Err(BadMessage));
    assert_eq!(b.standing(session(1)), None);
    assert_eq!(b.arrive(session(1), place(1), &message, at(0)), Ok(()));
    assert_eq!(b.standing(session(1)), Some(Standing::Alive));
    for length in 0..message.len() {
        let _ = b.arrive(session(1), place(1), &message[..length], at(0));
    }
}

/// A peer with the secret that invents members, and declares them down, fills a bounded table.
#[test]
fn inventions_are_bounded() {
    let mut a = member(1);
    let header = |from: u16| {
        let id = |n: u16| MemberId { session: session(n), turn: 0, hint: place(n) };
        let header = foca::Header { src: id(from), src_incarnation: 0, dst: id(1), message: foca::Message::Gossip };
        let mut out = Vec::new();
        MemberCodec.encode_header(&header, &mut out).unwrap();
        out
    };
    let mut refused = 0;
    for batch in 0..200u16 {
        let mut message = header(2);
        message.extend_from_slice(&30u16.to_be_bytes());
        for n in 0..30 {
            let id = MemberId { session: session(1000 + batch * 30 + n), turn: 0, hint: place(9) };
            let state = if n % 2 == 0 { State::Alive } else { State::Down };
            MemberCodec.encode_member(&Member::new(id, 0, state), &mut message).unwrap();
        }
        refused += u32::from(a.arrive(session(2), place(2), &message, at(0)).is_err());
        a.tick(at(u64::from(batch) * 100));
    }
    let count = a.standings().count();
    assert!(count <= CLUSTER_MEMBERS && count > CLUSTER_MEMBERS / 2 && refused > 100, "{count} members, {refused} refused");
    assert!(a.backlog() <= 3 * CLUSTER_MEMBERS, "{}", a.backlog());
    a.tick(at(CLUSTER_DOWN_KEPT_MS + 60_000));
    assert!(a.standings().count() < count, "who is down is forgotten");
}

#[test]
fn noise_is_harmless() {
    let (mut a, mut b, mut rng) = (member(1), member(2), Rng::new(3));
    a.introduce(session(2), place(2), at(0));
    let hello = a.take_outgoing().remove(0).message;
    b.arrive(session(1), place(1), &hello, at(0)).unwrap();
    let feed = b.take_outgoing().remove(0).message;
    for round in 0..20_000u64 {
        let mut noisy = if round % 2 == 0 { feed.clone() } else { hello.clone() };
        for _ in 0..1 + rng.below(4) {
            let place = rng.below(noisy.len() as u64) as usize;
            noisy[place] = rng.next() as u8;
        }
        noisy.truncate(noisy.len() - rng.below(3) as usize);
        let _ = a.arrive(session(2), place(2), &noisy, at(round));
        a.tick(at(round));
        a.take_outgoing();
    }
}
