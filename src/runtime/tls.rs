//! TLS to providers: rustls driven sans-IO by the task that owns the connection.
//!
//! A ready-made adapter (monoio-rustls) panics on the read after a dropped one, so the adapter is ours: rustls never
//! sees a socket, it is fed what was read and emptied into what is written. Roots are the system's, Mozilla's (for
//! images without a certificate store) and a provider's `ca_file`. Sessions are resumed per shard and provider, so no
//! lock is shared. Faults name what a person can do. The stream itself is in `tls_stream`.

pub use super::tls_stream::{TlsStream, Transport, TransportRead, TransportWrite};
use crate::observe::unreached::Unreached;

use super::{
    bytes_io::write_all,
    tls_stream::{Session, feed},
    world::Duplex,
};
use crate::base::limits::UPSTREAM_BUFFER_BYTES;
use monoio::io::AsyncReadRent;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, RootCertStore,
    client::Resumption,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{cell::RefCell, collections::HashMap, fmt, io, rc::Rc, sync::Arc};

/// What HTTP/2 is called in a handshake.
pub(super) const HTTP2: &[u8] = b"h2";

/// Sessions that a shard may resume with one provider.
const SESSIONS: usize = 8;

/// What goes wrong with TLS, for a person: cause, then remedy.
#[derive(Debug)]
pub enum TlsFault {
    /// The first bytes were no TLS.
    NotTls,
    UnknownIssuer,
    /// Whom the certificate is for, as it says.
    WrongName {
        host: String,
        presented: Vec<String>,
    },
    Expired,
    NotYetValid,
    /// An authority's certificate in a server's place, which is refused whatever is trusted.
    AuthorityCertificate,
    /// Another fault of the certificate.
    BadCertificate(String),
    /// The server ended the handshake with this alert.
    Alert(String),
    /// No common version or cipher.
    NothingInCommon(String),
    /// The server closed the connection before the handshake was done.
    Closed,
    /// The protocol was broken in some other way.
    Protocol(String),
    Io(io::Error),
    /// The URL's host can be in no certificate.
    BadHost(String),
    BadCaFile {
        path: String,
        why: String,
    },
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsFault::NotTls => {
                write!(f, "the server does not speak TLS on this port (check the port, or write http:// or ws://)")
            }
            TlsFault::UnknownIssuer => {
                write!(f, "its certificate is signed by an authority unknown here (name the authority's PEM file in ca_file)")
            }
            TlsFault::WrongName { host, presented } if presented.is_empty() => {
                write!(f, "its certificate is not for {host} (check the host in the URL)")
            }
            TlsFault::WrongName { host, presented } => {
                write!(f, "its certificate is for {}, not for {host} (check the host in the URL)", presented.join(", "))
            }
            TlsFault::Expired => {
                write!(f, "its certificate has expired (the provider must renew it; check this machine's clock)")
            }
            TlsFault::NotYetValid => write!(f, "its certificate is not valid yet (check this machine's clock)"),
            TlsFault::AuthorityCertificate => write!(f, "{}", self.kind().text()),
            TlsFault::BadCertificate(why) => write!(f, "its certificate is refused: {why} (ask the provider)"),
            TlsFault::Alert(alert) => {
                write!(
                    f,
                    "the server refused the handshake: {alert} (check the host in the URL; it may want a client certificate)"
                )
            }
            TlsFault::NothingInCommon(why) => write!(f, "no common ground: {why} (the server must speak TLS 1.2 or 1.3)"),
            TlsFault::Closed => write!(f, "the server closed the connection during the handshake (check the port)"),
            TlsFault::Protocol(why) => write!(f, "the TLS protocol was broken: {why}"),
            TlsFault::Io(e) => write!(f, "{e}"),
            TlsFault::BadHost(host) => write!(f, "'{host}' is neither a DNS name nor an address (correct the URL)"),
            TlsFault::BadCaFile { path, why } => write!(f, "ca_file {path}: {why} (it must hold certificates in PEM form)"),
        }
    }
}

impl std::error::Error for TlsFault {}

impl From<io::Error> for TlsFault {
    fn from(e: io::Error) -> Self {
        TlsFault::Io(e)
    }
}

impl TlsFault {
    /// The same without its details.
    pub fn kind(&self) -> Unreached {
        match self {
            TlsFault::NotTls => Unreached::NotTls,
            TlsFault::UnknownIssuer => Unreached::UnknownAuthority,
            TlsFault::WrongName { .. } | TlsFault::BadHost(_) => Unreached::WrongName,
            TlsFault::Expired => Unreached::Expired,
            TlsFault::NotYetValid => Unreached::NotYetValid,
            TlsFault::AuthorityCertificate => Unreached::AuthorityCertificate,
            TlsFault::BadCertificate(_) | TlsFault::BadCaFile { .. } => Unreached::BadCertificate,
            TlsFault::Alert(_) | TlsFault::NothingInCommon(_) => Unreached::HandshakeRefused,
            TlsFault::Closed | TlsFault::Io(_) => Unreached::Ended,
            TlsFault::Protocol(_) => Unreached::TlsBroken,
        }
    }

    pub(super) fn from_rustls(error: Error, host: &str) -> TlsFault {
        match error {
            Error::InvalidMessage(_) => TlsFault::NotTls,
            Error::InvalidCertificate(why) => TlsFault::from_certificate(why, host),
            Error::AlertReceived(alert) => TlsFault::Alert(format!("{alert:?}")),
            Error::PeerIncompatible(why) => TlsFault::NothingInCommon(format!("{why:?}")),
            other => TlsFault::Protocol(other.to_string()),
        }
    }

    fn from_certificate(error: CertificateError, host: &str) -> TlsFault {
        let host = host.to_string();
        match error {
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            CertificateError::NotValidForName => TlsFault::WrongName { host, presented: vec![] },
            CertificateError::NotValidForNameContext { presented, .. } => TlsFault::WrongName { host, presented },
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::NotYetValid,
            // The verifier's own error has no other name here; a test holds it.
            CertificateError::Other(why) if why.to_string() == "CaUsedAsEndEntity" => TlsFault::AuthorityCertificate,
            other => TlsFault::BadCertificate(other.to_string()),
        }
    }
}

/// The roots of trust, loaded once; shared by all shards.
#[derive(Clone)]
pub struct TlsSettings {
    usual: Arc<ClientConfig>,
    with_ca_file: HashMap<Box<str>, Arc<ClientConfig>>,
}

impl TlsSettings {
    /// The system's roots and Mozilla's; and these plus its own certificates for each `ca_file` (a path).
    pub fn load<'a>(ca_files: impl IntoIterator<Item = &'a str>) -> Result<TlsSettings, TlsFault> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        // A store that is missing or has a broken entry is no reason not to start: Mozilla's roots remain.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::from_roots(&roots, ca_files)
    }

    /// Trusts nobody but the certificates in `ca_files`.
    pub fn only<'a>(ca_files: impl IntoIterator<Item = &'a str>) -> Result<TlsSettings, TlsFault> {
        Self::from_roots(&RootCertStore::empty(), ca_files)
    }

    fn from_roots<'a>(roots: &RootCertStore, ca_files: impl IntoIterator<Item = &'a str>) -> Result<TlsSettings, TlsFault> {
        let mut with_ca_file = HashMap::new();
        for path in ca_files {
            let mut roots = roots.clone();
            add_ca_file(&mut roots, path)?;
            with_ca_file.insert(path.into(), config(roots));
        }
        Ok(TlsSettings { usual: config(roots.clone()), with_ca_file })
    }

    /// One provider as one shard sees it. A `ca_file` that was not loaded, or a host that no certificate can name, shows
    /// at the handshake. With `http2` that is offered too; the server chooses (`TlsStream::is_http2`).
    pub fn client(&self, host: &str, ca_file: Option<&str>, http2: bool) -> TlsClient {
        let base = match ca_file {
            None => Some(&self.usual),
            Some(path) => self.with_ca_file.get(path),
        };
        let config = base.map(|base| {
            let mut own = ClientConfig::clone(base);
            own.resumption = Resumption::in_memory_sessions(SESSIONS);
            if http2 {
                own.alpn_protocols.insert(0, HTTP2.to_vec());
            }
            Arc::new(own)
        });
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        TlsClient { config, name: ServerName::try_from(bare.to_string()).ok(), host: host.into() }
    }
}

/// No roots: for worlds in which no provider speaks TLS.
impl Default for TlsSettings {
    fn default() -> Self {
        TlsSettings { usual: config(RootCertStore::empty()), with_ca_file: HashMap::new() }
    }
}

fn add_ca_file(roots: &mut RootCertStore, path: &str) -> Result<(), TlsFault> {
    let fault = |why: String| TlsFault::BadCaFile { path: path.to_string(), why };
    let pem = std::fs::read(path).map_err(|e| fault(e.to_string()))?;
    let mut found = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|e| fault(e.to_string()))?;
        roots.add(certificate).map_err(|e| fault(e.to_string()))?;
        found += 1;
    }
    if found == 0 { Err(fault("no certificate in it".into())) } else { Ok(()) }
}

fn config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider: Arc<CryptoProvider> = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    // Fails only if the provider has no cipher for a default version; ring's has.
    let Ok(versions) = versions else { unreachable!("ring serves TLS 1.2 and 1.3") };
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Makes TLS connections to one provider.
pub struct TlsClient {
    config: Option<Arc<ClientConfig>>,
    name: Option<ServerName<'static>>,
    host: Box<str>,
}

impl TlsClient {
    /// The handshake over a connected stream, under the caller's time limit: dropping it drops the stream with it.
    pub async fn handshake<S: Duplex>(&self, stream: S) -> Result<TlsStream<S>, TlsFault> {
        let unknown = || TlsFault::BadCaFile { path: "of this provider".into(), why: "it was not loaded".into() };
        let config = self.config.clone().ok_or_else(unknown)?;
        let name = self.name.clone().ok_or_else(|| TlsFault::BadHost(self.host.to_string()))?;
        let fault = |e| TlsFault::from_rustls(e, &self.host);
        let mut connection = ClientConnection::new(config, name).map_err(fault)?;
        let (closer, peer) = (stream.closer(), stream.peer());
        let (mut read, mut write) = stream.split();
        let (mut inbox, mut outbox) = (Vec::with_capacity(UPSTREAM_BUFFER_BYTES), Vec::new());
        let taken = loop {
            outbox = send_pending(&mut connection, &mut write, outbox).await?;
            if !connection.is_handshaking() {
                break 0;
            }
            let (result, back) = read.read(inbox).await;
            inbox = back;
            if result? == 0 {
                return Err(TlsFault::Closed);
            }
            match take_in(&mut connection, &inbox) {
                Ok(taken) if taken < inbox.len() => {
                    // The handshake is done and application data is waiting already.
                    outbox = send_pending(&mut connection, &mut write, outbox).await?;
                    break taken;
                }
                Ok(_) => {}
                Err(error) => {
                    // The alert that says why; the fault stands whether or not it arrives.
                    let _ = send_pending(&mut connection, &mut write, outbox).await;
                    return Err(fault(error));
                }
            }
        };
        if taken == 0 {
            inbox.clear();
        }
        let session = Session { connection, host: self.host.clone() };
        Ok(TlsStream::new(Rc::new(RefCell::new(session)), (read, inbox, taken), (write, outbox), closer, peer))
    }
}

/// Feeds `bytes` until they are used up or the connection has plaintext for its reader; returns how many it took.
fn take_in(connection: &mut ClientConnection, bytes: &[u8]) -> Result<usize, Error> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let state = feed(connection, &mut rest)?;
        if state.plaintext_bytes_to_read() > 0 {
            break;
        }
    }
    Ok(bytes.len() - rest.len())
}

async fn send_pending<W: super::world::WriteHalf>(
    connection: &mut ClientConnection,
    write: &mut W,
    mut outbox: Vec<u8>,
) -> io::Result<Vec<u8>> {
    outbox.clear();
    while connection.wants_write() {
        connection.write_tls(&mut outbox)?;
    }
    let (result, mut outbox) = write_all(write, outbox).await;
    result?;
    outbox.clear();
    Ok(outbox)
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
