//! Events of subscriptions as they go out, right or wrong in the way a fault says. Pure: what happened and the manners go
//! in, what is put on the wire comes out; a connection's ill state (stalled, something held back) lives in its `Feeds`.

use super::feeds::{Event, Feeds};
use super::frames::{self, message, notification, send};
use super::framing::{End, Plan};
use super::identity::digest;
use super::knobs::{EventFault, Knobs, draw};
use crate::base::{rng::Rng, time::Duration};
use serde_json::Value;

/// What to send for `events`, in order. A fault that loses or moves events silently does so with all of a subscription's about
/// one block: that a single log is missing, or behind another, nobody could see.
pub fn plans(events: Vec<Event>, feeds: &Feeds, knobs: &Knobs, rng: &mut Rng) -> Vec<Plan> {
    let mut out = Vec::with_capacity(events.len());
    let (mut lost, mut strayed, mut previous, mut held_back) = (None, None, None, None);
    let mut held: Vec<Plan> = Vec::new();
    for event in events {
        let group = event.block.map(|block| (event.id.clone(), block));
        let is_same = |other: &Option<(String, (u64, bool))>| group.is_some() && *other == group;
        let is_later = is_same(&previous);
        let fault = draw(&knobs.event_faults, rng).filter(|fault| !(is_later && fault.is_of_whole_blocks()));
        previous = group.clone();
        if fault == Some(EventFault::Stall) {
            feeds.stall();
        }
        if feeds.is_stalled() || is_same(&lost) {
            continue;
        }
        let id = if is_same(&strayed) || fault == Some(EventFault::WrongId) { strange_id(rng) } else { event.id.clone() };
        let body = notification(&id, &event.result);
        let whole = || send(message(&body));
        if is_same(&held_back) {
            held.push(whole());
            continue;
        }
        match fault {
            None => out.push(whole()),
            Some(EventFault::Missing | EventFault::Stall) => {
                lost = group;
                continue;
            }
            Some(EventFault::WrongId) => {
                strayed = group;
                out.push(whole());
            }
            Some(EventFault::Foreign { above }) => {
                out.push(send(message(&notification(&id, &foreign(&event.result, above, rng)))))
            }
            Some(EventFault::Duplicate) => out.extend([whole(), whole()]),
            Some(EventFault::Reordered) => {
                out.append(&mut held);
                held.push(whole());
                held_back = group;
                continue;
            }
            Some(EventFault::HalfOpen) => out.push(Plan { delay: Duration::ZERO, steps: Vec::new(), end: End::Silence }),
            Some(EventFault::Close(code)) => out.push(frames::close(code)),
            Some(EventFault::BadFrame) => out.push(frames::broken(rng)),
            Some(EventFault::CutMessage) => out.push(frames::truncated(&body)),
        }
        // What was held back comes behind its successor.
        out.append(&mut held);
        held_back = None;
    }
    out.append(&mut held);
    out
}

/// A head of a chain that nobody else knows, in the place of this one; what is no head stays as it is.
fn foreign(result: &[u8], above: i64, rng: &mut Rng) -> Vec<u8> {
    let Ok(mut head) = serde_json::from_slice::<Value>(result) else { return result.to_vec() };
    let number = head["number"].as_str().and_then(|hex| u64::from_str_radix(hex.trim_start_matches("0x"), 16).ok());
    let Some(number) = number.filter(|_| head["parentHash"].is_string()) else { return result.to_vec() };
    head["number"] = format!("{:#x}", number.saturating_add_signed(above)).into();
    for name in ["hash", "parentHash"] {
        let hash = digest(&[rng.next()]);
        head[name] = hash.0.iter().fold(String::from("0x"), |hex, byte| format!("{hex}{byte:02x}")).into();
    }
    head.to_string().into_bytes()
}

/// Of no subscription.
fn strange_id(rng: &mut Rng) -> String {
    let hash = digest(&[rng.next()]);
    hash.0[..16].iter().fold(String::from("0x"), |id, byte| format!("{id}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::framing::Step;

    /// The numbers told when each of `0..faults.len()`, two to a block, meets its fault; -1 for what is no event of the
    /// subscription.
    fn told(faults: &[Option<EventFault>]) -> (Vec<i64>, Vec<End>) {
        let feeds = Feeds::default();
        let event = |number: usize| Event {
            id: "0xab".into(),
            block: Some((number as u64 / 2, false)),
            result: number.to_string().into_bytes(),
        };
        let plans = match faults {
            // Of one look, all under the same fault.
            [Some(fault)] => {
                let knobs = Knobs { event_faults: vec![(1_000_000, *fault)], ..Knobs::default() };
                plans((0..4).map(event).collect(), &feeds, &knobs, &mut Rng::new(3))
            }
            _ => {
                let knobs = |fault: &Option<EventFault>| Knobs {
                    event_faults: fault.iter().map(|fault| (1_000_000, *fault)).collect(),
                    ..Knobs::default()
                };
                let each = faults.iter().enumerate();
                each.flat_map(|(n, fault)| plans(vec![event(n)], &feeds, &knobs(fault), &mut Rng::new(3))).collect()
            }
        };
        let (mut numbers, mut ends) = (Vec::new(), Vec::new());
        for plan in plans {
            ends.push(plan.end);
            for step in plan.steps {
                let Step::Send(bytes) = step else { panic!("no pauses") };
                let body = serde_json::from_slice::<serde_json::Value>(&bytes[2..]).unwrap_or_default();
                let is_ours = body["params"]["subscription"] == "0xab";
                numbers.push(body["params"]["result"].as_i64().filter(|_| is_ours).unwrap_or(-1));
            }
        }
        ends.dedup();
        (numbers, ends)
    }

    /// Several events of one look: a fault at some of them only.
    #[test]
    fn a_blocks_logs_are_lost_and_moved_together() {
        for (fault, want) in [(EventFault::Missing, vec![2]), (EventFault::Reordered, vec![2, 0, 1])] {
            let knobs = Knobs { event_faults: vec![(300_000, fault)], ..Knobs::default() };
            let mut seen = Vec::new();
            for seed in 0..200 {
                let event =
                    |n: u64| Event { id: "0xab".into(), block: Some((7 + n / 2, false)), result: n.to_string().into_bytes() };
                let plans = plans(vec![event(0), event(1), event(2)], &Feeds::default(), &knobs, &mut Rng::new(seed));
                let number = |plan: &Plan| match plan.steps.first() {
                    Some(Step::Send(bytes)) => serde_json::from_slice::<serde_json::Value>(&bytes[2..]).expect("JSON"),
                    _ => panic!("bytes"),
                };
                seen.push(plans.iter().map(|plan| number(plan)["params"]["result"].as_u64()).collect::<Option<Vec<u64>>>());
            }
            let of = |list: &[u64]| seen.iter().filter(|seen| seen.as_deref() == Some(list)).count();
            assert!(of(&want) > 20 && of(&[0, 1, 2]) > 50 && of(&[0, 2]) + of(&[1, 2]) + of(&[1, 0, 2]) == 0, "{fault:?}");
        }
    }

    #[test]
    fn a_foreign_head_is_one_of_another_chain_and_nothing_else_is_touched() {
        let head = br#"{"number":"0x10","hash":"0xaa","parentHash":"0xbb","gasUsed":"0x5"}"#;
        let told = |result: &[u8]| serde_json::from_slice::<Value>(&foreign(result, 10_000, &mut Rng::new(1))).expect("JSON");
        let far = told(head);
        assert_eq!((far["number"].as_str(), far["gasUsed"].as_str()), (Some("0x2720"), Some("0x5")));
        assert!([&far["hash"], &far["parentHash"]].iter().all(|hash| hash.as_str().is_some_and(|hash| hash.len() == 66)));
        assert_ne!(far["hash"], far["parentHash"]);
        let log = br#"{"blockNumber":"0x10","blockHash":"0xaa"}"#;
        assert_eq!(foreign(log, 10_000, &mut Rng::new(1)), log);
    }

    #[test]
    fn each_fault_spoils_events_in_its_way() {
        use EventFault::*;
        let check = |faults: &[Option<EventFault>], want: &[i64], ends: &[End]| {
            assert_eq!(told(faults), (want.to_vec(), ends.to_vec()), "{faults:?}");
        };
        let open = &[End::KeepAlive];
        check(&[None, None], &[0, 1], open);
        check(&[None, Some(Missing), None], &[0, 2], open);
        check(&[Some(Duplicate), None], &[0, 0, 1], open);
        check(&[Some(Reordered)], &[0, 1, 2, 3], open);
        check(&[Some(WrongId)], &[-1, -1, -1, -1], open);
        check(&[Some(Missing)], &[], &[]);
        check(&[Some(WrongId), None], &[-1, 1], open);
        check(&[None, Some(Stall), None, None], &[0], open);
        check(&[None, Some(HalfOpen)], &[0], &[End::KeepAlive, End::Silence]);
        check(&[None, Some(Close(1012))], &[0, -1], &[End::KeepAlive, End::Close]);
        check(&[None, Some(Close(1006))], &[0], &[End::KeepAlive, End::Close]);
        check(&[None, Some(BadFrame)], &[0, -1], open);
        check(&[None, Some(CutMessage)], &[0, -1], &[End::KeepAlive, End::Reset]);
    }
}
