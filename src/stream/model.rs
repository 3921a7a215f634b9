//! A model of two providers that grow, fork and reorganise, lose, repeat and disorder what they announce, and of a shell
//! that switches between them and fetches what it is asked for. One seed, one story, on a virtual clock.
//!
//! The machines are judged by what a client would see (`Client`), and heads also by an oracle that takes the announcements
//! as they were fed and knows every block. A run ends quietly: then everything must be there.

use super::bug::Bug;
use super::continuity::{Action, Ask, Heads, Rules};
use super::event::{BlockHash, Bloom, Head, Log};
use super::filter::{LogFilter, bloom_add};
use super::logs::{Action as LogsAction, Logs};
use crate::base::rng::Rng;
use crate::base::time::Instant;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How bad it is: chances in a million.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noise {
    pub loss: u64,
    pub repeats: u64,
    pub disorder: u64,
    pub reorgs: u64,
    pub private_forks: u64,
    pub switches: u64,
    pub fetch_failures: u64,
    /// Blocks that are canonical nowhere any more cannot be fetched.
    pub orphans_pruned: bool,
}

const RULES: Rules = Rules { max_backfill_blocks: 100, backfill_timeout_ms: 30_000, bug: None };
const WATCHED: [u8; 20] = [7; 20];
const OTHER: [u8; 20] = [9; 20];

struct Block {
    number: u64,
    hash: BlockHash,
    parent: Option<usize>,
    header: String,
    /// Those that match the filter.
    logs: Vec<String>,
}

/// What arrives at the shell.
#[derive(Clone, Debug)]
enum Event {
    Grow,
    Head { subscription: u32, block: usize },
    Log { subscription: u32, text: String },
    Filled { ask: Ask, block: Option<usize> },
    Logs { hash: BlockHash, logs: Option<Vec<String>> },
    Lose,
    Confirm,
}

pub struct Story {
    rng: Rng,
    noise: Noise,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    blocks: Vec<Block>,
    /// Each provider's newest block.
    views: [usize; 2],
    leader: usize,
    subscription: u32,
    is_lost: bool,
    /// Nothing of a subscription overtakes, except by disorder.
    last_log: Instant,
    heads: Heads,
    logs: Logs,
    client: Client,
    oracle: Oracle,
    is_quiet: bool,
    /// Nothing can make the machine give a block up, so it must emit what the oracle says.
    is_exact: bool,
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    crate::chain::hex::write_bytes(&mut out, bytes);
    String::from_utf8(out).expect("hex")
}

impl Story {
    /// Runs one story to its end.
    pub fn run(seed: u64, noise: Noise, bug: Option<Bug>) -> Result<(), String> {
        let filter = LogFilter::parse(&json!({"address": hex(&WATCHED)})).expect("a filter");
        let mut story = Story {
            rng: Rng::new(seed),
            noise,
            now: Instant::ZERO,
            events: BTreeMap::new(),
            sequence: 0,
            blocks: Vec::new(),
            views: [0, 0],
            leader: 0,
            subscription: 0,
            is_lost: false,
            last_log: Instant::ZERO,
            heads: Heads::new(Rules { bug, ..RULES }, Instant::ZERO),
            logs: Logs::new(filter, Rules { bug, ..RULES }),
            client: Client::default(),
            oracle: Oracle { is_new: true, ..Oracle::default() },
            is_quiet: false,
            is_exact: noise.fetch_failures == 0 && !noise.orphans_pruned,
        };
        story.mine(None);
        story.at(500, Event::Grow);
        let outcome = story.play();
        outcome.map_err(|why| format!("seed {seed} at {} ms: {why}", story.now.as_ms()))
    }

    fn play(&mut self) -> Result<(), String> {
        let noisy_until = Instant::ZERO.plus_ms(60_000);
        self.act()?;
        loop {
            let wake = self.heads.wake_at().min(self.logs.wake_at());
            let next = self.events.first_key_value().map_or(Instant::NEVER, |((at, _), _)| *at);
            if wake.min(next) == Instant::NEVER {
                return self.end();
            }
            if wake < next {
                if wake <= self.now {
                    return Err("spins".into());
                }
                self.now = wake;
            } else if let Some(((at, _), event)) = self.events.pop_first() {
                self.now = at;
                self.happen(event);
            }
            if !self.is_quiet && self.now >= noisy_until && !self.is_lost {
                self.is_quiet = true;
                self.noise = Noise { orphans_pruned: self.noise.orphans_pruned, ..Noise::default() };
                // Twice, so that the second is announced after whatever the first met on its way.
                self.at(5_000, Event::Grow);
                self.at(25_000, Event::Grow);
            }
            self.act()?;
        }
    }

    fn at(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now.plus_ms(after_ms), self.sequence), event);
    }

    fn mine(&mut self, parent: Option<usize>) -> usize {
        let number = parent.map_or(1_000, |parent| self.blocks[parent].number + 1);
        let place = self.blocks.len();
        let mut hash = [0xb0; 32];
        hash[..8].copy_from_slice(&(place as u64).to_be_bytes());
        hash[24..].copy_from_slice(&self.rng.next().to_be_bytes());
        let parent_hash = parent.map_or([0; 32], |parent| self.blocks[parent].hash.0);
        let mut bloom: Bloom = [0; 256];
        let mut logs = Vec::new();
        for index in 0..self.rng.below(6) {
            let is_watched = self.rng.chance(400_000);
            let address = if is_watched { WATCHED } else { OTHER };
            bloom_add(&mut bloom, &address);
            let text = format!(
                "{{\"address\":\"{}\",\"topics\":[],\"data\":\"0x\",\"blockNumber\":\"{number:#x}\",\"blockHash\":\"{}\",\"logIndex\":\"{index:#x}\",\"removed\":false}}",
                hex(&address),
                hex(&hash)
            );
            logs.extend(is_watched.then_some(text));
        }
        if self.rng.chance(150_000) {
            bloom_add(&mut bloom, &WATCHED);
        }
        let mut header =
            format!("\"number\":\"{number:#x}\",\"hash\":\"{}\",\"parentHash\":\"{}\"", hex(&hash), hex(&parent_hash));
        if self.rng.chance(900_000) {
            header += &format!(",\"logsBloom\":\"{}\"", hex(&bloom));
        }
        self.blocks.push(Block { number, hash: BlockHash(hash), parent, header, logs });
        place
    }

    fn ancestor(&self, mut block: usize, steps: u64) -> usize {
        for _ in 0..steps {
            block = self.blocks[block].parent.unwrap_or(block);
        }
        block
    }

    fn is_in(&self, view: usize, block: usize) -> bool {
        let steps = self.blocks[view].number.checked_sub(self.blocks[block].number);
        steps.is_some_and(|steps| self.ancestor(view, steps) == block)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Grow => self.grow(),
            Event::Head { subscription, block } if subscription == self.subscription && !self.is_lost => {
                let head = Head::announced(format!("{{{}}}", self.blocks[block].header).as_bytes()).expect("a head");
                self.oracle.on_head(&self.blocks, block);
                self.heads.on_head(head, self.now);
            }
            Event::Log { subscription, text } if subscription == self.subscription && !self.is_lost => {
                let log = Log::parse(text.as_bytes()).expect("a log");
                self.logs.on_log(log, self.now);
            }
            Event::Head { .. } | Event::Log { .. } => {}
            Event::Filled { ask, block: Some(block) } => {
                let text = format!("{{{},\"transactions\":[\"0x1\"],\"uncles\":[]}}", self.blocks[block].header);
                self.oracle.on_filled(&self.blocks, ask, block);
                self.heads.on_filled(ask, Head::of_block(text.as_bytes()).expect("a block"), self.now);
            }
            Event::Filled { ask, block: None } => self.heads.on_fill_failed(ask, self.now),
            Event::Logs { hash, logs: texts } => match texts {
                Some(texts) => self.logs.on_filled(
                    hash,
                    Log::parse_all(format!("[{}]", texts.join(",")).as_bytes()).expect("logs"),
                    self.now,
                ),
                None => self.logs.on_fill_failed(hash, self.now),
            },
            Event::Lose => {
                self.is_lost = true;
                self.oracle.is_new = false;
                self.heads.on_lost(self.now);
                self.logs.on_lost(self.now);
                let after = self.rng.below(6_000);
                self.at(after, Event::Confirm);
            }
            Event::Confirm => {
                self.is_lost = false;
                self.subscription += 1;
                self.leader = self.rng.below(2) as usize;
                self.oracle.is_new = true;
                self.heads.on_confirmed(self.now);
                self.logs.on_lost(self.now);
            }
        }
    }

    /// The chain goes on, everywhere or at one provider only, perhaps on another branch.
    fn grow(&mut self) {
        if !self.is_quiet {
            let after = 200 + self.rng.below(3_000);
            self.at(after, Event::Grow);
            if self.rng.chance(self.noise.switches) {
                let (after, event) = (self.rng.below(3_000), if self.rng.chance(500_000) { Event::Lose } else { Event::Confirm });
                if !self.is_lost && !self.events.values().any(|event| matches!(event, Event::Lose | Event::Confirm)) {
                    self.at(after, event);
                }
            }
        }
        let lone = self.rng.chance(self.noise.private_forks).then(|| self.rng.below(2) as usize);
        let base = self.views[lone.unwrap_or(0)];
        let depth = if self.rng.chance(self.noise.reorgs) { 1 + self.rng.below(5) } else { 0 };
        let mut tip = if depth > 0 && self.rng.chance(200_000) {
            // Back to any branch there was, if it is not too far off.
            let back = self.blocks.len().saturating_sub(1 + self.rng.below(8) as usize);
            if self.blocks[back].number.abs_diff(self.blocks[base].number) < 5 { back } else { base }
        } else {
            let mut tip = self.ancestor(base, depth);
            for _ in 0..(depth + self.rng.below(2)).saturating_sub(self.rng.below(2)).max(1) {
                tip = self.mine(Some(tip));
            }
            tip
        };
        if self.is_quiet {
            tip = self.mine(Some(tip));
        }
        for provider in 0..2 {
            if lone.is_none_or(|lone| lone == provider) {
                let old = std::mem::replace(&mut self.views[provider], tip);
                if provider == self.leader {
                    self.announce(old, tip);
                }
            }
        }
    }

    /// What the leader's subscriptions send when its view changes.
    fn announce(&mut self, old: usize, new: usize) {
        let mut branch = Vec::new();
        let mut low = new;
        while !self.is_in(old, low) {
            branch.push(low);
            let Some(parent) = self.blocks[low].parent else { break };
            low = parent;
        }
        branch.reverse();
        let all = self.rng.chance(500_000);
        let subscription = self.subscription;
        for block in branch.iter().copied().filter(|block| all || *block == new) {
            let copies = if self.rng.chance(self.noise.loss) { 0 } else { 1 + u64::from(self.rng.chance(self.noise.repeats)) };
            for _ in 0..copies {
                let after = if self.rng.chance(self.noise.disorder) { self.rng.below(4_000) } else { 100 };
                self.at(after, Event::Head { subscription, block });
            }
        }
        let lag = self.rng.below(300) + if self.rng.chance(self.noise.disorder) { self.rng.below(4_000) } else { 0 };
        let mut due = self.last_log.max(self.now.plus_ms(lag));
        let mut dropped = old;
        while !self.is_in(new, dropped) {
            for text in self.blocks[dropped].logs.clone().into_iter().rev() {
                due = self.send_log(due, text.replace("\"removed\":false", "\"removed\":true"));
            }
            let Some(parent) = self.blocks[dropped].parent else { break };
            dropped = parent;
        }
        for block in branch {
            let copies = if self.rng.chance(self.noise.loss) { 0 } else { 1 + u64::from(self.rng.chance(self.noise.repeats)) };
            for _ in 0..copies {
                for text in self.blocks[block].logs.clone() {
                    due = self.send_log(due, text);
                }
            }
        }
        self.last_log = due;
    }

    fn send_log(&mut self, due: Instant, text: String) -> Instant {
        let due = due.plus_ms(1);
        self.sequence += 1;
        self.events.insert((due, self.sequence), Event::Log { subscription: self.subscription, text });
        due
    }

    /// Does what the machines say until they say nothing.
    fn act(&mut self) -> Result<(), String> {
        loop {
            match self.heads.next(self.now) {
                Some(Action::Emit(head)) => {
                    if self.client.first == 0 {
                        // Announced before the newest block was known: its own logs are promised too.
                        self.client.first = head.number;
                    }
                    self.client.on_head(&head.payload)?;
                    self.oracle.emitted.push(head.hash);
                    self.logs.on_head(&head, self.now);
                    self.act_on_logs()?;
                    self.client.only_canonical_logs()?;
                }
                Some(Action::Fetch(ask)) => self.fetch(ask),
                Some(Action::Close(reason)) => return Err(format!("closed: {}", reason.text())),
                None => break,
            }
        }
        if self.client.first == 0
            && let Some(tip) = self.heads.tip()
        {
            (self.client.first, self.client.began) = (tip.0, Some(tip.1));
            self.client.chain.push(tip);
        }
        self.act_on_logs()
    }

    fn act_on_logs(&mut self) -> Result<(), String> {
        while let Some(action) = self.logs.next(self.now) {
            match action {
                LogsAction::Emit(payload) => self.client.on_log(&payload)?,
                LogsAction::Close(reason) => return Err(format!("logs closed: {}", reason.text())),
                LogsAction::Fetch(hash) => {
                    let block = self.blocks.iter().find(|block| block.hash == hash).expect("of this world");
                    let logs = (!self.rng.chance(self.noise.fetch_failures)).then(|| block.logs.clone());
                    let after = 20 + self.rng.below(600);
                    self.at(after, Event::Logs { hash, logs });
                }
            }
        }
        Ok(())
    }

    /// A provider answers as it stands now; the answer is a while under way.
    fn fetch(&mut self, ask: Ask) {
        let view = self.views[self.leader];
        let block = match ask {
            Ask::Latest => Some(view),
            Ask::Number(number) => self.blocks[view].number.checked_sub(number).map(|steps| self.ancestor(view, steps)),
            Ask::Hash(hash) => self
                .blocks
                .iter()
                .position(|block| block.hash == hash)
                .filter(|block| !self.noise.orphans_pruned || self.views.iter().any(|view| self.is_in(*view, *block))),
        };
        let fails = self.rng.chance(self.noise.fetch_failures);
        let after = 20 + self.rng.below(600);
        self.at(after, Event::Filled { ask, block: block.filter(|_| !fails) });
    }

    fn end(&mut self) -> Result<(), String> {
        let newest = &self.blocks[self.views[self.leader]];
        if self.client.chain.last() != Some(&(newest.number, newest.hash)) {
            return Err(format!("ends at {:?}, not at {} {:?}", self.client.chain.last(), newest.number, newest.hash));
        }
        let (got, want) = (&self.oracle.emitted, &self.oracle.expected);
        if self.is_exact && got != want {
            let place = got.iter().zip(want).take_while(|(got, want)| got == want).count();
            return Err(format!("emitted {place} as expected, then {:?}, not {:?}", got.get(place), want.get(place)));
        }
        let unpromised = usize::from(self.client.chain.first().map(|link| link.1) == self.client.began);
        let canonical = self
            .client
            .chain
            .iter()
            .skip(unpromised)
            .flat_map(|(_, hash)| self.blocks.iter().filter(|block| block.hash == *hash).flat_map(|block| block.logs.iter()));
        let want: Vec<&String> = canonical.collect();
        let got: Vec<&String> = self.client.logs.iter().map(|log| &log.text).collect();
        if want != got {
            let place = got.iter().zip(&want).take_while(|(got, want)| got == want).count();
            return Err(format!("{place} logs as they should be, then {:?}, not {:?}", got.get(place), want.get(place)));
        }
        Ok(())
    }
}

/// What a client that believes every event thinks: it must never see a contradiction.
#[derive(Default)]
struct Client {
    /// Where the stream began, and with which block, if that was known before any announcement.
    first: u64,
    began: Option<BlockHash>,
    chain: Vec<(u64, BlockHash)>,
    logs: Vec<SeenLog>,
}

struct SeenLog {
    place: (u64, u64),
    block: BlockHash,
    text: String,
}

fn number_in(value: &Value, name: &str) -> u64 {
    u64::from_str_radix(value[name].as_str().expect("a quantity").trim_start_matches("0x"), 16).expect("hex")
}

fn hash_in(value: &Value, name: &str) -> BlockHash {
    BlockHash(crate::chain::hex::parse_bytes(value[name].as_str().expect("a hash").as_bytes()).expect("32 bytes"))
}

impl Client {
    fn on_head(&mut self, payload: &[u8]) -> Result<(), String> {
        let head: Value = serde_json::from_slice(payload).expect("JSON");
        if head.get("transactions").is_some() {
            return Err("a block for a head".into());
        }
        let (number, hash, parent) = (number_in(&head, "number"), hash_in(&head, "hash"), hash_in(&head, "parentHash"));
        if self.chain.contains(&(number, hash)) {
            return Err(format!("{number} {hash:?} twice"));
        }
        self.chain.retain(|link| link.0 < number);
        if self.chain.is_empty() {
            self.began = None;
        }
        let links = self.chain.last() == Some(&(number - 1, parent)) || (self.chain.is_empty() && number == self.first);
        self.chain.push((number, hash));
        if links { Ok(()) } else { Err(format!("a hole below {number} {hash:?}")) }
    }

    fn on_log(&mut self, payload: &[u8]) -> Result<(), String> {
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

    fn only_canonical_logs(&self) -> Result<(), String> {
        let stale = self.logs.iter().find(|log| !self.chain.contains(&(log.place.0, log.block)));
        stale.map_or(Ok(()), |log| Err(format!("log {:?} was not taken back", log.place)))
    }
}

/// Knows every block, and takes what was announced in the order of its coming.
#[derive(Default)]
struct Oracle {
    /// The first announcement or the newest block asked for tells where the leader is.
    is_new: bool,
    chain: Vec<usize>,
    expected: Vec<BlockHash>,
    emitted: Vec<BlockHash>,
}

impl Oracle {
    fn on_head(&mut self, blocks: &[Block], block: usize) {
        self.is_new = false;
        let mut branch = Vec::new();
        let mut low = block;
        let first = self.chain.first().map_or(0, |first| blocks[*first].number);
        while !self.chain.contains(&low) && blocks[low].number >= first {
            branch.push(low);
            match blocks[low].parent {
                Some(parent) if !self.chain.is_empty() => low = parent,
                _ => break,
            }
        }
        for block in branch.into_iter().rev() {
            self.chain.retain(|other| blocks[*other].number < blocks[block].number);
            self.chain.push(block);
            self.expected.push(blocks[block].hash);
        }
    }

    fn on_filled(&mut self, blocks: &[Block], ask: Ask, block: usize) {
        if ask != Ask::Latest || !self.is_new {
            return;
        }
        self.is_new = false;
        if self.chain.is_empty() {
            self.chain.push(block);
        } else {
            self.on_head(blocks, block);
        }
    }
}
