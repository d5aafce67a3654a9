//! A client's session: its channel, its sockets, its quotas.

mod all;

pub(crate) use all::{BELLS, Sessions};

use crate::{Doorbell, Instant, policy::Bucket, slab::Id};
use alloc::{boxed::Box, collections::VecDeque, vec::Vec};
use ipc_proto::{
    channel::{Channel, SOCKET_CHANNEL, SendError, Side},
    fifo::{BadBuffers, End, PeerError, StreamEnds, ends},
    policy::Policy,
    rings::RingInfo,
    shm::Shm,
    socket::{Buffers, Handle, MAX_SOCKETS, NetError, Reply, Request},
};

/// A socket of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    /// The session.
    pub(crate) session: Id,
    /// Position of the socket in it.
    pub(crate) index: u16,
}

/// What a handle stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// A listener.
    Listener(Id),
    /// A connection or a UDP socket.
    Flow(Id),
}

#[derive(Clone, Copy, Default)]
struct Slot {
    generation: u16,
    target: Option<Target>,
}

/// Lookups and echo requests that may wait for their answers at once.
pub(crate) const MAX_ASKS: usize = 32;

/// A session.
pub(crate) struct Session {
    /// The badge of the capability that opened it.
    pub(crate) badge: u64,
    /// Its account: the badge of the manifest that `badge` was derived from.
    pub(crate) root: u64,
    /// What it may do.
    pub(crate) policy: Policy,
    /// Its rate of packets.
    pub(crate) bucket: Bucket,
    /// Accepts that wait.
    pub(crate) accepts: usize,
    /// Lookups and echo requests that wait.
    pub(crate) asks: usize,
    /// Bytes of the stack's memory that its sockets take.
    pub(crate) memory_used: u32,
    memory: Shm,
    channel: Channel<Reply, Request>,
    bell: Box<dyn Doorbell>,
    slots: Vec<Slot>,
    used: usize,
    /// Answers that found no room on the ring. Bounded: no request is taken while there is one, and the number of those under
    /// way is limited.
    pending: VecDeque<Reply>,
    /// It is in the list of those to look at.
    is_awake: bool,
    /// It is in the list of those to be told something.
    is_told: bool,
}

impl Session {
    /// A session in this memory. `None` if it is too small.
    pub(crate) fn new(
        badge: u64,
        policy: Policy,
        memory: Shm,
        bell: Box<dyn Doorbell>,
        now: Instant,
    ) -> Option<Session> {
        let channel = Channel::new(memory.clone(), Side::Stack, SOCKET_CHANNEL).ok()?;
        let sockets = usize::from(policy.max_sockets.min(MAX_SOCKETS));
        Some(Session {
            badge,
            root: badge,
            bucket: Bucket::new(policy.packets_per_second, now),
            policy,
            accepts: 0,
            asks: 0,
            memory_used: 0,
            memory,
            channel,
            bell,
            slots: alloc::vec![Slot::default(); sockets],
            used: 0,
            pending: VecDeque::new(),
            is_awake: false,
            is_told: false,
        })
    }

    /// Sockets that it may have.
    pub(crate) fn max_sockets(&self) -> u16 {
        self.slots.len() as u16
    }

    /// Sockets that it has.
    pub(crate) fn sockets(&self) -> usize {
        self.used
    }

    /// The stack's ends of the FIFOs that a client describes.
    ///
    /// # Errors
    /// [`BadBuffers`].
    pub(crate) fn ends(&self, buffers: &Buffers) -> Result<StreamEnds, BadBuffers> {
        let arena = Channel::<Reply, Request>::bytes(SOCKET_CHANNEL);
        ends(&self.memory, buffers, End::Stack, arena)
    }

    /// Whether there is room for one more socket or pending accept.
    pub(crate) fn has_slot(&self) -> bool {
        self.used.saturating_add(self.accepts) < self.slots.len()
    }

    /// Finds a place for a socket. The caller has checked [`has_slot`](Self::has_slot), or gives up an accept for it.
    pub(crate) fn allocate(&mut self, target: Target) -> Option<Handle> {
        let (slot, index) = self
            .slots
            .iter_mut()
            .zip(0..)
            .find(|(slot, _)| slot.target.is_none())?;
        slot.target = Some(target);
        self.used = self.used.saturating_add(1);
        Some(Handle {
            index,
            generation: slot.generation,
        })
    }

    /// Makes a socket's place free. Its handle is worth nothing from now on.
    pub(crate) fn free(&mut self, index: u16) {
        if let Some(slot) = self.slots.get_mut(usize::from(index))
            && slot.target.take().is_some()
        {
            slot.generation = slot.generation.wrapping_add(1);
            self.used = self.used.saturating_sub(1);
        }
    }

    /// What a handle stands for.
    ///
    /// # Errors
    /// [`NetError::BadHandle`] for one that was never issued, or is of an earlier socket.
    pub(crate) fn target(&self, handle: Handle) -> Result<Target, NetError> {
        self.slots
            .get(usize::from(handle.index))
            .filter(|slot| slot.generation == handle.generation)
            .and_then(|slot| slot.target)
            .ok_or(NetError::BadHandle)
    }

    /// What the socket at a position is.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn at(&self, index: u16) -> Option<Target> {
        self.slots.get(usize::from(index))?.target
    }

    /// Everything that it has.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.slots.iter().filter_map(|slot| slot.target).collect()
    }

    /// Its sockets by position. Panics unless they are counted right and within the quota, and the answers that wait are no
    /// more than can be under way.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = (u16, Target)> + '_ {
        let held = self.slots.iter().zip(0..);
        let held = held.filter_map(|(slot, index)| Some((index, slot.target?)));
        assert_eq!(held.clone().count(), self.used, "sockets of a session");
        assert!(
            self.used + self.accepts <= self.slots.len(),
            "quota of sockets"
        );
        assert!(self.asks <= MAX_ASKS, "quota of questions");
        // Closes and accepts take a socket each; a request that was taken last may have answered itself and another.
        let most = self.slots.len() + MAX_ASKS + 2;
        assert!(
            self.pending.len() <= most,
            "{} answers wait",
            self.pending.len()
        );
        held
    }

    /// Puts an answer on the ring, to be shown with the next [`flush`](Self::flush). False if it has to wait, behind others or for room.
    fn reply(&mut self, reply: &Reply) -> bool {
        // A client that breaks the protocol is found out when what waits is flushed.
        self.pending.is_empty() && self.channel.send(reply).is_ok()
    }

    /// Puts answers on the ring. True if all found room.
    ///
    /// # Errors
    /// [`PeerError`] if the client's indices make no sense.
    fn deliver(&mut self) -> Result<bool, PeerError> {
        while let Some(reply) = self.pending.front() {
            match self.channel.send(reply) {
                Ok(()) => {
                    self.pending.pop_front();
                }
                Err(SendError::Full) => return Ok(false),
                Err(SendError::Peer(error)) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Whether a request or an answer waits, or the client has broken the protocol.
    pub(crate) fn has_requests(&mut self) -> bool {
        !self.pending.is_empty() || self.channel.has_message().unwrap_or(true)
    }

    /// The next request, if there is room for its answer.
    ///
    /// # Errors
    /// [`PeerError`] if the client breaks the protocol.
    pub(crate) fn request(&mut self) -> Result<Option<Request>, PeerError> {
        let is_behind = !self.pending.is_empty() && !self.deliver()?;
        if is_behind || !self.channel.has_room()? {
            return Ok(None);
        }
        self.channel.receive()
    }

    /// What the client wants to be looked at.
    pub(crate) fn events(&mut self, look: &mut impl FnMut(Target)) {
        let slots = &self.slots;
        self.channel.take_events(&mut |index| {
            let slot = slots.get(usize::from(index));
            if let Some(target) = slot.and_then(|slot| slot.target) {
                look(target);
            }
        });
    }

    /// Publishes answers and events, and rings the client if it sleeps.
    ///
    /// # Errors
    /// [`PeerError`] if the client's indices make no sense.
    fn flush(&mut self) -> Result<(), PeerError> {
        if !self.pending.is_empty() {
            self.deliver()?;
        }
        if self.channel.flush() {
            self.bell.ring();
        }
        Ok(())
    }

    /// What was counted of its channel.
    pub(crate) fn ring_info(&self) -> RingInfo {
        self.channel.ring_info(self.badge)
    }

    /// Prepares to sleep. False if there is work.
    fn prepare_sleep(&mut self) -> bool {
        // A client that takes no answers is asked for no more requests: they must not keep the stack awake.
        let is_full = !self.pending.is_empty() || self.channel.has_room() == Ok(false);
        if is_full {
            self.channel.prepare_sleep_for_room()
        } else {
            self.channel.prepare_sleep()
        }
    }
}
