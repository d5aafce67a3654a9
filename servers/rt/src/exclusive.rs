//! Memory that this process alone writes. Others get capabilities to read it, and devices reach it as these say, so its bytes are
//! ordinary ones here, unlike those of shared memory.

#![allow(unsafe_code, reason = "the bytes of mapped pages become slices here")]

use crate::{Budget, Error, Mapping, Memory, Prot, Rights};

/// Memory that this process made, and alone can write.
#[derive(Debug)]
pub struct Exclusive {
    /// Its capability, with WRITE, never leaves this module.
    mapping: Mapping,
}

impl Exclusive {
    /// Allocates `pages` zeroed pages; `contiguous` in physical memory, as a device needs them.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::TableFull`], [`Error::BadArgument`] for none or too many pages.
    pub fn create(budget: &Budget, pages: u64, contiguous: bool) -> Result<Exclusive, Error> {
        let memory = Memory::create(budget, pages, contiguous)?;
        let mapping = memory.map_apart(Prot::READ | Prot::WRITE)?;
        Ok(Exclusive { mapping })
    }

    /// A capability for others, to read it and to have devices do so.
    ///
    /// # Errors
    /// [`Error::TableFull`], [`Error::NoBudget`].
    pub fn to_read(&self) -> Result<Memory, Error> {
        let rights = Rights::READ | Rights::DMA | Rights::GRANT;
        self.mapping.memory().derive(rights)
    }

    /// Its bytes.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the pages are mapped as long as `self` is there, and initialized. Nobody writes to them meanwhile: in this process
        // that takes `bytes_mut`, which the borrow excludes; another process, or a device, would need a capability with WRITE,
        // which is here alone: nobody makes up numbers of slots (`Memory::from_raw`, `Memory::borrowed` take those that the kernel or a
        // peer has named). No window on shared memory lies here, nor has one ever (`Memory::map_apart`). (Where no IOMMU checks
        // devices, whoever drives one could write to any memory at all.)
        unsafe { core::slice::from_raw_parts(self.mapping.base().as_ptr(), self.mapping.len()) }
    }

    /// Its bytes, to be written. Others may read them at any time: in what they see there may be half of what is written just now. What
    /// is complete before a message about it is published is seen complete by whoever takes the message: publishing is an atomic store
    /// with release ordering, and an address that the kernel knows is not one that the compiler takes for private.
    #[inline]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`; the borrow excludes other slices of this process. Readers elsewhere change nothing, and are no part of
        // this program: what they make of the bytes is their own affair.
        unsafe { core::slice::from_raw_parts_mut(self.mapping.base().as_ptr(), self.mapping.len()) }
    }
}
