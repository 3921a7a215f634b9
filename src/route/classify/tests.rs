//! The corpus of real errors, the guards against false friends, and the laws that hold for any input.

use super::*;
use crate::chain::method::{Safety, lookup};
use proptest::prelude::*;
use std::sync::LazyLock;

static CLASSIFIER: LazyLock<Classifier> = LazyLock::new(Classifier::new);

fn context(status: u16) -> Context<'static> {
    Context { status, retry_after: b"", wall: WallTime(0), method: lookup(b"eth_call"), rules: &[] }
}

fn error(status: u16, code: i64, message: &str) -> Outcome {
    CLASSIFIER.error(&context(status), code, &raw(message), b"")
}

/// A message as it stands in JSON, without the quotes.
fn raw(text: &str) -> Vec<u8> {
    let quoted = serde_json::to_vec(text).unwrap();
    quoted[1..quoted.len() - 1].to_vec()
}

/// One line of provider_errors.tsv, a table of errors that providers really sent.
struct Row<'a> {
    number: &'a str,
    provider: &'a str,
    context: &'a str,
    status: Option<u16>,
    code: Option<i64>,
    message: &'a str,
    category: &'a str,
    retry_elsewhere: bool,
    penalty: bool,
}

impl<'a> Row<'a> {
    fn parse(line: &'a str) -> Row<'a> {
        let cells: Vec<&str> = line.split('\t').collect();
        Row {
            number: cells[0],
            provider: cells[1],
            context: cells[2],
            status: cells[3].parse().ok(),
            code: cells[4].parse().ok(),
            message: if cells[5] == "(code only)" { "" } else { cells[5] },
            category: cells[6],
            retry_elsewhere: cells[7] == "y",
            penalty: cells[8] == "y",
        }
    }

    /// What was recorded is what is fed: a body where no JSON-RPC code was recorded but an HTTP failure or a foreign body;
    /// else an error, with -32000 and 200 where code or status were not recorded.
    fn classify(&self) -> Outcome {
        let foreign = ["<", "{", "[", "chunked"].iter().any(|start| self.message.starts_with(start));
        let method = if self.context.contains("eth_getLogs") { "eth_getLogs" } else { "eth_call" };
        let context = Context { method: lookup(method.as_bytes()), ..context(self.status.unwrap_or(200)) };
        match self.code {
            None if foreign || self.status.is_some_and(|s| s >= 400) => CLASSIFIER.status(&context, self.message.as_bytes()),
            code => CLASSIFIER.error(&context, code.unwrap_or(-32000), &raw(self.message), b""),
        }
    }
}

/// Rows whose suggestion "do not try elsewhere" we do not follow.
const SIZES_DIFFER: &str = "caps differ between providers: one with a larger cap answers, and if none does the error is returned";
const BODIES_DIFFER: &str = "body caps differ between providers, and a bare 413 is nothing that could be returned";
const NO_BATCHES: &str = "we send no batches; if a provider says so all the same, it misread us";
const NOT_OURS: &str = "answers to a notification or a batch; every call of ours has an id, so this is a broken answer";
const DISAGREE: &[(&str, &str)] = &[
    ("30", BODIES_DIFFER),
    ("48", SIZES_DIFFER),
    ("60", SIZES_DIFFER),
    ("117", SIZES_DIFFER),
    ("154", SIZES_DIFFER),
    ("155", BODIES_DIFFER),
    ("189", SIZES_DIFFER),
    ("198", BODIES_DIFFER),
    ("201", NO_BATCHES),
    ("215", NO_BATCHES),
    ("256", NOT_OURS),
    ("259", NOT_OURS),
];

#[test]
fn real_errors_of_real_providers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/provider_errors.tsv");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/vectors");
        eprintln!("skipped: ../shared/vectors not present");
        return;
    };
    let rows: Vec<Row> = text.lines().skip(1).map(Row::parse).collect();
    let (mut same_category, mut same_penalty, mut wrong) = (0, 0, Vec::new());
    for row in &rows {
        let outcome = row.classify();
        let elsewhere = outcome.verdict == Verdict::NextProvider;
        let reason = DISAGREE.iter().find(|(n, _)| *n == row.number).map(|(_, why)| *why);
        same_category += usize::from(outcome.category.word() == row.category);
        same_penalty += usize::from(outcome.penalty == row.penalty);
        let differs =
            outcome.category.word() != row.category || elsewhere != row.retry_elsewhere || outcome.penalty != row.penalty;
        if differs {
            println!(
                "{} {} [{}]: {:?} -> {} (vector: {}), elsewhere {elsewhere} ({}), penalty {} ({}) {}",
                row.number,
                row.provider,
                row.context,
                row.message,
                outcome.category.word(),
                row.category,
                row.retry_elsewhere,
                outcome.penalty,
                row.penalty,
                reason.unwrap_or("")
            );
        }
        if (elsewhere != row.retry_elsewhere) != reason.is_some() {
            wrong.push(row.number);
        }
    }
    println!("{} rows, category {same_category}, penalty {same_penalty}", rows.len());
    assert!(wrong.is_empty(), "unexplained (or no longer true) differences in trying elsewhere: {wrong:?}");
    assert!(same_category * 100 >= rows.len() * 95, "{same_category} of {}", rows.len());
    assert!(same_penalty * 100 >= rows.len() * 90, "{same_penalty} of {}", rows.len());
}

/// The phrases of the Elixir program, each as a message with a code that says nothing: the class must be the one it gives them.
#[test]
fn every_phrase_of_the_model_keeps_its_class() {
    let check = |class: Class, phrases: &str| {
        for phrase in phrases.split(" · ") {
            let outcome = error(200, -32000, &format!("Oops: {} (x)", phrase.to_uppercase()));
            assert_eq!(outcome.category.class(), class, "{phrase}: {:?}", outcome.category);
        }
    };
    check(
        Class::Quota,
        "rate limit · too many requests · throttled · quota exceeded · reached your quota · monthly quota · daily quota · \
         capacity exceeded · request count exceeded · maximum requests · credits quota · requests per second · compute units · \
         cannot fulfill request · request units · timeout on the free tier",
    );
    check(
        Class::ProviderFailure,
        "unauthorized · authentication · authenticate · api key · forbidden · access denied · permission denied · please retry · \
         temporary internal error · try again · service temporarily unavailable · temporarily unavailable · request timeout · \
         backend timeout · resource unavailable · service overloaded · node is syncing",
    );
    check(
        Class::Deterministic,
        "invalid argument · cannot unmarshal · unable to decode · invalid hex · odd length hex · hex string without 0x prefix · \
         invalid address · wrong number of arguments · missing value for required argument · abi: cannot marshal · \
         execution reverted · gas required exceeds allowance · out of gas · intrinsic gas too low · gas limit below intrinsic gas · \
         gas too low · gas limit reached · gas uint64 overflow · insufficient gas · exceeds block gas limit · \
         base fee exceeds gas limit · transaction gas limit is too low · nonce too low · nonce too high · insufficient funds · \
         already known · replacement transaction underpriced · transaction underpriced · \
         max fee per gas less than block base fee · fee cap less than block base fee · \
         max priority fee per gas higher than max fee per gas · max fee per blob gas · blob base fee · too many blobs · \
         invalid sender · invalid opcode · stack underflow · stack overflow · invalid jump destination · revert · vm exception · \
         evm error · contract creation code storage out of gas · max initcode size exceeded · upfront cost exceeds · \
         does not match sender account nonce · transaction type not supported",
    );
    check(
        Class::Capability,
        "header not found · block not found · unknown block number · block is out of range · unknown block · \
         query returned more than · result set too large · result limit exceeded · too many results · too many logs · free tier · \
         maximum number of addresses · max addresses · too many addresses · specify less number of addresses · \
         specify an address · block range exceeded · max block range · block range too large · range too large · \
         range not supported · this range of parameters is not supported · exceeds maximum block range · invalid block range · \
         max is 1k blocks · range is too large · blocks are not supported · ranges over · is limited to · archive node required · \
         requires archival · archival data not available · archival not available · historical data not supported · pruned · \
         missing trie node · tracing not enabled · debug not available · trace not supported · method not available · \
         method unavailable · not supported · not available · not enabled · does not support · unsupported parameter range · \
         unsupported param range · limit exceeded for this method · exceeds limit · exceeds maximum · limit reached · \
         dedicated full node · remove restrictions · order a dedicated · upgrade · upgrade your plan · upgrade your tier · \
         premium plan · paid plan · paid tier · feature not enabled · state not available",
    );
    assert_eq!(error(200, -32602, "unknown blockchain").verdict, Verdict::NextProvider);
}

#[test]
fn false_friends() {
    let check = |code, message: &str, want: C| assert_eq!(error(200, code, message).category, want, "{code} {message}");
    // Pool and machine, though they say limit.
    check(-32000, "account limit exceeded", C::TxRejected);
    check(-32005, "account limit exceeded", C::TxRejected);
    check(-32000, "gas limit reached", C::ExecutionError);
    check(-32000, "block gas limit exceeded", C::ExecutionError);
    check(-32000, "in-flight transaction limit reached for delegated accounts", C::TxRejected);
    // What a contract says is not the provider's word.
    check(3, "execution reverted: rate limit exceeded", C::ExecutionRevert);
    check(-32000, "execution reverted: Unauthorized", C::ExecutionRevert);
    check(-32603, "execution reverted: header not found, try again", C::ExecutionRevert);
    check(
        -32000,
        "VM Exception while processing transaction: reverted with reason string 'too many requests'",
        C::ExecutionRevert,
    );
    // An unknown method's name is the caller's.
    check(-32601, "the method rate limit does not exist/is not available", C::MethodNotFound);
    check(-32601, "Method not found: unauthorized_apikey", C::MethodNotFound);
    check(-32601, "The method evm_revert does not exist/is not available", C::MethodNotFound);
    // Ranges before limits, plans before availability, blocks before parameters.
    check(-32005, "block range limit exceeded", C::BlockRangeTooLarge);
    check(-32602, "Block range limit exceeded.", C::BlockRangeTooLarge);
    check(-32602, "Unknown block number", C::MissingDataAhead);
    check(3, "Unknown block", C::MissingDataAhead);
    check(3, "something custom", C::ExecutionRevert);
    check(-32602, "invalid block range params", C::InvalidParams);
    check(-32000, "reverting to a backup, please retry", C::ServerError);
    check(-32000, "Too many requests, get an API key to go faster", C::RateLimit);
    check(-32000, "missing trie node 0xdeadbeef (path ) <nil>", C::MissingDataArchive);
    check(-32000, "historical backend error: execution reverted: Dai/insufficient-balance", C::ExecutionRevert);
    check(-32000, "limit exceeded", C::MethodNotAllowed);
    check(-32005, "limit exceeded", C::RateLimit);
    check(-32603, "rejected", C::TxRejected);
    check(-32603, "connection rejected", C::ServerError);
    // The unknown.
    check(-32000, "", C::Unclassified);
    check(-32000, "something went wrong", C::Unclassified);
    check(-31999, "something went wrong", C::Unknown);
    check(-32603, "Internal error", C::ServerError);
}

#[test]
fn the_unknown_is_tried_elsewhere_and_a_bare_server_error_is_no_mark() {
    let check = |code, penalty| {
        let outcome = error(200, code, "no idea");
        assert_eq!((outcome.verdict, outcome.penalty, outcome.before_pool), (Verdict::NextProvider, penalty, false), "{code}");
    };
    check(-32000, false);
    check(0, true);
    check(77, true);
    check(i64::MIN, true);
    check(-32050, true);
}

/// The caller's parameters can come back in the text: no rest, no mark; and still another try, in case it was true.
#[test]
fn words_that_the_caller_may_have_written_harm_nobody() {
    for message in
        ["invalid value: string rate limit", "unknown field unauthorized", "expected u64, got timeout", "quota exceeded"]
    {
        for code in [3, -32602] {
            let outcome = error(200, code, message);
            assert_eq!((outcome.verdict, outcome.penalty), (Verdict::NextProvider, false), "{code} {message}");
            assert!(!outcome.before_pool && outcome.category.class() == Class::Deterministic);
        }
    }
}

#[test]
fn nested_data_is_read_when_the_message_says_nothing() {
    let check = |message: &str, data: &str, want: C| {
        let found = CLASSIFIER.error(&context(200), -32603, &raw(message), data.as_bytes()).category;
        assert_eq!(found, want, "{message} {data}");
    };
    let selector = "08c379a00000000000000000000000000000000000000000000000000000000000000020";
    check("Internal error", &format!("\"0x{selector}\""), C::ExecutionRevert);
    check("rate limit", &format!("\"0x{selector}\""), C::ExecutionRevert);
    check("VM error", "\"Reverted 0x08c3\"", C::ExecutionRevert);
    check("Internal error", "{\"data\":\"0x4e487b710000\"}", C::ExecutionRevert);
    check("Internal JSON-RPC error.", r#"{"code":-32000,"message":"nonce too low"}"#, C::NonceTooLow);
    check("Internal error", r#"{"message":"execution reverted: too many requests"}"#, C::ExecutionRevert);
    check("header not found", r#"{"message":"too many requests"}"#, C::MissingDataAhead);
    check("Internal error", "\"0xdeadbeef\"", C::ServerError);
    check("Internal error", "null", C::ServerError);
}

/// HTTP statuses with a JSON-RPC error that says nothing, and without any JSON-RPC, for all of them.
#[test]
fn every_http_status() {
    for status in 100..=599 {
        let bare = CLASSIFIER.status(&context(status), b"<html>what a day</html>");
        assert_eq!(bare.verdict, Verdict::NextProvider, "{status}: nothing that could be returned");
        let want = code::of_status(status).unwrap_or(C::MalformedResponse);
        assert_eq!(bare.category, want, "{status}");
        let unclear = error(status, -32000, "what a day").category;
        let want = match status {
            401 => C::Auth,
            402 | 403 => C::Forbidden,
            429 => C::RateLimit,
            408 | 504 => C::Timeout,
            413 => C::RequestTooLarge,
            404 | 410 | 300..=399 => C::Unavailable,
            500..=599 => C::ServerError,
            400..=499 => C::RequestRejected,
            _ => C::Unclassified,
        };
        assert_eq!(unclear, want, "{status}");
        assert_eq!(error(status, -32000, "execution reverted").category, C::ExecutionRevert, "{status}");
        let parameters = error(status, -32602, "bad").verdict == Verdict::Return;
        assert_eq!(parameters, !matches!(status, 401..=403 | 429), "{status}");
    }
    assert_eq!(error(401, -32000, "please upgrade your plan").category, C::Auth);
    assert_eq!(error(401, -32000, "daily quota is used up").category, C::Quota);
    assert_eq!(error(403, -32000, "method not available on your plan").category, C::Forbidden);
    assert_eq!(error(403, -32000, "forbidden").category, C::Forbidden);
    assert_eq!(error(403, -32603, "Internal server error").category, C::Forbidden, "a form letter");
    assert_eq!(error(402, -32000, "invalid api key").category, C::Forbidden);
    assert_eq!(error(400, -32603, "what a day").category, C::RequestRejected);
    assert_eq!(error(400, -32005, "what a day").category, C::RateLimit);
    assert_eq!(error(429, -32005, "daily request count exceeded, request rate limited").category, C::Quota);
    assert_eq!(error(429, -32000, "upgrade").category, C::RateLimit);
    assert!(!error(429, -32000, "timeout").penalty);
}

#[test]
fn bodies_that_are_no_json_rpc() {
    let check = |status, body: &str, want: C| {
        let outcome = CLASSIFIER.status(&context(status), body.as_bytes());
        assert_eq!((outcome.category, outcome.verdict), (want, Verdict::NextProvider), "{status} {body}");
    };
    check(200, "", C::MalformedResponse);
    check(200, "not json", C::MalformedResponse);
    check(200, r#"{"error":"rate limit exceeded"}"#, C::RateLimit);
    check(200, r#"{"error":"nonce too low"}"#, C::MalformedResponse);
    check(200, "<html>Rate limited: too many requests</html>", C::RateLimit);
    check(200, "<html>upgrade your browser, timeout, unauthorized</html>", C::MalformedResponse);
    check(400, "too many batch requests, max is 3", C::BatchLimit);
    check(400, "eth_getLogs is limited to a 10,000 range", C::BlockRangeTooLarge);
    check(400, "huh", C::RequestRejected);
    check(401, "", C::Auth);
    check(403, "<html>Access denied</html>", C::Forbidden);
    check(403, "quota exceeded", C::Quota);
    check(403, "this method is not available on your plan", C::Forbidden);
    check(404, "<html>404</html>", C::Unavailable);
    check(429, "", C::RateLimit);
    check(429, "monthly capacity limit exceeded", C::Quota);
    check(429, "timeout", C::RateLimit);
    check(502, "<html>..<center><h1>502 Bad Gateway</h1>", C::ServerError);
    check(503, "Blast API is no longer available", C::ServerError);
    check(200, "Blast API is no longer available", C::Unavailable);
    check(504, "", C::Timeout);
}

#[test]
fn failures_hidden_in_results() {
    let check = |result: &str, want: Option<C>| {
        assert_eq!(CLASSIFIER.result(result.as_bytes()).map(|o| o.category), want, "{result}");
    };
    check(r#"{"code":429,"message":"Too many requests"}"#, Some(C::RateLimit));
    check(r#"{"code":429,"message":"slow"}"#, Some(C::RateLimit));
    check(r#"{ "message" : "Unauthorized", "code" : -32000 }"#, Some(C::Auth));
    check(r#"{"code":-32000,"message":"monthly quota"}"#, Some(C::Quota));
    check(r#"{"code":503,"message":"Service Unavailable"}"#, Some(C::ServerError));
    check(r#"{"code":12,"message":"Can't route your request to suitable provider"}"#, Some(C::Unavailable));
    // Results.
    check("\"0x1\"", None);
    check("null", None);
    check("{}", None);
    check("[]", None);
    check(r#"{"code":"0x6080","message":"Too many requests"}"#, None);
    check(r#"{"code":1,"message":"fine"}"#, None);
    check(r#"{"code":429}"#, None);
    check(r#"{"code":429,"message":{"a":1}}"#, None);
    check(r#"{"code":-32000,"message":"nonce too low"}"#, None);
    check(r#"{"number":"0x1","code":429,"message":"Too many requests"}"#, None);
    check(r#"{"code":429,"message":"Too many"#, None);
    check(&format!(r#"{{"code":429,"message":"Too many requests{}"}}"#, " ".repeat(HIDDEN_ERROR_BYTES)), None);
}

#[test]
fn the_profiles_own_rules_come_first() {
    let rule = |code, phrases: &[&str], category: &str| ErrorRule {
        code,
        message_contains: phrases.iter().map(|p| (*p).into()).collect(),
        category: category.into(),
    };
    let rules = [
        rule(Some(-32005), &["capacity", "busy"], "capability_violation"),
        rule(Some(30), &[], "rate_limit"),
        rule(None, &["execution reverted: proxy"], "server_error"),
        rule(None, &["proxy"], "auth_error"),
        rule(None, &["strange"], "not a category"),
    ];
    let check = |code, message: &str, want: C| {
        let context = Context { rules: &rules, ..context(200) };
        assert_eq!(CLASSIFIER.error(&context, code, &raw(message), b"").category, want, "{code} {message}");
    };
    check(-32005, "At CAPACITY", C::MethodNotAllowed);
    check(-32005, "so busy", C::MethodNotAllowed);
    check(-32005, "else", C::RateLimit);
    check(-32000, "capacity", C::Unclassified);
    check(30, "whatever", C::RateLimit);
    check(3, "execution reverted: Proxy", C::ServerError);
    check(3, "Proxy", C::Auth);
    check(-32000, "strange", C::Unclassified);
}

/// A raw transaction goes on only after a refusal that surely came before the pool (docs/behaviour/calls.md#repeating).
#[test]
fn before_the_pool() {
    let check = |status, code, message: &str, want| {
        assert_eq!(error(status, code, message).before_pool, want, "{status} {code} {message}")
    };
    check(429, -32005, "slow down", true);
    check(200, -32005, "rate limit exceeded", true);
    check(200, -32000, "monthly quota is used up", true);
    check(401, -32000, "", true);
    check(200, -32000, "Unauthorized", true);
    check(200, -32601, "the method eth_sendRawTransaction does not exist/is not available", true);
    check(200, 35, "method is not available on freetier, please upgrade to paid tier", true);
    check(200, -32000, "account limit exceeded", false);
    check(200, -32000, "limit exceeded", false);
    check(200, -32000, "something is not supported", false);
    check(200, -32000, "something is forbidden", false);
    check(200, -32000, "already known", false);
    check(200, -32000, "txpool is full", false);
    check(200, -32000, "?", false);
    check(200, -32602, "rate limit", false);
    check(200, -32603, "Internal error", false);
    check(504, -32000, "gateway timeout", false);
    check(413, -32000, "request too large", false);
    assert!(CLASSIFIER.status(&context(429), b"").before_pool && CLASSIFIER.status(&context(403), b"").before_pool);
    assert!(!CLASSIFIER.status(&context(502), b"").before_pool && !CLASSIFIER.status(&context(200), b"").before_pool);
}

#[test]
fn hints_are_for_rests_only() {
    let hint = |status, code, message: &str| {
        let context = Context { retry_after: b"7", ..context(status) };
        CLASSIFIER.error(&context, code, &raw(message), b"").retry_after_ms
    };
    assert_eq!(hint(429, -32005, "slow down"), Some(7_000));
    assert_eq!(hint(503, -32000, ""), Some(7_000));
    assert_eq!(hint(200, 3, "execution reverted: try again in 5s"), None);
    assert_eq!(error(200, -32005, "rate limit, try again in 5s").retry_after_ms, Some(5_000));
    assert_eq!(CLASSIFIER.status(&Context { retry_after: b"3", ..context(429) }, b"").retry_after_ms, Some(3_000));
}

#[test]
fn public_bsc_nodes_have_logs_switched_off() {
    let at = |method: &str, status| {
        let context = Context { method: lookup(method.as_bytes()), ..context(status) };
        CLASSIFIER.error(&context, -32005, b"limit exceeded", b"").category
    };
    assert_eq!(at("eth_getLogs", 200), C::MethodNotAllowed);
    assert_eq!(at("eth_getLogs", 429), C::RateLimit);
    assert_eq!(at("eth_call", 200), C::RateLimit);
}

#[test]
fn faults() {
    assert_eq!(CLASSIFIER.fault(AnswerFault::OtherId), Outcome::malformed());
    assert_eq!(CLASSIFIER.fault(AnswerFault::Truncated).category, C::MalformedResponse);
    assert!(!CLASSIFIER.fault(AnswerFault::TooDeep).penalty);
}

/// With status 200: a gateway's own words are read, those in a broken answer are not, for a caller may have put them there.
#[test]
fn what_is_no_answer_is_read_if_it_is_the_gateways_own() {
    let check = |fault, body: &str, want| {
        let outcome = CLASSIFIER.no_answer(&context(200), fault, body.as_bytes());
        assert_eq!(outcome.category, want, "{body}");
    };
    check(AnswerFault::NotJson, "rate limit exceeded", C::RateLimit);
    check(AnswerFault::NotObject, "\"Too Many Requests\"", C::RateLimit);
    check(AnswerFault::Neither, r#"{"message":"API rate limit exceeded"}"#, C::RateLimit);
    check(AnswerFault::NotJson, "monthly quota of your plan", C::Quota);
    check(AnswerFault::NotJson, "service unavailable", C::ServerError);
    check(AnswerFault::NotJson, "hello", C::MalformedResponse);
    check(AnswerFault::NotJson, "<html>please try again</html>", C::MalformedResponse);
    check(AnswerFault::NotJson, "", C::MalformedResponse);
    check(AnswerFault::NotJson, r#"{"result":"rate limit exceeded"#, C::MalformedResponse);
    check(AnswerFault::OtherId, r#"{"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"rate limit"}}"#, C::MalformedResponse);
    check(AnswerFault::Both, r#"{"id":2,"result":"rate limit","error":{"code":1,"message":"rate limit"}}"#, C::MalformedResponse);
    check(AnswerFault::TooDeep, "[[", C::ResultTooLarge);
}

/// 402 and 403 are about what was asked until a probe is refused too, and other 4xx about this request alone.
#[test]
fn refusals_by_status_blame_nobody() {
    let check = |status, text: &str, want| {
        let text = text.as_bytes();
        for outcome in [CLASSIFIER.status(&context(status), text), CLASSIFIER.error(&context(status), -32000, text, b"")] {
            assert_eq!((outcome.category, outcome.penalty), (want, false), "{status} {}", String::from_utf8_lossy(text));
            assert_eq!(outcome.before_pool, want == C::Forbidden, "{status}");
        }
    };
    for status in [402, 403] {
        check(status, "Forbidden", C::Forbidden);
        check(status, "", C::Forbidden);
        check(status, "unauthorized", C::Forbidden);
    }
    for status in [400, 405, 406, 409, 415, 418, 422, 431, 451] {
        check(status, "invalid request", C::RequestRejected);
        check(status, "", C::RequestRejected);
    }
    assert_eq!(CLASSIFIER.status(&context(401), b"Forbidden").category, C::Auth);
}

proptest! {
    /// Total, and never unsafe: any bytes get an outcome whose parts agree; case and surroundings change nothing.
    #[test]
    fn any_input(status in 100u16..600, code in any::<i64>(), message in prop::collection::vec(any::<u8>(), 0..300),
                 data in prop::collection::vec(any::<u8>(), 0..300), retry in prop::collection::vec(any::<u8>(), 0..20)) {
        let context = Context { retry_after: &retry, ..context(status) };
        for outcome in [CLASSIFIER.error(&context, code, &message, &data), CLASSIFIER.status(&context, &message)] {
            prop_assert!(!outcome.penalty || outcome.verdict == Verdict::NextProvider);
            prop_assert!(!outcome.before_pool || outcome.category.refuses_before_pool());
            prop_assert!(outcome.category.class() == Class::Deterministic || outcome.verdict == Verdict::NextProvider);
            prop_assert!(outcome.retry_after_ms.is_none_or(|ms| ms > 0 && ms <= 3_600_000));
        }
        prop_assert_eq!(CLASSIFIER.status(&context, &message).verdict, Verdict::NextProvider);
        let _ = CLASSIFIER.result(&message);
    }

    /// The automaton finds what a plain search finds.
    #[test]
    fn the_first_group_decides(parts in prop::collection::vec((0usize..GROUPS.len(), 0usize..40, any::<bool>()), 1..4)) {
        let mut text = String::new();
        for (group, phrase, upper) in parts {
            let phrases = GROUPS[group].phrases;
            let phrase = phrases[phrase % phrases.len()];
            text.push_str(&if upper { phrase.to_uppercase() } else { phrase.to_owned() });
            text.push('|');
        }
        let plain = GROUPS.iter().position(|g| g.phrases.iter().any(|p| contains_ignoring_case(text.as_bytes(), p)));
        let found = CLASSIFIER.find(text.as_bytes()).map(std::ptr::from_ref);
        prop_assert_eq!(found, plain.map(|at| std::ptr::from_ref(&GROUPS[at])));
    }
}

/// Every method that may be sent twice stays so whatever was said; kept here because the verdict is about the answer only.
#[test]
fn a_verdict_says_nothing_about_repeating() {
    assert_eq!(method::info(lookup(b"eth_sendRawTransaction")).safety, Safety::RawTransaction);
    let context = Context { method: lookup(b"eth_sendRawTransaction"), ..context(502) };
    let outcome = CLASSIFIER.status(&context, b"");
    assert!(outcome.verdict == Verdict::NextProvider && !outcome.before_pool, "the exchange returns this one as indeterminate");
}
