//! A named thread beside the shards, for work that lasts as long as the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use std::{io, thread};

/// Its handle; the thread ends with the process.
pub struct Background(thread::JoinHandle<()>);

/// Runs `body`, which should not return; why it did is told on standard error, because nobody waits for it.
pub fn start(name: &str, body: impl FnOnce() -> String + Send + 'static) -> io::Result<Background> {
    let shown = name.to_owned();
    let run = move || eprintln!("lasso: {shown} ended: {}", body());
    thread::Builder::new().name(name.into()).spawn(run).map(Background)
}

/// Runs `body`, which may return when its work is done.
pub fn work(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Background> {
    thread::Builder::new().name(name.into()).spawn(body).map(Background)
}

/// Runs `body`, without which the process must not go on: its end, also by a panic, ends the process with exit code 1.
pub fn vital(name: &str, body: impl FnOnce() -> String + Send + 'static) -> io::Result<Background> {
    let shown = name.to_owned();
    let run = move || {
        let why = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| "it panicked".to_owned());
        give_up(&format!("the {shown} thread ended: {why}"))
    };
    thread::Builder::new().name(name.into()).spawn(run).map(Background)
}

/// Ends the process with exit code 1 and a sentence: without what ended it would only seem to be well.
pub fn give_up(why: &str) -> ! {
    eprintln!("lasso: {why}; ending the process (a supervisor should start it again)");
    std::process::exit(1)
}

/// Calls `step` every `period`, for as long as the process lives.
pub fn every(name: &str, period: Duration, mut step: impl FnMut() + Send + 'static) -> io::Result<Background> {
    vital(name, move || {
        loop {
            thread::sleep(period);
            step();
        }
    })
}

impl Background {
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

/// For commands that do something again and again: waits this long.
pub fn pause(duration: Duration) {
    thread::sleep(duration);
}
