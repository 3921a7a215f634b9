//! Answer heads: as http_request.
#![no_main]

use lasso::wire::http::{AnswerFraming, Scan, scan_answer};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let whole = scan_answer(data, 0);
    let mut seen = 0;
    let mut stepwise = Scan::NeedMore;
    for length in 0..=data.len() {
        stepwise = scan_answer(&data[..length], seen);
        if stepwise != Scan::NeedMore {
            break;
        }
        seen = length;
    }
    assert_eq!(stepwise, whole);
    if let Scan::Done(head) = whole {
        lasso_fuzz::check_head(&data[..head.len], false);
        assert!((100..600).contains(&head.status) && head.status != 101);
        assert!(!(head.keep_alive && head.framing == AnswerFraming::UntilClose));
        assert!(head.retry_after.end as usize <= head.len && head.content_type.end as usize <= head.len);
    }
});
