//! The reading end of a FIFO. Touches the FIFO's bytes and its two index words.
#![forbid(unsafe_code)]

use super::{record, record::Record};
use crate::{
    error::{OutOfBounds, PeerError},
    index::{Reading, split},
    shm::{Shm, Word},
};
use core::sync::atomic::Ordering;

/// The reading end of a FIFO.
#[derive(Debug)]
pub struct Reader {
    memory: Shm,
    tail_word: Word,
    head_word: Word,
    indices: Reading<u32>,
    /// The header of the next record, once it was looked at: what was checked is what is used.
    record: Option<Record>,
}

impl Reader {
    /// `memory` has a power of two of bytes (`ends` checks).
    pub(super) fn new(memory: Shm, tail_word: Word, head_word: Word) -> Self {
        let capacity = memory.len() as u32;
        Self {
            memory,
            tail_word,
            head_word,
            indices: Reading::new(capacity, 0),
            record: None,
        }
    }

    /// As if `index` bytes had passed.
    #[cfg(any(test, loom))]
    pub(super) fn start_at(&mut self, index: u32) {
        self.indices = Reading::new(self.indices.capacity(), index);
    }

    /// Bytes that the FIFO holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.indices.capacity() as usize
    }

    /// Bytes that wait now. For the end of a stream, load the [`StatusCell`](super::StatusCell) first.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn available(&mut self) -> Result<usize, PeerError> {
        self.indices.look(self.tail_word.load(Ordering::Acquire))?;
        Ok(self.seen())
    }

    /// Takes as many bytes as wait and fit, gives their places back at once, and returns how many there were.
    ///
    /// # Errors
    /// [`PeerError`].
    #[inline]
    pub fn read(&mut self, out: &mut [u8]) -> Result<usize, PeerError> {
        let len = self.peek(out)?;
        Ok(self.skip(len))
    }

    /// Copies as many bytes as wait and fit, without taking them, and returns how many there were.
    ///
    /// # Errors
    /// [`PeerError`].
    #[inline]
    pub fn peek(&mut self, out: &mut [u8]) -> Result<usize, PeerError> {
        let mut waiting = self.seen();
        if waiting < out.len() {
            waiting = self.available()?;
        }
        let len = waiting.min(out.len());
        let (out, _) = out.split_at_mut(len);
        self.copy_out(0, out)?;
        Ok(len)
    }

    /// Takes up to `len` of the bytes that an earlier call has found waiting, without copying them, and returns how many.
    #[inline]
    pub fn skip(&mut self, len: usize) -> usize {
        let len = len.min(self.seen());
        if len > 0 {
            self.record = None;
            self.indices.advance(len as u32);
            self.head_word
                .store(self.indices.publish(), Ordering::Release);
        }
        len
    }

    /// The next datagram's header, without taking the datagram. The same header is used when it is read.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn peek_record(&mut self) -> Result<Option<Record>, PeerError> {
        if let Some(record) = self.record {
            return Ok(Some(record));
        }
        let mut waiting = self.seen();
        if waiting == 0 {
            waiting = self.available()?;
        }
        if waiting == 0 {
            return Ok(None);
        }
        // Records appear as a whole.
        let rest = waiting
            .checked_sub(record::HEADER_SIZE)
            .ok_or(PeerError::Length)?;
        let mut header = [0; record::HEADER_SIZE];
        self.copy_out(0, &mut header)?;
        let record = record::decode(&header)?;
        if record::size(record.len) - record::HEADER_SIZE > rest {
            return Err(PeerError::Length);
        }
        self.record = Some(record);
        Ok(Some(record))
    }

    /// Takes the next datagram, of which as much is copied as fits, and gives its place back. `None` if none waits.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn read_record(&mut self, out: &mut [u8]) -> Result<Option<Record>, PeerError> {
        let Some(record) = self.peek_record()? else {
            return Ok(None);
        };
        let (out, _) = out.split_at_mut(out.len().min(record.len));
        self.copy_out(record::HEADER_SIZE, out)?;
        self.skip(record::size(record.len));
        Ok(Some(record))
    }

    /// Takes the next datagram without copying it. False if none waits.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn skip_record(&mut self) -> Result<bool, PeerError> {
        Ok(self.read_record(&mut [])?.is_some())
    }

    /// Bytes that waited at the last look.
    fn seen(&self) -> usize {
        self.indices.waiting() as usize
    }

    /// Copies from `offset` bytes behind the head; the caller knows that so many wait.
    #[inline]
    fn copy_out(&self, offset: usize, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let (start, first) = split(
            self.indices.next().wrapping_add(offset as u32),
            self.indices.capacity(),
            out.len(),
        );
        let (first, second) = out.split_at_mut(first);
        self.memory.read(start, first)?;
        if !second.is_empty() {
            self.memory.read(0, second)?;
        }
        Ok(())
    }
}
