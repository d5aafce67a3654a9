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
/// A header as it is copied: each word lies in little-endian order.
pub(super) type Header = [u64; HEADER_SIZE / size_of::<u64>()];
/// Longest datagram that a header can describe.
pub(super) const MAX_LEN: usize = u16::MAX as usize;
/// Families, with the zeros behind them.
const V4: u64 = 4;
const V6: u64 = 6;
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

/// Bytes of the largest record.
pub(super) const LARGEST: usize = size(MAX_LEN);

/// Bytes of a record with a datagram of `len` bytes, at most [`MAX_LEN`].
#[inline]
pub(super) const fn size(len: usize) -> usize {
    HEADER_SIZE + ((len + ALIGN - 1) & !(ALIGN - 1))
}

/// `len` is at most [`MAX_LEN`].
#[inline]
pub(super) fn encode(peer: SocketAddr, len: usize) -> Header {
    let (family, address) = match peer.ip() {
        IpAddr::V4(address) => (V4, u32::from_le_bytes(address.octets()).into()),
        IpAddr::V6(address) => (V6, u128::from_le_bytes(address.octets())),
    };
    let fixed = len as u64 & 0xffff | u64::from(peer.port()) << 16 | family << 32;
    [fixed, address as u64, (address >> u64::BITS) as u64]
}

/// Every bit is checked: a header has one encoding only.
#[inline]
pub(super) fn decode([fixed, low, high]: Header) -> Result<Record, DecodeError> {
    let ip = match fixed >> 32 {
        V4 if high == 0 && low >> u32::BITS == 0 => {
            Ipv4Addr::from_octets((low as u32).to_le_bytes()).into()
        }
        V6 => {
            let address = u128::from(low) | u128::from(high) << u64::BITS;
            Ipv6Addr::from_octets(address.to_le_bytes()).into()
        }
        _ => return Err(DecodeError::Malformed),
    };
    Ok(Record {
        peer: SocketAddr::new(ip, (fixed >> 16) as u16),
        len: usize::from(fixed as u16),
    })
}
