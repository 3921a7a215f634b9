//! Arguments of `loadtest load`: whom it calls, what, how often, and what ends it.

use crate::args::{MAX_CONNECTIONS, size, value};
use crate::ring::Driver;
use lexopt::{Arg, Parser};
use std::net::SocketAddr;
use std::time::Duration;

/// Calls per second; beyond what one core can send, so a slip of the finger.
const MAX_RATE: f64 = 10_000_000.0;
/// A load always ends.
const MAX_LENGTH: Duration = Duration::from_secs(86_400);
/// Calls in a request: the most that lasso takes at all.
const MAX_BATCH: u64 = 10_000;

/// One kind of call of a mix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kind {
    pub method: String,
    /// Every result must have this size.
    pub result_bytes: Option<usize>,
    /// Its share of all calls, beside the others' weights.
    pub weight: u64,
}

/// Clients beside the load that take their answers slowly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slow {
    pub clients: usize,
    pub kind: Kind,
    /// Nought reads nothing.
    pub bytes_per_second: u64,
}

pub struct Load {
    pub driver: Driver,
    pub target: SocketAddr,
    /// Calls go over WebSockets.
    pub over_socket: bool,
    pub path: String,
    pub host: String,
    pub headers: Vec<String>,
    /// Never empty.
    pub kinds: Vec<Kind>,
    /// Calls of a request; 1 is no array.
    pub batch: u64,
    pub concurrency: usize,
    /// Calls per second; `None` is the closed loop.
    pub rate: Option<f64>,
    /// Requests that are due together in the open loop.
    pub burst: u64,
    pub warmup: Duration,
    pub length: Duration,
    pub calls: Option<u64>,
    pub deadline: Option<Duration>,
    pub tolerates: bool,
    pub slow: Option<Slow>,
    pub watch: Vec<u32>,
    pub beside: Vec<u32>,
}

/// What is only an option together with others.
#[derive(Default)]
struct Loose {
    target: Option<SocketAddr>,
    path: Option<String>,
    method: Option<String>,
    result_bytes: Option<usize>,
    slow: usize,
    slow_kind: Option<Kind>,
    slow_bytes_per_second: u64,
}

fn defaults() -> Load {
    Load {
        driver: Driver::Auto,
        target: SocketAddr::from(([127, 0, 0, 1], 0)),
        over_socket: false,
        path: String::new(),
        host: "127.0.0.1".into(),
        headers: Vec::new(),
        kinds: Vec::new(),
        batch: 1,
        concurrency: 1,
        rate: None,
        burst: 1,
        warmup: Duration::ZERO,
        length: Duration::from_secs(5),
        calls: None,
        deadline: None,
        tolerates: false,
        slow: None,
        watch: Vec::new(),
        beside: Vec::new(),
    }
}

pub fn parse(mut parser: Parser) -> Result<Load, String> {
    let (mut options, mut loose) = (defaults(), Loose::default());
    while let Some(arg) = parser.next().map_err(|e| e.to_string())? {
        match arg {
            Arg::Long("driver") => options.driver = value(&mut parser)?,
            Arg::Long("target") => loose.target = Some(value(&mut parser)?),
            Arg::Long("ws") => options.over_socket = true,
            Arg::Long("path") => loose.path = Some(value(&mut parser)?),
            Arg::Long("host") => options.host = value(&mut parser)?,
            Arg::Long("header") => options.headers.push(value(&mut parser)?),
            Arg::Long("method") => loose.method = Some(value(&mut parser)?),
            Arg::Long("result-bytes") => loose.result_bytes = Some(size(&value::<String>(&mut parser)?)?),
            Arg::Long("call") => options.kinds.push(kind(&value::<String>(&mut parser)?)?),
            Arg::Long("batch") => options.batch = value(&mut parser)?,
            Arg::Long("concurrency") => options.concurrency = value(&mut parser)?,
            Arg::Long("rate") => options.rate = Some(value(&mut parser)?),
            Arg::Long("burst") => options.burst = value(&mut parser)?,
            Arg::Long("warmup-seconds") => options.warmup = seconds(&mut parser)?,
            Arg::Long("seconds") => options.length = seconds(&mut parser)?,
            Arg::Long("calls") => options.calls = Some(value(&mut parser)?),
            Arg::Long("deadline-ms") => options.deadline = Some(Duration::from_millis(value::<u64>(&mut parser)?.max(1))),
            Arg::Long("tolerate") => options.tolerates = true,
            Arg::Long("slow") => loose.slow = value(&mut parser)?,
            Arg::Long("slow-call") => loose.slow_kind = Some(kind(&value::<String>(&mut parser)?)?),
            Arg::Long("slow-bytes-per-second") => loose.slow_bytes_per_second = value(&mut parser)?,
            Arg::Long("watch") => options.watch.push(value(&mut parser)?),
            Arg::Long("beside") => options.beside.push(value(&mut parser)?),
            other => return Err(other.unexpected().to_string()),
        }
    }
    join(&mut options, loose)?;
    check(&options)?;
    Ok(options)
}

fn join(options: &mut Load, loose: Loose) -> Result<(), String> {
    options.target = loose.target.ok_or("load needs --target ADDR")?;
    options.path = loose.path.unwrap_or_else(|| if options.over_socket { "/ws/rpc/bench" } else { "/rpc/bench" }.into());
    if options.kinds.is_empty() {
        let method = loose.method.unwrap_or_else(|| "eth_getBalance".into());
        options.kinds.push(Kind { method, result_bytes: loose.result_bytes, weight: 1 });
    } else if loose.method.is_some() || loose.result_bytes.is_some() {
        return Err("--call stands for --method and --result-bytes, not beside them".into());
    }
    options.slow = match (loose.slow, loose.slow_kind) {
        (0, None) => None,
        (0, Some(_)) => return Err("--slow-call needs --slow N".into()),
        (_, None) => return Err("--slow needs --slow-call METHOD=SIZE".into()),
        (clients, Some(kind)) => Some(Slow { clients, kind, bytes_per_second: loose.slow_bytes_per_second }),
    };
    Ok(())
}

/// `METHOD=SIZE[:WEIGHT]`.
fn kind(text: &str) -> Result<Kind, String> {
    let wrong = || format!("{text} is no METHOD=SIZE[:WEIGHT]");
    let (method, rest) = text.split_once('=').ok_or_else(wrong)?;
    let (bytes, weight) = rest.split_once(':').unwrap_or((rest, "1"));
    let weight = weight.parse().ok().filter(|weight| (1..=1_000_000).contains(weight)).ok_or_else(wrong)?;
    if method.is_empty() || method.contains(['"', '\\', '\r', '\n']) {
        return Err(wrong());
    }
    Ok(Kind { method: method.into(), result_bytes: Some(size(bytes)?), weight })
}

fn seconds(parser: &mut Parser) -> Result<Duration, String> {
    let number: f64 = value(parser)?;
    Duration::try_from_secs_f64(number).map_err(|_| format!("{number} seconds is no length of time"))
}

fn check(options: &Load) -> Result<(), String> {
    let slow = options.slow.as_ref().map_or(0, |slow| slow.clients);
    if options.concurrency == 0 || options.concurrency + slow > MAX_CONNECTIONS {
        return Err(format!("--concurrency and --slow together must be 1 to {MAX_CONNECTIONS}"));
    }
    if options.rate.is_some_and(|rate| !(rate.is_finite() && rate > 0.0 && rate <= MAX_RATE)) {
        return Err(format!("--rate must be above 0 and at most {MAX_RATE}"));
    }
    if options.burst == 0 || options.burst > 1 && options.rate.is_none() {
        return Err("--burst must be at least 1 and needs --rate".into());
    }
    if !(1..=MAX_BATCH).contains(&options.batch) {
        return Err(format!("--batch must be 1 to {MAX_BATCH}"));
    }
    if options.length + options.warmup > MAX_LENGTH {
        return Err(format!("--seconds and --warmup-seconds together must be at most {}", MAX_LENGTH.as_secs()));
    }
    let injected = |text: &String| text.contains(['\r', '\n']);
    if injected(&options.path) || injected(&options.host) || options.headers.iter().any(injected) {
        return Err("a line end in --path, --host or --header".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Result<Load, String> {
        let parser = Parser::from_iter(std::iter::once("loadtest").chain(line.split_whitespace()));
        // The command's name is taken by then.
        let _ = parser.bin_name();
        parse(parser)
    }

    #[test]
    fn refused() {
        let check = |line: &str, want: &str| match words(line) {
            Ok(_) => panic!("{line} was accepted"),
            Err(text) => assert!(text.contains(want), "{line}: {text}"),
        };
        check("", "--target");
        for (line, want) in [
            ("--concurrency 0", "--concurrency"),
            ("--rate 0", "--rate"),
            ("--rate NaN", "--rate"),
            ("--burst 5", "--burst"),
            ("--batch 0", "--batch"),
            ("--seconds 100000", "--seconds"),
            ("--seconds -1", "seconds"),
            ("--slow 3", "--slow-call"),
            ("--slow-call eth_call=1k", "--slow"),
            ("--call eth_call", "METHOD=SIZE"),
            ("--call eth_call=1k:0", "METHOD=SIZE"),
            ("--call eth_call=1k --result-bytes 5", "--result-bytes"),
            ("--what", "--what"),
        ] {
            check(&format!("--target 127.0.0.1:1 {line}"), want);
        }
    }

    #[test]
    fn a_mix_and_slow_clients() {
        let line = "--target 127.0.0.1:1 --call eth_call=1k:3 --call eth_getLogs=1m --slow 4 --slow-call eth_getLogs=5m";
        let options = words(line).expect("options");
        let kinds: Vec<_> = options.kinds.iter().map(|kind| (kind.method.as_str(), kind.result_bytes, kind.weight)).collect();
        assert_eq!(kinds, [("eth_call", Some(1024), 3), ("eth_getLogs", Some(1 << 20), 1)]);
        assert_eq!(
            options.slow.map(|slow| (slow.clients, slow.kind.result_bytes, slow.bytes_per_second)),
            Some((4, Some(5 << 20), 0))
        );
    }
}
