//! Copies between the simulated wire and monoio's owned buffers: the part of the kernel that reads and writes memory it
//! was lent. All `unsafe` of the simulator is here, and rests on the contract of monoio's buffer traits alone.

use monoio::buf::{IoBuf, IoBufMut, IoVecBuf, IoVecBufMut};
use std::collections::VecDeque;

/// Something a read may fill.
pub trait Fill {
    /// How many bytes fit.
    fn room(&mut self) -> usize;
    /// Takes the first `n` (at most `room`) bytes off `wire`.
    fn fill(&mut self, wire: &mut VecDeque<u8>, n: usize);
}

/// Something a write may take from.
pub trait Drain {
    fn bytes(&self) -> usize;
    /// Appends the first `n` (at most `bytes`) bytes to `wire`.
    fn drain(&self, wire: &mut VecDeque<u8>, n: usize);
}

pub struct One<B>(pub B);
pub struct Many<B>(pub B);

impl<B: IoBufMut> Fill for One<B> {
    fn room(&mut self) -> usize {
        self.0.bytes_total()
    }

    fn fill(&mut self, wire: &mut VecDeque<u8>, n: usize) {
        assert!(n <= self.room() && n <= wire.len());
        // SAFETY: IoBufMut promises `bytes_total()` writable bytes at `write_ptr()`, of which the first `n` are then set.
        unsafe {
            copy_off(wire, self.0.write_ptr(), n);
            self.0.set_init(n);
        }
    }
}

impl<B: IoVecBufMut> Fill for Many<B> {
    fn room(&mut self) -> usize {
        iovecs_mut(&mut self.0).iter().map(|v| v.iov_len).sum()
    }

    fn fill(&mut self, wire: &mut VecDeque<u8>, n: usize) {
        assert!(n <= self.room() && n <= wire.len());
        let mut left = n;
        for piece in iovecs_mut(&mut self.0) {
            let len = piece.iov_len.min(left);
            // SAFETY: each iovec names `iov_len` writable bytes (IoVecBufMut), and `len` is at most that.
            unsafe { copy_off(wire, piece.iov_base.cast(), len) };
            left -= len;
        }
        // SAFETY: the first `n` bytes over all pieces were written just now.
        unsafe { self.0.set_init(n) };
    }
}

impl<B: IoBuf> Drain for One<B> {
    fn bytes(&self) -> usize {
        self.0.bytes_init()
    }

    fn drain(&self, wire: &mut VecDeque<u8>, n: usize) {
        assert!(n <= self.bytes());
        // SAFETY: IoBuf promises `bytes_init()` readable bytes at `read_ptr()`.
        wire.extend(unsafe { std::slice::from_raw_parts(self.0.read_ptr(), n) });
    }
}

impl<B: IoVecBuf> Drain for Many<B> {
    fn bytes(&self) -> usize {
        iovecs(&self.0).iter().map(|v| v.iov_len).sum()
    }

    fn drain(&self, wire: &mut VecDeque<u8>, n: usize) {
        let mut left = n;
        for piece in iovecs(&self.0) {
            let len = piece.iov_len.min(left);
            if len > 0 {
                // SAFETY: each iovec names `iov_len` readable bytes (IoVecBuf), and `len` is at most that.
                wire.extend(unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), len) });
            }
            left -= len;
        }
        assert_eq!(left, 0);
    }
}

fn iovecs<B: IoVecBuf>(buffer: &B) -> &[libc::iovec] {
    if buffer.read_iovec_len() == 0 {
        return &[];
    }
    // SAFETY: IoVecBuf promises `read_iovec_len()` iovecs at `read_iovec_ptr()`, alive as long as the buffer.
    unsafe { std::slice::from_raw_parts(buffer.read_iovec_ptr(), buffer.read_iovec_len()) }
}

fn iovecs_mut<B: IoVecBufMut>(buffer: &mut B) -> &[libc::iovec] {
    if buffer.write_iovec_len() == 0 {
        return &[];
    }
    // SAFETY: IoVecBufMut promises `write_iovec_len()` iovecs at `write_iovec_ptr()`, alive as long as the buffer.
    unsafe { std::slice::from_raw_parts(buffer.write_iovec_ptr(), buffer.write_iovec_len()) }
}

/// Moves the first `n` bytes of `wire` to `to`.
///
/// # Safety
/// `to` must be valid for `n` bytes of writing, and `wire` must hold `n` bytes.
unsafe fn copy_off(wire: &mut VecDeque<u8>, to: *mut u8, n: usize) {
    let (head, tail) = wire.as_slices();
    let first = n.min(head.len());
    // SAFETY: the caller promises room for `n`; `first` and `n - first` are within the two slices; nothing overlaps.
    unsafe {
        std::ptr::copy_nonoverlapping(head.as_ptr(), to, first);
        std::ptr::copy_nonoverlapping(tail.as_ptr(), to.add(first), n - first);
    }
    wire.drain(..n);
}
