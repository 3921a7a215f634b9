//! The profile files that a node starts with: a directory's, or the embedded ones.

use crate::base::limits;
use crate::cli::options::Options;
use crate::config::{self, Loaded, Problem, SourceFile};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Used without `--profiles` when it exists.
const USUAL_DIRECTORY: &str = "config/profiles";

/// Where profiles are read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    Directory(PathBuf),
    Embedded,
}

impl Source {
    pub fn of(options: &Options) -> Source {
        match &options.profiles {
            Some(given) => Source::Directory(given.clone()),
            None if Path::new(USUAL_DIRECTORY).is_dir() => Source::Directory(USUAL_DIRECTORY.into()),
            None => Source::Embedded,
        }
    }

    /// For people.
    pub fn shown(&self) -> String {
        match self {
            Source::Directory(path) => path.display().to_string(),
            Source::Embedded => "embedded".to_owned(),
        }
    }
}

/// Reads and resolves the profiles of these options. All problems at once.
pub fn load(options: &Options) -> Result<Loaded, Vec<Problem>> {
    let (files, mut problems) = match Source::of(options) {
        Source::Embedded => (config::embedded(), Vec::new()),
        Source::Directory(directory) => read_directory(&directory),
    };
    if files.is_empty() && !problems.is_empty() {
        return Err(problems);
    }
    match config::load_checked(&files, &|name| options.env.lookup(name), &ca_fault) {
        Ok(loaded) if problems.is_empty() => Ok(loaded),
        Ok(_) => Err(problems),
        Err(more) => {
            problems.extend(more);
            problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            Err(problems)
        }
    }
}

/// Why a PEM file of roots cannot be used.
fn ca_fault(path: &str) -> Option<String> {
    match std::fs::read(path) {
        Err(error) => Some(error.to_string()),
        Ok(bytes) if memchr::memmem::find(&bytes, b"-----BEGIN CERTIFICATE-----").is_none() => {
            Some("it holds no PEM certificate".to_owned())
        }
        Ok(_) => None,
    }
}

fn problem(path: &Path, line: u32, what: impl Into<String>, remedy: &str) -> Problem {
    Problem { file: path.display().to_string(), line, what: what.into(), remedy: remedy.to_owned() }
}

/// `*.yml` and `*.yaml`, in order of name; names that start with `.` or `_` are skipped (docs/behaviour/node.md#profiles).
fn read_directory(directory: &Path) -> (Vec<SourceFile>, Vec<Problem>) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let what = format!("the profiles directory cannot be read: {error}");
            return (Vec::new(), vec![problem(directory, 1, what, "correct --profiles or LASSO_PROFILES_DIR")]);
        }
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with(['.', '_']) && (name.ends_with(".yml") || name.ends_with(".yaml")));
    names.sort();
    if names.is_empty() {
        let remedy = "add default.yml, or leave --profiles out to use the embedded profiles";
        return (Vec::new(), vec![problem(directory, 1, "there are no profile files (*.yml) in this directory", remedy)]);
    }
    if names.len() > limits::PROFILES {
        let what = format!("more than {} profile files", limits::PROFILES);
        return (Vec::new(), vec![problem(directory, 1, what, "delete some")]);
    }
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in names.iter().map(|name| directory.join(name)) {
        match read_file(&path) {
            Ok(text) => files.push(SourceFile { name: path.display().to_string(), text }),
            Err(found) => problems.push(found),
        }
    }
    (files, problems)
}

fn read_file(path: &Path) -> Result<String, Problem> {
    let cannot = |error: std::io::Error| problem(path, 1, format!("the file cannot be read: {error}"), "correct its permissions");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let mut bytes = Vec::new();
    file.take(limits::PROFILE_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > limits::PROFILE_FILE_BYTES {
        let what = format!("the file is larger than {} bytes", limits::PROFILE_FILE_BYTES);
        return Err(problem(path, 1, what, "split it into several profiles"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        problem(path, u32::try_from(line).unwrap_or(u32::MAX), "the file is not UTF-8", "save it as UTF-8")
    })
}
