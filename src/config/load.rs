//! All profile files in, a topology or every problem out. Pure: the files' text and the variables are given.

use crate::base::limits;
use crate::config::expand::{Lookup, expand_tree};
use crate::config::problem::{Findings, Place, Problem};
use crate::config::profile::{ProfileSpec, read_profile};
use crate::config::read::Reader;
use crate::config::resolve::{has_default, resolve};
use crate::config::topology::Topology;
use crate::config::yaml::{self, Kind, Node};

/// A profile file that was read already.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// For people, usually the path. Its last part without `.yml` is the slug.
    pub name: String,
    pub text: String,
}

/// A configuration without problems.
#[derive(Debug)]
pub struct Loaded {
    pub topology: Topology,
    pub warnings: Vec<Problem>,
}

/// The profiles that ship with the program: `default` and `testnet` (docs/behaviour/node.md#profiles).
pub fn embedded() -> Vec<SourceFile> {
    let file = |name: &str, text: &str| SourceFile { name: name.to_owned(), text: text.to_owned() };
    vec![
        file("config/profiles/default.yml", include_str!("../../config/profiles/default.yml")),
        file("config/profiles/testnet.yml", include_str!("../../config/profiles/testnet.yml")),
    ]
}

/// All or nothing. `lookup` answers what `${NAME}` stands for.
pub fn load(files: &[SourceFile], lookup: Lookup<'_>) -> Result<Loaded, Vec<Problem>> {
    load_checked(files, lookup, &|_| None)
}

/// Like `load`, which cannot open files: `ca_fault` says why a `ca_file` cannot be used.
pub fn load_checked(files: &[SourceFile], lookup: Lookup<'_>, ca_fault: Lookup<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut findings = Findings::default();
    let mut specs: Vec<ProfileSpec> = Vec::new();
    let mut unreadable = false;
    for (file, source) in files.iter().enumerate() {
        match documents(file, source, lookup, &mut findings) {
            Some(nodes) => {
                let mut reader = Reader { file, findings: &mut findings };
                specs.extend(read_profile(&mut reader, &nodes, stem(&source.name)));
            }
            None => unreadable = true,
        }
    }
    if files.len() > limits::PROFILES {
        findings.problem(0, Place::Line(1), format!("more than {} profiles", limits::PROFILES), "delete some");
    }
    check_ca_files(&specs, ca_fault, &mut findings);
    let topology = resolve_if_possible(specs, unreadable, &mut findings);
    let (mut problems, warnings) = findings.finish(files);
    if files.is_empty() || (topology.is_none() && problems.is_empty()) {
        problems.push(no_default(files));
    }
    match topology {
        Some(topology) if problems.is_empty() => Ok(Loaded { topology, warnings }),
        _ => Err(problems),
    }
}

fn check_ca_files(specs: &[ProfileSpec], ca_fault: Lookup<'_>, findings: &mut Findings) {
    for spec in specs {
        for ca in spec.chains.iter().flat_map(|c| &c.providers).filter_map(|p| p.ca_file.as_ref()) {
            if let Some(why) = ca_fault(&ca.value) {
                let what = format!("ca_file {} cannot be used: {why}", ca.value);
                findings.problem(spec.file, Place::Node(ca.at), what, "give the path of a readable PEM file");
            }
        }
    }
}

/// `None` when there is no profile to fall back to.
fn resolve_if_possible(specs: Vec<ProfileSpec>, unreadable: bool, findings: &mut Findings) -> Option<Topology> {
    let complete = has_default(&specs);
    let topology = resolve(specs, findings);
    (complete || unreadable).then_some(topology)
}

fn no_default(files: &[SourceFile]) -> Problem {
    let directory = files.first().and_then(|f| f.name.rsplit_once('/')).map_or("", |(directory, _)| directory);
    let file = if directory.is_empty() { "default.yml".to_owned() } else { format!("{directory}/default.yml") };
    let what = "there is no profile \"default\", which serves /rpc/:chain".to_owned();
    Problem { file, line: 1, what, remedy: "add default.yml (or public.yml)".to_owned() }
}

/// The file's documents, variables filled in, merges done; `None` when it is no YAML or no profile.
fn documents(file: usize, source: &SourceFile, lookup: Lookup<'_>, findings: &mut Findings) -> Option<Vec<Node>> {
    if source.text.len() as u64 > limits::PROFILE_FILE_BYTES {
        let what = format!("the file is larger than {} bytes", limits::PROFILE_FILE_BYTES);
        findings.problem(file, Place::Line(1), what, "split it into several profiles");
        return None;
    }
    let mut nodes = match yaml::documents(&source.text) {
        Ok(nodes) => nodes,
        Err(fault) => {
            findings.problem(file, Place::Line(fault.line), fault.what, "correct the syntax");
            return None;
        }
    };
    if let Some(third) = nodes.get(2) {
        let remedy = "a profile is front matter and body, or one document";
        findings.problem(file, Place::Node(third.at), "a third --- document", remedy);
        return None;
    }
    if nodes.iter().all(|node| matches!(node.kind, Kind::Null)) {
        findings.problem(file, Place::Line(1), "the file is empty", "fill it in, delete it, or rename it to start with _");
        return None;
    }
    for node in &mut nodes {
        expand_tree(node, file, lookup, findings);
        yaml::merge(node);
    }
    Some(nodes)
}

/// `config/profiles/default.yml` to `default`.
fn stem(name: &str) -> &str {
    let file = name.rsplit('/').next().unwrap_or(name);
    file.strip_suffix(".yml").or_else(|| file.strip_suffix(".yaml")).unwrap_or(file)
}
