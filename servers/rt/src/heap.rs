//! The heap: one contiguous region that grows from the process's budget. The only place that hands memory of this
//! process to Rust's allocator.

use crate::{quick::Quick, syscall};
use core::{alloc::Layout, ptr::NonNull};
use kernel_abi::{PAGE_SIZE, Prot, SLOT_BUDGET, Slot, Syscall};
use talc::{
    TalcLock,
    base::{Talc, binning::Binning},
    source::Source,
};

/// First address that the heap never reaches.
const HEAP_END: usize = crate::OWN.end as usize;
/// Never mapped, between the image and the heap.
const GAP: usize = 0x1_0000;
/// The heap grows by a quarter of what it is, within these bounds (bytes): few system calls, little waste.
const STEP: core::ops::RangeInclusive<usize> = 0x1_0000..=0x10_0000;

#[global_allocator]
static HEAP: Quick<TalcLock<spin::Mutex<()>, Grow>> = Quick::new(TalcLock::new(Grow { end: 0 }));

/// Where the mapped part of the heap ends; 0 before there is any.
#[derive(Debug)]
struct Grow {
    end: usize,
}

/// First address of the heap: behind the program, mostly under the same page table (see [`crate::OWN`]).
fn heap_start() -> usize {
    unsafe extern "C" {
        /// The linker's: the first byte behind the program.
        static _end: u8;
    }
    (&raw const _end).addr().next_multiple_of(PAGE_SIZE) + GAP
}

// SAFETY: `acquire` uses no allocator but the `talc` that it was given.
unsafe impl Source for Grow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let first = heap_start();
        let start = talc.source.end.max(first);
        // Room for the block in the worst alignment, for the allocator's own words, and for its first tables.
        let needed = layout
            .size()
            .checked_add(layout.align())
            .and_then(|size| size.checked_add(PAGE_SIZE))
            .ok_or(())?;
        let step = ((start - first) / 4).clamp(*STEP.start(), *STEP.end());
        let len = grow(start, needed.max(step)).or_else(|()| grow(start, needed))?;
        let end = start + len;
        talc.source.end = end;
        if start == first {
            let base = core::ptr::with_exposed_provenance_mut(start);
            // SAFETY: the kernel has just mapped these `len` bytes, writable, where nothing was before.
            unsafe { talc.claim(base, len) }.map(drop).ok_or(())
        } else {
            let old = NonNull::new(core::ptr::with_exposed_provenance_mut(start)).ok_or(())?;
            let new = core::ptr::with_exposed_provenance_mut(end);
            // SAFETY: all of the heap was claimed up to `start`, and the kernel has just mapped the bytes from there
            // to `end`, writable.
            unsafe { talc.extend(old, new) };
            Ok(())
        }
    }
}

/// Maps at least `bytes` new bytes at `start`; returns how many.
fn grow(start: usize, bytes: usize) -> Result<usize, ()> {
    let len = bytes.checked_next_multiple_of(PAGE_SIZE).ok_or(())?;
    if len > HEAP_END - start {
        return Err(());
    }
    let pages = (len / PAGE_SIZE) as u64;
    let budget = SLOT_BUDGET.0.into();
    let [slot, ..] =
        syscall::values(Syscall::MemoryCreate, [budget, pages, 0, 0, 0, 0]).map_err(drop)?;
    let prot = (Prot::READ | Prot::WRITE).bits().into();
    match syscall::values(Syscall::MemoryMap, [0, slot, start as u64, 0, pages, prot]) {
        Ok(_) => Ok(len),
        Err(_) => {
            let _ = syscall::simple(Syscall::CapDelete, Slot(slot as u32));
            Err(())
        }
    }
}
