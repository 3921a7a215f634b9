//! Batches to the collector, tried again as OTLP asks: after 429, 502, 503, 504 and lost connections, with growing pauses and
//! its own Retry-After; anything else is final.

use super::Wish;
use crate::base::limits;
use crate::runtime::background;
use crate::runtime::flag::Flag;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

pub struct Collector {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
    /// Raised: one try, no pauses.
    stop: Arc<Flag>,
}

/// Why a try did not deliver.
struct Refused {
    why: String,
    /// `None`: it is final.
    again_in_ms: Option<u64>,
}

impl Collector {
    pub fn new(wish: &Wish, stop: Arc<Flag>) -> Collector {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_millis(wish.timeout_ms)))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("lasso/", env!("CARGO_PKG_VERSION")))
            .build();
        Collector { agent: config.into(), url: wish.url.clone(), headers: wish.headers.clone(), stop }
    }

    /// How many spans of the batch the collector rejected, or why it took none.
    pub fn deliver(&self, body: Vec<u8>) -> Result<u64, String> {
        let mut pause_ms = limits::SPANS_PAUSE_MS;
        let mut tries = 1;
        loop {
            let refused = match self.post(&body, pause_ms) {
                Ok(rejected) => return Ok(rejected),
                Err(refused) => refused,
            };
            let Some(again_in_ms) = refused.again_in_ms.filter(|_| tries < limits::SPANS_TRIES) else { return Err(refused.why) };
            if !self.pause(again_in_ms) {
                return Err(refused.why);
            }
            tries += 1;
            pause_ms = (2 * pause_ms).min(limits::SPANS_PAUSE_MAX_MS);
        }
    }

    fn post(&self, body: &[u8], pause_ms: u64) -> Result<u64, Refused> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        // ureq's own words may name the URL, which may hold a key.
        let lost = |fault: ureq::Error| Refused { why: reason(&fault).to_owned(), again_in_ms: Some(pause_ms) };
        let mut answer = request.send(body).map_err(lost)?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(|v| v.parse::<u64>().ok());
        let text = answer.body_mut().with_config().limit(limits::SPANS_ANSWER_BYTES).read_to_string().unwrap_or_default();
        match status {
            200..=299 => Ok(rejected(&text)),
            429 | 502..=504 => {
                let asked_ms = retry_after.map(|seconds| (seconds * 1000).min(limits::SPANS_PAUSE_MAX_MS));
                Err(Refused { why: format!("the collector answers {status}"), again_in_ms: Some(asked_ms.unwrap_or(pause_ms)) })
            }
            _ => Err(Refused { why: format!("the collector answers {status}"), again_in_ms: None }),
        }
    }

    /// `false`: the node stops, so there is no time for it.
    fn pause(&self, ms: u64) -> bool {
        const STEP_MS: u64 = 50;
        for _ in 0..ms.div_ceil(STEP_MS) {
            if self.stop.is_raised() {
                return false;
            }
            background::pause(Duration::from_millis(STEP_MS));
        }
        !self.stop.is_raised()
    }
}

fn reason(fault: &ureq::Error) -> &'static str {
    match fault {
        ureq::Error::Timeout(_) => "the collector does not answer in time",
        ureq::Error::HostNotFound => "the collector's host name does not resolve",
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed => "the collector cannot be reached",
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => "TLS with the collector failed",
        _ => "the collector could not be asked",
    }
}

/// `{"partialSuccess":{"rejectedSpans":"3"}}`; a 64-bit number is text in protobuf's JSON, and some write it as a number.
fn rejected(text: &str) -> u64 {
    let answer: Value = serde_json::from_str(text).unwrap_or_default();
    let count = &answer["partialSuccess"]["rejectedSpans"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_success_is_read_in_both_forms() {
        let check = |text: &str, want| assert_eq!(rejected(text), want, "{text}");
        check("", 0);
        check("{}", 0);
        check(r#"{"partialSuccess":{}}"#, 0);
        check(r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"old"}}"#, 3);
        check(r#"{"partialSuccess":{"rejectedSpans":4}}"#, 4);
        check("<html>", 0);
    }
}
