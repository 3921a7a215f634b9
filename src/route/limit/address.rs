//! Who the client is: the socket's peer, or what a trusted proxy says (CONTRACT §1 `--trusted-proxies`, §7).
//!
//! `X-Forwarded-For` is read from the right, since every proxy appends and everything left of the first hop that we do
//! not trust is the client's own invention. Taking the left-most entry, as many servers do, lets anybody pick an address
//! per request and never meet a limit.

use crate::base::ids::ProfileId;
use std::net::IpAddr;

/// Networks whose peers are believed. Empty: nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Network {
    base: IpAddr,
    bits: u8,
}

impl TrustedProxies {
    /// The default: loopback.
    pub fn loopback() -> TrustedProxies {
        let v4 = Network { base: IpAddr::from([127, 0, 0, 0]), bits: 8 };
        let v6 = Network { base: IpAddr::V6(std::net::Ipv6Addr::LOCALHOST), bits: 128 };
        TrustedProxies { networks: vec![v4, v6] }
    }

    /// `10.0.0.0/8, ::1, 192.168.1.7`: addresses or CIDR networks between commas; blank trusts nobody. The error names the
    /// entry and the remedy.
    pub fn parse(text: &str) -> Result<TrustedProxies, String> {
        let entries = text.split(',').map(str::trim).filter(|e| !e.is_empty());
        Ok(TrustedProxies { networks: entries.map(Network::parse).collect::<Result<_, _>>()? })
    }

    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|n| n.contains(peer))
    }
}

impl Network {
    fn parse(entry: &str) -> Result<Network, String> {
        let wrong = || format!("'{entry}' is not an address or network (write 10.0.0.0/8 or ::1)");
        let (address, bits) = match entry.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (entry, None),
        };
        let base = address.parse::<IpAddr>().map_err(|_| wrong())?;
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(widest);
        if bits > widest {
            return Err(wrong());
        }
        Ok(match (base, base.to_canonical()) {
            (IpAddr::V6(_), v4 @ IpAddr::V4(_)) if bits >= 96 => Network { base: v4, bits: bits - 96 },
            _ => Network { base, bits },
        })
    }

    fn contains(self, ip: IpAddr) -> bool {
        match (self.base, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same_prefix(u128::from(a.to_bits()), u128::from(b.to_bits()), 32, self.bits),
            (IpAddr::V6(a), IpAddr::V6(b)) => same_prefix(a.to_bits(), b.to_bits(), 128, self.bits),
            _ => false,
        }
    }
}

fn same_prefix(a: u128, b: u128, width: u8, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (width - bits) == 0
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
    fn networks() {
        let check = |list: &str, address: &str, want| {
            assert_eq!(TrustedProxies::parse(list).unwrap().trusts(ip(address)), want, "{list} {address}");
        };
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("::ffff:10.0.0.0/104", "10.1.2.3", true);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "8.8.8.8", false);
        check("2001:db8::/33", "2001:db8:7fff::1", true);
        check("2001:db8::/33", "2001:db8:8000::1", false);
        check("192.168.1.7, ::1", "192.168.1.7", true);
        check("192.168.1.7, ::1", "::1", true);
        check("192.168.1.7, ::1", "192.168.1.8", false);
        check("", "127.0.0.1", false);
        for bits in 0..=32u8 {
            let edge = TrustedProxies::parse(&format!("128.0.0.0/{bits}")).unwrap();
            let far = u32::from(std::net::Ipv4Addr::new(128, 0, 0, 0)) | (u32::MAX.checked_shr(u32::from(bits)).unwrap_or(0));
            assert!(edge.trusts(IpAddr::from(std::net::Ipv4Addr::from(far))), "last address of /{bits}");
            assert_eq!(edge.trusts(ip("127.255.255.255")), bits == 0);
        }
        for wrong in ["10.0.0.0/33", "::/129", "proxy.local", "10.0.0.0/", "10.0.0.0/-1", "10.0.0"] {
            assert!(TrustedProxies::parse(wrong).unwrap_err().contains(wrong), "{wrong}");
        }
        assert!(TrustedProxies::loopback().trusts(ip("127.9.9.9")) && TrustedProxies::loopback().trusts(ip("::1")));
        assert!(!TrustedProxies::loopback().trusts(ip("10.0.0.1")));
    }

    #[test]
    fn the_right_most_hop_we_do_not_trust() {
        let check = |peer: &str, forwarded: &str, real: &str, want: &str| {
            let trusted = TrustedProxies::parse("127.0.0.0/8, ::1, 10.0.0.0/8").unwrap();
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
