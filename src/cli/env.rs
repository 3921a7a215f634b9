//! Where settings come from: the process's environment, over `.env` in the working directory.
//!
//! A variable that is set to nothing counts as unset, since that is how compose files and shells leave them.

use crate::cli::cluster::SECRET_VARIABLES;
use crate::cli::flags;
use crate::config::suggest;
use std::collections::BTreeMap;
use std::fmt;

/// All variables, each with its origin. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Env {
    vars: BTreeMap<String, (String, Origin)>,
    /// Lines of `.env` that could not be read, as sentences.
    pub notices: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Process,
    /// The line of `.env`.
    DotEnv(usize),
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.vars.keys()).finish()
    }
}

impl Env {
    pub fn new(process: impl IntoIterator<Item = (String, String)>, dotenv: Option<&str>) -> Env {
        let mut env = Env::default();
        env.read_dotenv(dotenv.unwrap_or_default());
        for (name, value) in process {
            env.vars.insert(name, (value, Origin::Process));
        }
        env
    }

    /// The value, unless empty or unset.
    pub fn get(&self, name: &str) -> Option<(&str, Origin)> {
        self.vars.get(name).filter(|(value, _)| !value.is_empty()).map(|(value, origin)| (value.as_str(), *origin))
    }

    /// For `${NAME}` in profiles: also an empty value is a value there.
    pub fn lookup(&self, name: &str) -> Option<String> {
        self.vars.get(name).map(|(value, _)| value.clone())
    }

    /// Variables that are set and do nothing here, in order of name.
    pub fn ignored(&self) -> Vec<&'static str> {
        let has_cluster = self.get("CLUSTER_DNS_QUERY").is_some();
        let is_ignored = |name: &&'static str| self.get(name).is_some() && !(has_cluster && *name == "SECRET_KEY_BASE");
        let mut out: Vec<&'static str> = IGNORED.iter().copied().filter(is_ignored).collect();
        out.sort_unstable();
        out
    }

    /// `LASSO_SHARD=2` is most likely meant to be one of ours.
    pub fn slips(&self) -> Vec<String> {
        let ours = || flags::all().flat_map(|flag| flag.vars.iter().copied()).chain(SECRET_VARIABLES);
        let unknown = |name: &&String| {
            name.starts_with("LASSO_") && !ours().any(|known| known == name.as_str()) && !IGNORED.contains(&name.as_str())
        };
        let slip =
            |name: &String| suggest::did_you_mean(name, ours()).map(|near| format!("the variable {name} is not known: {near}"));
        self.vars.keys().filter(unknown).filter_map(slip).collect()
    }

    fn read_dotenv(&mut self, text: &str) {
        for (number, line) in text.lines().enumerate() {
            match dotenv_line(line) {
                Ok(Some((name, value))) => {
                    self.vars.insert(name, (value, Origin::DotEnv(number + 1)));
                }
                Ok(None) => {}
                Err(()) => self.notices.push(format!(".env:{}: not NAME=value, ignored", number + 1)),
            }
        }
    }
}

/// Variables of features that come later, and of the Elixir program alone (docs/behaviour/node.md#keys-without-effect). Named
/// once at start.
const IGNORED: &[&str] = &[
    "DATABASE_URL",
    "DNS_CLUSTER_QUERY",
    "LASSO_ADMIN_AUTH",
    "LASSO_ADMIN_LISTEN",
    "LASSO_COWBOY_TELEMETRY_ENABLED",
    "LASSO_DATA_DIR",
    "LASSO_HTTP_POOL_COUNT",
    "LASSO_HTTP_POOL_SIZE",
    "LASSO_HTTP_RESPONSE_HEAP_TUNING_ENABLED",
    "LASSO_VM_METRICS_ENABLED",
    "LASSO_WATCH",
    "MIX_ENV",
    "PHX_SERVER",
    "POOL_SIZE",
    "RELEASE_COOKIE",
    "RELEASE_DISTRIBUTION",
    "RELEASE_NODE",
    "SECRET_KEY_BASE",
];

/// `NAME=value`, `export NAME="value"`, a comment or nothing. Double quotes know `\n`, `\"`, `\\`; single quotes nothing.
fn dotenv_line(line: &str) -> Result<Option<(String, String)>, ()> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or(())?;
    let name = name.trim();
    let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(ok) {
        return Err(());
    }
    Ok(Some((name.to_owned(), dotenv_value(value.trim())?)))
}

fn dotenv_value(text: &str) -> Result<String, ()> {
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, after) = rest.split_once('\'').ok_or(())?;
        return if only_comment(after) { Ok(value.to_owned()) } else { Err(()) };
    }
    let Some(rest) = text.strip_prefix('"') else {
        let end = text.find(" #").unwrap_or(text.len());
        return Ok(text.get(..end).unwrap_or(text).trim_end().to_owned());
    };
    let mut out = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return if only_comment(chars.as_str()) { Ok(out) } else { Err(()) },
            '\\' => out.push(match chars.next().ok_or(())? {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                other => other,
            }),
            other => out.push(other),
        }
    }
    Err(())
}

fn only_comment(text: &str) -> bool {
    text.trim().is_empty() || text.trim_start().starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_dotenv() {
        let check = |line: &str, want: Option<(&str, &str)>| {
            let want = want.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(dotenv_line(line), Ok(want), "{line}");
        };
        check("", None);
        check("  # x=y", None);
        check("A=b", Some(("A", "b")));
        check("export A=b", Some(("A", "b")));
        check(" A = b # c", Some(("A", "b")));
        check("A=b#c", Some(("A", "b#c")));
        check("A=", Some(("A", "")));
        check("A='b # c' # d", Some(("A", "b # c")));
        check(r#"A="b\n\"c\"" # d"#, Some(("A", "b\n\"c\"")));
        check("A=b=c", Some(("A", "b=c")));
        for bad in ["A", "1A=b", "A B=c", "=b", "A='b", "A=\"b", "A='b'c", "A=\"b\"c"] {
            assert_eq!(dotenv_line(bad), Err(()), "{bad}");
        }
    }

    #[test]
    fn the_process_wins_and_empty_is_unset() {
        let process = [("A", "1"), ("B", "")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        let env = Env::new(process, Some("A=2\nB=3\nC=4\noops\n"));
        assert_eq!(env.get("A"), Some(("1", Origin::Process)));
        assert_eq!(env.get("B"), None);
        assert_eq!(env.get("C"), Some(("4", Origin::DotEnv(3))));
        assert_eq!(env.lookup("B"), Some(String::new()));
        assert_eq!(env.notices, [".env:4: not NAME=value, ignored"]);
    }

    #[test]
    fn names_what_does_nothing() {
        let process = [("PHX_SERVER", "true"), ("POOL_SIZE", "2"), ("LASSO_SHARD", "2"), ("LASSO_OWN_KEY", "x")];
        let env = Env::new(process.map(|(n, v)| (n.to_owned(), v.to_owned())), None);
        assert_eq!(env.ignored(), ["PHX_SERVER", "POOL_SIZE"]);
        assert_eq!(env.slips(), ["the variable LASSO_SHARD is not known: did you mean \"LASSO_SHARDS\"?"]);
    }

    #[test]
    fn debug_shows_no_values() {
        let env = Env::new([("KEY".to_owned(), "secret".to_owned())], None);
        assert_eq!(format!("{env:?}"), "{\"KEY\"}");
    }
}
