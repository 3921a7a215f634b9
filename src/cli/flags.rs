//! The one table of flags and commands: the parser, `lasso help`, `lasso CMD --help` and the completions are made of it.

/// A command's name. `Serve` is also what plain `lasso` means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name {
    Serve,
    Demo,
    Check,
    Completions,
    Help,
}

pub struct CommandInfo {
    pub name: Name,
    pub word: &'static str,
    pub help: &'static str,
    /// Words that may follow it, and what they are called in usage lines.
    pub argument: Option<(&'static str, &'static [&'static str])>,
}

pub static COMMANDS: &[CommandInfo] = &[
    CommandInfo { name: Name::Serve, word: "serve", help: "run the node (also plain `lasso`)", argument: None },
    CommandInfo {
        name: Name::Demo,
        word: "demo",
        help: "run the node on simulated providers: no network, no configuration",
        argument: None,
    },
    CommandInfo {
        name: Name::Check,
        word: "check",
        help: "read every profile and print all problems, or a summary",
        argument: None,
    },
    CommandInfo {
        name: Name::Completions,
        word: "completions",
        help: "print a completion script for a shell",
        argument: Some(("SHELL", &["bash", "zsh", "fish"])),
    },
    CommandInfo {
        name: Name::Help,
        word: "help",
        help: "print this, or the flags of one command",
        argument: Some(("COMMAND", &["serve", "demo", "check", "completions", "help"])),
    },
];

/// What may follow a flag.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Text,
    Directory,
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
const PROFILES: &[Name] = &[Name::Serve, Name::Check];

/// In the order of CONTRACT §1. A flag enters with its behaviour, not before.
pub static FLAGS: &[Flag] = &[
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
        name: "reuse-port",
        value: "",
        kind: Kind::Switch,
        vars: &["LASSO_REUSE_PORT"],
        default: "false: a port that another process holds is refused",
        help: "let a successor listen beside this process (rolling restart)",
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
];

/// The flags of one command, in table order.
pub fn of(command: Name) -> impl Iterator<Item = &'static Flag> {
    FLAGS.iter().filter(move |flag| flag.commands.contains(&command))
}

pub fn command(word: &str) -> Option<&'static CommandInfo> {
    COMMANDS.iter().find(|command| command.word == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_variables_are_unique() {
        let mut names: Vec<&str> = FLAGS.iter().map(|flag| flag.name).collect();
        names.extend(FLAGS.iter().flat_map(|flag| flag.vars.iter().copied()));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
        assert!(FLAGS.iter().all(|flag| (flag.kind == Kind::Switch) == flag.value.is_empty()));
    }
}
