//! Providers and clients that mean well and write otherwise: odd envelopes, batches of a size that nobody allows, fields that
//! go through, uploads that are refused half-way.

use crate::harness::{DRIVERS, Lasso, no_limit, profile};
use crate::http::{Client, READ, post};
use crate::provider::{Provider, answer, in_chunks, ok, read_whole_request, with_status, write};
use serde_json::{Value, json};
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// One provider alone that answers calls of `eth_call` with these bytes as its body.
fn says(body: &'static [u8], status: &'static str) -> Provider {
    Provider::new(move |got, stream| {
        if got.method != "eth_call" {
            return write(stream, &answer(&ok(&got.id, "\"0x1\"")));
        }
        let text = body.to_vec();
        let id = text.windows(4).position(|part| part == b"{id}");
        let text = match id {
            Some(at) => [&text[..at], got.id.as_bytes(), &text[at + 4..]].concat(),
            None => text,
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", text.len());
        write(stream, &[head.as_bytes(), &text].concat())
    })
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":"c","method":"eth_call","params":[{},"latest"]}"#;

#[test]
fn errors_in_odd_envelopes_reach_the_client_as_errors() {
    let check = |body: &'static [u8], want: Value| {
        for status in ["200 OK", "400 Bad Request", "500 Internal Server Error"] {
            let provider = says(body, status);
            let lasso = Lasso::start(&no_limit(&[provider.address]), "io_uring");
            let got = post(lasso.address, "/rpc/one", CALL).json();
            assert_eq!(got, json!({"jsonrpc": "2.0", "id": "c", "error": want}), "{status} {}", String::from_utf8_lossy(body));
        }
    };
    let reverted = json!({"code": -32000, "message": "execution reverted"});
    check(br#"{"id":{id},"error":{"code":-32000,"message":"execution reverted"}}"#, reverted.clone());
    check(br#"{"error":"execution reverted"}"#, reverted.clone());
    check(br#"{"jsonrpc":"2.0","id":{id},"result":null,"error":{"code":"-32000","message":"execution reverted"}}"#, reverted);
    check(
        b"{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{\"code\":3,\"message\":\"execution reverted: \xff\"}}",
        json!({"code": 3, "message": "execution reverted: \u{fffd}"}),
    );
}

/// Held and passed on as they come: what a client reads has the version, its id and the result, and nothing else that means
/// something.
#[test]
fn results_in_odd_envelopes_reach_the_client_as_results() {
    for bytes in [4, 2 << 20] {
        let result = format!("\"0x{}\"", "ab".repeat(bytes / 2));
        for form in [
            r#"{"id":{id},"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":{id},"error":null,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":{id},"result":{} , "error" : null}"#,
            r#"{"jsonrpc":"2.0","id":{id},"result":{},"error":null,"took":3}"#,
            r#"{"result":{},"error":null,"id":{id}}"#,
            r#"{"jsonrpc":1.0,"id":{id},"result":{}}"#,
        ] {
            for chunked in [false, true] {
                let result = result.clone();
                let provider = Provider::new(move |got, stream| {
                    let body = form.replacen("{id}", &got.id, 1).replacen("{}", &result, 1);
                    write(stream, &if chunked { in_chunks(body.as_bytes(), &[50_000]) } else { answer(&body) })
                });
                let lasso = Lasso::start(&no_limit(&[provider.address]), "io_uring");
                for request in [READ.to_owned(), READ.replacen("\"id\":1", "\"id\":1.50", 1), format!("[{READ}]")] {
                    let got = post(lasso.address, "/rpc/one", &request);
                    assert!(got.is_whole, "{form} {bytes} {chunked}");
                    let whole = got.json();
                    let mut one = if whole.is_array() { whole[0].clone() } else { whole };
                    let fields = one.as_object_mut().expect("an object");
                    fields.remove("took");
                    let mut keys: Vec<&String> = fields.keys().collect();
                    keys.sort();
                    assert_eq!(keys, ["id", "jsonrpc", "result"], "{form} {bytes} {chunked}");
                    assert_eq!(fields["jsonrpc"], "2.0");
                    assert_eq!(fields["result"].as_str().map(str::len), Some(2 + bytes));
                    let id = if request.contains("1.50") { "\"id\":1.50" } else { "\"id\":1" };
                    assert!(got.text().contains(id), "{form}");
                }
            }
        }
    }
}

/// A gateway that says with 200 and in its own words that it is enough: the next provider answers.
#[test]
fn a_gateways_own_words_are_read() {
    for (status, text) in
        [("200 OK", "rate limit exceeded"), ("200 OK", r#"{"message":"Too many requests"}"#), ("403 Forbidden", "no")]
    {
        let limited = Provider::new(move |_, stream| write(stream, &with_status(status, "", text)));
        let good = Provider::good("\"0x600d\"");
        let lasso = Lasso::start(&no_limit(&[limited.address, good.address]), "io_uring");
        for _ in 0..3 {
            assert_eq!(post(lasso.address, "/rpc/one", READ).json()["result"], "0x600d", "{status} {text}");
        }
    }
}

/// Clients that batch by themselves look for each id: a batch that is refused whole has an error for each.
#[test]
fn a_batch_that_is_refused_has_an_error_for_each_call() {
    let provider = Provider::good("\"0x1\"");
    let item = |id: &str| READ.replacen("\"id\":1", &format!("\"id\":{id}"), 1);
    let silent = READ.replacen("\"id\":1,", "", 1);
    for driver in DRIVERS {
        let lasso = Lasso::start(&profile(&[provider.address], "rps_limit: 1\nburst_limit: 5\nmax_batch_items: 8"), driver);
        let mut client = Client::new(lasso.address);
        let ids = ["1", "\"a\"", "null", "2.50"];
        let check = |client: &mut Client, more: usize, status: u16, code: i64, max: u64| {
            let mut items: Vec<String> = ids.iter().map(|id| item(id)).collect();
            items.push(silent.clone());
            items.extend(vec![item("7"); more]);
            let got = client.post("/rpc/one", &format!("[{}]", items.join(",")));
            let all = got.json();
            assert_eq!((got.status, all.as_array().map(Vec::len)), (status, Some(4 + more)), "{driver}: {}", got.text());
            for one in all.as_array().expect("a list") {
                assert_eq!((&one["error"]["code"], &one["error"]["data"]["max_items"]), (&json!(code), &json!(max)), "{driver}");
            }
            assert!(ids.iter().all(|id| got.text().contains(&format!("\"id\":{id}"))), "{}", got.text());
        };
        check(&mut client, 4, 200, -32600, 8);
        check(&mut client, 1, 429, -32005, 5);
    }
}

#[test]
fn named_fields_of_clients_go_to_those_who_may_have_them() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("its address");
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = heads.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, seen) = (stream.expect("a connection"), seen.clone());
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
                while let Some((head, body)) = read_whole_request(&mut reader) {
                    let id = serde_json::from_str::<Value>(&body).expect("a call")["id"].to_string();
                    if body.contains("eth_getBalance") {
                        seen.lock().expect("no panic").push(head.to_ascii_lowercase());
                    }
                    write(&mut stream, &answer(&ok(&id, "\"0x1\"")));
                }
            });
        }
    });
    let lasso = Lasso::start(&profile(&[at], "rps_limit: 0\nforward_headers: [X-Flashbots-Signature]"), "io_uring");
    let fields = "x-flashbots-SIGNATURE: 0x12:0xab\r\nx-other: 1\r\nauthorization: Bearer mine\r\n";
    let got = Client::new(lasso.address).post_with("/rpc/one", fields, &format!("[{READ},{READ}]"));
    assert_eq!(got.json()[1]["result"], "0x1");
    let heads = heads.lock().expect("no panic");
    assert_eq!(heads.len(), 2);
    for head in heads.iter() {
        assert!(head.contains("\nx-flashbots-signature: 0x12:0xab\r\n"), "{head}");
        assert!(!head.contains("x-other") && !head.contains("mine"), "{head}");
    }
}

/// The refusal comes before the body is there; the client writes on, and reads it all the same.
#[test]
fn a_refusal_in_the_middle_of_an_upload_can_be_read() {
    for driver in DRIVERS {
        let provider = Provider::good("\"0x1\"");
        let lasso = Lasso::start(&no_limit(&[provider.address]), driver);
        let mut stream = TcpStream::connect(lasso.address).expect("the node accepts");
        let length = 30 << 20;
        let head =
            format!("POST /rpc/one HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("a head");
        let piece = vec![b' '; 1 << 20];
        for _ in 0..30 {
            stream.write_all(&piece).expect("all of it is taken");
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("no reset");
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("8000000"), "{driver}: {answer}");
    }
}
