//! Questions to a running node over its own HTTP API, for commands that a person waits for.
//!
//! Blocking, one question at a time, bounded in time and size. Everything that can go wrong ends in a sentence that says
//! what to do next, because whoever asks is often in trouble already. A user and a password in the URL become basic
//! authentication and are never printed. Rejected: the node's own client (it belongs to shards and their worlds).

use crate::base::limits;
use base64::Engine;
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Response, StatusCode};

/// Where a node is.
#[derive(Clone)]
pub struct Address {
    /// Scheme, host and port.
    base: String,
    authorization: Option<String>,
}

/// Without what is secret.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

impl Address {
    /// `http://host:port`, with or without `user:password@` and a slash at the end.
    pub fn parse(url: &str) -> Option<Address> {
        let (scheme, rest) = url.trim().split_once("://").unwrap_or(("http", url.trim()));
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, place) = rest.rsplit_once('@').map_or((None, rest), |(user, place)| (Some(user), place));
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b);
        if !matches!(scheme, "http" | "https") || place.is_empty() || !place.bytes().all(fine) {
            return None;
        }
        let base = format!("{scheme}://{place}");
        base.parse::<ureq::http::Uri>().ok()?;
        let basic = |user: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(user));
        Some(Address { base, authorization: user.map(basic) })
    }

    pub fn shown(&self) -> &str {
        &self.base
    }

    fn is_here(&self) -> bool {
        let host = self.base.split("://").nth(1).unwrap_or("");
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
    }
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// For people: what, and what to do.
    pub text: String,
    /// Nobody answered: it may come back.
    pub is_gone: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One node, and the connections to it.
#[derive(Clone, Debug)]
pub struct Client {
    address: Address,
    agent: Agent,
}

impl Client {
    pub fn new(address: &Address) -> Client {
        let mut config = Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(limits::ASK_TIMEOUT_MS)))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("lasso/", env!("CARGO_PKG_VERSION")));
        if address.is_here() {
            // A proxy of the environment does not lead to this machine.
            config = config.proxy(None);
        }
        Client { address: address.clone(), agent: config.build().into() }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// `path` begins with a slash; its parts are escaped already (`part`).
    pub fn get(&self, path: &str) -> Result<Value, Fault> {
        let mut call = self.agent.get(format!("{}{path}", self.address.base));
        if let Some(basic) = &self.address.authorization {
            call = call.header("authorization", basic);
        }
        self.read(path, call.call())
    }

    pub fn post(&self, path: &str) -> Result<Value, Fault> {
        let mut call = self.agent.post(format!("{}{path}", self.address.base)).content_type("application/json");
        if let Some(basic) = &self.address.authorization {
            call = call.header("authorization", basic);
        }
        self.read(path, call.send_empty())
    }

    /// A stream of events that goes on after `last_id`, or as far back as the node remembers.
    pub fn stream(&self, path: &str, last_id: &str) -> Result<impl Read + use<>, Fault> {
        let mut call = self.agent.get(format!("{}{path}", self.address.base)).config().timeout_global(None).build();
        for (name, value) in [("authorization", self.address.authorization.as_deref()), ("last-event-id", Some(last_id))] {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                call = call.header(name, value);
            }
        }
        let answer = call.call().map_err(|error| self.unreached(&error))?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body().into_reader()),
            _ => Err(self.foreign()),
        }
    }

    fn read(&self, path: &str, got: Result<Response<ureq::Body>, ureq::Error>) -> Result<Value, Fault> {
        let mut answer = got.map_err(|error| self.unreached(&error))?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(limits::ASK_BODY_BYTES).read_to_vec();
        let body = body.map_err(|error| self.unreached(&error))?;
        let json = serde_json::from_slice::<Value>(&body).ok().filter(Value::is_object);
        match (status, json) {
            (StatusCode::OK, Some(json)) => Ok(json),
            (StatusCode::UNAUTHORIZED, _) => Err(self.fault(format!(
                "the node at {} wants a user and a password: use --url http://USER:PASS@HOST:PORT",
                self.address.base
            ))),
            (_, Some(json)) if json.get("error").is_some_and(Value::is_string) => Err(self.fault(refusal(&json))),
            (StatusCode::NOT_FOUND, _) => Err(self.unknown_path(path)),
            _ => Err(self.foreign()),
        }
    }

    fn fault(&self, text: String) -> Fault {
        Fault { text, is_gone: false }
    }

    fn unreached(&self, error: &ureq::Error) -> Fault {
        let base = &self.address.base;
        let gone = |text: String| Fault { text, is_gone: true };
        match error {
            ureq::Error::ConnectionFailed => gone(format!("no node at {base}: is it running? use --url")),
            ureq::Error::Io(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
                gone(format!("no node at {base}: is it running? use --url"))
            }
            ureq::Error::Timeout(_) => gone(format!(
                "{base} did not answer within {} s: is it a node, and not overloaded? use --url",
                limits::ASK_TIMEOUT_MS / 1000
            )),
            ureq::Error::HostNotFound => gone(format!("no address is known for {base}: correct --url")),
            ureq::Error::Protocol(_) | ureq::Error::BodyExceedsLimit(_) => self.foreign(),
            ureq::Error::Io(why) if why.kind() == io::ErrorKind::UnexpectedEof => self.foreign(),
            other => gone(format!("{base} cannot be asked ({other}): correct --url")),
        }
    }

    fn foreign(&self) -> Fault {
        self.fault(format!("what answers at {} is not a Lasso node: correct --url", self.address.base))
    }

    /// Another version of a node, or no node at all: its health tells.
    fn unknown_path(&self, path: &str) -> Fault {
        let health = match path {
            "/api/health" => None,
            _ => self.get("/api/health").ok(),
        };
        let version = health.as_ref().and_then(|health| health.get("version")?.as_str());
        version.map_or_else(|| self.foreign(), |version| self.other_version(version))
    }

    /// A node that answers something else than this program understands.
    pub fn other_version(&self, version: &str) -> Fault {
        let (base, own) = (&self.address.base, env!("CARGO_PKG_VERSION"));
        self.fault(format!(
            "the node at {base} is version {version}, this program is {own}: use the program of version {version}"
        ))
    }
}

/// The node's own sentence: what, and what there is instead.
fn refusal(json: &Value) -> String {
    let text = |name: &str| json.get(name).and_then(Value::as_str);
    let mut out = text("error").unwrap_or("refused").to_owned();
    for name in ["profile", "chain", "provider"] {
        if let Some(value) = text(name) {
            out.push_str(&format!(": {value}"));
        }
    }
    for (name, value) in json.as_object().into_iter().flatten() {
        if let (Some(what), Some(all)) = (name.strip_prefix("available_"), value.as_array()) {
            let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
            out.push_str(&format!(" ({what}: {})", all.join(", ")));
        }
    }
    if let Some(hint) = text("hint") {
        out.push_str(&format!(" ({hint})"));
    }
    out
}

/// One part of a path or a value of a query, escaped.
pub fn part(text: &str) -> String {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    text.bytes().map(|b| if fine(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |url: &str, want: Option<(&str, bool)>| {
            let got = Address::parse(url);
            assert_eq!(got.as_ref().map(|a| (a.shown(), a.authorization.is_some())), want, "{url}");
        };
        check("http://127.0.0.1:4000", Some(("http://127.0.0.1:4000", false)));
        check("https://node.example/", Some(("https://node.example", false)));
        check("localhost:4000", Some(("http://localhost:4000", false)));
        check("http://a:b@[::1]:4000", Some(("http://[::1]:4000", true)));
        for bad in ["", "http://", "ftp://a", "http://a/b", "http://a b", "http://a?x=1"] {
            check(bad, None);
        }
        let secret = Address::parse("http://a:b@h").expect("fine");
        assert_eq!(secret.authorization.as_deref(), Some("Basic YTpi"));
        assert_eq!(format!("{secret:?}"), "http://h");
    }

    #[test]
    fn refusals_are_sentences() {
        let check = |json: Value, want: &str| assert_eq!(refusal(&json), want);
        check(
            serde_json::json!({"error": "Chain not found", "chain": "x", "available_chains": ["a", "b"]}),
            "Chain not found: x (chains: a, b)",
        );
        check(serde_json::json!({"error": "not allowed from here", "hint": "do so"}), "not allowed from here (do so)");
        assert_eq!(part("a b/é"), "a%20b%2F%C3%A9");
    }
}
