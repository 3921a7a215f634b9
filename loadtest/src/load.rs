//! The load: `concurrency` connections with one request each at a time, each a call or a batch of them.
//!
//! Closed loop: the next call follows the last answer; shows what the proxy can do at most, and hides what waits. Open
//! loop: calls on a schedule (`pace`); shows what a caller would see. Every answer is checked (id, length, status) and a
//! wrong one is an error of the run (`worker`). Warm-up is the same load, not counted. What the load and the provider used
//! themselves is told beside the proxy's, so that whoever reads the figures sees whether they were the limit. Ends by itself: at
//! the time, at the number of calls, at too many errors, and with a grace for calls without answer.

use crate::call;
use crate::frame;
use crate::load_args::Load;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::process::{self, Usage};
use crate::ring;
use crate::slow;
use crate::worker;
use monoio::net::TcpStream;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// A run with more errors ends at once.
const MAX_ERRORS: u64 = 1000;
/// Calls in flight at the end get this long.
const GRACE: Duration = Duration::from_secs(10);
/// What became due so shortly before the end was about to leave, and is not counted as unsent.
const JUST_DUE: Duration = Duration::from_millis(10);
/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warmup,
    Measured,
    Over,
}

pub struct Run {
    pub options: Load,
    phase: Cell<Phase>,
    pub meter: RefCell<Meter>,
    pub slow: slow::Tally,
    /// The sum of the weights of all kinds of calls.
    weights: u64,
    pace: Option<Pace>,
    next_id: Cell<u64>,
    /// Calls begun in the measured part; `--calls` bounds them.
    begun: Cell<u64>,
    /// Start of the measured part.
    since: Cell<Instant>,
    busy: Cell<usize>,
    /// Connections that had an answer in the measured part.
    served: Cell<usize>,
}

pub fn run(options: Load) -> Result<(), String> {
    ring::run(options.driver, async |driver| measure(options, driver).await)?
}

async fn measure(options: Load, driver: &str) -> Result<(), String> {
    let mut streams = Vec::with_capacity(options.concurrency);
    for _ in 0..options.concurrency {
        streams.push(connect(&options).await?);
    }
    let started = Instant::now();
    let run = Rc::new(Run {
        phase: Cell::new(Phase::Warmup),
        meter: RefCell::new(Meter::new()?),
        slow: slow::Tally::default(),
        weights: options.kinds.iter().map(|kind| kind.weight).sum(),
        // The rate is that of calls; what is due is a request.
        pace: options.rate.map(|rate| Pace::new(started, rate / options.batch as f64, options.burst)),
        next_id: Cell::new(call::first_id(std::process::id())),
        begun: Cell::new(0),
        since: Cell::new(started),
        busy: Cell::new(streams.len()),
        served: Cell::new(0),
        options,
    });
    for stream in streams {
        monoio::spawn(worker::work(Rc::clone(&run), stream));
    }
    if let Some(slow) = &run.options.slow {
        (0..slow.clients).for_each(|_| drop(monoio::spawn(slow::dawdle(Rc::clone(&run), slow.clone()))));
    }
    if run.pace.is_some() {
        monoio::spawn(drive(Rc::clone(&run)));
    }
    monoio::time::sleep(run.options.warmup).await;
    let before = run.look()?;
    run.since.set(Instant::now());
    run.phase.set(Phase::Measured);
    let mut first_half = None;
    while !run.is_over() {
        monoio::time::sleep(TICK).await;
        if first_half.is_none() && run.since.get().elapsed() >= run.options.length / 2 {
            first_half = Some((run.since.get().elapsed(), run.meter.borrow().calls));
        }
    }
    // Closed loop: calls and CPU are those between the two looks. Open loop: calls that were due are waited for below.
    let (length, calls) = (run.since.get().elapsed(), run.meter.borrow().calls);
    let after = run.look()?;
    run.phase.set(Phase::Over);
    finish(&run).await;
    print(&run, driver, &Measured { length, calls, first_half, before, after })
}

/// What processes had used at one moment.
struct Look {
    watched: Vec<Usage>,
    beside: Vec<Usage>,
    own: Usage,
}

/// The measured part.
struct Measured {
    length: Duration,
    calls: u64,
    /// When half of the time had passed, and the calls until then.
    first_half: Option<(Duration, u64)>,
    before: Look,
    after: Look,
}

fn usages(processes: &[u32]) -> Result<Vec<Usage>, String> {
    processes.iter().map(|process| process::usage(*process)).collect()
}

pub async fn connect(options: &Load) -> Result<TcpStream, String> {
    if options.over_socket {
        return match frame::connect(options.target, &options.path, &options.host, &options.headers).await? {
            (stream, rest) if rest.is_empty() => Ok(stream),
            _ => Err("bytes behind the handshake before any call".into()),
        };
    }
    let stream = TcpStream::connect_addr(options.target).await;
    let stream = stream.map_err(|e| format!("cannot connect to {}: {e}", options.target))?;
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn drive(run: Rc<Run>) {
    let Some(pace) = &run.pace else { return };
    if let Err(e) = pace.drive().await {
        run.meter.borrow_mut().failed(format!("the timer of the open loop failed: {e}"));
        let _ = pace.end(Instant::now());
    }
}

/// Lets calls in flight come back; what does not is an error.
async fn finish(run: &Run) {
    if let Some(pace) = &run.pace {
        for due in pace.end(run.since.get()).filter(|due| due.elapsed() > JUST_DUE) {
            run.meter.borrow_mut().unsent(due.elapsed());
        }
    }
    let until = Instant::now() + GRACE;
    while run.busy.get() > 0 && Instant::now() < until {
        monoio::time::sleep(TICK).await;
    }
    for _ in 0..run.busy.get() {
        run.meter.borrow_mut().failed(format!("a call without an answer {} s after the end", GRACE.as_secs()));
    }
}

fn print(run: &Run, driver: &str, measured: &Measured) -> Result<(), String> {
    let meter = run.meter.borrow();
    let mut report = meter.report(&run.options, driver, measured.length);
    describe(run, measured, &mut report);
    println!("{report}");
    match &meter.first_error {
        _ if meter.calls == 0 => Err(format!("no call was answered in the measured part; {:?}", meter.first_error)),
        Some(text) if !run.options.tolerates => Err(format!("{} errors; the first: {text}", meter.errors)),
        _ => Ok(()),
    }
}

/// What everybody used, and whether all connections and both halves had their part.
fn describe(run: &Run, measured: &Measured, report: &mut Value) {
    let Measured { length, calls, first_half, before, after } = measured;
    report["watched"] = process::report(&run.options.watch, &before.watched, &after.watched, *calls);
    let cpu = |all: &[Usage]| all.iter().map(|usage| usage.cpu_ns).sum::<u64>();
    let share = |before: u64, after: u64| after.saturating_sub(before) as f64 / length.as_nanos().max(1) as f64;
    report["own_share"] = share(before.own.cpu_ns, after.own.cpu_ns).into();
    report["beside_share"] = share(cpu(&before.beside), cpu(&after.beside)).into();
    report["watched_share"] = share(cpu(&before.watched), cpu(&after.watched)).into();
    report["served"] = run.served.get().into();
    if let Some((at, count)) = first_half {
        let rate = |calls: u64, length: Duration| calls as f64 / length.as_secs_f64().max(f64::MIN_POSITIVE);
        report["halves"] = serde_json::json!([rate(*count, *at), rate(calls - count, length.saturating_sub(*at))]);
    }
    report["slow"] = run.slow.report(run.options.slow.as_ref());
}

impl Run {
    fn is_over(&self) -> bool {
        let meter = self.meter.borrow();
        self.since.get().elapsed() >= self.options.length
            || meter.errors > MAX_ERRORS && !self.options.tolerates
            || self.options.calls.is_some_and(|calls| meter.calls + meter.errors >= calls)
    }

    fn look(&self) -> Result<Look, String> {
        let (watched, beside) = (usages(&self.options.watch)?, usages(&self.options.beside)?);
        Ok(Look { watched, beside, own: process::usage(std::process::id())? })
    }

    /// The measured part has ended.
    pub fn is_past(&self) -> bool {
        self.phase.get() == Phase::Over
    }

    /// The next request's first id, and which kind of call it is.
    pub fn next_call(&self) -> (u64, usize) {
        let id = self.next_id.get();
        self.next_id.set(id + self.options.batch);
        // Spread by the golden ratio: every stretch of calls has nearly the whole's mix.
        let mut at = (id / self.options.batch).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        at = (at * self.weights) >> 32;
        for (index, kind) in self.options.kinds.iter().enumerate() {
            match at.checked_sub(kind.weight) {
                Some(rest) => at = rest,
                None => return (id, index),
            }
        }
        (id, 0)
    }

    /// A connection has ended its work.
    pub fn is_done(&self, was_served: bool) {
        self.busy.set(self.busy.get() - 1);
        self.served.set(self.served.get() + usize::from(was_served));
    }

    /// Writes down when a request ended, where errors are tolerated.
    pub fn ended(&self, start: Instant, is_good: bool) {
        if self.options.tolerates && self.phase.get() != Phase::Warmup {
            self.meter.borrow_mut().told(self.since.get().elapsed(), start.elapsed(), is_good);
        }
    }

    /// The time from which the next call's latency counts; `None` ends the worker.
    pub async fn next_start(&self) -> Option<Instant> {
        let start = match &self.pace {
            Some(pace) => pace.next().await?,
            None => Instant::now(),
        };
        match self.phase.get() {
            Phase::Over => return None,
            Phase::Warmup => {}
            Phase::Measured => {
                self.begun.set(self.begun.get() + 1);
                if self.options.calls.is_some_and(|calls| self.begun.get() > calls) {
                    return None;
                }
            }
        }
        Some(start)
    }

    /// Counts an answer. The closed loop counts what ends within the measured part, so that calls and CPU are of the same
    /// time; the open loop counts what was due within it, however late it comes. Whether it did.
    pub fn count(&self, start: Instant, calls: u64) -> bool {
        let counts = match (self.phase.get(), &self.pace) {
            (Phase::Warmup, _) => false,
            (Phase::Measured, None) => true,
            (Phase::Over, None) => false,
            (_, Some(_)) => start >= self.since.get(),
        };
        let mut meter = self.meter.borrow_mut();
        meter.answered += calls;
        if counts {
            meter.answered(start.elapsed(), calls);
        }
        counts
    }
}
