//! Records as they are, cut, foreign, of other times.

use super::*;

pub const HEADER: &str = r#"{"lasso_record":1,"version":"0.1.0","began":"2026-11-30T00:00:00.000Z","began_ms":1000,"share":0.5,"params":false,"rules":{"breaker_failures":5,"breaker_successes":2,"breaker_recovery_ms":30000,"latency_exponent":3.0},"chains":[{"profile":"default","chain":"main","chain_id":1,"strategy":"priority","archival_threshold":128,"providers":[{"id":"a","priority":1,"http":true,"ws":false,"upstream":0,"archival":true,"local":true},{"id":"b","priority":2,"http":true,"ws":true,"upstream":1,"archival":true,"local":true}]}]}"#;

/// A call of the header's chain; `rest` is added to its object.
pub fn call_line(at_us: u64, method: &str, rest: &str) -> String {
    format!(
        r#"{{"at_us":{at_us},"profile":"default","chain":"main","method":"{method}","transport":"http","strategy":"priority","end":"result","took_us":900{rest}}}"#
    )
}

/// A record of the header and these lines.
pub fn record(lines: &[&str]) -> Record {
    read(format!("{HEADER}\n{}\n", lines.join("\n")).as_bytes()).expect("a record")
}

fn attempt(provider: &str, outcome: &str) -> String {
    format!(r#","attempts":[{{"provider":"{provider}","over":"http","us":800,"outcome":"{outcome}"}}]"#)
}

#[test]
fn calls_probes_and_notes_are_read_and_sorted() {
    let lines = [
        call_line(50, "eth_call", &attempt("b", "ok")),
        call_line(20, "eth_gasPrice", &attempt("a", "rate_limit")),
        r#"{"at_us":60,"probe":["default","main","b"],"over":"ws","us":7000,"outcome":"ok"}"#.to_owned(),
        r#"{"at_us":61,"probe":["default","main","b"],"over":"ws","outcome":"wrong_chain"}"#.to_owned(),
        r#"{"at_us":70,"lost":3}"#.to_owned(),
        r#"{"at_us":80,"stopped":"its size is reached"}"#.to_owned(),
    ];
    let record = record(&lines.each_ref().map(String::as_str));
    assert_eq!((record.problems.len(), record.lost, record.runs, record.weight()), (0, 3, 1, 2));
    assert_eq!(record.stopped.as_deref(), Some("its size is reached"));
    let told: Vec<_> = record.calls.iter().map(|call| (call.at_us, record.method(call), call.attempts[0].outcome)).collect();
    assert_eq!(
        told,
        [(20, "eth_gasPrice", RecordedOutcome::Failed(Category::RateLimit)), (50, "eth_call", RecordedOutcome::Answered)]
    );
    assert_eq!(record.probes.iter().map(|probe| probe.outcome).collect::<Vec<_>>(), [Ok(7000), Err(None)]);
    assert_eq!((record.probes[0].place.provider, record.probes[0].place.transport), (1, Transport::Ws));
}

#[test]
fn lines_that_are_none_are_told_by_number() {
    let good = call_line(1, "eth_call", "");
    let text = format!(
        "{HEADER}\n{good}\nwhat is this\n\n[1]\n{{\"level\":\"info\"}}\n{}\n{}\n{good}",
        call_line(1, "eth_call", &attempt("zed", "ok")),
        good.replace("\"http\"", "\"pigeon\""),
    );
    let told = |text: &str| {
        let record = read(text.as_bytes()).expect("a record");
        (record.calls.len(), record.problems)
    };
    let problem = |line, why| LineProblem { line, why };
    let want = vec![
        problem(3, LineFault::NotJson),
        problem(5, LineFault::Foreign),
        problem(6, LineFault::Foreign),
        problem(7, LineFault::UnknownName("zed".into())),
        problem(8, LineFault::Foreign),
    ];
    assert_eq!(told(&text), (2, want.clone()));
    let cut = &text[..text.len() - 9];
    let cut_too: Vec<_> = want.into_iter().chain([problem(9, LineFault::Cut)]).collect();
    assert_eq!(told(cut), (1, cut_too));
}

#[test]
fn what_is_no_record_is_refused() {
    let check = |text: &str, line: u64, why: LineFault| {
        assert_eq!(read(text.as_bytes()).map(|_| ()), Err(LineProblem { line, why }), "{text}");
    };
    check("", 1, LineFault::NoHeader);
    check("what\n", 1, LineFault::NoHeader);
    check(&format!("{}\n{HEADER}\n", call_line(1, "eth_call", "")), 1, LineFault::NoHeader);
    check(&HEADER.replace("\"lasso_record\":1", "\"lasso_record\":2"), 1, LineFault::OtherSchema(2));
    check(&format!("{HEADER}\n{{\"lasso_record\":9}}\n"), 2, LineFault::OtherSchema(9));
    check(&HEADER.replace("\"share\":0.5,", ""), 1, LineFault::NoHeader);
}

/// A node that was started again goes on in the same file, and its clock may have gone back.
#[test]
fn runs_follow_each_other() {
    let later =
        |ms: u64| HEADER.replace("\"began_ms\":1000", &format!("\"began_ms\":{ms}")).replace("\"id\":\"b\"", "\"id\":\"c\"");
    let text = [
        HEADER.to_owned(),
        call_line(5_000_000, "eth_call", ""),
        later(11_000),
        call_line(7, "eth_call", &attempt("c", "ok")),
        later(500),
        call_line(9, "eth_call", ""),
    ]
    .join("\n");
    let record = read(text.as_bytes()).expect("a record");
    assert_eq!(record.calls.iter().map(|call| call.at_us).collect::<Vec<_>>(), [5_000_000, 10_000_007, 10_000_016]);
    assert_eq!((record.runs, record.chains.len(), record.chains[0].providers.len()), (3, 1, 3));
    assert_eq!(record.calls[1].attempts[0].place.provider, 2);
}

/// Whatever is cut, wherever: a record or a problem, and no call that was not there.
#[test]
fn every_beginning_of_a_record_is_read_or_refused() {
    let text = format!("{HEADER}\n{}\n{}\n", call_line(1, "eth_call", &attempt("a", "ok")), call_line(2, "eth_call", ""));
    for end in 0..=text.len() {
        match read(&text.as_bytes()[..end]) {
            Ok(record) => assert!(record.calls.len() <= 2 && record.problems.len() <= 1, "{end}"),
            Err(problem) => assert!(end < HEADER.len() && problem.line == 1, "{end}: {problem}"),
        }
    }
}
