//! Physical memory, reached through the direct map. The only module (outside `arch` and `store`) that
//! turns numbers into pointers; may touch all of RAM.
//!
//! Everything is checked against the limit, and addresses outside are an error, never an access.
//! What lies at an address is the business of the caller: frames that hold kernel objects are
//! written through `store` only.

use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use kernel_abi::PAGE_SIZE;

/// A physical address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    /// The address `bytes` further on; saturates, and a saturated address is outside of all memory.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> PhysAddr {
        PhysAddr(self.0.saturating_add(bytes))
    }
}

/// A physical frame, by number (address / 4096).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Frame(pub u32);

impl Frame {
    /// Address of the first byte.
    pub const fn address(self) -> PhysAddr {
        PhysAddr(self.0 as u64 * PAGE_SIZE as u64)
    }

    /// The frame that holds an address below 16 TiB; `None` above.
    pub fn containing(address: PhysAddr) -> Option<Frame> {
        u32::try_from(address.0 / PAGE_SIZE as u64).ok().map(Frame)
    }
}

/// An access outside of physical memory, or unaligned where alignment matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfRange;

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outside of physical memory")
    }
}

impl core::error::Error for OutOfRange {}

/// All physical memory from address 0 to a limit, seen through one linear mapping.
pub struct PhysMemory {
    base: NonNull<u8>,
    frames: u32,
}

// SAFETY: `base` is an address in the direct map (or in the test's allocation), valid on every thread;
// access goes through `&self`/`&mut self`, so the owner decides who may touch it.
unsafe impl Send for PhysMemory {}

impl PhysMemory {
    /// Memory of `frames` frames whose byte 0 is seen at `base`.
    ///
    /// # Safety
    /// 1. `base` is not null, aligned to a page and `base .. base + frames * 4096` stays mapped, readable and writable
    ///    for as long as the value lives, wherever there is RAM. Holes (device registers, firmware) may lie
    ///    in between; the portable kernel only touches what `BootInfo` names as usable or archive.
    /// 2. No Rust reference to any of it exists elsewhere, and there is one `PhysMemory` over it.
    pub unsafe fn new(base: *mut u8, frames: u32) -> PhysMemory {
        // A null base has no frames: every access is then out of range.
        match NonNull::new(base) {
            Some(base) => PhysMemory { base, frames },
            None => PhysMemory {
                base: NonNull::dangling(),
                frames: 0,
            },
        }
    }

    /// Frames up to the limit, holes included.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Where the `len` bytes at `address` are seen.
    fn pointer(&self, address: PhysAddr, len: usize) -> Result<NonNull<u8>, OutOfRange> {
        let end = address.0.checked_add(len as u64).ok_or(OutOfRange)?;
        if end > self.frames as u64 * PAGE_SIZE as u64 {
            return Err(OutOfRange);
        }
        let offset = usize::try_from(address.0).map_err(|_| OutOfRange)?;
        // SAFETY: `offset + len` is within the frames that `new` was promised to be one mapping.
        Ok(unsafe { self.base.add(offset) })
    }

    /// Where a frame is seen. Making use of the pointer is the unsafe part.
    pub(crate) fn frame_pointer(&self, frame: Frame) -> Result<NonNull<u8>, OutOfRange> {
        if frame.0 >= self.frames {
            return Err(OutOfRange);
        }
        // SAFETY: just checked.
        Ok(unsafe { self.known_frame(frame) })
    }

    /// [`PhysMemory::frame_pointer`] of a frame that was checked elsewhere.
    ///
    /// # Safety
    /// `frame` lies below [`PhysMemory::frames`].
    #[inline]
    pub(crate) unsafe fn known_frame(&self, frame: Frame) -> NonNull<u8> {
        // SAFETY: by the caller's word the frame is one of those that `new` was promised to be one mapping.
        unsafe { self.base.add(frame.0 as usize * PAGE_SIZE) }
    }

    /// Reads the aligned word at `address`.
    pub fn read_u64(&self, address: PhysAddr) -> Result<u64, OutOfRange> {
        if !address.0.is_multiple_of(8) {
            return Err(OutOfRange);
        }
        let word = self.pointer(address, 8)?.cast::<u64>();
        // SAFETY: `pointer` checked the range, the address is aligned, `new` promised that it is readable.
        // Volatile because the processor and devices write RAM, too (accessed and dirty bits).
        Ok(unsafe { word.read_volatile() })
    }

    /// Writes the aligned word at `address`.
    pub fn write_u64(&mut self, address: PhysAddr, value: u64) -> Result<(), OutOfRange> {
        if !address.0.is_multiple_of(8) {
            return Err(OutOfRange);
        }
        let word = self.pointer(address, 8)?.cast::<u64>();
        // SAFETY: `pointer` checked the range, the address is aligned, `new` promised that it is writable
        // and that no reference to it exists.
        unsafe { word.write_volatile(value) };
        Ok(())
    }

    /// Fills a frame with zeros.
    pub fn zero_frame(&mut self, frame: Frame) -> Result<(), OutOfRange> {
        let start = self.frame_pointer(frame)?;
        // SAFETY: `frame_pointer` checked the range, `new` promised that it is writable and not borrowed.
        unsafe { start.write_bytes(0, PAGE_SIZE) };
        Ok(())
    }

    /// Copies `bytes` into memory at `address`.
    pub fn copy_in(&mut self, address: PhysAddr, bytes: &[u8]) -> Result<(), OutOfRange> {
        let to = self.pointer(address, bytes.len())?;
        let from = NonNull::from(bytes).cast::<u8>();
        // SAFETY: `pointer` checked the range; a slice is never a view of this memory (`new`, 2), except through
        // `slice`, which borrows `self`, so the two don't overlap.
        unsafe { to.copy_from_nonoverlapping(from, bytes.len()) };
        Ok(())
    }

    /// Copies memory at `address` out to `bytes`.
    pub fn copy_out(&self, address: PhysAddr, bytes: &mut [u8]) -> Result<(), OutOfRange> {
        let from = self.pointer(address, bytes.len())?;
        let to = NonNull::from(&mut *bytes).cast::<u8>();
        // SAFETY: as in `copy_in`; an exclusive slice can't be a view of this memory.
        unsafe { to.copy_from_nonoverlapping(from, bytes.len()) };
        Ok(())
    }

    /// Copies `len` bytes from one place to another; the two may overlap.
    pub fn copy_within(
        &mut self,
        from: PhysAddr,
        to: PhysAddr,
        len: usize,
    ) -> Result<(), OutOfRange> {
        let from = self.pointer(from, len)?;
        let to = self.pointer(to, len)?;
        // SAFETY: `pointer` checked both ranges, `&mut self` says that nobody borrows them, and `copy` allows overlap.
        unsafe { to.copy_from(from, len) };
        Ok(())
    }

    /// A view of memory that nobody writes while it is borrowed: boot modules and firmware tables.
    pub fn slice(&self, range: Range<u64>) -> Result<&[u8], OutOfRange> {
        let len = range.end.checked_sub(range.start).ok_or(OutOfRange)?;
        let len = usize::try_from(len).map_err(|_| OutOfRange)?;
        let start = self.pointer(PhysAddr(range.start), len)?;
        // SAFETY: `pointer` checked the range; writers need `&mut self`, which the borrow excludes, and
        // user code and devices don't have this memory while the kernel boots.
        Ok(unsafe { core::slice::from_raw_parts(start.as_ptr(), len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> (Vec<u64>, PhysMemory) {
        let mut ram = vec![0u64; 2 * PAGE_SIZE / 8];
        // SAFETY: the test keeps `ram` alive and touches it through the memory only.
        let memory = unsafe { PhysMemory::new(ram.as_mut_ptr().cast(), 2) };
        (ram, memory)
    }

    #[test]
    fn accesses_at_the_limit_work_and_past_it_fail() {
        let (_ram, mut memory) = memory();
        assert_eq!(memory.write_u64(PhysAddr(8184), 7), Ok(()));
        assert_eq!(memory.read_u64(PhysAddr(8184)), Ok(7));
        assert_eq!(memory.read_u64(PhysAddr(8192)), Err(OutOfRange));
        assert_eq!(memory.read_u64(PhysAddr(8185)), Err(OutOfRange));
        assert_eq!(memory.copy_in(PhysAddr(8190), &[1, 2, 3]), Err(OutOfRange));
        assert_eq!(memory.copy_in(PhysAddr(u64::MAX), &[1, 2]), Err(OutOfRange));
        assert_eq!(memory.zero_frame(Frame(2)), Err(OutOfRange));
        assert_eq!(memory.zero_frame(Frame(1)), Ok(()));
        assert_eq!(memory.read_u64(PhysAddr(8184)), Ok(0));
    }

    #[test]
    fn bytes_come_back_and_move() {
        let (_ram, mut memory) = memory();
        let mut back = [0; 4];
        assert_eq!(memory.copy_in(PhysAddr(4094), b"abcd"), Ok(()));
        assert_eq!(
            memory.copy_within(PhysAddr(4094), PhysAddr(4095), 4),
            Ok(())
        );
        assert_eq!(memory.copy_out(PhysAddr(4094), &mut back), Ok(()));
        assert_eq!(&back, b"aabc");
        assert_eq!(memory.slice(4094..4098), Ok(&b"aabc"[..]));
        let (start, end) = (4098, 4094);
        assert_eq!(memory.slice(start..end), Err(OutOfRange));
    }
}
