//! Request bodies: what is let through is JSON and says to another parser what it says to us, and comes out of
//! re-emission canonical and unchanged.
#![no_main]

use lasso::wire::json::valid;
use lasso::wire::jsonrpc::{Body, Id, ParamsKind, Request, RequestFault, scan_body, scan_item, write_call};
use lasso_fuzz::json::{Members, is_json, string};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match scan_body(data) {
        Ok(Body::Single(request)) => {
            assert!(is_json(data) && valid(data));
            check(data, data, &request);
        }
        Ok(Body::Batch(items)) => {
            assert!(is_json(data) && valid(data));
            for item in items {
                let alone = item.of(data);
                assert!(valid(alone));
                match (scan_item(data, item), scan_body(alone)) {
                    (Ok(request), Ok(Body::Single(_))) => check(data, alone, &request),
                    (Err(fault), Err(other)) => assert_eq!((fault.code(), fault.message()), (other.code(), other.message())),
                    (Err(fault), Ok(Body::Batch(_))) => assert_eq!(fault.code(), -32600),
                    (one, other) => panic!("{one:?} in a batch, {other:?} alone"),
                }
            }
        }
        Err(RequestFault::TooDeep) => assert!(!valid(data)),
        Err(RequestFault::Parse) => assert!(!is_json(data) && !valid(data)),
        Err(fault) => {
            assert!(is_json(data) && valid(data));
            assert!(fault.id().is_empty() || is_json(fault.id().of(data)));
        }
    }
});

fn check(buf: &[u8], text: &[u8], request: &Request) {
    let Some(members) = Members::of(text) else { return };
    for name in ["jsonrpc", "id", "method", "params"] {
        assert!(members.count(name) == members.get(name).map_or(0, |_| 1), "{name}");
    }
    let method = members.get("method").and_then(string).expect("a method");
    assert_eq!(request.method.of(buf), method.as_bytes());
    assert!(members.get("jsonrpc").is_none_or(|version| string(version).as_deref() == Some("2.0")));
    match (members.get("id"), request.id) {
        (None, Id::Absent) | (Some("null"), Id::Null) => {}
        (Some(id), Id::Value) => assert_eq!(request.id_span.of(buf), id.as_bytes()),
        (id, kind) => panic!("{id:?} is {kind:?}"),
    }
    if request.params_kind == ParamsKind::None {
        assert!(matches!(members.get("params"), None | Some("null")));
    } else {
        assert_eq!(request.params.of(buf), members.get("params").expect("params").as_bytes());
    }
    assert!(!request.canonical || members.0.len() == 4);

    let mut call = Vec::new();
    write_call(&mut call, b"1", request.method.of(buf), request.params.of(buf), request.params_kind);
    // Wrapping in a list is one level more, which may be one too many. Parameters by name stay as they are.
    let wrapped = request.params_kind == ParamsKind::Scalar;
    match scan_body(&call) {
        Ok(Body::Single(again)) => {
            assert!(again.canonical || request.params_kind == ParamsKind::Object);
            assert_eq!(again.method.of(&call), method.as_bytes());
        }
        Err(RequestFault::TooDeep) => assert!(wrapped),
        other => panic!("{other:?}"),
    }
}
