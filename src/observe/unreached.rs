//! Why a provider could not be reached, from a closed list: it travels from the shards to whoever asks, each with what to do.
//! An expired certificate and a cut cable are both "network error" to routing, and nothing alike to the operator.

use std::borrow::Cow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unreached {
    Unresolved,
    Refused,
    /// The connection was ended before it was of use.
    Ended,
    NoRoute,
    Late,
    NotTls,
    UnknownAuthority,
    WrongName,
    Expired,
    NotYetValid,
    /// It shows an authority's own certificate, which may stand for no server.
    AuthorityCertificate,
    BadCertificate,
    /// The server ended the handshake, or there was no common ground.
    HandshakeRefused,
    TlsBroken,
    /// HTTP status of the answer to a WebSocket's handshake, or 502 for what is no HTTP.
    NotUpgraded(u16),
    NoHttp2,
    Other,
}

use Unreached as U;

impl Unreached {
    /// For machines.
    pub fn word(self) -> &'static str {
        match self {
            U::Unresolved => "unresolved",
            U::Refused => "refused",
            U::Ended => "ended",
            U::NoRoute => "no_route",
            U::Late => "late",
            U::NotTls => "not_tls",
            U::UnknownAuthority => "unknown_authority",
            U::WrongName => "wrong_name",
            U::Expired => "expired",
            U::NotYetValid => "not_yet_valid",
            U::AuthorityCertificate => "authority_certificate",
            U::BadCertificate => "bad_certificate",
            U::HandshakeRefused => "handshake_refused",
            U::TlsBroken => "tls_broken",
            U::NotUpgraded(_) => "not_upgraded",
            U::NoHttp2 => "no_http2",
            U::Other => "unreachable",
        }
    }

    /// What happened, and the remedy in brackets.
    pub fn text(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            U::Unresolved => "its host name has no address (check the name, or this machine's resolver)",
            U::Refused => "it refuses the connection (check host and port of its url, and that it runs)",
            U::Ended => "it ends the connection before a call is sent (ask the provider; a firewall may do it too)",
            U::NoRoute => "there is no route to its address (check the address, and this machine's network)",
            U::Late => "no connection within the time for it (its address may be wrong or filtered)",
            U::NotTls => "it does not speak TLS on this port (check the port, or write http:// or ws://)",
            U::UnknownAuthority => {
                "its certificate is signed by an authority unknown here (name the authority's PEM file in ca_file)"
            }
            U::WrongName => "its certificate is for another name (check the host in its url)",
            U::Expired => "its certificate has expired (the provider must renew it; check this machine's clock)",
            U::NotYetValid => "its certificate is not valid yet (check this machine's clock)",
            U::AuthorityCertificate => {
                "its certificate is an authority's own, CA:TRUE (let it use one for its host without CA:TRUE, and name the signer's \
                 PEM file in ca_file)"
            }
            U::BadCertificate => "its certificate is refused (ask the provider)",
            U::HandshakeRefused => "it refused the TLS handshake (check the host in its url; it must speak TLS 1.2 or 1.3)",
            U::TlsBroken => "the TLS handshake failed (check the port; ask the provider)",
            U::NotUpgraded(status) => {
                return format!("it answered the WebSocket handshake with HTTP {status} (check ws_url)").into();
            }
            U::NoHttp2 => "it does not speak HTTP/2 here (write `http2: off` for it)",
            U::Other => "no connection to it could be made (check its url)",
        })
    }
}
