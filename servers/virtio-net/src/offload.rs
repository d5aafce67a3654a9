//! The header that goes with each frame (VIRTIO 1.2 section 5.1.6): made from what the stack asks for, and read as what the device claims.
//!
//! Touches nothing. Both may lie: what the stack says is checked against the frame's length and what was agreed on before it
//! becomes a header, and of a device's header nothing is believed but what was agreed on.
#![forbid(unsafe_code)]

use crate::device::{ETHERNET_HEADER, MAX_FRAME};
use ipc_proto::frame::{Checksum, MIN_SEGMENT, Offload, Offloads};

/// Bytes of the header, with VIRTIO_F_VERSION_1.
pub const HEADER: usize = 12;

/// A header.
pub type Header = [u8; HEADER];

/// Flags (section 5.1.6).
const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
/// Kinds of segmentation.
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;

/// Bytes of the shortest TCP header.
const TCP_HEADER: usize = 20;

/// The header for a frame of `len` bytes, or `None` if the stack may not ask for this, or it makes no sense.
#[inline]
pub fn header(offload: Offload, len: usize, agreed: Offloads) -> Option<Header> {
    match offload {
        // All fields are zero (section 5.1.6.2).
        Offload::Nothing => (len <= MAX_FRAME).then_some([0; HEADER]),
        Offload::Checksum { start, offset } => {
            let (at, place) = (usize::from(start), usize::from(offset));
            let lies_within =
                at >= ETHERNET_HEADER && at.checked_add(place)?.checked_add(2)? <= len;
            let may = agreed.transmit_checksum && lies_within && len <= MAX_FRAME;
            may.then_some([NEEDS_CSUM, GSO_NONE, 0, 0, 0, 0, start, 0, offset, 0, 0, 0])
        }
        Offload::Segment {
            start,
            offset,
            header,
            size,
        } => {
            let (at, end) = (usize::from(start), usize::from(header));
            let has_headers = at >= ETHERNET_HEADER && at.checked_add(TCP_HEADER)? <= end;
            let lies_within = at.checked_add(offset.into())?.checked_add(2)? <= end && end < len;
            let may = agreed.transmit_segments && has_headers && lies_within && size >= MIN_SEGMENT;
            let [low, high] = size.to_le_bytes();
            may.then_some([
                NEEDS_CSUM, GSO_TCPV4, header, 0, low, high, start, 0, offset, 0, 0, 0,
            ])
        }
    }
}

/// What a header says of the checksum of a received frame of `len` bytes, or `None` if it can't be understood: it says
/// what was not agreed on, or what can't be. Flags that are not known are ignored (section 5.1.6.4.2), and so is what it says of the
/// length of headers.
#[inline]
pub fn checksum(header: Header, len: usize, agreed: Offloads) -> Option<Checksum> {
    if !agreed.receive_checksum {
        // What it says without having been asked means nothing: QEMU leaves there what the host's kernel knows.
        return (len <= MAX_FRAME).then_some(Checksum::Unknown);
    }
    let [flags, gso, _, _, s0, s1, at0, at1, o0, o1, _, _] = header;
    let at = usize::from(u16::from_le_bytes([at0, at1]));
    let place = usize::from(u16::from_le_bytes([o0, o1]));
    let size = u16::from_le_bytes([s0, s1]);
    match gso {
        GSO_NONE if len <= MAX_FRAME => {}
        // The checksums of segments yet to be cut are unfinished.
        GSO_TCPV4 | GSO_TCPV6 if agreed.receive_segments && size > 0 && flags & NEEDS_CSUM != 0 => {
        }
        _ => return None,
    }
    if flags & NEEDS_CSUM != 0 {
        let end = at.checked_add(place)?.checked_add(2)?;
        return (at >= ETHERNET_HEADER && end <= len).then_some(Checksum::Partial);
    }
    Some(match flags & DATA_VALID {
        0 => Checksum::Unknown,
        _ => Checksum::Valid,
    })
}

#[cfg(test)]
mod tests;
