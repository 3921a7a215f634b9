//! Who belongs to the cluster: SWIM (the `foca` crate), driven without a socket or a clock. Messages and moments go in; messages
//! out. When its timers are due is kept here.
//!
//! Read for this use, version 2.0.0: no I/O, no unsafe, no panic that a message can reach (its `expect`s are about sizes that it has
//! just bounded); a message is decoded whole before anything of it is believed; a sender that is down gets no say. What it does
//! not do is done here:
//! - it keeps whatever members it is told of, and a timer for each time one goes down: `CLUSTER_MEMBERS` bounds the ones (a message
//!   that tells of further ones is refused whole), one timer for each kind and member the others;
//! - it does not know who sent a message: the sender's identity must be the session that sealed it;
//! - an identity that was declared down never returns: `renew` counts on, and a restarted process has another session, so the
//!   older one is declared down by whoever hears the newer one (`replace`), not after a timeout;
//! - two sides of a partition that have declared each other down would never speak again: those who are down are announced to
//!   periodically, and whoever discovery finds again is announced to at once (`introduce`);
//! - members that all took another turn at once, as both sides of a healed partition do, ignore each other's messages (they are for the turn
//!   before) and stop probing: a message for an earlier turn is taken for the present one, and probing is begun again by `tick`.
//!
//! With 200 members each look-up is a walk over 200 entries, each probe period sends one ping: nothing beside a single call.

use super::identity::{MEMBER_BYTES_MIN, MemberCodec, MemberId, NOWHERE};
use super::seal::PLAIN_BYTES_MAX;
use super::secret::SessionId;
use crate::base::limits::{CLUSTER_DOWN_KEPT_MS, CLUSTER_MEMBERS, CLUSTER_PROBE_MS, CLUSTER_PROBE_RTT_MS, CLUSTER_SUSPECT_MS};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use foca::{Codec, Config, Foca, Member, Notification, PeriodicParams, Runtime, State, Timer};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};

/// A frame's kind and length stand before the protocol's own message.
const MESSAGE_BYTES: NonZeroUsize = match NonZeroUsize::new(PLAIN_BYTES_MAX - 3) {
    Some(bytes) => bytes,
    None => NonZeroUsize::MIN,
};
/// So many members can one message tell of.
const TOLD_AT_ONCE: usize = MESSAGE_BYTES.get() / MEMBER_BYTES_MIN;

/// What the members say of one of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Alive,
    /// Somebody did not reach it, and it has not objected yet.
    Suspect,
    Down,
}

/// A message for a member; `hint` is where it may be, for who never met it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberMessage {
    pub to: SessionId,
    pub hint: SocketAddr,
    pub message: Vec<u8>,
}

/// Unreadable, not from whom it says, or about more members than there is room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadMessage;

/// One timer of each of these is enough: a later one makes the earlier pointless.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKey {
    IndirectProbe,
    Probe,
    Announce,
    AnnounceDown,
    Gossip,
    Suspect(SessionId),
    Remove(SessionId),
}

#[derive(Default)]
struct Effects {
    now: Instant,
    out: Vec<MemberMessage>,
    timers: BTreeMap<TimerKey, (Instant, Timer<MemberId>)>,
}

impl Runtime<MemberId> for Effects {
    /// What changed is seen by looking (`standings`).
    fn notify(&mut self, _: Notification<'_, MemberId>) {}

    fn send_to(&mut self, to: MemberId, data: &[u8]) {
        self.out.push(MemberMessage { to: to.session, hint: to.hint, message: data.to_vec() });
    }

    fn submit_after(&mut self, event: Timer<MemberId>, after: Duration) {
        let key = match &event {
            Timer::SendIndirectProbe { .. } => TimerKey::IndirectProbe,
            Timer::ProbeRandomMember(_) => TimerKey::Probe,
            Timer::PeriodicAnnounce(_) => TimerKey::Announce,
            Timer::PeriodicAnnounceDown(_) => TimerKey::AnnounceDown,
            Timer::PeriodicGossip(_) => TimerKey::Gossip,
            Timer::ChangeSuspectToDown { member_id, .. } => TimerKey::Suspect(member_id.session),
            Timer::RemoveDown(member_id) => TimerKey::Remove(member_id.session),
        };
        // Who is suspected again and again has still been suspected since the first time.
        if self.timers.get(&key).is_none_or(|(_, set)| *set != event) {
            self.timers.insert(key, (self.now + after, event));
        }
    }
}

/// Our seeded stream as `rand` wants one: it chooses whom to probe, and is no secret.
struct Draws(Rng);

impl rand::TryRng for Draws {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.next() >> 32) as u32)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next())
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(8) {
            let bytes = self.0.next().to_le_bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or(&bytes));
        }
        Ok(())
    }
}

pub struct Membership {
    foca: Foca<MemberId, MemberCodec, Draws, foca::NoCustomBroadcast>,
    effects: Effects,
}

impl Membership {
    pub fn new(own: SessionId, rng: Rng) -> Membership {
        let id = MemberId { session: own, turn: 0, hint: NOWHERE };
        Membership { foca: Foca::new(id, rules(), Draws(rng), MemberCodec), effects: Effects::default() }
    }

    /// Makes `session`, which answers at `hint`, and us known to each other.
    pub fn introduce(&mut self, session: SessionId, hint: SocketAddr, now: Instant) {
        self.effects.now = now;
        // The one that it has now may have another turn; an announcement is taken all the same.
        let id = self.id_of(session).unwrap_or(MemberId { session, turn: 0, hint });
        let _ = self.foca.announce(MemberId { hint, ..id }, &mut self.effects);
    }

    /// `session` is over: its process was replaced, or has said so.
    pub fn replace(&mut self, session: SessionId, now: Instant) {
        self.effects.now = now;
        if let Some(id) = self.id_of(session) {
            let _ = self.foca.apply_many(std::iter::once(Member::down(id)), true, &mut self.effects);
        }
    }

    /// A message that `from` has sent from `address`.
    pub fn arrive(&mut self, from: SessionId, address: SocketAddr, message: &[u8], now: Instant) -> Result<(), BadMessage> {
        self.effects.now = now;
        let message = self.vetted(from, address, message)?;
        // What is refused here is a message that contradicts itself, or one for an earlier turn of ours.
        self.foca.handle_data(&message, &mut self.effects).map_err(|_| BadMessage)
    }

    /// The message with the sender's address as its hint, if it comes from whom it says and tells of nobody too many.
    fn vetted(&self, from: SessionId, address: SocketAddr, message: &[u8]) -> Result<Vec<u8>, BadMessage> {
        let mut rest = message;
        let mut header = MemberCodec.decode_header(&mut rest).map_err(|_| BadMessage)?;
        if header.src.session != from {
            return Err(BadMessage);
        }
        header.src.hint = address;
        let own = *self.foca.identity();
        let is_for_an_earlier_turn = header.dst.session == own.session && header.dst.turn < own.turn;
        if is_for_an_earlier_turn && header.message != foca::Message::TurnUndead {
            header.dst.turn = own.turn;
        }
        let count = self.foca.iter_membership_state().len();
        if count + TOLD_AT_ONCE >= CLUSTER_MEMBERS && self.tells_of_strangers(from, rest)? {
            return Err(BadMessage);
        }
        let mut out = Vec::with_capacity(message.len() + 12);
        MemberCodec.encode_header(&header, &mut out).map_err(|_| BadMessage)?;
        out.extend_from_slice(rest);
        // An IPv6 address in place of "nowhere" makes it longer; the last members it tells of must not be cut.
        if out.len() <= MESSAGE_BYTES.get() { Ok(out) } else { Ok(message.to_vec()) }
    }

    fn tells_of_strangers(&self, from: SessionId, rest: &[u8]) -> Result<bool, BadMessage> {
        if self.id_of(from).is_none() {
            return Ok(true);
        }
        let Some((count, mut rest)) = rest.split_first_chunk::<2>() else { return Ok(false) };
        for _ in 0..u16::from_be_bytes(*count) {
            let member = MemberCodec.decode_member(&mut rest).map_err(|_| BadMessage)?;
            if self.id_of(member.id().session).is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn id_of(&self, session: SessionId) -> Option<MemberId> {
        self.foca.iter_membership_state().map(Member::id).find(|id| id.session == session).copied()
    }

    /// What is due by now.
    pub fn tick(&mut self, now: Instant) {
        self.effects.now = now;
        // Whoever took another turn starts to probe again with the next message that comes; when all have done so at once, none comes.
        let _ = self.foca.apply_many(std::iter::empty(), false, &mut self.effects);
        // A timer may set another one, which is not due before the next tick.
        let due: Vec<TimerKey> = self.effects.timers.iter().filter(|(_, (at, _))| *at <= now).map(|(key, _)| *key).collect();
        for key in due {
            if let Some((at, timer)) = self.effects.timers.remove(&key) {
                if at > now {
                    // It was set anew by one before it.
                    self.effects.timers.insert(key, (at, timer));
                    continue;
                }
                let _ = self.foca.handle_timer(timer, &mut self.effects);
            }
        }
    }

    /// Tells some that we leave; afterwards nothing is said any more.
    pub fn leave(&mut self, now: Instant) {
        self.effects.now = now;
        let _ = self.foca.leave_cluster(&mut self.effects);
    }

    pub fn take_outgoing(&mut self) -> Vec<MemberMessage> {
        std::mem::take(&mut self.effects.out)
    }

    pub fn standing(&self, session: SessionId) -> Option<Standing> {
        self.foca.iter_membership_state().find(|member| member.id().session == session).map(standing_of)
    }

    /// All members, ourselves not among them, each with where it may be.
    pub fn standings(&self) -> impl Iterator<Item = (SessionId, SocketAddr, Standing)> {
        self.foca.iter_membership_state().map(|member| (member.id().session, member.id().hint, standing_of(member)))
    }

    /// Timers and updates that are kept: bounded by the members.
    #[cfg(test)]
    fn backlog(&self) -> usize {
        self.effects.timers.len() + self.foca.updates_backlog()
    }
}

fn standing_of(member: &Member<MemberId>) -> Standing {
    match member.state() {
        State::Alive => Standing::Alive,
        State::Suspect => Standing::Suspect,
        State::Down => Standing::Down,
    }
}

fn rules() -> Config {
    let every = |ms, members| {
        let num_members = NonZeroUsize::new(members).unwrap_or(NonZeroUsize::MIN);
        Some(PeriodicParams { frequency: Duration::from_millis(ms), num_members })
    };
    Config {
        probe_period: Duration::from_millis(CLUSTER_PROBE_MS),
        probe_rtt: Duration::from_millis(CLUSTER_PROBE_RTT_MS),
        num_indirect_probes: NonZeroUsize::new(3).unwrap_or(NonZeroUsize::MIN),
        max_transmissions: NonZeroU8::new(10).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: Duration::from_millis(CLUSTER_SUSPECT_MS),
        remove_down_after: Some(Duration::from_millis(CLUSTER_DOWN_KEPT_MS)),
        max_packet_size: MESSAGE_BYTES,
        notify_down_members: true,
        periodic_announce: every(30_000, 1),
        periodic_announce_to_down_members: every(15_000, 2),
        periodic_gossip: every(500, 3),
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
