//! Every form of a path and the order of names (docs/behaviour/http.md#paths), precedence of inputs
//! (docs/behaviour/http.md#inputs), texts (docs/behaviour/http.md#refusals).

use super::*;
use crate::config::{SourceFile, load};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use std::sync::LazyLock;

/// With chains named like the path's own words. `config` refuses those, but the order must not hang on that.
static TOP: LazyLock<Topology> = LazyLock::new(|| {
    let chain = |key: &str, number: u32, aliases: &str| {
        format!(
            "  {key}:\n    chain_id: {number}\n    aliases: [{aliases}]\n    providers:\n      - {{id: alpha, url: 'http://127.0.0.1:1/{key}'}}\n      \
             - {{id: beta, url: 'http://127.0.0.1:2/{key}'}}\n      - {{id: '{key}-only', url: 'http://127.0.0.1:3/{key}'}}\n"
        )
    };
    let chains = [
        chain("ethereum", 1, "eth, mainnet"),
        chain("base", 8453, ""),
        chain("x-profile", 7001, ""),
        chain("x-provider", 7002, ""),
        chain("x-priority", 7003, ""),
    ];
    let file = |slug: &str, chains: &str| SourceFile {
        name: format!("{slug}.yml"),
        text: format!("---\nname: {slug}\nslug: {slug}\n---\nchains:\n{chains}"),
    };
    let files = [file("default", &chains.concat()), file("team", &chain("ethereum", 1, "eth"))];
    let mut top = load(&files, &|_| None).unwrap_or_else(|problems| panic!("{problems:?}")).topology;
    let default = top.profile_by_slug[DEFAULT_PROFILE];
    let scope = &mut top.profiles[default];
    for word in ["profile", "provider", "priority"] {
        let id = scope.chain_by_name[format!("x-{word}").as_str()];
        scope.chains[id].key = word.into();
        scope.chain_by_name.insert(word.into(), id);
    }
    top
});

fn ask<'a>(verb: Verb, path: &'a str, query: &'a str) -> Ask<'a> {
    let (path, query) = (path.as_bytes(), query.as_bytes());
    Ask { verb, path, query, provider: b"", transport: b"", include_meta: b"", region: Span::NONE }
}

fn post(path: &str) -> Result<Target, Refusal> {
    resolve_ask(&TOP, &ask(Verb::Post, path, ""))
}

/// A route in words: `profile chain strategy pin`.
fn shown(target: &Target) -> String {
    let (kind, route) = match target {
        Target::Rpc(route) => ("", route),
        Target::Websocket(route) => ("ws ", route),
        other => return format!("{other:?}"),
    };
    let profile = &TOP.profiles[route.profile];
    let chain = &profile.chains[route.chain];
    let strategy = route.strategy.map_or("-", Strategy::word);
    let pin = route.pin.map_or("-", |p| &chain.providers[p].id);
    format!("{kind}{} {} {strategy} {pin}", profile.slug, chain.key)
}

fn answer(result: Result<Target, Refusal>) -> String {
    match result {
        Ok(target) => shown(&target),
        Err(refusal) => format!("{} {} {}", refusal.status, refusal.code, refusal.message),
    }
}

#[test]
fn every_form_over_http_and_websocket() {
    let check = |path: &str, want: &str| {
        assert_eq!(answer(post(path)), want, "{path}");
        let ws = match want.as_bytes().first() {
            Some(b'0'..=b'9') => want.to_owned(),
            _ => format!("ws {want}"),
        };
        assert_eq!(answer(resolve_ask(&TOP, &ask(Verb::Get, &format!("/ws{path}"), ""))), ws, "/ws{path}");
    };
    check("/rpc/ethereum", "default ethereum - -");
    check("/rpc/eth", "default ethereum - -");
    check("/rpc/mainnet", "default ethereum - -");
    check("/rpc/1", "default ethereum - -");
    check("/rpc/8453", "default base - -");
    check("/rpc/priority/ethereum", "default ethereum priority -");
    check("/rpc/load-balanced/ethereum", "default ethereum load-balanced -");
    check("/rpc/round-robin/1", "default ethereum load-balanced -");
    check("/rpc/provider/alpha/ethereum", "default ethereum - alpha");
    check("/rpc/ethereum/beta", "default ethereum - beta");
    check("/rpc/1/beta", "default ethereum - beta");
    check("/rpc/profile/team/ethereum", "team ethereum - -");
    check("/rpc/profile/public/ethereum", "default ethereum - -");
    check("/rpc/profile/team/priority/eth", "team ethereum priority -");
    check("/rpc/profile/team/round-robin/eth", "team ethereum load-balanced -");
    check("/rpc/profile/team/provider/alpha/eth", "team ethereum - alpha");
    check("/rpc/profile/team/eth/ethereum-only", "team ethereum - ethereum-only");
    // First declared match wins, by number of segments.
    check("/rpc/profile", "default profile - -");
    check("/rpc/profile/alpha", "default profile - alpha");
    check("/rpc/provider", "default provider - -");
    check("/rpc/provider/alpha", "default provider - alpha");
    check("/rpc/priority", "default priority - -");
    check("/rpc/priority/alpha", "400 -32602 Unsupported chain: Unknown chain 'alpha' in profile 'default'");
    check("/rpc/profile/default/provider/alpha", "default provider - alpha");
    check("/rpc/profile/default/profile/alpha", "default profile - alpha");
    check("/rpc/load_balanced/alpha", "400 -32602 Unsupported chain: Unknown chain 'load_balanced' in profile 'default'");
    // Empty segments vanish; escapes are decoded inside a segment.
    check("/rpc/ethereum/", "default ethereum - -");
    check("//rpc///ethereum", "default ethereum - -");
    check("/rpc/%65thereum", "default ethereum - -");
    check("/rpc/%70riority/eth", "default ethereum priority -");
    check("/rpc/ethereum%2Fbeta", "400 -32602 Unsupported chain: Unknown chain 'ethereum/beta' in profile 'default'");
    check("/rpc/a+b", "400 -32602 Unsupported chain: Unknown chain 'a+b' in profile 'default'");
    check("/rpc/%zz", "400 0 Bad Request");
    check("/rpc/%6", "400 0 Bad Request");
    check("/rpc/%ff", "400 0 Bad Request");
    // Case counts, and so do unlisted decimal ids.
    check("/rpc/Ethereum", "400 -32602 Unsupported chain: Unknown chain 'Ethereum' in profile 'default'");
    check("/rpc/137", "400 -32602 Unsupported chain: Unknown chain '137' in profile 'default'");
    check("/rpc/01", "400 -32602 Unsupported chain: Unknown chain '01' in profile 'default'");
    check("/rpc/profile/team/base", "400 -32602 Unsupported chain: Unknown chain 'base' in profile 'team'");
    check("/rpc/ethereum/gamma", "400 -32602 Unsupported chain: Provider 'gamma' is not configured for this chain");
    check(
        "/rpc/provider/base-only/ethereum",
        "400 -32602 Unsupported chain: Provider 'base-only' is not configured for this chain",
    );
    check("/rpc/profile/nobody/ethereum", "404 -32000 Profile 'nobody' not found");
    check("/rpc/profile/%20/ethereum", "400 -32602 Profile cannot be empty");
    check("/rpc/profile/nobody/fastest/nochain", "404 -32000 Profile 'nobody' not found");
    check("/rpc/fastest/nochain", "400 -32602 Unsupported chain: Unknown chain 'nochain' in profile 'default'");
    check("/rpc/fastest", "400 -32602 Unsupported chain: Unknown chain 'fastest' in profile 'default'");
    // No such shape.
    for path in [
        "/rpc",
        "/rpc/",
        "/rpc/a/b/c",
        "/rpc/a/b/c/d",
        "/rpc/profile/a/b/c/d",
        "/rpc/provider/a/b/c",
        "/rpc/profile/a/provider/b/c/d",
    ] {
        check(path, "404 0 Not Found");
    }
}

#[test]
fn pins_by_precedence() {
    let check = |path: &str, query: &str, header: &str, want: &str| {
        let ask = Ask { provider: header.as_bytes(), ..ask(Verb::Post, path, query) };
        assert_eq!(answer(resolve_ask(&TOP, &ask)), want, "{path} {query} {header}");
    };
    let all = "provider=alpha&provider_id=beta&provider_override=ethereum-only";
    check("/rpc/eth", "", "alpha", "default ethereum - alpha");
    check("/rpc/eth", "provider=beta", "alpha", "default ethereum - beta");
    check("/rpc/eth", "provider=alpha&provider_id=beta", "", "default ethereum - beta");
    check("/rpc/eth", all, "alpha", "default ethereum - ethereum-only");
    check("/rpc/provider/alpha/eth", all, "beta", "default ethereum - alpha");
    check("/rpc/eth/beta", all, "alpha", "default ethereum - beta");
    check("/rpc/priority/eth", "provider=beta", "", "default ethereum priority beta");
    check(
        "/rpc/eth",
        "provider_override=gamma",
        "",
        "400 -32602 Unsupported chain: Provider 'gamma' is not configured for this chain",
    );
    check("/rpc/eth", "", "gamma", "400 -32602 Unsupported chain: Provider 'gamma' is not configured for this chain");
    check("/rpc/eth", "provider_id=&provider=alpha", "", "default ethereum - alpha");
    check("/rpc/eth", "provider_id=%20", "  ", "default ethereum - -");
    check("/rpc/eth", "provider_id", "", "default ethereum - -");
    check("/rpc/eth", "provider_id=alpha&provider_id=beta", "", "default ethereum - beta");
    check("/rpc/eth", "%70rovider=al%70ha", "", "default ethereum - alpha");
    check("/rpc/eth", "Provider=alpha&key=x%zz&%zz=1&&=&a", "", "default ethereum - -");
    check("/rpc/eth", "provider=%zz", "", "400 0 Bad Request");
    check("/rpc/eth", "strategy=priority", "", "default ethereum priority -");
}

#[test]
fn options() {
    let check = |query: &str, transport: &str, meta: &str, want: Result<(Option<Transport>, Meta, bool), &str>| {
        let ask = Ask { transport: transport.as_bytes(), include_meta: meta.as_bytes(), ..ask(Verb::Post, "/rpc/eth", query) };
        let found = match resolve_ask(&TOP, &ask) {
            Ok(Target::Rpc(route)) => Ok((route.transport, route.meta, route.allow_failover)),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        };
        match (found, want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want, "{query} {transport} {meta}"),
            (Err(found), Err(want)) => assert_eq!((found.status, found.code, found.message.as_str()), (400, -32602, want)),
            (found, want) => panic!("{query} {transport} {meta}: {found:?}, wanted {want:?}"),
        }
    };
    let (http, ws) = (Some(Transport::Http), Some(Transport::Ws));
    check("", "", "", Ok((None, Meta::None, false)));
    check("transport=http", "ws", "", Ok((http, Meta::None, false)));
    check("transport=ws", "", "", Ok((ws, Meta::None, false)));
    check("", "ws", "", Ok((ws, Meta::None, false)));
    check("transport=", "ws", "", Ok((ws, Meta::None, false)));
    check("transport=tcp", "ws", "", Err("Unknown transport 'tcp'; use http or ws"));
    check("", "HTTP", "", Err("Unknown transport 'HTTP'; use http or ws"));
    check("include_meta=headers", "", "body", Ok((None, Meta::Headers, false)));
    check("include_meta=body", "", "", Ok((None, Meta::Body, false)));
    check("include_meta=none", "", "body", Ok((None, Meta::None, false)));
    check("include_meta=all", "", "body", Ok((None, Meta::Body, false)));
    check("", "", "headers", Ok((None, Meta::Headers, false)));
    check("", "", "everything", Ok((None, Meta::None, false)));
    check("allow_failover=true", "", "", Ok((None, Meta::None, true)));
    check("allow_failover=false", "", "", Ok((None, Meta::None, false)));
    check("allow_failover=1", "", "", Ok((None, Meta::None, false)));
}

#[test]
fn a_websocket_may_name_its_strategy_in_the_query() {
    let check = |path: &str, query: &str, want: &str| {
        assert_eq!(answer(resolve_ask(&TOP, &ask(Verb::Get, path, query))), want, "{path} {query}");
    };
    check("/ws/rpc/eth", "strategy=priority", "ws default ethereum priority -");
    check("/ws/rpc/eth", "strategy=round_robin", "ws default ethereum load-balanced -");
    check("/ws/rpc/load-balanced/eth", "strategy=priority", "ws default ethereum load-balanced -");
    check(
        "/ws/rpc/eth",
        "strategy=cheapest",
        "400 -32602 Unknown strategy 'cheapest'; use priority, load-balanced, fastest or latency-weighted",
    );
    check("/ws/rpc/eth", "strategy=fastest", "ws default ethereum fastest -");
}

#[test]
fn the_region_is_passed_on() {
    let region = Span::new(3, 9);
    let Ok(Target::Rpc(route)) = resolve_ask(&TOP, &Ask { region, ..ask(Verb::Post, "/rpc/eth", "") }) else { panic!() };
    assert_eq!(route.region, region);
}

/// What a path template of the OpenAPI file stands for, with its parameters' examples in their places.
fn example_path(file: &serde_json::Value, template: &str, operation: &serde_json::Value) -> String {
    let mut path = template.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let parameter = match parameter["$ref"].as_str() {
            Some(name) => file.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("{name} is not there")),
            None => parameter,
        };
        if let (Some("path"), Some(name)) = (parameter["in"].as_str(), parameter["name"].as_str()) {
            let example = parameter["example"].as_str().unwrap_or_else(|| panic!("{template}: {name} has no example"));
            path = path.replace(&format!("{{{name}}}"), example);
        }
    }
    assert!(!path.contains('{'), "{template} has a parameter that is not described");
    path
}

/// Each route is in the file, and the file has no other.
#[test]
fn the_openapi_file_has_every_route() {
    let file: serde_json::Value = serde_json::from_str(include_str!("../../../config/openapi.json")).expect("JSON");
    assert_eq!(file["info"]["version"], env!("CARGO_PKG_VERSION"));
    let (mut own, mut forms) = (Vec::new(), [0, 0]);
    for (template, item) in file["paths"].as_object().expect("paths") {
        for (verb, operation) in item.as_object().expect("operations") {
            let verb = match verb.as_str() {
                "get" => Verb::Get,
                "post" => Verb::Post,
                "options" => Verb::Options,
                other => panic!("{template}: {other}"),
            };
            let path = example_path(&file, template, operation);
            match resolve_ask(&TOP, &ask(verb, &path, "")).unwrap_or_else(|no| panic!("{verb:?} {path}: {no:?}")) {
                Target::Local(local) => own.push(local),
                Target::Rpc(_) => forms[0] += 1,
                Target::Websocket(_) => forms[1] += 1,
                Target::Preflight => {}
            }
        }
    }
    // `/:chain/:provider` and `/:strategy/:chain` are one template; each also behind a profile.
    assert_eq!(forms, [6, 6]);
    let is_there = |local: &Local| own.contains(local);
    let missing: Vec<&Local> = ALL_LOCAL.iter().filter(|local| !is_there(local)).collect();
    assert!(missing.is_empty(), "describe these in config/openapi.json: {missing:?}");
}

/// A variant that is not in this match has no place in `ALL_LOCAL` either: the compiler asks for both.
const ALL_LOCAL: &[Local] = {
    const fn known(local: Local) -> Local {
        match local {
            Local::Root | Local::Dashboard | Local::Asset | Local::Health | Local::Ready | Local::Status | Local::Region => {}
            Local::Chains | Local::Providers | Local::Metrics | Local::Shards | Local::Cluster | Local::OpenApi => {}
            Local::Explain | Local::Events | Local::Prometheus | Local::Reload | Local::Breakers => {}
        }
        local
    }
    &[
        known(Local::Root),
        Local::Dashboard,
        Local::Asset,
        Local::Health,
        Local::Ready,
        Local::Status,
        Local::Region,
        Local::Chains,
        Local::Providers,
        Local::Metrics,
        Local::Shards,
        Local::Cluster,
        Local::OpenApi,
        Local::Explain,
        Local::Events,
        Local::Prometheus,
        Local::Reload,
        Local::Breakers,
    ]
};

#[test]
fn own_pages_and_verbs() {
    let verbs = [Verb::Get, Verb::Head, Verb::Post, Verb::Options, Verb::Other];
    let check = |path: &str, want: Result<Local, u16>, allow: Option<&str>| {
        for verb in verbs {
            let found = resolve_ask(&TOP, &ask(verb, path, ""));
            if verb == Verb::Options {
                assert_eq!(found, Ok(Target::Preflight), "{path}");
                continue;
            }
            let right = match allow {
                Some("POST") => verb == Verb::Post,
                _ => matches!(verb, Verb::Get | Verb::Head),
            };
            match (found, want) {
                (Ok(found), Ok(want)) => assert!(found == Target::Local(want) && right, "{verb:?} {path}"),
                (Err(refusal), Ok(_)) => assert!(refusal.status == 405 && refusal.allow == allow && !right, "{verb:?} {path}"),
                (Err(refusal), Err(status)) => assert_eq!(refusal.status, status, "{verb:?} {path}"),
                (found, want) => panic!("{verb:?} {path}: {found:?}, wanted {want:?}"),
            }
        }
    };
    let get = Some("GET, HEAD");
    check("/", Ok(Local::Root), get);
    check("/dashboard", Ok(Local::Dashboard), get);
    check("/dashboard/team", Ok(Local::Dashboard), get);
    check("/dashboard/assets/style.css", Ok(Local::Asset), get);
    check("/metrics", Ok(Local::Prometheus), get);
    check("/api/health", Ok(Local::Health), get);
    check("/api/ready", Ok(Local::Ready), get);
    check("/api/status", Ok(Local::Status), get);
    check("/api/region", Ok(Local::Region), get);
    check("/api/chains", Ok(Local::Chains), get);
    check("/api/providers/eth", Ok(Local::Providers), get);
    check("/api/metrics/eth", Ok(Local::Metrics), get);
    check("/api/shards", Ok(Local::Shards), get);
    check("/api/cluster", Ok(Local::Cluster), get);
    check("/api/openapi.json", Ok(Local::OpenApi), get);
    check("/api/explain/default/eth/eth_call", Ok(Local::Explain), get);
    check("/api/events", Ok(Local::Events), get);
    check("/api/reload", Ok(Local::Reload), Some("POST"));
    check("/api/breakers/default/eth/alpha/open", Ok(Local::Breakers), Some("POST"));
    for path in [
        "/nothing",
        "/api",
        "/api/health/x",
        "/api/metrics",
        "/api/breakers",
        "/rpcx/eth",
        "/ws",
        "/ws/eth",
        "/dashboard/team/style.css",
        "/dashboard/assets/a/b",
        "/live",
        "*",
        "/a/b/c/d/e/f/g/h/i/j",
    ] {
        if is_rpc_path(path.as_bytes()) {
            assert_eq!(answer(post(path)), "404 0 Not Found", "{path}");
        } else {
            check(path, Err(404), None);
        }
    }
}

#[test]
fn rpc_paths_by_verb() {
    let check = |verb, path: &str, want: Result<&str, (u16, Option<&str>)>| match (resolve_ask(&TOP, &ask(verb, path, "")), want)
    {
        (Ok(found), Ok(want)) => assert_eq!(shown(&found), want, "{verb:?} {path}"),
        (Err(refusal), Err(want)) => assert_eq!((refusal.status, refusal.allow), want, "{verb:?} {path}"),
        (found, want) => panic!("{verb:?} {path}: {found:?}, wanted {want:?}"),
    };
    for verb in [Verb::Get, Verb::Head, Verb::Other] {
        check(verb, "/rpc/ethereum", Err((405, Some("POST, OPTIONS"))));
        check(verb, "/rpc/nochain", Err((405, Some("POST, OPTIONS"))));
        check(verb, "/rpc/a/b/c", Err((404, None)));
    }
    for verb in [Verb::Post, Verb::Head, Verb::Other] {
        check(verb, "/ws/rpc/ethereum", Err((405, Some("GET, OPTIONS"))));
    }
    for path in ["/rpc/ethereum", "/rpc/nochain", "/rpc", "/rpc/a/b/c", "/ws/rpc/ethereum"] {
        check(Verb::Options, path, Ok("Preflight"));
    }
    check(Verb::Options, "/rpcx", Ok("Preflight"));
    check(Verb::Options, "/", Ok("Preflight"));
    check(Verb::Options, "*", Ok("Preflight"));
}

#[test]
fn refusals_are_json_whatever_was_asked() {
    let check = |result: Result<Target, Refusal>, want: serde_json::Value| {
        let mut body = Vec::new();
        result.unwrap_err().write_body(&mut body);
        let found: serde_json::Value =
            serde_json::from_slice(&body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&body)));
        assert_eq!(found, want);
    };
    let rpc = |code: i64, message: &str| serde_json::json!({"jsonrpc":"2.0","id":null,"error":{"code":code,"message":message}});
    check(post("/rpc/a%22%5C%00b"), rpc(-32602, "Unsupported chain: Unknown chain 'a\"\\\0b' in profile 'default'"));
    let mut blank = rpc(-32602, "Profile cannot be empty");
    blank["error"]["data"] = serde_json::json!({"error_type":"profile_empty"});
    check(post("/rpc/profile/%20/eth"), blank);
    let mut unknown = rpc(-32000, "Profile 'x' not found");
    unknown["error"]["data"] = serde_json::json!({"error_type":"profile_not_found"});
    check(post("/rpc/profile/x/eth"), unknown);
    let mut body = Vec::new();
    post("/nothing").unwrap_err().write_body(&mut body);
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(found["errors"]["detail"], "Not Found");
    assert!(found["errors"]["hint"].as_str().is_some_and(|h| h.contains("/rpc/:chain")));
    for path in ["/rpc/%zz", "/api/reload"] {
        let mut body = Vec::new();
        resolve_ask(&TOP, &ask(Verb::Get, path, "")).unwrap_err().write_body(&mut body);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok(), "{path}");
    }
}

#[test]
fn a_scanned_head_resolves() {
    let head = b"POST /rpc/priority/eth?include_meta=body HTTP/1.1\r\nHost: a\r\nX-Lasso-Provider: beta\r\n\
        X-Lasso-Transport: http\r\nX-Lasso-Region: eu-west\r\nContent-Length: 0\r\n\r\n";
    let crate::wire::http::Scan::Done(scanned) = crate::wire::http::scan_request(head, 0) else { panic!("head") };
    let Ok(target @ Target::Rpc(route)) = resolve(&TOP, &scanned, head) else { panic!("route") };
    assert_eq!(shown(&target), "default ethereum priority beta");
    assert_eq!((route.transport, route.meta, route.region.of(head)), (Some(Transport::Http), Meta::Body, &b"eu-west"[..]));
}

/// Which paths carry CORS fields.
#[test]
fn rpc_paths() {
    let check = |path: &str, want| assert_eq!(is_rpc_path(path.as_bytes()), want, "{path}");
    check("/rpc", true);
    check("/rpc/", true);
    check("/rpc/eth", true);
    check("/ws/rpc/eth", true);
    check("/rpcs", false);
    check("/wss/rpc", false);
    check("/api/health", false);
    check("/", false);
    check("", false);
}

proptest! {
    /// Total: any path and query gets a target or a refusal with a status and a JSON body.
    #[test]
    fn any_path(path in "(/|/rpc/|/ws/|/api/)?[a-z0-9/%+ .]{0,40}", query in "[a-z_=&%0-9+]{0,60}", verb in 0usize..5) {
        let verb = [Verb::Get, Verb::Head, Verb::Post, Verb::Options, Verb::Other][verb];
        if let Err(refusal) = resolve_ask(&TOP, &ask(verb, &path, &query)) {
            prop_assert!(matches!(refusal.status, 400 | 404 | 405));
            prop_assert_eq!(refusal.allow.is_some(), refusal.status == 405);
            let mut body = Vec::new();
            refusal.write_body(&mut body);
            prop_assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
    }

    #[test]
    fn any_bytes(path in prop::collection::vec(any::<u8>(), 0..60), query in prop::collection::vec(any::<u8>(), 0..60)) {
        let ask = Ask { path: &path, query: &query, provider: &query, transport: &path, include_meta: &path, ..ask(Verb::Post, "", "") };
        let _ = resolve_ask(&TOP, &ask);
    }

    /// Escaping any of a path's letters changes nothing.
    #[test]
    fn escapes_are_equal(mask in any::<u64>()) {
        let escaped: String = "ethereum/beta".bytes().enumerate().map(|(i, b)| match b {
            b'/' => "/".to_owned(),
            b if mask >> i & 1 == 1 => format!("%{b:02x}"),
            b => char::from(b).to_string(),
        }).collect();
        prop_assert_eq!(answer(post(&format!("/rpc/{escaped}"))), "default ethereum - beta");
    }
}
