//! Buffers of a frame pool for one use, and which of them the driver has. Touches nothing.

use alloc::vec::Vec;
use core::ops::Range;
use ipc_proto::frame::Run;

/// Buffers that are neighbours in the pool, all of one size.
pub(super) struct Share {
    first: u16,
    count: u16,
    /// A bit for each: whether it is the stack's. Bits beyond the last are zero.
    free: Vec<u64>,
    /// No word before this one has a bit set.
    from: usize,
    given: usize,
}

/// The words with the bits in `range`, and these bits of each.
fn words(range: Range<usize>) -> impl Iterator<Item = (usize, u64)> {
    let Range { start, end } = range;
    let bits = u64::BITS as usize;
    (start / bits..end.div_ceil(bits)).map(move |word| {
        let base = word * bits;
        let low = start.saturating_sub(base);
        let unused = bits.saturating_sub(end.saturating_sub(base));
        (word, u64::MAX << low & u64::MAX >> unused)
    })
}

impl Share {
    /// The buffers with these numbers, all of them the stack's.
    pub(super) fn new(numbers: Range<u16>) -> Share {
        let count = numbers.end.saturating_sub(numbers.start);
        let len = usize::from(count);
        Share {
            first: numbers.start,
            count,
            free: words(0..len).map(|(_, bits)| bits).collect(),
            from: 0,
            given: 0,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.into()
    }

    /// How many of them the driver has.
    #[inline]
    pub(super) fn given(&self) -> usize {
        self.given
    }

    /// How many of them are the stack's.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.len().saturating_sub(self.given)
    }

    /// At most so many neighbours that are the stack's, the first that there are.
    pub(super) fn next_run(&self, most: u16) -> Option<Run> {
        let word = self.free.get(self.from)?;
        let bit = word.trailing_zeros();
        let rest = word.checked_shr(bit)?;
        let count = (rest.trailing_ones() as u16).min(most);
        (count > 0).then(|| Run {
            first: self.number(bit),
            count,
        })
    }

    /// The first that is the stack's.
    #[inline]
    pub(super) fn next(&self) -> Option<u16> {
        let word = self.free.get(self.from).copied().unwrap_or(0);
        (word != 0).then(|| self.number(word.trailing_zeros()))
    }

    /// The number of a buffer by its bit in the first word that has one.
    fn number(&self, bit: u32) -> u16 {
        let index = self.from.wrapping_mul(u64::BITS as usize) as u16;
        self.first.wrapping_add(index).wrapping_add(bit as u16)
    }

    /// Where the bits of a run are; `None` unless all of it is in this share.
    fn place(&self, run: Run) -> Option<Range<usize>> {
        let start = usize::from(run.first).checked_sub(self.first.into())?;
        let range = start..start.checked_add(run.count.into())?;
        (run.count > 0 && range.end <= self.len()).then_some(range)
    }

    /// The driver has these, which were the stack's.
    pub(super) fn give(&mut self, run: Run) {
        let Some(range) = self.place(run) else {
            return;
        };
        self.given = self.given.saturating_add(range.len());
        for (word, bits) in words(range) {
            if let Some(free) = self.free.get_mut(word) {
                debug_assert_eq!(*free & bits, bits);
                *free &= !bits;
            }
        }
        while self.free.get(self.from) == Some(&0) {
            self.from = self.from.saturating_add(1);
        }
    }

    /// Takes these back. False, and nothing has changed, unless the driver has each of them.
    pub(super) fn take_back(&mut self, run: Run) -> bool {
        let Some(range) = self.place(run) else {
            return false;
        };
        let free = |word| self.free.get(word).copied().unwrap_or(u64::MAX);
        if words(range.clone()).any(|(word, bits)| free(word) & bits != 0) {
            return false;
        }
        self.given = self.given.saturating_sub(range.len());
        for (word, bits) in words(range) {
            self.from = self.from.min(word);
            if let Some(free) = self.free.get_mut(word) {
                *free |= bits;
            }
        }
        true
    }

    /// The driver has this one, which was the stack's: [`Share::give`] for one.
    #[inline]
    pub(super) fn give_one(&mut self, number: u16) {
        let index = number.wrapping_sub(self.first);
        let Some(free) = self.free.get_mut(usize::from(index / 64)) else {
            return;
        };
        debug_assert_ne!(*free & 1 << (index % 64), 0);
        *free &= !(1 << (index % 64));
        self.given = self.given.saturating_add(1);
        while self.free.get(self.from) == Some(&0) {
            self.from = self.from.saturating_add(1);
        }
    }

    /// [`Share::take_back`] for one.
    #[inline]
    pub(super) fn take_one_back(&mut self, number: u16) -> bool {
        let index = number.wrapping_sub(self.first);
        if index >= self.count {
            return false;
        }
        let (word, bit) = (usize::from(index / 64), 1 << (index % 64));
        let Some(free) = self.free.get_mut(word).filter(|free| **free & bit == 0) else {
            return false;
        };
        *free |= bit;
        self.from = self.from.min(word);
        self.given = self.given.saturating_sub(1);
        true
    }

    /// Panics unless the counts are those of the bits.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check(&self) {
        let free: u32 = self.free.iter().map(|word| word.count_ones()).sum();
        assert_eq!(free as usize, self.left(), "free buffers");
        let all = words(0..self.len());
        for ((_, all), free) in all.zip(&self.free) {
            assert_eq!(free & !all, 0, "no such buffer");
        }
        let first = self.free.iter().position(|word| *word != 0);
        assert_eq!(first.unwrap_or(self.free.len()), self.from, "first free");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn run(first: u16, count: u16) -> Run {
        Run { first, count }
    }

    #[test]
    fn runs_are_given_and_come_back_in_any_parts() {
        let mut share = Share::new(100..300);
        share.check();
        let mut given = vec![];
        while let Some(run) = share.next_run(50) {
            share.give(run);
            share.check();
            given.push((run.first, run.count));
        }
        assert_eq!(
            given,
            [
                (100, 50),
                (150, 14),
                (164, 50),
                (214, 14),
                (228, 50),
                (278, 14),
                (292, 8)
            ]
        );
        assert_eq!((share.given(), share.left(), share.next()), (200, 0, None));
        for lie in [
            run(99, 1),
            run(99, 2),
            run(300, 1),
            run(299, 2),
            run(100, 201),
            run(150, 0),
            run(0, u16::MAX),
            run(u16::MAX, u16::MAX),
        ] {
            assert!(!share.take_back(lie), "{lie:?}");
        }
        assert!(share.take_back(run(130, 140)));
        share.check();
        assert_eq!(share.next_run(u16::MAX), Some(run(130, 34)));
        // Some of it is back already.
        for again in [run(269, 2), run(129, 2), run(100, 200), run(130, 1)] {
            assert!(!share.take_back(again), "{again:?}");
        }
        assert!(!share.take_one_back(130) && !share.take_one_back(99));
        assert!(!share.take_one_back(300) && !share.take_one_back(u16::MAX));
        assert!(share.take_one_back(129));
        assert_eq!(share.next(), Some(129));
        share.give_one(129);
        share.check();
        assert!(share.take_back(run(100, 30)) && share.take_back(run(270, 30)));
        share.check();
        assert_eq!((share.given(), share.next()), (0, Some(100)));
    }

    #[test]
    fn a_share_of_nothing_has_nothing() {
        let mut share = Share::new(7..7);
        share.check();
        assert_eq!((share.next(), share.next_run(9)), (None, None));
        assert!(!share.take_back(run(7, 1)) && !share.take_one_back(7));
    }
}
