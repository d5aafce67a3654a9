//! Event bitmaps of a channel: one bit a socket, and a summary word with one bit for each word of the bitmap.
//!
//! The sender sets the bit and then the summary; the receiver takes the summary and then the words that it names. What the
//! receiver loads is only ever used as a set of bits.
#![forbid(unsafe_code)]

use crate::shm::Shm;
use core::sync::atomic::Ordering;

/// Bits in a word.
const BITS: u16 = 32;
/// Offset of the bitmap; the summary word is at 0.
pub(super) const BITMAP: usize = 64;

/// Offset of the word with the bit of `index`, the bit, and the word's bit in the summary.
fn place(index: u16) -> (usize, u32, u32) {
    let word = index / BITS;
    (
        BITMAP + usize::from(word) * size_of::<u32>(),
        1 << (index % BITS),
        1 << (word % BITS),
    )
}

/// The sending side.
pub(super) struct Outbox {
    memory: Shm,
    sockets: u16,
    staged: bool,
}

impl Outbox {
    pub(super) fn new(memory: Shm, sockets: u16) -> Self {
        Self {
            memory,
            sockets,
            staged: false,
        }
    }

    pub(super) fn raise(&mut self, index: u16) {
        if index >= self.sockets {
            return;
        }
        let (offset, bit, summary) = place(index);
        // Release: whoever takes the bit sees what was written before. An exchange even if the bit is set already: the receiver
        // might be taking it right now, without having seen the latest writes.
        let old = self.memory.fetch_or(offset, bit, Ordering::AcqRel);
        if old == Ok(0) {
            // Other bits of the word: their summary bit is still set, or the receiver has taken it and will take the word.
            let _ = self.memory.fetch_or(0, summary, Ordering::Release);
        }
        self.staged = true;
    }

    /// True if events were raised since the last time.
    pub(super) fn publish(&mut self) -> bool {
        core::mem::take(&mut self.staged)
    }

    pub(super) fn is_staged(&self) -> bool {
        self.staged
    }
}

/// The receiving side.
pub(super) struct Inbox {
    memory: Shm,
    sockets: u16,
}

impl Inbox {
    pub(super) fn new(memory: Shm, sockets: u16) -> Self {
        Self { memory, sockets }
    }

    pub(super) fn is_any(&self) -> bool {
        self.sockets > 0 && self.memory.load(0, Ordering::Acquire) != Ok(0)
    }

    pub(super) fn take(&mut self, look: &mut dyn FnMut(u16)) {
        if !self.is_any() {
            return;
        }
        let mut words = self.memory.swap(0, 0, Ordering::AcqRel).unwrap_or(0);
        while words != 0 {
            let word = words.trailing_zeros() as u16;
            words &= words - 1;
            let first = word * BITS;
            if first >= self.sockets {
                break;
            }
            let (offset, ..) = place(first);
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
