//! A provider instance as one shard sees it: how a call's head begins, and how a connection is made.
//!
//! Everything of a request's head that does not depend on the call is rendered once, for calls over HTTP and for the
//! handshake of a WebSocket.

use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::{Endpoint, Instance, Topology};
use crate::route::exchange::ConnectionRule;
use crate::runtime::tls::TlsSettings;
use crate::runtime::world::World;
use crate::shard::deadlines::Watch;
use crate::shard::dial::{ConnectFault, Dial};
use crate::shard::node::Settings;
use crate::shard::pool::{Pool, Slot};
use crate::shard::upstream_http::Upstream;
use std::rc::Rc;

pub struct Target<W: World> {
    pub pool: Rc<Pool<W>>,
    /// From `POST` to `content-length: `.
    pub head: Box<[u8]>,
    /// What must not appear in anything shown to a client.
    pub secrets: Vec<Box<str>>,
    http: Option<Dial>,
    /// Its WebSocket endpoint, and the handshake's head from `GET` to `sec-websocket-key: `.
    pub ws: Option<(Dial, Box<[u8]>)>,
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
        let ws = instance.ws_from(&settings.region);
        Target {
            pool: Pool::new(if is_control { of_control } else { of_shard.max(1) }),
            head: endpoint.as_ref().map(|e| call_head(e, instance)).unwrap_or_default(),
            secrets: instance.secrets.clone(),
            http: endpoint.as_ref().map(|e| Dial::new(e, instance, tls)),
            ws: ws.map(|e| (Dial::new(e, instance, tls), upgrade_head(e, instance))),
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
        let dial = self.http.as_ref().ok_or(ConnectFault::NoEndpoint)?;
        let stream = dial.connect(world, watch, deadline).await?;
        Ok(Upstream::new(stream, world.now()))
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

/// The handshake's own fields may not be set by configuration: they are the program's answer to what it can do.
fn upgrade_head(endpoint: &Endpoint, instance: &Instance) -> Box<[u8]> {
    let mut head = format!("GET {} HTTP/1.1\r\nhost: {}\r\n", endpoint.path, endpoint.authority());
    let mut field = |name: &str, value: &str| {
        for part in [name, ": ", value, "\r\n"] {
            head.push_str(part);
        }
    };
    let has = |name: &str| instance.headers.iter().any(|(n, _)| n.as_ref() == name);
    if !has("user-agent") {
        field("user-agent", USER_AGENT);
    }
    if let Some(basic) = endpoint.basic_auth.as_deref().filter(|_| !has("authorization")) {
        field("authorization", basic);
    }
    let own = instance.headers.iter().filter(|(name, _)| !name.starts_with("sec-websocket-") && name.as_ref() != "accept");
    own.for_each(|(name, value)| field(name, value));
    field("upgrade", "websocket");
    field("connection", "Upgrade");
    field("sec-websocket-version", "13");
    head.push_str("sec-websocket-key: ");
    head.into_bytes().into_boxed_slice()
}
