//! The driver's side of the stack: frame pool, frame channel, and who owns which buffer.
//!
//! The driver is not believed: a buffer that it names must be one that it was given, for that use; a frame is copied out
//! before anybody looks at it, and its buffer is given back at once. Whoever breaks the rules is detached, and all
//! buffers are the stack's again.

use crate::{Doorbell, engine::FrameSink, time::Instant};
use alloc::{boxed::Box, vec, vec::Vec};
use core::{fmt, time::Duration};
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, SendError, Side},
    fifo::PeerError,
    frame::{BUFFER_SIZE, HEADROOM, ToDriver, ToStack},
    rings::RingInfo,
    shm::Shm,
};

/// Longest frame that fits in a buffer.
pub(crate) const MAX_FRAME: usize = BUFFER_SIZE - HEADROOM;
/// A driver that has not completed a single transmission for so long is taken for dead.
const STUCK: Duration = Duration::from_secs(5);
/// Buffers that answers to received frames may take when sockets may send no more.
const RESERVE: usize = 16;

/// A hardware address, as people write it.
pub(crate) struct Mac(pub(crate) [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// What a driver did wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Violation {
    /// The channel's indices or messages make no sense.
    Channel(PeerError),
    /// It named a buffer that it does not have, or has for the other use.
    NotItsBuffer(u16),
    /// The length of a received frame is below an Ethernet header or beyond the buffer.
    Length(u16),
    /// It completed no transmission for five seconds.
    Stuck,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Channel(error) => error.fmt(f),
            Violation::NotItsBuffer(buffer) => write!(f, "buffer {buffer} is not the driver's"),
            Violation::Length(len) => write!(f, "received frame of {len} bytes"),
            Violation::Stuck => f.write_str("no transmission completed for 5 seconds"),
        }
    }
}

impl core::error::Error for Violation {}

/// What came from the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// A frame of so many bytes, now in the caller's buffer.
    Frame(usize),
    /// The link went up or down.
    Link(bool),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    Stack,
    Receiving,
    Transmitting,
}

struct Driver {
    channel: Channel<ToDriver, ToStack>,
    pool: Shm,
    bell: Box<dyn Doorbell>,
    owners: Vec<Owner>,
    free: Vec<u16>,
    receiving: usize,
    max_receiving: usize,
    transmitting: usize,
    /// When the driver last completed a transmission, or was given one while it had none.
    progress: Instant,
    link_up: bool,
    broken: Option<Violation>,
}

/// What was counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct FrameCounters {
    /// Frames received.
    pub(crate) rx_frames: u64,
    /// Their bytes.
    pub(crate) rx_bytes: u64,
    /// Frames sent.
    pub(crate) tx_frames: u64,
    /// Their bytes.
    pub(crate) tx_bytes: u64,
    /// Frames that found no buffer.
    pub(crate) tx_dropped: u64,
}

/// Frames from and to the driver, if there is one.
#[derive(Default)]
pub(crate) struct Frames {
    driver: Option<Driver>,
    now: Instant,
    /// What was counted, over all drivers.
    pub(crate) counters: FrameCounters,
}

impl Frames {
    /// Takes a new driver, in place of any other. All buffers of `pool` are the stack's.
    ///
    /// # Errors
    /// A message if the memory is too small.
    pub(crate) fn attach(
        &mut self,
        memory: Shm,
        pool: Shm,
        bell: Box<dyn Doorbell>,
        receive_buffers: u16,
        link_up: bool,
        now: Instant,
    ) -> Result<u16, &'static str> {
        let channel = Channel::new(memory, Side::Stack, FRAME_CHANNEL)
            .map_err(|_| "the channel memory is too small")?;
        let buffers = u16::try_from(pool.len() / BUFFER_SIZE).unwrap_or(u16::MAX);
        if buffers <= receive_buffers {
            return Err("the frame pool is too small");
        }
        self.driver = Some(Driver {
            channel,
            pool,
            bell,
            owners: vec![Owner::Stack; buffers.into()],
            free: (0..buffers).rev().collect(),
            receiving: 0,
            max_receiving: receive_buffers.into(),
            transmitting: 0,
            progress: now,
            link_up,
            broken: None,
        });
        self.refill();
        Ok(buffers)
    }

    /// Forgets the driver. All buffers are the stack's again.
    pub(crate) fn detach(&mut self) {
        self.driver = None;
    }

    /// Whether there is a driver.
    pub(crate) fn is_attached(&self) -> bool {
        self.driver.is_some()
    }

    /// Whether there is a driver with a link.
    pub(crate) fn link_up(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.link_up)
    }

    /// The next event, with its frame copied to `buffer`.
    ///
    /// # Errors
    /// [`Violation`]: the caller detaches the driver.
    pub(crate) fn next(
        &mut self,
        buffer: &mut [u8; MAX_FRAME],
    ) -> Result<Option<Event>, Violation> {
        let Some(driver) = &mut self.driver else {
            return Ok(None);
        };
        if let Some(violation) = driver.broken {
            return Err(violation);
        }
        // Bounded: the ring has fewer slots, and one slot is one step.
        while let Some(message) = driver.channel.receive().map_err(Violation::Channel)? {
            match message {
                ToStack::Received { buffer: id, len } => {
                    driver.take_back(id, Owner::Receiving)?;
                    let size = usize::from(len);
                    let frame = buffer
                        .get_mut(..size)
                        .filter(|_| size >= crate::classify::ETHERNET)
                        .ok_or(Violation::Length(len))?;
                    let offset = usize::from(id)
                        .saturating_mul(BUFFER_SIZE)
                        .saturating_add(HEADROOM);
                    driver
                        .pool
                        .read(offset, frame)
                        .map_err(|_| Violation::Length(len))?;
                    self.counters.rx_frames = self.counters.rx_frames.saturating_add(1);
                    self.counters.rx_bytes = self.counters.rx_bytes.saturating_add(len.into());
                    return Ok(Some(Event::Frame(size)));
                }
                ToStack::Transmitted { buffer: id } => {
                    driver.take_back(id, Owner::Transmitting)?;
                    driver.progress = self.now;
                }
                ToStack::Link { up } => {
                    driver.link_up = up;
                    return Ok(Some(Event::Link(up)));
                }
            }
        }
        Ok(None)
    }

    /// Gives the driver buffers to receive into, up to its share.
    pub(crate) fn refill(&mut self) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        while driver.receiving < driver.max_receiving {
            let Some(id) = driver.free.pop() else { break };
            if !driver.give(id, Owner::Receiving, &ToDriver::Receive { buffer: id }) {
                break;
            }
            driver.receiving = driver.receiving.saturating_add(1);
        }
    }

    /// The machine stood still for so long, and the driver with it.
    pub(crate) fn stood_still(&mut self, time: Duration) {
        if let Some(driver) = &mut self.driver {
            driver.progress = driver.progress.after(time);
        }
    }

    /// Tells the time, and looks whether the driver still does its work.
    ///
    /// # Errors
    /// [`Violation::Stuck`].
    pub(crate) fn tick(&mut self, now: Instant) -> Result<(), Violation> {
        self.now = now;
        match &self.driver {
            Some(driver) if driver.transmitting > 0 && now.since(driver.progress) >= STUCK => {
                Err(Violation::Stuck)
            }
            _ => Ok(()),
        }
    }

    /// When [`tick`](Self::tick) has to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let driver = self.driver.as_ref()?;
        (driver.transmitting > 0).then(|| driver.progress.after(STUCK))
    }

    /// Publishes what was sent and given, and rings the driver if it sleeps.
    pub(crate) fn flush(&mut self) {
        if let Some(driver) = &mut self.driver
            && driver.channel.flush()
        {
            driver.bell.ring();
        }
    }

    /// What was counted of the driver's channel, if there is a driver.
    pub(crate) fn ring_info(&self) -> Option<RingInfo> {
        let driver = self.driver.as_ref()?;
        Some(driver.channel.ring_info(RingInfo::DRIVER))
    }

    /// Prepares to sleep. False if there is work.
    pub(crate) fn prepare_sleep(&mut self) -> bool {
        match &mut self.driver {
            Some(driver) => driver.channel.prepare_sleep(),
            None => true,
        }
    }

    /// Withdraws [`prepare_sleep`](Self::prepare_sleep).
    pub(crate) fn awake(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.channel.awake();
        }
    }

    /// Buffers that the driver has yet to send.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn transmitting(&self) -> usize {
        self.driver.as_ref().map_or(0, |driver| driver.transmitting)
    }

    /// Panics unless each buffer of the pool has exactly one owner, and the counts are those of the owners.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        let Some(driver) = &self.driver else {
            return;
        };
        let count = |whose| {
            driver
                .owners
                .iter()
                .filter(|owner| **owner == whose)
                .count()
        };
        assert_eq!(count(Owner::Receiving), driver.receiving, "to receive into");
        assert!(
            driver.receiving <= driver.max_receiving,
            "too many to receive into"
        );
        assert_eq!(
            count(Owner::Transmitting),
            driver.transmitting,
            "to transmit"
        );
        assert_eq!(count(Owner::Stack), driver.free.len(), "free buffers");
        let mut free = vec![false; driver.owners.len()];
        for id in &driver.free {
            let place = free.get_mut(usize::from(*id));
            let seen = place.map(|seen| core::mem::replace(seen, true));
            assert_eq!(seen, Some(false), "buffer {id} is free twice, or is none");
            let owner = driver.owners.get(usize::from(*id));
            assert_eq!(owner, Some(&Owner::Stack), "buffer {id} is free and given");
        }
    }

    fn submit(&mut self, frame: &[u8]) -> Option<()> {
        let driver = self.driver.as_mut().filter(|driver| driver.link_up)?;
        let len = u16::try_from(frame.len())
            .ok()
            .filter(|len| usize::from(*len) <= MAX_FRAME)?;
        let id = driver.free.pop()?;
        let offset = usize::from(id)
            .saturating_mul(BUFFER_SIZE)
            .saturating_add(HEADROOM);
        if driver.pool.write(offset, frame).is_err() {
            driver.free.push(id);
            return None;
        }
        if !driver.give(
            id,
            Owner::Transmitting,
            &ToDriver::Transmit { buffer: id, len },
        ) {
            return None;
        }
        if driver.transmitting == 0 {
            driver.progress = self.now;
        }
        driver.transmitting = driver.transmitting.saturating_add(1);
        Some(())
    }
}

impl Driver {
    fn take_back(&mut self, id: u16, from: Owner) -> Result<(), Violation> {
        match self.owners.get_mut(usize::from(id)) {
            Some(owner) if *owner == from => *owner = Owner::Stack,
            _ => return Err(Violation::NotItsBuffer(id)),
        }
        let count = match from {
            Owner::Receiving => &mut self.receiving,
            _ => &mut self.transmitting,
        };
        *count = count.saturating_sub(1);
        self.free.push(id);
        Ok(())
    }

    /// Hands a buffer over. It stays the stack's if the ring is full.
    fn give(&mut self, id: u16, to: Owner, message: &ToDriver) -> bool {
        match self.channel.send(message) {
            Ok(()) => {
                if let Some(owner) = self.owners.get_mut(usize::from(id)) {
                    *owner = to;
                }
                true
            }
            Err(error) => {
                if let SendError::Peer(error) = error {
                    self.broken = Some(Violation::Channel(error));
                }
                self.free.push(id);
                false
            }
        }
    }
}

impl FrameSink for Frames {
    fn has_room(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| {
            // What receiving still needs is not room for sending.
            let wanted = driver.max_receiving.saturating_sub(driver.receiving);
            driver.link_up && driver.free.len() > wanted.saturating_add(RESERVE)
        })
    }

    fn send(&mut self, frame: &[u8]) {
        match self.submit(frame) {
            Some(()) => {
                self.counters.tx_frames = self.counters.tx_frames.saturating_add(1);
                self.counters.tx_bytes = self.counters.tx_bytes.saturating_add(frame.len() as u64);
            }
            None => self.counters.tx_dropped = self.counters.tx_dropped.saturating_add(1),
        }
    }
}
