//! The writing end of a FIFO. Touches the FIFO's bytes and its two index words.
#![forbid(unsafe_code)]

use super::record;
use crate::{
    error::{OutOfBounds, PeerError},
    index::{Writing, place, split},
    shm::{Shm, Word},
};
use core::{net::SocketAddr, sync::atomic::Ordering};

/// The writing end of a FIFO.
#[derive(Debug)]
pub struct Writer {
    memory: Shm,
    tail_word: Word,
    head_word: Word,
    indices: Writing<u32>,
    /// Bytes behind the tail that are there and not yet counted.
    staged: usize,
}

impl Writer {
    /// `memory` has a power of two of bytes (`ends` checks).
    pub(super) fn new(memory: Shm, tail_word: Word, head_word: Word) -> Self {
        let capacity = memory.len() as u32;
        Self {
            memory,
            tail_word,
            head_word,
            indices: Writing::new(capacity, 0),
            staged: 0,
        }
    }

    /// As if `index` bytes had passed.
    #[cfg(any(test, loom))]
    pub(super) fn start_at(&mut self, index: u32) {
        self.indices = Writing::new(self.indices.capacity(), index);
    }

    /// Bytes that the FIFO holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.indices.capacity() as usize
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
        self.indices.look(self.head_word.load(Ordering::Acquire))?;
        Ok(self.indices.free() as usize)
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

    /// [`write`](Self::write) of several runs, one behind the other: the peer sees them together.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn write_parts(&mut self, parts: &[&[u8]]) -> Result<usize, PeerError> {
        let wanted = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let free = self.free_for(wanted)?;
        let mut written = 0;
        for part in parts {
            // What is written is at most what is free.
            let (part, _) = part.split_at(part.len().min(free - written));
            if !part.is_empty() {
                self.copy_in(written, part)?;
                written += part.len();
            }
        }
        if written > 0 {
            self.publish(written);
        }
        Ok(written)
    }

    /// Copies `len` bytes of other shared memory, from `offset` on, to where the next ones are written, without a look at them. An
    /// honest peer sees them only behind [`publish_staged`](Self::publish_staged), another as soon as they are there: they must be meant for it. False if there is no room for all of them, or they don't lie within that memory.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn stage(&mut self, from: &Shm, offset: usize, len: usize) -> Result<bool, PeerError> {
        self.staged = 0;
        if len > self.free_for(len)? {
            return Ok(false);
        }
        let (start, first) = split(self.indices.next(), self.indices.capacity(), len);
        let second = len - first;
        let copied = from
            .pass(offset, &self.memory, start, first)
            .and_then(|()| match second {
                0 => Ok(()),
                _ => from.pass(offset.saturating_add(first), &self.memory, 0, second),
            });
        if copied.is_err() {
            return Ok(false);
        }
        self.staged = len;
        Ok(true)
    }

    /// Makes the first `len` of the bytes visible that were [staged](Self::stage) last, unless others were written since, and forgets the rest.
    /// How many it were.
    #[inline]
    pub fn publish_staged(&mut self, len: usize) -> usize {
        let len = len.min(self.staged);
        if len > 0 {
            self.publish(len);
        }
        self.staged = 0;
        len
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
        let mut at = self.indices.next();
        for word in record::encode(peer, bytes.len()) {
            // Records are multiples of words, so none wraps.
            let offset = place(at, self.indices.capacity()) as usize;
            self.memory.write_eight(offset, word)?;
            at = at.wrapping_add(size_of::<u64>() as u32);
        }
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
        Ok(self.indices.used() == 0)
    }

    /// Bytes free; looks at the peer's index only if the last look found too few.
    #[inline]
    fn free_for(&mut self, wanted: usize) -> Result<usize, PeerError> {
        let free = self.indices.free() as usize;
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
            self.indices.next().wrapping_add(offset as u32),
            self.indices.capacity(),
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
        self.staged = 0;
        self.indices.advance(len as u32);
        self.tail_word
            .store(self.indices.publish(), Ordering::Release);
    }
}
