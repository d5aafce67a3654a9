//! The frame pool, and who owns which of its buffers. Touches the pool's memory, in buffers that are the stack's.
//!
//! Each buffer has one use: to receive into, or to send from. So whoever floods the stack with frames takes nothing from those
//! that it sends, and the other way round.

use super::share::Share;
use ipc_proto::{
    frame::{HEADROOM, Pool, Run},
    shm::Shm,
};

/// The frame pool that an attachment is given.
pub struct FramePool {
    /// Its memory.
    pub memory: Shm,
    /// Which buffers it has.
    pub layout: Pool,
}

/// Buffers to receive into are handed over when this part of them is missing.
const REFILL: usize = 8;

/// Two sizes of buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    Small,
    Large,
}

/// The buffers of a pool.
pub(super) struct Buffers {
    pool: FramePool,
    receive: Share,
    /// To send from, by size.
    small: Share,
    large: Share,
}

impl Buffers {
    /// All of them are the stack's, `receiving` of this size to receive into. `None` if there are not enough: of this size that many, of small
    /// ones at least one more, and as many as the memory has room for.
    pub(super) fn new(pool: FramePool, receives_into: Size, receiving: u16) -> Option<Buffers> {
        let Pool { small, .. } = pool.layout;
        let total = u16::try_from(pool.layout.count()).ok()?;
        let (receive, to_send, large) = match receives_into {
            Size::Small => (0..receiving, receiving..small, small..total),
            Size::Large => {
                let end = small.checked_add(receiving)?;
                (small..end, 0..small, end..total)
            }
        };
        if to_send.is_empty() || large.start > large.end || pool.memory.len() < pool.layout.bytes()
        {
            return None;
        }
        Some(Buffers {
            pool,
            receive: Share::new(receive),
            small: Share::new(to_send),
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

    /// A buffer for a frame of `len` bytes. Until [`Buffers::give_to_send`] it is still the stack's.
    #[inline]
    pub(super) fn next_to_send(&self, len: usize) -> Option<u16> {
        match len <= super::MAX_FRAME {
            true => self.small.next(),
            false => self.large.next(),
        }
    }

    /// Hands that to the driver.
    #[inline]
    pub(super) fn give_to_send(&mut self, id: u16) {
        match id < self.pool.layout.small {
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

    /// Where `len` bytes of the frame in a buffer are, from byte `at` of it on.
    #[inline]
    fn place(&self, id: u16, at: usize, len: usize) -> Option<usize> {
        let (start, size) = self.pool.layout.place(id)?;
        let from = HEADROOM.checked_add(at)?;
        (from.checked_add(len)? <= size).then(|| start.saturating_add(from))
    }

    /// Copies a frame out. False if it does not lie within the buffer.
    #[inline]
    pub(super) fn read(&self, id: u16, frame: &mut [u8]) -> bool {
        let place = self.place(id, 0, frame.len());
        place.is_some_and(|place| self.pool.memory.read(place, frame).is_ok())
    }

    /// Copies bytes to byte `at` of the frame and on. False if they don't lie within the buffer.
    #[inline]
    pub(super) fn write(&self, id: u16, at: usize, bytes: &[u8]) -> bool {
        let place = self.place(id, at, bytes.len());
        place.is_some_and(|place| self.pool.memory.write(place, bytes).is_ok())
    }

    /// Panics unless the counts are those of the buffers.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check(&self) {
        for share in [&self.receive, &self.small, &self.large] {
            share.check();
        }
    }
}
