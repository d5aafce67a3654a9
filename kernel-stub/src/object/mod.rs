//! What kernel objects consist of. Data only: the operations are in the modules named for them.
//!
//! Every object lives alone in a frame (`store`). Fields that other objects point to are [`Ref`]s, which
//! are checked at each use; a reference that keeps its target alive says so. `store::kinds` says that each fits.
#![forbid(unsafe_code)]

mod devices;
mod letter;
mod memory;
mod process;
mod thread;

use crate::store::Ref;
pub(crate) use devices::{Bar, Device, Interrupt, MAX_INTERRUPTS, MAX_PINS, Msix, Pin};
pub(crate) use letter::{HEADER, Letter};
pub(crate) use memory::{LIST_ENTRIES, MAX_PAGES, Memory, PageList};
pub(crate) use process::{FamilyLinks, MAP_ENTRIES, MapTable, Mapping, Process, TABLES};
pub(crate) use thread::{Chain, Links, Tcb, Thread, ThreadList, ThreadState, TimerLinks, Usage};

/// Frames that may be allocated.
pub(crate) struct Budget {
    /// Where the frames were split off, and return to. Kept alive: they count as its use.
    pub(crate) parent: Option<Ref<Budget>>,
    /// Frames that it may have in use.
    pub(crate) limit: u64,
    /// Frames in use, limits of budgets split off included.
    pub(crate) used: u64,
}

/// Bits to signal when something happens. Does not keep the notification alive.
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    pub(crate) notification: Ref<Notification>,
    pub(crate) bits: u64,
}

/// A rendezvous for call and reply.
pub(crate) struct Endpoint {
    /// Threads whose call was not taken yet.
    pub(crate) callers: ThreadList,
    /// Threads that wait for a call.
    pub(crate) receivers: ThreadList,
    /// Threads whose call was taken and that wait for the reply.
    pub(crate) served: ThreadList,
    /// Capabilities with the right to receive.
    pub(crate) receive_caps: u32,
    /// Told of every call that has to wait.
    pub(crate) bound: Option<Watch>,
}

/// A word of bits that can be signalled and waited for.
pub(crate) struct Notification {
    pub(crate) bits: u64,
    pub(crate) waiters: ThreadList,
}
