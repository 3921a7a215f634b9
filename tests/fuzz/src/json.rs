//! JSON as serde_json reads it, repeated keys kept.

use serde_json::value::RawValue;

/// Members of an object, keys unescaped, values as they stand.
pub struct Members(pub Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> serde::de::Visitor<'de> for Visit {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(Visit)
    }
}

impl Members {
    /// Of a text known to be an object. `None` where serde_json gives up on a key with half a surrogate pair, which the
    /// grammar allows.
    pub fn of(bytes: &[u8]) -> Option<Members> {
        let read = serde_json::from_slice(bytes);
        let halves = bytes.to_ascii_lowercase().windows(3).any(|escape| escape.starts_with(b"\\ud"));
        assert!(read.is_ok() || halves, "an object");
        read.ok()
    }

    /// How many keys are `name` to a parser that ignores case as Go's does.
    pub fn count(&self, name: &str) -> usize {
        self.0.iter().filter(|(key, _)| key.to_ascii_lowercase().replace('\u{17F}', "s") == name).count()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.get())
    }
}

/// One JSON text in UTF-8.
pub fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok())
}

/// The string a token stands for.
pub fn string(token: &str) -> Option<String> {
    serde_json::from_str(token).ok()
}
