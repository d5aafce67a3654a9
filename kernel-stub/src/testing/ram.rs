//! RAM of the simulated machine: page-aligned memory from the heap.

use crate::phys::PhysMemory;
use kernel_abi::PAGE_SIZE;
use std::alloc::{Layout, alloc_zeroed, dealloc};

/// Memory that lives as long as this value.
pub(crate) struct Ram {
    start: *mut u8,
    frames: u32,
}

impl Ram {
    fn layout(frames: u32) -> Layout {
        Layout::from_size_align(frames as usize * PAGE_SIZE, PAGE_SIZE).unwrap()
    }

    pub(crate) fn new(frames: u32) -> Ram {
        assert!(frames > 0);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(Ram::layout(frames)) };
        assert!(!start.is_null());
        Ram { start, frames }
    }

    /// The view that the kernel gets; to be asked for once.
    pub(crate) fn memory(&self) -> PhysMemory {
        // SAFETY: page-aligned memory of that size, which nobody else touches; `Bench` drops it after the kernel.
        unsafe { PhysMemory::new(self.start, self.frames) }
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.start, Ram::layout(self.frames)) };
    }
}
