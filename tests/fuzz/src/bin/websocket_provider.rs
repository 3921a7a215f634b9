//! A WebSocket provider's bytes, from its answer to the upgrade on: no cut of them changes what they say or what is answered,
//! messages keep their bound, and whatever passes for an event is JSON.
#![no_main]

use lasso::wire::http::{Scan, UpgradeAnswer, scan_upgrade};
use lasso::wire::jsonrpc::{Inbound, sort_inbound};
use lasso::wire::websocket::{Event, Protocol};
use lasso_fuzz::{cuts, without_reasons};

const MOST: usize = 300;
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((bytes, cuts)) = cuts(data) else { return };
    let answer = scan_upgrade(bytes, 0, ACCEPT);
    let mut seen = 0;
    for end in cuts.iter().copied().filter(|end| *end < bytes.len()) {
        let early = scan_upgrade(&bytes[..end], seen, ACCEPT);
        assert!(early == Scan::NeedMore || early == answer);
        seen = if early == Scan::NeedMore { end } else { break };
    }
    let start = match answer {
        Scan::Done(UpgradeAnswer::Switched { len }) => len,
        _ => 0,
    };
    let whole = read([&bytes[start..]].into_iter());
    let parts = cuts.windows(2).map(|pair| &bytes[pair[0].max(start)..pair[1].max(start)]);
    assert_eq!(read(parts), whole);
    for event in &whole.0 {
        let Event::Message(message) = event else { continue };
        assert!(message.len() <= MOST);
        if let Inbound::Event { subscription, result } = sort_inbound(message) {
            assert!(!subscription.of(message).is_empty() || message.contains(&b'"'));
            assert!(serde_json::from_slice::<serde_json::Value>(result.of(message)).is_ok());
        }
    }
});

fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Vec<u8>, Option<u16>) {
    let (mut protocol, mut events, mut answers) = (Protocol::client(MOST), Vec::new(), Vec::new());
    for part in parts {
        protocol.feed(part);
        while let Some(event) = protocol.event() {
            events.push(event);
        }
        answers.extend(protocol.take_outgoing_masked([1, 2, 3, 4]));
    }
    (events, without_reasons(&answers, 4), protocol.close_code())
}
