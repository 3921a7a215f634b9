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
use crate::shard::deadlines::{Watch, Watched};
use crate::shard::dial::{ConnectFault, Dial};
use crate::shard::http2::{self, Lane, Lanes};
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
        let ws = instance.ws_from(&settings.region);
        Target {
            pool: Pool::new(if is_control { of_control } else { of_shard.max(1) }),
            head: endpoint.as_ref().map(|e| call_head(e, instance)).unwrap_or_default(),
            secrets: instance.secrets.clone(),
            http: endpoint.as_ref().map(|e| Dial::new(e, instance, tls, http2::is_offered(instance))),
            ws: ws.map(|e| (Dial::new(e, instance, tls, false), upgrade_head(e, instance))),
            lanes: endpoint.as_ref().and_then(|e| Lanes::new(instance, e)),
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
                if let Some(way) = self.there_already(rule, now) {
                    return Ok(way);
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
            match watch.bound(self.pool.wait()).await {
                Ok(true) => {}
                Ok(false) => return Err(ConnectFault::TooManyWaiting),
                Err(Watched::ClientGone) => return Err(ConnectFault::ClientGone),
                Err(Watched::Late | Watched::Running | Watched::Drained) => return Err(ConnectFault::QueueLate),
            }
            if let Some(fault) = self.lanes.as_ref().and_then(|lanes| lanes.fault_since(failures)) {
                return Err(fault);
            }
            (waited, now) = (true, world.now());
        }
    }

    /// One that is there already, unless others wait for one.
    #[inline]
    pub fn at_hand(&self, rule: ConnectionRule, now: Instant) -> Option<Way<W>> {
        if self.pool.has_queue() { None } else { self.there_already(rule, now) }
    }

    #[inline]
    fn there_already(&self, rule: ConnectionRule, now: Instant) -> Option<Way<W>> {
        if let Some(lane) = self.lanes.as_ref().and_then(|lanes| lanes.take(rule, now)) {
            return Some(Way::Http2(lane));
        }
        self.pool.take(rule, now).map(|(connection, slot)| Way::Http1(connection, slot))
    }

    async fn connect(&self, world: &W, slot: Slot<W>, watch: &Watch<W>, deadline: Instant) -> Result<Way<W>, ConnectFault> {
        let dial = self.http.as_ref().ok_or(ConnectFault::NoEndpoint)?;
        let stream = dial.connect(world, watch, deadline).await?;
        match self.lanes.as_ref().filter(|lanes| lanes.is_spoken_on(&stream)) {
            Some(lanes) => watch.bound(lanes.begin(world, stream, slot, &self.pool)).await?.map(Way::Http2),
            None => Ok(Way::Http1(Upstream::new(stream, world.now()), slot)),
        }
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
