//! TCP segments that follow each other, joined into one before anything else looks at them: what a segment costs is then paid once for many. Touches
//! the buffer that frames are received into.
//!
//! Joined is only what says the same but for its place in the stream: equal addresses, ports, acknowledgment, window and options, data without
//! a gap, and no flag but ACK, and PSH at the end (as Linux does in `tcp_gro_receive`). Each segment's checksum is looked at before. An acknowledgment for
//! each second segment (RFC 9293 section 3.8.6.3) becomes one for each second train.

use crate::{
    checksum,
    classify::{self, ETHERNET, Frame, Payload},
};

/// Longest headers in front of a segment: Ethernet, IPv6, TCP with all options.
const MAX_HEADERS: usize = ETHERNET + 40 + 60;
/// Longest IP packet.
const MAX_PACKET: usize = u16::MAX as usize;
const ACK: u8 = 16;
const PSH: u8 = 8;

/// A segment at the start of a buffer, perhaps with the data of further ones behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Train {
    /// Bytes of headers.
    headers: usize,
    /// Where the IP header ends.
    tcp: usize,
    /// Bytes of headers and data.
    end: usize,
    /// The sequence number behind its data.
    next: u32,
    /// Segments.
    count: u32,
    /// Nothing comes behind it.
    closed: bool,
}

impl Train {
    /// A frame as the first of a train. `None` if nothing can follow it, or the checksum is wrong.
    ///
    /// `vouches`: the device has looked at the checksum.
    pub(crate) fn begin(frame: &[u8], vouches: bool) -> Option<Train> {
        let Frame::Ip(packet) = classify::frame(frame) else {
            return None;
        };
        let Payload::Tcp(segment) = packet.payload else {
            return None;
        };
        let is_plain = segment.flags & !PSH == ACK && segment.len > 0 && packet.part.is_none();
        // Neither options of IPv4 nor headers of IPv6 in between, nor padding behind.
        let ip = if packet.src.is_ipv4() { 20 } else { 40 };
        let tcp = ETHERNET + ip;
        let is_exact = packet.header.len() == ip && tcp + packet.body.len() == frame.len();
        if !is_plain || !is_exact || !checksum::is_intact(&packet, vouches) {
            return None;
        }
        Some(Train {
            headers: frame.len().checked_sub(segment.len)?,
            tcp,
            end: frame.len(),
            next: segment.end(),
            count: 1,
            closed: segment.flags & PSH != 0,
        })
    }

    /// Bytes of it.
    pub(crate) fn len(&self) -> usize {
        self.end
    }

    /// Whether it is more than the one frame that it began with.
    pub(crate) fn is_joined(&self) -> bool {
        self.count > 1
    }

    /// Whether a frame of `longest` bytes may still be joined.
    pub(crate) fn is_open(&self, longest: usize) -> bool {
        !self.closed && self.end.saturating_add(longest) <= ETHERNET + MAX_PACKET
    }

    /// Where the next frame is to be received, so that its data lie behind this one's: its headers are put over the last bytes. What is there
    /// until now has to be kept for [`join`](Self::join).
    pub(crate) fn keep(&self, buffer: &[u8]) -> Kept {
        let at = self.end.saturating_sub(self.headers);
        let mut bytes = [0; MAX_HEADERS];
        let last = buffer.get(at..self.end).unwrap_or_default();
        if let Some(place) = bytes.get_mut(..last.len()) {
            place.copy_from_slice(last);
        }
        Kept { at, bytes }
    }

    /// Joins the frame of `len` bytes that was received at the place of `kept`, if it follows. If not, it is moved behind the train, from
    /// where it is then to be fetched.
    pub(crate) fn join(&mut self, buffer: &mut [u8], kept: &Kept, len: usize, vouches: bool) -> bool {
        let follows = buffer
            .split_at_mut_checked(kept.at)
            .is_some_and(|(before, frame)| self.follows(before, frame.get(..len).unwrap_or_default(), vouches));
        let end = kept.at.saturating_add(len);
        if !follows && end <= buffer.len() && self.end.saturating_add(len) <= buffer.len() {
            buffer.copy_within(kept.at..end, self.end);
        }
        if let (Some(place), Some(bytes)) = (
            buffer.get_mut(kept.at..self.end),
            kept.bytes.get(..self.headers),
        ) {
            place.copy_from_slice(bytes);
        }
        if follows {
            self.end = end;
        }
        follows
    }

    /// Whether a frame follows the train, whose headers stand at the start of `before`. Notes that it does.
    fn follows(&mut self, before: &[u8], frame: &[u8], vouches: bool) -> bool {
        let Some(other) = Train::begin(frame, vouches) else {
            return false;
        };
        let same = |range: core::ops::Range<usize>| {
            matches!((before.get(range.clone()), frame.get(range)), (Some(a), Some(b)) if a == b)
        };
        let tcp = self.tcp;
        let ip = if tcp == ETHERNET + 20 {
            // Version and class; flags, time to live and protocol; addresses.
            same(ETHERNET..ETHERNET + 2) && same(ETHERNET + 6..ETHERNET + 10) && same(ETHERNET + 12..tcp)
        } else {
            // Version, class and label; protocol and hop limit, addresses.
            same(ETHERNET..ETHERNET + 4) && same(ETHERNET + 6..tcp)
        };
        // Ports; acknowledgment, length of the header; window; urgent pointer and options.
        let follows = other.headers == self.headers
            && other.tcp == tcp
            && classify::be32(frame, tcp + 4) == Some(self.next)
            && same(0..ETHERNET)
            && ip
            && same(tcp..tcp + 4)
            && same(tcp + 8..tcp + 13)
            && same(tcp + 14..tcp + 16)
            && same(tcp + 18..self.headers);
        if follows {
            self.next = other.next;
            self.count = self.count.saturating_add(1);
            self.closed = other.closed;
        }
        follows
    }

    /// Makes one segment of it: writes its length into the headers. Its checksum is that of the first piece, and has been looked at.
    pub(crate) fn finish(&self, buffer: &mut [u8]) {
        if !self.is_joined() {
            return;
        }
        let Some(frame) = buffer.get_mut(..self.end) else {
            return;
        };
        // `is_open` keeps it to what a packet's length can say.
        let packet = (self.end.saturating_sub(ETHERNET)).min(MAX_PACKET) as u16;
        if self.tcp == ETHERNET + 20 {
            let mut put = |at: usize, word: u16| {
                if let Some(place) = frame.get_mut(at..at + 2) {
                    place.copy_from_slice(&word.to_be_bytes());
                }
            };
            put(ETHERNET + 2, packet);
            put(ETHERNET + 10, 0);
            let header = frame.get(ETHERNET..self.tcp).unwrap_or_default();
            let checksum = checksum::of_header(header);
            if let Some(place) = frame.get_mut(ETHERNET + 10..ETHERNET + 12) {
                place.copy_from_slice(&checksum.to_be_bytes());
            }
        } else if let Some(place) = frame.get_mut(ETHERNET + 4..ETHERNET + 6) {
            place.copy_from_slice(&packet.saturating_sub(40).to_be_bytes());
        }
        if self.closed
            && let Some(flags) = frame.get_mut(self.tcp + 13)
        {
            *flags |= PSH;
        }
    }
}

/// The bytes of a train that the headers of the next frame are put over.
pub(crate) struct Kept {
    /// Where the next frame goes.
    pub(crate) at: usize,
    bytes: [u8; MAX_HEADERS],
}
