//! Threads, and lists of them. Data only; `list` links them.

use super::{Endpoint, Notification, Process};
use crate::sched::SLICE_NS;
use crate::store::Ref;
use kernel_abi::Message;

/// What a thread does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ThreadState {
    /// Runs, or is in the queue of its priority.
    Ready,
    /// Its call waits at the endpoint for a receiver.
    Calling(Ref<Endpoint>),
    /// Its call was taken by this process; it waits for the reply.
    Served(Ref<Endpoint>, Ref<Process>),
    /// Waits at the endpoint for a call, to be written to this address.
    Receiving(Ref<Endpoint>, u64),
    /// Waits for bits of this mask.
    Waiting(Ref<Notification>, u64),
    /// Ended, or not started.
    Dead,
}

/// Which list: a thread has a place in one list of each.
#[derive(Clone, Copy)]
pub(crate) enum Chain {
    /// Ready queue, or the queue of what the thread waits for.
    Queue = 0,
    /// Threads of its process.
    Family = 1,
    /// Callers that a process serves.
    Service = 2,
}

/// A place in a list.
#[derive(Clone, Copy, Default)]
pub(crate) struct Links {
    pub(crate) prev: Option<Ref<Tcb>>,
    pub(crate) next: Option<Ref<Tcb>>,
}

/// A list of threads.
#[derive(Clone, Copy)]
pub(crate) struct ThreadList {
    pub(crate) head: Option<Ref<Tcb>>,
    pub(crate) tail: Option<Ref<Tcb>>,
    pub(crate) len: u32,
}

impl ThreadList {
    pub(crate) const EMPTY: ThreadList = ThreadList {
        head: None,
        tail: None,
        len: 0,
    };
}

/// A place in the heap of deadlines.
#[derive(Clone, Copy, Default)]
pub(crate) struct TimerLinks {
    /// In the heap.
    pub(crate) armed: bool,
    /// When the heap looks at the thread: at its deadline, or before.
    pub(crate) key: u64,
    pub(crate) child: Option<Ref<Tcb>>,
    pub(crate) next: Option<Ref<Tcb>>,
    /// Parent of a first child, else the sibling before.
    pub(crate) prev: Option<Ref<Tcb>>,
}

/// A thread without its registers.
#[repr(C)]
pub(crate) struct Tcb {
    pub(crate) process: Ref<Process>,
    pub(crate) state: ThreadState,
    pub(crate) priority: u8,
    pub(crate) links: [Links; 3],
    pub(crate) timer: TimerLinks,
    /// While it waits.
    pub(crate) deadline: u64,
    /// What is left of its slice while it does not run, in nanoseconds.
    pub(crate) slice: u64,
    /// Badge of the capability that it called through.
    pub(crate) badge: u64,
    /// Makes the token of each of its calls different.
    pub(crate) sequence: u32,
    /// Where the reply goes.
    pub(crate) buffer: u64,
    /// What it sends.
    pub(crate) message: Message,
}

impl Tcb {
    pub(crate) fn new(process: Ref<Process>, priority: u8) -> Tcb {
        Tcb {
            process,
            state: ThreadState::Dead,
            priority,
            links: [Links::default(); 3],
            timer: TimerLinks::default(),
            deadline: 0,
            slice: SLICE_NS,
            badge: 0,
            sequence: 0,
            buffer: 0,
            message: Message::new(),
        }
    }
}

/// A thread.
#[repr(C)]
pub(crate) struct Thread<C> {
    pub(crate) tcb: Tcb,
    pub(crate) context: C,
}
