//! The device's headers, in front of the frames in the pool. Touches these bytes only: of a frame nothing is read.
#![forbid(unsafe_code)]

use crate::{
    device::ETHERNET_HEADER,
    error::StackError,
    hal::HEADER_START,
    offload::{self, HEADER},
};
use ipc_proto::{
    frame::{Checksum, HEADROOM, Offload, Offloads, Pool},
    shm::Shm,
};

/// Numbers of buffers have 16 bits.
const MOST_BUFFERS: usize = 1 << 16;

/// Headers in a pool.
pub(crate) struct Headers {
    pool: Shm,
    layout: Pool,
    /// What was agreed on.
    offloads: Offloads,
}

impl Headers {
    /// Those in a pool.
    ///
    /// # Errors
    /// [`StackError::BadMemory`] if it is smaller than its layout, or has more buffers than there are numbers for.
    pub(crate) fn new(pool: Shm, layout: Pool, offloads: Offloads) -> Result<Headers, StackError> {
        if pool.len() < layout.bytes() || layout.count() > MOST_BUFFERS {
            return Err(StackError::BadMemory);
        }
        Ok(Headers {
            pool,
            layout,
            offloads,
        })
    }

    /// Checks a frame that is to be sent, and writes what the device is to do in front of it.
    ///
    /// # Errors
    /// [`StackError`] if the stack may not ask for that.
    #[inline]
    pub(crate) fn write(&self, buffer: u16, len: u16, offload: Offload) -> Result<(), StackError> {
        let (start, size) = self
            .layout
            .place(buffer)
            .ok_or(StackError::NoSuchBuffer(buffer))?;
        let longest = size.saturating_sub(HEADROOM);
        if !(ETHERNET_HEADER..=longest).contains(&usize::from(len)) {
            return Err(StackError::BadLength { buffer, len });
        }
        let header = offload::header(offload, len.into(), self.offloads)
            .ok_or(StackError::BadOffload { buffer })?;
        let place = start.saturating_add(HEADER_START);
        self.pool
            .write(place, &header)
            .map_err(|_| StackError::BadMemory)
    }

    /// What the device says of the checksum of a frame that it received; `None` if that can't be understood.
    #[inline]
    pub(crate) fn read(&self, buffer: u16, len: usize) -> Option<Checksum> {
        let (start, _) = self.layout.place(buffer)?;
        let mut header = [0; HEADER];
        let place = start.checked_add(HEADER_START)?;
        self.pool.read(place, &mut header).ok()?;
        offload::checksum(header, len, self.offloads)
    }
}
