//! Memory objects, and mapping them into this process's own address space.
//!
//! The addresses from [`MAP_START`] to [`MAP_END`], without those of [`OWN`] that are not [`NEAR`], belong to this module alone: nothing there is ever a Rust
//! object, so mapping and unmapping there can't pull one away. But for the bytes of [`crate::Exclusive`]: they are borrowed from what keeps
//! them mapped, and lie in [`APART`], where nothing else ever does.

use crate::{OWN, START_INFO_ADDRESS, cap::kind, objects::Budget, syscall};
use alloc::vec::Vec;
use core::{ops::Range, ptr::NonNull};
use ipc_proto::shm::Shm;
use kernel_abi::{BOOT_STACK_TOP, Error, PAGE_SIZE, Prot, Slot, Syscall};
use spin::Mutex;

/// First address for mappings.
const MAP_START: u64 = 0x20_0000;
/// Addresses for those of up to [`SMALL`] pages, as long as there is room: between stack and program, under the same page table.
const NEAR: Range<u64> = BOOT_STACK_TOP + 0x1_0000..BOOT_STACK_TOP + 0x5_0000;
/// Addresses of memory whose bytes are ordinary ones: a window on shared memory that outlives its mapping never meets them.
const APART: Range<u64> = 0x2000_0000..OWN.start;
/// First address behind the mappings.
const MAP_END: u64 = START_INFO_ADDRESS;
/// Most pages of a mapping that is put near the program: what is small is in use as a whole.
const SMALL: u64 = 32;

kind! {
    /// Pages of RAM or of a device's registers.
    Memory
}

impl Memory {
    /// Allocates `pages` zeroed pages; `contiguous` in physical memory, as a device needs them.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::TableFull`], [`Error::BadArgument`] for none or too many pages.
    pub fn create(budget: &Budget, pages: u64, contiguous: bool) -> Result<Memory, Error> {
        let args = [budget.slot().0.into(), pages, contiguous.into(), 0, 0, 0];
        let [slot, ..] = syscall::values(Syscall::MemoryCreate, args)?;
        Ok(Memory::from_raw(Slot(slot as u32)))
    }

    /// Its size in pages.
    ///
    /// # Errors
    /// [`Error::BadSlot`], [`Error::WrongKind`].
    pub fn pages(&self) -> Result<u64, Error> {
        let [pages, ..] = syscall::simple(Syscall::MemoryInfo, self.slot())?;
        Ok(pages)
    }

    /// Its exact length in bytes (a multiple of the page size, but for the boot archive).
    ///
    /// # Errors
    /// [`Error::BadSlot`], [`Error::WrongKind`].
    pub fn bytes(&self) -> Result<u64, Error> {
        let [_, bytes, _] = syscall::simple(Syscall::MemoryInfo, self.slot())?;
        Ok(bytes)
    }

    /// Maps all of it; it stays mapped until the mapping is dropped.
    ///
    /// # Errors
    /// [`Error::NoRights`] if `prot` asks for more than the capability allows, [`Error::NoBudget`] for page tables,
    /// [`Error::BadArgument`] if the address space is full.
    pub fn map(self, prot: Prot) -> Result<Mapping, Error> {
        self.map_at(prot, Ranges::reserve)
    }

    /// The same, where no other memory is ever mapped than that which this maps.
    ///
    /// # Errors
    /// As for [`Memory::map`].
    pub(crate) fn map_apart(self, prot: Prot) -> Result<Mapping, Error> {
        self.map_at(prot, Ranges::reserve_apart)
    }

    fn map_at(
        self,
        prot: Prot,
        reserve: fn(&mut Ranges, u64) -> Result<u64, Error>,
    ) -> Result<Mapping, Error> {
        let pages = self.pages()?;
        let address = reserve(&mut RANGES.lock(), pages)?;
        let args = [
            0,
            self.slot().0.into(),
            address,
            0,
            pages,
            prot.bits().into(),
        ];
        if let Err(error) = syscall::values(Syscall::MemoryMap, args) {
            RANGES.lock().release(address);
            return Err(error);
        }
        Ok(Mapping {
            range: Mapped { address, pages },
            memory: self,
        })
    }
}

/// Memory mapped into this process; unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    // Dropped first: the kernel must not lose the capability of a mapping that is still there.
    range: Mapped,
    memory: Memory,
}

/// A mapped address range, unmapped on drop.
#[derive(Debug)]
struct Mapped {
    address: u64,
    pages: u64,
}

impl Mapping {
    /// The memory object.
    pub const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Unmaps it and gives the memory object back.
    pub fn unmap(self) -> Memory {
        let Mapping { range, memory } = self;
        drop(range);
        memory
    }

    /// Its first byte. Nothing but raw, volatile or atomic access may be made through it: the memory may be shared.
    /// It must not be used after the mapping was dropped.
    pub fn base(&self) -> NonNull<u8> {
        NonNull::new(core::ptr::with_exposed_provenance_mut(
            self.range.address as usize,
        ))
        .unwrap_or(NonNull::dangling())
    }

    /// Bytes mapped.
    pub const fn len(&self) -> usize {
        self.range.pages as usize * PAGE_SIZE
    }

    /// Whether nothing is mapped (never: an object has at least one page).
    pub const fn is_empty(&self) -> bool {
        self.range.pages == 0
    }

    /// The bytes as shared memory. Keep the mapping as long as the windows on it: access after it was dropped ends
    /// this process (a fault), or meets the bytes of a later mapping.
    pub fn shm(&self) -> Shm {
        // SAFETY: pages are aligned to 4096 and `len` bytes are mapped. The addresses of mappings hold nothing but
        // mappings, which are reached through `Shm` or raw pointers only, but for those of `Exclusive`, which lie apart and of which there
        // are no windows; so a window that outlives its mapping meets a fault of this process or other shared bytes, never a Rust object.
        unsafe { Shm::new(self.base(), self.len()) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let args = [0, self.address, self.pages, 0, 0, 0];
        // It can't fail: nobody else unmaps this range, not even by revoking the capability.
        let _ = syscall::values(Syscall::MemoryUnmap, args);
        RANGES.lock().release(self.address);
    }
}

/// The addresses of this process's mappings.
static RANGES: Mutex<Ranges> = Mutex::new(Ranges(Vec::new()));

/// Reserved address ranges as (start, length with guard page), ordered.
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Finds room for `pages` pages and a guard page behind them.
    fn reserve(&mut self, pages: u64) -> Result<u64, Error> {
        if pages <= SMALL
            && let Ok(address) = self.reserve_in(pages, NEAR, None)
        {
            return Ok(address);
        }
        // What lies apart and the process's own addresses are a range that was always there.
        let own = (APART.start, OWN.end - APART.start);
        self.reserve_in(pages, MAP_START..MAP_END, Some(own))
    }

    /// The same, in [`APART`].
    fn reserve_apart(&mut self, pages: u64) -> Result<u64, Error> {
        self.reserve_in(pages, APART, None)
    }

    fn reserve_in(
        &mut self,
        pages: u64,
        within: Range<u64>,
        own: Option<(u64, u64)>,
    ) -> Result<u64, Error> {
        let bytes = pages
            .checked_add(1)
            .and_then(|pages| pages.checked_mul(PAGE_SIZE as u64))
            .filter(|bytes| *bytes <= MAP_END)
            .ok_or(Error::BadArgument)?;
        let mut address = within.start;
        let (low, high) = self.0.split_at(self.position(APART.start));
        for (start, len) in low.iter().chain(&own).chain(high) {
            if start.saturating_sub(address) >= bytes {
                break;
            }
            address = address.max(start + len);
        }
        if within.end.saturating_sub(address) < bytes {
            return Err(Error::BadArgument);
        }
        self.0.insert(self.position(address), (address, bytes));
        Ok(address)
    }

    /// How many ranges lie before `address`.
    fn position(&self, address: u64) -> usize {
        self.0.partition_point(|(start, _)| *start < address)
    }

    /// Gives the range at `address` back.
    fn release(&mut self, address: u64) {
        self.0.retain(|(start, _)| *start != address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap_and_come_back() {
        let mut ranges = Ranges(Vec::new());
        let taken: Vec<u64> = (1..=5)
            .map(|pages| ranges.reserve(pages).unwrap())
            .collect();
        for (index, address) in taken.iter().enumerate() {
            let end = address + (index as u64 + 2) * PAGE_SIZE as u64;
            assert!(*address >= NEAR.start && end <= NEAR.end);
            assert!(taken.iter().all(|other| other <= address || *other >= end));
        }
        ranges.release(taken[2]);
        assert_eq!(ranges.reserve(3), Ok(taken[2]), "a gap that fits is used");
        ranges.release(taken[2]);
        assert_eq!(ranges.reserve(2), Ok(taken[2]));
        assert!(
            ranges.reserve(1).unwrap() > taken[4],
            "a gap that is too small is not"
        );
        for pages in [u64::MAX, MAP_END / PAGE_SIZE as u64] {
            assert_eq!(ranges.reserve(pages), Err(Error::BadArgument));
        }
    }

    #[test]
    fn what_lies_apart_shares_no_address_with_the_rest_at_any_time() {
        let mut ranges = Ranges(Vec::new());
        let page = PAGE_SIZE as u64;
        let all = (APART.end - APART.start) / page - 1;
        for _ in 0..2 {
            let [a, b] = [1, 1000].map(|pages| ranges.reserve_apart(pages).unwrap());
            assert_eq!((a, b), (APART.start, APART.start + 2 * page));
            for pages in [1, SMALL + 1, all, all + 1] {
                let other = ranges.reserve(pages).unwrap();
                let end = other + (pages + 1) * page;
                let near = other >= NEAR.start && end <= NEAR.end;
                assert!(near || end <= APART.start || other >= OWN.end);
            }
            assert_eq!(ranges.reserve_apart(all), Err(Error::BadArgument));
            assert!(ranges.0.is_sorted());
            ranges.0.clear();
            assert_eq!(ranges.reserve_apart(all), Ok(APART.start));
            ranges.release(APART.start);
        }
        assert_eq!(ranges.reserve_apart(u64::MAX), Err(Error::BadArgument));
    }

    #[test]
    fn large_mappings_lie_apart_and_none_in_the_process_s_own_addresses() {
        let mut ranges = Ranges(Vec::new());
        let page = PAGE_SIZE as u64;
        assert_eq!(ranges.reserve(SMALL + 1), Ok(MAP_START));
        assert_eq!(ranges.reserve(SMALL), Ok(NEAR.start));
        // A page more than there is room for below, and then just as many.
        let rest = (APART.start - MAP_START) / page - (SMALL + 2);
        assert_eq!(ranges.reserve(rest), Ok(OWN.end));
        let below = MAP_START + (SMALL + 2) * page;
        assert_eq!(ranges.reserve(rest - 1), Ok(below));
        assert_eq!(ranges.reserve(SMALL + 1), Ok(OWN.end + (rest + 1) * page));
        // Small ones that find no room near the program are put where the large ones are.
        let room = (NEAR.end - NEAR.start) / page - (SMALL + 1);
        assert_eq!(ranges.reserve(room - 1), Ok(NEAR.end - room * page));
        assert!(ranges.reserve(SMALL).unwrap() > OWN.end);
        assert!(ranges.0.is_sorted());
    }
}
