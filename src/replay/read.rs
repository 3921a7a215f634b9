//! A record's lines to calls and probes with numbers instead of names: a machine that is fed one line at a time.
//!
//! Records come from other machines and other times, so whatever a line holds, it is used, or told by its number and left
//! out; nothing is guessed. A wrong beginning ends the reading: without a header nobody knows what the lines are. A last line
//! without its end is what a crash or a full disk leaves, and is told apart from a line of somebody else's.
//! Lines stand in the order in which calls ended, so they are sorted by their beginning: whoever plays them by differences
//! between neighbours waits too long (that is how replays of other tools became many times slower than their record).

use crate::base::ids::Transport;
use crate::base::limits;
use crate::config::topology::Strategy;
use crate::observe::category::Category;
use crate::replay::line::{
    ABSENT, AttemptLine, CallLine, NoteLine, OK, ProbeLine, RecordChain, RecordHeader, RecordRules, SCHEMA,
};
use std::collections::BTreeMap;
use std::fmt;

/// A whole record.
#[derive(Clone, Debug)]
pub struct Record {
    pub header: RecordHeader,
    /// From all headers, each (profile, chain) and each of its providers once.
    pub chains: Vec<RecordChain>,
    pub methods: Vec<Box<str>>,
    /// By their beginning.
    pub calls: Vec<RecordedCall>,
    pub probes: Vec<RecordedProbe>,
    /// Sampled calls that were lost on their way to the file.
    pub lost: u64,
    /// Why it ended before its node did.
    pub stopped: Option<String>,
    /// Runs of a node that wrote into it.
    pub runs: u32,
    pub problems: Vec<LineProblem>,
    /// How many there are; `problems` has the first.
    pub unread_lines: u64,
}

/// Places in `Record::chains` and of a provider there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RecordedPlace {
    pub chain: u16,
    pub provider: u16,
    pub transport: Transport,
}

#[derive(Clone, PartialEq, Debug)]
pub struct RecordedCall {
    /// Since the first header.
    pub at_us: u64,
    pub took_us: u64,
    pub chain: u16,
    /// A place in `Record::methods`.
    pub method: u16,
    pub transport: Transport,
    pub strategy: Strategy,
    pub end: RecordedEnd,
    pub pin: Option<u16>,
    pub allow_failover: bool,
    pub bytes: u32,
    pub depth: Option<u64>,
    pub range: Option<u64>,
    pub by_hash: bool,
    pub archival: bool,
    pub is_bulk: bool,
    pub is_bound: bool,
    pub attempts: Box<[RecordedAttempt]>,
    /// Raw JSON.
    pub params: Option<Box<str>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordedEnd {
    Result,
    Error,
    Refused,
    Truncated,
    ClientGone,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordedAttempt {
    pub place: RecordedPlace,
    pub took_us: u32,
    pub outcome: RecordedOutcome,
}

/// What an attempt said of its provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordedOutcome {
    Answered,
    /// There is no such thing there.
    Absent,
    /// An error that is the call's own.
    OwnError(Category),
    Failed(Category),
    /// Nothing about the provider: the client left.
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordedProbe {
    /// When it ended.
    pub at_us: u64,
    pub place: RecordedPlace,
    /// It lagged, or was on another fork or chain.
    pub is_behind: bool,
    /// `Err`: what went wrong; `None` for what no category is of (another chain).
    pub outcome: Result<u32, Option<Category>>,
}

/// A line that could not be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineProblem {
    /// From 1.
    pub line: u64,
    pub why: LineFault,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LineFault {
    NoHeader,
    OtherSchema(u32),
    /// The last line, without its end.
    Cut,
    NotJson,
    /// JSON, and no line of a record.
    Foreign,
    TooLong,
    /// A name that no header has.
    UnknownName(String),
    TooManyCalls,
}

impl fmt::Display for LineProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.why {
            LineFault::NoHeader => {
                f.write_str("not a record: its first line must be a header (lasso serve --record FILE writes one)")
            }
            LineFault::OtherSchema(found) => {
                write!(f, "a record of schema {found}, and this version reads schema {SCHEMA}: use the version that wrote it")
            }
            LineFault::Cut => f.write_str("cut off, as by a crash or a full disk; left out"),
            LineFault::NotJson => f.write_str("not JSON; left out"),
            LineFault::Foreign => f.write_str("not a line of a record; left out"),
            LineFault::TooLong => write!(f, "longer than {} bytes; left out", limits::RECORD_LINE_BYTES),
            LineFault::UnknownName(name) => write!(f, "\"{name}\" is in no header before it; left out"),
            LineFault::TooManyCalls => {
                write!(f, "more than {} calls or {} methods; the rest is left out", limits::RECORD_CALLS, limits::RECORD_METHODS)
            }
        }
    }
}

/// Takes the lines of a record, in order.
#[derive(Debug, Default)]
pub struct RecordReader {
    header: Option<RecordHeader>,
    chains: Vec<RecordChain>,
    methods: Vec<Box<str>>,
    method_places: BTreeMap<Box<str>, u16>,
    calls: Vec<RecordedCall>,
    probes: Vec<RecordedProbe>,
    lost: u64,
    stopped: Option<String>,
    runs: u32,
    problems: Vec<LineProblem>,
    unread_lines: u64,
    line: u64,
    /// Where the run's times begin, and the latest time so far.
    from_us: u64,
    latest_us: u64,
}

impl RecordReader {
    pub fn new() -> RecordReader {
        RecordReader::default()
    }

    /// One line without its end; `is_whole`: it had one. An error ends the reading.
    pub fn take(&mut self, line: &[u8], is_whole: bool) -> Result<(), LineProblem> {
        self.line += 1;
        let trimmed = line.trim_ascii();
        let read = if line.len() > limits::RECORD_LINE_BYTES {
            Err(LineFault::TooLong)
        } else if trimmed.is_empty() {
            Ok(())
        } else {
            self.read(trimmed)
        };
        let Err(why) = read else { return Ok(()) };
        let is_fatal = self.header.is_none() || matches!(why, LineFault::OtherSchema(_));
        let why = match why {
            LineFault::OtherSchema(_) => why,
            _ if self.header.is_none() => LineFault::NoHeader,
            LineFault::NotJson if !is_whole => LineFault::Cut,
            why => why,
        };
        let problem = LineProblem { line: self.line, why };
        if is_fatal {
            return Err(problem);
        }
        self.unread_lines += 1;
        if self.problems.len() < limits::RECORD_PROBLEMS {
            self.problems.push(problem);
        }
        Ok(())
    }

    /// No line is left.
    pub fn finish(mut self) -> Result<Record, LineProblem> {
        let Some(header) = self.header else { return Err(LineProblem { line: 1, why: LineFault::NoHeader }) };
        self.calls.sort_by_key(|call| call.at_us);
        self.probes.sort_by_key(|probe| probe.at_us);
        Ok(Record {
            header,
            chains: self.chains,
            methods: self.methods,
            calls: self.calls,
            probes: self.probes,
            lost: self.lost,
            stopped: self.stopped,
            runs: self.runs,
            problems: self.problems,
            unread_lines: self.unread_lines,
        })
    }

    fn read(&mut self, line: &[u8]) -> Result<(), LineFault> {
        match kind_of(line)? {
            LineKind::Header => self.read_header(line),
            _ if self.header.is_none() => Err(LineFault::NoHeader),
            LineKind::Call => self.read_call(line),
            LineKind::Probe => self.read_probe(line),
            LineKind::Note => {
                let note: NoteLine = shaped(line)?;
                self.lost = self.lost.saturating_add(note.lost.unwrap_or(0));
                self.stopped = note.stopped.or(self.stopped.take());
                Ok(())
            }
        }
    }

    /// A further header begins a further run: its times go on from where the clock on the wall puts them, never backwards.
    fn read_header(&mut self, line: &[u8]) -> Result<(), LineFault> {
        #[derive(serde::Deserialize)]
        struct Schema {
            lasso_record: u32,
        }
        let Schema { lasso_record } = shaped(line)?;
        if lasso_record != SCHEMA {
            return Err(LineFault::OtherSchema(lasso_record));
        }
        let header: RecordHeader = shaped(line)?;
        if header.chains.len() > usize::from(u16::MAX)
            || header.chains.iter().any(|chain| chain.providers.len() > usize::from(u16::MAX))
        {
            return Err(LineFault::Foreign);
        }
        let first_ms = self.header.as_ref().map_or(header.began_ms, |first| first.began_ms);
        self.from_us = header.began_ms.saturating_sub(first_ms).saturating_mul(1000).max(self.latest_us);
        header.chains.iter().for_each(|chain| self.add_chain(chain));
        self.runs = self.runs.saturating_add(1);
        self.header.get_or_insert(header);
        Ok(())
    }

    fn add_chain(&mut self, chain: &RecordChain) {
        let same = |have: &RecordChain| have.profile == chain.profile && have.chain == chain.chain;
        let Some(have) = self.chains.iter().position(same).and_then(|place| self.chains.get_mut(place)) else {
            if self.chains.len() < usize::from(u16::MAX) {
                self.chains.push(chain.clone());
            }
            return;
        };
        for provider in &chain.providers {
            if !have.providers.iter().any(|known| known.id == provider.id) && have.providers.len() < usize::from(u16::MAX) {
                have.providers.push(provider.clone());
            }
        }
    }

    fn read_call(&mut self, line: &[u8]) -> Result<(), LineFault> {
        let call: CallLine = shaped(line)?;
        let chain = self.chain(&call.profile, &call.chain)?;
        if self.calls.len() >= limits::RECORD_CALLS {
            return Err(LineFault::TooManyCalls);
        }
        let attempts = call.attempts.iter().map(|attempt| self.attempt(chain, attempt)).collect::<Result<Box<[_]>, _>>()?;
        let pin = call.pin.as_deref().map(|id| self.provider(chain, id)).transpose()?;
        let (method, at_us) = (self.method(&call.method)?, self.time(call.at_us));
        self.calls.push(RecordedCall {
            at_us,
            took_us: call.took_us,
            chain,
            method,
            transport: transport(&call.transport)?,
            strategy: Strategy::from_word(&call.strategy).ok_or(LineFault::Foreign)?,
            end: end(&call.end)?,
            pin,
            allow_failover: call.failover,
            bytes: call.bytes,
            depth: call.depth,
            range: call.range,
            by_hash: call.by_hash,
            archival: call.archival,
            is_bulk: call.bulk,
            is_bound: call.bound,
            attempts,
            params: call.params.map(|raw| raw.get().into()),
        });
        Ok(())
    }

    fn read_probe(&mut self, line: &[u8]) -> Result<(), LineFault> {
        let ProbeLine { at_us, probe: [profile, chain, id], over, us, outcome, behind } = shaped(line)?;
        let chain = self.chain(&profile, &chain)?;
        let place = RecordedPlace { chain, provider: self.provider(chain, &id)?, transport: transport(&over)? };
        let outcome = match us {
            Some(us) if outcome == OK => Ok(u32::try_from(us).unwrap_or(u32::MAX)),
            _ => Err(category(&outcome)),
        };
        let at_us = self.time(at_us);
        self.probes.push(RecordedProbe { at_us, place, is_behind: behind, outcome });
        Ok(())
    }

    fn time(&mut self, at_us: u64) -> u64 {
        let at_us = self.from_us.saturating_add(at_us);
        self.latest_us = self.latest_us.max(at_us);
        at_us
    }

    fn chain(&self, profile: &str, chain: &str) -> Result<u16, LineFault> {
        let place = self.chains.iter().position(|have| have.profile == profile && have.chain == chain);
        place.and_then(|place| u16::try_from(place).ok()).ok_or_else(|| LineFault::UnknownName(shown(chain)))
    }

    fn provider(&self, chain: u16, id: &str) -> Result<u16, LineFault> {
        let place = self.chains.get(usize::from(chain)).and_then(|chain| chain.providers.iter().position(|have| have.id == id));
        place.and_then(|place| u16::try_from(place).ok()).ok_or_else(|| LineFault::UnknownName(shown(id)))
    }

    fn method(&mut self, name: &str) -> Result<u16, LineFault> {
        if let Some(place) = self.method_places.get(name) {
            return Ok(*place);
        }
        let place = u16::try_from(self.methods.len()).ok().filter(|place| usize::from(*place) < limits::RECORD_METHODS);
        let place = place.ok_or(LineFault::TooManyCalls)?;
        self.methods.push(name.into());
        self.method_places.insert(name.into(), place);
        Ok(place)
    }

    fn attempt(&self, chain: u16, line: &AttemptLine) -> Result<RecordedAttempt, LineFault> {
        let place = RecordedPlace { chain, provider: self.provider(chain, &line.provider)?, transport: transport(&line.over)? };
        let outcome = match (line.outcome.as_str(), category(&line.outcome)) {
            (OK, _) => RecordedOutcome::Answered,
            (ABSENT, _) => RecordedOutcome::Absent,
            (_, Some(category)) if line.answer => RecordedOutcome::OwnError(category),
            (_, Some(category)) => RecordedOutcome::Failed(category),
            (_, None) => RecordedOutcome::Nothing,
        };
        Ok(RecordedAttempt { place, took_us: u32::try_from(line.us).unwrap_or(u32::MAX), outcome })
    }
}

impl Record {
    /// How many calls of the node one recorded call stands for.
    pub fn weight(&self) -> u64 {
        let share = self.header.share;
        if share > 0.0 && share <= 1.0 { (1.0 / share).round().clamp(1.0, 1e6) as u64 } else { 1 }
    }

    pub fn method(&self, call: &RecordedCall) -> &str {
        self.methods.get(usize::from(call.method)).map_or("", |name| name)
    }

    pub fn rules(&self) -> RecordRules {
        self.header.rules
    }

    /// From the first call to the last.
    pub fn length_us(&self) -> u64 {
        let begin = self.calls.first().map_or(0, |call| call.at_us);
        self.calls.last().map_or(0, |call| call.at_us.saturating_sub(begin))
    }
}

/// Reads a whole text; for what is in memory already.
pub fn read(text: &[u8]) -> Result<Record, LineProblem> {
    let mut reader = RecordReader::new();
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        reader.take(whole.unwrap_or(line), whole.is_some())?;
    }
    reader.finish()
}

enum LineKind {
    Header,
    Call,
    Probe,
    Note,
}

/// By the key that only lines of that kind have.
fn kind_of(line: &[u8]) -> Result<LineKind, LineFault> {
    #[derive(serde::Deserialize)]
    struct Keys {
        lasso_record: Option<serde::de::IgnoredAny>,
        method: Option<serde::de::IgnoredAny>,
        probe: Option<serde::de::IgnoredAny>,
        lost: Option<serde::de::IgnoredAny>,
        stopped: Option<serde::de::IgnoredAny>,
    }
    if !line.starts_with(b"{") {
        return Err(if serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok() {
            LineFault::Foreign
        } else {
            LineFault::NotJson
        });
    }
    let keys: Keys = shaped(line)?;
    match keys {
        Keys { lasso_record: Some(_), .. } => Ok(LineKind::Header),
        Keys { method: Some(_), .. } => Ok(LineKind::Call),
        Keys { probe: Some(_), .. } => Ok(LineKind::Probe),
        Keys { lost, stopped, .. } if lost.is_some() || stopped.is_some() => Ok(LineKind::Note),
        _ => Err(LineFault::Foreign),
    }
}

fn shaped<'a, T: serde::Deserialize<'a>>(line: &'a [u8]) -> Result<T, LineFault> {
    serde_json::from_slice(line).map_err(|fault| if fault.is_data() { LineFault::Foreign } else { LineFault::NotJson })
}

fn transport(word: &str) -> Result<Transport, LineFault> {
    [Transport::Http, Transport::Ws].into_iter().find(|known| known.word() == word).ok_or(LineFault::Foreign)
}

fn category(word: &str) -> Option<Category> {
    Category::ALL.into_iter().find(|category| category.word() == word)
}

fn end(word: &str) -> Result<RecordedEnd, LineFault> {
    Ok(match word {
        "result" => RecordedEnd::Result,
        "error" => RecordedEnd::Error,
        "refused" => RecordedEnd::Refused,
        "truncated" => RecordedEnd::Truncated,
        "client_gone" => RecordedEnd::ClientGone,
        _ => return Err(LineFault::Foreign),
    })
}

/// As much of a text from outside as a message has room for.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
#[path = "read_tests.rs"]
pub(super) mod tests;
