//! The load: `concurrency` connections with one call each at a time.
//!
//! Closed loop: the next call follows the last answer; shows what the proxy can do at most, and hides what waits. Open
//! loop: calls on a schedule (`pace`); shows what a caller would see. Every answer is checked (id, length, status) and a
//! wrong one is an error of the run. Warm-up is the same load, not counted.
//! Ends by itself: at the time, at the number of calls, at too many errors, and with a grace for calls without answer.

use crate::answer;
use crate::args::Load;
use crate::call::{self, Request};
use crate::frame;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::process::{self, Usage};
use crate::reply::{Reader, Seen};
use crate::ring;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Read at a time: a large answer costs few reads, and 256 connections 64 MiB.
const BUFFER_BYTES: usize = 256 << 10;
/// A run with more errors ends at once.
const MAX_ERRORS: u64 = 1000;
/// Calls in flight at the end get this long.
const GRACE: Duration = Duration::from_secs(10);
/// How often the end is looked for.
const TICK: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warmup,
    Measured,
    Over,
}

struct Run {
    options: Load,
    phase: Cell<Phase>,
    meter: RefCell<Meter>,
    pace: Option<Pace>,
    next_id: Cell<u64>,
    /// Calls begun in the measured part; `--calls` bounds them.
    begun: Cell<u64>,
    /// Start of the measured part.
    since: Cell<Instant>,
    busy: Cell<usize>,
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
        pace: options.rate.map(|rate| Pace::new(started, rate)),
        next_id: Cell::new(call::first_id(std::process::id())),
        begun: Cell::new(0),
        since: Cell::new(started),
        busy: Cell::new(streams.len()),
        options,
    });
    for stream in streams {
        monoio::spawn(work(Rc::clone(&run), stream));
    }
    if run.pace.is_some() {
        monoio::spawn(drive(Rc::clone(&run)));
    }
    monoio::time::sleep(run.options.warmup).await;
    let before = usages(&run.options.watch)?;
    run.since.set(Instant::now());
    run.phase.set(Phase::Measured);
    while !run.is_over() {
        monoio::time::sleep(TICK).await;
    }
    // Closed loop: calls and CPU are those between the two looks. Open loop: calls that were due are waited for below.
    let (length, calls) = (run.since.get().elapsed(), run.meter.borrow().calls);
    let after = usages(&run.options.watch)?;
    run.phase.set(Phase::Over);
    finish(&run).await;
    print(&run, driver, length, process::report(&run.options.watch, &before, &after, calls))
}

fn usages(processes: &[u32]) -> Result<Vec<Usage>, String> {
    processes.iter().map(|process| process::usage(*process)).collect()
}

async fn connect(options: &Load) -> Result<TcpStream, String> {
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
        for due in pace.end(run.since.get()) {
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

fn print(run: &Run, driver: &str, length: Duration, watched: serde_json::Value) -> Result<(), String> {
    let meter = run.meter.borrow();
    let mut report = meter.report(&run.options, driver, length);
    report["watched"] = watched;
    println!("{report}");
    match &meter.first_error {
        Some(text) => Err(format!("{} errors; the first: {text}", meter.errors)),
        None if meter.calls == 0 => Err("no call was answered in the measured part".into()),
        None => Ok(()),
    }
}

impl Run {
    fn is_over(&self) -> bool {
        let meter = self.meter.borrow();
        self.since.get().elapsed() >= self.options.length
            || meter.errors > MAX_ERRORS
            || self.options.calls.is_some_and(|calls| meter.calls + meter.errors >= calls)
    }

    /// The time from which the next call's latency counts; `None` ends the worker.
    async fn next_start(&self) -> Option<Instant> {
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
    /// time; the open loop counts what was due within it, however late it comes.
    fn count(&self, start: Instant) {
        let counts = match (self.phase.get(), &self.pace) {
            (Phase::Warmup, _) => false,
            (Phase::Measured, None) => true,
            (Phase::Over, None) => false,
            (_, Some(_)) => start >= self.since.get(),
        };
        if counts {
            self.meter.borrow_mut().answered(start.elapsed());
        }
    }
}

/// One connection: call after call, a new connection after a fault.
async fn work(run: Rc<Run>, stream: TcpStream) {
    let mut worker = Worker {
        request: Request::new(&run.options),
        buffer: Vec::with_capacity(BUFFER_BYTES),
        reader: Reader::new(run.options.over_socket),
        stream: Some(stream),
    };
    while let Some(start) = run.next_start().await {
        match worker.call(&run).await {
            Ok(()) => run.count(start),
            Err(text) => {
                run.meter.borrow_mut().failed(text);
                worker.stream = None;
                monoio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
    run.busy.set(run.busy.get() - 1);
}

struct Worker {
    request: Request,
    buffer: Vec<u8>,
    reader: Reader,
    stream: Option<TcpStream>,
}

impl Worker {
    async fn call(&mut self, run: &Run) -> Result<(), String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                run.meter.borrow_mut().reconnects += 1;
                connect(&run.options).await?
            }
        };
        self.request.set_id(run.next_id.get());
        run.next_id.set(run.next_id.get() + 1);
        let (result, bytes) = stream.write_all(std::mem::take(&mut self.request.bytes)).await;
        self.request.bytes = bytes;
        result.map_err(|e| format!("cannot send: {e}"))?;
        self.reader.reset();
        loop {
            let (result, buffer) = stream.read(std::mem::take(&mut self.buffer)).await;
            self.buffer = buffer;
            let count = result.map_err(|e| format!("cannot read: {e}"))?;
            if count == 0 {
                return Err("the connection ended before the answer did".into());
            }
            if self.take(&mut stream, count).await? {
                break;
            }
        }
        self.check(run.options.result_bytes)?;
        if !self.reader.close() {
            self.stream = Some(stream);
        }
        Ok(())
    }

    /// The first `count` bytes of the buffer; whether they end the answer.
    async fn take(&mut self, stream: &mut TcpStream, count: usize) -> Result<bool, String> {
        let mut at = 0;
        loop {
            match self.reader.feed(&self.buffer[at..count])? {
                Seen::More => return Ok(false),
                Seen::Whole { used } if at + used == count => return Ok(true),
                Seen::Whole { .. } => return Err("bytes after the answer's end".into()),
                Seen::Ping { used } => {
                    at += used;
                    let (pong, _) = frame::from_client(frame::PONG, self.reader.ping());
                    self.reader.reset();
                    stream.write_all(pong).await.0.map_err(|e| format!("cannot send a pong: {e}"))?;
                }
            }
        }
    }

    fn check(&self, result_bytes: Option<usize>) -> Result<(), String> {
        let reader = &self.reader;
        if reader.status() != 200 {
            return Err(format!("status {}: {}", reader.status(), reader.shown()));
        }
        if !reader.echoes(self.request.id()) {
            return Err(format!("an answer without our id or a result: {}", reader.shown()));
        }
        let wanted = result_bytes.map(|bytes| answer::body_bytes(bytes, self.request.id().len()));
        match wanted {
            Some(bytes) if bytes != reader.body_bytes() => {
                Err(format!("an answer of {} bytes, not {bytes}: {}", reader.body_bytes(), reader.shown()))
            }
            _ => Ok(()),
        }
    }
}
