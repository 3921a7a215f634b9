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
use crate::shard::http2::{self, Lane, Lanes};
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
    /// `http2: on` for a provider that does not speak it.
    NoHttp2,
    /// It turned the call away unseen, as often as that is tried.
    TurnedAway,
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
            ConnectFault::NoHttp2 => out.write_str("it does not speak HTTP/2 here (write `http2: off` for it)"),
            ConnectFault::TurnedAway => out.write_str("it takes no calls (HTTP/2 GOAWAY or REFUSED_STREAM)"),
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
    /// For a provider with which HTTP/2 may be spoken.
    lanes: Option<Lanes<W>>,
}

/// What a call goes over.
pub enum Way<W: World> {
    Http1(Upstream<W>, Slot<W>),
    Http2(Lane<W>),
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
            tls: secured.map(|e| tls.client(&e.host, instance.ca_file.as_deref(), http2::is_offered(instance))),
            lanes: endpoint.as_ref().and_then(|e| Lanes::new(instance, e)),
            endpoint,
        }
    }

    /// Sweeps what idles.
    pub fn sweep(&self, now: Instant) {
        self.pool.sweep(now);
        if let Some(lanes) = &self.lanes {
            lanes.beat(now);
        }
    }

    /// A connection, or a stream on one, that `rule` allows: there already, or new within `watch`'s time. Waits its turn
    /// at the bounds.
    pub async fn connection(
        &self,
        world: &W,
        rule: ConnectionRule,
        watch: &Watch<W>,
        deadline: Instant,
        mut now: Instant,
    ) -> Result<Way<W>, ConnectFault> {
        let failures = self.lanes.as_ref().map_or(0, Lanes::failures);
        let mut waited = false;
        loop {
            if waited || !self.pool.has_queue() {
                if let Some(lane) = self.lanes.as_ref().and_then(|lanes| lanes.take(rule, now)) {
                    return Ok(Way::Http2(lane));
                }
                if let Some((connection, slot)) = self.pool.take(rule, now) {
                    return Ok(Way::Http1(connection, slot));
                }
                if self.lanes.as_ref().is_none_or(|lanes| lanes.may_connect(&self.pool, rule))
                    && let Some(slot) = self.pool.reserve()
                {
                    let turn = self.lanes.as_ref().map(|lanes| lanes.turn(&self.pool));
                    // Boxed: a rare path whose state would sit in every call.
                    let made = Box::pin(self.connect(world, slot, watch, deadline)).await;
                    if let (Some(turn), Err(fault)) = (&turn, &made) {
                        turn.failed(fault);
                    }
                    return made;
                }
            }
            if !watch.bound(self.pool.wait()).await? {
                return Err(ConnectFault::TooManyWaiting);
            }
            if let Some(fault) = self.lanes.as_ref().and_then(|lanes| lanes.fault_since(failures)) {
                return Err(fault);
            }
            (waited, now) = (true, world.now());
        }
    }

    async fn connect(&self, world: &W, slot: Slot<W>, watch: &Watch<W>, deadline: Instant) -> Result<Way<W>, ConnectFault> {
        let endpoint = self.endpoint.as_ref().ok_or(ConnectFault::NoEndpoint)?;
        let addresses = world.addresses(&endpoint.host, endpoint.port);
        let mut last = ConnectFault::Unresolved;
        let mut slot = Some(slot);
        for (tried, &address) in addresses.iter().enumerate() {
            let Some(slot) = slot.take().or_else(|| self.pool.reserve()) else { break };
            let left = deadline.since(world.now()) / (addresses.len() - tried) as u32;
            watch.set_deadline((world.now() + left).min(world.now().plus_ms(limits::CONNECT_TIMEOUT_MS)));
            let made = watch.bound(self.connect_to(world, address, slot, watch)).await;
            match made {
                Ok(Ok(way)) => {
                    watch.set_deadline(deadline);
                    return Ok(way);
                }
                Ok(Err(fault)) => last = fault,
                Err(Watched::Late) if watch.revive(deadline, world.now()) => last = ConnectFault::Late,
                Err(ended) => return Err(ended.into()),
            }
        }
        Err(last)
    }

    async fn connect_to(&self, world: &W, address: SocketAddr, slot: Slot<W>, watch: &Watch<W>) -> Result<Way<W>, ConnectFault> {
        let stream = world.connect(address).await.map_err(|e| ConnectFault::Refused(e.kind()))?;
        let link = match &self.tls {
            None => Transport::Plain(stream),
            Some(client) => {
                let done = client.handshake(stream).await.map_err(|fault: TlsFault| ConnectFault::Tls(fault.to_string()))?;
                Transport::Tls(done)
            }
        };
        if let Some(lanes) = &self.lanes
            && lanes.is_spoken_on(&link)
        {
            return lanes.begin(world, link, slot, &self.pool).await.map(Way::Http2);
        }
        watch.set_upstream(link.closer());
        Ok(Way::Http1(Upstream::new(link, world.now()), slot))
    }
}

const USER_AGENT: &str = concat!("lasso/", env!("CARGO_PKG_VERSION"));

fn call_head(endpoint: &Endpoint, instance: &Instance) -> Box<[u8]> {
    let mut head = format!("POST {} HTTP/1.1\r\nhost: {}\r\n", endpoint.path, endpoint.authority());
    for (name, value) in call_fields(endpoint, instance) {
        [name, ": ", value, "\r\n"].iter().for_each(|part| head.push_str(part));
    }
    head.push_str("content-length: ");
    head.into_bytes().into_boxed_slice()
}

/// The fields of every call: what the configuration says, and ours where it says nothing.
pub fn call_fields<'a>(endpoint: &'a Endpoint, instance: &'a Instance) -> Vec<(&'a str, &'a str)> {
    let has = |name: &str| instance.headers.iter().any(|(n, _)| n.as_ref() == name);
    let mut fields = Vec::new();
    let unless_set = [("content-type", "application/json"), ("accept", "application/json"), ("user-agent", USER_AGENT)];
    fields.extend(unless_set.into_iter().filter(|(name, _)| !has(name)));
    if !endpoint.is_loopback() && !has("accept-encoding") {
        fields.push(("accept-encoding", "gzip"));
    }
    if let Some(basic) = endpoint.basic_auth.as_deref().filter(|_| !has("authorization")) {
        fields.push(("authorization", basic));
    }
    fields.extend(instance.headers.iter().map(|(name, value)| (name.as_ref(), value.as_ref())));
    fields
}
