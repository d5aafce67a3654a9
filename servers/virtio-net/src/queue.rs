//! One virtqueue (VIRTIO 1.2 section 2.7, the split kind), and who holds its descriptors.
//!
//! A buffer to receive into is one descriptor, header included. One to send from is two: its header is not the stack's to write, and lies in
//! a page of the queue; the frame is as the stack wrote it.
//!
//! Interrupts and notifications are asked for by index where the device can do that (VIRTIO_F_EVENT_IDX): one interrupt for all that comes until
//! it is asked for again. Without, it interrupts for each buffer until it is told not to.
//!
//! Touches the queue's own three pages, which the device reads and writes too. Nothing is read back from them but the used ring, one flag
//! and one index, and what the used ring claims is compared with private tables before it is believed. Descriptors and the available
//! ring are written only, so that whatever the device writes there has no effect here.
#![forbid(unsafe_code)]

use crate::{
    error::DeviceError,
    hal::{self, HEADER_START, Pages},
    mmio::Page,
    offload::{HEADER, Header},
    registers::Registers,
    transport::{PciTransport, RECEIVE, TRANSMIT},
};
use alloc::boxed::Box;
use core::{
    num::NonZeroU32,
    sync::atomic::{Ordering, fence},
};
use ipc_proto::frame::{HEADROOM, Pool};
use virtio_drivers::{PAGE_SIZE, PhysAddr, transport::Transport};

/// Descriptors of a queue: so many that a byte names one.
pub const QUEUE_SIZE: usize = 256;
/// Frames that the queue to send has room for: each takes two descriptors.
pub const SENT_AT_ONCE: usize = QUEUE_SIZE / 2;

/// Pages of a queue: descriptors, available ring, used ring.
const PAGES: usize = 3;
/// Bytes of a descriptor: address, length, flags, the next one (section 2.7.5).
const DESCRIPTOR: usize = 16;
/// The device writes the buffer of this descriptor: its flags, in the upper half of its second word.
const DEVICE_WRITES: u64 = 2 << u32::BITS;
/// There is another descriptor behind this one, with this number.
const NEXT: u64 = 1 << u32::BITS;
const NEXT_NUMBER: u32 = u32::BITS + u16::BITS;
/// Where in the page of the available ring, behind the ring, the headers of frames to send lie, and how far apart.
const HEADERS: usize = 1024;
const HEADER_ROOM: usize = 16;
/// In the available ring: no interrupts, please (section 2.7.6).
const NO_INTERRUPT: u16 = 1;
/// In the used ring: no notifications, please (section 2.7.8).
const NO_NOTIFY: u32 = 1;

/// Behind the available ring: the entry of the used ring with which an interrupt is to come (section 2.7.7).
const USED_EVENT: usize = 4 + 2 * QUEUE_SIZE;
/// Behind the used ring: the entry of the available ring with which a notification is to come (section 2.7.10).
const AVAILABLE_EVENT: usize = 4 + 8 * QUEUE_SIZE;

const _: () = assert!(DESCRIPTOR * QUEUE_SIZE <= PAGE_SIZE && 6 + 8 * QUEUE_SIZE <= PAGE_SIZE);
const _: () = assert!(6 + 2 * QUEUE_SIZE <= HEADERS && HEADER <= HEADER_ROOM);
const _: () = assert!(HEADERS + HEADER_ROOM * SENT_AT_ONCE <= PAGE_SIZE);

/// A frame pool as the device sees it: all of it is memory that it was given.
#[derive(Clone, Copy, Debug)]
pub struct DevicePool {
    start: PhysAddr,
    layout: Pool,
}

impl DevicePool {
    /// A pool with these buffers in the `bytes` that the device finds at `start`. `None` if there are fewer than the pool has, or
    /// addresses end before: it is the stack that says which buffers there are, and the device must not be led beyond its memory.
    pub fn new(start: PhysAddr, bytes: u64, layout: Pool) -> Option<DevicePool> {
        let fits = layout.bytes() as u64 <= bytes && start.checked_add(bytes).is_some();
        fits.then_some(DevicePool { start, layout })
    }
}

/// A buffer in the device's hands.
#[derive(Clone, Copy, Debug)]
struct Posted {
    buffer: u16,
    /// Length of its last descriptor in bytes.
    len: NonZeroU32,
}

/// What is known of the slots, each of which has one descriptor or two.
struct Slots {
    /// Those that are nobody's: from the number on that are in flight. What is in front of them means nothing.
    ids: [u8; QUEUE_SIZE],
    /// By slot.
    posted: [Option<Posted>; QUEUE_SIZE],
}

/// A buffer that the device gave back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completed {
    /// Number in the pool.
    pub buffer: u16,
    /// Bytes that the device wrote, header included: between the header's length and the descriptor's for a
    /// received frame, zero for a sent one.
    pub written: u32,
}

/// The queue with buffers to receive into, which the device writes.
pub type ReceiveQueue = Queue<RECEIVE>;
/// The queue with frames to send, which the device reads.
pub type TransmitQueue = Queue<TRANSMIT>;

/// The virtqueue with this number.
pub struct Queue<const INDEX: u16> {
    pool: DevicePool,
    descriptors: Page,
    available: Page,
    /// The used ring as the device writes it.
    used: Page,
    /// Whether interrupts and notifications are asked for by index.
    by_index: bool,
    /// How far the available ring was written, and how far of that the device was shown.
    next_available: u16,
    shown: u16,
    /// How far the used ring was read.
    last_used: u16,
    /// How many more entries of it may be read: as the device has claimed, and not more than are in flight.
    claimed: u16,
    known: Box<Slots>,
    in_flight: u16,
    /// The memory of the three. Last, because it must outlive them.
    _pages: Pages,
}

impl<const INDEX: u16> Queue<INDEX> {
    /// Whether the device writes the buffers.
    const RECEIVES: bool = INDEX == RECEIVE;
    /// The number of the first descriptor of a buffer is that of its slot, so many bits to the left; the same is how many
    /// descriptors lie in front of that of the frame.
    const SHIFT: usize = !Self::RECEIVES as usize;
    /// Buffers that there is room for.
    const ROOM: usize = QUEUE_SIZE >> Self::SHIFT;

    /// Sets the device's queue up, with interrupts suppressed; `by_index`: VIRTIO_F_EVENT_IDX was agreed on.
    ///
    /// # Errors
    /// [`DeviceError`] if the device's queue does not suit, or there is no memory for it.
    pub fn new<R: Registers>(
        transport: &mut PciTransport<R>,
        pool: DevicePool,
        by_index: bool,
    ) -> Result<Self, DeviceError> {
        let size = transport.max_queue_size(INDEX);
        if !size.is_power_of_two() || size < QUEUE_SIZE as u32 {
            return Err(DeviceError::QueueSize { queue: INDEX, size });
        }
        let failed = DeviceError::QueueSetup(INDEX);
        if transport.queue_used(INDEX) {
            return Err(failed);
        }
        let pages = Pages::take(PAGES).ok_or(failed)?;
        let [descriptors, available, used] =
            [0, 1, 2].map(|page| pages.device().wrapping_add(page * PAGE_SIZE as u64));
        let view = |at| hal::page(at).ok_or(failed);
        let queue = Queue {
            pool,
            descriptors: view(descriptors)?,
            available: view(available)?,
            used: view(used)?,
            by_index,
            next_available: 0,
            shown: 0,
            last_used: 0,
            claimed: 0,
            known: Box::new(Slots {
                ids: core::array::from_fn(|id| id as u8),
                posted: [None; QUEUE_SIZE],
            }),
            in_flight: 0,
            _pages: pages,
        };
        if !Self::RECEIVES {
            queue.link_headers(available);
        }
        queue.set_interrupts(None);
        transport.queue_set(INDEX, QUEUE_SIZE as u32, descriptors, available, used);
        transport.used_ring(INDEX)?;
        Ok(queue)
    }

    /// Makes the first descriptor of each slot that of its header, once and for all. The device finds the page with them at `page`.
    fn link_headers(&self, page: PhysAddr) {
        for slot in 0..SENT_AT_ONCE {
            let (at, next) = (DESCRIPTOR * 2 * slot, 2 * slot as u64 + 1);
            let header = (HEADERS + HEADER_ROOM * slot) as u64;
            self.descriptors.write64(at, page.wrapping_add(header));
            let rest = HEADER as u64 | NEXT | next << NEXT_NUMBER;
            self.descriptors.write64(at + 8, rest);
        }
    }

    /// Buffers in the device's hands.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Whether there is room for another buffer.
    #[inline]
    pub fn has_room(&self) -> bool {
        usize::from(self.in_flight) < Self::ROOM
    }

    /// Gives `len` bytes of a buffer to the device, from byte `from` of it on. The slot, if it was done.
    #[inline(always)]
    fn post(&mut self, buffer: u16, from: usize, len: u32) -> Option<u8> {
        let (start, size) = self.pool.layout.place(buffer)?;
        if len as usize > size.saturating_sub(from) || !self.has_room() {
            return None;
        }
        let known = &mut *self.known;
        let slot = *known.ids.get(usize::from(self.in_flight))?;
        let len = NonZeroU32::new(len)?;
        if let Some(place) = known.posted.get_mut(usize::from(slot)) {
            *place = Some(Posted { buffer, len });
        }
        let offset = start.saturating_add(from) as u64;
        let flags = if Self::RECEIVES { DEVICE_WRITES } else { 0 };
        let id = usize::from(slot) << Self::SHIFT;
        let at = DESCRIPTOR * (id + Self::SHIFT);
        let address = self.pool.start.wrapping_add(offset);
        self.descriptors.write64(at, address);
        self.descriptors
            .write64(at + 8, u64::from(len.get()) | flags);
        let place = usize::from(self.next_available) % QUEUE_SIZE;
        self.available.write16(4 + 2 * place, id as u16);
        self.next_available = self.next_available.wrapping_add(1);
        self.in_flight = self.in_flight.saturating_add(1);
        Some(slot)
    }

    /// Shows the device the new buffers, if there are some, and tells it if it wants to know.
    pub fn kick<R: Registers>(&mut self, transport: &mut PciTransport<R>) {
        let (old, new) = (self.shown, self.next_available);
        if old == new {
            return;
        }
        self.shown = new;
        // Entries first, then the index that covers them (section 2.7.13.3).
        fence(Ordering::Release);
        self.available.write16(2, new);
        // What the device wants must not be read before our index is visible (section 2.7.13.4.1).
        fence(Ordering::SeqCst);
        let wants_to_know = if self.by_index {
            let event = self.used.read32(AVAILABLE_EVENT) as u16;
            // That entry is one of the new ones.
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            self.used.read32(0) & NO_NOTIFY == 0
        };
        if wants_to_know {
            transport.notify(INDEX);
        }
    }

    /// How many buffers the device claims to have given back, and not more than it had.
    #[inline]
    fn look(&self) -> Result<u16, DeviceError> {
        let index = (self.used.read32(0) >> 16) as u16;
        let claimed = index.wrapping_sub(self.last_used);
        if claimed > self.in_flight {
            return Err(self.too_many(claimed));
        }
        Ok(claimed)
    }

    /// How many buffers the device has given back that were not taken.
    ///
    /// # Errors
    /// [`DeviceError`] if the used ring makes no sense. The queue can't be used any more then.
    pub fn waiting(&self) -> Result<u16, DeviceError> {
        self.look()
    }

    /// Takes the next buffer that the device gave back.
    ///
    /// # Errors
    /// [`DeviceError`] if the used ring makes no sense. The queue can't be used any more then.
    #[inline]
    pub fn reap(&mut self) -> Result<Option<Completed>, DeviceError> {
        if self.claimed == 0 {
            self.claimed = self.look()?;
            if self.claimed == 0 {
                return Ok(None);
            }
            // The elements were written before the index that covers them (section 2.7.8.2).
            fence(Ordering::Acquire);
        }
        let place = 4 + 8 * (usize::from(self.last_used) % QUEUE_SIZE);
        let (id, len) = (self.used.read32(place), self.used.read32(place + 4));
        let known = &mut *self.known;
        // One fewer are in flight: the slot joins those that are nobody's.
        let remaining = self.in_flight.wrapping_sub(1);
        let (Ok(token), Some(free)) = (u8::try_from(id), known.ids.get_mut(usize::from(remaining)))
        else {
            return Err(self.unknown(id));
        };
        // The number of a first descriptor.
        let slot = token >> Self::SHIFT;
        let posted = known.posted.get_mut(usize::from(slot));
        let Some(posted) = posted
            .filter(|_| slot << Self::SHIFT == token)
            .and_then(Option::take)
        else {
            return Err(self.unknown(id));
        };
        *free = slot;
        self.in_flight = remaining;
        self.claimed = self.claimed.saturating_sub(1);
        self.last_used = self.last_used.wrapping_add(1);
        // What a device says that it wrote to a buffer that it may only read means nothing.
        let written = if Self::RECEIVES { len } else { 0 };
        if Self::RECEIVES && !(HEADER as u32..=posted.len.get()).contains(&len) {
            return Err(DeviceError::UsedLength { queue: INDEX, len });
        }
        Ok(Some(Completed {
            buffer: posted.buffer,
            written,
        }))
    }

    /// It claims to have given back more than it has.
    #[cold]
    fn too_many(&self, claimed: u16) -> DeviceError {
        DeviceError::UsedIndex {
            queue: INDEX,
            claimed,
            in_flight: self.in_flight,
        }
    }

    /// It gave back what it does not have.
    #[cold]
    fn unknown(&self, id: u32) -> DeviceError {
        DeviceError::UsedId { queue: INDEX, id }
    }

    /// Asks the device for an interrupt when it gives back more than so many further buffers, or for none. A device that does not go by
    /// indices interrupts for each.
    pub fn set_interrupts(&self, beyond: Option<u16>) {
        if self.by_index {
            // Without: an entry that has come, so that none that comes is it before all indices were used.
            let event = beyond.map_or(self.last_used.wrapping_sub(1), |spare| {
                self.last_used.wrapping_add(spare)
            });
            self.available.write16(USED_EVENT, event);
        } else {
            let flags = if beyond.is_some() { 0 } else { NO_INTERRUPT };
            self.available.write16(0, flags);
        }
    }

    /// Whether no interrupt that was asked for like this was missed: no more than so many buffers came back so far. Decided after
    /// everything written before is visible to the device.
    ///
    /// # Errors
    /// As [`Queue::reap`].
    #[inline]
    pub fn is_quiet(&self, beyond: u16) -> Result<bool, DeviceError> {
        fence(Ordering::SeqCst);
        let spare = if self.by_index { beyond } else { 0 };
        Ok(self.look()? <= spare)
    }
}

impl ReceiveQueue {
    /// Gives the device a buffer to receive into, from the header on. Returns `false`, and does nothing, if there is no room or no
    /// such buffer. The device sees it at the next [`Queue::kick`].
    #[inline]
    pub fn post_receive(&mut self, buffer: u16) -> bool {
        let size = self.pool.layout.place(buffer).map_or(0, |(_, size)| size);
        let len = size.saturating_sub(HEADER_START) as u32;
        self.post(buffer, HEADER_START, len).is_some()
    }
}

impl TransmitQueue {
    /// Gives the device a buffer with a frame of `len` bytes, behind this header. Returns `false`, and does nothing, if there is no
    /// room, no such buffer, or it has not so many bytes. The device sees it at the next [`Queue::kick`].
    #[inline]
    pub fn post_transmit(&mut self, buffer: u16, len: u16, header: Header) -> bool {
        let Some(slot) = self.post(buffer, HEADROOM, len.into()) else {
            return false;
        };
        let [a, b, c, d, e, f, g, h, i, j, k, l] = header;
        let words = [
            u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            u64::from_le_bytes([i, j, k, l, 0, 0, 0, 0]),
        ];
        let at = HEADERS + HEADER_ROOM * usize::from(slot);
        self.available.write64(at, words[0]);
        self.available.write64(at + 8, words[1]);
        true
    }
}
