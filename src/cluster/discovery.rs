//! Whom to greet: the addresses behind what `CLUSTER_DNS_QUERY` says, and those that members tell of.
//!
//! An address is greeted each time names are resolved until somebody answers, and then no more while that session lives; one
//! that never answers is greeted seldom. Our own is known by our own datagram coming back, not by comparing addresses (behind
//! `0.0.0.0`, in a container or with several interfaces there is nothing to compare with). What a name server says is a hint and nothing
//! else: a foreign address gets a greeting that it cannot read, now and then.

use super::secret::SessionId;
use crate::base::limits::{
    CLUSTER_ADDRESSES, CLUSTER_DISCOVERY_MS, CLUSTER_EAGER_GREETINGS, CLUSTER_LAZY_GREETING_MS, CLUSTER_OWN_ADDRESS_MS,
};
use crate::base::time::Instant;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What `CLUSTER_DNS_QUERY` asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClusterQuery {
    /// Addresses of a name, all with one port.
    Name(String),
    /// Services (`_lasso._udp.example.com`): names with ports.
    Services(String),
    /// Hosts with their ports.
    List(Vec<(String, u16)>),
}

impl ClusterQuery {
    /// The error is for people, without the variable's name.
    pub fn parse(text: &str, port: u16) -> Result<ClusterQuery, String> {
        let text = text.trim();
        if text.contains(',') || has_port(text) {
            let hosts: Result<Vec<_>, String> =
                text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| host_and_port(part, port)).collect();
            return match hosts? {
                list if list.is_empty() => Err("names nobody".to_owned()),
                list if list.len() > CLUSTER_ADDRESSES => Err(format!("names more than {CLUSTER_ADDRESSES} hosts")),
                list => Ok(ClusterQuery::List(list)),
            };
        }
        if !is_host(text) {
            return Err(format!("\"{text}\" is no name, and no list like a.example:7946,b.example:7946"));
        }
        if text.starts_with('_') { Ok(ClusterQuery::Services(text.to_owned())) } else { Ok(ClusterQuery::Name(text.to_owned())) }
    }
}

fn has_port(text: &str) -> bool {
    text.parse::<SocketAddr>().is_ok() || (text.matches(':').count() == 1 && !text.ends_with(':'))
}

fn host_and_port(part: &str, default_port: u16) -> Result<(String, u16), String> {
    if let Ok(address) = part.parse::<SocketAddr>() {
        return Ok((address.ip().to_string(), address.port()));
    }
    let is_literal = part.parse::<std::net::IpAddr>().is_ok();
    let (host, port) = match part.rsplit_once(':').filter(|_| !is_literal) {
        Some((host, port)) => (host, port.parse().ok().filter(|port| *port > 0)),
        None => (part, Some(default_port)),
    };
    match port {
        Some(port) if is_literal || is_host(host) => Ok((host.to_owned(), port)),
        _ => Err(format!("\"{part}\" is no host with a port, like a.example:7946")),
    }
}

fn is_host(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !text.is_empty() && text.len() <= 253 && text.bytes().all(ok) && !text.starts_with('.')
}

#[derive(Clone, Copy)]
struct Contact {
    next: Instant,
    tries: u32,
    /// Who has answered there.
    session: Option<SessionId>,
    /// When a name server, or a member, named it last.
    named: Instant,
}

#[derive(Default)]
pub struct Contacts(BTreeMap<SocketAddr, Contact>);

impl Contacts {
    /// Addresses that are worth a greeting. Those of before stay until nobody names them any more.
    pub fn found(&mut self, addresses: impl IntoIterator<Item = SocketAddr>, now: Instant) {
        for address in addresses.into_iter().filter(|a| a.port() != 0 && !a.ip().is_unspecified()) {
            if let Some(contact) = self.0.get_mut(&address) {
                contact.named = now;
            } else if self.0.len() < CLUSTER_ADDRESSES {
                self.0.insert(address, Contact { next: now, tries: 0, session: None, named: now });
            }
        }
    }

    /// `session` has answered from `at`.
    pub fn answered(&mut self, session: SessionId, at: SocketAddr) {
        if let Some(contact) = self.0.get_mut(&at) {
            contact.session = Some(session);
            contact.tries = 0;
        }
    }

    /// A greeting to us came back from here.
    pub fn is_own(&mut self, address: SocketAddr, now: Instant) {
        if let Some(contact) = self.0.get_mut(&address) {
            contact.next = now.plus_ms(CLUSTER_OWN_ADDRESS_MS);
            contact.tries = 0;
        }
    }

    /// Whom to greet now, and the how-manieth greeting it is. `lives`: whether a session needs none.
    pub fn due(&mut self, now: Instant, lives: impl Fn(SessionId) -> bool) -> Vec<(SocketAddr, u32)> {
        let mut due = Vec::new();
        for (address, contact) in &mut self.0 {
            if contact.next > now || contact.session.is_some_and(&lives) {
                continue;
            }
            if contact.session.take().is_some() {
                contact.tries = 0;
            }
            due.push((*address, contact.tries));
            contact.tries = contact.tries.saturating_add(1);
            let is_eager = contact.tries < CLUSTER_EAGER_GREETINGS;
            contact.next = now.plus_ms(if is_eager { CLUSTER_DISCOVERY_MS } else { CLUSTER_LAZY_GREETING_MS });
        }
        let unnamed = |contact: &Contact| now.since(contact.named).as_millis() as u64 > 2 * CLUSTER_LAZY_GREETING_MS;
        self.0.retain(|_, contact| !unnamed(contact) || contact.session.is_some_and(&lives));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_told_apart() {
        let parse = |text: &str| ClusterQuery::parse(text, 7946);
        let list = |hosts: &[(&str, u16)]| Ok(ClusterQuery::List(hosts.iter().map(|(h, p)| ((*h).to_owned(), *p)).collect()));
        assert_eq!(parse(" lasso.internal "), Ok(ClusterQuery::Name("lasso.internal".to_owned())));
        assert_eq!(parse("10.0.0.1"), Ok(ClusterQuery::Name("10.0.0.1".to_owned())));
        assert_eq!(parse("_lasso._udp.internal"), Ok(ClusterQuery::Services("_lasso._udp.internal".to_owned())));
        assert_eq!(parse("127.0.0.1:1"), list(&[("127.0.0.1", 1)]));
        assert_eq!(parse("[::1]:2, a.b:3 ,c,10.0.0.9,"), list(&[("::1", 2), ("a.b", 3), ("c", 7946), ("10.0.0.9", 7946)]));
        assert_eq!(parse("::1,a"), list(&[("::1", 7946), ("a", 7946)]));
        for bad in ["", ",", "a b", "a:0,b", "a:x,b", "http://a,b", "a:", ":1", "a:65536", "é"] {
            assert!(parse(bad).is_err(), "{bad}: {:?}", parse(bad));
        }
    }

    #[test]
    fn who_answers_is_left_alone_and_who_never_does_is_greeted_seldom() {
        let (mut contacts, at, session) = (Contacts::default(), "10.0.0.1:7946".parse().unwrap(), SessionId([1; 16]));
        let mut greeted = Vec::new();
        for second in 0..300 {
            let now = Instant::ZERO.plus_ms(second * 1000);
            contacts.found([at], now);
            greeted.extend(contacts.due(now, |_| false).into_iter().map(|(_, tries)| (second, tries)));
        }
        assert_eq!(greeted.iter().filter(|(second, _)| *second <= 60).count(), 12);
        assert!((18..=22).contains(&greeted.len()), "{greeted:?}");
        let later = |seconds: u64| Instant::ZERO.plus_ms(300_000 + seconds * 1000);
        contacts.answered(session, at);
        assert_eq!(contacts.due(later(60), |s| s == session), []);
        assert_eq!(contacts.due(later(61), |_| false), [(at, 0)], "its session is over");
        contacts.found([at], later(62));
        contacts.is_own(at, later(62));
        assert_eq!(contacts.due(later(121), |_| false), []);
        assert_eq!(contacts.due(later(123), |_| false), [(at, 0)]);
        assert!(contacts.0.is_empty(), "nobody names it any more");
    }

    #[test]
    fn a_lying_name_server_is_bounded() {
        let mut contacts = Contacts::default();
        let all = (0..u16::MAX).map(|n| SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 7946)));
        contacts.found(all, Instant::ZERO);
        assert_eq!(contacts.due(Instant::ZERO, |_| false).len(), CLUSTER_ADDRESSES);
        contacts.found(["0.0.0.0:1".parse().unwrap(), "10.0.0.1:0".parse().unwrap()], Instant::ZERO);
        assert_eq!(contacts.0.len(), CLUSTER_ADDRESSES);
    }
}
