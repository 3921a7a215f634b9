//! Starts and ends the program under test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// The drivers that every behaviour must be the same on.
pub const DRIVERS: [&str; 2] = ["io_uring", "epoll"];

const SERVE: [&str; 2] = ["serve", "--profiles"];
const USUAL: [&str; 8] = ["--listen", "127.0.0.1", "--port", "0", "--shards", "2", "--log-format", "json"];

pub struct Lasso {
    child: Child,
    pub address: SocketAddr,
    lines: Receiver<String>,
    /// What it printed before it was ready.
    pub told_at_start: String,
    /// While it is set, nobody takes what the program prints.
    pub is_unread: Arc<AtomicBool>,
    /// Removed when dropped.
    directory: PathBuf,
}

/// What a program said that did not get ready.
#[derive(Debug)]
pub struct NoStart {
    pub code: Option<i32>,
    pub output: String,
}

/// A profile `default` with one chain `one` (id 1) and these providers, best first.
pub fn profile(providers: &[SocketAddr], front: &str) -> String {
    let mut text = format!("---\nname: t\nslug: default\n{front}\n---\nchains:\n  one:\n    chain_id: 1\n    providers:\n");
    for (index, at) in providers.iter().enumerate() {
        let id = (b'a' + index as u8) as char;
        text.push_str(&format!("      - id: {id}\n        url: \"http://{at}/key\"\n        priority: {index}\n"));
    }
    text
}

pub fn no_limit(providers: &[SocketAddr]) -> String {
    profile(providers, "rps_limit: 0")
}

fn directory() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("node-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&path).expect("a directory for the profile");
    path
}

impl Lasso {
    pub fn start(profile: &str, driver: &str) -> Lasso {
        Lasso::start_with(profile, &["--driver", driver])
    }

    pub fn start_with(profile: &str, flags: &[&str]) -> Lasso {
        Lasso::start_in(profile, flags, &[])
    }

    /// With these environment variables.
    pub fn start_in(profile: &str, flags: &[&str], variables: &[(&str, &str)]) -> Lasso {
        let started = Lasso::try_start_in(profile, flags, variables);
        started.unwrap_or_else(|said| panic!("lasso did not start: {said:?}"))
    }

    /// With these profiles, by slug.
    pub fn start_many(profiles: &[(&str, String)], flags: &[&str]) -> Lasso {
        let directory = directory();
        for (slug, text) in profiles {
            std::fs::write(directory.join(slug).with_extension("yml"), text).expect("the profile is written");
        }
        Lasso::try_start_at(directory, flags, &[]).unwrap_or_else(|said| panic!("lasso did not start: {said:?}"))
    }

    /// With a limit of open files.
    pub fn start_with_open_files(profile: &str, most: u32) -> Lasso {
        let directory = directory();
        std::fs::write(directory.join("default.yml"), profile).expect("the profile is written");
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {most}; exec \"$@\""), "sh", env!("CARGO_BIN_EXE_lasso")]);
        Lasso::run(command, directory, &[], &[]).unwrap_or_else(|said| panic!("lasso did not start: {said:?}"))
    }

    /// Ended by SIGTERM so long after its start; `None`: it was still there four seconds later.
    pub fn signalled_at_start(profile: &str, flags: &[&str], after: Duration) -> Option<ExitStatus> {
        let directory = directory();
        std::fs::write(directory.join("default.yml"), profile).expect("the profile is written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_lasso"));
        command.args(SERVE).arg(&directory).args(USUAL).args(flags).stdout(Stdio::null()).stderr(Stdio::null());
        let (child, lines) = (command.spawn().expect("the binary runs"), channel().1);
        let is_unread = Arc::new(AtomicBool::new(false));
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut lasso = Lasso { child, address, lines, told_at_start: String::new(), is_unread, directory };
        std::thread::sleep(after);
        // One that a signal found without a handler is gone already.
        let _ = Command::new("kill").args(["-TERM", &lasso.child.id().to_string()]).status();
        lasso.ended(Duration::from_secs(4))
    }

    /// What it printed, when it does not get ready.
    pub fn try_start(profile: &str, flags: &[&str]) -> Result<Lasso, NoStart> {
        Lasso::try_start_in(profile, flags, &[])
    }

    /// The same with these environment variables.
    pub fn try_start_with(profile: &str, variables: &[(&str, &str)]) -> Result<Lasso, NoStart> {
        Lasso::try_start_in(profile, &[], variables)
    }

    fn try_start_in(profile: &str, flags: &[&str], variables: &[(&str, &str)]) -> Result<Lasso, NoStart> {
        let directory = directory();
        std::fs::write(directory.join("default.yml"), profile).expect("the profile is written");
        Lasso::try_start_at(directory, flags, variables)
    }

    fn try_start_at(directory: PathBuf, flags: &[&str], variables: &[(&str, &str)]) -> Result<Lasso, NoStart> {
        Lasso::run(Command::new(env!("CARGO_BIN_EXE_lasso")), directory, flags, variables)
    }

    fn run(mut command: Command, directory: PathBuf, flags: &[&str], variables: &[(&str, &str)]) -> Result<Lasso, NoStart> {
        command.args(SERVE).arg(&directory).args(USUAL).args(flags).envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().expect("the binary runs");
        let stdout = child.stdout.take().expect("its output");
        let (told, lines) = channel();
        let is_unread = Arc::new(AtomicBool::new(false));
        let wait = is_unread.clone();
        std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| {
                while wait.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(10));
                }
                told.send(line)
            })
        });
        let mut said = String::new();
        while let Ok(line) = lines.recv_timeout(Duration::from_secs(20)) {
            let value: serde_json::Value = serde_json::from_str(&line).expect("a line of JSON");
            if value["event"] == "node.ready" {
                let address = value["listen"].as_str().and_then(|at| at.parse().ok()).expect("its address");
                return Ok(Lasso { child, address, lines, told_at_start: said, is_unread, directory });
            }
            said.push_str(&line);
            said.push('\n');
        }
        // Its output has ended: so has it, or it hangs and is ended here.
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let code = child.wait().ok().and_then(|status| status.code());
        let _ = std::fs::remove_dir_all(&directory);
        Err(NoStart { code, output: said })
    }

    /// What it has printed since the last time it was asked.
    pub fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Resident memory in KiB.
    pub fn memory_kib(&self) -> u64 {
        self.status_number("VmRSS:")
    }

    /// The most it ever was.
    pub fn memory_peak_kib(&self) -> u64 {
        self.status_number("VmHWM:")
    }

    fn status_number(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it lives");
        let line = status.lines().find(|l| l.starts_with(name)).expect("its memory");
        line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("a number")
    }

    pub fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// From now on, its soft limit.
    pub fn limit_open_files(&self, most: usize) {
        let pid = self.child.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={most}:")]).status();
        assert!(done.expect("prlimit runs").success(), "the limit is not changed");
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(done.expect("kill runs").success(), "the process is gone");
    }

    /// Waits for the end of the process.
    pub fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + within;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("its state") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// The program is still there; asked after whatever might have ended it.
    pub fn assert_alive(&mut self) {
        assert!(
            self.child.try_wait().expect("its state").is_none(),
            "lasso ended: {:?}",
            self.lines.try_iter().collect::<Vec<_>>()
        );
    }
}

impl Drop for Lasso {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The folder of recorded data beside the repository; a stranger's clone has none, CI must.
pub fn vectors(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "../shared/vectors/{name} is missing");
    eprintln!("skipped: ../shared/vectors/{name} is not here");
    None
}
