//! Which strings are secrets, and how text is shown without them (docs/behaviour/shown.md#secrets).
//!
//! Where a key stands in a URL is the provider's choice, so every path segment is taken for one unless it is a word that
//! URLs of nodes are known to have; so is every query value, all of userinfo, every header value and whatever a variable
//! put into the path. Guessing by "looks random" was rejected: it misses short and worded keys. The price is that an
//! unusual public path is hidden too.
//!
//! Strings under 6 bytes are never searched for in text, since they would match by chance; a URL printed by `shown_url`
//! hides them all the same.

use crate::base::limits::SECRET_BYTES_MIN;
use crate::config::topology::Endpoint;
use crate::config::url::percent_decode;

/// What stands where a secret was.
pub const HIDDEN: &str = "***";

/// Path words of public endpoints. Lower case.
const PLAIN_WORDS: &[&str] = &[
    "api",
    "archive",
    "arb",
    "arbitrum",
    "arbitrum-one",
    "arbitrum-sepolia",
    "avalanche",
    "avax",
    "base",
    "base-mainnet",
    "base-sepolia",
    "bc",
    "beta",
    "blast",
    "bnb",
    "bsc",
    "c",
    "celo",
    "chain",
    "eth",
    "ether",
    "ethereum",
    "ethereum-mainnet",
    "ethereum-sepolia",
    "evm",
    "ext",
    "fantom",
    "full",
    "gateway",
    "gnosis",
    "goerli",
    "holesky",
    "hoodi",
    "http",
    "https",
    "json-rpc",
    "jsonrpc",
    "linea",
    "main",
    "mainnet",
    "mantle",
    "matic",
    "node",
    "nova",
    "op",
    "optimism",
    "optimism-sepolia",
    "polygon",
    "public",
    "rpc",
    "scroll",
    "sepolia",
    "solana",
    "test",
    "testnet",
    "true",
    "false",
    "websocket",
    "ws",
    "wss",
    "xdai",
    "zksync",
    "zora",
];

/// `text` with every secret replaced; longer secrets first, so that one inside another leaves no remains.
pub fn redact(text: &str, secrets: &[Box<str>]) -> String {
    let mut found: Vec<&str> = secrets.iter().map(AsRef::as_ref).filter(|secret| text.contains(*secret)).collect();
    found.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
    found.into_iter().fold(text.to_owned(), |text, secret| text.replace(secret, HIDDEN))
}

/// True when any secret occurs in these bytes.
pub fn contains_secret(bytes: &[u8], secrets: &[Box<str>]) -> bool {
    secrets.iter().any(|secret| memchr::memmem::find(bytes, secret.as_bytes()).is_some())
}

/// The whole URL with everything hidden that may be a key. `scheme` is `http` or `ws`; the `s` is added.
pub fn shown_url(endpoint: &Endpoint, scheme: &str) -> String {
    let (path, query) = split_query(&endpoint.path);
    let hidden = |segment: &str| if segment.is_empty() || is_plain(segment) { segment.to_owned() } else { HIDDEN.to_owned() };
    let path: Vec<String> = path.split('/').map(hidden).collect();
    let mut out = format!("{scheme}{}://", if endpoint.tls { "s" } else { "" });
    if endpoint.basic_auth.is_some() {
        out.push_str(HIDDEN);
        out.push('@');
    }
    out.push_str(&endpoint.authority());
    out.push_str(&path.join("/"));
    if let Some(query) = query {
        let pair = |pair: &str| pair.split_once('=').map_or(HIDDEN.to_owned(), |(name, _)| format!("{name}={HIDDEN}"));
        out.push('?');
        out.push_str(&query.split('&').map(pair).collect::<Vec<_>>().join("&"));
    }
    out
}

/// Collects an instance's secrets.
#[derive(Default, Clone, Debug)]
pub(super) struct Secrets(Vec<Box<str>>);

impl Secrets {
    pub fn add(&mut self, secret: &str) {
        if secret.len() >= SECRET_BYTES_MIN && !self.0.iter().any(|have| have.as_ref() == secret) {
            self.0.push(secret.into());
        }
    }

    /// A URL's path, query and userinfo. `url` is the text as written, `filled` what variables put into it.
    pub fn add_url(&mut self, url: &str, endpoint: &Endpoint, filled: &[String]) {
        let (path, query) = split_query(&endpoint.path);
        for segment in path.split('/').filter(|segment| !is_plain(segment)) {
            self.add_both_forms(segment);
        }
        for pair in query.unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or(("key", pair));
            if !is_plain(value) || names_a_key(name) {
                self.add_both_forms(value);
            }
        }
        for value in filled.iter().filter(|value| endpoint.path.contains(value.as_str())) {
            self.add_both_forms(value.trim_matches('/'));
        }
        self.add_userinfo(url, endpoint);
    }

    fn add_userinfo(&mut self, url: &str, endpoint: &Endpoint) {
        let Some(header) = &endpoint.basic_auth else { return };
        self.add_header_value(header);
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
        if let Some((userinfo, _)) = authority.rsplit_once('@') {
            self.add(userinfo);
            userinfo.split(':').for_each(|part| self.add_both_forms(part));
        }
    }

    /// The value, and what follows an authentication scheme (`Bearer x`).
    pub fn add_header_value(&mut self, value: &str) {
        self.add(value);
        if let Some((_, token)) = value.split_once(' ') {
            self.add(token.trim());
        }
    }

    fn add_both_forms(&mut self, text: &str) {
        self.add(text);
        if let Some(decoded) = percent_decode(text).and_then(|bytes| String::from_utf8(bytes).ok()) {
            self.add(&decoded);
        }
    }

    pub fn into_list(mut self) -> Vec<Box<str>> {
        self.0.sort_unstable();
        self.0
    }

    pub fn extend(&mut self, other: &Secrets) {
        other.0.iter().for_each(|secret| self.add(secret));
    }
}

fn split_query(path: &str) -> (&str, Option<&str>) {
    path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)))
}

/// A word of public URLs, a version (`v2`), or a number short enough for a chain id.
fn is_plain(segment: &str) -> bool {
    let word = segment.to_ascii_lowercase();
    let digits = word.strip_prefix('v').unwrap_or(&word);
    PLAIN_WORDS.contains(&word.as_str())
        || (!digits.is_empty() && digits.len() <= 10 && digits.bytes().all(|b| b.is_ascii_digit()))
}

fn names_a_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["key", "token", "secret", "auth", "pass", "sig"].iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url::{Scheme, parse};

    fn secrets(url: &str, filled: &[&str]) -> Vec<String> {
        let endpoint = parse(url, Scheme::Http).expect(url);
        let filled: Vec<String> = filled.iter().map(|s| (*s).to_owned()).collect();
        let mut out = Secrets::default();
        out.add_url(url, &endpoint, &filled);
        out.into_list().iter().map(|s| s.to_string()).collect()
    }

    #[test]
    fn finds_secrets_in_urls() {
        let check = |url: &str, filled: &[&str], want: &[&str]| assert_eq!(secrets(url, filled), want, "{url}");
        check("https://eth.drpc.org", &[], &[]);
        check("https://ethereum.public.blockpi.network/v1/rpc/public", &[], &[]);
        check("https://gateway.tenderly.co/public/sepolia", &[], &[]);
        check("https://h/v2/AbCd1234", &[], &["AbCd1234"]);
        check("https://h/hunters", &[], &["hunters"]);
        check("https://h/rpc?apikey=123456&x=true", &[], &["123456"]);
        check("https://h/rpc?chain=11155111", &[], &[]);
        check("https://h/?justthekey", &[], &["justthekey"]);
        check("https://h/a%2Dbcdef", &[], &["a%2Dbcdef", "a-bcdef"]);
        check("https://h/v2/mainnet", &["mainnet"], &["mainnet"]); // a variable's value is a secret whatever it looks like
        check("https://myhost/v2/x", &["myhost"], &[]); // but not in the host
        let got = secrets("https://user01:p%40ssword@h/", &[]);
        for want in ["user01", "p%40ssword", "p@ssword", "user01:p%40ssword", "dXNlcjAxOnBAc3N3b3Jk"] {
            assert!(got.iter().any(|s| s == want), "{want} in {got:?}");
        }
    }

    #[test]
    fn redacts_longest_first() {
        let list: Vec<Box<str>> = vec!["abcdef".into(), "abcdefgh".into()];
        assert_eq!(redact("x abcdefgh y abcdef z", &list), "x *** y *** z");
        assert!(contains_secret(b"..abcdef..", &list) && !contains_secret(b"abcde", &list));
    }

    #[test]
    fn shows_urls_without_secrets() {
        let check = |url: &str, want: &str| assert_eq!(shown_url(&parse(url, Scheme::Http).expect(url), "http"), want, "{url}");
        check("https://1rpc.io/eth", "https://1rpc.io/eth");
        check("https://h:8/v3/0123456789abcdef", "https://h:8/v3/***");
        check("http://h/short?k=v&w", "http://h/***?k=***&***");
        check("http://u:p@h/", "http://***@h/");
    }

    #[test]
    fn short_strings_are_no_secrets() {
        let mut list = Secrets::default();
        list.add("12345");
        list.add_header_value("Bearer abc");
        assert_eq!(list.into_list(), vec![Box::from("Bearer abc")]);
    }
}
