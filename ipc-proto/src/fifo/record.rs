//! The header of a datagram in a FIFO. Touches no shared memory.
//!
//! | Offset | Bytes | What |
//! | ---: | ---: | --- |
//! | 0 | 2 | bytes of the datagram, little-endian |
//! | 2 | 2 | port, little-endian |
//! | 4 | 1 | 4 or 6: the family of the address |
//! | 5 | 3 | zero |
//! | 8 | 16 | the address in network order; IPv4 takes the first 4, zero the rest |
//!
//! The datagram follows, padded to a multiple of 8: headers never wrap within a move.
#![forbid(unsafe_code)]

use crate::codec::DecodeError;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a header.
pub const HEADER_SIZE: usize = 24;
/// Longest datagram that a header can describe.
pub(super) const MAX_LEN: usize = u16::MAX as usize;
/// Records are multiples of this.
const ALIGN: usize = 8;

/// One datagram of a FIFO.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// Where it came from, or where it shall go. Flow information and scope of IPv6 are zero.
    pub peer: SocketAddr,
    /// Its full length in bytes, which may exceed what was copied.
    pub len: usize,
}

/// Bytes of a record with a datagram of `len` bytes, at most [`MAX_LEN`].
pub(super) fn size(len: usize) -> usize {
    HEADER_SIZE + len.next_multiple_of(ALIGN)
}

/// `len` is at most [`MAX_LEN`].
pub(super) fn encode(peer: SocketAddr, len: usize) -> [u8; HEADER_SIZE] {
    let [len0, len1] = (len as u16).to_le_bytes();
    let [port0, port1] = peer.port().to_le_bytes();
    let (family, a) = match peer.ip() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            (4, [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        }
        IpAddr::V6(address) => (6, address.octets()),
    };
    let mut header = [0; HEADER_SIZE];
    let (fixed, address) = header.split_at_mut(8);
    fixed.copy_from_slice(&[len0, len1, port0, port1, family, 0, 0, 0]);
    address.copy_from_slice(&a);
    header
}

/// Every byte is checked: a header has one encoding only.
pub(super) fn decode(header: &[u8; HEADER_SIZE]) -> Result<Record, DecodeError> {
    let &[len0, len1, port0, port1, family, 0, 0, 0, ref address @ ..] = header else {
        return Err(DecodeError::Malformed);
    };
    let ip = match (family, address) {
        (4, &[a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]) => Ipv4Addr::new(a, b, c, d).into(),
        (6, octets) => Ipv6Addr::from_octets(*octets).into(),
        _ => return Err(DecodeError::Malformed),
    };
    Ok(Record {
        peer: SocketAddr::new(ip, u16::from_le_bytes([port0, port1])),
        len: u16::from_le_bytes([len0, len1]).into(),
    })
}
