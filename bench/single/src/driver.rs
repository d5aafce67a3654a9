//! The driver's loop, which is the one around everything: where the driver would wait, the others have their turns.

use crate::{
    link::{Flag, frames, memory},
    program::Program,
    stack::{Server, now},
};
use alloc::{
    boxed::Box,
    rc::Rc,
    string::{String, ToString},
    vec::Vec,
};
use core::cell::RefCell;
use ipc_proto::{
    channel::{Channel, FRAME_CHANNEL},
    frame::{ToDriver, ToStack},
    setup::{DevReply, DevRequest},
};
use netstack::FramePool;
use rt::{Budget, Env, Mapping, Notification};
use virtio_net::{
    card::{Card, failed},
    error::AttachError,
    mmio::Mmio,
    server::{Attachment, Events, Platform},
    session::Shared,
    transport::PciTransport,
};

/// The world of the driver: a device, and the stack and programs next to it.
pub(crate) struct Driver {
    card: Card,
    budget: Budget,
    /// Interrupts of the device; nobody else signals.
    notification: Notification,
    server: Rc<RefCell<Server>>,
    /// The stack's doorbell.
    server_bell: Flag,
    programs: Vec<Program>,
    /// The stack rings it.
    bell: Flag,
    /// Channel and pool to receive into of the attachment.
    attached: Option<[Mapping; 2]>,
}

impl Driver {
    /// Finds the device.
    pub(crate) fn new(
        env: &Env,
        server: Rc<RefCell<Server>>,
        programs: Vec<Program>,
    ) -> Result<(Driver, PciTransport<Mmio>), String> {
        let (card, transport) = Card::find(env).map_err(|error| error.to_string())?;
        let budget = env.budget();
        let notification = Notification::create(&budget).map_err(|error| error.to_string())?;
        let server_bell = server.borrow().bell.clone();
        let driver = Driver {
            card,
            budget,
            notification,
            server,
            server_bell,
            programs,
            bell: Flag::default(),
            attached: None,
        };
        Ok((driver, transport))
    }

    /// A turn of everybody. Returns until when all sleep: at once if somebody has work.
    fn turn(&mut self) -> u64 {
        let mut until = self.server.borrow_mut().turn().unwrap_or(0);
        for program in &mut self.programs {
            until = until.min(program.turn().unwrap_or(0));
        }
        // Some program may have rung.
        if self.server_bell.is_up() { 0 } else { until }
    }
}

impl Platform for Driver {
    type Registers = Mmio;

    fn now(&self) -> u64 {
        rt::time::now()
    }

    /// Everybody has turns until nobody has work, which comes soon, for all that they do ends in a full ring or an empty one.
    /// Then, if the stack rang, it is the driver's turn; else the process sleeps. A driver that has work left only looks
    /// whether the stack rang: interrupts tell it nothing then.
    fn wait(&mut self, deadline: u64) -> Events {
        loop {
            if deadline == 0 {
                return if self.bell.take() {
                    Events::BELL
                } else {
                    Events::empty()
                };
            }
            let until = self.turn();
            if self.attached.is_some() && !self.server.borrow().stack.has_driver() {
                return Events::STACK_GONE;
            }
            if until == 0 {
                continue;
            }
            if self.bell.take() {
                return Events::BELL;
            }
            let interrupt = self.card.take_due();
            let bits = self.notification.ring_and_wait(
                None,
                interrupt,
                Events::INTERRUPTS.bits(),
                until.min(deadline),
            );
            let events = Events::from_bits_truncate(bits);
            if !events.is_empty() || self.now() >= deadline {
                return events;
            }
        }
    }

    fn acknowledge(&mut self, interrupts: Events) {
        self.card.acknowledge(interrupts);
    }

    fn give_way(&mut self) {
        self.turn();
    }

    /// Nobody becomes ready by himself here: all are asked.
    fn linger(&mut self) {
        self.turn();
        rt::time::linger();
    }

    fn ring_stack(&mut self) {
        self.server_bell.raise();
    }

    fn attach(&mut self, request: &DevRequest) -> Result<Attachment, AttachError> {
        let bytes = Channel::<ToDriver, ToStack>::bytes(FRAME_CHANNEL);
        let channel = memory(&self.budget, bytes, false)
            .map_err(|error| failed("get memory for the channel", error))?;
        let DevRequest::Attach { offloads, .. } = request;
        let [receive, send] = netstack::pools(*offloads);
        let no_frames = |error| failed("get memory for frames", error);
        let pool = memory(&self.budget, receive.bytes(), true).map_err(no_frames)?;
        let to_receive = FramePool {
            memory: pool.shm(),
            layout: receive,
        };
        let (to_send, shown) = frames(&self.budget, send).map_err(no_frames)?;
        let mut server = self.server.borrow_mut();
        let bell = Box::new(self.bell.clone());
        let reply = server
            .stack
            .attach(request, channel.shm(), to_receive, to_send, bell, now());
        let (generation, offloads) = match reply {
            DevReply::Attached {
                generation,
                offloads,
                ..
            } => (generation, offloads),
            DevReply::Refused(refusal) => return Err(AttachError::Refused(refusal)),
        };
        // Whatever is left of an earlier attachment.
        self.notification.wait(Events::INTERRUPTS.bits(), 0);
        self.bell.take();
        self.server_bell.raise();
        let pools = [(pool.memory(), receive), (&shown, send)];
        let memory = match self.card.start(pools, &self.notification) {
            Ok(started) => started,
            Err(error) => {
                server.stack.detach();
                return Err(error);
            }
        };
        let attachment = Attachment {
            shared: Shared {
                channel: channel.shm(),
                pool: pool.shm(),
                receive,
                send,
                offloads,
            },
            memory,
            generation,
        };
        self.attached = Some([channel, pool]);
        Ok(attachment)
    }

    fn detach(&mut self) {
        // First of all: from here on the device reaches no memory.
        self.card.stop();
        self.server.borrow_mut().stack.detach();
        self.attached = None;
    }
}
