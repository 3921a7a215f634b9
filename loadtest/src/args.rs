//! Arguments of the commands. Plain flags, no defaults that hide a decision: what is measured is on the command line. Those of
//! the load are many and have a file of their own (`load_args`).

use crate::load_args::{self, Load};
use crate::logs::Spread;
use crate::ring::Driver;
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

pub const USAGE: &str = "\
loadtest mock  [--serve ADDR=SIZE[:SHAPE]]...   a provider with answers of a fixed size; port 0 picks a free one
               [--answer METHOD=SIZE[:SHAPE]]...   another answer for this method; also over WebSockets, on the same addresses
               [--serve-tls ADDR=SIZE[:SHAPE]]... [--tls-folder DIR]   over TLS; the certificate is written to DIR/authority.pem
               [--latency-ms N] [--chunked] [--id-last] [--chain-number N]   GET /counts tells of calls and connections
               SIZE: bytes of the result value, 100, 10k (KiB), 1m (MiB); SHAPE: hex (default) or logs
               default: 127.0.0.1:8601=100, :8602=10k, :8603=1m
loadtest relay --listen ADDR --upstream ADDR    copies bytes both ways and looks at none of them
               [--buffer-bytes SIZE]   what a buffer may grow to, default 512k
loadtest load  --target ADDR                    calls, checks every answer, prints one JSON object
               [--ws]   each connection is a WebSocket; path /ws/rpc/bench
               [--path /rpc/bench] [--host NAME] [--header 'name: value']...
               [--method NAME] [--result-bytes N]   what is called, and the size that every result must have
               [--call METHOD=SIZE[:WEIGHT]]...     a mix of calls instead, each with its share and size
               [--batch N]         N calls in each request
               [--concurrency N]   connections, one request each at a time; default 1
               [--rate N]          open loop: N calls a second on a fixed schedule; without it closed loop
               [--burst N]         with --rate: N calls at a time
               [--warmup-seconds S] [--seconds S] [--calls N]   what ends the measured part; default 5 seconds
               [--deadline-ms N]   an answer that takes longer is an error, and its connection ends
               [--tolerate]        errors are counted, by tenths of a second, and do not fail the run
               [--slow N --slow-call METHOD=SIZE [--slow-bytes-per-second N]]
                                   N clients beside the load that read at this pace; 0, the default, reads nothing
               [--watch PID]...    also CPU and memory of these processes over the measured part
               [--beside PID]...   also CPU of these, the provider's
loadtest heads --listen ADDR                    a provider with a chain that grows; GET /counts tells of its subscriptions
               [--interval-ms N] [--burst N]   N heads at a time; default 1 every 1000 ms
               [--chain-number N]
               [--logs N --filters N]   logs of each block, spread evenly over filters; default none
loadtest subscribe --target ADDR                clients with a subscription to heads each; all must get every head once
               [--path /ws/rpc/bench] [--host NAME] [--watch PID]...
               [--concurrency N]   clients; default 1
               [--stalled N]       clients beside them that read nothing until the end
               [--logs N --filters N]   subscriptions to logs instead, client i to filter i % N
               [--events N]        measured heads, or blocks of logs; default 20
All of them: [--driver io_uring|epoll] (default: io_uring, epoll where the kernel refuses it).";

pub enum Command {
    Help,
    Mock(Mock),
    Relay(Relay),
    Load(Load),
    Heads(Heads),
    Subscribe(Subscribe),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    Hex,
    Logs,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Serve {
    pub at: SocketAddr,
    /// Bytes of the result value, quotes or brackets included.
    pub result_bytes: usize,
    pub shape: Shape,
}

pub struct Mock {
    pub driver: Driver,
    pub serve: Vec<Serve>,
    pub serve_tls: Vec<Serve>,
    /// Where the certificate of `serve_tls` is written.
    pub tls_folder: Option<String>,
    /// Answers of their own, by method; their address is no one's.
    pub answers: Vec<(String, Serve)>,
    pub latency: Duration,
    pub chunked: bool,
    /// `id` after `result`, as some nodes write it.
    pub id_last: bool,
    /// What `eth_chainId` answers.
    pub chain_number: u64,
}

pub struct Relay {
    pub driver: Driver,
    pub listen: SocketAddr,
    pub upstream: SocketAddr,
    /// What a pump's buffer may grow to.
    pub buffer_bytes: usize,
}

pub struct Heads {
    pub driver: Driver,
    pub listen: SocketAddr,
    pub interval: Duration,
    pub burst: u32,
    pub chain_number: u64,
    pub spread: Spread,
}

pub struct Subscribe {
    pub driver: Driver,
    pub target: SocketAddr,
    pub path: String,
    pub host: String,
    pub concurrency: usize,
    pub stalled: usize,
    /// Logs instead of heads, where it says so.
    pub spread: Spread,
    /// Heads of the measured part.
    pub events: u64,
    pub watch: Vec<u32>,
}

pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_iter(args);
    match parser.next().map_err(|e| e.to_string())? {
        Some(Arg::Value(word)) if word == "mock" => mock(parser),
        Some(Arg::Value(word)) if word == "relay" => relay(parser),
        Some(Arg::Value(word)) if word == "load" => load_args::parse(parser).map(Command::Load),
        Some(Arg::Value(word)) if word == "heads" => heads(parser),
        Some(Arg::Value(word)) if word == "subscribe" => subscribe(parser),
        Some(Arg::Value(word)) if word == "help" => Ok(Command::Help),
        Some(Arg::Long("help")) | None => Ok(Command::Help),
        Some(other) => Err(other.unexpected().to_string()),
    }
}

fn mock(mut parser: Parser) -> Result<Command, String> {
    let mut options = Mock {
        driver: Driver::Auto,
        serve: Vec::new(),
        serve_tls: Vec::new(),
        tls_folder: None,
        answers: Vec::new(),
        latency: Duration::ZERO,
        chunked: false,
        id_last: false,
        chain_number: 1,
    };
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("driver") => options.driver = value(&mut parser)?,
            Arg::Long("serve") => options.serve.push(serve(&value::<String>(&mut parser)?)?),
            Arg::Long("serve-tls") => options.serve_tls.push(serve(&value::<String>(&mut parser)?)?),
            Arg::Long("tls-folder") => options.tls_folder = Some(value(&mut parser)?),
            Arg::Long("answer") => options.answers.push(answer(&value::<String>(&mut parser)?)?),
            Arg::Long("latency-ms") => options.latency = Duration::from_millis(value(&mut parser)?),
            Arg::Long("chunked") => options.chunked = true,
            Arg::Long("id-last") => options.id_last = true,
            Arg::Long("chain-number") => options.chain_number = value(&mut parser)?,
            other => return Err(other.unexpected().to_string()),
        }
    }
    if !options.serve_tls.is_empty() && options.tls_folder.is_none() {
        return Err("--serve-tls needs --tls-folder DIR".into());
    }
    if options.serve.is_empty() && options.serve_tls.is_empty() {
        let defaults = ["127.0.0.1:8601=100", "127.0.0.1:8602=10k", "127.0.0.1:8603=1m"];
        options.serve = defaults.iter().map(|text| serve(text)).collect::<Result<_, _>>()?;
    }
    Ok(Command::Mock(options))
}

fn relay(mut parser: Parser) -> Result<Command, String> {
    let (mut driver, mut listen, mut upstream, mut buffer_bytes) = (Driver::Auto, None, None, 512 << 10);
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("driver") => driver = value(&mut parser)?,
            Arg::Long("listen") => listen = Some(value(&mut parser)?),
            Arg::Long("upstream") => upstream = Some(value(&mut parser)?),
            Arg::Long("buffer-bytes") => buffer_bytes = size(&value::<String>(&mut parser)?)?.max(1),
            other => return Err(other.unexpected().to_string()),
        }
    }
    let listen = listen.ok_or("relay needs --listen ADDR")?;
    let upstream = upstream.ok_or("relay needs --upstream ADDR")?;
    Ok(Command::Relay(Relay { driver, listen, upstream, buffer_bytes }))
}

fn heads(mut parser: Parser) -> Result<Command, String> {
    let (mut listen, interval) = (None, Duration::from_secs(1));
    let at = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut options = Heads { driver: Driver::Auto, listen: at, interval, burst: 1, chain_number: 1, spread: Spread::default() };
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("driver") => options.driver = value(&mut parser)?,
            Arg::Long("listen") => listen = Some(value(&mut parser)?),
            Arg::Long("interval-ms") => options.interval = Duration::from_millis(value::<u64>(&mut parser)?.max(1)),
            Arg::Long("burst") => options.burst = value(&mut parser)?,
            Arg::Long("logs") => options.spread.logs = value(&mut parser)?,
            Arg::Long("filters") => options.spread.filters = value(&mut parser)?,
            Arg::Long("chain-number") => options.chain_number = value(&mut parser)?,
            other => return Err(other.unexpected().to_string()),
        }
    }
    options.spread.check()?;
    options.listen = listen.ok_or("heads needs --listen ADDR")?;
    Ok(Command::Heads(options))
}

fn subscribe(mut parser: Parser) -> Result<Command, String> {
    let mut target = None;
    let mut options = Subscribe {
        driver: Driver::Auto,
        target: SocketAddr::from(([127, 0, 0, 1], 0)),
        path: "/ws/rpc/bench".into(),
        host: "127.0.0.1".into(),
        concurrency: 1,
        stalled: 0,
        spread: Spread::default(),
        events: 20,
        watch: Vec::new(),
    };
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("driver") => options.driver = value(&mut parser)?,
            Arg::Long("target") => target = Some(value(&mut parser)?),
            Arg::Long("path") => options.path = value(&mut parser)?,
            Arg::Long("host") => options.host = value(&mut parser)?,
            Arg::Long("concurrency") => options.concurrency = value(&mut parser)?,
            Arg::Long("logs") => options.spread.logs = value(&mut parser)?,
            Arg::Long("filters") => options.spread.filters = value(&mut parser)?,
            Arg::Long("stalled") => options.stalled = value(&mut parser)?,
            Arg::Long("events") => options.events = value::<u64>(&mut parser)?.max(1),
            Arg::Long("watch") => options.watch.push(value(&mut parser)?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    options.spread.check()?;
    options.target = target.ok_or("subscribe needs --target ADDR")?;
    if options.concurrency == 0 || options.concurrency + options.stalled > MAX_CONNECTIONS {
        return Err(format!("--concurrency and --stalled together must be 1 to {MAX_CONNECTIONS}"));
    }
    if [&options.path, &options.host].iter().any(|text| text.contains(['\r', '\n'])) {
        return Err("a line end in --path or --host".into());
    }
    Ok(Command::Subscribe(options))
}

/// Connections of one load process: the usual limit of open files, less some.
pub const MAX_CONNECTIONS: usize = 16_000;
pub fn value<T: std::str::FromStr>(parser: &mut Parser) -> Result<T, String>
where
    T::Err: std::fmt::Display + Send + Sync + std::error::Error + 'static,
{
    parser.value().and_then(|text| text.parse()).map_err(|e| e.to_string())
}

/// `ADDR=SIZE[:SHAPE]`.
fn serve(text: &str) -> Result<Serve, String> {
    let wrong = || format!("--serve {text}: expected ADDR=SIZE or ADDR=SIZE:SHAPE, as 127.0.0.1:8601=10k:logs");
    let (at, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (bytes, shape) = match rest.split_once(':') {
        None => (rest, Shape::Hex),
        Some((bytes, "hex")) => (bytes, Shape::Hex),
        Some((bytes, "logs")) => (bytes, Shape::Logs),
        Some(_) => return Err(wrong()),
    };
    Ok(Serve { at: at.parse().map_err(|_| wrong())?, result_bytes: size(bytes)?, shape })
}

/// `METHOD=SIZE[:SHAPE]`.
fn answer(text: &str) -> Result<(String, Serve), String> {
    let (method, rest) =
        text.split_once('=').ok_or_else(|| format!("--answer {text}: expected METHOD=SIZE or METHOD=SIZE:SHAPE"))?;
    Ok((method.into(), serve(&format!("127.0.0.1:0={rest}"))?))
}

/// A number of bytes: `100`, `10k`, `1m`.
pub fn size(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let (digits, unit) = match lower.as_bytes().last() {
        Some(b'k') => (&lower[..lower.len() - 1], 1 << 10),
        Some(b'm') => (&lower[..lower.len() - 1], 1 << 20),
        _ => (lower.as_str(), 1),
    };
    let number: usize = digits.parse().map_err(|_| format!("{text} is no size; write 100, 10k or 1m"))?;
    number.checked_mul(unit).filter(|bytes| *bytes <= 1 << 30).ok_or_else(|| format!("{text} is above 1 GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Command, String> {
        parse(std::iter::once("loadtest").chain(line.split_whitespace()).map(OsString::from))
    }

    #[test]
    fn sizes() {
        let check = |text: &str, want: Option<usize>| assert_eq!(size(text).ok(), want, "{text}");
        check("100", Some(100));
        check("10k", Some(10_240));
        check("1M", Some(1_048_576));
        check("", None);
        check("k", None);
        check("1g", None);
        check("2000m", None);
        check("99999999999999999999m", None);
    }

    #[test]
    fn serving() {
        let check = |text: &str, want: Option<(usize, Shape)>| {
            assert_eq!(serve(text).ok().map(|s| (s.result_bytes, s.shape)), want, "{text}");
        };
        check("127.0.0.1:0=10k", Some((10_240, Shape::Hex)));
        check("127.0.0.1:0=10k:logs", Some((10_240, Shape::Logs)));
        check("127.0.0.1:0=10k:other", None);
        check("localhost:0=10k", None);
        check("127.0.0.1:0", None);
    }

    #[test]
    fn refused() {
        let check = |line: &str, want: &str| match words(line) {
            Ok(_) => panic!("{line} was accepted"),
            Err(text) => assert!(text.contains(want), "{line}: {text}"),
        };
        check("load", "--target");
        check("mock --serve-tls 127.0.0.1:0=100", "--tls-folder");
        check("mock --answer eth_call", "METHOD=SIZE");
        check("relay --listen 127.0.0.1:1", "--upstream");
        check("mock --driver kqueue", "kqueue");
        check("other", "other");
    }
}
