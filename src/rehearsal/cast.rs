//! A record's providers as a topology: the same choices, and nowhere to connect to.
//!
//! A profile is written as a person would write it and read by `config`, so that defaults and checks are those of a node.
//! Names of ours stand for the recorded ones, which come from outside; hosts end in `.invalid`, which never resolves.

use crate::base::ids::{ChainId, ChannelId, ProfileId, ProviderId};
use crate::config::topology::Topology;
use crate::config::{SourceFile, load};
use crate::replay::line::{RecordChain, RecordProvider};
use crate::replay::read::{Record, RecordedPlace};
use serde_json::{Map, Value, json};

/// The region of the rehearsing node, and another one.
pub const HERE: &str = "here";
const ELSEWHERE: &str = "elsewhere";

pub struct Cast {
    pub topology: Topology,
    /// By place in the record's chains.
    places: Vec<(ProfileId, ChainId)>,
}

impl Cast {
    /// The error is for people.
    pub fn new(record: &Record) -> Result<Cast, String> {
        let mut slugs: Vec<&str> = Vec::new();
        let mut profiles: Vec<Map<String, Value>> = Vec::new();
        let mut names: Vec<(String, String)> = Vec::new();
        for (index, chain) in record.chains.iter().enumerate() {
            let place = slugs.iter().position(|have| *have == chain.profile).unwrap_or(slugs.len());
            if place == slugs.len() {
                slugs.push(&chain.profile);
                profiles.push(Map::new());
            }
            let key = format!("c{index}");
            if let Some(chains) = profiles.get_mut(place) {
                chains.insert(key.clone(), written(chain));
            }
            names.push((slug(place), key));
        }
        let files: Vec<SourceFile> = profiles.into_iter().enumerate().map(|(place, chains)| file(&slug(place), chains)).collect();
        let loaded = load(&files, &|_| None);
        let topology = loaded.map_err(|problems| {
            let all: Vec<String> = problems.iter().take(3).map(|problem| problem.to_string()).collect();
            format!("the record's providers cannot be chosen among: {}", all.join("; "))
        })?;
        let topology = topology.topology;
        let place = |(slug, key): &(String, String)| {
            let profile = topology.profile_by_slug.get(slug.as_str()).copied()?;
            let chain = topology.profiles.get(profile)?.chain_by_name.get(key.as_str()).copied()?;
            Some((profile, chain))
        };
        let places: Option<Vec<_>> = names.iter().map(place).collect();
        let places = places.ok_or("the record's chains cannot be told apart")?;
        Ok(Cast { topology, places })
    }

    pub fn place(&self, chain: u16) -> Option<(ProfileId, ChainId)> {
        self.places.get(usize::from(chain)).copied()
    }

    pub fn provider(&self, chain: u16, provider: u16) -> Option<ProviderId> {
        let (profile, at) = self.place(chain)?;
        let provider = ProviderId(u8::try_from(provider).ok()?);
        self.topology.profiles.get(profile)?.chains.get(at)?.providers.get(provider).map(|_| provider)
    }

    pub fn channel(&self, place: RecordedPlace) -> Option<ChannelId> {
        let (profile, chain) = self.place(place.chain)?;
        let provider = self.provider(place.chain, place.provider)?;
        let instance = self.topology.profiles.get(profile)?.chains.get(chain)?.providers.get(provider)?.instance;
        Some(ChannelId::of(instance, place.transport))
    }
}

fn slug(place: usize) -> String {
    if place == 0 { "default".to_owned() } else { format!("r{place}") }
}

/// JSON is YAML.
fn file(slug: &str, chains: Map<String, Value>) -> SourceFile {
    let profile = json!({ "name": slug, "slug": slug, "chains": chains });
    SourceFile { name: format!("{slug}.yml"), text: profile.to_string() }
}

fn written(chain: &RecordChain) -> Value {
    let id = |name: &str| chain.providers.iter().position(|provider| provider.id == name).map(|place| format!("p{place}"));
    let overrides = chain.only.iter().map(|rule| {
        let allowed: Vec<String> = rule.providers.iter().filter_map(|name| id(name)).collect();
        (rule.method.clone(), json!({ "providers": allowed }))
    });
    let overrides: Map<String, Value> = overrides.collect();
    let providers: Vec<Value> = chain.providers.iter().enumerate().map(|(place, one)| provider(place, one)).collect();
    let mut out = json!({
        "chain_id": chain.chain_id,
        "selection": { "archival_threshold": chain.archival_threshold },
        "providers": providers,
    });
    if !overrides.is_empty() {
        out["routing"] = json!({ "method_overrides": overrides });
    }
    out
}

fn provider(place: usize, recorded: &RecordProvider) -> Value {
    let host = format!("u{}.invalid", recorded.upstream);
    let mut capabilities = json!({
        "unsupported_categories": recorded.unsupported_categories,
        "unsupported_methods": recorded.unsupported_methods,
    });
    if let Some(most) = recorded.max_block_range {
        capabilities["limits"] = json!({ "max_block_range": most });
    }
    let mut out = json!({
        "id": format!("p{place}"),
        "priority": recorded.priority,
        "archival": recorded.archival,
        "regions": if recorded.local { json!([]) } else { json!([ELSEWHERE]) },
        "capabilities": capabilities,
    });
    if recorded.http || !recorded.ws {
        out["url"] = format!("http://{host}").into();
    }
    if recorded.ws {
        out["ws_url"] = format!("ws://{host}").into();
    }
    out
}
