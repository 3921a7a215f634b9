//! Request and answer pairs of ethereum/execution-apis, for tests.

use std::path::Path;

pub(crate) struct Pair {
    pub request: Vec<u8>,
    pub answer: Vec<u8>,
}

/// All pairs; `None` (said on stderr) where the vectors are not beside the repository, which CI does not forgive.
pub(crate) fn execution_apis() -> Option<Vec<Pair>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/vectors/execution-apis");
    if !root.is_dir() {
        assert!(!std::env::var("CI").is_ok_and(|ci| ci == "true"), "../shared/vectors not present, and CI needs them");
        eprintln!("skipped: ../shared/vectors not present");
        return None;
    }
    let entries = |dir: &Path| std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let files = entries(&root).into_iter().filter(|path| path.is_dir()).flat_map(|dir| entries(&dir));
    let mut pairs = Vec::new();
    for file in files.filter(|path| path.extension().is_some_and(|kind| kind == "io")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = |mark: &str| {
            text.lines()
                .filter_map(|line| line.strip_prefix(mark))
                .map(|line| line.trim().as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        let (requests, answers) = (lines(">>"), lines("<<"));
        assert_eq!(requests.len(), answers.len(), "{}", file.display());
        pairs.extend(requests.into_iter().zip(answers).map(|(request, answer)| Pair { request, answer }));
    }
    assert!(pairs.len() > 100, "{} pairs", pairs.len());
    Some(pairs)
}
