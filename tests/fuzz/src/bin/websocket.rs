//! A WebSocket client's bytes: no cut of them changes what they say or what is answered, and messages keep their bound.
#![no_main]

use lasso::wire::websocket::{Event, Protocol};
use lasso_fuzz::{cuts, without_reasons};

const MOST: usize = 300;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((bytes, cuts)) = cuts(data) else { return };
    let whole = read([bytes].into_iter());
    let parts = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
    assert_eq!(read(parts), whole);
    for event in &whole.0 {
        assert!(!matches!(event, Event::Message(message) if message.len() > MOST));
    }
});

fn read<'a>(parts: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, Vec<u8>) {
    let (mut protocol, mut events, mut answers) = (Protocol::server(MOST), Vec::new(), Vec::new());
    for part in parts {
        protocol.feed(part);
        while let Some(event) = protocol.event() {
            events.push(event);
        }
        answers.extend(protocol.take_outgoing());
    }
    (events, without_reasons(&answers, 0))
}
