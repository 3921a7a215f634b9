//! Lines on their way to standard output: a bounded queue and a thread that writes.
//!
//! Whoever reads the log may stop reading; a full pipe then stops this thread and nobody else. What finds the queue full
//! is dropped and counted, and the count is written once lines go out again. Rejected: writing where the line is made
//! (the thread that judges providers would stop with the pipe).

use crate::base::limits;
use crossbeam_queue::ArrayQueue;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Lines that were dropped since the start; any thread may read it.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<AtomicU64>);

impl Losses {
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    lines: ArrayQueue<Arc<str>>,
    losses: Losses,
    writer: Thread,
    /// Everything taken from the queue has been written.
    is_idle: Arc<AtomicBool>,
}

impl Journal {
    /// Starts the thread that writes to `out`. `on_loss` makes the line that tells of `n` dropped ones.
    pub fn start<W: Write + Send + 'static>(mut out: W, on_loss: impl Fn(u64) -> String + Send + 'static) -> io::Result<Journal> {
        let (hand_over, take) = std::sync::mpsc::channel::<Arc<Shared>>();
        let handle = thread::Builder::new().name("log".into()).spawn(move || {
            let Ok(shared) = take.recv() else { return };
            let mut told = 0;
            loop {
                shared.is_idle.store(false, Ordering::SeqCst);
                while let Some(line) = shared.lines.pop() {
                    // A closed standard output is no reason to stop serving.
                    let _ = out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n"));
                }
                let lost = shared.losses.count();
                if lost > told {
                    let _ = writeln!(out, "{}", on_loss(lost - told));
                    told = lost;
                }
                let _ = out.flush();
                if shared.lines.is_empty() {
                    shared.is_idle.store(true, Ordering::SeqCst);
                    // Whoever pushed meanwhile has left a token, with which this returns at once.
                    thread::park();
                }
            }
        })?;
        let shared = Arc::new(Shared {
            lines: ArrayQueue::new(limits::LOG_LINES),
            losses: Losses::default(),
            writer: handle.thread().clone(),
            is_idle: Arc::default(),
        });
        // The thread waits for exactly this.
        let _ = hand_over.send(shared.clone());
        Ok(Journal(shared))
    }

    pub fn write(&self, line: Arc<str>) {
        if self.0.lines.push(line).is_err() {
            self.0.losses.0.fetch_add(1, Ordering::Relaxed);
        }
        self.0.writer.unpark();
    }

    pub fn losses(&self) -> Losses {
        self.0.losses.clone()
    }

    /// Waits until what was written so far is out, for a moment at most: before the process ends.
    pub fn flush(&self) {
        let until = Instant::now() + Duration::from_millis(limits::LOG_FLUSH_MS);
        self.0.writer.unpark();
        while !(self.0.lines.is_empty() && self.0.is_idle.load(Ordering::SeqCst)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    /// Takes nothing while it is held.
    #[derive(Clone, Default)]
    struct Pipe(Arc<Mutex<Vec<u8>>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_is_written_or_counted() {
        let pipe = Pipe::default();
        let journal = Journal::start(pipe.clone(), |n| format!("lost {n}")).unwrap();
        journal.write("first".into());
        journal.flush();
        assert_eq!(&*pipe.0.lock(), b"first\n");
        let held = pipe.0.lock();
        for n in 0..limits::LOG_LINES + 50 {
            journal.write(n.to_string().into());
        }
        // The writer may hold one line in its hand.
        let lost = journal.losses().count();
        assert!((49..=50).contains(&lost), "{lost}");
        drop(held);
        journal.flush();
        let text = String::from_utf8(std::mem::take(&mut *pipe.0.lock())).unwrap();
        let told = format!("lost {lost}");
        assert_eq!(text.lines().filter(|line| *line == told).count(), 1);
        assert_eq!(text.lines().count() as u64 - 1 + lost - 1, limits::LOG_LINES as u64 + 50);
    }
}
