//! The device's headers: in front of the frames in the pool that they are received into, and apart for those to be sent. Touches those of
//! the first kind only: of a frame nothing is read.
#![forbid(unsafe_code)]

use crate::{
    device::ETHERNET_HEADER,
    error::StackError,
    hal::HEADER_START,
    offload::{self, HEADER, Header},
};
use ipc_proto::{
    frame::{Checksum, HEADROOM, Offload, Offloads, Pool},
    shm::Shm,
};

/// Numbers of buffers have 16 bits.
const MOST_BUFFERS: usize = 1 << 16;

/// Headers of frames in both pools.
pub(crate) struct Headers {
    /// The pool to receive into.
    memory: Shm,
    receive: Pool,
    send: Pool,
    /// What was agreed on.
    offloads: Offloads,
}

impl Headers {
    /// Those in pools with these layouts, the first of which is this memory.
    ///
    /// # Errors
    /// [`StackError::BadMemory`] if it is smaller than its layout, or one has more buffers than there are numbers for.
    pub(crate) fn new(
        memory: Shm,
        [receive, send]: [Pool; 2],
        offloads: Offloads,
    ) -> Result<Headers, StackError> {
        let has_too_many = [receive, send]
            .iter()
            .any(|layout| layout.count() > MOST_BUFFERS);
        if memory.len() < receive.bytes() || has_too_many {
            return Err(StackError::BadMemory);
        }
        Ok(Headers {
            memory,
            receive,
            send,
            offloads,
        })
    }

    /// The header for a frame that is to be sent: what the device is to do with it.
    ///
    /// # Errors
    /// [`StackError`] if the stack may not ask for that.
    #[inline]
    pub(crate) fn make(
        &self,
        buffer: u16,
        len: u16,
        offload: Offload,
    ) -> Result<Header, StackError> {
        let (_, size) = self
            .send
            .place(buffer)
            .ok_or(StackError::NoSuchBuffer(buffer))?;
        let longest = size.saturating_sub(HEADROOM);
        if !(ETHERNET_HEADER..=longest).contains(&usize::from(len)) {
            return Err(StackError::BadLength { buffer, len });
        }
        offload::header(offload, len.into(), self.offloads).ok_or(StackError::BadOffload { buffer })
    }

    /// What the device says of the checksum of a frame that it received; `None` if that can't be understood.
    #[inline]
    pub(crate) fn read(&self, buffer: u16, len: usize) -> Option<Checksum> {
        let (start, _) = self.receive.place(buffer)?;
        let mut header = [0; HEADER];
        let place = start.checked_add(HEADER_START)?;
        self.memory.read(place, &mut header).ok()?;
        offload::checksum(header, len, self.offloads)
    }
}
