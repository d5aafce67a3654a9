//! What is outside of the server in its tests: kernel, device and stack, and a script of what happens while it waits.

use super::super::*;
use crate::fake::{self, FakeNic, frame};
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL, Side},
    frame::{Offloads, Run, ToDriver, ToStack},
    shm::Shm,
};
use std::{boxed::Box, collections::VecDeque, vec::Vec};

pub(super) const BUFFERS: u16 = 32;
pub(super) const SECOND: u64 = 1_000 * MS;

type Script = Box<dyn FnMut(&mut World) -> Events>;

/// What is outside of the server.
pub(super) struct World {
    pub(super) device: FakeNic,
    pub(super) now: u64,
    /// Answers to attempts to attach; afterwards all succeed.
    pub(super) refusals: VecDeque<AttachError>,
    pub(super) stack: Option<Channel<ToDriver, ToStack>>,
    pub(super) told: Vec<ToStack>,
    pub(super) attempts: Vec<u64>,
    pub(super) attachments: u32,
    pub(super) detachments: u32,
    pub(super) acknowledged: u32,
    pub(super) waits: u32,
    pub(super) gave_way: u32,
    pub(super) lingered: u32,
    /// Frames that come while the server looks, one at a time.
    pub(super) arrivals: u32,
    /// They are too short to be frames.
    pub(super) runts: bool,
    /// How long a moment is that the server lets pass, in nanoseconds.
    pub(super) moment: u64,
    /// What the stack was told that the device can do, and what it chooses
    /// the next time; then nothing.
    pub(super) offered: Offloads,
    pub(super) chosen: Offloads,
    /// Features that the device offers no more once the stack has chosen.
    pub(super) withdrawn: u64,
}

struct Fake {
    world: World,
    /// What happens while the server waits during an attachment.
    script: Script,
}

impl World {
    pub(super) fn give(&mut self, message: ToDriver) {
        let stack = self.stack.as_mut().unwrap();
        stack.send(&message).unwrap();
        let _ = stack.flush();
    }

    /// The stack gives all its buffers to receive into, and rings.
    pub(super) fn give_all_buffers(&mut self) -> Events {
        self.give(ToDriver::Receive {
            buffers: Run {
                first: 0,
                count: BUFFERS,
            },
        });
        Events::BELL
    }

    pub(super) fn read(&mut self) {
        let stack = self.stack.as_mut().unwrap();
        while let Some(message) = stack.receive().unwrap() {
            self.told.push(message);
        }
    }

    /// Ends the test from a script: the device fails for good.
    pub(super) fn finish(&mut self) -> Events {
        self.device.0.borrow_mut().never_resets = true;
        Events::STACK_GONE
    }
}

impl Platform for Fake {
    type Registers = FakeNic;

    fn now(&self) -> u64 {
        self.world.now
    }

    fn wait(&mut self, deadline: u64) -> Events {
        self.world.waits += 1;
        assert!(self.world.waits < 100_000, "endless");
        let events = if self.world.stack.is_some() {
            (self.script)(&mut self.world)
        } else {
            Events::empty()
        };
        if events.is_empty() {
            self.world.now = self.world.now.max(deadline);
        }
        events
    }

    fn acknowledge(&mut self, interrupts: Events) {
        assert!(Events::INTERRUPTS.contains(interrupts) && !interrupts.is_empty());
        self.world.acknowledged += 1;
    }

    fn ring_stack(&mut self) {}

    fn give_way(&mut self) {
        self.world.gave_way += 1;
    }

    fn linger(&mut self) {
        self.world.now += self.world.moment;
        self.world.lingered += 1;
        if let Some(left) = self.world.arrivals.checked_sub(1) {
            self.world.arrivals = left;
            let len = if self.world.runts { 4 } else { 60 };
            self.world.device.receive(&frame(1, 60)[..len]).unwrap();
        }
    }

    fn attach(&mut self, request: &DevRequest) -> Result<Attachment, AttachError> {
        let DevRequest::Attach {
            hello,
            mac,
            offloads,
            ..
        } = request;
        self.world.offered = *offloads;
        assert_eq!((hello, mac), (&Hello::FRAME, &[2, 0, 0, 0, 0, 9]));
        self.world.attempts.push(self.world.now);
        if let Some(error) = self.world.refusals.pop_front() {
            return Err(error);
        }
        self.world.attachments += 1;
        self.world.device.0.borrow_mut().offered &= !self.world.withdrawn;
        let channel = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let stack = Channel::new(channel.clone(), Side::Stack, FRAME_CHANNEL).unwrap();
        self.world.stack = Some(stack);
        let layouts = [fake::small(BUFFERS); 2];
        let [pool, _] = fake::pools(&self.world.device, layouts);
        Ok(Attachment {
            shared: Shared {
                channel,
                pool,
                receive: fake::small(BUFFERS),
                send: fake::small(BUFFERS),
                offloads: core::mem::take(&mut self.world.chosen),
            },
            memory: fake::memory(layouts),
            generation: self.world.attachments,
        })
    }

    fn detach(&mut self) {
        let state = self.world.device.0.borrow();
        assert!(
            state.status == 0 || state.never_resets,
            "memory is let go while the device runs"
        );
        drop(state);
        self.world.stack = None;
        self.world.detachments += 1;
    }
}

/// Runs the server until it gives up.
pub(super) fn play(
    refusals: &[AttachError],
    script: impl FnMut(&mut World) -> Events + 'static,
) -> (Outcome, World) {
    let _turn = fake::take_turn();
    let mut fake = Fake {
        world: World {
            device: FakeNic::new(),
            now: 0,
            refusals: refusals.iter().copied().collect(),
            stack: None,
            told: Vec::new(),
            attempts: Vec::new(),
            attachments: 0,
            detachments: 0,
            acknowledged: 0,
            waits: 0,
            gave_way: 0,
            lingered: 0,
            arrivals: 0,
            runts: false,
            moment: 1_000,
            offered: Offloads::default(),
            chosen: Offloads::default(),
            withdrawn: 0,
        },
        script: Box::new(script),
    };
    let transport = fake.world.device.transport();
    let outcome = run(&mut fake, &transport);
    (outcome, fake.world)
}
