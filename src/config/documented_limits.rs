//! The table of times and limits in config/README.md, held against the code: a row for each, in its order.

use crate::base::limits as l;

fn ms(ms: u64) -> String {
    match ms {
        ms if ms % 60_000 == 0 => format!("{} min", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{} s", ms / 1_000),
        ms if ms > 1_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms => format!("{ms} ms"),
    }
}

fn bytes(bytes: u64) -> String {
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{} bytes", grouped(bytes)), |(unit, word)| format!("{} {word}", bytes / unit))
}

fn each(progress: usize, span_ms: u64) -> String {
    format!("{} each {}", bytes(progress as u64), ms(span_ms))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

fn rows() -> Vec<(&'static str, String)> {
    vec![
        ("providers that one call is sent to, at most", l::ATTEMPTS.to_string()),
        ("an attempt at a provider that is known to be fast, at least: cheap reads", ms(l::PATIENCE_MIN_MS)),
        ("the same of methods with more than 10 s in all", ms(l::PATIENCE_HEAVY_MIN_MS)),
        ("a cheap read at a provider of which nothing is known", ms(l::PATIENCE_UNKNOWN_MS)),
        ("connecting, TLS included", ms(l::CONNECT_TIMEOUT_MS)),
        ("asking others for what one provider does not have, each", ms(l::ABSENT_ATTEMPT_MS)),
        ("before an announced block that nobody has is asked for again, at most", ms(l::ABSENT_PAUSE_MS)),
        ("a suspicion that no probe decided is forgotten after", ms(l::SUSPICION_MS)),
        ("a suspected channel, and each of a dark chain, is probed every", ms(l::PROBE_URGENT_MS)),
        ("probes under way at once", l::PROBES_UNDER_WAY.to_string()),
        ("an open circuit is tried whatever its timer says after good probes of", ms(l::PROBES_WELL_MS)),
        ("a trial that was turned away without a hint is repeated after, doubling", ms(l::TRIAL_PAUSE_MS)),
        ("calls that wait for their turn, for each shard and dark chain", grouped(l::DARK_WAITERS as u64)),
        ("a provider that limited us without a hint rests", ms(l::COOLDOWN_MS)),
        ("the same when it repeats, at most", ms(l::COOLDOWN_MAX_MS)),
        ("a lesson about a method, a range or a depth holds", ms(l::LEARNT_MS)),
        ("heads whose hash, height and announcers are known, for each chain", grouped(l::ANNOUNCED_HEADS as u64)),
        ("a request's body", bytes(l::REQUEST_BODY_BYTES as u64)),
        ("request bodies in memory, node-wide", bytes(l::INFLIGHT_BODY_BYTES)),
        ("a request's head", bytes(l::HEAD_BYTES as u64)),
        ("header fields of a request", l::HEADERS.to_string()),
        ("calls of a batch, unless `max_batch_items` says otherwise", grouped(u64::from(l::BATCH_ITEMS))),
        ("calls of a batch at work at once", l::BATCH_PARALLEL.to_string()),
        ("an answer is held and may still fail over up to", bytes(l::HOLD_BYTES as u64)),
        ("an answer in a batch or over a WebSocket", bytes(l::BATCH_ANSWER_BYTES as u64)),
        ("held answers in memory, node-wide", bytes(l::INFLIGHT_ANSWER_BYTES)),
        ("a message of a provider's WebSocket; a longer one is skipped", bytes(l::LINK_MESSAGE_BYTES as u64)),
        ("its connection ends when calls share it and it does not bring", each(l::UPSTREAM_BUFFER_BYTES, l::LINK_STALL_MS)),
        ("the same where a call has the connection to itself", each(l::BODY_PROGRESS_BYTES, l::STREAM_STALL_MS)),
        ("a longer call goes over HTTP where the provider has it", bytes(l::LINK_CALL_BYTES as u64)),
        ("calls at work of a WebSocket, unless `ws_calls_at_work` says otherwise", l::SOCKET_CALLS.to_string()),
        ("subscriptions of a WebSocket", l::SOCKET_SUBSCRIPTIONS.to_string()),
        ("a client's head must have come within", ms(l::HEAD_TIMEOUT_MS)),
        ("a client must take or send something within", ms(l::CLIENT_WRITE_TIMEOUT_MS)),
        ("an idle keep-alive connection", ms(l::KEEP_ALIVE_MS)),
        ("after a refusal what still comes is read and dropped up to", bytes(l::LINGER_BYTES as u64)),
    ]
}

/// The rows, in the shape of the table: what `config/README.md` must contain word by word.
#[test]
fn the_documented_times_and_limits_are_those_of_the_code() {
    let text = include_str!("../../config/README.md");
    let want: String = rows().iter().map(|(what, much)| format!("| {what} | {much} |\n")).collect();
    let at = text.find("## Times and limits").expect("the section is there");
    let section = text[at..].split("\n## ").next().unwrap_or_default();
    assert!(section.contains(&want), "config/README.md, \"Times and limits\", should have exactly these rows:\n{want}");
}

#[test]
fn figures_are_written_as_people_read_them() {
    assert_eq!([250, 1_500, 2_000, 600_000].map(ms), ["250 ms", "1.5 s", "2 s", "10 min"]);
    assert_eq!([8_000_000, 16 << 10, 128 << 20].map(bytes), ["8,000,000 bytes", "16 KiB", "128 MiB"]);
    assert_eq!([7, 1_024, 10_000_000].map(grouped), ["7", "1,024", "10,000,000"]);
}
