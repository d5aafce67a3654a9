//! MSI-X (PCI Local Bus 3.0, section 6.8.2): the kernel alone writes tables and message control.
#![forbid(unsafe_code)]

use crate::kernel::Kernel;
use crate::object::{Device, Msix};
use crate::phys::PhysAddr;
use crate::platform::Platform;
use crate::store::Ref;
use kernel_abi::Error;

/// Bytes of a table entry: address (low, high), data, vector control.
const ENTRY: u64 = 16;

/// Vector control: masked.
const MASKED: u32 = 1;

/// Message control, as upper half of the capability's first word: MSI-X enable, function mask.
const ENABLE: u32 = 1 << 31;
const FUNCTION_MASK: u32 = 1 << 30;

fn entry_address(msix: Msix, number: u16, offset: u64) -> PhysAddr {
    PhysAddr(msix.table).offset(number as u64 * ENTRY + offset)
}

impl<P: Platform> Kernel<P> {
    fn msix(&self, device: Ref<Device>) -> Result<(u16, Msix), Error> {
        let entry = self.store.get(device)?;
        Ok((entry.address, entry.msix.ok_or(Error::NotSupported)?))
    }

    fn set_control(&mut self, address: u16, msix: Msix, set: u32, clear: u32) {
        let old = self.platform.config_read(address, msix.capability);
        let new = (old | set) & !clear;
        self.platform.config_write(address, msix.capability, new);
    }

    /// Programs an entry, and switches MSI-X on if it is off.
    pub(super) fn enable_entry(
        &mut self,
        device: Ref<Device>,
        number: u16,
        vector: u8,
    ) -> Result<(), Error> {
        let (address, msix) = self.msix(device)?;
        if !msix.enabled {
            // Nothing may fire before every entry is masked: firmware may have left some open.
            self.set_control(address, msix, ENABLE | FUNCTION_MASK, 0);
            for entry in 0..msix.entries {
                self.platform
                    .mmio_write(entry_address(msix, entry, 12), MASKED);
            }
            self.set_control(address, msix, ENABLE, FUNCTION_MASK);
            if let Some(msix) = &mut self.store.get_mut(device)?.msix {
                msix.enabled = true;
            }
        }
        let (target, data) = self.platform.msi_message(vector);
        let words = [target as u32, (target >> 32) as u32, data, 0];
        for (offset, word) in (0..).step_by(4).zip(words) {
            let place = entry_address(msix, number, offset);
            self.platform.mmio_write(place, word);
        }
        Ok(())
    }

    /// Masks or unmasks an entry. What comes while it is masked is kept pending by the device.
    #[cold]
    #[inline(never)]
    pub(super) fn mask_entry(
        &mut self,
        device: Ref<Device>,
        number: u16,
        masked: bool,
    ) -> Result<(), Error> {
        let (_, msix) = self.msix(device)?;
        let place = entry_address(msix, number, 12);
        self.platform
            .mmio_write(place, if masked { MASKED } else { 0 });
        // Read back, so that the write has arrived when user code goes on.
        self.platform.mmio_read(place);
        Ok(())
    }

    /// Masks everything and switches MSI-X off.
    pub(super) fn disable_msix(&mut self, device: Ref<Device>) -> Result<(), Error> {
        let Ok((address, msix)) = self.msix(device) else {
            return Ok(());
        };
        if msix.enabled {
            for entry in 0..msix.entries {
                self.platform
                    .mmio_write(entry_address(msix, entry, 12), MASKED);
            }
            self.set_control(address, msix, 0, ENABLE);
            if let Some(msix) = &mut self.store.get_mut(device)?.msix {
                msix.enabled = false;
            }
        }
        Ok(())
    }
}
