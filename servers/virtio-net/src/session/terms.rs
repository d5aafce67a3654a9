//! What a session is given to work with, what it says of a pass, and how long it waits for what. Types, numbers, and what follows from them; touches nothing.

use crate::queue::QUEUE_SIZE;
use ipc_proto::{
    frame::{Offloads, Pool},
    shm::Shm,
};

/// Messages of the stack that one pass takes.
pub const BUDGET: usize = 256;
/// Nanoseconds in a millisecond.
pub(super) const MS: u64 = 1_000_000;
/// How long the driver sleeps at most while the stack misses buffers, in nanoseconds: sent buffers are returned within this time though
/// nothing interrupts for them, and within twice the time where other things keep waking it.
pub const RETURN_WITHIN: u64 = 50 * MS;
/// How long the driver sleeps at most, in nanoseconds: a device whose interrupts get lost is served this often.
pub const WATCHDOG: u64 = 100 * MS;
/// The same while nothing moves: each bark in vain doubles the pause up to this.
pub const WATCHDOG_IDLE: u64 = 1_600 * MS;
/// How long a device may sit on frames to send before it counts as stuck, in nanoseconds.
pub const STUCK_AFTER: u64 = 3_000 * MS;

/// So many frames in a pass are many, and so many bytes.
pub(super) const BUSY: usize = 8;
pub(super) const BUSY_BYTES: usize = 32 << 10;
/// So many received frames are taken in two halves when the stack had nothing to send: then everybody on the other side waits for
/// answers to them, and is busy with those to the first half while the stack works on the second. The first half is many.
pub(super) const SPLIT: usize = 2 * BUSY - 1;

/// How many received frames a pass takes at most, after so many messages, while so many wait.
pub(super) fn share(messages: usize, waiting: usize) -> usize {
    match (messages, waiting) {
        (0, SPLIT..) => waiting.div_ceil(2),
        _ => QUEUE_SIZE,
    }
}

/// What the stack gave to work with.
#[derive(Debug)]
pub struct Shared {
    /// Memory of the frame channel.
    pub channel: Shm,
    /// The pool to receive into. That to send from is the device's business alone.
    pub pool: Shm,
    /// Which buffers it has.
    pub receive: Pool,
    /// Which buffers the pool to send from has.
    pub send: Pool,
    /// What the device is to do with frames.
    pub offloads: Offloads,
}

/// Why a pass is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wake {
    /// The device said that its configuration changed.
    pub config_changed: bool,
    /// Nothing happened for the time that [`Session::prepare_sleep`](super::Session::prepare_sleep) gave.
    pub watchdog: bool,
}

/// What a pass did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// There may be more to do: make another pass before sleeping.
    pub again: bool,
    /// The stack sleeps and has to be woken.
    pub ring_stack: bool,
    /// It is the stack's turn: it is woken, or has left no room in its ring. It rings back.
    pub waits_for_stack: bool,
    /// The device had something.
    pub device_work: bool,
    /// Frames came so close together that more will have come when the stack has seen these: there is no need to be interrupted for
    /// the next one.
    pub busy: bool,
}

/// What was moved since the attachment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Frames received.
    pub received: u64,
    /// Frames sent.
    pub transmitted: u64,
    /// Frames dropped because they were shorter than an Ethernet header, ...
    pub runts: u64,
    /// ... or because of what the device says of them.
    pub odd: u64,
}
