//! The arithmetic of free-running indices, which rings and FIFOs share. Numbers only: touches no memory.
//!
//! Each side has its own index, what it published of it, and the peer's index as of the last look. What the peer publishes is a claim:
//! it is accepted if the peer's index has only grown, and not by more than this side left to it. Indices wrap around, so
//! "grown" is a distance and not an order. The width is a parameter, so that the tests can try every value of a narrow one.
#![forbid(unsafe_code)]

use crate::error::PeerError;
use core::ops::{Add, Sub};

#[cfg(test)]
mod tests;

/// An integer that indices are made of. Plain `+` and `-` stop on overflow, which the invariants below rule out.
pub(crate) trait Width: Copy + Ord + Add<Output = Self> + Sub<Output = Self> {
    fn wrapping_add(self, other: Self) -> Self;
    fn wrapping_sub(self, other: Self) -> Self;
}

impl Width for u32 {
    #[inline(always)]
    fn wrapping_add(self, other: Self) -> Self {
        u32::wrapping_add(self, other)
    }

    #[inline(always)]
    fn wrapping_sub(self, other: Self) -> Self {
        u32::wrapping_sub(self, other)
    }
}

/// Indices of the writing side. `head` to `published` to `tail` is never more than `capacity`, at most half of all values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Writing<I> {
    capacity: I,
    /// First index not yet written.
    tail: I,
    /// The last one published.
    published: I,
    /// The peer's index as of the last look.
    head: I,
}

impl<I: Width> Writing<I> {
    /// Nothing is written, and all indices have come to `start`.
    pub(crate) fn new(capacity: I, start: I) -> Self {
        Self {
            capacity,
            tail: start,
            published: start,
            head: start,
        }
    }

    pub(crate) fn capacity(&self) -> I {
        self.capacity
    }

    /// Where the next one is written.
    #[inline]
    pub(crate) fn next(&self) -> I {
        self.tail
    }

    /// Places written and not yet read by the peer, as of the last look.
    #[inline]
    pub(crate) fn used(&self) -> I {
        self.tail.wrapping_sub(self.head)
    }

    /// Places free as of the last look.
    #[inline]
    pub(crate) fn free(&self) -> I {
        self.capacity - self.used()
    }

    /// Takes the peer's index from its claim.
    ///
    /// # Errors
    /// [`PeerError::Index`] if it went backwards, or beyond what was published; then nothing has changed.
    #[inline]
    pub(crate) fn look(&mut self, claim: I) -> Result<(), PeerError> {
        let freed = claim.wrapping_sub(self.head);
        if freed > self.published.wrapping_sub(self.head) {
            return Err(PeerError::Index);
        }
        self.head = claim;
        Ok(())
    }

    /// Counts `places` as written: no more than are [`free`](Self::free).
    #[inline]
    pub(crate) fn advance(&mut self, places: I) {
        self.tail = self.tail.wrapping_add(places);
    }

    /// Whether something was written and not yet published.
    #[inline]
    pub(crate) fn is_staged(&self) -> bool {
        self.published != self.tail
    }

    /// The index to publish for everything written.
    #[inline]
    pub(crate) fn publish(&mut self) -> I {
        self.published = self.tail;
        self.tail
    }

    /// What the peer, as it claims, has not read; at most the capacity. Nothing may depend on it.
    pub(crate) fn queued(&self, claim: I) -> I {
        self.tail.wrapping_sub(claim).min(self.capacity)
    }
}

/// Indices of the reading side. `published` to `head` to `tail` is never more than `capacity`, at most half of all values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reading<I> {
    capacity: I,
    /// First index not yet read.
    head: I,
    /// The last one published.
    published: I,
    /// The peer's index as of the last look.
    tail: I,
}

impl<I: Width> Reading<I> {
    /// Nothing waits, and all indices have come to `start`.
    pub(crate) fn new(capacity: I, start: I) -> Self {
        Self {
            capacity,
            head: start,
            published: start,
            tail: start,
        }
    }

    pub(crate) fn capacity(&self) -> I {
        self.capacity
    }

    /// Where the next one is read.
    #[inline]
    pub(crate) fn next(&self) -> I {
        self.head
    }

    /// Places that wait to be read, as of the last look.
    #[inline]
    pub(crate) fn waiting(&self) -> I {
        self.tail.wrapping_sub(self.head)
    }

    /// Takes the peer's index from its claim.
    ///
    /// # Errors
    /// [`PeerError::Index`] if it went backwards, or into places that this side has not given back; then nothing has changed.
    #[inline]
    pub(crate) fn look(&mut self, claim: I) -> Result<(), PeerError> {
        let grown = claim.wrapping_sub(self.tail);
        let held = self.tail.wrapping_sub(self.published);
        if grown > self.capacity - held {
            return Err(PeerError::Index);
        }
        self.tail = claim;
        Ok(())
    }

    /// Counts `places` as read: no more than are [`waiting`](Self::waiting).
    #[inline]
    pub(crate) fn advance(&mut self, places: I) {
        self.head = self.head.wrapping_add(places);
    }

    /// Whether something was read and not yet given back.
    #[inline]
    pub(crate) fn is_staged(&self) -> bool {
        self.published != self.head
    }

    /// The index to publish for everything read.
    #[inline]
    pub(crate) fn publish(&mut self) -> I {
        self.published = self.head;
        self.head
    }

    /// What the peer claims to have written and was not read; at most the capacity. Nothing may depend on it.
    pub(crate) fn queued(&self, claim: I) -> I {
        claim.wrapping_sub(self.head).min(self.capacity)
    }
}

/// Where a free-running index lies: its offset modulo `capacity`, a power of two.
#[inline]
pub(crate) fn place(index: u32, capacity: u32) -> u32 {
    index & (capacity - 1)
}

/// Splits a transfer of `len` places at free-running `index` where the memory wraps: offset and length of the first part; the
/// second starts at offset 0.
#[inline]
pub(crate) fn split(index: u32, capacity: u32, len: usize) -> (usize, usize) {
    let offset = place(index, capacity) as usize;
    (offset, len.min(capacity as usize - offset))
}
