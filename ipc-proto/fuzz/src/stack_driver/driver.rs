//! A driver's end of the frame channel that keeps no rule which it is not asked to keep.

use crate::{frames::repair, input::Input};
use core::sync::atomic::Ordering;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, Side},
    frame::{
        BUFFER_SIZE, Checksum, HEADROOM, LARGE_BUFFER_SIZE, Offloads, Pool, Run, ToDriver, ToStack,
    },
    hello::Hello,
    setup::{DevReply, DevRequest},
    shm::Shm,
};
use netstack::{
    FramePool, Instant, Stack,
    testing::{Bell, offload, send_pool},
};
use std::collections::VecDeque;

/// Small buffers in both pools, and how many of them are to receive into; of large ones, if joined segments come in these.
const BUFFERS: u16 = 128;
const TO_RECEIVE: u16 = 48;
const LARGE_TO_RECEIVE: u16 = 4;

/// A driver.
pub(super) struct Driver {
    channel: Channel<ToStack, ToDriver>,
    memory: Shm,
    /// The pool to receive into, and what is shown of that to send from.
    pools: [Shm; 2],
    layouts: [Pool; 2],
    /// What the stack lets the device do.
    pub(super) offloads: Offloads,
    /// Buffers that it may receive into.
    empty: VecDeque<u16>,
    /// Buffers that it has to give back.
    sending: VecDeque<u16>,
    /// Frames that the stack sent and the wire has not got.
    pub(super) outgoing: Vec<Vec<u8>>,
}

impl Driver {
    /// Attaches one; with an input, as that says. `None` if the stack refuses.
    pub(super) fn attach(
        stack: &mut Stack,
        input: Option<&mut Input<'_>>,
        now: Instant,
    ) -> Option<Driver> {
        let (mut mac, mut mtu, mut link_up, mut buffers) =
            ([2, 0, 0, 0, 0, 1], 1500, true, BUFFERS);
        let (mut bits, mut large) = (0, 0);
        if let Some(input) = input {
            mac[usize::from(input.u8() % 6)] = input.u8();
            mtu = input.pick(&[0, 67, 576, 577, 1280, 1500, 2016, 9000, u16::MAX]);
            link_up = input.flag();
            buffers = input.pick(&[0, 48, 49, 64, 128]);
            bits = input.u8();
            large = input.pick(&[0, 3, 4, 6]);
        }
        let to_receive = Pool {
            small: buffers.min(TO_RECEIVE),
            large: if large < LARGE_TO_RECEIVE {
                0
            } else {
                LARGE_TO_RECEIVE
            },
        };
        let to_send = Pool {
            small: buffers.saturating_sub(TO_RECEIVE),
            large: large.saturating_sub(to_receive.large),
        };
        let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let pool = Shm::heap(to_receive.bytes());
        let (send, shown) = send_pool(to_send);
        let request = DevRequest::Attach {
            hello: Hello::FRAME,
            mac,
            mtu,
            link_up,
            offloads: Offloads {
                transmit_checksum: bits & 1 != 0,
                receive_checksum: bits & 2 != 0,
                transmit_segments: bits & 4 != 0,
                receive_segments: bits & 8 != 0,
            },
        };
        let bell = Box::new(Bell::default());
        let receive = FramePool {
            memory: pool.clone(),
            layout: to_receive,
        };
        let reply = stack.attach(&request, memory.clone(), receive, send, bell, now);
        let channel = Channel::new(memory.clone(), Side::Client, FRAME_CHANNEL).ok()?;
        let DevReply::Attached { offloads, .. } = reply else {
            return None;
        };
        Some(Driver {
            channel,
            memory,
            pools: [pool, shown],
            layouts: [to_receive, to_send],
            offloads,
            empty: VecDeque::new(),
            sending: VecDeque::new(),
            outgoing: Vec::new(),
        })
    }

    /// Takes what the stack says; the frames that it sends. Its own view of the channel may be spoiled.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Ok(Some(message)) = self.channel.receive() {
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
                    let mut frame = vec![0; len.into()];
                    let place = self.place(1, buffer);
                    let is_read =
                        place.is_some_and(|place| self.pools[1].read(place, &mut frame).is_ok());
                    if is_read && frame.len() >= 14 {
                        // What it scribbled on may make no sense.
                        frames.extend(offload::perform(frame, offload).into_iter().flatten());
                    }
                    self.sending.push_back(buffer);
                }
            }
        }
        let _ = self.channel.flush();
        if self.outgoing.len() < 64 {
            self.outgoing.extend(frames.iter().cloned());
        }
        frames
    }

    /// Longest frame that it may deliver.
    fn longest(&self) -> usize {
        match self.offloads.receive_segments {
            true => LARGE_BUFFER_SIZE - HEADROOM,
            false => BUFFER_SIZE - HEADROOM,
        }
    }

    /// Delivers a frame twice over: its data once more behind it, as if joined, if it has a buffer. Nobody has seen the checksum.
    pub(super) fn put_joined(&mut self, frame: &[u8]) {
        let mut joined = frame.to_vec();
        let mut next = frame.to_vec();
        // The number of what comes next.
        let data = frame.len().saturating_sub(54) as u32;
        if let Some(bytes) = next.get_mut(38..42) {
            let seq = bytes
                .iter()
                .fold(0, |seq, byte| seq << 8 | u32::from(*byte));
            bytes.copy_from_slice(&seq.wrapping_add(data).to_be_bytes());
        }
        repair(&mut next);
        let is_joined = self.offloads.receive_segments && offload::join(&mut joined, &next);
        if is_joined
            && let Some(buffer) = self.empty.pop_front()
            && let Some(place) = self.place(0, buffer)
        {
            let _ = self.pools[0].write(place, &joined);
            self.tell(&ToStack::Received {
                buffer,
                len: joined.len() as u32,
                checksum: Checksum::Partial,
            });
        }
    }

    /// Where the frame of a buffer starts in the pool to receive into (0) or to send from (1).
    fn place(&self, pool: usize, buffer: u16) -> Option<usize> {
        let (start, _) = self.layouts[pool].place(buffer)?;
        Some(start + HEADROOM)
    }

    /// Says anything.
    pub(super) fn tell(&mut self, message: &ToStack) {
        let _ = self.channel.send(message);
        let _ = self.channel.flush();
    }

    /// Delivers a frame, if it has a buffer.
    pub(super) fn put(&mut self, frame: &[u8]) {
        // What is shorter than a header the driver drops, as it must.
        if frame.len() < 14 || frame.len() > self.longest() {
            return;
        }
        if let Some(buffer) = self.empty.pop_front() {
            if let Some(place) = self.place(0, buffer) {
                let _ = self.pools[0].write(place, frame);
            }
            let is_right = self.offloads.receive_checksum && offload::is_right(frame);
            self.tell(&ToStack::Received {
                buffer,
                len: frame.len() as u32,
                checksum: match is_right {
                    true => Checksum::Valid,
                    false => Checksum::Unknown,
                },
            });
        }
    }

    fn give_back(&mut self, run: Option<Run>) {
        if let Some(buffers) = run {
            self.tell(&ToStack::Transmitted { buffers });
        }
    }

    /// Gives so many buffers back whose frames were sent.
    pub(super) fn complete(&mut self, count: usize) {
        let mut run: Option<Run> = None;
        for _ in 0..count {
            let Some(buffer) = self.sending.pop_front() else {
                break;
            };
            let mut known = run.take();
            if !known
                .as_mut()
                .is_some_and(|run| run.extend(buffer, self.layouts[1]))
            {
                self.give_back(known.replace(Run::one(buffer)));
            }
            run = known;
        }
        self.give_back(run);
    }

    /// A buffer that it has, or any.
    pub(super) fn any_buffer(&mut self, input: &mut Input<'_>) -> u16 {
        match input.below(4) {
            0 => input.u16(),
            1 => input.u8().into(),
            2 => self.sending.front().copied().unwrap_or(0),
            _ => self.empty.front().copied().unwrap_or(0),
        }
    }

    /// Writes to the channel or the pool to receive into.
    pub(super) fn scribble(&mut self, input: &mut Input<'_>) {
        if input.flag() {
            let at = usize::from(input.u8()) * BUFFER_SIZE + HEADROOM;
            let _ = self.pools[0].write(at, input.bytes(40));
            return;
        }
        let at = match input.below(3) {
            0 => input.pick(&[0, 4, 64, 68, 128, 192]),
            _ => usize::from(input.u16()) & !3,
        };
        let old = self.memory.load(at, Ordering::Relaxed).unwrap_or(0);
        let value = match input.below(3) {
            0 => input.u32(),
            _ => old.wrapping_add(input.u8() as i8 as u32),
        };
        let _ = self.memory.store(at, value, Ordering::Relaxed);
    }
}
