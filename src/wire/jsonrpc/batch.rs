//! A batch split into its items. Each item is proven to be JSON here, so that one broken item refuses the whole body
//! (-32700, as one text) and scanning an item later cannot fail on grammar.

use crate::base::limits::{BATCH_ITEMS_MAX, JSON_DEPTH};
use crate::base::span::Span;
use crate::wire::json::{JsonFault, check_value, skip_space};

/// Why a body that starts with `[` is no batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BatchFault {
    Empty,
    /// More than `BATCH_ITEMS_MAX`: how many.
    TooLarge(usize),
    Parse,
    TooDeep,
}

impl From<JsonFault> for BatchFault {
    fn from(fault: JsonFault) -> Self {
        match fault {
            JsonFault::TooDeep => BatchFault::TooDeep,
            JsonFault::Truncated | JsonFault::Syntax(_) => BatchFault::Parse,
        }
    }
}

/// The items of a whole body that is a JSON array. Items beyond the limit are counted, not kept.
pub fn scan_batch(body: &[u8]) -> Result<Vec<Span>, BatchFault> {
    let mut at = skip_space(body, 0);
    if body.get(at) != Some(&b'[') {
        return Err(BatchFault::Parse);
    }
    at = skip_space(body, at + 1);
    let mut items = Vec::new();
    let mut count = 0usize;
    if body.get(at) != Some(&b']') {
        loop {
            let end = check_value(body, at, JSON_DEPTH - 1)?;
            count += 1;
            if count <= BATCH_ITEMS_MAX {
                items.push(Span::new(at, end));
            }
            at = skip_space(body, end);
            match body.get(at) {
                Some(b',') => at = skip_space(body, at + 1),
                Some(b']') => break,
                _ => return Err(BatchFault::Parse),
            }
        }
    }
    if skip_space(body, at + 1) != body.len() {
        return Err(BatchFault::Parse);
    }
    match count {
        0 => Err(BatchFault::Empty),
        1..=BATCH_ITEMS_MAX => Ok(items),
        _ => Err(BatchFault::TooLarge(count)),
    }
}
