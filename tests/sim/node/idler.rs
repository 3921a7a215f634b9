//! Connections that keep the node waiting: it must end each in its time, and not before.

use super::client::Crowd;
use crate::weather::pick;
use crate::world::{Sim, SimStream};
use lasso::base::limits;
use lasso::base::rng::Rng;
use lasso::runtime::world::{Duplex, Instant, World};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use std::net::SocketAddr;
use std::rc::Rc;

/// Where a connection falls silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Before its first byte.
    AtOnce,
    InHead,
    InBody,
    /// Behind a whole request; its reply comes first.
    AfterReply,
}

/// The sweep of connections, and the clock's own grain.
const GRAIN_MS: u64 = 2 * limits::IDLE_SWEEP_MS;

impl Silence {
    pub fn draw(draw: &mut Rng) -> Silence {
        [Silence::AtOnce, Silence::InHead, Silence::InBody, Silence::AfterReply][pick(draw, &[0, 1, 2, 3]) as usize]
    }

    fn says(self) -> &'static str {
        const WHOLE: &str = "POST /rpc/main HTTP/1.1\r\nhost: lasso\r\ncontent-length: 47\r\n\r\n\
                             {\"id\":1,\"method\":\"eth_chainId\",\"jsonrpc\":\"2.0\"}";
        match self {
            Silence::AtOnce => "",
            Silence::InHead => &WHOLE[..30],
            Silence::InBody => &WHOLE[..80],
            Silence::AfterReply => WHOLE,
        }
    }

    /// How long the node waits, in ms.
    fn patience(self) -> u64 {
        match self {
            Silence::AtOnce | Silence::AfterReply => limits::KEEP_ALIVE_MS,
            Silence::InHead => limits::HEAD_TIMEOUT_MS,
            Silence::InBody => limits::BODY_TIMEOUT_MS,
        }
    }
}

/// Says its part, and waits for the node to end the connection.
pub async fn idler(world: Sim, node: SocketAddr, silence: Silence, crowd: Rc<Crowd>) {
    let stream = world.connect(node).await;
    if let Ok(stream) = stream
        && let Some(began) = speak_and_wait(&world, stream, silence).await
    {
        let link = crowd.link;
        let waited = world.now().since(began).as_millis() as u64;
        let way_ms = (8 * (link.latency_us + link.jitter_us)).div_ceil(1000) + 1_000 * 300 / link.bandwidth.max(300);
        let stalled_ms = world.stalled_since(began).as_millis() as u64;
        let most = silence.patience() + GRAIN_MS + way_ms + stalled_ms + limits::LINGER_MS;
        let excused = link.reset_ppm > 0 && waited < silence.patience();
        // The node's clock starts when it writes, or reads, and the client's when that has arrived, or left.
        let least = silence.patience().saturating_sub(way_ms);
        if !excused && !(least..=most).contains(&waited) {
            let text = format!("a connection silent {silence:?} was ended after {waited} ms, due after {}", silence.patience());
            world.violation(text);
        }
    }
    crowd.gone(&world);
}

/// When it fell silent, if it came to that.
async fn speak_and_wait(world: &Sim, stream: SimStream, silence: Silence) -> Option<Instant> {
    let (mut read, mut write) = stream.split();
    let mut began = world.now();
    let mut left = silence.says().as_bytes().to_vec();
    while !left.is_empty() {
        let (outcome, bytes) = write.write(left).await;
        left = bytes[outcome.ok()?..].to_vec();
        began = world.now();
    }
    let mut bytes = Vec::with_capacity(4096);
    loop {
        let (outcome, filled) = read.read(bytes).await;
        bytes = filled;
        match outcome {
            Ok(0) | Err(_) => return Some(began),
            // Its time runs anew from the reply.
            Ok(_) if silence == Silence::AfterReply => began = world.now(),
            Ok(_) => {}
        }
    }
}

#[test]
fn the_whole_request_is_one() {
    let (head, body) = Silence::AfterReply.says().split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("content-length: {}", body.len())));
    assert!(Silence::InHead.says().len() < head.len() && Silence::InBody.says().len() > head.len() + 4);
}
