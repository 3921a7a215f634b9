//! `--record FILE`: sampled calls as lines of a file, written by a thread of its own (`record`).
//!
//! Shards only fill a queue (`runtime/recorder.rs`); a slow disk costs samples, with a count in the file and in the log, and
//! never a call. A disk that fails, and a file that has reached its size, end the recording, once and with a sentence: a
//! record with a hole that nobody knows of is worth less than a short one.
//!
//! The file is readable by its owner only. One that is there already is gone on with when it is a record of this schema, so
//! that a node may be started again by whoever supervises it; anything else is not touched, and the node does not start,
//! because the flag is wrong. Rejected: rotating files (whoever records for days wants a smaller share), and overwriting
//! (the record of the crash that one looks for).

mod encode;

use crate::base::limits;
use crate::base::time::Instant;
use crate::cli::log::Log;
use crate::cli::options::Options;
use crate::runtime::background::{self, Background};
use crate::runtime::flag::Flag;
use crate::runtime::latch::Latch;
use crate::runtime::recorder::Recorder;
use crate::runtime::uring;
use crate::shard::Node;
pub use encode::{Encoder, header};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is asked for.
#[derive(Clone, PartialEq, Debug)]
pub struct RecordOptions {
    pub file: PathBuf,
    /// So many of a million calls.
    pub per_million: u64,
    pub with_params: bool,
    pub bytes_max: u64,
}

const OWNER_ONLY: u32 = 0o600;
/// How a header begins, whatever follows.
const BEGINNING: &[u8] = br#"{"lasso_record":1,"#;

/// The open file, at its end.
#[derive(Debug)]
pub struct RecordFile {
    file: File,
    bytes: u64,
    /// What is there ends in the middle of a line.
    is_cut: bool,
}

impl RecordFile {
    /// The error is for people.
    pub fn open(path: &Path) -> Result<RecordFile, String> {
        let shown = path.display();
        match OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
            Ok(file) => Ok(RecordFile { file, bytes: 0, is_cut: false }),
            Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists => {
                RecordFile::go_on(path).map_err(|fault| format!("--record {shown} cannot be gone on with: {fault}"))?.ok_or_else(
                    || format!("--record {shown} is there and is no record of this version (name another file, or move it)"),
                )
            }
            Err(fault) => Err(format!("--record {shown} cannot be created: {fault}")),
        }
    }

    /// `None`: something else is there.
    fn go_on(path: &Path) -> io::Result<Option<RecordFile>> {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let about = file.metadata()?;
        let mut beginning = [0; BEGINNING.len()];
        let is_record =
            about.is_file() && (about.len() == 0 || file.read_exact(&mut beginning).is_ok_and(|()| beginning == *BEGINNING));
        if !is_record {
            return Ok(None);
        }
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
        let mut last = [b'\n'];
        if about.len() > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        Ok(Some(RecordFile { file, bytes: about.len(), is_cut: last != [b'\n'] }))
    }
}

/// The running writer.
pub struct Recording {
    stop: Arc<Flag>,
    flushed: Latch<()>,
    _thread: Background,
}

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Losses are told this often at most.
const TELL_EVERY_MS: u64 = 60_000;

impl Recording {
    /// Begins with a header. The error is for people.
    pub fn start(file: RecordFile, options: &Options, node: &Node, log: &Log) -> Result<Recording, String> {
        let (Some(asked), Some(recorder)) = (&options.record, node.settings.recorder.clone()) else {
            return Err("nothing is to be recorded".to_owned());
        };
        let topology = node.snapshot.latest().topology.clone();
        let header = header(&topology, options, &node.settings.region, uring::wall_now()).unwrap_or_default();
        let mut work = RecordWriter {
            encoder: Encoder::new(topology, uring::process_now()),
            file,
            recorder,
            bytes_max: asked.bytes_max,
            log: log.clone(),
            lost: 0,
            told_lost: 0,
            told_at_ms: None,
        };
        let fields = [
            ("file", asked.file.display().to_string().into()),
            ("share", (asked.per_million as f64 / 1e6).into()),
            ("params", asked.with_params.into()),
            ("bytes_max", asked.bytes_max.into()),
        ];
        log.info("record.started", &fields);
        let cut = if work.file.is_cut { &b"\n"[..] } else { b"" };
        work.write(&[cut, &header].concat());
        let (stop, flushed) = (Arc::new(Flag::default()), Latch::default());
        let (stopped, told) = (stop.clone(), flushed.clone());
        let thread = background::work("record", move || {
            work.run(&stopped);
            told.arrive(());
        });
        let _thread = thread.map_err(|fault| format!("no thread for the record: {fault}"))?;
        Ok(Recording { stop, flushed, _thread })
    }

    /// Writes what waits, within a moment.
    pub fn stop(&self) {
        self.stop.raise();
        self.flushed.wait(1, Duration::from_millis(limits::RECORD_FLUSH_MS));
    }
}

struct RecordWriter {
    encoder: Encoder,
    file: RecordFile,
    recorder: Arc<Recorder>,
    bytes_max: u64,
    log: Log,
    /// Says how many samples found no room: in the file, and told to people.
    lost: u64,
    told_lost: u64,
    told_at_ms: Option<u64>,
}

impl RecordWriter {
    fn run(mut self, stop: &Flag) {
        while !stop.is_raised() && self.recorder.is_on() {
            background::pause(LOOK);
            self.write_all();
        }
        self.write_all();
    }

    fn write_all(&mut self) {
        while self.recorder.is_on() {
            let batch = self.recorder.take(limits::RECORD_BATCH);
            if batch.is_empty() {
                break;
            }
            let lines: Vec<Vec<u8>> = batch.iter().filter_map(|sample| self.encoder.line(sample)).collect();
            self.write_lines(&lines);
        }
        let lost = self.recorder.lost();
        if lost > self.lost && self.recorder.is_on() {
            let note = self.encoder.note(uring::process_now(), Some(lost - self.lost), None);
            self.lost = lost;
            self.write(&note.unwrap_or_default());
            self.tell_lost(uring::process_now());
        }
    }

    /// Whole lines only, as many as the file may hold.
    fn write_lines(&mut self, lines: &[Vec<u8>]) {
        let mut room = self.bytes_max.saturating_sub(self.file.bytes);
        let fits = |line: &&Vec<u8>| {
            let left = room.checked_sub(line.len() as u64);
            room = left.unwrap_or(0);
            left.is_some()
        };
        let fitting: Vec<&Vec<u8>> = lines.iter().take_while(fits).collect();
        let (count, all) = (fitting.len(), fitting.into_iter().flatten().copied().collect::<Vec<u8>>());
        self.write(&all);
        if count < lines.len() && self.recorder.is_on() {
            let why = format!("the file has its {} MiB", self.bytes_max >> 20);
            let note = self.encoder.note(uring::process_now(), None, Some(&why));
            self.write(&note.unwrap_or_default());
            self.end(&format!(
                "{why}: nothing more is recorded (a smaller --record-rate lasts longer, --record-mib allows more)"
            ));
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        match self.file.file.write_all(bytes) {
            Ok(()) => self.file.bytes += bytes.len() as u64,
            Err(fault) => self.end(&format!("the file cannot be written: {fault}; nothing more is recorded, calls go on")),
        }
    }

    fn end(&mut self, why: &str) {
        self.recorder.end();
        self.log.warn("record.ended", why);
    }

    fn tell_lost(&mut self, now: Instant) {
        if self.told_at_ms.is_none_or(|at| now.as_ms() >= at + TELL_EVERY_MS) {
            self.told_at_ms = Some(now.as_ms());
            let lost = self.lost - std::mem::replace(&mut self.told_lost, self.lost);
            self.log.warn("record.lost", &format!("{lost} sampled calls were not recorded: the disk is slower than they come"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("lasso-record-{}-{name}", std::process::id()));
            let _ = std::fs::remove_file(&path);
            Scratch(path)
        }

        fn holding(name: &str, text: &str) -> Scratch {
            let scratch = Scratch::new(name);
            std::fs::write(&scratch.0, text).expect("written");
            scratch
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_its_owners_alone() {
        let scratch = Scratch::new("new");
        let file = RecordFile::open(&scratch.0).expect("created");
        assert_eq!((file.bytes, file.is_cut, mode(&scratch.0)), (0, false, 0o600));
    }

    #[test]
    fn a_record_is_gone_on_with_and_nothing_else_is() {
        let check = |name: &str, text: &str, want: Option<(u64, bool)>| {
            let scratch = Scratch::holding(name, text);
            let got = RecordFile::open(&scratch.0).map(|file| (file.bytes, file.is_cut));
            assert_eq!(got.as_ref().ok(), want.as_ref(), "{name}: {got:?}");
            assert!(want.is_none() || mode(&scratch.0) == 0o600, "{name}");
            assert_eq!(std::fs::read_to_string(&scratch.0).expect("there"), text, "{name} is as it was");
        };
        check("whole", "{\"lasso_record\":1,\"x\":2}\n", Some((25, false)));
        check("cut", "{\"lasso_record\":1,\"x\":2}\n{\"at", Some((29, true)));
        check("empty", "", Some((0, false)));
        check("other", "hello\n", None);
        check("newer", "{\"lasso_record\":2,\"x\":2}\n", None);
        assert!(RecordFile::open(Path::new("/nowhere/at/all")).expect_err("no directory").contains("cannot be created"));
        assert!(RecordFile::open(&std::env::temp_dir()).is_err(), "a directory is no file");
    }
}
