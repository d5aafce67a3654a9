//! TCP segments without data (RFC 9293 section 3.10.7): what a smoltcp socket would send, without one, and what it is told of a connection
//! that began without it. Touches nothing.

use super::datagram::{Way, network};
use crate::{
    checksum::{self, Unfinished},
    classify::ETHERNET,
};

const TCP: u8 = 6;
/// Bytes of a TCP header without options.
const HEADER: usize = 20;
/// Bytes of the options of a SYN, padded.
const OPTIONS: usize = 12;
/// Bytes of the longest: Ethernet, IPv6, TCP.
const LONGEST: usize = ETHERNET + 40 + HEADER + OPTIONS;
/// Flags: SYN and ACK, FIN and ACK.
pub(crate) const SYN_ACK: u8 = 0x12;
pub(crate) const FIN_ACK: u8 = 0x11;
/// Largest shift of a window (RFC 7323 section 2.3).
const MAX_SHIFT: u8 = 14;

/// What a SYN offers (RFC 9293 section 3.2, RFC 7323 section 2.2, RFC 2018 section 2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Offer {
    /// Longest segment to be sent to it.
    pub(crate) segment: Option<u16>,
    /// How far its windows are shifted.
    pub(crate) shift: Option<u8>,
    /// It understands selective acknowledgments.
    pub(crate) selective: bool,
}

impl Offer {
    /// That of the TCP header at the start of a packet's body. `None` if its options make no sense.
    pub(crate) fn of(body: &[u8]) -> Option<Offer> {
        let end = usize::from(body.get(12)? >> 4).checked_mul(4)?;
        let mut options = body.get(HEADER..end)?;
        let mut offer = Offer::default();
        loop {
            let (option, rest) = match *options {
                [] | [0, ..] => return Some(offer),
                [1, ref rest @ ..] => (&[1][..], rest),
                [_, len, ..] if len >= 2 => options.split_at_checked(len.into())?,
                _ => return None,
            };
            match *option {
                [2, _, a, b] => offer.segment = Some(u16::from_be_bytes([a, b])),
                [3, _, shift] => offer.shift = Some(shift.min(MAX_SHIFT)),
                [4, _] => offer.selective = true,
                [2..=4, ..] => return None,
                // Selective acknowledgments, which say nothing here, are pairs of numbers.
                [5, _, ref pairs @ ..] if pairs.is_empty() || pairs.len() % 8 != 0 => return None,
                _ => {}
            }
            options = rest;
        }
    }

    /// The answer of a station with a receive buffer of so many bytes that takes segments up to `segment`.
    pub(crate) fn answer(&self, segment: u16, buffer: usize) -> Offer {
        Offer {
            segment: Some(segment),
            shift: self.shift.map(|_| shift(buffer)),
            selective: self.selective,
        }
    }

    /// As options, padded; and how many bytes.
    fn options(&self) -> ([u8; OPTIONS], usize) {
        let (mut bits, mut len) = (0_u128, 0_u32);
        let mut put = |option: u32, bytes: u32| {
            bits = bits << (8 * bytes) | u128::from(option);
            len = len.saturating_add(bytes);
        };
        if let Some(segment) = self.segment {
            put(0x0204_0000 | u32::from(segment), 4);
        }
        if let Some(shift) = self.shift {
            put(0x03_0300 | u32::from(shift), 3);
        }
        if self.selective {
            put(0x0402, 2);
        }
        let bits = bits << (96_u32.saturating_sub(8 * len));
        let [_, _, _, _, options @ ..] = bits.to_be_bytes();
        (options, len.next_multiple_of(4) as usize)
    }
}

/// A frame with a segment without data. Its TCP checksum is zero.
pub(crate) struct Headers {
    bytes: [u8; LONGEST],
    len: usize,
    unfinished: Unfinished,
}

impl Headers {
    /// A segment from a station with this hardware address: its sequence number, what it acknowledges, its flags, its window, and what it
    /// offers. `None` if the families of the addresses differ.
    pub(crate) fn new(
        way: &Way,
        mac: [u8; 6],
        (seq, ack): (u32, u32),
        (flags, window): (u8, u16),
        offer: &Offer,
    ) -> Option<Headers> {
        let (is_ipv4, front, addresses) = network(way, mac, TCP)?;
        let (options, options_len) = offer.options();
        let tcp = HEADER + options_len;
        let ports = u32::from(way.from.port()) << 16 | u32::from(way.to.port());
        let words = (tcp / 4) as u32;
        let rest = words << 28 | u32::from(flags) << 16 | u32::from(window);
        // The urgent pointer and the checksum, behind these, are zero.
        let header = [ports, seq, ack, rest]
            .into_iter()
            .fold(0, |header, word| header << 32 | u128::from(word));
        let start = if is_ipv4 {
            ETHERNET + 20
        } else {
            ETHERNET + 40
        };
        let mut bytes = [0; LONGEST];
        *bytes.first_chunk_mut()? = front;
        *bytes.get_mut(start..)?.first_chunk_mut()? = header.to_be_bytes();
        *bytes.get_mut(start + HEADER..)?.first_chunk_mut()? = options;
        let ip = bytes.get_mut(ETHERNET..start)?;
        if is_ipv4 {
            *ip.get_mut(3)? = (20 + tcp) as u8;
            let sum = checksum::of_header(ip);
            *ip.get_mut(10..)?.first_chunk_mut()? = sum;
        } else {
            *ip.get_mut(5)? = tcp as u8;
        }
        Some(Headers {
            bytes,
            len: start + tcp,
            unfinished: Unfinished::of_segment(start as u8, addresses, tcp as u16),
        })
    }

    /// The frame.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// What has to be filled in.
    pub(crate) fn unfinished(&self) -> Unfinished {
        self.unfinished
    }
}

/// How far smoltcp shifts the window of a buffer.
pub(super) fn shift(buffer: usize) -> u8 {
    let bits = usize::BITS.saturating_sub(buffer.leading_zeros());
    bits.saturating_sub(16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::{
        phy::ChecksumCapabilities,
        wire::{IpAddress, TcpPacket, TcpRepr},
    };
    use std::vec::Vec;

    proptest! {
        /// What smoltcp would not understand is no SYN.
        #[test]
        fn options_are_read_as_smoltcp_reads_them(
            options in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 1..6),
                    Just(std::vec![2, 4, 5, 180]),
                    any::<u8>().prop_map(|shift| std::vec![3, 3, shift]),
                    Just(std::vec![4, 2]),
                    (0u8..40).prop_map(|len| {
                        let mut ranges = std::vec![5, len];
                        ranges.resize(usize::from(len.max(2)), 7);
                        ranges
                    }),
                    Just(std::vec![8, 10, 1, 2, 3, 4, 5, 6, 7, 8]),
                    Just(std::vec![1]),
                ],
                0..5,
            ),
        ) {
            let mut options = options.concat();
            options.truncate(40);
            options.resize(options.len().next_multiple_of(4), 0);
            let mut body: Vec<u8> = std::vec![0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0];
            body.extend([5 + (options.len() / 4) as u8, 2, 0, 0, 0, 0, 0, 0]);
            body[12] <<= 4;
            body.extend(&options);
            let packet = TcpPacket::new_checked(&body[..]).unwrap();
            let any = IpAddress::v4(0, 0, 0, 0);
            let read = TcpRepr::parse(&packet, &any, &any, &ChecksumCapabilities::ignored());
            let expected = read.ok().map(|read| Offer {
                segment: read.max_seg_size,
                shift: read.window_scale,
                selective: read.sack_permitted,
            });
            prop_assert_eq!(Offer::of(&body), expected);
        }
    }
}
