//! A provider that costs next to nothing: reads a request's length and id, answers with bytes rendered at the start.
//!
//! One answer for an address, or one for a method; over HTTP, over WebSockets on the same address, and over TLS on another one.
//! `eth_chainId` and `eth_blockNumber` get true answers, because a proxy's health probes ask for them. `GET /counts` says how
//! many calls and connections there were, by which a load knows that what answered it was this provider (`converse`).

use crate::answer::Answer;
use crate::args::{Mock, Serve};
use crate::converse::{self, Counts, Server};
use crate::ring;
use crate::tls::{self, TlsStream};
use monoio::net::{TcpListener, TcpStream};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A connection that has not shaken hands by then never will.
const HANDSHAKE: Duration = Duration::from_secs(10);

pub fn run(options: Mock) -> Result<(), String> {
    ring::run(options.driver, async |driver| serve_all(Rc::new(options), driver).await)?
}

async fn serve_all(options: Rc<Mock>, driver: &str) -> Result<(), String> {
    let counts = Rc::new(Counts::default());
    let mut listeners = Vec::new();
    let mut ready = Vec::new();
    let secret = match options.tls_folder.as_deref() {
        Some(folder) => Some(tls::config(Path::new(folder))?),
        None => None,
    };
    let all = options.serve.iter().map(|serve| (serve, None));
    let sealed = options.serve_tls.iter().map(|serve| (serve, secret.clone()));
    for (serve, secret) in all.chain(sealed) {
        let listener = ring::listen(serve.at)?;
        let at = listener.local_addr().map_err(|e| e.to_string())?;
        let is_tls = secret.is_some();
        ready.push(serde_json::json!({"listen": at.to_string(), "result_bytes": serve.result_bytes, "tls": is_tls}));
        listeners.push((listener, server(serve, &options, &counts)?, secret));
    }
    println!("{}", serde_json::json!({"event": "mock.ready", "driver": driver, "serve": ready}));
    for (listener, server, secret) in listeners {
        monoio::spawn(accept(listener, server, secret));
    }
    std::future::pending().await
}

pub fn server(serve: &Serve, options: &Rc<Mock>, counts: &Rc<Counts>) -> Result<Rc<Server>, String> {
    let answer = Answer::new(serve, options.chunked, options.id_last)?;
    let mut by_method = HashMap::new();
    for (method, serve) in &options.answers {
        by_method.insert(format!("\"{method}\"").into_bytes(), Answer::new(serve, options.chunked, options.id_last)?);
    }
    let (options, counts) = (Rc::clone(options), Rc::clone(counts));
    Ok(Rc::new(Server { answer, by_method, options, counts, started: Instant::now() }))
}

async fn accept(listener: TcpListener, server: Rc<Server>, secret: Option<Arc<rustls::ServerConfig>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                match secret.clone() {
                    Some(secret) => monoio::spawn(unseal(stream, Rc::clone(&server), secret)),
                    None => monoio::spawn(converse::converse(stream, Rc::clone(&server))),
                };
            }
            // Out of files: wait for some to come back.
            Err(_) => monoio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn unseal(stream: TcpStream, server: Rc<Server>, secret: Arc<rustls::ServerConfig>) {
    if let Ok(Ok((stream, is_resumed))) = monoio::time::timeout(HANDSHAKE, TlsStream::accept(stream, secret)).await {
        server.counts.shook_hands(is_resumed);
        converse::converse(stream, server).await;
    }
}
