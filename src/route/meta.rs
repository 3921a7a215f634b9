//! `lasso_meta`: how a call was answered (docs/behaviour/shown.md#metadata), as JSON, as a header value, and inside the body.
//!
//! Written straight into a buffer that is reused: it rides on the hot path of whoever asks for it on every call. What is
//! not known is left out, never null.

use crate::base::limits::META_HEADER_BYTES;
use crate::config::topology::Strategy;
use crate::route::explain::Part;
use crate::route::resolve::Transport;
use crate::wire::http::write_decimal;
use crate::wire::json::write_string;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What the metadata of one call says. Calls answered here have no transport, provider or latencies.
pub struct Facts<'a> {
    /// Adopted or generated; printable ASCII.
    pub request_id: &'a str,
    pub strategy: Option<Strategy>,
    pub chain: &'a str,
    /// EIP-155.
    pub chain_number: u64,
    pub attempted: Option<Attempted<'a>>,
}

/// The part of a call that went upstream.
pub struct Attempted<'a> {
    pub selected: &'a str,
    pub transport: Transport,
    pub selection_ns: u64,
    /// Sum over attempts.
    pub upstream_ns: u64,
    /// From the request's head to its answer.
    pub total_ns: u64,
    pub retries: u32,
    /// `closed`, `half_open`, `open`.
    pub circuit: &'static str,
}

/// One channel's part in the choice, for metadata.
pub struct Candidate<'a> {
    pub id: &'a str,
    pub transport: Transport,
    pub part: Part,
    /// What ranks it by latency, when it was measured.
    pub latency_us: Option<u32>,
}

/// Adds every channel's stage and numbers to an object that `write_meta` wrote.
pub fn add_candidates<'a>(json: &mut Vec<u8>, candidates: impl Iterator<Item = Candidate<'a>>) {
    if json.pop() != Some(b'}') {
        return;
    }
    json.extend_from_slice(b",\"candidates\":[");
    for (index, Candidate { id, transport, part, latency_us }) in candidates.enumerate() {
        json.extend_from_slice(if index > 0 { b",{\"id\":" } else { b"{\"id\":" });
        write_string(json, id);
        json.extend_from_slice(b",\"transport\":\"");
        json.extend_from_slice(transport.word().as_bytes());
        json.extend_from_slice(b"\",\"stage\":\"");
        json.extend_from_slice(part.stage.word().as_bytes());
        json.push(b'"');
        if let Some(turn) = part.turn {
            json.extend_from_slice(b",\"turn\":");
            write_decimal(json, turn as u64);
            write_thousandths(json, b",\"odds\":", (part.odds * 1000.0).round() as u64);
        }
        if let Some(us) = latency_us {
            write_thousandths(json, b",\"latency_ms\":", us.into());
        }
        json.push(b'}');
    }
    json.extend_from_slice(b"]}");
}

/// What stands between the answer's last member and the metadata.
pub const BODY_KEY: &[u8] = b",\"lasso_meta\":";

/// Appends the JSON object. `candidates` in the order in which they would have been tried.
pub fn write_meta<'a>(out: &mut Vec<u8>, facts: &Facts, candidates: impl Iterator<Item = (&'a str, Transport)>) {
    out.extend_from_slice(b"{\"version\":\"1.0\",\"request_id\":");
    write_string(out, facts.request_id);
    if let Some(strategy) = facts.strategy {
        out.extend_from_slice(b",\"strategy\":\"");
        out.extend_from_slice(strategy_name(strategy).as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b",\"chain\":");
    write_string(out, facts.chain);
    out.extend_from_slice(b",\"chain_id\":");
    write_decimal(out, facts.chain_number);
    if let Some(attempted) = &facts.attempted {
        write_attempted(out, attempted, candidates);
    }
    out.push(b'}');
}

fn write_attempted<'a>(out: &mut Vec<u8>, attempted: &Attempted, candidates: impl Iterator<Item = (&'a str, Transport)>) {
    out.extend_from_slice(b",\"transport\":\"");
    out.extend_from_slice(attempted.transport.word().as_bytes());
    out.extend_from_slice(b"\",\"candidate_providers\":[");
    for (index, (id, transport)) in candidates.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_string(out, id);
        out.pop(); // its closing quote, which comes after the transport
        out.push(b':');
        out.extend_from_slice(transport.word().as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b"],\"selected_provider\":{\"id\":");
    write_string(out, attempted.selected);
    out.extend_from_slice(b",\"protocol\":\"");
    out.extend_from_slice(attempted.transport.word().as_bytes());
    out.extend_from_slice(b"\"}");
    let overhead_ns = attempted.total_ns.saturating_sub(attempted.upstream_ns);
    write_ms(out, b",\"selection_latency_ms\":", attempted.selection_ns);
    write_ms(out, b",\"upstream_latency_ms\":", attempted.upstream_ns);
    write_ms(out, b",\"end_to_end_latency_ms\":", attempted.total_ns);
    write_ms(out, b",\"lasso_overhead_ms\":", overhead_ns);
    out.extend_from_slice(b",\"retries\":");
    write_decimal(out, u64::from(attempted.retries));
    out.extend_from_slice(b",\"circuit_breaker_state\":\"");
    out.extend_from_slice(attempted.circuit.as_bytes());
    out.push(b'"');
}

/// The underscore names that the existing clients read (docs/behaviour/shown.md#metadata).
pub fn strategy_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Priority => "priority",
        Strategy::LoadBalanced => "load_balanced",
        Strategy::Fastest => "fastest",
        Strategy::LatencyWeighted => "latency_weighted",
    }
}

/// Milliseconds with microsecond resolution, `1.5` and `0.0` like a float is written.
fn write_ms(out: &mut Vec<u8>, key: &[u8], ns: u64) {
    write_thousandths(out, key, ns / 1000);
}

/// `n / 1000` with what digits it needs, one at least.
fn write_thousandths(out: &mut Vec<u8>, key: &[u8], n: u64) {
    out.extend_from_slice(key);
    write_decimal(out, n / 1000);
    let (tenths, hundredths, thousandths) = (n / 100 % 10, n / 10 % 10, n % 10);
    let digits = [b'.', b'0' + tenths as u8, b'0' + hundredths as u8, b'0' + thousandths as u8];
    let kept = if thousandths > 0 {
        4
    } else if hundredths > 0 {
        3
    } else {
        2
    };
    out.extend_from_slice(&digits[..kept]);
}

/// Appends the header form (base64url, no padding); false and nothing appended when it would be above 4096 bytes.
pub fn write_header_value(out: &mut Vec<u8>, json: &[u8]) -> bool {
    let len = json.len() / 3 * 4 + [0, 2, 3][json.len() % 3];
    if len > META_HEADER_BYTES {
        return false;
    }
    let start = out.len();
    out.resize(start + len, 0);
    let written = out.get_mut(start..).and_then(|room| URL_SAFE_NO_PAD.encode_slice(json, room).ok());
    out.truncate(start + written.unwrap_or(0));
    written.is_some()
}

/// Where metadata goes into a complete answer object: the reply is `answer[..at]`, `BODY_KEY`, the JSON, `answer[at..]`.
/// `None` when the text does not end an object that has members.
pub fn insertion_point(answer: &[u8]) -> Option<usize> {
    let at = answer.trim_ascii_end().len().checked_sub(1)?;
    let before = answer.get(..at)?.trim_ascii_end();
    let filled = !matches!(before.last(), None | Some(b'{'));
    (filled && answer.get(at) == Some(&b'}')).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(attempted: Option<Attempted<'a>>) -> Facts<'a> {
        let request_id = "0123456789abcdef0123456789abcdef";
        Facts { request_id, strategy: Some(Strategy::LoadBalanced), chain: "ethereum", chain_number: 1, attempted }
    }

    fn attempted(total_ns: u64, upstream_ns: u64) -> Attempted<'static> {
        let transport = Transport::Http;
        Attempted { selected: "alpha", transport, selection_ns: 1_999, upstream_ns, total_ns, retries: 1, circuit: "closed" }
    }

    #[test]
    fn the_fields_of_a_forwarded_call() {
        let mut out = Vec::new();
        let candidates = [("alpha", Transport::Http), ("be\"ta\n", Transport::Ws)];
        write_meta(&mut out, &facts(Some(attempted(12_345_678, 12_000_000))), candidates.into_iter());
        let want = concat!(
            r#"{"version":"1.0","request_id":"0123456789abcdef0123456789abcdef","strategy":"load_balanced","chain":"ethereum","#,
            r#""chain_id":1,"transport":"http","candidate_providers":["alpha:http","be\"ta\n:ws"],"#,
            r#""selected_provider":{"id":"alpha","protocol":"http"},"selection_latency_ms":0.001,"upstream_latency_ms":12.0,"#,
            r#""end_to_end_latency_ms":12.345,"lasso_overhead_ms":0.345,"retries":1,"circuit_breaker_state":"closed"}"#,
        );
        assert_eq!(String::from_utf8(out.clone()).unwrap(), want);
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["candidate_providers"][1], "be\"ta\n:ws");
    }

    #[test]
    fn candidates_carry_their_stage_and_numbers() {
        let plan = crate::snapshot::test_plan::of_priorities(&[1, 1, 2]);
        let ask = crate::route::select::Ask {
            eligible: 0b011,
            ..crate::route::select::Ask::new(Strategy::LoadBalanced, crate::chain::method::UNKNOWN)
        };
        let parts = crate::route::explain::explain(&plan, &ask, &mut crate::base::rng::Rng::new(1));
        let latencies = [Some(12_340), None, None];
        let candidate = |(index, part): (usize, &Part)| Candidate {
            id: "x",
            transport: Transport::Ws,
            part: *part,
            latency_us: latencies[index],
        };
        let mut out = b"{\"version\":\"1.0\"}".to_vec();
        add_candidates(&mut out, parts.values().enumerate().map(candidate));
        let read: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["version"], "1.0");
        assert_eq!(read["candidates"][0]["odds"], 0.5);
        assert_eq!(read["candidates"][0]["latency_ms"], 12.34);
        assert_eq!(read["candidates"][2], serde_json::json!({"id": "x", "transport": "ws", "stage": "not_asked"}));
    }

    #[test]
    fn a_local_answer_carries_only_what_is_known() {
        let mut out = Vec::new();
        write_meta(&mut out, &Facts { strategy: None, chain_number: u64::MAX, ..facts(None) }, std::iter::empty());
        let want = r#"{"version":"1.0","request_id":"0123456789abcdef0123456789abcdef","chain":"ethereum","chain_id":18446744073709551615}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn milliseconds() {
        let check = |ns, want: &str| {
            let mut out = Vec::new();
            write_ms(&mut out, b"", ns);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        };
        check(0, "0.0");
        check(999, "0.0");
        check(1_000, "0.001");
        check(10_000, "0.01");
        check(100_000, "0.1");
        check(1_010_000, "1.01");
        check(12_300_999, "12.3");
        check(u64::MAX, "18446744073709.551");
    }

    #[test]
    fn overhead_is_never_negative() {
        let mut out = Vec::new();
        write_meta(&mut out, &facts(Some(attempted(5, 9_000_000))), std::iter::empty());
        assert!(String::from_utf8(out).unwrap().contains(r#""lasso_overhead_ms":0.0"#));
    }

    #[test]
    fn header_form_round_trips_up_to_its_bound() {
        for len in 0..=META_HEADER_BYTES {
            let json: Vec<u8> = (0..len).map(|i| (i * 37 % 251) as u8).collect();
            let mut out = b"x-lasso-meta: ".to_vec();
            let fits = write_header_value(&mut out, &json);
            assert_eq!(fits, len <= META_HEADER_BYTES / 4 * 3, "{len}");
            let value = &out[14..];
            assert!(value.len() <= META_HEADER_BYTES && !value.contains(&b'='));
            if fits {
                assert_eq!(URL_SAFE_NO_PAD.decode(value).unwrap(), json);
            } else {
                assert!(value.is_empty());
            }
        }
    }

    #[test]
    fn insertion_keeps_the_rest_as_it_was() {
        let check = |answer: &str, want: Option<&str>| {
            let built = insertion_point(answer.as_bytes()).map(|at| {
                let (head, tail) = answer.split_at(at);
                format!("{head}{}{{}}{tail}", std::str::from_utf8(BODY_KEY).unwrap())
            });
            assert_eq!(built.as_deref(), want, "{answer}");
        };
        check(r#"{"id":1,"result":"0x1"}"#, Some(r#"{"id":1,"result":"0x1","lasso_meta":{}}"#));
        check("{\"id\":1 }\n\n", Some("{\"id\":1 ,\"lasso_meta\":{}}\n\n"));
        for wrong in ["{}", "{ }", "", "}", "[1]", "x", "{\"a\":1"] {
            check(wrong, None);
        }
    }
}
