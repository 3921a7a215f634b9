//! From what was typed to who is compared: URLs become a profile like any other, so that they are read by the same rules and
//! reached by the same code; a profile's chain is taken as it stands.

use super::options::Options;
use crate::base::ids::{EntryId, ProviderId};
use crate::base::limits;
use crate::bench::record::Entrant;
use crate::cli::profiles;
use crate::config::topology::{Chain, Instance, Topology};
use crate::config::{self, Problem, SourceFile, suggest};
use std::fmt::Write;

/// Who is compared.
pub struct Compared {
    pub topology: Topology,
    pub entrants: Vec<Entrant>,
    pub entries: Vec<EntryId>,
    pub chain_number: Option<u64>,
}

/// The error is for people.
pub fn field(options: &Options) -> Result<Compared, String> {
    let mut field = if options.urls.is_empty() { of_profile(options)? } else { of_urls(options)? };
    if field.entrants.is_empty() {
        return Err("no provider is left to compare".to_owned());
    }
    if field.entrants.len() > limits::BENCH_PROVIDERS {
        return Err(format!("more than {} providers at once (name some of them with --url)", limits::BENCH_PROVIDERS));
    }
    for (name, price) in &options.prices {
        match field.entrants.iter_mut().find(|entrant| entrant.name == *name) {
            Some(entrant) => entrant.price_per_million = Some(*price),
            None => return Err(format!("--price names {name}, which is none of the providers")),
        }
    }
    Ok(field)
}

fn of_urls(options: &Options) -> Result<Compared, String> {
    let chain_number = options.chain.as_deref().map(|chain| chain_number(options, chain)).transpose()?;
    // Without one its label is nobody's business: the providers are asked.
    let file = SourceFile { name: "default.yml".to_owned(), text: profile_text(options, chain_number.unwrap_or(1))? };
    let loaded = config::load(&[file], &|name| options.node.env.lookup(name)).map_err(|problems| told(&problems))?;
    let topology = loaded.topology;
    let chain = topology.profiles.values().flat_map(|profile| profile.chains.values()).next();
    let (entrants, entries) = chain.map(|chain| entrants(&topology, chain)).unwrap_or_default();
    Ok(Compared { entrants, entries, topology, chain_number })
}

/// The profile that the URLs stand for. JSON's strings are YAML's.
fn profile_text(options: &Options, chain_number: u64) -> Result<String, String> {
    let mut names: Vec<&str> = Vec::new();
    options.urls.iter().for_each(|url| {
        if !names.contains(&url.name.as_str()) {
            names.push(&url.name)
        }
    });
    let mut text =
        format!("name: bench\nslug: default\nrps_limit: 0\nchains:\n  bench:\n    chain_id: {chain_number}\n    providers:\n");
    for name in names {
        let urls = || options.urls.iter().filter(|url| url.name == name).map(|url| url.url.as_str());
        let is_ws = |url: &str| url.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("ws"));
        let (mut ws, mut http) = (urls().filter(|url| is_ws(url)), urls().filter(|url| !is_ws(url)));
        // Writing to a String does not fail.
        let _ = writeln!(text, "      - id: {}", quoted(name));
        for (key, url) in [("url", http.next()), ("ws_url", ws.next())] {
            if let Some(url) = url {
                let _ = writeln!(text, "        {key}: {}", quoted(url));
            }
        }
        if http.next().or(ws.next()).is_some() {
            return Err(format!("--url {name} stands there twice for the same transport (give the other provider another name)"));
        }
    }
    Ok(text)
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Without lines: the file is ours.
fn told(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("--url: {} ({})", problem.what, problem.remedy)).collect();
    lines.join("\nlasso: ")
}

fn of_profile(options: &Options) -> Result<Compared, String> {
    let topology = profiles::load(&options.node).map_err(|problems| listed(&problems))?.topology;
    let slug = options.profile.as_deref().unwrap_or("default");
    let known = || topology.profiles.values().map(|profile| &*profile.slug);
    let id = topology.profile_by_slug.get(slug).copied().ok_or_else(|| unknown("profile", slug, &known().collect::<Vec<_>>()))?;
    let profile = topology.profiles.get(id).ok_or("the profile is gone")?;
    let name = options.chain.as_deref().unwrap_or_default();
    let chains = || profile.chains.values().map(|chain| &*chain.key);
    let chain = profile.chain_by_name.get(name).and_then(|id| profile.chains.get(*id));
    let chain = chain.ok_or_else(|| unknown("chain", name, &chains().collect::<Vec<_>>()))?;
    let (entrants, entries) = entrants(&topology, chain);
    let chain_number = Some(chain.chain_number);
    Ok(Compared { entrants, entries, chain_number, topology })
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\nlasso: ")
}

fn unknown(what: &str, given: &str, known: &[&str]) -> String {
    let hint = suggest::did_you_mean(given, known.iter().copied()).unwrap_or_else(|| format!("known: {}", known.join(", ")));
    format!("unknown {what} \"{given}\" ({hint})")
}

/// The number of a chain, by number or by a name that some profile knows.
fn chain_number(options: &Options, given: &str) -> Result<u64, String> {
    if let Ok(number) = given.parse() {
        return Ok(number);
    }
    let own = profiles::load(&options.node).ok();
    let embedded = config::load(&config::embedded(), &|_| None).ok();
    let all = || own.iter().chain(embedded.iter()).flat_map(|loaded| loaded.topology.profiles.values());
    let found = all().find_map(|profile| Some(profile.chains.get(*profile.chain_by_name.get(given)?)?.chain_number));
    let mut names: Vec<&str> = all().flat_map(|profile| profile.chains.values().map(|chain| &*chain.key)).collect();
    names.sort_unstable();
    names.dedup();
    found.ok_or_else(|| format!("{}; a decimal chain id will do", unknown("chain", given, &names)))
}

fn entrants(topology: &Topology, chain: &Chain) -> (Vec<Entrant>, Vec<EntryId>) {
    let of = |(id, provider): (ProviderId, &crate::config::topology::Provider)| {
        let instance = topology.instances.get(provider.instance)?;
        Some((entrant(&provider.id, instance), chain.entry(id)))
    };
    chain.providers.iter().filter_map(of).unzip()
}

fn entrant(name: &str, instance: &Instance) -> Entrant {
    let endpoint = instance.http.as_ref().or(instance.ws.as_ref());
    Entrant {
        name: name.to_owned(),
        host: endpoint.map_or_else(String::new, |endpoint| endpoint.authority()),
        has_http: instance.http.is_some(),
        has_ws: instance.ws.is_some(),
        price_per_million: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, Env, parse};

    fn field_of(args: &[&str]) -> Result<Compared, String> {
        let args = std::iter::once("bench").chain(args.iter().copied()).map(Into::into).collect();
        match parse(args, Env::new(std::iter::empty(), None)) {
            Ok(Command::Bench(options)) => field(&options),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn urls_become_providers_with_the_transports_that_they_name() {
        let found = field_of(&[
            "--url",
            "near=https://a.example/v2/sesame",
            "--url",
            "near=wss://a.example/ws/sesame",
            "--url",
            "own=ws://127.0.0.1:8546",
            "--chain",
            "base",
            "--price",
            "own=0",
        ]);
        let found = found.unwrap_or_else(|why| panic!("{why}"));
        let shown = |entrant: &Entrant| (entrant.name.clone(), entrant.host.clone(), entrant.has_http, entrant.has_ws);
        let want =
            [("near".to_owned(), "a.example".to_owned(), true, true), ("own".into(), "127.0.0.1:8546".into(), false, true)];
        assert_eq!(found.entrants.iter().map(shown).collect::<Vec<_>>(), want);
        assert_eq!((found.chain_number, found.entries.len()), (Some(8453), 2));
        assert_eq!(found.entrants.iter().map(|entrant| entrant.price_per_million).collect::<Vec<_>>(), [None, Some(0.0)]);
    }

    #[test]
    fn slips_are_told_without_keys() {
        let check = |args: &[&str], part: &str| match field_of(args) {
            Ok(_) => panic!("{args:?}"),
            Err(why) => assert!(why.contains(part) && !why.contains("sesame"), "{why}"),
        };
        check(&["--url", "a=ftp://a.example/sesame"], "does not start with http:// or https://");
        check(&["--url", "a=https://a.example/se same"], "has a space in it");
        check(&["--url", "a=https://a.example", "--url", "a=https://b.example"], "another name");
        check(&["--url", "a=https://a.example", "--chain", "etherium"], "did you mean \"ethereum\"");
        check(&["--url", "a=https://a.example", "--price", "b=1"], "none of the providers");
        check(&["--chain", "nonsense"], "unknown chain");
        check(&["--profile", "nonsense", "--chain", "base"], "unknown profile");
    }
}
