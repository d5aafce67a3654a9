//! Drivers come and go: what the stack agrees on with one, and what it forgets with it. Touches the frames, the engine and the
//! neighbours.

use crate::{
    Doorbell, Instant,
    engine::Engine,
    frames::{Attachment, FramePool, MAX_FRAME, Mac, SendMemory},
    stack::Stack,
    train::Train,
};
use alloc::{boxed::Box, vec};
use ipc_proto::{
    frame::{Offloads, Pool},
    hello::Hello,
    setup::{DevReply, DevRequest, Refusal},
    shm::Shm,
};

/// Smallest IP packet that a network has to carry (RFC 791 section 3.2 asks that 576 be taken).
const MIN_MTU: u16 = 576;

impl Stack {
    /// Attaches a driver in place of any other. `memory` (the channel) and the pools to receive into and to send from are the stack's own,
    /// zeroed, and known to no earlier driver.
    pub fn attach(
        &mut self,
        request: &DevRequest,
        memory: Shm,
        receive: FramePool<Shm>,
        send: FramePool<Box<dyn SendMemory>>,
        bell: Box<dyn Doorbell>,
        now: Instant,
    ) -> DevReply {
        let DevRequest::Attach {
            hello,
            mac,
            mtu,
            link_up,
            offloads,
        } = request;
        if let Err(mismatch) = Hello::FRAME.check(hello) {
            log::error!("driver refused: {mismatch}");
            return DevReply::Refused(Refusal::Mismatch(Hello::FRAME));
        }
        if *mtu < MIN_MTU || mac[0] & 1 != 0 {
            log::error!("driver refused: MTU {mtu}, hardware address {}", Mac(*mac));
            return DevReply::Refused(Refusal::BadRequest);
        }
        self.now = now;
        let layouts = [receive.layout, send.layout];
        let offloads = choose(*offloads, layouts);
        let attachment = Attachment {
            channel: memory,
            receive,
            send,
            bell,
            link_up: *link_up,
            offloads,
        };
        if let Err(error) = self.frames.attach(attachment, now) {
            log::error!("driver not attached: {error}");
            return DevReply::Refused(Refusal::Exhausted);
        }
        self.buffer = vec![0; Train::room(self.frames.longest())];
        self.generation = self.generation.saturating_add(1);
        let mtu = (*mtu).min((MAX_FRAME - crate::classify::ETHERNET) as u16);
        // A new engine forgets neighbours. Connections are not part of it.
        let segment = self.frames.longest_segment(mtu);
        let mut engine = Engine::new(*mac, (mtu, segment), self.random.u64(), now);
        engine.succeed(&self.engine);
        self.engine = engine;
        log::info!(
            "driver {} attached: {}, MTU {mtu}, link {}; the device {offloads}",
            self.generation,
            Mac(*mac),
            if *link_up { "up" } else { "down" },
        );
        self.link_changed(*link_up);
        DevReply::Attached {
            generation: self.generation,
            receive: layouts[0],
            send: layouts[1],
            offloads,
        }
    }

    /// Forgets the driver: it died, or broke the protocol. Connections go on with the next one.
    pub fn detach(&mut self) {
        if self.frames.is_attached() {
            log::warn!("driver {} detached", self.generation);
            self.frames.detach();
            self.link_was_up = false;
        }
    }

    /// Whether there is a driver. It may also have been detached for breaking the protocol.
    pub fn has_driver(&self) -> bool {
        self.frames.is_attached()
    }

    /// How often a driver was attached.
    pub fn attachments(&self) -> u32 {
        self.generation
    }

    pub(crate) fn link_changed(&mut self, up: bool) {
        self.link_was_up = up;
        self.neighbors.clear();
        // Also with the link down: a new engine has to learn the addresses.
        self.addressing.link_up(&mut self.engine, self.now);
        self.note_address_work();
    }
}

/// What a device is to do with frames, of what it can do and the pools have buffers for.
fn choose(offered: Offloads, [receive, send]: [Pool; 2]) -> Offloads {
    let chosen = Offloads {
        receive_segments: offered.receive_segments && receive.large > 0,
        transmit_segments: offered.transmit_segments && send.large > 0,
        ..offered
    };
    chosen.and(offered)
}
