//! Stories of a client that leaves and comes back, judged as if it had never left, and the ends of what can be resumed.

use super::super::believer::Believer;
use super::*;
use crate::base::rng::Rng;
use crate::chain::bloom::Bloom;
use crate::stream::continuity::Opinions;
use crate::stream::filter::bloom_add;
use serde_json::json;
use std::collections::BTreeMap;

const RULES: Rules = Rules { max_backfill_blocks: 150, backfill_timeout_ms: 30_000, bug: None };
const WATCHED: [u8; 20] = [7; 20];
const OTHER: [u8; 20] = [9; 20];
const EVERYTHING: StreamId = StreamId(1);

/// Chances in a million.
#[derive(Clone, Copy, Debug, Default)]
struct TaleWorld {
    reorgs: u64,
    failures: u64,
    /// That the client leaves or comes back, at each block.
    moves: u64,
    /// That whoever serves it has begun anew meanwhile.
    restarts: u64,
    /// A block's logs come up to three blocks late.
    late_logs: bool,
    /// Orphans are nobody's.
    pruned: bool,
}

struct Block {
    number: u64,
    hash: BlockHash,
    parent: usize,
    header: String,
    logs: Vec<String>,
    watched: Vec<String>,
}

enum Event {
    Grow,
    Block { ask: Ask, block: Option<usize> },
    Logs { is_own: bool, hash: BlockHash, logs: Option<Vec<String>> },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Client {
    Listening,
    Away,
    Resuming,
}

struct Tale {
    rng: Rng,
    world: TaleWorld,
    now: Instant,
    events: BTreeMap<(Instant, u64), Event>,
    sequence: u64,
    blocks: Vec<Block>,
    tip: usize,
    heads: Heads,
    logs: Logs,
    resumption: Option<Resumption>,
    stream: StreamId,
    client: Client,
    view: Believer,
    last: Option<BlockHash>,
    bug: Option<Bug>,
    begun: Vec<ResumedPart>,
    /// It has come back so often, and it has been refused or closed because nobody has an orphan.
    resumed: u64,
    lost: u64,
    is_quiet: bool,
}

fn hex(bytes: &[u8]) -> String {
    let mut out = Vec::new();
    crate::chain::hex::write_bytes(&mut out, bytes);
    String::from_utf8(out).expect("hex")
}

fn filter() -> LogFilter {
    LogFilter::parse(&json!({"address": hex(&WATCHED)})).expect("a filter")
}

impl Tale {
    fn run(seed: u64, world: TaleWorld, bug: Option<Bug>) -> Result<(u64, u64), String> {
        let rules = Rules { bug, ..RULES };
        let mut tale = Tale {
            rng: Rng::new(seed),
            world,
            now: Instant::ZERO,
            events: BTreeMap::new(),
            sequence: 0,
            blocks: Vec::new(),
            tip: 0,
            heads: Heads::new(rules, Instant::ZERO),
            logs: Logs::new(rules),
            resumption: None,
            stream: StreamId(2),
            client: Client::Listening,
            view: Believer::default(),
            last: None,
            bug,
            begun: Vec::new(),
            resumed: 0,
            lost: 0,
            is_quiet: false,
        };
        tale.mine(0);
        tale.begin_shared();
        tale.at(500, Event::Grow);
        let outcome = tale.play();
        outcome.map_err(|why| format!("seed {seed} at {} ms: {why}", tale.now.as_ms()))
    }

    fn rules(&self) -> Rules {
        Rules { bug: self.bug, ..RULES }
    }

    fn begin_shared(&mut self) {
        self.heads = Heads::new(self.rules(), self.now);
        self.logs = Logs::new(self.rules());
        self.logs.open(self.stream, &filter());
        if self.rng.chance(500_000) {
            self.logs.open(EVERYTHING, &LogFilter::default());
        }
        self.events.retain(|_, event| matches!(event, Event::Grow));
    }

    fn at(&mut self, after_ms: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now.plus_ms(after_ms), self.sequence), event);
    }

    fn mine(&mut self, parent: usize) -> usize {
        let place = self.blocks.len();
        let number = self.blocks.get(parent).map_or(1_000, |parent| parent.number + 1);
        let parent_hash = self.blocks.get(parent).map_or([0xaa; 32], |parent| parent.hash.0);
        let mut hash = [0xb0; 32];
        hash[..8].copy_from_slice(&(place as u64).to_be_bytes());
        let mut bloom: Bloom = [0; 256];
        let (mut logs, mut watched) = (Vec::new(), Vec::new());
        for index in 0..self.rng.below(4) {
            let is_watched = self.rng.chance(500_000);
            let address = if is_watched { WATCHED } else { OTHER };
            bloom_add(&mut bloom, &address);
            let text = format!(
                "{{\"address\":\"{}\",\"topics\":[],\"data\":\"0x\",\"blockNumber\":\"{number:#x}\",\"blockHash\":\"{}\",\"logIndex\":\"{index:#x}\",\"removed\":false}}",
                hex(&address),
                hex(&hash)
            );
            watched.extend(is_watched.then(|| text.clone()));
            logs.push(text);
        }
        let header = format!(
            "{{\"number\":\"{number:#x}\",\"hash\":\"{}\",\"parentHash\":\"{}\",\"logsBloom\":\"{}\"}}",
            hex(&hash),
            hex(&parent_hash),
            hex(&bloom)
        );
        self.blocks.push(Block { number, hash: BlockHash(hash), parent, header, logs, watched });
        place
    }

    fn is_canonical(&self, block: usize) -> bool {
        let mut at = self.tip;
        while self.blocks[at].number > self.blocks[block].number {
            at = self.blocks[at].parent;
        }
        at == block
    }

    fn head(&self, block: usize) -> Head {
        Head::announced(self.blocks[block].header.as_bytes()).expect("a head")
    }

    fn play(&mut self) -> Result<(u64, u64), String> {
        self.act()?;
        loop {
            let own = self.resumption.as_ref().map_or(Instant::NEVER, Resumption::wake_at);
            let wake = self.heads.wake_at().min(self.logs.wake_at()).min(own);
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
            self.act()?;
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Grow => self.grow(),
            Event::Block { ask, block } => {
                let head = block.map(|block| Head { fetched: true, ..self.head(block) });
                match head.clone() {
                    Some(head) => self.heads.on_filled(ask, head, self.now),
                    None => self.heads.on_fill_failed(ask, self.now),
                }
                if let Some(resumption) = &mut self.resumption {
                    resumption.on_block(ask, head.as_ref(), self.now);
                }
            }
            Event::Logs { is_own, hash, logs } => {
                let own = self.resumption.as_mut().and_then(Resumption::logs);
                let Some(machine) = (if is_own { own } else { Some(&mut self.logs) }) else { return };
                match logs {
                    Some(texts) => {
                        let logs = Log::parse_all(format!("[{}]", texts.join(",")).as_bytes()).expect("logs");
                        machine.on_answer(hash, InstanceId(1), logs, self.now);
                    }
                    None => machine.on_failed(hash, self.now.plus_ms(FILL_RETRY_MS)),
                }
            }
        }
    }

    fn grow(&mut self) {
        let is_late = self.now >= Instant::ZERO.plus_ms(120_000);
        if !is_late {
            self.at(1_000, Event::Grow);
        } else if !self.is_quiet {
            self.is_quiet = true;
            (1..8).for_each(|n| self.at(n * 4_000, Event::Grow));
        }
        let depth = match self.rng.chance(self.world.reorgs) && !is_late && self.blocks.len() > 20 {
            true => 1 + self.rng.below(5),
            false => 0,
        };
        let old = self.tip;
        for _ in 0..depth {
            self.tip = self.blocks[self.tip].parent;
        }
        let fork = self.tip;
        // Now and then the new branch is shorter at first.
        for _ in 0..(depth + 1).saturating_sub(self.rng.below(3)).max(1) {
            self.tip = self.mine(self.tip);
        }
        let mut branch = vec![self.tip];
        while self.blocks[branch[branch.len() - 1]].parent != fork {
            branch.push(self.blocks[branch[branch.len() - 1]].parent);
        }
        let only_tip = self.rng.chance(300_000);
        for block in branch.into_iter().rev().filter(|block| !only_tip || *block == self.tip) {
            self.heads.on_head(self.head(block), self.now);
        }
        assert!(old != self.tip);
        self.wander();
    }

    /// The client leaves, or comes back.
    fn wander(&mut self) {
        let is_due = self.rng.chance(self.world.moves) || self.is_quiet;
        match self.client {
            Client::Listening if is_due && !self.is_quiet && self.blocks.len() > 20 => {
                // What it has of later blocks it forgets.
                let Some(last) = self.logs.last_whole().filter(|last| self.view.chain.iter().any(|link| link.1 == *last)) else {
                    return;
                };
                self.view.rewind(last);
                self.leave(last);
            }
            Client::Away if is_due => {
                self.stream = StreamId(self.stream.0 + 1);
                if self.rng.chance(self.world.restarts) {
                    self.begin_shared();
                } else {
                    self.logs.open(self.stream, &filter());
                }
                let mut resumption = Resumption::new(self.rules(), self.last.expect("it has left"), self.now);
                resumption.add_heads();
                resumption.add_logs(self.stream, &filter());
                (self.resumption, self.client) = (Some(resumption), Client::Resuming);
                self.begun.clear();
            }
            Client::Listening | Client::Away | Client::Resuming => {}
        }
    }

    fn leave(&mut self, last: BlockHash) {
        self.logs.close(self.stream);
        (self.client, self.last, self.resumption) = (Client::Away, Some(last), None);
    }

    fn act(&mut self) -> Result<(), String> {
        self.act_on_shared()?;
        if let Some(mut resumption) = self.resumption.take() {
            resumption.hold_behind(Some(&self.logs));
            while let Some(action) = resumption.next(self.heads.tip(), self.now) {
                match action {
                    ResumeAction::Fetch(ask) => self.fetch(ask),
                    ResumeAction::AskLogs(question) => self.ask_for_logs(true, &question),
                    ResumeAction::Begin(part) => self.begun.push(part),
                    ResumeAction::Head(head) if self.begun.contains(&ResumedPart::Heads) => self.view.on_head(&head.payload)?,
                    ResumeAction::Log(_, payload) if self.begun.contains(&ResumedPart::Logs) => self.view.on_log(&payload)?,
                    ResumeAction::Head(_) | ResumeAction::Log(..) => return Err("told before it has begun".into()),
                    ResumeAction::End(_, why) => return self.give_up(why),
                }
            }
            if resumption.is_level(&self.heads, Some(&self.logs)) {
                resumption.merge_into(&mut self.heads, Some(&mut self.logs));
                self.client = Client::Listening;
                self.resumed += 1;
                return Ok(());
            }
            self.resumption = Some(resumption);
        }
        Ok(())
    }

    /// Where orphans are nobody's, and only there: the story is over.
    fn give_up(&mut self, why: NoResumption) -> Result<(), String> {
        if !self.world.pruned || !matches!(why, NoResumption::PastLost { .. } | NoResumption::Unknown { .. }) {
            return Err(format!("ended: {}", why.text()));
        }
        self.lost += 1;
        self.events.clear();
        (self.client, self.is_quiet) = (Client::Away, true);
        self.heads = Heads::new(RULES, self.now);
        self.heads.on_no_provider();
        self.logs = Logs::new(RULES);
        Ok(())
    }

    fn act_on_shared(&mut self) -> Result<(), String> {
        while let Some(action) = self.heads.next(self.now) {
            match action {
                HeadsAction::Emit(head) => {
                    if self.client == Client::Listening {
                        self.view.first = if self.view.first == 0 { head.number } else { self.view.first };
                        self.view.on_head(&head.payload)?;
                    }
                    self.logs.on_head(&head, self.now);
                    if let Some(resumption) = &mut self.resumption {
                        resumption.on_head(&head, self.now);
                    }
                    self.act_on_logs()?;
                }
                HeadsAction::Below(head) => self.logs.below(&head),
                HeadsAction::Fetch(ask) => self.fetch(ask),
                HeadsAction::PastLost => {
                    if self.client == Client::Listening {
                        return self.give_up(NoResumption::PastLost { block: self.blocks[self.tip].hash });
                    }
                }
                HeadsAction::Forsake | HeadsAction::Depose => return Err("forsaken".into()),
                HeadsAction::Close(_) if self.lost > 0 => return Ok(()),
                HeadsAction::Close(reason) => return Err(reason.text()),
            }
        }
        if self.view.first == 0
            && let Some(tip) = self.heads.tip()
        {
            (self.view.first, self.view.began) = (tip.0, Some(tip.1));
            self.view.chain.push(tip);
        }
        self.act_on_logs()
    }

    fn act_on_logs(&mut self) -> Result<(), String> {
        while let Some(action) = self.logs.next(self.now) {
            match action {
                LogsAction::Emit(to, payload, _) if to.contains(&self.stream) && self.client == Client::Listening => {
                    self.view.on_log(&payload)?;
                }
                LogsAction::Emit(..) => {}
                LogsAction::PastLost if self.client == Client::Listening => {
                    return self.give_up(NoResumption::PastLost { block: self.blocks[self.tip].hash });
                }
                LogsAction::PastLost => {}
                LogsAction::Close(reason) => return Err(format!("logs: {}", reason.text())),
                LogsAction::Ask(question) => self.ask_for_logs(false, &question),
            }
        }
        Ok(())
    }

    fn has(&self, block: &usize) -> bool {
        !self.world.pruned || self.is_canonical(*block)
    }

    fn fetch(&mut self, ask: Ask) {
        let block = match ask {
            // Only the shared machine asks; there is nobody else.
            Ask::Compare { number, hash } => return self.heads.on_opinions(number, hash, Opinions::default(), self.now),
            Ask::Latest => Some(self.tip),
            Ask::Number(number) => (0..self.blocks.len()).find(|n| self.blocks[*n].number == number && self.is_canonical(*n)),
            Ask::Hash(hash) | Ask::Witness(hash) => self.blocks.iter().position(|block| block.hash == hash),
        };
        let fails = self.rng.chance(self.world.failures) && !self.is_quiet;
        let after = 20 + self.rng.below(400);
        let block = block.filter(|block| !fails && self.has(block));
        self.at(after, Event::Block { ask, block });
    }

    fn ask_for_logs(&mut self, is_own: bool, question: &LogsQuestion) {
        let at = self.blocks.iter().position(|block| block.hash == question.block).expect("a block");
        let fails = (self.rng.chance(self.world.failures) && !self.is_quiet) || !self.has(&at);
        let block = &self.blocks[at];
        let logs = if question.filter.is_everything() { block.logs.clone() } else { block.watched.clone() };
        let most = if self.world.late_logs { 3_000 } else { 400 };
        let after = 20 + self.rng.below(most);
        let hash = block.hash;
        self.at(after, Event::Logs { is_own, hash, logs: (!fails).then_some(logs) });
    }

    fn end(&mut self) -> Result<(u64, u64), String> {
        if self.lost > 0 {
            return Ok((self.resumed, self.lost));
        }
        let newest = &self.blocks[self.tip];
        if self.client != Client::Listening || self.view.chain.last() != Some(&(newest.number, newest.hash)) {
            return Err(format!("{:?} ends at {:?}, not at {}", self.client, self.view.chain.last(), newest.number));
        }
        let unpromised = usize::from(self.view.chain.first().map(|link| link.1) == self.view.began);
        let told = self.view.chain.iter().skip(unpromised);
        let canonical = told.flat_map(|(_, hash)| self.blocks.iter().filter(|block| block.hash == *hash));
        let want: Vec<&String> = canonical.flat_map(|block| &block.watched).collect();
        let got: Vec<&String> = self.view.logs.iter().map(|log| &log.text).collect();
        if want == got { Ok((self.resumed, 0)) } else { Err(format!("{} logs, not {}", got.len(), want.len())) }
    }
}

const BUSY: TaleWorld =
    TaleWorld { reorgs: 250_000, failures: 80_000, moves: 150_000, restarts: 300_000, late_logs: true, pruned: false };

fn tales(seeds: std::ops::Range<u64>, world: TaleWorld) -> (u64, u64) {
    let (mut failures, mut sums) = (Vec::new(), (0, 0));
    for seed in seeds {
        match Tale::run(seed, world, None) {
            Ok((resumed, lost)) => sums = (sums.0 + resumed, sums.1 + lost),
            Err(why) => failures.push(why),
        }
    }
    failures.truncate(3);
    assert!(failures.is_empty(), "{world:?}\n{}", failures.join("\n"));
    sums
}

#[test]
fn whoever_comes_back_is_told_as_if_it_had_not_left() {
    let check = |world: TaleWorld, seeds: u64| {
        let (resumed, lost) = tales(0..seeds, world);
        assert!(resumed > 2 * seeds, "{resumed} in {seeds}: {world:?}");
        assert!((lost > 0) == world.pruned, "{lost}: {world:?}");
    };
    check(TaleWorld { moves: 300_000, ..TaleWorld::default() }, 200);
    check(TaleWorld { moves: 200_000, reorgs: 300_000, ..TaleWorld::default() }, 400);
    check(TaleWorld { moves: 200_000, reorgs: 300_000, restarts: 1_000_000, ..TaleWorld::default() }, 400);
    check(TaleWorld { moves: 200_000, failures: 80_000, late_logs: true, ..TaleWorld::default() }, 300);
    check(BUSY, 1_500);
}

#[test]
fn what_nobody_has_ends_it_and_leaves_no_hole() {
    let (_, lost) = tales(0..1_000, TaleWorld { pruned: true, failures: 0, ..BUSY });
    assert!(lost > 50, "{lost}");
}

#[test]
fn the_deliberate_bug_is_found() {
    let found = (0..100).find(|seed| Tale::run(*seed, BUSY, Some(Bug::ResumeSkips)).is_err());
    assert!(found.is_some());
}

const NOW: Instant = Instant(1_000_000_000);

fn plain(number: u64) -> Head {
    let hash = |number: u64| BlockHash([number as u8; 32]);
    let (hash, parent, payload) = (hash(number), hash(number - 1), (*b"{}").into());
    Head { number, hash, parent, bloom: None, gas_used: None, timestamp_s: None, fetched: true, payload }
}

fn of(number: u64) -> Resumption {
    let mut resumption = Resumption::new(RULES, plain(number).hash, NOW);
    resumption.add_heads();
    assert_eq!(resumption.next(None, NOW), Some(ResumeAction::Fetch(Ask::Hash(plain(number).hash))));
    resumption
}

#[test]
fn a_block_that_nobody_knows_is_asked_for_some_times() {
    let mut resumption = of(7);
    let (ask, mut now) = (Ask::Hash(plain(7).hash), NOW);
    for _ in 1..FILL_TRIES {
        resumption.on_block(ask, None, now);
        assert_eq!(resumption.next(Some((20, plain(20).hash)), now), None);
        now = resumption.wake_at();
        assert_eq!(resumption.next(Some((20, plain(20).hash)), now), Some(ResumeAction::Fetch(ask)));
    }
    resumption.on_block(ask, None, now);
    let why = NoResumption::Unknown { block: plain(7).hash };
    assert_eq!(resumption.next(None, now), Some(ResumeAction::End(ResumedPart::Heads, why)));
    assert!(resumption.is_over() && why.text().contains("no provider knows block 0x0707"), "{}", why.text());
}

#[test]
fn what_is_too_far_back_is_refused_at_once() {
    let check = |newest: u64, want: Option<NoResumption>| {
        let mut resumption = of(7);
        resumption.on_block(Ask::Hash(plain(7).hash), Some(&plain(7)), NOW);
        let first = resumption.next(Some((newest, plain(newest).hash)), NOW);
        let fetch = Some(ResumeAction::Fetch(Ask::Hash(plain(newest).hash)));
        assert_eq!(first, want.map_or(fetch, |why| Some(ResumeAction::End(ResumedPart::Heads, why))), "{newest}");
    };
    check(7 + 150, None);
    check(7 + 151, Some(NoResumption::TooOld { block: plain(7).hash, back: 151, limit: 150 }));
}

#[test]
fn a_block_above_the_newest_is_waited_for() {
    let mut resumption = of(7);
    resumption.on_block(Ask::Hash(plain(7).hash), Some(&plain(7)), NOW);
    assert_eq!(resumption.next(Some((5, plain(5).hash)), NOW), None);
    assert_eq!(resumption.wake_at(), NOW.plus_ms(RULES.backfill_timeout_ms));
    assert_eq!(resumption.next(Some((7, plain(7).hash)), NOW), Some(ResumeAction::Begin(ResumedPart::Heads)));
    let mut late = of(9);
    late.on_block(Ask::Hash(plain(9).hash), Some(&plain(9)), NOW);
    let why = NoResumption::TimedOut { block: plain(9).hash, after_ms: RULES.backfill_timeout_ms };
    let at = late.wake_at();
    assert_eq!(late.next(Some((8, plain(8).hash)), at), Some(ResumeAction::End(ResumedPart::Heads, why)));
}

#[test]
fn reasons_fit_a_close_frame() {
    let block = BlockHash([255; 32]);
    let all = [
        NoResumption::TooOld { block, back: u64::MAX, limit: u64::MAX },
        NoResumption::Unknown { block },
        NoResumption::TimedOut { block, after_ms: u64::MAX },
        NoResumption::PastLost { block },
        NoResumption::Ended(Reason::NoProvider),
    ];
    all.iter().for_each(|why| assert!(why.close_text().len() <= 123, "{}", why.close_text()));
}
