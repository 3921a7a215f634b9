//! The program's words: help, usage errors, completions, `check`. Golden files in `golden/` hold the whole output;
//! `UPDATE_GOLDEN=1 cargo test --test cli` writes them anew, to be read before they are committed.

mod asking;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program in `tests/cli` with nothing in its environment but these variables.
fn lasso_in(directory: &Path, args: &[&str], vars: &[(&str, &str)]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_lasso"))
        .args(args)
        .env_clear()
        .envs(vars.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli")
}

fn lasso(args: &[&str], vars: &[(&str, &str)]) -> Said {
    lasso_in(&here(), args, vars)
}

/// Exit code, standard output and standard error, as one text.
fn golden(name: &str, said: &Said) {
    let path = here().join("golden").join(format!("{name}.txt"));
    let mut got = format!("exit {}\n--- out\n{}", said.code, said.out);
    if !said.err.is_empty() {
        got.push_str(&format!("--- err\n{}", said.err));
    }
    let got = got.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &got).expect("golden file written");
    }
    let want = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(got, want, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

#[test]
fn help() {
    golden("help", &lasso(&["help"], &[]));
    for command in ["serve", "demo", "check", "stats", "top", "explain", "breaker", "bench", "completions", "help"] {
        let said = lasso(&[command, "--help"], &[]);
        golden(&format!("help-{command}"), &said);
        assert_eq!(lasso(&["help", command], &[]).out, said.out);
        assert_eq!(lasso(&[command, "-h"], &[]).out, said.out);
    }
    assert_eq!(lasso(&["--help"], &[]).out, lasso(&["help"], &[]).out);
    golden("version", &lasso(&["--version"], &[]));
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish"] {
        let said = lasso(&["completions", shell], &[]);
        golden(&format!("completions-{shell}"), &said);
        // Where the shell is there, it must accept the script.
        let syntax_only = if shell == "fish" { "--no-execute" } else { "-n" };
        let script = std::env::temp_dir().join(format!("lasso-completions-{}.{shell}", std::process::id()));
        std::fs::write(&script, &said.out).expect("script written");
        match Command::new(shell).arg(syntax_only).arg(&script).output() {
            Ok(output) => assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => eprintln!("skipped: {shell} is not installed"),
        }
        let _ = std::fs::remove_file(script);
    }
}

/// bash's own completion, asked as a person would.
#[test]
fn bash_completes() {
    let complete = |line: &str| -> Vec<String> {
        let script = "source <(\"$0\" completions bash); read -ra COMP_WORDS <<<\"$1\"; [[ $1 == *' ' ]] && COMP_WORDS+=('');
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _lasso; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let output = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_lasso"), line]).output().expect("bash runs");
        String::from_utf8_lossy(&output.stdout).split_whitespace().map(str::to_owned).collect()
    };
    if Command::new("bash").arg("--version").output().is_err() {
        return eprintln!("skipped: bash is not installed");
    }
    assert_eq!(complete("lasso che"), ["check"]);
    assert_eq!(complete("lasso completions "), ["bash", "zsh", "fish", "--help"]);
    assert_eq!(complete("lasso serve --dri"), ["--driver"]);
    assert_eq!(complete("lasso serve --driver e"), ["epoll"]);
    assert_eq!(complete("lasso check --p"), ["--profiles", "--print"]);
    assert_eq!(complete("lasso --log-f"), ["--log-format"]);
    assert_eq!(complete("lasso breaker c"), ["close"]);
    assert_eq!(complete("lasso explain eth_call --tr"), ["--transport"]);
    assert!(complete("lasso demo --profiles").is_empty());
}

#[test]
fn wrong_usage_is_exit_2_with_a_remedy() {
    let check = |args: &[&str], vars: &[(&str, &str)], part: &str| {
        let said = lasso(args, vars);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{args:?} {vars:?}: {}", said.err);
        assert!(said.err.starts_with("lasso: ") && said.err.contains(part), "{args:?} {vars:?}: {}", said.err);
    };
    check(&["srve"], &[], "unknown command \"srve\" (did you mean \"serve\"?)");
    check(&["measure"], &[], "unknown command \"measure\" (known: serve, demo, check");
    check(&["bench"], &[], "bench needs providers (--url NAME=URL");
    check(&["bench", "--url", "https://a.example/sesame"], &[], "--url must be NAME=URL");
    check(&["bench", "--url", "a=http://a.example", "--for", "soon"], &[], "--for is \"soon\" (it must be a time like 90s");
    check(&["stats", "--ramp"], &[], "--ramp is not a flag of stats (it belongs to bench)");
    check(&["bensh"], &[], "unknown command \"bensh\" (did you mean \"bench\"?)");
    check(&["bench", "--speed", "2"], &[], "--speed belongs to a replay (--replay FILE --node URL)");
    check(&["bench", "--replay", "x", "--rate", "2"], &[], "--rate is for comparing providers (leave it or --replay out)");
    check(&["bench", "--replay", "x"], &[], "bench --replay needs the node to replay to");
    check(&["bench", "--replay", "x", "--node", "ftp://x"], &[], "--node is \"ftp://x\" (it must be like http://127.0.0.1:4000");
    check(&["bench", "--replay", "x", "--node", "a", "--speed", "0"], &[], "--speed is \"0\" (it must be a number above 0");
    check(&["explain", "--replay", "x"], &[], "explain --replay needs the strategy to try");
    check(&["explain", "eth_call", "--replay", "x", "--strategy", "fastest"], &[], "leave METHOD and --chain out");
    check(&["--record-rate", "1%"], &[], "--record-rate needs a file to record to (--record FILE)");
    check(&["--record", "x", "--record-rate", "2"], &[], "a share of all calls, like 0.01 or 1%");
    check(&["--record", "x", "--record-mib", "0"], &[], "--record-mib is \"0\"");
    check(&["explain"], &[], "explain needs a method: lasso explain eth_call --chain CHAIN");
    check(&["explain", "eth_call"], &[], "explain needs a chain: --chain CHAIN (lasso stats lists them)");
    check(&["explain", "eth_call", "again"], &[], "unexpected \"again\" after explain");
    check(&["explain", "eth_call", "--chain=a", "--strategy=best"], &[], "one of priority, load-balanced");
    check(&["breaker", "open"], &[], "breaker needs an order (open, close or auto) and a provider");
    check(&["breaker", "ajar", "a", "--chain=a"], &[], "unknown order \"ajar\" (open, close or auto)");
    check(&["breaker", "open", "a"], &[], "breaker needs a chain");
    check(&["stats", "now"], &[], "unexpected \"now\" after stats");
    check(&["stats", "--watch", "0"], &[], "--watch is \"0\" (it must be a whole number from 1");
    check(&["stats", "--watch", "--from", "x"], &[], "leave --watch or --from out");
    check(
        &["stats"],
        &[("LASSO_URL", "ftp://x")],
        "the variable LASSO_URL is \"ftp://x\" (it must be like http://127.0.0.1:4000",
    );
    check(&["serve", "now"], &[], "unexpected \"now\" after serve");
    check(&["help", "srve"], &[], "did you mean \"serve\"?");
    check(&["completions"], &[], "completions needs a shell");
    check(&["completions", "tcsh"], &[], "unknown shell \"tcsh\"");
    check(&["completions", "bash", "zsh"], &[], "unexpected \"zsh\"");
    check(&["--prot", "1"], &[], "unknown flag --prot (did you mean \"--port\"?)");
    check(&["--watch"], &[], "--watch is not a flag of serve (it belongs to stats)");
    check(&["-p", "1"], &[], "unknown flag -p");
    check(&["--port"], &[], "--port needs a value: --port N");
    check(&["--reuse-port=maybe"], &[], "it must be true or false");
    check(&["check", "--port", "1"], &[], "--port is not a flag of check (it belongs to serve and demo)");
    check(&["demo", "--profiles", "x"], &[], "--profiles is not a flag of demo (it belongs to serve, check and bench)");
    check(&["--port", "65536"], &[], "--port is \"65536\" (it must be a whole number from 0 to 65535)");
    check(&[], &[("PORT", "http")], "the variable PORT is \"http\" (it must be a whole number");
    check(&["--shards", "0"], &[], "a whole number from 1 to 1024");
    check(&["--listen", "localhost"], &[], "an IP address");
    check(&["--driver", "uring"], &[], "one of auto, io_uring, epoll");
    check(&["--pin", "yes"], &[], "one of true, false");
    check(&[], &[("LASSO_LOG_LEVEL", "trace")], "one of error, warn, info, debug");
    check(&["--node-id", "a b"], &[], "--node-id is \"a b\"");
    check(&["--host", "http://x"], &[], "without scheme or path");
    check(&["--trusted-proxies", "10.0.0.0/40"], &[], "10.0.0.0/40");
    check(&["--drain-seconds", "-1"], &[], "a whole number from 0");
    check(&["--default-strategy", "cheapest"], &[], "one of priority, load-balanced, fastest, latency-weighted");
    check(&["--breaker-failures", "0"], &[], "a whole number from 1 to 1000");
    check(&[], &[("LW_BETA", "steep")], "the variable LW_BETA is \"steep\" (it must be a number from 0 to 20");
    check(&["--default-strategy", "best"], &[], "one of priority, load-balanced");
}

#[test]
fn check_good_profiles() {
    golden("check-good", &lasso(&["check", "--profiles", "profiles/good"], &[]));
    golden("check-good-print", &lasso(&["check", "--print", "--profiles=profiles/good"], &[]));
    golden("check-variable", &lasso(&["check"], &[("LASSO_PROFILES_DIR", "profiles/good")]));
}

#[test]
fn check_names_every_problem() {
    golden("check-bad", &lasso(&["check", "--profiles", "profiles/bad"], &[]));
    let printed = lasso(&["check", "--print", "--profiles", "profiles/bad"], &[]);
    assert_eq!((printed.code, printed.out.as_str()), (1, ""));
    golden("check-missing", &lasso(&["check", "--profiles", "profiles/gone"], &[]));
    golden("check-empty", &lasso(&["check", "--profiles", "golden"], &[]));
}

#[test]
fn print_hides_secrets() {
    let vars = [("GOLDEN_KEY", "k3y-0f-the-node")];
    let said = lasso(&["check", "--print", "--profiles", "profiles/secret"], &vars);
    golden("check-secret-print", &said);
    for secret in ["k3y-0f-the-node", "hunter2", "short", "q1w2e3r4", "top-secret", "billing-secret", "0123456789abcdef", "user"]
    {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{secret}");
    }
}

/// Where nothing is hidden, what `--print` says is a profile that means the same.
#[test]
fn what_is_printed_can_be_read_again() {
    let printed = lasso(&["check", "--print"], &[]).out;
    let directory = std::env::temp_dir().join(format!("lasso-print-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    for part in printed.split("# ").filter(|part| part.contains(".yml\n---\n")) {
        let (name, text) = part.split_once('\n').expect("a heading");
        std::fs::write(directory.join(name), text).expect("profile written");
    }
    let shown = directory.display().to_string();
    let again = lasso(&["check", "--print", "--profiles", &shown], &[]);
    std::fs::remove_dir_all(&directory).expect("removed");
    assert_eq!(again.code, 0, "{}{}", again.out, again.err);
    assert_eq!(again.out, printed);
}

#[test]
fn dotenv_is_read_below_the_environment() {
    let directory = std::env::temp_dir().join(format!("lasso-dotenv-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join(".env"), "PORT=nonsense\nGOLDEN_KEY='k3y-0f-the-node'\n").expect("written");
    let profiles = here().join("profiles/secret").display().to_string();
    let from_file = lasso_in(&directory, &["serve"], &[]);
    let overridden = lasso_in(&directory, &["serve"], &[("PORT", "99999")]);
    let check = lasso_in(&directory, &["check", "--profiles", &profiles], &[]);
    let unreadable =
        lasso_in(&directory, &["check", "--profiles", &here().join("profiles/secret/default.yml").display().to_string()], &[]);
    std::fs::remove_dir_all(&directory).expect("removed");
    assert!(from_file.err.contains("PORT in .env:1 is \"nonsense\""), "{}", from_file.err);
    assert!(overridden.err.contains("the variable PORT is \"99999\""), "{}", overridden.err);
    assert_eq!(check.code, 0, "{}", check.out);
    assert_eq!(unreadable.code, 1);
}

#[test]
fn files_that_cannot_be_used_are_problems() {
    let directory = std::env::temp_dir().join(format!("lasso-files-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    std::fs::write(directory.join("default.yml"), b"# fine\nname: \"\xff\"\n").expect("written");
    std::fs::create_dir_all(directory.join("folder.yml")).expect("a directory");
    let said = lasso(&["check", "--profiles", &directory.display().to_string()], &[]);
    std::fs::remove_dir_all(&directory).expect("removed");
    assert_eq!(said.code, 1);
    assert!(said.out.contains("default.yml:2: the file is not UTF-8"), "{}", said.out);
    assert!(said.out.contains("folder.yml:1: the file cannot be read"), "{}", said.out);
}

#[test]
fn a_flood_of_problems_is_cut_short_and_says_so() {
    let directory = std::env::temp_dir().join(format!("lasso-flood-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let lines: String = (0..500).map(|i| format!("nope{i}: 1\n")).collect();
    std::fs::write(directory.join("default.yml"), lines).expect("written");
    let said = lasso(&["check", "--profiles", &directory.display().to_string()], &[]);
    std::fs::remove_dir_all(&directory).expect("removed");
    let tail: Vec<&str> = said.out.lines().rev().take(2).collect();
    assert_eq!(said.code, 1);
    assert!(tail[0] == "201 problems" && tail[1].contains("and 301 more problems in this file"), "{tail:?}");
}
