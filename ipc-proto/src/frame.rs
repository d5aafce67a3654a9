//! The frame protocol: network driver and stack.
//!
//! Frames lie in the stack's frame pool, an array of [`BUFFER_SIZE`]-byte buffers in DMA-able memory; messages name
//! them by number. A buffer belongs to the driver from `Receive`/`Transmit` until `Received`/`Transmitted`
//! names it, and to the stack at every other time. The first [`HEADROOM`] bytes of a buffer are the driver's (device header);
//! the frame, from the Ethernet destination on and without FCS, starts behind them.
//!
//! When a driver attaches, every buffer belongs to the stack.
#![forbid(unsafe_code)]

use crate::codec::Message;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Bytes in a buffer of the pool.
pub const BUFFER_SIZE: usize = 2048;
/// Bytes at the start of a buffer that are the driver's: room for the virtio-net header (VIRTIO 1.2
/// section 5.1.6: 12 bytes), padded so that the IP header is 4-aligned.
pub const HEADROOM: usize = 18;
/// Bytes of a slot on a frame ring.
pub const SLOT_SIZE: usize = 16;
/// Slots of each ring of a frame channel.
pub const RING_SLOTS: u32 = 1024;

/// Stack to driver.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum ToDriver {
    /// An empty buffer to receive into.
    Receive {
        /// Number in the pool.
        buffer: u16,
    },
    /// A frame to send.
    Transmit {
        /// Number in the pool.
        buffer: u16,
        /// Length of the frame in bytes, at least 14.
        len: u16,
    },
}

/// Driver to stack.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum ToStack {
    /// A frame arrived in a buffer given by [`ToDriver::Receive`].
    Received {
        /// Number in the pool.
        buffer: u16,
        /// Length of the frame in bytes.
        len: u16,
    },
    /// A buffer given by [`ToDriver::Transmit`] is free again (sent, or dropped by the device).
    Transmitted {
        /// Number in the pool.
        buffer: u16,
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
