//! One simulated provider: an honest view of a network, spoiled by its knobs. It turns a request's body into a plan of
//! bytes and pauses; it does no IO and reads no clock, so a seed and a sequence of requests give the same plans.
//!
//! It reads requests with serde_json, not with the scanner that the node writes and reads them by: a mistake made on
//! both sides would cancel out.

use super::envelope;
use super::feeds::{AnswerTurn, Feeds, Subject};
use super::filters::Filters;
use super::forks::Tip;
use super::frames;
use super::framing::{self, Plan, Step};
use super::identity::{digest, digest_bytes, mix};
use super::journal::{Attached, Ended, Journal, Received};
use super::knobs::{Bucket, Fault, Knobs, SubscribeFault, draw};
use super::marks;
use super::params::Params;
use super::rpc::{Network, Reply, RpcError, View, json_text};
use super::telling;
use crate::base::{rng::Rng, time::Duration, time::Instant};
use serde::{Deserialize, Deserializer};
use serde_json::value::{RawValue, Value};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

/// Request on the wire. A key that is there twice is an error of serde's, as it is in careful nodes.
#[derive(Deserialize)]
struct RawCall<'a> {
    jsonrpc: Option<String>,
    /// An id that is null is an id, as in geth; only an absent one makes a notification.
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    method: Option<String>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

/// A request as the server read it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub body: &'a [u8],
    /// The server's count of connections.
    pub connection: u64,
    /// Requests that this connection carried before.
    pub earlier: u32,
    /// The client would use the connection again.
    pub keep_alive: bool,
    pub now: Instant,
    /// The subscriptions of the WebSocket that it came on; `None`: it came over HTTP.
    pub feeds: Option<&'a Feeds>,
}

/// A scripted fault: for the next request (of this method, if one is named), exactly this (`None`: no fault).
pub type Scripted = (Option<&'static str>, Option<Fault>);

/// A provider. Shared by its connections; single-threaded.
pub struct Provider {
    pub name: String,
    pub network: Rc<Network>,
    /// Keeps this provider's filter ids and late blocks apart from the others'.
    salt: u64,
    version: String,
    knobs: RefCell<Knobs>,
    journal: Option<Rc<dyn Journal>>,
    rng: RefCell<Rng>,
    filters: RefCell<Filters>,
    bucket: Cell<Bucket>,
    script: RefCell<VecDeque<Scripted>>,
    requests: Cell<u64>,
    restarts: Cell<u64>,
    subscriptions: Cell<u64>,
}

/// What one call comes to, before it is written.
struct Answered<'a> {
    call: Option<RawCall<'a>>,
    reply: Reply,
}

impl Provider {
    /// `rng` decides delays and faults of this provider only.
    pub fn new(name: &str, network: Rc<Network>, knobs: Knobs, rng: Rng) -> Provider {
        Provider {
            name: name.to_owned(),
            salt: digest_bytes(network.chain.seed, name.as_bytes()).number(),
            version: format!("model/{name}/v1.0.0"),
            network,
            knobs: RefCell::new(knobs),
            journal: None,
            rng: RefCell::new(rng),
            filters: RefCell::default(),
            bucket: Cell::default(),
            script: RefCell::default(),
            requests: Cell::new(0),
            restarts: Cell::new(0),
            subscriptions: Cell::new(0),
        }
    }

    pub fn with_journal(self, journal: Rc<dyn Journal>) -> Provider {
        Provider { journal: Some(journal), ..self }
    }

    /// Changes the manners from the next request on.
    pub fn tune(&self, change: impl FnOnce(&mut Knobs)) {
        change(&mut self.knobs.borrow_mut());
    }

    /// As they are now.
    pub fn manners(&self) -> Knobs {
        self.knobs.borrow().clone()
    }

    /// Adds to the faults that come before any drawn one.
    pub fn script(&self, faults: impl IntoIterator<Item = Scripted>) {
        self.script.borrow_mut().extend(faults);
    }

    /// As after a restart: filters are gone, and so are WebSocket connections.
    pub fn restart(&self) {
        self.filters.borrow_mut().clear();
        self.restarts.set(self.restarts.get() + 1);
    }

    /// How often it was restarted.
    pub fn restarts(&self) -> u64 {
        self.restarts.get()
    }

    pub fn is_down(&self) -> bool {
        self.knobs.borrow().down
    }

    pub fn takes_http(&self) -> bool {
        self.knobs.borrow().takes_http
    }

    pub fn takes_sockets(&self) -> bool {
        self.knobs.borrow().takes_sockets
    }

    /// Requests so far.
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// The longest WebSocket message that it takes.
    pub fn socket_message_bytes(&self) -> usize {
        self.knobs.borrow().socket_message_bytes
    }

    /// The newest block that it serves at `now`, over HTTP.
    pub fn head_at(&self, now: Instant) -> u64 {
        self.head_over(&self.knobs.borrow(), now, true).height
    }

    fn head_over(&self, knobs: &Knobs, now: Instant, is_http: bool) -> Tip {
        let (chain, heard) = (&self.network.chain, now - Duration::from_millis(knobs.turns_late_ms));
        let branch = knobs.branch.unwrap_or_else(|| chain.forks.canonical(heard));
        let tip = knobs.arrival.round(chain, self.salt, now, is_http);
        // One block at most, so a head never goes back: the next block is there when the late one is.
        let late = digest(&[self.salt, tip]).number() % 1_000_000 < u64::from(knobs.late_blocks);
        let tip = tip.saturating_add(knobs.ahead_blocks);
        let head = tip.saturating_sub(knobs.lag_blocks + u64::from(late) + chain.forks.fallen(branch));
        Tip { branch, height: chain.floor(branch, head.min(knobs.frozen_at.unwrap_or(u64::MAX))) }
    }

    fn view<'a>(&'a self, knobs: &Knobs, now: Instant, is_http: bool) -> View<'a> {
        let (chain, Tip { branch, height: head }) = (&self.network.chain, self.head_over(knobs, now, is_http));
        View {
            network: &self.network,
            heard: now - Duration::from_millis(knobs.turns_late_ms),
            branch,
            head,
            hidden: knobs.hidden_at,
            announced: head.saturating_add(knobs.announce_ahead),
            tip: chain.height_at(now),
            round: chain.round_at(now),
            archive_depth: knobs.archive_depth,
            keeps_orphans: knobs.keeps_orphans,
            keeps_fallen: knobs.keeps_fallen,
            absent: knobs.absent,
            log_range: knobs.log_range,
            log_results: knobs.log_results,
            lie: knobs.lie,
            chain_number: knobs.chain_number.unwrap_or(chain.chain_number),
            version: &self.version,
            salt: self.salt,
        }
    }

    /// Answers one request: its number, and what to put on the wire.
    pub fn serve(&self, asked: &Asked<'_>) -> (u64, Plan) {
        let request = self.requests.get() + 1;
        self.requests.set(request);
        let knobs = self.knobs.borrow();
        let mut rng = self.rng.borrow_mut();
        let items = split(asked.body);
        let count = items.as_ref().map_or(1, |items| items.calls.len());
        let first = items.as_ref().ok().and_then(|items| parse(items.calls.first()?).ok());
        let method = first.and_then(|call| call.method).unwrap_or_default();
        let fault = self.fault(&knobs, &mut rng, &method, count, asked);
        let (body, factor, own) = match &items {
            Ok(items) if items.fit(knobs.batch_items) => self.write_answers(&knobs, items, request, asked, fault, &mut rng),
            refused => {
                let error = refused.as_ref().err().cloned().unwrap_or_else(|| RpcError::new(-32600, "batch empty or too large"));
                let answered = Answered { call: None, reply: Err(error) };
                self.note(request, asked, &answered, None, fault);
                let mut body = Vec::new();
                envelope::write(&mut body, b"null", &answered.reply, fault, &mut rng);
                (body, 1.0, Duration::ZERO)
            }
        };
        let extra = Duration::from_micros(knobs.kib_us.saturating_mul(body.len() as u64 / 1024));
        let drawn = knobs.latency.draw(&mut rng).mul_f64(factor.clamp(0.0, 1e3));
        let last = !asked.keep_alive || knobs.close_after.is_some_and(|most| asked.earlier + 1 >= most);
        let plan = match asked.feeds {
            Some(_) => frames::plan(&body, fault, last, &mut rng),
            None => framing::plan(body, fault, last, &mut rng),
        };
        let late = Duration::from_millis(asked.feeds.map_or(0, Feeds::take_late_ms));
        let turn = asked.feeds.and_then(Feeds::take_turn);
        let steps = turned(plan.steps, turn, items.as_ref().ok());
        (request, Plan { delay: plan.delay + drawn + own + extra + late, steps, ..plan })
    }

    /// The body that answers all of `items`, the slowest one's factor on the delay, and the longest time of a call's own.
    fn write_answers(
        &self,
        knobs: &Knobs,
        items: &Items<'_>,
        request: u64,
        asked: &Asked<'_>,
        fault: Option<Fault>,
        rng: &mut Rng,
    ) -> (Vec<u8>, f64, Duration) {
        let (mut body, mut slowest, mut longest) = (Vec::new(), 0.0f64, Duration::ZERO);
        for (place, item) in items.calls.iter().enumerate() {
            let answered = self.answer(knobs, item, fault, request, asked);
            self.note(request, asked, &answered, items.batch.then_some(place), fault);
            slowest = slowest.max(answered.method().map_or(1.0, |method| knobs.factor(method)));
            longest = longest.max(self.own_time(knobs, &answered));
            let Some(id) = answered.id() else { continue };
            if items.batch {
                body.push(if body.is_empty() { b'[' } else { b',' });
            }
            // A broken envelope is enough once; a refusal is said to each item.
            let spoiled = fault.filter(|fault| place == 0 || fault.is_refusal());
            envelope::write(&mut body, id, &answered.reply, spoiled, rng);
        }
        if items.batch && !body.is_empty() {
            body.push(b']');
        }
        (body, slowest, longest)
    }

    fn own_time(&self, knobs: &Knobs, answered: &Answered<'_>) -> Duration {
        let Some(method) = answered.method() else { return Duration::ZERO };
        let time = knobs.times.iter().find(|time| time.method == method);
        time.map_or(Duration::ZERO, |time| time.of(self.network.chain.seed, answered.params()))
    }

    /// Tells the journal how a request ended.
    pub fn ended(&self, request: u64, sent_whole: bool) {
        if let Some(journal) = &self.journal {
            journal.ended(&Ended { provider: &self.name, request, sent_whole });
        }
    }

    /// Scripted first, then the rate limit, then what the call brings about, then chance.
    fn fault(&self, knobs: &Knobs, rng: &mut Rng, method: &str, calls: usize, asked: &Asked<'_>) -> Option<Fault> {
        let mut script = self.script.borrow_mut();
        let place = script.iter().position(|(only, _)| only.is_none_or(|only| only == method));
        if let Some((_, fault)) = place.and_then(|place| script.remove(place)) {
            return fault;
        }
        let mut bucket = self.bucket.get();
        let refused = knobs.rate.filter(|rate| !bucket.take(rate, u32::try_from(calls).unwrap_or(u32::MAX), asked.now));
        self.bucket.set(bucket);
        let limited = refused.map(|rate| Fault::TooMany(rate.refusal));
        let brought_about = || marks::marked(&knobs.marks, asked.body).or_else(|| knobs.fault_of(method, asked.feeds.is_none()));
        limited.or_else(brought_about).or_else(|| knobs.draw_fault(rng))
    }

    fn answer<'a>(&self, knobs: &Knobs, item: &'a [u8], fault: Option<Fault>, request: u64, asked: &Asked<'_>) -> Answered<'a> {
        let call = match parse(item) {
            Ok(call) => call,
            Err(error) => return Answered { call: None, reply: Err(error) },
        };
        let reply = match (&call.method, fault) {
            (None, _) => Err(RpcError::new(-32600, "invalid request")),
            (_, Some(fault)) if fault.is_refusal() => Err(RpcError::new(-32000, "refused")),
            (Some(method), _) if knobs.lacks(method) => {
                Err(RpcError::new(-32601, format!("the method {method} does not exist/is not available")))
            }
            (Some(method), _) => self.work(knobs, method, call.params, request, asked),
        };
        Answered { call: Some(call), reply }
    }

    fn work(&self, knobs: &Knobs, method: &str, params: Option<&RawValue>, request: u64, asked: &Asked<'_>) -> Reply {
        let params: Vec<Value> = match params {
            None => Vec::new(),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| RpcError::new(-32602, "non-array args"))?,
        };
        let params = Params(&params);
        match (method, asked.feeds) {
            ("eth_subscribe", Some(feeds)) => self.subscribe(knobs, feeds, params, request, asked),
            ("eth_unsubscribe", Some(feeds)) => self.unsubscribe(feeds, params, asked.connection),
            ("eth_subscribe" | "eth_unsubscribe", None) => Err(RpcError::new(-32601, "notifications not supported")),
            _ => {
                let view = self.view(knobs, asked.now, asked.feeds.is_none());
                let reply = view.answer(&mut self.filters.borrow_mut(), method, params);
                let is_false = knobs.gives_false_balances && method == "eth_getBalance";
                if is_false { reply.map(|_| b"\"0x1\"".to_vec()) } else { reply }
            }
        }
    }

    fn subscribe(&self, knobs: &Knobs, feeds: &Feeds, params: Params<'_>, request: u64, asked: &Asked<'_>) -> Reply {
        let subject = Subject::parse(params)?;
        let key = subject.key();
        let made = self.subscriptions.replace(self.subscriptions.get() + 1);
        // Apart from the provider's own chance, which is in use while it answers.
        let fault = draw(&knobs.subscribe_faults, &mut Rng::new(mix(&[self.salt, made])));
        match fault {
            Some(SubscribeFault::Refused) => return Err(RpcError::new(-32000, "too many subscriptions")),
            Some(SubscribeFault::Limited) => return Err(RpcError::new(-32005, "rate limit exceeded, retry in 1 s")),
            Some(SubscribeFault::NotOffered) => return Err(RpcError::new(-32601, "the method eth_subscribe does not exist")),
            Some(SubscribeFault::Late(_) | SubscribeFault::EventsFirst(_) | SubscribeFault::Never | SubscribeFault::Twice)
            | None => {}
        }
        let id_of = |kind: u64| digest(&[self.salt, made, kind]).0[..16].iter().fold(String::from("0x"), hex_on);
        let id = id_of(0xfeed);
        feeds.add(id.clone(), subject.clone(), request)?;
        match fault {
            Some(SubscribeFault::Late(ms)) => feeds.be_late(ms),
            Some(SubscribeFault::EventsFirst(ms)) => feeds.open_early(&id, ms, &self.view(knobs, asked.now, false)),
            Some(SubscribeFault::Never) => feeds.turn_answer(AnswerTurn::IsLost),
            // Nobody could find out about one that is told nothing.
            Some(SubscribeFault::Twice) if subject != Subject::Syncing => {
                let second = id_of(0x2feed);
                feeds.add(second.clone(), subject, request)?;
                feeds.turn_answer(AnswerTurn::IsFollowed(second));
                self.attached(asked.connection, Some(&key), true);
            }
            Some(SubscribeFault::Refused | SubscribeFault::Limited | SubscribeFault::NotOffered | SubscribeFault::Twice)
            | None => {}
        }
        self.attached(asked.connection, Some(&key), true);
        Ok(json_text(&id))
    }

    fn unsubscribe(&self, feeds: &Feeds, params: Params<'_>, connection: u64) -> Reply {
        let subject = feeds.remove(params.text(0)?).ok_or_else(|| RpcError::new(-32000, "subscription not found"))?;
        self.attached(connection, Some(&subject.key()), false);
        Ok(b"true".to_vec())
    }

    /// The answer to `request` is on its way: what it subscribed to begins.
    pub fn open(&self, feeds: &Feeds, request: u64, now: Instant) {
        feeds.open(request, &self.view(&self.knobs.borrow(), now, false));
    }

    /// What is to be told on a WebSocket at `now`, in order.
    pub fn tell(&self, feeds: &Feeds, now: Instant) -> Vec<Plan> {
        let knobs = self.knobs.borrow();
        telling::plans(feeds.advance(&self.view(&knobs, now, false)), feeds, &knobs, &mut self.rng.borrow_mut())
    }

    /// Ends a WebSocket's subscriptions.
    pub fn forget(&self, feeds: &Feeds, connection: u64) {
        feeds.take_all().iter().for_each(|subject| self.attached(connection, Some(&subject.key()), false));
    }

    /// A WebSocket began or ended.
    pub fn connected(&self, connection: u64, is_open: bool) {
        self.attached(connection, None, is_open);
    }

    fn attached(&self, connection: u64, key: Option<&str>, is_open: bool) {
        if let Some(journal) = &self.journal {
            journal.attached(&Attached { provider: &self.name, connection, key, is_open });
        }
    }

    fn note(&self, request: u64, asked: &Asked<'_>, answered: &Answered<'_>, item: Option<usize>, fault: Option<Fault>) {
        let Some(journal) = &self.journal else { return };
        journal.received(&Received {
            provider: &self.name,
            request,
            connection: asked.connection,
            at: asked.now,
            method: answered.method().unwrap_or(""),
            id: answered.id().filter(|_| answered.call.is_some()).unwrap_or(b""),
            params: answered.params(),
            body: asked.body,
            item,
            fault,
            result: answered.reply.as_ref().ok().map(Vec::as_slice),
        });
    }
}

impl Answered<'_> {
    fn method(&self) -> Option<&str> {
        self.call.as_ref().and_then(|call| call.method.as_deref())
    }

    /// Raw; empty when absent.
    fn params(&self) -> &[u8] {
        self.call.as_ref().and_then(|call| call.params).map_or(b"", |params| params.get().as_bytes())
    }

    /// The id to answer with; `None`: a notification, which gets no answer.
    fn id(&self) -> Option<&[u8]> {
        match &self.call {
            None => Some(b"null"),
            Some(call) => call.id.map(|id| id.get().as_bytes()),
        }
    }
}

/// The steps of an answer, as its turn says; of a batch nothing is said twice.
fn turned(mut steps: Vec<Step>, turn: Option<AnswerTurn>, items: Option<&Items<'_>>) -> Vec<Step> {
    match turn {
        Some(AnswerTurn::IsLost) => steps.clear(),
        Some(AnswerTurn::IsFollowed(id)) => {
            let call = items.filter(|items| !items.batch).and_then(|items| parse(items.calls.first()?).ok());
            let request = call.and_then(|call| call.id).map_or("null", RawValue::get);
            let body = format!(r#"{{"jsonrpc":"2.0","id":{request},"result":"{id}"}}"#);
            steps.push(Step::Send(frames::message(body.as_bytes())));
        }
        None => {}
    }
    steps
}

fn hex_on(mut text: String, byte: &u8) -> String {
    text.push_str(&format!("{byte:02x}"));
    text
}

/// The calls of a body, raw.
struct Items<'a> {
    calls: Vec<&'a [u8]>,
    batch: bool,
}

impl Items<'_> {
    fn fit(&self, most: usize) -> bool {
        !self.batch || (1..=most).contains(&self.calls.len())
    }
}

fn split(body: &[u8]) -> Result<Items<'_>, RpcError> {
    let parse_error = |_| RpcError::new(-32700, "parse error");
    let whole: &RawValue = serde_json::from_slice(body).map_err(parse_error)?;
    if !whole.get().starts_with('[') {
        return Ok(Items { calls: vec![whole.get().as_bytes()], batch: false });
    }
    let items: Vec<&RawValue> = serde_json::from_str(whole.get()).map_err(parse_error)?;
    Ok(Items { calls: items.into_iter().map(|item| item.get().as_bytes()).collect(), batch: true })
}

fn parse(item: &[u8]) -> Result<RawCall<'_>, RpcError> {
    let call: RawCall<'_> = serde_json::from_slice(item).map_err(|_| RpcError::new(-32600, "invalid request"))?;
    match call.jsonrpc.as_deref() {
        Some("2.0") => Ok(call),
        _ => Err(RpcError::new(-32600, "invalid request: jsonrpc must be \"2.0\"")),
    }
}
