//! Clients beside the load that ask for much and take it slowly, or not at all: what do they cost, and does anybody else wait for
//! them?
//!
//! Each has a small receive buffer, so that it is the proxy that has to hold what they leave. They are told apart from the load
//! in every figure. A proxy may end them, which is counted and no error; they come back after a while.

use crate::call::Request;
use crate::load::{Run, connect};
use crate::load_args::Slow;
use crate::reply::{Reader, Seen};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use serde_json::{Value, json};
use std::cell::Cell;
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

/// Of the kernel's for such a client; it doubles it.
const RECEIVE_BYTES: libc::c_int = 16 << 10;
/// They read this often.
const STEP: Duration = Duration::from_millis(100);
const STEPS_PER_SECOND: u64 = 10;
/// One that was ended asks again after this.
const REST: Duration = Duration::from_secs(1);

/// What became of them.
#[derive(Default)]
pub struct Tally {
    bytes: Cell<u64>,
    answers: Cell<u64>,
    ended: Cell<u64>,
}

impl Tally {
    pub fn report(&self, slow: Option<&Slow>) -> Value {
        let Some(slow) = slow else { return Value::Null };
        json!({
            "clients": slow.clients, "bytes_per_second": slow.bytes_per_second, "bytes": self.bytes.get(), "answers": self.answers.get(),
            "ended": self.ended.get(),
        })
    }
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

/// One of them, until the run is over.
pub async fn dawdle(run: Rc<Run>, slow: Slow) {
    while !run.is_past() {
        if let Ok(stream) = connect(&run.options).await {
            narrow(&stream);
            if ask(&run, &slow, stream).await.is_err() {
                add(&run.slow.ended, 1);
            }
        }
        monoio::time::sleep(REST).await;
    }
}

fn narrow(stream: &TcpStream) {
    let size = RECEIVE_BYTES;
    let length = std::mem::size_of_val(&size) as libc::socklen_t;
    // SAFETY: `size` lives through the call and has the length that is named. A refusal leaves the usual buffer.
    unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, std::ptr::from_ref(&size).cast(), length) };
}

/// Call after call on one connection; an error is its end by the other side.
async fn ask(run: &Run, slow: &Slow, mut stream: TcpStream) -> Result<(), ()> {
    let mut request = Request::new(&run.options, &slow.kind);
    let mut reader = Reader::new(run.options.over_socket);
    let step = (slow.bytes_per_second / STEPS_PER_SECOND) as usize;
    while !run.is_past() {
        request.set_id(run.next_call().0);
        let (result, bytes) = stream.write_all(std::mem::take(&mut request.bytes)).await;
        request.bytes = bytes;
        result.map_err(drop)?;
        reader.reset();
        loop {
            monoio::time::sleep(STEP).await;
            if run.is_past() {
                return Ok(());
            }
            if step == 0 {
                continue;
            }
            let (result, buffer) = stream.read(Vec::with_capacity(step)).await;
            let count = result.map_err(drop)?;
            add(&run.slow.bytes, count as u64);
            match reader.feed(&buffer) {
                Ok(Seen::More) if count > 0 => {}
                Ok(Seen::Whole { .. }) => break add(&run.slow.answers, 1),
                _ => return Err(()),
            }
        }
    }
    Ok(())
}
