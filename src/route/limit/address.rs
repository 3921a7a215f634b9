//! Who the client is: the socket's peer, or what a trusted proxy says (docs/behaviour/http.md#client-address).
//!
//! `X-Forwarded-For` is read from the right, since every proxy appends and everything left of the first hop that we do
//! not trust is the client's own invention. Taking the left-most entry, as many servers do, lets anybody pick an address
//! per request and never meet a limit.

use crate::base::ids::ProfileId;
use crate::config::cidr::Cidr;
use std::net::IpAddr;

/// Networks whose peers are believed. Empty: nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<Cidr>,
}

impl From<Vec<Cidr>> for TrustedProxies {
    fn from(networks: Vec<Cidr>) -> TrustedProxies {
        TrustedProxies { networks }
    }
}

impl TrustedProxies {
    /// The default: loopback.
    pub fn loopback() -> TrustedProxies {
        Cidr::loopback().into()
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(peer))
    }
}

/// The client's address. `forwarded_for` and `real_ip` are header values, empty when absent; both are ignored unless the
/// peer is trusted. An entry that is no address ends the walk at the last hop that was one.
pub fn client_address(peer: IpAddr, forwarded_for: &[u8], real_ip: &[u8], trusted: &TrustedProxies) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.trusts(client) {
        return client;
    }
    if forwarded_for.trim_ascii().is_empty() {
        return parse_hop(real_ip).unwrap_or(client);
    }
    for hop in forwarded_for.rsplit(|b| *b == b',') {
        let Some(address) = parse_hop(hop) else { break };
        client = address;
        if !trusted.trusts(address) {
            break;
        }
    }
    client
}

/// What the limiter knows a client by: profile, family and address. IPv6 clients are told apart by their /64: a client
/// usually owns all addresses in it, and could otherwise take a fresh bucket for every call.
pub fn client_name(profile: ProfileId, client: IpAddr) -> [u8; 11] {
    let (family, address) = match client.to_canonical() {
        IpAddr::V4(v4) => (4, u64::from(v4.to_bits())),
        IpAddr::V6(v6) => (6, (v6.to_bits() >> 64) as u64),
    };
    let mut name = [0; 11];
    name[..2].copy_from_slice(&profile.0.to_be_bytes());
    name[2] = family;
    name[3..].copy_from_slice(&address.to_be_bytes());
    name
}

/// An address, with the port and brackets that some proxies write.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|s| s.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    bare.or_else(with_port).or_else(bracketed).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_right_most_hop_we_do_not_trust() {
        let check = |peer: &str, forwarded: &str, real: &str, want: &str| {
            let networks = ["127.0.0.0/8", "::1", "10.0.0.0/8"].iter().map(|n| Cidr::parse(n).unwrap()).collect::<Vec<_>>();
            let trusted = TrustedProxies::from(networks);
            assert_eq!(
                client_address(ip(peer), forwarded.as_bytes(), real.as_bytes(), &trusted),
                ip(want),
                "{peer} {forwarded} {real}"
            );
        };
        check("8.8.8.8", "1.1.1.1", "1.1.1.1", "8.8.8.8");
        check("127.0.0.1", "", "", "127.0.0.1");
        check("127.0.0.1", "1.1.1.1", "", "1.1.1.1");
        check("::ffff:127.0.0.1", "1.1.1.1", "", "1.1.1.1");
        check("127.0.0.1", "6.6.6.6, 1.1.1.1", "", "1.1.1.1");
        check("127.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.7", "", "1.1.1.1");
        check("127.0.0.1", "10.0.0.8, 10.0.0.7", "", "10.0.0.8");
        check("127.0.0.1", "1.1.1.1, unknown", "", "127.0.0.1");
        check("127.0.0.1", "1.1.1.1, unknown, 10.0.0.7", "", "10.0.0.7");
        check("127.0.0.1", "1.1.1.1:4711", "", "1.1.1.1");
        check("127.0.0.1", "[2001:db8::1]:4711", "", "2001:db8::1");
        check("127.0.0.1", "[2001:db8::1]", "", "2001:db8::1");
        check("127.0.0.1", "2001:db8::1", "", "2001:db8::1");
        check("127.0.0.1", "", "1.1.1.1", "1.1.1.1");
        check("127.0.0.1", " ", "1.1.1.1", "1.1.1.1");
        check("127.0.0.1", "2.2.2.2", "1.1.1.1", "2.2.2.2");
        check("127.0.0.1", "", "nonsense", "127.0.0.1");
        check("8.8.8.8", "", "1.1.1.1", "8.8.8.8");
    }

    #[test]
    fn only_loopback_is_trusted_unless_told() {
        let check = |peer: &str, want| assert_eq!(TrustedProxies::loopback().trusts(ip(peer)), want, "{peer}");
        check("127.9.9.9", true);
        check("::1", true);
        check("::ffff:127.0.0.1", true);
        check("10.0.0.1", false);
        check("::2", false);
        assert!(!TrustedProxies::default().trusts(ip("127.0.0.1")));
    }

    #[test]
    fn names_tell_apart_what_must_be() {
        let name = |profile, address| client_name(ProfileId(profile), ip(address));
        assert_eq!(name(0, "1.2.3.4"), name(0, "::ffff:1.2.3.4"));
        assert_eq!(name(0, "2001:db8::1"), name(0, "2001:db8::ffff:1"));
        let all = [
            name(0, "1.2.3.4"),
            name(1, "1.2.3.4"),
            name(256, "1.2.3.4"),
            name(0, "1.2.3.5"),
            name(0, "2001:db8::1"),
            name(0, "2001:db8:0:1::1"),
            name(0, "::1"),
            name(0, "0.0.0.0"),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}
