//! Traces across a call that fails over: the client's context goes in, each provider gets a parent of its own, and a
//! collector gets spans that hang together. And without a collector the context passes as it came.

use crate::harness::{Lasso, no_limit};
use crate::http::{Client, READ};
use crate::provider::{answer, ok, read_whole_request, with_status};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A server that keeps heads and bodies, and answers as it is told.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Server {
    fn new(act: impl Fn(usize, &Value) -> Vec<u8> + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Server { address: listener.local_addr().expect("its address"), got: Arc::default() };
        let (own, act) = (server.clone(), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, own, act) = (stream.expect("a connection"), own.clone(), act.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                    while let Some((head, body)) = read_whole_request(&mut reader) {
                        let body: Value = serde_json::from_str(&body).expect("JSON");
                        // The node's own questions are no calls.
                        let is_own = body["id"].as_str().is_some_and(|id| id.starts_with("lasso-"));
                        let mut got = own.got.lock().expect("no panic");
                        let nth = got.len();
                        if !is_own {
                            got.push((head, body.clone()));
                        }
                        drop(got);
                        let healthy = if body["method"] == "eth_chainId" { "\"0x1\"" } else { "\"0x64\"" };
                        let bytes = if is_own { answer(&ok(&body["id"].to_string(), healthy)) } else { act(nth, &body) };
                        if stream.write_all(&bytes).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    fn got(&self) -> Vec<(String, Value)> {
        self.got.lock().expect("no panic").clone()
    }

    /// The last call's fields of this name.
    fn fields(&self, name: &str) -> Vec<String> {
        let got = self.got();
        let (head, _) = got.last().expect("a call");
        let pairs = head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    }
}

fn good() -> Server {
    Server::new(|_, body| answer(&ok(&body["id"].to_string(), "\"0x7\"")))
}

fn failing() -> Server {
    Server::new(|_, body| with_status("503 Service Unavailable", "", &ok(&body["id"].to_string(), "1")))
}

fn attribute<'a>(span: &'a Value, key: &str) -> &'a Value {
    let all = span["attributes"].as_array().expect("attributes");
    let found = all.iter().find(|attribute| attribute["key"] == key).and_then(|a| a["value"].as_object()?.values().next());
    found.unwrap_or(&Value::Null)
}

/// Every span that the collector has been sent, once there are so many.
fn spans(collector: &Server, count: usize) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let got = collector.got();
        let of_body = |body: &Value| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned().unwrap_or_default();
        let all: Vec<Value> = got.iter().flat_map(|(_, body)| of_body(body)).collect();
        if all.len() >= count {
            return all;
        }
        assert!(Instant::now() < end, "only {all:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn traced(providers: &[SocketAddr], collector: &Server, variables: &[(&str, &str)]) -> Lasso {
    let endpoint = format!("http://{}", collector.address);
    let usual = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    Lasso::start_in(&no_limit(providers), &[], &[&usual, variables].concat())
}

#[test]
fn a_call_that_fails_over_is_one_trace() {
    let (first, second, collector) = (failing(), good(), Server::new(|_, _| answer("{}")));
    let variables =
        [("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a%20b"), ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")];
    let lasso = traced(&[first.address, second.address], &collector, &variables);
    let fields = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: vendor=1\r\n");
    let answer = Client::new(lasso.address).post_with("/rpc/one", &fields, READ);
    assert_eq!(answer.json()["result"], "0x7");

    let spans = spans(&collector, 3);
    let (server, clients): (Vec<&Value>, Vec<&Value>) = spans.iter().partition(|span| span["kind"] == 2);
    let [server] = server[..] else { panic!("{spans:#?}") };
    assert!(spans.iter().all(|span| span["traceId"] == TRACE && span["name"] == "eth_getBalance"), "{spans:#?}");
    assert_eq!((&server["parentSpanId"], &server["status"]), (&PARENT.into(), &json!({})));
    assert_eq!((attribute(server, "lasso.chain"), attribute(server, "lasso.provider")), (&"one".into(), &"b".into()));
    assert_eq!((attribute(server, "rpc.system"), attribute(server, "lasso.retries")), (&"jsonrpc".into(), &"1".into()));
    let of = |id: &str| *clients.iter().find(|span| attribute(span, "lasso.provider") == id).expect("an attempt");
    let (lost, won) = (of("a"), of("b"));
    for (span, provider) in [(lost, &first), (won, &second)] {
        assert_eq!((&span["kind"], &span["parentSpanId"]), (&3.into(), &server["spanId"]), "{span:#}");
        let id = span["spanId"].as_str().expect("an id");
        assert_eq!(provider.fields("traceparent"), [format!("00-{TRACE}-{id}-01")]);
        assert_eq!(provider.fields("tracestate"), ["vendor=1"]);
        let time = |span: &Value, key: &str| span[key].as_str().and_then(|ns| ns.parse::<u64>().ok()).expect("a time");
        let is_within = |key| (time(server, "startTimeUnixNano")..=time(server, "endTimeUnixNano")).contains(&time(span, key));
        assert!(is_within("startTimeUnixNano") && is_within("endTimeUnixNano"), "{spans:#?}");
    }
    assert_eq!((attribute(lost, "http.response.status_code"), &lost["status"]["code"]), (&"503".into(), &2.into()), "{lost:#}");
    assert_eq!((attribute(won, "http.response.status_code"), attribute(won, "lasso.outcome")), (&"200".into(), &"ok".into()));

    let (head, body) = collector.got().remove(0);
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("x-team: a b\r\n"), "{head}");
    let resource = &body["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name"), "lasso");
    assert_eq!(attribute(resource, "deployment.environment.name"), "test");
    let counts = crate::api::eventually(lasso.address, "/api/status", |status| status["traces"]["exported"] == 3);
    assert_eq!(counts["traces"], json!({ "exported": 3, "dropped": 0, "failed": 0 }));
}

#[test]
fn a_span_names_the_address_that_this_region_asks() {
    let (here, collector) = (good(), Server::new(|_, _| answer("{}")));
    let endpoint = format!("http://{}", collector.address);
    let everywhere = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a free port");
    let profile = format!(
        "---\nname: t\nslug: default\nrps_limit: 0\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n      \
         - {{id: a, url: \"http://{everywhere}\", region_urls: {{eu: {{url: \"http://{}\"}}}}}}\n",
        here.address
    );
    let always = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_TRACES_SAMPLER", "always_on")];
    let lasso = Lasso::start_in(&profile, &["--region", "eu"], &always);
    assert_eq!(Client::new(lasso.address).post("/rpc/one", READ).json()["result"], "0x7");
    let spans = spans(&collector, 2);
    let attempt = spans.iter().find(|span| span["kind"] == 3).expect("an attempt");
    assert_eq!(attribute(attempt, "server.port"), &here.address.port().to_string());
}

#[test]
fn who_is_not_sampled_passes_unchanged_and_who_has_no_trace_gets_none() {
    let (provider, collector) = (good(), Server::new(|_, _| answer("{}")));
    let plain = Lasso::start(&no_limit(&[provider.address]), "io_uring");
    let traced = traced(&[provider.address], &collector, &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    let parent = format!("00-{TRACE}-{PARENT}-00");
    for lasso in [&plain, &traced] {
        let check = |fields: &str, parents: &[&str], states: &[&str]| {
            assert_eq!(Client::new(lasso.address).post_with("/rpc/one", fields, READ).status, 200);
            assert_eq!(
                (provider.fields("traceparent"), provider.fields("tracestate")),
                (owned(parents), owned(states)),
                "{fields}"
            );
        };
        let owned_parent = format!("TraceParent: {parent}\r\n");
        check("", &[], &[]);
        check(&owned_parent, &[&parent], &[]);
        check(&format!("tracestate: a=1, b=2\r\n{owned_parent}"), &[&parent], &["a=1, b=2"]);
        check("tracestate: a=1\r\n", &[], &[]);
        check("traceparent: 00-1-2-3\r\ntracestate: a=1\r\n", &[], &[]);
        check(&format!("{owned_parent}{owned_parent}"), &[], &[]);
        // A body that goes by a gathering write has the same head.
        let long = READ.replace("\"latest\"", &format!("\"latest\",\"{}\"", "0".repeat(8_000)));
        assert_eq!(Client::new(lasso.address).post_with("/rpc/one", &owned_parent, &long).status, 200);
        assert_eq!(provider.fields("traceparent"), [parent.as_str()]);
        let batch = format!("[{READ},{READ}]");
        assert_eq!(Client::new(lasso.address).post_with("/rpc/one", &owned_parent, &batch).status, 200);
        assert_eq!(provider.fields("traceparent"), [parent.as_str()]);
    }
    assert_eq!(collector.got(), []);
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// A collector that is busy is tried again; one that refuses is not; what waits is delivered before the end.
#[test]
fn batches_are_delivered_or_counted() {
    let provider = good();
    let busy = Server::new(|nth, _| match nth {
        0 => with_status("429 Too Many Requests", "retry-after: 0\r\n", "{}"),
        1 => with_status("503 Service Unavailable", "retry-after: 0\r\n", "{}"),
        _ => answer("{}"),
    });
    let always = ("OTEL_TRACES_SAMPLER", "always_on");
    let lasso = traced(&[provider.address], &busy, &[always]);
    Client::new(lasso.address).post("/rpc/one", READ);
    crate::api::eventually(lasso.address, "/api/status", |status| status["traces"]["exported"] == 2);
    let bodies: Vec<Value> = busy.got().into_iter().map(|(_, body)| body).collect();
    assert!(bodies.len() >= 3 && bodies[0] == bodies[1] && bodies[1] == bodies[2], "the same batch, three times: {bodies:#?}");
    // A trace of ours: no parent, and the provider is below it.
    let all = spans(&busy, 2);
    let server = all.iter().find(|span| span["kind"] == 2).expect("an exchange");
    assert!(server.get("parentSpanId").is_none());
    assert!(provider.fields("traceparent")[0].starts_with(&format!("00-{}-", server["traceId"].as_str().expect("an id"))));

    let refusing = Server::new(|_, _| with_status("400 Bad Request", "", "{}"));
    let lasso = traced(&[provider.address], &refusing, &[always]);
    Client::new(lasso.address).post("/rpc/one", READ);
    crate::api::eventually(lasso.address, "/api/status", |status| status["traces"]["failed"] == 2);
    // Two when the exporter looked between the spans; a second try of each would be more.
    assert!(refusing.got().len() <= 2, "{:#?}", refusing.got());

    let late = Server::new(|_, _| answer("{}"));
    let mut lasso = traced(&[provider.address], &late, &[always, ("OTEL_BSP_SCHEDULE_DELAY", "60000")]);
    Client::new(lasso.address).post("/rpc/one", READ);
    assert_eq!(late.got().len(), 0);
    lasso.signal("TERM");
    assert!(lasso.ended(Duration::from_secs(10)).is_some_and(|status| status.success()));
    assert_eq!(spans(&late, 2).len(), 2);
}

#[test]
fn variables_that_cannot_be_meant_stop_the_start() {
    let provider = good();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let refused = Lasso::try_start_with(&no_limit(&[provider.address]), &variables).err().expect("no start");
    assert!(refused.code == Some(1) && refused.output.contains("http/json"), "{refused:?}");
}
