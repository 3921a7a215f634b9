//! What watched processes used: CPU of all their threads from the scheduler's own count (nanoseconds), memory.
//!
//! `utime`/`stime` of /proc/PID/stat tick in 10 ms; they only split the time into user and system. The load reads both at
//! the ends of the measured part, so that start-up, warm-up and idle time count for nothing.
//! A thread that ends within the measured part takes its time with it: proxies under load do not do that.

use std::fs;

#[derive(Clone, Copy, Default, Debug)]
pub struct Usage {
    pub cpu_ns: u64,
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub memory_kib: u64,
    pub peak_memory_kib: u64,
}

pub fn usage(process: u32) -> Result<Usage, String> {
    read(process).ok_or_else(|| format!("process {process} is gone or cannot be watched"))
}

fn read(process: u32) -> Option<Usage> {
    let mut cpu_ns = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task")).ok()? {
        // A thread may end between the listing and the look.
        if let Ok(text) = fs::read_to_string(thread.ok()?.path().join("schedstat")) {
            cpu_ns += text.split_whitespace().next()?.parse::<u64>().ok()?;
        }
    }
    let (user_ticks, system_ticks) = ticks(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)?;
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let (memory_kib, peak_memory_kib) = (line(&status, "VmRSS:")?, line(&status, "VmHWM:")?);
    Some(Usage { cpu_ns, user_ticks, system_ticks, memory_kib, peak_memory_kib })
}

/// `utime` and `stime`: the 14th and 15th field; the second is a name that may hold anything, in brackets.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn line(status: &str, name: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What was used from `start` to `end` by each process, and the sum, as the report shows it.
pub fn report(processes: &[u32], start: &[Usage], end: &[Usage], calls: u64) -> serde_json::Value {
    let sum = |of: fn(&Usage) -> u64| {
        let total = |all: &[Usage]| all.iter().map(of).sum::<u64>();
        total(end).saturating_sub(total(start))
    };
    let cpu_us = sum(|u| u.cpu_ns) as f64 / 1e3;
    let (user, system) = (sum(|u| u.user_ticks), sum(|u| u.system_ticks));
    serde_json::json!({
        "processes": processes,
        "cpu_us": cpu_us,
        "cpu_us_per_call": if calls > 0 { cpu_us / calls as f64 } else { 0.0 },
        "system_share": if user + system > 0 { system as f64 / (user + system) as f64 } else { 0.0 },
        "memory_kib": end.iter().map(|u| u.memory_kib).sum::<u64>(),
        "peak_memory_kib": end.iter().map(|u| u.peak_memory_kib).sum::<u64>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stat_line_survives_its_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 123 45 0 0 20 0 1 0 100";
        assert_eq!(ticks(stat), Some((123, 45)));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn work_of_all_threads_is_seen() {
        let process = std::process::id();
        let before = usage(process).expect("this process");
        let busy = || {
            let until = std::time::Instant::now() + std::time::Duration::from_millis(60);
            while std::time::Instant::now() < until {
                std::hint::black_box(0);
            }
        };
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            busy();
            // The thread must live while it is looked at.
            let _ = wait.recv();
        });
        busy();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let after = usage(process).expect("this process");
        drop(done);
        let _ = thread.join();
        let worked = after.cpu_ns - before.cpu_ns;
        assert!(worked > 30_000_000, "{worked}");
        assert!(after.memory_kib > 0 && after.peak_memory_kib >= after.memory_kib);
        assert!(usage(u32::MAX).is_err());
    }
}
