//! Loom's model of shared memory: takes the place of [`crate::shm`] under `cfg(loom)`. Touches the heap only.
//!
//! Words and bytes are kept apart: a protocol uses a place in one way only. Words are loom atomics, so that all interleavings and all
//! values that the memory model allows are explored. Bytes between honest sides are loom cells, which report any access that is
//! not ordered by the words: a slot that could be torn fails the test instead of showing one of its mixtures. Bytes that a hostile
//! side may change at any time are relaxed atomics, as in the real memory.
#![forbid(unsafe_code)]

use crate::error::OutOfBounds;
use loom::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{self, AtomicU32, AtomicU64, Ordering},
    },
};
use std::{vec, vec::Vec};

const WORD: usize = size_of::<u32>();
/// Bytes that are tracked together. Protocols keep what different sides write at once further apart.
const GRAIN: usize = 8;

struct Model {
    words: Vec<AtomicU32>,
    bytes: Bytes,
}

enum Bytes {
    /// An access that races fails the test.
    Ordered(Vec<Cell<[u8; GRAIN]>>),
    /// An access that races finds one of the values.
    Racing(Vec<AtomicU64>),
}

impl Bytes {
    fn load(&self, grain: usize) -> Result<[u8; GRAIN], OutOfBounds> {
        Ok(match self {
            Bytes::Ordered(cells) => cells.get(grain).ok_or(OutOfBounds)?.get(),
            Bytes::Racing(atomics) => atomics
                .get(grain)
                .ok_or(OutOfBounds)?
                .load(Ordering::Relaxed)
                .to_le_bytes(),
        })
    }

    fn store(&self, grain: usize, bytes: [u8; GRAIN]) -> Result<(), OutOfBounds> {
        match self {
            Bytes::Ordered(cells) => cells.get(grain).ok_or(OutOfBounds)?.set(bytes),
            Bytes::Racing(atomics) => atomics
                .get(grain)
                .ok_or(OutOfBounds)?
                .store(u64::from_le_bytes(bytes), Ordering::Relaxed),
        }
        Ok(())
    }
}

/// A window on memory shared with a peer. See the real one.
#[derive(Clone)]
pub struct Shm {
    model: Arc<Model>,
    start: usize,
    len: usize,
}

impl Shm {
    /// Zeroed memory between two honest sides.
    #[must_use]
    pub fn heap(len: usize) -> Self {
        let cells = (0..len.div_ceil(GRAIN)).map(|_| Cell::new([0; GRAIN]));
        Self::new(len, Bytes::Ordered(cells.collect()))
    }

    /// Zeroed memory whose bytes a hostile side may change at any time.
    #[must_use]
    pub fn racing(len: usize) -> Self {
        let atomics = (0..len.div_ceil(GRAIN)).map(|_| AtomicU64::new(0));
        Self::new(len, Bytes::Racing(atomics.collect()))
    }

    fn new(len: usize, bytes: Bytes) -> Self {
        let words = (0..len.div_ceil(WORD)).map(|_| AtomicU32::new(0)).collect();
        Self {
            model: Arc::new(Model { words, bytes }),
            start: 0,
            len,
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The window of `len` bytes from `offset` on.
    #[must_use]
    pub fn part(&self, offset: usize, len: usize) -> Option<Self> {
        Some(Self {
            model: self.model.clone(),
            start: self.locate(offset, len).ok()?,
            len,
        })
    }

    /// The word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned word.
    pub fn word(&self, offset: usize) -> Result<Word, OutOfBounds> {
        let at = self.locate(offset, WORD)?;
        if !at.is_multiple_of(WORD) {
            return Err(OutOfBounds);
        }
        Ok(Word {
            model: self.model.clone(),
            index: at / WORD,
        })
    }

    /// Loads the word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn load(&self, offset: usize, order: Ordering) -> Result<u32, OutOfBounds> {
        Ok(self.word(offset)?.load(order))
    }

    /// Stores the word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn store(&self, offset: usize, value: u32, order: Ordering) -> Result<(), OutOfBounds> {
        self.word(offset)?.store(value, order);
        Ok(())
    }

    /// Exchanges the word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn swap(&self, offset: usize, value: u32, order: Ordering) -> Result<u32, OutOfBounds> {
        Ok(self.word(offset)?.swap(value, order))
    }

    /// Sets bits of the word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn fetch_or(&self, offset: usize, bits: u32, order: Ordering) -> Result<u32, OutOfBounds> {
        Ok(self.word(offset)?.fetch_or(bits, order))
    }

    /// Copies bytes into private memory.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let mut at = self.locate(offset, out.len())?;
        let mut rest = out;
        while !rest.is_empty() {
            let grain = self.model.bytes.load(at / GRAIN)?;
            let bytes = grain.get(at % GRAIN..).ok_or(OutOfBounds)?;
            let len = bytes.len().min(rest.len());
            let (now, later) = rest.split_at_mut(len);
            now.copy_from_slice(bytes.get(..len).ok_or(OutOfBounds)?);
            at += len;
            rest = later;
        }
        Ok(())
    }

    /// Copies private bytes to `offset` and on.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let mut at = self.locate(offset, bytes.len())?;
        let mut rest = bytes;
        while !rest.is_empty() {
            let inside = at % GRAIN;
            let len = (GRAIN - inside).min(rest.len());
            let (now, later) = rest.split_at(len);
            let mut grain = [0; GRAIN];
            if len < GRAIN {
                grain = self.model.bytes.load(at / GRAIN)?;
            }
            grain
                .get_mut(inside..inside + len)
                .ok_or(OutOfBounds)?
                .copy_from_slice(now);
            self.model.bytes.store(at / GRAIN, grain)?;
            at += len;
            rest = later;
        }
        Ok(())
    }

    /// Copies bytes to another window.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub fn pass(&self, offset: usize, to: &Self, at: usize, len: usize) -> Result<(), OutOfBounds> {
        self.locate(offset, len)?;
        to.locate(at, len)?;
        let mut bytes = vec![0; len];
        self.read(offset, &mut bytes)?;
        to.write(at, &bytes)
    }

    /// Copies the eight bytes at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub(crate) fn read_eight(&self, offset: usize) -> Result<u64, OutOfBounds> {
        let mut eight = [0; size_of::<u64>()];
        self.read(offset, &mut eight)?;
        Ok(u64::from_le_bytes(eight))
    }

    /// Copies eight bytes to `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub(crate) fn write_eight(&self, offset: usize, eight: u64) -> Result<(), OutOfBounds> {
        self.write(offset, &eight.to_le_bytes())
    }

    /// Copies the block at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub(crate) fn read_block(&self, offset: usize) -> Result<u128, OutOfBounds> {
        let mut block = [0; size_of::<u128>()];
        self.read(offset, &mut block)?;
        Ok(u128::from_le_bytes(block))
    }

    /// Copies a block to `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`].
    pub(crate) fn write_block(&self, offset: usize, block: u128) -> Result<(), OutOfBounds> {
        self.write(offset, &block.to_le_bytes())
    }

    fn locate(&self, offset: usize, len: usize) -> Result<usize, OutOfBounds> {
        if offset > self.len || len > self.len - offset {
            return Err(OutOfBounds);
        }
        Ok(self.start + offset)
    }
}

impl core::fmt::Debug for Shm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Shm({} bytes)", self.len)
    }
}

/// One word of shared memory. See the real one.
#[derive(Clone)]
pub struct Word {
    model: Arc<Model>,
    index: usize,
}

impl Word {
    /// Loads it.
    #[must_use]
    pub fn load(&self, order: Ordering) -> u32 {
        self.atomic().load(order)
    }

    /// Stores it.
    ///
    /// Loom does not order a store and an exchange that race, and lets a later load find either. In the language's model, and on every
    /// machine, an exchange follows the value that it found: the store that it did not find comes after it. Wake words are written
    /// both ways, with relaxed order.
    pub fn store(&self, value: u32, order: Ordering) {
        if order == Ordering::Relaxed {
            let _ = self.atomic().swap(value, order);
        } else {
            self.atomic().store(value, order);
        }
    }

    /// Exchanges it and returns the old value.
    #[must_use]
    pub fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.atomic().swap(value, order)
    }

    /// Sets bits and returns the old value.
    pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.atomic().fetch_or(bits, order)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a model for tests; `Shm::word` checked it"
    )]
    fn atomic(&self) -> &AtomicU32 {
        &self.model.words[self.index]
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Word {}", self.index)
    }
}

/// A full fence.
pub(crate) fn fence() {
    atomic::fence(Ordering::SeqCst);
}
