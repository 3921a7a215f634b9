//! A WebSocket provider for tests: a thread per connection, which does with each call what a test says, and keeps what came.

use crate::provider::{Got, ok};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message, WebSocket};

pub type Socket = WebSocket<TcpStream>;

/// What it does with a call; false ends the connection.
pub type Act = dyn Fn(&Got, &mut Socket) -> bool + Send + Sync;

#[derive(Clone)]
pub struct WsProvider {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    /// Connections that exist, the most there were, and all there ever were.
    connections: Arc<[AtomicUsize; 3]>,
    /// Request heads as they came.
    heads: Arc<Mutex<Vec<String>>>,
    /// The codes with which the node closed.
    closes: Arc<Mutex<Vec<u16>>>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    /// The node's own questions are done with as calls are.
    is_ill: Arc<AtomicBool>,
}

impl WsProvider {
    pub fn new(act: impl Fn(&Got, &mut Socket) -> bool + Send + Sync + 'static) -> WsProvider {
        WsProvider::answering(None, act)
    }

    /// Answers each handshake with these bytes instead of a 101.
    pub fn refusing(answer: &'static [u8]) -> WsProvider {
        WsProvider::answering(Some(answer), |_, _| true)
    }

    fn answering(refusal: Option<&'static [u8]>, act: impl Fn(&Got, &mut Socket) -> bool + Send + Sync + 'static) -> WsProvider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let provider = WsProvider {
            address: listener.local_addr().expect("its address"),
            got: Arc::default(),
            connections: Arc::default(),
            heads: Arc::default(),
            closes: Arc::default(),
            streams: Arc::default(),
            is_ill: Arc::default(),
        };
        let (own, act): (_, Arc<Act>) = (provider.clone(), Arc::new(act));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (own, act, stream) = (own.clone(), act.clone(), stream.expect("a connection"));
                let [open, peak, all] = &*own.connections.clone();
                peak.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                all.fetch_add(1, Ordering::Relaxed);
                own.streams.lock().expect("no panic").push(stream.try_clone().expect("a handle"));
                std::thread::spawn(move || {
                    own.serve(stream, connection, refusal, &*act);
                    own.connections[0].fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        provider
    }

    /// Answers every call with this result, quotes included.
    pub fn good(result: &'static str) -> WsProvider {
        WsProvider::new(move |got, socket| say(socket, &ok(&got.id, result)))
    }

    fn serve(&self, mut stream: TcpStream, connection: usize, refusal: Option<&[u8]>, act: &Act) {
        let Some(head) = read_head(&mut stream) else { return };
        self.heads.lock().expect("no panic").push(head.clone());
        if let Some(refusal) = refusal {
            let _ = stream.write_all(refusal);
            return;
        }
        let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a key");
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let mut socket = WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Server, Some(config));
        while let Ok(message) = socket.read() {
            match message {
                Message::Text(text) if !self.take(&text, connection, &mut socket, act) => return,
                Message::Close(Some(frame)) => self.closes.lock().expect("no panic").push(frame.code.into()),
                _ => {}
            }
        }
    }

    fn take(&self, body: &str, connection: usize, socket: &mut Socket, act: &Act) -> bool {
        let value: serde_json::Value = serde_json::from_str(body).expect("a call is JSON");
        let (id, method) = (value["id"].to_string(), value["method"].as_str().unwrap_or("").to_owned());
        // The node's own questions are answered as a good provider would, and are no calls.
        let own = match method.as_str() {
            "eth_chainId" => Some("\"0x1\""),
            "eth_blockNumber" => Some("\"0x64\""),
            "eth_getBlockByNumber" if value["params"][0] == "0x64" => Some(r#"{"number":"0x64","timestamp":"0x5"}"#),
            _ => None,
        };
        if let Some(result) = own.filter(|_| !self.is_ill.load(Ordering::SeqCst)) {
            return say(socket, &ok(&id, result));
        }
        let one = Got { body: body.to_owned(), id, method, connection };
        self.got.lock().expect("no panic").push(one.clone());
        act(&one, socket)
    }

    /// From now on its manners are the same to everybody.
    pub fn fall_ill(&self) {
        self.is_ill.store(true, Ordering::SeqCst);
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic").clone()
    }

    pub fn count(&self, method: &str) -> usize {
        self.got().iter().filter(|g| g.method == method).count()
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic").clone()
    }

    pub fn closes(&self) -> Vec<u16> {
        self.closes.lock().expect("no panic").clone()
    }

    pub fn peak_connections(&self) -> usize {
        self.connections[1].load(Ordering::Relaxed)
    }

    pub fn all_connections(&self) -> usize {
        self.connections[2].load(Ordering::Relaxed)
    }

    /// Cuts every connection.
    pub fn cut(&self) {
        for stream in self.streams.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

pub fn say(socket: &mut Socket, text: &str) -> bool {
    socket.send(Message::text(text)).is_ok()
}

/// Bytes past all framing.
pub fn raw(socket: &mut Socket, bytes: &[u8]) -> bool {
    socket.get_mut().write_all(bytes).is_ok()
}

pub fn close(socket: &mut Socket, code: u16) {
    let _ = socket.close(Some(CloseFrame { code: code.into(), reason: "".into() }));
    let _ = socket.flush();
}
