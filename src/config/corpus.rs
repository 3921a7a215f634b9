//! Wrong profiles, each with the problems it must give: line, what, remedy. Everything goes through `load`.

use crate::config::{Loaded, Problem, SourceFile, load};

pub(super) fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.to_owned(), text: text.to_owned() }
}

pub(super) fn variables(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("s3cretkey".to_owned()),
        "NUMBER" => Some("8453".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

pub(super) fn load_one(text: &str) -> Result<Loaded, Vec<Problem>> {
    load(&[file("default.yml", text)], &variables)
}

/// A profile around these lines of a provider, the first of which is line 7.
fn provider(lines: &str) -> String {
    let head = "chains:\n  c:\n    chain_id: 1\n    providers:\n      - id: p\n        url: http://h\n";
    format!("{head}{}", indent(lines, 8))
}

/// A profile around these lines of a chain, the first of which is line 5.
fn chain(lines: &str) -> String {
    format!("chains:\n  c:\n    chain_id: 1\n{OK_PROVIDERS}{}", indent(lines, 4))
}

fn indent(lines: &str, by: usize) -> String {
    lines.lines().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

const OK_PROVIDERS: &str = "    providers: [{id: p, url: http://h}]\n";

/// Exactly these problems: (line, part of the text).
fn check(text: &str, want: &[(u32, &str)]) {
    let problems = load_one(text).err().unwrap_or_else(|| panic!("no problem found in:\n{text}"));
    let shown: Vec<String> = problems.iter().map(Problem::to_string).collect();
    assert_eq!(problems.len(), want.len(), "{text}\n{shown:#?}");
    for (problem, (line, part)) in problems.iter().zip(want) {
        assert_eq!(problem.line, *line, "{text}\n{shown:#?}");
        assert!(problem.to_string().contains(part), "{part:?} not in {shown:#?} for:\n{text}");
        assert!(!problem.remedy.is_empty() && !problem.what.is_empty());
    }
    let mut sorted = problems.clone();
    sorted.sort();
    assert_eq!(sorted, problems);
}

fn check_provider(lines: &str, want: &[(u32, &str)]) {
    check(&provider(lines), want);
}

fn check_chain(lines: &str, want: &[(u32, &str)]) {
    check(&chain(lines), want);
}

#[test]
fn the_frames_themselves_are_good() {
    assert!(load_one(&provider("")).is_ok() && load_one(&chain("")).is_ok() && load_one(BODY).is_ok());
}

#[test]
fn syntax_and_shape() {
    check("", &[(1, "the file is empty")]);
    check("# only\n# comments\n", &[(1, "the file is empty")]);
    check("just text\n", &[(1, "a profile must be a mapping, not text")]);
    check("- a\n- b\n", &[(1, "a profile must be a mapping, not a list")]);
    check("chains:\n  c: [1\n", &[(3, "not valid YAML")]);
    check("chains:\n\tc: 1\n", &[(2, "not valid YAML")]);
    check("chains: *gone\n", &[(1, "unknown anchor")]);
    check("a: \"\n", &[(2, "not valid YAML")]);
    check("name: x\nslug: default\n", &[(1, "the profile has no chains")]);
    check("chains: {}\n", &[(1, "the profile has no chains")]);
    check("name: a\nchains: []\n", &[(2, "chains must be a mapping, not a list")]);
    check("chains:\n", &[(1, "the profile has no chains")]);
    check("chains:\n  c:\n", &[(2, "the chain c is empty")]);
    check("chains:\n  c: 1\n", &[(2, "the chain c must be a mapping, not a whole number")]);
    check("---\na: 1\n---\nb: 1\n---\nc: 1\n", &[(6, "a third --- document")]);
    check("chains: !weird {}\n", &[(1, "chains must be a mapping, not a tagged value")]);
    check(
        "? [a]\n: b\nchains:\n  c: {chain_id: 1, providers: [{id: p, url: http://h}]}\n",
        &[(1, "a key must be text, not a list")],
    );
}

const BODY: &str = "chains:\n  c: {chain_id: 1, providers: [{id: p, url: http://h}]}\n";

#[test]
fn profile_keys() {
    let front = |lines: &str, want: &[(u32, &str)]| check(&format!("---\n{lines}---\n{BODY}"), want);
    front("name: x\n", &[(2, "the front matter has no slug (add slug: default)")]);
    front("slug: default\n", &[(2, "the front matter has no name")]);
    front("name: x\nslug: other\n", &[(3, "slug \"other\" is not the file's name \"default\"")]);
    front("name: x\nslug: default\nrps_limits: 5\n", &[(4, "unknown key \"rps_limits\" (did you mean \"rps_limit\"?)")]);
    front("name: x\nslug: default\nrps_limit: lots\n", &[(4, "rps_limit must be a whole number, not text")]);
    front("name: x\nslug: default\nrps_limit: -1\n", &[(4, "rps_limit is -1, which is too small (at least 0)")]);
    front("name: x\nslug: default\nrps_limit: 1.5\n", &[(4, "rps_limit must be a whole number, not a number with a fraction")]);
    front("name: x\nslug: default\nrps_limit: 99999999999\n", &[(4, "rps_limit is 99999999999, which is too large")]);
    front("name: x\nslug: default\nrps_limit: 99999999999999999999\n", &[(4, "99999999999999999999, which is too large")]);
    front("name: x\nslug: default\nmax_batch_items: 0\n", &[(4, "max_batch_items is 0, which is too small (at least 1)")]);
    front("name: x\nslug: default\nmax_batch_items: 10001\n", &[(4, "which is too large (at most 10000)")]);
    front("name: x\nslug: default\nforward_headers: [x-a, Host]\n", &[(4, "the header name \"Host\" is set by lasso itself")]);
    front("name: x\nslug: default\nforward_headers: [Authorization]\n", &[(4, "is never passed on (delete it)")]);
    front("name: x\nslug: default\nforward_headers: [x b]\n", &[(4, "is not allowed in HTTP")]);
    front("name: x\nslug: default\nburst_limit: 0\n", &[(4, "burst_limit is 0, which is too small (at least 1)")]);
    front(
        "name: x\nslug: default\nrps_limit: 1\ndefault_rps_limit: 2\n",
        &[(5, "default_rps_limit is another name of rps_limit")],
    );
    front("name: x\nname: y\nslug: default\n", &[(3, "name is given twice")]);
    front("name: 7\nslug: default\n", &[(2, "name must be a text, not a whole number (put it in quotes)")]);
    front("name: \"\"\nslug: default\n", &[(2, "name is empty")]);
    front("name: \"a\\nb\"\nslug: default\n", &[(2, "line break")]);
    front("name: x\nslug: default\nunlisted: maybe\n", &[(4, "unlisted must be true or false, not text")]);
    front("name: x\nslug: default\nlogo: ../x.png\n", &[(4, "logo is no file name")]);
    front("name: x\nslug: default\napi_keys: [a]\n", &[(4, "api_keys is not available in this version")]);
    front("name: x\nslug: default\nchains: {}\n", &[(4, "the profile has no chains"), (6, "chains is given twice")]);
    front("name: x\nslug: default\nbanana: 1\n", &[(4, "known keys here: name, slug")]);
    front("name: x\nslug: default\nchain_id: 1\n", &[(4, "chain_id belongs to chains.<chain>")]);
    front(
        "name: x\nslug: default\nrouting: {default_strategy: fast}\n",
        &[(4, "default_strategy is \"fast\", which is no strategy")],
    );
    front("name: x\nslug: default\nrouting: {default_strategy: fastes}\n", &[(4, "did you mean \"fastest\"?")]);
}

#[test]
fn chain_keys() {
    check(&format!("chains:\n  c:\n{OK_PROVIDERS}"), &[(2, "the chain c has no chain_id")]);
    for (id, part) in
        [("0", "chain_id is 0, which is too small"), ("x", "must be a whole number"), ("-5", "too small"), ("1.0", "fraction")]
    {
        check(&format!("chains:\n  c:\n    chain_id: {id}\n{OK_PROVIDERS}"), &[(3, part)]);
    }
    check("chains:\n  c:\n    chain_id: 1\n", &[(2, "the chain c has no providers")]);
    check("chains:\n  c:\n    chain_id: 1\n    providers: []\n", &[(4, "the chain c has no providers")]);
    check("chains:\n  c:\n    chain_id: 1\n    providers: {}\n", &[(4, "providers must be a list, not a mapping")]);
    check_chain("block_time_ms: 0", &[(5, "block_time_ms is 0")]);
    check_chain("max_lag_blocks: 1", &[(5, "max_lag_blocks belongs to chains.<chain>.selection")]);
    check_chain("selection: 1", &[(5, "selection must be a mapping")]);
    check_chain("selection:\n  max_lag_block: 1", &[(6, "did you mean \"max_lag_blocks\"?")]);
    check_chain("selection:\n  max_lag_blocks: -1", &[(6, "max_lag_blocks is -1")]);
    check_chain("monitoring:\n  probe_interval_ms: 0", &[(6, "probe_interval_ms is 0")]);
    check_chain("monitoring:\n  lag_threshold_blocks: 1\n  lag_alert_threshold_blocks: 2", &[(7, "is given")]);
    check_chain("websocket:\n  subscribe_new_heads: 1", &[(6, "subscribe_new_heads must be true or false, not a whole number")]);
    check_chain("websocket:\n  failover:\n    max_backfill: 3", &[(7, "unknown key \"max_backfill\"")]);
    check_chain("ui-topology:\n  color: red", &[(6, "color is no hex color")]);
    check_chain("ui-topology:\n  color: #627EEA\n  size: huge", &[(7, "size is \"huge\"")]);
    check_chain("ui-topology:\n  size: [sm]", &[(6, "size must be a text, not a list")]);
    check_chain("url_aliases: eth", &[(5, "url_aliases must be a list, not text")]);
    check_chain("url_aliases: [1]", &[(5, "each item of url_aliases must be a text")]);
    check_chain("aliases: ['']", &[(5, "is empty")]);
    check_chain("aliases: [a/b]", &[(5, "the alias \"a/b\" has characters")]);
    for word in
        ["provider", "profile", "priority", "fastest", "load-balanced", "load_balanced", "round-robin", "latency-weighted"]
    {
        check_chain(&format!("aliases:\n  - {word}"), &[(6, "is a word of our URLs")]);
        check(&format!("chains:\n  {word}:\n    chain_id: 1\n{OK_PROVIDERS}"), &[(2, "is a word of our URLs")]);
    }
}

#[test]
fn chains_beside_each_other() {
    let two = |first: &str, second: &str| format!("chains:\n  {first}\n  {second}\n");
    let p = "providers: [{id: p, url: http://h}]";
    let check2 = |a: &str, b: &str, part: &str| check(&two(a, b), &[(3, part)]);
    check2(&format!("a: {{chain_id: 1, {p}}}"), &format!("b: {{chain_id: 1, {p}}}"), "chain_id 1 is the chain a already");
    check2(&format!("a: {{chain_id: 1, {p}}}"), &format!("a: {{chain_id: 2, {p}}}"), "is a name of the chain a already");
    check2(
        &format!("a: {{chain_id: 1, aliases: [x], {p}}}"),
        &format!("b: {{chain_id: 2, aliases: [x], {p}}}"),
        "the alias \"x\" is a name of the chain a",
    );
    check2(
        &format!("a: {{chain_id: 1, {p}}}"),
        &format!("b: {{chain_id: 2, aliases: [a], {p}}}"),
        "the alias \"a\" is a name of the chain a",
    );
    check2(
        &format!("a: {{chain_id: 1, {p}}}"),
        &format!("b: {{chain_id: 2, aliases: ['1'], {p}}}"),
        "the alias \"1\" is the chain_id of the chain a",
    );
    check2(
        &format!("a: {{chain_id: 7, {p}}}"),
        &format!("7: {{chain_id: 2, {p}}}"),
        "the chain \"7\" is the chain_id of the chain a",
    );
    // The later chain's key meets the earlier chain's alias at the key.
    check2(
        &format!("a: {{chain_id: 1, aliases: [b], {p}}}"),
        &format!("b: {{chain_id: 2, {p}}}"),
        "the chain \"b\" is a name of the chain a",
    );
    // An alias that is its own decimal id, or repeats the key, is fine.
    assert!(
        load_one(&two(&format!("a: {{chain_id: 1, aliases: ['1', a, a], {p}}}"), &format!("9: {{chain_id: 9, {p}}}"))).is_ok()
    );
}

#[test]
fn provider_keys() {
    check("chains:\n  c:\n    chain_id: 1\n    providers:\n      - url: http://h\n", &[(5, "a provider has no id")]);
    check("chains:\n  c:\n    chain_id: 1\n    providers:\n      - id: p\n", &[(5, "neither url nor ws_url")]);
    check("chains:\n  c:\n    chain_id: 1\n    providers:\n      - p\n", &[(5, "a provider must be a mapping, not text")]);
    check(
        "chains:\n  c:\n    chain_id: 1\n    providers:\n      - {id: a/b, url: http://h}\n",
        &[(5, "characters that do not fit")],
    );
    check_provider("id: q", &[(7, "id is given twice")]);
    check_provider("uri: http://h", &[(7, "did you mean \"url\"?")]);
    check_provider("priority: high", &[(7, "priority must be a whole number")]);
    check_provider("priority: -1", &[(7, "priority is -1")]);
    check_provider("ws_url: https://h", &[(7, "ws_url has an http:// or https:// URL (move it to url")]);
    check_provider("ws_url: h:80", &[(7, "ws_url does not start with ws://")]);
    check_provider("ws_url: 5", &[(7, "ws_url must be a text")]);
    check_provider("archival: 'yes'", &[(7, "archival must be true or false")]);
    check_provider("sharing_mode: alone", &[(7, "sharing_mode is \"alone\", which is not known (one of auto, isolated)")]);
    check_provider("max_connections: 0", &[(7, "max_connections is 0")]);
    check_provider("max_connections: 70000", &[(7, "too large (at most 65536)")]);
    check_provider("http2: sometimes", &[(7, "http2 is \"sometimes\"")]);
    check_provider("regions: eu", &[(7, "regions must be a list")]);
    check_provider("region_urls:\n  eu: {}", &[(8, "neither url nor ws_url")]);
    check_provider("region_urls:\n  eu: {url: ftp://x}", &[(8, "url does not start with http://")]);
    check_provider("region_urls:\n  eu: {uri: http://x}", &[(8, "neither"), (8, "unknown key \"uri\"")]);
    check_provider("headers: [a]", &[(7, "headers must be a mapping")]);
    check_provider("headers:\n  'a b': c", &[(8, "is not allowed in HTTP")]);
    check_provider("headers:\n  Content-Length: '5'", &[(8, "is set by lasso itself")]);
    check_provider("headers:\n  Host: x", &[(8, "is set by lasso itself")]);
    check_provider("headers:\n  x-a: '1'\n  X-A: '2'", &[(9, "the header x-a is given twice")]);
    check_provider("headers:\n  x-a: 5", &[(8, "the header x-a must be a text, not a whole number (put it in quotes)")]);
    check_provider("headers:\n  x-a: \"a\\r\\nb\"", &[(8, "line break")]);
    check_provider("auth_headers:\n  x-a: \"\u{e9}\"", &[(8, "a character that a header cannot carry")]);
    check_provider("api_key: \"a\u{e9}\"", &[(7, "api_key has a character")]);
    check_provider("api_key:\n  x: y", &[(7, "api_key must be a text, not a mapping")]);
    check_provider("credentials: {user: 1}", &[(7, "each value of credentials must be a text")]);
    let many: String = (0..65).map(|i| format!("      - {{id: p{i}, url: http://h{i}}}\n")).collect();
    check(
        &format!("chains:\n  c:\n    chain_id: 1\n    providers:\n{many}"),
        &[(69, "provider 65 of the chain c: a chain has at most 64")],
    );
    let twice = "      - {id: p, url: http://h1}\n      - {id: p, url: http://h2}\n";
    check(
        &format!("chains:\n  c:\n    chain_id: 1\n    providers:\n{twice}"),
        &[(6, "two providers of the chain c have the id p")],
    );
}

#[test]
fn urls() {
    let url = |url: &str, part: &str| {
        check(&format!("chains:\n  c:\n    chain_id: 1\n    providers:\n      - id: p\n        url: \"{url}\"\n"), &[(6, part)]);
    };
    url("eth.drpc.org", "does not start with http:// or https://");
    url("wss://h", "move it to ws_url");
    url("http://h:99999/k3yk3yk3y", "port");
    url("http:///x", "no host");
    url("http://h h/", "space");
    url("http://h/#x", "#");
    url("http://256.0.0.1/", "IPv4");
    url("http://user:pa ss@h/", "space");
    url("", "url is empty");
}

#[test]
fn variables_are_named() {
    check_provider("api_key: ${NOPE}", &[(7, "the variable ${NOPE} is not set (set NOPE in the environment")]);
    check_provider("api_key: ${EMPTY}", &[(7, "${EMPTY} is set but empty")]);
    check_provider("api_key: ${KEY", &[(7, "has no closing }")]);
    check_provider("headers:\n  x-a: a${NOPE}b${NADA}", &[(8, "${NADA}"), (8, "${NOPE}")]);
    check_provider("name: ${1X}", &[(7, "does not name a variable")]);
    check(
        "chains:\n  c:\n    chain_id: ${NOPE}\n    providers: [{id: p, url: 'http://h/${GONE}'}]\n",
        &[(3, "NOPE"), (4, "GONE")],
    );
    check(
        "chains:\n  c:\n    chain_id: ${KEY}\n    providers: [{id: p, url: http://h}]\n",
        &[(3, "chain_id must be a whole number, not text")],
    );
    let filled =
        "chains:\n  c:\n    chain_id: ${NUMBER}\n    providers: [{id: p, url: 'http://h/${KEY}', archival: '${A:-false}'}]\n";
    let top = load_one(filled).expect("filled in").topology;
    let chain = top.profiles.values().next().and_then(|p| p.chains.values().next()).expect("a chain");
    assert_eq!((chain.chain_number, chain.providers.values().next().map(|p| p.archival)), (8453, Some(false)));
}

#[test]
fn capabilities() {
    let caps = |lines: &str, want: &[(u32, &str)]| check_provider(&format!("capabilities:\n{}", indent(lines, 2)), want);
    check_provider("capabilities: [debug]", &[(7, "capabilities must be a mapping")]);
    caps("unsupported_category: [debug]", &[(8, "did you mean \"unsupported_categories\"?")]);
    caps("unsupported_categories: [debug, traces]", &[(8, "\"traces\" is no method category (did you mean \"trace\"?)")]);
    caps("unsupported_categories:\n  - debug\n  - banana", &[(10, "is no method category (one of core, state")]);
    caps("unsupported_categories: debug", &[(8, "must be a list")]);
    caps("unsupported_methods: [1]", &[(8, "must be a text")]);
    caps("unsupported_methods: ['eth getLogs']", &[(8, "no method name")]);
    caps("limits: 5", &[(8, "limits must be a mapping")]);
    caps("limits: {max_block_range: -1}", &[(8, "max_block_range is -1")]);
    caps("limits: {max_block_age: old, block_age_methods: [eth_call]}", &[(8, "max_block_age must be a whole number")]);
    caps("limits: {max_block_age: 5, block_age_methods: eth_call}", &[(8, "must be a list")]);
    caps("max_block_range: 5", &[(8, "belongs to chains.<chain>.providers[].capabilities.limits")]);
    caps("error_rules: {}", &[(8, "error_rules must be a list")]);
    caps("error_rules:\n  - category: rate_limit", &[(9, "needs code or message_contains")]);
    caps("error_rules:\n  - code: 5", &[(9, "needs a category")]);
    caps(
        "error_rules:\n  - {code: 5, category: ratelimit}",
        &[(9, "\"ratelimit\" is no error category (did you mean \"rate_limit\"?)")],
    );
    caps("error_rules:\n  - {code: five, category: rate_limit}", &[(9, "code must be a whole number")]);
    caps(
        "error_rules:\n  - code: 5\n    category: rate_limit\n  - message_contains: [a, 5]\n    category: rate_limit",
        &[(11, "message_contains must be a text")],
    );
    caps("error_rules:\n  - {message_contains: [], category: rate_limit}", &[(9, "empty list")]);
    caps("error_rules:\n  - 5", &[(9, "each item of error_rules must be a mapping")]);
}

#[test]
fn routing() {
    check_chain("routing:\n  method_overrides:\n    eth_call: {providers: [q]}", &[(7, "there is no provider q")]);
    check_chain("routing:\n  method_overrides:\n    eth_call: {}", &[(7, "the override of eth_call says nothing")]);
    check_chain("routing:\n  method_overrides:\n    eth_call: {providers: []}", &[(7, "providers is an empty list")]);
    check_chain("routing:\n  method_overrides:\n    'eth call': {strategy: priority}", &[(7, "no method name")]);
    check_chain(
        "routing:\n  method_overrides:\n    eth_call: {strategy: best}",
        &[(7, "strategy is \"best\", which is no strategy")],
    );
    check(
        &format!("{BODY}routing:\n  method_overrides:\n    eth_call: {{providers: [pp]}}\n"),
        &[(5, "there is no provider pp (did you mean \"p\"?)")],
    );
}

#[test]
fn terms_of_methods() {
    let methods = |text: &str, want: &str| check_chain(&format!("methods:\n  {text}"), &[(6, want)]);
    methods("eth_call: {}", "the entry of eth_call says nothing");
    methods("'eth call': {repeatable: true}", "a key of methods is no method name");
    methods("'eth_*_x': {repeatable: true}", "a key of methods is no method name");
    methods("eth_call: {timeout_ms: 99}", "timeout_ms is 99, which is too small");
    methods("eth_call: {timeout_ms: 600001}", "timeout_ms is 600001, which is too large");
    methods("eth_call: {repeatable: yes please}", "repeatable must be true or false");
    methods("eth_call: {category: stat}", "\"stat\" is no method category (did you mean \"state\"?)");
    methods("eth_call: {repeatable: true, timeout: 100}", "unknown key \"timeout\"");
    methods("eth_sendRawTransaction: {repeatable: true}", "eth_sendRawTransaction is never sent again, whatever a profile says");
    methods("eth_newFilter: {repeatable: true}", "eth_newFilter is never sent again, whatever a profile says");
    check_chain("methods: [eth_call]", &[(5, "methods must be a mapping")]);
}

#[test]
fn one_upstream_has_one_answer() {
    let text = "chains:\n  c:\n    chain_id: 1\n    providers:\n      - {id: a, url: http://h, max_connections: 5}\n";
    let files = |second: &str| [file("default.yml", text), file("b.yml", &text.replace("max_connections: 5", second))];
    let problems = load(&files("max_connections: 6"), &variables).expect_err("contradiction");
    assert_eq!(
        problems[0].to_string(),
        "b.yml:5: max_connections differs from what another provider says of the same upstream (make them equal, or set sharing_mode: isolated)"
    );
    for good in
        ["max_connections: 5", "priority: 1", "max_connections: 6, sharing_mode: isolated", "max_connections: 6, api_key: other1"]
    {
        assert!(load(&files(good), &variables).is_ok(), "{good}");
    }
}

#[test]
fn files_beside_each_other() {
    let names = |names: &[&str]| names.iter().map(|name| file(name, BODY)).collect::<Vec<_>>();
    let check = |files: &[&str], want: &str| {
        let problems = load(&names(files), &variables).expect_err(want);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(want), "{problems:?}");
    };
    check(&[], "default.yml:1: there is no profile \"default\"");
    check(&["dir/other.yml"], "dir/default.yml:1: there is no profile \"default\"");
    check(&["default.yml", "default.yaml"], "default.yaml:1: another file is the profile default too");
    check(&["default.yml", "a b.yml"], "a b.yml:1: the file's name does not fit into a URL");
    let slugs = |files: &[&str]| {
        let top = load(&names(files), &variables).expect("good").topology;
        let slug_of = |name: &str| top.profile_by_slug.get(name).map(|id| top.profiles[*id].slug.to_string());
        (slug_of("default"), slug_of("public"))
    };
    let pair = |a: &str, b: &str| (Some(a.to_owned()), Some(b.to_owned()));
    assert_eq!(slugs(&["default.yml"]), pair("default", "default"));
    assert_eq!(slugs(&["public.yml", "other.yml"]), pair("public", "public"));
    assert_eq!(slugs(&["default.yml", "public.yml"]), pair("default", "public"));
}

#[test]
fn all_problems_at_once_sorted_by_file_and_line() {
    let bad = "rps_limit: x\nchains:\n  c:\n    chain_id: 0\n    nope: 1\n    providers:\n      - {url: ftp://h}\n";
    let problems =
        load(&[file("b.yml", bad), file("a.yml", "chains: [\n"), file("default.yml", BODY)], &variables).expect_err("bad");
    let places: Vec<(&str, u32)> = problems.iter().map(|p| (p.file.as_str(), p.line)).collect();
    assert_eq!(places, [("a.yml", 2), ("b.yml", 1), ("b.yml", 4), ("b.yml", 5), ("b.yml", 7), ("b.yml", 7)]);
}

#[test]
fn problems_never_show_secrets() {
    let secret = "s3cretkey";
    let lines = [
        "url: 'http://h:99999/${KEY}'",
        "ws_url: '${KEY}'",
        "ws_url: 'ws://u:${KEY}@h:x/'",
        "headers: {x-a: [\"${KEY}\"]}",
        "headers: {x-a: \"${KEY}\\n\"}",
        "api_key: \"${KEY}\u{e9}\"",
        "credentials: {a: [\"${KEY}\"]}",
    ];
    for line in lines {
        let text = provider(line).replace("        url: http://h\n", "");
        for problem in load_one(&text).expect_err(line) {
            assert!(!problem.to_string().contains(secret), "{problem}");
        }
    }
}

#[test]
fn far_too_many_problems_are_cut_short() {
    let lines: String = (0..300).map(|i| format!("nope{i}: 1\n")).collect();
    let problems = load_one(&format!("{lines}{BODY}")).expect_err("bad");
    assert_eq!(problems.len(), 201);
    assert!(problems[200].what.contains("and 100 more problems"));
    assert_eq!(problems[0].line, 1);
}
