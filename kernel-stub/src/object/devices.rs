//! PCI functions and their interrupts. Data only.

use super::{Memory, Watch};
use crate::phys::Frame;
use crate::store::Ref;

/// Most memory objects that a device can reach at a time.
pub(crate) const MAX_PINS: usize = 128;

/// Most interrupts of a device.
pub(crate) const MAX_INTERRUPTS: usize = 32;

/// A base address register for memory; `len` 0 if it is unused or names ports.
#[derive(Clone, Copy, Default)]
pub(crate) struct Bar {
    pub(crate) base: u64,
    pub(crate) len: u64,
}

/// Where a function's MSI-X structures are.
#[derive(Clone, Copy)]
pub(crate) struct Msix {
    /// Offset of the capability in configuration space.
    pub(crate) capability: u16,
    pub(crate) entries: u16,
    /// Physical address of the table.
    pub(crate) table: u64,
    /// BAR and byte ranges (offset, length) of table and pending bits.
    pub(crate) table_place: (u8, u64, u64),
    pub(crate) pending_place: (u8, u64, u64),
    /// Switched on.
    pub(crate) enabled: bool,
}

/// A memory object that a device can reach.
#[derive(Clone, Copy)]
pub(crate) struct Pin {
    pub(crate) memory: Ref<Memory>,
    /// It can also write there, and counts among the object's writers.
    pub(crate) writes: bool,
}

/// A PCI function.
pub(crate) struct Device {
    /// Bus, device, function as in configuration addresses.
    pub(crate) address: u16,
    pub(crate) vendor: u16,
    pub(crate) device: u16,
    pub(crate) class: u32,
    pub(crate) bars: [Bar; 6],
    pub(crate) msix: Option<Msix>,
    /// Memory that it can reach; kept alive until it is quiesced.
    pub(crate) pins: [Option<Pin>; MAX_PINS],
    /// Number that no other device has, from 1.
    pub(crate) number: u16,
    /// Root of the tables that say what it reaches, while it reaches anything and the machine checks that.
    pub(crate) domain: Option<Frame>,
    /// It was stopped because it tried to reach something else.
    pub(crate) has_strayed: bool,
    /// How often that happened.
    pub(crate) strays: u64,
    /// Whom to tell.
    pub(crate) watch: Option<Watch>,
    /// Its interrupts. Neither side keeps the other alive; each is told when the other goes.
    pub(crate) interrupts: [Option<Ref<Interrupt>>; MAX_INTERRUPTS],
}

/// One MSI-X vector of a device.
pub(crate) struct Interrupt {
    /// `None` once the device was quiesced.
    pub(crate) device: Option<Ref<Device>>,
    /// Entry of the MSI-X table.
    pub(crate) entry: u16,
    /// Vector of the processor.
    pub(crate) vector: u8,
    /// It came since it was acknowledged last.
    pub(crate) came: bool,
    /// It came again: its entry is masked until it is acknowledged.
    pub(crate) masked: bool,
    pub(crate) watch: Watch,
}
