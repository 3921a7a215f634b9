//! The floor: what any proxy must pay for moving bytes between two sockets. It looks at none of them.
//!
//! One upstream connection per client connection, two pumps, each with a buffer that grows when a read fills it, so that
//! large answers do not lose to a larger buffer elsewhere.

use crate::args::Relay;
use crate::ring;
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::TcpStream;
use std::net::SocketAddr;
use std::time::Duration;

/// A buffer before anything filled it.
const FIRST_BYTES: usize = 64 << 10;

pub fn run(options: Relay) -> Result<(), String> {
    ring::run(options.driver, async |driver| serve(options, driver).await)?
}

async fn serve(options: Relay, driver: &str) -> Result<(), String> {
    let listener = ring::listen(options.listen)?;
    let at = listener.local_addr().map_err(|e| e.to_string())?;
    println!("{}", serde_json::json!({"event": "relay.ready", "driver": driver, "listen": at.to_string()}));
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                monoio::spawn(join(client, options.upstream, options.buffer_bytes));
            }
            // Out of files: wait for some to come back.
            Err(_) => monoio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn join(client: TcpStream, upstream: SocketAddr, most: usize) {
    let Ok(server) = TcpStream::connect_addr(upstream).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    monoio::spawn(pump(client_read, server_write, most));
    pump(server_read, client_write, most).await;
}

/// Copies until `from` ends, then ends `to`; a fault ends it the same way.
async fn pump(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent, most: usize) {
    let mut buffer: Vec<u8> = Vec::with_capacity(FIRST_BYTES.min(most));
    loop {
        let (read, back) = from.read(buffer).await;
        buffer = back;
        if !matches!(read, Ok(count) if count > 0) {
            break;
        }
        let full = buffer.len() == buffer.capacity();
        let (written, back) = to.write_all(buffer).await;
        buffer = back;
        if written.is_err() {
            break;
        }
        if full && buffer.capacity() < most {
            buffer = Vec::with_capacity(most.min(buffer.capacity() * 2));
        }
    }
    let _ = to.shutdown().await;
}
