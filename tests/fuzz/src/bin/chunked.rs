//! Chunked bodies: the machine in three pieces, by spans and compacted in place, against a naive reading of the whole.
#![no_main]

use lasso::wire::http::{ChunkStep, Chunked, Compacted, compact};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((bytes, cuts)) = lasso_fuzz::cuts(data) else { return };
    let naive = lasso_fuzz::chunked(bytes);
    let stepped = by_steps(bytes, cuts);
    let whole = by_steps(bytes, [0, 0, 0, bytes.len()]);
    assert_eq!(stepped, whole);
    match stepped {
        Ok((payload, Some(end))) => {
            assert_eq!(naive, Some((payload.clone(), end)));
            assert_eq!(compacted(bytes, cuts), Some((payload, bytes[end..].to_vec())));
        }
        other => {
            assert_eq!(compacted(bytes, cuts), None);
            // Only a bound, which inputs of this size hardly reach, may stop what the naive reading takes.
            assert!(naive.is_none() || bytes.len() > 4096, "{other:?}");
        }
    }
});

/// Payload, and the end's position when there is one.
fn by_steps(bytes: &[u8], cuts: [usize; 4]) -> Result<(Vec<u8>, Option<usize>), &'static str> {
    let mut decoder = Chunked::new(1 << 20);
    let (mut payload, mut at) = (Vec::new(), 0);
    for &cut in &cuts[1..] {
        let shown = &bytes[..cut];
        loop {
            match decoder.step(shown, at) {
                ChunkStep::Data(span) => {
                    assert!(!span.is_empty() && span.start as usize >= at && span.end as usize <= cut);
                    payload.extend_from_slice(span.of(shown));
                    at = span.end as usize;
                }
                ChunkStep::Skip(position) => {
                    assert!(position > at && position <= cut);
                    at = position;
                }
                ChunkStep::NeedMore => break assert_eq!(at, cut),
                ChunkStep::End(position) => return Ok((payload, Some(position))),
                ChunkStep::Bad(fault) => return Err(fault.reason),
            }
        }
    }
    Ok((payload, None))
}

/// Payload and rest, when the body ends.
fn compacted(bytes: &[u8], cuts: [usize; 4]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut decoder = Chunked::new(1 << 20);
    let mut buf = Vec::new();
    let mut place = Compacted { payload_end: 0, rest_start: 0, done: false };
    for pair in cuts.windows(2) {
        buf.extend_from_slice(&bytes[pair[0]..pair[1]]);
        if !place.done {
            place = compact(&mut decoder, &mut buf, place.payload_end, place.rest_start).ok()?;
        }
    }
    place.done.then(|| (buf[..place.payload_end].to_vec(), buf[place.rest_start..].to_vec()))
}
