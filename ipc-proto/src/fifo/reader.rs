//! The reading end of a FIFO. Touches the FIFO's bytes and its two index words.
#![forbid(unsafe_code)]

use super::{record, record::Record};
use crate::{
    error::{OutOfBounds, PeerError},
    index::{Reading, place, split},
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
    /// Bytes read since the writer was last told.
    untold: u32,
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
            untold: 0,
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

    /// Whether no bytes wait; looks at the peer's index only if there were none at the last look.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn is_empty(&mut self) -> Result<bool, PeerError> {
        Ok(self.seen() == 0 && self.available()? == 0)
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
        self.peek_behind(0, out)
    }

    /// [`peek`](Self::peek) behind the first `offset` bytes: none if fewer wait.
    ///
    /// # Errors
    /// [`PeerError`].
    #[inline]
    pub fn peek_behind(&mut self, offset: usize, out: &mut [u8]) -> Result<usize, PeerError> {
        let mut waiting = self.seen().saturating_sub(offset);
        if waiting < out.len() {
            waiting = self.available()?.saturating_sub(offset);
        }
        let len = waiting.min(out.len());
        let (out, _) = out.split_at_mut(len);
        self.copy_out(offset, out)?;
        Ok(len)
    }

    /// Takes up to `len` of the bytes that an earlier call has found waiting, without copying them, and returns how many.
    #[inline]
    pub fn skip(&mut self, len: usize) -> usize {
        let len = len.min(self.seen());
        if len > 0 {
            self.record = None;
            self.indices.advance(len as u32);
            self.untold = self.untold.saturating_add(len as u32);
            self.head_word
                .store(self.indices.publish(), Ordering::Release);
        }
        len
    }

    /// Whether [`tells_room`](Self::tells_room) would say so.
    #[inline]
    #[must_use]
    pub fn owes_room(&self) -> bool {
        self.untold >= self.indices.capacity() / 2
    }

    /// Whether the writer of a stream is to be told now that there is room; it then counts as told.
    #[inline]
    #[must_use = "a writer that waits for room is told once"]
    pub fn tells_room(&mut self) -> bool {
        let due = self.owes_room();
        if due {
            self.untold = 0;
        }
        due
    }

    /// [`tells_room`](Self::tells_room) for the writer of datagrams.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn tells_room_for_record(&mut self) -> Result<bool, PeerError> {
        if self.tells_room() {
            return Ok(true);
        }
        let may_need_more = self.capacity() < 2 * record::LARGEST;
        let due = may_need_more && self.untold > 0 && self.is_empty()?;
        if due {
            self.untold = 0;
        }
        Ok(due)
    }

    /// The next datagram's header, without taking the datagram. The same header is used when it is read.
    ///
    /// # Errors
    /// [`PeerError`].
    #[inline]
    pub fn peek_record(&mut self) -> Result<Option<&Record>, PeerError> {
        if self.record.is_none() {
            if self.is_empty()? {
                return Ok(None);
            }
            self.record = self.load_record()?;
        }
        Ok(self.record.as_ref())
    }

    /// Takes the next datagram, of which as much is copied as fits, and gives its place back. `None` if none waits.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn read_record(&mut self, out: &mut [u8]) -> Result<Option<Record>, PeerError> {
        let known = match self.record {
            None => self.load_record()?,
            known => known,
        };
        let Some(record) = known else {
            return Ok(None);
        };
        let (out, _) = out.split_at_mut(out.len().min(record.len));
        self.copy_out(record::HEADER_SIZE, out)?;
        self.skip(record::size(record.len));
        Ok(Some(record))
    }

    /// Copies and checks the header of the next record, if there is one.
    #[inline]
    fn load_record(&mut self) -> Result<Option<Record>, PeerError> {
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
        let mut header = record::Header::default();
        let mut at = self.indices.next();
        for word in &mut header {
            // Records are multiples of words, so none wraps.
            let offset = place(at, self.indices.capacity()) as usize;
            *word = self.memory.read_eight(offset)?;
            at = at.wrapping_add(size_of::<u64>() as u32);
        }
        let record = record::decode(header)?;
        if record::size(record.len) - record::HEADER_SIZE > rest {
            return Err(PeerError::Length);
        }
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
    #[inline]
    #[must_use]
    pub fn seen(&self) -> usize {
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
