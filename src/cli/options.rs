//! What a node is started with: typed, checked, defaults filled in. A value that cannot be used names the flag or the
//! variable it came from.

use crate::aggregator::Rules;
use crate::base::limits;
use crate::cli::cluster;
use crate::cli::env::{Env, Origin};
use crate::cli::flags::{self, Flag, Kind, Name};
use crate::cli::recording::RecordOptions;
use crate::cluster::settings::ClusterSettings;
use crate::config::cidr::Cidr;
use crate::config::suggest;
use crate::config::topology::Strategy;
use crate::health::breaker::Policy;
use crate::observe::happening::Level;
use crate::route::limit::TrustedProxies;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// Wrong usage: exit code 2. The text says what and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Usage(pub String);

#[derive(Clone, Debug)]
pub struct Options {
    /// As given; `None` means `config/profiles` when it exists, else the embedded profiles.
    pub profiles: Option<PathBuf>,
    pub listen: IpAddr,
    /// 0 picks a free one.
    pub port: u16,
    /// `None` is one per usable core.
    pub shards: Option<usize>,
    pub pin: bool,
    pub driver: Driver,
    /// As given; see `node_id::node_id` for the whole rule.
    pub node_id: Option<String>,
    /// As given; `None` is the node id.
    pub region: Option<String>,
    pub host: String,
    /// As given; `None` is http, or what a trusted proxy says.
    pub scheme: Option<Scheme>,
    pub default_strategy: Strategy,
    /// Breakers and weights.
    pub rules: Rules,
    pub state_dir: Option<PathBuf>,
    /// As given; `None` is `snapshots` in the state directory.
    pub snapshots_dir: Option<PathBuf>,
    pub trusted_proxies: TrustedProxies,
    /// `None` is text on a terminal, json elsewhere.
    pub log_format: Option<LogFormat>,
    pub log_level: Level,
    /// Calls of a kind that are told of in a second; 0: none.
    pub request_log_rate: u32,
    pub drain_seconds: u64,
    /// `None`: what the limit of open files leaves.
    pub client_connections: Option<u64>,
    pub reuse_port: bool,
    /// `None`: no call is recorded.
    pub record: Option<RecordOptions>,
    /// `None`: the node works alone.
    pub cluster: Option<ClusterSettings>,
    /// Environment and `.env`, for `${NAME}` in profiles.
    pub env: Env,
    /// Set, but without effect here: to be named once at start.
    pub ignored_variables: Vec<&'static str>,
    /// Other sentences to log as warnings at start.
    pub notices: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Driver {
    Auto,
    IoUring,
    Epoll,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn word(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Json,
    Text,
}

/// Shards are threads; more than this is a slip.
const SHARDS_MAX: u64 = 1024;
const DRAIN_SECONDS_MAX: u64 = 86_400;

/// The settings of one command: each flag's text and who said it, flags over environment over `.env`.
pub(super) struct Settings {
    given: BTreeMap<&'static str, (String, String)>,
    /// What was typed, in its order.
    typed: Vec<(&'static str, String)>,
}

impl Settings {
    /// `args`: flag name and value as given on the command line.
    pub fn new(command: Name, args: Vec<(&'static Flag, String)>, env: &Env) -> Settings {
        let mut given = BTreeMap::new();
        for flag in flags::of(command) {
            if let Some((var, (value, origin))) = flag.vars.iter().find_map(|var| env.get(var).map(|found| (*var, found))) {
                let source = match origin {
                    Origin::Process => format!("the variable {var}"),
                    Origin::DotEnv(line) => format!("{var} in .env:{line}"),
                };
                given.insert(flag.name, (value.to_owned(), source));
            }
        }
        let typed = args.iter().map(|(flag, value)| (flag.name, value.clone())).collect();
        for (flag, value) in args {
            given.insert(flag.name, (value, format!("--{}", flag.name)));
        }
        Settings { given, typed }
    }

    /// Every value of a flag that may be typed again and again.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.typed.iter().filter(move |(typed, _)| *typed == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.given.get(name).map(|(value, _)| value.as_str())
    }

    pub(super) fn bad(&self, name: &str, want: &str) -> Usage {
        let (value, source) = self.given.get(name).map_or(("", ""), |(value, source)| (value.as_str(), source.as_str()));
        Usage(format!("{source} is \"{value}\" (it must be {want})"))
    }

    /// The value is left to the reason.
    pub(super) fn bad_because(&self, name: &str, why: &str) -> Usage {
        let source = self.given.get(name).map_or("", |(_, source)| source.as_str());
        Usage(format!("{source} {why}"))
    }

    pub(super) fn number(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Usage> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse::<u64>().ok().filter(|n| digits && (min..=max).contains(n));
        number.map(Some).ok_or_else(|| self.bad(name, &format!("a whole number from {min} to {max}")))
    }

    /// One of the flag's own words.
    pub(super) fn choice(&self, name: &str) -> Result<Option<&'static str>, Usage> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let words = flags::all().find(|flag| flag.name == name).map(|flag| flag.kind);
        let Some(Kind::Choice(words)) = words else { return Ok(None) };
        let lower = text.to_ascii_lowercase();
        match words.iter().find(|word| **word == lower) {
            Some(word) => Ok(Some(word)),
            None => {
                let hint = suggest::did_you_mean(text, words.iter().copied()).map_or(String::new(), |near| format!("; {near}"));
                Err(self.bad(name, &format!("one of {}{hint}", words.join(", "))))
            }
        }
    }

    pub fn switch(&self, name: &str) -> Result<bool, Usage> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false" | "0" | "no" | "off") => Ok(false),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some(_) => Err(self.bad(name, "true or false")),
        }
    }

    /// A name for people and headers: visible ASCII, no spaces, at most 128 bytes.
    pub(super) fn name(&self, name: &str) -> Result<Option<String>, Usage> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let ok = text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:@/".contains(&b));
        if ok { Ok(Some(text.to_owned())) } else { Err(self.bad(name, "letters, digits and - _ . : @ /, at most 128 of them")) }
    }

    fn host(&self) -> Result<String, Usage> {
        let Some(text) = self.text("host") else { return Ok("localhost".to_owned()) };
        let ok = text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b));
        if ok { Ok(text.to_owned()) } else { Err(self.bad("host", "a host name, without scheme or path")) }
    }

    fn strategy(&self) -> Result<Strategy, Usage> {
        let Some(text) = self.text("default-strategy") else { return Ok(Strategy::Priority) };
        match Strategy::from_word(&text.to_ascii_lowercase()) {
            Some(known) => Ok(known),
            None => self.choice("default-strategy").map(|_| Strategy::Priority),
        }
    }

    fn rules(&self) -> Result<Rules, Usage> {
        let number = |name, most, default| self.number(name, 1, most).map(|n| n.unwrap_or(default));
        let failures = number("breaker-failures", 1_000, 5)? as u32;
        let successes = number("breaker-successes", 1_000, 2)? as u32;
        let recovery_ms = number("breaker-recovery-ms", 3_600_000, 30_000)?;
        let beta = match self.text("latency-exponent").map(str::parse::<f32>) {
            None => 3.0,
            Some(Ok(beta)) if (0.0..=20.0).contains(&beta) => beta,
            Some(_) => return Err(self.bad("latency-exponent", "a number from 0 to 20, like 3.0")),
        };
        Ok(Rules { breaker: Policy::new(failures, successes, recovery_ms), beta })
    }

    fn trusted_proxies(&self) -> Result<TrustedProxies, Usage> {
        match self.text("trusted-proxies") {
            None => Ok(TrustedProxies::loopback()),
            Some("none") => Ok(TrustedProxies::default()),
            Some(list) => {
                let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
                let ranges: Option<Vec<Cidr>> = entries.map(Cidr::parse).collect();
                let wanted = "address ranges like 10.0.0.0/8, comma-separated, or none";
                ranges.map(TrustedProxies::from).ok_or_else(|| self.bad("trusted-proxies", wanted))
            }
        }
    }

    fn record(&self) -> Result<Option<RecordOptions>, Usage> {
        let more = ["record-rate", "record-params", "record-mib"];
        let Some(file) = self.path("record") else {
            return match more.into_iter().find(|name| self.text(name).is_some_and(|text| text != "false")) {
                Some(name) => Err(self.bad_because(name, "needs a file to record to (--record FILE)")),
                None => Ok(None),
            };
        };
        let mib = self.number("record-mib", 1, limits::RECORD_MIB_MAX)?.unwrap_or(limits::RECORD_MIB);
        let (per_million, with_params) = (self.record_rate()?, self.switch("record-params")?);
        Ok(Some(RecordOptions { file, per_million, with_params, bytes_max: mib << 20 }))
    }

    /// A share of all calls, `0.01` or `1%`.
    fn record_rate(&self) -> Result<u64, Usage> {
        let Some(text) = self.text("record-rate") else { return Ok(limits::RECORD_PER_MILLION) };
        let (number, scale) = text.strip_suffix('%').map_or((text, 1e6), |number| (number, 1e4));
        let share = number.trim().parse::<f64>().ok().map(|number| (number * scale).round()).filter(|n| (1.0..=1e6).contains(n));
        share.map(|n| n as u64).ok_or_else(|| self.bad("record-rate", "a share of all calls, like 0.01 or 1%, at most 1"))
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub fn options(&self, env: Env) -> Result<Options, Usage> {
        let listen = match self.text("listen") {
            None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Some(text) => {
                let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
                bare.parse().map_err(|_| self.bad("listen", "an IP address, like 127.0.0.1 or ::"))?
            }
        };
        let mut notices = env.notices.clone();
        notices.extend(env.slips());
        notices.extend(cluster::notices(self, &env));
        Ok(Options {
            profiles: self.path("profiles"),
            listen,
            port: self.number("port", 0, 65_535)?.and_then(|n| u16::try_from(n).ok()).unwrap_or(4000),
            shards: self.number("shards", 1, SHARDS_MAX)?.and_then(|n| usize::try_from(n).ok()),
            pin: self.choice("pin")? != Some("false"),
            driver: match self.choice("driver")? {
                Some("io_uring") => Driver::IoUring,
                Some("epoll") => Driver::Epoll,
                _ => Driver::Auto,
            },
            node_id: self.name("node-id")?,
            region: self.name("region")?,
            host: self.host()?,
            scheme: self.choice("scheme")?.map(|word| if word == "https" { Scheme::Https } else { Scheme::Http }),
            default_strategy: self.strategy()?,
            rules: self.rules()?,
            state_dir: self.path("state-dir"),
            snapshots_dir: self.path("snapshots-dir"),
            trusted_proxies: self.trusted_proxies()?,
            log_format: self.choice("log-format")?.map(|word| if word == "json" { LogFormat::Json } else { LogFormat::Text }),
            log_level: match self.choice("log-level")? {
                Some("error") => Level::Error,
                Some("warn") => Level::Warn,
                Some("debug") => Level::Debug,
                _ => Level::Info,
            },
            request_log_rate: self
                .number("request-log-rate", 0, limits::REQUEST_LOG_RATE_MAX.into())?
                .map_or(limits::REQUEST_LOG_RATE, |n| n as u32),
            drain_seconds: self.number("drain-seconds", 0, DRAIN_SECONDS_MAX)?.unwrap_or(30),
            client_connections: self.number("client-connections", 1, limits::CLIENTS_MAX)?,
            reuse_port: self.switch("reuse-port")?,
            record: self.record()?,
            cluster: cluster::cluster(self, &env)?,
            ignored_variables: env.ignored(),
            notices,
            env,
        })
    }
}
