//! Events of subscriptions as they go out, right or wrong in the way a fault says. Pure: what happened and the manners go
//! in, what is put on the wire comes out; a connection's ill state (stalled, something held back) lives in its `Feeds`.

use super::feeds::{Event, Feeds};
use super::frames::{self, message, notification, send};
use super::framing::{End, Plan};
use super::identity::digest;
use super::knobs::{EventFault, Knobs, draw};
use crate::base::{rng::Rng, time::Duration};

/// What to send for `events`, in order.
pub fn plans(events: Vec<Event>, feeds: &Feeds, knobs: &Knobs, rng: &mut Rng) -> Vec<Plan> {
    let mut out = Vec::with_capacity(events.len());
    for event in events {
        let fault = draw(&knobs.event_faults, rng);
        if fault == Some(EventFault::Stall) {
            feeds.stall();
        }
        if feeds.is_stalled() {
            continue;
        }
        let body = notification(&event.id, &event.result);
        let whole = || send(message(&body));
        match fault {
            None => out.push(whole()),
            Some(EventFault::Missing | EventFault::Stall) => continue,
            Some(EventFault::Duplicate) => out.extend([whole(), whole()]),
            Some(EventFault::Reordered) => {
                out.extend(feeds.hold(message(&body)).map(send));
                continue;
            }
            Some(EventFault::WrongId) => out.push(send(message(&notification(&strange_id(rng), &event.result)))),
            Some(EventFault::HalfOpen) => out.push(Plan { delay: Duration::ZERO, steps: Vec::new(), end: End::Silence }),
            Some(EventFault::Close(code)) => out.push(frames::close(code)),
            Some(EventFault::BadFrame) => out.push(frames::broken(rng)),
            Some(EventFault::CutMessage) => out.push(frames::truncated(&body)),
        }
        // What was held back comes behind its successor.
        out.extend(feeds.release().map(send));
    }
    out
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

    /// The numbers told when each of `0..faults.len()` meets its fault; -1 for what is no event of the subscription.
    fn told(faults: &[Option<EventFault>]) -> (Vec<i64>, Vec<End>) {
        let feeds = Feeds::default();
        let (mut numbers, mut ends) = (Vec::new(), Vec::new());
        for (number, fault) in faults.iter().enumerate() {
            let knobs = Knobs { event_faults: fault.iter().map(|fault| (1_000_000, *fault)).collect(), ..Knobs::default() };
            let event = Event { id: "0xab".into(), result: number.to_string().into_bytes() };
            for plan in plans(vec![event], &feeds, &knobs, &mut Rng::new(3)) {
                ends.push(plan.end);
                for step in plan.steps {
                    let Step::Send(bytes) = step else { panic!("no pauses") };
                    let body = serde_json::from_slice::<serde_json::Value>(&bytes[2..]).unwrap_or_default();
                    let is_ours = body["params"]["subscription"] == "0xab";
                    numbers.push(body["params"]["result"].as_i64().filter(|_| is_ours).unwrap_or(-1));
                }
            }
        }
        ends.dedup();
        (numbers, ends)
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
        check(&[Some(Reordered), None, None], &[1, 0, 2], open);
        check(&[Some(Reordered), Some(Reordered), None], &[0, 2, 1], open);
        check(&[Some(WrongId), None], &[-1, 1], open);
        check(&[None, Some(Stall), None, None], &[0], open);
        check(&[None, Some(HalfOpen)], &[0], &[End::KeepAlive, End::Silence]);
        check(&[None, Some(Close(1012))], &[0, -1], &[End::KeepAlive, End::Close]);
        check(&[None, Some(Close(1006))], &[0], &[End::KeepAlive, End::Close]);
        check(&[None, Some(BadFrame)], &[0, -1], open);
        check(&[None, Some(CutMessage)], &[0, -1], &[End::KeepAlive, End::Reset]);
    }
}
