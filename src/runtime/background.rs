//! A named thread beside the shards, for work that lasts as long as the process.

use std::{io, thread};

/// Its handle; the thread ends with the process.
pub struct Background(thread::JoinHandle<()>);

/// Runs `body`, which should not return; why it did is told on standard error, because nobody waits for it.
pub fn start(name: &str, body: impl FnOnce() -> String + Send + 'static) -> io::Result<Background> {
    let shown = name.to_owned();
    let run = move || eprintln!("lasso: {shown} ended: {}", body());
    thread::Builder::new().name(name.into()).spawn(run).map(Background)
}

impl Background {
    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}
