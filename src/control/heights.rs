//! What a height far above the chain's rests on: its block, and the chain that this block is on.
//!
//! Whoever claims such a height is asked for the block, which a boaster does not have. Where at least two others are far
//! below, that is not enough, for another chain has blocks of every height: the claimant is asked for the block at a height
//! that both of the highest others have, and so are they. The same hash at one of them: it is on their chain, and ahead of
//! them. Another one than both of them, which agree: it is on another chain, and comes last until that has changed.
//! One question to each decides, because a hash covers all that is below it; what it means is `health::heads`'s.
//! Rejected: waiting until the others come to that height (two that are stuck behind one upstream never do), walking from
//! their block up to the claimed one (its blocks are its own word in any case).
//! How it fails: blocks that are invented above the true chain pass; where the others' block was dropped by the chain, one
//! that is right does not, until they have moved.

use crate::base::limits;
use crate::chain::{hex, method};
use crate::control::Watched;
use crate::observe::report::Event;
use crate::runtime::world::World;
use crate::shard::{Found, Shard, inquire};
use crate::snapshot::{Height, Snapshot};

/// The block of the claimed height is served, with a time that can be: told, and `true`.
pub(super) async fn verify<W: World>(shard: &Shard<W>, watched: Watched, height: u64) -> bool {
    let latest_s = shard.world().wall().0 / 1_000 + limits::BLOCK_AHEAD_S;
    let is_served = block_at(shard, watched, height).await.is_some_and(|block| block.timestamp_s <= latest_s);
    if is_served {
        shard.tell(Event::HeadServed { instance: watched.channel.instance(), height, is_shared: false });
    }
    is_served
}

/// The two highest of the others, and a height that both of them have.
pub(super) struct Rivals {
    height: u64,
    channels: [Watched; 2],
}

/// Whom a claim is held against; `None`: somebody is near it, or there are not two others.
pub(super) fn rivals(snapshot: &Snapshot, channels: &[Watched], claimant: Watched, height: u64) -> Option<Rivals> {
    let own = claimant.channel.instance();
    let others = channels.iter().filter(|other| other.polls_head && other.channel.instance() != own);
    let known = others.filter_map(|other| Some((*other, snapshot.height_of(other.entry, other.channel)?)));
    highest_two(known.collect(), height)
}

fn highest_two(mut others: Vec<(Watched, Height)>, height: u64) -> Option<Rivals> {
    others.retain(|(_, at)| at.reported > 0);
    if others.iter().any(|(_, at)| height <= at.optimistic.saturating_add(limits::HEAD_SLACK_BLOCKS)) {
        return None;
    }
    others.sort_unstable_by_key(|(other, at)| (std::cmp::Reverse(at.reported), other.channel));
    let [(first, _), (second, lower), ..] = others.as_slice() else { return None };
    Some(Rivals { height: lower.reported, channels: [*first, *second] })
}

/// Tells that the claim is of a chain that another provider is on too, or that it is not, by a block on which both others
/// agree. Whoever rests is left alone, and whoever has not answered says nothing.
pub(super) async fn compare<W: World>(shard: &Shard<W>, claimant: Watched, height: u64, rivals: Rivals) {
    let may_be_asked = |of: Watched| shard.latest().may_be_asked(of.entry, of.channel.transport());
    if !may_be_asked(claimant) {
        return;
    }
    let Some(own) = block_at(shard, claimant, rivals.height).await else { return };
    let (mut others, instance) = (Vec::new(), claimant.channel.instance());
    for rival in rivals.channels.into_iter().filter(|rival| may_be_asked(*rival)) {
        let theirs = block_at(shard, rival, rivals.height).await;
        if theirs.as_ref().is_some_and(|theirs| own.is_same(theirs)) {
            return shard.tell(Event::HeadServed { instance, height, is_shared: true });
        }
        others.extend(theirs);
    }
    if let [one, other] = others.as_slice()
        && one.is_same(other)
        && own.hash.is_some()
    {
        shard.tell(Event::HeadForked { instance, height: rivals.height });
    }
}

async fn block_at<W: World>(shard: &Shard<W>, watched: Watched, height: u64) -> Option<ServedBlock> {
    let transport = watched.channel.transport();
    let question =
        format!(r#"{{"jsonrpc":"2.0","id":"lasso-block","method":"eth_getBlockByNumber","params":["{height:#x}",false]}}"#);
    let method = method::lookup(b"eth_getBlockByNumber");
    let found = inquire(shard, watched.entry, transport, method, question.as_bytes(), limits::PROBE_TIMEOUT_MS).await;
    let Found::Result(result, _) = found else { return None };
    ServedBlock::read(&result).filter(|block| block.number == height)
}

/// What is looked at of a block object.
#[derive(Clone, PartialEq, Eq, Debug)]
struct ServedBlock {
    number: u64,
    timestamp_s: u64,
    hash: Option<Box<str>>,
}

impl ServedBlock {
    fn read(result: &[u8]) -> Option<ServedBlock> {
        #[derive(serde::Deserialize)]
        struct Object {
            number: Box<str>,
            timestamp: Box<str>,
            hash: Option<Box<str>>,
        }
        let object: Object = serde_json::from_slice(result).ok()?;
        let number = hex::parse_quantity(object.number.as_bytes())?;
        let timestamp_s = hex::parse_quantity(object.timestamp.as_bytes())?;
        Some(ServedBlock { number, timestamp_s, hash: object.hash })
    }

    /// Both say a hash, and the same one.
    fn is_same(&self, other: &ServedBlock) -> bool {
        self.hash.as_ref().zip(other.hash.as_ref()).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{ChannelId, EntryId, InstanceId, Transport};

    #[test]
    fn blocks_are_read_strictly() {
        let check = |result: &str, want: Option<(u64, u64, Option<&str>)>| {
            let block = ServedBlock::read(result.as_bytes());
            let got = block.as_ref().map(|block| (block.number, block.timestamp_s, block.hash.as_deref()));
            assert_eq!(got, want, "{result}");
        };
        let whole = r#"{"hash":"0xab","number":"0x10","timestamp":"0x5","transactions":[]}"#;
        check(whole, Some((16, 5, Some("0xab"))));
        check(r#"{"hash":null,"number":"0x10","timestamp":"0x5"}"#, Some((16, 5, None)));
        check(r#"{"number":"0x10","timestamp":"0x5"}"#, Some((16, 5, None)));
        for wrong in ["null", "{}", "17", r#"{"hash":"0xab","number":"0x10"}"#, r#"{"number":16}"#, r#"{"number":null}"#, ""] {
            check(wrong, None);
        }
        let read = |text: &str| ServedBlock::read(text.as_bytes()).expect("a block");
        let (block, nameless) = (read(whole), read(r#"{"number":"0x10","timestamp":"0x5"}"#));
        assert!(block.is_same(&read(&whole.replace("0xab", "0xAB"))) && !block.is_same(&read(&whole.replace("0xab", "0xac"))));
        assert!(!nameless.is_same(&nameless) && !block.is_same(&nameless));
    }

    #[test]
    fn a_claim_is_held_against_the_two_highest_others_where_nobody_is_near() {
        let check = |others: &[(u64, u64)], want: Option<(u64, [u16; 2])>| {
            let row = |(n, (reported, optimistic)): (u16, &(u64, u64))| {
                let channel = ChannelId::of(InstanceId(n), Transport::Http);
                let watched = Watched { channel, entry: EntryId(0), interval_ms: 1, chain_number: 1, polls_head: true };
                (watched, Height { reported: *reported, optimistic: *optimistic, lag: 0 })
            };
            let got = highest_two((0..).zip(others).map(row).collect(), 150);
            let got = got.map(|rivals| (rivals.height, rivals.channels.map(|of| of.channel.instance().0)));
            assert_eq!(got, want, "{others:?}");
        };
        check(&[(100, 101), (99, 101)], Some((99, [0, 1])));
        check(&[(90, 90), (100, 101), (99, 146)], Some((99, [1, 2])));
        check(&[(100, 101)], None);
        check(&[(100, 101), (0, 0)], None);
        check(&[(100, 101), (99, 147)], None);
        check(&[(100, 101), (99, 101), (160, 160)], None);
        check(&[], None);
    }
}
