//! A client's strict view of HTTP/1.1 answers. Written apart from `wire::http`, so that a mistake there is not repeated
//! here. Everything that is not exactly right is `Bad`: what lasso writes has no excuse.

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// The server will close.
    pub closes: bool,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug)]
pub enum Read {
    NeedMore,
    /// And how many bytes it took.
    Whole(Answer, usize),
    Bad(String),
}

/// The chunks of an answer that are whole, so that no read looks at them again.
#[derive(Default)]
pub struct Chunks {
    /// Where the next one begins; 0 before the first.
    at: usize,
    body: Vec<u8>,
}

/// Reads one answer from the front of `buf`. `ended`: nothing will follow. `chunks` is empty for a new answer.
pub fn read(buf: &[u8], ended: bool, chunks: &mut Chunks) -> Read {
    let Some(head) = find(buf, b"\r\n\r\n") else {
        return if ended && !buf.is_empty() { Read::Bad("the head was cut".into()) } else { Read::NeedMore };
    };
    let Ok(text) = std::str::from_utf8(&buf[..head]) else { return Read::Bad("the head is not UTF-8".into()) };
    let mut lines = text.split("\r\n");
    let status_line = lines.next().unwrap_or("");
    let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let Some(status) = status.filter(|s| (200..600).contains(s)) else {
        return Read::Bad(format!("not a status line: {status_line:?}"));
    };
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Read::Bad(format!("not a field: {line:?}")) };
        let name = name.to_ascii_lowercase();
        if name.is_empty() || name.bytes().any(|b| b <= b' ') || value.bytes().any(|b| b < b' ') {
            return Read::Bad(format!("not a field: {line:?}"));
        }
        if fields.iter().any(|(n, _)| *n == name) {
            return Read::Bad(format!("{name} twice"));
        }
        fields.push((name, value.trim().to_string()));
    }
    let mut answer = Answer { status, fields, body: Vec::new(), closes: false };
    answer.closes = answer.field("connection") == Some("close");
    body(answer, buf, head + 4, chunks)
}

fn body(mut answer: Answer, buf: &[u8], start: usize, chunks: &mut Chunks) -> Read {
    let length = answer.field("content-length").map(str::parse::<usize>);
    let coding = answer.field("transfer-encoding");
    match (answer.status, length, coding) {
        (_, Some(Err(_)), _) => Read::Bad("content-length is no number".into()),
        (_, Some(_), Some(_)) => Read::Bad("content-length beside transfer-encoding".into()),
        (204 | 304, None | Some(Ok(0)), None) => Read::Whole(answer, start),
        (204 | 304, ..) => Read::Bad("a body where none may be".into()),
        (_, Some(Ok(length)), None) => match buf.get(start..start + length) {
            Some(bytes) => {
                answer.body = bytes.to_vec();
                Read::Whole(answer, start + length)
            }
            None => Read::NeedMore,
        },
        (_, None, Some("chunked")) => {
            chunks.at = chunks.at.max(start);
            chunked_body(answer, buf, chunks)
        }
        (_, None, Some(other)) => Read::Bad(format!("transfer-encoding {other:?}")),
        (_, None, None) => Read::Bad("no length: a cut would look complete".into()),
    }
}

fn chunked_body(mut answer: Answer, buf: &[u8], chunks: &mut Chunks) -> Read {
    loop {
        let at = chunks.at;
        let Some(line) = buf[at..].windows(2).take(20).position(|pair| pair == b"\r\n") else {
            return if buf.len() - at > 20 { Read::Bad("no end of a chunk's size".into()) } else { Read::NeedMore };
        };
        let size = std::str::from_utf8(&buf[at..at + line]).ok().and_then(|hex| usize::from_str_radix(hex, 16).ok());
        let Some(size) = size else { return Read::Bad("not a chunk size".into()) };
        let first = at + line + 2;
        let Some(chunk) = buf.get(first..first + size + 2) else { return Read::NeedMore };
        if !chunk.ends_with(b"\r\n") {
            return Read::Bad("a chunk without its line end".into());
        }
        chunks.at = first + size + 2;
        if size == 0 {
            answer.body = std::mem::take(&mut chunks.body);
            return Read::Whole(answer, std::mem::take(&mut chunks.at));
        }
        chunks.body.extend_from_slice(&chunk[..size]);
    }
}

pub fn find(buf: &[u8], what: &[u8]) -> Option<usize> {
    memchr::memmem::find(buf, what)
}

#[test]
fn answers_are_read_strictly() {
    let whole = |text: &str| match read(text.as_bytes(), true, &mut Chunks::default()) {
        Read::Whole(answer, n) => Ok((answer.status, String::from_utf8(answer.body).unwrap(), n == text.len())),
        other => Err(format!("{other:?}")),
    };
    assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"), Ok((200, "ab".into(), true)));
    assert_eq!(
        whole("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        Ok((200, "abc".into(), true))
    );
    assert_eq!(whole("HTTP/1.1 204 No Content\r\n\r\n"), Ok((204, String::new(), true)));
    for bad in [
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nab",
    ] {
        assert!(whole(bad).is_err(), "{bad:?}");
    }
}
