//! A provider instance as one shard sees it: how a call's head begins, and how a connection is made.
//!
//! Everything of the request head that does not depend on the call is rendered once. Connecting tries every address in
//! turn, each with its share of the time that is left, so one dead address of several costs a part of an attempt and
//! never all of it. Shards do not resolve names: they read what the resolver published.

use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::{Endpoint, Instance, Topology};
use crate::route::exchange::ConnectionRule;
use crate::runtime::tls::{TlsClient, TlsFault, TlsSettings, Transport};
use crate::runtime::world::{Duplex, World};
use crate::shard::deadlines::{Watch, Watched};
use crate::shard::node::Settings;
use crate::shard::pool::{Pool, Slot};
use crate::shard::upstream_http::Upstream;
use std::net::SocketAddr;
use std::rc::Rc;

/// Why there is no connection to a provider. Nothing was written to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectFault {
    /// The resolver has no address for the name.
    Unresolved,
    /// Every address refused or was unreachable; the last one's reason.
    Refused(std::io::ErrorKind),
    Tls(String),
    /// The attempt's time was over.
    Late,
    /// The client left.
    ClientGone,
    /// More calls wait for this instance than `CONNECTION_WAITERS`.
    TooManyWaiting,
    /// It has no HTTP endpoint.
    NoEndpoint,
}

impl std::fmt::Display for ConnectFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ConnectFault::Unresolved => out.write_str("its host name has no address (check the name, or the resolver)"),
            ConnectFault::Refused(kind) => write!(out, "no connection: {kind}"),
            ConnectFault::Tls(why) => write!(out, "TLS failed: {why}"),
            ConnectFault::Late => out.write_str("no connection in time"),
            ConnectFault::ClientGone => out.write_str("the client left"),
            ConnectFault::TooManyWaiting => out.write_str("too many calls wait for a connection to it"),
            ConnectFault::NoEndpoint => out.write_str("it has no HTTP endpoint"),
        }
    }
}

impl From<Watched> for ConnectFault {
    fn from(watched: Watched) -> ConnectFault {
        match watched {
            Watched::ClientGone => ConnectFault::ClientGone,
            _ => ConnectFault::Late,
        }
    }
}

pub struct Target<W: World> {
    pub pool: Rc<Pool<W>>,
    /// From `POST` to `content-length: `.
    pub head: Box<[u8]>,
    /// What must not appear in anything shown to a client.
    pub secrets: Vec<Box<str>>,
    endpoint: Option<Endpoint>,
    tls: Option<TlsClient>,
}

impl<W: World> Target<W> {
    /// One for each instance of the topology, in its order.
    /// The bound of connections is the node's: the control thread takes a few, the shards share the rest.
    pub fn for_all(topology: &Topology, settings: &Settings, is_control: bool, tls: &TlsSettings) -> Vec<Rc<Target<W>>> {
        let all = topology.instances.values();
        all.map(|instance| Rc::new(Target::new(instance, settings, is_control, tls))).collect()
    }

    fn new(instance: &Instance, settings: &Settings, is_control: bool, tls: &TlsSettings) -> Target<W> {
        let endpoint = instance.http_from(&settings.region).cloned();
        let of_control = limits::CONTROL_CONNECTIONS.min(instance.max_connections / 8).max(1);
        let of_shard = instance.max_connections.saturating_sub(of_control) / settings.shards.max(1);
        let secured = endpoint.as_ref().filter(|e| e.tls);
        Target {
            pool: Pool::new(if is_control { of_control } else { of_shard.max(1) }),
            head: endpoint.as_ref().map(|e| call_head(e, instance)).unwrap_or_default(),
            secrets: instance.secrets.clone(),
            tls: secured.map(|e| tls.client(&e.host, instance.ca_file.as_deref())),
            endpoint,
        }
    }

    /// A connection that `rule` allows: pooled, or new within `watch`'s time. Waits its turn at the pool's bound.
    pub async fn connection(
        &self,
        world: &W,
        rule: ConnectionRule,
        watch: &Watch<W>,
        deadline: Instant,
        mut now: Instant,
    ) -> Result<(Upstream<W>, Slot<W>), ConnectFault> {
        let mut waited = false;
        loop {
            if waited || !self.pool.has_queue() {
                if let Some(pooled) = self.pool.take(rule, now) {
                    return Ok(pooled);
                }
                if let Some(slot) = self.pool.reserve() {
                    // Boxed: a rare path whose state would sit in every call.
                    let connection = Box::pin(self.connect(world, watch, deadline)).await?;
                    return Ok((connection, slot));
                }
            }
            if !watch.bound(self.pool.wait()).await? {
                return Err(ConnectFault::TooManyWaiting);
            }
            (waited, now) = (true, world.now());
        }
    }

    async fn connect(&self, world: &W, watch: &Watch<W>, deadline: Instant) -> Result<Upstream<W>, ConnectFault> {
        let endpoint = self.endpoint.as_ref().ok_or(ConnectFault::NoEndpoint)?;
        let addresses = world.addresses(&endpoint.host, endpoint.port);
        let mut last = ConnectFault::Unresolved;
        for (tried, &address) in addresses.iter().enumerate() {
            let left = deadline.since(world.now()) / (addresses.len() - tried) as u32;
            watch.set_deadline((world.now() + left).min(world.now().plus_ms(limits::CONNECT_TIMEOUT_MS)));
            let made = watch.bound(self.connect_to(world, address, watch)).await;
            match made {
                Ok(Ok(upstream)) => {
                    watch.set_deadline(deadline);
                    return Ok(upstream);
                }
                Ok(Err(fault)) => last = fault,
                Err(Watched::Late) if watch.revive(deadline, world.now()) => last = ConnectFault::Late,
                Err(ended) => return Err(ended.into()),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, world: &W, address: SocketAddr, watch: &Watch<W>) -> Result<Upstream<W>, ConnectFault> {
        let stream = world.connect(address).await.map_err(|e| ConnectFault::Refused(e.kind()))?;
        let link = match &self.tls {
            None => Transport::Plain(stream),
            Some(client) => {
                let done = client.handshake(stream).await.map_err(|fault: TlsFault| ConnectFault::Tls(fault.to_string()))?;
                Transport::Tls(done)
            }
        };
        watch.set_upstream(link.closer());
        Ok(Upstream::new(link, world.now()))
    }
}

const USER_AGENT: &str = concat!("lasso/", env!("CARGO_PKG_VERSION"));

fn call_head(endpoint: &Endpoint, instance: &Instance) -> Box<[u8]> {
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {}\r\n", endpoint.path, endpoint.authority());
    let mut field = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            head.push_str(part);
        }
    };
    let has = |name: &str| instance.headers.iter().any(|(n, _)| n.as_ref() == name);
    let unless_set = [("content-type", "application/json"), ("accept", "application/json"), ("user-agent", USER_AGENT)];
    unless_set.iter().filter(|(name, _)| !has(name)).for_each(|(name, value)| field(name, value));
    if !endpoint.is_loopback() && !has("accept-encoding") {
        field("accept-encoding", "gzip");
    }
    if let Some(basic) = endpoint.basic_auth.as_deref().filter(|_| !has("authorization")) {
        field("authorization", basic);
    }
    instance.headers.iter().for_each(|(name, value)| field(name, value));
    head.push_str("content-length: ");
    head.into_bytes().into_boxed_slice()
}
