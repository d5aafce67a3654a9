//! What only the first process has: the boot archive and the devices of the machine. Safe.

use crate::{Device, Memory, cap, objects::Process};
use alloc::vec::Vec;
use kernel_abi::{CAP_SLOTS, Kind, SLOT_SELF, Slot, boot_slots};

/// The boot archive.
pub fn archive() -> Memory {
    Memory::borrowed(boot_slots::ARCHIVE)
}

/// The first process itself.
pub fn this_process() -> Process {
    Process::borrowed(SLOT_SELF)
}

/// Every PCI function that the kernel found.
pub fn devices() -> Vec<Device> {
    (boot_slots::FIRST_DEVICE.index()..CAP_SLOTS as u16)
        .map(Slot::fresh)
        .take_while(|slot| cap::info(*slot).is_ok_and(|details| details.kind == Kind::Device))
        .map(Device::borrowed)
        .collect()
}
