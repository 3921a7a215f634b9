//! Snapshot files: read.

use crate::base::limits;
use std::io::{self, Read};
use std::path::Path;

/// A whole file, unless it is larger than any of ours.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limits::SNAPSHOT_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limits::SNAPSHOT_FILE_BYTES {
        return Err(io::Error::other(format!("it is larger than {} bytes", limits::SNAPSHOT_FILE_BYTES)));
    }
    Ok(bytes)
}
