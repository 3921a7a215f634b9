//! SRV records: services with their ports, which the system's resolver cannot be asked for (its interface knows addresses only).
//!
//! Just enough of RFC 1035, 2782 and 6891 for one question and its answer. The libraries that exist bring a resolver with tasks, caches
//! and TLS of their own; this is one page, bounded, and fuzzed. An answer that was cut to fit (TC) is used as far as it goes: the
//! addresses are hints, and who is found tells of the others. Everything else (A, AAAA, hosts files, search domains) stays the system's
//! business.

use crate::base::limits::CLUSTER_ADDRESSES;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What we take in one answer (RFC 9715: no fragments).
pub const ANSWER_BYTES: u16 = 1_232;
const NAME_TEXT_BYTES: usize = 255;
/// Pointers in one name; each must point backwards as well.
const JUMPS: usize = 16;
const CLASS_IN: u16 = 1;
const FLAG_ANSWER: u16 = 0x8000;
const RCODE: u16 = 0x000f;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    Address4,
    Address6,
    Service,
}

impl RecordKind {
    fn number(self) -> u16 {
        match self {
            RecordKind::Address4 => 1,
            RecordKind::Address6 => 28,
            RecordKind::Service => 33,
        }
    }
}

/// What an answer says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Records {
    /// Names and ports, in lower case.
    pub services: Vec<(String, u16)>,
    pub addresses: BTreeMap<String, Vec<IpAddr>>,
}

/// Why an answer says nothing, for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NoRecords(pub &'static str);

impl Records {
    /// Services whose addresses are known, and the names of the others.
    pub fn resolved(&self) -> (Vec<SocketAddr>, Vec<String>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (host, port) in &self.services {
            match self.addresses.get(host) {
                Some(ips) => found.extend(ips.iter().map(|ip| SocketAddr::new(*ip, *port))),
                None => missing.push(host.clone()),
            }
        }
        (found, missing)
    }
}

/// The name servers of a `resolv.conf`.
pub fn name_servers(resolv_conf: &str) -> Vec<SocketAddr> {
    let lines = resolv_conf.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    let addresses = lines.filter(|rest| rest.starts_with(char::is_whitespace)).filter_map(|rest| rest.trim().parse().ok());
    addresses.map(|ip: IpAddr| SocketAddr::new(ip, 53)).take(3).collect()
}

/// A question for a name server; `None` for what is no name.
pub fn question(id: u16, name: &str, kind: RecordKind) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    // Recursion is desired; one question, and one additional record that says how long an answer may be.
    for field in [id, 0x0100, 1, 0, 0, 1] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > NAME_TEXT_BYTES - 2 {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|n| (1..=63).contains(n))?;
        out.push(length);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    for field in [kind.number(), CLASS_IN] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.push(0);
    for field in [41, ANSWER_BYTES, 0, 0, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    Some(out)
}

/// The answer to `question(id, name, kind)`.
pub fn answer(message: &[u8], id: u16, name: &str, kind: RecordKind) -> Result<Records, NoRecords> {
    let mut reading = Reading { message, at: 0 };
    let header: [u16; 6] = reading.header().ok_or(NoRecords("it is cut off"))?;
    let [said_id, flags, questions, answers, authorities, additional] = header;
    if said_id != id || flags & FLAG_ANSWER == 0 || questions != 1 {
        return Err(NoRecords("it answers another question"));
    }
    let asked = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let said = reading.name().zip(reading.number()).zip(reading.number());
    if said != Some(((asked, kind.number()), CLASS_IN)) {
        return Err(NoRecords("it answers another question"));
    }
    match flags & RCODE {
        0 => {}
        3 => return Err(NoRecords("the name does not exist")),
        _ => return Err(NoRecords("the name server failed")),
    }
    let mut records = Records::default();
    let count = usize::from(answers) + usize::from(authorities) + usize::from(additional);
    for nth in 0..count {
        match reading.record(&mut records) {
            Some(()) => {}
            // Somebody else's, perhaps: a better one may come.
            None if nth == 0 => return Err(NoRecords("it cannot be read")),
            // What was cut off ends the answer; what came before it stands.
            None => break,
        }
    }
    Ok(records)
}

struct Reading<'a> {
    message: &'a [u8],
    at: usize,
}

impl Reading<'_> {
    fn bytes(&mut self, n: usize) -> Option<&[u8]> {
        let taken = self.message.get(self.at..self.at.checked_add(n)?)?;
        self.at += n;
        Some(taken)
    }

    fn number(&mut self) -> Option<u16> {
        self.bytes(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn header(&mut self) -> Option<[u16; 6]> {
        let mut fields = [0; 6];
        for field in &mut fields {
            *field = self.number()?;
        }
        Some(fields)
    }

    /// A name in lower case, with its pointers followed; each must point before the one that it came by.
    fn name(&mut self) -> Option<String> {
        let (mut text, mut at, mut end) = (String::new(), self.at, None);
        for _ in 0..=JUMPS + NAME_TEXT_BYTES / 2 {
            let length = usize::from(*self.message.get(at)?);
            match length >> 6 {
                0 if length == 0 => {
                    self.at = end.unwrap_or(at + 1);
                    return Some(text);
                }
                0 => {
                    let label = self.message.get(at + 1..at + 1 + length)?;
                    if !label.is_ascii() || text.len() + length + 1 > NAME_TEXT_BYTES {
                        return None;
                    }
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
                    at += 1 + length;
                }
                3 => {
                    let low = usize::from(*self.message.get(at + 1)?);
                    end.get_or_insert(at + 2);
                    let to = (length & 0x3f) << 8 | low;
                    if to >= at {
                        return None;
                    }
                    at = to;
                }
                _ => return None,
            }
        }
        None
    }

    fn record(&mut self, records: &mut Records) -> Option<()> {
        let owner = self.name()?;
        let (kind, class) = (self.number()?, self.number()?);
        self.bytes(4)?; // time to live: asked again before any of ours
        let length = usize::from(self.number()?);
        let end = self.at.checked_add(length).filter(|end| *end <= self.message.len())?;
        let mut data = Reading { message: self.message, at: self.at };
        self.at = end;
        if class != CLASS_IN {
            return Some(());
        }
        let ip: IpAddr = match (kind, length) {
            (1, 4) => Ipv4Addr::from(*data.bytes(4)?.first_chunk::<4>()?).into(),
            (28, 16) => Ipv6Addr::from(*data.bytes(16)?.first_chunk::<16>()?).into(),
            (33, 7..) => {
                data.bytes(4)?; // priority and weight: all nodes are greeted
                let (port, target) = (data.number()?, data.name()?);
                // A target of "." says that there is no such service.
                if records.services.len() < CLUSTER_ADDRESSES && port != 0 && !target.is_empty() {
                    records.services.push((target, port));
                }
                return Some(());
            }
            _ => return Some(()),
        };
        if records.addresses.len() < CLUSTER_ADDRESSES {
            let ips = records.addresses.entry(owner).or_default();
            if ips.len() < CLUSTER_ADDRESSES {
                ips.push(ip);
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "_lasso._udp.internal";

    /// An answer with two services, one of them with its addresses beside it, names compressed as name servers do.
    fn sample() -> Vec<u8> {
        let mut out = question(7, NAME, RecordKind::Service).unwrap();
        out.truncate(out.len() - 11);
        out[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 2]);
        let internal = 12 + "_lasso".len() as u8 + 1 + "_udp".len() as u8 + 1;
        for (label, port) in [(b'a', 1u16), (b'b', 2)] {
            out.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 5, 0, 10, 0, 0, 0, 0]);
            out.extend_from_slice(&port.to_be_bytes());
            out.extend_from_slice(&[1, label, 0xc0, internal]);
        }
        let target = out.len() as u8 - 4;
        out.extend_from_slice(&[0xc0, target, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, 10, 0, 0, 9]);
        out.extend_from_slice(&[0xc0, target, 0, 28, 0, 1, 0, 0, 0, 5, 0, 16, 0x20, 1, 0xd, 0xb8]);
        out.extend_from_slice(&[0; 11]);
        out.push(1);
        out
    }

    #[test]
    fn services_and_their_addresses_are_read() {
        let records = answer(&sample(), 7, "_Lasso._udp.internal.", RecordKind::Service).unwrap();
        assert_eq!(records.services, [("a.internal".to_owned(), 1), ("b.internal".to_owned(), 2)]);
        let (found, missing) = records.resolved();
        assert_eq!(found, ["10.0.0.9:2".parse().unwrap(), "[2001:db8::1]:2".parse().unwrap()]);
        assert_eq!(missing, ["a.internal"]);
    }

    #[test]
    fn other_questions_and_failures_are_no_answers() {
        let why = |message: &[u8], id| answer(message, id, NAME, RecordKind::Service).unwrap_err().0;
        assert_eq!(why(&sample(), 8), "it answers another question");
        assert_eq!(why(&question(7, NAME, RecordKind::Service).unwrap(), 7), "it answers another question");
        assert!(answer(&sample(), 7, "_other._udp.internal", RecordKind::Service).is_err());
        assert!(answer(&sample(), 7, NAME, RecordKind::Address4).is_err());
        for (rcode, want) in [(0x83, "the name does not exist"), (0x82, "the name server failed")] {
            let mut bad = sample();
            bad[3] = rcode;
            assert_eq!(why(&bad, 7), want);
        }
    }

    #[test]
    fn what_is_cut_says_what_came_before_and_nothing_panics() {
        let whole = sample();
        let mut most = 0;
        for length in 0..whole.len() {
            if let Ok(records) = answer(&whole[..length], 7, NAME, RecordKind::Service) {
                assert!(records.services.len() >= most && records.services.len() <= 2);
                most = records.services.len();
            }
            for bit in 0..8 {
                let mut bad = whole.clone();
                bad[length] ^= 1 << bit;
                let _ = answer(&bad, 7, NAME, RecordKind::Service);
            }
        }
        assert_eq!(most, 2);
        // One whose first record cannot be read says nothing at all: the true one may come after it.
        let cut = &whole[..question(7, NAME, RecordKind::Service).unwrap().len() - 11 + 6];
        assert_eq!(answer(cut, 7, NAME, RecordKind::Service), Err(NoRecords("it cannot be read")));
        let mut looping = whole;
        looping[12] = 0xc0;
        looping[13] = 12;
        assert!(answer(&looping, 7, NAME, RecordKind::Service).is_err());
    }

    #[test]
    fn names_that_are_none_are_not_asked_and_servers_are_read() {
        for bad in ["", ".", "a..b", &"x".repeat(64), &"x.".repeat(200)] {
            assert_eq!(question(1, bad, RecordKind::Service), None, "{bad}");
        }
        let text = "# x\nnameserver 10.0.0.10\nsearch a b\n nameserver\tfd00::1 \nnameservers 1.1.1.1\noptions ndots:5\n";
        assert_eq!(name_servers(text), ["10.0.0.10:53".parse().unwrap(), "[fd00::1]:53".parse().unwrap()]);
    }
}
