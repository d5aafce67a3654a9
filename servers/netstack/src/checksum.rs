//! The checksums of IP headers, TCP and UDP (RFC 1071): looked at once where frames come in, and filled in once where they go out, by this
//! module or by the device. What lies between, the engine included, knows nothing of them. Touches the bytes that it is given.
//!
//! A sum is a number modulo 65,535 in the machine's byte order; only [`folded`] puts it in that of the network
//! (RFC 1071 section 2: the order may be turned behind the sum as well as before it).

use crate::classify::{ETHERNET, Packet, Payload, be16};
use core::net::IpAddr;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The sum of bytes that start at an even place.
#[cfg(target_os = "none")]
use bulk::sum;

/// The sum of bytes that start at an even place. The programs of the image have it in assembly.
#[cfg(not(target_os = "none"))]
fn sum(bytes: &[u8]) -> u64 {
    // Eight bytes are four numbers: a carry out of one of them is a carry into the next, and comes back in at the bottom.
    let (rounds, rest) = bytes.as_chunks::<64>();
    let mut sum = 0;
    for round in rounds {
        for word in round.as_chunks::<8>().0 {
            sum = plus(sum, u64::from_ne_bytes(*word));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        sum = plus(sum, u64::from_ne_bytes(*word));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    plus(sum, u64::from_ne_bytes(last))
}

/// A sum as 16 bits, in the order of the network.
fn folded(sum: u64) -> u16 {
    // Two halves are added, and the carry comes back in; then once more.
    let (half, carry) = ((sum >> 32) as u32).overflowing_add(sum as u32);
    let sum = half.wrapping_add(carry.into());
    let (half, carry) = ((sum >> 16) as u16).overflowing_add(sum as u16);
    let sum = half.wrapping_add(carry.into());
    u16::from_be_bytes(sum.to_ne_bytes())
}

/// Adds sums without losing a carry.
#[inline(always)]
fn plus(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(carry.into())
}

/// The sum of the pseudo-header of a TCP segment or UDP datagram (RFC 9293 section 3.1, RFC 8200 section 8.1) of `len` bytes,
/// with that of its addresses.
fn pseudo(addresses: u64, protocol: u8, len: usize) -> u64 {
    let [a, b, c, d] = (len as u32).to_be_bytes();
    let rest = u64::from_ne_bytes([a, b, c, d, 0, 0, 0, protocol]);
    plus(addresses, rest)
}

fn sum_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => sum(&v4.octets()),
        IpAddr::V6(v6) => sum(&v6.octets()),
    }
}

/// Whether the checksums of a packet are right: that of an IPv4 header and, unless the device `vouches` for it, that of the TCP
/// segment or UDP datagram. A part of a datagram has no checksum but its header's.
pub(crate) fn is_intact(packet: &Packet<'_>, vouches: bool) -> bool {
    let has_right_header = packet.src.is_ipv6() || is_right_header(packet.header);
    if !has_right_header || vouches || packet.part.is_some() {
        return has_right_header;
    }
    let protocol = match packet.payload {
        Payload::Tcp(_) => TCP,
        Payload::Udp { .. } => UDP,
        _ => return true,
    };
    let addresses = plus(sum_of(packet.src), sum_of(packet.dst));
    is_right(packet.body, protocol, addresses, packet.src.is_ipv4())
}

/// Whether the checksum of a TCP segment or UDP datagram at the start of a packet's `body` is right; the sum of its addresses is `addresses`.
fn is_right(body: &[u8], protocol: u8, addresses: u64, is_ipv4: bool) -> bool {
    let mut body = body;
    if protocol == UDP {
        // What follows the datagram in its packet is not of it. None at all: allowed in IPv4 (RFC 768).
        let len = be16(body, 4).map_or(0, usize::from);
        let Some(datagram) = body.get(..len) else {
            return false;
        };
        if be16(datagram, 6) == Some(0) {
            return is_ipv4;
        }
        body = datagram;
    }
    let pseudo = pseudo(addresses, protocol, body.len());
    folded(plus(sum(body), pseudo)) == 0xffff
}

/// The same for what an IPv4 packet carries between two `addresses`, as they stand behind each other in its header.
pub(crate) fn is_right_body(body: &[u8], protocol: u8, addresses: &[u8]) -> bool {
    is_right(body, protocol, sum(addresses), true)
}

/// The sum of an IPv4 header. Most have no options.
#[inline]
fn sum_of_header(header: &[u8]) -> u64 {
    if let (words @ [_, _, _, _, _], []) = header.as_chunks::<4>() {
        let words = words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)));
        return words.fold(0, u64::wrapping_add);
    }
    sum(header)
}

/// The checksum of an IPv4 header whose own is zero (RFC 791 section 3.1).
pub(crate) fn of_header(header: &[u8]) -> [u8; 2] {
    (!folded(sum_of_header(header))).to_be_bytes()
}

/// Whether the checksum of an IPv4 header is right.
pub(crate) fn is_right_header(header: &[u8]) -> bool {
    folded(sum_of_header(header)) == 0xffff
}

/// Whether the checksum of a TCP segment is right, headers and data, whose pseudo-header has the sum `addresses` without its length.
pub(crate) fn is_right_segment(segment: &[u8], addresses: u64) -> bool {
    folded(plus(sum(segment), pseudo(addresses, TCP, segment.len()))) == 0xffff
}

/// Two sums as one.
pub(crate) fn sums(a: u64, b: u64) -> u64 {
    plus(a, b)
}

/// The checksum of an IPv4 header with a sum, and one more word.
pub(crate) fn with_word(sum: u64, word: [u8; 2]) -> [u8; 2] {
    (!folded(plus(sum, u16::from_ne_bytes(word).into()))).to_be_bytes()
}

/// The sum of bytes from a place in a header, of which there are even many in front: of two addresses, say.
pub(crate) fn of_bytes(bytes: &[u8]) -> u64 {
    sum(bytes)
}

/// The sums of a TCP segment's pseudo-header, and with that of its header without number, flags and checksum: the same in all pieces
/// of a larger segment that are equally long.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pseudo: u64,
    header: u64,
}

impl Sums {
    /// Of a segment between `addresses`, as they stand behind each other in an IP header, with a header in which those fields are zero, and
    /// `len` bytes of data.
    pub(crate) fn new(addresses: &[u8], header: &[u8], len: usize) -> Sums {
        let pseudo = pseudo(sum(addresses), TCP, header.len().saturating_add(len));
        Sums {
            pseudo,
            header: plus(pseudo, sum(header)),
        }
    }

    /// What a device that fills in the rest wants to find in place of the checksum.
    pub(crate) fn pseudo(&self) -> [u8; 2] {
        folded(self.pseudo).to_be_bytes()
    }

    /// The checksum of the segment with this number, these flags and data.
    pub(crate) fn of_segment(&self, seq: u32, flags: u8, data: &[u8]) -> [u8; 2] {
        let seq = u32::from_ne_bytes(seq.to_be_bytes());
        let flags = u16::from_ne_bytes([0, flags]);
        let fields = u64::from(seq).wrapping_add(flags.into());
        (!folded(plus(plus(self.header, fields), sum(data)))).to_be_bytes()
    }
}

/// Where the checksum of a frame to send is that has to be filled in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Unfinished {
    /// Where the TCP or UDP header starts.
    pub(crate) start: u8,
    /// Where in that header the checksum stands.
    pub(crate) offset: u8,
    /// The sum of the pseudo-header.
    pseudo: u64,
    is_udp: bool,
}

impl Unfinished {
    /// In a frame with a datagram of `len` bytes, headers included, at `start`, between addresses with that sum.
    pub(crate) fn of_datagram(start: u8, addresses: u64, len: u16) -> Unfinished {
        Unfinished {
            start,
            offset: 6,
            pseudo: pseudo(addresses, UDP, len.into()),
            is_udp: true,
        }
    }

    /// In a frame with a TCP segment of `len` bytes, header included, at `start`, between addresses with that sum.
    pub(crate) fn of_segment(start: u8, addresses: u64, len: u16) -> Unfinished {
        Unfinished {
            start,
            offset: 16,
            pseudo: pseudo(addresses, TCP, len.into()),
            is_udp: false,
        }
    }

    /// Looks at a frame from the engine. `None` if it carries neither TCP nor UDP: then it is complete.
    pub(crate) fn find(frame: &[u8]) -> Option<Unfinished> {
        let packet = frame.get(ETHERNET..)?;
        let (header, protocol, addresses) = match be16(frame, 12)? {
            // A part of a datagram has no checksum of its own.
            0x0800 if be16(packet, 6)? & 0x3fff == 0 => {
                let header = usize::from(packet.first()? & 0xf).checked_mul(4)?;
                (header, *packet.get(9)?, packet.get(12..20)?)
            }
            0x86dd => (40, *packet.get(6)?, packet.get(8..40)?),
            _ => return None,
        };
        let offset = match protocol {
            TCP => 16,
            UDP => 6,
            _ => return None,
        };
        let len = packet.len().checked_sub(header)?;
        let pseudo = pseudo(sum(addresses), protocol, len);
        let start = u8::try_from(header.checked_add(ETHERNET)?).ok()?;
        // There has to be room for it.
        be16(frame, usize::from(start).checked_add(offset.into())?)?;
        Some(Unfinished {
            start,
            offset,
            pseudo,
            is_udp: protocol == UDP,
        })
    }

    /// Where in the frame the checksum stands.
    pub(crate) fn place(&self) -> usize {
        usize::from(self.start).saturating_add(self.offset.into())
    }

    /// Bytes of all headers of a TCP segment in `frame`. `None` if they are not whole.
    pub(crate) fn header(&self, frame: &[u8]) -> Option<u8> {
        let words = *frame.get(usize::from(self.start).checked_add(12)?)? >> 4;
        let header = self.start.checked_add(words.checked_mul(4)?)?;
        (usize::from(header) <= frame.len()).then_some(header)
    }

    /// What a device that fills in the rest wants to find there: the sum of the pseudo-header.
    pub(crate) fn pseudo(&self) -> [u8; 2] {
        folded(self.pseudo).to_be_bytes()
    }

    /// The checksum, whatever stands in its place in `frame`, in which it was found.
    pub(crate) fn checksum(&self, frame: &[u8]) -> [u8; 2] {
        let body = frame.get(usize::from(self.start)..).unwrap_or_default();
        let old = frame
            .get(self.place()..)
            .and_then(|bytes| bytes.first_chunk());
        // Taken away by adding its complement.
        let [high, low] = old.copied().unwrap_or_default();
        let without = plus(sum(body), sum(&[!high, !low]));
        match !folded(plus(without, self.pseudo)) {
            // No checksum at all looks like this (RFC 768).
            0 if self.is_udp => [0xff; 2],
            checksum => checksum.to_be_bytes(),
        }
    }
}

#[cfg(test)]
mod tests;
