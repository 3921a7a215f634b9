//! The one table of flags and commands: the parser, `lasso help`, `lasso CMD --help` and the completions are made of it.

mod bench;

/// A command's name. `Serve` is also what plain `lasso` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Serve,
    Demo,
    Check,
    Stats,
    Top,
    Explain,
    Breaker,
    Bench,
    Completions,
    Help,
}

pub struct CommandInfo {
    pub name: Name,
    pub word: &'static str,
    pub help: &'static str,
    /// Words that may follow it, and what they are called in usage lines.
    pub argument: Option<(&'static str, &'static [&'static str])>,
    /// What follows that: any text, as it is called in usage lines.
    pub operand: Option<&'static str>,
}

impl CommandInfo {
    /// How many words may follow it.
    pub fn most_words(&self) -> usize {
        usize::from(self.argument.is_some()) + usize::from(self.operand.is_some())
    }
}

pub static COMMANDS: &[CommandInfo] = &[
    plain(Name::Serve, "serve", "run the node (also plain `lasso`)"),
    plain(Name::Demo, "demo", "run the node on simulated providers: no network, no configuration"),
    plain(Name::Check, "check", "read every profile and print all problems, or a summary"),
    plain(Name::Stats, "stats", "tables of a running node: chains, providers, shards"),
    plain(Name::Top, "top", "the same live, over the whole terminal, with keys"),
    CommandInfo {
        operand: Some("METHOD"),
        ..plain(Name::Explain, "explain", "ask a running node whom it would choose now, and why not the others")
    },
    CommandInfo {
        argument: Some(("ORDER", &["open", "close", "auto"])),
        operand: Some("PROVIDER"),
        ..plain(Name::Breaker, "breaker", "hold a provider's circuits on a running node, or leave them to the rules")
    },
    plain(Name::Bench, "bench", "compare providers (latency, limits, depth, freshness, agreement), or play a record"),
    CommandInfo {
        argument: Some(("SHELL", &["bash", "zsh", "fish"])),
        ..plain(Name::Completions, "completions", "print a completion script for a shell")
    },
    CommandInfo {
        argument: Some((
            "COMMAND",
            &["serve", "demo", "check", "stats", "top", "explain", "breaker", "bench", "completions", "help"],
        )),
        ..plain(Name::Help, "help", "print this, or the flags of one command")
    },
];

const fn plain(name: Name, word: &'static str, help: &'static str) -> CommandInfo {
    CommandInfo { name, word, help, argument: None, operand: None }
}

/// What may follow a flag.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Text,
    /// A text that may be left out.
    Optional,
    Directory,
    File,
    Choice(&'static [&'static str]),
    /// Given or not; `--flag=false` takes it back.
    Switch,
}

pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// What stands for its value in help; empty for a switch.
    pub value: &'static str,
    pub kind: Kind,
    /// Environment variables, first one first.
    pub vars: &'static [&'static str],
    /// For people.
    pub default: &'static str,
    pub help: &'static str,
    pub commands: &'static [Name],
}

const NODE: &[Name] = &[Name::Serve, Name::Demo];
const PROFILES: &[Name] = &[Name::Serve, Name::Check, Name::Bench];
/// Those that ask a running node.
const ASK: &[Name] = &[Name::Stats, Name::Top, Name::Explain, Name::Breaker];
const PRINT: &[Name] = &[Name::Stats, Name::Explain, Name::Breaker];

/// In the order in which help shows them; those of commands that ask a node come last. A flag enters with its behaviour, not
/// before.
static FLAGS: &[Flag] = &[
    Flag {
        name: "profiles",
        value: "DIR",
        kind: Kind::Directory,
        vars: &["LASSO_PROFILES_DIR"],
        default: "config/profiles when it exists, else the embedded profiles",
        help: "directory of profile files (*.yml)",
        commands: PROFILES,
    },
    Flag {
        name: "listen",
        value: "IP",
        kind: Kind::Text,
        vars: &["LASSO_LISTEN"],
        default: "0.0.0.0",
        help: "address to listen on",
        commands: NODE,
    },
    Flag {
        name: "port",
        value: "N",
        kind: Kind::Text,
        vars: &["PORT"],
        default: "4000",
        help: "port to listen on; 0 picks a free one",
        commands: NODE,
    },
    Flag {
        name: "shards",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_SHARDS"],
        default: "one per usable core",
        help: "threads that serve clients",
        commands: NODE,
    },
    Flag {
        name: "pin",
        value: "BOOL",
        kind: Kind::Choice(&["true", "false"]),
        vars: &["LASSO_PIN"],
        default: "true",
        help: "run shard i on the i-th usable core",
        commands: NODE,
    },
    Flag {
        name: "driver",
        value: "DRIVER",
        kind: Kind::Choice(&["auto", "io_uring", "epoll"]),
        vars: &["LASSO_DRIVER"],
        default: "auto",
        help: "kernel interface; auto is io_uring where the kernel allows it, else epoll",
        commands: NODE,
    },
    Flag {
        name: "node-id",
        value: "ID",
        kind: Kind::Text,
        vars: &["LASSO_NODE_ID"],
        default: "generated and kept in the state directory, else the host name",
        help: "name of this node",
        commands: NODE,
    },
    Flag {
        name: "region",
        value: "R",
        kind: Kind::Text,
        vars: &["LASSO_REGION", "LIVECHAIN_REGION"],
        default: "the node id",
        help: "region of this node",
        commands: NODE,
    },
    Flag {
        name: "host",
        value: "NAME",
        kind: Kind::Text,
        vars: &["LASSO_HOST", "PHX_HOST"],
        default: "localhost",
        help: "host name in URLs shown to people",
        commands: NODE,
    },
    Flag {
        name: "scheme",
        value: "SCHEME",
        kind: Kind::Choice(&["http", "https"]),
        vars: &["LASSO_SCHEME", "PHX_SCHEME"],
        default: "http, or what a trusted proxy says",
        help: "scheme in URLs shown to people",
        commands: NODE,
    },
    Flag {
        name: "default-strategy",
        value: "S",
        kind: Kind::Choice(&["priority", "load-balanced", "fastest", "latency-weighted"]),
        vars: &["LASSO_DEFAULT_STRATEGY"],
        default: "priority",
        help: "strategy of /rpc/:chain",
        commands: NODE,
    },
    Flag {
        name: "breaker-failures",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_BREAKER_FAILURES"],
        default: "5",
        help: "failures in a row that open a provider's circuit (network failures: 3 at most)",
        commands: NODE,
    },
    Flag {
        name: "breaker-successes",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_BREAKER_SUCCESSES"],
        default: "2",
        help: "trials that must succeed before a circuit closes again",
        commands: NODE,
    },
    Flag {
        name: "breaker-recovery-ms",
        value: "MS",
        kind: Kind::Text,
        vars: &["LASSO_BREAKER_RECOVERY_MS"],
        default: "30000",
        help: "time from opening to the first trial; doubles up to 10 minutes",
        commands: NODE,
    },
    Flag {
        name: "latency-exponent",
        value: "BETA",
        kind: Kind::Text,
        vars: &["LW_BETA"],
        default: "3.0",
        help: "how much latency-weighted prefers the fastest: weight = (best / latency)^BETA",
        commands: NODE,
    },
    Flag {
        name: "state-dir",
        value: "DIR",
        kind: Kind::Directory,
        vars: &["LASSO_STATE_DIR", "STATE_DIRECTORY"],
        default: "none: nothing is written to disk",
        help: "directory for what outlives a restart",
        commands: NODE,
    },
    Flag {
        name: "snapshots-dir",
        value: "DIR",
        kind: Kind::Directory,
        vars: &["LASSO_SNAPSHOTS_DIR"],
        default: "snapshots in the state directory; without one, none are written",
        help: "directory for hourly snapshots, which a start orders providers by",
        commands: NODE,
    },
    Flag {
        name: "trusted-proxies",
        value: "CIDRS",
        kind: Kind::Text,
        vars: &["LASSO_TRUSTED_PROXIES"],
        default: "127.0.0.0/8,::1/128",
        help: "peers whose X-Forwarded-For and X-Real-IP are believed, comma-separated; none for nobody",
        commands: NODE,
    },
    Flag {
        name: "log-format",
        value: "FORMAT",
        kind: Kind::Choice(&["json", "text"]),
        vars: &["LASSO_LOG_FORMAT"],
        default: "text on a terminal, json elsewhere",
        help: "form of log lines",
        commands: NODE,
    },
    Flag {
        name: "log-level",
        value: "LEVEL",
        kind: Kind::Choice(&["error", "warn", "info", "debug"]),
        vars: &["LASSO_LOG_LEVEL"],
        default: "info",
        help: "least important log lines to write",
        commands: NODE,
    },
    Flag {
        name: "request-log-rate",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_REQUEST_LOG_RATE"],
        default: "256",
        help: "calls told of in a second, in the log and in /api/events: N good ones and N that failed or were slow",
        commands: NODE,
    },
    Flag {
        name: "drain-seconds",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_DRAIN_SECONDS"],
        default: "30",
        help: "time for calls in flight after SIGTERM",
        commands: NODE,
    },
    Flag {
        name: "client-connections",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_CLIENT_CONNECTIONS"],
        default: "what the limit of open files leaves",
        help: "client connections at once; more are answered 503 and closed",
        commands: NODE,
    },
    Flag {
        name: "reuse-port",
        value: "",
        kind: Kind::Switch,
        vars: &["LASSO_REUSE_PORT"],
        default: "false: a port that another process holds is refused",
        help: "let a successor listen beside this process (rolling restart)",
        commands: NODE,
    },
    Flag {
        name: "record",
        value: "FILE",
        kind: Kind::File,
        vars: &[],
        default: "off",
        help: "write sampled calls to FILE, for lasso bench --replay and lasso explain --replay; no URLs and no keys",
        commands: NODE,
    },
    Flag {
        name: "record-rate",
        value: "SHARE",
        kind: Kind::Text,
        vars: &[],
        default: "1: all of them",
        help: "share of all calls that is recorded, like 0.01 or 1%",
        commands: NODE,
    },
    Flag {
        name: "record-params",
        value: "",
        kind: Kind::Switch,
        vars: &[],
        default: "false",
        help: "record the parameters of reads too; never of transactions",
        commands: NODE,
    },
    Flag {
        name: "record-mib",
        value: "N",
        kind: Kind::Text,
        vars: &[],
        default: "256",
        help: "the record ends when its file has so many MiB",
        commands: NODE,
    },
    Flag {
        name: "cluster-dns-query",
        value: "NAMES",
        kind: Kind::Text,
        vars: &["CLUSTER_DNS_QUERY"],
        default: "unset: the node works alone",
        help: "where other nodes are: a name, a service (_lasso._udp.NAME), or HOST:PORT,HOST:PORT",
        commands: NODE,
    },
    Flag {
        name: "cluster-node-basename",
        value: "NAME",
        kind: Kind::Text,
        vars: &["CLUSTER_NODE_BASENAME"],
        default: "lasso",
        help: "name of the cluster: nodes with another one do not understand each other",
        commands: NODE,
    },
    Flag {
        name: "cluster-listen",
        value: "IP:PORT",
        kind: Kind::Text,
        vars: &["LASSO_CLUSTER_LISTEN"],
        default: "0.0.0.0:7946",
        help: "where other nodes reach this one (UDP); LASSO_CLUSTER_SECRET is needed unless the address is private",
        commands: NODE,
    },
    Flag {
        name: "cluster-port",
        value: "N",
        kind: Kind::Text,
        vars: &["LASSO_CLUSTER_PORT"],
        default: "7946",
        help: "port of --cluster-listen where that names none, and of the addresses behind a name",
        commands: NODE,
    },
    Flag {
        name: "cluster-advice",
        value: "usual|all|off",
        kind: Kind::Text,
        vars: &["LASSO_CLUSTER_ADVICE"],
        default: "usual",
        help: "what nodes tell each other of providers: rests and orders; or also refusals and limits; or nothing",
        commands: NODE,
    },
    Flag {
        name: "print",
        value: "",
        kind: Kind::Switch,
        vars: &[],
        default: "false",
        help: "print the resolved profiles with all defaults, secrets hidden",
        commands: &[Name::Check],
    },
    Flag {
        name: "url",
        value: "URL",
        kind: Kind::Text,
        vars: &["LASSO_URL"],
        default: "http://127.0.0.1:4000",
        help: "the node that is asked; http://USER:PASS@HOST:PORT where it wants a password",
        commands: ASK,
    },
    Flag {
        name: "profile",
        value: "SLUG",
        kind: Kind::Text,
        vars: &[],
        default: "all of them in stats and top, else default",
        help: "of this profile",
        commands: ASK,
    },
    Flag {
        name: "chain",
        value: "CHAIN",
        kind: Kind::Text,
        vars: &[],
        default: "all of them in stats and top; explain and breaker need one",
        help: "of this chain: its name or decimal id",
        commands: ASK,
    },
    Flag {
        name: "json",
        value: "",
        kind: Kind::Switch,
        vars: &[],
        default: "false",
        help: "print JSON for programs",
        commands: PRINT,
    },
    Flag {
        name: "watch",
        value: "[SECONDS]",
        kind: Kind::Optional,
        vars: &[],
        default: "off; 2 without a number",
        help: "print again and again, until Ctrl-C",
        commands: &[Name::Stats],
    },
    Flag {
        name: "from",
        value: "FILE",
        kind: Kind::File,
        vars: &[],
        default: "none: a running node is asked",
        help: "show a snapshot file of the state directory",
        commands: &[Name::Stats],
    },
    Flag {
        name: "cluster",
        value: "",
        kind: Kind::Switch,
        vars: &[],
        default: "false",
        help: "all nodes of the cluster: shown together, by provider, region and node; the order is for each of them",
        commands: &[Name::Stats, Name::Breaker],
    },
    Flag {
        name: "cluster-region",
        value: "R",
        kind: Kind::Text,
        vars: &[],
        default: "none",
        help: "the same of the nodes of one region",
        commands: &[Name::Stats],
    },
    Flag {
        name: "cluster-node",
        value: "ID",
        kind: Kind::Text,
        vars: &[],
        default: "none",
        help: "the same of the nodes with one id",
        commands: &[Name::Stats],
    },
    Flag {
        name: "strategy",
        value: "S",
        kind: Kind::Choice(&["priority", "load-balanced", "fastest", "latency-weighted"]),
        vars: &[],
        default: "what the profile and the node say",
        help: "as if the call's path named this strategy",
        commands: &[Name::Explain],
    },
    Flag {
        name: "block",
        value: "BLOCK",
        kind: Kind::Text,
        vars: &[],
        default: "none",
        help: "as if the call asked for this block: a number, 0x hex, latest or earliest",
        commands: &[Name::Explain],
    },
    Flag {
        name: "transport",
        value: "T",
        kind: Kind::Choice(&["http", "ws"]),
        vars: &[],
        default: "both",
        help: "as if the call asked for this transport",
        commands: &[Name::Explain],
    },
    Flag {
        name: "provider",
        value: "ID",
        kind: Kind::Text,
        vars: &[],
        default: "none",
        help: "as if the call's path named this provider",
        commands: &[Name::Explain],
    },
    Flag {
        name: "client-region",
        value: "R",
        kind: Kind::Text,
        vars: &[],
        default: "the node's",
        help: "as if the call's X-Lasso-Region named this region",
        commands: &[Name::Explain],
    },
];

/// The whole table. A name may stand in it twice, for different commands.
pub fn all() -> impl Iterator<Item = &'static Flag> + Clone {
    FLAGS.iter().chain(bench::FLAGS)
}

/// The flags of one command, in table order.
pub fn of(command: Name) -> impl Iterator<Item = &'static Flag> {
    all().filter(move |flag| flag.commands.contains(&command))
}

/// `serve, demo and check`.
pub fn listed(commands: &[Name]) -> String {
    let words: Vec<&str> = COMMANDS.iter().filter(|info| commands.contains(&info.name)).map(|info| info.word).collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

pub fn command(word: &str) -> Option<&'static CommandInfo> {
    COMMANDS.iter().find(|command| command.word == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_are_unique() {
        for info in COMMANDS {
            let mut names: Vec<&str> = of(info.name).map(|flag| flag.name).collect();
            names.extend(of(info.name).flat_map(|flag| flag.vars.iter().copied()));
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count, "{}", info.word);
        }
        let mut variables: Vec<&str> = super::all().flat_map(|flag| flag.vars.iter().copied()).collect();
        let count = variables.len();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables.len(), count);
        assert!(super::all().all(|flag| (flag.kind == Kind::Switch) == flag.value.is_empty()));
    }
}
