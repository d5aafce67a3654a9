//! The system's log: a ring of records in frames of the kernel, the oldest of which make way for new
//! ones. Touches only those frames.
#![forbid(unsafe_code)]

use crate::phys::{Frame, OutOfRange, PhysAddr, PhysMemory};
use crate::store::{FrameKind, Store};
use kernel_abi::{Error, PAGE_SIZE};

/// Bytes of the ring.
pub(crate) const RING: u64 = 64 * 1024;

/// Most bytes of a line.
pub(crate) const MAX_LINE: usize = 512;

/// Sequence, time, badge, level: what stands before the text when a record is read.
pub(crate) const HEADER: usize = 32;

/// Before that, in the ring: the length of the text.
const LENGTH: u64 = 8;

/// Bytes that a line takes of the ring.
pub(crate) fn size(text: &[u8]) -> u64 {
    LENGTH + HEADER as u64 + text.len().next_multiple_of(8) as u64
}

/// A record's place in the ring: bytes since boot, so that it only grows.
type Position = u64;

/// The log.
pub(crate) struct Log {
    start: PhysAddr,
    oldest: Position,
    end: Position,
    oldest_sequence: u64,
    next_sequence: u64,
    /// Where a reader left off: sequence and position.
    cursor: (u64, Position),
    /// Lines up to this level are shown on the console.
    pub(crate) echo: u8,
}

/// The part of a record that is no text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) time: u64,
    pub(crate) badge: u64,
    pub(crate) level: u8,
}

impl Log {
    /// An empty log in frames of its own.
    pub(crate) fn new(store: &mut Store) -> Result<Log, Error> {
        let frames = RING / PAGE_SIZE as u64;
        let first: Frame = store.alloc_run(None, FrameKind::Kernel, frames as u32)?;
        Ok(Log {
            start: first.address(),
            oldest: 0,
            end: 0,
            oldest_sequence: 1,
            next_sequence: 1,
            cursor: (1, 0),
            echo: 3,
        })
    }

    /// Appends a line; more than [`MAX_LINE`] bytes are cut.
    pub(crate) fn append(
        &mut self,
        memory: &mut PhysMemory,
        stamp: Stamp,
        text: &[u8],
    ) -> Result<(), OutOfRange> {
        let text = text.get(..MAX_LINE).unwrap_or(text);
        let size = size(text);
        while self.end + size > self.oldest + RING {
            self.oldest = self.after(memory, self.oldest)?;
            self.oldest_sequence += 1;
        }
        let words = [
            text.len() as u64,
            self.next_sequence,
            stamp.time,
            stamp.badge,
            stamp.level as u64,
        ];
        let mut position = self.end;
        for word in words {
            memory.write_u64(self.address(position), word)?;
            position += 8;
        }
        let until_wrap = (RING - position % RING) as usize;
        let (before, after) = text.split_at(until_wrap.min(text.len()));
        memory.copy_in(self.address(position), before)?;
        memory.copy_in(self.start, after)?;
        self.end += size;
        self.next_sequence += 1;
        Ok(())
    }

    /// Copies the first record at or after `sequence` to `out` as far as it fits. How many bytes that are, and
    /// the next sequence number; `None` if there is no such record.
    pub(crate) fn read(
        &mut self,
        memory: &PhysMemory,
        sequence: u64,
        out: &mut [u8; HEADER + MAX_LINE],
    ) -> Result<Option<(usize, u64)>, OutOfRange> {
        let sequence = sequence.max(self.oldest_sequence);
        if sequence >= self.next_sequence {
            return Ok(None);
        }
        let (mut at, mut position) = match self.cursor {
            (at, position) if at >= self.oldest_sequence && at <= sequence => (at, position),
            _ => (self.oldest_sequence, self.oldest),
        };
        while at < sequence {
            position = self.after(memory, position)?;
            at += 1;
        }
        self.cursor = (at, position);
        let text = memory.read_u64(self.address(position))?;
        let len = HEADER + (text as usize).min(MAX_LINE);
        let first = position + LENGTH;
        let until_wrap = (RING - first % RING) as usize;
        let (out, _) = out.split_at_mut(len.min(HEADER + MAX_LINE));
        let (before, after) = out.split_at_mut(until_wrap.min(len));
        memory.copy_out(self.address(first), before)?;
        memory.copy_out(self.start, after)?;
        Ok(Some((len, sequence + 1)))
    }

    fn after(&self, memory: &PhysMemory, position: Position) -> Result<Position, OutOfRange> {
        let text = memory.read_u64(self.address(position))?;
        Ok(position + LENGTH + HEADER as u64 + text.next_multiple_of(8))
    }

    fn address(&self, position: Position) -> PhysAddr {
        self.start.offset(position % RING)
    }
}
