//! What was read from a connection and not yet used: one piece of memory, overwritten again and again.

use alloc::vec::Vec;

/// Bytes of memory for an ordinary request.
const FIRST: usize = 1024;

/// Bytes that were read and not yet used.
#[derive(Default)]
pub(super) struct Input {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `count` bytes are used.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Room for more, so that there are `limit` bytes at most. Never empty below that.
    pub(super) fn room(&mut self, limit: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.end == self.memory.len() {
            self.make_room(limit);
        }
        let end = self.memory.len().min(self.start.saturating_add(limit));
        self.memory.get_mut(self.end..end).unwrap_or_default()
    }

    /// Seldom: an ordinary request fits.
    #[inline(never)]
    fn make_room(&mut self, limit: usize) {
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        } else {
            let size = self.memory.len().saturating_mul(2).max(FIRST).min(limit);
            self.memory.resize(size.max(self.end), 0);
        }
    }

    /// So many bytes were written to the room.
    pub(super) fn add(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.memory.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A queue of at most so many bytes, whatever is added and used in between.
        #[test]
        fn it_is_a_queue(
            limit in 1_usize..3000,
            steps in proptest::collection::vec((0_usize..2000, 0_usize..2000), 1..60),
        ) {
            let (mut input, mut model) = (Input::default(), Vec::new());
            let mut next = 0_u8;
            for (add, take) in steps {
                let room = input.room(limit);
                prop_assert!(model.len() >= limit || !room.is_empty());
                prop_assert!(model.len() + room.len() <= limit);
                let add = add.min(room.len());
                for byte in &mut room[..add] {
                    next = next.wrapping_add(1);
                    *byte = next;
                    model.push(next);
                }
                input.add(add);
                prop_assert_eq!(input.bytes(), &model);
                input.consume(take);
                model.drain(..take.min(model.len()));
                prop_assert_eq!(input.bytes(), &model);
                prop_assert_eq!((input.len(), input.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }
}
