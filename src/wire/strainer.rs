//! Lets a provider's frames pass, but not those of a message that is longer than may be held.
//!
//! A connection is shared by calls of many clients, and one of them may ask for an answer of any length. Such a message is
//! skipped frame by frame, so the connection lives on; its first bytes are kept, and its last, because the id that says
//! whose it is stands in one or the other. Its length is known from the heads of its frames, before any of it is held.
//! A text in one frame is looked at as it comes: one whose sender has lost its place swallows the frames that follow as its
//! own bytes, and the first of them, a head that no text contains, says so at once.
//! Whatever else breaks the protocol is passed on for its reader to judge. Fails towards ending: a frame so long that the
//! others would wait for minutes is passed on too, and ends the connection.

use crate::base::limits::LINK_SKIP_BYTES;
use arrayvec::ArrayVec;

/// Kept of a skipped message's beginning, and of its end.
const FIRST_BYTES: usize = 512;
const LAST_BYTES: usize = 128;

/// Why passing stopped; what comes after it is passed by the next call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// What was passed of the current message has no end, and will have none: its reader begins anew.
    Cut,
    /// The beginning of a skipped message is here.
    Skipping,
    /// It has ended.
    Skipped,
    /// What comes as text is none, so nothing behind it can be told apart.
    Garbled,
}

#[derive(Debug)]
pub struct Strainer {
    most: u64,
    head: ArrayVec<u8, 14>,
    /// What is known of the current frame: payload that is to come, whether it is there at all, is a message's, and ends it.
    left: u64,
    in_frame: bool,
    is_data: bool,
    is_last: bool,
    /// Bytes so far of the message that is coming.
    payload: u64,
    is_skipping: bool,
    is_told: bool,
    first: ArrayVec<u8, FIRST_BYTES>,
    last: Vec<u8>,
    /// Set while a text that is one frame comes in.
    text: Option<Utf8>,
    /// A message has frames to come.
    is_open: bool,
    is_garbled: bool,
}

impl Strainer {
    /// Messages of more than `most` bytes are skipped.
    pub fn new(most: usize) -> Strainer {
        Strainer {
            most: most as u64,
            head: ArrayVec::new(),
            left: 0,
            in_frame: false,
            is_data: false,
            is_last: false,
            payload: 0,
            is_skipping: false,
            is_told: false,
            first: ArrayVec::new(),
            last: Vec::new(),
            text: None,
            is_open: false,
            is_garbled: false,
        }
    }

    /// Passes what may pass to `to`, and says how many of `bytes` are done with.
    pub fn pass(&mut self, bytes: &[u8], to: &mut Vec<u8>) -> (usize, Option<Stop>) {
        let mut at = 0;
        loop {
            if let Some(stop) = self.settle() {
                return (at, Some(stop));
            }
            let Some((byte, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) else { return (at, None) };
            if self.in_frame {
                at += self.payload(bytes.get(at..).unwrap_or(rest), to);
                continue;
            }
            at += 1;
            // A head is at most as long as its place.
            let _ = self.head.try_push(*byte);
            if frame_length(&self.head).is_some_and(|length| self.begin(length, to)) {
                return (at, Some(Stop::Cut));
            }
        }
    }

    /// A frame's head is whole. True: the message has become too long.
    fn begin(&mut self, length: u64, to: &mut Vec<u8>) -> bool {
        let first = self.head.first().copied().unwrap_or(0);
        let is_masked = self.head.get(1).is_some_and(|byte| byte & 0x80 != 0);
        (self.left, self.in_frame) = (length, true);
        (self.is_data, self.is_last) = (first & 0x0f <= 2, first & 0x80 != 0);
        // What breaks the protocol otherwise is for its reader to name, and what is skipped nobody reads.
        match first & 0x0f {
            0..=2 if first & 0x70 != 0 || is_masked => self.text = None,
            1 => self.text = (self.is_last && !self.is_open && !self.is_skipping).then(Utf8::default),
            2 => self.text = None,
            _ => {}
        }
        if self.is_data {
            self.is_open = !self.is_last;
        }
        let is_usual = self.is_data && first & 0x70 == 0;
        let is_over = is_usual && self.payload.saturating_add(length) > self.most && length <= LINK_SKIP_BYTES;
        let is_cut = is_over && !self.is_skipping;
        if is_cut {
            (self.is_skipping, self.is_told, self.text) = (true, false, None);
            self.last.clear();
        }
        if !(self.is_data && self.is_skipping) {
            to.extend_from_slice(&self.head);
        }
        self.head.clear();
        is_cut
    }

    fn payload(&mut self, rest: &[u8], to: &mut Vec<u8>) -> usize {
        let n = self.left.min(rest.len() as u64) as usize;
        let part = rest.get(..n).unwrap_or(rest);
        self.left -= n as u64;
        if !(self.is_data && self.is_skipping) {
            to.extend_from_slice(part);
        }
        if self.is_data {
            self.payload += n as u64;
            self.is_garbled |= self.text.as_mut().is_some_and(|text| !text.goes_on(part));
            let room = self.first.remaining_capacity().min(n);
            self.first.extend(part.iter().take(room).copied());
            if self.is_skipping {
                self.last.extend_from_slice(part.get(n.saturating_sub(LAST_BYTES)..).unwrap_or(part));
                let surplus = self.last.len().saturating_sub(LAST_BYTES);
                self.last.drain(..surplus);
            }
        }
        n
    }

    /// What follows from where the frame is now.
    fn settle(&mut self) -> Option<Stop> {
        if self.is_garbled {
            return Some(Stop::Garbled);
        }
        if self.is_skipping && !self.is_told && self.first.is_full() {
            self.is_told = true;
            return Some(Stop::Skipping);
        }
        let is_over = self.in_frame && self.left == 0;
        self.in_frame &= !is_over;
        if !(is_over && self.is_data && self.is_last) {
            return None;
        }
        // What goes on without having begun is no text.
        self.text = None;
        self.first.clear();
        self.payload = 0;
        std::mem::take(&mut self.is_skipping).then_some(Stop::Skipped)
    }

    /// Payload that the message which is coming holds behind this.
    pub fn held(&self) -> u64 {
        if self.is_skipping { 0 } else { self.payload }
    }

    /// A message or a frame has come in part.
    pub fn is_amid(&self) -> bool {
        self.in_frame || self.payload > 0 || self.is_skipping || !self.head.is_empty()
    }

    pub fn is_skipping(&self) -> bool {
        self.is_skipping
    }

    /// The beginning of the message that is being skipped.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// The end of the message that was skipped.
    pub fn last(&self) -> &[u8] {
        &self.last
    }
}

/// Whether bytes that come in parts are UTF-8 so far.
#[derive(Default, Debug)]
struct Utf8 {
    /// A character of which the rest is still to come.
    begun: ArrayVec<u8, 4>,
}

impl Utf8 {
    fn goes_on(&mut self, mut part: &[u8]) -> bool {
        while !self.begun.is_empty() {
            let Some((byte, rest)) = part.split_first() else { return true };
            // What has four bytes is a character or none.
            let _ = self.begun.try_push(*byte);
            part = rest;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(fault) if fault.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let Err(fault) = std::str::from_utf8(part) else { return true };
        let rest = part.get(fault.valid_up_to()..).unwrap_or(&[]);
        fault.error_len().is_none() && self.begun.try_extend_from_slice(rest).is_ok()
    }
}

/// The payload's length, when the head is whole (RFC 6455 §5.2).
pub fn frame_length(head: &[u8]) -> Option<u64> {
    let byte = *head.get(1)?;
    let extended = match byte & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if byte & 0x80 != 0 { 4 } else { 0 };
    let digits = head.get(2..2 + extended).filter(|_| head.len() == 2 + extended + mask)?;
    Some(if extended == 0 { u64::from(byte & 0x7f) } else { digits.iter().fold(0, |n, d| n << 8 | u64::from(*d)) })
}
