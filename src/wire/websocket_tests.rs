//! Every split of the input, the close code of every fault, and frames that tungstenite's own client reads back.

use super::*;

/// A masked client frame.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mask = [7u8, 99, 200, 31];
    match payload.len() {
        n @ 0..=125 => out.push(0x80 | n as u8),
        n @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

fn events(protocol: &mut Protocol) -> Vec<Event> {
    std::iter::from_fn(|| protocol.event()).collect()
}

fn text(payload: &[u8]) -> Event {
    Event::Message(payload.to_vec())
}

#[test]
fn every_split_reads_the_same() {
    let long = vec![b'x'; 300];
    let input = [
        masked(0x81, b"{}"),
        masked(0x01, b"[1,"),
        masked(0x89, b"hi"),
        masked(0x80, b"2]"),
        masked(0x82, &long),
        masked(0x8a, b""),
        masked(0x88, &[0x03, 0xe8]),
    ]
    .concat();
    let want = [text(b"{}"), text(b"[1,2]"), text(&long), Event::Pong, Event::End];
    for at in 0..=input.len() {
        let mut protocol = Protocol::server(1000);
        protocol.feed(&input[..at]);
        let mut got = events(&mut protocol);
        protocol.feed(&input[at..]);
        got.extend(events(&mut protocol));
        assert_eq!(got, want, "split at {at}");
        let answered = [&[0x8a, 2][..], b"hi", &[0x88, 2, 0x03, 0xe8]].concat();
        assert_eq!(protocol.take_outgoing(), answered, "split at {at}");
    }
}

#[test]
fn each_fault_has_its_close_code() {
    let check = |what: &str, input: &[u8], want: u16| {
        let mut protocol = Protocol::server(1000);
        protocol.feed(input);
        assert_eq!(events(&mut protocol).last(), Some(&Event::End), "{what}");
        let out = protocol.take_outgoing();
        let code = u16::from_be_bytes([out[2], out[3]]);
        assert!(out[0] == 0x88 && code == want, "{what}: {out:x?}");
        protocol.feed(&masked(0x81, b"{}"));
        assert_eq!(protocol.event(), None, "{what}: nothing is read after the end");
    };
    check("not masked", &[0x81, 2, b'{', b'}'], 1002);
    check("reserved bit", &masked(0xc1, b"{}"), 1002);
    check("reserved opcode", &masked(0x83, b"{}"), 1002);
    check("long ping", &masked(0x89, &[0; 126]), 1002);
    check("fragmented ping", &masked(0x09, b""), 1002);
    check("continuation of nothing", &masked(0x80, b"{}"), 1002);
    check("text inside a message", &[masked(0x01, b"["), masked(0x81, b"]")].concat(), 1002);
    check("too long", &masked(0x81, &[b' '; 1001]), 1009);
    check("too long in parts", &[masked(0x01, &[b' '; 600]), masked(0x80, &[b' '; 600])].concat(), 1009);
    check("not UTF-8", &masked(0x81, &[0xc3, 0x28]), 1007);
    check("close with a wrong code", &masked(0x88, &[0x03, 0xed]), 1002);
}

#[test]
fn our_frames_are_read_by_a_client() {
    for length in [0, 1, 125, 126, 65_535, 65_536, 70_000] {
        let mut pipe = Pipe::default();
        write_frame_head(&mut pipe.incoming, Opcode::Text, length);
        pipe.incoming.extend(std::iter::repeat_n(b'a', length));
        pipe.incoming.extend(close_frame(1013, &"gone ".repeat(60)));
        let mut client = WebSocketContext::new(Role::Client, None);
        assert_eq!(client.read(&mut pipe).unwrap().into_data().len(), length);
        let Message::Close(Some(frame)) = client.read(&mut pipe).unwrap() else { panic!("a close") };
        assert_eq!((u16::from(frame.code), frame.reason.len()), (1013, 123));
    }
}

#[test]
fn keys() {
    // RFC 6455 §1.3.
    assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    for wrong in [&b""[..], b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25j", b"dGhlIHNhbXBsZSBub25jZSE=", b"!!!!"] {
        assert_eq!(accept_key(wrong), None, "{}", String::from_utf8_lossy(wrong));
    }
}

#[test]
fn a_clients_frames_are_read_by_a_server() {
    let long = vec![b'z'; 70_000];
    let mut input = Vec::new();
    for (mask, parts) in [
        ([1, 2, 3, 4], &[&b"{}"[..]][..]),
        ([200, 0, 9, 77], &[b"[1,", b"", b"22,333,4444,55555", b"]"]),
        ([0; 4], &[b""]),
        ([255, 1, 7, 3], &[b"x", &long, b"yy"]),
    ] {
        write_masked_frame(&mut input, Opcode::Text, mask, parts);
    }
    input.extend(masked_close_frame([9, 8, 7, 6], 1000, "done"));
    let mut protocol = Protocol::server(100_000);
    protocol.feed(&input);
    let whole = [b"x".as_slice(), &long, b"yy"].concat();
    assert_eq!(events(&mut protocol), [text(b"{}"), text(b"[1,22,333,4444,55555]"), text(b""), text(&whole), Event::End]);
    assert_eq!(protocol.close_code(), Some(1000));
}

/// An unmasked server frame.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame_head(&mut out, Opcode::Text, payload.len());
    out[0] = first;
    out.extend_from_slice(payload);
    out
}

#[test]
fn a_client_reads_answers_and_masks_its_own_with_our_mask() {
    let input = [plain(0x81, b"{}"), plain(0x89, b"hi"), plain(0x8a, b""), plain(0x88, &[0x03, 0xf5])].concat();
    for at in 0..=input.len() {
        let mut protocol = Protocol::client(1000);
        protocol.feed(&input[..at]);
        let mut got = events(&mut protocol);
        protocol.feed(&input[at..]);
        got.extend(events(&mut protocol));
        assert_eq!(got, [text(b"{}"), Event::Pong, Event::End], "split at {at}");
        assert_eq!(protocol.close_code(), Some(1013));
        let want = [&[0x8a, 0x82, 1, 2, 3, 4, b'h' ^ 1, b'i' ^ 2][..], &[0x88, 0x82, 1, 2, 3, 4, 0x03 ^ 1, 0xf5 ^ 2]].concat();
        assert_eq!(protocol.take_outgoing_masked([1, 2, 3, 4]), want, "split at {at}");
    }
    let faults: [(&str, Vec<u8>); 4] = [
        ("masked", masked(0x81, b"{}")),
        ("compressed", plain(0xc1, b"{}")),
        ("a long ping, of which the head has come", vec![0x89, 126, 0, 126]),
        ("fragments without end", [plain(0x01, b"["), [0, 0].repeat(SOCKET_FRAMES + 1)].concat()),
    ];
    for (what, input) in faults {
        let mut protocol = Protocol::client(1000);
        protocol.feed(&input);
        assert_eq!(events(&mut protocol), [Event::End], "{what}");
        assert!(protocol.has_ended() && protocol.close_code().is_none() && !protocol.take_outgoing().is_empty(), "{what}");
    }
}

/// A frame whose sender has lost its place swallows what follows, and no text contains the head of a frame.
#[test]
fn a_text_that_swallows_frames_ends_at_the_first_of_them() {
    let begun = [&[0x81, 127][..], &1_000_000u64.to_be_bytes(), "{\"id\":7,\"result\":\"é…🦀".as_bytes()].concat();
    for (what, swallowed) in [("a text", plain(0x81, b"{}")), ("bytes", plain(0x82, b"{}")), ("a pong", plain(0x8a, b""))] {
        for at in 1..begun.len() {
            let mut protocol = Protocol::client(2_000_000);
            assert!(!protocol.is_amid());
            [&begun[..at], &begun[at..]].iter().for_each(|part| {
                protocol.feed(part);
                assert!(events(&mut protocol).is_empty() && protocol.is_amid(), "{what}, split at {at}");
            });
            protocol.feed(&swallowed);
            assert_eq!(events(&mut protocol), [Event::End], "{what}, split at {at}");
            let out = protocol.take_outgoing_masked([0; 4]);
            assert_eq!((out[0], u16::from_be_bytes([out[6], out[7]])), (0x88, 1007), "{what}, split at {at}");
        }
    }
    // Bytes may contain anything.
    let mut protocol = Protocol::client(1000);
    protocol.feed(&plain(0x82, &[b'"', 0xff, 0x81, b'"']));
    assert_eq!(events(&mut protocol), [text(&[b'"', 0xff, 0x81, b'"'])]);
    assert!(!protocol.is_amid());
}

/// Bytes that are no text, in a frame whose head is broken too: the head decides, however they come. Found by fuzzing.
#[test]
fn a_broken_head_is_named_before_a_broken_text() {
    let (reserved, not_begun) = ([0xc1, 3, 0x8e, 0x85, 0x85], [0x81, 1, b'@', 0x80, 3, 0xe5, 0, 0x92]);
    let said = |bytes: &[u8], at: usize| {
        let mut protocol = Protocol::client(300);
        let told: Vec<Event> = [&bytes[..at], &bytes[at..]]
            .iter()
            .flat_map(|part| {
                protocol.feed(part);
                events(&mut protocol)
            })
            .collect();
        (told, protocol.take_outgoing_masked([0; 4]))
    };
    for bytes in [&reserved[..], &not_begun] {
        (1..bytes.len()).for_each(|at| assert_eq!(said(bytes, at), said(bytes, 0), "{bytes:?}, split at {at}"));
    }
}

/// Whatever its frames, and however they are cut: its beginning and its end are told, and the others are read.
#[test]
fn a_message_that_is_too_long_is_skipped_and_the_connection_goes_on() {
    let long: Vec<u8> = (0..3_000u32).map(|n| b'a' + (n % 26) as u8).collect();
    let whole = plain(0x81, &long);
    let cut_while_read =
        [plain(0x01, &long[..900]), plain(0x89, b"?"), plain(0x00, &long[900..1_500]), plain(0x80, &long[1_500..])];
    // The first part ends within a character: nobody is to find fault with what is not read.
    let mut accented = long.clone();
    accented[899] = 0xc3;
    accented[900] = 0xa9;
    let cut_in_a_letter = [plain(0x01, &accented[..900]), plain(0x80, &accented[900..])].concat();
    for (what, input, sent) in [
        ("one frame", whole, &long),
        ("several", cut_while_read.concat(), &long),
        ("within a character", cut_in_a_letter, &accented),
    ] {
        let all = [plain(0x81, b"{}"), input, plain(0x81, b"[]"), plain(0x8a, b"")].concat();
        for at in (0..all.len()).step_by(7) {
            let mut protocol = Protocol::client(1000);
            protocol.feed(&all[..at]);
            let mut got = events(&mut protocol);
            assert!(protocol.held() <= 1000, "{what}: {} bytes are held at {at}", protocol.held());
            protocol.feed(&all[at..]);
            got.extend(events(&mut protocol));
            let (first, last) = (sent[..512].to_vec(), sent[3_000 - 128..].to_vec());
            let want = [text(b"{}"), Event::Skipping(first), Event::Skipped(last), text(b"[]"), Event::Pong];
            assert!(got == want, "{what}, split at {at}: {got:?}");
            assert!(!protocol.has_ended());
        }
    }
}

#[test]
fn frames_are_counted_however_they_come() {
    let long = [b'x'; 300];
    let input =
        [masked(0x81, b"{}"), plain(0x01, &long), plain(0x00, b""), plain(0x80, &[b'y'; 70_000]), masked(0x89, &long[..125])]
            .concat();
    for at in (0..700).chain([input.len() - 1]) {
        let mut frames = Frames::default();
        frames.pass(&input[..at]);
        frames.pass(&input[at..]);
        assert_eq!((frames.count, frames.left, frames.head.len()), (5, 0, 0), "split at {at}");
    }
    let mut frames = Frames::default();
    input.iter().for_each(|byte| frames.pass(&[*byte]));
    assert_eq!(frames.count, 5);
}

#[test]
fn every_ping_is_answered_and_what_is_too_much_costs_the_oldest_answers() {
    let mut protocol = Protocol::server(1000);
    (0..10u8).for_each(|n| protocol.feed(&masked(0x89, &[n])));
    assert_eq!(events(&mut protocol), []);
    let mut owed = protocol.take_owed().pongs;
    let pongs = |from: u8| (from..10).flat_map(|n| plain(0x8a, &[n])).collect::<Vec<u8>>();
    assert_eq!(owed, pongs(0));
    for (most, from) in [(30, 0), (29, 1), (27, 1), (3, 9), (2, 10)] {
        keep_newest(&mut owed, most);
        assert_eq!(owed, pongs(from), "{most}");
        owed = pongs(0);
    }
}

#[test]
fn a_key_and_its_answer() {
    let (key, accept) = new_key(*b"the sample nonce");
    assert_eq!((key.as_str(), accept.as_str()), ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}
