//! Snapshot files as found on disk: read or refused, and what is read can be written and read again.
#![no_main]

use lasso::observe::kept::Kept;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match Kept::parse(data) {
        Ok(kept) => {
            let bytes = serde_json::to_vec(&kept).expect("strings and numbers");
            let again = Kept::parse(&bytes).expect("as possible as before");
            assert_eq!(again.data.snapshot_data.len(), kept.data.snapshot_data.len());
        }
        Err(why) => assert!(!why.is_empty()),
    }
});
