//! RFC 6455 by the Autobahn cases: their own code judges. The program that runs them is looked for beside the repository, and
//! without it there is nothing to test with.
//!
//! Three subjects: the real endpoint with the cases that need no echo, an echo server and an echo client, both built from the
//! framing code that the node links (`wire::websocket`). What each case must say stands beside this file, one line per case:
//! its name, its verdict, its verdict on the close. A difference for the better fails too, so that the lists stay true.
//! 9.* (throughput of up to 16 MiB, no rule of the RFC), 12.* and 13.* (compression, which is not offered) are left out.
//! The cases are Python's package `autobahntestsuite`, which scripts/node-test fetches; without it, or without the
//! runner, these tests say that they were left out, and fail in CI.

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::provider::Provider;
use lasso::wire::websocket::{Event, Opcode, Protocol, accept_key, new_key, write_frame_head, write_masked_frame};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What the runner and its cases stand in.
struct Suite {
    runner: PathBuf,
    cases: PathBuf,
}

const LEFT_OUT: &str = "12.*,13.*";
/// The longest message of these cases.
const MAX_MESSAGE: usize = 16 << 20;

fn suite() -> Option<Suite> {
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/wstest3.py");
    let tools = std::env::var_os("LASSO_NODE_TOOLS").map(|tools| Path::new(&tools).join("autobahn/autobahntestsuite-25.10.1"));
    match tools.filter(|cases| cases.exists() && runner.exists()) {
        Some(cases) => Some(Suite { runner, cases }),
        None => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "run scripts/node-test, with ../shared/tools in its place");
            eprintln!("skipped: Autobahn needs ../shared/tools/wstest3.py and LASSO_NODE_TOOLS, which scripts/node-test sets");
            None
        }
    }
}

impl Suite {
    fn command(&self, mode: &str, target: &str, results: &Path) -> Command {
        let mut command = Command::new("python3");
        command.arg(&self.runner).args([mode, target, "--exclude", LEFT_OUT, "--suite"]).arg(&self.cases);
        // A busy machine gets more time for what a case waits for.
        command.args(["--slow", "2", "--close-timeout", "5", "--json"]).arg(results);
        command
    }

    /// Runs the cases against a server; nearly all of their time is waiting for what must not come.
    fn judge_server(&self, list: &str, target: &str, flags: &[&str]) {
        let results = results(list, target);
        let mut command = self.command("client", target, &results);
        let done = command.args(["-j", "16"]).args(flags).stdout(Stdio::null()).status().expect("python3 runs");
        // 1 only says that a case failed.
        assert!(done.code().is_some_and(|code| code < 2), "the runner: {done}");
        compare(list, &results);
    }
}

fn results(list: &str, target: &str) -> PathBuf {
    let name =
        format!("autobahn-{list}-{}-{}.json", std::process::id(), target.rsplit(':').next().unwrap_or("").replace('/', "-"));
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The verdicts of `results` against the list beside this file. `LASSO_AUTOBAHN_WRITE=1` writes the list anew instead.
fn compare(list: &str, results: &Path) {
    let read = std::fs::read_to_string(results).expect("the runner's results");
    let _ = std::fs::remove_file(results);
    let cases: Vec<Value> = serde_json::from_str(&read).expect("JSON");
    let word = |case: &Value, name: &str| case[name].as_str().expect(name).to_owned();
    let line = |case: &Value| format!("{} {} {}", word(case, "id"), word(case, "behavior"), word(case, "behaviorClose"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/autobahn").join(list).with_extension("txt");
    if std::env::var_os("LASSO_AUTOBAHN_WRITE").is_some() {
        let text: String = cases.iter().map(|case| line(case) + "\n").collect();
        return std::fs::write(&path, text).expect("the list is written");
    }
    let of = |line: &str| line.split_once(' ').map(|(id, verdict)| (id.to_owned(), verdict.to_owned())).expect("a verdict");
    let wanted: BTreeMap<String, String> =
        std::fs::read_to_string(&path).expect("the list").lines().filter(|line| !line.starts_with('#')).map(of).collect();
    let mut got: BTreeMap<String, &Value> = cases.iter().map(|case| (word(case, "id"), case)).collect();
    let mut wrong = Vec::new();
    for (id, verdict) in &wanted {
        let Some(case) = got.remove(id) else {
            wrong.push(format!("{id} {verdict}: it did not run"));
            continue;
        };
        if of(&line(case)).1 != *verdict {
            wrong.push(format!("{id} {verdict}: {case}"));
        }
    }
    wrong.extend(got.into_values().map(|case| format!("not in the list: {}", line(case))));
    assert!(wrong.is_empty(), "{list}: {} of {} differ:\n{}", wrong.len(), wanted.len(), wrong.join("\n"));
}

#[test]
fn the_endpoint_keeps_the_rfc() {
    let Some(suite) = suite() else { return };
    for driver in DRIVERS {
        let good = Provider::good("\"0x7\"");
        let mut lasso = Lasso::start(&no_limit(&[good.address]), driver);
        suite.judge_server("endpoint", &format!("ws://{}/ws/rpc/one", lasso.address), &["--noecho"]);
        lasso.assert_alive();
    }
}

#[test]
fn the_framing_keeps_the_rfc_as_a_server() {
    let Some(suite) = suite() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = format!("ws://{}/", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || serve(stream));
        }
    });
    suite.judge_server("server", &target, &[]);
}

/// Shakes hands, then echoes to the end.
fn serve(mut stream: TcpStream) {
    let Some((head, rest)) = read_head(&mut stream) else { return };
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
    let accepted = accept_key(key.as_bytes()).expect("a key of 16 bytes");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted}\r\n\r\n"
    );
    if stream.write_all(answer.as_bytes()).is_ok() {
        echo(stream, &rest, Protocol::server(MAX_MESSAGE), &SERVER);
    }
}

fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut got, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        if let Some(at) = got.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = got.split_off(at + 4);
            return Some((String::from_utf8(got).ok()?, rest));
        }
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        got.extend_from_slice(&piece[..count]);
    }
}

/// How one side writes.
struct Side {
    frame: fn(&[u8]) -> Vec<u8>,
    outgoing: fn(&mut Protocol) -> Vec<u8>,
}

const MASK: [u8; 4] = [0xa5, 0x00, 0x5a, 0xff];

const SERVER: Side = Side {
    frame: |body| {
        let mut out = Vec::with_capacity(body.len() + 10);
        write_frame_head(&mut out, Opcode::Text, body.len());
        out.extend_from_slice(body);
        out
    },
    outgoing: Protocol::take_outgoing,
};

const CLIENT: Side = Side {
    frame: |body| {
        let mut out = Vec::new();
        // In two parts, as the node writes a call around its id.
        let (left, right) = body.split_at(body.len() / 3);
        write_masked_frame(&mut out, Opcode::Text, MASK, &[left, right]);
        out
    },
    outgoing: |protocol| protocol.take_outgoing_masked(MASK),
};

/// Says every message back, in the frames that the node would write, until the protocol has ended. The last message.
fn echo(mut stream: TcpStream, first: &[u8], mut protocol: Protocol, side: &Side) -> Vec<u8> {
    stream.set_nodelay(true).expect("no delay");
    let (mut kinds, mut piece, mut last) = (Kinds::default(), vec![0; 64 * 1024], Vec::new());
    let mut take = |protocol: &mut Protocol, bytes: &[u8], stream: &mut TcpStream| {
        kinds.feed(bytes);
        protocol.feed(bytes);
        let mut out = Vec::new();
        while let Some(event) = protocol.event() {
            // What was read before a message is answered before it.
            out.extend((side.outgoing)(protocol));
            if let Event::Message(body) = event {
                let mut frame = (side.frame)(&body);
                // The node itself never says anything binary.
                frame[0] ^= if kinds.is_binary.pop_front().expect("its kind") { 0x03 } else { 0 };
                out.extend(frame);
                last = body;
            }
        }
        out.extend((side.outgoing)(protocol));
        stream.write_all(&out).is_ok() && !protocol.has_ended()
    };
    let mut goes_on = take(&mut protocol, first, &mut stream);
    while goes_on {
        goes_on = match stream.read(&mut piece) {
            Ok(count @ 1..) => take(&mut protocol, &piece[..count], &mut stream),
            _ => false,
        };
    }
    // Ends as the node does: says that nothing more comes, and reads away what still does.
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    while matches!(stream.read(&mut piece), Ok(1..)) {}
    last
}

#[test]
fn the_framing_keeps_the_rfc_as_a_client() {
    let Some(suite) = suite() else { return };
    // The runner takes no port 0; this one was free a moment ago.
    let at = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port");
    let results = results("client", &at.to_string());
    let mut runner = suite.command("server", &at.to_string(), &results).stdout(Stdio::null()).spawn().expect("python3 runs");
    let end = Instant::now() + Duration::from_secs(20);
    while TcpStream::connect(at).is_err() {
        assert!(Instant::now() < end, "the runner does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let count: usize = String::from_utf8(ask(at, "/getCaseCount")).expect("text").parse().expect("a count");
    let next = AtomicUsize::new(1);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let cases = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                cases.take_while(|case| *case <= count).for_each(|case| {
                    ask(at, &format!("/runCase?case={case}&agent=lasso"));
                });
            });
        }
    });
    // The last verdicts are written when their connections have ended.
    std::thread::sleep(Duration::from_millis(500));
    ask(at, "/updateReports?agent=lasso");
    assert!(runner.wait().expect("its state").success(), "the runner");
    compare("client", &results);
}

/// A client's whole life; the last message that it got.
fn ask(at: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).expect("the runner accepts");
    let (key, accepted) = new_key([7; 16]);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {at}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n\
         Sec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let (head, rest) = read_head(&mut stream).expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(&accepted), "{head}");
    echo(stream, &rest, Protocol::client(MAX_MESSAGE), &CLIENT)
}

/// Whether messages were binary, which an echo must know and JSON-RPC need not: walks the frame heads beside the protocol.
#[derive(Default)]
struct Kinds {
    is_binary: VecDeque<bool>,
    head: Vec<u8>,
    skip: u64,
}

impl Kinds {
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len() as u64);
            (self.skip, bytes) = (self.skip - skipped, &bytes[skipped as usize..]);
            let Some((next, rest)) = bytes.split_first() else { return };
            bytes = rest;
            self.head.push(*next);
            self.end_head();
        }
    }

    fn end_head(&mut self) {
        let &[first, second, ..] = &self.head[..] else { return };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if second & 0x80 != 0 { 4 } else { 0 };
        if self.head.len() < 2 + extended + mask {
            return;
        }
        let length = self.head[2..2 + extended].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        self.skip = if extended == 0 { u64::from(second & 0x7f) } else { length };
        if matches!(first & 0x0f, 1 | 2) {
            self.is_binary.push_back(first & 0x0f == 2);
        }
        self.head.clear();
    }
}
