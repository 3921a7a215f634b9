//! What is said inside a sealed datagram: one frame, a byte for its kind and its fields after it.
//!
//! Whoever reads skips what follows the fields it knows, so a later version may add some at the end; a kind that it does not
//! know is counted and ignored. Fields that vary have a length before them and a bound. Written by hand: ten kinds need no
//! code generator, and a reader that cannot ask for memory needs no trust.

use super::advice::{Advice, AdviceKind, AdviceWord, SharedOrder, UpstreamKey};
use super::digest::DigestTopic;
use super::seal::PLAIN_BYTES_MAX;
use super::secret::SessionId;
use crate::base::ids::Transport;
use crate::observe::question::Order;
use arrayvec::ArrayString;

/// A number that nobody can guess, used once. All zeros: none.
pub type Freshness = [u8; 16];
pub const NO_FRESHNESS: Freshness = [0; 16];

/// Names of nodes and regions are checked to be no longer when a node starts.
pub const NAME_BYTES: usize = 128;
const VERSION_BYTES: usize = 32;

/// What a node says of itself when it is asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeCard {
    pub node_id: ArrayString<NAME_BYTES>,
    pub region: ArrayString<NAME_BYTES>,
    /// The program's version.
    pub version: ArrayString<VERSION_BYTES>,
    /// The version of what nodes tell each other; a later one has more fields.
    pub schema: u16,
    pub config_revision: u64,
}

/// The schema that this version speaks, and the first ones that have figures, and news of what happens.
pub const SCHEMA: u16 = 3;
pub const SCHEMA_OF_DIGESTS: u16 = 2;
pub const SCHEMA_OF_NEWS: u16 = 3;

impl NodeCard {
    /// Texts are cut to what fits.
    pub fn new(node_id: &str, region: &str, version: &str, config_revision: u64) -> NodeCard {
        let [node_id, region] = [cut(node_id), cut(region)];
        NodeCard { node_id, region, version: cut(version), schema: SCHEMA, config_revision }
    }
}

/// What of `text` fits.
pub(super) fn cut<const N: usize>(text: &str) -> ArrayString<N> {
    let mut out = ArrayString::new();
    text.chars().take_while(|c| out.try_push(*c).is_ok()).for_each(drop);
    out
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// Strangers meet: `mine` is to be given back, `yours` is what was given.
    Meet { mine: Freshness, yours: Freshness },
    /// The membership protocol's own message.
    Membership(Vec<u8>),
    /// How are you?
    Check { number: u64 },
    /// The answer, with the answering node's clock.
    Answer { number: u64, wall_ms: u64, card: Box<NodeCard> },
    /// The node ends.
    Bye,
    /// Which parts of your figures are wanted.
    DigestAsk(DigestAsk),
    /// One of them.
    DigestPart(DigestPart),
    /// What the node advises of providers.
    Advice(Box<Advice>),
    /// What has happened at you?
    NewsAsk(NewsAsk),
    /// A piece of that.
    NewsPart(NewsPart),
}

/// A question for figures: all of them, or what has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DigestAsk {
    /// Comes back with each part.
    pub number: u64,
    /// The publication that the asking node has whole; 0: none.
    pub have: u64,
    /// The one that it is being told; 0: the newest.
    pub publication: u64,
    /// The parts that are wanted: bit n stands for part `first` + n.
    pub first: u16,
    pub wanted: u64,
    /// What they are about.
    pub topic: DigestTopic,
}

/// Bytes of an answer, to be put together by their places. Of no publication, and no parts: there is none yet, ask again soon.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DigestPart {
    pub number: u64,
    /// The publication that this is the difference to; 0: it is whole.
    pub base: u64,
    pub publication: u64,
    pub index: u16,
    pub count: u16,
    /// How old the figures are.
    pub age_ms: u32,
    pub bytes: Vec<u8>,
}

/// What of an answer one datagram holds, beside kind, numbers and length.
pub const DIGEST_PART_BYTES: usize = PLAIN_BYTES_MAX - (1 + 3 * 8 + 2 * 2 + 4 + 2);

/// A question for events from number `next` on; of that one `skip` bytes are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NewsAsk {
    /// Comes back with each part.
    pub number: u64,
    pub next: u64,
    pub skip: u32,
}

/// A piece of an event: its number, where the piece stands in it, and how long it is. No length: there is no newer event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NewsPart {
    pub number: u64,
    /// The number of the oldest event that is kept, and the one that the next gets.
    pub oldest: u64,
    pub end: u64,
    pub event: u64,
    pub skip: u32,
    pub length: u32,
    /// How many parts of this answer follow.
    pub left: u8,
    pub bytes: Vec<u8>,
}

/// What of an event one datagram holds, beside kind, numbers and length.
pub const NEWS_PART_BYTES: usize = PLAIN_BYTES_MAX - (1 + 4 * 8 + 2 * 4 + 1 + 2);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoFrame {
    /// Cut off, or a text that is none.
    Unreadable,
    /// A later version's kind of message.
    OtherKind,
}

impl Frame {
    pub fn write(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        match self {
            Frame::Meet { mine, yours } => {
                out.push(1);
                out.extend_from_slice(mine);
                out.extend_from_slice(yours);
            }
            Frame::Membership(message) => {
                out.push(2);
                // Longer than that is no datagram: sealing refuses it.
                out.extend_from_slice(&(message.len() as u16).to_be_bytes());
                out.extend_from_slice(message);
            }
            Frame::Check { number } => {
                out.push(3);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Frame::Answer { number, wall_ms, card } => {
                out.push(4);
                out.extend_from_slice(&number.to_be_bytes());
                out.extend_from_slice(&wall_ms.to_be_bytes());
                out.extend_from_slice(&card.schema.to_be_bytes());
                out.extend_from_slice(&card.config_revision.to_be_bytes());
                for text in [card.node_id.as_str(), card.region.as_str(), card.version.as_str()] {
                    out.push(text.len() as u8);
                    out.extend_from_slice(text.as_bytes());
                }
            }
            Frame::Bye => out.push(5),
            Frame::DigestAsk(ask) => ask.write(&mut out),
            Frame::DigestPart(part) => part.write(&mut out),
            Frame::Advice(advice) => {
                out.push(8);
                write_advice(&mut out, advice);
            }
            Frame::NewsAsk(ask) => ask.write(&mut out),
            Frame::NewsPart(part) => part.write(&mut out),
        }
        out
    }

    pub fn read(bytes: &[u8]) -> Result<Frame, NoFrame> {
        let mut fields = FrameFields(bytes);
        let kind = fields.byte().ok_or(NoFrame::Unreadable)?;
        let frame = match kind {
            1 => fields.array().zip(fields.array()).map(|(mine, yours)| Frame::Meet { mine, yours }),
            2 => {
                let length = fields.array().map(u16::from_be_bytes);
                length.and_then(|n| fields.take(usize::from(n))).map(|message| Frame::Membership(message.to_vec()))
            }
            3 => fields.number().map(|number| Frame::Check { number }),
            4 => fields.answer(),
            5 => Some(Frame::Bye),
            6 => fields.digest_ask().map(Frame::DigestAsk),
            7 => fields.digest_part().map(Frame::DigestPart),
            8 => fields.advice().map(|advice| Frame::Advice(Box::new(advice))),
            9 => fields.news_ask().map(Frame::NewsAsk),
            10 => fields.news_part().map(Frame::NewsPart),
            _ => return Err(NoFrame::OtherKind),
        };
        frame.ok_or(NoFrame::Unreadable)
    }
}

/// Words have one length, so that one of a kind that is not known yet can be skipped.
fn write_advice(out: &mut Vec<u8>, advice: &Advice) {
    // Whoever makes one keeps it to what a datagram takes.
    out.push(advice.words.len() as u8);
    for word in &advice.words {
        write_upstream(out, word.upstream);
        out.extend_from_slice(&[word.transport as u8, word.kind.code()]);
        out.extend_from_slice(&word.value.to_be_bytes());
    }
    out.push(advice.orders.len() as u8);
    for order in &advice.orders {
        write_upstream(out, order.upstream);
        out.push(order_code(order.order));
        out.extend_from_slice(&order.number.to_be_bytes());
        out.extend_from_slice(&order.session.0);
        out.push(order.node_id.len() as u8);
        out.extend_from_slice(order.node_id.as_bytes());
    }
}

fn write_upstream(out: &mut Vec<u8>, upstream: UpstreamKey) {
    out.extend_from_slice(&upstream.chain_number.to_be_bytes());
    out.extend_from_slice(&upstream.tag.to_be_bytes());
}

fn order_code(order: Order) -> u8 {
    match order {
        Order::Open => 1,
        Order::Close => 2,
        Order::Auto => 3,
    }
}

impl DigestAsk {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(6);
        for number in [self.number, self.have, self.publication] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.first.to_be_bytes());
        out.extend_from_slice(&self.wanted.to_be_bytes());
        out.extend_from_slice(&self.topic.chain_number.to_be_bytes());
        out.push(self.topic.profile.len() as u8);
        out.extend_from_slice(self.topic.profile.as_bytes());
    }
}

impl DigestPart {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(7);
        for number in [self.number, self.base, self.publication] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.index.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        out.extend_from_slice(&self.age_ms.to_be_bytes());
        out.extend_from_slice(&(self.bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }
}

impl NewsAsk {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(9);
        out.extend_from_slice(&self.number.to_be_bytes());
        out.extend_from_slice(&self.next.to_be_bytes());
        out.extend_from_slice(&self.skip.to_be_bytes());
    }
}

impl NewsPart {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(10);
        for number in [self.number, self.oldest, self.end, self.event] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(&self.skip.to_be_bytes());
        out.extend_from_slice(&self.length.to_be_bytes());
        out.push(self.left);
        out.extend_from_slice(&(self.bytes.len() as u16).to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }
}

/// What is left to read. A field that is not there whole is none.
struct FrameFields<'a>(&'a [u8]);

impl<'a> FrameFields<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// What people read: no longer than its bound, and without control characters.
    fn text<const N: usize>(&mut self) -> Option<ArrayString<N>> {
        let length = self.byte()?;
        let text = std::str::from_utf8(self.take(usize::from(length))?).ok()?;
        ArrayString::from(text).ok().filter(|_| !text.chars().any(char::is_control))
    }

    fn upstream(&mut self) -> Option<UpstreamKey> {
        Some(UpstreamKey { chain_number: self.number()?, tag: u32::from_be_bytes(self.array()?) })
    }

    fn advice(&mut self) -> Option<Advice> {
        let mut advice = Advice::default();
        for _ in 0..self.byte()? {
            advice.words.extend(self.word()?);
        }
        for _ in 0..self.byte()? {
            advice.orders.extend(self.order()?);
        }
        Some(advice)
    }

    /// Nothing inside: a kind that only a later version knows.
    fn word(&mut self) -> Option<Option<AdviceWord>> {
        let upstream = self.upstream()?;
        let ([transport, kind], value) = (self.array()?, self.number()?);
        let transport = [Transport::Http, Transport::Ws].into_iter().find(|known| *known as u8 == transport);
        let kind = AdviceKind::ALL.into_iter().find(|known| known.code() == kind);
        Some(transport.zip(kind).map(|(transport, kind)| AdviceWord { upstream, transport, kind, value }))
    }

    fn order(&mut self) -> Option<Option<SharedOrder>> {
        let (upstream, code) = (self.upstream()?, self.byte()?);
        let (number, session, node_id) = (self.number()?, SessionId(self.array()?), self.text()?);
        let order = [Order::Open, Order::Close, Order::Auto].into_iter().find(|known| order_code(*known) == code);
        Some(order.map(|order| SharedOrder { upstream, order, number, session, node_id }))
    }

    fn answer(&mut self) -> Option<Frame> {
        let (number, wall_ms) = (self.number()?, self.number()?);
        let (schema, config_revision) = (u16::from_be_bytes(self.array()?), self.number()?);
        let card = NodeCard { schema, config_revision, node_id: self.text()?, region: self.text()?, version: self.text()? };
        Some(Frame::Answer { number, wall_ms, card: Box::new(card) })
    }

    fn digest_ask(&mut self) -> Option<DigestAsk> {
        let (number, have, publication) = (self.number()?, self.number()?, self.number()?);
        let first = u16::from_be_bytes(self.array()?);
        let (wanted, chain_number) = (self.number()?, self.number()?);
        let topic = DigestTopic { chain_number, profile: self.text()? };
        Some(DigestAsk { number, have, publication, first, wanted, topic })
    }

    fn news_ask(&mut self) -> Option<NewsAsk> {
        let (number, next) = (self.number()?, self.number()?);
        Some(NewsAsk { number, next, skip: u32::from_be_bytes(self.array()?) })
    }

    fn news_part(&mut self) -> Option<NewsPart> {
        let (number, oldest) = (self.number()?, self.number()?);
        let (end, event) = (self.number()?, self.number()?);
        let [skip, length] = [self.array()?, self.array()?].map(u32::from_be_bytes);
        let left = self.byte()?;
        let bytes = usize::from(u16::from_be_bytes(self.array()?));
        Some(NewsPart { number, oldest, end, event, skip, length, left, bytes: self.take(bytes)?.to_vec() })
    }

    fn digest_part(&mut self) -> Option<DigestPart> {
        let (number, base, publication) = (self.number()?, self.number()?, self.number()?);
        let [index, count] = [self.array()?, self.array()?].map(u16::from_be_bytes);
        let age_ms = u32::from_be_bytes(self.array()?);
        let length = usize::from(u16::from_be_bytes(self.array()?));
        let bytes = self.take(length)?.to_vec();
        Some(DigestPart { number, base, publication, index, count, age_ms, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::super::advice::{ORDERS_AT_ONCE, WORDS_AT_ONCE};
    use super::super::seal::PLAIN_BYTES_MIN;
    use super::*;

    fn all() -> Vec<Frame> {
        let long = "x".repeat(300);
        vec![
            Frame::Meet { mine: [1; 16], yours: NO_FRESHNESS },
            Frame::Membership(vec![1, 2, 3]),
            Frame::Membership(Vec::new()),
            Frame::Check { number: u64::MAX },
            Frame::Answer { number: 1, wall_ms: 2, card: Box::new(NodeCard::new("eu-1", "eu", "0.1.0", 7)) },
            Frame::Answer { number: 1, wall_ms: 2, card: Box::new(NodeCard::new(&long, &long, &long, 7)) },
            Frame::Bye,
            Frame::DigestAsk(DigestAsk {
                number: 1,
                have: 2,
                publication: 3,
                first: 4,
                wanted: u64::MAX,
                topic: DigestTopic::new("default", 1),
            }),
            Frame::DigestPart(DigestPart {
                number: 1,
                base: 2,
                publication: 3,
                index: 4,
                count: 5,
                age_ms: 6,
                bytes: vec![7; 9],
            }),
            Frame::Advice(Box::default()),
            Frame::NewsAsk(NewsAsk { number: 1, next: u64::MAX, skip: 2 }),
            Frame::NewsPart(NewsPart { number: 1, oldest: 2, end: 9, event: 3, skip: 4, length: 5, left: 6, bytes: vec![7; 9] }),
            Frame::Advice(Box::new(full_advice())),
        ]
    }

    /// As much as is said at once.
    fn full_advice() -> Advice {
        let upstream = UpstreamKey { chain_number: u64::MAX, tag: 7 };
        let (transport, kind) = (Transport::Ws, AdviceKind::Depth);
        let node_id = NodeCard::new(&"x".repeat(300), "", "", 0).node_id;
        let order = SharedOrder { upstream, order: Order::Auto, number: 3, session: SessionId([9; 16]), node_id };
        Advice {
            words: vec![AdviceWord { upstream, transport, kind, value: 5 }; WORDS_AT_ONCE],
            orders: vec![order; ORDERS_AT_ONCE],
        }
    }

    #[test]
    fn the_largest_part_fills_a_datagram() {
        let part = DigestPart { bytes: vec![1; DIGEST_PART_BYTES], ..DigestPart::default() };
        assert_eq!(Frame::DigestPart(part).write().len(), PLAIN_BYTES_MAX);
        let part = NewsPart { bytes: vec![1; NEWS_PART_BYTES], ..NewsPart::default() };
        assert_eq!(Frame::NewsPart(part).write().len(), PLAIN_BYTES_MAX);
    }

    #[test]
    fn what_is_written_is_read_and_later_fields_are_skipped() {
        for frame in all() {
            let mut bytes = frame.write();
            assert!(bytes.len() + 32 < PLAIN_BYTES_MAX, "{frame:?}");
            assert_eq!(Frame::read(&bytes), Ok(frame.clone()));
            bytes.extend_from_slice(b"a field of a later version");
            assert_eq!(Frame::read(&bytes), Ok(frame));
        }
        assert_eq!(Frame::Meet { mine: [1; 16], yours: [2; 16] }.write().len(), PLAIN_BYTES_MIN);
    }

    #[test]
    fn what_is_cut_is_unreadable_and_what_is_new_is_told_apart() {
        for frame in all() {
            let bytes = frame.write();
            for length in 0..bytes.len() {
                assert_eq!(Frame::read(&bytes[..length]), Err(NoFrame::Unreadable), "{frame:?} cut to {length}");
            }
        }
        assert_eq!(Frame::read(&[99, 1, 2, 3]), Err(NoFrame::OtherKind));
    }

    #[test]
    fn words_and_orders_of_a_later_version_are_skipped() {
        let mut advice = full_advice();
        advice.words.truncate(2);
        advice.orders.truncate(2);
        let mut bytes = Frame::Advice(Box::new(advice.clone())).write();
        bytes[2 + 13] = 99; // the first word's kind
        bytes[2 + 2 * 22 + 1 + 12] = 99; // what the first order wants
        advice.words.remove(0);
        advice.orders.remove(0);
        assert_eq!(Frame::read(&bytes), Ok(Frame::Advice(Box::new(advice))));
    }

    #[test]
    fn texts_for_people_have_no_control_characters() {
        let mut bytes = Frame::Answer { number: 1, wall_ms: 2, card: Box::new(NodeCard::new("eu-1", "eu", "0.1.0", 7)) }.write();
        let at = bytes.windows(4).position(|w| w == b"eu-1").unwrap();
        bytes[at] = b'\n';
        assert_eq!(Frame::read(&bytes), Err(NoFrame::Unreadable));
        bytes[at] = 0xff;
        assert_eq!(Frame::read(&bytes), Err(NoFrame::Unreadable));
    }
}
