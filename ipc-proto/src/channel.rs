//! The channel of a session or a driver: a ring of messages in each direction, event bitmaps, and the words by which a side says that it
//! sleeps. Touches only the memory that it is given; ringing the doorbell is up to the caller.
#![forbid(unsafe_code)]

use crate::{
    codec::{self, DecodeError, Message},
    ring::{Consumer, LENGTH_SIZE, MAX_SLOT, Producer, SMALL},
    rings::RingInfo,
    shm::{self, Shm, Word},
};
use core::{fmt, marker::PhantomData, sync::atomic::Ordering};

mod events;
pub mod layout;
#[cfg(test)]
mod tests;

pub use crate::error::PeerError;
use events::{Inbox, Outbox};
pub use layout::{FRAME_CHANNEL, Geometry, LayoutError, SOCKET_CHANNEL};

/// Bit of a wake word: wake me for messages and events.
pub const WAKE_FOR_NEWS: u32 = 1;
/// Bit of a wake word: wake me also when there is room on the ring towards you.
pub const WAKE_FOR_ROOM: u32 = 2;
/// Bit of a wake word, beside the first: do not wake me for messages that [can wait](Message::can_wait), as long as few of them do.
pub const PATIENT: u32 = 4;
/// One in so many slots of a ring: more messages that wait are few no longer.
const CROWD: u32 = 8;

/// Which end of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The client, or the driver.
    Client,
    /// The stack.
    Stack,
}

/// Why a message was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// The ring is full. Try again when the peer has read something: the next sleep also ends when there is room.
    Full,
    /// The peer broke the protocol.
    Peer(PeerError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full => f.write_str("the ring is full"),
            SendError::Peer(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

impl From<PeerError> for SendError {
    fn from(error: PeerError) -> Self {
        SendError::Peer(error)
    }
}

/// One end of a channel that sends `Out` and receives `In`.
pub struct Channel<Out, In> {
    outgoing: Producer,
    incoming: Consumer,
    raised: Outbox,
    events: Inbox,
    /// Says whether this side sleeps.
    wake_me: Word,
    /// Says whether the peer sleeps.
    wake_peer: Word,
    /// A message did not fit; the next sleep ends when there is room.
    wants_room: bool,
    /// Something was sent since the last flush that cannot wait.
    is_urgent: bool,
    /// [`PATIENT`], or nothing.
    patience: u32,
    /// `wake_me` was set: if it is zero by now, the peer has rung.
    announced: bool,
    /// What was counted; the rest of it is filled in when somebody asks.
    counted: RingInfo,
    /// Private copy of the slot in the works.
    slot: [u8; MAX_SLOT],
    direction: PhantomData<fn(Out) -> In>,
}

impl<Out: Message, In: Message> Channel<Out, In> {
    /// Bytes of memory that a channel takes: a multiple of 64.
    #[must_use]
    pub const fn bytes(geometry: Geometry) -> usize {
        geometry.bytes()
    }

    /// One end of a channel in `memory`, which was zeroed before either side made its end.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn new(memory: Shm, side: Side, geometry: Geometry) -> Result<Self, LayoutError> {
        geometry.check(&memory, LENGTH_SIZE + Out::MAX_SIZE.max(In::MAX_SIZE))?;
        let (mine, peers) = match side {
            Side::Client => (geometry.client(), geometry.stack()),
            Side::Stack => (geometry.stack(), geometry.client()),
        };
        let word = |offset| memory.word(offset).map_err(|_| LayoutError::Memory);
        let slots = |offset| {
            memory
                .part(offset, geometry.ring_bytes())
                .ok_or(LayoutError::Memory)
        };
        let bits = |offset| {
            memory
                .part(offset, geometry.event_bytes())
                .ok_or(LayoutError::Memory)
        };
        Ok(Self {
            outgoing: Producer::new(
                slots(mine.slots)?,
                geometry.slot_size,
                geometry.slots,
                word(mine.tail)?,
                word(peers.head)?,
            )
            .ok_or(LayoutError::Geometry)?,
            incoming: Consumer::new(
                slots(peers.slots)?,
                geometry.slot_size,
                geometry.slots,
                word(peers.tail)?,
                word(mine.head)?,
            )
            .ok_or(LayoutError::Geometry)?,
            raised: Outbox::new(bits(peers.events)?, geometry.sockets),
            events: Inbox::new(bits(mine.events)?, geometry.sockets),
            wake_me: word(mine.wake)?,
            wake_peer: word(peers.wake)?,
            wants_room: false,
            is_urgent: false,
            patience: 0,
            announced: false,
            counted: RingInfo {
                slots: geometry.slots,
                ..RingInfo::default()
            },
            slot: [0; MAX_SLOT],
            direction: PhantomData,
        })
    }

    /// As if `index` messages had passed each way; the index words have to say so too.
    #[cfg(loom)]
    pub fn start_at(&mut self, index: u32) {
        self.outgoing.start_at(index);
        self.incoming.start_at(index);
    }

    /// Puts a message on the ring. The peer sees it after [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`SendError`].
    pub fn send(&mut self, message: &Out) -> Result<(), SendError> {
        // `MAX_SIZE` bounds every encoding and `new` checked that it fits: were that wrong, the channel ends and not the process.
        let is_sent = if const { Out::MAX_SIZE <= SMALL } {
            self.outgoing
                .push_small(|room| codec::encode(message, room).ok())?
        } else {
            self.outgoing.has_room()? && {
                let (_, body) = self.slot.split_at_mut(LENGTH_SIZE);
                let len = codec::encode(message, body).map_err(|_| PeerError::Length)?;
                self.outgoing.push(&mut self.slot, LENGTH_SIZE + len)?
            }
        };
        if !is_sent {
            // A message that is tried again is the same time.
            if !core::mem::replace(&mut self.wants_room, true) {
                count(&mut self.counted.tx_full);
            }
            return Err(SendError::Full);
        }
        self.wants_room = false;
        if const { Out::SOME_CAN_WAIT }
            && (!message.can_wait() || self.outgoing.queued() > self.counted.slots / CROWD)
        {
            self.is_urgent = true;
        }
        count(&mut self.counted.tx_messages);
        Ok(())
    }

    /// Whether the peer has sent a message that was not taken.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn has_message(&mut self) -> Result<bool, PeerError> {
        self.incoming.has_waiting()
    }

    /// Takes the next message of the peer, if there is one. Its slot is the peer's again after [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`PeerError`]: the peer broke the protocol, close the channel.
    pub fn receive(&mut self) -> Result<Option<In>, PeerError> {
        let message = if const { In::MAX_SIZE <= SMALL } {
            match self.incoming.pop_small()? {
                Some((bytes, len)) => codec::decode(bytes.get(..len).unwrap_or_default())?,
                None => return Ok(None),
            }
        } else {
            match self.incoming.pop(&mut self.slot)? {
                Some(bytes) => decode_apart(bytes)?,
                None => return Ok(None),
            }
        };
        count(&mut self.counted.rx_messages);
        Ok(Some(message))
    }

    /// What was counted, and how full the rings are now. `peer` is the caller's name for the other side.
    #[must_use]
    pub fn ring_info(&self, peer: u64) -> RingInfo {
        RingInfo {
            peer,
            rx_queued: self.incoming.queued(),
            tx_queued: self.outgoing.queued(),
            ..self.counted
        }
    }

    /// How many messages can be sent now.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    pub fn room(&mut self) -> Result<u32, PeerError> {
        self.outgoing.room()
    }

    /// Whether a message can be sent now; looks at the peer's index only if there was no room at the last look.
    ///
    /// # Errors
    /// [`PeerError::Index`].
    #[inline]
    pub fn has_room(&mut self) -> Result<bool, PeerError> {
        self.outgoing.has_room()
    }

    /// Tells the peer to look at socket `index` with the next [`flush`](Self::flush). An index beyond the geometry is ignored.
    ///
    /// Everything written before that, for instance FIFO indices, is visible to the peer once it has taken the event.
    pub fn raise(&mut self, index: u16) {
        self.raised.raise(index);
    }

    /// Calls `look` for each socket index raised by the peer, and clears them: at most once for each index of the geometry.
    #[inline]
    pub fn take_events(&mut self, look: &mut impl FnMut(u16)) {
        self.events.take(look);
    }

    /// Whether the peer has sent or raised anything, or broken the protocol, that was not taken yet.
    pub fn has_news(&mut self) -> bool {
        self.incoming.has_waiting().unwrap_or(true) || self.events.is_any()
    }

    /// Publishes everything sent and received. True: ring the peer's doorbell now. The peer's wake word is cleared, so that one sleep of
    /// the peer gets one doorbell.
    #[must_use = "a sleeping peer is waiting for its doorbell"]
    pub fn flush(&mut self) -> bool {
        let sent = self.outgoing.publish();
        let received = self.incoming.publish();
        let raised = self.raised.publish();
        let mut reasons = 0;
        if sent || raised {
            reasons |= WAKE_FOR_NEWS;
        }
        if received {
            reasons |= WAKE_FOR_ROOM;
        }
        if reasons == 0 {
            return false;
        }
        // Pairs with the fence in `prepare_sleep`: either this side sees the wake word, or the peer sees what was published.
        shm::fence();
        let wake = self.wake_peer.load(Ordering::Relaxed);
        if const { Out::SOME_CAN_WAIT } {
            let is_urgent = core::mem::take(&mut self.is_urgent) || raised;
            if wake & PATIENT != 0 && !is_urgent {
                reasons &= !WAKE_FOR_NEWS;
            }
        }
        if wake & reasons == 0 {
            return false;
        }
        // Zero: the peer has withdrawn it in between, and looks by itself.
        let ring = self.wake_peer.swap(0, Ordering::Relaxed) != 0;
        if ring {
            count(&mut self.counted.tx_doorbells);
        }
        ring
    }

    /// Announces that this side is about to sleep. True: it may, the peer will ring the doorbell. False: there is something to do
    /// (a message, an event, room for a message that did not fit, something not flushed, an error to be found), and the announcement
    /// has been withdrawn.
    #[must_use = "sleeping when there is work loses it"]
    pub fn prepare_sleep(&mut self) -> bool {
        let reasons = if self.wants_room {
            WAKE_FOR_NEWS | WAKE_FOR_ROOM
        } else {
            WAKE_FOR_NEWS
        };
        let reasons = reasons | self.patience;
        self.wake_me.store(reasons, Ordering::Relaxed);
        self.announced = true;
        // Pairs with the fence in `flush`.
        shm::fence();
        if self.has_work() {
            self.awake();
            return false;
        }
        true
    }

    /// Whether sleeps from now on go on when a message comes that [can wait](Message::can_wait). It is then read when something else
    /// ends the sleep.
    pub fn set_patient(&mut self, is_patient: bool) {
        self.patience = if is_patient { PATIENT } else { 0 };
    }

    /// As [`prepare_sleep`](Self::prepare_sleep), for a side that takes no message while there is no room for its answer: messages that
    /// wait are no work then, room is. Without it, a peer that fills both rings would keep this side awake for ever.
    #[must_use = "sleeping when there is work loses it"]
    pub fn prepare_sleep_for_room(&mut self) -> bool {
        self.wake_me
            .store(WAKE_FOR_NEWS | WAKE_FOR_ROOM, Ordering::Relaxed);
        self.announced = true;
        // Pairs with the fence in `flush`.
        shm::fence();
        let has_room = self.outgoing.has_room().unwrap_or(true);
        if self.is_staged() || self.events.is_any() || has_room {
            self.awake();
            return false;
        }
        true
    }

    /// Withdraws the announcement, after waking up for whatever reason.
    pub fn awake(&mut self) {
        if core::mem::take(&mut self.announced) && self.wake_me.swap(0, Ordering::Relaxed) == 0 {
            count(&mut self.counted.rx_doorbells);
        }
    }

    fn is_staged(&self) -> bool {
        self.outgoing.is_staged() || self.incoming.is_staged() || self.raised.is_staged()
    }

    fn has_work(&mut self) -> bool {
        if self.is_staged() {
            return true;
        }
        // An error is work: the caller meets it when it receives or sends.
        if self.has_news() {
            return true;
        }
        if self.wants_room && self.outgoing.has_room().unwrap_or(true) {
            // Said once: a caller that does not try again is not kept awake by it.
            self.wants_room = false;
            return true;
        }
        false
    }
}

/// What is large is rare (it sets something up): its decoder does not lie between the instructions of every pass.
#[inline(never)]
fn decode_apart<In: Message>(bytes: &[u8]) -> Result<In, DecodeError> {
    codec::decode(bytes)
}

fn count(counter: &mut u64) {
    *counter = counter.wrapping_add(1);
}

impl<Out, In> fmt::Debug for Channel<Out, In> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}
