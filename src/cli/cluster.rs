//! The cluster's settings: flags, and secrets from variables only, because arguments are read by every user of a machine.

use crate::base::limits::CLUSTER_PORT;
use crate::cli::env::Env;
use crate::cli::options::{Settings, Usage};
use crate::cluster::advice::AdvicePolicy;
use crate::cluster::discovery::ClusterQuery;
use crate::cluster::secret::{ClusterSecrets, SecretFault};
use crate::cluster::services;
use crate::cluster::settings::ClusterSettings;
use crate::runtime::dns::{DnsView, Resolver};
use crate::runtime::listen;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

/// The first that is set is the secret.
const SECRET: [&str; 2] = ["LASSO_CLUSTER_SECRET", "SECRET_KEY_BASE"];
const PREVIOUS: &str = "LASSO_CLUSTER_SECRET_PREVIOUS";
/// Which name every node has unless it is told another one.
const BASENAME: &str = "lasso";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// Variables that only these settings read.
pub(super) const SECRET_VARIABLES: [&str; 2] = [SECRET[0], PREVIOUS];

/// `None`: the node works alone.
pub(super) fn cluster(settings: &Settings, env: &Env) -> Result<Option<ClusterSettings>, Usage> {
    let Some(text) = settings.text("cluster-dns-query") else { return Ok(None) };
    let listen = listen(settings)?;
    let query = ClusterQuery::parse(text, listen.port()).map_err(|why| settings.bad_because("cluster-dns-query", &why))?;
    let name = settings.name("cluster-node-basename")?;
    let secrets = secrets(env, name.as_deref().unwrap_or(BASENAME), listen)?;
    let name_servers = match query {
        ClusterQuery::Services(_) => services::name_servers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()),
        ClusterQuery::Name(_) | ClusterQuery::List(_) => Vec::new(),
    };
    if matches!(query, ClusterQuery::Services(_)) && name_servers.is_empty() {
        return Err(settings.bad_because("cluster-dns-query", &format!("asks for services, and {RESOLV_CONF} names no server")));
    }
    let advice = settings.text("cluster-advice").map(AdvicePolicy::from_word);
    let advice = advice.map(|known| known.ok_or_else(|| settings.bad("cluster-advice", "usual, all or off")));
    let advice = advice.transpose()?.unwrap_or_default();
    Ok(Some(ClusterSettings { query, listen, secrets, advice, name_servers }))
}

/// What is set for a cluster although there is none, as sentences.
pub(super) fn notices(settings: &Settings, env: &Env) -> Vec<String> {
    if settings.text("cluster-dns-query").is_some() {
        return Vec::new();
    }
    let flags = ["cluster-node-basename", "cluster-listen", "cluster-port", "cluster-advice"].into_iter();
    let given = flags.filter(|name| settings.text(name).is_some()).map(|name| format!("--{name}"));
    let secrets = SECRET_VARIABLES.into_iter().filter(|name| env.get(name).is_some()).map(str::to_owned);
    let names: Vec<String> = given.chain(secrets).collect();
    match names.as_slice() {
        [] => Vec::new(),
        names => vec![format!("without effect, because CLUSTER_DNS_QUERY is not set: {}", names.join(", "))],
    }
}

/// What the cluster's tasks are given by the start.
#[derive(Default)]
pub(super) struct ClusterParts {
    /// Bound already; `None`: the tasks bind it when its holder lets go of it.
    pub socket: Option<UdpSocket>,
    /// Kept for its threads.
    resolver: Option<Resolver>,
}

impl ClusterParts {
    /// A port that is taken ends the start, unless it is a predecessor's whose place is being taken (`may_wait`).
    pub fn prepare(settings: Option<&ClusterSettings>, may_wait: bool) -> Result<ClusterParts, String> {
        let Some(settings) = settings else { return Ok(ClusterParts::default()) };
        let socket = match listen::bind_datagrams_patiently(settings.listen) {
            Ok(socket) => Some(socket),
            Err(fault) if may_wait && fault.cause.kind() == io::ErrorKind::AddrInUse => None,
            Err(fault) => return Err(format!("the cluster {fault}")),
        };
        let hosts: Vec<&str> = match &settings.query {
            ClusterQuery::Name(name) => vec![name],
            ClusterQuery::List(hosts) => hosts.iter().map(|(host, _)| host.as_str()).collect(),
            ClusterQuery::Services(_) => Vec::new(),
        };
        let resolver = Resolver::start_for_peers(hosts).map_err(|e| format!("resolver: {e}"))?;
        Ok(ClusterParts { socket, resolver: Some(resolver) })
    }

    pub fn names(&self) -> DnsView {
        self.resolver.as_ref().map(Resolver::view).unwrap_or_default()
    }
}

fn listen(settings: &Settings) -> Result<SocketAddr, Usage> {
    let port = settings.number("cluster-port", 1, 65_535)?.and_then(|n| u16::try_from(n).ok());
    let Some(text) = settings.text("cluster-listen") else {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port.unwrap_or(CLUSTER_PORT)));
    };
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    let whole: Option<SocketAddr> = text.parse().ok().filter(|at: &SocketAddr| at.port() != 0);
    let address = whole.or_else(|| Some(SocketAddr::new(bare.parse().ok()?, port.unwrap_or(CLUSTER_PORT))));
    address.ok_or_else(|| settings.bad("cluster-listen", "an address with a port, like 10.0.0.1:7946 or [::]:7946"))
}

fn secrets(env: &Env, name: &str, listen: SocketAddr) -> Result<ClusterSecrets, Usage> {
    let current = SECRET.into_iter().find_map(|variable| Some((variable, env.get(variable)?.0)));
    if current.is_none() && !is_private(listen.ip()) {
        return Err(Usage(format!(
            "a cluster that listens on {listen} needs a secret: whoever can reach the port could join \
             (set LASSO_CLUSTER_SECRET to the same value on all nodes, or --cluster-listen to a private address)"
        )));
    }
    let previous = env.get(PREVIOUS).map(|(value, _)| value);
    let made = ClusterSecrets::new(current.map(|(_, value)| value), previous, name);
    made.map_err(|SecretFault(why)| {
        Usage(match current {
            Some((variable, _)) => format!("{variable}: {why}"),
            None => why,
        })
    })
}

/// Not from the internet: loopback, and what RFC 1918, 3927, 4193 and 6598 set aside.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(v4) => is_private(v4.into()),
            None => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::flags::Name;

    const LONG: &str = "a secret that is long enough";

    fn made(variables: &[(&str, &str)]) -> Result<Option<ClusterSettings>, Usage> {
        let env = Env::new(variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), None);
        cluster(&Settings::new(Name::Serve, Vec::new(), &env), &env)
    }

    #[test]
    fn the_query_alone_makes_a_cluster_and_nothing_else_does() {
        assert!(made(&[]).unwrap().is_none());
        assert!(made(&[("LASSO_CLUSTER_SECRET", LONG), ("CLUSTER_NODE_BASENAME", "x")]).unwrap().is_none());
        let made = made(&[("CLUSTER_DNS_QUERY", "lasso.internal"), ("SECRET_KEY_BASE", LONG)]).unwrap().unwrap();
        assert_eq!(made.listen, "0.0.0.0:7946".parse().unwrap());
        assert!(!format!("{made:?}").contains("secret that"), "{made:?}");
    }

    #[test]
    fn the_port_is_said_in_either_place() {
        let listen = |more: &[(&str, &str)]| {
            let mut all = vec![("CLUSTER_DNS_QUERY", "a"), ("LASSO_CLUSTER_SECRET", LONG)];
            all.extend(more);
            made(&all).map(|made| made.unwrap().listen.to_string()).map_err(|Usage(why)| why)
        };
        assert_eq!(listen(&[("LASSO_CLUSTER_PORT", "5000")]).unwrap(), "0.0.0.0:5000");
        assert_eq!(listen(&[("LASSO_CLUSTER_LISTEN", "10.0.0.1")]).unwrap(), "10.0.0.1:7946");
        assert_eq!(listen(&[("LASSO_CLUSTER_LISTEN", "[::]:1")]).unwrap(), "[::]:1");
        assert_eq!(listen(&[("LASSO_CLUSTER_LISTEN", "[::1]"), ("LASSO_CLUSTER_PORT", "9")]).unwrap(), "[::1]:9");
        for bad in ["10.0.0.1:0", "example.com", "1.2.3.4:x", ""] {
            assert!(listen(&[("LASSO_CLUSTER_LISTEN", bad)]).is_err() || bad.is_empty(), "{bad}");
        }
    }

    #[test]
    fn without_a_secret_only_private_addresses_listen() {
        let with = |listen| made(&[("CLUSTER_DNS_QUERY", "a"), ("LASSO_CLUSTER_LISTEN", listen)]);
        for private in ["127.0.0.1:1", "10.1.2.3:1", "172.16.0.1:1", "100.64.0.1:1", "[fd00::1]:1", "[fe80::1]:1", "[::1]:1"] {
            assert!(with(private).is_ok(), "{private}");
        }
        for public in ["0.0.0.0:1", "8.8.8.8:1", "100.128.0.1:1", "[::]:1", "[2001:db8::1]:1", "[::ffff:8.8.8.8]:1"] {
            let Usage(why) = with(public).unwrap_err();
            assert!(why.contains("needs a secret") && why.contains("LASSO_CLUSTER_SECRET"), "{why}");
        }
    }

    #[test]
    fn bad_secrets_and_queries_name_their_variable_and_not_their_value() {
        let why = |variables: &[(&str, &str)]| made(variables).unwrap_err().0;
        let said = why(&[("CLUSTER_DNS_QUERY", "a"), ("SECRET_KEY_BASE", "hunter2")]);
        assert!(said.starts_with("SECRET_KEY_BASE: ") && !said.contains("hunter2"), "{said}");
        let said = why(&[("CLUSTER_DNS_QUERY", "a:b:c,"), ("SECRET_KEY_BASE", LONG)]);
        assert!(said.contains("CLUSTER_DNS_QUERY") && said.contains("no host with a port"), "{said}");
    }

    #[test]
    fn what_is_set_in_vain_is_named() {
        let env = Env::new([("LASSO_CLUSTER_SECRET".to_owned(), LONG.to_owned())], None);
        let said = notices(&Settings::new(Name::Serve, Vec::new(), &env), &env);
        assert!(said.len() == 1 && said[0].contains("LASSO_CLUSTER_SECRET") && !said[0].contains(LONG), "{said:?}");
    }
}
