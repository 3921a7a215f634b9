//! Every key a profile may hold: the one table behind the reader, "did you mean",
//! and the tests which prove that `config/README.md` and `_example.yml` name them all.

use crate::config::suggest;

/// One key of a mapping.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// Older or other names of the same key.
    pub aliases: &'static [&'static str],
    /// For people: what may stand there.
    pub kind: &'static str,
    /// For people; `required` when there is none.
    pub default: &'static str,
}

/// A mapping's keys.
#[derive(Debug)]
pub struct Table {
    /// How a person would say where it stands: `chains.<chain>.monitoring`.
    pub path: &'static str,
    pub keys: &'static [Key],
}

macro_rules! table {
    ($(#[$doc:meta])* $name:ident, $path:literal, [$(($key:literal $(| $alias:literal)*, $kind:literal, $default:literal)),* $(,)?]) => {
        $(#[$doc])*
        pub static $name: Table = Table {
            path: $path,
            keys: &[$(Key { name: $key, aliases: &[$($alias),*], kind: $kind, default: $default }),*],
        };
    };
}

table!(
    /// Front matter and body together; in one document they are the same mapping.
    PROFILE, "profile", [
    ("name", "text", "required in front matter, else the slug"),
    ("slug", "letters, digits, - and _; equal to the file name", "required in front matter, else the file name"),
    ("logo", "file name of an image that ships with the dashboard", "none"),
    ("rps_limit" | "default_rps_limit", "whole number, 0 means no limit", "100"),
    ("burst_limit" | "default_burst_limit", "whole number from 1", "500"),
    ("ws_calls_at_work", "whole number from 1 to 4096", "256"),
    ("max_batch_items", "whole number from 1 to 10000", "1000"),
    ("forward_headers", "list of header names", "[]"),
    ("unlisted", "true or false", "false"),
    ("api_keys", "not available in this version", "none"),
    ("routing", "mapping", "none"),
    ("methods", "mapping from method or beginning* to {category, repeatable, timeout_ms}", "{}"),
    ("chains", "mapping from chain to its settings", "required"),
]);

table!(
    CHAIN,
    "chains.<chain>",
    [
        ("chain_id", "whole number from 1", "required"),
        ("name", "text", "the key"),
        ("url_aliases" | "aliases", "list of names for URLs", "[]"),
        ("block_time_ms", "whole number from 1", "measured"),
        ("selection", "mapping", "defaults"),
        ("monitoring", "mapping", "defaults"),
        ("websocket", "mapping", "defaults"),
        ("ui-topology" | "ui_topology", "mapping", "defaults"),
        ("routing", "mapping", "the profile's"),
        ("methods", "mapping from method or beginning* to {category, repeatable, timeout_ms}", "the profile's"),
        ("providers", "list, 1 to 64", "required"),
    ]
);

table!(
    SELECTION,
    "chains.<chain>.selection",
    [("max_lag_blocks", "whole number from 0", "1"), ("archival_threshold", "whole number from 0", "128"),]
);

table!(
    MONITORING,
    "chains.<chain>.monitoring",
    [
        ("probe_interval_ms", "whole number from 10", "12000"),
        ("lag_alert_threshold_blocks" | "lag_threshold_blocks", "whole number from 1", "5"),
    ]
);

table!(
    WEBSOCKET,
    "chains.<chain>.websocket",
    [
        ("subscribe_new_heads", "true or false", "true"),
        ("new_heads_timeout_ms", "whole number from 100", "3 block times"),
        ("failover", "mapping", "defaults"),
    ]
);

table!(
    FAILOVER,
    "chains.<chain>.websocket.failover",
    [
        ("max_backfill_blocks", "whole number from 0", "100 or more"),
        ("backfill_timeout_ms" | "backfill_timeout", "whole number from 100", "30000"),
    ]
);

table!(UI_TOPOLOGY, "chains.<chain>.ui-topology", [("color", "#RRGGBB", "#6B7280"), ("size", "sm, md, lg or xl", "md"),]);

table!(
    PROVIDER,
    "chains.<chain>.providers[]",
    [
        ("id", "letters, digits and - _ . : ; unique in its chain", "required"),
        ("name", "text", "the id"),
        ("priority", "whole number from 0, lower is preferred", "100"),
        ("url", "http:// or https:// URL", "url or ws_url is required"),
        ("ws_url", "ws:// or wss:// URL", "url or ws_url is required"),
        ("archival", "true or false", "true"),
        ("subscribe_new_heads", "true or false", "the chain's"),
        ("sharing_mode", "auto or isolated", "auto"),
        ("regions", "list of region names", "[]"),
        ("region_urls", "mapping from region to {url, ws_url}", "{}"),
        ("capabilities", "mapping", "all but local_only and node_admin methods, no limits"),
        ("api_key", "text, sent as Authorization: Bearer", "none"),
        ("credentials", "mapping of texts", "{}"),
        ("headers", "mapping of texts", "{}"),
        ("forward_headers", "list of header names, beside the profile's", "[]"),
        ("auth_headers", "mapping of texts, win over headers", "{}"),
        ("ca_file", "path of a PEM file", "none"),
        ("max_connections", "whole number from 1 to 65536", "256"),
        ("http2", "auto, on or off", "auto"),
    ]
);

table!(
    REGION_URL,
    "chains.<chain>.providers[].region_urls.<region>",
    [
        ("url", "http:// or https:// URL", "url or ws_url is required"),
        ("ws_url", "ws:// or wss:// URL", "url or ws_url is required"),
    ]
);

table!(
    CAPABILITIES,
    "chains.<chain>.providers[].capabilities",
    [
        ("unsupported_categories", "list of method categories", "[local_only, node_admin]"),
        ("unsupported_methods", "list of method names", "[]"),
        ("limits", "mapping", "none"),
        ("error_rules", "list", "[]"),
    ]
);

table!(
    LIMITS,
    "chains.<chain>.providers[].capabilities.limits",
    [
        ("max_block_range", "whole number from 0", "none"),
        ("max_block_age", "whole number from 0", "none"),
        ("block_age_methods", "list of method names", "[]"),
    ]
);

table!(
    ERROR_RULE,
    "chains.<chain>.providers[].capabilities.error_rules[]",
    [
        ("code", "whole number", "code or message_contains is required"),
        ("message_contains", "text or list of texts", "code or message_contains is required"),
        ("category", "error category", "required"),
    ]
);

table!(
    ROUTING,
    "routing",
    [
        ("default_strategy", "priority, load-balanced, fastest or latency-weighted", "the node's"),
        ("method_overrides", "mapping from method to {strategy, providers}", "{}"),
    ]
);

table!(
    METHOD_OVERRIDE,
    "routing.method_overrides.<method>",
    [
        ("strategy", "priority, load-balanced, fastest or latency-weighted", "the default strategy"),
        ("providers", "list of provider ids", "all"),
    ]
);

table!(
    METHOD_TERMS,
    "methods.<method>",
    [
        ("category", "method category", "the method's own, else unknown"),
        ("repeatable", "true or false", "the method's own, else by its name"),
        ("timeout_ms", "whole number from 100 to 600000", "the method's own"),
    ]
);

/// All tables, outer before inner.
pub static TABLES: [&Table; 15] = [
    &PROFILE,
    &CHAIN,
    &SELECTION,
    &MONITORING,
    &WEBSOCKET,
    &FAILOVER,
    &UI_TOPOLOGY,
    &PROVIDER,
    &REGION_URL,
    &CAPABILITIES,
    &LIMITS,
    &ERROR_RULE,
    &ROUTING,
    &METHOD_OVERRIDE,
    &METHOD_TERMS,
];

/// Keys that never had an effect in the Elixir program either (docs/behaviour/node.md#keys-without-effect): tolerated with a
/// warning, so that its profiles can be used as they are.
pub const WITHOUT_EFFECT: &[(&str, &str)] =
    &[("provider", "type"), ("provider", "api_key_required"), ("provider", "adapter_config")];

impl Table {
    /// The key of this name or alias.
    pub fn find(&self, word: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == word || key.aliases.contains(&word))
    }

    /// What to do about a key that is not in this table: a slip, a key that belongs elsewhere, or neither.
    pub fn remedy(&self, word: &str) -> String {
        if let Some(near) = suggest::did_you_mean(word, self.words()) {
            return near;
        }
        let elsewhere = TABLES.iter().find(|table| table.find(word).is_some());
        if let Some(table) = elsewhere {
            return format!("{word} belongs to {}", table.path);
        }
        let names: Vec<&str> = self.keys.iter().map(|key| key.name).collect();
        format!("known keys here: {}", names.join(", "))
    }

    fn words(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().flat_map(|key| std::iter::once(key.name).chain(key.aliases.iter().copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_means_two_keys_of_one_table() {
        for table in TABLES {
            let mut words: Vec<&str> = table.words().collect();
            let all = words.len();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), all, "{}", table.path);
        }
    }

    #[test]
    fn remedies() {
        let check = |table: &Table, word: &str, want: &str| assert_eq!(table.remedy(word), want);
        check(&CHAIN, "chain_ids", "did you mean \"chain_id\"?");
        check(&CHAIN, "max_lag_blocks", "max_lag_blocks belongs to chains.<chain>.selection");
        check(&UI_TOPOLOGY, "banana", "known keys here: color, size");
    }
}
