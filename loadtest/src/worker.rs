//! One connection of a load: request after request, a new connection after a fault. Every answer is checked (status, ids, sizes),
//! and what is wrong is an error with a reason.

use crate::answer;
use crate::call::Request;
use crate::frame;
use crate::load::{Run, connect};
use crate::load_args::Kind;
use crate::reply::{Reader, Seen};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

/// Read at a time: a large answer costs few reads, and 256 connections 64 MiB.
const BUFFER_BYTES: usize = 256 << 10;
/// How long a connection waits after a fault, so that nobody who refuses is asked in a loop.
const REST: Duration = Duration::from_millis(10);

pub async fn work(run: Rc<Run>, stream: TcpStream) {
    let requests = run.options.kinds.iter().map(|kind| Request::new(&run.options, kind)).collect();
    let reader = Reader::new(run.options.over_socket);
    let mut worker = Worker {
        requests,
        buffer: Vec::with_capacity(BUFFER_BYTES),
        reader: if run.options.batch > 1 { reader.keeping() } else { reader },
        stream: Some(stream),
        was_served: false,
    };
    while let Some(start) = run.next_start().await {
        let result = match run.options.deadline {
            None => worker.call(&run).await,
            // Whoever gives up on a read gives up its connection: both are dropped here.
            Some(deadline) => match monoio::time::timeout(deadline, worker.call(&run)).await {
                Ok(result) => result,
                Err(_) => Err("no answer within the deadline".into()),
            },
        };
        run.ended(start, result.is_ok());
        match result {
            Ok(calls) => worker.was_served |= run.count(start, calls),
            Err(text) => {
                run.meter.borrow_mut().failed(text);
                monoio::time::sleep(REST).await;
            }
        }
    }
    run.is_done(worker.was_served);
}

struct Worker {
    /// By kind of call.
    requests: Vec<Request>,
    buffer: Vec<u8>,
    reader: Reader,
    /// None after a fault, and while it is in use.
    stream: Option<TcpStream>,
    /// It had an answer in the measured part.
    was_served: bool,
}

impl Worker {
    /// How many calls were answered.
    async fn call(&mut self, run: &Run) -> Result<u64, String> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                run.meter.borrow_mut().reconnects += 1;
                connect(&run.options).await?
            }
        };
        let (id, index) = run.next_call();
        let request = &mut self.requests[index];
        request.set_id(id);
        let calls = request.calls();
        let (result, bytes) = stream.write_all(std::mem::take(&mut request.bytes)).await;
        request.bytes = bytes;
        result.map_err(|e| format!("cannot send: {e}"))?;
        self.reader.reset();
        if self.buffer.capacity() == 0 {
            // A deadline took the last one with it.
            self.buffer = Vec::with_capacity(BUFFER_BYTES);
        }
        loop {
            let (result, buffer) = stream.read(std::mem::take(&mut self.buffer)).await;
            self.buffer = buffer;
            let count = result.map_err(|e| format!("cannot read: {e}"))?;
            if count == 0 {
                return Err("the connection ended before the answer did".into());
            }
            if self.take(&mut stream, count).await? {
                break;
            }
        }
        if !self.reader.close() {
            self.stream = Some(stream);
        }
        self.check(&run.options.kinds[index], index, id)?;
        Ok(calls)
    }

    /// The first `count` bytes of the buffer; whether they end the answer.
    async fn take(&mut self, stream: &mut TcpStream, count: usize) -> Result<bool, String> {
        let mut at = 0;
        loop {
            match self.reader.feed(&self.buffer[at..count])? {
                Seen::More => return Ok(false),
                Seen::Whole { used } if at + used == count => return Ok(true),
                Seen::Whole { .. } => return Err("bytes after the answer's end".into()),
                Seen::Ping { used } => {
                    at += used;
                    let (pong, _) = frame::from_client(frame::PONG, self.reader.ping());
                    self.reader.reset();
                    stream.write_all(pong).await.0.map_err(|e| format!("cannot send a pong: {e}"))?;
                }
            }
        }
    }

    fn check(&self, kind: &Kind, index: usize, id: u64) -> Result<(), String> {
        let (reader, request) = (&self.reader, &self.requests[index]);
        if reader.status() != 200 {
            return Err(format!("status {}: {}", reader.status(), reader.shown()));
        }
        let wanted = kind.result_bytes.map(|bytes| answer::body_bytes(bytes, request.id().len()));
        if request.calls() > 1 {
            let is_good = reader.echoes_all(id, request.calls(), wanted);
            return if is_good { Ok(()) } else { Err(format!("not a batch of our ids and sizes: {}", reader.shown())) };
        }
        if !reader.echoes(request.id()) {
            return Err(format!("an answer without our id or a result: {}", reader.shown()));
        }
        match wanted {
            Some(bytes) if bytes != reader.body_bytes() => {
                Err(format!("an answer of {} bytes, not {bytes}: {}", reader.body_bytes(), reader.shown()))
            }
            _ => Ok(()),
        }
    }
}
