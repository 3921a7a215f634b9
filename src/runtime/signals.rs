//! SIGTERM and SIGINT ask the node to stop, SIGHUP to read its configuration again. They arrive on a thread of their own,
//! so a handler may take its time. A second request to stop ends the process at once: somebody is waiting.

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{io, thread};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    Stop,
    Reload,
}

/// Calls `act` for each signal from now on, on the signal thread.
pub fn watch(mut act: impl FnMut(Signal) + Send + 'static) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let run = move || {
        let mut stopping = false;
        for number in signals.forever() {
            if number == SIGHUP {
                act(Signal::Reload);
            } else if stopping {
                // The shell's convention for "ended by signal n"; skips destructors, which may be what hangs.
                signal_hook::low_level::exit(128 + number);
            } else {
                stopping = true;
                act(Signal::Stop);
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(run).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    const CHILD: &str = "LASSO_TEST_SIGNALS_CHILD";

    /// Not a test by itself: the process that the test below starts and signals.
    #[test]
    fn child() {
        if std::env::var_os(CHILD).is_none() {
            return;
        }
        watch(|signal| eprintln!("got {signal:?}")).unwrap();
        eprintln!("ready");
        thread::sleep(std::time::Duration::from_secs(20));
    }

    #[test]
    fn signals_reach_the_callback_and_a_second_stop_ends_the_process() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "runtime::signals::tests::child", "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id().cast_signed();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        for (signal, expected) in [(None, "ready"), (Some(SIGHUP), "got Reload"), (Some(SIGTERM), "got Stop")] {
            if let Some(signal) = signal {
                // SAFETY: plain system call, on a child that was not waited for yet.
                assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
            }
            assert_eq!(lines.next().as_deref(), Some(expected));
        }
        // SAFETY: as above.
        assert_eq!(unsafe { libc::kill(pid, SIGINT) }, 0);
        assert_eq!(child.wait().unwrap().code(), Some(128 + SIGINT));
    }
}
