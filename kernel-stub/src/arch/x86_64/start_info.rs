//! What the loader hands over with the PVH boot protocol: `hvm_start_info`, version 1 (Xen,
//! `public/arch-x86/hvm/start_info.h`). Copies all of it out; reads nothing else.

use super::firmware::FirmwareMemory;
use super::memory_map::{Region, RegionKind};
use core::fmt;
use core::ops::Range;
use heapless::Vec;

const MAGIC: u64 = 0x336e_c578;
/// Most entries of the memory map that are looked at (a PC has about ten).
pub(crate) const MAX_REGIONS: usize = 64;
/// Most bytes of command line that are kept.
pub(crate) const MAX_COMMAND_LINE: usize = 2048;

/// The copied information.
#[derive(Debug)]
pub(crate) struct StartInfo {
    /// The memory map, without empty entries, in the loader's order.
    pub(crate) regions: Vec<Region, MAX_REGIONS>,
    /// The first module (`-initrd`), physical; empty if there is none.
    pub(crate) archive: Range<u64>,
    /// The command line, cut at [`MAX_COMMAND_LINE`] bytes.
    pub(crate) command_line: Vec<u8, MAX_COMMAND_LINE>,
    /// Address of the ACPI root pointer, zero if the loader names none.
    pub(crate) rsdp: u64,
}

/// Why the information cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(
    test,
    expect(unreachable_pub, reason = "a port shows it in its `BootFailure`")
)]
pub enum StartInfoError {
    /// The structure lies outside memory that can be read.
    Unreadable,
    /// Another protocol, or none.
    BadMagic(u32),
    /// Version 0, which has no memory map.
    NoMemoryMap,
    /// More entries than the kernel has room for.
    TooManyRegions(u64),
    /// The module's address and length make no sense.
    BadArchive,
}

impl fmt::Display for StartInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartInfoError::Unreadable => f.write_str("the PVH start information cannot be read"),
            StartInfoError::BadMagic(magic) => {
                write!(
                    f,
                    "no PVH start information (magic {magic:#x}): boot with `qemu -kernel`"
                )
            }
            StartInfoError::NoMemoryMap => f.write_str("the loader gives no memory map"),
            StartInfoError::TooManyRegions(count) => {
                write!(
                    f,
                    "the memory map has {count} entries, at most {MAX_REGIONS} are handled"
                )
            }
            StartInfoError::BadArchive => f.write_str("the boot archive's address is not valid"),
        }
    }
}

impl core::error::Error for StartInfoError {}

/// Reads the structure at `address`.
///
/// # Errors
/// See [`StartInfoError`].
pub(crate) fn parse(
    memory: &mut impl FirmwareMemory,
    address: u64,
) -> Result<StartInfo, StartInfoError> {
    use StartInfoError::Unreadable;
    let field = |memory: &mut _, offset: u64| {
        FirmwareMemory::number::<8>(memory, address.wrapping_add(offset)).ok_or(Unreadable)
    };
    let half = |memory: &mut _, offset: u64| {
        FirmwareMemory::number::<4>(memory, address.wrapping_add(offset)).ok_or(Unreadable)
    };
    let magic = half(memory, 0)?;
    if magic != MAGIC {
        return Err(StartInfoError::BadMagic(magic as u32));
    }
    if half(memory, 4)? == 0 {
        return Err(StartInfoError::NoMemoryMap);
    }
    let modules = half(memory, 12)?;
    let module_list = field(memory, 16)?;
    let command_line = field(memory, 24)?;
    let rsdp = field(memory, 32)?;
    let map = field(memory, 40)?;
    let map_entries = half(memory, 48)?;

    let regions = read_regions(memory, map, map_entries)?;
    let archive = if modules == 0 {
        0..0
    } else {
        read_module(memory, module_list, &regions)?
    };
    Ok(StartInfo {
        regions,
        archive,
        command_line: read_string(memory, command_line),
        rsdp,
    })
}

fn read_module(
    memory: &mut impl FirmwareMemory,
    entry: u64,
    regions: &[Region],
) -> Result<Range<u64>, StartInfoError> {
    use StartInfoError::{BadArchive, Unreadable};
    let start = memory.number::<8>(entry).ok_or(Unreadable)?;
    let len = memory
        .number::<8>(entry.wrapping_add(8))
        .ok_or(Unreadable)?;
    let range = start..start.checked_add(len).ok_or(BadArchive)?;
    if len == 0 || !regions.iter().any(|region| region.holds(&range)) {
        return Err(BadArchive);
    }
    Ok(range)
}

fn read_regions(
    memory: &mut impl FirmwareMemory,
    map: u64,
    entries: u64,
) -> Result<Vec<Region, MAX_REGIONS>, StartInfoError> {
    let mut regions = Vec::new();
    for index in 0..entries {
        if index >= 4 * MAX_REGIONS as u64 {
            return Err(StartInfoError::TooManyRegions(entries));
        }
        let mut bytes = [0; 24];
        memory
            .read(map.wrapping_add(index * 24), &mut bytes)
            .ok_or(StartInfoError::Unreadable)?;
        let word = |at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|part| part.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        let (start, len) = (word(0), word(8));
        // Some loaders append an empty entry of type zero. One that wraps is cut.
        if len == 0 {
            continue;
        }
        let kind = if word(16) as u32 == 1 {
            RegionKind::Ram
        } else {
            RegionKind::Reserved
        };
        let range = start..start.saturating_add(len);
        if regions.push(Region { range, kind }).is_err() {
            return Err(StartInfoError::TooManyRegions(entries));
        }
    }
    Ok(regions)
}

/// Bytes up to a NUL, or up to where nothing can be read.
fn read_string(memory: &mut impl FirmwareMemory, address: u64) -> Vec<u8, MAX_COMMAND_LINE> {
    let mut text = Vec::new();
    if address == 0 {
        return text;
    }
    for offset in 0..MAX_COMMAND_LINE as u64 {
        match memory.number::<1>(address.wrapping_add(offset)) {
            None | Some(0) => break,
            // The vector is as long as the loop.
            Some(byte) => drop(text.push(byte as u8)),
        }
    }
    text
}

#[cfg(test)]
mod tests;
