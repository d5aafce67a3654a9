//! Threads, and lists of them. Data only; `list` links them.

use super::{Endpoint, Letter, Notification, Process};
use crate::cap::Memo;
use crate::phys::Frame;
use crate::sched::SLICE_NS;
use crate::store::Ref;
use kernel_abi::{FOREVER, PRIORITIES};

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
    /// If there is a head.
    pub(crate) tail: Option<Ref<Tcb>>,
}

impl ThreadList {
    pub(crate) const EMPTY: ThreadList = ThreadList {
        head: None,
        tail: None,
    };
}

/// A place in the heap of deadlines.
#[derive(Clone, Copy)]
pub(crate) struct TimerLinks {
    /// In the heap.
    pub(crate) armed: bool,
    /// When the heap looks at the thread: at its deadline, or before. Not in the heap: [`FOREVER`].
    pub(crate) key: u64,
    pub(crate) child: Option<Ref<Tcb>>,
    pub(crate) next: Option<Ref<Tcb>>,
    /// Parent of a first child, else the sibling before.
    pub(crate) prev: Option<Ref<Tcb>>,
}

impl Default for TimerLinks {
    fn default() -> TimerLinks {
        TimerLinks {
            armed: false,
            key: FOREVER,
            child: None,
            next: None,
            prev: None,
        }
    }
}

/// What a thread, or all threads of a process, used of the processor.
#[derive(Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    pub(crate) syscalls: u64,
    /// How often it was switched to from another process.
    pub(crate) switches: u64,
}

impl Usage {
    /// With another's.
    pub(crate) fn plus(self, other: Usage) -> Usage {
        Usage {
            cpu_ns: self.cpu_ns.saturating_add(other.cpu_ns),
            syscalls: self.syscalls.saturating_add(other.syscalls),
            switches: self.switches.saturating_add(other.switches),
        }
    }
}

/// A thread without its registers.
#[repr(C)]
pub(crate) struct Tcb {
    pub(crate) process: Ref<Process>,
    pub(crate) state: ThreadState,
    /// With which it is served now.
    pub(crate) priority: u8,
    /// Its own, ...
    pub(crate) urgent: u8,
    /// ... and the most that it is served with when it becomes ready, until the patient are waited for long enough.
    pub(crate) patient: u8,
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
    /// Root of the page tables of its process.
    pub(crate) root: Frame,
    /// As in its process: may read the processor's counter. Known as of so many changes of that, of any process.
    pub(crate) counts: (bool, u64),
    /// What it used, for its process's account.
    pub(crate) usage: Usage,
    /// What it found behind its slots.
    pub(crate) memo: Memo,
    /// What it sends.
    pub(crate) letter: Letter,
}

impl Tcb {
    /// It waits, until `deadline`. Whether it is looked at by then; else its deadline has to be armed.
    #[inline]
    pub(crate) fn begin_wait(&mut self, state: ThreadState, deadline: u64) -> bool {
        self.state = state;
        self.deadline = deadline;
        self.priority = self.urgent.min(self.patient);
        self.timer.key <= deadline
    }

    pub(crate) fn new(process: Ref<Process>, owner: &Process, priority: u8) -> Tcb {
        Tcb {
            process,
            root: owner.root,
            counts: (false, u64::MAX),
            usage: Usage::default(),
            memo: Memo::EMPTY,
            state: ThreadState::Dead,
            priority,
            urgent: priority,
            patient: PRIORITIES - 1,
            links: [Links::default(); 3],
            timer: TimerLinks::default(),
            deadline: 0,
            slice: SLICE_NS,
            badge: 0,
            sequence: 0,
            buffer: 0,
            letter: Letter::EMPTY,
        }
    }
}

/// A thread.
#[repr(C)]
pub(crate) struct Thread<C> {
    pub(crate) tcb: Tcb,
    pub(crate) context: C,
}
