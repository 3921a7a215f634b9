//! Providers for tests: threads that do with each connection what a test says, and count what they were sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A request as a provider got it.
#[derive(Clone, Debug)]
pub struct Got {
    pub body: String,
    /// The raw id token.
    pub id: String,
    pub method: String,
    /// Place of the connection, from 0.
    pub connection: usize,
}

#[derive(Clone)]
pub struct Provider {
    pub address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    /// Connections open now, and the most there ever were.
    open: Arc<[AtomicUsize; 2]>,
}

/// What a provider does with a request: writes to the stream, and says whether the connection goes on.
pub type Act = dyn Fn(&Got, &mut TcpStream) -> bool + Send + Sync;

impl Provider {
    pub fn new(act: impl Fn(&Got, &mut TcpStream) -> bool + Send + Sync + 'static) -> Provider {
        Provider::at("0x64", act)
    }

    /// The node is told this height when it asks for its own sake.
    pub fn at(height: &'static str, act: impl Fn(&Got, &mut TcpStream) -> bool + Send + Sync + 'static) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let provider =
            Provider { address: listener.local_addr().expect("its address"), got: Arc::default(), open: Arc::default() };
        let (got, open, act): (_, _, Arc<Act>) = (provider.got.clone(), provider.open.clone(), Arc::new(act));
        std::thread::spawn(move || {
            for (connection, stream) in listener.incoming().enumerate() {
                let (got, open, act) = (got.clone(), open.clone(), act.clone());
                let now = open[0].fetch_add(1, Ordering::Relaxed) + 1;
                open[1].fetch_max(now, Ordering::Relaxed);
                std::thread::spawn(move || {
                    serve(stream.expect("a connection"), (connection, height), &got, &*act);
                    open[0].fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        provider
    }

    /// Answers every call with this result, quotes included.
    pub fn good(result: &'static str) -> Provider {
        Provider::new(move |got, stream| write(stream, &answer(&ok(&got.id, result))))
    }

    pub fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no panic").clone()
    }

    /// How many requests of this method came.
    pub fn count(&self, method: &str) -> usize {
        self.got().iter().filter(|g| g.method == method).count()
    }

    /// The most connections that were ever open at once.
    pub fn peak_connections(&self) -> usize {
        self.open[1].load(Ordering::Relaxed)
    }

    /// Forgets what came so far.
    pub fn forget(&self) {
        self.got.lock().expect("no panic").clear();
    }
}

fn serve(stream: TcpStream, (connection, height): (usize, &str), got: &Mutex<Vec<Got>>, act: &Act) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let mut stream = stream;
    while let Some(body) = read_request(&mut reader) {
        let value: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        // The node's own questions are answered as a good provider would, and are no calls.
        let own = match value["id"].as_str() {
            Some("lasso-probe") => Some("\"0x1\"".to_owned()),
            Some("lasso-block") => Some(format!(r#"{{"number":"{height}","timestamp":"0x5"}}"#)),
            Some("lasso-head") => Some(format!("\"{height}\"")),
            _ => None,
        };
        if let Some(result) = own {
            if !write(&mut stream, answer(&ok(&value["id"].to_string(), &result)).as_slice()) {
                return;
            }
            continue;
        }
        let one = Got { id: value["id"].to_string(), method: value["method"].as_str().unwrap_or("").into(), body, connection };
        got.lock().expect("no panic").push(one.clone());
        if !act(&one, &mut stream) {
            return;
        }
    }
}

/// The body of the next request.
pub fn read_request(reader: &mut BufReader<TcpStream>) -> Option<String> {
    Some(read_whole_request(reader)?.1)
}

/// Its head, without the empty line, and its body.
pub fn read_whole_request(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((_, value)) = line.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).ok()?))
}

pub fn ok(id: &str, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// A 200 with a length.
pub fn answer(body: &str) -> Vec<u8> {
    with_status("200 OK", "", body)
}

pub fn with_status(status: &str, fields: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{fields}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// The body in chunks of these sizes, again and again.
pub fn in_chunks(body: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    let (mut rest, mut sizes) = (body, sizes.iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*sizes.next().expect("sizes")).min(rest.len()));
        out.extend_from_slice(format!("{:x}\r\n", now.len()).as_bytes());
        out.extend_from_slice(now);
        out.extend_from_slice(b"\r\n");
        rest = later;
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

pub fn write(stream: &mut TcpStream, bytes: &[u8]) -> bool {
    stream.write_all(bytes).is_ok()
}

/// Ends a connection with a reset instead of an end of file.
pub fn reset(stream: &TcpStream) {
    linger_reset(stream);
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// Has the connection end with a reset when it is dropped.
pub fn linger_reset(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: `linger` is a live local of the size that is passed, and the descriptor is open.
    let done =
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size) };
    assert_eq!(done, 0, "the socket takes the option");
}
