//! A running device: its transport and both of its queues.
//!
//! Touches the device's registers and rings. Frames are buffer numbers here: nothing in a buffer is read.
#![forbid(unsafe_code)]

use crate::{
    device::{self, Features, Identity},
    error::DeviceError,
    hal::Arena,
    offload::Header,
    queue::{Completed, DevicePool, Queue, ReceiveQueue, TransmitQueue},
    registers::Registers,
    transport::PciTransport,
};
use ipc_proto::frame::Offloads;

/// Memory that a device was given for an attachment.
#[derive(Debug)]
pub struct DeviceMemory {
    /// For virtqueues.
    pub arena: Arena,
    /// The pool to receive into.
    pub receive: DevicePool,
    /// The pool to send from.
    pub send: DevicePool,
}

/// A running device. Reset when dropped, so that it touches memory no more.
pub struct Nic<R: Registers> {
    transport: PciTransport<R>,
    identity: Identity,
    receive: ReceiveQueue,
    transmit: TransmitQueue,
    /// The queues' memory. Last, because it must outlive them.
    _arena: Arena,
}

impl<R: Registers> Nic<R> {
    /// Resets the device and starts it with `memory`, to do just these things with frames. Interrupts are off until asked for.
    ///
    /// # Errors
    /// [`DeviceError`]; the device was reset.
    pub fn start(
        mut transport: PciTransport<R>,
        memory: DeviceMemory,
        offloads: Offloads,
    ) -> Result<Nic<R>, DeviceError> {
        let pools = [memory.receive, memory.send];
        match Nic::set_up(&mut transport, pools, offloads) {
            Ok((identity, receive, transmit)) => Ok(Nic {
                transport,
                identity,
                receive,
                transmit,
                _arena: memory.arena,
            }),
            Err(error) => {
                // It failed already: whether it also fails to reset changes nothing.
                let _ = device::reset(&mut transport);
                Err(error)
            }
        }
    }

    fn set_up(
        transport: &mut PciTransport<R>,
        [receive, send]: [DevicePool; 2],
        offloads: Offloads,
    ) -> Result<(Identity, ReceiveQueue, TransmitQueue), DeviceError> {
        let identity = device::negotiate(transport, offloads)?;
        if identity.features.offloads() != offloads {
            return Err(DeviceError::OffloadsWithdrawn);
        }
        transport.set_config_vector()?;
        let by_index = identity.features.contains(Features::EVENT_IDX);
        let receive = Queue::new(transport, receive, by_index)?;
        let transmit = Queue::new(transport, send, by_index)?;
        device::go(transport)?;
        Ok((identity, receive, transmit))
    }

    /// What the device is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Gives a buffer to receive into. Returns `false` if there is no room now.
    pub fn post_receive(&mut self, buffer: u16) -> bool {
        self.receive.post_receive(buffer)
    }

    /// Gives a buffer with a frame of `len` bytes to send, with this header. Returns `false` if there is no room now.
    pub fn post_transmit(&mut self, buffer: u16, len: u16, header: Header) -> bool {
        self.transmit.post_transmit(buffer, len, header)
    }

    /// Whether [`Nic::post_receive`] has room.
    pub fn has_receive_room(&self) -> bool {
        self.receive.has_room()
    }

    /// Whether [`Nic::post_transmit`] has room.
    pub fn has_transmit_room(&self) -> bool {
        self.transmit.has_room()
    }

    /// Tells the device of everything that was posted, at most once a queue.
    pub fn kick(&mut self) {
        self.receive.kick(&mut self.transport);
        self.transmit.kick(&mut self.transport);
    }

    /// Takes the next buffer with a frame.
    ///
    /// # Errors
    /// [`DeviceError`] if the device broke the specification.
    pub fn reap_receive(&mut self) -> Result<Option<Completed>, DeviceError> {
        self.receive.reap()
    }

    /// Received frames that wait to be taken.
    ///
    /// # Errors
    /// [`DeviceError`] if the device broke the specification.
    pub fn receives_waiting(&self) -> Result<usize, DeviceError> {
        self.receive.waiting().map(usize::from)
    }

    /// Takes the next buffer whose frame was sent.
    ///
    /// # Errors
    /// [`DeviceError`] if the device broke the specification.
    pub fn reap_transmit(&mut self) -> Result<Option<Completed>, DeviceError> {
        self.transmit.reap()
    }

    /// Frames that the device has yet to send.
    pub fn transmits_in_flight(&self) -> u16 {
        self.transmit.in_flight()
    }

    /// Asks for interrupts, or for none: with a received frame, and when more than half of what is under way was sent.
    pub fn set_interrupts(&mut self, receive: bool, transmit: bool) {
        self.receive.set_interrupts(receive.then_some(0));
        self.transmit
            .set_interrupts(transmit.then_some(self.half_of_transmits()));
    }

    /// Whether no interrupt was missed, on the queues that have interrupts on.
    ///
    /// # Errors
    /// [`DeviceError`] if the device broke the specification.
    #[inline(always)]
    pub fn is_quiet(&self, receive: bool, transmit: bool) -> Result<bool, DeviceError> {
        let quiet = (!receive || self.receive.is_quiet(0)?)
            && (!transmit || self.transmit.is_quiet(self.half_of_transmits())?);
        Ok(quiet)
    }

    fn half_of_transmits(&self) -> u16 {
        self.transmit.in_flight() / 2
    }

    /// Asks whether the device is still well.
    ///
    /// # Errors
    /// [`DeviceError::NeedsReset`].
    pub fn check(&self) -> Result<(), DeviceError> {
        device::check(&self.transport)
    }

    /// Whether the link is up.
    ///
    /// # Errors
    /// [`DeviceError::UnstableConfig`].
    pub fn link_up(&self) -> Result<bool, DeviceError> {
        device::link_up(&self.transport, self.features())
    }

    fn features(&self) -> Features {
        self.identity.features
    }
}

impl<R: Registers> Drop for Nic<R> {
    fn drop(&mut self) {
        // Before the queues' memory goes. A device that won't be reset is stopped by the kernel: bus mastering is turned
        // off before any of the memory is used for something else.
        let _ = device::reset(&mut self.transport);
    }
}

#[cfg(test)]
mod tests;
