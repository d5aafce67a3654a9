//! A driver without a device: it speaks the frame protocol over the real channel, a few messages at a time and in any order that the
//! protocol permits, and keeps book of the buffers that it holds.

use crate::{
    bells::{Bells, Target},
    random::Random,
};
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, Side},
    frame::{Checksum, HEADROOM, Offload, Offloads, Pool, Run, ToDriver, ToStack},
    hello::Hello,
    setup::{DevReply, DevRequest},
    shm::Shm,
};
use netstack::{
    FramePool, Instant, Stack,
    testing::{offload, send_pool},
};
use std::collections::VecDeque;

/// Buffers of the pools: few to send from, so that they run out.
fn pools(offloads: Offloads) -> [Pool; 2] {
    let [receive, send] = netstack::pools(offloads);
    let few = Pool {
        small: 64,
        large: send.large.min(4),
    };
    [receive, few]
}

/// What a device can do with frames, by the bits of a number.
fn abilities(bits: u64) -> Offloads {
    Offloads {
        transmit_checksum: bits & 1 != 0,
        receive_checksum: bits & 2 != 0,
        transmit_segments: bits & 4 != 0,
        receive_segments: bits & 8 != 0,
    }
}

/// Who holds a buffer, as the driver sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Stack,
    Driver,
}

/// A driver.
pub struct Driver {
    channel: Channel<ToStack, ToDriver>,
    /// The memory of the channel, to write nonsense into.
    pub memory: Shm,
    /// The pool to receive into, and what is shown of that to send from.
    pools: [Shm; 2],
    layouts: [Pool; 2],
    /// How many buffers it gets to receive into.
    share: usize,
    /// What the stack lets the device do.
    offloads: Offloads,
    /// By pool.
    holders: [Vec<Holder>; 2],
    empty: VecDeque<u16>,
    sent: Vec<u16>,
    inbox: VecDeque<Vec<u8>>,
    stack: Target,
    /// Its notification has bits.
    pub rung: bool,
    /// It believes that it may sleep.
    pub asleep: bool,
    /// It does nothing till then.
    pub frozen_till: u64,
    /// It plays by the rules no more: what it is told is not checked.
    pub rogue: bool,
    /// Its channel makes no sense: it does nothing till it is killed.
    is_stuck: bool,
    link_up: Option<bool>,
}

/// What a step of a driver did.
#[derive(Default)]
pub struct Moved {
    /// Frames for the wire.
    pub frames: Vec<Vec<u8>>,
    /// Messages taken.
    pub taken: usize,
    /// Messages given.
    pub given: usize,
    /// What the stack did wrong.
    pub finding: Option<String>,
}

impl Driver {
    /// Attaches a driver to a stack: with this hardware address, and a device that can do so much with frames.
    pub fn attach(
        stack: &mut Stack,
        (mac, can): ([u8; 6], u64),
        now: Instant,
        bells: &Bells,
        me: Target,
        ring: Target,
    ) -> Option<Driver> {
        let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let layouts = pools(abilities(can));
        let pool = Shm::heap(layouts[0].bytes());
        let (send, shown) = send_pool(layouts[1]);
        let request = DevRequest::Attach {
            hello: Hello::FRAME,
            mac,
            mtu: 1500,
            link_up: true,
            offloads: abilities(can),
        };
        let bell = Box::new(bells.bell(me));
        let receive = FramePool {
            memory: pool.clone(),
            layout: layouts[0],
        };
        let reply = stack.attach(&request, memory.clone(), receive, send, bell, now);
        let DevReply::Attached { offloads, .. } = reply else {
            return None;
        };
        Some(Driver {
            channel: Channel::new(memory.clone(), Side::Client, FRAME_CHANNEL).ok()?,
            memory,
            pools: [pool, shown],
            layouts,
            share: layouts[0].count(),
            offloads,
            holders: layouts.map(|layout| vec![Holder::Stack; layout.count()]),
            empty: VecDeque::new(),
            sent: Vec::new(),
            inbox: VecDeque::new(),
            stack: ring,
            rung: false,
            asleep: false,
            frozen_till: 0,
            rogue: false,
            is_stuck: false,
            link_up: None,
        })
    }

    /// Whether it holds just so many buffers to receive into, which are what it was promised but for less than an eighth, and none
    /// that was sent.
    pub fn is_at_rest(&self, receiving: usize) -> bool {
        let missing = self.share.saturating_sub(receiving);
        self.empty.len() == receiving && missing < self.share / 8 && self.sent.is_empty()
    }

    /// Whether it has something to do.
    pub fn is_runnable(&self, now: u64) -> bool {
        !self.is_stuck && now >= self.frozen_till && (self.rung || !self.asleep)
    }

    /// The wire has a frame for it. False if there is no buffer for it.
    pub fn arrive(&mut self, frame: Vec<u8>) -> bool {
        if self.inbox.len() >= self.empty.len() {
            return false;
        }
        self.inbox.push_back(frame);
        self.rung = true;
        true
    }

    /// The link goes up or down.
    pub fn link(&mut self, up: bool) {
        self.link_up = Some(up);
        self.rung = true;
    }

    /// One step: some messages in each direction.
    pub fn step(&mut self, random: &mut Random, bells: &Bells) -> Moved {
        let mut moved = Moved::default();
        if self.asleep {
            self.channel.awake();
            self.asleep = false;
        }
        self.rung = false;
        if let Some(up) = self.link_up.take() {
            moved.given += usize::from(self.channel.send(&ToStack::Link { up }).is_ok());
        }
        for _ in 0..random.magnitude(1, 64) {
            match self.channel.receive() {
                Ok(Some(message)) => self.take(message, &mut moved),
                Ok(None) => break,
                Err(error) => {
                    self.is_stuck = true;
                    if !self.rogue {
                        moved.finding = Some(format!("stack to driver: {error}"));
                    }
                    break;
                }
            }
        }
        for _ in 0..random.magnitude(1, 64) {
            if !self.give(random, &mut moved) {
                break;
            }
        }
        // What is not shown now is shown in a later step.
        if random.chance(800) && self.channel.flush() {
            bells.ring(self.stack);
        }
        if self.inbox.is_empty() && self.sent.is_empty() && moved.taken == 0 && moved.given == 0 {
            if self.channel.flush() {
                bells.ring(self.stack);
            }
            self.asleep = self.channel.prepare_sleep();
        }
        moved
    }

    fn take(&mut self, message: ToDriver, moved: &mut Moved) {
        moved.taken += 1;
        let (buffers, pool) = match message {
            ToDriver::Receive { buffers } => (buffers, 0),
            ToDriver::Transmit { buffer, .. } => (Run::one(buffer), 1),
        };
        match self.holders[pool].get_mut(buffers.range()) {
            Some(known) if known.iter().all(|known| *known == Holder::Stack) => {
                known.fill(Holder::Driver);
            }
            _ if self.rogue => return,
            _ => {
                moved.finding = Some(format!("{buffers:?} given to the driver twice"));
                return;
            }
        }
        match message {
            ToDriver::Receive { buffers } => {
                let numbers = buffers.range().map(|number| number as u16);
                self.empty.extend(numbers);
            }
            ToDriver::Transmit {
                buffer,
                len,
                offload,
            } => {
                match self.finish(buffer, len, offload) {
                    Some(frames) => moved.frames.extend(frames),
                    None if self.rogue => {}
                    None => {
                        moved.finding = Some(format!("{len} bytes to send, with {offload:?}"));
                    }
                }
                self.sent.push(buffer);
            }
        }
    }

    /// What the device sends. `None` if the stack asks for what makes no sense or was not agreed on.
    fn finish(&self, buffer: u16, len: u16, offload: Offload) -> Option<Vec<Vec<u8>>> {
        let may = match offload {
            Offload::Nothing => true,
            Offload::Checksum { .. } => self.offloads.transmit_checksum,
            Offload::Segment { .. } => self.offloads.transmit_segments,
        };
        let (start, size) = self.layouts[1].place(buffer)?;
        let fits = (14..=size - HEADROOM).contains(&usize::from(len));
        let mut frame = vec![0; len.into()];
        self.pools[1].read(start + HEADROOM, &mut frame).ok()?;
        let frames = offload::perform(frame, offload)?;
        let is_short = frames.iter().all(|frame| frame.len() <= 1514);
        (may && fits && is_short).then_some(frames)
    }

    /// Gives one message. False if there is none.
    fn give(&mut self, random: &mut Random, moved: &mut Moved) -> bool {
        let message = if !self.sent.is_empty() && (self.inbox.is_empty() || random.chance(500)) {
            let mut buffers = Run::one(self.sent.swap_remove(random.index(self.sent.len())));
            while random.chance(900)
                && let Some(next) = (self.sent.iter())
                    .position(|buffer| usize::from(*buffer) == buffers.range().end)
                && buffers.extend(self.sent[next], self.layouts[1])
            {
                self.sent.swap_remove(next);
            }
            self.holders[1][buffers.range()].fill(Holder::Stack);
            ToStack::Transmitted { buffers }
        } else if let Some(mut frame) = self.inbox.pop_front() {
            let mut is_joined = false;
            while self.offloads.receive_segments
                && (is_joined || offload::is_right(&frame))
                && let Some(next) = self.inbox.front()
                && random.chance(900)
                && offload::join(&mut frame, next)
            {
                is_joined = true;
                self.inbox.pop_front();
            }
            let Some(buffer) = self.empty.pop_front() else {
                return false;
            };
            self.holders[0][usize::from(buffer)] = Holder::Stack;
            if let Some((start, _)) = self.layouts[0].place(buffer) {
                let _ = self.pools[0].write(start + HEADROOM, &frame);
            }
            // A device says what it knows, or not.
            let is_right = self.offloads.receive_checksum && offload::is_right(&frame);
            ToStack::Received {
                buffer,
                len: frame.len() as u32,
                checksum: match is_right && random.chance(700) {
                    _ if is_joined => Checksum::Partial,
                    true => Checksum::Valid,
                    false => Checksum::Unknown,
                },
            }
        } else {
            return false;
        };
        moved.given += 1;
        if let Err(error) = self.channel.send(&message)
            && !self.rogue
        {
            moved.finding = Some(format!("driver to stack: {error}"));
        }
        true
    }

    /// Says something that is against the rules.
    pub fn lie(&mut self, random: &mut Random, bells: &Bells) {
        let buffer = random.pick(&[0, 1, 255, 300, 1000, u16::MAX]);
        let message = match random.below(4) {
            0 => ToStack::Received {
                buffer,
                len: random.pick(&[0, 13, 60, 2030, 2031, 65_535, 65_549, 1 << 16, u32::MAX]),
                checksum: Checksum::Unknown,
            },
            1 => ToStack::Transmitted {
                buffers: Run {
                    first: buffer,
                    count: random.pick(&[0, 1, 2, 64, 1000, u16::MAX]),
                },
            },
            2 => {
                // One that it has, in the wrong way.
                let buffer = self.empty.front().copied().unwrap_or(buffer);
                ToStack::Transmitted {
                    buffers: Run::one(buffer),
                }
            }
            _ => {
                let buffer = self.empty.front().copied().unwrap_or(buffer);
                ToStack::Received {
                    buffer,
                    len: random.pick(&[0, 1, 13, 2047, 65_535, u32::MAX]),
                    checksum: Checksum::Unknown,
                }
            }
        };
        self.rogue = true;
        let _ = self.channel.send(&message);
        if self.channel.flush() {
            bells.ring(self.stack);
        }
        self.rung = true;
    }
}
