//! Who a member is to the membership protocol, and how its messages are written.
//!
//! A member is one run of a process (its session). When others declared it down although it lives, it goes on under a higher
//! `turn`, as the protocol wants. The address beside it is a hint for those who never met it: it is where the member that tells
//! of it hears it, since nobody knows its own address behind `0.0.0.0`; what has answered a challenge counts, not the hint.
//!
//! Written by hand with `foca::Codec`, every length fixed by what came before it: a reader that cannot be made to ask for memory.

use super::secret::SessionId;
use bytes::{Buf, BufMut};
use foca::{Codec, Header, Identity, Member, Message, State};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where nobody is: the hint of who has none.
pub const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
/// The longest a member's entry can be: session, turn, address, incarnation, state.
pub const MEMBER_BYTES_MAX: usize = 16 + 2 + 19 + 2 + 1;
/// The shortest, with an IPv4 address.
pub const MEMBER_BYTES_MIN: usize = 16 + 2 + 7 + 2 + 1;

#[derive(Clone, Copy, Debug)]
pub struct MemberId {
    pub session: SessionId,
    pub turn: u16,
    pub hint: SocketAddr,
}

/// A hint is no part of who it is.
impl PartialEq for MemberId {
    fn eq(&self, other: &MemberId) -> bool {
        (self.session, self.turn) == (other.session, other.turn)
    }
}
impl Eq for MemberId {}

impl Identity for MemberId {
    type Addr = SessionId;

    fn renew(&self) -> Option<MemberId> {
        Some(MemberId { turn: self.turn.checked_add(1)?, ..*self })
    }

    fn addr(&self) -> SessionId {
        self.session
    }

    fn win_addr_conflict(&self, adversary: &MemberId) -> bool {
        self.turn > adversary.turn
    }
}

/// A message that cannot be read, or does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadMember;

impl fmt::Display for BadMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no message of the membership protocol")
    }
}
impl std::error::Error for BadMember {}

#[derive(Clone, Copy, Default)]
pub struct MemberCodec;

impl Codec<MemberId> for MemberCodec {
    type Error = BadMember;

    fn encode_header(&mut self, header: &Header<MemberId>, mut buf: impl BufMut) -> Result<(), BadMember> {
        put_id(&header.src, &mut buf)?;
        put(&mut buf, &header.src_incarnation.to_be_bytes())?;
        put_id(&header.dst, &mut buf)?;
        let (kind, number, other) = match &header.message {
            Message::Ping(number) => (1, Some(number), None),
            Message::Ack(number) => (2, Some(number), None),
            Message::PingReq { target, probe_number } => (3, Some(probe_number), Some(target)),
            Message::IndirectPing { origin, probe_number } => (4, Some(probe_number), Some(origin)),
            Message::IndirectAck { target, probe_number } => (5, Some(probe_number), Some(target)),
            Message::ForwardedAck { origin, probe_number } => (6, Some(probe_number), Some(origin)),
            Message::Announce => (7, None, None),
            Message::Feed => (8, None, None),
            Message::Gossip => (9, None, None),
            Message::Broadcast => (10, None, None),
            Message::TurnUndead => (11, None, None),
        };
        put(&mut buf, &[kind])?;
        number.map_or(Ok(()), |number| put(&mut buf, &[*number]))?;
        other.map_or(Ok(()), |other| put_id(other, &mut buf))
    }

    fn decode_header(&mut self, mut buf: impl Buf) -> Result<Header<MemberId>, BadMember> {
        let src = get_id(&mut buf)?;
        let src_incarnation = u16::from_be_bytes(get(&mut buf)?);
        let dst = get_id(&mut buf)?;
        let [kind] = get(&mut buf)?;
        let probe_number = if (1..=6).contains(&kind) { get::<1>(&mut buf)?[0] } else { 0 };
        let message = match kind {
            1 => Message::Ping(probe_number),
            2 => Message::Ack(probe_number),
            3 => Message::PingReq { target: get_id(&mut buf)?, probe_number },
            4 => Message::IndirectPing { origin: get_id(&mut buf)?, probe_number },
            5 => Message::IndirectAck { target: get_id(&mut buf)?, probe_number },
            6 => Message::ForwardedAck { origin: get_id(&mut buf)?, probe_number },
            7 => Message::Announce,
            8 => Message::Feed,
            9 => Message::Gossip,
            11 => Message::TurnUndead,
            _ => return Err(BadMember), // Broadcast (10) is not used here
        };
        Ok(Header { src, src_incarnation, dst, message })
    }

    fn encode_member(&mut self, member: &Member<MemberId>, mut buf: impl BufMut) -> Result<(), BadMember> {
        let mut entry = Vec::with_capacity(MEMBER_BYTES_MAX);
        put_id(member.id(), &mut entry)?;
        put(&mut entry, &member.incarnation().to_be_bytes())?;
        let state = match member.state() {
            State::Alive => 0,
            State::Suspect => 1,
            State::Down => 2,
        };
        put(&mut entry, &[state])?;
        put(&mut buf, &entry)
    }

    fn decode_member(&mut self, mut buf: impl Buf) -> Result<Member<MemberId>, BadMember> {
        let id = get_id(&mut buf)?;
        let incarnation = u16::from_be_bytes(get(&mut buf)?);
        let state = match get(&mut buf)? {
            [0] => State::Alive,
            [1] => State::Suspect,
            [2] => State::Down,
            _ => return Err(BadMember),
        };
        Ok(Member::new(id, incarnation, state))
    }
}

/// All of `bytes`, or nothing of them.
fn put(buf: &mut impl BufMut, bytes: &[u8]) -> Result<(), BadMember> {
    if buf.remaining_mut() < bytes.len() {
        return Err(BadMember);
    }
    buf.put_slice(bytes);
    Ok(())
}

fn get<const N: usize>(buf: &mut impl Buf) -> Result<[u8; N], BadMember> {
    let mut out = [0; N];
    buf.try_copy_to_slice(&mut out).map_err(|_| BadMember)?;
    Ok(out)
}

fn put_id(id: &MemberId, buf: &mut impl BufMut) -> Result<(), BadMember> {
    put(buf, &id.session.0)?;
    put(buf, &id.turn.to_be_bytes())?;
    match id.hint.ip() {
        IpAddr::V4(ip) => {
            put(buf, &[4])?;
            put(buf, &ip.octets())?;
        }
        IpAddr::V6(ip) => {
            put(buf, &[6])?;
            put(buf, &ip.octets())?;
        }
    }
    put(buf, &id.hint.port().to_be_bytes())
}

fn get_id(buf: &mut impl Buf) -> Result<MemberId, BadMember> {
    let session = SessionId(get(buf)?);
    let turn = u16::from_be_bytes(get(buf)?);
    let ip: IpAddr = match get(buf)? {
        [4] => Ipv4Addr::from(get::<4>(buf)?).into(),
        [6] => Ipv6Addr::from(get::<16>(buf)?).into(),
        _ => return Err(BadMember),
    };
    let port = u16::from_be_bytes(get(buf)?);
    Ok(MemberId { session, turn, hint: SocketAddr::new(ip, port) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8, hint: &str) -> MemberId {
        MemberId { session: SessionId([n; 16]), turn: u16::from(n), hint: hint.parse().unwrap() }
    }

    #[test]
    fn headers_and_members_come_back_and_cuts_are_refused() {
        let (src, dst, other) = (id(1, "10.0.0.1:7946"), id(2, "[2001:db8::1]:1"), id(3, "0.0.0.0:0"));
        let messages = [
            Message::Ping(1),
            Message::Ack(2),
            Message::PingReq { target: other, probe_number: 3 },
            Message::IndirectPing { origin: other, probe_number: 4 },
            Message::IndirectAck { target: other, probe_number: 5 },
            Message::ForwardedAck { origin: other, probe_number: 255 },
            Message::Announce,
            Message::Feed,
            Message::Gossip,
            Message::TurnUndead,
        ];
        for message in messages {
            let header = Header { src, src_incarnation: 9, dst, message };
            let mut bytes = Vec::new();
            MemberCodec.encode_header(&header, &mut bytes).unwrap();
            let read = MemberCodec.decode_header(&mut &bytes[..]).unwrap();
            assert_eq!((&read, read.src.hint, read.dst.hint), (&header, src.hint, dst.hint));
            for length in 0..bytes.len() {
                assert_eq!(MemberCodec.decode_header(&mut &bytes[..length]), Err(BadMember), "{header:?} cut to {length}");
            }
        }
        for (member, length) in
            [(Member::new(src, 7, State::Suspect), MEMBER_BYTES_MIN), (Member::new(dst, u16::MAX, State::Down), MEMBER_BYTES_MAX)]
        {
            let mut bytes = Vec::new();
            MemberCodec.encode_member(&member, &mut bytes).unwrap();
            assert_eq!(bytes.len(), length);
            assert_eq!(MemberCodec.decode_member(&mut &bytes[..]).unwrap(), member);
            for length in 0..bytes.len() {
                assert_eq!(MemberCodec.decode_member(&mut &bytes[..length]), Err(BadMember), "cut to {length}");
            }
            let mut small = [0; MEMBER_BYTES_MIN - 1];
            let mut rest = &mut small[..];
            assert_eq!(MemberCodec.encode_member(&member, &mut rest), Err(BadMember));
            assert_eq!(rest.len(), MEMBER_BYTES_MIN - 1, "nothing is written of what does not fit");
        }
    }
}
