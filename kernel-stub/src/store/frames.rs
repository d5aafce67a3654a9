//! What each frame of RAM is used for, and a buddy allocator over the free ones. Touches only
//! the table of frames, one record for each frame up to the end of RAM.
//!
//! Frame 0 is never handed out, so the number 0 says "none" throughout the kernel.
//!
//! Objects of the kernel get frames of a zone of their own as long as there are some, and everything else gets other
//! frames as long as there are some: the records of the objects, which each use of one looks at, then lie in few pages.

use core::ops::Range;
use core::ptr::NonNull;
use kernel_abi::PAGE_SIZE;

/// Sizes of free blocks: `1 << order` frames, up to 512 MiB.
pub(crate) const ORDERS: usize = 18;

/// What a frame holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// Not RAM, or RAM that the kernel does not manage (firmware, the kernel's image).
    Reserved = 0,
    /// Tables of the kernel, for ever.
    Kernel,
    /// First frame of a free block.
    Free,
    /// Another frame of a free block.
    FreePart,
    /// A page of the boot archive.
    Archive,
    /// A page of a memory object.
    User,
    /// A page table.
    PageTable,
    /// Capabilities of a process.
    CapTable,
    /// Mappings of a process.
    MapTable,
    /// Numbers of the frames of a large memory object.
    PageList,
    /// A budget.
    Budget,
    /// Header of a memory object.
    Memory,
    /// A process.
    Process,
    /// A thread.
    Thread,
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// An interrupt.
    Interrupt,
    /// A PCI function.
    Device,
}

impl FrameKind {
    /// Of what every system call looks at. (`Kernel` is what an object is until it was written.)
    fn is_for_zone(self) -> bool {
        use FrameKind::{
            Budget, CapTable, Device, Endpoint, Interrupt, Kernel, Notification, Process, Thread,
        };
        matches!(
            self,
            Kernel
                | CapTable
                | Budget
                | Process
                | Thread
                | Endpoint
                | Notification
                | Interrupt
                | Device
        )
    }
}

/// The record of a frame.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct FrameMeta {
    pub(crate) kind: FrameKind,
    /// Free: size of the block.
    order: u8,
    /// No reference to the object is left, and it is in the list of the dead.
    pub(crate) dying: bool,
    /// In use: capabilities and kernel references to the object. Free: previous block. Dying: next one.
    pub(crate) refs: u32,
    /// In use: frame of the budget that pays, 0 for the kernel itself. Free: next block.
    pub(crate) payer: u32,
}

/// Names in a page of the table.
pub(crate) const NAMES_IN_PAGE: u32 = (PAGE_SIZE / size_of::<u64>()) as u32;

const NEW: FrameMeta = FrameMeta {
    kind: FrameKind::Reserved,
    order: 0,
    dying: false,
    refs: 0,
    payer: 0,
};

/// All frames.
pub(crate) struct Frames {
    /// For each frame, above: its generation, which grows each time that it is freed, so that a stale [`super::Ref`] is recognised. Below: zero,
    /// or what a reference to the object in it has there. So one comparison says whether a reference is good.
    names: NonNull<u64>,
    table: NonNull<FrameMeta>,
    len: u32,
    /// First block of each order: outside of the zone, and inside.
    free: [[u32; ORDERS]; 2],
    /// Where the kernel's objects are put.
    zone: Range<u32>,
    free_count: u32,
}

impl Frames {
    /// Bytes of a table for `len` frames.
    pub(crate) const fn table_bytes(len: u32) -> u64 {
        len as u64 * (size_of::<u64>() + size_of::<FrameMeta>()) as u64
    }

    /// Starts with every frame reserved, and this zone for the kernel's objects.
    ///
    /// # Safety
    /// `table` is aligned to a page and valid for reads and writes of `table_bytes(len)` bytes as long as the
    /// value lives, and nobody else touches them.
    pub(crate) unsafe fn new(table: NonNull<u8>, len: u32, zone: Range<u32>) -> Frames {
        let names = table.cast::<u64>();
        // SAFETY: the table that the caller promises has room for `len` names, and `len` records behind them.
        let table = unsafe { names.add(len as usize) }.cast::<FrameMeta>();
        for index in 0..len as usize {
            // SAFETY: `index` is within the names.
            let name = unsafe { names.add(index) };
            // SAFETY: the caller promises that the table is writable and not shared.
            unsafe { name.write(0) };
            // SAFETY: `index` is within the records.
            let entry = unsafe { table.add(index) };
            // SAFETY: as for the names.
            unsafe { entry.write(NEW) };
        }
        Frames {
            names,
            table,
            len,
            free: [[0; ORDERS]; 2],
            zone,
            free_count: 0,
        }
    }

    fn names(&self) -> &[u64] {
        // SAFETY: `new` was promised this range, and filled it.
        unsafe { core::slice::from_raw_parts(self.names.as_ptr(), self.len as usize) }
    }

    /// What a reference to the object in a frame is; the lower half is zero if there is none.
    #[inline]
    pub(crate) fn name(&self, frame: u32) -> Option<u64> {
        self.names().get(frame as usize).copied()
    }

    /// Notes what a frame holds: as in a reference's lower half, zero if it is no object.
    pub(crate) fn set_name(&mut self, frame: u32, low: u32) {
        self.change_name(frame, |generation| (generation, low));
    }

    /// No reference to what the frame held is good any more.
    pub(crate) fn forget(&mut self, frame: u32) {
        self.change_name(frame, |generation| (generation.wrapping_add(1), 0));
    }

    fn change_name(&mut self, frame: u32, change: impl FnOnce(u32) -> (u32, u32)) {
        // SAFETY: as in `names`; `&mut self` makes the reference the only one.
        let names =
            unsafe { core::slice::from_raw_parts_mut(self.names.as_ptr(), self.len as usize) };
        if let Some(name) = names.get_mut(frame as usize) {
            let (generation, low) = change((*name >> 32) as u32);
            *name = (generation as u64) << 32 | low as u64;
        }
    }

    fn table(&self) -> &[FrameMeta] {
        // SAFETY: `new` was promised this range, and filled it with valid records.
        unsafe { core::slice::from_raw_parts(self.table.as_ptr(), self.len as usize) }
    }

    fn table_mut(&mut self) -> &mut [FrameMeta] {
        // SAFETY: as in `table`; `&mut self` makes the reference the only one.
        unsafe { core::slice::from_raw_parts_mut(self.table.as_ptr(), self.len as usize) }
    }

    pub(crate) fn get(&self, frame: u32) -> Option<&FrameMeta> {
        self.table().get(frame as usize)
    }

    pub(crate) fn get_mut(&mut self, frame: u32) -> Option<&mut FrameMeta> {
        self.table_mut().get_mut(frame as usize)
    }

    pub(crate) fn kind(&self, frame: u32) -> FrameKind {
        self.get(frame)
            .map_or(FrameKind::Reserved, |meta| meta.kind)
    }

    pub(crate) fn set_kind(&mut self, frame: u32, kind: FrameKind) {
        if let Some(meta) = self.get_mut(frame) {
            meta.kind = kind;
        }
    }

    pub(crate) fn free_count(&self) -> u32 {
        self.free_count
    }

    /// Adds frames that were reserved so far to the free ones.
    pub(crate) fn add(&mut self, first: u32, end: u32) {
        let Range { start, end: behind } = self.zone;
        self.add_part(first, end.min(start));
        self.add_part(first.max(start), end.min(behind));
        self.add_part(first.max(behind), end);
    }

    /// Frames that are all in the zone, or all outside.
    fn add_part(&mut self, first: u32, end: u32) {
        let end = end.min(self.len);
        let mut frame = first.max(1);
        while frame < end {
            let mut order = 0;
            while order + 1 < ORDERS
                && frame.is_multiple_of(2 << order)
                && frame.saturating_add(2 << order) <= end
            {
                order += 1;
            }
            self.give(frame, order);
            frame += 1 << order;
        }
    }

    /// Takes one frame, for this.
    pub(crate) fn take(&mut self, kind: FrameKind) -> Option<u32> {
        let zone = kind.is_for_zone();
        self.take_block(0, zone)
            .or_else(|| self.take_block(0, !zone))
    }

    /// Takes `count` frames in a row (at least one).
    pub(crate) fn take_run(&mut self, count: u32) -> Option<u32> {
        let order = count.checked_next_power_of_two()?.trailing_zeros() as usize;
        let first = self
            .take_block(order, false)
            .or_else(|| self.take_block(order, true))?;
        // The rest of the block goes back, from the end, in the largest pieces that are aligned.
        let (mut frame, end) = (first + count, first + (1 << order));
        while frame < end {
            let order = frame.trailing_zeros() as usize;
            self.give(frame, order);
            frame += 1 << order;
        }
        Some(first)
    }

    /// Gives one frame back.
    pub(crate) fn release(&mut self, frame: u32) {
        self.give(frame, 0);
    }

    fn take_block(&mut self, order: usize, zone: bool) -> Option<u32> {
        let [outside, inside] = &self.free;
        let free = if zone { inside } else { outside };
        let found = (order..ORDERS).find(|o| free.get(*o).is_some_and(|head| *head != 0))?;
        let frame = *free.get(found)?;
        self.unlink(frame, found);
        for half in (order..found).rev() {
            self.link(frame + (1 << half), half);
        }
        self.free_count -= 1 << order;
        Some(frame)
    }

    fn give(&mut self, mut frame: u32, mut order: usize) {
        self.free_count += 1 << order;
        for part in 0..1u32 << order {
            self.set_kind(frame + part, FrameKind::FreePart);
        }
        while order + 1 < ORDERS {
            let buddy = frame ^ (1 << order);
            let whole = self
                .get(buddy)
                .is_some_and(|meta| meta.kind == FrameKind::Free && meta.order as usize == order);
            if !whole || self.zone.contains(&buddy) != self.zone.contains(&frame) {
                break;
            }
            self.unlink(buddy, order);
            self.set_kind(buddy, FrameKind::FreePart);
            frame = frame.min(buddy);
            order += 1;
        }
        self.link(frame, order);
    }

    /// First block of an order, on the side of the zone's border where `frame` is.
    fn head(&mut self, frame: u32, order: usize) -> Option<&mut u32> {
        let [outside, inside] = &mut self.free;
        match self.zone.contains(&frame) {
            true => inside.get_mut(order),
            false => outside.get_mut(order),
        }
    }

    fn link(&mut self, frame: u32, order: usize) {
        let next = match self.head(frame, order) {
            Some(head) => core::mem::replace(head, frame),
            None => return,
        };
        if let Some(meta) = self.get_mut(frame) {
            meta.kind = FrameKind::Free;
            meta.order = order as u8;
            meta.refs = 0;
            meta.payer = next;
        }
        if let Some(meta) = self.get_mut(next).filter(|_| next != 0) {
            meta.refs = frame;
        }
    }

    fn unlink(&mut self, frame: u32, order: usize) {
        let Some((prev, next)) = self.get(frame).map(|meta| (meta.refs, meta.payer)) else {
            return;
        };
        if prev == 0 {
            if let Some(head) = self.head(frame, order) {
                *head = next;
            }
        } else if let Some(meta) = self.get_mut(prev) {
            meta.payer = next;
        }
        if let Some(meta) = self.get_mut(next).filter(|_| next != 0) {
            meta.refs = prev;
        }
        if let Some(meta) = self.get_mut(frame) {
            meta.refs = 0;
            meta.payer = 0;
        }
    }
}
