//! Uncached access to device registers and firmware tables anywhere in physical memory, through 2 MiB of
//! addresses whose one page table this module owns.
//!
//! Two pages are set up once, for the interrupt controllers. The others are a cache: a frame is
//! mapped at the slot that its number selects, in place of what was there. So nothing has to be
//! allocated, however many devices there are.

use super::layout::{IMAGE, WINDOW};
use super::{cpu, firmware::FirmwareMemory, paging};
use crate::phys::{Frame, PhysAddr};
use core::cell::{Cell, UnsafeCell};
use kernel_abi::PAGE_SIZE;

const SLOTS: usize = 512;
/// Slots for [`Window::pin`], before the cache.
const PINNED: usize = 2;

#[repr(C, align(4096))]
struct Table(UnsafeCell<[u64; SLOTS]>);

// SAFETY: only the one `Window` writes the table, only the processor reads it.
unsafe impl Sync for Table {}

static TABLE: Table = Table(UnsafeCell::new([0; SLOTS]));

/// The window.
pub(super) struct Window {
    /// What each slot shows: a frame number plus one, or zero.
    shown: [Cell<u64>; SLOTS],
    pinned: Cell<usize>,
}

/// The frame of the page table, to be attached at [`WINDOW`].
pub(super) fn table_frame() -> Option<Frame> {
    let address = (TABLE.0.get().addr() as u64).wrapping_sub(IMAGE);
    Frame::containing(PhysAddr(address))
}

impl Window {
    /// The window.
    ///
    /// # Safety
    /// Called once, when the table is attached at [`WINDOW`] in every address space.
    pub(super) unsafe fn new() -> Window {
        Window {
            shown: [const { Cell::new(0) }; SLOTS],
            pinned: Cell::new(0),
        }
    }

    /// Shows the page of registers at `address` for ever; `None` when all such places are taken.
    pub(super) fn pin(&self, address: u64) -> Option<Registers> {
        let slot = self.pinned.get();
        if slot >= PINNED {
            return None;
        }
        self.pinned.set(slot + 1);
        let frame = Frame::containing(PhysAddr(address))?;
        self.show(slot, frame)?;
        Some(Registers {
            base: slot_address(slot),
        })
    }

    /// Reads the aligned 32-bit register at a physical address; all ones where there can be none.
    pub(super) fn read_register(&self, address: u64) -> u32 {
        self.word(address)
            // SAFETY: `word` returns an aligned address in a mapped page of the window. That reading has
            // the effect of reading that register is what the caller asked for.
            .map_or(u32::MAX, |word| unsafe { word.read_volatile() })
    }

    /// Writes the aligned 32-bit register at a physical address.
    pub(super) fn write_register(&self, address: u64, value: u32) {
        if let Some(word) = self.word(address) {
            // SAFETY: as in `read_register`. Callers pass addresses of device registers, never of RAM.
            unsafe { word.write_volatile(value) };
        }
    }

    fn word(&self, address: u64) -> Option<*mut u32> {
        let page = self.page(address)?;
        address
            .is_multiple_of(4)
            .then(|| core::ptr::with_exposed_provenance_mut(page as usize))
    }

    /// Where the byte at a physical address is seen, until the next call.
    fn page(&self, address: u64) -> Option<u64> {
        let frame = Frame::containing(PhysAddr(address))?;
        let slot = PINNED + frame.0 as usize % (SLOTS - PINNED);
        self.show(slot, frame)?;
        Some(slot_address(slot) + address % PAGE_SIZE as u64)
    }

    fn show(&self, slot: usize, frame: Frame) -> Option<()> {
        let shown = self.shown.get(slot)?;
        let wanted = frame.0 as u64 + 1;
        if shown.replace(wanted) != wanted {
            let entry = TABLE.0.get().cast::<u64>().wrapping_add(slot);
            // SAFETY: `slot` is within the table (it was within `shown`), which nobody else writes.
            unsafe { entry.write_volatile(paging::device_entry(frame)) };
            cpu::flush_page(slot_address(slot));
        }
        Some(())
    }
}

fn slot_address(slot: usize) -> u64 {
    WINDOW + (slot * PAGE_SIZE) as u64
}

impl FirmwareMemory for Window {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Option<()> {
        for (offset, byte) in into.iter_mut().enumerate() {
            let at = self.page(address.checked_add(offset as u64)?)?;
            let at: *const u8 = core::ptr::with_exposed_provenance(at as usize);
            // SAFETY: `page` mapped it; where nothing answers, the bus reads as ones.
            *byte = unsafe { at.read_volatile() };
        }
        Some(())
    }
}

/// One page of device registers that stays mapped.
pub(super) struct Registers {
    base: u64,
}

impl Registers {
    fn word(&self, offset: u16) -> *mut u32 {
        let offset = u64::from(offset) % PAGE_SIZE as u64 / 4 * 4;
        core::ptr::with_exposed_provenance_mut((self.base + offset) as usize)
    }

    /// Reads the register at `offset`.
    pub(super) fn read(&self, offset: u16) -> u32 {
        // SAFETY: aligned, and within the page that was pinned for ever.
        unsafe { self.word(offset).read_volatile() }
    }

    /// Writes the register at `offset`.
    pub(super) fn write(&mut self, offset: u16, value: u32) {
        // SAFETY: aligned, and within the page that was pinned for ever; the owner knows the device.
        unsafe { self.word(offset).write_volatile(value) }
    }
}
