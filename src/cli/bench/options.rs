//! What was typed after `lasso bench`, before anything is asked.

use crate::base::limits;
use crate::cli::env::Env;
use crate::cli::options::{self, Settings, Usage};
use std::path::PathBuf;

/// A URL of a provider, as typed. It may hold a key, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedUrl {
    pub name: String,
    pub url: String,
}

impl std::fmt::Debug for NamedUrl {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}=(hidden)", self.name)
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    pub urls: Vec<NamedUrl>,
    pub profile: Option<String>,
    pub chain: Option<String>,
    /// A mix's word or a file.
    pub methods: String,
    pub calls_per_second: f64,
    pub seconds: u64,
    pub is_sure: bool,
    pub has_ramp: bool,
    pub prices: Vec<(String, f64)>,
    pub seed: Option<u64>,
    pub json: Option<PathBuf>,
    pub csv: Option<PathBuf>,
    pub html: Option<PathBuf>,
    pub baseline: Option<PathBuf>,
    pub suggests: bool,
    /// For profiles.
    pub node: options::Options,
}

impl Options {
    pub(in crate::cli) fn read(settings: &Settings, env: Env) -> Result<Options, Usage> {
        let urls = settings.all("url").map(named_url).collect::<Result<Vec<_>, _>>()?;
        let word = |name: &str| settings.text(name).map(str::to_owned);
        let (profile, chain) = (word("profile"), word("chain"));
        if let Some(name) = ["node", "speed"].into_iter().find(|name| settings.all(name).next().is_some()) {
            return Err(Usage(format!("--{name} belongs to a replay (--replay FILE --node URL)")));
        }
        if urls.is_empty() && chain.is_none() {
            let text = "bench needs providers (--url NAME=URL, again for each; or --profile SLUG --chain CHAIN)";
            return Err(Usage(text.to_owned()));
        }
        if !urls.is_empty() && profile.is_some() {
            return Err(Usage(
                "bench compares URLs or a profile's providers, not both (leave --url or --profile out)".to_owned(),
            ));
        }
        Ok(Options {
            urls,
            profile,
            chain,
            methods: word("methods").unwrap_or_else(|| "wallet".to_owned()),
            calls_per_second: rate(settings)?,
            seconds: match settings.text("for").map(seconds) {
                None => 60,
                Some(Some(seconds)) => seconds,
                Some(None) => return Err(settings.bad("for", "a time like 90s, 10m or 2h, at most a day")),
            },
            is_sure: settings.switch("yes")?,
            has_ramp: settings.switch("ramp")?,
            prices: settings.all("price").map(price).collect::<Result<Vec<_>, _>>()?,
            seed: settings.number("seed", 0, u64::MAX)?,
            json: settings.path("json"),
            csv: settings.path("csv"),
            html: settings.path("html"),
            baseline: settings.path("baseline"),
            suggests: settings.switch("suggest")?,
            node: settings.options(env)?,
        })
    }
}

fn named_url(text: &str) -> Result<NamedUrl, Usage> {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    // The value is not repeated: it may hold a key.
    match text.split_once('=').filter(|(name, _)| is_name(name)) {
        Some((name, url)) => Ok(NamedUrl { name: name.to_owned(), url: url.to_owned() }),
        None => Err(Usage(
            "--url must be NAME=URL, with a name of letters, digits and - _ . (like --url near=https://rpc.example)".to_owned(),
        )),
    }
}

fn rate(settings: &Settings) -> Result<f64, Usage> {
    match settings.text("rate").map(str::parse::<f64>) {
        None => Ok(5.0),
        Some(Ok(rate)) if (0.1..=limits::BENCH_RATE_MAX).contains(&rate) => Ok(rate),
        Some(_) => Err(settings.bad("rate", "calls a second, a number from 0.1 to 1000")),
    }
}

/// `90s`, `10m`, `2h`, or seconds without a letter.
fn seconds(text: &str) -> Option<u64> {
    let (digits, each) = match text.as_bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 3_600),
        _ => (text, 1),
    };
    let number: u64 = digits.parse().ok()?;
    number.checked_mul(each).filter(|seconds| (1..=limits::BENCH_SECONDS_MAX).contains(seconds))
}

fn price(text: &str) -> Result<(String, f64), Usage> {
    let read =
        |(name, price): (&str, &str)| Some((name.to_owned(), price.parse::<f64>().ok().filter(|p| p.is_finite() && *p >= 0.0)?));
    let bad = || Usage(format!("--price is \"{text}\" (it must be NAME=N, what a million calls cost)"));
    text.split_once('=').and_then(read).ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};
    use std::ffi::OsString;

    fn read(args: &[&str]) -> Result<Options, String> {
        let args = std::iter::once("bench").chain(args.iter().copied()).map(OsString::from).collect();
        match parse(args, Env::new(std::iter::empty(), None)) {
            Ok(Command::Bench(options)) => Ok(*options),
            Ok(other) => panic!("{other:?}"),
            Err(Usage(text)) => Err(text),
        }
    }

    #[test]
    fn flags_are_read() {
        let options = read(&[
            "--url",
            "a=https://a.example/key",
            "--url",
            "a=wss://a.example/key",
            "--url=b=http://127.0.0.1:1",
            "--rate",
            "2.5",
            "--for",
            "10m",
            "--price",
            "a=12.5",
            "--yes",
            "--ramp",
            "--seed",
            "7",
            "--json",
            "out.json",
            "--suggest",
        ]);
        let options = options.expect("good flags");
        assert_eq!(options.urls.iter().map(|url| url.name.as_str()).collect::<Vec<_>>(), ["a", "a", "b"]);
        assert_eq!((options.calls_per_second, options.seconds, options.seed), (2.5, 600, Some(7)));
        assert!(options.is_sure && options.has_ramp && options.suggests && options.html.is_none());
        assert_eq!((options.prices, options.json), (vec![("a".to_owned(), 12.5)], Some("out.json".into())));
        assert_eq!(read(&["--chain", "base"]).map(|options| options.methods), Ok("wallet".to_owned()));
        assert!(!format!("{:?}", read(&["--url", "a=https://a.example/key"])).contains("key"));
    }

    #[test]
    fn slips_are_told_with_their_remedy_and_without_a_key() {
        let check = |args: &[&str], part: &str| {
            let text = read(args).expect_err(part);
            assert!(text.contains(part) && !text.contains("sesame"), "{text}");
        };
        check(&[], "--url NAME=URL");
        check(&["--url", "https://a.example/sesame"], "must be NAME=URL");
        check(&["--url", "a b=https://a.example/sesame"], "must be NAME=URL");
        check(&["--url", "a=http://a.example", "--profile", "default"], "not both");
        check(&["--url", "a=http://a.example", "--rate", "0"], "from 0.1 to 1000");
        check(&["--url", "a=http://a.example", "--rate", "NaN"], "from 0.1 to 1000");
        for wrong in ["0s", "x", "", "1d", "25h", "-5s", "99999999999999999999h"] {
            check(&["--url", "a=http://a.example", "--for", wrong], "like 90s");
        }
        check(&["--url", "a=http://a.example", "--price", "a=-1"], "NAME=N");
    }

    #[test]
    fn times_are_read() {
        let read = ["60s", "90", "10m", "2h", "24h"].map(seconds);
        assert_eq!(read, [Some(60), Some(90), Some(600), Some(7_200), Some(86_400)]);
    }
}
