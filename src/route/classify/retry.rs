//! When a provider says to come back: `Retry-After` (seconds or a date, RFC 9110 §10.2.3), a number in the error's data,
//! or a sentence. Believed up to an hour: it is a provider's wish, not an order. Zero is no hint.

use super::find_ignoring_case;
use crate::base::limits::{ERROR_TEXT_BYTES, RETRY_AFTER_MAX_MS};
use crate::base::time::WallTime;
use memchr::memmem;

/// Milliseconds from now, by the first source that has it.
pub(super) fn hint(header: &[u8], wall: WallTime, data: &[u8], text: &[u8]) -> Option<u64> {
    let found = from_header(header, wall).or_else(|| from_data(data)).or_else(|| from_text(text));
    found.filter(|ms| *ms > 0).map(|ms| ms.min(RETRY_AFTER_MAX_MS))
}

fn from_header(value: &[u8], wall: WallTime) -> Option<u64> {
    let value = value.trim_ascii();
    if value.first()?.is_ascii_digit() {
        return Some(number(value)?.0);
    }
    Some(http_date_ms(value)?.saturating_sub(wall.0))
}

fn from_data(data: &[u8]) -> Option<u64> {
    const KEYS: [(&[u8], u64); 6] = [
        (b"\"backoff_seconds\"", 1000),
        (b"\"retry_after_ms\"", 1),
        (b"\"retryAfterMs\"", 1),
        (b"\"retry_after_seconds\"", 1000),
        (b"\"retry_after\"", 1000),
        (b"\"retryAfter\"", 1000),
    ];
    let data = data.get(..ERROR_TEXT_BYTES).unwrap_or(data);
    KEYS.iter().find_map(|(key, unit_ms)| {
        let after = data.get(memmem::find(data, key)? + key.len()..)?.trim_ascii_start();
        let value = after.strip_prefix(b":")?.trim_ascii_start();
        match value.strip_prefix(b"\"") {
            Some(text) => duration_ms(text, *unit_ms),
            None => Some(number(value)?.0 * unit_ms / 1000),
        }
    })
}

fn from_text(text: &[u8]) -> Option<u64> {
    const MARKS: [&[u8]; 6] = [b"again in ", b"retry in ", b"retry after ", b"again after ", b"reset in ", b"wait "];
    let text = text.get(..ERROR_TEXT_BYTES).unwrap_or(text);
    MARKS.iter().find_map(|mark| duration_ms(text.get(find_ignoring_case(text, mark)? + mark.len()..)?, 1000))
}

/// `10s`, `10 seconds`, `1.5s`, `2 minutes`, `1m30s`, `250ms`, `1 hour`; without a unit, `bare_unit_ms`.
fn duration_ms(text: &[u8], bare_unit_ms: u64) -> Option<u64> {
    let (mut total, mut rest, mut any) = (0u64, text, false);
    while let Some((thousandths, after)) = number(rest) {
        let word = after.trim_ascii_start();
        let letters = word.iter().take_while(|b| b.is_ascii_alphabetic()).count();
        let (unit, behind) = word.split_at_checked(letters)?;
        let unit_ms = match unit.to_ascii_lowercase().as_slice() {
            b"ms" | b"millis" | b"milliseconds" => 1,
            b"s" | b"sec" | b"secs" | b"second" | b"seconds" => 1000,
            b"m" | b"min" | b"mins" | b"minute" | b"minutes" => 60_000,
            b"h" | b"hr" | b"hour" | b"hours" => 3_600_000,
            _ => bare_unit_ms,
        };
        total = total.saturating_add(thousandths.saturating_mul(unit_ms) / 1000);
        (rest, any) = (behind, true);
    }
    any.then_some(total)
}

/// A decimal number in thousandths (cut off at a billion), and what follows it.
fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (whole, mut rest) = text.split_at_checked(digits).filter(|(w, _)| !w.is_empty())?;
    let value = whole.iter().fold(0u64, |n, d| (n * 10 + u64::from(d - b'0')).min(1_000_000_000));
    let mut thousandths = value * 1000;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        let shown = fraction.iter().take(digits.min(3)).zip([100, 10, 1]);
        thousandths += shown.map(|(d, weight)| u64::from(d - b'0') * weight).sum::<u64>();
        rest = fraction.get(digits..)?;
    }
    Some((thousandths, rest))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7, the one form that may be sent) in ms since 1970.
fn http_date_ms(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    let mut words = text.split_once(", ")?.1.split(' ');
    let day: u64 = words.next()?.parse().ok().filter(|d| (1..=31).contains(d))?;
    let name = words.next()?;
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == name)? as u64 + 1;
    let year: u64 = words.next()?.parse().ok().filter(|y| (1970..=9999).contains(y))?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok().filter(|n| *n <= 60));
    let (h, m, s) = (clock.next()??, clock.next()??, clock.next()??);
    (words.next()? == "GMT").then_some(())?;
    Some((days_from_civil(year, month, day) * 86_400 + h * 3600 + m * 60 + s) * 1000)
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`, for years from 1970).
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y / 400, y % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime(1_795_252_260_000);

    #[test]
    fn header_seconds_and_dates() {
        let check = |value: &str, want: Option<u64>| assert_eq!(hint(value.as_bytes(), NOW, b"", b""), want, "{value}");
        check("", None);
        check("7", Some(7_000));
        check(" 120 ", Some(120_000));
        check("0", None);
        check("99999999999999999999999", Some(RETRY_AFTER_MAX_MS));
        check("-5", None);
        check("soon", None);
        check("Sat, 21 Nov 2026 09:11:30 GMT", Some(30_000));
        check("Sat, 21 Nov 2026 09:11:00 GMT", None);
        check("Sun, 06 Nov 1994 08:49:37 GMT", None);
        check("Sat, 21 Nov 2026 09:11:30 CET", None);
        check("Sat, 21 Foo 2026 09:11:30 GMT", None);
        check("Sat, 99 Nov 2026 09:11:30 GMT", None);
    }

    #[test]
    fn dates_agree_with_how_we_print_them() {
        let check = |text: &str, want: &str| assert_eq!(WallTime(http_date_ms(text.as_bytes()).unwrap()).rfc3339(), want);
        check("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z");
        check("Mon, 29 Feb 2000 23:59:59 GMT", "2000-02-29T23:59:59.000Z");
        check("Tue, 01 Mar 2100 12:00:01 GMT", "2100-03-01T12:00:01.000Z");
        check("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z");
    }

    #[test]
    fn data_and_text() {
        let data = |data: &str, want| assert_eq!(hint(b"", NOW, data.as_bytes(), b""), want, "{data}");
        data(r#"{"rate":{"allowed_rps":1,"backoff_seconds":30.5,"current_rps":2.4}}"#, Some(30_500));
        data(r#"{"backoff_seconds" : 3}"#, Some(3_000));
        data(r#"{"retry_after_ms":250}"#, Some(250));
        data(r#"{"retry_after":"2m"}"#, Some(120_000));
        data(r#"{"retryAfter":4}"#, Some(4_000));
        data(r#"{"backoff_seconds":null}"#, None);
        data(r#"{"see":"https://x"}"#, None);
        let text = |text: &str, want| assert_eq!(hint(b"", NOW, b"", text.as_bytes()), want, "{text}");
        text("Please try again in 10s", Some(10_000));
        text("TRY AGAIN IN 3 minutes, or so", Some(180_000));
        text("Public RPC Rate Limit Hit, limit will reset in 60 seconds", Some(60_000));
        text("retry after 1m30.5s please", Some(90_500));
        text("retry in 250ms", Some(250));
        text("wait 2 hours", Some(RETRY_AFTER_MAX_MS));
        text("try again in 5", Some(5_000));
        text("try again in a while", None);
        text("exceeded 100 per 10 seconds", None);
        assert_eq!(hint(b"2", NOW, br#"{"backoff_seconds":30}"#, b"try again in 5s"), Some(2_000));
    }
}
