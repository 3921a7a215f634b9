//! How a connection to one endpoint of a provider is made: every address in turn, each with its share of the time that is
//! left, so one dead address of several costs a part of an attempt and never all of it; then TLS where the URL wants it.
//! Shards do not resolve names: they read what the resolver published.

use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::{Endpoint, Instance};
use crate::runtime::tls::{TlsClient, TlsFault, TlsSettings, Transport};
use crate::runtime::world::{Duplex, World};
use crate::shard::deadlines::{Watch, Watched};
use std::net::SocketAddr;

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
    /// More calls wait for this instance than `CONNECTION_WAITERS`, or for this WebSocket than `LINK_PENDING`.
    TooManyWaiting,
    /// It has no such endpoint, or this shard keeps no connection to it.
    NoEndpoint,
    /// It made no WebSocket of it: the HTTP status, or 502 for what is no HTTP.
    NotUpgraded(u16),
    /// The last connection ended a moment ago; the next is not due yet.
    Resting,
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
            ConnectFault::NoEndpoint => out.write_str("it has no endpoint for this transport"),
            ConnectFault::NotUpgraded(status) => {
                write!(out, "it answered the WebSocket handshake with HTTP {status} (check ws_url)")
            }
            ConnectFault::Resting => out.write_str("its WebSocket ended a moment ago"),
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

pub struct Dial {
    pub endpoint: Endpoint,
    tls: Option<TlsClient>,
}

impl Dial {
    pub fn new(endpoint: &Endpoint, instance: &Instance, tls: &TlsSettings) -> Dial {
        let tls = endpoint.tls.then(|| tls.client(&endpoint.host, instance.ca_file.as_deref()));
        Dial { endpoint: endpoint.clone(), tls }
    }

    /// A connection within `watch`'s time, which is `deadline` again when it is made.
    pub async fn connect<W: World>(
        &self,
        world: &W,
        watch: &Watch<W>,
        deadline: Instant,
    ) -> Result<Transport<W::Stream>, ConnectFault> {
        let addresses = world.addresses(&self.endpoint.host, self.endpoint.port);
        let mut last = ConnectFault::Unresolved;
        for (tried, &address) in addresses.iter().enumerate() {
            let left = deadline.since(world.now()) / (addresses.len() - tried) as u32;
            watch.set_deadline((world.now() + left).min(world.now().plus_ms(limits::CONNECT_TIMEOUT_MS)));
            let made = watch.bound(self.connect_to(world, address, watch)).await;
            match made {
                Ok(Ok(stream)) => {
                    watch.set_deadline(deadline);
                    return Ok(stream);
                }
                Ok(Err(fault)) => last = fault,
                Err(Watched::Late) if watch.revive(deadline, world.now()) => last = ConnectFault::Late,
                Err(ended) => return Err(ended.into()),
            }
        }
        Err(last)
    }

    async fn connect_to<W: World>(
        &self,
        world: &W,
        address: SocketAddr,
        watch: &Watch<W>,
    ) -> Result<Transport<W::Stream>, ConnectFault> {
        let stream = world.connect(address).await.map_err(|e| ConnectFault::Refused(e.kind()))?;
        let stream = match &self.tls {
            None => Transport::Plain(stream),
            Some(client) => {
                let done = client.handshake(stream).await.map_err(|fault: TlsFault| ConnectFault::Tls(fault.to_string()))?;
                Transport::Tls(done)
            }
        };
        watch.set_upstream(stream.closer());
        Ok(stream)
    }
}
