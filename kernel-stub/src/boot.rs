//! The hand-over from the architecture to the portable kernel: what was found at boot, and why a kernel
//! can't start. No code runs here.
#![forbid(unsafe_code)]

use crate::phys::PhysMemory;
use core::fmt;
use core::ops::Range;

/// What the architecture found at boot.
pub struct BootInfo<'a> {
    /// All of RAM, through the direct map.
    pub memory: PhysMemory,
    /// Free RAM, physical addresses, in any order and without overlap; the kernel rounds inward to pages. Without the kernel's image, the
    /// archive and whatever boot still needs.
    pub usable: &'a [Range<u64>],
    /// The boot archive (newc cpio) with exact length, physical; has to start at a page. Empty if there is none.
    pub archive: Range<u64>,
    /// The kernel's command line.
    pub command_line: &'a str,
    /// PCI configuration space is there.
    pub pci: bool,
    /// Processors that the machine has.
    pub processors: u32,
}

/// Why the kernel can't start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BootError {
    /// Not enough free RAM for the kernel's tables and the first process.
    TooLittleMemory,
    /// No boot archive was given.
    NoArchive,
    /// The boot archive doesn't start at a page, or lies outside of RAM.
    BadArchivePlace,
    /// The archive is no newc cpio archive, or is truncated.
    BadArchive,
    /// The archive has no file `init`.
    NoInit,
    /// `init` is no static ELF64 program for this machine; says what is wrong.
    BadInit(&'static str),
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BootError::TooLittleMemory => f.write_str("too little memory"),
            BootError::NoArchive => f.write_str("no boot archive (-initrd) was given"),
            BootError::BadArchivePlace => {
                f.write_str("the boot archive does not start at a page of RAM")
            }
            BootError::BadArchive => {
                f.write_str("the boot archive is truncated or no newc cpio archive")
            }
            BootError::NoInit => f.write_str("the boot archive has no program `init`"),
            BootError::BadInit(why) => write!(f, "the program `init` can't be loaded: {why}"),
        }
    }
}

impl core::error::Error for BootError {}
