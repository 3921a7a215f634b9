//! The page at `/dashboard` (docs/behaviour/shown.md#the-page): plain HTML, CSS and ES modules, embedded in the binary as they
//! are.
//!
//! No build step and no template: what a browser gets is the file of this directory, so that it can be read, changed and
//! tested as such. One table says which files there are, of what kind; each has a strong validator, the start of its
//! SHA-256, so that a page that is opened again costs one 304 each. Bundling and compressing were rejected: the whole is
//! smaller than one answer of `eth_getLogs`, and is asked for over one kept connection.
//! A Content-Security-Policy without any `unsafe-`: nothing inline, nothing from elsewhere (`tests.rs` proves it of the files).
//! What is shown comes from the JSON interfaces and `/api/events`; the page can ask, and changes nothing.

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

/// A file of the page.
struct Asset {
    /// The last segment of its path, `/dashboard/assets/NAME`.
    name: &'static str,
    kind: &'static str,
    body: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! asset {
    ($name:literal, $kind:expr) => {
        Asset { name: $name, kind: $kind, body: include_str!(concat!("page/", $name)) }
    };
}

const ASSETS: &[Asset] = &[
    asset!("style.css", "text/css; charset=utf-8"),
    asset!("icon.svg", "image/svg+xml"),
    asset!("theme.js", SCRIPT),
    asset!("app.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("store.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("status.js", SCRIPT),
    asset!("traffic.js", SCRIPT),
    asset!("overview.js", SCRIPT),
    asset!("topology.js", SCRIPT),
    asset!("motion.js", SCRIPT),
    asset!("listing.js", SCRIPT),
    asset!("panels.js", SCRIPT),
    asset!("chain_panel.js", SCRIPT),
    asset!("provider_panel.js", SCRIPT),
    asset!("activity.js", SCRIPT),
    asset!("views.css", "text/css; charset=utf-8"),
    asset!("metrics.js", SCRIPT),
    asset!("system.js", SCRIPT),
    asset!("regions.js", SCRIPT),
    asset!("scopes.js", SCRIPT),
    asset!("nodes.js", SCRIPT),
    asset!("comparison.js", SCRIPT),
    asset!("trouble.js", SCRIPT),
    asset!("methods.js", SCRIPT),
    asset!("happenings.js", SCRIPT),
    asset!("tester.js", SCRIPT),
    asset!("explain.js", SCRIPT),
    asset!("parts.js", SCRIPT),
    asset!("charts.js", SCRIPT),
    asset!("histogram.js", SCRIPT),
    asset!("morph.js", SCRIPT),
    asset!("runner.js", SCRIPT),
];

const PAGE: Asset = asset!("index.html", "text/html; charset=utf-8");

/// `connect-src` names the WebSocket schemes because older browsers do not count them as `'self'`; the tester opens one.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self' ws: wss:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PERMISSIONS_POLICY: &str = "camera=(), geolocation=(), microphone=(), payment=(), usb=()";

/// What is sent: the fields are whole lines, with the validator.
pub struct File {
    pub fields: Vec<u8>,
    pub body: &'static str,
    /// With its quotes.
    pub etag: String,
}

impl File {
    fn new(asset: &Asset) -> File {
        let digest = Sha256::digest(asset.body);
        let etag = digest.iter().take(16).fold(String::from("\""), |text, byte| format!("{text}{byte:02x}")) + "\"";
        let kind = asset.kind;
        let fields = format!(
            "content-type: {kind}\r\netag: {etag}\r\ncache-control: no-cache\r\ncontent-security-policy: {CONTENT_SECURITY_POLICY}\r\n\
             x-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\npermissions-policy: {PERMISSIONS_POLICY}\r\n"
        );
        File { fields: fields.into_bytes(), body: asset.body, etag }
    }

    /// Whether what the client has is this (RFC 9110 §13.1.2: the weak comparison); `if_none_match` is the field's value.
    pub fn is_held(&self, if_none_match: &[u8]) -> bool {
        let mut tags = if_none_match.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        tags.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == self.etag.as_bytes())
    }
}

/// All files of the page, ready to be sent. Made once in a process.
pub struct Page {
    pub html: File,
    assets: Vec<(&'static str, File)>,
}

impl Page {
    pub fn new() -> Page {
        Page { html: File::new(&PAGE), assets: ASSETS.iter().map(|asset| (asset.name, File::new(asset))).collect() }
    }

    pub fn asset(&self, name: &str) -> Option<&File> {
        self.assets.iter().find(|(known, _)| *known == name).map(|(_, file)| file)
    }
}

impl Default for Page {
    fn default() -> Page {
        Page::new()
    }
}
