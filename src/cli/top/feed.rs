//! News for `lasso top`, from two threads: one asks for pictures and gives orders, one listens to the node's events.
//!
//! The screen never waits for the node: it finds the newest news, and answers to its orders, whenever it looks. Words are
//! asked for twice as often as figures, so that what fails is seen within half a second and costs little.

use super::view::{Event, News, Target};
use super::whose::{self, Together, Whose};
use crate::base::limits;
use crate::base::time::Duration;
use crate::cli::ask::{Client, Fault, part};
use crate::cli::asking::Asking;
use crate::cli::breaker;
use crate::cli::picture::{self, Picture};
use crate::observe::question::Order;
use crate::runtime::background::{self, pause};
use crate::runtime::desk::{Desk, Ticket};
use crate::runtime::publish::{Published, Reader};
use crate::runtime::uring::process_now;
use crossbeam_queue::ArrayQueue;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

const HALF: Duration = Duration::from_millis(500);
/// How soon an order is noticed.
const LOOK: Duration = Duration::from_millis(25);
const RECONNECT: Duration = Duration::from_secs(2);
/// What people want to hear of; calls and heads are figures.
const TYPES: &str = "provider.circuit,provider.rate_limited,provider.misconfigured,provider.unreachable,provider.recovered,provider.chain,\
                     provider.fork,provider.lag,provider.caught_up,provider.connected,provider.disconnected,provider.silent,\
                     stream.leads,stream.lost,stream.closed,client.slow_consumer,node.ready,node.draining,node.panic,\
                     node.log_dropped,node.shortage,config.problem,cluster.node,cluster.order,\
                     cluster.refused,cluster.unavailable,cluster.nobody,cluster.events_lost";

/// Figures of several nodes cost those nodes work, and are no newer than the last that each has told.
const TOGETHER: Duration = Duration::from_secs(2);

/// What is on the screen: a provider in full, and whose figures.
#[derive(Clone, PartialEq, Eq, Default)]
struct Look {
    target: Option<Target>,
    whose: Whose,
}

type Orders = Desk<(Target, Order), Result<String, String>>;

pub struct Feed {
    news: Reader<News>,
    looked_at: Arc<Published<Look>>,
    orders: Arc<Orders>,
    events: Arc<ArrayQueue<Event>>,
}

impl Feed {
    /// The first picture is on the way when this returns.
    pub fn start(asking: &Asking) -> io::Result<Feed> {
        let (news, looked_at) = (Published::new(News::default()), Published::new(Look::default()));
        let (orders, events) = (Desk::new(4), Arc::new(ArrayQueue::new(limits::TOP_EVENTS)));
        let feed = Feed { news: news.reader(), looked_at: looked_at.clone(), orders: orders.clone(), events: events.clone() };
        let changed = Arc::new(ArrayQueue::new(1));
        let client = Client::new(&asking.node);
        let poller = Poller { client, asking: asking.clone(), news, looked_at, orders, changed: changed.clone() };
        background::start("pictures", move || poller.run())?;
        let client = Client::new(&asking.node);
        background::start("events", move || listen(&client, &events, &changed))?;
        Ok(feed)
    }

    pub fn newest(&mut self) -> Option<News> {
        self.news.refresh().then(|| self.news.held().as_ref().clone())
    }

    pub fn event(&self) -> Option<Event> {
        self.events.pop()
    }

    pub fn look_at(&self, target: Option<&Target>, whose: &Whose) {
        let look = Look { target: target.cloned(), whose: whose.clone() };
        if *self.looked_at.latest() != look {
            self.looked_at.publish(look);
        }
    }

    /// `None` when too many wait.
    pub fn give(&self, target: Target, order: Order) -> Option<Ticket<Result<String, String>>> {
        self.orders.ask((target, order))
    }
}

struct Poller {
    client: Client,
    asking: Asking,
    news: Arc<Published<News>>,
    looked_at: Arc<Published<Look>>,
    orders: Arc<Orders>,
    /// Something was told of that the picture does not show yet.
    changed: Arc<ArrayQueue<()>>,
}

impl Poller {
    fn run(&self) -> String {
        let mut last: Option<Picture> = None;
        let mut asked = None;
        loop {
            for is_whole in [true, false] {
                let (began, whose) = (process_now(), self.looked_at.latest().whose.clone());
                match &whose {
                    Whose::ThisNode => self.poll(&mut last, is_whole),
                    _ if asked.is_none_or(|at| began.since(at) >= TOGETHER) => {
                        asked = Some(began);
                        self.poll_together(&whose);
                    }
                    _ => {}
                }
                while process_now().since(began) < HALF {
                    // What an order changed, or an event told of, is shown at once.
                    let (is_done, is_changed) = (self.obey(), self.changed.pop().is_some());
                    if self.looked_at.latest().whose != whose {
                        (asked, last) = (None, None);
                        break;
                    }
                    if whose == Whose::ThisNode && (is_done || is_changed) {
                        self.poll(&mut last, is_done);
                    }
                    pause(LOOK);
                }
            }
        }
    }

    /// What several nodes do together, as this one knows it.
    fn poll_together(&self, whose: &Whose) {
        let at = Some(process_now());
        let Some(got) = whose::take(&self.client, &self.asking, whose) else { return };
        let problem = got.as_ref().err().map(Fault::to_string);
        let (picture, together): (Option<Picture>, Option<Together>) = got.ok().unzip();
        let (choices, whose) = (self.choices(), whose.clone());
        self.news.publish(News { picture, problem, at, whose, together, choices, ..News::default() });
    }

    /// Nothing where the node does not say.
    fn choices(&self) -> Vec<Whose> {
        self.client.get("/api/cluster").map(|cluster| whose::choices(&cluster)).unwrap_or_default()
    }

    fn poll(&self, last: &mut Option<Picture>, is_whole: bool) {
        let looked_at = self.looked_at.latest().target.clone();
        let got = match last.as_mut().filter(|_| !is_whole) {
            None => picture::take(&self.client, &self.asking),
            Some(last) => self.client.get("/api/status").map(|status| {
                last.refresh(&picture::of_status(&status));
                last.clone()
            }),
        };
        let methods = looked_at.as_ref().and_then(|target| self.methods(target).ok()).unwrap_or_default();
        let at = (is_whole || last.is_none()).then(process_now);
        let problem = got.as_ref().err().map(Fault::to_string);
        *last = got.ok();
        let picture = last.clone();
        let choices = if is_whole { self.choices() } else { Vec::new() };
        self.news.publish(News { picture, problem, methods, methods_of: looked_at, at, choices, ..News::default() });
    }

    fn methods(&self, target: &Target) -> Result<Vec<picture::MethodState>, Fault> {
        let path = format!("/api/metrics/{}?profile={}", part(&target.chain), part(&target.profile));
        Ok(picture::methods(&self.client.get(&path)?, &target.provider))
    }

    fn obey(&self) -> bool {
        let Some(((target, order), reply)) = self.orders.next() else { return false };
        let Target { profile, chain, provider } = &target;
        let given = breaker::give(&self.client, profile, [chain, provider], order, false);
        let told = |_| match order {
            Order::Open => format!("{provider} on {chain} is held open: it gets no calls until a gives it back"),
            Order::Close => format!("{provider} on {chain} is held closed until a gives it back"),
            Order::Auto => format!("{provider} on {chain} is left to the rules"),
        };
        reply.give(given.map(told).map_err(|fault| fault.to_string()));
        true
    }
}

/// Connects again for ever; after a break the node is asked for what was missed. A node alone hears of nobody else, and an older one
/// tells its own events only.
fn listen(client: &Client, events: &ArrayQueue<Event>, changed: &ArrayQueue<()>) -> String {
    let mut last_id = String::new();
    loop {
        if let Ok(stream) = client.stream(&format!("/api/events?scope=cluster&types={TYPES}"), &last_id) {
            read_events(stream, &mut last_id, |event| {
                drop(events.force_push(event));
                let _ = changed.force_push(());
            });
        }
        pause(RECONNECT);
    }
}

/// Until the stream ends or a line is too long to be one of a node.
fn read_events(stream: impl Read, last_id: &mut String, mut take: impl FnMut(Event)) {
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    let mut own_id = String::new();
    while let Ok(read) = (&mut reader).take(limits::TOP_EVENT_BYTES).read_line(&mut line) {
        if read == 0 || !line.ends_with('\n') {
            return;
        }
        if let Some(id) = line.strip_prefix("id:") {
            id.trim().clone_into(last_id);
        } else if let Some(data) = line.strip_prefix("data:") {
            let told: Value = serde_json::from_str(data.trim()).unwrap_or_default();
            if let Some(id) = told.get("node_id").and_then(Value::as_str) {
                id.clone_into(&mut own_id);
            }
            told.as_array().into_iter().flatten().for_each(|json| take(event(json, &own_id)));
        }
        line.clear();
    }
}

fn event(json: &Value, own_id: &str) -> Event {
    let text = |json: &Value, name: &str| json.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let about = |of: &Value| Target { profile: text(of, "profile"), chain: text(of, "chain"), provider: text(of, "id") };
    let transport = json.get("transport").and_then(Value::as_str).map_or(String::new(), |word| format!("over {word}: "));
    Event {
        timestamp: text(json, "timestamp"),
        name: text(json, "event"),
        level: text(json, "level"),
        message: format!("{transport}{}", text(json, "message")),
        elsewhere: Some(text(json, "node_id")).filter(|id| !id.is_empty() && id != own_id),
        about: json.get("providers").and_then(Value::as_array).into_iter().flatten().map(about).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_streams_are_read() {
        let mut last_id = String::new();
        let mut seen = Vec::new();
        let text = "event: hello\ndata: {\"node_id\":\"a\"}\n\n: still here\n\nid: 7-1\nevent: batch\ndata: [{\"event\":\"provider.circuit\",\
                    \"timestamp\":\"T\",\"level\":\"warn\",\"transport\":\"ws\",\"message\":\"circuit open\",\
                    \"node_id\":\"a\",\
                    \"providers\":[{\"profile\":\"p\",\"chain\":\"c\",\"id\":\"x\"}]},{\"event\":\"node.ready\",\"node_id\":\"b\"}]\n\nid: 7-2\ndata: [{}\n\ndata: tr";
        read_events(text.as_bytes(), &mut last_id, |event| seen.push(event));
        assert_eq!((last_id.as_str(), seen.len()), ("7-2", 2));
        let about = vec![Target { profile: "p".into(), chain: "c".into(), provider: "x".into() }];
        assert_eq!((seen[0].message.as_str(), &seen[0].about), ("over ws: circuit open", &about));
        assert_eq!((seen[1].name.as_str(), seen[1].about.len()), ("node.ready", 0));
        assert_eq!([&seen[0].elsewhere, &seen[1].elsewhere], [&None, &Some("b".to_owned())]);
    }
}
