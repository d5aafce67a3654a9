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
/// Where TCP starts behind IPv4.
const IPV4: usize = ETHERNET + 20;
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
    /// Bytes of the frame that it began with: none that is longer follows.
    first: usize,
    /// The sequence number behind its data.
    next: u32,
    /// Segments.
    count: u32,
    /// Nothing comes behind it.
    closed: bool,
}

impl Train {
    /// Most bytes of a train.
    pub(crate) const MOST: usize = ETHERNET + MAX_PACKET;

    /// A frame as the first of a train. `None` if nothing can follow it, or the checksum is wrong.
    ///
    /// `vouches`: the device has looked at the checksum.
    pub(crate) fn begin(frame: &[u8], vouches: bool) -> Option<Train> {
        // Most other frames are told by this.
        let protocol = match classify::be16(frame, 12)? {
            0x0800 => frame.get(ETHERNET + 9),
            0x86dd => frame.get(ETHERNET + 6),
            _ => None,
        };
        if protocol != Some(&6) {
            return None;
        }
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
            first: frame.len(),
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
        !self.closed && self.end.saturating_add(longest) <= Train::MOST
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
    pub(crate) fn join(
        &mut self,
        buffer: &mut [u8],
        kept: &Kept,
        len: usize,
        vouches: bool,
    ) -> bool {
        let follows = buffer
            .split_at_mut_checked(kept.at)
            .is_some_and(|(before, frame)| {
                self.follows(before, frame.get(..len).unwrap_or_default(), vouches)
            });
        let end = kept.at.saturating_add(len);
        if !follows && end <= buffer.len() && self.end.saturating_add(len) <= buffer.len() {
            buffer.copy_within(kept.at..end, self.end);
        }
        if follows {
            self.restore(buffer, kept);
            self.end = end;
        }
        follows
    }

    /// Puts back what was kept.
    pub(crate) fn restore(&self, buffer: &mut [u8], kept: &Kept) {
        if let (Some(place), Some(bytes)) = (
            buffer.get_mut(kept.at..self.end),
            kept.bytes.get(..self.headers),
        ) {
            place.copy_from_slice(bytes);
        }
    }

    /// Whether a frame follows the train, whose headers stand at the start of `before`. Notes that it does.
    ///
    /// Most of what makes a frame a segment to this host need not be looked at again: it is equal to the first one's.
    fn follows(&mut self, before: &[u8], frame: &[u8], vouches: bool) -> bool {
        let Some(flags) = self.continues(before, frame) else {
            return false;
        };
        if !self.is_intact(frame, vouches) {
            return false;
        }
        let len = frame.len().saturating_sub(self.headers);
        self.next = self.next.wrapping_add(len as u32);
        self.count = self.count.saturating_add(1);
        self.closed = flags & PSH != 0;
        true
    }

    /// The flags of a frame with data that has the headers of the train but for its place in the stream.
    fn continues(&self, before: &[u8], frame: &[u8]) -> Option<u8> {
        let tcp = self.tcp;
        if frame.len() <= self.headers || frame.len() > self.first {
            return None;
        }
        let packet = frame.len().saturating_sub(ETHERNET);
        // Station addresses, kind, version and class.
        let mut same = equal::<16>(before, frame, 0)?;
        let length = usize::from(classify::be16(
            frame,
            if tcp == IPV4 {
                ETHERNET + 2
            } else {
                ETHERNET + 4
            },
        )?);
        if tcp == IPV4 {
            // Flags, time to live, protocol; addresses.
            same &= equal::<4>(before, frame, ETHERNET + 6)?
                && equal::<8>(before, frame, ETHERNET + 12)?
                && length == packet;
        } else {
            // Label; protocol, hop limit, addresses.
            same &= equal::<2>(before, frame, ETHERNET + 2)?
                && equal::<32>(before, frame, ETHERNET + 8)?
                && equal::<2>(before, frame, ETHERNET + 6)?
                && length.saturating_add(40) == packet;
        }
        // Ports; acknowledgment and length of the header; window; urgent pointer; options.
        same &= equal::<4>(before, frame, tcp)?
            && equal::<5>(before, frame, tcp + 8)?
            && equal::<2>(before, frame, tcp + 14)?
            && equal::<2>(before, frame, tcp + 18)?
            && before.get(tcp + 20..self.headers)? == frame.get(tcp + 20..self.headers)?;
        let flags = *frame.get(tcp + 13)?;
        let continues = classify::be32(frame, tcp + 4)? == self.next && flags & !PSH == ACK;
        (same && continues).then_some(flags)
    }

    /// Whether the checksums of a frame with such headers are right.
    fn is_intact(&self, frame: &[u8], vouches: bool) -> bool {
        let is_ipv4 = self.tcp == IPV4;
        let addresses = if is_ipv4 { self.tcp - 8 } else { ETHERNET + 8 };
        let (Some(header), Some(addresses), Some(segment)) = (
            frame.get(ETHERNET..self.tcp),
            frame.get(addresses..self.tcp),
            frame.get(self.tcp..),
        ) else {
            return false;
        };
        (!is_ipv4 || checksum::is_right_header(header))
            && (vouches || checksum::is_right_segment(segment, checksum::of_addresses(addresses)))
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
        if self.tcp == IPV4 {
            put(frame, ETHERNET + 2, packet.to_be_bytes());
            put(frame, ETHERNET + 10, [0, 0]);
            let header = frame.get(ETHERNET..self.tcp).unwrap_or_default();
            let checksum = checksum::of_header(header);
            put(frame, ETHERNET + 10, checksum);
        } else {
            put(frame, ETHERNET + 4, packet.saturating_sub(40).to_be_bytes());
        }
        if self.closed
            && let Some(flags) = frame.get_mut(self.tcp + 13)
        {
            *flags |= PSH;
        }
    }
}

/// Whether `N` bytes at a place are equal. `None` if one has not so many.
#[inline(always)]
fn equal<const N: usize>(a: &[u8], b: &[u8], at: usize) -> Option<bool> {
    let a: &[u8; N] = a.get(at..)?.first_chunk()?;
    let b: &[u8; N] = b.get(at..)?.first_chunk()?;
    Some(a == b)
}

fn put(frame: &mut [u8], at: usize, word: [u8; 2]) {
    if let Some(place) = frame.get_mut(at..at.saturating_add(2)) {
        place.copy_from_slice(&word);
    }
}

/// The bytes of a train that the headers of the next frame are put over.
pub(crate) struct Kept {
    /// Where the next frame goes.
    pub(crate) at: usize,
    bytes: [u8; MAX_HEADERS],
}

#[cfg(test)]
mod tests;
