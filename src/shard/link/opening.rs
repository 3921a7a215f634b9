//! Making a WebSocket to a provider: a connection, our half of the handshake, and a strict look at theirs.

use crate::base::ids::InstanceId;
use crate::base::time::Instant;
use crate::runtime::bytes_io::{read_more, write_all};
use crate::runtime::tls::Transport;
use crate::runtime::world::{Duplex, World};
use crate::shard::Shard;
use crate::shard::buffers::Size;
use crate::shard::dial::{ConnectFault, Dial};
use crate::shard::link::{ReadOf, WriteOf};
use crate::wire::http::{HttpFault, Scan, UpgradeAnswer, scan_upgrade};
use crate::wire::websocket::new_key;

/// Why there is no WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkFault {
    Connect(ConnectFault),
    /// It answered like a web server: status and the value of Retry-After.
    Refused {
        status: u16,
        retry_after: Box<[u8]>,
    },
    /// It agreed to something else than a WebSocket, or spoke no HTTP.
    Malformed(HttpFault),
    /// The connection ended during the handshake.
    Ended,
}

impl std::fmt::Display for LinkFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            LinkFault::Connect(fault) => fault.fmt(out),
            LinkFault::Refused { status, .. } => ConnectFault::NotUpgraded(*status).fmt(out),
            LinkFault::Malformed(fault) => out.write_str(fault.reason),
            LinkFault::Ended => out.write_str("the connection ended during the WebSocket handshake"),
        }
    }
}

/// A connection on which frames follow.
pub(super) struct Opened<W: World> {
    pub read: ReadOf<W>,
    pub write: WriteOf<W>,
    pub closer: <Transport<W::Stream> as Duplex>::Closer,
    /// What came behind the handshake.
    pub rest: Vec<u8>,
}

pub(super) async fn open<W: World>(shard: &Shard<W>, instance: InstanceId, deadline: Instant) -> Result<Opened<W>, LinkFault> {
    let target = shard.target(instance).and_then(|target| target.ws.as_ref());
    let (dial, head) = target.ok_or(LinkFault::Connect(ConnectFault::NoEndpoint))?;
    let watch = shard.attempts.watch_attempt(shard.now(), deadline, None);
    let dial: &Dial = dial;
    let stream = dial.connect(&shard.world, &watch, deadline).await.map_err(LinkFault::Connect)?;
    // Dropped half-way it takes the connection with it, so no read is ever missed.
    let opened = watch.bound(shake_hands(shard, head, stream)).await;
    opened.map_err(|ended| LinkFault::Connect(ended.into()))?
}

async fn shake_hands<W: World>(shard: &Shard<W>, head: &[u8], stream: Transport<W::Stream>) -> Result<Opened<W>, LinkFault> {
    let closer = stream.closer();
    let (mut read, mut write) = stream.split();
    let random = {
        let mut rng = shard.rng.borrow_mut();
        (u128::from(rng.next()) << 64 | u128::from(rng.next())).to_ne_bytes()
    };
    let (key, accept) = new_key(random);
    let request = [head, key.as_bytes(), b"\r\n\r\n"].concat();
    write_all(&mut write, request).await.0.map_err(|_| LinkFault::Ended)?;
    let mut buf = shard.buffers.take(Size::Upstream);
    let mut seen = 0;
    loop {
        let (result, more) = read_more(&mut read, shard.with_room(buf, 0)).await;
        buf = more;
        if !matches!(result, Ok(1..)) {
            return Err(LinkFault::Ended);
        }
        match scan_upgrade(&buf, seen, &accept) {
            Scan::NeedMore => seen = buf.len(),
            Scan::Bad(fault) => return Err(LinkFault::Malformed(fault)),
            Scan::Done(UpgradeAnswer::Refused(head)) => {
                let retry_after = head.retry_after.of(&buf).into();
                return Err(LinkFault::Refused { status: head.status, retry_after });
            }
            Scan::Done(UpgradeAnswer::Switched { len }) => {
                let rest = buf.split_off(len);
                shard.buffers.give(buf);
                return Ok(Opened { read, write, closer, rest });
            }
        }
    }
}
