//! A snapshot file: the last hour of one profile's chain, as it is kept on disk and read again after a restart.
//!
//! The outer shape is the Elixir program's (docs/behaviour/shown.md#snapshot-files), so its readers go on; `version`, `transport`
//! and percentiles are ours. Reading is strict where writing is: a file that is not whole, not of this version or not possible is
//! refused as a whole with its first problem, never half believed. Nothing here is trusted more than as a guess that calls will
//! correct.

use crate::base::limits;
use crate::base::time::WallTime;
use serde::{Deserialize, Serialize};

/// Of the shape.
const VERSION: u32 = 1;
/// A call takes no longer.
const LONGEST_MS: f64 = 3_600_000.0;

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Kept {
    pub profile: String,
    pub chain_name: String,
    /// Unix seconds.
    pub timestamp: u64,
    /// The same for people.
    pub datetime: String,
    pub version: u32,
    pub data: Data,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Data {
    pub node_id: String,
    pub region: String,
    pub snapshot_data: Vec<Row>,
}

/// One provider's calls of one method over one transport.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    pub provider_id: String,
    /// `http` or `ws`.
    pub transport: String,
    /// Unix seconds at which the hour of the file began.
    pub hour_timestamp: u64,
    pub rpc_method: String,
    pub rpc_calls: u64,
    /// Of successes, as the percentiles are; null where there was none.
    pub rpc_avg_duration_ms: Option<f64>,
    /// From 0 to 1.
    pub rpc_success_rate: f64,
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Unix milliseconds of its last call.
    pub last_updated: u64,
}

impl Kept {
    pub fn new(profile: &str, chain: &str, at: WallTime, data: Data) -> Kept {
        Kept {
            profile: profile.to_owned(),
            chain_name: chain.to_owned(),
            timestamp: at.0 / 1000,
            datetime: at.rfc3339(),
            version: VERSION,
            data,
        }
    }

    /// A file's bytes; the error says what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Kept, String> {
        let kept: Kept = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if kept.version != VERSION {
            return Err(format!("it is of version {}, this program reads {VERSION}", kept.version));
        }
        let rows = &kept.data.snapshot_data;
        if rows.len() > limits::SNAPSHOT_ROWS {
            return Err(format!("it has {} rows, at most {} are possible", rows.len(), limits::SNAPSHOT_ROWS));
        }
        match rows.iter().position(|row| !row.is_possible()) {
            Some(bad) => Err(format!("row {} of snapshot_data has impossible figures", bad + 1)),
            None => Ok(kept),
        }
    }
}

impl Row {
    fn is_possible(&self) -> bool {
        let latencies = [self.rpc_avg_duration_ms, self.p50_ms, self.p90_ms, self.p95_ms, self.p99_ms];
        let names = [&self.provider_id, &self.rpc_method, &self.transport];
        (0.0..=1.0).contains(&self.rpc_success_rate)
            && latencies.into_iter().flatten().all(|ms| (0.0..=LONGEST_MS).contains(&ms))
            && names.iter().all(|name| name.len() <= limits::NAME_BYTES)
            && matches!(self.transport.as_str(), "http" | "ws")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// A row of a busy provider.
    pub(crate) fn row(provider: &str, method: &str, p50_ms: f64) -> Row {
        Row {
            provider_id: provider.to_owned(),
            transport: "http".to_owned(),
            hour_timestamp: 1_795_248_000,
            rpc_method: method.to_owned(),
            rpc_calls: 1_000,
            rpc_avg_duration_ms: Some(p50_ms),
            rpc_success_rate: 0.99,
            p50_ms: Some(p50_ms),
            p90_ms: Some(p50_ms * 2.0),
            p95_ms: Some(p50_ms * 3.0),
            p99_ms: Some(p50_ms * 4.0),
            last_updated: 1_795_252_260_000,
        }
    }

    pub(crate) fn kept(rows: Vec<Row>) -> Kept {
        let data = Data { node_id: "n".to_owned(), region: "r".to_owned(), snapshot_data: rows };
        Kept::new("default", "one", WallTime(1_795_252_260_123), data)
    }

    fn json_of(kept: &Kept) -> Value {
        serde_json::to_value(kept).expect("it has a JSON form")
    }

    #[test]
    fn what_is_written_is_read() {
        let mut silent = row("b", "eth_call", 1.0);
        (silent.rpc_avg_duration_ms, silent.p50_ms, silent.rpc_success_rate) = (None, None, 0.0);
        // Its nearest shorter form is another number, to a parser that rounds on the way.
        let exact = row("c", "eth_call", 2.051_684_350_518_402_7e-196);
        let kept = kept(vec![row("a", "eth_call", 12.5), silent, exact]);
        assert_eq!(Kept::parse(json_of(&kept).to_string().as_bytes()), Ok(kept.clone()));
        assert_eq!((kept.timestamp, kept.datetime.as_str()), (1_795_252_260, "2026-11-21T09:11:00.123Z"));
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_problem() {
        let check = |change: &dyn Fn(&mut Value), part: &str| {
            let mut json = json_of(&kept(vec![row("a", "eth_call", 12.5)]));
            change(&mut json);
            let why = Kept::parse(json.to_string().as_bytes()).expect_err(part);
            assert!(why.contains(part), "{why}");
        };
        check(&|json| json["version"] = json!(2), "version 2");
        check(&|json| json["profile"] = Value::Null, "expected a string");
        check(&|json| json["data"]["snapshot_data"][0]["rpc_success_rate"] = json!(1.5), "row 1");
        check(&|json| json["data"]["snapshot_data"][0]["p50_ms"] = json!(-1), "row 1");
        check(&|json| json["data"]["snapshot_data"][0]["p99_ms"] = json!(1e9), "row 1");
        check(&|json| json["data"]["snapshot_data"][0]["transport"] = json!("carrier pigeon"), "row 1");
        check(&|json| json["data"]["snapshot_data"][0]["provider_id"] = json!("x".repeat(129)), "row 1");
        let whole = json_of(&kept(vec![row("a", "eth_call", 1.0)])).to_string();
        assert!(Kept::parse(&whole.as_bytes()[..whole.len() - 9]).is_err());
        assert!(Kept::parse(b"").is_err() && Kept::parse(b"[]").is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            let name = prop_oneof![
                Just("profile".to_owned()),
                Just("data".to_owned()),
                Just("snapshot_data".to_owned()),
                Just("p50_ms".to_owned()),
                "[a-z]{0,5}",
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..6).prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = Kept::parse(&bytes);
        }

        /// Any JSON in any place of a good file.
        #[test]
        fn any_json_is_read_or_refused(json in any_json(), place in 0usize..18) {
            let mut whole = json_of(&kept(vec![row("a", "eth_call", 12.5)]));
            let places: Vec<String> = ["profile", "chain_name", "timestamp", "datetime", "version", "data"].iter().map(|n| format!("/{n}"))
                .chain(["/data/snapshot_data".to_owned(), "/data/snapshot_data/0".to_owned()])
                .chain(whole["data"]["snapshot_data"][0].as_object().into_iter().flatten().map(|(n, _)| format!("/data/snapshot_data/0/{n}")))
                .collect();
            if let Some(to) = places.get(place).and_then(|at| whole.pointer_mut(at)) {
                *to = json;
            }
            if let Ok(kept) = Kept::parse(whole.to_string().as_bytes()) {
                prop_assert!(kept.data.snapshot_data.iter().all(Row::is_possible));
                prop_assert_eq!(Kept::parse(json_of(&kept).to_string().as_bytes()), Ok(kept));
            }
        }
    }
}
