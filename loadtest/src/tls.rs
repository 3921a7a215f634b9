//! The mock behind TLS: rustls driven in memory over one of our streams, as a provider's front would do it.
//!
//! One version and one suite (TLS 1.3, AES-128-GCM) are offered, so that no proxy is measured with a cheaper cipher than another,
//! and sessions may be resumed as rustls does by default, so that none pays for a handshake that another is spared.
//! In the mock and not in a front of its own: what a proxy costs is counted by its own process, and one process less shares the
//! core. A stream that breaks the protocol ends; whoever waits for it sees the connection end.

use monoio::BufResult;
use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, version};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

/// What one record may carry, with its head and tag.
const RECORD_BYTES: usize = 17 << 10;
/// The name in the certificate.
pub const NAME: &str = "localhost";

/// A fresh certificate of its own authority, which is written to `folder`/authority.pem for those who verify it.
pub fn config(folder: &Path) -> Result<Arc<ServerConfig>, String> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(|e| format!("no certificate: {e}"))?;
    let path = folder.join("authority.pem");
    std::fs::write(&path, made.cert.pem()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite() == rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&version::TLS13])
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key));
    config.map(Arc::new).map_err(|e| format!("no TLS: {e}"))
}

pub struct TlsStream {
    tcp: TcpStream,
    session: ServerConnection,
    /// Read, decrypted and not taken yet.
    plain: Vec<u8>,
    /// For what comes from the socket.
    sealed: Vec<u8>,
}

impl TlsStream {
    /// Shakes hands; says whether a session was resumed.
    pub async fn accept(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<(TlsStream, bool)> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(None);
        let mut stream = TlsStream { tcp, session, plain: Vec::new(), sealed: Vec::with_capacity(RECORD_BYTES) };
        while stream.session.is_handshaking() {
            stream.send().await?;
            if stream.session.is_handshaking() && stream.pull().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        stream.send().await?;
        let is_resumed = stream.session.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok((stream, is_resumed))
    }

    async fn send(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut out)?;
        }
        if out.is_empty() { Ok(()) } else { self.tcp.write_all(out).await.0.map(drop) }
    }

    /// One read of the socket, opened. Nought is the end.
    async fn pull(&mut self) -> io::Result<usize> {
        let (result, sealed) = self.tcp.read(std::mem::take(&mut self.sealed)).await;
        self.sealed = sealed;
        let count = result?;
        let mut left = &self.sealed[..count];
        while !left.is_empty() {
            self.session.read_tls(&mut left)?;
            let state = self.session.process_new_packets().map_err(io::Error::other)?;
            let start = self.plain.len();
            self.plain.resize(start + state.plaintext_bytes_to_read(), 0);
            self.session.reader().read_exact(&mut self.plain[start..])?;
        }
        Ok(count)
    }
}

impl AsyncReadRent for TlsStream {
    async fn read<T: IoBufMut>(&mut self, mut buf: T) -> BufResult<usize, T> {
        while self.plain.is_empty() {
            match self.pull().await {
                Ok(0) => return (Ok(0), buf),
                Ok(_) => {}
                Err(e) => return (Err(e), buf),
            }
        }
        let count = self.plain.len().min(buf.bytes_total());
        // SAFETY: `count` bytes are readable in `plain` and writable in `buf`, which are different allocations.
        unsafe {
            buf.write_ptr().copy_from_nonoverlapping(self.plain.as_ptr(), count);
            buf.set_init(count);
        }
        self.plain.drain(..count);
        (Ok(count), buf)
    }

    async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
        (Err(io::ErrorKind::Unsupported.into()), buf)
    }
}

impl AsyncWriteRent for TlsStream {
    async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        // SAFETY: an IoBuf's pointer is good for `bytes_init` bytes while it lives.
        let plain = unsafe { std::slice::from_raw_parts(buf.read_ptr(), buf.bytes_init()) };
        let result = self.session.writer().write(plain);
        match result {
            Ok(count) => (self.send().await.map(|()| count), buf),
            Err(e) => (Err(e), buf),
        }
    }

    async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
        let mut sum = 0;
        for index in 0..buf.read_iovec_len() {
            // SAFETY: an IoVecBuf has `read_iovec_len` pieces, each good for its length while it lives.
            let plain = unsafe {
                let piece = &*buf.read_iovec_ptr().add(index);
                std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len)
            };
            match self.session.writer().write(plain) {
                Ok(count) => sum += count,
                Err(e) => return (Err(e), buf),
            }
        }
        (self.send().await.map(|()| sum), buf)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.send().await
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        self.send().await?;
        self.tcp.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    /// A client and the server's session in memory: it is verified by what was written, with the one suite, and the second time
    /// resumed.
    #[test]
    fn one_suite_is_offered_and_sessions_are_resumed() {
        let folder = std::env::temp_dir().join(format!("loadtest-tls-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let server = config(&folder).expect("a server");
        let mut roots = RootCertStore::empty();
        let authority = rustls::pki_types::CertificateDer::from_pem_file(folder.join("authority.pem")).expect("a certificate");
        roots.add(authority).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
        let client = Arc::new(client.with_root_certificates(roots).with_no_client_auth());
        for want in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut ours = ClientConnection::new(client.clone(), NAME.try_into().expect("a name")).expect("a client");
            let mut theirs = ServerConnection::new(server.clone()).expect("a session");
            let mut wire = Vec::new();
            for _ in 0..4 {
                ours.write_tls(&mut wire).expect("bytes");
                theirs.read_tls(&mut &wire[..]).expect("bytes");
                theirs.process_new_packets().expect("a handshake");
                wire.clear();
                while theirs.wants_write() {
                    theirs.write_tls(&mut wire).expect("bytes");
                }
                ours.read_tls(&mut &wire[..]).expect("bytes");
                ours.process_new_packets().expect("a verified server");
                wire.clear();
            }
            assert_eq!((ours.is_handshaking(), theirs.handshake_kind()), (false, Some(want)));
            let suite = ours.negotiated_cipher_suite().map(|suite| suite.suite());
            assert_eq!(suite, Some(rustls::CipherSuite::TLS13_AES_128_GCM_SHA256));
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
