//! Many clients, each with one subscription to heads or to some of the logs: does every one get every event once, in order, and
//! how soon?
//!
//! The provider is `loadtest heads`, whose heads carry the time of their making. The measured part begins with a head after
//! the last client's subscription was confirmed, and ends when the last client has the last head; what watched processes
//! used between is theirs for these deliveries. Clients that stall ask and then read nothing until the end, when they say
//! how the other side ended them. A gap, a repetition or a lost connection is an error of the run.

use crate::args::Subscribe;
use crate::logs::Spread;
use crate::process::{self, Usage};
use crate::{call, frame, heads, ring};
use hdrhistogram::Histogram;
use memchr::memmem;
use monoio::io::AsyncWriteRentExt;
use monoio::net::TcpStream;
use serde_json::json;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// No head for so long ends the run.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stalled clients that are not ended by then never are.
const GRACE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(2);

/// How one head arrived.
#[derive(Clone, Copy, Default)]
struct Arrival {
    clients: usize,
    /// From its making to the last client so far.
    last_ns: u64,
}

struct Run {
    options: Subscribe,
    arrivals: RefCell<HashMap<u64, Arrival>>,
    latency: RefCell<Histogram<u64>>,
    /// Heads from here to the end are measured.
    from: Cell<u64>,
    confirmed: Cell<usize>,
    newest: Cell<u64>,
    error: RefCell<Option<String>>,
    is_over: Cell<bool>,
    /// How stalled clients ended.
    ends: RefCell<Vec<String>>,
}

pub fn run(options: Subscribe) -> Result<(), String> {
    ring::run(options.driver, async |driver| measure(options, driver).await)?
}

async fn measure(options: Subscribe, driver: &str) -> Result<(), String> {
    let latency = Histogram::new_with_bounds(1, 100_000_000_000, 3).map_err(|e| e.to_string())?;
    let run = Rc::new(Run {
        arrivals: RefCell::default(),
        latency: RefCell::new(latency),
        from: Cell::new(u64::MAX),
        confirmed: Cell::new(0),
        newest: Cell::new(0),
        error: RefCell::default(),
        is_over: Cell::new(false),
        ends: RefCell::default(),
        options,
    });
    let options = &run.options;
    let empty = usages(&options.watch)?;
    let began = Instant::now();
    for number in 0..options.concurrency + options.stalled {
        let (stream, rest) = frame::connect(options.target, &options.path, &options.host, &[]).await?;
        monoio::spawn(follow(run.clone(), stream, rest, number));
    }
    run.until(|| run.confirmed.get() == options.concurrency + options.stalled).await?;
    let connect = began.elapsed();
    let seen = run.newest.get();
    run.until(|| run.newest.get() > seen).await?;
    // The first whole heads are for warming; the measured ones begin behind them.
    let warm = run.newest.get() + 1 + WARM_HEADS;
    run.until(|| run.has_arrived(warm)).await?;
    let before = usages(&options.watch)?;
    run.from.set(warm + 1);
    let end = warm + options.events;
    let (started, ticks) = (Instant::now(), cpu_ns(std::process::id())?);
    run.until(|| run.has_arrived(end)).await?;
    let (length, own_ns) = (started.elapsed(), cpu_ns(std::process::id())?.saturating_sub(ticks));
    let after = usages(&options.watch)?;
    run.is_over.set(true);
    let until = Instant::now() + GRACE;
    run.until(|| run.ends.borrow().len() == options.stalled || Instant::now() > until).await?;
    print(&run, driver, &Measured { connect, length, own_ns, end, empty, before, after });
    Ok(())
}

const WARM_HEADS: u64 = 2;

fn usages(processes: &[u32]) -> Result<Vec<Usage>, String> {
    processes.iter().map(|process| process::usage(*process)).collect()
}

fn cpu_ns(process: u32) -> Result<u64, String> {
    process::usage(process).map(|usage| usage.cpu_ns)
}

/// The ends of what is measured.
struct Measured {
    connect: Duration,
    length: Duration,
    /// What the clients themselves used.
    own_ns: u64,
    /// The last measured head.
    end: u64,
    /// Of watched processes: before the first client, and at both ends of the measured part.
    empty: Vec<Usage>,
    before: Vec<Usage>,
    after: Vec<Usage>,
}

fn print(run: &Run, driver: &str, measured: &Measured) {
    let Measured { connect, length, own_ns, end, empty, before, after } = measured;
    let options = &run.options;
    let deliveries = options.events * options.spread.events().max(1) * options.concurrency as u64;
    let mut last: Vec<u64> = (run.from.get()..=*end).filter_map(|n| run.arrivals.borrow().get(&n).map(|a| a.last_ns)).collect();
    last.sort_unstable();
    let ms = |ns: u64| (ns as f64 / 1e4).round() / 100.0;
    let memory = |all: &[Usage]| all.iter().map(|usage| usage.memory_kib).sum::<u64>();
    let clients = (options.concurrency + options.stalled) as f64;
    let latency = run.latency.borrow();
    println!(
        "{}",
        json!({
            "driver": driver,
            "clients": options.concurrency,
            "events": options.events,
            "deliveries": deliveries,
            "seconds": length.as_secs_f64(),
            "connect_seconds": connect.as_secs_f64(),
            "last_client_ms": {"p50": last.get(last.len() / 2).map(|ns| ms(*ns)), "max": last.last().map(|ns| ms(*ns))},
            "client_ms": {"p50": ms(latency.value_at_quantile(0.5)), "p99": ms(latency.value_at_quantile(0.99))},
            "memory_kib_before": memory(before),
            "memory_bytes_per_client": (memory(before).saturating_sub(memory(empty)) * 1024) as f64 / clients,
            "own_cpu_us_per_delivery": *own_ns as f64 / 1e3 / deliveries as f64,
            "stalled": &*run.ends.borrow(),
            "watched": process::report(&options.watch, before, after, deliveries),
        })
    );
}

impl Run {
    async fn until(&self, done: impl Fn() -> bool) -> Result<(), String> {
        let (mut seen, mut since) = ((0, 0), Instant::now());
        while !done() {
            if let Some(text) = self.error.take() {
                return Err(text);
            }
            let now = (self.confirmed.get(), self.newest.get());
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                return Err(format!("nothing new for {} s; {now:?} are confirmed and the newest head", PATIENCE.as_secs()));
            }
            monoio::time::sleep(TICK).await;
        }
        Ok(())
    }

    fn has_arrived(&self, number: u64) -> bool {
        self.arrivals.borrow().get(&number).is_some_and(|arrival| arrival.clients == self.options.concurrency)
    }

    fn arrived(&self, number: u64, stamp: u64) {
        let took = heads::monotonic_ns().saturating_sub(stamp);
        let mut arrivals = self.arrivals.borrow_mut();
        let arrival = arrivals.entry(number).or_default();
        arrival.clients += 1;
        arrival.last_ns = arrival.last_ns.max(took);
        self.newest.set(self.newest.get().max(number));
        if number >= self.from.get() {
            self.latency.borrow_mut().saturating_record(took);
        }
    }
}

async fn follow(run: Rc<Run>, mut stream: TcpStream, rest: Vec<u8>, place: usize) {
    let Subscribe { concurrency, spread, .. } = run.options;
    let stalls = place >= concurrency;
    let filter = (place as u64).checked_rem(spread.filters);
    let params = filter.map_or(json!(["newHeads"]), Spread::params);
    let ask = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": params}).to_string();
    let (ask, _) = frame::from_client(frame::TEXT, ask.as_bytes());
    let mut client = Client { input: rest, is_confirmed: false, filter, last: None };
    let result = match stream.write_all(ask).await.0 {
        Err(e) => Err(format!("cannot send: {e}")),
        Ok(_) => client.follow(&run, &mut stream, stalls).await,
    };
    match result {
        // A stalled client may be cut off in the middle of what it never read.
        Err(text) if stalls && client.is_confirmed => run.ends.borrow_mut().push(text),
        Err(text) => drop(run.error.borrow_mut().get_or_insert(text)),
        Ok(()) => {}
    }
}

struct Client {
    input: Vec<u8>,
    is_confirmed: bool,
    /// Which logs it asked for; else heads.
    filter: Option<u64>,
    last: Option<Event>,
}

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Event {
    block: u64,
    /// A log's place in the block; nothing for a head.
    index: u64,
}

impl Client {
    /// Reads to the end of the run, or of the connection.
    async fn follow(&mut self, run: &Run, stream: &mut TcpStream, stalls: bool) -> Result<(), String> {
        loop {
            while let Some(head) = frame::head(&self.input)? {
                let end = head.len + head.length;
                let Some(payload) = self.input.get(head.len..end) else { break };
                match head.opcode {
                    frame::TEXT if self.is_confirmed => {
                        self.last = Some(event(run, payload, (self.filter, self.last), stalls)?);
                    }
                    frame::TEXT => self.confirm(run, head.len..end)?,
                    frame::PING => {
                        let (pong, _) = frame::from_client(frame::PONG, payload);
                        stream.write_all(pong).await.0.map_err(|e| format!("cannot send a pong: {e}"))?;
                    }
                    frame::CLOSE => return Err(closed(payload)),
                    _ => {}
                }
                self.input.drain(..end);
                if stalls && self.is_confirmed && !run.is_over.get() {
                    while !run.is_over.get() {
                        monoio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            if self.input.is_empty() && self.input.capacity() > SMALL_BYTES {
                self.input = Vec::with_capacity(SMALL_BYTES);
            }
            let (result, back) = call::read_more(stream, std::mem::take(&mut self.input)).await;
            self.input = back;
            match result {
                Ok(1..) => {}
                Ok(_) => return Err("the connection ended without a close".into()),
                Err(e) => return Err(format!("the connection ended: {e}")),
            }
        }
    }

    fn confirm(&mut self, run: &Run, text: std::ops::Range<usize>) -> Result<(), String> {
        let text = &self.input[text];
        if memmem::find(text, br#""result":"0x"#).is_none() {
            return Err(format!("not confirmed: {}", String::from_utf8_lossy(text)));
        }
        self.is_confirmed = true;
        run.confirmed.set(run.confirmed.get() + 1);
        Ok(())
    }
}

/// More than a head; a burst may grow a buffer, and what is idle should not keep it.
const SMALL_BYTES: usize = 4096;

/// What this event is about, once it is known to be the next one.
fn event(run: &Run, text: &[u8], (filter, last): (Option<u64>, Option<Event>), stalls: bool) -> Result<Event, String> {
    let hex = |name: &[u8]| {
        let digits = text.get(memmem::find(text, name)? + name.len()..)?;
        let digits = digits.get(..memchr::memchr(b'"', digits)?)?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let found = match filter {
        None => hex(br#""number":"0x"#).zip(Some(0)).zip(hex(br#""extraData":"0x"#)),
        Some(_) => hex(br#""blockNumber":"0x"#).zip(hex(br#""logIndex":"0x"#)).zip(hex(br#""data":"0x"#)),
    };
    let ((block, index), stamp) = found.ok_or_else(|| format!("no event: {}", String::from_utf8_lossy(text)))?;
    let event = Event { block, index };
    let Spread { logs, filters } = run.options.spread;
    let is_last_of = |event: Event| filter.is_none() || event.index + filters >= logs;
    let next = last.map(|last| match is_last_of(last) {
        true => Event { block: last.block + 1, index: filter.unwrap_or(0) },
        false => Event { block: last.block, index: last.index + filters },
    });
    if next.is_some_and(|next| next != event) {
        return Err(format!("{event:?} came behind {last:?}"));
    }
    if !stalls && is_last_of(event) {
        run.arrived(block, stamp);
    }
    Ok(event)
}

fn closed(payload: &[u8]) -> String {
    let code = payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]));
    format!("closed with {code} {}", String::from_utf8_lossy(payload.get(2..).unwrap_or_default()))
}
