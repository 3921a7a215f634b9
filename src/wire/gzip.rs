//! gzip answers to plain bytes (RFC 1952), streamed, without IO.
//!
//! Inflating is flate2's; the member headers and trailers are read here, because flate2's own gzip readers want to own
//! an input or output stream, and this machine must stop at any byte of either. Checked: magic, method, reserved flags,
//! header CRC, CRC-32 and length of each member. Bounded: output per call (`max_out`), header size, number of members. How
//! much comes out of how little says nothing: a megabyte of zeros is an answer. Whoever reads bounds the whole. A stream that
//! is merely cut off is no fault here: `done` stays false.

use crate::base::limits;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The most that is zeroed ahead of the inflater.
const STRIDE: usize = 32 * 1024;
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
            GzipFault::TooManyMembers => "the provider's gzip answer has too many members",
        }
    }
}

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
            members: 0,
            fault: None,
        }
    }

    /// Ready for another body, keeping the window's memory.
    pub fn reset(&mut self) {
        self.inflater.reset(false);
        self.crc.reset();
        self.state = State::Header(HEADER);
        (self.member_out, self.members, self.fault) = (0, 0, None);
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
            self.state = match self.state {
                State::Header(header) => self.header(header, byte)?,
                State::Trailer { have, value } => self.trailer(have, value, byte)?,
                State::Data => State::Data,
            };
        }
    }

    /// One step of at most `STRIDE` bytes of output.
    fn inflate(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> Result<(usize, usize), GzipFault> {
        let start = out.len();
        // What the buffer has room for anyway, unless that is hardly anything.
        let spare = (out.capacity() - start).max(ROOM_MIN);
        let room = STRIDE.min(limit - start).min(spare);
        out.resize(start + room, 0);
        let (before_in, before_out) = (self.inflater.total_in(), self.inflater.total_out());
        let space = out.get_mut(start..).unwrap_or(&mut []);
        let status = self.inflater.decompress(input, space, FlushDecompress::None);
        let used = self.inflater.total_in() - before_in;
        let wrote = self.inflater.total_out() - before_out;
        out.truncate(start + wrote as usize);
        let status = status.map_err(|_| GzipFault::BadData)?;
        self.crc.update(out.get(start..).unwrap_or(&[]));
        self.member_out += wrote;
        if status == Status::StreamEnd {
            self.state = State::Trailer { have: 0, value: 0 };
        }
        Ok((used as usize, wrote as usize))
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

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, GzBuilder, write::GzEncoder};
    use std::io::Write;

    fn zip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// JSON-like, compresses some 5 to 10 times.
    fn sample(bytes: usize) -> Vec<u8> {
        let mut state = 7u32;
        let mut out = Vec::new();
        while out.len() < bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            out.extend_from_slice(format!("{{\"number\":\"0x{:x}\",\"logs\":[]}},", state >> 20).as_bytes());
        }
        out.truncate(bytes);
        out
    }

    type Whole = Result<(Vec<u8>, bool), GzipFault>;

    /// Feeds the pieces in turn, taking at most `max_out` bytes each time; output and whether the stream may end.
    fn unzip(pieces: &[&[u8]], max_out: usize) -> Whole {
        let mut gunzip = Gunzip::new();
        let (mut all, mut out, mut done) = (Vec::new(), Vec::new(), false);
        for piece in pieces {
            let mut rest = *piece;
            loop {
                let progress = gunzip.feed(rest, &mut out, max_out)?;
                assert!(out.len() <= max_out, "never more than asked for");
                assert!(!progress.full || out.len() == max_out);
                all.append(&mut out);
                rest = &rest[progress.consumed..];
                done = progress.done;
                if !progress.full {
                    assert!(rest.is_empty(), "all is used unless output is full");
                    break;
                }
            }
        }
        Ok((all, done))
    }

    /// The same for the whole, each byte alone, each cut in two, and small outputs.
    #[track_caller]
    fn check(name: &str, zipped: &[u8], want: Whole) {
        assert_eq!(unzip(&[zipped], usize::MAX), want, "{name}: whole");
        let bytes: Vec<&[u8]> = zipped.chunks(1).collect();
        assert_eq!(unzip(&bytes, usize::MAX), want, "{name}: byte by byte");
        for max_out in [1, 7, 4096] {
            assert_eq!(unzip(&[zipped], max_out), want, "{name}: {max_out} bytes at a time");
        }
        for cut in 0..=zipped.len() {
            let (left, right) = zipped.split_at(cut);
            assert_eq!(unzip(&[left, right], usize::MAX), want, "{name}: cut at {cut}");
        }
    }

    fn good(plain: &[u8]) -> Whole {
        Ok((plain.to_vec(), true))
    }

    #[test]
    fn whole_streams_however_they_are_cut() {
        let plain = sample(3000);
        check("one member", &zip(&plain), good(&plain));
        check("nothing in it", &zip(b""), good(b""));
        check("no bytes at all", b"", Ok((Vec::new(), false)));
        let three = [zip(b"one "), zip(b""), zip(b"three")].concat();
        check("three members", &three, good(b"one three"));
        let header = GzBuilder::new().filename("n").comment("c").extra(vec![1, 2, 3]).mtime(5);
        let mut encoder = header.write(Vec::new(), Compression::fast());
        encoder.write_all(&plain).unwrap();
        check("all optional fields", &encoder.finish().unwrap(), good(&plain));
        let mut encoder = GzBuilder::new().extra(Vec::new()).write(Vec::new(), Compression::none());
        encoder.write_all(&plain).unwrap();
        check("empty extra field, stored", &encoder.finish().unwrap(), good(&plain));
    }

    #[test]
    fn header_crc() {
        let plain = zip(b"x");
        let mut header = plain[..10].to_vec();
        header[3] = 2;
        let mut crc = Crc::new();
        crc.update(&header);
        let sum = (crc.sum() as u16).to_le_bytes();
        let with = |sum: [u8; 2]| [&header[..], &sum, &plain[10..]].concat();
        check("right", &with(sum), good(b"x"));
        check("wrong", &with([sum[0] ^ 1, sum[1]]), Err(GzipFault::BadHeader));
        check("wrong", &with([sum[0], sum[1] ^ 0x80]), Err(GzipFault::BadHeader));
    }

    #[test]
    fn damaged_streams_are_refused() {
        let plain = sample(500);
        let zipped = zip(&plain);
        let with = |at: usize, byte: u8| {
            let mut bytes = zipped.clone();
            bytes[at] = byte;
            bytes
        };
        let end = zipped.len();
        check("plain JSON", b"{\"jsonrpc\":\"2.0\"}", Err(GzipFault::NotGzip));
        check("second magic byte", &with(1, 0), Err(GzipFault::NotGzip));
        check("other method", &with(2, 7), Err(GzipFault::BadHeader));
        check("reserved flag", &with(3, 0x20), Err(GzipFault::BadHeader));
        check("crc", &with(end - 8, zipped[end - 8] ^ 1), Err(GzipFault::BadChecksum));
        check("length", &with(end - 1, 1), Err(GzipFault::BadChecksum));
        check("bad block type", &with(10, 0xff), Err(GzipFault::BadData));
        check("bytes after it", &[&zipped[..], b"{}"].concat(), Err(GzipFault::NotGzip));
        check("zeros after it", &[&zipped[..], b"\0"].concat(), Err(GzipFault::NotGzip));
        // Any single wrong bit after the header is found, or the stream does not end, or it was padding.
        for (at, byte) in zipped.iter().enumerate().skip(10) {
            let result = unzip(&[&with(at, byte ^ 0x10)], usize::MAX);
            assert!(result.is_err() || result.is_ok_and(|(out, done)| !done || out == plain), "byte {at}");
        }
    }

    #[test]
    fn a_cut_stream_is_never_done() {
        let plain = sample(500);
        let zipped = zip(&plain);
        for length in 0..zipped.len() {
            let (out, done) = unzip(&[&zipped[..length]], usize::MAX).unwrap();
            assert!(!done && plain.starts_with(&out), "{length}");
        }
        let two = [zip(b"a"), zip(b"b")].concat();
        let ends: Vec<usize> = (0..=two.len()).filter(|&length| unzip(&[&two[..length]], usize::MAX).unwrap().1).collect();
        assert_eq!(ends, [two.len() / 2, two.len()], "only between members");
    }

    /// A thousandfold is as good as tenfold, and comes in steps of the size that was asked for.
    #[test]
    fn much_comes_out_of_little_step_by_step() {
        let zeros = vec![b'0'; 8 << 20];
        let zipped = zip(&zeros);
        assert!(zeros.len() / zipped.len() > 500);
        assert_eq!(unzip(&[&zipped], usize::MAX), good(&zeros));
        assert_eq!(unzip(&[&zipped], 10_000), good(&zeros));
        let member = zip(&vec![b'0'; 200_000]);
        assert_eq!(unzip(&[&member.repeat(40)], 256 * 1024), good(&zeros[..8_000_000]));
    }

    #[test]
    fn headers_and_members_are_bounded() {
        let empty = zip(b"");
        let members = limits::GZIP_MEMBERS as usize;
        assert_eq!(unzip(&[&empty.repeat(members)], usize::MAX), good(b""));
        assert_eq!(unzip(&[&empty.repeat(members + 1)], usize::MAX), Err(GzipFault::TooManyMembers));
        let mut named = empty[..10].to_vec();
        named[3] = 8;
        let name = |length: usize| [&named[..], &vec![b'n'; length], b"\0", &empty[10..]].concat();
        assert_eq!(unzip(&[&name(limits::GZIP_HEADER_BYTES - 11)], usize::MAX), good(b""));
        assert_eq!(unzip(&[&name(limits::GZIP_HEADER_BYTES - 10)], usize::MAX), Err(GzipFault::BadHeader));
    }

    #[test]
    fn output_goes_behind_what_is_there_and_reset_starts_anew() {
        let mut gunzip = Gunzip::new();
        let mut out = b"kept ".to_vec();
        assert_eq!(gunzip.feed(b"junk", &mut out, 100), Err(GzipFault::NotGzip));
        for word in ["one", "two"] {
            gunzip.reset();
            let progress = gunzip.feed(&zip(word.as_bytes()), &mut out, 100).unwrap();
            assert!(progress.done && !progress.full);
        }
        gunzip.reset();
        gunzip.feed(&zip(b"three")[..14], &mut out, 100).unwrap();
        gunzip.reset();
        let full = gunzip.feed(&zip(b"four"), &mut out, 0).unwrap();
        assert!(full.full && !full.done, "no room: {full:?}");
        assert!(out.starts_with(b"kept onetwo"));
    }
}
