//! Registers of a device, mapped into this process.
//!
//! Owns no memory: wraps the address of a mapping that somebody else keeps. Every access is volatile, of the
//! width asked for, and bounds-checked.

use crate::registers::Registers;
use core::ptr::NonNull;
use virtio_drivers::PAGE_SIZE;

/// A mapped base address register.
#[derive(Clone, Debug)]
pub struct Mmio {
    base: NonNull<u8>,
    len: usize,
}

impl Mmio {
    /// Wraps a mapping.
    ///
    /// # Safety
    /// `base` is page-aligned, and `len` bytes of device registers stay mapped there, readable and writable, as long as
    /// the value or a clone of it lives. No Rust object lies there.
    pub unsafe fn new(base: NonNull<u8>, len: usize) -> Mmio {
        Mmio { base, len }
    }

    /// The address of a `T` at `offset`, if all of it is mapped and it is aligned.
    #[inline(always)]
    fn at<T>(&self, offset: usize) -> Option<NonNull<T>> {
        let end = offset.checked_add(size_of::<T>())?;
        if end > self.len || !offset.is_multiple_of(align_of::<T>()) {
            return None;
        }
        // SAFETY: `offset` is below `len`, so the result is within the mapping (promised to `new`).
        Some(unsafe { self.base.byte_add(offset) }.cast())
    }

    #[inline(always)]
    fn read<T: Copy>(&self, offset: usize, outside: T) -> T {
        match self.at::<T>(offset) {
            // SAFETY: `at` checked bounds and alignment; the mapping is readable (promised to `new`), and any bit
            // pattern is a value of the integers that `T` stands for.
            Some(at) => unsafe { at.read_volatile() },
            None => outside,
        }
    }

    #[inline(always)]
    fn write<T: Copy>(&self, offset: usize, value: T) {
        if let Some(at) = self.at::<T>(offset) {
            // SAFETY: `at` checked bounds and alignment; the mapping is writable (promised to `new`).
            unsafe { at.write_volatile(value) };
        }
    }
}

impl Registers for Mmio {
    fn read8(&self, offset: usize) -> u8 {
        self.read(offset, u8::MAX)
    }

    fn read16(&self, offset: usize) -> u16 {
        self.read(offset, u16::MAX)
    }

    fn read32(&self, offset: usize) -> u32 {
        self.read(offset, u32::MAX)
    }

    fn write8(&self, offset: usize, value: u8) {
        self.write(offset, value);
    }

    fn write16(&self, offset: usize, value: u16) {
        self.write(offset, value);
    }

    fn write32(&self, offset: usize, value: u32) {
        self.write(offset, value);
    }
}

/// A page of memory that a device shares: as [`Mmio`], but of a length that the compiler knows. An access whose place is bounded is then
/// checked there and not at run time.
#[derive(Debug)]
pub struct Page {
    base: NonNull<u8>,
}

impl Page {
    /// Wraps a page.
    ///
    /// # Safety
    /// As [`Mmio::new`], with [`PAGE_SIZE`] bytes.
    pub unsafe fn new(base: NonNull<u8>) -> Page {
        Page { base }
    }

    #[inline(always)]
    fn registers(&self) -> Mmio {
        Mmio {
            base: self.base,
            len: PAGE_SIZE,
        }
    }

    /// Reads four bytes; all ones outside or unaligned.
    #[inline(always)]
    pub fn read32(&self, offset: usize) -> u32 {
        self.registers().read(offset, u32::MAX)
    }

    /// Writes two bytes; nothing outside or unaligned.
    #[inline(always)]
    pub fn write16(&self, offset: usize, value: u16) {
        self.registers().write(offset, value);
    }

    /// Writes eight bytes, low word first; nothing outside or unaligned.
    #[inline(always)]
    pub fn write64(&self, offset: usize, value: u64) {
        self.registers().write(offset, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_outside_or_unaligned_read_ones_and_write_nothing() {
        let mut memory = [0u32; 4];
        let base = NonNull::from(&mut memory).cast();
        // SAFETY: the array is there, aligned for every width used, and reached only through `mmio` below.
        let mmio = unsafe { Mmio::new(base, 16) };
        mmio.write32(12, 0x0403_0201);
        assert_eq!(mmio.read16(14), 0x0403);
        assert_eq!(mmio.read8(12), 1);
        for offset in [13, 16, usize::MAX - 1, usize::MAX] {
            mmio.write32(offset, 7);
            assert_eq!(mmio.read32(offset), u32::MAX);
        }
        assert_eq!(mmio.read32(12), 0x0403_0201);
        assert_eq!(mmio.read8(16), u8::MAX);
    }
}
