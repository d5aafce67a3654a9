//! A driver without a device: what the stack sends comes out here, what is put in here the stack receives.

use super::Bell;
use crate::{Instant, Stack};
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, Side},
    frame::{BUFFER_SIZE, HEADROOM, ToDriver, ToStack},
    hello::Hello,
    setup::{DevReply, DevRequest},
    shm::Shm,
};
use std::{boxed::Box, collections::VecDeque, vec, vec::Vec};

/// A driver.
pub struct Nic {
    /// Its end of the frame channel, for tests that lie.
    pub channel: Channel<ToStack, ToDriver>,
    /// The frame pool.
    pub pool: Shm,
    /// Its doorbell.
    pub bell: Bell,
    /// Buffers that it may receive into.
    pub empty: VecDeque<u16>,
    /// Whether it keeps transmitted buffers for ever.
    pub withholds: bool,
}

/// Buffers in a pool, unless said otherwise.
pub const BUFFERS: usize = 512;

impl Nic {
    /// Attaches a driver to a stack.
    ///
    /// # Panics
    /// If the stack refuses it.
    pub fn attach(stack: &mut Stack, mac: [u8; 6], now: Instant) -> Nic {
        Nic::attach_sized(stack, mac, BUFFERS, now)
    }

    /// Attaches a driver to a stack, with so many buffers in the pool.
    ///
    /// # Panics
    /// If the stack refuses it.
    pub fn attach_sized(stack: &mut Stack, mac: [u8; 6], buffers: usize, now: Instant) -> Nic {
        let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let pool = Shm::heap(buffers * BUFFER_SIZE);
        let bell = Bell::default();
        let request = DevRequest::Attach {
            hello: Hello::FRAME,
            mac,
            mtu: 1500,
            link_up: true,
        };
        let reply = stack.attach(
            &request,
            memory.clone(),
            pool.clone(),
            Box::new(bell.clone()),
            now,
        );
        assert!(matches!(reply, DevReply::Attached { .. }), "{reply:?}");
        let channel = Channel::new(memory, Side::Client, FRAME_CHANNEL)
            .unwrap_or_else(|error| panic!("{error:?}"));
        Nic {
            channel,
            pool,
            bell,
            empty: VecDeque::new(),
            withholds: false,
        }
    }

    /// What the stack has sent.
    ///
    /// # Panics
    /// If the stack breaks the protocol.
    pub fn take(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(message) = self
            .channel
            .receive()
            .unwrap_or_else(|error| panic!("{error:?}"))
        {
            match message {
                ToDriver::Receive { buffer } => self.empty.push_back(buffer),
                ToDriver::Transmit { buffer, len } => {
                    let mut frame = vec![0; len.into()];
                    let offset = usize::from(buffer) * BUFFER_SIZE + HEADROOM;
                    self.pool
                        .read(offset, &mut frame)
                        .unwrap_or_else(|error| panic!("{error:?}"));
                    frames.push(frame);
                    if !self.withholds {
                        self.tell(&ToStack::Transmitted { buffer });
                    }
                }
            }
        }
        let _ = self.channel.flush();
        frames
    }

    /// Gives the stack a frame. False if there is no buffer for it.
    pub fn put(&mut self, frame: &[u8]) -> bool {
        let Some(buffer) = self.empty.pop_front() else {
            return false;
        };
        let offset = usize::from(buffer) * BUFFER_SIZE + HEADROOM;
        if self.pool.write(offset, frame).is_err() {
            return false;
        }
        self.tell(&ToStack::Received {
            buffer,
            len: frame.len() as u16,
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
