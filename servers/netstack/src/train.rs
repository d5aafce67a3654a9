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
    /// The sum of its addresses.
    addresses: u64,
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
    #[inline(never)]
    pub(crate) fn begin(frame: &[u8], vouches: bool) -> Option<Train> {
        // Most other frames are told by this.
        let protocol = match classify::be16(frame, 12)? {
            0x0800 => frame.get(ETHERNET + 9),
            0x86dd => frame.get(ETHERNET + 6),
            _ => None,
        };
        if protocol != Some(&6) || is_bare(frame) {
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
            addresses: checksum::of_bytes(packet.header.get(if ip == 20 {
                12..20
            } else {
                8..40
            })?),
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

    /// Bytes of a buffer in which frames of up to `longest` bytes are joined: a train, behind it a frame that does not follow, and what is
    /// kept of the train while a frame is received.
    pub(crate) const fn room(longest: usize) -> usize {
        Train::MOST
            .saturating_add(longest)
            .saturating_add(MAX_HEADERS)
    }

    /// Where the next frame goes: its headers over the last bytes of the train, so that its data lie behind the train's.
    fn next_at(&self) -> usize {
        self.end.saturating_sub(self.headers)
    }

    /// Where the next frame is to be received. What is there until now is kept, at the end of the buffer.
    pub(crate) fn keep(&self, buffer: &mut [u8]) -> usize {
        let at = self.next_at();
        if let Some((from, place)) = at_end(buffer)
            && let Some(last) = from.get(at..self.end)
            && let Some(place) = place.get_mut(..last.len())
        {
            place.copy_from_slice(last);
        }
        at
    }

    /// Puts back what was kept.
    pub(crate) fn restore(&self, buffer: &mut [u8]) {
        let at = self.next_at();
        if let Some((to, kept)) = at_end(buffer)
            && let Some(place) = to.get_mut(at..self.end)
            && let Some(bytes) = kept.get(..place.len())
        {
            place.copy_from_slice(bytes);
        }
    }

    /// Joins the frame of `len` bytes that was received where [`keep`](Self::keep) has said, if it follows. If not, it is moved behind the
    /// train, from where it is then to be fetched.
    #[inline(never)]
    pub(crate) fn join(&mut self, buffer: &mut [u8], len: usize, vouches: bool) -> bool {
        let at = self.next_at();
        let follows = buffer
            .split_at_mut_checked(at)
            .is_some_and(|(before, frame)| {
                self.follows(before, frame.get(..len).unwrap_or_default(), vouches)
            });
        let end = at.saturating_add(len);
        if !follows && end <= buffer.len() && self.end.saturating_add(len) <= buffer.len() {
            buffer.copy_within(at..end, self.end);
        }
        if follows {
            self.restore(buffer);
            self.end = end;
        }
        follows
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
        let (same, length) = if tcp == IPV4 {
            (
                differ_ipv4(before, frame)? == 0,
                classify::be16(frame, ETHERNET + 2)?,
            )
        } else {
            let length = classify::be16(frame, ETHERNET + 4)?.checked_add(40)?;
            (differ_ipv6(before, frame)? == 0, length)
        };
        let options = tcp + 20;
        let same = same
            && usize::from(length) == packet
            && (options == self.headers
                || before.get(options..self.headers)? == frame.get(options..self.headers)?);
        let flags = *frame.get(tcp + 13)?;
        let continues = classify::be32(frame, tcp + 4)? == self.next && flags & !PSH == ACK;
        (same && continues).then_some(flags)
    }

    /// Whether the checksums of a frame with such headers are right.
    fn is_intact(&self, frame: &[u8], vouches: bool) -> bool {
        let (Some(header), Some(segment)) = (frame.get(ETHERNET..self.tcp), frame.get(self.tcp..))
        else {
            return false;
        };
        (self.tcp != IPV4 || checksum::is_right_header(header))
            && (vouches || checksum::is_right_segment(segment, self.addresses))
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

/// Whether a frame is an acknowledgment without data, over IPv4 without options. There are many.
fn is_bare(frame: &[u8]) -> bool {
    let packet = classify::be16(frame, ETHERNET + 2).map(usize::from);
    let header = frame
        .get(IPV4 + 12)
        .map(|byte| 20 + usize::from(byte >> 4) * 4);
    frame.get(ETHERNET) == Some(&0x45) && header.is_some() && packet <= header
}

/// What differs in two frames at a place, of the bits that are set in the mask, as they stand in the order of the network. Returns `None` from
/// the function around it if one is too short.
macro_rules! differ {
    ($type:ty, $a:expr, $b:expr, $at:expr, $mask:expr) => {{
        let a = <$type>::from_be_bytes(*$a.get($at..)?.first_chunk()?);
        let b = <$type>::from_be_bytes(*$b.get($at..)?.first_chunk()?);
        (a ^ b) & $mask
    }};
}

/// What differs in the headers of two frames with TCP, of that which is equal in a train, but for the options: none if it is zero. All of
/// the TCP header but the number, the flags and the checksum.
#[inline(always)]
fn differ_tcp(a: &[u8], b: &[u8], tcp: usize) -> Option<u128> {
    let first = differ!(u128, a, b, tcp, 0xffff_ffff_0000_0000_ffff_ffff_ff00_ffff);
    let urgent = differ!(u16, a, b, tcp + 18, u16::MAX);
    Some(first | u128::from(urgent))
}

/// The same, with the headers of Ethernet and IPv4 without options: not length and identification of the packet, nor its checksum.
#[inline(always)]
fn differ_ipv4(a: &[u8], b: &[u8]) -> Option<u128> {
    let (a, b): (&[u8; IPV4 + 20], &[u8; IPV4 + 20]) = (a.first_chunk()?, b.first_chunk()?);
    let first = differ!(u128, a, b, 0, u128::MAX);
    let second = differ!(u128, a, b, 16, 0x0000_0000_ffff_ffff_0000_ffff_ffff_ffff);
    let rest = differ!(u16, a, b, 32, u16::MAX);
    Some(first | second | u128::from(rest) | differ_tcp(a, b, IPV4)?)
}

/// The same for IPv6: not the length of the packet.
#[inline(always)]
fn differ_ipv6(a: &[u8], b: &[u8]) -> Option<u128> {
    const TCP: usize = ETHERNET + 40;
    let (a, b): (&[u8; TCP + 20], &[u8; TCP + 20]) = (a.first_chunk()?, b.first_chunk()?);
    let first = differ!(u128, a, b, 0, u128::MAX);
    let label = differ!(u32, a, b, 16, 0xffff_0000);
    let hops = differ!(u16, a, b, 20, u16::MAX);
    let from = differ!(u128, a, b, 22, u128::MAX);
    let to = differ!(u128, a, b, 38, u128::MAX);
    Some(first | u128::from(label) | u128::from(hops) | from | to | differ_tcp(a, b, TCP)?)
}

/// A buffer without the bytes at its end that are for what is kept, and those.
fn at_end(buffer: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    buffer.split_at_mut_checked(buffer.len().checked_sub(MAX_HEADERS)?)
}

fn put(frame: &mut [u8], at: usize, word: [u8; 2]) {
    if let Some(place) = frame.get_mut(at..at.saturating_add(2)) {
        place.copy_from_slice(&word);
    }
}

#[cfg(test)]
mod tests;
