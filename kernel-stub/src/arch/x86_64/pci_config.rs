//! PCI configuration space: memory-mapped (PCIe 5.0, 7.2.2) where the firmware says so, else through the two
//! ports of PCI (3.0, 3.2.2.3.2). Owns both.

use super::acpi::Ecam;
use super::cpu::{inl, outl};
use super::window::Window;

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
/// What reads as a register that is not there.
const NOTHING: u32 = u32::MAX;

/// How configuration space is reached.
pub(super) enum ConfigSpace {
    /// 4096 bytes a function.
    Mapped(Ecam),
    /// 256 bytes a function.
    Ports,
}

impl ConfigSpace {
    /// Whether there is anything: a host bridge is function 0 of device 0.
    pub(super) fn is_there(&self, window: &Window) -> bool {
        self.read(window, 0, 0) as u16 != 0xffff
    }

    /// Reads an aligned word; all ones where there is none.
    pub(super) fn read(&self, window: &Window, function: u16, offset: u16) -> u32 {
        match self {
            ConfigSpace::Mapped(ecam) => match mapped_address(*ecam, function, offset) {
                Some(address) => window.read_register(address),
                None => NOTHING,
            },
            ConfigSpace::Ports => match port_address(function, offset) {
                Some(address) => {
                    // SAFETY: selects a register; only this module uses the ports.
                    unsafe { outl(ADDRESS_PORT, address) };
                    // SAFETY: reads the selected register.
                    unsafe { inl(DATA_PORT) }
                }
                None => NOTHING,
            },
        }
    }

    /// Writes an aligned word; nothing happens where there is none.
    pub(super) fn write(&self, window: &Window, function: u16, offset: u16, value: u32) {
        match self {
            ConfigSpace::Mapped(ecam) => {
                if let Some(address) = mapped_address(*ecam, function, offset) {
                    window.write_register(address, value);
                }
            }
            ConfigSpace::Ports => {
                if let Some(address) = port_address(function, offset) {
                    // SAFETY: selects a register; only this module uses the ports.
                    unsafe { outl(ADDRESS_PORT, address) };
                    // SAFETY: the portable kernel decides what is written to devices.
                    unsafe { outl(DATA_PORT, value) };
                }
            }
        }
    }
}

fn mapped_address(ecam: Ecam, function: u16, offset: u16) -> Option<u64> {
    let bus = (function >> 8) as u8;
    let valid = (ecam.first_bus..=ecam.last_bus).contains(&bus)
        && offset < 4096
        && offset.is_multiple_of(4);
    valid.then(|| ecam.base + ((function as u64) << 12) + offset as u64)
}

fn port_address(function: u16, offset: u16) -> Option<u32> {
    let valid = offset < 256 && offset.is_multiple_of(4);
    valid.then_some(1 << 31 | (function as u32) << 8 | offset as u32)
}
