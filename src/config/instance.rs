//! Physical upstreams: which providers of which profiles are the same one (docs/behaviour/choosing.md#upstreams).
//!
//! Identity is a SHA-256 over chain number, normalised URLs and everything that authenticates; it must not depend on the
//! process, because its first 4 bytes are the prefix of filter ids that any node with the same configuration routes
//! (docs/behaviour/calls.md#filters). How we connect (`max_connections`, `http2`, `ca_file`) is not identity: an instance has one
//! answer to each, so profiles that share it must not contradict each other.

use crate::base::ids::{IdVec, InstanceId};
use crate::base::limits;
use crate::config::problem::{Findings, Place};
use crate::config::provider::ProviderSpec;
use crate::config::read::Spot;
use crate::config::redact::Secrets;
use crate::config::topology::{Endpoint, Http2, Instance, RegionUrl};
use crate::config::yaml::At;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::Arc;

/// A setting and the place that made it.
type Setting<T> = Option<(T, usize, At)>;

struct Building {
    instance: Instance,
    secrets: Secrets,
    ca_file: Setting<Box<str>>,
    max_connections: Setting<u32>,
    http2: Setting<Http2>,
    region_urls: Setting<Vec<RegionUrl>>,
}

/// All instances while profiles are resolved.
#[derive(Default)]
pub(super) struct Instances {
    list: Vec<Building>,
    by_fingerprint: HashMap<[u8; 32], InstanceId>,
    by_tag: HashMap<u32, InstanceId>,
}

impl Instances {
    /// The instance behind this provider, shared when another provider has the same identity.
    pub fn intern(&mut self, chain: u64, slug: &str, spec: &ProviderSpec, file: usize, findings: &mut Findings) -> InstanceId {
        let print = fingerprint(chain, if spec.isolated { Some(slug) } else { None }, spec);
        let id = match self.by_fingerprint.get(&print) {
            Some(id) => *id,
            None => self.add(chain, print, spec, file, findings),
        };
        if let Some(building) = self.list.get_mut(usize::from(id.0)) {
            building.secrets.extend(&spec.secrets);
            agree(&mut building.ca_file, &spec.ca_file, "ca_file", file, findings);
            agree(&mut building.max_connections, &spec.max_connections, "max_connections", file, findings);
            agree(&mut building.http2, &spec.http2, "http2", file, findings);
            let region_urls = (!spec.region_urls.is_empty()).then(|| Spot::new(spec.region_urls.clone(), spec.at));
            agree(&mut building.region_urls, &region_urls, "region_urls", file, findings);
        }
        id
    }

    fn add(&mut self, chain: u64, print: [u8; 32], spec: &ProviderSpec, file: usize, findings: &mut Findings) -> InstanceId {
        let id = InstanceId(u16::try_from(self.list.len()).unwrap_or(u16::MAX));
        if self.list.len() == limits::INSTANCES {
            let what = format!("more than {} different upstreams in all profiles", limits::INSTANCES);
            findings.problem(file, Place::Node(spec.at), what, "delete some");
        }
        let [a, b, c, d, ..] = print;
        let tag = u32::from_be_bytes([a, b, c, d]);
        if self.by_tag.insert(tag, id).is_some() {
            let remedy = "set sharing_mode: isolated on one of them, which changes its fingerprint";
            findings.problem(file, Place::Node(spec.at), "two upstreams have the same 32-bit fingerprint by chance", remedy);
        }
        self.by_fingerprint.insert(print, id);
        let host = spec.http.as_ref().or(spec.ws.as_ref()).map_or("", |endpoint| &endpoint.host);
        let hex: String = print.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let instance = Instance {
            label: format!("{chain}:{host}:{hex}").into(),
            tag,
            chain_number: chain,
            http: spec.http.clone(),
            ws: spec.ws.clone(),
            headers: spec.headers.clone(),
            ca_file: None,
            max_connections: limits::MAX_CONNECTIONS,
            http2: Http2::Auto,
            region_urls: Vec::new(),
            secrets: Vec::new(),
        };
        let secrets = Secrets::default();
        let building = Building { instance, secrets, ca_file: None, max_connections: None, http2: None, region_urls: None };
        self.list.push(building);
        id
    }

    pub fn finish(self) -> (IdVec<InstanceId, Arc<Instance>>, HashMap<u32, InstanceId>) {
        let finish_one = |building: Building| {
            let mut instance = building.instance;
            instance.ca_file = building.ca_file.map(|(value, _, _)| value);
            instance.max_connections = building.max_connections.map_or(limits::MAX_CONNECTIONS, |(value, _, _)| value);
            instance.http2 = building.http2.map_or(Http2::Auto, |(value, _, _)| value);
            instance.region_urls = building.region_urls.map(|(value, _, _)| value).unwrap_or_default();
            instance.secrets = building.secrets.into_list();
            Arc::new(instance)
        };
        (self.list.into_iter().map(finish_one).collect(), self.by_tag)
    }
}

/// One answer per instance: the one given, and a problem when two differ.
fn agree<T: PartialEq + Clone>(have: &mut Setting<T>, new: &Option<Spot<T>>, name: &str, file: usize, findings: &mut Findings) {
    let Some(new) = new else { return };
    match have {
        None => *have = Some((new.value.clone(), file, new.at)),
        Some((value, _, _)) if *value == new.value => {}
        Some(_) => {
            let what = format!("{name} differs from what another provider says of the same upstream");
            findings.problem(file, Place::Node(new.at), what, "make them equal, or set sharing_mode: isolated");
        }
    }
}

fn fingerprint(chain: u64, salt: Option<&str>, spec: &ProviderSpec) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut field = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    field("lasso instance 1");
    field(&chain.to_string());
    for endpoint in [&spec.http, &spec.ws] {
        field(&endpoint.as_ref().map_or_else(String::new, normal_url));
        field(endpoint.as_ref().and_then(|e| e.basic_auth.as_deref()).unwrap_or(""));
    }
    let mut pairs: Vec<&(Box<str>, Box<str>)> = spec.headers.iter().collect();
    pairs.sort_unstable();
    let mut credentials: Vec<&(Box<str>, Box<str>)> = spec.credentials.iter().collect();
    credentials.sort_unstable();
    for list in [pairs, credentials] {
        field(&list.len().to_string());
        for (name, value) in list {
            field(name);
            field(value);
        }
    }
    field(salt.unwrap_or(""));
    hash.finalize().into()
}

/// Scheme, lower-case host, explicit port, path as written.
fn normal_url(endpoint: &Endpoint) -> String {
    format!("{}|{}|{}|{}", u8::from(endpoint.tls), endpoint.host, endpoint.port, endpoint.path)
}
