//! HTTP/2 in front of a simulated provider, as a provider's own proxy: each call goes on over an HTTP/1.1 connection of its
//! own, so every fault of the provider's shows here as HTTP/2 has it. It adds its own: connections that end in good order
//! after some calls, and streams that are refused unseen.

use super::launch::{FRONT_PORT, PROVIDER_PORT};
use crate::weather::one_in;
use crate::world::Sim;
use lasso::base::rng::Rng;
use std::cell::Cell;
use std::rc::Rc;

/// The providers that are spoken to over HTTP/2.
pub struct Fronts {
    chosen: Vec<bool>,
    seen: Rc<Seen>,
}

#[derive(Default)]
struct Seen {
    calls: Cell<u64>,
    refused: Cell<u64>,
    goaways: Cell<u64>,
    /// Connections that only the fronts hold: to the providers behind them, and lingering.
    own: Cell<u64>,
}

impl Fronts {
    /// Draws from a stream of its own, so that all else of the seed's story is as it would be without.
    pub fn start<P>(seed: u64, providers: &[(Sim, P)]) -> Fronts {
        let (mut draw, seen) = (Rng::new(seed).fork(21), Rc::<Seen>::default());
        let chosen = providers.iter().map(|_| cfg!(feature = "http2") && one_in(&mut draw, 3)).collect::<Vec<_>>();
        #[cfg(feature = "http2")]
        for (host, _) in providers {
            speaking::start(host, host.at(FRONT_PORT), host.at(PROVIDER_PORT), draw.fork(1), &seen);
        }
        Fronts { chosen, seen }
    }

    pub fn is_of(&self, provider: u64) -> bool {
        self.chosen.get(provider as usize) == Some(&true)
    }

    /// Connections that are none of the node's.
    pub fn own_connections(&self) -> u64 {
        self.seen.own.get()
    }

    /// Calls, those refused unseen, connections ended in good order.
    pub fn seen(&self) -> (u64, u64, u64) {
        (self.seen.calls.get(), self.seen.refused.get(), self.seen.goaways.get())
    }
}

#[cfg(feature = "http2")]
mod speaking {
    use super::Seen;
    use crate::world::{Sim, SimStream};
    use bytes::Bytes;
    use h2::server::{Builder, SendResponse};
    use h2::{Reason, RecvStream};
    use http::{Request, Response};
    use lasso::base::rng::Rng;
    use lasso::runtime::bytes_io::{read_more, write_all};
    use lasso::runtime::http2::wire::Wire;
    use lasso::runtime::world::{Accept, Duplex, World};
    use lasso::wire::http::{AnswerFraming, AnswerHead, Chunked, Scan, compact, scan_answer};
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::net::SocketAddr;
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::Poll;

    const LINGER_MS: u64 = 2_000;

    /// Serves at `at` what `behind` serves.
    pub fn start(host: &Sim, at: SocketAddr, behind: SocketAddr, mut draw: Rng, seen: &Rc<Seen>) {
        let mut listener = host.listen(at).expect("the simulated port is free");
        let (host, seen) = (host.clone(), seen.clone());
        host.clone().spawn("front", async move {
            for number in 0.. {
                let Ok(stream) = listener.accept().await else { return };
                let one = connection(host.clone(), stream, behind, draw.fork(number), seen.clone());
                host.spawn("front connection", one);
            }
        });
    }

    /// One connection that is none of the node's.
    struct Own(Rc<Seen>);

    impl Own {
        fn new(seen: &Rc<Seen>) -> Own {
            count(&seen.own);
            Own(seen.clone())
        }
    }

    impl Drop for Own {
        fn drop(&mut self) {
            self.0.own.set(self.0.own.get() - 1);
        }
    }

    fn count(of: &Cell<u64>) {
        of.set(of.get() + 1);
    }

    async fn connection(host: Sim, stream: SimStream, behind: SocketAddr, mut draw: Rng, seen: Rc<Seen>) {
        let most = 1 + draw.below(30) as u32;
        let ends_after = if draw.below(2) == 0 { u64::MAX } else { 1 + draw.below(50) };
        let shaken = Builder::new().max_concurrent_streams(most).handshake::<_, Bytes>(Wire::new(stream, None)).await;
        let Ok(mut connection) = shaken else { return };
        let mut calls = 0;
        while let Some(Ok((request, respond))) = connection.accept().await {
            calls += 1;
            if draw.below(40) == 0 {
                count(&seen.refused);
                let mut respond = respond;
                respond.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
            count(&seen.calls);
            host.spawn("front call", call(host.clone(), request, respond, behind, Own::new(&seen)));
            if calls == ends_after {
                count(&seen.goaways);
                connection.graceful_shutdown();
            }
        }
        // As nginx lingers: what was sent last must not be lost to a reset, because the client said something meanwhile.
        let _own = Own::new(&seen);
        host.sleep_until(host.now().plus_ms(LINGER_MS)).await;
        drop(connection);
    }

    /// Until the answer is passed on, or nobody wants it any more.
    async fn call(host: Sim, request: Request<RecvStream>, mut respond: SendResponse<Bytes>, behind: SocketAddr, _own: Own) {
        let answer = {
            let mut asking = pin!(ask(host, request, behind));
            poll_fn(|cx| match respond.poll_reset(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => asking.as_mut().poll(cx).map(Some),
            })
            .await
        };
        match answer {
            None => {}
            Some(None) => respond.send_reset(Reason::INTERNAL_ERROR),
            Some(Some(answer)) => pass_on(&mut respond, &answer),
        }
    }

    fn pass_on(respond: &mut SendResponse<Bytes>, answer: &Answer) {
        let mut response = Response::builder().status(answer.head.status);
        if answer.head.gzip {
            response = response.header("content-encoding", "gzip");
        }
        if !answer.retry_after.is_empty() {
            response = response.header("retry-after", answer.retry_after.as_slice());
        }
        if let (AnswerFraming::Length(length), true) = (answer.head.framing, answer.is_whole) {
            response = response.header("content-length", length);
        }
        let Ok(Ok(mut out)) = response.body(()).map(|response| respond.send_response(response, false)) else { return };
        let _ = out.send_data(Bytes::from(answer.body.clone()), answer.is_whole);
        if !answer.is_whole {
            out.send_reset(Reason::INTERNAL_ERROR);
        }
    }

    struct Answer {
        head: AnswerHead,
        retry_after: Vec<u8>,
        body: Vec<u8>,
        is_whole: bool,
    }

    /// `None`: no answer that makes sense.
    async fn ask(host: Sim, request: Request<RecvStream>, behind: SocketAddr) -> Option<Answer> {
        let (parts, mut incoming) = request.into_parts();
        let mut body = Vec::new();
        while let Some(piece) = incoming.data().await {
            let piece = piece.ok()?;
            incoming.flow_control().release_capacity(piece.len()).ok()?;
            body.extend_from_slice(&piece);
        }
        let (mut read, mut write) = host.connect(behind).await.ok()?.split();
        let mut text = format!(
        "POST {} HTTP/1.1\r\nhost: behind\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        parts.uri.path(),
        body.len()
    )
    .into_bytes();
        text.append(&mut body);
        write_all(&mut write, text).await.0.ok()?;
        let mut buf = Vec::with_capacity(64 * 1024);
        loop {
            if let Some(answer) = whole(&mut buf.clone()) {
                return answer;
            }
            if buf.len() == buf.capacity() {
                buf.reserve(buf.len());
            }
            let (result, back) = read_more(&mut read, buf).await;
            buf = back;
            if !matches!(result, Ok(1..)) {
                return cut(&mut buf, result.is_ok());
            }
        }
    }

    /// An answer whose end is here; `Some(None)`: one that will never make sense.
    fn whole(buf: &mut Vec<u8>) -> Option<Option<Answer>> {
        let head = match scan_answer(buf, 0) {
            Scan::NeedMore => return None,
            Scan::Bad(_) => return Some(None),
            Scan::Done(head) if head.status < 200 => {
                buf.drain(..head.len);
                return whole(buf);
            }
            Scan::Done(head) => head,
        };
        let end = match head.framing {
            AnswerFraming::None => head.len,
            AnswerFraming::Length(length) => head.len + length as usize,
            AnswerFraming::UntilClose => return None,
            AnswerFraming::Chunked => {
                let retry_after = head.retry_after.of(buf).to_vec();
                let mut decoder = Chunked::new(u64::MAX);
                let Ok(step) = compact(&mut decoder, buf, head.len, head.len) else { return Some(None) };
                let body = buf.get(head.len..step.payload_end).unwrap_or(&[]).to_vec();
                return step.done.then_some(Some(Answer { head, retry_after, body, is_whole: true }));
            }
        };
        let body = buf.get(head.len..end)?.to_vec();
        Some(Some(Answer { head, retry_after: head.retry_after.of(buf).to_vec(), body, is_whole: true }))
    }

    /// The connection ended before that.
    fn cut(buf: &mut [u8], in_order: bool) -> Option<Answer> {
        let Scan::Done(head) = scan_answer(buf, 0) else { return None };
        let is_whole = in_order && head.framing == AnswerFraming::UntilClose;
        let body = buf.get(head.len..).unwrap_or(&[]).to_vec();
        Some(Answer { head, retry_after: head.retry_after.of(buf).to_vec(), body, is_whole })
    }
}
