//! Request heads: no panic, the same verdict byte by byte, a verdict that more bytes do not change, and the rules
//! repeated on what was let through.
#![no_main]

use lasso::wire::http::{Field, Scan, scan_request};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = scan_request(data, 0);
    let mut seen = 0;
    let mut stepwise = Scan::NeedMore;
    for length in 0..=data.len() {
        stepwise = scan_request(&data[..length], seen);
        if stepwise != Scan::NeedMore {
            break;
        }
        seen = length;
    }
    assert_eq!(stepwise, whole);
    if let Scan::Done(head) = whole {
        lasso_fuzz::check_head(&data[..head.len], true);
        assert!(matches!(head.path.of(data).first(), Some(b'/' | b'*')));
        assert!(head.query.end as usize <= head.len && head.field(Field::Host).end as usize <= head.len);
    }
});
