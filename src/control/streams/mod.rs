//! Subscriptions upstream of the shards: who follows which provider, and what its clients are told (docs/subscriptions.md).
//!
//! Three parts. A *feed* is one instance's subscription connection, or its polling: it says what it hears and knows no
//! client. A *follower* is what one route's clients hear of one chain: it chooses whose feed leads, and lets the machines of
//! `stream` decide what is emitted, fetched and closed. The *switchboard* stands between: it hands what feeds say to the
//! followers that listen, and sums up what they want of each feed, so an instance has one subscription of a kind whatever
//! the number of profiles, shards and clients. Switchboard and followers are step machines; what they want done comes out
//! as acts, and this file does them.

mod asking;
mod audience;
mod candidates;
mod feed;
mod fill;
mod follower;
mod leaders;
mod pace;
mod polling;
mod resuming;
mod sources;
mod subscribing;
mod switchboard;

use crate::base::ids::{ChannelId, InstanceId};
use crate::base::limits;
use crate::control::Announced;
use crate::health::sightings::SeenHead;
use crate::observe::report::{Event, Streaming};
use crate::runtime::mailbox::Inbox;
use crate::runtime::world::{Instant, World};
use crate::shard::{Bell, Shard, Word};
use crate::stream::event::Head;
use crate::stream::fanout::{Letter, Wish};
use feed::{Feed, FeedId, Mode, Said};
use fill::{Filled, Order};
use futures_util::future::{Either, select};
use pace::Pace;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::rc::Rc;
use switchboard::Switchboard;

/// What must be done for a step of the switchboard.
pub enum Act {
    /// The feed's wanted keys have changed.
    Feed(FeedId),
    Fill(Order),
    Post(usize, Letter),
    /// A head that nobody announced is told to clients.
    Seen(u64, Head),
    Tell(FeedId, Streaming),
}

/// What comes in between two steps, in the order in which it came.
#[derive(Default)]
pub struct News {
    said: RefCell<VecDeque<(FeedId, Said)>>,
    filled: RefCell<VecDeque<Filled>>,
    bell: Bell,
    /// Who hears what comes on an instance's WebSocket.
    ears: RefCell<BTreeMap<InstanceId, Rc<Feed>>>,
}

impl News {
    pub fn say(&self, feed: FeedId, said: Said) {
        self.said.borrow_mut().push_back((feed, said));
        self.bell.ring();
    }

    fn hear(&self, instance: InstanceId, word: Word) {
        if let Some(feed) = self.ears.borrow().get(&instance) {
            feed.hear(word);
        }
    }

    pub fn fill(&self, filled: Filled) {
        self.filled.borrow_mut().push_back(filled);
        self.bell.ring();
    }
}

struct Streams<W: World> {
    shard: Rc<Shard<W>>,
    announced: Rc<Announced>,
    news: Rc<News>,
    board: Switchboard,
    feeds: BTreeMap<FeedId, Rc<Feed>>,
    pace: Pace,
    /// By shard: letters that found its box full.
    held: Vec<VecDeque<Letter>>,
}

/// What feeds say goes through what knows them.
impl<W: World> Drop for Streams<W> {
    fn drop(&mut self) {
        self.news.ears.borrow_mut().clear();
    }
}

/// Serves wishes to the end of the process.
pub async fn run<W: World>(shard: Rc<Shard<W>>, mut wishes: Inbox<Wish>, announced: Rc<Announced>) {
    let board = Switchboard::new(&shard.latest().topology, &shard.node().settings.region, shard.stream_bug());
    let held = (0..shard.node().settings.shards).map(|_| VecDeque::new()).collect();
    let (world, news) = (shard.world().clone(), Rc::<News>::default());
    let ears = news.clone();
    shard.links().listen(move |instance, word| ears.hear(instance, word));
    let mut streams =
        Streams { shard, announced, news: news.clone(), board, feeds: BTreeMap::new(), pace: Pace::default(), held };
    loop {
        while let Some(wish) = wishes.try_receive() {
            streams.board.on_wish(wish, world.now());
        }
        let due = pin!(world.sleep_until(streams.step()));
        let came = pin!(news.bell.heard());
        if let Either::Left((wish, _)) = select(pin!(wishes.receive()), select(came, due)).await {
            let Ok(wish) = wish else { return };
            streams.board.on_wish(wish, world.now());
        }
    }
}

impl<W: World> Streams<W> {
    /// Does what there is to do; says when to do so again without news.
    fn step(&mut self) -> Instant {
        let now = self.shard.world().now();
        self.board.see(self.shard.latest());
        while let Some((feed, said)) = { self.news.said.borrow_mut().pop_front() } {
            self.tell(feed, &said, now);
            self.board.on_said(feed, said, now);
        }
        while let Some(filled) = { self.news.filled.borrow_mut().pop_front() } {
            self.board.on_filled(filled, now);
        }
        // Logs are told as fast as the slowest shard takes them: half of what it may let wait is left to everything else.
        let waiting = self.held.iter().map(VecDeque::len).max().unwrap_or(0);
        let room = (limits::LETTERS_HELD / 2).saturating_sub(waiting);
        for act in self.board.step(now, room) {
            self.act(act);
        }
        self.post_held();
        for (feed, state) in self.pace.changed(now, |feed| self.board.subscriptions(feed)) {
            self.shard.tell(Event::Feed { channel: feed.channel(), state });
        }
        self.shard.set_stream_load(self.board.load());
        let is_held = self.board.has_more() || self.held.iter().any(|letters| !letters.is_empty());
        let again = if is_held { now.plus_ms(limits::SWEEP_MS) } else { now.plus_ms(limits::IDLE_SWEEP_MS) };
        self.board.wake_at().min(again)
    }

    /// What a feed's words mean for routing.
    fn tell(&mut self, feed: FeedId, said: &Said, now: Instant) {
        if let Said::Head(head) = said {
            self.announced.note(feed.instance, now);
            self.pace.on_head(feed, head, now);
            self.shard.tell(Event::Head { instance: feed.instance, height: head.number });
            let number = self.shard.latest().topology.instances.get(feed.instance).map(|i| i.chain_number);
            self.tell_shards(number, Some(feed.channel()), head);
        }
    }

    /// Every shard knows who has a block before its clients hear of it. One that does not keep up goes without: its
    /// calls go by the usual order.
    fn tell_shards(&mut self, chain_number: Option<u64>, channel: Option<ChannelId>, head: &Head) {
        let Some(chain_number) = chain_number else { return };
        let seen = SeenHead { hash: head.hash.0, height: head.number, bloom: head.bloom.clone() };
        let letter = Letter::Seen { chain_number, channel, head: seen };
        for held in self.held.iter_mut().filter(|held| held.len() < limits::LETTERS) {
            held.push_back(letter.clone());
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Fill(order) => self.shard.world().spawn("fill", fill::carry_out(self.shard.clone(), order, self.news.clone())),
            Act::Post(shard, letter) => self.post(shard, letter),
            Act::Seen(chain_number, head) => self.tell_shards(Some(chain_number), None, &head),
            Act::Tell(feed, what) => self.shard.tell(Event::Streaming { channel: feed.channel(), what }),
            Act::Feed(id) => {
                let (wanted, is_urgent) = self.board.wanted(id);
                // One that still closes its connection is taken up again: never two at once.
                match self.feeds.get(&id).filter(|feed| !feed.has_ended()) {
                    Some(feed) => feed.want(wanted, is_urgent),
                    None if wanted.is_empty() => {}
                    None => {
                        let feed = Feed::start(&self.shard, id, self.news.clone(), wanted, is_urgent);
                        if let Some(before) = self.feeds.get(&id) {
                            feed.take_over(before);
                        }
                        if id.mode == Mode::Subscribing {
                            self.news.ears.borrow_mut().insert(id.instance, feed.clone());
                        }
                        self.feeds.insert(id, feed);
                    }
                }
            }
        }
    }

    fn post(&mut self, shard: usize, letter: Letter) {
        let Some(held) = self.held.get_mut(shard) else { return };
        held.push_back(letter);
        if held.len() > limits::LETTERS_HELD {
            held.clear();
            held.push_back(Letter::Cut);
            self.board.forget_shard(shard as u16, self.shard.world().now());
        }
    }

    fn post_held(&mut self) {
        for (shard, held) in self.held.iter_mut().enumerate() {
            while let Some(letter) = held.pop_front() {
                if let Err(letter) = self.shard.node().letters.post(shard, letter) {
                    held.push_front(letter);
                    break;
                }
            }
        }
    }
}
