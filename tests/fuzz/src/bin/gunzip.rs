//! gzip: in three pieces and with small outputs the same as at once, and what it calls done is what flate2's own reader
//! makes of it.
#![no_main]

use lasso::wire::gzip::{GzipFault, Gunzip};
use std::io::Read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((bytes, cuts)) = lasso_fuzz::cuts(data) else { return };
    let whole = unzip(bytes, [0, 0, 0, bytes.len()], usize::MAX);
    let pieces = unzip(bytes, cuts, 1 + usize::from(data[0]) * 64);
    match (&whole, &pieces) {
        // How far the inflater reads ahead hangs on the cuts, and the ratio with it, by some bytes.
        (Err(GzipFault::Bomb), _) | (_, Err(GzipFault::Bomb)) => return,
        _ => assert_eq!(whole, pieces),
    }
    if let Ok((out, true)) = whole {
        let mut theirs = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut theirs).expect("whole for us, whole for flate2");
        assert_eq!(out, theirs);
    }
});

fn unzip(bytes: &[u8], cuts: [usize; 4], max_out: usize) -> Result<(Vec<u8>, bool), GzipFault> {
    let mut gunzip = Gunzip::new();
    let (mut all, mut out, mut done) = (Vec::new(), Vec::new(), false);
    for pair in cuts.windows(2) {
        let mut rest = &bytes[pair[0]..pair[1]];
        loop {
            let progress = gunzip.feed(rest, &mut out, max_out)?;
            assert!(out.len() <= max_out);
            all.append(&mut out);
            rest = &rest[progress.consumed..];
            done = progress.done;
            if !progress.full {
                assert!(rest.is_empty());
                break;
            }
        }
    }
    Ok((all, done))
}
