//! Which spellings are the same subscription, which are not, and which are refused.

use super::*;

const A: &str = "0x00000000000000000000000000000000000000aa";
const B: &str = "0x00000000000000000000000000000000000000bb";
const T: &str = "0x0000000000000000000000000000000000000000000000000000000000000011";
const U: &str = "0x00000000000000000000000000000000000000000000000000000000000000f2";

/// `$A`, `$B`, `$T`, `$U` stand for the addresses and topics; `$a`, `$u` for ones in upper case.
fn spelled(text: &str) -> String {
    let text = text.replace("$A", A).replace("$B", B).replace("$T", T).replace("$U", U);
    text.replace("$a", &A.to_uppercase()).replace("$u", &U.replace('f', "F"))
}

#[test]
fn spellings_of_one_subscription_have_one_key() {
    let check = |canonical: &str, spellings: &[&str]| {
        let canonical = spelled(canonical);
        for spelling in spellings.iter().map(|text| spelled(text)).chain([canonical.clone()]) {
            let key = Key::parse(spelling.as_bytes()).unwrap_or_else(|why| panic!("{spelling}: {why}"));
            assert_eq!(String::from_utf8_lossy(&key.params()), canonical, "{spelling}");
            assert_eq!(Key::parse(canonical.as_bytes()), Ok(key));
        }
    };
    check(r#"["newHeads"]"#, &[r#"["newHeads",{}]"#, r#"[ "new\u0048eads" , 7 ]"#]);
    check(r#"["syncing"]"#, &[]);
    check(r#"["newPendingTransactions"]"#, &[r#"["newPendingTransactions",false]"#, r#"["newPendingTransactions",null]"#]);
    check(r#"["newPendingTransactions",true]"#, &[]);
    let any = [
        r#"["logs"]"#,
        r#"["logs",null]"#,
        r#"["logs",{"address":null,"topics":null,"fromBlock":null}]"#,
        r#"["logs",{"address":[],"topics":[]}]"#,
        r#"["logs",{"topics":[null,[],[null]],"fromBlock":"latest","toBlock":"latest","limit":5}]"#,
        r#"["logs",{"fromBlock":"0x0"}]"#,
        r#"["logs",{"fromBlock":"earliest"}]"#,
    ];
    check(r#"["logs",{}]"#, &any);
    check(r#"["logs",{"address":["$A"]}]"#, &[r#"["logs",{"address":"$A"}]"#, r#"["logs",{"address":["$a","$A",null]}]"#]);
    check(r#"["logs",{"address":["$A","$B"]}]"#, &[r#"["logs",{"address":["$B","$a"]}]"#]);
    check(
        r#"["logs",{"topics":[["$T"]]}]"#,
        &[r#"["logs",{"topics":["$T",null,null]}]"#, r#"["logs",{"topics":[["$T","$T"]]}]"#],
    );
    check(r#"["logs",{"topics":[null,["$T","$U"]]}]"#, &[r#"["logs",{"topics":[[],["$u","$T"],[]]}]"#]);
    check(r#"["logs",{"topics":[null,["$T"]]}]"#, &[r#"["logs",{"topics":[["$U",null],"$T"]}]"#]);
    check(r#"["logs",{"fromBlock":"0x10","toBlock":"0x20"}]"#, &[r#"["logs",{"toBlock":"0x020","fromBlock":"0X10"}]"#]);
}

#[test]
fn different_subscriptions_have_different_keys() {
    let texts = [
        r#"["newHeads"]"#,
        r#"["syncing"]"#,
        r#"["newPendingTransactions"]"#,
        r#"["newPendingTransactions",true]"#,
        r#"["logs"]"#,
        r#"["logs",{"address":"$A"}]"#,
        r#"["logs",{"address":"$B"}]"#,
        r#"["logs",{"address":["$A","$B"]}]"#,
        r#"["logs",{"topics":["$T"]}]"#,
        r#"["logs",{"topics":[null,"$T"]}]"#,
        r#"["logs",{"topics":["$T","$U"]}]"#,
        r#"["logs",{"topics":["$U","$T"]}]"#,
        r#"["logs",{"topics":[["$U","$T"]]}]"#,
        r#"["logs",{"fromBlock":"0x1"}]"#,
        r#"["logs",{"toBlock":"0x1"}]"#,
    ];
    let keys: std::collections::BTreeSet<Key> = texts.iter().filter_map(|t| Key::parse(spelled(t).as_bytes()).ok()).collect();
    assert_eq!(keys.len(), texts.len());
}

#[test]
fn malformed_params_are_refused() {
    let many = |n: usize, item: &str| vec![format!("\"{}\"", spelled(item)); n].join(",");
    let check = |text: &str, why: &str| {
        let error = Key::parse(spelled(text).as_bytes()).expect_err(text);
        assert!(error.starts_with("Invalid subscription parameters: ") && error.contains(why), "{text}: {error}");
    };
    check("", "list");
    check("{}", "list");
    check("null", "list");
    check("[]", "the first");
    check("[null]", "the first");
    check(r#"["newheads"]"#, "the first");
    check(r#"[["newHeads"]]"#, "the first");
    check(r#"["newPendingTransactions",{}]"#, "true or false");
    check(r#"["logs",[]]"#, "object");
    check(r#"["logs","0x1"]"#, "object");
    check(r#"["logs",{"address":7}]"#, "40 hex digits");
    check(r#"["logs",{"address":"$T"}]"#, "40 hex digits");
    check(r#"["logs",{"address":["$A",["$A"]]}]"#, "40 hex digits");
    check(r#"["logs",{"topics":"$T"}]"#, "list");
    check(r#"["logs",{"topics":["$A"]}]"#, "64 hex digits");
    check(r#"["logs",{"topics":[["$T","0xzz"]]}]"#, "64 hex digits");
    check(r#"["logs",{"topics":[["0xzz",null]]}]"#, "64 hex digits");
    check(r#"["logs",{"topics":[null,null,null,null,null]}]"#, "at most 4");
    check(r#"["logs",{"blockHash":"$T"}]"#, "blockHash");
    check(r#"["logs",{"fromBlock":"pending"}]"#, "fromBlock");
    check(r#"["logs",{"toBlock":"earliest"}]"#, "toBlock");
    check(r#"["logs",{"toBlock":5}]"#, "toBlock");
    check(r#"["logs",{"fromBlock":"0x3","toBlock":"0x2"}]"#, "above");
    check(&format!("[\"logs\",{{\"address\":[{}]}}]", many(1001, "$A")), "at most 1000");
    check(&format!("[\"logs\",{{\"topics\":[[{}]]}}]", many(1001, "$T")), "at most 1000");
    assert!(Key::parse(format!("[\"logs\",{{\"address\":[{}]}}]", many(1000, "$A")).as_bytes()).is_ok());
}

#[test]
fn a_token_names_a_block_and_changes_no_key() {
    let hash = format!("0x{}", "7f".repeat(32));
    let parse = |text: &str| SubscribeCall::parse(spelled(text).replace("$H", &hash).as_bytes());
    let good = |text: &str, key: &str| {
        let call = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        assert_eq!((Ok(call.key), call.resume), (Key::parse(spelled(key).as_bytes()), Some(BlockHash([0x7f; 32]))), "{text}");
    };
    good(r#"["newHeads",{"lasso_resume":{"block":"$H"}}]"#, r#"["newHeads"]"#);
    good(r#"["logs",{"lasso_resume":{"block":"$H"}}]"#, r#"["logs"]"#);
    good(r#"["logs",{"address":"$A"},{"lasso_resume":{"block":"$H"}}]"#, r#"["logs",{"address":"$A"}]"#);
    let bad = |text: &str, why: &str| {
        let got = parse(text).expect_err(text);
        assert!(got.contains(why), "{text}: {got}");
    };
    bad(r#"["newHeads",{"lasso_resume":{"block":"0x12"}}]"#, "must be a hash");
    bad(r#"["newHeads",{"lasso_resume":{"block":7}}]"#, "must be a hash");
    bad(r#"["newHeads",{"lasso_resume":"$H"}]"#, "lasso_resume must be {");
    bad(r#"["newHeads",{"lasso_resume":{"block":"$H","log":1}}]"#, "lasso_resume must be {");
    bad(r#"["logs",{"address":"$A","lasso_resume":{"block":"$H"}}]"#, "the only key");
    bad(r#"["logs",{"lasso_resume":{"block":"$H"}},{"address":"$A"}]"#, "must be the last parameter");
    bad(r#"["newPendingTransactions",{"lasso_resume":{"block":"$H"}}]"#, "cannot be resumed");
    bad(r#"["syncing",{"lasso_resume":{"block":"$H"}}]"#, "cannot be resumed");
    assert_eq!(parse(r#"["newHeads"]"#).map(|call| call.resume), Ok(None));
}
