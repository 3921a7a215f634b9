//! Host names to addresses, off the shards: a lookup that hangs must hang nobody's connections.
//!
//! The system's resolver is asked (it knows hosts files, search domains, split horizons, mDNS), on a few threads of our
//! own, because it blocks: for seconds when a name server is silent. The answers are published as one table; a shard
//! reads it without waiting. An answer is asked again every `DNS_TTL_MS`, since the system's interface gives no time to
//! live, and a failure every `DNS_NEGATIVE_TTL_MS`; the last good answer is kept through any number of failures. A
//! resolver library was rejected: it would read one configuration file and ignore the rest of the system's.

use super::{
    publish::{Published, Reader},
    world::Addresses,
};
use crate::base::limits::{CLUSTER_DISCOVERY_MS, DNS_ADDRESSES, DNS_NEGATIVE_TTL_MS, DNS_TTL_MS};
use parking_lot::{Condvar, Mutex};
use std::{
    collections::{HashMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

/// Lookups under way at once: as many names may hang before another one waits.
const THREADS: usize = 4;

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
        let found = self.0.as_mut().and_then(|table| table.get().get(host));
        found.map(|ips| ips.iter().take(DNS_ADDRESSES).map(with_port).collect()).unwrap_or_default()
    }

    /// The same without a bound, for names that stand for many machines.
    pub fn all(&mut self, host: &str) -> Vec<IpAddr> {
        if let Some(ip) = literal(host) {
            return vec![ip];
        }
        if is_localhost(host) {
            return LOCALHOST.to_vec();
        }
        self.0.as_mut().and_then(|table| table.get().get(host)).cloned().unwrap_or_default()
    }
}

/// v4 first: local servers often listen there only.
const LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// RFC 6761 §6.3: `localhost` and everything under it is this machine, whatever a name server says.
fn is_localhost(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or(host);
    last.eq_ignore_ascii_case("localhost")
}

/// An address written out, in brackets as URLs have it or bare.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// How a name is looked up; may block. Duplicates and order are the resolver's business.
pub type Lookup = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// Looks names up on threads of its own until it is dropped.
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    lookup: Box<Lookup>,
    ttl: Duration,
    negative_ttl: Duration,
    hosts: Mutex<Hosts>,
    /// Something in `hosts` changed: a new host, an answer, the end.
    changed: Condvar,
    answers: Arc<Published<Table>>,
}

#[derive(Default)]
struct Hosts {
    by_name: HashMap<Box<str>, Host>,
    ended: bool,
}

struct Host {
    due: Instant,
    asking: bool,
    /// Answered or failed at least once.
    settled: bool,
    addresses: Vec<IpAddr>,
    /// Of the last lookup; `None` when it went well.
    fault: Option<String>,
}

impl Resolver {
    /// Starts looking up `hosts`, with the system's resolver. Literals and `localhost` are never asked for.
    pub fn start<'a>(hosts: impl IntoIterator<Item = &'a str>) -> io::Result<Resolver> {
        let ttls = (Duration::from_millis(DNS_TTL_MS), Duration::from_millis(DNS_NEGATIVE_TTL_MS));
        Self::start_with(hosts, Box::new(ask_system), ttls)
    }

    /// The same for hosts that other nodes are behind, which come and go.
    pub fn start_for_peers<'a>(hosts: impl IntoIterator<Item = &'a str>) -> io::Result<Resolver> {
        let often = Duration::from_millis(CLUSTER_DISCOVERY_MS);
        Self::start_with(hosts, Box::new(ask_system), (often, often))
    }

    fn start_with<'a>(
        hosts: impl IntoIterator<Item = &'a str>,
        lookup: Box<Lookup>,
        (ttl, negative_ttl): (Duration, Duration),
    ) -> io::Result<Resolver> {
        let answers = Published::new(Table::new());
        let shared = Shared { lookup, ttl, negative_ttl, hosts: Mutex::default(), changed: Condvar::new(), answers };
        let resolver = Resolver { shared: Arc::new(shared) };
        resolver.set_hosts(hosts);
        for n in 0..THREADS {
            let shared = resolver.shared.clone();
            thread::Builder::new().name(format!("resolver-{n}")).spawn(move || shared.work())?;
        }
        Ok(resolver)
    }

    /// From now on answers for these hosts and no others; those already known keep their answers.
    pub fn set_hosts<'a>(&self, hosts: impl IntoIterator<Item = &'a str>) {
        let wanted: HashSet<&str> = hosts.into_iter().filter(|h| literal(h).is_none() && !is_localhost(h)).collect();
        let mut known = self.shared.hosts.lock();
        known.by_name.retain(|host, _| wanted.contains(host.as_ref()));
        for host in wanted {
            known.by_name.entry(host.into()).or_insert_with(|| Host {
                due: Instant::now(),
                asking: false,
                settled: false,
                addresses: Vec::new(),
                fault: None,
            });
        }
        self.shared.publish(&known);
        self.shared.changed.notify_all();
    }

    /// Waits until every host has been looked up once, at most `limit`; whether that was reached.
    pub fn ready(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut hosts = self.shared.hosts.lock();
        while hosts.by_name.values().any(|h| !h.settled) {
            if self.shared.changed.wait_until(&mut hosts, deadline).timed_out() {
                return hosts.by_name.values().all(|h| h.settled);
            }
        }
        true
    }

    /// Hosts whose last lookup failed, with the reason, sorted.
    pub fn faults(&self) -> Vec<(String, String)> {
        let hosts = self.shared.hosts.lock();
        let failed = hosts.by_name.iter().filter_map(|(name, h)| Some((name.to_string(), h.fault.clone()?)));
        let mut failed: Vec<_> = failed.collect();
        failed.sort();
        failed
    }

    pub fn view(&self) -> DnsView {
        DnsView(Some(self.shared.answers.reader()))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.shared.hosts.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// A thread's life: asks whatever is due, sleeps until something is.
    fn work(&self) {
        let mut hosts = self.hosts.lock();
        while !hosts.ended {
            let idle = hosts.by_name.iter_mut().filter(|(_, h)| !h.asking);
            let Some((name, host)) = idle.min_by_key(|(_, h)| h.due) else {
                self.changed.wait(&mut hosts);
                continue;
            };
            let (name, due) = (name.clone(), host.due);
            if due > Instant::now() {
                let _ = self.changed.wait_until(&mut hosts, due);
                continue;
            }
            host.asking = true;
            drop(hosts);
            let answer = (self.lookup)(&name);
            hosts = self.hosts.lock();
            self.note(&mut hosts, &name, answer);
        }
    }

    fn note(&self, hosts: &mut Hosts, name: &str, answer: io::Result<Vec<IpAddr>>) {
        let Some(host) = hosts.by_name.get_mut(name) else { return }; // no longer wanted
        host.asking = false;
        host.settled = true;
        let addresses = answer.map(|ips| order(&ips));
        let moved = match addresses {
            Ok(found) if !found.is_empty() => {
                host.due = Instant::now() + self.ttl;
                host.fault = None;
                let moved = found != host.addresses;
                host.addresses = found;
                moved
            }
            failed => {
                host.due = Instant::now() + self.negative_ttl;
                host.fault = Some(failed.err().map_or("it has no address".into(), |e| e.to_string()));
                false // the last good answer stays
            }
        };
        if moved {
            self.publish(hosts);
        }
        self.changed.notify_all();
    }

    fn publish(&self, hosts: &Hosts) {
        let answered = hosts.by_name.iter().filter(|(_, h)| !h.addresses.is_empty());
        self.answers.publish(answered.map(|(name, h)| (name.clone(), h.addresses.clone())).collect());
    }
}

fn ask_system(host: &str) -> io::Result<Vec<IpAddr>> {
    Ok((host, 0).to_socket_addrs()?.map(|a| a.ip()).collect())
}

/// Without repeats, and alternating between the families from the first one on (RFC 8305 §4), so that a family that does
/// not work here costs one try. Within a family the system's order stands (RFC 6724).
fn order(found: &[IpAddr]) -> Vec<IpAddr> {
    let mut seen = HashSet::new();
    let unique: Vec<IpAddr> = found.iter().copied().filter(|ip| seen.insert(*ip)).collect();
    let first_is_v6 = unique.first().is_some_and(IpAddr::is_ipv6);
    let (mut one, mut other) =
        (unique.iter().filter(|ip| ip.is_ipv6() == first_is_v6), unique.iter().filter(|ip| ip.is_ipv6() != first_is_v6));
    let mut ordered = Vec::with_capacity(unique.len());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten().copied());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn ips(text: &str) -> Vec<IpAddr> {
        text.split_whitespace().map(|ip| ip.parse().unwrap()).collect()
    }

    fn addresses(view: &mut DnsView, host: &str) -> Vec<IpAddr> {
        view.addresses(host, 8545).iter().inspect(|a| assert_eq!(a.port(), 8545)).map(SocketAddr::ip).collect()
    }

    /// Waits until `host` has `expected`.
    fn settles(view: &mut DnsView, host: &str, expected: &str) {
        let give_up = Instant::now() + 5000 * MS;
        while addresses(view, host) != ips(expected) {
            assert!(Instant::now() < give_up, "{host}: {:?}, not {expected}", addresses(view, host));
            thread::sleep(MS);
        }
    }

    #[test]
    fn literals_and_localhost_need_no_lookup() {
        let check = |host: &str, expected: &str| {
            assert_eq!(addresses(&mut DnsView::default(), host), ips(expected), "{host}");
        };
        check("10.1.2.3", "10.1.2.3");
        check("::1", "::1");
        check("[2001:db8::7]", "2001:db8::7");
        for name in ["localhost", "LocalHost", "localhost.", "rpc.localhost", "a.b.LOCALHOST."] {
            check(name, "127.0.0.1 ::1");
        }
        for name in ["notlocalhost", "localhost.example", "example.com", "", ".", "é", "[::1", "1.2.3"] {
            check(name, "");
        }
    }

    #[test]
    fn families_alternate_from_the_first_and_repeats_go() {
        let check = |found: &str, expected: &str| assert_eq!(order(&ips(found)), ips(expected), "{found}");
        check("", "");
        check("1.1.1.1 2.2.2.2 1.1.1.1", "1.1.1.1 2.2.2.2");
        check("::1 ::2 ::3 1.1.1.1 2.2.2.2", "::1 1.1.1.1 ::2 2.2.2.2 ::3");
        check("1.1.1.1 2.2.2.2 ::1", "1.1.1.1 ::1 2.2.2.2");
    }

    #[test]
    fn a_hanging_name_holds_up_no_other_and_readiness_is_bounded() {
        let gate = Arc::new(Mutex::new(()));
        let (closed, behind) = (gate.lock(), gate.clone());
        let lookup = move |host: &str| {
            if host.starts_with("hangs") {
                drop(behind.lock());
            }
            Ok(ips("9.9.9.9"))
        };
        let hosts = ["hangs.a", "hangs.b", "hangs.c", "works.a", "works.b", "works.c", "10.0.0.1", "localhost"];
        let resolver = Resolver::start_with(hosts, Box::new(lookup), (5000 * MS, 5000 * MS)).unwrap();
        let mut view = resolver.view();
        for host in ["works.a", "works.b", "works.c"] {
            settles(&mut view, host, "9.9.9.9");
        }
        let began = Instant::now();
        assert!(!resolver.ready(50 * MS) && began.elapsed() < 2000 * MS);
        assert_eq!(addresses(&mut view, "hangs.a"), ips(""));
        drop(closed);
        assert!(resolver.ready(5000 * MS));
        settles(&mut view, "hangs.c", "9.9.9.9");
    }

    #[test]
    fn answers_are_renewed_and_the_last_good_one_is_kept() {
        let answer = Arc::new(Mutex::new(Ok("1.1.1.1")));
        let asked = answer.clone();
        let lookup = move |_: &str| asked.lock().map(ips).map_err(io::Error::other);
        let resolver = Resolver::start_with(["a.example"], Box::new(lookup), (5 * MS, 5 * MS)).unwrap();
        let mut view = resolver.view();
        settles(&mut view, "a.example", "1.1.1.1");
        *answer.lock() = Ok("2.2.2.2 ::2");
        settles(&mut view, "a.example", "2.2.2.2 ::2");
        for failure in [Err("name server is silent"), Ok("")] {
            *answer.lock() = failure;
            let give_up = Instant::now() + 5000 * MS;
            while resolver.faults().is_empty() && Instant::now() < give_up {
                thread::sleep(MS);
            }
            let expected = failure.err().unwrap_or("it has no address");
            assert_eq!(resolver.faults(), [("a.example".to_string(), expected.to_string())]);
            assert_eq!(addresses(&mut view, "a.example"), ips("2.2.2.2 ::2"), "kept");
            *answer.lock() = Ok("2.2.2.2 ::2");
            while !resolver.faults().is_empty() && Instant::now() < give_up {
                thread::sleep(MS);
            }
        }
        assert!(resolver.faults().is_empty());
    }

    #[test]
    fn a_failed_name_is_asked_again_soon_and_hosts_can_change() {
        let count = Arc::new(Mutex::new(HashMap::<String, u32>::new()));
        let counter = count.clone();
        let lookup = move |host: &str| {
            let mut count = counter.lock();
            let n = count.entry(host.into()).or_default();
            *n += 1;
            if host == "late" && *n < 3 { Err(io::Error::other("not yet")) } else { Ok(ips("3.3.3.3")) }
        };
        let resolver = Resolver::start_with(["late", "stays"], Box::new(lookup), (60_000 * MS, MS)).unwrap();
        let mut view = resolver.view();
        assert!(resolver.ready(5000 * MS));
        settles(&mut view, "late", "3.3.3.3");
        settles(&mut view, "stays", "3.3.3.3");
        resolver.set_hosts(["stays", "new"]);
        assert_eq!((addresses(&mut view, "late"), addresses(&mut view, "stays")), (vec![], ips("3.3.3.3")));
        settles(&mut view, "new", "3.3.3.3");
        assert_eq!(count.lock().get("stays"), Some(&1), "known answers are not asked again early");
    }

    #[test]
    fn the_systems_resolver_answers_for_this_machine() {
        assert!(ask_system("localhost").unwrap().iter().any(IpAddr::is_loopback));
    }
}
