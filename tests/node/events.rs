//! What happens is told once, in the same words, to the log and to the readers of `/api/events`; who listens badly costs
//! nobody anything (docs/behaviour/shown.md#events).

use crate::harness::{DRIVERS, Lasso, no_limit};
use crate::http::{Client, READ, post};
use crate::provider::Provider;
use crate::scenario::within;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A reader of the stream, as a browser's EventSource is one.
pub struct Listener {
    stream: BufReader<TcpStream>,
    last_id: Option<String>,
}

#[derive(Debug)]
enum Heard {
    Hello(Value),
    Batch(Vec<Value>),
    End,
}

impl Listener {
    pub fn new(at: SocketAddr, query: &str, last_id: Option<&str>) -> Listener {
        let mut stream = TcpStream::connect(at).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let field = last_id.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        let head = format!("GET /api/events{query} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n{field}\r\n");
        stream.write_all(head.as_bytes()).expect("sent");
        let mut stream = BufReader::new(stream);
        let (mut line, mut fields) = (String::new(), Vec::new());
        while stream.read_line(&mut line).expect("a head") > 2 {
            fields.push(std::mem::take(&mut line).trim().to_owned());
        }
        assert!(fields[0].starts_with("HTTP/1.1 200"), "{fields:?}");
        assert!(fields.contains(&"content-type: text/event-stream".to_owned()), "{fields:?}");
        Listener { stream, last_id: None }
    }

    /// How long nothing may come before that is a failure.
    pub fn wait_for(&mut self, patience: Duration) {
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("a timeout");
    }

    fn next(&mut self) -> Heard {
        let (mut event, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).expect("a line in time") == 0 {
                return Heard::End;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => event = name.to_owned(),
                Some(("id", id)) => self.last_id = Some(id.to_owned()),
                Some(("data", text)) => data = text.to_owned(),
                _ if line == "\n" && !event.is_empty() => break,
                _ => {}
            }
        }
        let value: Value = serde_json::from_str(&data).expect("JSON");
        match event.as_str() {
            "hello" => Heard::Hello(value),
            "batch" => Heard::Batch(value.as_array().expect("a batch is a list").clone()),
            // Nobody is slow here, so "lost" is none either.
            other => panic!("{other}: {value}"),
        }
    }

    /// Events until one is as wanted, and those that came with it.
    pub fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            match self.next() {
                Heard::Batch(batch) => events.extend(batch),
                Heard::Hello(_) => {}
                other => panic!("{other:?} after {events:#?}"),
            }
            if events.iter().any(&wanted) {
                return events;
            }
        }
    }
}

fn call(at: SocketAddr, id: &str) {
    let answer = Client::new(at).post_with("/rpc/one", &format!("x-request-id: {id}\r\n"), READ);
    assert_eq!(answer.status, 200);
}

fn has_id(id: &str) -> impl Fn(&Value) -> bool + '_ {
    move |event| event["request_id"] == id
}

/// The log's lines of one kind, by request id.
fn logged_calls(lasso: &Lasso) -> BTreeMap<String, Value> {
    let lines = lasso.said().into_iter().map(|line| serde_json::from_str::<Value>(&line).expect("a line of JSON"));
    let calls = lines.filter(|line| line["event"] == "rpc.request.completed");
    calls.map(|line| (line["request_id"].as_str().unwrap_or("").to_owned(), line)).collect()
}

#[test]
fn a_call_is_told_to_the_log_and_to_readers_in_the_same_words() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x7\"");
        let lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut listener = Listener::new(lasso.address, "", None);
        let Heard::Hello(hello) = listener.next() else { panic!("hello comes first") };
        assert!(hello["started_at"].is_string() && hello["version"] == env!("CARGO_PKG_VERSION"), "{hello}");
        let ids = ["the-first-call-of-all", "the-second-one-of-them"];
        ids.iter().for_each(|id| call(lasso.address, id));
        // Calls of two shards are told in either order.
        let mut events = listener.until(has_id(ids[0]));
        if !events.iter().any(has_id(ids[1])) {
            events.extend(listener.until(has_id(ids[1])));
        }
        let mut logged = BTreeMap::new();
        within(Duration::from_secs(2), "both are logged", || {
            logged.append(&mut logged_calls(&lasso));
            logged.len() == 2
        });
        for id in ids {
            let told = events.iter().find(|event| has_id(id)(event)).expect("told");
            assert_eq!(Some(told), logged.get(id), "the same words");
            assert_eq!(told["jsonrpc_method"], "eth_getBalance");
            assert_eq!(told["routing"]["selected_provider"]["id"], "a");
            assert_eq!((&told["response"]["status"], &told["profile"]), (&"success".into(), &"default".into()));
            let ms = |name: &str| told["timing"][name].as_f64().expect("a time");
            assert!(ms("end_to_end_latency_ms") >= ms("upstream_latency_ms") && ms("upstream_latency_ms") > 0.0, "{told:#}");
            let text = told.to_string();
            assert!(!text.contains("0x00") && !text.contains("/key"), "no parameters, no secrets: {text}");
        }
    }
}

#[test]
fn a_reader_goes_on_where_it_was_and_hears_only_what_it_wants() {
    let provider = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&no_limit(&[provider.address]), "io_uring");
    call(lasso.address, "heard-by-the-first-reader");
    let mut first = Listener::new(lasso.address, "", None);
    first.until(has_id("heard-by-the-first-reader"));
    let last_id = first.last_id.clone().expect("an id");
    drop(first);
    call(lasso.address, "told-while-nobody-listens");
    // Waited for, so that it is in the backlog when the next reader comes.
    within(Duration::from_secs(2), "it is told", || logged_calls(&lasso).contains_key("told-while-nobody-listens"));
    let mut second = Listener::new(lasso.address, "", Some(&last_id));
    let events = second.until(has_id("told-while-nobody-listens"));
    assert!(!events.iter().any(has_id("heard-by-the-first-reader")), "not twice: {events:#?}");
    let mut other = Listener::new(lasso.address, "?profile=default&chain=one&types=provider,node", None);
    call(lasso.address, "not-what-the-other-wants");
    let head = "POST /api/breakers/default/one/a/open HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let mut operator = Client::new(lasso.address);
    operator.send(format!("{head}content-length: 2\r\n\r\n{{}}").as_bytes());
    assert_eq!(operator.answer().expect("an answer").status, 200);
    let events = other.until(|event| event["event"] == "provider.circuit");
    let told = events.iter().find(|event| event["event"] == "provider.circuit").expect("the circuit");
    assert_eq!((&told["to"], &told["providers"][0]["id"]), (&"open".into(), &"a".into()));
    assert!(events.iter().all(|event| event["event"] != "rpc.request.completed"), "{events:#?}");
}

#[test]
fn a_reader_is_told_of_the_end_and_does_not_hold_it_up() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x7\"");
        let mut lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut listener = Listener::new(lasso.address, "?types=node", None);
        let began = Instant::now();
        lasso.signal("TERM");
        listener.until(|event| event["event"] == "node.draining");
        assert!(matches!(listener.next(), Heard::End));
        assert!(lasso.ended(Duration::from_secs(5)).expect("it ends").success());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[test]
fn a_busy_node_tells_of_some_calls_and_counts_the_rest() {
    const CALLS: u64 = 1_500;
    let provider = Provider::good("\"0x7\"");
    let lasso = Lasso::start_with(&no_limit(&[provider.address]), &["--request-log-rate", "20"]);
    let began = Instant::now();
    let mut client = Client::new(lasso.address);
    for _ in 0..CALLS {
        assert_eq!(client.post("/rpc/one", READ).status, 200);
    }
    let seconds = began.elapsed().as_secs() + 2;
    let untold = || {
        let value = crate::api::eventually(lasso.address, "/api/shards", |_| true);
        value["total"]["untold_calls"].as_u64().expect("a count")
    };
    let mut told = 0;
    within(Duration::from_secs(5), "each call is told or counted", || {
        told += logged_calls(&lasso).len() as u64;
        told + untold() == CALLS
    });
    assert!(told >= 2 && told <= 20 * seconds, "{told} in {seconds} s");
    let silent = Lasso::start_with(&no_limit(&[provider.address]), &["--request-log-rate", "0"]);
    assert_eq!(post(silent.address, "/rpc/one", READ).status, 200);
    crate::api::eventually(silent.address, "/api/shards", |value| value["total"]["merged_attempts"] == 1);
    assert!(logged_calls(&silent).is_empty());
}

/// Its output goes into a pipe that nobody reads: the node serves, and says how much it could not say.
#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let provider = Provider::good("\"0x7\"");
    // A port that is free now; nobody tells us the node's own while its output is not read.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address").port();
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("unread-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("default.yml"), no_limit(&[provider.address])).expect("the profile is written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_lasso"))
        .args(["serve", "--profiles"])
        .arg(&directory)
        .args(["--listen", "127.0.0.1", "--port", &port.to_string(), "--log-format", "json", "--request-log-rate", "1000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    within(Duration::from_secs(10), "it listens", || TcpStream::connect(at).is_ok());
    let began = Instant::now();
    let mut client = Client::new(at);
    let blocked = r#"{"jsonrpc":"2.0","id":1,"method":"eth_accounts","params":[]}"#;
    let dropped = loop {
        for body in [READ, blocked] {
            for _ in 0..200 {
                assert_eq!(client.post("/rpc/one", body).status, 200, "whoever reads the log");
            }
        }
        let value = crate::api::eventually(at, "/api/shards", |_| true);
        let dropped = value["total"]["dropped_log_lines"].as_u64().expect("a count");
        if dropped > 0 {
            break dropped;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "its log was never full");
    };
    // Read again, it says so.
    let mut stdout = child.stdout.take().expect("its output");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = stdout.read_to_string(&mut text);
        text
    });
    let done = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(done.expect("kill runs").success());
    child.wait().expect("it ends");
    let text = reader.join().expect("its text");
    let told: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let lost = told.iter().filter(|line| line["event"] == "log.dropped").filter_map(|line| line["count"].as_u64()).sum::<u64>();
    assert!(lost >= dropped, "{lost} of at least {dropped}");
    let _ = std::fs::remove_dir_all(&directory);
}
