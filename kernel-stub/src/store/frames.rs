//! What each frame of RAM is used for, and a buddy allocator over the free ones. Touches only
//! the table of frames, one record for each frame up to the end of RAM.
//!
//! Frame 0 is never handed out, so the number 0 says "none" throughout the kernel.

use core::ptr::NonNull;

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

/// The record of a frame.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct FrameMeta {
    pub(crate) kind: FrameKind,
    /// Free: size of the block.
    order: u8,
    /// No reference to the object is left, and it is in the list of the dead.
    pub(crate) dying: bool,
    /// Grows each time that the frame is freed, so that a stale [`super::Ref`] is recognised.
    pub(crate) generation: u32,
    /// In use: capabilities and kernel references to the object. Free: previous block. Dying: next one.
    pub(crate) refs: u32,
    /// In use: frame of the budget that pays, 0 for the kernel itself. Free: next block.
    pub(crate) payer: u32,
}

const NEW: FrameMeta = FrameMeta {
    kind: FrameKind::Reserved,
    order: 0,
    dying: false,
    generation: 0,
    refs: 0,
    payer: 0,
};

/// All frames.
pub(crate) struct Frames {
    table: NonNull<FrameMeta>,
    len: u32,
    /// First block of each order.
    free: [u32; ORDERS],
    free_count: u32,
}

impl Frames {
    /// Bytes of a table for `len` frames.
    pub(crate) const fn table_bytes(len: u32) -> u64 {
        len as u64 * size_of::<FrameMeta>() as u64
    }

    /// Starts with every frame reserved.
    ///
    /// # Safety
    /// `table` is aligned to a page and valid for reads and writes of `table_bytes(len)` bytes as long as the
    /// value lives, and nobody else touches them.
    pub(crate) unsafe fn new(table: NonNull<u8>, len: u32) -> Frames {
        let table = table.cast::<FrameMeta>();
        for index in 0..len as usize {
            // SAFETY: `index` is within the table that the caller promises.
            let entry = unsafe { table.add(index) };
            // SAFETY: the caller promises that the table is writable and not shared.
            unsafe { entry.write(NEW) };
        }
        Frames {
            table,
            len,
            free: [0; ORDERS],
            free_count: 0,
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

    /// Takes one frame.
    pub(crate) fn take(&mut self) -> Option<u32> {
        self.take_block(0)
    }

    /// Takes `count` frames in a row (at least one).
    pub(crate) fn take_run(&mut self, count: u32) -> Option<u32> {
        let order = count.checked_next_power_of_two()?.trailing_zeros() as usize;
        let first = self.take_block(order)?;
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

    fn take_block(&mut self, order: usize) -> Option<u32> {
        let found = (order..ORDERS).find(|o| self.free.get(*o).is_some_and(|head| *head != 0))?;
        let frame = *self.free.get(found)?;
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
            if !whole {
                break;
            }
            self.unlink(buddy, order);
            self.set_kind(buddy, FrameKind::FreePart);
            frame = frame.min(buddy);
            order += 1;
        }
        self.link(frame, order);
    }

    fn link(&mut self, frame: u32, order: usize) {
        let next = match self.free.get_mut(order) {
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
            if let Some(head) = self.free.get_mut(order) {
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
