//! Records as found on disk: read or refused, every line told or used, and what is read can be played and rehearsed.
#![no_main]

use lasso::config::topology::Strategy;
use lasso::rehearsal::rehearse;
use lasso::replay::made_up::Ground;
use lasso::replay::read::read;
use lasso::replay::score::{announce, note};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(record) = read(data) else { return };
    let lines = data.split(|&byte| byte == b'\n').count();
    assert!(record.calls.len() + record.probes.len() + record.problems.len() <= lines);
    assert!(record.calls.is_sorted_by_key(|call| call.at_us));
    let (mix, left_out) = announce(&record);
    assert_eq!(mix.total() + left_out.values().sum::<u64>(), record.calls.len() as u64);
    let grounds = vec![Ground::default(); record.chains.len()];
    for place in 0..record.calls.len() {
        if let Some(Ok(note)) = note(&record, place, &grounds, 1.0) {
            assert!(note.params.starts_with(['[', '{']) || record.calls[place].params.is_some());
        }
    }
    // Virtual time is walked through step by step; a record of years would be no finding.
    if record.weight() < 10 && record.calls.last().is_none_or(|call| call.at_us < 10_000_000) {
        let _ = rehearse(&record, Strategy::Fastest, 1);
    }
});
