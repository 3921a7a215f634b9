//! Our own no, before a call was looked at: HTTP status, JSON body, and for a wrong verb the `Allow` field.
//! Texts and codes that clients may match are listed in docs/behaviour/http.md#refusals; each of ours names cause and remedy.

use crate::wire::json::write_string;
use crate::wire::jsonrpc::write_error;

/// A refusal. `code` 0 means that the body is plain JSON (`{"errors":{"detail":..}}`) and not a JSON-RPC error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    pub status: u16,
    /// JSON-RPC code, or 0.
    pub code: i64,
    pub message: String,
    /// Raw JSON.
    pub data: Option<String>,
    /// Value of `Allow`, with 405 only.
    pub allow: Option<&'static str>,
    /// Value of `Link` (RFC 8288): where it would have worked.
    pub link: Option<String>,
}

const FORMS: &str = "JSON-RPC is POST /rpc/:chain, /rpc/:strategy/:chain, /rpc/:chain/:provider or /rpc/provider/:provider/:chain, \
     each also after /rpc/profile/:profile; GET /api/chains lists the chains";

impl Refusal {
    fn rpc(status: u16, code: i64, message: String) -> Refusal {
        Refusal { status, code, message, data: None, allow: None, link: None }
    }

    /// A body that is not JSON-RPC. `hint` is plain ASCII without quotes or backslashes.
    pub(super) fn plain(status: u16, detail: &str, hint: &'static str) -> Refusal {
        Refusal { status, code: 0, message: detail.to_owned(), data: Some(format!("\"{hint}\"")), allow: None, link: None }
    }

    pub fn not_found() -> Refusal {
        Refusal::plain(404, "Not Found", FORMS)
    }

    pub(super) fn wrong_verb(allow: &'static str) -> Refusal {
        Refusal {
            allow: Some(allow),
            ..Refusal::plain(405, "Method Not Allowed", "see the Allow field for what this path takes")
        }
    }

    /// GET where JSON-RPC is posted: somebody's browser, or a WebSocket's handshake.
    pub(super) fn websocket_elsewhere(path: &[u8]) -> Refusal {
        let place = format!("/ws/{}", String::from_utf8_lossy(path).trim_start_matches('/'));
        let mut hint = Vec::new();
        write_string(&mut hint, &format!("POST JSON-RPC here; a WebSocket is opened at {place}"));
        let (data, link) = (String::from_utf8_lossy(&hint).into_owned(), format!("<{place}>; rel=\"alternate\""));
        Refusal { data: Some(data), link: Some(link), ..Refusal::wrong_verb("POST, OPTIONS") }
    }

    pub(super) fn blank_profile() -> Refusal {
        let data = Some(r#"{"error_type":"profile_empty"}"#.to_owned());
        Refusal { data, ..Refusal::rpc(400, -32602, "Profile cannot be empty".to_owned()) }
    }

    pub(super) fn unknown_profile(slug: &str) -> Refusal {
        let data = Some(r#"{"error_type":"profile_not_found"}"#.to_owned());
        Refusal { data, ..Refusal::rpc(404, -32000, format!("Profile '{slug}' not found")) }
    }

    pub(super) fn unknown_chain(name: &str, slug: &str) -> Refusal {
        Refusal::rpc(400, -32602, format!("Unsupported chain: Unknown chain '{name}' in profile '{slug}'"))
    }

    pub(super) fn unknown_provider(name: &str) -> Refusal {
        Refusal::rpc(400, -32602, format!("Unsupported chain: Provider '{name}' is not configured for this chain"))
    }

    pub(super) fn unknown_strategy(word: &str) -> Refusal {
        Refusal::rpc(400, -32602, format!("Unknown strategy '{word}'; use priority, load-balanced, fastest or latency-weighted"))
    }

    pub(super) fn wrong_transport(word: &str) -> Refusal {
        Refusal::rpc(400, -32602, format!("Unknown transport '{word}'; use http or ws"))
    }

    /// Appends the whole body.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        if self.code == 0 {
            out.extend_from_slice(b"{\"errors\":{\"detail\":");
            write_string(out, &self.message);
            if let Some(hint) = &self.data {
                out.extend_from_slice(b",\"hint\":");
                out.extend_from_slice(hint.as_bytes());
            }
            out.extend_from_slice(b"}}");
            return;
        }
        write_error(out, b"null", self.code, &self.message, self.data.as_deref().map(str::as_bytes));
    }
}
