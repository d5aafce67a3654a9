//! The driver's side of the stack: frame pools, frame channel, and who owns which buffer.
//!
//! The driver is not believed: a buffer that it names must be one that it was given, for that use; of a frame, a copy is
//! looked at, and no byte of it twice. Whoever breaks the rules is detached, and all buffers are the stack's again.

mod buffers;
mod news;
mod sending;
mod share;

pub use buffers::{FramePool, SendMemory};
pub(crate) use news::{Event, FrameCounters, Mac, Violation};

use crate::{Doorbell, engine::LONGEST_SEGMENT, time::Instant};
use alloc::boxed::Box;
use buffers::{Buffers, Place, Size};
use core::time::Duration;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, SendError, Side},
    fifo::{PeerError, Writer},
    frame::{BUFFER_SIZE, Checksum, HEADROOM, LARGE_BUFFER_SIZE, Offloads, ToDriver, ToStack},
    rings::RingInfo,
    shm::Shm,
};

/// Longest frame that fits in a small buffer.
pub(crate) const MAX_FRAME: usize = BUFFER_SIZE - HEADROOM;
/// Bytes of a frame of more than a small buffer that are copied at once, if the device vouches for the checksum: no headers are longer.
pub(crate) const HEAD: usize = 128;
/// Longest frame that fits in a large buffer.
const MAX_LARGE_FRAME: usize = LARGE_BUFFER_SIZE - HEADROOM;
/// A driver that has not completed a single transmission for so long is taken for dead.
const STUCK: Duration = Duration::from_secs(5);

struct Driver {
    channel: Channel<ToDriver, ToStack>,
    bell: Box<dyn Doorbell>,
    buffers: Buffers,
    offloads: Offloads,
    /// When the driver last completed a transmission, or was given one while it had none.
    progress: Instant,
    link_up: bool,
    broken: Option<Violation>,
    /// It is to be looked at. Else it has been promised to be heard when it rings, and has had nothing to say behind that.
    is_awake: bool,
}

/// What a new driver is attached with.
pub(crate) struct Attachment {
    /// Memory of the channel.
    pub(crate) channel: Shm,
    /// The pool to receive into.
    pub(crate) receive: FramePool<Shm>,
    /// The pool to send from.
    pub(crate) send: FramePool<Box<dyn SendMemory>>,
    /// Wakes the driver.
    pub(crate) bell: Box<dyn Doorbell>,
    /// Whether the link is up.
    pub(crate) link_up: bool,
    /// What its device is to do with frames.
    pub(crate) offloads: Offloads,
}

/// Frames from and to the driver, if there is one.
#[derive(Default)]
pub(crate) struct Frames {
    driver: Option<Driver>,
    /// The place that was given to build a frame in and send it from there, and was not sent yet; and that of the last that was.
    placed: Option<Place>,
    last: Place,
    now: Instant,
    /// What was counted, over all drivers.
    pub(crate) counters: FrameCounters,
    /// No data goes past the engine.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) nothing_past: bool,
    /// Frames whose data went straight to a client, small ones that went past the engine, and those that were sent so.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) passed_on: u64,
    #[cfg(any(test, feature = "testing"))]
    pub(crate) past: [u64; 2],
    /// Bytes that were sent from clients' FIFOs.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) flown: u64,
    /// Acknowledgments that the engine did not hear.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) acks_left_out: u64,
}

impl Frames {
    /// Takes a new driver, in place of any other. All buffers of the pools are the stack's.
    ///
    /// # Errors
    /// A message if the memory is too small.
    pub(crate) fn attach(
        &mut self,
        attachment: Attachment,
        now: Instant,
    ) -> Result<(), &'static str> {
        let Attachment {
            channel,
            receive,
            send,
            bell,
            link_up,
            offloads,
        } = attachment;
        let channel = Channel::new(channel, Side::Stack, FRAME_CHANNEL)
            .map_err(|_| "the channel memory is too small")?;
        let receives_into = match offloads.receive_segments {
            true => Size::Large,
            false => Size::Small,
        };
        let buffers =
            Buffers::new(receive, receives_into, send).ok_or("a frame pool is too small")?;
        self.placed = None;
        self.driver = Some(Driver {
            channel,
            bell,
            buffers,
            offloads,
            progress: now,
            link_up,
            broken: None,
            is_awake: true,
        });
        self.refill();
        Ok(())
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

    /// Whether TCP segments may have been joined to packets beyond the MTU.
    pub(crate) fn joins_segments(&self) -> bool {
        let driver = self.driver.as_ref();
        driver.is_some_and(|driver| driver.offloads.receive_segments)
    }

    /// Most bytes of a frame with a TCP segment that is cut, by the device or here, to packets of `mtu` bytes.
    pub(crate) fn longest_segment(&self, mtu: u16) -> usize {
        match &self.driver {
            Some(driver) if driver.offloads.transmit_segments => LONGEST_SEGMENT,
            Some(driver) => driver.pieces().saturating_mul(mtu.into()),
            None => 0,
        }
    }

    /// Whether the device cuts TCP segments to packets.
    pub(crate) fn cuts_segments(&self) -> bool {
        let driver = self.driver.as_ref();
        driver.is_some_and(|driver| driver.offloads.transmit_segments)
    }

    /// Longest frame that there can be.
    pub(crate) fn longest(&self) -> usize {
        match self.joins_segments() {
            true => MAX_LARGE_FRAME,
            false => MAX_FRAME,
        }
    }

    /// Whether no data may go past the engine.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn nothing_past(&self) -> bool {
        self.nothing_past
    }

    #[cfg(not(any(test, feature = "testing")))]
    pub(crate) fn nothing_past(&self) -> bool {
        false
    }

    /// The next event, with its frame, or the start of it, copied to `buffer`, which has room for the longest.
    ///
    /// # Errors
    /// [`Violation`]: the caller detaches the driver.
    pub(crate) fn next(&mut self, buffer: &mut [u8]) -> Result<Option<Event>, Violation> {
        let nothing_past = self.nothing_past();
        let Some(driver) = &mut self.driver else {
            return Ok(None);
        };
        if let Some(violation) = driver.broken {
            return Err(violation);
        }
        // Bounded: the ring has fewer slots, and one slot is one step.
        while let Some(message) = driver.channel.receive().map_err(Violation::Channel)? {
            match message {
                ToStack::Received {
                    buffer: id,
                    len,
                    checksum,
                } => {
                    if !driver.buffers.received(id) {
                        return Err(Violation::NotItsBuffer(id));
                    }
                    let vouches = checksum != Checksum::Unknown;
                    if vouches && !driver.offloads.receive_checksum {
                        return Err(Violation::Checksum);
                    }
                    let size = len as usize;
                    let frame = buffer
                        .get_mut(..size)
                        .filter(|_| size >= crate::classify::ETHERNET)
                        .ok_or(Violation::Length(len))?;
                    let is_long = size > MAX_FRAME && vouches && !nothing_past;
                    let (now, later) = frame.split_at_mut(if is_long { HEAD } else { size });
                    if !driver.buffers.holds(id, size) || !driver.buffers.read(id, 0, now) {
                        return Err(Violation::Length(len));
                    }
                    self.counters.rx_frames = self.counters.rx_frames.saturating_add(1);
                    self.counters.rx_bytes = self.counters.rx_bytes.saturating_add(len.into());
                    return Ok(Some(Event::Frame {
                        len: size,
                        vouches,
                        rest: (!later.is_empty()).then_some(id),
                    }));
                }
                ToStack::Transmitted { buffers } => {
                    if !driver.buffers.sent(buffers) {
                        return Err(Violation::NotItsBuffer(buffers.first));
                    }
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

    /// Copies the rest of a frame out of its buffer: the bytes from [`HEAD`] on. False if there is no driver any more.
    pub(crate) fn fetch(&self, id: u16, rest: &mut [u8]) -> bool {
        let driver = self.driver.as_ref();
        driver.is_some_and(|driver| driver.buffers.read(id, HEAD, rest))
    }

    /// Copies `len` bytes of a frame from its buffer, from byte `at` of it on, to where a client's next ones are: see [`Writer::stage`].
    pub(crate) fn stage(
        &self,
        id: u16,
        (at, len): (usize, usize),
        writer: &mut Writer,
    ) -> Result<bool, PeerError> {
        match &self.driver {
            Some(driver) => driver.buffers.stage(id, (at, len), writer),
            None => Ok(false),
        }
    }

    /// Gives the driver buffers to receive into, up to its share; many at a time, since a driver that sleeps is woken for it.
    pub(crate) fn refill(&mut self) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        if !driver.buffers.are_short() {
            return;
        }
        while let Some(buffers) = driver.buffers.next_to_receive() {
            if !driver.tell(&ToDriver::Receive { buffers }) {
                break;
            }
            driver.buffers.give_to_receive(buffers);
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
            Some(driver)
                if driver.buffers.transmitting() > 0 && now.since(driver.progress) >= STUCK =>
            {
                Err(Violation::Stuck)
            }
            _ => Ok(()),
        }
    }

    /// When [`tick`](Self::tick) has to be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let driver = self.driver.as_ref()?;
        (driver.buffers.transmitting() > 0).then(|| driver.progress.after(STUCK))
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

    /// Whether the driver is to be looked at.
    pub(crate) fn is_awake(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| driver.is_awake)
    }

    /// Prepares to sleep: from now on a driver that has no work is left alone until it rings. False if there is work.
    pub(crate) fn prepare_sleep(&mut self) -> bool {
        if let Some(driver) = &mut self.driver
            && driver.is_awake
        {
            // What it broke is noticed when it is looked at, and it may never ring again.
            driver.is_awake = driver.broken.is_some() || !driver.channel.prepare_sleep();
            return !driver.is_awake;
        }
        true
    }

    /// The driver's doorbell was heard.
    pub(crate) fn heard(&mut self) {
        if let Some(driver) = &mut self.driver {
            driver.is_awake = true;
            driver.channel.awake();
        }
    }

    /// Buffers that the driver has yet to send.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn transmitting(&self) -> usize {
        let driver = self.driver.as_ref();
        driver.map_or(0, |driver| driver.buffers.transmitting())
    }

    /// Buffers that the driver has to receive into.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn receiving(&self) -> usize {
        let driver = self.driver.as_ref();
        driver.map_or(0, |driver| driver.buffers.receiving())
    }

    /// Panics unless each buffer of the pool has exactly one owner, and the counts are those of the owners.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        if let Some(driver) = &self.driver {
            driver.buffers.check();
        }
    }
}

impl Driver {
    /// Sends a message. False if the ring is full.
    #[inline]
    fn tell(&mut self, message: &ToDriver) -> bool {
        match self.channel.send(message) {
            Ok(()) => true,
            Err(error) => {
                if let SendError::Peer(error) = error {
                    self.broken = Some(Violation::Channel(error));
                }
                // It has to be promised that room is noticed too; or what it broke has to be noticed here.
                self.is_awake = true;
                false
            }
        }
    }
}
