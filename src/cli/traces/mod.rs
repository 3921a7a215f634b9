//! OpenTelemetry traces, exported as OTLP over HTTP in its JSON form by a thread of its own (`traces`).
//!
//! Configured by OpenTelemetry's own variables and by no flag: who has a collector has these already. Shards only fill a
//! queue (`runtime::spans`); a slow or absent collector costs spans, with a count, and never a call. Rejected: the
//! OpenTelemetry SDK (an async runtime and protobuf in the tree, and its own queue and clock on the data path).

mod encode;
mod send;
mod settings;

pub use settings::Wish;

use crate::base::limits;
use crate::cli::log::Log;
use crate::runtime::background::{self, Background};
use crate::runtime::flag::Flag;
use crate::runtime::latch::Latch;
use crate::runtime::spans::Spans;
use crate::runtime::uring;
use crate::shard::Node;
use encode::Names;
use send::Collector;
use std::sync::Arc;
use std::time::Duration;

/// The running exporter.
pub struct Exporter {
    spans: Arc<Spans>,
    stop: Arc<Flag>,
    flushed: Latch<()>,
    _thread: Background,
}

/// How often the queue is looked at; a full batch does not wait for the delay.
const LOOK_MS: u64 = 100;

impl Exporter {
    pub fn start(wish: Wish, spans: Arc<Spans>, node: &Node, log: &Log) -> Result<Exporter, String> {
        let (stop, flushed) = (Arc::new(Flag::default()), Latch::default());
        let work = Work {
            names: Names::new(&wish, node, uring::wall_now(), uring::process_now()),
            collector: Collector::new(&wish, stop.clone()),
            batch: wish.batch,
            delay_ms: wish.delay_ms,
            spans: spans.clone(),
            log: log.clone(),
            troubled_at_ms: None,
            lost: 0,
        };
        log.info("traces.started", &[("collector", wish.shown().into())]);
        let (stopped, told) = (stop.clone(), flushed.clone());
        let thread = background::work("traces", move || {
            work.run(&stopped);
            told.arrive(());
        });
        let _thread = thread.map_err(|e| format!("no thread for traces: {e}"))?;
        Ok(Exporter { spans, stop, flushed, _thread })
    }

    /// Delivers what waits, within a moment.
    pub fn stop(&self) {
        self.stop.raise();
        if self.flushed.wait(1, Duration::from_millis(limits::SPANS_FLUSH_MS)).is_empty() {
            self.spans.count(0, self.spans.waiting() as u64);
        }
    }
}

struct Work {
    names: Names,
    collector: Collector,
    batch: usize,
    delay_ms: u64,
    spans: Arc<Spans>,
    log: Log,
    /// When trouble was last told.
    troubled_at_ms: Option<u64>,
    /// Spans not delivered since then.
    lost: u64,
}

const TELL_EVERY_MS: u64 = 60_000;

impl Work {
    fn run(mut self, stop: &Flag) {
        let mut due_ms = self.delay_ms;
        while !stop.is_raised() {
            background::pause(Duration::from_millis(LOOK_MS.min(self.delay_ms)));
            if uring::process_now().as_ms() >= due_ms || self.spans.waiting() >= self.batch {
                self.export();
                due_ms = uring::process_now().as_ms() + self.delay_ms;
            }
        }
        self.export();
    }

    fn export(&mut self) {
        loop {
            let batch = self.spans.take(self.batch);
            if batch.is_empty() {
                return;
            }
            let count = batch.len() as u64;
            let sent = self.collector.deliver(self.names.encode(&batch));
            let failed = sent.as_ref().map_or(count, |rejected| (*rejected).min(count));
            self.spans.count(count - failed, failed);
            let why = match sent {
                Ok(0) => continue,
                Ok(_) => "the collector rejected them".to_owned(),
                Err(why) => why,
            };
            self.tell(failed, &why);
        }
    }

    /// Once a minute at most: a collector that is away is away for every batch.
    fn tell(&mut self, failed: u64, why: &str) {
        self.lost += failed;
        let now_ms = uring::process_now().as_ms();
        if self.troubled_at_ms.is_none_or(|at| now_ms >= at + TELL_EVERY_MS) {
            self.troubled_at_ms = Some(now_ms);
            let lost = std::mem::take(&mut self.lost);
            let dropped = self.spans.counts().dropped;
            self.log.warn("traces.lost", &format!("{lost} spans were not delivered ({dropped} found no room so far): {why}"));
        }
    }
}
