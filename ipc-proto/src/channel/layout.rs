//! Where the parts of a channel lie. Arithmetic only.
#![forbid(unsafe_code)]

use super::events;
use crate::{
    frame,
    ring::{MAX_SLOT, SLOT_ALIGN},
    shm::Shm,
    socket,
};
use core::fmt;

/// Bytes of a cache line: words written by different sides never share one.
const LINE: usize = 64;

/// The numbers that both ends of a channel have to agree on; part of each protocol's version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Bytes of a slot: a multiple of 8 from 16 to 288.
    pub slot_size: usize,
    /// Slots of each ring: a power of two up to 65,536.
    pub slots: u32,
    /// Socket indices on the event bitmaps: at most 1,024.
    pub sockets: u16,
}

/// Client and stack.
pub const SOCKET_CHANNEL: Geometry = Geometry {
    slot_size: socket::SLOT_SIZE,
    slots: socket::RING_SLOTS,
    sockets: socket::MAX_SOCKETS,
};

/// Driver and stack.
pub const FRAME_CHANNEL: Geometry = Geometry {
    slot_size: frame::SLOT_SIZE,
    slots: frame::RING_SLOTS,
    sockets: 0,
};

const _: () = assert!(SOCKET_CHANNEL.is_valid());
const _: () = assert!(FRAME_CHANNEL.is_valid());

/// Why a channel cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// The geometry is out of range, or its slots are too small for the messages.
    Geometry,
    /// The memory is too small or not aligned.
    Memory,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LayoutError::Geometry => "bad geometry of a channel",
            LayoutError::Memory => "memory too small or misaligned for a channel",
        })
    }
}

impl core::error::Error for LayoutError {}

/// Offsets of what one side owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Parts {
    /// Published index of the ring that it writes.
    pub tail: usize,
    /// Published index of the ring that it reads.
    pub head: usize,
    /// Its wake word.
    pub wake: usize,
    /// Events for it: summary and bitmap.
    pub events: usize,
    /// Slots of the ring that it writes.
    pub slots: usize,
}

impl Geometry {
    /// Whether the numbers are in range.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.slot_size >= 16
            && self.slot_size <= MAX_SLOT
            && self.slot_size.is_multiple_of(SLOT_ALIGN)
            && self.slots.is_power_of_two()
            && self.slots <= 1 << 16
            && self.sockets <= 1024
    }

    /// Bytes of a channel: a multiple of 64. Zero for numbers out of range.
    #[must_use]
    pub const fn bytes(self) -> usize {
        if self.is_valid() {
            self.slots_start() + 2 * self.ring_bytes()
        } else {
            0
        }
    }

    pub(super) fn check(self, memory: &Shm, needed: usize) -> Result<(), LayoutError> {
        if !self.is_valid() || needed > self.slot_size {
            return Err(LayoutError::Geometry);
        }
        if memory.len() < self.bytes() {
            return Err(LayoutError::Memory);
        }
        Ok(())
    }

    /// What the client, or the driver, owns.
    #[must_use]
    pub const fn client(self) -> Parts {
        Parts {
            tail: 0,
            head: 4,
            wake: 2 * LINE,
            events: 4 * LINE,
            slots: self.slots_start(),
        }
    }

    /// What the stack owns.
    #[must_use]
    pub const fn stack(self) -> Parts {
        Parts {
            tail: LINE,
            head: LINE + 4,
            wake: 3 * LINE,
            events: 4 * LINE + self.event_bytes(),
            slots: self.slots_start() + self.ring_bytes(),
        }
    }

    /// Bytes of a ring's slots, in whole lines.
    pub(super) const fn ring_bytes(self) -> usize {
        (self.slot_size * self.slots as usize).next_multiple_of(LINE)
    }

    /// Bytes of the events for one side: a line for the summary, and the bitmap. None without sockets.
    pub(super) const fn event_bytes(self) -> usize {
        if self.sockets == 0 {
            return 0;
        }
        events::BITMAP
            + (self.sockets.div_ceil(32) as usize * size_of::<u32>()).next_multiple_of(LINE)
    }

    const fn slots_start(self) -> usize {
        4 * LINE + 2 * self.event_bytes()
    }
}
