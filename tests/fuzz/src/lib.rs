//! Second, naive readings that the fuzz targets compare the codecs with. Slow and simple on purpose, and written from the
//! RFCs, not from the codecs.

pub mod json;

/// Control frames without a close frame's reason: it names the first fault that was noticed, and where several are in one frame
/// that hangs on how the frame came. `mask` is 4 where the frames are masked, else 0.
pub fn without_reasons(mut frames: &[u8], mask: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    while let [first, length, ..] = frames {
        let (frame, next) = frames.split_at((2 + mask + usize::from(length & 0x7f)).min(frames.len()));
        let code = 2 + mask + 2;
        match first & 0x0f {
            8 => kept.extend(frame.iter().take(code).enumerate().filter(|(at, _)| *at != 1).map(|(_, byte)| *byte)),
            _ => kept.extend_from_slice(frame),
        }
        frames = next;
    }
    kept
}

/// What a whole chunked body is, by RFC 9112 §7.1 read strictly: payload and length, nothing when it is cut off or wrong.
pub fn chunked(mut rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let all = rest.len();
    let mut payload = Vec::new();
    loop {
        let (line, after) = line(rest)?;
        let (size, extension) = match line.iter().position(|&byte| byte == b';') {
            Some(at) => line.split_at(at),
            None => (line, &[][..]),
        };
        let text = std::str::from_utf8(size).ok().filter(|text| !text.is_empty() && text.len() <= 16)?;
        let size = text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u64::from_str_radix(text, 16).ok())??;
        extensions(extension).then_some(())?;
        rest = after;
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        payload.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
    loop {
        let (field, after) = line(rest)?;
        rest = after;
        if field.is_empty() {
            return Some((payload, all - rest.len()));
        }
        let colon = field.iter().position(|&byte| byte == b':')?;
        let (name, value) = field.split_at(colon);
        (is_token(name) && value.iter().all(|&byte| is_text(byte))).then_some(())?;
    }
}

/// Up to CR LF, and what follows it. A CR or LF elsewhere is no line.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == b'\r' || byte == b'\n')?;
    Some((&bytes[..end], bytes[end..].strip_prefix(b"\r\n")?))
}

fn extensions(mut rest: &[u8]) -> bool {
    while let Some(after) = rest.strip_prefix(b";") {
        let end = after.iter().position(|&byte| !is_token(&[byte])).unwrap_or(after.len());
        if end == 0 {
            return false;
        }
        rest = &after[end..];
        let Some(value) = rest.strip_prefix(b"=") else { continue };
        if let Some(mut quoted) = value.strip_prefix(b"\"") {
            loop {
                match quoted {
                    [b'"', after @ ..] => {
                        rest = after;
                        break;
                    }
                    [b'\\', byte, after @ ..] if is_text(*byte) => quoted = after,
                    [b'\\', ..] | [] => return false,
                    [byte, after @ ..] if is_text(*byte) => quoted = after,
                    _ => return false,
                }
            }
        } else {
            let end = value.iter().position(|&byte| !is_token(&[byte])).unwrap_or(value.len());
            if end == 0 {
                return false;
            }
            rest = &value[end..];
        }
    }
    rest.is_empty()
}

fn is_token(bytes: &[u8]) -> bool {
    let tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(tchar)
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Repeats, on a head that was let through, the rules that keep message borders safe.
pub fn check_head(head: &[u8], request: bool) {
    let text: String = head.iter().map(|&byte| byte as char).collect();
    assert!(text.ends_with("\r\n\r\n"));
    assert!(!text.replace("\r\n", "").contains(['\r', '\n', '\0']));
    let text = text.trim_start_matches("\r\n").trim_end_matches("\r\n");
    let (first, fields) = text.split_once("\r\n").unwrap_or((text, ""));
    let fields: Vec<&str> = fields.split("\r\n").filter(|line| !line.is_empty()).collect();
    let count = |name: &str| fields.iter().filter(|line| named(line, name)).count();
    for line in &fields {
        let name = line.split(':').next().unwrap_or("");
        assert!(line.contains(':') && is_token(name.as_bytes()), "{line:?}");
    }
    assert!(count("transfer-encoding") <= 1);
    assert!(count("transfer-encoding") == 0 || count("content-length") == 0);
    let chunked = |line: &&&str| {
        line.split_once(':').is_some_and(|(_, value)| value.trim_matches([' ', '\t']).eq_ignore_ascii_case("chunked"))
    };
    let coded = fields.iter().filter(|line| named(line, "transfer-encoding"));
    assert_eq!(coded.clone().count(), coded.filter(chunked).count());
    if request {
        let version = first.rsplit(' ').next().unwrap_or("");
        assert!(version == "HTTP/1.1" || version == "HTTP/1.0");
        assert!(count("host") == 1 || (count("host") == 0 && version == "HTTP/1.0"));
        assert!(count("content-length") <= 1);
        assert_eq!(first.split(' ').count(), 3);
    }
}

fn named(line: &str, name: &str) -> bool {
    line.split(':').next().is_some_and(|start| start.eq_ignore_ascii_case(name))
}

/// Payload of a framing, and what is known about the verdict, must not depend on how the input was cut: two cuts from the
/// first two bytes of the input, the rest is what is read.
pub fn cuts(data: &[u8]) -> Option<(&[u8], [usize; 4])> {
    let [first, second, bytes @ ..] = data else { return None };
    let place = |byte: u8| usize::from(byte) * bytes.len() / 255;
    let (low, high) = (place(*first).min(place(*second)), place(*first).max(place(*second)));
    Some((bytes, [0, low, high, bytes.len()]))
}
