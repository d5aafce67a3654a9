//! An allocator in front of another one: it keeps a few blocks of each common size that were freed lately, for the next that wants one.
//! Most of what a server allocates has the size of something that it gave back just before. Touches no block, only their addresses.

use core::alloc::{GlobalAlloc, Layout};
use spin::Mutex;

/// Sizes are multiples of this; blocks are aligned to `ALIGN`, and so is what fits in them.
const STEP: usize = 64;
const ALIGN: usize = 16;
/// How many sizes there are: larger blocks are rare, and most of the work is what is done with them.
const SIZES: usize = 32;
/// Most blocks kept of each size: with all of them, 132 KiB.
const MOST: usize = 4;

/// An allocator with blocks kept in front of it.
pub(crate) struct Quick<A> {
    behind: A,
    kept: Mutex<[Kept; SIZES]>,
}

/// Blocks of one size, in the order in which they were freed.
struct Kept {
    blocks: [*mut u8; MOST],
    count: usize,
}

// SAFETY: the blocks belong to whoever holds the lock around this, and are of an allocator that may be used from any thread.
unsafe impl Send for Kept {}

/// One of the sizes, by its place in the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Size(usize);

impl Size {
    /// The size for such a block, if it is a common one.
    fn of(layout: Layout) -> Option<Size> {
        let place = layout.size().wrapping_sub(1) / STEP;
        (place < SIZES && layout.align() <= ALIGN).then_some(Size(place))
    }

    fn layout(self) -> Option<Layout> {
        Layout::from_size_align((self.0 + 1) * STEP, ALIGN).ok()
    }
}

impl Kept {
    const NONE: Kept = Kept {
        blocks: [core::ptr::null_mut(); MOST],
        count: 0,
    };

    fn take(&mut self) -> Option<*mut u8> {
        let count = self.count.checked_sub(1)?;
        let block = self.blocks.get(count).copied()?;
        self.count = count;
        Some(block)
    }

    /// Keeps a block. False if there are enough.
    fn put(&mut self, block: *mut u8) -> bool {
        match self.blocks.get_mut(self.count) {
            Some(place) => {
                *place = block;
                self.count += 1;
                true
            }
            None => false,
        }
    }
}

impl<A> Quick<A> {
    /// Nothing kept, in front of `behind`.
    pub(crate) const fn new(behind: A) -> Quick<A> {
        Quick {
            behind,
            kept: Mutex::new([Kept::NONE; SIZES]),
        }
    }
}

// SAFETY: a block comes from the allocator behind, with the layout of its size, which holds what was asked for. It is kept only when it
// was freed, and taken out when it is given to somebody.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Quick<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = Size::of(layout) else {
            // SAFETY: by this function's contract.
            return unsafe { self.behind.alloc(layout) };
        };
        let kept = self.kept.lock().get_mut(size.0).and_then(Kept::take);
        match (kept, size.layout()) {
            (Some(block), _) => block,
            // SAFETY: no size is zero.
            (None, Some(layout)) => unsafe { self.behind.alloc(layout) },
            (None, None) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(size) = Size::of(layout) else {
            // SAFETY: by this function's contract; such a block was allocated behind, with this layout.
            return unsafe { self.behind.dealloc(block, layout) };
        };
        let mut kept = self.kept.lock();
        if kept.get_mut(size.0).is_some_and(|kept| kept.put(block)) {
            return;
        }
        drop(kept);
        if let Some(layout) = size.layout() {
            // SAFETY: it was allocated behind, with the layout of its size.
            unsafe { self.behind.dealloc(block, layout) }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // SAFETY: by this function's contract, the new size is right for this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
        match (Size::of(layout), Size::of(wanted)) {
            // SAFETY: by this function's contract; such a block was allocated behind, with this layout.
            (None, None) => unsafe { self.behind.realloc(block, layout, new_size) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: by this function's contract, `wanted` is not of size zero.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    let len = layout.size().min(new_size);
                    // SAFETY: both hold so many bytes, and they are two blocks.
                    unsafe { core::ptr::copy_nonoverlapping(block, moved, len) };
                    // SAFETY: by this function's contract, it was allocated here with this layout.
                    unsafe { self.dealloc(block, layout) };
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::{alloc::System, vec, vec::Vec};

    #[test]
    fn a_size_holds_what_it_is_for() {
        for bytes in 1..=SIZES * STEP {
            let layout = Layout::from_size_align(bytes, ALIGN).unwrap();
            let size = Size::of(layout).unwrap().layout().unwrap();
            assert!(size.size() >= bytes && size.size() < bytes + STEP && size.align() >= ALIGN);
        }
        for (bytes, align) in [
            (SIZES * STEP + 1, 1),
            (64, 2 * ALIGN),
            (0, 1),
            (usize::MAX / 2, 1),
        ] {
            assert_eq!(
                Size::of(Layout::from_size_align(bytes, align).unwrap()),
                None
            );
        }
    }

    /// Blocks of all sizes come, grow, shrink and go, each with bytes of its own, which stay.
    #[test]
    fn blocks_are_apart_and_keep_their_bytes() {
        let heap = Quick::new(System);
        let mut held: Vec<(*mut u8, Layout, u8)> = vec![];
        let mut seed = 1_u32;
        let mut draw = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        let filled = |(block, layout, mark): &(*mut u8, Layout, u8), len: usize| {
            // SAFETY: the block holds so many bytes.
            let bytes = unsafe { core::slice::from_raw_parts(*block, layout.size().min(len)) };
            assert!(bytes.iter().all(|byte| byte == mark));
        };
        let rounds = if cfg!(miri) { 150 } else { 40_000 };
        for round in 0..rounds {
            let mark = round as u8;
            if draw(2) == 0 || held.is_empty() {
                let layout = Layout::from_size_align(1 + draw(3000), 1 << draw(6)).unwrap();
                // SAFETY: the size is not zero.
                let block = unsafe { heap.alloc(layout) };
                // SAFETY: the block holds so many bytes.
                unsafe { block.write_bytes(mark, layout.size()) };
                held.push((block, layout, mark));
            } else if draw(2) == 0 {
                let at = draw(held.len());
                let (block, layout, old) = held[at];
                let new = 1 + draw(3000);
                // SAFETY: the block was allocated with this layout, and the size is not zero.
                let moved = unsafe { heap.realloc(block, layout, new) };
                let wanted = Layout::from_size_align(new, layout.align()).unwrap();
                filled(&(moved, wanted, old), layout.size());
                // SAFETY: the block holds so many bytes.
                unsafe { moved.write_bytes(mark, new) };
                held[at] = (moved, wanted, mark);
            } else {
                let one = held.swap_remove(draw(held.len()));
                filled(&one, usize::MAX);
                // SAFETY: the block was allocated with this layout.
                unsafe { heap.dealloc(one.0, one.1) };
            }
            if held.len() > 200 {
                for one in held.drain(..) {
                    filled(&one, usize::MAX);
                    // SAFETY: the block was allocated with this layout.
                    unsafe { heap.dealloc(one.0, one.1) };
                }
            }
        }
        for one in held {
            filled(&one, usize::MAX);
            // SAFETY: the block was allocated with this layout.
            unsafe { heap.dealloc(one.0, one.1) };
        }
        let kept = heap.kept.lock();
        assert!(
            kept.iter().all(|kept| kept.count <= MOST) && kept.iter().any(|kept| kept.count > 0)
        );
        for (kept, size) in kept.iter().zip(0..) {
            for block in kept.blocks.iter().take(kept.count) {
                // SAFETY: what is kept was allocated with the layout of its size.
                unsafe { System.dealloc(*block, Size(size).layout().unwrap()) };
            }
        }
    }
}
