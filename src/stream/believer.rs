//! A client of the model's stories that believes every event: it must never see a contradiction.

use super::event::BlockHash;
use serde_json::Value;

/// What a client that believes every event thinks: it must never see a contradiction.
#[derive(Default)]
pub struct Believer {
    /// Where the stream began, and with which block, if that was known before any announcement.
    pub first: u64,
    pub began: Option<BlockHash>,
    /// How old the beginning is.
    pub began_s: u64,
    pub chain: Vec<(u64, BlockHash)>,
    pub logs: Vec<SeenLog>,
    /// The chain has begun anew once, so it may do so, or be reorganised below that beginning.
    pub may_fall: bool,
}

pub struct SeenLog {
    place: (u64, u64),
    block: BlockHash,
    pub text: String,
}

fn number_in(value: &Value, name: &str) -> u64 {
    u64::from_str_radix(value[name].as_str().expect("a quantity").trim_start_matches("0x"), 16).expect("hex")
}

fn hash_in(value: &Value, name: &str) -> BlockHash {
    BlockHash(crate::chain::hex::parse_bytes(value[name].as_str().expect("a hash").as_bytes()).expect("32 bytes"))
}

impl Believer {
    pub fn on_head(&mut self, payload: &[u8]) -> Result<(), String> {
        let head: Value = serde_json::from_slice(payload).expect("JSON");
        if head.get("transactions").is_some() {
            return Err("a block for a head".into());
        }
        let (number, hash, parent) = (number_in(&head, "number"), hash_in(&head, "hash"), hash_in(&head, "parentHash"));
        let made = head.get("timestamp").map(|_| number_in(&head, "timestamp"));
        if self.chain.contains(&(number, hash)) {
            return Err(format!("{number} {hash:?} twice"));
        }
        let links = match self.chain.iter().position(|link| link.1 == parent) {
            Some(place) => {
                self.chain.truncate(place + 1);
                self.chain[place].0 < number
            }
            None => {
                self.chain.clear();
                self.began = None;
                self.first = if self.may_fall { self.first.min(number) } else { self.first };
                // Without numbers that are passed over it is the first; with them, the first of its branch above the beginning. What is
                // younger than the beginning may be lower.
                let is_young = made.is_some_and(|made| made > self.began_s);
                self.began_s = made.unwrap_or(0);
                self.first = if is_young { self.first.min(number) } else { self.first };
                number + 2 >= self.first && number <= self.first + 2
            }
        };
        self.chain.push((number, hash));
        if links { Ok(()) } else { Err(format!("a hole below {number} {hash:?}")) }
    }

    pub fn on_log(&mut self, payload: &[u8]) -> Result<(), String> {
        let text = String::from_utf8(payload.to_vec()).expect("text");
        let log: Value = serde_json::from_str(&text).expect("JSON");
        let place = (number_in(&log, "blockNumber"), number_in(&log, "logIndex"));
        let block = hash_in(&log, "blockHash");
        if log["removed"] == true {
            let last = self.logs.pop().ok_or("took back what was not there")?;
            let is_same = last.text == text.replace("\"removed\":true", "\"removed\":false");
            return if is_same { Ok(()) } else { Err(format!("took back {place:?}, not the newest {:?}", last.place)) };
        }
        if self.logs.last().is_some_and(|last| last.place >= place) {
            return Err(format!("log {place:?} after {:?}", self.logs.last().map(|last| last.place)));
        }
        if !self.chain.contains(&(place.0, block)) {
            return Err(format!("log {place:?} of a block that is not canonical"));
        }
        self.logs.push(SeenLog { place, block, text });
        Ok(())
    }

    /// It forgets what came after this block, and will ask for that again.
    pub fn rewind(&mut self, last: BlockHash) {
        let at = self.chain.iter().position(|link| link.1 == last).expect("it was told");
        self.chain.truncate(at + 1);
        let number = self.chain[at].0;
        self.logs.retain(|log| log.place.0 <= number);
    }

    pub fn only_canonical_logs(&self) -> Result<(), String> {
        let stale = self.logs.iter().find(|log| !self.chain.contains(&(log.place.0, log.block)));
        stale.map_or(Ok(()), |log| Err(format!("log {:?} was not taken back", log.place)))
    }
}
