//! What comes from a driver, what it may do wrong, and what is counted. Data only.

use core::fmt;
use ipc_proto::fifo::PeerError;

/// A hardware address, as people write it.
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What a driver did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation {
    /// The channel's indices or messages make no sense.
    Channel(PeerError),
    /// It named a buffer that it does not have, or has for the other use.
    NotItsBuffer(u16),
    /// The length of a received frame is below an Ethernet header or beyond the buffer.
    Length(u32),
    /// It vouches for a checksum, which it was not asked to look at.
    Checksum,
    /// It completed no transmission for five seconds.
    Stuck,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Channel(error) => error.fmt(f),
            Violation::NotItsBuffer(buffer) => write!(f, "buffer {buffer} is not the driver's"),
            Violation::Length(len) => write!(f, "received frame of {len} bytes"),
            Violation::Checksum => f.write_str("it was not asked to look at checksums"),
            Violation::Stuck => f.write_str("no transmission completed for 5 seconds"),
        }
    }
}

impl core::error::Error for Violation {}

/// What came from the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A frame, now in the caller's buffer: all of it, or the first [`HEAD`](super::HEAD) bytes.
    Frame {
        /// Its length in bytes.
        len: usize,
        /// Whether the device vouches for the checksum of a TCP segment or UDP datagram in it.
        vouches: bool,
        /// The buffer of the pool where the bytes behind the first [`HEAD`](super::HEAD) still are, until the next
        /// [`refill`](super::Frames::refill).
        rest: Option<u16>,
    },
    /// The link went up or down.
    Link(bool),
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FrameCounters {
    /// Frames received.
    pub(crate) rx_frames: u64,
    /// Their bytes.
    pub(crate) rx_bytes: u64,
    /// Frames sent.
    pub(crate) tx_frames: u64,
    /// Their bytes.
    pub(crate) tx_bytes: u64,
    /// Frames that found no buffer.
    pub(crate) tx_dropped: u64,
}
