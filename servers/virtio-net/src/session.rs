//! One attachment to the stack: a running device on one side, the frame channel on the other.
//!
//! Touches the channel, the headers of frames, and the device through [`Nic`]. Both peers
//! may lie. All work is bounded: a pass handles at most [`BUDGET`] messages and one queue length of buffers
//! in each direction, and memory is taken once, by the number of buffers in the pool.
#![forbid(unsafe_code)]

mod hands;
mod terms;

use crate::{
    device::ETHERNET_HEADER,
    error::{DeviceError, SessionError, StackError},
    headers::Headers,
    nic::Nic,
    offload::{HEADER, Header},
    queue::{Completed, QUEUE_SIZE},
    registers::Registers,
    sent::Sent,
};
use alloc::collections::VecDeque;
use hands::Hands;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, SendError, Side},
    frame::{Pool, Run, ToDriver, ToStack},
};
pub use terms::{
    BUDGET, Counters, Pass, RETURN_WITHIN, STUCK_AFTER, Shared, WATCHDOG, WATCHDOG_IDLE, Wake,
};

/// An attachment.
pub struct Session<R: Registers> {
    nic: Nic<R>,
    channel: Channel<ToStack, ToDriver>,
    headers: Headers,
    /// Which buffers the pool to send from has.
    send: Pool,
    /// Which buffers to receive into the stack has given, ...
    receiving: Hands,
    /// ... and which to send from.
    sending: Hands,
    /// Empty buffers that the receive queue had no room for.
    receive_waiting: VecDeque<u16>,
    /// Buffers with frames, the frames' lengths and headers, that the transmit queue had no room for.
    transmit_waiting: VecDeque<(u16, u16, Header)>,
    /// Buffers whose frames were sent, not yet returned: many go in one message, and a sleeping stack is not woken for one.
    sent: Sent,
    /// Since when there are some.
    sent_since: u64,
    /// A message that found the ring to the stack full.
    unsent: Option<ToStack>,
    /// Return sent buffers when so many wait, ...
    return_at: usize,
    /// ... or only so many, if the stack is woken anyway.
    return_along: usize,
    /// Have the device interrupt for sent frames when the stack misses so many buffers.
    interrupt_at: usize,
    /// Large buffers to send from that the stack misses. There are few: with so many missing it is short of them.
    large_missing: usize,
    large_few: usize,
    /// What the stack was told.
    link_up: bool,
    link_news: bool,
    /// How long the next sleep lasts at most.
    watchdog: u64,
    /// When the device last returned a sent frame, or was idle.
    transmit_progress: u64,
    asleep: bool,
    counters: Counters,
}

impl<R: Registers> Session<R> {
    /// Joins a device that was just started to a channel. `link_up` is what the stack was told when it
    /// was attached to; `now` the time in nanoseconds.
    ///
    /// # Errors
    /// [`StackError::BadMemory`] if channel or pool to receive into are smaller than they should be.
    pub fn new(
        nic: Nic<R>,
        shared: Shared,
        link_up: bool,
        now: u64,
    ) -> Result<Session<R>, SessionError> {
        let Shared { receive, send, .. } = shared;
        let headers = Headers::new(shared.pool, [receive, send], shared.offloads)?;
        let channel = Channel::new(shared.channel, Side::Client, FRAME_CHANNEL)
            .map_err(|_| StackError::BadMemory)?;
        let to_send = send.count();
        let link_now = nic.identity().link_up;
        Ok(Session {
            nic,
            channel,
            headers,
            send,
            receiving: Hands::new(receive.count()),
            sending: Hands::new(to_send),
            receive_waiting: VecDeque::with_capacity(receive.count()),
            transmit_waiting: VecDeque::with_capacity(to_send),
            sent: Sent::new(send),
            sent_since: now,
            unsent: None,
            return_at: (to_send / 4).max(1),
            return_along: (to_send / 16).max(1),
            interrupt_at: (to_send / 2).max(1),
            large_missing: 0,
            large_few: usize::from(send.large).div_ceil(2).max(1),
            link_up: link_now,
            link_news: link_now != link_up,
            watchdog: WATCHDOG,
            transmit_progress: now,
            asleep: false,
            counters: Counters::default(),
        })
    }

    /// What was moved so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Moves everything that can be moved, within the budget.
    ///
    /// # Errors
    /// [`SessionError`]: the attachment is over, whoever is to blame.
    pub fn pass(&mut self, now: u64, wake: Wake) -> Result<Pass, SessionError> {
        if self.asleep {
            self.asleep = false;
            self.channel.awake();
            self.nic.set_interrupts(false, false);
        }
        if wake.config_changed || wake.watchdog {
            self.nic.check()?;
        }
        if wake.config_changed {
            let up = self.nic.link_up()?;
            self.link_news |= up != self.link_up;
            self.link_up = up;
        }
        let messages = self.take_messages()?;
        let reaped = self.reap_transmits(now)?;
        if !self.transmit_waiting.is_empty() {
            self.post_transmits();
        }
        let share = terms::share(messages, self.nic.receives_waiting()?);
        let (received, bytes) = self.reap_receives(share)?;
        if !self.receive_waiting.is_empty() {
            self.post_receives();
        }
        self.nic.kick();
        self.send_link()?;
        // The stack takes a driver that returns nothing for dead, however much it receives meanwhile.
        let is_late = self.sent.len() > 0 && now.saturating_sub(self.sent_since) >= RETURN_WITHIN;
        let due = wake.watchdog
            || is_late
            || self.sent.len() >= self.return_at
            || received > 0 && self.sent.len() >= self.return_along
            || reaped > 0 && self.is_short_of_large();
        let in_vain = wake.watchdog && messages + reaped + received + self.sent.len() == 0;
        if due {
            self.return_sent()?;
        }
        self.watchdog = match in_vain {
            true => self.watchdog.saturating_mul(2).min(WATCHDOG_IDLE),
            false => WATCHDOG,
        };
        let ring_stack = self.channel.flush();
        Ok(Pass {
            again: messages == BUDGET || received == share,
            ring_stack,
            waits_for_stack: ring_stack || self.unsent.is_some(),
            device_work: reaped > 0 || received > 0,
            busy: received >= terms::BUSY || bytes >= terms::BUSY_BYTES,
        })
    }

    /// Whether there is something to do for a pass, as far as one can see without announcing a sleep.
    ///
    /// # Errors
    /// [`SessionError`] if the device broke the specification.
    pub fn has_work(&mut self) -> Result<bool, SessionError> {
        let (receive, transmit) = self.interests();
        Ok(self.channel.has_news() || !self.nic.is_quiet(receive, transmit)?)
    }

    /// Whether received frames wait.
    ///
    /// # Errors
    /// [`SessionError`] if the device broke the specification.
    pub fn has_frames(&self) -> Result<bool, SessionError> {
        Ok(self.nic.receives_waiting()? > 0)
    }

    /// Buffers to send from that the stack misses.
    fn missing(&self) -> usize {
        usize::from(self.nic.transmits_in_flight()).saturating_add(self.sent.len())
    }

    /// What to be interrupted for: received frames, sent ones.
    fn interests(&self) -> (bool, bool) {
        // While the stack does not read, received frames stay where they are.
        let receive = self.unsent.is_none();
        let transmit = self.missing() >= self.interrupt_at
            || self.nic.transmits_in_flight() > 0 && self.is_short_of_large()
            || !self.transmit_waiting.is_empty();
        (receive, transmit)
    }

    /// Gets ready to sleep. Returns until when at most, in nanoseconds, or `None` if there is work to do first.
    ///
    /// # Errors
    /// [`SessionError`] if the device broke the specification.
    pub fn prepare_sleep(&mut self, now: u64) -> Result<Option<u64>, SessionError> {
        if !self.channel.prepare_sleep() {
            return Ok(None);
        }
        let (receive, transmit) = self.interests();
        self.nic.set_interrupts(receive, transmit);
        self.asleep = true;
        // Looked at once more after asking for interrupts: what came before that will not interrupt.
        if !self.nic.is_quiet(receive, transmit)? {
            return Ok(None);
        }
        let limit = match self.missing() > 0 {
            true => RETURN_WITHIN,
            false => self.watchdog,
        };
        Ok(Some(now.saturating_add(limit)))
    }

    /// Takes messages of the stack; returns how many.
    fn take_messages(&mut self) -> Result<usize, SessionError> {
        for taken in 0..BUDGET {
            match self.channel.receive() {
                Ok(None) => return Ok(taken),
                Ok(Some(ToDriver::Receive { buffers })) => {
                    self.receiving.take(buffers)?;
                    for buffer in buffers.range() {
                        // One of the pool, whose numbers have 16 bits.
                        self.post_receive(buffer as u16);
                    }
                }
                Ok(Some(ToDriver::Transmit {
                    buffer,
                    len,
                    offload,
                })) => {
                    self.sending.take(Run::one(buffer))?;
                    let header = self.headers.make(buffer, len, offload)?;
                    let is_large = buffer >= self.send.small;
                    self.large_missing = self.large_missing.saturating_add(is_large.into());
                    // Those that wait go first.
                    let may = self.transmit_waiting.is_empty();
                    if !(may && self.nic.post_transmit(buffer, len, header)) {
                        self.transmit_waiting.push_back((buffer, len, header));
                    }
                }
                Err(_) => return Err(StackError::Channel.into()),
            }
        }
        Ok(BUDGET)
    }

    /// Whether the stack may have to wait for large buffers to send from.
    fn is_short_of_large(&self) -> bool {
        self.large_missing >= self.large_few
    }

    /// Takes back what the device has sent; returns how many frames.
    fn reap_transmits(&mut self, now: u64) -> Result<usize, SessionError> {
        let mut reaped: usize = 0;
        while reaped < QUEUE_SIZE {
            let Some(completed) = self.nic.reap_transmit()? else {
                break;
            };
            if self.sent.len() == 0 {
                self.sent_since = now;
            }
            self.sent.push(completed.buffer);
            reaped = reaped.saturating_add(1);
        }
        self.counters.transmitted = self.counters.transmitted.wrapping_add(reaped as u64);
        // A network without link takes nothing, and is not to blame.
        if reaped > 0 || self.nic.transmits_in_flight() == 0 || !self.link_up {
            self.transmit_progress = now;
        } else if now.saturating_sub(self.transmit_progress) >= STUCK_AFTER {
            return Err(DeviceError::Stuck.into());
        }
        Ok(reaped)
    }

    /// Gives waiting frames to the device.
    #[cold]
    fn post_transmits(&mut self) {
        while self.nic.has_transmit_room() {
            let Some((buffer, len, header)) = self.transmit_waiting.pop_front() else {
                break;
            };
            if !self.nic.post_transmit(buffer, len, header) {
                // Not reachable with a buffer of the pool. The frame is dropped, the buffer is not lost.
                self.sent.push(buffer);
            }
        }
    }

    /// Tells the stack of at most so many received frames; returns how many buffers the device returned, and how many bytes.
    fn reap_receives(&mut self, most: usize) -> Result<(usize, usize), SessionError> {
        let (mut reaped, mut bytes): (usize, usize) = (0, 0);
        while reaped < most && self.can_send()? {
            let Some(Completed { buffer, written }) = self.nic.reap_receive()? else {
                break;
            };
            reaped = reaped.saturating_add(1);
            bytes = bytes.saturating_add(written as usize);
            let len = written.saturating_sub(HEADER as u32);
            if (len as usize) < ETHERNET_HEADER {
                self.counters.runts = self.counters.runts.wrapping_add(1);
                self.receive_waiting.push_back(buffer);
                continue;
            }
            let Some(checksum) = self.headers.read(buffer, len as usize) else {
                self.counters.odd = self.counters.odd.wrapping_add(1);
                self.receive_waiting.push_back(buffer);
                continue;
            };
            self.counters.received = self.counters.received.wrapping_add(1);
            self.receiving.give_back(Run::one(buffer));
            self.send(ToStack::Received {
                buffer,
                len,
                checksum,
            })?;
        }
        Ok((reaped, bytes))
    }

    /// Gives an empty buffer to the device, or keeps it till there is room.
    #[inline]
    fn post_receive(&mut self, buffer: u16) {
        if !self.nic.post_receive(buffer) {
            self.receive_waiting.push_back(buffer);
        }
    }

    /// Gives empty buffers that wait to the device.
    #[cold]
    fn post_receives(&mut self) {
        while self.nic.has_receive_room() {
            let Some(buffer) = self.receive_waiting.pop_front() else {
                break;
            };
            if !self.nic.post_receive(buffer) {
                // Not reachable: there is room, and the buffer is one of the pool.
                self.receive_waiting.push_back(buffer);
                break;
            }
        }
    }

    /// Returns the buffers of frames that were sent.
    fn return_sent(&mut self) -> Result<(), SessionError> {
        while self.can_send()? {
            let Some(buffers) = self.sent.pop() else {
                break;
            };
            self.sending.give_back(buffers);
            if buffers.first >= self.send.small {
                self.large_missing = self.large_missing.saturating_sub(buffers.count.into());
            }
            self.send(ToStack::Transmitted { buffers })?;
        }
        Ok(())
    }

    /// Tells the stack of a change of the link.
    fn send_link(&mut self) -> Result<(), SessionError> {
        if self.link_news && self.can_send()? {
            self.link_news = false;
            let up = self.link_up;
            log::info!("link {}", if up { "up" } else { "down" });
            self.send(ToStack::Link { up })?;
        }
        Ok(())
    }

    /// Whether a message can be sent or at least kept: a kept one goes first.
    fn can_send(&mut self) -> Result<bool, SessionError> {
        if self.unsent.is_none() {
            return Ok(true);
        }
        if let Some(message) = self.unsent.take() {
            self.send(message)?;
        }
        Ok(self.unsent.is_none())
    }

    /// Sends a message, or keeps it if there is no room. Call [`Session::can_send`] first.
    fn send(&mut self, message: ToStack) -> Result<(), SessionError> {
        match self.channel.send(&message) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => {
                self.unsent = Some(message);
                Ok(())
            }
            Err(SendError::Peer(_)) => Err(StackError::Channel.into()),
        }
    }
}

#[cfg(test)]
mod tests;
