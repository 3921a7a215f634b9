//! A provider's URL to an [`Endpoint`]. Strict, because a URL that two programs read differently sends keys to the wrong
//! place; small, because a provider's URL has only scheme, host, port, path and query. No fault's text repeats the URL:
//! it may hold a key.

use crate::base::limits;
use crate::config::topology::Endpoint;
use base64::Engine;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Cause and remedy.
pub(super) type Fault = (&'static str, &'static str);

/// What the scheme must be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Scheme {
    Http,
    Ws,
}

impl Scheme {
    fn split(self, url: &str) -> Option<(bool, &str)> {
        let (plain, secure) = match self {
            Scheme::Http => ("http://", "https://"),
            Scheme::Ws => ("ws://", "wss://"),
        };
        after_prefix(url, secure).map(|rest| (true, rest)).or_else(|| after_prefix(url, plain).map(|rest| (false, rest)))
    }

    fn fault(self, url: &str) -> Fault {
        let is = |scheme: Scheme| scheme.split(url).is_some();
        match self {
            Scheme::Http if is(Scheme::Ws) => ("has a ws:// or wss:// URL", "move it to ws_url"),
            Scheme::Ws if is(Scheme::Http) => ("has an http:// or https:// URL", "move it to url, or write ws:// or wss://"),
            Scheme::Http => ("does not start with http:// or https://", "write the whole URL"),
            Scheme::Ws => ("does not start with ws:// or wss://", "write the whole URL"),
        }
    }
}

fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    if head.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}

/// An endpoint whose host is lower case, whose port is explicit, and whose path starts with `/`.
pub(super) fn parse(url: &str, scheme: Scheme) -> Result<Endpoint, Fault> {
    if url.len() > limits::URL_BYTES {
        return Err(("is longer than 4096 bytes", "shorten it"));
    }
    let (tls, rest) = scheme.split(url).ok_or_else(|| scheme.fault(url))?;
    if let Some(bad) = url
        .bytes()
        .find(|b| !(0x21..=0x7e).contains(b) || matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'))
    {
        return Err(match bad {
            b' ' | b'\t' => ("has a space in it", "percent-encode it (%20) or delete it"),
            0x80.. => ("has a character outside ASCII in it", "percent-encode it in the path; write the host in its xn-- form"),
            _ => ("has a character that URLs do not allow", "percent-encode it"),
        });
    }
    if rest.contains('#') {
        return Err(("has a # part, which is never sent", "delete it"));
    }
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let (userinfo, host_port) = match authority.rsplit_once('@') {
        Some((userinfo, host_port)) => (Some(userinfo), host_port),
        None => (None, authority),
    };
    let (host, port) = host_and_port(host_port, if tls { 443 } else { 80 })?;
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let basic_auth = userinfo.map(basic).transpose()?.map(String::into_boxed_str);
    Ok(Endpoint { tls, host: host.into(), port, path: path.into(), basic_auth })
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16), Fault> {
    const BAD_PORT: Fault = ("has a port that is not a number from 1 to 65535", "correct the port");
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(("has a [ without ] in its host", "write [address]"))?;
        let address: Ipv6Addr =
            inside.parse().map_err(|_| ("has a host in [ ] that is no IPv6 address", "correct the address"))?;
        let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(BAD_PORT)?) };
        (address.to_string(), port)
    } else {
        let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
        (host_name(host)?, port)
    };
    let port = match port {
        None => default,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().map_err(|_| BAD_PORT)?
        }
        Some(_) => return Err(BAD_PORT),
    };
    if port == 0 { Err(BAD_PORT) } else { Ok((host, port)) }
}

fn host_name(host: &str) -> Result<String, Fault> {
    let host = host.to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    if name.is_empty() {
        return Err(("has no host", "write scheme://host/path"));
    }
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err(("has a host that is no host name or address", "correct the host"));
    }
    // A name whose last label is a number is read as an IPv4 address everywhere, so it must be one.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(("has a host that looks like an IPv4 address but is none", "correct the address"));
    }
    Ok(name.to_owned())
}

/// `user:password`, percent-decoded, as the value of an Authorization header (RFC 7617).
fn basic(userinfo: &str) -> Result<String, Fault> {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut pair = percent_decode(user).ok_or(BAD_PERCENT)?;
    pair.push(b':');
    pair.extend(percent_decode(password).ok_or(BAD_PERCENT)?);
    Ok(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair)))
}

const BAD_PERCENT: Fault = ("has a % in its user or password that is not followed by two hex digits", "write %25 for %");

/// `None` when a `%` is not followed by two hex digits.
pub(super) fn percent_decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (char::from(bytes.next()?).to_digit(16)?, char::from(bytes.next()?).to_digit(16)?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let check = |url: &str, scheme, tls: bool, host: &str, port: u16, path: &str| {
            let got = parse(url, scheme).unwrap_or_else(|fault| panic!("{url}: {fault:?}"));
            assert_eq!((got.tls, &*got.host, got.port, &*got.path), (tls, host, port, path), "{url}");
        };
        check("https://eth.drpc.org", Scheme::Http, true, "eth.drpc.org", 443, "/");
        check("HTTP://Node:8545", Scheme::Http, false, "node", 8545, "/");
        check("http://127.0.0.1:1/a/b?c=d&e", Scheme::Http, false, "127.0.0.1", 1, "/a/b?c=d&e");
        check("https://h?key=1", Scheme::Http, true, "h", 443, "/?key=1");
        check("wss://[::1]:9/x", Scheme::Ws, true, "::1", 9, "/x");
        check("ws://[2001:DB8::1]", Scheme::Ws, false, "2001:db8::1", 80, "/");
        check("http://my_node.internal./", Scheme::Http, false, "my_node.internal", 80, "/");
        check("http://u:p@h:81/x@y", Scheme::Http, false, "h", 81, "/x@y");
    }

    #[test]
    fn userinfo_becomes_basic_auth() {
        let check = |url: &str, want: &str| {
            assert_eq!(parse(url, Scheme::Http).expect(url).basic_auth.as_deref(), Some(want), "{url}");
        };
        check("http://aladdin:open%20sesame@h", "Basic YWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        check("http://user@h", "Basic dXNlcjo=");
        check("http://a%40b:c@h", "Basic YUBiOmM=");
    }

    #[test]
    fn refuses_with_a_cause() {
        let check = |url: &str, scheme, part: &str| {
            let (cause, remedy) = parse(url, scheme).expect_err(url);
            assert!(cause.contains(part) && !remedy.is_empty(), "{url}: {cause}");
        };
        check("eth.drpc.org", Scheme::Http, "does not start with http://");
        check("ftp://h", Scheme::Http, "does not start with http://");
        check("wss://h", Scheme::Http, "ws:// or wss://");
        check("https://h", Scheme::Ws, "http:// or https://");
        check("http://", Scheme::Http, "no host");
        check("http:///x", Scheme::Http, "no host");
        check("http://:80/", Scheme::Http, "no host");
        check("http://h:0", Scheme::Http, "port");
        check("http://h:65536", Scheme::Http, "port");
        check("http://h:", Scheme::Http, "port");
        check("http://h:8x", Scheme::Http, "port");
        check("http://h:+1", Scheme::Http, "port");
        check("http://[::1", Scheme::Http, "[");
        check("http://[::1]x", Scheme::Http, "port");
        check("http://[fe80::1%25eth0]/", Scheme::Http, "IPv6");
        check("http://::1/", Scheme::Http, "no host");
        check("http://a b/", Scheme::Http, "space");
        check("http://h/\u{e9}", Scheme::Http, "ASCII");
        check("http://h/a#b", Scheme::Http, "#");
        check("http://h/{x}", Scheme::Http, "character");
        check("http://1.2.3.400/", Scheme::Http, "IPv4");
        check("http://1.2.3/", Scheme::Http, "IPv4");
        check("http://-a/", Scheme::Http, "host");
        check("http://a..b/", Scheme::Http, "host");
        check("http://a%20b/", Scheme::Http, "host");
        check("http://u%zz@h/", Scheme::Http, "%");
    }
}
