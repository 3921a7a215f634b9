//! Our client against a real rustls server on another thread, on both drivers.

use super::*;
use crate::runtime::{
    bytes_io::read_more,
    driver::DriverChoice,
    gather::{Gather, Piece, write_gather},
    uring::{ShardOptions, TcpPair, Uring, run},
    world::{Accept, Closer, ReadHalf, World},
};
use futures_util::future::{Either, select};
use monoio::io::AsyncWriteRent;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion, version};
use std::{
    future::Future,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    pin::pin,
};

type ServerStream = StreamOwned<ServerConnection, TcpStream>;

/// An authority of our own, with its certificate in a file.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = std::env::temp_dir().join(format!("lasso-tls-{}-{name}.pem", std::process::id()));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), file }
    }

    fn path(&self) -> &str {
        self.file.to_str().unwrap()
    }

    fn client(&self, host: &str) -> TlsClient {
        TlsSettings::only([self.path()]).unwrap().client(host, Some(self.path()), false)
    }

    fn server(&self, names: &[&str], years: (i32, i32), versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(names.iter().map(|n| n.to_string()).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        let key = KeyPair::generate().unwrap();
        showing(params.signed_by(&key, &self.issuer).unwrap().der(), &key, versions)
    }

    /// Shows the authority's own certificate in a server's place, as a hasty `openssl req -x509` makes it.
    fn itself(&self) -> Arc<ServerConfig> {
        let own = CertificateDer::from_pem_file(&self.file).unwrap();
        showing(&own, self.issuer.key(), BOTH)
    }

    /// For `localhost`, valid, both versions.
    fn usual(&self) -> Arc<ServerConfig> {
        self.server(&["localhost"], (2020, 2100), BOTH)
    }
}

fn showing(
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key);
    Arc::new(config.unwrap())
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// Accepts for ever, one connection after another.
fn raw_server(mut act: impl FnMut(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(&mut act));
    at
}

/// Runs `act` for each connection, on a thread of its own.
fn server(config: Arc<ServerConfig>, act: impl Fn(&mut ServerStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let act = Arc::new(act);
    raw_server(move |socket| {
        let (connection, act) = (ServerConnection::new(config.clone()).unwrap(), act.clone());
        std::thread::spawn(move || act(&mut StreamOwned::new(connection, socket)));
    })
}

/// Sends back what it gets, until the client finishes.
fn echo(stream: &mut ServerStream) -> io::Result<()> {
    let mut buf = [0; 5000];
    loop {
        match stream.read(&mut buf)? {
            0 => {
                stream.conn.send_close_notify();
                return stream.flush();
            }
            n => stream.write_all(&buf[..n])?,
        }
        stream.flush()?;
    }
}

fn on_both<F: Future<Output = ()>>(make: impl Fn(Uring) -> F) {
    for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
        run(ShardOptions { driver, ..Default::default() }, &make).expect("a driver");
    }
}

/// What `future` gives within `ms`; drops it otherwise.
async fn within<F: Future>(world: &Uring, ms: u64, future: F) -> Option<F::Output> {
    match select(pin!(future), pin!(world.sleep_until(world.now().plus_ms(ms)))).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

async fn connect(world: &Uring, client: &TlsClient, to: SocketAddr) -> Result<TlsStream<TcpPair>, TlsFault> {
    client.handshake(world.connect(to).await?).await
}

async fn read_to_end<R: ReadHalf>(read: &mut R, at_a_time: usize) -> (Vec<u8>, io::Result<()>) {
    let mut all = Vec::new();
    loop {
        match read_more(read, Vec::with_capacity(at_a_time)).await {
            (Ok(0), _) => return (all, Ok(())),
            (Ok(_), buf) => all.extend(buf),
            (Err(e), _) => return (all, Err(e)),
        }
    }
}

#[test]
fn megabytes_go_both_ways_at_once() {
    let authority = Authority::new("echo");
    for versions in [&[&version::TLS13][..], &[&version::TLS12][..]] {
        let at = server(authority.server(&["localhost"], (2020, 2100), versions), echo);
        on_both(|world| {
            let client = authority.client("localhost");
            async move {
                let stream = Transport::Tls(connect(&world, &client, at).await.unwrap());
                assert_eq!(stream.peer(), at);
                let (mut read, mut write) = stream.split();
                let body: Rc<Vec<u8>> = Rc::new((0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect());
                let sent = body.clone();
                world.spawn("writer", async move {
                    let mut gather = Gather::new();
                    gather.push(Piece::Static(b"head"));
                    gather.push(Piece::Shared(sent.clone(), 0..sent.len()));
                    gather.push(Piece::Static(b"tail"));
                    write_gather(&mut write, gather).await.0.unwrap();
                    write_all(&mut write, b"more".to_vec()).await.0.unwrap();
                    write.shutdown().await.unwrap();
                });
                let (got, end) = read_to_end(&mut read, 100_000).await;
                end.unwrap();
                assert!(got == [b"head", body.as_slice(), b"tailmore"].concat(), "{} bytes came back", got.len());
                assert_eq!(world.panics().total(), 0);
            }
        });
    }
}

#[test]
fn small_buffers_and_vectors_lose_nothing() {
    let authority = Authority::new("small");
    let text: Vec<u8> = (0..40_000u32).map(|i| (i * 31) as u8).collect();
    let sent = text.clone();
    let at = server(authority.usual(), move |stream| {
        stream.write_all(&sent)?;
        stream.flush()?;
        stream.conn.send_close_notify();
        stream.flush()
    });
    on_both(|world| {
        let client = authority.client("localhost");
        let text = &text;
        async move {
            for at_a_time in [1, 7, 16_384, 100_000] {
                let (mut read, _write) = connect(&world, &client, at).await.unwrap().split();
                let (got, end) = read_to_end(&mut read, at_a_time).await;
                assert!(got == *text && end.is_ok(), "{at_a_time} at a time");
            }
            let (mut read, _write) = connect(&world, &client, at).await.unwrap().split();
            let mut got = Vec::new();
            loop {
                let parts = monoio::buf::VecBuf::from(vec![vec![0; 3], vec![], vec![0; 1000]]);
                let (n, parts) = read.readv(parts).await;
                let n = n.unwrap();
                let parts: Vec<Vec<u8>> = parts.into();
                got.extend(parts.concat().into_iter().take(n));
                if n == 0 {
                    break;
                }
            }
            assert!(got == *text, "by vectors");
        }
    });
}

#[test]
fn a_cut_stream_is_told_from_a_finished_one() {
    let authority = Authority::new("cut");
    let serve = |clean| {
        server(authority.usual(), move |stream| {
            stream.write_all(b"all of it")?;
            if clean {
                stream.conn.send_close_notify();
            }
            stream.flush()
        })
    };
    let servers = [(serve(false), false), (serve(true), true)];
    on_both(|world| {
        let client = authority.client("localhost");
        async move {
            for (at, clean) in servers {
                let (mut read, _write) = connect(&world, &client, at).await.unwrap().split();
                let (got, end) = read_to_end(&mut read, 100).await;
                assert_eq!(got, b"all of it");
                assert_eq!(end.map_err(|e| e.kind()), if clean { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof) });
                let again = read_more(&mut read, Vec::with_capacity(1)).await.0.map_err(|e| e.kind());
                assert_eq!(again, if clean { Ok(0) } else { Err(io::ErrorKind::UnexpectedEof) }, "the end stays");
            }
        }
    });
}

#[test]
fn every_refusal_is_explained() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let serve = |config| server(config, echo);
    let silent_close = raw_server(drop);
    let plain = raw_server(|mut socket| drop(socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")));
    let cases = [
        (serve(theirs.usual()), "localhost", "authority unknown here"),
        (serve(theirs.itself()), "localhost", "without CA:TRUE"),
        // Trust does not help.
        (serve(ours.itself()), "localhost", "without CA:TRUE"),
        (serve(ours.server(&["a.example", "b.example"], (2020, 2100), BOTH)), "localhost", "a.example"),
        (serve(ours.server(&["localhost"], (2020, 2021), BOTH)), "localhost", "has expired"),
        (serve(ours.server(&["localhost"], (2090, 2100), BOTH)), "localhost", "not valid yet"),
        (serve(ours.usual()), "no_such..host", "neither a DNS name"),
        (serve(ours.usual()), "127.0.0.1", "not for 127.0.0.1"),
        (plain, "localhost", "does not speak TLS"),
        (silent_close, "localhost", "closed the connection"),
    ];
    on_both(|world| {
        let clients = cases.each_ref().map(|(at, host, text)| (*at, ours.client(host), *text));
        async move {
            for (at, client, text) in &clients {
                let fault = connect(&world, client, *at).await.err().expect(text).to_string();
                // A server that closes without reading resets the connection, if our hello was there first.
                let reset = *text == "closed the connection" && fault.contains("reset");
                assert!(fault.contains(text) || reset, "{fault:?} should say {text:?}");
            }
        }
    });
    let fault = TlsSettings::only(["/does/not/exist.pem"]).err().unwrap().to_string();
    assert!(fault.contains("/does/not/exist.pem") && fault.contains("PEM"), "{fault}");
    let empty = ours.file.with_extension("empty");
    std::fs::write(&empty, "no certificate").unwrap();
    let fault = TlsSettings::only([empty.to_str().unwrap()]).err().unwrap().to_string();
    std::fs::remove_file(&empty).unwrap();
    assert!(fault.contains("no certificate in it"), "{fault}");
}

#[test]
fn addresses_and_the_usual_roots_work() {
    let authority = Authority::new("address");
    let at = server(authority.server(&["127.0.0.1"], (2020, 2100), BOTH), echo);
    let with_system_roots = TlsSettings::load([authority.path()]).unwrap();
    on_both(|world| {
        let trusting = with_system_roots.client("127.0.0.1", Some(authority.path()), false);
        let strangers = [
            with_system_roots.client("127.0.0.1", None, false),
            with_system_roots.client("127.0.0.1", Some("/not/loaded.pem"), false),
        ];
        async move {
            assert!(connect(&world, &trusting, at).await.is_ok());
            for stranger in &strangers {
                assert!(connect(&world, stranger, at).await.is_err());
            }
        }
    });
}

#[test]
fn a_second_connection_resumes_the_session() {
    let authority = Authority::new("resume");
    for versions in [&[&version::TLS13][..], &[&version::TLS12][..]] {
        let at = server(authority.server(&["localhost"], (2020, 2100), versions), echo);
        on_both(|world| {
            let (client, other_shard) = (authority.client("localhost"), authority.client("localhost"));
            async move {
                let round_trip = async |client: &TlsClient| {
                    let stream = connect(&world, client, at).await.unwrap();
                    let resumed = stream.is_resumed();
                    let (mut read, mut write) = stream.split();
                    write_all(&mut write, b"x".to_vec()).await.0.unwrap();
                    assert_eq!(read_more(&mut read, Vec::with_capacity(9)).await.0.unwrap(), 1);
                    resumed
                };
                assert!(!round_trip(&client).await && round_trip(&client).await);
                assert!(!round_trip(&other_shard).await, "sessions are not shared");
            }
        });
    }
}

#[test]
fn a_dropped_read_breaks_the_stream_and_a_half_handshake_can_be_dropped() {
    let authority = Authority::new("dropped");
    let at = server(authority.usual(), echo);
    let mut held = Vec::new();
    let silent = raw_server(move |socket| held.push(socket));
    on_both(|world| {
        let client = authority.client("localhost");
        async move {
            let (mut read, mut write) = connect(&world, &client, at).await.unwrap().split();
            assert!(within(&world, 20, read.read(Vec::with_capacity(9))).await.is_none(), "nothing to read yet");
            write_all(&mut write, b"x".to_vec()).await.0.unwrap();
            assert!(read.read(Vec::with_capacity(9)).await.0.is_err() && read.readable().await.is_err());

            let stream = world.connect(silent).await.unwrap();
            let closer = stream.closer();
            assert!(within(&world, 20, client.handshake(stream)).await.is_none());
            closer.close(); // consumed with its future: nothing left to close, and nothing breaks
            assert!(connect(&world, &client, at).await.is_ok());
        }
    });
}

#[test]
fn a_closer_ends_a_waiting_read_and_waiting_sees_decrypted_bytes() {
    let authority = Authority::new("closer");
    let at = server(authority.usual(), echo);
    on_both(|world| {
        let client = authority.client("localhost");
        async move {
            let stream = connect(&world, &client, at).await.unwrap();
            let closer = stream.closer();
            let (mut read, mut write) = stream.split();
            write_all(&mut write, b"four".to_vec()).await.0.unwrap();
            read.readable().await.unwrap();
            assert_eq!(read_more(&mut read, Vec::with_capacity(1)).await.1, b"f");
            // The rest is decrypted already: the socket has nothing, `readable` must know.
            within(&world, 200, read.readable()).await.expect("at once").unwrap();
            assert_eq!(read_more(&mut read, Vec::with_capacity(9)).await.1, b"our");
            let ends = world.clone();
            world.spawn("sweep", async move {
                ends.sleep_until(ends.now().plus_ms(10)).await;
                closer.close();
            });
            let kind = read_more(&mut read, Vec::with_capacity(9)).await.0.map_err(|e| e.kind());
            assert_eq!(kind, Err(io::ErrorKind::UnexpectedEof));
        }
    });
}

#[test]
fn plain_and_tls_are_one_type() {
    on_both(|world| async move {
        let mut listener = world.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let link = Transport::Plain(world.connect(listener.address()).await.unwrap());
        let (mut far_read, _far_write) = Transport::Plain(listener.accept().await.unwrap()).split();
        let (_read, mut write) = link.split();
        write_all(&mut write, b"plain".to_vec()).await.0.unwrap();
        far_read.readable().await.unwrap();
        assert_eq!(read_more(&mut far_read, Vec::with_capacity(9)).await.1, b"plain");
    });
}
