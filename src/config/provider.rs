//! One entry of `providers:` as read and checked by itself; what concerns several of them is `resolve`'s.

use crate::base::limits;
use crate::config::capabilities::read_capabilities;
use crate::config::headers::{read_forward_headers, read_headers};
use crate::config::read::{Fields, Reader, Spot};
use crate::config::redact::Secrets;
use crate::config::schema;
use crate::config::topology::{Capabilities, Endpoint, Http2, RegionUrl};
use crate::config::url::{self, Scheme};
use crate::config::yaml::{At, Kind, Node};

#[derive(Debug)]
pub(super) struct ProviderSpec {
    pub at: At,
    /// Empty when it was missing or wrong, which was reported.
    pub id: Spot<Box<str>>,
    pub name: Option<Box<str>>,
    pub priority: u32,
    pub http: Option<Endpoint>,
    pub ws: Option<Endpoint>,
    pub archival: bool,
    pub subscribe_new_heads: Option<bool>,
    pub isolated: bool,
    pub regions: Vec<Box<str>>,
    pub region_urls: Vec<RegionUrl>,
    pub capabilities: Capabilities,
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub forward_headers: Vec<Box<str>>,
    /// Part of the identity only (docs/behaviour/choosing.md#upstreams).
    pub credentials: Vec<(Box<str>, Box<str>)>,
    pub ca_file: Option<Spot<Box<str>>>,
    pub max_connections: Option<Spot<u32>>,
    pub http2: Option<Spot<Http2>>,
    pub secrets: Secrets,
}

pub(super) fn read_provider(reader: &mut Reader<'_>, node: &Node) -> Option<ProviderSpec> {
    let fields = reader.fields(node, &schema::PROVIDER, "a provider")?;
    let mut secrets = Secrets::default();
    let (mut http, ws) = read_urls(reader, &fields, &mut secrets, "a provider");
    let headers = read_headers(reader, &fields);
    headers.iter().for_each(|(_, value)| secrets.add_header_value(value));
    let credentials = read_credentials(reader, &fields);
    credentials.iter().for_each(|(_, value)| secrets.add(value));
    let mut ws = ws;
    if headers.iter().any(|(name, _)| name.as_ref() == "authorization") {
        [&mut http, &mut ws].into_iter().flatten().for_each(|endpoint| endpoint.basic_auth = None);
    }
    let region_urls = read_region_urls(reader, &fields, &mut secrets);
    let id = read_id(reader, &fields);
    let http2 = read_http2(reader, &fields);
    check_http2(reader, &id.value, http2.as_ref());
    Some(ProviderSpec {
        at: fields.at,
        id,
        name: reader.title(&fields, "name"),
        priority: reader.whole(&fields, "priority", 0, u32::MAX.into()).and_then(|p| u32::try_from(p).ok()).unwrap_or(100),
        http,
        ws,
        archival: reader.flag(&fields, "archival").unwrap_or(true),
        subscribe_new_heads: reader.flag(&fields, "subscribe_new_heads"),
        isolated: reader.choice(&fields, "sharing_mode", &["auto", "isolated"]) == Some("isolated"),
        regions: reader.texts(&fields, "regions").into_iter().map(|region| region.value).collect(),
        region_urls,
        capabilities: read_capabilities(reader, &fields),
        headers,
        forward_headers: read_forward_headers(reader, &fields),
        credentials,
        ca_file: reader
            .text(&fields, "ca_file")
            .map(|text| Spot::new(text.value.value.as_str().into(), fields.at_key("ca_file"))),
        max_connections: read_max_connections(reader, &fields),
        http2,
        secrets,
    })
}

impl ProviderSpec {
    /// The profile's names beside its own; what its configuration sets itself is not the client's to say.
    pub fn inherit_forwarded(&mut self, profile: &[Box<str>]) {
        for name in profile {
            if !self.forward_headers.contains(name) {
                self.forward_headers.push(name.clone());
            }
        }
        self.forward_headers.retain(|name| !self.headers.iter().any(|(own, _)| own == name));
    }
}

/// A build without the feature knows the key and cannot do what it says.
fn check_http2(reader: &mut Reader<'_>, id: &str, http2: Option<&Spot<Http2>>) {
    let asked = http2.filter(|http2| http2.value == Http2::On && cfg!(not(feature = "http2")));
    if let Some(asked) = asked {
        let what = format!("the provider {id} has http2: on, which this build cannot do: it is asked over HTTP/1.1");
        reader.warning(asked.at, what, "use a build with the cargo feature http2, or set http2: off");
    }
}

fn read_id(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Spot<Box<str>> {
    let none = Spot::new(Box::<str>::from(""), fields.at);
    if fields.get("id").is_none() {
        reader.problem(fields.at, "a provider has no id", "add id: with a name that is unique in its chain");
        return none;
    }
    let Some(id) = reader.text(fields, "id") else { return none };
    if !is_url_name(&id.value.value) {
        reader.problem(id.at, "the provider's id has characters that do not fit into a URL", "use letters, digits and - _ . :");
        return none;
    }
    Spot::new(id.value.value.as_str().into(), id.at)
}

/// Letters, digits, `-`, `_`, `.`, `:`, at most `NAME_BYTES`; not only dots.
pub(super) fn is_url_name(word: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    word.len() <= limits::NAME_BYTES && word.bytes().all(allowed) && word.bytes().any(|b| b != b'.')
}

fn read_urls(
    reader: &mut Reader<'_>,
    fields: &Fields<'_>,
    secrets: &mut Secrets,
    what: &str,
) -> (Option<Endpoint>, Option<Endpoint>) {
    if fields.get("url").is_none() && fields.get("ws_url").is_none() {
        reader.problem(fields.at, format!("{what} has neither url nor ws_url"), "add at least one of them");
    }
    let http = read_url(reader, fields, "url", Scheme::Http, secrets);
    (http, read_url(reader, fields, "ws_url", Scheme::Ws, secrets))
}

fn read_url(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str, scheme: Scheme, secrets: &mut Secrets) -> Option<Endpoint> {
    let text = reader.text(fields, name)?;
    match url::parse(&text.value.value, scheme) {
        Ok(endpoint) => {
            secrets.add_url(&text.value.value, &endpoint, &text.value.filled);
            Some(endpoint)
        }
        Err((cause, remedy)) => {
            reader.problem(text.at, format!("{name} {cause}"), remedy);
            None
        }
    }
}

fn read_credentials(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut out = Vec::new();
    let Some(node) = fields.get("credentials") else { return out };
    for (key, value) in reader.entries(node, "credentials").unwrap_or_default() {
        let Some(name) = reader.key_text(key) else { continue };
        if let Some(text) = reader.text_node(value, "each value of credentials") {
            out.push((name.into(), text.value.value.as_str().into()));
        }
    }
    out
}

fn read_region_urls(reader: &mut Reader<'_>, fields: &Fields<'_>, secrets: &mut Secrets) -> Vec<RegionUrl> {
    let mut out: Vec<RegionUrl> = Vec::new();
    let Some(node) = fields.get("region_urls") else { return out };
    for (key, value) in reader.entries(node, "region_urls").unwrap_or_default() {
        let Some(region) = reader.key_text(key) else { continue };
        if out.iter().any(|have| *have.region == *region) {
            reader.problem(key.at, "a region of region_urls is given twice", "keep one of them");
            continue;
        }
        let Some(inner) = reader.fields(value, &schema::REGION_URL, "each region of region_urls") else { continue };
        let (http, ws) = read_urls(reader, &inner, secrets, "a region of region_urls");
        out.push(RegionUrl { region: region.into(), http, ws });
    }
    out
}

fn read_max_connections(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Spot<u32>> {
    let number = reader.whole(fields, "max_connections", 1, limits::MAX_CONNECTIONS_MAX.into())?;
    Some(Spot::new(u32::try_from(number).ok()?, fields.at_key("max_connections")))
}

/// `auto`, `on`, `off`; true and false are what older YAML readers make of on and off.
fn read_http2(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Spot<Http2>> {
    let at = fields.at_key("http2");
    let value = match &fields.get("http2")?.kind {
        Kind::Bool(true) => Http2::On,
        Kind::Bool(false) => Http2::Off,
        _ => match reader.choice(fields, "http2", &["auto", "on", "off"])? {
            "on" => Http2::On,
            "off" => Http2::Off,
            _ => Http2::Auto,
        },
    };
    Some(Spot::new(value, at))
}
