//! The difference of two digests' rows of one chain as bytes, and back. A whole digest is the difference to nothing, so there is one form and one reader.
//!
//! | bytes | |
//! |---|---|
//! | 1 | version of this form; another one is not read |
//! | n | header, with its length before it: configuration's revision, length of the minute in ms |
//! | n | for each row that is not the same: its number, what follows (0 changes, 1 names and changes, 2 it is gone), the length of that, and that |
//!
//! Changes: a mask of the plain numbers that differ, and by how much; for each window the categories that differ; for the hour and the
//! minute the buckets that differ, as a first bucket and differences from there, a zero being followed by how many there are.
//! The hour's numbers stand as what they grew more than the total's, the minute's numbers and buckets as what they grew more than the
//! hour's, which is mostly nothing: what is new is new in all three. Fields that a later version adds at the
//! end of a header or a row are skipped.
//!
//! A difference fits exactly the digest that it was made from, which is the caller's business. What contradicts itself, leads below
//! zero or above its bound is refused as a whole.

use super::digest::{DigestAbout, DigestRow, DigestTopic, NodeDigest};
use super::frame::NAME_BYTES;
use super::numbers::{NumberReader, put_difference, put_number, put_text};
use crate::base::ids::Transport;
use crate::base::limits::{CLUSTER_DIGEST_COUNT, CLUSTER_DIGEST_NUMBER, CLUSTER_DIGEST_ROWS};
use crate::base::time::Duration;
use crate::observe::buckets::BUCKETS;
use crate::observe::category::Category;
use crate::observe::figures::{Counts, Latencies};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

const FORM: u8 = 1;
const CHANGES: u8 = 0;
const NAMED: u8 = 1;
const GONE: u8 = 2;
/// Status, circuit, height, lag; and five for each window.
const PLAIN: usize = 4 + 3 * WINDOW;
const WINDOW: usize = 5;
const TOTAL: usize = 4;
const HOUR: usize = TOTAL + WINDOW;
const MINUTE: usize = HOUR + WINDOW;
/// The two of a window's numbers that are times; the latter does not add up.
const SUM: usize = 1;
const MAX: usize = 2;

/// What the number at this place may be. A node that has counted more says this.
fn most(place: usize) -> u64 {
    let is_count = place >= TOTAL && !matches!((place - TOTAL) % WINDOW, SUM | MAX);
    if is_count { CLUSTER_DIGEST_COUNT } else { CLUSTER_DIGEST_NUMBER }
}

/// A node's rows of one chain, as they were received.
#[derive(Clone, Debug, Default)]
pub struct ReadDigest {
    pub config_revision: u64,
    pub minute: Duration,
    pub rows: BTreeMap<u32, DigestRow>,
}

/// It is cut, contradicts itself, or is of another form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadDigest;

/// What changed from `base`, some rows of a digest, to those of `next` about `topic`.
pub fn write(base: &[(u32, DigestRow)], next: &NodeDigest, topic: &DigestTopic) -> Vec<u8> {
    let mut out = vec![FORM];
    let mut header = Vec::new();
    put_number(&mut header, next.config_revision);
    put_number(&mut header, next.minute.as_millis() as u64);
    put_number(&mut out, header.len() as u64);
    out.extend_from_slice(&header);
    let mut body = Vec::new();
    let (mut old, mut new) = (base.iter().peekable(), next.rows(topic).iter().peekable());
    loop {
        let (id, was, is) = match (old.peek().copied(), new.peek().copied()) {
            (None, None) => return out,
            (Some((a, was)), Some((b, is))) if a == b => (*a, Some(was), Some(is)),
            (Some((a, was)), Some((b, _))) if a < b => (*a, Some(was), None),
            (Some((a, was)), None) => (*a, Some(was), None),
            (_, Some((b, is))) => (*b, None, Some(is)),
        };
        old.next_if(|_| was.is_some());
        new.next_if(|_| is.is_some());
        write_row(&mut out, &mut body, id, was, is);
    }
}

fn write_row(out: &mut Vec<u8>, body: &mut Vec<u8>, id: u32, was: Option<&DigestRow>, is: Option<&DigestRow>) {
    if was == is {
        return;
    }
    body.clear();
    let what = match (was.filter(|was| is.is_some_and(|is| is.about == was.about)), is) {
        (Some(was), Some(is)) => {
            write_changes(body, was, is);
            CHANGES
        }
        (None, Some(is)) => {
            write_about(body, &is.about);
            write_changes(body, &DigestRow::new(is.about.clone()), is);
            NAMED
        }
        (_, None) => GONE,
    };
    put_number(out, u64::from(id));
    out.push(what);
    put_number(out, body.len() as u64);
    out.extend_from_slice(body);
}

fn write_about(out: &mut Vec<u8>, about: &DigestAbout) {
    let (kind, name) = match about {
        DigestAbout::Method(name) => (0, name),
        DigestAbout::Provider { id, transport: Transport::Http } => (1, id),
        DigestAbout::Provider { id, transport: Transport::Ws } => (2, id),
    };
    out.push(kind);
    put_text(out, name);
}

fn plain(row: &DigestRow) -> [u64; PLAIN] {
    let mut out = [0; PLAIN];
    let health = [row.health.status.into(), row.health.circuit.into(), row.health.height, row.health.lag_blocks];
    let window = |c: &Counts| [c.successes, c.sum_us, c.max_us, c.retries, c.penalised];
    let all = health.into_iter().chain([&row.total, &row.hour, &row.minute].into_iter().flat_map(window));
    out.iter_mut().zip(all).enumerate().for_each(|(place, (to, n))| *to = n.min(most(place)));
    out
}

fn write_changes(out: &mut Vec<u8>, was: &DigestRow, is: &DigestRow) {
    let (old, new) = (plain(was), plain(is));
    let mut steps = [0i64; PLAIN];
    for (step, (old, new)) in steps.iter_mut().zip(old.into_iter().zip(new)) {
        // Both are far below 2^63.
        *step = new as i64 - old as i64;
    }
    for nth in (0..WINDOW).filter(|nth| *nth != MAX) {
        steps[MINUTE + nth] -= steps[HOUR + nth];
        steps[HOUR + nth] -= steps[TOTAL + nth];
    }
    let mask = steps.iter().enumerate().fold(0u64, |mask, (nth, step)| mask | u64::from(*step != 0) << nth);
    put_number(out, mask);
    steps.iter().filter(|step| **step != 0).for_each(|step| put_difference(out, *step));
    for (was, is) in [(&was.total, &is.total), (&was.hour, &is.hour), (&was.minute, &is.minute)] {
        write_categories(out, was, is);
    }
    let mut steps = [0i64; BUCKETS];
    let reach = add_steps(&mut steps, &was.hour.latencies, &is.hour.latencies);
    write_steps(out, &steps, reach.clone());
    steps.iter_mut().for_each(|step| *step = -*step);
    let own = add_steps(&mut steps, &was.minute.latencies, &is.minute.latencies);
    write_steps(out, &steps, joined(reach, own));
}

fn write_categories(out: &mut Vec<u8>, was: &Counts, is: &Counts) {
    let count = |counts: &Counts, category| counts.of_category(category).min(CLUSTER_DIGEST_COUNT) as i64;
    let step = |category: Category| count(is, category) - count(was, category);
    let mut changed: Vec<Category> = was.by_category().chain(is.by_category()).map(|(category, _)| category).collect();
    changed.retain(|category| step(*category) != 0);
    changed.sort_unstable();
    changed.dedup();
    put_number(out, changed.len() as u64);
    for category in changed {
        out.push(category as u8);
        put_difference(out, step(category));
    }
}

/// Both, and what is between them.
fn joined(a: Range<usize>, b: Range<usize>) -> Range<usize> {
    match (a.is_empty(), b.is_empty()) {
        (true, _) => b,
        (_, true) => a,
        (false, false) => a.start.min(b.start)..a.end.max(b.end),
    }
}

/// Adds how much each bucket grew; gives where buckets may have.
fn add_steps(steps: &mut [i64; BUCKETS], was: &Latencies, is: &Latencies) -> Range<usize> {
    let mut reach = 0..0;
    for (latencies, sign) in [(was, -1), (is, 1)] {
        let (lo, counts) = latencies.stretch();
        let room = steps.iter_mut().skip(lo);
        room.zip(counts).for_each(|(step, count)| *step += sign * (*count).min(CLUSTER_DIGEST_COUNT) as i64);
        reach = joined(reach, lo..lo + counts.len());
    }
    reach
}

fn write_steps(out: &mut Vec<u8>, steps: &[i64; BUCKETS], reach: Range<usize>) {
    let steps = steps.get(reach.clone()).unwrap_or_default();
    let first = steps.iter().position(|step| *step != 0);
    let last = steps.iter().rposition(|step| *step != 0);
    let Some(filled) = first.zip(last).and_then(|(first, last)| steps.get(first..=last)) else { return put_number(out, 0) };
    put_number(out, filled.len() as u64);
    put_number(out, (reach.start + first.unwrap_or(0)) as u64);
    let mut zeros = 0;
    for step in filled {
        if *step == 0 {
            zeros += 1;
            continue;
        }
        if zeros > 0 {
            out.push(0);
            put_number(out, std::mem::take(&mut zeros));
        }
        put_difference(out, *step);
    }
}

/// Takes a difference over. After a fault `digest` is of no use any more.
pub fn read(digest: &mut ReadDigest, bytes: &[u8]) -> Result<(), BadDigest> {
    let mut fields = NumberReader(bytes);
    take(digest, &mut fields).ok_or(BadDigest)
}

fn take(digest: &mut ReadDigest, fields: &mut NumberReader<'_>) -> Option<()> {
    fields.byte().filter(|form| *form == FORM)?;
    let length = fields.size()?;
    let mut header = NumberReader(fields.take(length)?);
    digest.config_revision = header.number()?;
    digest.minute = Duration::from_millis(header.number()?.min(CLUSTER_DIGEST_NUMBER));
    while !fields.is_empty() {
        let id = u32::try_from(fields.number()?).ok()?;
        let (what, length) = (fields.byte()?, fields.size()?);
        let mut body = NumberReader(fields.take(length)?);
        match what {
            CHANGES => read_changes(digest.rows.get_mut(&id)?, &mut body)?,
            NAMED => {
                let mut row = DigestRow::new(Arc::new(read_about(&mut body)?));
                read_changes(&mut row, &mut body)?;
                digest.rows.insert(id, row);
                (digest.rows.len() <= CLUSTER_DIGEST_ROWS).then_some(())?;
            }
            GONE => drop(digest.rows.remove(&id)?),
            // A later version's news of a row.
            _ => {}
        }
    }
    Some(())
}

fn read_about(body: &mut NumberReader<'_>) -> Option<DigestAbout> {
    let kind = body.byte()?;
    let name = Arc::from(body.name::<NAME_BYTES>()?.as_str());
    Some(match kind {
        0 => DigestAbout::Method(name),
        1 => DigestAbout::Provider { id: name, transport: Transport::Http },
        2 => DigestAbout::Provider { id: name, transport: Transport::Ws },
        _ => return None,
    })
}

fn stepped(n: u64, step: i64, most: u64) -> Option<u64> {
    n.checked_add_signed(step).filter(|n| *n <= most)
}

fn read_changes(row: &mut DigestRow, body: &mut NumberReader<'_>) -> Option<()> {
    let mask = body.number()?;
    let mut steps = [0i64; PLAIN];
    for nth in (0..64).filter(|nth| mask >> nth & 1 == 1) {
        // A number that only a later version knows is read past.
        let step = body.difference()?;
        if let Some(to) = steps.get_mut(nth) {
            *to = step;
        }
    }
    for nth in (0..WINDOW).filter(|nth| *nth != MAX) {
        steps[HOUR + nth] = steps[HOUR + nth].checked_add(steps[TOTAL + nth])?;
        steps[MINUTE + nth] = steps[MINUTE + nth].checked_add(steps[HOUR + nth])?;
    }
    let mut numbers = plain(row);
    for (place, (n, step)) in numbers.iter_mut().zip(steps).enumerate() {
        *n = stepped(*n, step, most(place))?;
    }
    let [status, circuit, height, lag_blocks, rest @ ..] = numbers;
    row.health.status = u8::try_from(status).ok()?;
    row.health.circuit = u8::try_from(circuit).ok()?;
    (row.health.height, row.health.lag_blocks) = (height, lag_blocks);
    let windows = [&mut row.total, &mut row.hour, &mut row.minute];
    for (counts, numbers) in windows.into_iter().zip(rest.chunks_exact(WINDOW)) {
        let &[successes, sum_us, max_us, retries, penalised] = numbers else { return None };
        (counts.successes, counts.sum_us, counts.max_us) = (successes, sum_us, max_us);
        (counts.retries, counts.penalised) = (retries, penalised);
    }
    for counts in [&mut row.total, &mut row.hour, &mut row.minute] {
        read_categories(counts, body)?;
    }
    let mut steps = [0i64; BUCKETS];
    let reach = read_steps(&mut steps, body)?;
    apply(&mut row.hour.latencies, &steps, reach.clone())?;
    let own = read_steps(&mut steps, body)?;
    apply(&mut row.minute.latencies, &steps, joined(reach, own))
}

fn read_categories(counts: &mut Counts, body: &mut NumberReader<'_>) -> Option<()> {
    for _ in 0..body.number()? {
        let place = usize::from(body.byte()?);
        let step = body.difference()?;
        let category = Category::ALL.get(place).copied().unwrap_or(Category::Unknown);
        counts.set_category(category, stepped(counts.of_category(category), step, CLUSTER_DIGEST_COUNT)?);
    }
    Some(())
}

/// Adds what is written to `steps`; gives where that is.
fn read_steps(steps: &mut [i64; BUCKETS], body: &mut NumberReader<'_>) -> Option<Range<usize>> {
    let length = body.size()?;
    if length == 0 {
        return Some(0..0);
    }
    let first = body.size()?;
    let end = first.checked_add(length)?;
    let mut places = steps.get_mut(first..end)?.iter_mut();
    while places.len() > 0 {
        let step = body.difference()?;
        if step != 0 {
            let place = places.next()?;
            *place = place.checked_add(step)?;
        } else {
            places.nth(body.size()?.checked_sub(1)?)?;
        }
    }
    Some(first..end)
}

fn apply(latencies: &mut Latencies, steps: &[i64; BUCKETS], reach: Range<usize>) -> Option<()> {
    if reach.is_empty() {
        return Some(());
    }
    let counts = latencies.opened(reach.start, reach.end)?;
    for (count, step) in counts.iter_mut().zip(steps.get(reach)?) {
        *count = stepped(*count, *step, CLUSTER_DIGEST_COUNT)?;
    }
    latencies.trim();
    Some(())
}

#[cfg(test)]
#[path = "difference_tests.rs"]
mod tests;
