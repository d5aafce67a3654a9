//! The units between devices and memory (Intel VT-d 5.0, chapter 11: registers; 6.5: invalidation; 7.3: faults). Owns
//! their registers; the tables that they walk are made in `dma_tables`.
//!
//! All units get the same root table, so it does not matter which of them stands before which device. Interrupt
//! remapping is left off: the kernel alone writes MSI-X tables.

use super::dma_tables::Depth;
use super::window::Window;
use crate::phys::Frame;
use crate::platform::DmaFault;
use heapless::Vec;

/// Most units that are used; a machine with more counts as one without.
pub(super) const MAX_UNITS: usize = 4;
/// Register reads before a unit that does not answer is given up.
const PATIENCE: u32 = 1 << 20;

const CAPABILITY: u64 = 0x08;
const EXTENDED_CAPABILITY: u64 = 0x10;
const GLOBAL_COMMAND: u64 = 0x18;
const GLOBAL_STATUS: u64 = 0x1c;
const ROOT_TABLE: u64 = 0x20;
const CONTEXT_COMMAND: u64 = 0x28;
const FAULT_STATUS: u64 = 0x34;
const FAULT_CONTROL: u64 = 0x38;
const FAULT_DATA: u64 = 0x3c;
const FAULT_ADDRESS: u64 = 0x40;
const FAULT_UPPER_ADDRESS: u64 = 0x44;

/// Global command and status: translation, set root table pointer.
const TRANSLATE: u32 = 1 << 31;
const SET_ROOT: u32 = 1 << 30;
/// Bits of the status that are commands of lasting effect, to be given again with every command (11.4.4).
const LASTING: u32 = 0x96ff_ffff;
/// Upper halves: context cache, all of it; IOTLB, all of it, pending reads and writes drained.
const INVALIDATE: u32 = 1 << 31;
const ALL_CONTEXTS: u32 = INVALIDATE | 1 << 29;
const ALL_TRANSLATIONS: u32 = INVALIDATE | 1 << 28 | 1 << 17 | 1 << 16;
/// Fault status: records were lost.
const OVERFLOW: u32 = 1;
/// Fault records, fourth word: valid; a read.
const FAULT: u32 = 1 << 31;
const WAS_READ: u32 = 1 << 30;

/// One unit.
#[derive(Clone, Copy)]
struct Unit {
    base: u64,
    iotlb: u64,
    records: u64,
    record_count: u64,
}

/// All units of the machine.
pub(super) struct Iommu {
    units: Vec<Unit, MAX_UNITS>,
    /// How deep the tables are.
    pub(super) depth: Depth,
    /// Whether the units see what the processor has in its caches.
    pub(super) coherent: bool,
    /// The table of buses, once there is one.
    pub(super) root_table: Option<Frame>,
}

impl Iommu {
    /// The units with registers at these addresses; `None` if there is none, or one that can't be used.
    pub(super) fn find(window: &Window, bases: &[u64]) -> Option<Iommu> {
        let mut units = Vec::new();
        let (mut three, mut four, mut coherent) = (true, true, true);
        for base in bases {
            let wide = |offset| {
                let low = window.read_register(base + offset) as u64;
                low | (window.read_register(base + offset + 4) as u64) << 32
            };
            let (capability, extended) = (wide(CAPABILITY), wide(EXTENDED_CAPABILITY));
            // Nobody there; write buffers that have to be flushed by hand; fewer domains than devices.
            if capability == u64::MAX || capability & 1 << 4 != 0 || capability & 7 == 0 {
                return None;
            }
            three &= capability & 1 << 9 != 0;
            four &= capability & 1 << 10 != 0;
            coherent &= extended & 1 != 0;
            let unit = Unit {
                base: *base,
                iotlb: (extended >> 8 & 0x3ff) * 16 + 8,
                records: (capability >> 24 & 0x3ff) * 16,
                record_count: (capability >> 40 & 0xff) + 1,
            };
            units.push(unit).ok()?;
        }
        let depth = match (three, four) {
            (true, _) => Depth::Three,
            (_, true) => Depth::Four,
            _ => return None,
        };
        (!units.is_empty()).then_some(Iommu {
            units,
            depth,
            coherent,
            root_table: None,
        })
    }

    /// Switches translation on, with `root_table` and faults told by the message (address, data). `false` if a unit does not
    /// do as it is told.
    pub(super) fn begin(&self, window: &Window, root_table: Frame, message: (u64, u32)) -> bool {
        self.units.iter().all(|unit| {
            let write = |offset, value| window.write_register(unit.base + offset, value);
            let root = root_table.address().0;
            write(ROOT_TABLE, root as u32);
            write(ROOT_TABLE + 4, (root >> 32) as u32);
            if !unit.command(window, SET_ROOT) || !unit.forget(window) {
                return false;
            }
            write(FAULT_DATA, message.1);
            write(FAULT_ADDRESS, message.0 as u32);
            write(FAULT_UPPER_ADDRESS, (message.0 >> 32) as u32);
            write(FAULT_CONTROL, 0);
            unit.command(window, TRANSLATE)
        })
    }

    /// Makes the units forget what they know of the tables. `false` if one does not answer.
    pub(super) fn forget(&self, window: &Window) -> bool {
        self.units.iter().all(|unit| unit.forget(window))
    }

    /// Takes the next record of an access that was refused.
    pub(super) fn take_fault(&self, window: &Window) -> Option<DmaFault> {
        self.units.iter().find_map(|unit| unit.take_fault(window))
    }
}

impl Unit {
    fn read(&self, window: &Window, offset: u64) -> u32 {
        window.read_register(self.base + offset)
    }

    /// Gives a command and waits until it took effect.
    fn command(&self, window: &Window, command: u32) -> bool {
        let lasting = self.read(window, GLOBAL_STATUS) & LASTING;
        window.write_register(self.base + GLOBAL_COMMAND, lasting | command);
        (0..PATIENCE).any(|_| self.read(window, GLOBAL_STATUS) & command != 0)
    }

    /// Invalidates the context cache, then the translations that came from it (6.5.1).
    fn forget(&self, window: &Window) -> bool {
        [
            (CONTEXT_COMMAND, ALL_CONTEXTS),
            (self.iotlb, ALL_TRANSLATIONS),
        ]
        .into_iter()
        .all(|(register, command)| {
            window.write_register(self.base + register, 0);
            window.write_register(self.base + register + 4, command);
            (0..PATIENCE).any(|_| self.read(window, register + 4) & INVALIDATE == 0)
        })
    }

    fn take_fault(&self, window: &Window) -> Option<DmaFault> {
        for number in 0..self.record_count {
            let record = self.records + number * 16;
            let last = self.read(window, record + 12);
            if last & FAULT == 0 {
                continue;
            }
            let low = self.read(window, record) as u64;
            let high = self.read(window, record + 4) as u64;
            let device = self.read(window, record + 8) as u16;
            window.write_register(self.base + record + 12, FAULT);
            window.write_register(self.base + FAULT_STATUS, OVERFLOW);
            return Some(DmaFault {
                device,
                address: high << 32 | low & !0xfff,
                write: last & WAS_READ == 0,
            });
        }
        None
    }
}
