//! gzip answers to plain bytes (RFC 1952), streamed, without IO.
//!
//! Inflating is flate2's; the member headers and trailers are read here, because flate2's own gzip readers want to own
//! an input or output stream, and this machine must stop at any byte of either. Checked: magic, method, reserved flags,
//! header CRC, CRC-32 and length of each member. Bounded: output per call (`max_out`), decoded bytes per compressed
//! byte (`GZIP_RATIO`, looked at every `STRIDE` bytes of output so that the verdict does not hang on how the input was
//! cut), header size, number of members. A stream that is merely cut off is no fault here: `done` stays false.

use crate::base::limits;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Output between two looks at the ratio; also the most that is zeroed ahead of the inflater.
const STRIDE: u64 = 32 * 1024;
/// Output is made in steps of at least this, growing the buffer if need be.
const ROOM_MIN: usize = 4096;

/// Why a stream is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GzipFault {
    /// Does not start as a gzip member, or bytes follow the last member that are none.
    NotGzip,
    /// A method other than deflate, reserved flags, a wrong header CRC, or a header above `GZIP_HEADER_BYTES`.
    BadHeader,
    /// The deflate data is broken.
    BadData,
    /// CRC-32 or length of a member is wrong.
    BadChecksum,
    /// More than `GZIP_RATIO` bytes came out for each one that went in.
    Bomb,
    /// More than `GZIP_MEMBERS` members.
    TooManyMembers,
}

impl GzipFault {
    /// For people.
    pub fn reason(self) -> &'static str {
        match self {
            GzipFault::NotGzip => "the provider's answer says gzip but is not",
            GzipFault::BadHeader => "the provider's gzip answer has a malformed header",
            GzipFault::BadData => "the provider's gzip answer is damaged",
            GzipFault::BadChecksum => "the provider's gzip answer has a wrong checksum",
            GzipFault::Bomb => "the provider's gzip answer expands more than 100 times: refused as a decompression bomb",
            GzipFault::TooManyMembers => "the provider's gzip answer has too many members",
        }
    }
}

const _: () = assert!(limits::GZIP_RATIO == 100, "the text above names this number");

/// What one call did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// Bytes of the input that were used; all of them unless `full`.
    pub consumed: usize,
    /// The stream may end here: whole members only so far, at least one. If the body ends while this is false, it was cut.
    pub done: bool,
    /// `max_out` bytes came out and more may follow: take them away and call again with the rest, even if it is empty.
    pub full: bool,
}

/// The decoder of one body. Some 43 KiB; `reset` makes it ready for another.
pub struct Gunzip {
    state: State,
    inflater: Decompress,
    /// Of the member's header while that is read, then of its data.
    crc: Crc,
    member_out: u64,
    total_in: u64,
    total_out: u64,
    members: u32,
    fault: Option<GzipFault>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Header(Header),
    Data,
    /// CRC-32 and length, little-endian, as far as read.
    Trailer {
        have: u8,
        value: u64,
    },
}

/// Place in a member's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Header {
    part: Part,
    flags: u8,
    /// Bytes read of this part; for `Extra`, bytes left.
    count: u16,
    /// A number being put together: XLEN, header CRC.
    value: u16,
    bytes: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    /// Magic, method, flags, time, level, system.
    Fixed,
    ExtraLength,
    Extra,
    Name,
    Comment,
    Crc,
}

const HEADER: Header = Header { part: Part::Fixed, flags: 0, count: 0, value: 0, bytes: 0 };

const HAS_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

impl Default for Gunzip {
    fn default() -> Gunzip {
        Gunzip::new()
    }
}

impl Gunzip {
    pub fn new() -> Gunzip {
        Gunzip {
            state: State::Header(HEADER),
            inflater: Decompress::new(false),
            crc: Crc::new(),
            member_out: 0,
            total_in: 0,
            total_out: 0,
            members: 0,
            fault: None,
        }
    }

    /// Ready for another body, keeping the window's memory.
    pub fn reset(&mut self) {
        self.inflater.reset(false);
        self.crc.reset();
        self.state = State::Header(HEADER);
        (self.member_out, self.total_in, self.total_out) = (0, 0, 0);
        (self.members, self.fault) = (0, None);
    }

    /// Decodes from `input`, appending at most `max_out` bytes to `out`. A fault is final and said again.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>, max_out: usize) -> Result<Progress, GzipFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let limit = out.len().saturating_add(max_out);
        self.run(input, out, limit).inspect_err(|&fault| self.fault = Some(fault))
    }

    fn run(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<Progress, GzipFault> {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or(&[]);
            if self.state == State::Data {
                if out.len() >= limit {
                    return Ok(Progress { consumed, done: false, full: true });
                }
                let (used, wrote) = self.inflate(rest, out, limit)?;
                consumed += used;
                if used == 0 && wrote == 0 && self.state == State::Data {
                    return Ok(Progress { consumed, done: false, full: false });
                }
                continue;
            }
            let Some(&byte) = rest.first() else {
                let done = self.members > 0 && self.state == State::Header(HEADER);
                return Ok(Progress { consumed, done, full: false });
            };
            consumed += 1;
            self.total_in += 1;
            self.state = match self.state {
                State::Header(header) => self.header(header, byte)?,
                State::Trailer { have, value } => self.trailer(have, value, byte)?,
                State::Data => State::Data,
            };
        }
    }

    /// One step of at most `STRIDE` bytes of output, never across a multiple of it.
    fn inflate(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(usize, usize), GzipFault> {
        let start = out.len();
        let stride = STRIDE - self.total_out % STRIDE;
        // What the buffer has room for anyway, unless that is hardly anything.
        let spare = (out.capacity() - start).max(ROOM_MIN);
        let room = usize::try_from(stride).unwrap_or(usize::MAX).min(limit - start).min(spare);
        out.resize(start + room, 0);
        let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
        let space = out.get_mut(start..).unwrap_or(&mut []);
        let status = self.inflater.decompress(input, space, FlushDecompress::None);
        let used = self.inflater.total_in() - before_in;
        let wrote = self.inflater.total_out() - before_out;
        out.truncate(start + wrote as usize);
        let status = status.map_err(|_| GzipFault::BadData)?;
        self.crc.update(out.get(start..).unwrap_or(&[]));
        self.total_in += used;
        self.total_out += wrote;
        self.member_out += wrote;
        if self.total_out.is_multiple_of(STRIDE) && self.is_bomb() {
            return Err(GzipFault::Bomb);
        }
        if status == Status::StreamEnd {
            self.state = State::Trailer { have: 0, value: 0 };
        }
        Ok((used as usize, wrote as usize))
    }

    fn is_bomb(&self) -> bool {
        self.total_out > limits::GZIP_FLOOR_BYTES && self.total_out / limits::GZIP_RATIO > self.total_in
    }

    fn trailer(&mut self, have: u8, value: u64, byte: u8) -> Result<State, GzipFault> {
        let value = value | u64::from(byte) << (8 * u32::from(have));
        if have < 7 {
            return Ok(State::Trailer { have: have + 1, value });
        }
        // Both fields are modulo 2^32.
        let (crc, length) = (value as u32, (value >> 32) as u32);
        if crc != self.crc.sum() || length != self.member_out as u32 {
            return Err(GzipFault::BadChecksum);
        }
        self.members += 1;
        self.inflater.reset(false);
        self.crc.reset();
        self.member_out = 0;
        Ok(State::Header(HEADER))
    }

    fn header(&mut self, mut header: Header, byte: u8) -> Result<State, GzipFault> {
        if self.members >= limits::GZIP_MEMBERS {
            return Err(GzipFault::TooManyMembers);
        }
        header.bytes += 1;
        if header.bytes > limits::GZIP_HEADER_BYTES {
            return Err(GzipFault::BadHeader);
        }
        if header.part != Part::Crc {
            self.crc.update(&[byte]);
        }
        match header.part {
            Part::Fixed => match (header.count, byte) {
                (0, 0x1f) | (1, 0x8b) | (2, 8) | (4..=8, _) => header.count += 1,
                (0 | 1, _) => return Err(GzipFault::NotGzip),
                (3, flags) if flags & RESERVED == 0 => (header.flags, header.count) = (flags, 4),
                (2 | 3, _) => return Err(GzipFault::BadHeader),
                _ => header.enter(Part::ExtraLength),
            },
            Part::ExtraLength | Part::Crc => {
                header.value |= u16::from(byte) << (8 * header.count);
                header.count += 1;
                if header.count == 2 && header.part == Part::Crc {
                    return if header.value == self.crc.sum() as u16 { Ok(self.data()) } else { Err(GzipFault::BadHeader) };
                }
                if header.count == 2 {
                    (header.part, header.count) = (Part::Extra, header.value);
                }
            }
            Part::Extra => header.count -= 1,
            Part::Name if byte == 0 => header.enter(Part::Comment),
            Part::Comment if byte == 0 => header.enter(Part::Crc),
            Part::Name | Part::Comment => {}
        }
        if header.part == Part::Extra && header.count == 0 {
            header.enter(Part::Name);
        }
        Ok(header.skip_absent().map_or_else(|| self.data(), State::Header))
    }

    fn data(&mut self) -> State {
        self.crc.reset();
        State::Data
    }
}

impl Header {
    fn enter(&mut self, part: Part) {
        (self.part, self.count, self.value) = (part, 0, 0);
    }

    /// Goes past parts that the flags leave out; `None` when the header is at its end. Only at the start of a part.
    fn skip_absent(mut self) -> Option<Header> {
        loop {
            let (flag, next) = match self.part {
                Part::Fixed | Part::Extra => return Some(self),
                Part::ExtraLength => (HAS_EXTRA, Part::Name),
                Part::Name => (HAS_NAME, Part::Comment),
                Part::Comment => (HAS_COMMENT, Part::Crc),
                Part::Crc if self.flags & HAS_CRC == 0 => return None,
                Part::Crc => return Some(self),
            };
            if self.flags & flag != 0 {
                return Some(self);
            }
            self.enter(next);
        }
    }
}
