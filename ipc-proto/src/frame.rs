//! The frame protocol: network driver and stack.
//!
//! Frames lie in the stack's two frame pools, arrays of buffers in DMA-able memory ([`Pool`]): one to receive into, one to send from,
//! which the driver may only read, and behind an IOMMU its device, too. Messages name buffers by number, in the pool of their direction. A buffer
//! belongs to the driver from `Receive`/`Transmit` until `Received`/`Transmitted` names it, and to the stack at every other time.
//! Empty ones travel in runs of neighbours ([`Run`]), many to a message. The frame, from the Ethernet destination on and
//! without FCS, starts behind the first [`HEADROOM`] bytes of a buffer. In one to receive into these are the driver's (device
//! header), in one to send from nobody's.
//!
//! When a driver attaches, every buffer belongs to the stack. It says then what its device can do with frames, and the
//! stack answers which of that it will use ([`Offloads`]); both sides keep to it as long as the attachment lasts.
#![forbid(unsafe_code)]

use crate::codec::Message;
use core::ops::Range;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Bytes in a small buffer of the pool: room for a frame as it is on the wire.
pub const BUFFER_SIZE: usize = 2048;
/// Bytes in a large buffer of the pool: room for a packet of the largest size that IP has, whatever the MTU, and for the
/// 65,562 bytes that a device may ask for (VIRTIO 1.2 section 5.1.6.3.1).
pub const LARGE_BUFFER_SIZE: usize = 33 * BUFFER_SIZE;
/// Bytes at the start of a buffer in front of the frame: room for the virtio-net header (VIRTIO 1.2
/// section 5.1.6: 12 bytes) of one that is received, padded so that the IP header is 4-aligned.
pub const HEADROOM: usize = 18;
/// Bytes of a slot on a frame ring.
pub const SLOT_SIZE: usize = 16;
/// Slots of each ring of a frame channel.
pub const RING_SLOTS: u32 = 1024;

/// Which buffers a pool has: small ones first, then large ones. Both are numbered from zero on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, MaxSize, Schema)]
pub struct Pool {
    /// How many of [`BUFFER_SIZE`] bytes.
    pub small: u16,
    /// How many of [`LARGE_BUFFER_SIZE`] bytes.
    pub large: u16,
}

impl Pool {
    /// Buffers in it. More than numbers can name are too many: [`Pool::place`] has none beyond.
    #[must_use]
    pub const fn count(self) -> usize {
        self.small as usize + self.large as usize
    }

    /// Bytes of its memory.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.small as usize * BUFFER_SIZE + self.large as usize * LARGE_BUFFER_SIZE
    }

    /// Where a buffer starts in the memory, and how long it is; `None` if there is no such buffer.
    #[inline]
    #[must_use]
    pub const fn place(self, buffer: u16) -> Option<(usize, usize)> {
        if buffer < self.small {
            return Some((buffer as usize * BUFFER_SIZE, BUFFER_SIZE));
        }
        let number = buffer - self.small;
        if number >= self.large {
            return None;
        }
        let small = self.small as usize * BUFFER_SIZE;
        Some((
            small + number as usize * LARGE_BUFFER_SIZE,
            LARGE_BUFFER_SIZE,
        ))
    }
}

/// Buffers that are neighbours in the pool: at least one, all of them of one size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub struct Run {
    /// Number of the first in the pool.
    pub first: u16,
    /// How many.
    pub count: u16,
}

impl Run {
    /// A single buffer.
    #[must_use]
    pub const fn one(buffer: u16) -> Run {
        Run {
            first: buffer,
            count: 1,
        }
    }

    /// The numbers of all of them.
    #[inline]
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        let first = self.first as usize;
        first..first + self.count as usize
    }

    /// Takes a buffer in if it is the next in a pool of this layout, and of the same size as the others. False if it is not.
    #[inline]
    pub const fn extend(&mut self, buffer: u16, layout: Pool) -> bool {
        let is_next = self.range().end == buffer as usize && buffer != layout.small;
        if is_next {
            // Not beyond the number of the buffer.
            self.count = self.count.saturating_add(1);
        }
        is_next
    }
}

/// What a device does with frames for the stack, one flag each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, MaxSize, Schema)]
pub struct Offloads {
    /// Fills the checksums of frames that it sends ([`Offload::Checksum`]).
    pub transmit_checksum: bool,
    /// Says of frames that it received whether their checksums are right; may leave them unfinished, for frames that never
    /// were on a wire ([`Checksum`]).
    pub receive_checksum: bool,
    /// Cuts TCP segments over IPv4 to size ([`Offload::Segment`]); needs `transmit_checksum`.
    pub transmit_segments: bool,
    /// Joins TCP segments that it received, to packets beyond the MTU: every buffer to receive into is a large one. Needs
    /// `receive_checksum`.
    pub receive_segments: bool,
}

impl Offloads {
    /// What both can, without what lacks something that it needs.
    #[must_use]
    pub const fn and(self, other: Offloads) -> Offloads {
        let transmit_checksum = self.transmit_checksum && other.transmit_checksum;
        let receive_checksum = self.receive_checksum && other.receive_checksum;
        Offloads {
            transmit_checksum,
            receive_checksum,
            transmit_segments: transmit_checksum
                && self.transmit_segments
                && other.transmit_segments,
            receive_segments: receive_checksum && self.receive_segments && other.receive_segments,
        }
    }
}

impl core::fmt::Display for Offloads {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let said = [
            (self.transmit_checksum, "fills in checksums"),
            (self.receive_checksum, "looks at checksums"),
            (self.transmit_segments, "cuts segments"),
            (self.receive_segments, "joins segments"),
        ];
        let mut first = true;
        for (_, what) in said.iter().filter(|(does, _)| *does) {
            write!(f, "{}{what}", if first { "" } else { ", " })?;
            first = false;
        }
        if first {
            f.write_str("does nothing with frames")?;
        }
        Ok(())
    }
}

/// What the device is to do to a frame before it sends it. Places are counted from the Ethernet destination on.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum Offload {
    /// Nothing: the frame is complete.
    Nothing,
    /// Put the checksum of all bytes from `start` on at `start + offset`, where the sum of the pseudo-header stands.
    Checksum {
        /// Where the TCP or UDP header starts.
        start: u8,
        /// Where in that header the checksum stands.
        offset: u8,
    },
    /// Cut the data of a TCP segment over IPv4 into segments, each with headers made from those in front, and fill all their
    /// checksums. The sum of the pseudo-header stands where the checksum does.
    Segment {
        /// Where the TCP header starts.
        start: u8,
        /// Where in that header the checksum stands.
        offset: u8,
        /// Bytes of all headers: the data start there.
        header: u8,
        /// Most bytes of data in a segment, at least [`MIN_SEGMENT`].
        size: u16,
    },
}

/// Fewest bytes of data in the segments that a device is asked to cut: less would be a flood.
pub const MIN_SEGMENT: u16 = 48;

/// What is known of the TCP or UDP checksum of a received frame.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum Checksum {
    /// Nothing.
    Unknown,
    /// The device has found it right.
    Valid,
    /// It is unfinished: the frame comes from the same machine and was never on a wire.
    Partial,
}

/// Stack to driver.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum ToDriver {
    /// Empty buffers to receive into.
    Receive {
        /// Which.
        buffers: Run,
    },
    /// A frame to send.
    Transmit {
        /// Number in the pool to send from.
        buffer: u16,
        /// Length of the frame in bytes, at least 14.
        len: u16,
        /// What is to be done to it; [`Offloads`] says what may be asked.
        offload: Offload,
    },
}

/// Driver to stack.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum ToStack {
    /// A frame arrived in a buffer given by [`ToDriver::Receive`].
    Received {
        /// Number in the pool to receive into.
        buffer: u16,
        /// Length of the frame in bytes. In a large buffer it may be more than 65,535, by the Ethernet header.
        len: u32,
        /// What is known of its checksum.
        checksum: Checksum,
    },
    /// Buffers given by [`ToDriver::Transmit`] are free again (sent, or dropped by the device).
    Transmitted {
        /// Which.
        buffers: Run,
    },
    /// The link went up or down.
    Link {
        /// Whether it is up.
        up: bool,
    },
}

impl Message for ToDriver {
    const MAX_SIZE: usize = <Self as MaxSize>::POSTCARD_MAX_SIZE;
}

impl Message for ToStack {
    const MAX_SIZE: usize = <Self as MaxSize>::POSTCARD_MAX_SIZE;
}
