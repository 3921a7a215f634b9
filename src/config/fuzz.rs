//! `load` is total: whatever the text, it answers, and what it accepts is consistent.

use crate::config::corpus::{file, variables};
use crate::config::{Loaded, load};
use proptest::prelude::*;

/// Pieces of profiles, so that random text gets past the first key.
const PIECES: &[&str] = &[
    "chains:",
    "c:",
    "chain_id: 1",
    "chain_id: 0x2105",
    "providers:",
    "- id: p",
    "id: q",
    "url: http://h",
    "ws_url: ws://h:1/k?x=y",
    "url: http://u:p@[::1]:8545/secret",
    "priority: 3",
    "capabilities:",
    "limits:",
    "max_block_range: 5",
    "error_rules:",
    "- code: -1",
    "category: rate_limit",
    "routing:",
    "method_overrides:",
    "eth_call: {providers: [p]}",
    "---",
    "...",
    "&a",
    "*a",
    "<<: *a",
    "!!int 5",
    "!x",
    "${KEY}",
    "${",
    "${NOPE:-d}",
    "name: x",
    "slug: default",
    "headers: {a: b}",
    "region_urls: {eu: {url: http://e}}",
    "[",
    "]",
    "{",
    "}",
    "|",
    ">",
    "\"",
    "'",
    "#",
    ": ",
    "- ",
    "? ",
    "~",
    "true",
    "1e999",
    "99999999999999999999999999999999999999999999",
    "\u{feff}",
    "\0",
    "\r\n",
    "\t",
    "aliases: [1, c]",
    "api_key: k",
    "max_connections: 9",
    "http2: on",
    "unlisted: true",
    "rps_limit: 0",
];

fn pieced() -> impl Strategy<Value = String> {
    let line = (0usize..10, prop::sample::select(PIECES), prop::option::of(prop::sample::select(PIECES)));
    prop::collection::vec(line, 0..24).prop_map(|lines| {
        let one = |(indent, a, b): (usize, &str, Option<&str>)| {
            format!("{}{a}{}\n", " ".repeat(indent), b.map_or(String::new(), |b| format!(" {b}")))
        };
        lines.into_iter().map(one).collect()
    })
}

/// A good profile with a stretch cut out and something put in.
fn damaged() -> impl Strategy<Value = String> {
    let good: &'static str =
        Box::leak(include_str!("../../config/profiles/_example.yml").replace("slug: example", "slug: default").into());
    (0..good.len(), 0usize..40, prop::sample::select(PIECES)).prop_map(move |(at, cut, piece)| {
        let floor = |mut at: usize| {
            while !good.is_char_boundary(at.min(good.len())) {
                at -= 1;
            }
            at.min(good.len())
        };
        let (from, to) = (floor(at), floor(at + cut));
        format!("{}{piece}{}", &good[..from], &good[to..])
    })
}

fn total(text: &str) {
    match load(&[file("default.yml", text)], &|name| {
        variables(name).or_else(|| (name.len() > 4).then(|| "value-of-it".to_owned()))
    }) {
        Ok(loaded) => consistent(&loaded),
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = u32::try_from(text.lines().count()).expect("small") + 1;
            assert!(problems.iter().all(|p| (1..=lines.max(1)).contains(&p.line) && !p.what.is_empty()), "{problems:?}");
        }
    }
}

/// Every id in the topology leads somewhere.
fn consistent(loaded: &Loaded) {
    let top = &loaded.topology;
    for profile in top.profiles.values() {
        assert!(profile.chain_by_name.values().all(|id| profile.chains.get(*id).is_some()));
        for chain in profile.chains.values() {
            assert!(!chain.providers.is_empty() && chain.chain_number > 0 && chain.providers.len() == chain.provider_by_id.len());
            for provider in chain.providers.values() {
                let instance = top.instances.get(provider.instance).expect("an instance");
                assert!(instance.chain_number == chain.chain_number && (instance.http.is_some() || instance.ws.is_some()));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        total(&text);
    }

    #[test]
    fn pieces_of_profiles(text in pieced()) {
        total(&text);
    }

    #[test]
    fn damaged_profiles(text in damaged()) {
        total(&text);
    }
}
