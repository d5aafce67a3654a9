//! A driver without a device: what the stack sends comes out here, what is put in here the stack receives.

use super::{Bell, offload, send_pool};
use crate::{FramePool, Instant, Stack};
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, Side},
    frame::{Checksum, HEADROOM, Offload, Offloads, Pool, Run, ToDriver, ToStack},
    hello::Hello,
    setup::{DevReply, DevRequest},
    shm::Shm,
};
use std::{boxed::Box, collections::VecDeque, vec, vec::Vec};

/// A driver.
pub struct Nic {
    /// The memory of the frame channel, and its end of it, for tests that lie.
    pub memory: Shm,
    /// See `memory`.
    pub channel: Channel<ToStack, ToDriver>,
    /// The pool to receive into, and what it sees of that to send from.
    pub pools: [Shm; 2],
    /// Its doorbell.
    pub bell: Bell,
    /// Which buffers those have.
    pub layouts: [Pool; 2],
    /// What the stack lets the device do.
    pub offloads: Offloads,
    /// Buffers that it may receive into.
    pub empty: VecDeque<u16>,
    /// Whether it keeps transmitted buffers for ever.
    pub withholds: bool,
}

/// Buffers to receive into and to send from, unless said otherwise.
pub const BUFFERS: [Pool; 2] = [Pool {
    small: 256,
    large: 0,
}; 2];

impl Nic {
    /// Attaches a driver to a stack.
    ///
    /// # Panics
    /// If the stack refuses it.
    pub fn attach(stack: &mut Stack, mac: [u8; 6], now: Instant) -> Nic {
        Nic::attach_with(stack, mac, BUFFERS, Offloads::default(), now)
    }

    /// Attaches a driver to a stack, with such pools and a device that can do so much.
    ///
    /// # Panics
    /// If the stack refuses it.
    pub fn attach_with(
        stack: &mut Stack,
        mac: [u8; 6],
        layouts: [Pool; 2],
        offloads: Offloads,
        now: Instant,
    ) -> Nic {
        let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let pool = Shm::heap(layouts[0].bytes());
        let (send, shown) = send_pool(layouts[1]);
        let bell = Bell::default();
        let request = DevRequest::Attach {
            hello: Hello::FRAME,
            mac,
            mtu: 1500,
            link_up: true,
            offloads,
        };
        let receive = FramePool {
            memory: pool.clone(),
            layout: layouts[0],
        };
        let reply = stack.attach(
            &request,
            memory.clone(),
            receive,
            send,
            Box::new(bell.clone()),
            now,
        );
        let DevReply::Attached {
            offloads,
            receive,
            send,
            ..
        } = reply
        else {
            panic!("{reply:?}");
        };
        assert_eq!([receive, send], layouts);
        let channel = Channel::new(memory.clone(), Side::Client, FRAME_CHANNEL)
            .unwrap_or_else(|error| panic!("{error:?}"));
        Nic {
            memory,
            channel,
            pools: [pool, shown],
            layouts,
            offloads,
            bell,
            empty: VecDeque::new(),
            withholds: false,
        }
    }

    /// What the stack has sent, as the device puts it on the wire.
    ///
    /// # Panics
    /// If the stack breaks the protocol, or asks for what it said it would not use.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(message) = self
            .channel
            .receive()
            .unwrap_or_else(|error| panic!("{error:?}"))
        {
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
                    let may = match offload {
                        Offload::Nothing => true,
                        Offload::Checksum { .. } => self.offloads.transmit_checksum,
                        Offload::Segment { .. } => self.offloads.transmit_segments,
                    };
                    assert!(may, "{offload:?}");
                    let mut frame = vec![0; len.into()];
                    self.pools[1]
                        .read(self.place(1, buffer), &mut frame)
                        .unwrap_or_else(|error| panic!("{error:?}"));
                    let sent = offload::perform(frame, offload);
                    frames.extend(sent.unwrap_or_else(|| panic!("{offload:?}")));
                    if !self.withholds {
                        let buffers = Run::one(buffer);
                        self.tell(&ToStack::Transmitted { buffers });
                    }
                }
            }
        }
        let _ = self.channel.flush();
        frames
    }

    /// Where the frame of a buffer starts in the pool to receive into (0) or to send from (1).
    ///
    /// # Panics
    /// If there is no such buffer.
    pub fn place(&self, pool: usize, buffer: u16) -> usize {
        let place = self.layouts[pool].place(buffer);
        place.unwrap_or_else(|| panic!("buffer {buffer}")).0 + HEADROOM
    }

    /// Gives the stack a frame, and says that its checksum is right if it may and it is. False if there is no buffer for it.
    pub fn put(&mut self, frame: &[u8]) -> bool {
        let is_known = self.offloads.receive_checksum && offload::is_right(frame);
        self.put_with(
            frame,
            if is_known {
                Checksum::Valid
            } else {
                Checksum::Unknown
            },
        )
    }

    /// Gives the stack frames that came one behind the other: neighbouring segments joined, if that is agreed on.
    pub fn put_all(&mut self, frames: impl IntoIterator<Item = Vec<u8>>) {
        let mut waiting: Option<(Vec<u8>, bool)> = None;
        for frame in frames {
            if let Some((into, joined)) = &mut waiting
                && self.offloads.receive_segments
                && (*joined || offload::is_right(into))
                && offload::join(into, &frame)
            {
                *joined = true;
                continue;
            }
            self.put_joined(waiting.replace((frame, false)));
        }
        self.put_joined(waiting);
    }

    fn put_joined(&mut self, frame: Option<(Vec<u8>, bool)>) {
        match frame {
            Some((frame, true)) => self.put_with(&frame, Checksum::Partial),
            Some((frame, false)) => self.put(&frame),
            None => return,
        };
    }

    /// Gives the stack a frame, and says this of its checksum. False if there is no buffer for it.
    pub fn put_with(&mut self, frame: &[u8], checksum: Checksum) -> bool {
        let Some(buffer) = self.empty.pop_front() else {
            return false;
        };
        if self.pools[0].write(self.place(0, buffer), frame).is_err() {
            return false;
        }
        self.tell(&ToStack::Received {
            buffer,
            len: frame.len() as u32,
            checksum,
        });
        let _ = self.channel.flush();
        true
    }

    /// Says anything.
    pub fn tell(&mut self, message: &ToStack) {
        let _ = self.channel.send(message);
        let _ = self.channel.flush();
    }
}
