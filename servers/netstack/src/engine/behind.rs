//! What the engine does not know of a connection: bytes that went to the client or the peer without it, and how much room the client
//! has for more.
//!
//! smoltcp takes data only by copying it into its buffer. What goes straight to a client's FIFO, or from there to the peer and was
//! acknowledged ([`crate::connection`] says when), it is not told of at all. To it, the peer has sent less, or this side has. So its numbers for
//! the bytes of both lag behind from then on.
//!
//! So all that it gets of such a connection has its number and its acknowledgment lowered by that much, and all that it sends has them raised,
//! with the ranges of a selective one (RFC 2018): here, and nowhere else. (It does not look at those that it gets.) The rest of the stack
//! knows only the true numbers. What smoltcp does with them is to compare them with each other. All of one kind are shifted at once, and while
//! it holds no data of that direction, so their distances stay, to which it all comes down.
//!
//! Neither does it acknowledge what it has not been told of. When it's time, it gets a byte that it has had long ago, and tells the
//! peer what it has (RFC 9293 section 3.10.7.4).
//!
//! Over IPv4 without options only. Touches the frames that it is given.

use crate::classify::{ETHERNET, be16, be32};

/// Bytes of headers at most: Ethernet, IPv4, and TCP with all options.
const HEADERS: usize = ETHERNET + 20 + 60;
/// Where TCP starts.
const TCP: usize = ETHERNET + 20;

/// Options of TCP (RFC 9293 section 3.2, RFC 2018 section 3).
const END: u8 = 0;
const NOTHING: u8 = 1;
const RANGES: u8 = 5;
const ACK: u8 = 16;

/// What the engine does not know of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Unknown {
    /// By how much its numbers for the peer's bytes lag behind, and for this side's.
    pub(crate) behind: u32,
    pub(crate) ahead: u32,
    /// The peer's number behind the last byte that there is room for, and how far windows are shifted, if there is less room than in
    /// the engine's buffer.
    pub(crate) edge: Option<(u32, u8)>,
}

impl Unknown {
    /// Whether the engine knows it all.
    pub(super) fn is_nothing(&self) -> bool {
        !self.shifts() && self.edge.is_none()
    }

    /// Whether numbers lag behind.
    pub(super) fn shifts(&self) -> bool {
        self.behind != 0 || self.ahead != 0
    }

    /// Makes a segment one for the engine.
    pub(super) fn received(&self, frame: &mut [u8]) {
        // A connection that began over IPv4 gets nothing else. A packet may have options, though.
        let words = frame.get(ETHERNET).map_or(0, |first| first & 0x0f);
        let tcp = ETHERNET + usize::from(words) * 4;
        add(frame, tcp + 4, self.behind.wrapping_neg());
        if frame.get(tcp + 13).is_some_and(|flags| flags & ACK != 0) {
            add(frame, tcp + 8, self.ahead.wrapping_neg());
        }
    }

    /// Puts a frame of the engine's right.
    pub(super) fn sent(&self, frame: &mut [u8]) {
        // What else there is (ARP) acknowledges nothing.
        let is_tcp = be16(frame, 12) == Some(0x0800) && frame.get(ETHERNET + 9) == Some(&6);
        let (true, Some(&[words, flags])) = (is_tcp, frame.get(TCP + 12..TCP + 14)) else {
            return;
        };
        let end = TCP + usize::from(words >> 4) * 4;
        add(frame, TCP + 4, self.ahead);
        if flags & ACK != 0 {
            add(frame, TCP + 8, self.behind);
            if let (Some(ack), Some(window)) = (be32(frame, TCP + 8), be16(frame, TCP + 14)) {
                put(frame, TCP + 14, self.window(ack, window).to_be_bytes());
            }
        }
        self.shift_ranges(frame, end);
    }

    /// The window of a segment that acknowledges `ack`, where the engine opens it so far: no further than there is room.
    pub(crate) fn window(&self, ack: u32, window: u16) -> u16 {
        let Some((edge, shift)) = self.edge else {
            return window;
        };
        // None if more has come than there was room for (a probe of a shut window brings a byte).
        let room = usize::try_from(edge.wrapping_sub(ack) as i32).unwrap_or(0);
        // Rounded up: what the peer was told once is never taken back.
        room.div_ceil(1 << shift.min(14)).min(usize::from(window)) as u16
    }

    fn shift_ranges(&self, frame: &mut [u8], end: usize) {
        let mut at = TCP + 20;
        // Bounded: an option has at least one byte.
        while at < end {
            let (Some(&kind), len) = (frame.get(at), frame.get(at + 1).copied()) else {
                return;
            };
            let len = match (kind, len) {
                (END, _) => return,
                (NOTHING, _) => 1,
                (_, Some(len)) if len >= 2 => usize::from(len),
                _ => return,
            };
            if kind == RANGES {
                for edge in (at + 2..(at + len).min(end)).step_by(4) {
                    add(frame, edge, self.behind);
                }
            }
            at += len;
        }
    }
}

/// A segment of the peer's without its data, and perhaps with some that the engine has had long ago.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare<'a> {
    /// Headers of a segment with data.
    pub(crate) headers: &'a [u8],
    /// Its number: the peer's true one.
    pub(crate) seq: u32,
    /// What it acknowledges.
    pub(crate) ack: u32,
    /// Whether it has a byte of data: a zero.
    pub(crate) has_data: bool,
}

impl Bare<'_> {
    /// The frame for an engine that does not know something: how many bytes it has.
    pub(super) fn write(&self, frame: &mut [u8; HEADERS + 1], unknown: &Unknown) -> Option<usize> {
        let len = self.headers.len();
        frame.get_mut(..len)?.copy_from_slice(self.headers);
        let len = len.saturating_add(self.has_data.into()).min(frame.len());
        let packet = u16::try_from(len.checked_sub(ETHERNET)?).ok()?;
        put(frame, ETHERNET + 2, packet.to_be_bytes());
        put(frame, TCP + 4, self.seq.to_be_bytes());
        put(frame, TCP + 8, self.ack.to_be_bytes());
        unknown.received(frame);
        Some(len)
    }
}

/// Room for what [`Bare::write`] writes.
pub(super) const NO_FRAME: [u8; HEADERS + 1] = [0; HEADERS + 1];

fn add(frame: &mut [u8], at: usize, number: u32) {
    if let Some(sum) = be32(frame, at).map(|value| value.wrapping_add(number)) {
        put(frame, at, sum.to_be_bytes());
    }
}

fn put<const N: usize>(frame: &mut [u8], at: usize, bytes: [u8; N]) {
    if let Some(place) = frame.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
        *place = bytes;
    }
}
