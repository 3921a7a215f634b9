//! What the process takes of its machine, for people: read from `/proc`, zeros where there is none.

use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    pub memory_bytes: u64,
    /// Processor time since the start, all threads.
    pub cpu: Duration,
    pub threads: u64,
    /// Mapped, resident or not.
    pub virtual_bytes: u64,
}

pub fn usage() -> Usage {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // SAFETY: plain system calls without pointers.
    let (ticks, page) = unsafe { (libc::sysconf(libc::_SC_CLK_TCK), libc::sysconf(libc::_SC_PAGESIZE)) };
    read(&stat, u64::try_from(ticks).unwrap_or(100), u64::try_from(page).unwrap_or(4096)).unwrap_or_default()
}

/// Open files and sockets, and how many there may be; zeros where the system does not say.
pub fn open_files() -> (u64, u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live local; on failure it stays as it is.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let directory = "/proc/self/fd";
    // Since Linux 6.2 the directory's length is their number; before, they are counted one by one.
    let told = std::fs::metadata(directory).map_or(0, |about| about.len());
    let counted = || std::fs::read_dir(directory).map_or(0, |entries| entries.count() as u64);
    (if told > 0 { told } else { counted() }, limit.rlim_cur)
}

/// proc(5): fields are counted after the command's name, which may hold anything and ends with the last `)`.
fn read(stat: &str, ticks_per_s: u64, page_bytes: u64) -> Option<Usage> {
    let (_, after) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let number = |nth: usize| fields.get(nth - 3)?.parse::<u64>().ok();
    let ticks = number(14)? + number(15)?;
    let cpu = Duration::from_millis(ticks * 1000 / ticks_per_s.max(1));
    Some(Usage { memory_bytes: number(24)? * page_bytes, cpu, threads: number(20)?, virtual_bytes: number(23)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 77 1000000 512 18446744073709551615 1\n";
        let want = Usage { memory_bytes: 512 * 4096, cpu: Duration::from_secs(3), threads: 9, virtual_bytes: 1_000_000 };
        assert_eq!(read(stat, 100, 4096), Some(want));
        for short in ["", "12", "12 (a)", "12 (a) S 1 2"] {
            assert_eq!(read(short, 100, 4096), None, "{short:?}");
        }
    }

    #[test]
    fn this_process_takes_something() {
        let usage = usage();
        assert!(usage.memory_bytes > 1 << 20 && usage.threads >= 1 && usage.virtual_bytes >= usage.memory_bytes, "{usage:?}");
        let _held = std::fs::File::open("/proc/self/stat").unwrap();
        let (open, most) = open_files();
        assert!((4..most).contains(&open), "{open} of {most}");
    }
}
