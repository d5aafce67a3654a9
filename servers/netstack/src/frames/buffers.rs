//! The frame pool, and who owns which of its buffers. Touches the pool's memory, in buffers that are the stack's.

use alloc::{vec, vec::Vec};
use ipc_proto::{
    frame::{HEADROOM, Pool},
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

/// Who has a buffer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// The stack.
    Stack,
    /// The driver, to receive into.
    Receiving,
    /// The driver, to send.
    Transmitting,
}

/// Two sizes of buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Size {
    Small,
    Large,
}

/// The buffers of a pool.
pub(super) struct Buffers {
    pool: FramePool,
    owners: Vec<Owner>,
    /// The stack's, by size.
    small: Vec<u16>,
    large: Vec<u16>,
    /// Those that the driver receives into are of this size.
    receives_into: Size,
    receiving: usize,
    max_receiving: usize,
    transmitting: usize,
}

impl Buffers {
    /// All of them are the stack's. `None` if there are not enough: more of the size that is received into than `max_receiving`,
    /// and as many as the memory has room for.
    pub(super) fn new(pool: FramePool, receives_into: Size, max_receiving: u16) -> Option<Buffers> {
        let layout = pool.layout;
        let total = u16::try_from(layout.count()).ok()?;
        let enough = match receives_into {
            Size::Small => layout.small > max_receiving,
            Size::Large => layout.large >= max_receiving && layout.small > 0,
        };
        if !enough || pool.memory.len() < layout.bytes() {
            return None;
        }
        Some(Buffers {
            pool,
            owners: vec![Owner::Stack; total.into()],
            small: (0..layout.small).rev().collect(),
            large: (layout.small..total).rev().collect(),
            receives_into,
            receiving: 0,
            max_receiving: max_receiving.into(),
            transmitting: 0,
        })
    }

    fn free(&mut self, size: Size) -> &mut Vec<u16> {
        match size {
            Size::Small => &mut self.small,
            Size::Large => &mut self.large,
        }
    }

    fn size(&self, id: u16) -> Size {
        match id < self.pool.layout.small {
            true => Size::Small,
            false => Size::Large,
        }
    }

    /// How many small ones are there to send from, if none is under way.
    pub(super) fn for_sending(&self) -> usize {
        let small = usize::from(self.pool.layout.small);
        match self.receives_into {
            Size::Small => small.saturating_sub(self.max_receiving),
            Size::Large => small,
        }
    }

    /// How many of a size can be sent from: what receiving still needs is not among them.
    pub(super) fn sendable(&self, size: Size) -> usize {
        let free = match size {
            Size::Small => self.small.len(),
            Size::Large => self.large.len(),
        };
        if size != self.receives_into {
            return free;
        }
        free.saturating_sub(self.max_receiving.saturating_sub(self.receiving))
    }

    /// Buffers that the driver has yet to send.
    pub(super) fn transmitting(&self) -> usize {
        self.transmitting
    }

    /// Buffers that the driver has to receive into.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn receiving(&self) -> usize {
        self.receiving
    }

    /// Whether it is time to give the driver buffers to receive into.
    pub(super) fn are_short(&self) -> bool {
        self.max_receiving.saturating_sub(self.receiving) >= self.max_receiving / REFILL
    }

    /// A buffer that the driver is to receive into, if it has not its share of them. Until [`Buffers::give`] it is still the stack's.
    pub(super) fn next_to_receive(&mut self) -> Option<u16> {
        if self.receiving >= self.max_receiving {
            return None;
        }
        self.free(self.receives_into).last().copied()
    }

    /// A buffer for a frame of `len` bytes. Until [`Buffers::give`] it is still the stack's.
    pub(super) fn next_to_send(&mut self, len: usize) -> Option<u16> {
        let size = match len <= super::MAX_FRAME {
            true => Size::Small,
            false => Size::Large,
        };
        self.free(size).last().copied()
    }

    /// Hands a buffer, which is the next of its size, to the driver.
    pub(super) fn give(&mut self, id: u16, to: Owner) {
        let size = self.size(id);
        let free = self.free(size);
        debug_assert_eq!(free.last(), Some(&id));
        free.pop();
        if let Some(owner) = self.owners.get_mut(usize::from(id)) {
            *owner = to;
        }
        let count = self.count(to);
        *count = count.saturating_add(1);
    }

    /// Takes a buffer back that the driver has for this use. False if it does not.
    pub(super) fn take_back(&mut self, id: u16, from: Owner) -> bool {
        match self.owners.get_mut(usize::from(id)) {
            Some(owner) if *owner == from => *owner = Owner::Stack,
            _ => return false,
        }
        let count = self.count(from);
        *count = count.saturating_sub(1);
        let size = self.size(id);
        self.free(size).push(id);
        true
    }

    fn count(&mut self, of: Owner) -> &mut usize {
        match of {
            Owner::Receiving => &mut self.receiving,
            _ => &mut self.transmitting,
        }
    }

    /// Where `len` bytes of the frame in a buffer are, from byte `at` of it on.
    fn place(&self, id: u16, at: usize, len: usize) -> Option<usize> {
        let (start, size) = self.pool.layout.place(id)?;
        let from = HEADROOM.checked_add(at)?;
        (from.checked_add(len)? <= size).then(|| start.saturating_add(from))
    }

    /// Copies a frame out. False if it does not lie within the buffer.
    pub(super) fn read(&self, id: u16, frame: &mut [u8]) -> bool {
        let place = self.place(id, 0, frame.len());
        place.is_some_and(|place| self.pool.memory.read(place, frame).is_ok())
    }

    /// Copies bytes to byte `at` of the frame and on. False if they don't lie within the buffer.
    pub(super) fn write(&self, id: u16, at: usize, bytes: &[u8]) -> bool {
        let place = self.place(id, at, bytes.len());
        place.is_some_and(|place| self.pool.memory.write(place, bytes).is_ok())
    }

    /// Panics unless each buffer of the pool has exactly one owner, and the counts are those of the owners.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn check(&self) {
        let count = |whose| self.owners.iter().filter(|owner| **owner == whose).count();
        assert_eq!(count(Owner::Receiving), self.receiving, "to receive into");
        assert!(
            self.receiving <= self.max_receiving,
            "too many to receive into"
        );
        assert_eq!(count(Owner::Transmitting), self.transmitting, "to transmit");
        let all = self.small.len() + self.large.len();
        assert_eq!(count(Owner::Stack), all, "free buffers");
        let mut free = vec![false; self.owners.len()];
        let sizes = [(&self.small, Size::Small), (&self.large, Size::Large)];
        for (id, size) in sizes
            .iter()
            .flat_map(|(list, size)| list.iter().map(move |id| (id, size)))
        {
            assert_eq!(self.size(*id), *size, "buffer {id} is in the wrong list");
            let place = free.get_mut(usize::from(*id));
            let seen = place.map(|seen| core::mem::replace(seen, true));
            assert_eq!(seen, Some(false), "buffer {id} is free twice, or is none");
            let owner = self.owners.get(usize::from(*id));
            assert_eq!(owner, Some(&Owner::Stack), "buffer {id} is free and given");
        }
    }
}
