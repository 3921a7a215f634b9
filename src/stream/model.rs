//! A model of two providers that grow, fork and reorganise, lose, repeat and disorder what they announce, and of a shell
//! that switches between them and fetches what it is asked for. One seed, one story, on a virtual clock. Numbers may be
//! passed over, chains may begin anew below what was told, a provider may announce a block of another chain, and a block may
//! be had of nobody: then the story must end in time, and in no other.
//!
//! The machines are judged by what a client would see (`Believer`), and heads also by an oracle that takes the announcements
//! as they were fed and knows every block. A run ends quietly: then everything must be there.

use super::believer::Believer;
use super::bug::Bug;
use super::continuity::{Action, Ask, Heads, Opinions, Rules};
use super::event::{BlockHash, Head, Log};
use super::fanout::StreamId;
use super::filter::{LogFilter, bloom_add};
use super::logs::{Action as LogsAction, Logs, LogsQuestion};
use super::oracle::Oracle;
use crate::base::ids::InstanceId;
use crate::base::rng::Rng;
use crate::base::time::Instant;
use crate::chain::bloom::Bloom;
use serde_json::json;
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
    /// That a provider gets a block's logs up to three seconds late, and says until then that there are none.
    pub late_logs: u64,
    /// Blocks that are canonical nowhere any more cannot be fetched.
    pub orphans_pruned: bool,
    /// Numbers without a block.
    pub null_rounds: u64,
    /// The chain begins anew, lower, as a development node does that is reset.
    pub resets: u64,
    /// The leader announces a block that nobody else knows, far above or far below.
    pub strangers: u64,
    /// A block that is neither announced nor given by anybody.
    pub hidden: u64,
}

const RULES: Rules = Rules { max_backfill_blocks: 100, backfill_timeout_ms: 30_000, bug: None };
const WATCHED: [u8; 20] = [7; 20];
const OTHER: [u8; 20] = [9; 20];
/// The subscription that is judged.
const STREAM: StreamId = StreamId(1);

pub(super) struct Block {
    pub number: u64,
    /// Nobody gives it.
    is_hidden: bool,
    /// No other provider knows it.
    is_strange: bool,
    pub hash: BlockHash,
    pub parent: Option<usize>,
    header: String,
    /// Those that match the filter.
    logs: Vec<String>,
    all_logs: Vec<String>,
    /// When each provider has them.
    there_from: [Instant; 3],
}

/// What arrives at the shell.
#[derive(Clone, Debug)]
enum Event {
    Grow,
    Head { subscription: u32, block: usize },
    Filled { ask: Ask, block: Option<usize> },
    Opinions { number: u64, hash: BlockHash, opinions: Opinions },
    Logs { hash: BlockHash, by: InstanceId, logs: Option<Vec<String>> },
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
    heads: Heads,
    logs: Logs,
    client: Believer,
    /// Blocks before this one are of a chain that was given up; nobody has them.
    reset_at: usize,
    /// Since then the client has been told nothing, though there is something newer.
    untold_since: Option<Instant>,
    /// The last block that the machine was told of.
    newest_fed: Option<BlockHash>,
    oracle: Oracle,
    /// Believed although nobody could say anything of them.
    unwitnessed: Vec<BlockHash>,
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
            heads: Heads::new(Rules { bug, ..RULES }, Instant::ZERO),
            logs: Logs::new(Rules { bug, ..RULES }),
            client: Believer::default(),
            reset_at: 0,
            untold_since: None,
            newest_fed: None,
            oracle: Oracle::new(),
            unwitnessed: Vec::new(),
            is_quiet: false,
            is_exact: noise.fetch_failures == 0
                && !noise.orphans_pruned
                && noise.resets == 0
                && noise.strangers == 0
                && noise.hidden == 0,
        };
        story.logs.open(STREAM, &filter);
        if story.rng.chance(500_000) {
            // Then everything is asked for, and told to two.
            story.logs.open(StreamId(2), &LogFilter::default());
        }
        story.mine(None);
        story.at(500, Event::Grow);
        let outcome = match story.play() {
            // Then nothing else is right.
            Err(why) if why.starts_with("closed: missing blocks did not come") && noise.hidden > 0 => Ok(()),
            outcome => outcome,
        };
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
            self.no_silence()?;
        }
    }

    /// The end comes no later than it was promised, counted from the first block that could not be told.
    fn no_silence(&mut self) -> Result<(), String> {
        if self.newest_fed.is_none_or(|newest| self.client.chain.iter().any(|link| link.1 == newest)) {
            self.untold_since = None;
            return Ok(());
        }
        let since = *self.untold_since.get_or_insert(self.now);
        let waited_ms = self.now.since(since).as_millis() as u64;
        if waited_ms > RULES.backfill_timeout_ms { Err(format!("silent for {waited_ms} ms")) } else { Ok(()) }
    }

    fn at(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now.plus_ms(after_ms), self.sequence), event);
    }

    fn mine(&mut self, parent: Option<usize>) -> usize {
        let passed_over = if self.rng.chance(self.noise.null_rounds) { 1 + self.rng.below(2) } else { 0 };
        let number = parent.map_or(1_000, |parent| self.blocks[parent].number + 1 + passed_over);
        self.block(parent, number)
    }

    fn block(&mut self, parent: Option<usize>, number: u64) -> usize {
        let place = self.blocks.len();
        let mut hash = [0xb0; 32];
        hash[..8].copy_from_slice(&(place as u64).to_be_bytes());
        hash[24..].copy_from_slice(&self.rng.next().to_be_bytes());
        let parent_hash = parent.map_or([0; 32], |parent| self.blocks[parent].hash.0);
        let mut bloom: Bloom = [0; 256];
        let late = |rng: &mut Rng| if rng.chance(self.noise.late_logs) { self.now.plus_ms(rng.below(3_000)) } else { self.now };
        let there_from = [0; 3].map(|_| late(&mut self.rng));
        let (mut logs, mut all_logs) = (Vec::new(), Vec::new());
        for index in 0..self.rng.below(6) {
            let is_watched = self.rng.chance(400_000);
            let address = if is_watched { WATCHED } else { OTHER };
            bloom_add(&mut bloom, &address);
            let text = format!(
                "{{\"address\":\"{}\",\"topics\":[],\"data\":\"0x\",\"blockNumber\":\"{number:#x}\",\"blockHash\":\"{}\",\"logIndex\":\"{index:#x}\",\"removed\":false}}",
                hex(&address),
                hex(&hash)
            );
            logs.extend(is_watched.then(|| text.clone()));
            all_logs.push(text);
        }
        // A bloom that has what is not there is doubted for long; so nothing may be short meanwhile.
        if self.noise.late_logs == 0 && self.rng.chance(150_000) {
            bloom_add(&mut bloom, &WATCHED);
        }
        let mut header = format!(
            "\"number\":\"{number:#x}\",\"hash\":\"{}\",\"parentHash\":\"{}\",\"timestamp\":\"{place:#x}\"",
            hex(&hash),
            hex(&parent_hash)
        );
        // Without a bloom nobody can tell a short answer from a whole one.
        if self.noise.late_logs > 0 || self.rng.chance(900_000) {
            header += &format!(",\"logsBloom\":\"{}\"", hex(&bloom));
        }
        let is_hidden = parent.is_some() && self.rng.chance(self.noise.hidden);
        let hash = BlockHash(hash);
        self.blocks.push(Block { number, is_hidden, is_strange: false, hash, parent, header, logs, all_logs, there_from });
        place
    }

    /// A chain that begins anew, below or at the height of the old one's beginning: everybody has it, and nobody the old one.
    fn reset(&mut self) {
        let root = self.blocks[self.reset_at].number - 80 - self.rng.below(20);
        self.reset_at = self.blocks.len();
        let mut tip = self.block(None, root);
        for _ in 0..self.rng.below(20) {
            // As far as the old beginning at most, where nothing would be lower than what was told.
            tip = self.mine(Some(tip));
        }
        self.client.may_fall = true;
        self.views = [tip, tip];
        let subscription = self.subscription;
        self.at(100, Event::Head { subscription, block: tip });
    }

    /// A head of no chain that anybody else knows.
    fn stray(&mut self) {
        let number = match self.rng.below(3) {
            0 => self.rng.below(300),
            1 => 1_500 + self.rng.below(1_000),
            _ => self.client.chain[0].0,
        };
        let block = self.block(None, number);
        // It is as old as the chain's beginning.
        self.blocks[block].header =
            self.blocks[block].header.replace(&format!("\"timestamp\":\"{block:#x}\""), "\"timestamp\":\"0x0\"");
        // The first of them is the parent: each has one of its own.
        let mut parent = [0xee; 32];
        parent[..8].copy_from_slice(&(block as u64).to_be_bytes());
        self.blocks[block].header = self.blocks[block].header.replacen(&hex(&[0; 32]), &hex(&parent), 1);
        self.blocks[block].is_strange = true;
        let subscription = self.subscription;
        self.at(100, Event::Head { subscription, block });
    }

    fn ancestor(&self, mut block: usize, steps: u64) -> usize {
        for _ in 0..steps {
            block = self.blocks[block].parent.unwrap_or(block);
        }
        block
    }

    /// The newest block of a view that is not above `number`.
    fn below(&self, view: usize, number: u64) -> usize {
        let mut block = view;
        while self.blocks[block].number > number
            && let Some(parent) = self.blocks[block].parent
        {
            block = parent;
        }
        block
    }

    fn is_in(&self, view: usize, block: usize) -> bool {
        self.below(view, self.blocks[block].number) == block
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Grow => self.grow(),
            Event::Head { subscription, block } if subscription == self.subscription && !self.is_lost => {
                let head = Head::announced(format!("{{{}}}", self.blocks[block].header).as_bytes()).expect("a head");
                self.oracle.on_head(&self.blocks, block);
                self.newest_fed = (!self.blocks[block].is_strange).then_some(head.hash).or(self.newest_fed);
                self.heads.on_head(head, self.now);
            }
            Event::Head { .. } => {}
            Event::Filled { ask, block: Some(block) } => {
                let text = format!("{{{},\"transactions\":[\"0x1\"],\"uncles\":[]}}", self.blocks[block].header);
                self.oracle.on_filled(&self.blocks, ask, block);
                self.newest_fed = self.newest_fed.filter(|_| ask != Ask::Latest);
                self.heads.on_filled(ask, Head::of_block(text.as_bytes()).expect("a block"), self.now);
            }
            Event::Filled { ask, block: None } => self.heads.on_fill_failed(ask, self.now),
            Event::Opinions { number, hash, opinions } => {
                let is_unwitnessed = !opinions.is_shared && opinions.denials == 0;
                self.unwitnessed.extend(is_unwitnessed.then_some(hash));
                self.heads.on_opinions(number, hash, opinions, self.now);
            }
            Event::Logs { hash, by, logs } => match logs {
                Some(texts) => {
                    let logs = Log::parse_all(format!("[{}]", texts.join(",")).as_bytes()).expect("logs");
                    self.logs.on_answer(hash, by, logs, self.now);
                }
                None => self.logs.on_failed(hash, self.now.plus_ms(250)),
            },
            Event::Lose => {
                (self.is_lost, self.newest_fed) = (true, None);
                self.oracle.on_lost();
                self.heads.on_lost(self.now);
                let after = self.rng.below(6_000);
                self.at(after, Event::Confirm);
            }
            Event::Confirm => {
                self.is_lost = false;
                self.subscription += 1;
                self.leader = self.rng.below(2) as usize;
                self.oracle.on_confirmed();
                self.heads.on_confirmed(self.now);
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
        if self.rng.chance(self.noise.resets) {
            return self.reset();
        }
        if self.rng.chance(self.noise.strangers) && !self.client.chain.is_empty() {
            self.stray();
        }
        let lone = self.rng.chance(self.noise.private_forks).then(|| self.rng.below(2) as usize);
        let base = self.views[lone.unwrap_or(0)];
        let depth = if self.rng.chance(self.noise.reorgs) { 1 + self.rng.below(5) } else { 0 };
        let mut tip = if depth > 0 && self.rng.chance(200_000) {
            // Back to any branch there was, if it is not too far off.
            let back = self.blocks.len().saturating_sub(1 + self.rng.below(8) as usize).max(self.reset_at);
            if !self.blocks[back].is_strange && self.blocks[back].number.abs_diff(self.blocks[base].number) < 5 {
                back
            } else {
                base
            }
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
            if self.blocks[block].is_hidden {
                continue;
            }
            let copies = if self.rng.chance(self.noise.loss) { 0 } else { 1 + u64::from(self.rng.chance(self.noise.repeats)) };
            for _ in 0..copies {
                let after = if self.rng.chance(self.noise.disorder) { self.rng.below(4_000) } else { 100 };
                self.at(after, Event::Head { subscription, block });
            }
        }
    }

    /// Does what the machines say until they say nothing.
    fn act(&mut self) -> Result<(), String> {
        loop {
            match self.heads.next(self.now) {
                Some(Action::Emit(head)) => {
                    let is_strange = self.blocks.iter().any(|block| block.hash == head.hash && block.is_strange);
                    if is_strange && !self.unwitnessed.contains(&head.hash) {
                        return Err(format!("{} is of no chain that anybody else knows", head.number));
                    }
                    // What it pushed aside comes with the next head.
                    self.newest_fed = self.newest_fed.filter(|_| !is_strange);
                    if self.client.first == 0 {
                        // Announced before the newest block was known: its own logs are promised too.
                        self.client.first = head.number;
                    }
                    self.client.on_head(&head.payload)?;
                    self.untold_since = None;
                    self.oracle.emitted.push(head.hash);
                    self.logs.on_head(&head, self.now);
                    self.act_on_logs()?;
                    self.client.only_canonical_logs()?;
                }
                Some(Action::Fetch(Ask::Compare { number, hash })) => self.compare(number, hash),
                Some(Action::Fetch(ask)) => self.fetch(ask),
                Some(Action::Forsake | Action::Depose) if !self.is_lost => self.happen(Event::Lose),
                Some(Action::Forsake | Action::Depose) => {}
                Some(Action::Below(_) | Action::PastLost) => return Err("nobody was told what is below".into()),
                Some(Action::Close(reason)) => return Err(format!("closed: {}", reason.text())),
                None => break,
            }
        }
        if self.client.first == 0
            && let Some(tip) = self.heads.tip()
        {
            (self.client.first, self.client.began) = (tip.0, Some(tip.1));
            self.client.began_s = self.blocks.iter().position(|block| block.hash == tip.1).unwrap_or(0) as u64;
            self.client.chain.push(tip);
        }
        self.act_on_logs()
    }

    fn act_on_logs(&mut self) -> Result<(), String> {
        while let Some(action) = self.logs.next(self.now) {
            match action {
                LogsAction::Emit(to, payload, _) if to.contains(&STREAM) => self.client.on_log(&payload)?,
                LogsAction::Emit(..) => {}
                LogsAction::PastLost => return Err("nobody was told anything before".into()),
                LogsAction::Close(reason) => return Err(format!("logs closed: {}", reason.text())),
                LogsAction::Ask(question) => self.answer_logs(&question),
            }
        }
        Ok(())
    }

    /// One of three providers answers, another one than before if that is asked for; perhaps it has not got all yet.
    fn answer_logs(&mut self, question: &LogsQuestion) {
        let mut others: Vec<InstanceId> = (0..3).map(InstanceId).collect();
        others.retain(|by| question.may_repeat || !question.heard.contains(by));
        if others.is_empty() {
            return self.logs.on_nobody_else(question.block, false, self.now);
        }
        let by = others[self.rng.below(others.len() as u64) as usize];
        let block = self.blocks.iter().find(|block| block.hash == question.block).expect("of this world");
        let mut texts = if question.filter.is_everything() { block.all_logs.clone() } else { block.logs.clone() };
        if self.now < block.there_from[usize::from(by.0)] {
            // A node keeps a block's logs in one piece, so nothing is half there.
            texts.clear();
        }
        let logs = (!self.rng.chance(self.noise.fetch_failures)).then_some(texts);
        let after = 20 + self.rng.below(600);
        self.at(after, Event::Logs { hash: question.block, by, logs });
    }

    /// What the other provider has in the place of a block, as far as it is to be had.
    fn compare(&mut self, number: u64, hash: BlockHash) {
        let there = self.below(self.views[1 - self.leader], number);
        let there = Some(&self.blocks[there]).filter(|block| block.number == number && !block.is_hidden);
        let own = self.blocks.iter().position(|block| block.hash == hash && !block.is_strange && !block.is_hidden);
        let own =
            own.filter(|own| *own >= self.reset_at && (!self.noise.orphans_pruned || self.is_in(self.views[self.leader], *own)));
        let (is_shared, is_denied) =
            (there.is_some_and(|there| there.hash == hash), there.is_some_and(|there| there.hash != hash));
        let opinions = Opinions { is_shared, denials: u32::from(is_denied), is_own: own.is_some() };
        let opinions = if self.rng.chance(self.noise.fetch_failures) { Opinions::default() } else { opinions };
        let after = 20 + self.rng.below(600);
        self.at(after, Event::Opinions { number, hash, opinions });
    }

    /// A provider answers as it stands now; the answer is a while under way.
    fn fetch(&mut self, ask: Ask) {
        let view = self.views[self.leader];
        let is_witness = matches!(ask, Ask::Witness(_));
        let block = match ask {
            Ask::Latest => Some(view),
            Ask::Compare { .. } => None,
            Ask::Number(number) => Some(self.below(view, number)).filter(|block| self.blocks[*block].number == number),
            Ask::Hash(hash) | Ask::Witness(hash) => self
                .blocks
                .iter()
                .position(|block| block.hash == hash)
                .filter(|block| !is_witness || !self.blocks[*block].is_strange)
                .filter(|block| !self.noise.orphans_pruned || self.views.iter().any(|view| self.is_in(*view, *block))),
        };
        let block = block.filter(|block| !self.blocks[*block].is_hidden && *block >= self.reset_at);
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
