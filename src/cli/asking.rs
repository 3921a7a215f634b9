//! What all commands that ask a running node are told: which node, which profile, which chain.

use crate::cli::ask::Address;
use crate::cli::options::{Settings, Usage};

const USUAL_URL: &str = "http://127.0.0.1:4000";

#[derive(Clone, Debug)]
pub struct Asking {
    pub node: Address,
    pub profile: Option<String>,
    pub chain: Option<String>,
}

impl Asking {
    pub(super) fn read(settings: &Settings) -> Result<Asking, Usage> {
        let url = settings.text("url").unwrap_or(USUAL_URL);
        let node = Address::parse(url).ok_or_else(|| settings.bad("url", "like http://127.0.0.1:4000, without a path"))?;
        let word = |name| settings.text(name).map(str::to_owned);
        Ok(Asking { node, profile: word("profile"), chain: word("chain") })
    }

    /// The chain of a command that is about one chain.
    pub(super) fn one_chain(&self, command: &str) -> Result<&str, Usage> {
        let missing = || Usage(format!("{command} needs a chain: --chain CHAIN (lasso stats lists them)"));
        self.chain.as_deref().ok_or_else(missing)
    }

    /// The profile of a command that is about one chain.
    pub fn one_profile(&self) -> &str {
        self.profile.as_deref().unwrap_or("default")
    }
}
