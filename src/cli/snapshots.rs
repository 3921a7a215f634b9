//! Snapshot files: the last hour of each chain, written each hour and at the end, read at the start
//! (docs/behaviour/shown.md#snapshot-files).
//!
//! `<profile>_<chain>_<unix>.json`, whole or not at all: written beside, synced, renamed. A thread of its own asks the
//! aggregator like anybody else and writes, so a slow or full disk delays nothing and ends nothing: a warning when an
//! episode of failures begins, a line when it is over, and at the end a warning if the last hour could not be kept. A chain
//! without a call in the hour writes no file, so that a quiet hour does not push out what is known. Where:
//! `--snapshots-dir` (the Elixir program's `LASSO_SNAPSHOTS_DIR`), else `snapshots` in the state directory, else nowhere.

use crate::base::ids::{ChainId, ProfileId};
use crate::base::limits;
use crate::base::time::Duration;
use crate::cli::log::Log;
use crate::cli::options::Options;
use crate::observe::kept::Kept;
use crate::observe::question::{Asked, Question};
use crate::runtime::background::{self, Background};
use crate::runtime::uring::{process_now, wall_now};
use crate::shard::Node;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOOK: Duration = Duration::from_secs(1);
/// Of a file that is being written; one that old was left by a crash.
const UNFINISHED: &str = ".tmp";
const UNFINISHED_S: u64 = 3600;

/// A whole file, unless it is larger than any of ours.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limits::SNAPSHOT_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::SNAPSHOT_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {} bytes", limits::SNAPSHOT_FILE_BYTES)));
    }
    Ok(bytes)
}

/// The directory. Knows names and ages, not what is in the files.
#[derive(Clone, Debug)]
struct Store {
    directory: PathBuf,
}

/// `profile_chain`, as it begins the names of that chain's files.
fn series(profile: &str, chain: &str) -> String {
    let fine = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    format!("{profile}_{chain}").chars().map(fine).collect::<String>().trim_start_matches('.').to_owned()
}

/// The series and the time in a file's name, if it is one of ours.
fn parts(name: &str) -> Option<(&str, u64)> {
    let (series, unix) = name.strip_suffix(".json")?.rsplit_once('_')?;
    let is_number = !unix.is_empty() && unix.bytes().all(|b| b.is_ascii_digit());
    Some((series, unix.parse().ok()?)).filter(|(series, _)| is_number && series.contains('_'))
}

/// Which of one series go, of times that are sorted, newest first.
fn outdated(times: &[u64], now_s: u64) -> impl Iterator<Item = u64> + '_ {
    let is_old = move |time: u64| now_s.saturating_sub(time) > limits::SNAPSHOT_KEEP_S;
    let beyond = |index: usize| index >= limits::SNAPSHOT_FILES_PER_CHAIN;
    times.iter().enumerate().filter(move |(index, time)| beyond(*index) || is_old(**time)).map(|(_, time)| *time)
}

impl Store {
    fn write(&self, series: &str, now_s: u64, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let name = format!("{series}_{now_s}.json");
        let temporary = self.directory.join(format!(".{name}{UNFINISHED}"));
        let written = fs::File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&temporary, self.directory.join(name)));
        if renamed.is_err() {
            // A full disk gets back what was written of it.
            let _ = fs::remove_file(&temporary);
        }
        renamed
    }

    /// Times by series, newest first.
    fn times(&self) -> io::Result<BTreeMap<String, Vec<u64>>> {
        let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            if let Some((series, time)) = name.to_str().and_then(parts) {
                all.entry(series.to_owned()).or_default().push(time);
            }
        }
        all.values_mut().for_each(|times| times.sort_unstable_by(|a, b| b.cmp(a)));
        Ok(all)
    }

    fn path(&self, series: &str, time: u64) -> PathBuf {
        self.directory.join(format!("{series}_{time}.json"))
    }

    fn clean(&self, now_s: u64) -> io::Result<()> {
        for (series, times) in self.times()? {
            outdated(&times, now_s).try_for_each(|time| fs::remove_file(self.path(&series, time)))?;
        }
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let is_left = entry.file_name().to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".json.tmp"));
            let age = entry.metadata().and_then(|meta| meta.modified()).ok().and_then(|at| at.elapsed().ok());
            if is_left && age.is_some_and(|age| age.as_secs() > UNFINISHED_S) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Writes and loads the snapshots of one node.
#[derive(Clone)]
pub struct Keeper {
    store: Store,
    node: Arc<Node>,
    log: Log,
    /// An episode of failures goes on.
    is_failing: bool,
}

impl Keeper {
    /// `None` where nothing is to be written.
    pub fn new(options: &Options, node: &Arc<Node>, log: &Log) -> Option<Keeper> {
        let usual = || options.state_dir.as_ref().map(|state| state.join("snapshots"));
        let directory = options.snapshots_dir.clone().or_else(usual)?;
        Some(Keeper { store: Store { directory }, node: node.clone(), log: log.clone(), is_failing: false })
    }

    /// Every (profile, chain), with the series of its files.
    fn places(&self) -> Vec<(ProfileId, ChainId, String)> {
        let topology = self.node.snapshot.latest().topology.clone();
        let chains = topology.profiles.iter().flat_map(|(profile, scope)| {
            scope.chains.iter().map(move |(chain, configured)| (profile, chain, series(&scope.slug, &configured.key)))
        });
        chains.collect()
    }

    /// Hands each chain's newest good file, of the last day, to `take`, which says how many rows it believed.
    pub fn load(&self, mut take: impl FnMut(&Kept) -> usize) {
        let now_s = wall_now().0 / 1000;
        let Ok(all) = self.store.times() else { return };
        let (mut chains, mut rows) = (0, 0);
        for (.., series) in self.places() {
            let times = all.get(&series).map_or(&[][..], Vec::as_slice).iter();
            let fresh = times.filter(|time| now_s.saturating_sub(**time) <= limits::SNAPSHOT_FRESH_S);
            let mut tries = fresh.take(limits::SNAPSHOT_TRIES).filter_map(|time| self.read(&series, *time));
            if let Some(kept) = tries.next() {
                rows += take(&kept);
                chains += 1;
            }
        }
        if chains > 0 {
            let message = "until calls say otherwise, providers are ordered as before the start";
            self.log.info("snapshot.loaded", &[("chains", chains.into()), ("rows", rows.into()), ("message", message.into())]);
        }
    }

    fn read(&self, wanted: &str, time: u64) -> Option<Kept> {
        let path = self.store.path(wanted, time);
        let parsed = read_file(&path).map_err(|why| why.to_string()).and_then(|bytes| Kept::parse(&bytes));
        let ours = parsed.and_then(|kept| match series(&kept.profile, &kept.chain_name) == wanted {
            true => Ok(kept),
            false => Err(format!("it is of {} on {}", kept.profile, kept.chain_name)),
        });
        ours.map_err(|why| self.log.warn("snapshot.skipped", &format!("{} is not used: {why}", path.display()))).ok()
    }

    /// Hourly, for as long as the process lives.
    pub fn start(&self) -> io::Result<Background> {
        let mut keeper = self.clone();
        background::start("snapshots", move || {
            keeper.clean();
            let (mut written, mut cleaned) = (process_now(), process_now());
            loop {
                background::pause(LOOK);
                let is_due = |last, every_ms| process_now().since(last) >= Duration::from_millis(every_ms);
                if keeper.node.draining.is_raised() {
                    // The end writes the last ones.
                    continue;
                }
                if is_due(written, limits::SNAPSHOT_EVERY_MS) {
                    keeper.write_all();
                    written = process_now();
                }
                if is_due(cleaned, limits::SNAPSHOT_CLEAN_MS) {
                    keeper.clean();
                    cleaned = process_now();
                }
            }
        })
    }

    fn clean(&mut self) {
        match self.store.clean(wall_now().0 / 1000) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => {
                let text = format!("{}: {why}", self.store.directory.display());
                self.failed(&text);
            }
            Err(_) | Ok(()) => {}
        }
    }

    /// A file for each chain that had calls.
    pub fn write_all(&mut self) {
        let mut files = 0u64;
        for (profile, chain, series) in self.places() {
            match self.write(profile, chain, &series) {
                Ok(is_written) => files += u64::from(is_written),
                Err(why) => return self.failed(&why),
            }
        }
        if self.is_failing || files > 0 {
            self.log.info("snapshot.written", &[("files", files.into())]);
        }
        self.is_failing = false;
    }

    fn write(&self, profile: ProfileId, chain: ChainId, series: &str) -> Result<bool, String> {
        let bytes = self.ask(Question::Snapshot { profile, chain }).ok_or("the aggregator did not answer in time")?;
        let kept = Kept::parse(&bytes)?;
        if kept.data.snapshot_data.is_empty() {
            return Ok(false);
        }
        let written = self.store.write(series, kept.timestamp, &bytes);
        written.map(|()| true).map_err(|why| format!("{}: {why}", self.store.directory.display()))
    }

    fn ask(&self, what: Question) -> Option<Vec<u8>> {
        let ticket = self.node.desk.ask(Asked { what, wall: wall_now() })?;
        let until = process_now().plus_ms(limits::ANSWER_WAIT_MS);
        while process_now() < until {
            if let Some(answer) = ticket.take() {
                return (answer.status == 200).then_some(answer.body);
            }
            background::pause(Duration::from_millis(limits::ANSWER_POLL_MS));
        }
        None
    }

    fn failed(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            let text = format!("snapshots are not written: {why} (the node goes on; check the directory and its space)");
            self.log.warn("snapshot.failed", &text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(name: &str) -> Store {
        let directory = std::env::temp_dir().join(format!("lasso-snapshots-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        Store { directory }
    }

    #[test]
    fn names() {
        let check = |name: &str, want| assert_eq!(parts(name), want, "{name}");
        check("default_ethereum_1795252260.json", Some(("default_ethereum", 1_795_252_260)));
        check("a_b_c_7.json", Some(("a_b_c", 7)));
        for foreign in [
            "",
            "a.json",
            "a_1.json",
            "a_b_.json",
            "a_b_-1.json",
            "a_b_1.txt",
            ".a_b_1.json.tmp",
            "a_b_99999999999999999999.json",
        ] {
            check(foreign, None);
        }
        assert_eq!(series("eu/1", "../x"), "eu-1_..-x");
        assert_eq!(series("..", "x"), "_x");
    }

    #[test]
    fn what_is_old_or_one_too_many_goes() {
        let week = limits::SNAPSHOT_KEEP_S;
        let gone = |times: &[u64], now| outdated(times, now).collect::<Vec<_>>();
        assert_eq!(gone(&[week + 9, 10, 9, 8], week + 9), [8]);
        assert_eq!(gone(&[], 5), [0u64; 0]);
        let many: Vec<u64> = (0..limits::SNAPSHOT_FILES_PER_CHAIN as u64 + 2).rev().map(|n| n + week).collect();
        assert_eq!(gone(&many, week), [week + 1, week]);
    }

    #[test]
    fn files_are_whole_and_cleaned() {
        let store = store("files");
        store.write("a_b", 100, b"one").expect("written");
        store.write("a_b", 200, b"two").expect("written");
        fs::write(store.directory.join("notes.txt"), "not ours").expect("written");
        assert_eq!(store.times().expect("read")["a_b"], [200, 100]);
        assert_eq!(read_file(&store.path("a_b", 200)).expect("read"), b"two");
        store.clean(limits::SNAPSHOT_KEEP_S + 150).expect("cleaned");
        let mut left: Vec<_> = fs::read_dir(&store.directory).expect("read").map(|e| e.expect("entry").file_name()).collect();
        left.sort();
        assert_eq!(left, ["a_b_200.json", "notes.txt"]);
        // Where a file stands in the way, nothing is left behind.
        let blocked = Store { directory: store.path("a_b", 200) };
        assert!(blocked.write("a_b", 1, b"x").is_err());
        fs::remove_dir_all(&store.directory).expect("removed");
    }
}
