//! One write of several pieces, none of them copied.
//!
//! A provider's answer reaches its client with another id: head, bytes before the id, the client's id, bytes after it.
//! Copying a large body together costs more than the call itself (glibc copies misaligned buffers at 3 GB/s here), so
//! the pieces go to the kernel as they lie. The list of pieces and the iovec array are one boxed block: monoio moves an
//! operation after it took the array's address, and a block that is reused costs no allocation per call.

use super::world::WriteHalf;
use arrayvec::ArrayVec;
use monoio::buf::IoVecBuf;
use std::{io, ops::Range, rc::Rc};

/// Pieces in one write: head, before the id, id, after it, and two to spare for metadata and chunk framing.
pub const PIECES: usize = 6;

/// Bytes to write, owned or shared; what they point at never moves while the gather holds them.
#[derive(Debug)]
pub enum Piece {
    Owned(Vec<u8>),
    Slice(Vec<u8>, Range<usize>),
    Shared(Rc<Vec<u8>>, Range<usize>),
    Static(&'static [u8]),
}

impl Piece {
    /// Its bytes; nothing when a range lies outside its buffer.
    fn bytes(&self) -> &[u8] {
        match self {
            Piece::Owned(bytes) => bytes,
            Piece::Slice(bytes, range) => bytes.get(range.clone()).unwrap_or(&[]),
            Piece::Shared(bytes, range) => bytes.get(range.clone()).unwrap_or(&[]),
            Piece::Static(bytes) => bytes,
        }
    }

    /// Its buffer, when it owned one: to be used again.
    pub fn into_buffer(self) -> Option<Vec<u8>> {
        match self {
            Piece::Owned(bytes) | Piece::Slice(bytes, _) => Some(bytes),
            Piece::Shared(..) | Piece::Static(_) => None,
        }
    }
}

struct Block {
    pieces: ArrayVec<Piece, PIECES>,
    /// One for each piece that is not empty, pointing at what of it is unsent.
    iovecs: ArrayVec<libc::iovec, PIECES>,
    /// The first iovec with unsent bytes.
    first: usize,
}

/// A reusable list of pieces to write. `clear` it and take the pieces back after each use.
pub struct Gather(Box<Block>);

impl Gather {
    pub fn new() -> Gather {
        Gather(Box::new(Block { pieces: ArrayVec::new(), iovecs: ArrayVec::new(), first: 0 }))
    }

    /// Adds a piece behind the others; at most [`PIECES`]. A range outside of its buffer is a mistake of the caller and
    /// adds nothing.
    pub fn push(&mut self, piece: Piece) {
        debug_assert!(range_fits(&piece), "{piece:?}");
        let block = &mut *self.0;
        block.pieces.push(piece);
        if let Some(bytes) = block.pieces.last().map(Piece::bytes)
            && !bytes.is_empty()
        {
            block.iovecs.push(libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
        }
    }

    /// Bytes not yet written.
    pub fn left(&self) -> usize {
        self.unsent().iter().map(|v| v.iov_len).sum()
    }

    /// Takes the pieces back, in order, and leaves the gather empty for its next use.
    pub fn take(&mut self) -> impl Iterator<Item = Piece> + '_ {
        self.0.iovecs.clear();
        self.0.first = 0;
        self.0.pieces.drain(..)
    }

    pub fn clear(&mut self) {
        drop(self.take());
    }

    fn unsent(&self) -> &[libc::iovec] {
        self.0.iovecs.get(self.0.first..).unwrap_or(&[])
    }

    /// Notes that the first `n` unsent bytes are written.
    fn advance(&mut self, mut n: usize) {
        let block = &mut *self.0;
        while let Some(iovec) = block.iovecs.get_mut(block.first) {
            if n < iovec.iov_len {
                // SAFETY: `n` is below the length of the memory that `iov_base` starts, so the result is inside of it.
                iovec.iov_base = unsafe { iovec.iov_base.cast::<u8>().add(n) }.cast();
                iovec.iov_len -= n;
                return;
            }
            n -= iovec.iov_len;
            block.first += 1;
        }
        debug_assert_eq!(n, 0, "more written than was there");
    }
}

impl Default for Gather {
    fn default() -> Self {
        Self::new()
    }
}

fn range_fits(piece: &Piece) -> bool {
    match piece {
        Piece::Slice(bytes, range) => range.start <= range.end && range.end <= bytes.len(),
        Piece::Shared(bytes, range) => range.start <= range.end && range.end <= bytes.len(),
        Piece::Owned(_) | Piece::Static(_) => true,
    }
}

// SAFETY: the iovecs lie in the box, which does not move with the gather. Each points into a piece's bytes: a `Vec`'s
// heap block, an `Rc`'d one or static memory, none of which moves or changes while the piece is in the gather (pieces
// are private, only given out by `take`, which empties the iovecs first; a shared one has no `&mut`).
unsafe impl IoVecBuf for Gather {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.unsent().as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.unsent().len()
    }
}

/// Writes all of `gather`, however many short writes that takes; gives it back with its pieces inside.
pub async fn write_gather<W: WriteHalf>(to: &mut W, gather: Gather) -> (io::Result<()>, Gather) {
    write_gather_by_parts(to, gather, || ()).await
}

/// The same, and says so whenever a part was taken: for a deadline on progress.
pub async fn write_gather_by_parts<W: WriteHalf>(
    to: &mut W,
    mut gather: Gather,
    mut on_part: impl FnMut(),
) -> (io::Result<()>, Gather) {
    while !gather.unsent().is_empty() {
        let (result, back) = to.writev(gather).await;
        gather = back;
        match result {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), gather),
            Ok(n) => {
                gather.advance(n);
                on_part();
            }
            Err(e) => return (Err(e), gather),
        }
    }
    (Ok(()), gather)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{
        bytes_io::{read_more, write_range, write_static},
        driver::DriverChoice,
        uring::{ShardOptions, run},
    };
    use monoio::{
        BufResult,
        buf::IoBuf,
        io::{AsyncWriteRent, Splitable},
        net::UnixStream,
    };
    use std::future::Future;

    /// Takes `step` bytes of each write, and fails once `room` is used up.
    struct Dribble {
        got: Vec<u8>,
        step: usize,
        room: usize,
    }

    impl Dribble {
        fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.step).min(self.room);
            if n == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.got.extend_from_slice(&bytes[..n]);
            self.room -= n;
            Ok(n)
        }
    }

    impl AsyncWriteRent for Dribble {
        async fn write<T: IoBuf>(&mut self, buf: T) -> BufResult<usize, T> {
            // SAFETY: the buffer promises `bytes_init` readable bytes at `read_ptr`.
            let bytes = unsafe { std::slice::from_raw_parts(buf.read_ptr(), buf.bytes_init()) }.to_vec();
            (self.take(&bytes), buf)
        }

        async fn writev<T: IoVecBuf>(&mut self, buf: T) -> BufResult<usize, T> {
            // SAFETY: the buffer promises that many valid iovecs.
            let iovecs = unsafe { std::slice::from_raw_parts(buf.read_iovec_ptr(), buf.read_iovec_len()) };
            let mut all = Vec::new();
            for v in iovecs {
                // SAFETY: each iovec is a readable stretch of memory.
                all.extend_from_slice(unsafe { std::slice::from_raw_parts(v.iov_base.cast(), v.iov_len) });
            }
            (self.take(&all), buf)
        }

        async fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }

        async fn shutdown(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut cx) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("a dribble never waits"),
        }
    }

    fn fill(gather: &mut Gather) {
        gather.push(Piece::Owned(b"head ".to_vec()));
        gather.push(Piece::Static(b""));
        gather.push(Piece::Slice(b"xx{\"id\":yy".to_vec(), 2..8));
        gather.push(Piece::Static(b"7"));
        gather.push(Piece::Shared(Rc::new(b"..,\"result\":1}..".to_vec()), 2..14));
        gather.push(Piece::Owned(Vec::new()));
    }

    const WHOLE: &[u8] = b"head {\"id\":7,\"result\":1}";

    #[test]
    fn every_short_write_is_continued_where_it_stopped() {
        let mut gather = Gather::new();
        for step in 1..=WHOLE.len() + 1 {
            fill(&mut gather);
            assert_eq!(gather.left(), WHOLE.len());
            let mut to = Dribble { got: vec![], step, room: usize::MAX };
            let (done, back) = now(write_gather(&mut to, gather));
            done.unwrap();
            assert_eq!(to.got, WHOLE, "step {step}");
            gather = back;
            assert_eq!(gather.left(), 0);
            let pieces: Vec<_> = gather.take().collect();
            assert_eq!(pieces.len(), PIECES);
            let buffers: Vec<_> = pieces.into_iter().filter_map(Piece::into_buffer).collect();
            assert_eq!(buffers, [b"head ".to_vec(), b"xx{\"id\":yy".to_vec(), vec![]]);
        }
    }

    #[test]
    fn a_failed_write_gives_the_pieces_back() {
        for room in 0..WHOLE.len() {
            let mut gather = Gather::new();
            fill(&mut gather);
            let mut to = Dribble { got: vec![], step: 3, room };
            let (done, mut back) = now(write_gather(&mut to, gather));
            assert_eq!(done.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!((to.got.as_slice(), back.left()), (&WHOLE[..room], WHOLE.len() - room));
            assert_eq!(back.take().count(), PIECES);
            assert_eq!(back.left(), 0);
        }
    }

    #[test]
    fn ranges_and_statics_are_written_whole() {
        for step in 1..8 {
            let mut to = Dribble { got: vec![], step, room: usize::MAX };
            let (done, buf) = now(write_range(&mut to, b"abcdefgh".to_vec(), 2..7));
            done.unwrap();
            assert_eq!((buf.as_slice(), to.got.as_slice()), (&b"abcdefgh"[..], &b"cdefg"[..]));
            now(write_static(&mut to, b"!!!")).unwrap();
            assert_eq!(to.got, b"cdefg!!!");
        }
    }

    #[test]
    fn a_kernel_with_tiny_buffers_gets_all_of_it_on_both_drivers() {
        for driver in [DriverChoice::Auto, DriverChoice::Epoll] {
            run(ShardOptions { driver, ..Default::default() }, |world| async move {
                let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
                for end in [&a, &b] {
                    socket2::SockRef::from(end).set_send_buffer_size(1).unwrap(); // the kernel's minimum
                    end.set_nonblocking(!world.driver().driver.word().starts_with("io_uring")).unwrap();
                }
                let (_keep, mut to) = UnixStream::from_std(a).unwrap().into_split();
                let (mut from, _keep) = UnixStream::from_std(b).unwrap().into_split();
                let body: Rc<Vec<u8>> = Rc::new((0..3_000_001u32).map(|i| (i * 7) as u8).collect());
                let expected = [b"head".as_slice(), &body[1..3_000_000], b"tail"].concat();
                crate::runtime::world::World::spawn(&world, "writer", async move {
                    let mut gather = Gather::new();
                    gather.push(Piece::Owned(b"head".to_vec()));
                    gather.push(Piece::Shared(body, 1..3_000_000));
                    gather.push(Piece::Static(b"tail"));
                    write_gather(&mut to, gather).await.0.unwrap();
                });
                let mut got = Vec::with_capacity(expected.len() + 1);
                while got.len() < expected.len() {
                    let (n, back) = read_more(&mut from, got).await;
                    got = back;
                    assert_ne!(n.unwrap(), 0, "ended after {} bytes", got.len());
                }
                assert!(got == expected);
                assert_eq!(world.panics().total(), 0);
            })
            .unwrap();
        }
    }

    impl crate::runtime::world::ReadHalf for monoio::io::OwnedReadHalf<UnixStream> {
        async fn readable(&mut self) -> io::Result<()> {
            unreachable!("not waited for in this test")
        }
    }
}
