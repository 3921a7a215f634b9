//! Answers: what is let through has one id and one outcome to another parser too; a stream says what holding says, however
//! it is cut; splicing changes the id alone.
#![no_main]

use lasso::base::span::Span;
use lasso::wire::json::valid;
use lasso::wire::jsonrpc::{AnswerFault, AnswerKind, Prefix, ResultStream, id_matches, repair, scan_answer, scan_prefix, splice};
use lasso_fuzz::json::{Members, is_json, string};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((body, cuts)) = lasso_fuzz::cuts(data) else { return };
    let held = scan_answer(body);
    if let Ok(answer) = held {
        // Deeper values are skipped, not proven.
        if valid(body) {
            check(body, answer.id.of(body), answer.kind, answer.is_plain);
        }
        let (buf, repaired, read) = repair(body.to_vec(), 0..body.len(), &answer, b"77");
        let repaired = &buf[repaired];
        assert_eq!(scan_answer(repaired), Ok(read));
        assert!(read.is_plain && (valid(repaired) || !valid(body)));
        if answer.id == Span::NONE {
            return;
        }
        let mut spliced = Vec::new();
        splice(&mut spliced, body, &answer, b"\"other\"");
        let moved = scan_answer(&spliced).expect("still an answer");
        assert!(id_matches(&spliced, &moved, b"\"other\""));
        let mut back = Vec::new();
        splice(&mut back, &spliced, &moved, answer.id.of(body));
        assert_eq!(back, body);
    }

    let sent = held.map_or(b"1".to_vec(), |answer| answer.id.of(body).to_vec());
    let streamed = stream(body, cuts[1].max(1).min(body.len()), cuts[2], &sent);
    match (streamed, held) {
        (Ok(None), Ok(answer)) => assert!(matches!(answer.kind, AnswerKind::Error { .. })),
        (Ok(Some(result)), Ok(answer)) => {
            let AnswerKind::Result(span) = answer.kind else { panic!("an error was streamed") };
            assert_eq!(span.of(body), result);
        }
        // A passing result is not proven; an error is judged when it is held.
        (Ok(Some(result)), Err(_)) => assert!(!valid(&result)),
        (Ok(None), Err(_)) | (Err(_), Err(_)) => {}
        (Err(AnswerFault::TrailingData), Ok(_)) => assert!(body.len() > lasso::base::limits::ANSWER_TAIL_BYTES),
        (streamed, Ok(_)) => panic!("{streamed:?}"),
    }
});

fn check(body: &[u8], id: &[u8], kind: AnswerKind, is_plain: bool) {
    assert!(is_json(body));
    let Some(members) = Members::of(body) else { return };
    for name in ["jsonrpc", "id", "result", "error"] {
        assert!(members.count(name) == members.get(name).map_or(0, |_| 1), "{name}");
    }
    assert_eq!(members.get("id").map_or(&b""[..], str::as_bytes), id);
    if !is_plain {
        return;
    }
    assert_eq!(members.get("jsonrpc").and_then(string).as_deref(), Some("2.0"));
    match kind {
        AnswerKind::Result(span) => {
            assert_eq!(members.get("result").map(str::as_bytes), Some(span.of(body)));
            assert!(matches!(members.get("error"), None | Some("null")));
        }
        AnswerKind::Error { whole, code, message, data } => {
            assert!(matches!(members.get("result"), None | Some("null")));
            let Some(error) = Members::of(whole.of(body)) else { return };
            assert_eq!(error.get("code").and_then(|code| code.parse().ok()), Some(code));
            let quoted = error.get("message").expect("a message").as_bytes();
            assert_eq!(&quoted[1..quoted.len() - 1], message.of(body));
            assert_eq!(error.get("data").map_or(&b""[..], str::as_bytes), data.of(body));
        }
    }
}

fn stream(body: &[u8], mut held: usize, cut: usize, sent: &[u8]) -> Result<Option<Vec<u8>>, AnswerFault> {
    let (prefix, start) = loop {
        match scan_prefix(&body[..held]) {
            Prefix::NeedMore if held == body.len() => return Err(AnswerFault::Truncated),
            Prefix::NeedMore => held += 1,
            Prefix::Error => return Ok(None),
            Prefix::Bad(fault) => return Err(fault),
            prefix @ Prefix::Result { value_start, .. } => break (prefix, value_start),
        }
    };
    let mut stream = ResultStream::new(&prefix, &body[..held], sent)?;
    let mut result = Vec::new();
    let cut = cut.max(held);
    for piece in [&body[start..held], &body[held..cut], &body[cut..]] {
        let taken = stream.feed(piece)?;
        result.extend_from_slice(&piece[..taken]);
    }
    stream.finish()?;
    Ok(Some(result))
}
