//! The node's id: given, else kept in the state directory (generated once), else the host's name
//! (docs/behaviour/node.md#node-id).

use crate::cli::options::Options;
use std::io::{self, Read, Write};
use std::path::Path;

const FILE: &str = "node_id";

/// Creates the state directory when it is given and missing. Fails only on I/O there.
pub fn node_id(options: &Options) -> io::Result<String> {
    if let Some(id) = &options.node_id {
        return Ok(id.clone());
    }
    match &options.state_dir {
        Some(directory) => kept(directory),
        None => Ok(host_name().unwrap_or_else(|| "lasso".to_owned())),
    }
}

fn kept(directory: &Path) -> io::Result<String> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(FILE);
    if let Some(id) = std::fs::read_to_string(&path).ok().as_deref().and_then(usable) {
        return Ok(id);
    }
    let mut random = [0u8; 6];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{}-{digits}", host_name().unwrap_or_else(|| "lasso".to_owned()));
    let temporary = directory.join(format!(".{FILE}.{digits}"));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    Ok(id)
}

fn host_name() -> Option<String> {
    usable(&std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?)
}

/// The same characters as `--node-id` takes.
fn usable(text: &str) -> Option<String> {
    let text = text.trim();
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@/".contains(&b);
    (!text.is_empty() && text.len() <= 128 && text.bytes().all(ok)).then(|| text.to_owned())
}
