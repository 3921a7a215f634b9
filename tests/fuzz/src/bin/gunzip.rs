//! gzip: in three pieces and with small outputs the same as at once, and what it calls done is what flate2's own reader
//! makes of it.
#![no_main]

use lasso::wire::gzip::{Gunzip, GzipFault};
use std::io::Read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // Checksums cannot be guessed: half of the inputs are the deflate data alone, and get a right header and trailer.
    let member = data.first().filter(|first| *first % 2 == 1).and_then(|_| as_member(data));
    let Some((bytes, cuts)) = lasso_fuzz::cuts(member.as_deref().unwrap_or(data)) else { return };
    let whole = unzip(bytes, [0, 0, 0, bytes.len()], usize::MAX);
    let pieces = unzip(bytes, cuts, 1 + usize::from(data[0]) * 64);
    assert_eq!(whole, pieces);
    if let Ok((out, true)) = whole {
        let mut theirs = Vec::new();
        flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut theirs).expect("whole for us, whole for flate2");
        assert_eq!(out, theirs);
    }
});

/// The first two bytes as they are, the rest as the data of one member; `None` when it is no deflate data.
fn as_member(data: &[u8]) -> Option<Vec<u8>> {
    let deflated = data.get(2..)?;
    let mut plain = Vec::new();
    flate2::read::DeflateDecoder::new(deflated).take(1 << 22).read_to_end(&mut plain).ok()?;
    let mut crc = flate2::Crc::new();
    crc.update(&plain);
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let trailer = [crc.sum().to_le_bytes(), (plain.len() as u32).to_le_bytes()].concat();
    Some([&data[..2], &header, deflated, &trailer].concat())
}

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
