//! Arguments, environment and `.env` to a `Command`.

use super::{Command, Driver, Env, LogFormat, Name, Options, Scheme, Shell, node_id, parse};
use crate::config::topology::Strategy;
use crate::observe::happening::Level;
use std::ffi::OsString;

fn command(args: &str, vars: &[(&str, &str)], dotenv: &str) -> Command {
    let env = Env::new(vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())), Some(dotenv));
    parse(args.split_whitespace().map(OsString::from).collect(), env).unwrap_or_else(|usage| panic!("{args}: {usage:?}"))
}

fn options(args: &str, vars: &[(&str, &str)], dotenv: &str) -> Options {
    match command(args, vars, dotenv) {
        Command::Serve(options) | Command::Demo(options) | Command::Check { options, .. } => options,
        other => panic!("{args}: {other:?}"),
    }
}

#[test]
fn commands() {
    assert!(matches!(command("", &[], ""), Command::Serve(_)));
    assert!(matches!(command("--port 1", &[], ""), Command::Serve(_)));
    assert!(matches!(command("serve --port=1", &[], ""), Command::Serve(_)));
    assert!(matches!(command("--port 1 demo", &[], ""), Command::Demo(_)));
    assert!(matches!(command("check", &[], ""), Command::Check { print: false, .. }));
    assert!(matches!(command("check --print", &[], ""), Command::Check { print: true, .. }));
    assert!(matches!(command("completions fish", &[], ""), Command::Completions(Shell::Fish)));
    assert!(matches!(command("help", &[], ""), Command::Help(None)));
    assert!(matches!(command("help demo", &[], ""), Command::Help(Some(Name::Demo))));
    assert!(matches!(command("demo -h", &[], ""), Command::Help(Some(Name::Demo))));
    assert!(matches!(command("-V", &[], ""), Command::Version));
    let watch = |args: &str| match command(args, &[], "") {
        Command::Stats(options) => options.watch,
        other => panic!("{args}: {other:?}"),
    };
    let all = ["stats", "stats --watch", "stats --watch 5", "stats --watch=7 --json", "stats --watch --json"].map(watch);
    assert_eq!(all, [None, Some(2), Some(5), Some(7), Some(2)]);
    assert!(matches!(command("breaker close a --chain b", &[], ""), Command::Breaker(o) if o.provider == "a" && o.chain == "b"));
    // Help is given even where the environment could not be used.
    assert!(matches!(command("--help", &[("PORT", "x")], ""), Command::Help(None)));
    // A variable of a flag that the command does not have is not looked at.
    assert!(matches!(command("check", &[("PORT", "x")], ""), Command::Check { .. }));
}

#[test]
fn defaults() {
    let o = options("", &[], "");
    assert_eq!((o.listen.to_string().as_str(), o.port, o.shards, o.pin), ("0.0.0.0", 4000, None, true));
    assert_eq!((o.driver, o.default_strategy, o.drain_seconds, o.reuse_port), (Driver::Auto, Strategy::Priority, 30, false));
    assert_eq!((o.host.as_str(), o.scheme, o.log_format, o.log_level), ("localhost", None, None, Level::Info));
    assert!(o.profiles.is_none() && o.node_id.is_none() && o.region.is_none() && o.state_dir.is_none());
    assert!(o.trusted_proxies.trusts([127, 0, 0, 9].into()) && !o.trusted_proxies.trusts([10, 0, 0, 1].into()));
    assert!(o.ignored_variables.is_empty() && o.notices.is_empty() && o.client_connections.is_none());
}

#[test]
fn every_flag_is_taken() {
    let o = options(
        "serve --profiles p --listen ::1 --port 0 --shards 3 --pin false --driver epoll --node-id n1 --region eu --host h:8 --scheme https \
         --default-strategy round-robin --state-dir s --trusted-proxies 10.0.0.0/8,::1 --log-format json --log-level debug --drain-seconds 0 --reuse-port \
         --client-connections 500",
        &[],
        "",
    );
    assert_eq!((o.listen.to_string().as_str(), o.port, o.shards, o.pin), ("::1", 0, Some(3), false));
    assert_eq!(o.client_connections, Some(500));
    assert_eq!((o.driver, o.default_strategy, o.drain_seconds, o.reuse_port), (Driver::Epoll, Strategy::LoadBalanced, 0, true));
    assert_eq!(
        (o.host.as_str(), o.scheme, o.log_format, o.log_level),
        ("h:8", Some(Scheme::Https), Some(LogFormat::Json), Level::Debug)
    );
    assert_eq!((o.node_id.as_deref(), o.region.as_deref()), (Some("n1"), Some("eu")));
    assert_eq!((o.profiles, o.state_dir), (Some("p".into()), Some("s".into())));
    assert!(o.trusted_proxies.trusts([10, 0, 0, 1].into()) && !o.trusted_proxies.trusts([127, 0, 0, 1].into()));
}

#[test]
fn flags_over_environment_over_dotenv_over_default() {
    let port = |args: &str, vars: &[(&str, &str)], dotenv: &str| options(args, vars, dotenv).port;
    assert_eq!(port("", &[], "PORT=1"), 1);
    assert_eq!(port("", &[("PORT", "2")], "PORT=1"), 2);
    assert_eq!(port("--port 3", &[("PORT", "2")], "PORT=1"), 3);
    assert_eq!(port("--port 3 --port 4", &[], ""), 4);
    assert_eq!(port("", &[("PORT", "")], ""), 4000);
    let region = |vars: &[(&str, &str)]| options("", vars, "").region;
    assert_eq!(region(&[("LIVECHAIN_REGION", "b")]).as_deref(), Some("b"));
    assert_eq!(region(&[("LIVECHAIN_REGION", "b"), ("LASSO_REGION", "a")]).as_deref(), Some("a"));
    assert_eq!(options("", &[("PHX_HOST", "rpc.example.com"), ("PHX_SCHEME", "https")], "").host, "rpc.example.com");
    let reuse = |args: &str, value: &str| options(args, &[("LASSO_REUSE_PORT", value)], "").reuse_port;
    assert!(reuse("", "1") && reuse("", "true") && !reuse("", "0") && !reuse("--reuse-port=false", "1"));
    assert!(!options("", &[("LASSO_TRUSTED_PROXIES", "none")], "").trusted_proxies.trusts([127, 0, 0, 1].into()));
}

#[test]
fn what_does_nothing_is_named() {
    let o = options("", &[("PHX_SERVER", "true"), ("LASSO_PROT", "1")], "SECRET_KEY_BASE=x\nbroken line\n");
    assert_eq!(o.ignored_variables, ["PHX_SERVER", "SECRET_KEY_BASE"]);
    assert_eq!(o.notices.len(), 2, "{:?}", o.notices);
}

#[test]
fn the_node_id_is_kept_in_the_state_directory() {
    let directory = std::env::temp_dir().join(format!("lasso-node-id-{}", std::process::id()));
    let state = format!("--state-dir {}", directory.join("new").display());
    let first = node_id::node_id(&options(&state, &[], "")).expect("made");
    let again = node_id::node_id(&options(&state, &[], "")).expect("read");
    let given = node_id::node_id(&options(&format!("{state} --node-id mine"), &[], "")).expect("given");
    std::fs::write(directory.join("new/node_id"), "not usable\u{e9}\n").expect("damaged");
    let mended = node_id::node_id(&options(&state, &[], "")).expect("made again");
    std::fs::remove_dir_all(&directory).expect("removed");
    assert!(first.len() > 12 && first == again && mended != first, "{first} {again} {mended}");
    assert_eq!(given, "mine");
    assert!(!node_id::node_id(&options("", &[], "")).expect("host").is_empty());
}

/// The words that a profile's `error_rules` may use are those that the classifier knows.
#[test]
fn error_categories_are_known_to_the_classifier() {
    for word in crate::config::RULE_CATEGORIES {
        assert!(crate::route::classify::Category::from_rule(word).is_some(), "{word}");
    }
}
