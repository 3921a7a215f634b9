//! Every fault as tungstenite's client reads it.

use super::*;
use std::io::Cursor;
use tungstenite::protocol::{Message, Role, WebSocketContext};

/// What a client reads of a plan's bytes: whole messages, and the close code (0: none) or `None` while it is open.
fn read(plan: &Plan) -> (Vec<String>, Option<u16>) {
    let bytes: Vec<u8> = plan
        .steps
        .iter()
        .flat_map(|step| match step {
            Step::Send(bytes) => bytes.clone(),
            Step::Pause(_) => Vec::new(),
        })
        .collect();
    let mut stream = Cursor::new(bytes);
    let mut context = WebSocketContext::new(Role::Client, None);
    let mut messages = Vec::new();
    loop {
        match context.read(&mut stream) {
            Ok(Message::Text(text)) => messages.push(text.to_string()),
            Ok(Message::Close(frame)) => return (messages, Some(frame.map_or(0, |frame| frame.code.into()))),
            Ok(_) => {}
            // The bytes end without a close: what becomes of the connection then, the plan says.
            Err(_) => return (messages, (plan.end != End::KeepAlive && plan.end != End::Silence).then_some(0)),
        }
    }
}

#[test]
fn faults_are_what_a_websocket_can_show_of_them() {
    let body = br#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;
    let text = String::from_utf8_lossy(body).into_owned();
    for seed in 0..20 {
        for fault in Fault::ALL {
            let plan = plan(body, Some(*fault), false, &mut Rng::new(seed));
            let (messages, closed) = read(&plan);
            let is_whole = messages.first() == Some(&text) && (messages.len() == 1 || *fault == Fault::ExtraAnswer);
            match fault {
                Fault::Page(_) | Fault::Moved => assert_eq!((messages.len(), closed), (0, Some(1011)), "{fault:?}"),
                Fault::Bare(_) => assert_eq!((messages.len(), closed), (0, Some(1013)), "{fault:?}"),
                Fault::CloseAfter | Fault::UntilClose => assert!(is_whole && closed == Some(1000), "{fault:?}"),
                _ if fault.is_harmless() => assert!(is_whole && closed.is_none(), "{fault:?}: {messages:?} {closed:?}"),
                Fault::Silence | Fault::StallAt(_) => assert_eq!((messages.len(), closed), (0, None), "{fault:?}"),
                _ => assert!(!is_whole || plan.end == End::KeepAlive, "{fault:?}"),
            }
        }
    }
    let late = plan(body, Some(Fault::Late(7)), true, &mut Rng::new(0));
    assert_eq!((late.delay, late.end, read(&late)), (Duration::from_millis(7), End::Close, (vec![text], Some(1000))));
    assert_eq!(plan(b"", None, false, &mut Rng::new(0)).steps, []);
}

#[test]
fn frames_that_no_server_may_send_and_messages_cut_short() {
    for seed in 0..50 {
        let plan = broken(&mut Rng::new(seed));
        let Some(Step::Send(bytes)) = plan.steps.first() else { panic!("bytes") };
        let mut context = WebSocketContext::new(Role::Client, None);
        let outcome = context.read(&mut Cursor::new(bytes.clone()));
        assert!(matches!(outcome, Err(tungstenite::Error::Protocol(_))), "{bytes:?}: {outcome:?}");
    }
    for length in [1, 10, 1000, 70_000] {
        assert_eq!(read(&truncated(&vec![b'x'; length])), (vec![], Some(0)));
    }
    for code in [1000, 1001, 1008, 1011, 1012, 1013] {
        assert_eq!(read(&close(code)), (vec![], Some(code)));
    }
    assert_eq!(read(&close(1006)), (vec![], Some(0)));
}

#[test]
fn a_notification_is_what_geth_sends() {
    let got: serde_json::Value = serde_json::from_slice(&notification("0xab", b"[1]")).expect("JSON");
    let params = serde_json::json!({"subscription": "0xab", "result": [1]});
    assert_eq!(got, serde_json::json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}));
}
