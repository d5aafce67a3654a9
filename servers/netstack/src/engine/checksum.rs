//! The checksums of TCP and UDP (RFC 9293 section 3.1, RFC 768, RFC 8200 section 8.1), eight bytes a step. smoltcp leaves them
//! to whoever builds its device. Touches nothing but the bytes that it is given.

use crate::classify::{ETHERNET, be16};
use core::ops::Range;

const TCP: u8 = 6;
const UDP: u8 = 17;
/// Offset of the checksum in each header.
const fn place(protocol: u8) -> usize {
    if protocol == TCP { 16 } else { 6 }
}

/// The sum of bytes as big-endian words in one's complement, not inverted (RFC 1071).
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let (rounds, rest) = bytes.as_chunks::<64>();
    let mut sum = 0;
    for round in rounds {
        for eight in round.as_chunks::<8>().0 {
            sum = add(sum, u64::from_ne_bytes(*eight));
        }
    }
    let (eights, tail) = rest.as_chunks::<8>();
    for eight in eights {
        sum = add(sum, u64::from_ne_bytes(*eight));
    }
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(tail) {
        *to = *from;
    }
    let sum = add(sum, u64::from_ne_bytes(last));
    // The order of bytes may be turned behind the sum as well as before it (RFC 1071 section 2).
    u16::from_be(fold(sum))
}

/// One's complement addition: the carry comes back in at the bottom.
#[inline(always)]
fn add(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum.wrapping_add(u64::from(carry))
}

fn fold(sum: u64) -> u16 {
    let mut sum = sum;
    while sum > u64::from(u16::MAX) {
        sum = (sum >> 16).wrapping_add(sum & u64::from(u16::MAX));
    }
    sum as u16
}

/// Where a TCP segment or datagram lies in a frame, and what its pseudo-header adds.
struct Transport {
    protocol: u8,
    /// All of it, headers and data.
    at: Range<usize>,
    /// Sum of addresses and protocol, without the length.
    pseudo: u64,
    is_ipv6: bool,
}

/// What lies behind the IP header of a frame: `Ok(None)` if it is neither TCP nor UDP, or a part of a datagram.
///
/// # Errors
/// If lengths point outside the frame, or leave no room for a checksum.
fn transport(frame: &[u8]) -> Result<Option<Transport>, ()> {
    let byte = |at: usize| frame.get(at).copied().ok_or(());
    let word = |at: usize| be16(frame, at).map(usize::from).ok_or(());
    let start = ETHERNET;
    let (protocol, from, to, addresses, is_ipv6) = match word(12)? {
        0x0800 => {
            if word(start + 6)? & 0x3fff != 0 {
                return Ok(None);
            }
            let header = usize::from(byte(start)? & 15) * 4;
            let total = word(start + 2)?;
            let addresses = start + 12..start + 20;
            (
                byte(start + 9)?,
                start + header,
                start + total,
                addresses,
                false,
            )
        }
        0x86dd => {
            let end = start + 40 + word(start + 4)?;
            let (mut next, mut from) = (byte(start + 6)?, start + 40);
            if next == 0 {
                next = byte(from)?;
                from += (usize::from(byte(from + 1)?) + 1) * 8;
            }
            (next, from, end, start + 8..start + 40, true)
        }
        _ => return Ok(None),
    };
    let mut to = to;
    match protocol {
        TCP => {}
        // A datagram says how long it is.
        UDP => {
            let len = word(from + 4)?;
            if len < 8 || from + len > to {
                return Err(());
            }
            to = from + len;
        }
        _ => return Ok(None),
    }
    if to < from + place(protocol) + 2 || to > frame.len() {
        return Err(());
    }
    let addresses = frame.get(addresses).ok_or(())?;
    Ok(Some(Transport {
        protocol,
        at: from..to,
        pseudo: u64::from(sum(addresses)) + u64::from(protocol),
        is_ipv6,
    }))
}

impl Transport {
    /// The sum over pseudo-header, header and data.
    fn sum(&self, frame: &[u8]) -> Option<u16> {
        let bytes = frame.get(self.at.clone())?;
        Some(fold(
            self.pseudo + bytes.len() as u64 + u64::from(sum(bytes)),
        ))
    }
}

/// Whether the checksum of the TCP segment or datagram in a frame is right. True for frames without one.
pub(crate) fn is_intact(frame: &[u8]) -> bool {
    match transport(frame) {
        Ok(None) => true,
        Ok(Some(transport)) => {
            // Over IPv4 a datagram may have none (RFC 768), over IPv6 not (RFC 8200 section 8.1).
            let bare = transport.protocol == UDP
                && be16(frame, transport.at.start + place(UDP)) == Some(0);
            (bare && !transport.is_ipv6) || !bare && transport.sum(frame) == Some(u16::MAX)
        }
        Err(()) => false,
    }
}

/// Puts the right checksum into the TCP segment or datagram in a frame, whose field for it is zero. Frames without one stay as they are.
pub(crate) fn fill(frame: &mut [u8]) {
    let Ok(Some(transport)) = transport(frame) else {
        return;
    };
    let Some(sum) = transport.sum(frame) else {
        return;
    };
    let checksum = match (!sum, transport.protocol) {
        // Zero says that there is none; the other zero means the same number (RFC 768).
        (0, UDP) => u16::MAX,
        (checksum, _) => checksum,
    };
    let at = transport.at.start + place(transport.protocol);
    if let Some(field) = frame.get_mut(at..at + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::wire::{IpAddress, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

    /// The sum as RFC 1071 tells it, a word at a time.
    fn plain(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// A frame around a segment or datagram, whose checksum is zero.
    fn framed(ipv6: bool, protocol: u8, hop_by_hop: bool, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; ETHERNET];
        if ipv6 {
            frame[12..14].copy_from_slice(&[0x86, 0xdd]);
            let extra: &[u8] = if hop_by_hop {
                &[protocol, 0, 1, 4, 0, 0, 0, 0]
            } else {
                &[]
            };
            frame.extend([0x60, 0, 0, 0]);
            frame.extend(((body.len() + extra.len()) as u16).to_be_bytes());
            frame.extend([if hop_by_hop { 0 } else { protocol }, 64]);
            frame.extend(1..=32);
            frame.extend(extra);
        } else {
            frame[12..14].copy_from_slice(&[8, 0]);
            frame.extend([0x45, 0]);
            frame.extend((20 + body.len() as u16).to_be_bytes());
            frame.extend([
                0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 192, 168, 3, 4,
            ]);
        }
        frame.extend(body);
        frame
    }

    fn datagram(data: &[u8]) -> Vec<u8> {
        let mut body = vec![0, 7, 1, 2];
        body.extend((8 + data.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(data);
        body
    }

    fn segment(data: &[u8]) -> Vec<u8> {
        let mut body = vec![
            0, 7, 1, 2, 9, 9, 9, 9, 3, 3, 3, 3, 0x50, 0x10, 2, 0, 0, 0, 0, 0,
        ];
        body.extend(data);
        body
    }

    /// What smoltcp thinks of it.
    fn theirs(frame: &[u8], ipv6: bool, protocol: u8, skip: usize) -> bool {
        let (from, to, payload): (IpAddress, IpAddress, &[u8]) = if ipv6 {
            let packet = Ipv6Packet::new_checked(&frame[ETHERNET..]).unwrap();
            (
                packet.src_addr().into(),
                packet.dst_addr().into(),
                packet.payload(),
            )
        } else {
            let packet = Ipv4Packet::new_checked(&frame[ETHERNET..]).unwrap();
            (
                packet.src_addr().into(),
                packet.dst_addr().into(),
                packet.payload(),
            )
        };
        let payload = &payload[skip..];
        match protocol {
            TCP => TcpPacket::new_checked(payload)
                .unwrap()
                .verify_checksum(&from, &to),
            _ => UdpPacket::new_checked(payload)
                .unwrap()
                .verify_checksum(&from, &to),
        }
    }

    proptest! {
        #[test]
        fn sums_are_those_of_the_rfc(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            // Both are zeros in one's complement.
            prop_assert_eq!(sum(&bytes) % 0xffff, plain(&bytes) % 0xffff);
            prop_assert_eq!(sum(&bytes) == 0, plain(&bytes) == 0);
        }

        #[test]
        fn what_is_filled_is_intact_for_us_and_for_others(
            ipv6: bool,
            tcp: bool,
            hop_by_hop: bool,
            padding in 0usize..6,
            data in proptest::collection::vec(any::<u8>(), 0..1500),
            flip in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            let protocol = if tcp { TCP } else { UDP };
            let hop_by_hop = hop_by_hop && ipv6;
            let body = if tcp { segment(&data) } else { datagram(&data) };
            let mut frame = framed(ipv6, protocol, hop_by_hop, &body);
            let end = frame.len();
            frame.extend(vec![0xaa; padding]);
            fill(&mut frame);
            let skip = if hop_by_hop { 8 } else { 0 };
            prop_assert!(is_intact(&frame));
            prop_assert!(theirs(&frame, ipv6, protocol, skip));
            // Any one bit of header and data is noticed, but for those that change what is summed.
            let start = end - body.len();
            let at = start + flip.index(body.len());
            if tcp || !(start + 4..start + 8).contains(&at) {
                frame[at] ^= 1 << bit;
                prop_assert!(!is_intact(&frame));
            }
        }

        #[test]
        fn any_bytes_are_looked_at_in_safety(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in 0usize..3) {
            let mut frame = bytes;
            if frame.len() > 24 {
                frame[12..14].copy_from_slice([&[8, 0], &[0x86, 0xdd], &[8, 6]][kind]);
                frame[ETHERNET + if kind == 0 { 9 } else { 6 }] = [TCP, UDP, 0][frame[0] as usize % 3];
            }
            is_intact(&frame);
            fill(&mut frame);
        }
    }

    #[test]
    fn a_datagram_without_a_checksum_is_one_over_ipv4_only() {
        let body = datagram(b"hello");
        assert!(is_intact(&framed(false, UDP, false, &body)));
        assert!(!is_intact(&framed(true, UDP, false, &body)));
    }

    #[test]
    fn a_datagram_whose_sum_is_zero_gets_the_other_zero() {
        // The sum without these two bytes, taken back.
        let mut frame = framed(false, UDP, false, &datagram(&[0, 0]));
        let Ok(Some(found)) = transport(&frame) else {
            panic!()
        };
        let rest = found.sum(&frame).unwrap();
        let end = frame.len();
        frame[end - 2..].copy_from_slice(&(!rest).to_be_bytes());
        fill(&mut frame);
        assert_eq!(frame[end - 4..end - 2], [0xff, 0xff]);
        assert!(is_intact(&frame));
    }
}
