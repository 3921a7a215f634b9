//! Every answer of every interface is what `config/openapi.json` says: on a fresh node, under load, with a circuit open, for
//! questions that have no answer, and while the node ends. Members that the file does not know are breaches too.

use crate::harness::{Lasso, no_limit, profile};
use crate::http::{Answer, Client, READ, post};
use crate::provider::{Provider, answer, ok, write};
use crate::schema::breaches;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

pub struct Spec(Value);

impl Spec {
    pub fn load() -> Spec {
        Spec(serde_json::from_str(include_str!("../../config/openapi.json")).expect("JSON"))
    }

    fn at<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(name) => self.0.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not there")),
            None => value,
        }
    }

    /// The template with the most literal segments.
    fn path(&self, path: &str) -> (&str, &Value) {
        let segments = |path: &str| path.split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let wanted = segments(path.split('?').next().unwrap_or(path));
        let literals = |template: &&String| {
            let own = segments(template);
            let fits =
                own.len() == wanted.len() && own.iter().zip(&wanted).all(|(own, want)| own.starts_with('{') || own == want);
            fits.then(|| own.iter().filter(|own| !own.starts_with('{')).count())
        };
        let paths = self.0["paths"].as_object().expect("paths");
        let best =
            paths.iter().filter(|(template, _)| literals(template).is_some()).max_by_key(|(template, _)| literals(template));
        best.map(|(template, item)| (template.as_str(), item)).unwrap_or_else(|| panic!("{path} is not described"))
    }

    /// Panics with all breaches.
    pub fn check(&self, verb: &str, path: &str, answer: &Answer) {
        let (template, item) = self.path(path);
        let status = answer.status.to_string();
        let response = self.at(&item[verb]["responses"][&status]);
        assert!(response.is_object(), "{verb} {template} does not say that it may answer {status}: {}", answer.text());
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let header = self.at(header);
            match answer.field(name) {
                Some(value) => {
                    let value = value.parse::<u64>().map_or_else(|_| Value::from(value), Value::from);
                    let value = if header["schema"]["type"] == "integer" { value } else { Value::from(answer.field(name)) };
                    let found = breaches(&self.0, &header["schema"], &value);
                    assert!(found.is_empty(), "{verb} {path} {status}, {name}: {found:?}");
                }
                None => assert!(header["required"] != true, "{verb} {path} {status} has no {name}"),
            }
        }
        let Some(content) = response["content"].as_object() else { return assert!(answer.body.is_empty(), "{verb} {path}") };
        let kind = answer.field("content-type").unwrap_or("");
        let media = content.get(kind).unwrap_or_else(|| panic!("{verb} {path} {status} is {kind:?}"));
        if kind == "application/json" {
            let found = breaches(&self.0, &media["schema"], &answer.json());
            assert!(found.is_empty(), "{verb} {path} {status}: {found:#?}\n{:#}", answer.json());
        }
    }

    /// The schema of a message of `/api/events`.
    pub fn check_message(&self, event: &str, data: &Value) {
        let media = &self.0["paths"]["/api/events"]["get"]["responses"]["200"]["content"]["text/event-stream"];
        let found = breaches(&self.0, &media["x-events"][event], data);
        assert!(media["x-events"][event].is_object() && found.is_empty(), "{event}: {found:#?}");
    }
}

fn get(spec: &Spec, at: SocketAddr, path: &str, want: u16) -> Answer {
    let mut client = Client::new(at);
    client.send(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes());
    let answer = client.answer().expect("an answer");
    assert_eq!(answer.status, want, "{path}: {}", answer.text());
    spec.check("get", path, &answer);
    answer
}

/// Everything that may be asked of a healthy node.
fn ask_everything(spec: &Spec, at: SocketAddr) {
    for path in [
        "/api/health",
        "/api/status",
        "/api/region",
        "/api/cluster",
        "/api/shards",
        "/api/openapi.json",
        "/api/chains",
        "/metrics",
        "/dashboard",
        "/dashboard/default",
        "/dashboard/assets/app.js",
        "/dashboard/assets/style.css",
        "/api/providers/one",
        "/api/providers/1?profile=default",
        "/api/metrics/one",
        "/api/metrics/one?histograms=true",
        "/api/explain/default/one/eth_call",
        "/api/explain/default/one/my_method?strategy=fastest&transport=http&provider=b",
        "/api/explain/default/one/eth_getBalance?block=5&strategy=latency_weighted",
    ] {
        get(spec, at, path, 200);
    }
    for (path, status) in [
        ("/", 307),
        ("/dashboard/gold", 404),
        ("/dashboard/assets/nothing.js", 404),
        ("/api/providers/two", 404),
        ("/api/providers/one?profile=gold", 404),
        ("/api/metrics/two", 404),
        ("/api/explain/gold/one/eth_call", 404),
        ("/api/explain/default/two/eth_call", 404),
        ("/api/explain/default/one/eth_call?provider=z", 404),
        ("/api/explain/default/one/eth_call?strategy=luck", 400),
        ("/api/explain/default/one/eth_call?block=soon", 400),
        ("/api/explain/default/one/eth_call?transport=carrier-pigeon", 400),
        ("/api/explain/default/one/%zz", 400),
        ("/api/events?profile=gold", 404),
        ("/api/events?chain=one", 400),
        ("/api/events?profile=default&chain=two", 404),
    ] {
        get(spec, at, path, status);
    }
}

fn order(spec: &Spec, at: SocketAddr, path: &str, fields: &str, want: u16) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}content-length: 2\r\n\r\n{{}}"
    );
    let mut client = Client::new(at);
    client.send(head.as_bytes());
    let answer = client.answer().expect("an answer");
    assert_eq!(answer.status, want, "{path}: {}", answer.text());
    spec.check("post", path, &answer);
}

/// An address that refuses.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

#[test]
fn answers_are_as_described() {
    let spec = Spec::load();
    let refusing = Provider::new(|got, stream| {
        let error = r#"{"code":-32005,"message":"daily request count exceeded, request rate limited"}"#;
        write(stream, &answer(&format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, got.id)))
    });
    let good = Provider::good("\"0x7\"");
    let mut lasso = Lasso::start(&no_limit(&[nobody(), refusing.address, good.address]), "io_uring");
    let at = lasso.address;
    ask_everything(&spec, at);
    let mut listening = Client::new(at);
    listening.send(b"GET /api/events HTTP/1.1\r\nhost: x\r\n\r\n");
    for _ in 0..40 {
        assert_eq!(post(at, "/rpc/one", READ).json()["result"], "0x7");
    }
    assert_eq!(post(at, "/rpc/one/z", READ).status, 400);
    assert_eq!(post(at, "/rpc/one", r#"{"jsonrpc":"2.0","id":1,"method":"eth_sign","params":[]}"#).status, 200);
    crate::api::eventually(at, "/api/providers/one", |p| crate::api::of_provider(p, "a")["status"] == "circuit_open");
    order(&spec, at, "/api/breakers/default/one/c/open", "", 200);
    ask_everything(&spec, at);
    get(&spec, at, "/api/ready", 200);
    for (path, fields, status) in [
        ("/api/breakers/default/one/c/auto", "", 200),
        ("/api/breakers/default/one/a/close", "", 200),
        ("/api/breakers/default/one/a/ajar", "", 404),
        ("/api/breakers/default/one/z/open", "", 404),
        ("/api/breakers/default/two/a/open", "", 404),
        ("/api/breakers/gold/one/a/open", "", 404),
        ("/api/breakers/default/one/a/open", "origin: http://localhost\r\n", 403),
        ("/api/breakers/default/one/%e/open", "", 400),
        ("/api/reload", "", 501),
    ] {
        order(&spec, at, path, fields, status);
    }
    order_verbs(&spec, at);
    events_are_as_described(&spec, &mut listening);
    lasso.assert_alive();
}

/// A verb that a path does not take, and heads that are no HTTP, on each of our own paths.
fn order_verbs(spec: &Spec, at: SocketAddr) {
    let paths = spec.0["paths"].as_object().expect("paths");
    for template in paths.keys().filter(|path| path.starts_with("/api/")) {
        let path = template.replace(['{', '}'], "");
        for (fields, status) in [("host: x\r\n", 405), ("host: x\r\nhost: y\r\n", 400)] {
            let mut client = Client::new(at);
            client.send(format!("DELETE {path} HTTP/1.1\r\n{fields}\r\n").as_bytes());
            let answer = client.answer().expect("an answer");
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
            let verb = if paths[template].get("get").is_some() { "get" } else { "post" };
            spec.check(verb, &path, &answer);
        }
    }
}

/// What a reader heard so far.
fn events_are_as_described(spec: &Spec, client: &mut Client) {
    let head = client.answer().expect("a head");
    spec.check("get", "/api/events", &head);
    let (mut names, mut text) = (std::collections::BTreeSet::new(), String::new());
    let end = Instant::now() + Duration::from_secs(5);
    while !["rpc.request.completed", "provider.circuit", "chain.head"].iter().all(|name| names.contains(*name)) {
        assert!(Instant::now() < end, "only {names:?}");
        text.push_str(&String::from_utf8(client.bytes(1)).expect("text"));
        let Some(at) = text.find("\n\n") else { continue };
        let message: String = text.drain(..at + 2).collect();
        let line = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (Some(event), Some(data)) = (line("event:"), line("data:")) else { continue };
        let data: Value = serde_json::from_str(data).expect("JSON");
        spec.check_message(event, &data);
        names.extend(data.as_array().into_iter().flatten().filter_map(|event| event["event"].as_str()).map(str::to_owned));
    }
}

#[test]
fn answers_of_a_node_that_begins_and_ends_are_as_described() {
    let spec = Spec::load();
    // Nobody answers, so it is not ready for ten seconds.
    let waiting = Lasso::start(&no_limit(&[nobody()]), "io_uring");
    get(&spec, waiting.address, "/api/ready", 503);
    ask_nobody(&spec, waiting.address);

    let good = Provider::new(|got, stream| write(stream, &answer(&ok(&got.id, "\"0x7\""))));
    let lasso = Lasso::start(&profile(&[good.address], "rps_limit: 0"), "io_uring");
    let paths = ["/api/health", "/api/ready", "/api/status", "/api/cluster"];
    // Half a head is no idle client: its connection outlives the beginning of the drain.
    let mut clients = paths.map(|path| {
        let mut client = Client::new(lasso.address);
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x").as_bytes());
        client
    });
    std::thread::sleep(Duration::from_millis(200));
    lasso.signal("TERM");
    std::thread::sleep(Duration::from_millis(100));
    for (client, path) in clients.iter_mut().zip(paths) {
        client.send(b"\r\n\r\n");
        let answer = client.answer().expect("an answer");
        spec.check("get", path, &answer);
        let is_draining = answer.json()["status"] == "draining";
        assert_eq!(is_draining, path != "/api/cluster", "{path}: {}", answer.text());
    }
}

/// What a node without a provider says of itself.
fn ask_nobody(spec: &Spec, at: SocketAddr) {
    for path in ["/api/status", "/api/region", "/api/shards", "/api/providers/one", "/api/metrics/one?histograms=true"] {
        get(spec, at, path, 200);
    }
    get(spec, at, "/api/explain/default/one/eth_call", 200);
}

/// The RPC routes' answers: kinds of bodies, and the fields that each has.
#[test]
fn rpc_answers_are_as_described() {
    let spec = Spec::load();
    let good = Provider::good("\"0x7\"");
    let lasso = Lasso::start(&profile(&[good.address], "rps_limit: 1\nburst_limit: 12"), "io_uring");
    let check = |path: &str, fields: &str, body: &str, want: u16| {
        let answer = Client::new(lasso.address).post_with(path, fields, body);
        assert_eq!(answer.status, want, "{path} {body}: {}", answer.text());
        spec.check("post", path, &answer);
    };
    check("/rpc/one", "", READ, 200);
    check("/rpc/fastest/one?include_meta=body", "", READ, 200);
    check("/rpc/profile/default/provider/a/one?include_meta=headers", "", READ, 200);
    check("/rpc/one", "", &format!("[{READ},{READ}]"), 200);
    check("/rpc/one", "", r#"{"jsonrpc":"2.0","method":"eth_call","params":[]}"#, 204);
    check("/rpc/one?include_meta=body", "", r#"{"jsonrpc":"2.0","id":null,"method":"eth_accounts"}"#, 200);
    check("/rpc/one", "", "{", 400);
    check("/rpc/two", "", READ, 400);
    check("/rpc/profile/gold/one", "", READ, 404);
    check("/rpc/one", "expect: nonsense\r\n", READ, 417);
    check("/rpc/one", "x: y\r\ntransfer-encoding: gzip\r\n", READ, 400);
    for _ in 0..12 {
        Client::new(lasso.address).post("/rpc/one", READ);
    }
    check("/rpc/one", "", READ, 429);
}
