//! A call's parameters, read the way geth reads them and refused with its words, so that the classifier meets what it
//! meets in the wild. Total: any JSON gives a value or an error.

use super::identity::{Address, Hash};
use super::rpc::RpcError;
use serde_json::Value;

/// Which block a call is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BlockRef {
    Height(u64),
    Hash(Hash),
    Earliest,
    Latest,
    Pending,
    Safe,
    Finalized,
}

/// Where `eth_getLogs` looks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LogRange {
    Block(Hash),
    Span { from: BlockRef, to: BlockRef },
}

/// A log filter; an empty list of addresses, or a missing topic, matches all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogFilter {
    pub range: LogRange,
    pub addresses: Vec<Address>,
    pub topics: Vec<Vec<Hash>>,
}

/// A contract call; block parameters come separately.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Call {
    pub to: Option<Address>,
    pub input: Vec<u8>,
}

fn missing(place: usize) -> RpcError {
    RpcError::new(-32602, format!("missing value for required argument {place}"))
}

fn wrong(place: usize, what: &str) -> RpcError {
    RpcError::new(-32602, format!("invalid argument {place}: {what}"))
}

/// The parameters of one call, by position.
#[derive(Clone, Copy)]
pub struct Params<'a>(pub &'a [Value]);

impl<'a> Params<'a> {
    fn get(self, place: usize) -> Option<&'a Value> {
        self.0.get(place).filter(|value| !value.is_null())
    }

    fn need(self, place: usize) -> Result<&'a Value, RpcError> {
        self.get(place).ok_or_else(|| missing(place))
    }

    pub fn text(self, place: usize) -> Result<&'a str, RpcError> {
        self.need(place)?.as_str().ok_or_else(|| wrong(place, "json: cannot unmarshal non-string into Go value"))
    }

    /// False when absent.
    pub fn flag(self, place: usize) -> bool {
        self.get(place).and_then(Value::as_bool).unwrap_or(false)
    }

    /// Hex, or a JSON number (which `eth_feeHistory` gets in the wild).
    pub fn quantity(self, place: usize) -> Result<u64, RpcError> {
        let value = self.need(place)?;
        value.as_u64().or_else(|| hex_quantity(value.as_str()?)).ok_or_else(|| wrong(place, "invalid hex quantity"))
    }

    pub fn bytes(self, place: usize) -> Result<Vec<u8>, RpcError> {
        hex_bytes(self.text(place)?).map_err(|what| wrong(place, what))
    }

    pub fn address(self, place: usize) -> Result<Address, RpcError> {
        sized(self.text(place)?).map(Address).map_err(|what| wrong(place, &format!("invalid address, {what}")))
    }

    pub fn hash(self, place: usize) -> Result<Hash, RpcError> {
        sized(self.text(place)?).map(Hash).map_err(|what| wrong(place, what))
    }

    /// A storage slot: a word, or a quantity.
    pub fn slot(self, place: usize) -> Result<Hash, RpcError> {
        let text = self.text(place)?;
        if let Ok(word) = sized(text) {
            return Ok(Hash(word));
        }
        let number = hex_quantity(text).ok_or_else(|| wrong(place, "unable to decode storage key"))?;
        let mut word = [0; 32];
        word[24..].copy_from_slice(&number.to_be_bytes());
        Ok(Hash(word))
    }

    /// Absent means latest.
    pub fn block(self, place: usize) -> Result<BlockRef, RpcError> {
        self.get(place).map_or(Ok(BlockRef::Latest), |value| block_ref(place, value))
    }

    pub fn call(self, place: usize) -> Result<Call, RpcError> {
        let object = self.need(place)?.as_object().ok_or_else(|| wrong(place, "json: cannot unmarshal into TransactionArgs"))?;
        let field = |key: &str| object.get(key).and_then(Value::as_str);
        let to = field("to").map(sized).transpose().map_err(|what| wrong(place, &format!("invalid address, {what}")))?;
        let input = field("input").or(field("data")).map_or(Ok(Vec::new()), hex_bytes).map_err(|what| wrong(place, what))?;
        Ok(Call { to: to.map(Address), input })
    }

    pub fn log_filter(self, place: usize) -> Result<LogFilter, RpcError> {
        let object = self.need(place)?.as_object().ok_or_else(|| wrong(place, "json: cannot unmarshal into FilterCriteria"))?;
        let field = |key: &str| object.get(key).filter(|value| !value.is_null());
        let edge = |key: &str| field(key).map_or(Ok(BlockRef::Latest), |value| block_ref(place, value));
        let range = match field("blockHash") {
            Some(_) if field("fromBlock").is_some() || field("toBlock").is_some() => {
                return Err(wrong(place, "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"));
            }
            Some(value) => LogRange::Block(word(place, value)?),
            None => LogRange::Span { from: edge("fromBlock")?, to: edge("toBlock")? },
        };
        let addresses = one_or_many(field("address")).map(|value| {
            let text = value.as_str().ok_or_else(|| wrong(place, "non-string address"))?;
            sized(text).map(Address).map_err(|what| wrong(place, &format!("invalid address, {what}")))
        });
        let addresses = addresses.collect::<Result<_, _>>()?;
        let positions = field("topics").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if positions.len() > 4 {
            return Err(wrong(place, "exceed max topics"));
        }
        let topics = positions
            .iter()
            .map(|one| one_or_many(Some(one).filter(|one| !one.is_null())).map(|value| word(place, value)).collect());
        Ok(LogFilter { range, addresses, topics: topics.collect::<Result<_, _>>()? })
    }
}

fn one_or_many(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    match value {
        Some(Value::Array(items)) => items.iter(),
        Some(one) => std::slice::from_ref(one).iter(),
        None => [].iter(),
    }
}

fn word(place: usize, value: &Value) -> Result<Hash, RpcError> {
    let text = value.as_str().ok_or_else(|| wrong(place, "non-string hash"))?;
    sized(text).map(Hash).map_err(|what| wrong(place, what))
}

/// A tag, a quantity, or an EIP-1898 object.
fn block_ref(place: usize, value: &Value) -> Result<BlockRef, RpcError> {
    if let Value::Object(object) = value {
        return match (object.get("blockHash"), object.get("blockNumber")) {
            (Some(hash), None) => Ok(BlockRef::Hash(word(place, hash)?)),
            (None, Some(number)) if number.is_string() => block_ref(place, number),
            _ => Err(wrong(place, "cannot specify both BlockHash and BlockNumber, choose one or the other")),
        };
    }
    let text = value.as_str().ok_or_else(|| wrong(place, "json: cannot unmarshal into BlockNumberOrHash"))?;
    Ok(match text {
        "latest" => BlockRef::Latest,
        "pending" => BlockRef::Pending,
        "safe" => BlockRef::Safe,
        "finalized" => BlockRef::Finalized,
        "earliest" => BlockRef::Earliest,
        _ => match sized(text) {
            Ok(hash) => BlockRef::Hash(Hash(hash)),
            Err(_) => BlockRef::Height(hex_quantity(text).ok_or_else(|| wrong(place, "hex string without 0x prefix"))?),
        },
    })
}

fn hex_quantity(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x")?;
    // `from_str_radix` alone would take a sign.
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) { u64::from_str_radix(digits, 16).ok() } else { None }
}

fn hex_bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    let digits = text.strip_prefix("0x").ok_or("hex string without 0x prefix")?.as_bytes();
    if digits.len() % 2 == 1 {
        return Err("hex string of odd length");
    }
    let nibble = |byte: u8| (byte as char).to_digit(16).ok_or("invalid hex string");
    digits.chunks_exact(2).map(|pair| Ok((nibble(pair[0])? << 4 | nibble(pair[1])?) as u8)).collect()
}

fn sized<const N: usize>(text: &str) -> Result<[u8; N], &'static str> {
    <[u8; N]>::try_from(hex_bytes(text)?).map_err(|_| "hex string has wrong length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn block_references() {
        let check = |value: Value, want: Option<BlockRef>| assert_eq!(Params(&[value]).block(0).ok(), want);
        let hash = "0x00000000000000000000000000000000000000000000000000000000000000ff";
        let ff = BlockRef::Hash(Params(&[json!(hash)]).hash(0).unwrap());
        check(json!("latest"), Some(BlockRef::Latest));
        check(json!(null), Some(BlockRef::Latest));
        check(json!("0x10"), Some(BlockRef::Height(16)));
        check(json!(hash), Some(ff));
        check(json!({ "blockHash": hash }), Some(ff));
        check(json!({"blockNumber": "0x1"}), Some(BlockRef::Height(1)));
        check(json!({"blockNumber": {"blockNumber": "0x1"}}), None);
        check(json!({"blockNumber": "0x1", "blockHash": hash}), None);
        check(json!("0x+1"), None);
        check(json!("16"), None);
        check(json!("0x11111111111111111"), None);
        check(json!(16), None);
        check(json!([]), None);
    }

    #[test]
    fn log_filters() {
        let address = "0x00000000000000000000000000000000000000aa";
        let topic = "0x00000000000000000000000000000000000000000000000000000000000000ff";
        let check = |value: Value, want: Option<(usize, Vec<usize>)>| {
            let got = Params(std::slice::from_ref(&value)).log_filter(0).ok();
            assert_eq!(got.map(|f| (f.addresses.len(), f.topics.iter().map(Vec::len).collect())), want, "{value}");
        };
        check(json!({}), Some((0, vec![])));
        check(json!({ "address": address }), Some((1, vec![])));
        check(json!({"address": [address, address]}), Some((2, vec![])));
        check(json!({"topics": [null, topic, [topic, topic], []]}), Some((0, vec![0, 1, 2, 0])));
        check(json!({"topics": [topic, topic, topic, topic, topic]}), None);
        check(json!({"topics": ["0x12"]}), None);
        check(json!({"blockHash": topic, "fromBlock": "0x1"}), None);
        check(json!({ "address": 5 }), None);
        check(json!("latest"), None);
    }
}
