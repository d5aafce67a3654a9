//! Tables that translate what devices access (VT-d 5.0, 9.1, 9.3 and 9.8: root, context and second-stage entries), as plain
//! data in physical memory: no register, no flush. May write any frame that hangs from the root it is given.
//!
//! Device addresses equal physical ones: a table says which of them a device may access, and hides nothing else.

use crate::phys::{Frame, PhysAddr, PhysMemory};
use crate::platform::MapError;

const READ: u64 = 1 << 0;
const WRITE: u64 = 1 << 1;
/// Root and context entries.
const PRESENT: u64 = 1 << 0;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
const ENTRIES: u64 = 512;

/// Depth of second-stage tables, as the unit supports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Depth {
    /// Addresses of 39 bits.
    Three = 3,
    /// Addresses of 48 bits.
    Four = 4,
}

impl Depth {
    /// Width of addresses in a context entry (VT-d 5.0, 9.3).
    const fn width_code(self) -> u64 {
        self as u64 - 2
    }

    fn reaches(self, frame: Frame) -> bool {
        frame.address().0 >> (12 + 9 * self as u32) == 0
    }
}

/// A table outside of RAM reads as empty. It cannot come up: tables are frames that `allocate` gave.
fn read(memory: &PhysMemory, at: PhysAddr) -> u64 {
    memory.read_u64(at).unwrap_or(0)
}

fn write(memory: &mut PhysMemory, at: PhysAddr, entry: u64) -> Result<(), MapError> {
    memory.write_u64(at, entry).map_err(|_| MapError::NoFrame)
}

fn child(memory: &PhysMemory, at: PhysAddr) -> Option<Frame> {
    let entry = read(memory, at);
    match entry & (READ | WRITE) {
        0 => None,
        _ => Frame::containing(PhysAddr(entry & ADDRESS)),
    }
}

fn slot(table: Frame, frame: Frame, level: u32) -> PhysAddr {
    let index = (frame.0 as u64) >> (9 * level) & (ENTRIES - 1);
    table.address().offset(index * 8)
}

/// Lets whoever is translated by `root` read a frame, and with `true` write to it. `allocate` gives zeroed frames for tables that are missing
/// (at most three); those that were hung in before an error stay in the tree, empty.
///
/// # Errors
/// `NoFrame` if `allocate` gave none, `Busy` if the frame is reachable already or lies beyond what tables of this depth reach.
pub(crate) fn map(
    memory: &mut PhysMemory,
    depth: Depth,
    root: Frame,
    (frame, writes): (Frame, bool),
    allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
) -> Result<(), MapError> {
    if !depth.reaches(frame) {
        return Err(MapError::Busy);
    }
    let mut table = root;
    for level in (1..depth as u32).rev() {
        let at = slot(table, frame, level);
        table = match child(memory, at) {
            Some(table) => table,
            None => {
                let fresh = allocate(memory).ok_or(MapError::NoFrame)?;
                write(memory, at, fresh.address().0 | READ | WRITE)?;
                fresh
            }
        };
    }
    let at = slot(table, frame, 0);
    if read(memory, at) & (READ | WRITE) != 0 {
        return Err(MapError::Busy);
    }
    let rights = if writes { READ | WRITE } else { READ };
    write(memory, at, frame.address().0 | rights)
}

/// Takes a frame out of reach again, if it was within.
pub(crate) fn unmap(memory: &mut PhysMemory, depth: Depth, root: Frame, frame: Frame) {
    if !depth.reaches(frame) {
        return;
    }
    let mut table = root;
    for level in (1..depth as u32).rev() {
        match child(memory, slot(table, frame, level)) {
            Some(next) => table = next,
            None => return,
        }
    }
    // The entry lies in a table that was just read.
    let _in_ram = write(memory, slot(table, frame, 0), 0);
}

/// Takes every table below `root` out of the tree and hands it to `free`. `root` stays, empty.
pub(crate) fn free_tables(
    memory: &mut PhysMemory,
    depth: Depth,
    root: Frame,
    free: &mut dyn FnMut(&mut PhysMemory, Frame),
) {
    free_below(memory, root, depth as u32 - 1, free);
}

/// Recursion as deep as the tables: four at most.
fn free_below(
    memory: &mut PhysMemory,
    table: Frame,
    level: u32,
    free: &mut dyn FnMut(&mut PhysMemory, Frame),
) {
    for index in 0..ENTRIES {
        let at = table.address().offset(index * 8);
        let Some(below) = child(memory, at) else {
            continue;
        };
        let _in_ram = write(memory, at, 0);
        if level > 0 {
            if level > 1 {
                free_below(memory, below, level - 1, free);
            }
            free(memory, below);
        }
    }
}

/// Hangs a context table for the bus of `device` into the root table, if there is none.
///
/// # Errors
/// `NoFrame` if `allocate` gave none.
pub(crate) fn add_bus(
    memory: &mut PhysMemory,
    root_table: Frame,
    device: u16,
    allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
) -> Result<(), MapError> {
    let at = root_entry(root_table, device);
    if read(memory, at) & PRESENT != 0 {
        return Ok(());
    }
    let table = allocate(memory).ok_or(MapError::NoFrame)?;
    write(memory, at, table.address().0 | PRESENT)
}

/// Says by which tables the accesses of `device` are translated, as domain number `domain`; `None`: it reaches nothing.
///
/// # Errors
/// `NoFrame` if its bus was never added.
pub(crate) fn set_context(
    memory: &mut PhysMemory,
    root_table: Frame,
    device: u16,
    domain: u16,
    tables: Option<(Depth, Frame)>,
) -> Result<(), MapError> {
    let entry = read(memory, root_entry(root_table, device));
    let context_table = match entry & PRESENT {
        0 => None,
        _ => Frame::containing(PhysAddr(entry & ADDRESS)),
    };
    let context_table = context_table.ok_or(MapError::NoFrame)?;
    let at = context_table.address().offset((device as u64 & 0xff) * 16);
    // Not present while the other half changes.
    write(memory, at, 0)?;
    if let Some((depth, root)) = tables {
        let high = (domain as u64) << 8 | depth.width_code();
        write(memory, at.offset(8), high)?;
        write(memory, at, root.address().0 | PRESENT)?;
    }
    Ok(())
}

fn root_entry(root_table: Frame, device: u16) -> PhysAddr {
    root_table.address().offset((device as u64 >> 8) * 16)
}

#[cfg(test)]
mod tests;
