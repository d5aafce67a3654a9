//! One virtqueue, and who holds its descriptors.
//!
//! Wraps `virtio_drivers::queue::VirtQueue`, which believes the device: it truncates the 32-bit descriptor numbers of
//! the used ring, does not check its index, and panics if asked to recycle a descriptor that is free. So the used
//! ring is read here first, and what it claims is compared with private tables; the crate is asked only for what was found true.

use crate::{
    error::DeviceError,
    hal::{self, Dma, StandIns},
    mmio::Mmio,
    offload::HEADER,
    registers::Registers,
    transport::PciTransport,
};
use alloc::{boxed::Box, vec};
use core::sync::atomic::{Ordering, fence};
use virtio_drivers::{Error, queue::VirtQueue, transport::Transport};

/// Descriptors of a queue.
pub const QUEUE_SIZE: usize = 256;

/// Bytes of a used ring: flags, index, elements, and the field for VIRTIO_F_EVENT_IDX (VIRTIO 1.2 section 2.7.8).
const USED_RING: usize = 4 + 8 * QUEUE_SIZE + 2;

/// Which way the buffers of a queue travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// The device writes them.
    Receive,
    /// The device reads them.
    Transmit,
}

/// A buffer in the device's hands.
#[derive(Clone, Copy, Debug)]
struct Posted {
    buffer: u16,
    /// Length of the descriptor in bytes, header included.
    len: usize,
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
    /// Boxed, as it is too large to be moved about on a small stack.
    ring: Box<VirtQueue<Dma, QUEUE_SIZE>>,
    index: u16,
    direction: Direction,
    /// The used ring as the device writes it.
    used: Mmio,
    /// Our copy of how far it was read.
    last_used: u16,
    /// By descriptor.
    posted: Box<[Option<Posted>]>,
    in_flight: u16,
    /// Whether buffers were added since the last kick.
    unannounced: bool,
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
    ) -> Result<Queue, DeviceError> {
        let size = transport.max_queue_size(index);
        if !size.is_power_of_two() || size < QUEUE_SIZE as u32 {
            return Err(DeviceError::QueueSize { queue: index, size });
        }
        // Neither indirect descriptors nor event indices: the latter are wrong in virtio-drivers 0.13 (lost kicks).
        let mut ring = VirtQueue::new(transport, index, false, false)
            .map(Box::new)
            .map_err(|_| DeviceError::QueueSetup(index))?;
        let used = hal::view(transport.used_ring(index)?, USED_RING)
            .ok_or(DeviceError::QueueSetup(index))?;
        ring.set_dev_notify(false);
        Ok(Queue {
            ring,
            index,
            direction,
            used,
            last_used: 0,
            posted: vec![None; QUEUE_SIZE].into_boxed_slice(),
            in_flight: 0,
            unannounced: false,
        })
    }

    /// Buffers in the device's hands.
    pub fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Whether there is room for another buffer.
    pub fn has_room(&self) -> bool {
        usize::from(self.in_flight) < QUEUE_SIZE
    }

    /// Gives `len` bytes of `buffer`, header included, to the device. Returns `false`, and does nothing, if there is no room
    /// or no such buffer.
    pub fn post(&mut self, stand_ins: &mut StandIns, buffer: u16, len: usize) -> bool {
        let Some(bytes) = stand_ins.of(buffer, len) else {
            return false;
        };
        let added = match self.direction {
            // SAFETY: the slice is a stand-in (see `StandIns`), private memory that neither device nor anybody else
            // accesses, so that nothing is required of it until `pop_used`. That the pool's memory, which the
            // device does access, stays there is the kernel's matter: what was given to a device stays allocated until
            // the device is quiesced.
            Direction::Receive => unsafe { self.ring.add(&[], &mut [bytes]) },
            // SAFETY: as above.
            Direction::Transmit => unsafe { self.ring.add(&[&*bytes], &mut []) },
        };
        let Some(slot) = added
            .ok()
            .and_then(|token| self.posted.get_mut(usize::from(token)))
        else {
            return false;
        };
        *slot = Some(Posted { buffer, len });
        self.in_flight = self.in_flight.saturating_add(1);
        self.unannounced = true;
        true
    }

    /// Tells the device of new buffers, if there are some and it wants to know.
    pub fn kick<R: Registers>(&mut self, transport: &mut PciTransport<R>) {
        if !self.unannounced {
            return;
        }
        self.unannounced = false;
        // The device's flag must not be read before our index is visible (VIRTIO 1.2 section 2.7.13.4.1), and the
        // crate has no barrier between the two.
        fence(Ordering::SeqCst);
        if self.ring.should_notify() {
            transport.notify(self.index);
        }
    }

    /// How many buffers the device claims to have given back, and not more than it had.
    fn claimed(&self) -> Result<u16, DeviceError> {
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
    /// [`DeviceError`] if the used ring makes no sense. Nothing was taken, and the queue can't be used any more.
    pub fn reap(&mut self, stand_ins: &mut StandIns) -> Result<Option<Completed>, DeviceError> {
        if self.claimed()? == 0 {
            return Ok(None);
        }
        // The element was written before the index that covers it (VIRTIO 1.2 section 2.7.8.2).
        fence(Ordering::Acquire);
        let place = usize::from(self.last_used) % QUEUE_SIZE;
        let id = self.used.read32(4 + 8 * place);
        let unknown = DeviceError::UsedId {
            queue: self.index,
            id,
        };
        let token = u16::try_from(id).map_err(|_| unknown)?;
        let posted = self
            .posted
            .get_mut(usize::from(token))
            .and_then(Option::take)
            .ok_or(unknown)?;
        let bytes = stand_ins.of(posted.buffer, posted.len).ok_or(unknown)?;
        let popped = match self.direction {
            // SAFETY: the stand-in is the one that `post` gave for this token: `posted` says which.
            Direction::Receive => unsafe { self.ring.pop_used(token, &[], &mut [bytes]) },
            // SAFETY: as above.
            Direction::Transmit => unsafe { self.ring.pop_used(token, &[&*bytes], &mut []) },
        };
        // The crate reads the ring again: an error is a device that changed it in between.
        let len = popped.map_err(|_: Error| unknown)?;
        self.last_used = self.last_used.wrapping_add(1);
        self.in_flight = self.in_flight.saturating_sub(1);
        let written = match self.direction {
            Direction::Receive => Some(len)
                .filter(|len| (HEADER..=posted.len).contains(&(*len as usize)))
                .ok_or(DeviceError::UsedLength {
                    queue: self.index,
                    len,
                })?,
            // What a device says that it wrote to a buffer that it may only read means nothing.
            Direction::Transmit => 0,
        };
        Ok(Some(Completed {
            buffer: posted.buffer,
            written,
        }))
    }

    /// Asks the device for interrupts, or for none.
    pub fn set_interrupts(&mut self, wanted: bool) {
        self.ring.set_dev_notify(wanted);
    }

    /// Whether nothing came back so far, decided after everything written before is visible to the device.
    ///
    /// # Errors
    /// As [`Queue::reap`].
    pub fn is_quiet(&self) -> Result<bool, DeviceError> {
        fence(Ordering::SeqCst);
        Ok(self.claimed()? == 0)
    }
}
