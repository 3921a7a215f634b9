//! What the page's files promise to a strict browser, read from their text.

use super::*;
use std::path::Path;

fn scripts() -> impl Iterator<Item = &'static Asset> {
    ASSETS.iter().filter(|asset| asset.kind == SCRIPT)
}

/// Every quoted thing that follows `word`, up to the same quote.
fn quoted_after<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let after = |(at, _)| {
        let rest: &'a str = text.get(at + word.len()..)?;
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        rest.get(1..)?.split(quote).next()
    };
    text.match_indices(word).filter_map(after).collect()
}

#[test]
fn the_table_is_the_directory() {
    let mut found: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/page"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != PAGE.name)
        .collect();
    let mut listed: Vec<String> = ASSETS.iter().map(|asset| asset.name.to_owned()).collect();
    found.sort_unstable();
    listed.sort_unstable();
    assert_eq!(found, listed, "a file of page/ is not in the table, or the other way round");
}

#[test]
fn every_reference_is_an_asset() {
    let page = Page::new();
    let mut count = 0;
    for script in scripts() {
        for word in [" from ", "import ", "import("] {
            for path in quoted_after(script.body, word) {
                let name = path.strip_prefix("./").unwrap_or_else(|| panic!("{}: {path} is not beside it", script.name));
                assert!(page.asset(name).is_some(), "{} imports {path}, which is no asset", script.name);
                count += 1;
            }
        }
    }
    assert!(count > 10, "the reading of imports is broken: {count}");
    let links: Vec<&str> = ["href=", "src="].iter().flat_map(|word| quoted_after(PAGE.body, word)).collect();
    assert!(links.len() >= 4);
    for link in links.into_iter().filter(|link| !link.starts_with('#') && !link.starts_with("/api/")) {
        let name = link.strip_prefix("/dashboard/assets/").unwrap_or_else(|| panic!("{link} is loaded from elsewhere"));
        assert!(page.asset(name).is_some(), "{link} is no asset");
    }
}

#[test]
fn nothing_is_inline_and_nothing_is_from_elsewhere() {
    // What an address in a file may be: a name (of the SVG namespace) or what the page shows of this node.
    let is_name = |rest: &str| rest.starts_with("www.w3.org/2000/svg") || rest.starts_with("${location.host}");
    for asset in ASSETS.iter().chain([&PAGE]) {
        let Asset { name, body, .. } = asset;
        for scheme in ["http://", "https://"] {
            for (at, _) in body.match_indices(scheme) {
                let rest = &body[at + scheme.len()..];
                assert!(is_name(rest), "{name}: {scheme}{}", rest.lines().next().unwrap_or(""));
            }
        }
        for word in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "@import"] {
            assert!(!body.contains(word), "{name}: {word}");
        }
        assert!(name.ends_with(".js") || !body.contains("url("), "{name}: url(");
        for word in ["setAttribute('style'", "style: '", "style: `", "cssText"] {
            assert!(!body.contains(word), "{name}: {word} is refused by the policy; set properties");
        }
    }
    for tag in PAGE.body.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or("");
        assert!(!tag.starts_with("style"), "a style element");
        assert!(!tag.starts_with("script") || tag.contains(" src="), "an inline script: {tag}");
        assert!(!tag.contains(" style=") && !tag.contains(" on"), "an inline attribute: {tag}");
    }
    assert!(!CONTENT_SECURITY_POLICY.contains("unsafe") && !CONTENT_SECURITY_POLICY.contains("  "));
}

#[test]
fn validators() {
    let page = Page::new();
    let style = page.asset("style.css").unwrap();
    assert!(page.asset("nothing.css").is_none() && page.asset("index.html").is_none());
    assert!(style.etag.len() == 34 && style.etag != page.html.etag);
    let fields = String::from_utf8(style.fields.clone()).unwrap();
    assert!(
        fields.ends_with("\r\n") && !fields.contains("\r\n\r\n") && fields.contains(&format!("\r\netag: {}\r\n", style.etag))
    );
    assert!(fields.lines().all(|line| line.split_once(": ").is_some_and(|(name, value)| !name.is_empty() && !value.is_empty())));
    let tag = style.etag.as_str();
    let check = |value: &str, want: bool| assert_eq!(style.is_held(value.as_bytes()), want, "{value}");
    check("", false);
    check(tag, true);
    check(&format!("W/{tag}"), true);
    check(&format!("\"other\" , {tag}"), true);
    check("*", true);
    check("\"other\"", false);
    check(tag.trim_matches('"'), false);
    check(&page.html.etag, false);
}
