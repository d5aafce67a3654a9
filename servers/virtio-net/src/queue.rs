//! One virtqueue (VIRTIO 1.2 section 2.7, the split kind), and who holds its descriptors.
//!
//! Touches the queue's own three pages, which the device reads and writes too. Nothing is read back from them but the used ring and one flag,
//! and what the used ring claims is compared with private tables before it is believed. Descriptors and the available ring are
//! written only, so that whatever the device writes there has no effect here.
#![forbid(unsafe_code)]

use crate::{
    error::DeviceError,
    hal::{self, HEADER_START, Pages},
    mmio::Page,
    offload::HEADER,
    registers::Registers,
    transport::PciTransport,
};
use alloc::boxed::Box;
use core::{
    num::NonZeroU32,
    sync::atomic::{Ordering, fence},
};
use ipc_proto::frame::Pool;
use virtio_drivers::{PAGE_SIZE, PhysAddr, transport::Transport};

/// Descriptors of a queue: so many that a byte names one.
pub const QUEUE_SIZE: usize = 256;

/// Pages of a queue: descriptors, available ring, used ring.
const PAGES: usize = 3;
/// Bytes of a descriptor: address, length, flags, the next one (section 2.7.5).
const DESCRIPTOR: usize = 16;
/// The device writes the buffer of this descriptor: its flags, in the upper half of its second word.
const DEVICE_WRITES: u64 = 2 << u32::BITS;
/// In the available ring: no interrupts, please (section 2.7.6).
const NO_INTERRUPT: u16 = 1;
/// In the used ring: no notifications, please (section 2.7.8).
const NO_NOTIFY: u32 = 1;

const _: () = assert!(DESCRIPTOR * QUEUE_SIZE <= PAGE_SIZE && 6 + 8 * QUEUE_SIZE <= PAGE_SIZE);

/// Which way the buffers of a queue travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The device writes them.
    Receive,
    /// The device reads them.
    Transmit,
}

/// The frame pool as the device sees it.
#[derive(Clone, Copy, Debug)]
pub struct DevicePool {
    /// Where it finds it.
    pub start: PhysAddr,
    /// Which buffers it has.
    pub layout: Pool,
}

/// A buffer in the device's hands.
#[derive(Clone, Copy, Debug)]
struct Posted {
    buffer: u16,
    /// Length of the descriptor in bytes, header included.
    len: NonZeroU32,
}

/// What is known of the descriptors.
struct Descriptors {
    /// Those that are nobody's: from the number on that are in flight. What is in front of them means nothing.
    ids: [u8; QUEUE_SIZE],
    /// By descriptor.
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

/// A virtqueue.
pub struct Queue {
    index: u16,
    direction: Direction,
    pool: DevicePool,
    descriptors: Page,
    available: Page,
    /// The used ring as the device writes it.
    used: Page,
    /// How far the available ring was written.
    next_available: u16,
    /// How far the used ring was read.
    last_used: u16,
    /// How many more entries of it may be read: as the device has claimed, and not more than are in flight.
    claimed: u16,
    known: Box<Descriptors>,
    in_flight: u16,
    /// Whether buffers were added since the last kick.
    unannounced: bool,
    /// The memory of the three. Last, because it must outlive them.
    _pages: Pages,
}

impl Queue {
    /// Sets queue `index` of the device up, with interrupts suppressed.
    ///
    /// # Errors
    /// [`DeviceError`] if the device's queue does not suit, or there is no memory for it.
    pub fn new<R: Registers>(
        transport: &mut PciTransport<R>,
        index: u16,
        direction: Direction,
        pool: DevicePool,
    ) -> Result<Queue, DeviceError> {
        let size = transport.max_queue_size(index);
        if !size.is_power_of_two() || size < QUEUE_SIZE as u32 {
            return Err(DeviceError::QueueSize { queue: index, size });
        }
        let failed = DeviceError::QueueSetup(index);
        if transport.queue_used(index) {
            return Err(failed);
        }
        let pages = Pages::take(PAGES).ok_or(failed)?;
        let [descriptors, available, used] =
            [0, 1, 2].map(|page| pages.device().wrapping_add(page * PAGE_SIZE as u64));
        let view = |at| hal::page(at).ok_or(failed);
        let queue = Queue {
            index,
            direction,
            pool,
            descriptors: view(descriptors)?,
            available: view(available)?,
            used: view(used)?,
            next_available: 0,
            last_used: 0,
            claimed: 0,
            known: Box::new(Descriptors {
                ids: core::array::from_fn(|id| id as u8),
                posted: [None; QUEUE_SIZE],
            }),
            in_flight: 0,
            unannounced: false,
            _pages: pages,
        };
        queue.set_interrupts(false);
        transport.queue_set(index, QUEUE_SIZE as u32, descriptors, available, used);
        transport.used_ring(index)?;
        Ok(queue)
    }

    /// Buffers in the device's hands.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Whether there is room for another buffer.
    #[inline]
    pub fn has_room(&self) -> bool {
        usize::from(self.in_flight) < QUEUE_SIZE
    }

    /// Gives a buffer to the device, from the header on: `len` bytes, or with `None` all there are. Returns `false`, and does
    /// nothing, if there is no room, no such buffer, or it has not so many bytes. The device sees it at the next [`Queue::kick`].
    #[inline]
    pub fn post(&mut self, buffer: u16, len: Option<u32>) -> bool {
        let Some((start, size)) = self.pool.layout.place(buffer) else {
            return false;
        };
        let longest = size.saturating_sub(HEADER_START) as u32;
        let len = len.unwrap_or(longest);
        let known = &mut *self.known;
        let (Some(id), Some(posted)) = (
            known.ids.get(usize::from(self.in_flight)),
            NonZeroU32::new(len).filter(|_| len <= longest),
        ) else {
            return false;
        };
        let id = usize::from(*id);
        if let Some(place) = known.posted.get_mut(id) {
            *place = Some(Posted {
                buffer,
                len: posted,
            });
        }
        let offset = start.saturating_add(HEADER_START) as u64;
        let flags = match self.direction {
            Direction::Receive => DEVICE_WRITES,
            Direction::Transmit => 0,
        };
        let at = DESCRIPTOR * id;
        let address = self.pool.start.wrapping_add(offset);
        self.descriptors.write64(at, address);
        self.descriptors.write64(at + 8, u64::from(len) | flags);
        let place = usize::from(self.next_available) % QUEUE_SIZE;
        self.available.write16(4 + 2 * place, id as u16);
        self.next_available = self.next_available.wrapping_add(1);
        self.in_flight = self.in_flight.saturating_add(1);
        self.unannounced = true;
        true
    }

    /// Shows the device the new buffers, if there are some, and tells it if it wants to know.
    pub fn kick<R: Registers>(&mut self, transport: &mut PciTransport<R>) {
        if !self.unannounced {
            return;
        }
        self.unannounced = false;
        // Entries first, then the index that covers them (section 2.7.13.3).
        fence(Ordering::Release);
        self.available.write16(2, self.next_available);
        // The device's flag must not be read before our index is visible (section 2.7.13.4.1).
        fence(Ordering::SeqCst);
        if self.used.read32(0) & NO_NOTIFY == 0 {
            transport.notify(self.index);
        }
    }

    /// How many buffers the device claims to have given back, and not more than it had.
    #[inline]
    fn look(&self) -> Result<u16, DeviceError> {
        let index = (self.used.read32(0) >> 16) as u16;
        let claimed = index.wrapping_sub(self.last_used);
        if claimed > self.in_flight {
            return Err(DeviceError::UsedIndex {
                queue: self.index,
                claimed,
                in_flight: self.in_flight,
            });
        }
        Ok(claimed)
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
        let token = u8::try_from(id).ok();
        // One fewer are in flight: the descriptor joins those that are nobody's.
        let remaining = self.in_flight.wrapping_sub(1);
        let (Some(token), Some(free)) = (token, known.ids.get_mut(usize::from(remaining))) else {
            return Err(self.unknown(id));
        };
        let posted = known.posted.get_mut(usize::from(token));
        let Some(posted) = posted.and_then(Option::take) else {
            return Err(self.unknown(id));
        };
        *free = token;
        self.in_flight = remaining;
        self.claimed = self.claimed.saturating_sub(1);
        self.last_used = self.last_used.wrapping_add(1);
        let written = match self.direction {
            Direction::Receive if (HEADER as u32..=posted.len.get()).contains(&len) => len,
            Direction::Receive => {
                return Err(DeviceError::UsedLength {
                    queue: self.index,
                    len,
                });
            }
            // What a device says that it wrote to a buffer that it may only read means nothing.
            Direction::Transmit => 0,
        };
        Ok(Some(Completed {
            buffer: posted.buffer,
            written,
        }))
    }

    /// It gave back what it does not have.
    #[cold]
    fn unknown(&self, id: u32) -> DeviceError {
        DeviceError::UsedId {
            queue: self.index,
            id,
        }
    }

    /// Asks the device for interrupts, or for none.
    pub fn set_interrupts(&self, wanted: bool) {
        self.available
            .write16(0, if wanted { 0 } else { NO_INTERRUPT });
    }

    /// Whether nothing came back so far, decided after everything written before is visible to the device.
    ///
    /// # Errors
    /// As [`Queue::reap`].
    #[inline]
    pub fn is_quiet(&self) -> Result<bool, DeviceError> {
        fence(Ordering::SeqCst);
        Ok(self.look()? == 0)
    }
}
