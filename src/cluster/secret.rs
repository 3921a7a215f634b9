//! What the nodes of a cluster have in common: a secret and a name, and the keys that follow from both.
//!
//! A key belongs to one session of one node and to one secret: HKDF-SHA256 of the secret, salted with the cluster's name, for
//! the session's id. So nonces can be plain counters that begin anew with each process, and a node of a cluster with another
//! name cannot read a word, even when it got the address of one of ours (which is how clusters of other programs merged).
//! While a secret is replaced there are two: either opens, and to whom spoke with the older one the older one is spoken.
//!
//! Rejected: one key for all with random nonces (96 bits of randomness are too few for a key that lives for years). A secret is
//! never shown: `Debug` says that there is one.

use crate::base::limits::CLUSTER_SECRET_BYTES_MIN;
use ring::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Prk, Salt};
use std::fmt;

/// One run of one node's process: random, new at each start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "session {a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

/// The current secret first, then the one that it replaces.
#[derive(Clone)]
pub struct ClusterSecrets(Vec<Prk>);

impl fmt::Debug for ClusterSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClusterSecrets({})", self.0.len())
    }
}

/// Why a secret is not taken, for people. It does not contain the secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretFault(pub String);

impl ClusterSecrets {
    /// `current`: none means that whoever can send datagrams to the node may join; the caller decides where that is tolerable.
    pub fn new(current: Option<&str>, previous: Option<&str>, cluster_name: &str) -> Result<ClusterSecrets, SecretFault> {
        if current.is_none() && previous.is_some() {
            return Err(SecretFault(
                "there is a previous cluster secret and no current one (set LASSO_CLUSTER_SECRET)".to_owned(),
            ));
        }
        let salt = Salt::new(HKDF_SHA256, format!("lasso cluster 1\0{cluster_name}").as_bytes());
        let mut keys = Vec::new();
        for (what, secret) in [("cluster secret", current), ("previous cluster secret", previous)] {
            let Some(secret) = secret else { continue };
            if secret.len() < CLUSTER_SECRET_BYTES_MIN {
                let (has, least) = (secret.len(), CLUSTER_SECRET_BYTES_MIN);
                let remedy = "make one with: openssl rand -base64 48";
                return Err(SecretFault(format!("the {what} has {has} bytes, at least {least} are needed ({remedy})")));
            }
            keys.push(salt.extract(secret.as_bytes()));
        }
        if keys.is_empty() {
            keys.push(salt.extract(b""));
        }
        Ok(ClusterSecrets(keys))
    }

    /// How many secrets are accepted.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The key of `session` under the secret at place `which`; `None` for a place that does not exist.
    pub fn key(&self, which: usize, session: SessionId) -> Option<LessSafeKey> {
        let info = [session.0.as_slice()];
        let okm = self.0.get(which)?.expand(&info, &CHACHA20_POLY1305).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(okm)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "0123456789abcdef";

    #[test]
    fn short_secrets_are_refused_without_being_shown() {
        let refused = |current, previous| ClusterSecrets::new(current, previous, "lasso").unwrap_err().0;
        let said = refused(Some("hunter2"), None);
        assert!(said.contains("has 7 bytes") && said.contains("openssl") && !said.contains("hunter2"), "{said}");
        assert!(refused(Some(LONG), Some("hunter2")).contains("previous"));
        assert!(refused(None, Some(LONG)).contains("no current one"));
        assert_eq!(ClusterSecrets::new(None, None, "lasso").unwrap().count(), 1);
        let both = ClusterSecrets::new(Some(LONG), Some(LONG), "lasso").unwrap();
        assert_eq!(both.count(), 2);
        assert_eq!(format!("{both:?}"), "ClusterSecrets(2)");
        assert!(both.key(2, SessionId([0; 16])).is_none());
    }
}
