//! The walkers against serde_json on made-up texts, and against themselves on split ones.

use super::arbitrary::{damaged, space, value};
use super::*;
use crate::base::limits::JSON_DEPTH;
use proptest::prelude::*;
use serde_json::value::RawValue;

fn reference_valid(buf: &[u8]) -> bool {
    std::str::from_utf8(buf).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// Where serde_json says the first value ends.
fn reference_end(buf: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(buf).ok()?;
    let raw: &RawValue = serde_json::Deserializer::from_str(text).into_iter().next()?.ok()?;
    Some(raw.get().as_ptr() as usize - text.as_ptr() as usize + raw.get().len())
}

proptest! {
    #[test]
    fn valid_is_what_serde_json_says(text in damaged((space(), value(), space()).prop_map(|(a, v, b)| a + &v + &b))) {
        prop_assert_eq!(valid(&text), reference_valid(&text), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn both_walkers_end_where_serde_json_does(text in value(), after in "[ ,}\\]:x\"1]{0,70}") {
        // A number goes on in digits.
        let number = text.ends_with(|c: char| c.is_ascii_digit());
        let buf = if number { format!("{text},{after}") } else { format!("{text}{after}") };
        prop_assert_eq!(skip_value(buf.as_bytes(), 0), Ok(text.len()));
        prop_assert_eq!(check_value(buf.as_bytes(), 0, JSON_DEPTH), Ok(text.len()));
        prop_assert_eq!(reference_end(text.as_bytes()), Some(text.len()));
    }

    /// What is proven is skipped alike; what is not JSON is never skipped beyond the buffer.
    #[test]
    fn skipping_agrees_with_proof(text in damaged(value())) {
        let skipped = skip_value(&text, 0);
        if let Ok(end) = check_value(&text, 0, JSON_DEPTH) {
            prop_assert_eq!(skipped, Ok(end));
        }
        prop_assert!(skipped.is_ok_and(|end| end <= text.len()) || skipped.is_err());
    }

    #[test]
    fn pieces_of_any_size_skip_alike(text in damaged(value()), cuts in proptest::collection::vec(0usize..80, 1..12)) {
        prop_assert_eq!(in_pieces(&text, &cuts), skip_value(&text, 0), "{}", String::from_utf8_lossy(&text));
    }
}

/// `skip_value` by feeding pieces of the given sizes, over and over.
fn in_pieces(buf: &[u8], sizes: &[usize]) -> Result<usize, JsonFault> {
    let mut skipper = Skipper::new(JSON_DEPTH);
    let mut at = 0;
    for size in sizes.iter().chain(std::iter::repeat(&1)) {
        if at == buf.len() {
            break;
        }
        let end = (at + size).min(buf.len());
        if let Some(taken) = skipper.feed(&buf[at..end])? {
            return Ok(at + taken);
        }
        at = end;
    }
    if skipper.complete() { Ok(at) } else { Err(JsonFault::Truncated) }
}

#[test]
fn a_text_split_at_every_byte_ends_where_the_whole_does() {
    let logs = format!(r#"[{}]"#, [r#"{"a":["0x\\\"1","\\"],"n":-1.5e3,"t":true,"s":"]}"}"#; 9].join(", "));
    let texts =
        [&logs, r#""a\\\"b\u0041""#, "-12.5e+10", "true", "[]", "{}", r#"["\\","\\\\\\"]"#, &format!("\"{}\"", "x".repeat(300))];
    for text in texts {
        for tail in ["", ",", "}", " ", "]"] {
            let buf = format!("{text}{tail}");
            for cut in 0..=buf.len() {
                assert_eq!(in_pieces(buf.as_bytes(), &[cut, buf.len() - cut]), Ok(text.len()), "{buf} cut at {cut}");
            }
        }
    }
}

#[test]
fn faults_are_told_apart() {
    let check = |text: &str, skipped: Result<usize, JsonFault>, checked: Result<usize, JsonFault>| {
        assert_eq!(skip_value(text.as_bytes(), 0), skipped, "skip {text:?}");
        assert_eq!(check_value(text.as_bytes(), 0, JSON_DEPTH), checked, "check {text:?}");
    };
    use JsonFault::*;
    check("", Err(Truncated), Err(Truncated));
    check("[1,2", Err(Truncated), Err(Truncated));
    check("\"ab", Err(Truncated), Err(Truncated));
    check("\"ab\\", Err(Truncated), Err(Truncated));
    check("tru", Err(Truncated), Err(Truncated));
    check("-", Err(Truncated), Err(Truncated));
    check("1.", Err(Truncated), Err(Truncated));
    check("trux", Err(Syntax(3)), Err(Syntax(3)));
    check("1.x", Err(Syntax(2)), Err(Syntax(2)));
    check("<html>", Err(Syntax(0)), Err(Syntax(0)));
    check("]", Err(Syntax(0)), Err(Syntax(0)));
    check("01", Ok(1), Ok(1));
    check("[\\\"]", Err(Syntax(1)), Err(Syntax(1)));
    // Where the two differ on purpose: skipping does not prove.
    check("[1,,}", Ok(5), Err(Syntax(3)));
    check("\"a\nb\"", Ok(5), Err(Syntax(2)));
    check("\"\\x\"", Ok(4), Err(Syntax(2)));
    check("\"\\u12G4\"", Ok(8), Err(Syntax(5)));
    check("[1}", Ok(3), Err(Syntax(2)));
    check("{\"a\" 1}", Ok(7), Err(Syntax(5)));
    check("[1,]", Ok(4), Err(Syntax(3)));
}

/// All texts of up to `longest` bytes over an alphabet.
fn every_text(alphabet: &[u8], longest: usize, check: &mut dyn FnMut(&[u8])) {
    for len in 0..=longest {
        let mut places = vec![0; len];
        loop {
            check(&places.iter().map(|place| alphabet[*place]).collect::<Vec<u8>>());
            let Some(turn) = places.iter().rposition(|place| place + 1 < alphabet.len()) else { break };
            places[turn] += 1;
            places[turn + 1..].fill(0);
        }
    }
}

#[test]
fn short_texts_are_valid_exactly_when_serde_json_says() {
    let mut check = |text: &[u8]| assert_eq!(valid(text), reference_valid(text), "{}", String::from_utf8_lossy(text));
    every_text(b"[]{},:\"1", 6, &mut check);
    every_text(b"-+0.1eE", 6, &mut check);
    every_text(b"\"\\u0a\xc3\xa9", 6, &mut check);
    every_text(b"nul true[", 5, &mut check);
}

#[test]
fn depth_is_bounded_at_the_limit() {
    let nested = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let each = open.matches(['[', '{']).count();
        let text = |n| nested(open, close, n).replace(":}", ":1}");
        let fits = text(JSON_DEPTH / each);
        assert_eq!(skip_value(fits.as_bytes(), 0), Ok(fits.len()));
        assert!(valid(fits.as_bytes()));
        let deeper = text(JSON_DEPTH / each + 1);
        assert_eq!(skip_value(deeper.as_bytes(), 0), Err(JsonFault::TooDeep));
        assert_eq!(check_value(deeper.as_bytes(), 0, JSON_DEPTH), Err(JsonFault::TooDeep));
    }
    // A million of them: refused early, without recursion; siblings do not add up.
    assert_eq!(skip_value(&vec![b'['; 1_000_000], 0), Err(JsonFault::TooDeep));
    assert_eq!(check_value(&vec![b'['; 1_000_000], 0, JSON_DEPTH), Err(JsonFault::TooDeep));
    let siblings = format!("[{}]", vec!["[[]]"; 1000].join(","));
    assert!(valid(siblings.as_bytes()) && skip_value(siblings.as_bytes(), 0) == Ok(siblings.len()));
}

/// Runs of backslashes of every length at every place of two blocks.
#[test]
fn backslash_runs_are_counted_across_blocks() {
    for before in 0..130 {
        for run in 0..7 {
            let text = format!("[\"{}{}\"]", "x".repeat(before), "\\".repeat(run));
            let closed = format!("{text}\"]");
            let want = if run % 2 == 0 { text.len() } else { closed.len() };
            assert_eq!(skip_value(closed.as_bytes(), 0), Ok(want), "{before} {run}");
        }
    }
}

#[test]
fn strings_are_compared_by_meaning() {
    let check = |raw: &str, want: &str, equal: bool| {
        assert_eq!(string_equals(raw.as_bytes(), want), equal, "{raw} = {want}");
        let unescaped: Result<String, _> = serde_json::from_str(&format!("\"{raw}\""));
        assert_eq!(unescaped.is_ok_and(|text| text == want), equal, "the reference on {raw} = {want}");
    };
    check("method", "method", true);
    check("m\\u0065thod", "method", true);
    check("\\u006D\\u0065thod", "method", true);
    check("methoD", "method", false);
    check("metho", "method", false);
    check("methodx", "method", false);
    check("2\\u002e0", "2.0", true);
    check("\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\u{8}\u{c}\n\r\t", true);
    check("\\uD83D\\uDE00é", "😀é", true);
    check("\\uD83D", "\u{fffd}x", false);
    check("\\uD83Dx", "😀", false);
    check("\\u+065", "e", false);
    check("a\\", "a", false);
    check("", "", true);
    assert!(strings_equal(b"a\\u0062", b"\\u0061b") && !strings_equal(b"a\\u0062", b"ac") && !strings_equal(b"a", b"ab"));
}

#[test]
fn case_is_folded_as_go_does() {
    let check = |raw: &str, want: &str, folds: bool| assert_eq!(string_folds_to(raw.as_bytes(), want), folds, "{raw}");
    check("METHOD", "method", true);
    check("m\\u0045thod", "method", true);
    check("param\u{17F}", "params", true);
    check("PARAM\\u017f", "params", true);
    check("\u{212A}ey", "key", true);
    check("jsonrpc2", "jsonrpc", false);
    check("\u{130}d", "id", false);
    check("\\u0049\\u0044", "id", true);
    assert!(!string_folds_to(b"i\xff", "id"));
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(text in any::<String>()) {
        let mut out = Vec::new();
        write_string(&mut out, &text);
        prop_assert_eq!(&serde_json::from_slice::<String>(&out).unwrap(), &text);
        prop_assert!(valid(&out));
        prop_assert!(string_equals(&out[1..out.len() - 1], &text));
    }
}

/// Every pair of ethereum/execution-apis is JSON to both walkers.
#[test]
fn pairs_of_execution_apis_are_walked() {
    let Some(pairs) = crate::wire::jsonrpc::vectors::execution_apis() else { return };
    for line in pairs.iter().flat_map(|pair| [&pair.request, &pair.answer]) {
        assert!(valid(line));
        assert_eq!(skip_value(line, 0), Ok(line.len()));
    }
}
