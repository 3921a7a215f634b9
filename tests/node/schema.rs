//! JSON Schema as far as `config/openapi.json` uses it: a keyword that is not known here fails the test, so nothing in the
//! file can look like a rule and be none.
//!
//! Rejected: the `jsonschema` crate, seventy crates in every test build for the dozen keywords below. That the file is valid
//! OpenAPI 3.1 was checked with openapi-spec-validator when it was written.

use serde_json::Value;

/// What says nothing about a value.
const NOTES: [&str; 4] = ["description", "default", "example", "$comment"];

/// Every breach of `schema` by `value`; `root` is what `$ref` counts from.
pub fn breaches(root: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(root, schema, value, "", &mut found);
    found
}

fn walk(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let rules = match schema {
        Value::Bool(true) => return,
        Value::Bool(false) => return found.push(format!("{at}: nothing may be here, not {value}")),
        Value::Object(rules) => rules,
        other => panic!("no schema: {other}"),
    };
    let mut breach = |ok: bool, what: &str| {
        if !ok {
            found.push(format!("{at}: {value} {what}"));
        }
    };
    let size = |rule: &Value| rule.as_u64().expect("a size") as usize;
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "type" => {
                let types: Vec<&str> =
                    rule.as_str().into_iter().chain(rule.as_array().into_iter().flatten().filter_map(Value::as_str)).collect();
                breach(types.iter().any(|name| is_type(value, name)), &format!("is not {types:?}"));
            }
            "enum" => breach(rule.as_array().expect("a list").contains(value), &format!("is not one of {rule}")),
            "const" => breach(rule == value, &format!("is not {rule}")),
            "minimum" => breach(value.as_f64().is_none_or(|n| n >= rule.as_f64().expect("a number")), "is too small"),
            "maximum" => breach(value.as_f64().is_none_or(|n| n <= rule.as_f64().expect("a number")), "is too large"),
            "minLength" => breach(value.as_str().is_none_or(|s| s.len() >= size(rule)), "is too short"),
            "maxLength" => breach(value.as_str().is_none_or(|s| s.len() <= size(rule)), "is too long"),
            "minItems" => breach(value.as_array().is_none_or(|a| a.len() >= size(rule)), "has too few items"),
            "maxItems" => breach(value.as_array().is_none_or(|a| a.len() <= size(rule)), "has too many items"),
            "format" => {
                assert_eq!(rule, "date-time");
                breach(value.as_str().is_none_or(is_time), "is no time");
            }
            "required" => {
                for name in rule.as_array().expect("names").iter().filter_map(Value::as_str) {
                    breach(value.as_object().is_none_or(|o| o.contains_key(name)), &format!("lacks {name}"));
                }
            }
            // Below.
            "$ref" | "oneOf" | "properties" | "additionalProperties" | "prefixItems" | "items" => {}
            note if NOTES.contains(&note) => {}
            other => panic!("the keyword {other} is not known to this test"),
        }
    }
    if let Some(name) = rules.get("$ref").and_then(Value::as_str) {
        walk(root, root.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not there")), value, at, found);
    }
    if let Some(choices) = rules.get("oneOf").and_then(Value::as_array) {
        let each: Vec<Vec<String>> = choices.iter().map(|choice| breaches(root, choice, value)).collect();
        match each.iter().filter(|breaches| breaches.is_empty()).count() {
            1 => {}
            count => found.push(format!("{at}: {value} is {count} of the choices: {each:?}")),
        }
    }
    below(root, rules, value, at, found);
}

fn below(root: &Value, rules: &serde_json::Map<String, Value>, value: &Value, at: &str, found: &mut Vec<String>) {
    let others = rules.get("additionalProperties").unwrap_or(&Value::Bool(true));
    for (name, member) in value.as_object().into_iter().flatten() {
        let known = rules.get("properties").and_then(|known| known.get(name));
        walk(root, known.unwrap_or(others), member, &format!("{at}.{name}"), found);
    }
    let first = rules.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let rule = first.get(index).or_else(|| rules.get("items")).unwrap_or(&Value::Bool(true));
        walk(root, rule, item, &format!("{at}[{index}]"), found);
    }
}

fn is_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the type {other}"),
    }
}

/// `2026-11-21T09:11:00.123Z`.
fn is_time(text: &str) -> bool {
    let shape = "dddd-dd-ddTdd:dd:dd.dddZ";
    text.len() == shape.len() && text.chars().zip(shape.chars()).all(|(c, s)| if s == 'd' { c.is_ascii_digit() } else { c == s })
}

#[test]
fn each_keyword_refuses_something() {
    let root: Value = serde_json::json!({ "here": { "const": 1 } });
    let check = |schema: &str, good: &str, bad: &str| {
        let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        assert_eq!(breaches(&root, &read(schema), &read(good)), [""; 0], "{schema}");
        assert!(!breaches(&root, &read(schema), &read(bad)).is_empty(), "{schema} takes {bad}");
    };
    check(r#"{"type":"string"}"#, "\"\"", "1");
    check(r#"{"type":["integer","null"]}"#, "null", "1.5");
    check(r#"{"enum":["a",null]}"#, "null", "\"b\"");
    check(r##"{"$ref":"#/here"}"##, "1", "2");
    check(r#"{"minimum":0}"#, "0", "-0.5");
    check(r#"{"maximum":1}"#, "\"text\"", "1.5");
    check(r#"{"minLength":2,"maxLength":3}"#, "\"ab\"", "\"a\"");
    check(r#"{"minLength":2,"maxLength":3}"#, "\"abc\"", "\"abcd\"");
    check(r#"{"minItems":1,"maxItems":2}"#, "[1]", "[]");
    check(r#"{"minItems":1,"maxItems":2}"#, "[1,2]", "[1,2,3]");
    check(r#"{"format":"date-time"}"#, "\"2026-11-21T09:11:00.123Z\"", "\"2026-11-21 09:11:00.123Z\"");
    check(r#"{"required":["a"]}"#, r#"{"a":null}"#, "{}");
    check(r#"{"properties":{"a":{"type":"null"}}}"#, r#"{"a":null,"b":1}"#, r#"{"a":1}"#);
    check(r#"{"properties":{"a":true},"additionalProperties":false}"#, r#"{"a":1}"#, r#"{"b":1}"#);
    check(r#"{"additionalProperties":{"type":"null"}}"#, r#"{"a":null}"#, r#"{"b":1}"#);
    check(r#"{"items":{"type":"null"}}"#, "[null]", "[1]");
    check(r#"{"prefixItems":[{"const":1}],"items":false}"#, "[1]", "[1,2]");
    check(r#"{"prefixItems":[{"const":1}],"items":false}"#, "[1]", "[2]");
    check(r#"{"oneOf":[{"type":"number"},{"type":"integer"}]}"#, "1.5", "1");
    check(r#"{"oneOf":[{"type":"number"},{"type":"null"}]}"#, "null", "\"\"");
}
