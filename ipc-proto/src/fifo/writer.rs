//! The writing end of a FIFO. Touches the FIFO's bytes and its two index words.
#![forbid(unsafe_code)]

use super::{record, split};
use crate::{
    error::{OutOfBounds, PeerError},
    shm::{Shm, Word},
};
use core::{net::SocketAddr, sync::atomic::Ordering};

/// The writing end of a FIFO.
#[derive(Debug)]
pub struct Writer {
    memory: Shm,
    capacity: u32,
    tail_word: Word,
    head_word: Word,
    /// First index not yet written.
    tail: u32,
    /// The peer's index as of the last look.
    head: u32,
}

impl Writer {
    /// `memory` has a power of two of bytes (`ends` checks).
    pub(super) fn new(memory: Shm, tail_word: Word, head_word: Word) -> Self {
        let capacity = memory.len() as u32;
        Self {
            memory,
            capacity,
            tail_word,
            head_word,
            tail: 0,
            head: 0,
        }
    }

    /// As if `index` bytes had passed.
    #[cfg(test)]
    pub(super) fn start_at(&mut self, index: u32) {
        (self.head, self.tail) = (index, index);
    }

    /// Bytes that the FIFO holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Longest datagram that fits in the empty FIFO: with a longer one, [`write_record`](Self::write_record) says `false` for ever.
    #[must_use]
    pub fn largest_record(&self) -> usize {
        (self.capacity() - record::HEADER_SIZE).min(record::MAX_LEN)
    }

    /// Bytes free now.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn free(&mut self) -> Result<usize, PeerError> {
        let head = self.head_word.load(Ordering::Acquire);
        // The peer's index may only have grown, and not beyond what was published.
        if head.wrapping_sub(self.head) > self.used() {
            return Err(PeerError::Index);
        }
        self.head = head;
        Ok((self.capacity - self.used()) as usize)
    }

    /// Appends as much of `bytes` as there is room for, makes it visible at once, and returns how much that was.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, PeerError> {
        let free = self.free_for(bytes.len())?;
        let (bytes, _) = bytes.split_at(bytes.len().min(free));
        if bytes.is_empty() {
            return Ok(0);
        }
        self.copy_in(0, bytes)?;
        self.publish(bytes.len());
        Ok(bytes.len())
    }

    /// Appends a datagram and makes it visible at once. False if there is no room for all of it, or it is longer than
    /// [`largest_record`](Self::largest_record).
    ///
    /// `peer` is where it came from, or where it shall go.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    pub fn write_record(&mut self, peer: SocketAddr, bytes: &[u8]) -> Result<bool, PeerError> {
        if bytes.len() > self.largest_record() {
            return Ok(false);
        }
        let size = record::size(bytes.len());
        if size > self.free_for(size)? {
            return Ok(false);
        }
        self.copy_in(0, &record::encode(peer, bytes.len()))?;
        self.copy_in(record::HEADER_SIZE, bytes)?;
        self.publish(size);
        Ok(true)
    }

    /// Whether the peer has read everything.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    pub fn is_drained(&mut self) -> Result<bool, PeerError> {
        self.free()?;
        Ok(self.used() == 0)
    }

    fn used(&self) -> u32 {
        self.tail.wrapping_sub(self.head)
    }

    /// Bytes free; looks at the peer's index only if the last look found too few.
    #[inline]
    fn free_for(&mut self, wanted: usize) -> Result<usize, PeerError> {
        let free = (self.capacity - self.used()) as usize;
        if free >= wanted {
            Ok(free)
        } else {
            self.free()
        }
    }

    /// Copies to `offset` bytes behind the tail; the caller knows that there is room.
    #[inline]
    fn copy_in(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let (start, first) = split(
            self.tail.wrapping_add(offset as u32),
            self.capacity,
            bytes.len(),
        );
        let (first, second) = bytes.split_at(first);
        self.memory.write(start, first)?;
        if !second.is_empty() {
            self.memory.write(0, second)?;
        }
        Ok(())
    }

    #[inline]
    fn publish(&mut self, len: usize) {
        self.tail = self.tail.wrapping_add(len as u32);
        self.tail_word.store(self.tail, Ordering::Release);
    }
}
