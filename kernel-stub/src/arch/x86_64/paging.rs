//! Four-level page tables (SDM vol. 3, 4.5), as plain data in physical memory: no register, no flush.
//! May write any frame that hangs from the root it is given.
//!
//! The lower half of an address space belongs to the process and starts empty; the upper half (entries
//! 256..512 of the root) is the kernel's and the same in every address space.

use crate::phys::{Frame, PhysAddr, PhysMemory};
use crate::platform::MapError;
use kernel_abi::{PAGE_SIZE, Prot, USER_END, USER_START};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const WRITE_THROUGH: u64 = 1 << 3;
const CACHE_DISABLE: u64 = 1 << 4;
const LARGE: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const ENTRIES: u64 = 512;
/// First entry of the root that belongs to the kernel.
const KERNEL_HALF: u64 = 256;

/// How a page is mapped, apart from where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Attributes(u64);

impl Attributes {
    /// For the kernel's code.
    pub(crate) const KERNEL_TEXT: Attributes = Attributes(GLOBAL);
    /// For the kernel's constants.
    pub(crate) const KERNEL_RODATA: Attributes = Attributes(GLOBAL | NO_EXECUTE);
    /// For the kernel's variables, and RAM in the direct map.
    pub(crate) const KERNEL_DATA: Attributes = Attributes(GLOBAL | NO_EXECUTE | WRITABLE);
    /// For device registers that the kernel uses: uncached (PAT entry 3 as the processor starts, SDM vol. 3, 12.12).
    pub(crate) const KERNEL_DEVICE: Attributes =
        Attributes(NO_EXECUTE | WRITABLE | CACHE_DISABLE | WRITE_THROUGH);

    /// For a page of a process. A page that would be writable and executable is not executable.
    pub(crate) fn user(prot: Prot, device: bool) -> Attributes {
        let mut bits = USER;
        if prot.contains(Prot::WRITE) {
            bits |= WRITABLE;
        }
        if !prot.contains(Prot::EXEC) || prot.contains(Prot::WRITE) || device {
            bits |= NO_EXECUTE;
        }
        if device {
            bits |= CACHE_DISABLE | WRITE_THROUGH;
        }
        Attributes(bits)
    }
}

/// Size of a page, as the level of the table that maps it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum PageSize {
    /// 4 KiB.
    Small = 0,
    /// 2 MiB.
    Large = 1,
    /// 1 GiB; not every processor has it.
    Huge = 2,
}

impl PageSize {
    /// In bytes.
    pub(crate) const fn bytes(self) -> u64 {
        (PAGE_SIZE as u64) << (9 * self as u32)
    }
}

/// Whether a process can have something mapped at this address (of a page).
pub(crate) fn is_user_page(address: u64) -> bool {
    (USER_START..USER_END).contains(&address) && address.is_multiple_of(PAGE_SIZE as u64)
}

/// The raw entry for one 4 KiB page of device registers in the kernel's half.
pub(crate) fn device_entry(frame: Frame) -> u64 {
    frame.address().0 | Attributes::KERNEL_DEVICE.0 | PRESENT
}

/// A table outside of RAM reads as empty. It cannot come up: tables are frames that `allocate` gave.
fn read(memory: &PhysMemory, at: PhysAddr) -> u64 {
    memory.read_u64(at).unwrap_or(0)
}

/// Writes an entry; `None` if the table lies outside of RAM.
fn write(memory: &mut PhysMemory, at: PhysAddr, entry: u64) -> Option<()> {
    memory.write_u64(at, entry).ok()
}

fn slot(table: Frame, address: u64, level: u32) -> PhysAddr {
    entry_at(table, address.wrapping_shr(12 + 9 * level) % ENTRIES)
}

/// Address of the entry with this number, below 512. (No sum: this is on the path of most system calls.)
fn entry_at(table: Frame, index: u64) -> PhysAddr {
    PhysAddr(table.address().0 | index << 3)
}

fn entry_frame(entry: u64) -> Option<Frame> {
    Frame::containing(PhysAddr(entry & ADDRESS))
}

/// Maps one page of `size`. `allocate` gives zeroed frames for tables that are missing (at most three); those
/// that were hung in before an error stay in the tree, empty.
///
/// # Errors
/// `NoFrame` if `allocate` gave none, `Busy` if something is mapped there already.
pub(crate) fn map(
    memory: &mut PhysMemory,
    root: Frame,
    address: u64,
    frame: Frame,
    size: PageSize,
    attributes: Attributes,
    allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
) -> Result<(), MapError> {
    let table = table_for(memory, root, address, size, allocate)?;
    let at = slot(table, address, size as u32);
    if read(memory, at) & PRESENT != 0 {
        return Err(MapError::Busy);
    }
    let large = if size == PageSize::Small { 0 } else { LARGE };
    let entry = frame.address().0 | attributes.0 | large | PRESENT;
    write(memory, at, entry).ok_or(MapError::NoFrame)
}

/// Hangs a ready-made page table in where 2 MiB at `address` would be mapped.
pub(crate) fn attach_table(
    memory: &mut PhysMemory,
    root: Frame,
    address: u64,
    table: Frame,
    allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
) -> Result<(), MapError> {
    let directory = table_for(memory, root, address, PageSize::Large, allocate)?;
    let at = slot(directory, address, PageSize::Large as u32);
    if read(memory, at) & PRESENT != 0 {
        return Err(MapError::Busy);
    }
    let entry = table.address().0 | WRITABLE | PRESENT;
    write(memory, at, entry).ok_or(MapError::NoFrame)
}

/// The table whose entries map pages of `size`, made where it is missing.
fn table_for(
    memory: &mut PhysMemory,
    root: Frame,
    address: u64,
    size: PageSize,
    allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
) -> Result<Frame, MapError> {
    // Rights of a page are the intersection over all levels; the last level decides alone.
    let user = if address < USER_END { USER } else { 0 };
    let mut table = root;
    for level in ((size as u32 + 1)..=3).rev() {
        let at = slot(table, address, level);
        let entry = read(memory, at);
        table = if entry & PRESENT == 0 {
            let fresh = allocate(memory).ok_or(MapError::NoFrame)?;
            let entry = fresh.address().0 | WRITABLE | PRESENT | user;
            write(memory, at, entry).ok_or(MapError::NoFrame)?;
            fresh
        } else if entry & LARGE != 0 {
            return Err(MapError::Busy);
        } else {
            entry_frame(entry).ok_or(MapError::Busy)?
        };
    }
    Ok(table)
}

/// Where the entry of a 4 KiB page lies, and its value; `None` where nothing is mapped.
fn find(memory: &PhysMemory, root: Frame, address: u64) -> Option<(PhysAddr, u64)> {
    let mut table = root;
    for level in (1..=3).rev() {
        let entry = read(memory, slot(table, address, level));
        if entry & PRESENT == 0 || entry & LARGE != 0 {
            return None;
        }
        table = entry_frame(entry)?;
    }
    let at = slot(table, address, 0);
    let entry = read(memory, at);
    (entry & PRESENT != 0).then_some((at, entry))
}

/// Unmaps the 4 KiB page at a user address; returns what was mapped. The caller flushes.
pub(crate) fn unmap(memory: &mut PhysMemory, root: Frame, address: u64) -> Option<Frame> {
    if address >= USER_END {
        return None;
    }
    let (at, entry) = find(memory, root, address)?;
    write(memory, at, 0)?;
    entry_frame(entry)
}

/// Where a byte of a user page lies and how the page is mapped.
///
/// `None` where nothing is mapped for the user, and for device registers: the kernel must never be made
/// to read or write those on behalf of a process that passes their address to a system call.
pub(crate) fn translate(
    memory: &PhysMemory,
    root: Frame,
    address: u64,
) -> Option<(PhysAddr, Prot)> {
    if address >= USER_END {
        return None;
    }
    let (_, entry) = find(memory, root, address)?;
    if entry & USER == 0 || entry & CACHE_DISABLE != 0 {
        return None;
    }
    let mut prot = Prot::READ;
    prot.set(Prot::WRITE, entry & WRITABLE != 0);
    prot.set(Prot::EXEC, entry & NO_EXECUTE == 0);
    let offset = address % PAGE_SIZE as u64;
    Some((PhysAddr((entry & ADDRESS) + offset), prot))
}

/// Makes the (zeroed) root `to` share the kernel's half of `from`.
pub(crate) fn share_kernel_half(memory: &mut PhysMemory, from: Frame, to: Frame) {
    for index in KERNEL_HALF..ENTRIES {
        let entry = read(memory, entry_at(from, index));
        write(memory, entry_at(to, index), entry);
    }
}

/// Takes every table of the user half out of the tree and hands it to `free`. Pages are not freed:
/// they belong to memory objects.
pub(crate) fn free_user_tables(
    memory: &mut PhysMemory,
    root: Frame,
    free: &mut dyn FnMut(&mut PhysMemory, Frame),
) {
    for top in 0..KERNEL_HALF {
        let Some(pointers) = child(memory, root, top) else {
            continue;
        };
        write(memory, entry_at(root, top), 0);
        for middle in 0..ENTRIES {
            let Some(directory) = child(memory, pointers, middle) else {
                continue;
            };
            for index in 0..ENTRIES {
                if let Some(table) = child(memory, directory, index) {
                    free(memory, table);
                }
            }
            free(memory, directory);
        }
        free(memory, pointers);
    }
}

fn child(memory: &PhysMemory, table: Frame, index: u64) -> Option<Frame> {
    let entry = read(memory, entry_at(table, index));
    if entry & PRESENT == 0 || entry & LARGE != 0 {
        return None;
    }
    entry_frame(entry)
}

#[cfg(test)]
mod tests;
