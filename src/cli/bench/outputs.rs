//! Where findings go: the table and the verdict to standard output, files where they were asked for. Files are opened before
//! anything is sent, so that an hour of measuring is not lost to a slip in a path.

use super::options::Options;
use crate::base::limits;
use crate::bench::findings::Findings;
use crate::bench::report::{baseline, csv, html, json, suggest, table, verdict};
use crate::cli::stats;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Columns of a table that goes to no terminal.
const PLAIN_COLUMNS: usize = 120;

/// Findings as a file of one form.
type WriteForm = fn(&Findings) -> String;

pub struct Outputs {
    files: Vec<(PathBuf, WriteForm)>,
    before: Option<Findings>,
    suggests: bool,
}

impl Outputs {
    /// The error is for people.
    pub fn prepare(options: &Options) -> Result<Outputs, String> {
        let before = options.baseline.as_deref().map(read_baseline).transpose()?;
        let forms: [(&Option<PathBuf>, WriteForm); 3] =
            [(&options.json, json::write), (&options.csv, csv::write), (&options.html, html::write)];
        let files: Vec<_> = forms.into_iter().filter_map(|(path, form)| Some((path.clone()?, form))).collect();
        for (path, _) in &files {
            // Nothing of an older file is lost before there is something new.
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            opened.map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
        }
        Ok(Outputs { files, before, suggests: options.suggests })
    }

    /// `false`: something is worse than in the baseline.
    pub fn write(&self, findings: &Findings) -> Result<bool, String> {
        let paper = stats::paper();
        let mut text = table::render(findings, paper.width.unwrap_or(PLAIN_COLUMNS), paper.colours);
        text.push('\n');
        for sentence in verdict::sentences(findings) {
            let _ = writeln!(text, "{sentence}");
        }
        let is_well = self.compare(findings, &mut text);
        if self.suggests {
            let _ = write!(text, "\n{}", suggest::provider_block(findings));
        }
        put(&text)?;
        for (path, form) in &self.files {
            std::fs::write(path, form(findings)).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
            eprintln!("Wrote {}.", path.display());
        }
        Ok(is_well)
    }

    fn compare(&self, findings: &Findings, text: &mut String) -> bool {
        let Some(before) = &self.before else { return true };
        if let Err(why) = baseline::comparable(before, findings) {
            let _ = writeln!(text, "\nNo comparison: {why}.");
            return false;
        }
        let regressions = baseline::compare(before, findings);
        let _ = writeln!(text);
        for note in baseline::notes(before, findings) {
            let _ = writeln!(text, "{note}");
        }
        for regression in &regressions {
            let _ = writeln!(text, "{regression}");
        }
        if regressions.is_empty() {
            let _ = writeln!(text, "Nothing is worse than in the baseline, as far as both runs can show.");
        }
        regressions.is_empty()
    }
}

fn read_baseline(path: &Path) -> Result<Findings, String> {
    let cannot = |error: std::io::Error| format!("--baseline {} cannot be read: {error}", path.display());
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(cannot)?;
    file.take(limits::REPORT_FILE_BYTES as u64 + 1).read_to_string(&mut text).map_err(cannot)?;
    json::read(&text).map_err(|why| format!("--baseline {}: {why}", path.display()))
}

/// A reader that went away is no failure.
fn put(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {error}")),
        _ => Ok(()),
    }
}
