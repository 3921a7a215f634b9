//! How a connection to one endpoint of a provider is made: every address in turn, each with its share of the time that is
//! left, so one dead address of several costs a part of an attempt and never all of it; then TLS where the URL wants it.
//! Shards do not resolve names: they read what the resolver published.

use crate::base::limits;
use crate::base::time::Instant;
use crate::config::topology::{Endpoint, Instance};
use crate::observe::shortage::Shortage;
use crate::observe::unreached::Unreached;
use crate::runtime::own_fault;
use crate::runtime::tls::{TlsClient, TlsFault, TlsSettings, Transport};
use crate::runtime::world::World;
use crate::shard::deadlines::{Watch, Watched};
use std::net::SocketAddr;

/// Why there is no connection to a provider. Nothing was written to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectFault {
    /// The resolver has no address for the name.
    Unresolved,
    /// Every address refused or was unreachable; the reason of the one that got furthest.
    Refused(std::io::ErrorKind),
    /// This node or its machine had no means to make one.
    Ours(Shortage),
    /// No connection of ours became free in the attempt's time.
    QueueLate,
    Tls(Unreached),
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
            ConnectFault::Ours(shortage) => out.write_str(shortage.remedy()),
            ConnectFault::QueueLate => out.write_str(Shortage::Connections.remedy()),
            ConnectFault::Tls(why) => out.write_str(&why.text()),
            ConnectFault::Late => out.write_str("no connection in time"),
            ConnectFault::ClientGone => out.write_str("the client left"),
            ConnectFault::TooManyWaiting => out.write_str("too many calls wait for a connection to it"),
            ConnectFault::NoEndpoint => out.write_str("it has no endpoint for this transport"),
            ConnectFault::NotUpgraded(status) => {
                write!(out, "it answered the WebSocket handshake with HTTP {status} (check ws_url)")
            }
            ConnectFault::Resting => out.write_str("its WebSocket ended a moment ago"),
            ConnectFault::NoHttp2 => out.write_str("it does not speak HTTP/2 here (write `http2: off` for it)"),
            ConnectFault::TurnedAway => out.write_str("it takes no calls (HTTP/2 GOAWAY or REFUSED_STREAM)"),
        }
    }
}

impl ConnectFault {
    /// What of ours was missing; `None`: this is about the provider, or nobody.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            ConnectFault::Ours(shortage) => Some(*shortage),
            ConnectFault::QueueLate | ConnectFault::TooManyWaiting => Some(Shortage::Connections),
            ConnectFault::Unresolved => Some(Shortage::Names),
            ConnectFault::Refused(_)
            | ConnectFault::Tls(_)
            | ConnectFault::Late
            | ConnectFault::ClientGone
            | ConnectFault::NoEndpoint
            | ConnectFault::NotUpgraded(_)
            | ConnectFault::Resting
            | ConnectFault::NoHttp2
            | ConnectFault::TurnedAway => None,
        }
    }

    /// What people are told of the provider; `None`: this is not about it, or is told otherwise.
    pub fn unreached(&self) -> Option<Unreached> {
        use std::io::ErrorKind as Kind;
        match self {
            ConnectFault::Unresolved => Some(Unreached::Unresolved),
            ConnectFault::Refused(Kind::ConnectionRefused) => Some(Unreached::Refused),
            ConnectFault::Refused(Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe) => Some(Unreached::Ended),
            ConnectFault::Refused(Kind::HostUnreachable | Kind::NetworkUnreachable) => Some(Unreached::NoRoute),
            ConnectFault::Refused(Kind::TimedOut) => Some(Unreached::Late),
            ConnectFault::Refused(_) => Some(Unreached::Other),
            ConnectFault::Tls(why) => Some(*why),
            ConnectFault::NoHttp2 => Some(Unreached::NoHttp2),
            // Limits and refused credentials have words of their own.
            ConnectFault::NotUpgraded(401..=403 | 429) => None,
            ConnectFault::NotUpgraded(status) => Some(Unreached::NotUpgraded(*status)),
            // A call's patience may be shorter than a connection takes.
            ConnectFault::Late
            | ConnectFault::Ours(_)
            | ConnectFault::QueueLate
            | ConnectFault::ClientGone
            | ConnectFault::TooManyWaiting
            | ConnectFault::NoEndpoint
            | ConnectFault::Resting
            | ConnectFault::TurnedAway => None,
        }
    }

    /// The fault of all addresses, this one's after `before`: of whichever got furthest, because a name whose IPv6 address
    /// nobody serves is mended where its IPv4 address fails. Of two that got equally far it is the later one.
    fn after(self, before: ConnectFault) -> ConnectFault {
        if self.progress() < before.progress() { before } else { self }
    }

    /// How far an address got before this fault; higher is further.
    fn progress(&self) -> u8 {
        use std::io::ErrorKind as Kind;
        match self {
            ConnectFault::Tls(Unreached::Ended) => 4,
            ConnectFault::Tls(_) => 5,
            ConnectFault::Refused(Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe) => 4,
            ConnectFault::Late | ConnectFault::Refused(Kind::TimedOut) => 3,
            ConnectFault::Refused(_) => 2,
            // A machine without a way to one kind of address has one to the other.
            ConnectFault::Ours(_) => 1,
            // Before any address, and what no single address causes.
            ConnectFault::Unresolved
            | ConnectFault::QueueLate
            | ConnectFault::ClientGone
            | ConnectFault::TooManyWaiting
            | ConnectFault::NoEndpoint
            | ConnectFault::NotUpgraded(_)
            | ConnectFault::Resting
            | ConnectFault::NoHttp2
            | ConnectFault::TurnedAway => 0,
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
    pub fn new(endpoint: &Endpoint, instance: &Instance, tls: &TlsSettings, offers_http2: bool) -> Dial {
        let tls = endpoint.tls.then(|| tls.client(&endpoint.host, instance.ca_file.as_deref(), offers_http2));
        Dial { endpoint: endpoint.clone(), tls }
    }

    /// A connection within `watch`'s time, which is `deadline` again when it is made. It is not yet what `watch` closes: it may
    /// be shared by other calls.
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
            let made = watch.bound(self.connect_to(world, address)).await;
            match made {
                Ok(Ok(stream)) => {
                    watch.set_deadline(deadline);
                    return Ok(stream);
                }
                // What this address lacks the others lack too.
                Ok(Err(fault @ ConnectFault::Ours(shortage))) if shortage != Shortage::Network => return Err(fault),
                Ok(Err(fault)) => last = fault.after(last),
                Err(Watched::Late) if watch.revive(deadline, world.now()) => last = ConnectFault::Late,
                Err(ended) => return Err(ended.into()),
            }
        }
        Err(last)
    }

    async fn connect_to<W: World>(&self, world: &W, address: SocketAddr) -> Result<Transport<W::Stream>, ConnectFault> {
        let stream = world.connect(address).await.map_err(|fault| refusal(&fault))?;
        Ok(match &self.tls {
            None => Transport::Plain(stream),
            Some(client) => {
                let done = client.handshake(stream).await.map_err(|fault: TlsFault| ConnectFault::Tls(fault.kind()))?;
                Transport::Tls(done)
            }
        })
    }
}

fn refusal(fault: &std::io::Error) -> ConnectFault {
    own_fault::shortage(fault).map_or(ConnectFault::Refused(fault.kind()), ConnectFault::Ours)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// Every order of the same faults comes to the same one.
    #[test]
    fn the_fault_of_the_address_that_got_furthest_is_told() {
        let no_way = ConnectFault::Ours(Shortage::Network);
        let [refused, no_route] = [ErrorKind::ConnectionRefused, ErrorKind::HostUnreachable].map(ConnectFault::Refused);
        let [timed_out, reset] = [ErrorKind::TimedOut, ErrorKind::ConnectionReset].map(ConnectFault::Refused);
        let [closed, wrong_name] = [Unreached::Ended, Unreached::WrongName].map(ConnectFault::Tls);
        let fault_of = |faults: &[&ConnectFault]| {
            faults.iter().fold(ConnectFault::Unresolved, |before, fault| (*fault).clone().after(before))
        };
        let groups = [
            vec![&no_way],
            vec![&refused, &no_route],
            vec![&timed_out, &ConnectFault::Late],
            vec![&reset, &closed],
            vec![&wrong_name],
        ];
        for (place, further) in groups.iter().enumerate() {
            for fault in further {
                assert_eq!(&fault_of(&[fault]), *fault);
                for less in groups[..place].iter().flatten() {
                    for faults in [[*less, *fault], [*fault, *less]] {
                        assert_eq!(&fault_of(&faults), *fault, "{faults:?}");
                    }
                }
                for alike in further {
                    assert_eq!(&fault_of(&[fault, alike]), *alike, "the later one of {fault:?} and {alike:?}");
                }
            }
        }
        assert_eq!(fault_of(&[]), ConnectFault::Unresolved);
    }
}
