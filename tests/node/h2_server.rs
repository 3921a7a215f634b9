//! An HTTP/2 provider written by hand, frame by frame, so that it can do what no library would: it reads calls rightly and
//! does with each what a test says. It understands no HPACK (nothing in a call's head matters to it) and writes literals.

use crate::provider::ok;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub connection: usize,
    pub stream: u32,
    /// The raw id token.
    pub id: String,
    pub method: String,
}

/// What is known of all connections.
#[derive(Default)]
pub struct Seen {
    pub calls: Vec<Asked>,
    /// Connection, stream and code of every RST_STREAM that came.
    pub resets: Vec<(usize, u32, u32)>,
    /// Open connections, and the most there ever were.
    pub open: usize,
    pub most_open: usize,
    /// Streams of one connection at once, at most.
    pub most_streams: usize,
    /// Window given back for this connection and stream (0: the connection).
    pub credit: HashMap<(usize, u32), u64>,
}

/// One connection's way back; shared with the threads that a test may start to answer later.
#[derive(Clone)]
pub struct Reply {
    stream: Arc<Mutex<TcpStream>>,
    live: Arc<Mutex<usize>>,
}

impl Reply {
    pub fn raw(&self, bytes: &[u8]) -> bool {
        self.stream.lock().expect("no panic").write_all(bytes).is_ok()
    }

    pub fn frame(&self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        self.raw(&frame(kind, flags, stream, payload))
    }

    pub fn headers(&self, stream: u32, status: &str, fields: &[(&str, &str)], flags: u8) -> bool {
        self.frame(HEADERS, flags | END_HEADERS, stream, &head(status, fields))
    }

    /// A whole answer.
    pub fn answer(&self, stream: u32, status: &str, fields: &[(&str, &str)], body: &[u8]) -> bool {
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &head(status, fields));
        let mut pieces = body.chunks(16_384).peekable();
        if pieces.peek().is_none() {
            bytes.extend(frame(DATA, END_STREAM, stream, b""));
        }
        while let Some(piece) = pieces.next() {
            bytes.extend(frame(DATA, if pieces.peek().is_none() { END_STREAM } else { 0 }, stream, piece));
        }
        self.ended();
        self.raw(&bytes)
    }

    pub fn result(&self, asked: &Asked, result: &str) -> bool {
        self.answer(asked.stream, "200", &[("content-type", "application/json")], ok(&asked.id, result).as_bytes())
    }

    pub fn reset(&self, stream: u32, code: u32) -> bool {
        self.ended();
        self.frame(RST_STREAM, 0, stream, &code.to_be_bytes())
    }

    pub fn goaway(&self, last: u32, code: u32) -> bool {
        self.frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    pub fn close(&self) -> bool {
        let _ = self.stream.lock().expect("no panic").shutdown(Shutdown::Both);
        false
    }

    /// Says nothing more, whatever comes, until the other side ends the connection.
    pub fn freeze(&self) -> bool {
        let mut stream = self.stream.lock().expect("no panic").try_clone().expect("a handle");
        while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
        false
    }

    fn ended(&self) {
        *self.live.lock().expect("no panic") -= 1;
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of literals.
pub fn head(status: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in [(":status", status)].iter().chain(fields) {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// With a prefix of 7 bits (RFC 7541 §5.1).
fn integer(out: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        return out.push(value as u8);
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push((value % 128 + 128) as u8);
        value /= 128;
    }
    out.push(value as u8);
}

/// What a provider does with a call; `false` ends the connection.
pub type Act = dyn Fn(&Asked, &Reply) -> bool + Send + Sync;

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    pub fn new(act: impl Fn(&Asked, &Reply) -> bool + Send + Sync + 'static) -> Server {
        Server::greeting(frame(SETTINGS, 0, 0, &[]), act)
    }

    /// Begins every connection with these bytes.
    pub fn greeting(greeting: Vec<u8>, act: impl Fn(&Asked, &Reply) -> bool + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server { address: listener.local_addr().expect("its address"), seen: Arc::default() };
        let (seen, act): (_, Arc<Act>) = (server.seen.clone(), Arc::new(act));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (seen, act, greeting) = (seen.clone(), act.clone(), greeting.clone());
                let stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    with(&seen, |s| {
                        s.open += 1;
                        s.most_open = s.most_open.max(s.open);
                    });
                    serve(stream, connection, &greeting, &seen, &*act);
                    with(&seen, |s| s.open -= 1);
                });
            }
        });
        server
    }

    pub fn seen<R>(&self, look: impl FnOnce(&mut Seen) -> R) -> R {
        with(&self.seen, look)
    }

    pub fn count(&self, method: &str) -> usize {
        self.seen(|s| s.calls.iter().filter(|c| c.method == method).count())
    }

    pub fn forget(&self) {
        self.seen(|s| s.calls.clear());
    }

    /// Waits until `is` holds of what was seen.
    pub fn wait(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.seen(|s| is(s)) {
            assert!(Instant::now() < end, "{what}: not within 10 s");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn with<R>(seen: &Mutex<Seen>, look: impl FnOnce(&mut Seen) -> R) -> R {
    look(&mut seen.lock().expect("no panic"))
}

fn serve(mut stream: TcpStream, connection: usize, greeting: &[u8], seen: &Mutex<Seen>, act: &Act) {
    let mut preface = [0; 24];
    let _ = stream.set_nodelay(true);
    if stream.write_all(greeting).is_err() || stream.read_exact(&mut preface).is_err() {
        return;
    }
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let writer = Arc::new(Mutex::new(stream.try_clone().expect("a handle")));
    let reply = Reply { stream: writer, live: Arc::default() };
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    while let Some((kind, flags, id, payload)) = read_frame(&mut stream) {
        let number = || u32::from_be_bytes(payload.get(..4).and_then(|p| p.try_into().ok()).expect("four bytes"));
        let goes_on = match kind {
            SETTINGS if flags & 1 == 0 => reply.frame(SETTINGS, 1, 0, b""),
            PING if flags & 1 == 0 => reply.frame(PING, 1, 0, &payload),
            HEADERS => {
                bodies.insert(id, Vec::new());
                let live = {
                    let mut live = reply.live.lock().expect("no panic");
                    *live += 1;
                    *live
                };
                with(seen, |s| s.most_streams = s.most_streams.max(live));
                true
            }
            DATA => {
                bodies.entry(id).or_default().extend_from_slice(&payload);
                let credit = (payload.len() as u32).to_be_bytes();
                // The call's own window too, unless that was all of it.
                let is_all = flags & END_STREAM != 0;
                let given = payload.is_empty()
                    || (is_all || reply.frame(WINDOW_UPDATE, 0, id, &credit)) && reply.frame(WINDOW_UPDATE, 0, 0, &credit);
                given && (!is_all || called(connection, id, &bodies.remove(&id).unwrap_or_default(), seen, &reply, act))
            }
            RST_STREAM => {
                with(seen, |s| s.resets.push((connection, id, number())));
                *reply.live.lock().expect("no panic") -= 1;
                true
            }
            WINDOW_UPDATE => {
                with(seen, |s| *s.credit.entry((connection, id)).or_default() += u64::from(number()));
                true
            }
            GOAWAY => false,
            _ => true,
        };
        if !goes_on {
            return;
        }
    }
}

fn called(connection: usize, stream: u32, body: &[u8], seen: &Mutex<Seen>, reply: &Reply, act: &Act) -> bool {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let method = value["method"].as_str().unwrap_or("").to_string();
    let asked = Asked { connection, stream, id: value["id"].to_string(), method };
    // The node's own questions are answered as a good provider would, and are no calls.
    match value["id"].as_str() {
        Some("lasso-probe") => return reply.result(&asked, "\"0x1\""),
        Some("lasso-block") => return reply.result(&asked, r#"{"number":"0x64"}"#),
        Some("lasso-head") => return reply.result(&asked, "\"0x64\""),
        _ => {}
    }
    with(seen, |s| s.calls.push(asked.clone()));
    act(&asked, reply)
}

fn read_frame(stream: &mut TcpStream) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], head[4], u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & 0x7fff_ffff, payload))
}
