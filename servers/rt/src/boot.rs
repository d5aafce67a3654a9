//! What only the first process has: the boot archive and the devices of the machine.

use crate::{Device, Memory, cap};
use alloc::vec::Vec;
use core::mem::ManuallyDrop;
use kernel_abi::{CAP_SLOTS, Error, Kind, Prot, Slot, boot_slots};

/// The boot archive, mapped for the life of this process.
///
/// # Errors
/// Those of the kernel: the process is not the first one, or has no memory for page tables.
pub fn archive() -> Result<&'static [u8], Error> {
    let memory = Memory::borrowed(boot_slots::ARCHIVE);
    let len = memory.bytes()? as usize;
    let mapping = ManuallyDrop::new(memory.map(Prot::READ)?);
    let len = len.min(mapping.len());
    // SAFETY: `len` bytes are mapped from `base` on and stay so, as the mapping is never dropped. The kernel gives out
    // the archive without the right to write, so the bytes never change.
    Ok(unsafe { core::slice::from_raw_parts(mapping.base().as_ptr(), len) })
}

/// Every PCI function that the kernel found.
pub fn devices() -> Vec<Device> {
    (boot_slots::FIRST_DEVICE.index()..CAP_SLOTS as u16)
        .map(Slot::fresh)
        .take_while(|slot| cap::info(*slot).is_ok_and(|details| details.kind == Kind::Device))
        .map(Device::borrowed)
        .collect()
}
