//! Good profiles, and what becomes of them.

use crate::base::ids::{Id, IdVec, InstanceId};
use crate::chain::method::Category;
use crate::config::corpus::{file, load_one, variables};
use crate::config::topology::{Chain, Endpoint, Http2, Instance, Profile, Provider, Strategy, Topology};
use crate::config::{SourceFile, embedded, load, schema};

fn first<I: Id, T>(list: &IdVec<I, T>) -> &T {
    list.values().next().expect("not empty")
}

fn only_chain(top: &Topology) -> &Chain {
    first(&first(&top.profiles).chains)
}

fn instance_of<'t>(top: &'t Topology, provider: &Provider) -> &'t Instance {
    &top.instances[provider.instance]
}

/// One chain with these providers in flow style.
fn with_providers(providers: &str) -> Topology {
    load_one(&format!("chains:\n  c:\n    chain_id: 1\n    providers: [{providers}]\n"))
        .unwrap_or_else(|p| panic!("{p:?}"))
        .topology
}

#[test]
fn defaults_are_the_contracts() {
    let loaded = load_one("chains: {c: {chain_id: 8453, providers: [{id: p, url: http://h}]}}\n").expect("good");
    assert!(loaded.warnings.is_empty());
    let top = loaded.topology;
    let profile = first(&top.profiles);
    assert_eq!((&*profile.slug, &*profile.name, profile.unlisted), ("default", "default", false));
    assert_eq!((profile.rps_limit, profile.burst_limit), (100, 500));
    let chain = only_chain(&top);
    assert_eq!((&*chain.key, &*chain.name, &*chain.chain_number_json), ("c", "c", "\"0x2105\""));
    assert_eq!((chain.max_lag_blocks, chain.archival_threshold, chain.block_time_ms), (1, 128, None));
    assert_eq!((chain.probe_interval_ms, chain.lag_alert_threshold_blocks), (12_000, 5));
    assert_eq!((chain.subscribe_new_heads, chain.new_heads_timeout_ms), (true, 35_000));
    assert_eq!((chain.max_backfill_blocks, chain.backfill_timeout_ms), (100, 30_000));
    assert_eq!((&*chain.color, &*chain.size, chain.default_strategy), ("#6B7280", "md", None));
    let provider = first(&chain.providers);
    assert_eq!((&*provider.name, provider.priority, provider.archival, provider.subscribe_new_heads), ("p", 100, true, true));
    assert_eq!(provider.capabilities.unsupported_categories, [Category::LocalOnly, Category::NodeAdmin]);
    let instance = instance_of(&top, provider);
    assert_eq!((instance.max_connections, instance.http2, instance.headers.len()), (256, Http2::Auto, 0));
}

#[test]
fn both_file_forms_and_older_names_mean_the_same() {
    let front = "# x\n---\nname: N\nslug: default\ndefault_rps_limit: 0\ndefault_burst_limit: 7\n---\n";
    let body = "chains:\n  c:\n    chain_id: 1\n    aliases: [d, '1']\n    monitoring: {lag_threshold_blocks: 9}\n    websocket: {failover: {backfill_timeout: 777}}\n    ui_topology: {size: xl}\n    providers: [{id: p, ws_url: ws://h}]\n";
    let one = format!("name: N\nslug: default\nrps_limit: 0\nburst_limit: 7\n{body}");
    for text in [format!("{front}{body}"), one.clone(), format!("---\n{one}"), format!("{one}...\n"), one.replace('\n', "\r\n")] {
        let top = load_one(&text).unwrap_or_else(|p| panic!("{text}{p:?}")).topology;
        let profile = first(&top.profiles);
        assert_eq!((&*profile.name, profile.rps_limit, profile.burst_limit), ("N", 0, 7));
        let chain = only_chain(&top);
        assert_eq!((chain.lag_alert_threshold_blocks, chain.backfill_timeout_ms, &*chain.size), (9, 777, "xl"));
        assert_eq!(chain.aliases, [Box::from("d"), Box::from("1")]);
        let mut names: Vec<&str> = profile.chain_by_name.keys().map(AsRef::as_ref).collect();
        names.sort_unstable();
        assert_eq!(names, ["1", "c", "d"]);
    }
}

#[test]
fn headers_override_in_order() {
    let check = |provider: &str, want: &[(&str, &str)]| {
        let top = with_providers(&format!("{{id: p, url: 'http://u:pw@h', {provider}}}"));
        let instance = first(&top.instances);
        let got: Vec<(&str, &str)> = instance.headers.iter().map(|(n, v)| (n.as_ref(), v.as_ref())).collect();
        assert_eq!(got, want, "{provider}");
        let has_authorization = want.iter().any(|(name, _)| *name == "authorization");
        assert_eq!(instance.http.as_ref().is_some_and(|e| e.basic_auth.is_none()), has_authorization);
    };
    check("priority: 1", &[]);
    check("api_key: k1k1k1", &[("authorization", "Bearer k1k1k1")]);
    check("api_key: k, headers: {X-A: '1', Authorization: own}", &[("x-a", "1"), ("authorization", "own")]);
    check("headers: {x-a: '1', x-b: '2'}, auth_headers: {X-A: '3'}", &[("x-b", "2"), ("x-a", "3")]);
}

#[test]
fn identity_is_chain_urls_and_credentials() {
    let text = |id: u64, provider: &str| format!("chains: {{c: {{chain_id: {id}, providers: [{provider}]}}}}\n");
    let instances = |second: &str, id: u64| {
        let files = [file("default.yml", &text(1, "{id: p, url: 'https://Host/a'}")), file("b.yml", &text(id, second))];
        load(&files, &variables).unwrap_or_else(|p| panic!("{p:?}")).topology.instances.len()
    };
    for same in [
        "{id: p, url: 'https://host:443/a'}",
        "{id: other, url: 'HTTPS://HOST/a', name: x, priority: 3, archival: false, capabilities: {}}",
        "{id: p, url: 'https://host/a', max_connections: 9, http2: on, region_urls: {eu: {url: http://e}}}",
    ] {
        assert_eq!(instances(same, 1), 1, "{same}");
        assert_eq!(instances(same, 2), 2, "{same}");
    }
    for other in [
        "{id: p, url: 'http://host/a'}",
        "{id: p, url: 'https://host/a/'}",
        "{id: p, url: 'https://host/a', ws_url: 'wss://host/a'}",
        "{id: p, url: 'https://u:p@host/a'}",
        "{id: p, url: 'https://host/a', api_key: k}",
        "{id: p, url: 'https://host/a', headers: {x: y}}",
        "{id: p, url: 'https://host/a', credentials: {x: y}}",
        "{id: p, url: 'https://host/a', sharing_mode: isolated}",
    ] {
        assert_eq!(instances(other, 1), 2, "{other}");
    }
}

/// Filter ids in clients' hands carry the tag: it may change only with a new version of the fingerprint.
#[test]
fn fingerprints_do_not_change() {
    let top = with_providers("{id: p, url: 'https://eth.drpc.org', headers: {b: '2', a: '1'}}");
    let instance = first(&top.instances);
    assert_eq!(&*instance.label, "1:eth.drpc.org:6390f3c757c4");
    assert_eq!(instance.tag, 0x6390_f3c7);
    assert_eq!(top.instance_by_tag.get(&instance.tag), Some(&InstanceId(0)));
    let swapped = with_providers("{id: p, url: 'https://eth.drpc.org', headers: {a: '1', b: '2'}}");
    assert_eq!(first(&swapped.instances).tag, instance.tag);
}

#[test]
fn routing_of_the_chain_stands_over_the_profiles() {
    let text = "routing:\n  default_strategy: round-robin\n  method_overrides:\n    eth_call: {strategy: fastest, providers: [p, q]}\n    eth_getLogs: {providers: [q]}\nchains:\n  a:\n    chain_id: 1\n    providers: [{id: p, url: http://h}]\n  b:\n    chain_id: 2\n    routing: {default_strategy: priority, method_overrides: {eth_call: {providers: [q]}}}\n    providers: [{id: p, url: http://h}, {id: q, url: http://i}]\n";
    let loaded = load_one(text).unwrap_or_else(|p| panic!("{p:?}"));
    let chains: Vec<&Chain> = first(&loaded.topology.profiles).chains.values().collect();
    assert_eq!(
        (chains[0].default_strategy, chains[1].default_strategy),
        (Some(Strategy::LoadBalanced), Some(Strategy::Priority))
    );
    let shown = |chain: &Chain| -> Vec<String> {
        let one = |o: &crate::config::topology::MethodOverride| {
            let ids: Vec<&str> = o.providers.iter().map(|id| chain.providers[*id].id.as_ref()).collect();
            format!("{} {:?} {}", o.method, o.strategy, ids.join("+"))
        };
        chain.method_overrides.iter().map(one).collect()
    };
    assert_eq!(shown(chains[0]), ["eth_call Some(Fastest) p"]);
    assert_eq!(shown(chains[1]), ["eth_call None q", "eth_getLogs None q"]);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
}

#[test]
fn methods_of_the_chain_stand_over_the_profiles() {
    let text = "methods:\n  eth_call: {timeout_ms: 1000}\n  eth_*: {repeatable: false}\nchains:\n  a:\n    chain_id: 1\n    methods:\n      eth_call: {repeatable: true}\n      '*': {timeout_ms: 500}\n      eth_cal: {category: core}\n    providers: [{id: p, url: http://h}]\n";
    let loaded = load_one(text).unwrap_or_else(|p| panic!("{p:?}"));
    let one = |t: &crate::config::topology::MethodTerms| {
        format!("{} {:?} {:?} {:?}", t.pattern, t.category.map(Category::word), t.repeatable, t.timeout_ms)
    };
    let shown: Vec<String> = only_chain(&loaded.topology).method_terms.iter().map(one).collect();
    assert_eq!(
        shown,
        [
            "eth_call None Some(true) None",
            "eth_cal Some(\"core\") None None",
            "eth_* None Some(false) None",
            "* None None Some(500)"
        ]
    );
    let warnings: Vec<String> = loaded.warnings.iter().map(|w| w.to_string()).collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("eth_cal is no method") && warnings[0].contains("eth_call"),
        "{warnings:?}"
    );
}

#[test]
fn keys_that_never_did_anything_are_tolerated() {
    let text = "chains:\n  c:\n    chain_id: 1\n    providers:\n      - id: p\n        url: http://h\n        type: public\n        adapter_config: {a: 1}\n";
    let warnings = load_one(text).expect("good").warnings;
    let lines: Vec<String> = warnings.iter().map(|w| format!("{}:{}", w.line, w.what)).collect();
    assert_eq!(lines, ["7:type has no effect", "8:adapter_config has no effect"]);
}

#[test]
fn twins_and_idle_limits_are_warned_about() {
    let text =
        "chains:\n  c:\n    chain_id: 1\n    providers:\n      - {id: a, url: http://h}\n      - {id: b, url: 'http://h:80/'}\n";
    let warnings = load_one(text).expect("good").warnings;
    assert!(warnings[0].to_string().starts_with("default.yml:6: b is the same upstream as a"), "{warnings:?}");
}

#[test]
fn anchors_and_merges_work() {
    let text = "chains:\n  c:\n    chain_id: 1\n    providers:\n      - &one {id: a, url: http://h, archival: false, priority: 7}\n      - {<<: *one, id: b, url: http://i}\n";
    let top = load_one(text).unwrap_or_else(|p| panic!("{p:?}")).topology;
    let shown: Vec<(String, u32, bool)> =
        only_chain(&top).providers.values().map(|p| (p.id.to_string(), p.priority, p.archival)).collect();
    assert_eq!(shown, [("a".to_owned(), 7, false), ("b".to_owned(), 7, false)]);
}

#[test]
fn secrets_of_all_sources_are_known() {
    let top = with_providers(
        "{id: p, url: 'http://usr111:pwd222@h/v2/pathkey1?k=query22', ws_url: 'ws://h/${KEY}', headers: {x: header33}, credentials: {c: creds444}, region_urls: {eu: {url: 'http://e/region55'}}}",
    );
    let secrets = &first(&top.instances).secrets;
    for want in ["usr111", "pwd222", "pathkey1", "query22", "s3cretkey", "header33", "creds444", "region55"] {
        assert!(secrets.iter().any(|s| &**s == want), "{want} in {secrets:?}");
    }
    assert!(secrets.iter().all(|s| s.len() >= 6));
}

// --- the shipped profiles (docs/behaviour/node.md#profiles) ---

fn shipped() -> Topology {
    let loaded = load(&embedded(), &|_| None).unwrap_or_else(|p| panic!("{p:?}"));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    loaded.topology
}

fn profile<'t>(top: &'t Topology, slug: &str) -> &'t Profile {
    &top.profiles[top.profile_by_slug[slug]]
}

#[test]
fn shipped_chains() {
    let top = shipped();
    let rows = |slug: &str| -> Vec<String> {
        let row = |c: &Chain| {
            format!(
                "{} {} bt={} probe={} alert={} lag={} arch={} heads={} fill={} {} {} n={}",
                c.key,
                c.chain_number,
                c.block_time_ms.unwrap_or(0),
                c.probe_interval_ms,
                c.lag_alert_threshold_blocks,
                c.max_lag_blocks,
                c.archival_threshold,
                c.new_heads_timeout_ms,
                c.max_backfill_blocks,
                c.color,
                c.size,
                c.providers.len()
            )
        };
        profile(&top, slug).chains.values().map(row).collect()
    };
    assert_eq!(
        rows("default"),
        [
            "ethereum 1 bt=12000 probe=12000 alert=5 lag=1 arch=128 heads=35000 fill=100 #627EEA xl n=13",
            "base 8453 bt=2000 probe=5000 alert=5 lag=5 arch=750 heads=20000 fill=100 #0052FF lg n=5",
            "arbitrum 42161 bt=250 probe=5000 alert=15 lag=10 arch=6000 heads=15000 fill=180 #28A0F0 lg n=4",
            "ethereum-sepolia 11155111 bt=12000 probe=15000 alert=5 lag=3 arch=128 heads=42000 fill=50 #627EEA sm n=5",
            "base-sepolia 84532 bt=2000 probe=5000 alert=5 lag=5 arch=750 heads=20000 fill=50 #0052FF sm n=4",
            "arbitrum-sepolia 421614 bt=250 probe=5000 alert=15 lag=10 arch=6000 heads=15000 fill=50 #28A0F0 sm n=4",
        ]
    );
    assert_eq!(
        rows("testnet"),
        [
            "ethereum_sepolia 11155111 bt=0 probe=12000 alert=5 lag=1 arch=128 heads=66000 fill=100 #627EEA lg n=5",
            "base_sepolia 84532 bt=0 probe=3000 alert=5 lag=5 arch=750 heads=30000 fill=100 #0052FF md n=4",
            "arbitrum_sepolia 421614 bt=0 probe=2000 alert=20 lag=15 arch=6000 heads=20000 fill=100 #28A0F0 md n=4",
        ]
    );
    let default = profile(&top, "default");
    assert_eq!((&*default.name, default.logo.as_deref()), ("Public RPC", Some("lasso-logo.png")));
    assert_eq!((default.rps_limit, default.burst_limit), (100, 500));
    assert_eq!(&*profile(&top, "testnet").name, "Lasso Public Testnets");
    assert_eq!(profile(&top, "public").slug, default.slug);
}

#[test]
fn shipped_providers() {
    let top = shipped();
    for profile in top.profiles.values() {
        for provider in profile.chains.values().flat_map(|chain| chain.providers.values()) {
            let instance = instance_of(&top, provider);
            let http = instance.http.as_ref().expect("every shipped provider has a url");
            assert!(http.tls && instance.secrets.is_empty() && instance.headers.is_empty(), "{}", provider.id);
            let same = |ws: &Endpoint| ws.tls && ws.host == http.host && ws.path == http.path;
            assert!(instance.ws.as_ref().is_none_or(same), "{}", provider.id);
        }
    }
    let ethereum = &profile(&top, "default").chains[profile(&top, "default").chain_by_name["ethereum"]];
    let find = |id: &str| &ethereum.providers[ethereum.provider_by_id[id]];
    let flashbots = &find("ethereum_flashbots").capabilities;
    assert_eq!(flashbots.unsupported_methods, [Box::from("eth_call"), Box::from("web3_sha3")]);
    assert_eq!(flashbots.unsupported_categories.len(), 8);
    let drpc = &find("ethereum_drpc").capabilities;
    assert_eq!((drpc.max_block_range, drpc.error_rules.len()), (Some(10_000), 3));
    let publicnode = find("ethereum_publicnode");
    assert_eq!((publicnode.archival, publicnode.capabilities.max_block_age), (false, Some(1000)));
    assert_eq!(publicnode.capabilities.block_age_methods.len(), 5);
}

/// The same URL in both profiles is one instance (docs/behaviour/choosing.md#upstreams).
#[test]
fn shipped_profiles_share_upstreams() {
    let top = shipped();
    let providers: usize = top.profiles.values().flat_map(|p| p.chains.values()).map(|c| c.providers.len()).sum();
    assert_eq!((providers, top.instances.len()), (48, 37));
    assert_eq!(top.instance_by_tag.len(), 37);
}

// --- the example and the reference ---

fn read(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every `#: ` of the example taken away: all of it in force at once.
fn example_in_force() -> String {
    read("config/profiles/_example.yml").lines().map(|line| format!("{}\n", line.replacen("#: ", "", 1))).collect()
}

#[test]
fn the_example_is_valid_as_it_is_and_with_everything_in_force() {
    let lookup = |name: &str| (name == "ALCHEMY_API_KEY").then(|| "example-key".to_owned());
    let check = |text: String| {
        let files = [
            SourceFile { name: "_example.yml".to_owned(), text: text.replace("slug: example", "slug: _example") },
            embedded().remove(0),
        ];
        load(&files, &lookup).unwrap_or_else(|p| panic!("{p:#?}"))
    };
    check(read("config/profiles/_example.yml"));
    check(example_in_force());
}

#[test]
fn the_example_and_the_reference_name_every_key() {
    let (example, reference) = (example_in_force(), read("config/README.md"));
    for table in schema::TABLES {
        for key in table.keys {
            if key.name != "api_keys" {
                assert!(example.contains(&format!("{}:", key.name)), "_example.yml lacks {} of {}", key.name, table.path);
            }
            let names: Vec<String> = std::iter::once(&key.name).chain(key.aliases).map(|name| format!("`{name}`")).collect();
            let row = format!("| {} | {} | {} |", names.join(", "), key.kind, key.default);
            assert!(reference.contains(&row), "config/README.md lacks this row of {}:\n{row}", table.path);
        }
    }
}

/// What this build cannot do is said of each provider that asks for it, and of no other.
#[test]
fn http2_is_warned_of_where_it_cannot_be_spoken() {
    for (setting, is_asked) in [("on", true), ("true", true), ("auto", false), ("off", false)] {
        let provider = format!("{{id: p9, url: http://h, http2: {setting}}}");
        let text = format!("chains:\n  c:\n    chain_id: 1\n    providers:\n      - {provider}\n");
        let warnings: Vec<String> = load_one(&text).expect("good").warnings.iter().map(|w| w.to_string()).collect();
        let is_warned = is_asked && cfg!(not(feature = "http2"));
        assert_eq!(warnings.len(), usize::from(is_warned), "{setting}: {warnings:?}");
        let is_told =
            |w: &String| w.starts_with("default.yml:5: the provider p9 has http2: on") && w.contains("cargo feature http2");
        assert!(warnings.iter().all(is_told), "{warnings:?}");
    }
}

#[test]
fn what_streams_wait_for_follows_from_the_block_time() {
    let of = |block_time: &str, websocket: &str| {
        let body = format!("chains: {{c: {{chain_id: 1, {block_time} {websocket} providers: [{{id: p, url: http://h}}]}}}}\n");
        let top = load_one(&body).unwrap_or_else(|problems| panic!("{body}{problems:?}")).topology;
        (only_chain(&top).new_heads_timeout_ms, only_chain(&top).max_backfill_blocks)
    };
    assert_eq!(of("", ""), (35_000, 100));
    assert_eq!(of("block_time_ms: 12000,", ""), (36_000, 100));
    assert_eq!(of("block_time_ms: 30000,", ""), (60_000, 100));
    assert_eq!(of("block_time_ms: 2000,", ""), (6_000, 100));
    // 35 s of blocks.
    assert_eq!(of("block_time_ms: 250,", ""), (5_000, 140));
    assert_eq!(of("block_time_ms: 1,", ""), (5_000, 35_000));
    let set = "websocket: {new_heads_timeout_ms: 700, failover: {max_backfill_blocks: 3}},";
    assert_eq!(of("block_time_ms: 250,", set), (700, 3));
    assert_eq!(of("block_time_ms: 250,", "websocket: {new_heads_timeout_ms: 9000},"), (9_000, 156));
}
