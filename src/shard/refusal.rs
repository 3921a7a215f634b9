//! Our own no to a call, as JSON-RPC errors. Codes and texts that clients may match are listed in
//! docs/behaviour/http.md#refusals; every one names a cause, and a remedy where the client has one.

use crate::base::limits;
use crate::route::exchange::Refuse;
use crate::wire::jsonrpc::RequestFault;
use std::borrow::Cow;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RpcRefusal {
    /// Of a single call's answer; inside a batch everything is 200.
    pub status: u16,
    pub code: i64,
    pub message: Cow<'static, str>,
    /// Raw JSON.
    pub data: Option<Cow<'static, str>>,
    /// Seconds for `Retry-After`.
    pub retry_after_s: Option<u64>,
}

fn refusal(status: u16, code: i64, message: impl Into<Cow<'static, str>>) -> RpcRefusal {
    RpcRefusal { status, code, message: message.into(), data: None, retry_after_s: None }
}

/// `retry_after_ms`: when the next trial comes (docs/behaviour/health.md#dark-chains).
fn circuits_open(method: &str, retry_after_ms: Option<u64>) -> RpcRefusal {
    let no_channels = format!("No available channels for method: {method}.");
    match retry_after_ms {
        Some(ms) => {
            let message = format!("{no_channels} All circuits open, retry after {}s", ms.div_ceil(1000));
            refusal(200, -32000, message).with_data(format!("{{\"retry_after_ms\":{ms}}}"))
        }
        None => refusal(200, -32000, format!("{no_channels} All circuit breakers are open.")).with_data("{}"),
    }
}

impl RpcRefusal {
    fn with_data(self, data: impl Into<Cow<'static, str>>) -> RpcRefusal {
        RpcRefusal { data: Some(data.into()), ..self }
    }

    /// No provider's answer can be given. `method` is plain ASCII; `category` is the last outcome's word.
    pub fn no_answer(why: Refuse, method: &str, category: Option<&'static str>, retry_after_ms: Option<u64>) -> RpcRefusal {
        match why {
            Refuse::CircuitsOpen => circuits_open(method, retry_after_ms),
            Refuse::HeldOpen => refusal(200, -32000, format!("No available channels for method: {method}. Held open by hand"))
                .with_data(
                    "{\"reason\":\"an operator holds every circuit open: lasso breaker auto PROVIDER --chain CHAIN ends it\"}",
                ),
            Refuse::NoProvider => refusal(200, -32000, format!("No available channels for method: {method}")),
            Refuse::Exhausted => {
                let category = category.unwrap_or("unreachable");
                let retry = retry_after_ms.map_or(String::new(), |ms| format!(",\"retry_after_ms\":{ms}"));
                refusal(200, -32000, "No provider could answer").with_data(format!("{{\"category\":\"{category}\"{retry}}}"))
            }
            Refuse::DeadlineExhausted => {
                refusal(200, -32000, "Request deadline exhausted").with_data("{\"reason\":\"deadline_exhausted\"}")
            }
            Refuse::AttemptTimedOut => refusal(200, -32007, "Request timeout"),
            Refuse::Indeterminate => refusal(200, -32000, "Upstream dispatch outcome is indeterminate")
                .with_data("{\"reason\":\"it was sent and no answer came: check before sending it again\"}"),
        }
    }

    /// The call's total time is over; `tried`: whom it was sent to.
    pub fn timed_out<'a>(timeout_ms: u64, tried: impl Iterator<Item = &'a str>) -> RpcRefusal {
        let mut data = format!("{{\"timeout_ms\":{timeout_ms},\"tried\":[").into_bytes();
        for (nth, name) in tried.enumerate() {
            data.extend_from_slice(if nth > 0 { b"," } else { b"" });
            crate::wire::json::write_string(&mut data, name);
        }
        data.extend_from_slice(b"]}");
        refusal(200, -32007, format!("Request timeout: no answer within {timeout_ms} ms"))
            .with_data(String::from_utf8_lossy(&data).into_owned())
    }

    pub fn bad_request(fault: &RequestFault) -> RpcRefusal {
        let status = if fault.code() == -32700 { 400 } else { 200 };
        refusal(status, fault.code(), fault.message())
    }

    pub fn batch_too_large(items: usize, max_items: u32) -> RpcRefusal {
        let message = format!("Invalid Request: batch too large ({items} calls, at most {max_items})");
        refusal(200, -32600, message).with_data(format!("{{\"max_items\":{max_items}}}"))
    }

    /// Answers of a batch that are kept until all are there have used up their share of memory.
    pub fn batch_out_of_memory() -> RpcRefusal {
        let data = format!("{{\"limit_bytes\":{}}}", limits::INFLIGHT_ANSWER_BYTES);
        refusal(200, -32008, "Local answer byte capacity unavailable: ask in smaller batches").with_data(data)
    }

    pub fn empty_batch() -> RpcRefusal {
        refusal(200, -32600, "Invalid Request")
    }

    pub fn blocked() -> RpcRefusal {
        refusal(200, -32601, "Method not supported by proxy")
    }

    /// `path` is where the same call works.
    pub fn subscribe_over_http(url: &str) -> RpcRefusal {
        let mut data = Vec::from(&b"{\"websocket_url\":"[..]);
        crate::wire::json::write_string(&mut data, url);
        data.push(b'}');
        refusal(200, -32601, "Method not supported over HTTP. Use WebSocket connection for subscriptions.")
            .with_data(String::from_utf8_lossy(&data).into_owned())
    }

    pub fn filter_not_found() -> RpcRefusal {
        refusal(200, -32000, "filter not found")
    }

    pub fn rate_limited(rps: u32, retry_after_ms: u64) -> RpcRefusal {
        let data = format!("{{\"retry_after_ms\":{retry_after_ms},\"rate_limit\":{rps}}}");
        let message = format!("Rate limit exceeded. Limit: {rps} requests per second.");
        let retry_after_s = Some(retry_after_ms.div_ceil(1000).max(1));
        RpcRefusal { retry_after_s, ..refusal(429, -32005, message).with_data(data) }
    }

    /// A batch that no waiting would let through.
    pub fn over_burst(rps: u32, burst: u32) -> RpcRefusal {
        let message = format!("Rate limit exceeded. Limit: {rps} requests per second.");
        let data = format!("{{\"max_items\":{burst},\"rate_limit\":{rps}}}");
        refusal(429, -32005, message).with_data(data)
    }

    pub fn out_of_memory() -> RpcRefusal {
        let data = format!("{{\"limit_bytes\":{}}}", limits::INFLIGHT_BODY_BYTES);
        refusal(503, -32008, "Local request byte capacity unavailable").with_data(data)
    }

    pub fn too_many_clients(limit: u64) -> RpcRefusal {
        let refused = refusal(503, -32008, "This node has no room for another client connection; connect again later");
        refused.with_data(format!("{{\"limit_connections\":{limit}}}"))
    }

    pub fn not_json() -> RpcRefusal {
        refusal(415, -32600, "Unsupported content type: send JSON with content-type application/json")
    }

    pub fn stopping() -> RpcRefusal {
        refusal(503, -32008, "The node is stopping; connect again")
    }

    pub fn subscribe_in_batch() -> RpcRefusal {
        refusal(200, -32600, "eth_subscribe and eth_unsubscribe cannot be part of a batch: send them by themselves")
    }

    pub fn invalid_params(message: String) -> RpcRefusal {
        refusal(200, -32602, message)
    }

    /// One connection has as many.
    pub fn too_many_subscriptions() -> RpcRefusal {
        let data = format!("{{\"limit_subscriptions\":{}}}", limits::SOCKET_SUBSCRIPTIONS);
        refusal(200, -32008, "Subscription capacity unavailable").with_data(data)
    }

    /// One address has as many, over all its connections.
    pub fn too_many_topics() -> RpcRefusal {
        let most = limits::CLIENT_TOPICS;
        let message = format!(
            "Subscription capacity unavailable: this address has {most} different subscriptions, as many as it may. End some with \
             eth_unsubscribe, or ask for several addresses and topics in one filter"
        );
        refusal(200, -32008, message).with_data(format!("{{\"limit_topics\":{most}}}"))
    }

    /// A subscription cannot go on where it ended. `why` is ours: it says what to do.
    pub fn no_resumption(why: &str) -> RpcRefusal {
        let refused = refusal(200, -32000, format!("Failed to create subscription: {why}"));
        refused.with_data("{\"reason\":\"it cannot be resumed\"}")
    }

    /// Why is in its data (docs/behaviour/clients.md#subscription-keys). `reason` is ours: plain text without quotes.
    pub fn no_subscription(reason: &str) -> RpcRefusal {
        refusal(200, -32000, "Failed to create subscription").with_data(format!("{{\"reason\":\"{reason}\"}}"))
    }
}
