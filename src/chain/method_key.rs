//! A method as something is remembered of it: by its id, or by its name when no table knows it.
//!
//! The name itself and no hash of it, because the name is a client's choice: two names that were made to hash alike would let
//! one client's nonsense method take another client's real one away from a provider.

use crate::base::ids::MethodId;
use crate::base::limits;
use crate::chain::method;

/// Longer names are not remembered.
const NAME_BYTES: usize = limits::METHOD_NAME_SHOWN_BYTES;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum MethodKey {
    Known(MethodId),
    Named(ShortName),
}

/// A method's name, kept without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ShortName {
    bytes: [u8; NAME_BYTES],
    len: u8,
}

impl MethodKey {
    /// `None`: a name in no table that is too long to be remembered.
    pub fn new(method: MethodId, name: &[u8]) -> Option<MethodKey> {
        if method != method::UNKNOWN {
            return Some(MethodKey::Known(method));
        }
        let mut bytes = [0; NAME_BYTES];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        (!name.is_empty()).then_some(MethodKey::Named(ShortName { bytes, len: name.len() as u8 }))
    }

    /// Whether it is this method; `name` decides for what is in no table.
    pub fn is(&self, method: MethodId, name: &[u8]) -> bool {
        match self {
            MethodKey::Known(own) => *own == method,
            MethodKey::Named(own) => method == method::UNKNOWN && own.as_bytes() == name,
        }
    }

    /// For people.
    pub fn name(&self) -> &str {
        match self {
            MethodKey::Known(method) => method::info(*method).name,
            MethodKey::Named(own) => std::str::from_utf8(own.as_bytes()).unwrap_or(""),
        }
    }
}

impl ShortName {
    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_told_apart_by_id_or_name() {
        let key = |name: &str| MethodKey::new(method::lookup(name.as_bytes()), name.as_bytes());
        for name in ["eth_call", "zks_getFee", "a"] {
            let own = key(name).expect("short enough");
            assert_eq!(own.name(), name);
            for other in ["eth_call", "zks_getFee", "zks_getFe", "a", ""] {
                assert_eq!(own.is(method::lookup(other.as_bytes()), other.as_bytes()), name == other, "{name} {other}");
            }
        }
        assert_eq!(key(""), None);
        assert!(key(&"x".repeat(NAME_BYTES)).is_some());
        assert_eq!(key(&"x".repeat(NAME_BYTES + 1)), None);
    }
}
