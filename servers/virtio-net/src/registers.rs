//! Device registers behind a trait, so that a fake device can stand in for a mapped base address register.
//!
//! Touches nothing itself. Offsets are in bytes; values are little-endian on the bus and native here.
#![forbid(unsafe_code)]

/// The registers behind one base address register.
///
/// Like the bus itself, an access outside reads all ones and writes nothing: no access fails.
pub trait Registers: Clone {
    /// Reads a byte.
    fn read8(&self, offset: usize) -> u8;
    /// Reads two bytes; `offset` is 2-aligned.
    fn read16(&self, offset: usize) -> u16;
    /// Reads four bytes; `offset` is 4-aligned.
    fn read32(&self, offset: usize) -> u32;
    /// Writes a byte.
    fn write8(&self, offset: usize, value: u8);
    /// Writes two bytes; `offset` is 2-aligned.
    fn write16(&self, offset: usize, value: u16);
    /// Writes four bytes; `offset` is 4-aligned.
    fn write32(&self, offset: usize, value: u32);
}

/// One structure of the device: a part of a base address register.
#[derive(Clone, Debug)]
pub struct Region<R> {
    registers: R,
    start: usize,
    len: usize,
}

impl<R: Registers> Region<R> {
    /// `len` bytes from `start` on.
    pub fn new(registers: R, start: usize, len: usize) -> Region<R> {
        Region {
            registers,
            start,
            len,
        }
    }

    /// Where `width` bytes at `offset` lie; `None` if they are not all within the structure.
    fn at(&self, offset: usize, width: usize) -> Option<usize> {
        let end = offset.checked_add(width)?;
        if end > self.len {
            return None;
        }
        self.start.checked_add(offset)
    }

    /// Whether `width` bytes at `offset` are within the structure.
    pub fn contains(&self, offset: usize, width: usize) -> bool {
        self.at(offset, width).is_some()
    }

    /// Reads a byte; all ones outside.
    pub fn read8(&self, offset: usize) -> u8 {
        self.at(offset, 1)
            .map_or(u8::MAX, |at| self.registers.read8(at))
    }

    /// Reads two bytes; all ones outside.
    pub fn read16(&self, offset: usize) -> u16 {
        self.at(offset, 2)
            .map_or(u16::MAX, |at| self.registers.read16(at))
    }

    /// Reads four bytes; all ones outside.
    pub fn read32(&self, offset: usize) -> u32 {
        self.at(offset, 4)
            .map_or(u32::MAX, |at| self.registers.read32(at))
    }

    /// Writes a byte; nothing outside.
    pub fn write8(&self, offset: usize, value: u8) {
        if let Some(at) = self.at(offset, 1) {
            self.registers.write8(at, value);
        }
    }

    /// Writes two bytes; nothing outside.
    pub fn write16(&self, offset: usize, value: u16) {
        if let Some(at) = self.at(offset, 2) {
            self.registers.write16(at, value);
        }
    }

    /// Writes four bytes; nothing outside.
    pub fn write32(&self, offset: usize, value: u32) {
        if let Some(at) = self.at(offset, 4) {
            self.registers.write32(at, value);
        }
    }

    /// Writes eight bytes as two words, low word first (VIRTIO 1.2 section 4.1.3.1); nothing outside.
    pub fn write64(&self, offset: usize, value: u64) {
        self.write32(offset, value as u32);
        self.write32(offset.saturating_add(4), (value >> 32) as u32);
    }
}
