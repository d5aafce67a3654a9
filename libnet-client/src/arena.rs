//! Allocates the sockets' buffers in session memory. All bookkeeping is private: nothing of it lies where the stack
//! could change it.

use alloc::vec::Vec;
use ipc_proto::{fifo::CONTROL_SIZE, socket::Buffers};

/// Sizes and offsets are multiples of this: a cache line, as the protocol demands.
const LINE: usize = 64;

/// See [`Sizes::fitting`]. So little that the second half of the memory is for the smallest sizes: what came first and is large stays.
const SHARE: usize = 256;
/// The same while more than half is free.
const FIRST_SHARE: usize = 16;

/// Capacities of a socket's two FIFOs, as powers of two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sizes {
    pub(crate) rx_log2: u8,
    pub(crate) tx_log2: u8,
}

impl Sizes {
    /// The smallest capacities that the protocol knows and that hold these many bytes (at most the largest that it knows).
    pub(crate) fn holding(rx: usize, tx: usize) -> Sizes {
        Sizes {
            rx_log2: log2_holding(rx),
            tx_log2: log2_holding(tx),
        }
    }

    /// The largest between these and `smallest` that take no more than a small share of what is left: the fewer sockets there are, the
    /// more each may have.
    pub(crate) fn fitting(mut self, smallest: Sizes, arena: &Arena) -> Sizes {
        let share = match arena.left > arena.size / 2 {
            true => FIRST_SHARE,
            false => SHARE,
        };
        while self.bytes() > arena.left / share && self != smallest {
            let halved = |now: u8, least: u8| now.min(least.max(now.saturating_sub(1)));
            let next = Sizes {
                rx_log2: halved(self.rx_log2, smallest.rx_log2),
                tx_log2: halved(self.tx_log2, smallest.tx_log2),
            };
            if next == self {
                break;
            }
            self = next;
        }
        self
    }

    /// Bytes of session memory that a socket takes.
    fn bytes(self) -> usize {
        CONTROL_SIZE + (1 << self.rx_log2) + (1 << self.tx_log2)
    }
}

fn log2_holding(bytes: usize) -> u8 {
    (10..22).find(|log2| bytes <= 1 << log2).unwrap_or(22)
}

/// A part of the arena that belongs to one socket. Given back by [`Arena::free`], and not before the stack
/// has said that it no longer touches it.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Area {
    start: usize,
    sizes: Sizes,
}

impl Area {
    /// What the stack is told.
    pub(crate) fn buffers(&self) -> Buffers {
        let rx = self.start + CONTROL_SIZE;
        let tx = rx + (1 << self.sizes.rx_log2);
        let offset = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Buffers {
            control: offset(self.start),
            rx: offset(rx),
            rx_log2: self.sizes.rx_log2,
            tx: offset(tx),
            tx_log2: self.sizes.tx_log2,
        }
    }

    /// Capacities of its FIFOs.
    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// Where the control block starts.
    pub(crate) fn control(&self) -> usize {
        self.start
    }
}

/// First-fit allocator; holes that touch are joined.
pub(crate) struct Arena {
    /// Start and length of each hole, ascending.
    holes: Vec<(usize, usize)>,
    /// Their sum.
    left: usize,
    /// What that was when all was free.
    size: usize,
}

impl Arena {
    /// Manages `start..end` of the session memory.
    pub(crate) fn new(start: usize, end: usize) -> Arena {
        let start = start.next_multiple_of(LINE);
        let len = end.saturating_sub(start) / LINE * LINE;
        Arena {
            holes: if len > 0 {
                alloc::vec![(start, len)]
            } else {
                Vec::new()
            },
            left: len,
            size: len,
        }
    }

    /// Takes room for a socket; `None` if no hole is large enough.
    pub(crate) fn alloc(&mut self, sizes: Sizes) -> Option<Area> {
        let need = sizes.bytes();
        let at = self.holes.iter().position(|(_, len)| *len >= need)?;
        let (start, len) = self.holes.get_mut(at)?;
        let area = Area {
            start: *start,
            sizes,
        };
        *start += need;
        *len -= need;
        self.left -= need;
        if *len == 0 {
            self.holes.remove(at);
        }
        Some(area)
    }

    /// Gives an area back.
    pub(crate) fn free(&mut self, area: Area) {
        let (start, mut len) = (area.start, area.sizes.bytes());
        self.left += len;
        let at = self.holes.partition_point(|(hole, _)| *hole < start);
        if let Some((next, next_len)) = self.holes.get(at).copied()
            && next == start + len
        {
            len += next_len;
            self.holes.remove(at);
        }
        match at
            .checked_sub(1)
            .and_then(|before| self.holes.get_mut(before))
        {
            Some((before, before_len)) if *before + *before_len == start => *before_len += len,
            _ => self.holes.insert(at, (start, len)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_never_overlap_and_everything_comes_back() {
        let mut arena = Arena::new(100, 1 << 20);
        let whole = arena.holes.clone();
        assert_eq!(whole, [(128, (1 << 20) - 128)]);
        let mut held: Vec<Area> = Vec::new();
        let mut seed = 1u32;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if seed >> 31 == 0 || held.is_empty() {
                let sizes = Sizes::holding(1 << (seed >> 16 & 15), 1 << (seed >> 20 & 15));
                held.extend(arena.alloc(sizes));
            } else {
                let area = held.swap_remove(seed as usize / 7 % held.len());
                arena.free(area);
            }
            let mut all: Vec<(usize, usize)> =
                held.iter().map(|a| (a.start, a.sizes.bytes())).collect();
            all.extend(&arena.holes);
            all.sort_unstable();
            assert!(
                all.windows(2).all(|two| two[0].0 + two[0].1 == two[1].0),
                "{all:?}"
            );
        }
        held.into_iter().for_each(|area| arena.free(area));
        assert_eq!(arena.holes, whole);
        assert_eq!(arena.left, whole[0].1);
    }

    #[test]
    fn sizes_shrink_with_what_is_left() {
        let (largest, smallest) = (
            Sizes::holding(64 << 10, 64 << 10),
            Sizes::holding(16 << 10, 1 << 10),
        );
        let mut arena = Arena::new(64, 8 << 20);
        let mut before = largest;
        let mut count = 0;
        loop {
            let sizes = largest.fitting(smallest, &arena);
            assert!(sizes.rx_log2 <= before.rx_log2 && sizes.tx_log2 <= before.tx_log2);
            assert!(sizes.rx_log2 >= smallest.rx_log2 && sizes.tx_log2 >= smallest.tx_log2);
            if arena.alloc(sizes).is_none() {
                break;
            }
            (before, count) = (sizes, count + 1);
        }
        assert_eq!(before, smallest);
        assert!(count > 150, "{count}");
        // The other way round makes no sense, and does no harm.
        assert_eq!(smallest.fitting(largest, &Arena::new(0, 0)), smallest);
    }

    #[test]
    fn offsets_are_lines() {
        let mut arena = Arena::new(1, 1 << 20);
        let buffers = arena.alloc(Sizes::holding(1, 5000)).unwrap().buffers();
        assert_eq!((buffers.rx_log2, buffers.tx_log2), (10, 13));
        assert_eq!(
            [buffers.control % 64, buffers.rx % 64, buffers.tx % 64],
            [0; 3]
        );
        assert_eq!(Sizes::holding(usize::MAX, 0).rx_log2, 22);
    }

    #[test]
    fn full_arena_says_so() {
        assert!(
            Arena::new(64, 128)
                .alloc(Sizes::holding(1024, 1024))
                .is_none()
        );
        assert!(
            Arena::new(64, 0)
                .alloc(Sizes::holding(1024, 1024))
                .is_none()
        );
    }
}
