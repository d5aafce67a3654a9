//! The few facts that the kernel takes from the ACPI tables (ACPI 6.5, chapter 5.2; PCI Firmware 3.3, 4.1.2): where
//! configuration space lies, how many processors there are, the interrupt controller, two ports. No AML.
//!
//! The tables may be missing, truncated, wrong or point at each other in a circle: every read is bounded
//! by the table's checked length, every list by a fixed count.

use super::firmware::FirmwareMemory;

/// Longest table that is believed.
const MAX_TABLE: u64 = 1 << 20;
/// Most tables that are looked at.
const MAX_TABLES: u64 = 64;
const HEADER: u64 = 36;
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;

/// Memory-mapped PCI configuration space of segment 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ecam {
    /// Address of bus 0 (also if the first bus is another).
    pub(crate) base: u64,
    /// First bus.
    pub(crate) first_bus: u8,
    /// Last bus.
    pub(crate) last_bus: u8,
}

/// The facts, with a PC's defaults where the tables are silent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// Configuration space.
    pub(crate) ecam: Option<Ecam>,
    /// Processors that can be used, at least one.
    pub(crate) processors: u32,
    /// Registers of the first I/O APIC.
    pub(crate) io_apic: u64,
    /// Input of that I/O APIC where COM1 (ISA interrupt 4) arrives.
    pub(crate) console_input: u8,
    /// Port of the 3.579545 MHz timer.
    pub(crate) pm_timer: Option<u16>,
    /// Port of the register that switches the machine off.
    pub(crate) pm1a_control: Option<u16>,
    /// Registers of the units that translate what devices access (VT-d 5.0, 8.3); empty if there are none, or more
    /// than can be used.
    pub(crate) dma_units: heapless::Vec<u64, 4>,
}

impl Default for Facts {
    fn default() -> Self {
        Facts {
            ecam: None,
            processors: 1,
            io_apic: 0xfec0_0000,
            console_input: 4,
            pm_timer: None,
            pm1a_control: None,
            dma_units: heapless::Vec::new(),
        }
    }
}

/// A table whose length and checksum are right.
#[derive(Clone, Copy)]
struct Table {
    address: u64,
    len: u64,
    signature: [u8; 4],
}

impl Table {
    fn number<const N: usize>(&self, memory: &mut impl FirmwareMemory, offset: u64) -> Option<u64> {
        let inside = offset.checked_add(N as u64)? <= self.len;
        inside
            .then(|| memory.number::<N>(self.address.checked_add(offset)?))
            .flatten()
    }
}

/// Reads the tables, starting with the root pointer at `rsdp` (zero: it is searched for).
pub(crate) fn read(memory: &mut impl FirmwareMemory, rsdp: u64) -> Facts {
    let mut facts = Facts::default();
    let rsdp = if rsdp != 0 {
        Some(rsdp)
    } else {
        search(memory)
    };
    let Some((root, entry_bytes)) = rsdp.and_then(|at| root_table(memory, at)) else {
        return facts;
    };
    let entries = ((root.len - HEADER) / entry_bytes).min(MAX_TABLES);
    for index in 0..entries {
        let at = HEADER + index * entry_bytes;
        let address = match entry_bytes {
            8 => root.number::<8>(memory, at),
            _ => root.number::<4>(memory, at),
        };
        if let Some(table) = address.and_then(|address| table(memory, address)) {
            match &table.signature {
                b"MCFG" => facts.ecam = facts.ecam.or_else(|| read_mcfg(memory, table)),
                b"APIC" => read_madt(memory, table, &mut facts),
                b"FACP" => read_fadt(memory, table, &mut facts),
                b"DMAR" => facts.dma_units = read_dmar(memory, table).unwrap_or_default(),
                _ => {}
            }
        }
    }
    facts
}

fn search(memory: &mut impl FirmwareMemory) -> Option<u64> {
    BIOS_AREA
        .step_by(16)
        .find(|&address| root_table(memory, address).is_some())
}

/// The XSDT (8-byte entries) or RSDT (4-byte entries) of a root pointer.
fn root_table(memory: &mut impl FirmwareMemory, rsdp: u64) -> Option<(Table, u64)> {
    let mut bytes = [0; 20];
    memory.read(rsdp, &mut bytes)?;
    if !bytes.starts_with(b"RSD PTR ") || checksum(memory, rsdp, 20)? != 0 {
        return None;
    }
    let revision = memory.number::<1>(rsdp.checked_add(15)?)?;
    if revision >= 2 && checksum(memory, rsdp, 36)? == 0 {
        let xsdt = memory.number::<8>(rsdp.checked_add(24)?)?;
        if let Some(root) = table(memory, xsdt).filter(|root| &root.signature == b"XSDT") {
            return Some((root, 8));
        }
    }
    let rsdt = memory.number::<4>(rsdp.checked_add(16)?)?;
    let root = table(memory, rsdt).filter(|root| &root.signature == b"RSDT")?;
    Some((root, 4))
}

fn table(memory: &mut impl FirmwareMemory, address: u64) -> Option<Table> {
    let mut signature = [0; 4];
    memory.read(address, &mut signature)?;
    let len = memory.number::<4>(address.checked_add(4)?)?;
    if !(HEADER..=MAX_TABLE).contains(&len) || checksum(memory, address, len)? != 0 {
        return None;
    }
    Some(Table {
        address,
        len,
        signature,
    })
}

fn checksum(memory: &mut impl FirmwareMemory, address: u64, len: u64) -> Option<u8> {
    let mut sum = 0_u8;
    for offset in 0..len {
        sum = sum.wrapping_add(memory.number::<1>(address.checked_add(offset)?)? as u8);
    }
    Some(sum)
}

fn read_mcfg(memory: &mut impl FirmwareMemory, table: Table) -> Option<Ecam> {
    (44..table.len)
        .step_by(16)
        .take(MAX_TABLES as usize)
        .find_map(|at| {
            let base = table.number::<8>(memory, at)?;
            let segment = table.number::<2>(memory, at + 8)?;
            let first_bus = table.number::<1>(memory, at + 10)? as u8;
            let last_bus = table.number::<1>(memory, at + 11)? as u8;
            let valid = segment == 0
                && first_bus <= last_bus
                && base != 0
                && base.is_multiple_of(1 << 20)
                && base < 1 << 44;
            valid.then_some(Ecam {
                base,
                first_bus,
                last_bus,
            })
        })
}

fn read_madt(memory: &mut impl FirmwareMemory, table: Table, facts: &mut Facts) {
    let mut processors = 0;
    let mut io_apic = None;
    let mut at = 44;
    while let (Some(kind), Some(len)) = (
        table.number::<1>(memory, at),
        table.number::<1>(memory, at + 1),
    ) {
        if len < 2 {
            break;
        }
        match kind {
            // Local APIC and local x2APIC: flags say whether it is enabled.
            0 => processors += table.number::<4>(memory, at + 4).unwrap_or(0) as u32 & 1,
            9 => processors += table.number::<4>(memory, at + 8).unwrap_or(0) as u32 & 1,
            1 => io_apic = io_apic.or(table.number::<4>(memory, at + 4)),
            // Override: ISA interrupt 4 arrives elsewhere. Inputs beyond the first I/O APIC's 24 are not handled.
            2 if table.number::<1>(memory, at + 3) == Some(4) => {
                if let Some(input @ 0..24) = table.number::<4>(memory, at + 4) {
                    facts.console_input = input as u8;
                }
            }
            _ => {}
        }
        at += len;
    }
    facts.processors = processors.max(1);
    if let Some(address) = io_apic.filter(|address| address.is_multiple_of(4096)) {
        facts.io_apic = address;
    }
}

/// The units of segment 0; `None` if one of them can't be told, or there are too many.
fn read_dmar(memory: &mut impl FirmwareMemory, table: Table) -> Option<heapless::Vec<u64, 4>> {
    let mut units = heapless::Vec::new();
    let mut at = 48;
    while at < table.len {
        let kind = table.number::<2>(memory, at)?;
        let len = table.number::<2>(memory, at + 2)?;
        if len < 16 || at + len > table.len {
            return None;
        }
        if kind == 0 && table.number::<2>(memory, at + 6)? == 0 {
            let base = table.number::<8>(memory, at + 8)?;
            if base == 0 || !base.is_multiple_of(4096) || base >= 1 << 44 {
                return None;
            }
            units.push(base).ok()?;
        }
        at += len;
    }
    Some(units)
}

fn read_fadt(memory: &mut impl FirmwareMemory, table: Table, facts: &mut Facts) {
    let mut port = |offset| {
        let port = table.number::<4>(memory, offset)?;
        u16::try_from(port).ok().filter(|&port| port != 0)
    };
    facts.pm1a_control = port(64);
    facts.pm_timer = port(76);
}

#[cfg(test)]
mod tests;
