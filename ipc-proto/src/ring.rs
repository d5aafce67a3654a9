//! Single-producer, single-consumer ring of byte slots in shared memory.
//!
//! A slot is a length (`u16`, little-endian) and that many bytes. Indices are `u32` and run freely; a slot lies at its index modulo the
//! number of slots. Each side keeps its own index in private memory and only publishes it; what it loads of the
//! peer is a claim, checked against the private indices before anything depends on it.
//!
//! # Memory ordering
//! The producer publishes slots with a release store of `tail`; the consumer acquires `tail` before it copies a slot, and
//! publishes with a release store of `head` that it has done so; the producer acquires `head` before it writes the slot again.
#![forbid(unsafe_code)]

use crate::{
    error::{OutOfBounds, PeerError},
    index::{Reading, Writing, place},
    shm::{Shm, Word},
};
use core::sync::atomic::Ordering;

#[cfg(test)]
mod tests;

/// Bytes in front of a message in its slot: its length.
pub const LENGTH_SIZE: usize = 2;
/// Largest slot.
pub const MAX_SLOT: usize = 288;
/// Slot sizes are multiples of this, so that a slot is copied by whole moves.
pub const SLOT_ALIGN: usize = 8;
/// Bytes at the start of a slot that are copied in one go, whatever the length: most messages.
const BLOCK: usize = size_of::<u128>();
/// Most bytes of a message that needs no more than that.
pub(crate) const SMALL: usize = BLOCK - LENGTH_SIZE;

/// Where the slots are and how to find one.
struct Slots {
    memory: Shm,
    size: usize,
    /// A power of two.
    count: u32,
}

impl Slots {
    fn new(memory: Shm, size: usize, count: u32) -> Option<Self> {
        let fits = (BLOCK..=MAX_SLOT).contains(&size)
            && size.is_multiple_of(SLOT_ALIGN)
            && count.is_power_of_two()
            && count <= 1 << 16
            && memory.len() >= size * count as usize;
        fits.then_some(Self {
            memory,
            size,
            count,
        })
    }

    fn offset(&self, index: u32) -> usize {
        // `count` is a power of two; the product is at most 2^16 * MAX_SLOT.
        place(index, self.count) as usize * self.size
    }
}

/// The writing end.
pub struct Producer {
    slots: Slots,
    /// What this side publishes.
    tail_word: Word,
    /// What the peer publishes.
    head_word: Word,
    indices: Writing<u32>,
}

impl Producer {
    /// An end of an empty ring whose index words are zero. `None` if the slots do not fit in `memory`, `size` is not a multiple of
    /// 8 from 16 to [`MAX_SLOT`], or `count` no power of two up to 65,536.
    #[must_use]
    pub fn new(memory: Shm, size: usize, count: u32, tail: Word, head: Word) -> Option<Self> {
        Some(Self {
            slots: Slots::new(memory, size, count)?,
            tail_word: tail,
            head_word: head,
            indices: Writing::new(count, 0),
        })
    }

    /// As if `index` slots had passed.
    #[cfg(any(test, loom))]
    pub(crate) fn start_at(&mut self, index: u32) {
        self.indices = Writing::new(self.slots.count, index);
    }

    /// How many slots are free now.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn room(&mut self) -> Result<u32, PeerError> {
        self.indices.look(self.head_word.load(Ordering::Acquire))?;
        Ok(self.indices.free())
    }

    /// Whether a slot is free; looks at the peer's index only if there was none at the last look.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn has_room(&mut self) -> Result<bool, PeerError> {
        if self.indices.free() > 0 {
            return Ok(true);
        }
        Ok(self.room()? > 0)
    }

    /// Writes a slot: the first `used` bytes of `slot`, which start with [`LENGTH_SIZE`] bytes of room for the length of the rest. Some
    /// bytes behind `used` are overwritten with zeros. Visible to the peer after [`publish`](Self::publish). False if there is no room.
    ///
    /// # Errors
    /// [`PeerError::Index`]; [`PeerError::Length`] if `used` is below [`LENGTH_SIZE`] or larger than a slot or the buffer.
    #[inline]
    pub fn push(&mut self, slot: &mut [u8; MAX_SLOT], used: usize) -> Result<bool, PeerError> {
        if used > self.slots.size {
            return Err(PeerError::Length);
        }
        if !self.has_room()? {
            return Ok(false);
        }
        let offset = self.slots.offset(self.indices.next());
        let length = used.checked_sub(LENGTH_SIZE).ok_or(PeerError::Length)?;
        let length = u16::try_from(length).map_err(|_| PeerError::Length)?;
        let first = slot.first_chunk::<BLOCK>().ok_or(OutOfBounds)?;
        // What follows in the buffer is private: zeros in its place.
        let unused = BLOCK.saturating_sub(used) as u32 * u8::BITS;
        let message = u128::from_le_bytes(*first) & (u128::MAX >> unused) & !u128::from(u16::MAX);
        let block = message | u128::from(length);
        self.slots.memory.write_block(offset, block)?;
        if used > BLOCK {
            let padded = used.next_multiple_of(SLOT_ALIGN);
            slot.get_mut(used..padded).ok_or(OutOfBounds)?.fill(0);
            let rest = slot.get(BLOCK..padded).ok_or(OutOfBounds)?;
            self.slots.memory.write(offset + BLOCK, rest)?;
        }
        self.indices.advance(1);
        Ok(true)
    }

    /// Writes a slot with a message of at most [`SMALL`] bytes, which `fill` puts at the start of zeroed room; it returns the length.
    /// Otherwise as [`push`](Self::push).
    ///
    /// # Errors
    /// [`PeerError::Index`]; [`PeerError::Length`] if there was nothing to fill in.
    #[inline(always)]
    pub(crate) fn push_small(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<bool, PeerError> {
        if !self.has_room()? {
            return Ok(false);
        }
        let mut block = [0; BLOCK];
        let (length, message) = block.split_at_mut(LENGTH_SIZE);
        let used = fill(message).ok_or(PeerError::Length)?;
        // At most `SMALL`.
        length.copy_from_slice(&(used as u16).to_le_bytes());
        let offset = self.slots.offset(self.indices.next());
        self.slots
            .memory
            .write_block(offset, u128::from_le_bytes(block))?;
        self.indices.advance(1);
        Ok(true)
    }

    /// Makes all slots written visible to the peer. True if there were any since the last time.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if !self.indices.is_staged() {
            return false;
        }
        self.tail_word
            .store(self.indices.publish(), Ordering::Release);
        true
    }

    /// How many slots are written that the peer, as it claims, has not read; at most all of them.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.indices.queued(self.head_word.load(Ordering::Relaxed))
    }

    /// Whether something was written and not yet published.
    #[inline]
    #[must_use]
    pub fn is_staged(&self) -> bool {
        self.indices.is_staged()
    }
}

/// The reading end.
pub struct Consumer {
    slots: Slots,
    /// What the peer publishes.
    tail_word: Word,
    /// What this side publishes.
    head_word: Word,
    indices: Reading<u32>,
}

impl Consumer {
    /// An end of an empty ring whose index words are zero. `None` as for [`Producer::new`].
    #[must_use]
    pub fn new(memory: Shm, size: usize, count: u32, tail: Word, head: Word) -> Option<Self> {
        Some(Self {
            slots: Slots::new(memory, size, count)?,
            tail_word: tail,
            head_word: head,
            indices: Reading::new(count, 0),
        })
    }

    /// As if `index` slots had passed.
    #[cfg(any(test, loom))]
    pub(crate) fn start_at(&mut self, index: u32) {
        self.indices = Reading::new(self.slots.count, index);
    }

    /// How many slots wait to be read now.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn waiting(&mut self) -> Result<u32, PeerError> {
        self.indices.look(self.tail_word.load(Ordering::Acquire))?;
        Ok(self.indices.waiting())
    }

    /// Whether a slot waits; looks at the peer's index only if there was none at the last look.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn has_waiting(&mut self) -> Result<bool, PeerError> {
        if self.indices.waiting() > 0 {
            return Ok(true);
        }
        Ok(self.waiting()? > 0)
    }

    /// Copies the next slot out, once, and returns the bytes of its message in `slot`. Its place is the peer's again
    /// after [`publish`](Self::publish). `None` if no slot waits.
    ///
    /// # Errors
    /// [`PeerError`]; a slot with a bad length is consumed.
    #[inline]
    pub fn pop<'a>(&mut self, slot: &'a mut [u8; MAX_SLOT]) -> Result<Option<&'a [u8]>, PeerError> {
        if !self.has_waiting()? {
            return Ok(None);
        }
        let offset = self.slots.offset(self.indices.next());
        self.indices.advance(1);
        let first = slot.first_chunk_mut::<BLOCK>().ok_or(OutOfBounds)?;
        let block = self.slots.memory.read_block(offset)?;
        *first = block.to_le_bytes();
        let end = LENGTH_SIZE + usize::from(block as u16);
        if end > self.slots.size {
            return Err(PeerError::Length);
        }
        if end > BLOCK {
            let rest = slot
                .get_mut(BLOCK..end.next_multiple_of(SLOT_ALIGN))
                .ok_or(OutOfBounds)?;
            self.slots.memory.read(offset + BLOCK, rest)?;
        }
        Ok(Some(slot.get(LENGTH_SIZE..end).ok_or(OutOfBounds)?))
    }

    /// As [`pop`](Self::pop) where no message has more than [`SMALL`] bytes: returns so many, of which the message is the first, and its
    /// length.
    ///
    /// # Errors
    /// [`PeerError`]; a slot with a bad length is consumed.
    #[inline(always)]
    pub(crate) fn pop_small(&mut self) -> Result<Option<([u8; SMALL], usize)>, PeerError> {
        if !self.has_waiting()? {
            return Ok(None);
        }
        let offset = self.slots.offset(self.indices.next());
        self.indices.advance(1);
        let block = self.slots.memory.read_block(offset)?;
        let length = usize::from(block as u16);
        if length > SMALL {
            return Err(PeerError::Length);
        }
        let message = block.to_le_bytes();
        let (_, message) = message.split_last_chunk().ok_or(OutOfBounds)?;
        Ok(Some((*message, length)))
    }

    /// Gives all slots read back to the peer. True if there were any since the last time.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if !self.indices.is_staged() {
            return false;
        }
        self.head_word
            .store(self.indices.publish(), Ordering::Release);
        true
    }

    /// How many slots the peer claims to have written that were not read; at most all of them.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.indices.queued(self.tail_word.load(Ordering::Relaxed))
    }

    /// Whether slots were read and not yet given back.
    #[inline]
    #[must_use]
    pub fn is_staged(&self) -> bool {
        self.indices.is_staged()
    }
}
