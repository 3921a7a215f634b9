//! One write of a small head and a large shared tail: the tail of a 1 MiB answer is never copied in user space.

use monoio::buf::IoVecBuf;
use monoio::io::AsyncWriteRent;
use std::io;

/// Bytes to write in order. The tail lives as long as the process, as all answers of a mock do.
pub struct Gather {
    head: Vec<u8>,
    tail: &'static [u8],
    written: usize,
    /// Boxed: the kernel may read it after this value has moved.
    pieces: Box<[libc::iovec; 2]>,
    used: usize,
}

impl Gather {
    pub fn new() -> Gather {
        let none = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Gather { head: Vec::new(), tail: &[], written: 0, pieces: Box::new([none, none]), used: 0 }
    }

    /// Points the pieces at what is still unwritten.
    fn aim(&mut self) {
        let head = self.head.get(self.written..).unwrap_or_default();
        let tail = self.tail.get(self.written.saturating_sub(self.head.len())..).unwrap_or_default();
        self.used = 0;
        for piece in [head, tail] {
            if !piece.is_empty() {
                self.pieces[self.used] = libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
                self.used += 1;
            }
        }
    }
}

// SAFETY: `aim` ran after the last change of `head`, `tail` or `written`; the first `used` pieces point into `head`'s heap
// buffer, which moves with `self` untouched, or into static memory, and none of it is changed while a write is in flight.
unsafe impl IoVecBuf for Gather {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.pieces.as_ptr()
    }
    fn read_iovec_len(&self) -> usize {
        self.used
    }
}

/// Writes `head` then `tail`; gives `head` back.
pub async fn write(
    to: &mut impl AsyncWriteRent,
    mut gather: Gather,
    head: Vec<u8>,
    tail: &'static [u8],
) -> (io::Result<()>, Gather, Vec<u8>) {
    (gather.head, gather.tail, gather.written) = (head, tail, 0);
    let outcome = loop {
        gather.aim();
        if gather.used == 0 {
            break Ok(());
        }
        let (result, back) = to.writev(gather).await;
        gather = back;
        match result {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => gather.written += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(e),
        }
    };
    let head = std::mem::take(&mut gather.head);
    (outcome, gather, head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_leaves_the_rest() {
        let tail: &'static [u8] = b"tail";
        for head in [&b""[..], b"head"] {
            for written in 0..=head.len() + tail.len() {
                let mut gather = Gather::new();
                (gather.head, gather.tail, gather.written) = (head.to_vec(), tail, written);
                gather.aim();
                let mut seen = Vec::new();
                for piece in &gather.pieces[..gather.used] {
                    assert!(piece.iov_len > 0);
                    // SAFETY: `aim` has just pointed it into `gather.head` or `tail`, both alive here.
                    seen.extend_from_slice(unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) });
                }
                assert_eq!(seen, [head, tail].concat()[written..], "{written}");
            }
        }
    }
}
