//! The kernel's half of every address space, built once: the image with the rights of its parts, the direct
//! map of RAM, and the window for device registers.

use super::layout::{BOOT_MAPPED, DIRECT_MAP, IMAGE, Image, WINDOW};
use super::paging::{self, Attributes, PageSize};
use super::{memory_map, window};
use crate::phys::{Frame, PhysAddr, PhysMemory};
use crate::platform::MapError;
use core::ops::Range;
use kernel_abi::PAGE_SIZE;

const PAGE: u64 = PAGE_SIZE as u64;

/// Frames for the kernel's page tables, taken one after the other from free RAM that the boot code's tables reach.
pub(super) struct BootFrames {
    free: Range<u64>,
}

impl BootFrames {
    /// Takes from the first sufficiently large piece that starts below [`BOOT_MAPPED`].
    pub(super) fn new(usable: &memory_map::Pieces) -> Option<BootFrames> {
        usable
            .iter()
            .map(|piece| piece.start..piece.end.min(BOOT_MAPPED))
            .find(|piece| piece.end.saturating_sub(piece.start) >= 64 * PAGE)
            .map(|free| BootFrames { free })
    }

    fn take(&mut self, memory: &mut PhysMemory) -> Option<Frame> {
        let frame = Frame::containing(PhysAddr(self.free.start))?;
        if self.free.end.saturating_sub(self.free.start) < PAGE {
            return None;
        }
        self.free.start += PAGE;
        memory.zero_frame(frame).ok()?;
        Some(frame)
    }

    /// Address of the first frame that was not taken.
    pub(super) fn next(&self) -> u64 {
        self.free.start
    }
}

/// Builds the tables and returns the root.
///
/// # Errors
/// `NoFrame` if RAM ran out.
pub(super) fn build(
    memory: &mut PhysMemory,
    frames: &mut BootFrames,
    image: &Image,
    ram: &memory_map::Pieces,
    huge_pages: bool,
) -> Result<Frame, MapError> {
    let root = frames.take(memory).ok_or(MapError::NoFrame)?;
    let mut tables = Tables {
        memory,
        frames,
        root,
        largest: if huge_pages {
            PageSize::Huge
        } else {
            PageSize::Large
        },
    };
    for (part, attributes) in [
        (image.text.clone(), Attributes::KERNEL_TEXT),
        (image.rodata.clone(), Attributes::KERNEL_RODATA),
        (
            image.data.start..image.stack_guard.start,
            Attributes::KERNEL_DATA,
        ),
        (
            image.stack_guard.end..image.data.end,
            Attributes::KERNEL_DATA,
        ),
    ] {
        let physical = part.start.wrapping_sub(IMAGE)..part.end.wrapping_sub(IMAGE);
        tables.map_range(IMAGE, &physical, PageSize::Small, attributes)?;
    }
    // The image is not in the direct map: its code has no writable alias.
    let mut direct = ram.clone();
    memory_map::exclude(&mut direct, &image.physical);
    for piece in &direct {
        tables.map_range(DIRECT_MAP, piece, tables.largest, Attributes::KERNEL_DATA)?;
    }
    let table = window::table_frame().ok_or(MapError::NoFrame)?;
    paging::attach_table(tables.memory, root, WINDOW, table, &mut |memory| {
        tables.frames.take(memory)
    })?;
    Ok(root)
}

struct Tables<'a> {
    memory: &'a mut PhysMemory,
    frames: &'a mut BootFrames,
    root: Frame,
    largest: PageSize,
}

impl Tables<'_> {
    /// Maps physical addresses at `base` plus their number, with pages of at most `largest`.
    fn map_range(
        &mut self,
        base: u64,
        physical: &Range<u64>,
        largest: PageSize,
        attributes: Attributes,
    ) -> Result<(), MapError> {
        let mut at = physical.start;
        while at < physical.end {
            let size = [PageSize::Huge, PageSize::Large]
                .into_iter()
                .find(|size| {
                    *size <= largest
                        && at.is_multiple_of(size.bytes())
                        && physical.end - at >= size.bytes()
                })
                .unwrap_or(PageSize::Small);
            let frame = Frame::containing(PhysAddr(at)).ok_or(MapError::NoFrame)?;
            paging::map(
                self.memory,
                self.root,
                base.wrapping_add(at),
                frame,
                size,
                attributes,
                &mut |memory| self.frames.take(memory),
            )?;
            at += size.bytes();
        }
        Ok(())
    }
}
