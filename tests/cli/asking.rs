//! The commands that ask a running node, against recorded answers of one (`answers/`, from `lasso demo`): whole outputs as
//! golden files, and each way in which a node can be missing, foreign or of another mind as a sentence.

use super::{Said, golden, here, lasso};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// A server of fixed answers; it ends with the process.
struct Fixed {
    address: SocketAddr,
}

type Answer = (u16, Vec<u8>);

impl Fixed {
    fn start(answer: impl Fn(&str, &str) -> Answer + Send + 'static) -> Fixed {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &answer);
            }
        });
        Fixed { address }
    }

    /// The recorded node.
    fn node() -> Fixed {
        Fixed::start(recorded)
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port is another one every time.
    fn ask(&self, args: &[&str]) -> Said {
        let url = self.url();
        let mut said = lasso(args, &[("LASSO_URL", &url)]);
        (said.out, said.err) = (said.out.replace(&url, "URL"), said.err.replace(&url, "URL"));
        said
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&str, &str) -> Answer) -> std::io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0u8]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or("").to_owned();
    let (status, body) = answer(&path, &head);
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(&body)
}

fn answer_file(name: &str) -> Vec<u8> {
    std::fs::read(here().join("answers").join(format!("{name}.json"))).expect("a recorded answer")
}

fn recorded(path: &str, head: &str) -> Answer {
    let name = match path {
        "/api/status" => "status",
        "/api/shards" => "shards",
        "/api/health" => "health",
        "/api/metrics/base?profile=default&scope=cluster" => "cluster-base",
        "/api/metrics/base?profile=default&region=a%20b" => return (404, answer_file("cluster-no-region")),
        "/api/explain/default/arbitrum/eth_gasPrice?strategy=fastest" => "explain",
        "/api/explain/default/base/eth_call?strategy=latency-weighted&block=latest" => "explain-drawn",
        "/api/breakers/default/arbitrum/harbor/open" if head.starts_with("POST ") => "breaker",
        "/api/explain/default/nowhere/eth_call" => return (404, answer_file("explain-no-chain")),
        _ => match path.strip_prefix("/api/").and_then(|rest| rest.strip_suffix("?profile=default")) {
            Some(rest) => return (200, answer_file(&rest.replace('/', "-"))),
            None => return (404, b"{}".to_vec()),
        },
    };
    (200, answer_file(name))
}

#[test]
fn tables() {
    let node = Fixed::node();
    golden("stats", &node.ask(&["stats"]));
    golden("stats-json", &node.ask(&["stats", "--json"]));
    golden("stats-chain", &node.ask(&["stats", "--chain", "8453", "--profile=default"]));
    golden("stats-cluster", &node.ask(&["stats", "--chain", "8453", "--cluster"]));
    golden("stats-cluster-region", &node.ask(&["stats", "--chain", "8453", "--cluster-region", "a b"]));
    golden("stats-cluster-two", &node.ask(&["stats", "--cluster", "--cluster-node=x"]));
    assert!(!node.ask(&["stats"]).out.contains('\x1b'), "no colours where there is no terminal");
}

#[test]
fn choices_and_circuits() {
    let node = Fixed::node();
    golden("explain", &node.ask(&["explain", "eth_gasPrice", "--chain", "arbitrum", "--strategy", "fastest"]));
    let drawn = ["explain", "eth_call", "--chain", "base", "--strategy=latency-weighted", "--block=latest"];
    golden("explain-drawn", &node.ask(&drawn));
    let json = node.ask(&["explain", "eth_gasPrice", "--chain", "arbitrum", "--strategy", "fastest", "--json"]);
    assert!(json.code == 0 && json.out.starts_with("{\"profile\":\"default\""), "{}", json.out);
    golden("breaker", &node.ask(&["breaker", "open", "harbor", "--chain", "arbitrum"]));
    golden("breaker-json", &node.ask(&["breaker", "open", "harbor", "--chain", "arbitrum", "--json"]));
}

#[test]
fn a_snapshot_file_is_shown() {
    let file = |name: &str| here().join("answers").join(name).display().to_string();
    golden("stats-from", &lasso(&["stats", "--from", &file("snapshot.json")], &[]));
    golden("stats-from-json", &lasso(&["stats", "--json", "--from", &file("snapshot.json")], &[]));
    for (name, part) in [("status.json", "is no snapshot of a node: invalid type"), ("gone.json", "cannot be read: No such file")]
    {
        let said = lasso(&["stats", "--from", &file(name)], &[]);
        assert!(said.code == 1 && said.out.is_empty() && said.err.contains(part), "{}", said.err);
    }
}

#[test]
fn each_fault_says_what_to_do() {
    let check = |node: &Fixed, args: &[&str], want: &str| {
        let said = node.ask(args);
        assert_eq!((said.code, said.out.as_str(), said.err.trim_end()), (1, "", want), "{args:?}");
    };
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let gone = Fixed { address: free.local_addr().expect("an address") };
    drop(free);
    check(&gone, &["stats"], "lasso: no node at URL: is it running? use --url");
    check(&gone, &["explain", "eth_call", "--chain", "a"], "lasso: no node at URL: is it running? use --url");
    check(&gone, &["breaker", "auto", "a", "--chain", "a"], "lasso: no node at URL: is it running? use --url");
    check(&gone, &["stats", "--watch"], "lasso: no node at URL: is it running? use --url");
    check(&gone, &["top"], "lasso: top needs a terminal: use lasso stats --watch");
    let foreign = "lasso: what answers at URL is not a Lasso node: correct --url";
    for (status, body) in [(200, "<html>"), (404, "not here"), (500, "{}"), (302, "")] {
        check(&Fixed::start(move |_, _| (status, body.into())), &["stats"], foreign);
    }
    check(&Fixed::start(|_, _| (200, b"[]".to_vec())), &["stats"], foreign);
    let secret = "lasso: the node at URL wants a user and a password: use --url http://USER:PASS@HOST:PORT";
    let locked = Fixed::start(|path, head| match head.contains("authorization: Basic YTpi") {
        true => recorded(path, head),
        false => (401, b"{\"error\":\"Unauthorized\"}".to_vec()),
    });
    check(&locked, &["stats"], secret);
    let with_password = locked.url().replace("//", "//a:b@");
    assert_eq!(lasso(&["stats", "--url", &with_password], &[]).code, 0);
    let own = env!("CARGO_PKG_VERSION");
    let other = Fixed::start(|path, _| match path {
        "/api/health" => (200, b"{\"version\":\"9.9.9\"}".to_vec()),
        "/api/status" => (200, b"{\"version\":\"9.9.9\"}".to_vec()),
        _ => (404, b"{}".to_vec()),
    });
    let version = format!("lasso: the node at URL is version 9.9.9, this program is {own}: use the program of version 9.9.9");
    check(&other, &["stats"], &version);
    check(&other, &["explain", "eth_call", "--chain", "a"], &version);
    let node = Fixed::node();
    let nowhere = "lasso: Chain not found: nowhere (chains: ethereum, base, arbitrum)";
    check(&node, &["explain", "eth_call", "--chain", "nowhere"], nowhere);
    let none = "lasso: the node has no nowhere (it has default/ethereum, default/base, default/arbitrum)";
    check(&node, &["stats", "--chain", "nowhere"], none);
    let silent = Fixed::start(|_, _| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        (200, Vec::new())
    });
    check(&silent, &["stats"], "lasso: URL did not answer within 5 s: is it a node, and not overloaded? use --url");
    let unknown = lasso(&["stats", "--url", "http://nowhere.invalid"], &[]);
    assert!(unknown.code == 1 && unknown.err.contains("http://nowhere.invalid"), "{}", unknown.err);
}

/// Lines come until nobody reads; a node that goes away is told and waited for.
#[test]
fn watching_goes_on() {
    use std::io::BufRead;
    use std::sync::atomic::{AtomicUsize, Ordering};
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let node = Fixed::start(|path, head| match path {
        "/api/status" if ASKED.fetch_add(1, Ordering::Relaxed) == 1 => (500, Vec::new()),
        _ => recorded(path, head),
    });
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_lasso"))
        .args(["stats", "--json", "--watch=1", "--url", &node.url()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program runs");
    let lines = std::io::BufReader::new(child.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let pictures: Vec<String> = lines.take(2).collect();
    assert!(pictures.len() == 2 && pictures.iter().all(|line| line.starts_with("{\"shape\":1,")), "{pictures:?}");
    assert!(ASKED.load(Ordering::Relaxed) >= 3, "one question was not answered");
    // Nobody reads any more.
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
