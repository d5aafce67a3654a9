//! Event bitmaps of a channel: one bit a socket, and a summary word with one bit for each word of the bitmap.
//!
//! The sender sets the bit and then the summary; the receiver takes the summary and then the words that it names. What the
//! receiver loads is only ever used as a set of bits.
#![forbid(unsafe_code)]

use crate::shm::{Shm, Word};
use core::sync::atomic::Ordering;

/// Bits in a word.
const BITS: u16 = 32;
/// Offset of the bitmap; the summary word is at 0.
pub(super) const BITMAP: usize = 64;

/// Words of the largest bitmap: as many as the summary has bits.
const WORDS: usize = BITS as usize;

/// Offset of a word of the bitmap.
fn offset(word: usize) -> usize {
    BITMAP + word * size_of::<u32>()
}

/// The sending side.
pub(super) struct Outbox {
    memory: Shm,
    /// Missing without sockets.
    summary: Option<Word>,
    sockets: u16,
    /// Raised and not yet published: however often a socket was raised, the peer's word is exchanged once.
    raised: [u32; WORDS],
    /// Which of these words are not zero.
    words: u32,
}

impl Outbox {
    pub(super) fn new(memory: Shm, sockets: u16) -> Self {
        Self {
            summary: memory.word(0).ok(),
            memory,
            sockets,
            raised: [0; WORDS],
            words: 0,
        }
    }

    #[inline]
    pub(super) fn raise(&mut self, index: u16) {
        if index >= self.sockets {
            return;
        }
        let word = index / BITS;
        if let Some(bits) = self.raised.get_mut(usize::from(word)) {
            *bits |= 1 << (index % BITS);
            self.words |= 1 << word;
        }
    }

    /// True if events were raised since the last time.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        if self.words == 0 {
            return false;
        }
        let mut words = core::mem::take(&mut self.words);
        while words != 0 {
            let word = words.trailing_zeros() as usize;
            words &= words - 1;
            let bits = self.raised.get_mut(word).map_or(0, core::mem::take);
            // Release: whoever takes the bits sees what was written before. An exchange even if they are set already: the receiver
            // might be taking them right now, without having seen the latest writes.
            let old = self.memory.fetch_or(offset(word), bits, Ordering::AcqRel);
            if old == Ok(0)
                && let Some(summary) = &self.summary
            {
                // Other bits of the word: their summary bit is still set, or the receiver has taken it and will take the word.
                summary.fetch_or(1 << word, Ordering::Release);
            }
        }
        true
    }

    #[inline]
    pub(super) fn is_staged(&self) -> bool {
        self.words != 0
    }
}

/// The receiving side.
pub(super) struct Inbox {
    memory: Shm,
    /// Missing without sockets.
    summary: Option<Word>,
    sockets: u16,
}

impl Inbox {
    pub(super) fn new(memory: Shm, sockets: u16) -> Self {
        let summary = memory.word(0).ok().filter(|_| sockets > 0);
        Self {
            memory,
            summary,
            sockets,
        }
    }

    #[inline]
    pub(super) fn is_any(&self) -> bool {
        let summary = self.summary.as_ref();
        summary.is_some_and(|summary| summary.load(Ordering::Acquire) != 0)
    }

    #[inline]
    pub(super) fn take(&mut self, look: &mut impl FnMut(u16)) {
        let Some(summary) = self.summary.as_ref().filter(|_| self.is_any()) else {
            return;
        };
        let mut words = summary.swap(0, Ordering::AcqRel);
        while words != 0 {
            let word = words.trailing_zeros() as u16;
            words &= words - 1;
            let first = word * BITS;
            if first >= self.sockets {
                break;
            }
            let offset = offset(usize::from(word));
            let mut bits = self.memory.swap(offset, 0, Ordering::AcqRel).unwrap_or(0);
            while bits != 0 {
                let index = first + bits.trailing_zeros() as u16;
                bits &= bits - 1;
                if index < self.sockets {
                    look(index);
                }
            }
        }
    }
}
