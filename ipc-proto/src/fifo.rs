//! The FIFOs of a socket, in the client's session memory: bytes of a stream, or records with a datagram each.
//!
//! A socket has a control block of [`CONTROL_SIZE`] bytes and two FIFOs. Indices are `u32` and run freely; a byte lies at its index modulo the
//! capacity. Each side keeps its own indices in private memory and publishes them; what it loads of the peer is a claim, checked
//! against the private ones. The client zeroes the control block before it names it in a request.
//!
//! | Offset | Written by | What |
//! | ---: | --- | --- |
//! | 0 | stack | tail of the receive FIFO |
//! | 4 | stack | head of the transmit FIFO |
//! | 8 | stack | status ([`Status`]) |
//! | 64 | client | head of the receive FIFO |
//! | 68 | client | tail of the transmit FIFO |
//!
//! # When the writer is told of room
//! Not each time that something was read: it would be woken for nothing. A writer of a stream waits when the FIFO is full. Then all of the
//! capacity is read before the FIFO is empty, so it is enough to tell whenever half of it was read since the last time. A writer of
//! a record that takes half of the capacity at most waits when more than half is in use, and the same is enough. Where
//! records may be longer, an emptied FIFO is told too. [`Reader::tells_room`] and [`Reader::tells_room_for_record`] count.
//!
//! # Memory ordering
//! As for the ring: bytes are written before the release store of `tail` and read after its acquire load; a place is written
//! again after an acquire load of `head`. The status is stored with release behind the last bytes: who loads the status first
//! and finds nothing after it has seen the end of the stream.
#![forbid(unsafe_code)]

use crate::{error::OutOfBounds, shm::Shm, socket::Buffers};
use core::fmt;

mod reader;
mod record;
mod status;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod tests;
mod writer;

pub use crate::error::PeerError;
pub use reader::Reader;
pub use record::{HEADER_SIZE, Record};
pub use status::{Status, StatusCell};
pub use writer::Writer;

/// Bytes of a control block: one line written by the stack, one by the client.
pub const CONTROL_SIZE: usize = 128;
/// Alignment of control block and FIFOs.
pub const ALIGN: usize = 64;
/// Smallest FIFO: 1 << this.
pub const MIN_LOG2: u8 = 10;
/// Largest FIFO: 1 << this.
pub const MAX_LOG2: u8 = 22;

/// Offset of the tail of the receive FIFO.
pub const RX_TAIL: usize = 0;
/// Offset of the head of the transmit FIFO.
pub const TX_HEAD: usize = 4;
/// Offset of the status word.
pub const STATUS: usize = 8;
/// Offset of the head of the receive FIFO.
pub const RX_HEAD: usize = 64;
/// Offset of the tail of the transmit FIFO.
pub const TX_TAIL: usize = 68;

/// Which end of a socket's FIFOs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Reads the receive FIFO, writes the transmit FIFO.
    Client,
    /// Writes the receive FIFO, reads the transmit FIFO and tells the status.
    Stack,
}

/// One end of a socket's FIFOs.
#[derive(Debug)]
pub struct StreamEnds {
    /// What comes from the other side.
    pub reader: Reader,
    /// What goes to the other side.
    pub writer: Writer,
    /// What the stack says of the socket.
    pub status: StatusCell,
}

#[cfg(loom)]
impl StreamEnds {
    /// As if `index` bytes had passed each way; the index words have to say so too.
    pub fn start_at(&mut self, index: u32) {
        self.reader.start_at(index);
        self.writer.start_at(index);
    }
}

/// Why a [`Buffers`] is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadBuffers {
    /// An offset is no multiple of 64.
    Misaligned,
    /// A part lies before the arena or beyond the session memory.
    OutOfBounds,
    /// A capacity is not 1 << 10 ..= 1 << 22.
    Capacity,
}

impl fmt::Display for BadBuffers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadBuffers::Misaligned => "socket buffers misaligned",
            BadBuffers::OutOfBounds => "socket buffers outside the arena",
            BadBuffers::Capacity => "socket buffers of a bad capacity",
        })
    }
}

impl core::error::Error for BadBuffers {}

impl From<OutOfBounds> for BadBuffers {
    fn from(OutOfBounds: OutOfBounds) -> Self {
        BadBuffers::OutOfBounds
    }
}

/// One end of the FIFOs that `buffers` describes, in the memory of a session whose arena starts at offset `arena_start`. Both
/// FIFOs count as empty.
///
/// # Errors
/// [`BadBuffers`]. Parts that overlap are not refused: they garble that client's own data.
pub fn ends(
    session: &Shm,
    buffers: &Buffers,
    end: End,
    arena_start: usize,
) -> Result<StreamEnds, BadBuffers> {
    let control = part(session, buffers.control, CONTROL_SIZE, arena_start)?;
    let rx = part(session, buffers.rx, capacity(buffers.rx_log2)?, arena_start)?;
    let tx = part(session, buffers.tx, capacity(buffers.tx_log2)?, arena_start)?;
    let word = |offset| control.word(offset);
    let status = StatusCell::new(word(STATUS)?);
    let (reader, writer) = match end {
        End::Client => (
            Reader::new(rx, word(RX_TAIL)?, word(RX_HEAD)?),
            Writer::new(tx, word(TX_TAIL)?, word(TX_HEAD)?),
        ),
        End::Stack => (
            Reader::new(tx, word(TX_TAIL)?, word(TX_HEAD)?),
            Writer::new(rx, word(RX_TAIL)?, word(RX_HEAD)?),
        ),
    };
    Ok(StreamEnds {
        reader,
        writer,
        status,
    })
}

fn capacity(log2: u8) -> Result<usize, BadBuffers> {
    if (MIN_LOG2..=MAX_LOG2).contains(&log2) {
        Ok(1 << log2)
    } else {
        Err(BadBuffers::Capacity)
    }
}

fn part(session: &Shm, offset: u32, len: usize, arena_start: usize) -> Result<Shm, BadBuffers> {
    let offset = usize::try_from(offset).map_err(|_| BadBuffers::OutOfBounds)?;
    if !offset.is_multiple_of(ALIGN) {
        return Err(BadBuffers::Misaligned);
    }
    if offset < arena_start {
        return Err(BadBuffers::OutOfBounds);
    }
    session.part(offset, len).ok_or(BadBuffers::OutOfBounds)
}
