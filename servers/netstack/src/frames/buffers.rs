//! The frame pools, and who owns which of their buffers. Touches the pools' memory, in buffers that are the stack's.
//!
//! There is one pool to receive into, and one to send from. So whoever floods the stack with frames takes nothing from those
//! that it sends, and the other way round; and what is sent lies where nobody else writes, so that it is built in place.

use super::share::Share;
use alloc::boxed::Box;
use core::ops::Range;
use ipc_proto::{
    fifo::{PeerError, Writer},
    frame::{HEADROOM, Pool, Run},
    shm::Shm,
};

/// A frame pool that an attachment is given.
pub struct FramePool<M> {
    /// Its memory.
    pub memory: M,
    /// Which buffers it has.
    pub layout: Pool,
}

/// Memory that the stack alone writes, whoever reads it.
pub trait SendMemory {
    /// All of it.
    fn bytes(&self) -> &[u8];
    /// All of it.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// The bytes in a range are complete: others may look at them from here on. Nothing, where they look at the memory itself.
    fn publish(&mut self, _range: Range<usize>) {}
}

/// In the image: the stack's alone by the kernel's word.
#[cfg(target_os = "none")]
impl SendMemory for rt::Exclusive {
    fn bytes(&self) -> &[u8] {
        rt::Exclusive::bytes(self)
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        rt::Exclusive::bytes_mut(self)
    }
}

/// Buffers to receive into are handed over when this part of them is missing.
const REFILL: usize = 8;

/// Two sizes of buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    Small,
    Large,
}

/// The buffers of both pools.
pub(super) struct Buffers {
    receive_pool: FramePool<Shm>,
    send_pool: FramePool<Box<dyn SendMemory>>,
    receive: Share,
    /// To send from, by size.
    small: Share,
    large: Share,
}

impl Buffers {
    /// All of them are the stack's; those of this size are there to receive into. `None` if there are none of them, or no small ones to
    /// send from, or more than the memory has room for.
    pub(super) fn new(
        receive: FramePool<Shm>,
        receives_into: Size,
        send: FramePool<Box<dyn SendMemory>>,
    ) -> Option<Buffers> {
        let all = |layout: Pool| u16::try_from(layout.count()).ok();
        let (receives, sends) = (receive.layout, send.layout);
        let to_receive = match receives_into {
            Size::Small => 0..receives.small,
            Size::Large => receives.small..all(receives)?,
        };
        let large = sends.small..all(sends)?;
        let is_short =
            receive.memory.len() < receives.bytes() || send.memory.bytes().len() < sends.bytes();
        if to_receive.is_empty() || sends.small == 0 || is_short {
            return None;
        }
        Some(Buffers {
            receive_pool: receive,
            send_pool: send,
            receive: Share::new(to_receive),
            small: Share::new(0..sends.small),
            large: Share::new(large),
        })
    }

    /// How many small ones are there to send from, if none is under way.
    pub(super) fn for_sending(&self) -> usize {
        self.small.len()
    }

    /// How many of a size can be sent from.
    #[inline]
    pub(super) fn sendable(&self, size: Size) -> usize {
        match size {
            Size::Small => self.small.left(),
            Size::Large => self.large.left(),
        }
    }

    /// Buffers that the driver has yet to send.
    #[inline]
    pub(super) fn transmitting(&self) -> usize {
        self.small.given().saturating_add(self.large.given())
    }

    /// Buffers that the driver has to receive into.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn receiving(&self) -> usize {
        self.receive.given()
    }

    /// Whether it is time to give the driver buffers to receive into.
    #[inline]
    pub(super) fn are_short(&self) -> bool {
        self.receive.left() >= self.receive.len() / REFILL
    }

    /// Buffers that the driver is to receive into, if it has not all of them. Until [`Buffers::give_to_receive`] they are still the stack's.
    pub(super) fn next_to_receive(&self) -> Option<Run> {
        self.receive.next_run(u16::MAX)
    }

    /// Hands those to the driver.
    pub(super) fn give_to_receive(&mut self, buffers: Run) {
        self.receive.give(buffers);
    }

    /// The place for a frame of `len` bytes, in a buffer that is the stack's until [`Buffers::give_to_send`].
    #[inline]
    pub(super) fn next_to_send(&self, len: usize) -> Option<Place> {
        let buffer = match len <= super::MAX_FRAME {
            true => self.small.next(),
            false => self.large.next(),
        }?;
        let start = place(self.send_pool.layout, buffer, len)?.start;
        Some(Place { buffer, start, len })
    }

    /// Hands that to the driver.
    #[inline]
    pub(super) fn give_to_send(&mut self, id: u16) {
        match id < self.send_pool.layout.small {
            true => self.small.give_one(id),
            false => self.large.give_one(id),
        }
    }

    /// Takes a buffer back into which the driver has received. False if it does not have it for that.
    #[inline]
    pub(super) fn received(&mut self, id: u16) -> bool {
        self.receive.take_one_back(id)
    }

    /// Takes buffers back that were sent. False, and nothing has changed, if the driver does not have each of them for that.
    pub(super) fn sent(&mut self, buffers: Run) -> bool {
        self.small.take_back(buffers) || self.large.take_back(buffers)
    }

    /// Whether a received frame of `len` bytes lies within a buffer.
    #[inline]
    pub(super) fn holds(&self, id: u16, len: usize) -> bool {
        place(self.receive_pool.layout, id, len).is_some()
    }

    /// Copies bytes of a received frame out, from byte `at` of it on. False if they don't lie within the buffer.
    #[inline]
    pub(super) fn read(&self, id: u16, at: usize, bytes: &mut [u8]) -> bool {
        let memory = &self.receive_pool.memory;
        let place = self.place(id, at, bytes.len());
        place.is_some_and(|place| memory.read(place, bytes).is_ok())
    }

    /// Copies `len` bytes of a received frame, from byte `at` of it on, to where the next bytes of a FIFO are. False if they don't lie within
    /// the buffer, or there is no room.
    #[inline]
    pub(super) fn stage(
        &self,
        id: u16,
        (at, len): (usize, usize),
        writer: &mut Writer,
    ) -> Result<bool, PeerError> {
        match self.place(id, at, len) {
            Some(place) => writer.stage(&self.receive_pool.memory, place, len),
            None => Ok(false),
        }
    }

    /// Where `len` bytes from byte `at` of a received frame on are.
    #[inline]
    fn place(&self, id: u16, at: usize, len: usize) -> Option<usize> {
        let frame = place(self.receive_pool.layout, id, at.checked_add(len)?)?;
        frame.start.checked_add(at)
    }

    /// The bytes of a frame to send. Those of an earlier, longer frame still lie behind it, where the driver can read them; it could
    /// when they were sent.
    pub(super) fn sent_frame(&self, place: Place) -> Option<&[u8]> {
        self.send_pool.memory.bytes().get(place.range())
    }

    /// The bytes where a frame to send is built: those of an earlier one.
    #[inline]
    pub(super) fn frame(&mut self, place: Place) -> Option<&mut [u8]> {
        self.send_pool.memory.bytes_mut().get_mut(place.range())
    }

    /// The frame that was built there is complete.
    #[inline]
    pub(super) fn publish(&mut self, place: Place) {
        self.send_pool.memory.publish(place.range());
    }

    /// Panics unless the counts are those of the buffers.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check(&self) {
        for share in [&self.receive, &self.small, &self.large] {
            share.check();
        }
    }
}

/// Where a frame to send lies.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// In which buffer.
    pub(super) buffer: u16,
    /// From where on in the pool, and how long it is.
    start: usize,
    pub(super) len: usize,
}

impl Place {
    #[inline]
    fn range(self) -> Range<usize> {
        self.start..self.start.saturating_add(self.len)
    }
}

/// Where the `len` bytes of the frame in a buffer are; `None` if there is not so much room.
#[inline]
fn place(layout: Pool, id: u16, len: usize) -> Option<Range<usize>> {
    let (start, size) = layout.place(id)?;
    let from = start.saturating_add(HEADROOM);
    (len <= size.saturating_sub(HEADROOM)).then(|| from..from.saturating_add(len))
}
