//! Host names to addresses, off the shards: a lookup that hangs must hang nobody's connections.

use super::{publish::Reader, world::Addresses};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The answers of all hosts at one moment.
type Table = HashMap<Box<str>, Vec<IpAddr>>;

/// A shard's view of the resolver's answers. The default one knows literals and `localhost` only.
#[derive(Clone, Default)]
pub struct DnsView(Option<Reader<Table>>);

impl DnsView {
    /// The last good answer, in the order to try; empty while unknown. Never blocks.
    pub fn addresses(&mut self, host: &str, port: u16) -> Addresses {
        let with_port = |ip: &IpAddr| SocketAddr::new(*ip, port);
        if let Some(ip) = literal(host) {
            return std::iter::once(with_port(&ip)).collect();
        }
        if is_localhost(host) {
            return LOCALHOST.iter().map(with_port).collect();
        }
        let room = Addresses::new().capacity();
        let found = self.0.as_mut().and_then(|table| table.get().get(host));
        found.map(|ips| ips.iter().take(room).map(with_port).collect()).unwrap_or_default()
    }
}

/// v4 first: local servers often listen there only.
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// RFC 6761 §6.3: `localhost` and everything under it is this machine, whatever a name server says.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let tail = host.len().checked_sub("localhost".len()).and_then(|at| host.get(at..));
    tail.is_some_and(|t| t.eq_ignore_ascii_case("localhost"))
        && (host.len() == 9 || host.as_bytes().get(host.len() - 10) == Some(&b'.'))
}

/// An address written out, in brackets as URLs have it or bare.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}
