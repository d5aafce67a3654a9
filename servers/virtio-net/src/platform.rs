//! The library's [`Platform`] on the kernel: the device, and the stack in its process.
//!
//! Holds every capability of the process.
#![forbid(unsafe_code)]

use ipc_proto::setup::{DevReply, DevRequest};
use rt::{
    Endpoint, Env, Mapping, Memory, Notification, Prot, Slot, Thread,
    message::{self, CallError},
};
use virtio_net::{
    card::{Card, StartError, failed},
    error::AttachError,
    mmio::Mmio,
    server::{Attachment, Events, Platform},
    session::Shared,
    transport::PciTransport,
};

/// How long the stack may take to answer, in nanoseconds.
const ANSWER_WITHIN: u64 = 2_000_000_000;

/// What came with an attachment.
struct Attached {
    /// Wakes the stack.
    bell: Notification,
    /// What the stack wakes this process with: while it holds its copy, the attachment lives.
    _doorbell: Notification,
    _channel: Mapping,
    _pool: Mapping,
    /// The pool to send from: the device's alone, and it may only read it.
    _send: Memory,
}

/// The kernel, as the library sees it.
pub(crate) struct Kernel {
    card: Card,
    stack: Endpoint,
    notification: Notification,
    attached: Option<Attached>,
    /// Whom the next wait rings first, in the same system call, or giving way, whichever comes first. One of them follows.
    due: Option<Slot>,
}

impl Kernel {
    /// Finds the device.
    pub(crate) fn new(env: &Env) -> Result<(Kernel, PciTransport<Mmio>), StartError> {
        let stack = env.endpoint("netdev")?;
        let (card, transport) = Card::find(env)?;
        let notification = Notification::create(&env.budget())
            .map_err(|error| StartError::Kernel("make a notification", error))?;
        let kernel = Kernel {
            card,
            stack,
            notification,
            attached: None,
            due: None,
        };
        Ok((kernel, transport))
    }
}

impl Platform for Kernel {
    type Registers = Mmio;

    fn now(&self) -> u64 {
        rt::time::now()
    }

    fn wait(&mut self, deadline: u64) -> Events {
        let (bell, interrupt) = (self.due.take(), self.card.take_due());
        let bits = self
            .notification
            .ring_and_wait(bell, interrupt, Events::all().bits(), deadline);
        Events::from_bits_truncate(bits)
    }

    fn acknowledge(&mut self, interrupts: Events) {
        self.card.acknowledge(interrupts);
    }

    fn ring_stack(&mut self) {
        // It fails only if the stack is gone, which is signalled too.
        self.due = self.attached.as_ref().map(|attached| attached.bell.slot());
    }

    fn give_way(&mut self) {
        if let Some(bell) = self.due.take() {
            // It fails only if the stack is gone, which is signalled too.
            let _ = Notification::borrowed(bell).signal(0);
        }
        Thread::give_way();
    }

    fn linger(&mut self) {
        rt::time::linger();
    }

    #[inline(never)]
    fn attach(&mut self, request: &DevRequest) -> Result<Attachment, AttachError> {
        let doorbell = self
            .notification
            .doorbell(Events::BELL.bits())
            .map_err(|error| failed("make a doorbell", error))?;
        let deadline = self.now().saturating_add(ANSWER_WITHIN);
        let answer = message::call(&self.stack, request, &[doorbell.slot()], deadline);
        let (reply, caps) = match answer {
            Ok(answer) => answer,
            Err(CallError::Kernel(_)) => return Err(AttachError::NotReady),
            Err(CallError::Decode(_)) => return Err(AttachError::BadReply),
        };
        let (generation, receive, send, offloads) = match reply {
            DevReply::Attached {
                generation,
                receive,
                send,
                offloads,
            } => (generation, receive, send, offloads),
            DevReply::Refused(refusal) => return Err(AttachError::Refused(refusal)),
        };
        let [Some(channel), Some(pool), Some(to_send), Some(bell)] = caps else {
            return Err(AttachError::BadReply);
        };
        let bell = Notification::from_raw(bell.into_raw());
        let map = |cap: rt::Cap| Memory::from_raw(cap.into_raw()).map(Prot::READ | Prot::WRITE);
        let channel = map(channel).map_err(|error| failed("map the channel", error))?;
        let pool = map(pool).map_err(|error| failed("map the pool to receive into", error))?;
        let to_send = Memory::from_raw(to_send.into_raw());
        // Whatever is left of an earlier attachment.
        self.wait(0);
        let pools = [(pool.memory(), receive), (&to_send, send)];
        let memory = self.card.start(pools, &self.notification)?;
        let gone = Events::STACK_GONE.bits();
        if let Err(error) = rt::watch(doorbell.slot(), &self.notification, gone) {
            self.detach();
            return Err(failed("watch the stack", error));
        }
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
        self.attached = Some(Attached {
            bell,
            _doorbell: doorbell,
            _channel: channel,
            _pool: pool,
            _send: to_send,
        });
        Ok(attachment)
    }

    #[inline(never)]
    fn detach(&mut self) {
        // First of all: from here on the device reaches no memory.
        self.card.stop();
        self.due = None;
        self.attached = None;
    }
}
