//! Whole-buffer reads and writes over the trait's halves.
//!
//! monoio's operations take a buffer by value and give it back, and may move fewer bytes than asked. These loops hide
//! the second part. One trap lives here: a read into a buffer without room waits for ever on an idle connection, and
//! looks like end of file on a busy one, so it is refused.

use super::world::{ReadHalf, WriteHalf};
use monoio::buf::{IoBuf, IoBufMut};
use std::{io, ops::Range};

/// Appends to `buf`, into its spare capacity only (it never grows); 0 is end of file.
/// A buffer without spare capacity is a mistake of the caller: `InvalidInput`, and a failed assertion in debug builds.
pub async fn read_more<R: ReadHalf>(from: &mut R, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
    let (len, room) = (buf.len(), buf.capacity());
    debug_assert!(room > len, "a read without room never ends");
    if room == len {
        return (Err(io::ErrorKind::InvalidInput.into()), buf);
    }
    let (result, slice) = from.read(buf.slice_mut(len..room)).await;
    (result, slice.into_inner())
}

/// Writes all of `buf`.
pub async fn write_all<W: WriteHalf>(to: &mut W, buf: Vec<u8>) -> (io::Result<()>, Vec<u8>) {
    let all = 0..buf.len();
    write_range(to, buf, all).await
}

/// The same, and says so whenever a part was taken: for a deadline on progress.
pub async fn write_all_by_parts<W: WriteHalf>(to: &mut W, buf: Vec<u8>, on_part: impl FnMut()) -> (io::Result<()>, Vec<u8>) {
    let all = 0..buf.len();
    write_owned(to, buf, all, on_part).await
}

/// Writes a stretch of `buf`. A range outside of `buf` is a mistake of the caller: `InvalidInput`.
pub async fn write_range<W: WriteHalf>(to: &mut W, buf: Vec<u8>, range: Range<usize>) -> (io::Result<()>, Vec<u8>) {
    if range.end > buf.len() || range.start > range.end {
        debug_assert!(false, "{range:?} of {} bytes", buf.len());
        return (Err(io::ErrorKind::InvalidInput.into()), buf);
    }
    write_owned(to, buf, range, || ()).await
}

/// Writes text that lives in the binary.
pub async fn write_static<W: WriteHalf>(to: &mut W, text: &'static [u8]) -> io::Result<()> {
    write_owned(to, text, 0..text.len(), || ()).await.0
}

/// Ends our side of the connection; what was written is delivered first.
pub async fn finish_writing<W: WriteHalf>(to: &mut W) -> io::Result<()> {
    to.shutdown().await
}

async fn write_owned<W: WriteHalf, B: IoBuf>(
    to: &mut W,
    mut buf: B,
    mut left: Range<usize>,
    mut on_part: impl FnMut(),
) -> (io::Result<()>, B) {
    while !left.is_empty() {
        let (result, slice) = to.write(buf.slice(left.clone())).await;
        buf = slice.into_inner();
        match result {
            Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buf),
            Ok(n) => {
                left.start += n;
                on_part();
            }
            Err(e) => return (Err(e), buf),
        }
    }
    (Ok(()), buf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use monoio::{BufResult, buf::IoVecBufMut, io::AsyncReadRent};
    use std::future::Future;

    /// Gives `step` bytes a read.
    struct Source(&'static [u8], usize);

    impl AsyncReadRent for Source {
        async fn read<T: IoBufMut>(&mut self, mut buf: T) -> BufResult<usize, T> {
            let mut step = &self.0[..self.1.min(self.0.len()).min(buf.bytes_total())];
            self.0 = &self.0[step.len()..];
            step.read(buf).await
        }

        async fn readv<T: IoVecBufMut>(&mut self, buf: T) -> BufResult<usize, T> {
            (Err(io::ErrorKind::Unsupported.into()), buf)
        }
    }

    impl ReadHalf for Source {
        async fn readable(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn now<T>(future: impl Future<Output = T>) -> T {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut cx) {
            std::task::Poll::Ready(value) => value,
            std::task::Poll::Pending => panic!("a source never waits"),
        }
    }

    #[test]
    fn reads_append_without_growing() {
        for step in 1..=5 {
            let mut from = Source(b"bcdef", step);
            let mut buf = Vec::with_capacity(6);
            buf.push(b'a');
            let place = (buf.as_ptr(), buf.capacity());
            while buf.len() < 6 {
                let before = buf.len();
                let (n, back) = now(read_more(&mut from, buf));
                buf = back;
                assert_eq!(buf.len(), before + n.unwrap());
            }
            assert_eq!((buf.as_slice(), (buf.as_ptr(), buf.capacity())), (&b"abcdef"[..], place));
        }
        let (n, _) = now(read_more(&mut Source(b"", 1), Vec::with_capacity(1)));
        assert_eq!(n.unwrap(), 0, "end of file");
    }

    #[test]
    #[cfg(debug_assertions)]
    #[should_panic(expected = "without room")]
    fn a_read_without_room_is_a_mistake() {
        let _ = now(read_more(&mut Source(b"x", 1), Vec::new()));
    }
}
