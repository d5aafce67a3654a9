//! The scheduler: 16 priorities, round robin inside each, no tick. Touches the ready queues, the deadlines and
//! the accounts of processor time.
//!
//! The running thread (`current`) is in no queue. The timer is only ever set for the next deadline, or for
//! the end of a slice while another thread of the same priority is ready.
#![forbid(unsafe_code)]

use crate::kernel::{Kernel, set_result};
use crate::object::{Chain, Endpoint, Notification, Process, Tcb, Thread, ThreadList, ThreadState};
use crate::phys::Frame;
use crate::platform::Platform;
use crate::store::{Ref, Store};
use kernel_abi::{Error, FOREVER, PRIORITIES};

/// How long a thread runs while others of its priority are ready.
pub(crate) const SLICE_NS: u64 = 10_000_000;

/// Who runs and who could.
pub(crate) struct Scheduler {
    queues: [ThreadList; PRIORITIES as usize],
    /// Which queues have threads, one bit each.
    ready: u16,
    pub(crate) current: Option<Ref<Tcb>>,
    /// Priority of the current thread.
    priority: u8,
    /// Whether something happened since the last choice that can change it, or the timer.
    stale: bool,
    /// Page tables of the current thread.
    root: Frame,
    slice_end: u64,
    /// What the platform's timer is set to; `None` if that is unknown.
    timer: Option<Option<u64>>,
    /// Whose time it is since `since`; `None`: idle.
    charged: Option<Ref<Process>>,
    since: u64,
    /// System calls of the machine at that time.
    syscalls_since: u64,
    /// Process of the last address space.
    last_process: Option<Ref<Process>>,
    pub(crate) idle_ns: u64,
    pub(crate) switches: u64,
}

impl Scheduler {
    pub(crate) fn new(now: u64) -> Scheduler {
        Scheduler {
            queues: [ThreadList::EMPTY; PRIORITIES as usize],
            ready: 0,
            current: None,
            priority: 0,
            stale: true,
            root: Frame(0),
            slice_end: 0,
            timer: None,
            charged: None,
            since: now,
            syscalls_since: 0,
            last_process: None,
            idle_ns: 0,
            switches: 0,
        }
    }

    /// Page tables of the current thread.
    pub(crate) fn root(&self) -> Frame {
        self.root
    }

    /// Highest priority with a ready thread.
    fn best(&self) -> Option<u8> {
        self.ready.checked_ilog2().map(|bit| bit as u8)
    }

    pub(crate) fn enqueue(
        &mut self,
        store: &mut Store,
        thread: Ref<Tcb>,
        priority: u8,
        front: bool,
    ) -> Result<(), Error> {
        let queue = self.queues.get_mut(priority as usize);
        let queue = queue.ok_or(Error::BadArgument)?;
        match front {
            true => queue.push_front(store, Chain::Queue, thread)?,
            false => queue.push_back(store, Chain::Queue, thread)?,
        }
        self.ready |= 1 << priority;
        self.stale = true;
        Ok(())
    }

    fn dequeue(&mut self, store: &mut Store, thread: Ref<Tcb>, priority: u8) -> Result<(), Error> {
        let queue = self.queues.get_mut(priority as usize);
        let queue = queue.ok_or(Error::BadArgument)?;
        queue.remove(store, Chain::Queue, thread)?;
        if queue.len == 0 {
            self.ready &= !(1 << priority);
        }
        self.stale = true;
        Ok(())
    }

    fn pop(&mut self, store: &mut Store) -> Option<Ref<Tcb>> {
        let best = self.best()?;
        let thread = self.queues.get(best as usize)?.head?;
        self.dequeue(store, thread, best).ok()?;
        Some(thread)
    }

    fn others_ready(&self, priority: u8) -> bool {
        self.ready & 1 << priority != 0
    }
}

impl<P: Platform> Kernel<P> {
    /// Chooses who runs now, and sets the timer. `None`: nobody.
    #[inline]
    pub(crate) fn schedule(&mut self) -> Option<Ref<Tcb>> {
        match self.sched.current {
            Some(thread) if !self.sched.stale => Some(thread),
            _ => self.choose(),
        }
    }

    fn choose(&mut self) -> Option<Ref<Tcb>> {
        let next = match self.sched.current {
            Some(thread)
                if self
                    .sched
                    .best()
                    .is_none_or(|best| best <= self.sched.priority) =>
            {
                Some(thread)
            }
            Some(thread) => {
                self.preempt(thread);
                self.sched.pop(&mut self.store)
            }
            None => self.sched.pop(&mut self.store),
        };
        if next != self.sched.current || next.is_none() {
            self.switch(next);
        }
        let mut timer = self.deadlines.next();
        if next.is_some() && self.sched.others_ready(self.sched.priority) {
            let slice_end = self.sched.slice_end;
            timer = Some(timer.map_or(slice_end, |deadline| deadline.min(slice_end)));
        }
        if self.sched.timer != Some(timer) {
            self.sched.timer = Some(timer);
            self.platform.set_timer(timer);
        }
        self.sched.stale = false;
        next
    }

    /// A more urgent thread takes over. The current one stays first in its queue as long as there is something left
    /// of its slice: a new slice each time would starve its equals.
    fn preempt(&mut self, thread: Ref<Tcb>) {
        let left = self.sched.slice_end.saturating_sub(self.platform.now());
        self.sched.current = None;
        self.must(|k| {
            k.store.get_mut(thread)?.slice = if left > 0 { left } else { SLICE_NS };
            let priority = k.sched.priority;
            k.sched.enqueue(&mut k.store, thread, priority, left > 0)
        });
    }

    fn switch(&mut self, next: Option<Ref<Tcb>>) {
        self.sched.current = next;
        let Some(tcb) = next.and_then(|thread| self.store.get_mut(thread).ok()) else {
            // Idle, perhaps for some time already.
            if self.sched.charged.is_some() {
                self.account();
                self.sched.charged = None;
            }
            return;
        };
        let process = tcb.process;
        // Used up, unless it is preempted before.
        let slice = core::mem::replace(&mut tcb.slice, SLICE_NS);
        self.sched.priority = tcb.priority;
        let now = self.account();
        self.sched.charged = Some(process);
        self.sched.slice_end = now.saturating_add(slice);
        let is_other = self.sched.last_process != Some(process);
        if is_other && let Ok(entry) = self.store.get_mut(process) {
            self.sched.root = entry.root;
            entry.switches += 1;
            self.platform.let_user_count(entry.counts);
            self.sched.switches += 1;
            self.sched.last_process = Some(process);
        }
    }

    /// Whether the threads of a process may read the processor's counter.
    pub(crate) fn let_count(&mut self, process: Ref<Process>, allowed: bool) -> Result<(), Error> {
        self.store.get_mut(process)?.counts = allowed;
        if self.sched.last_process == Some(process) {
            self.platform.let_user_count(allowed);
        }
        Ok(())
    }

    /// Books time and system calls since the last booking; returns the time.
    pub(crate) fn account(&mut self) -> u64 {
        let now = self.platform.now();
        let spent = now.saturating_sub(self.sched.since);
        self.sched.since = now;
        let calls = self.syscalls - self.sched.syscalls_since;
        self.sched.syscalls_since = self.syscalls;
        match self.sched.charged {
            None => self.sched.idle_ns += spent,
            // A process that has just been destroyed needs no account.
            Some(process) => {
                if let Ok(process) = self.store.get_mut(process) {
                    process.cpu_ns += spent;
                    process.syscalls += calls;
                }
            }
        }
        now
    }

    /// The timer went off (or may have): ends waits whose deadline passed, and the slice.
    #[inline(never)]
    pub(crate) fn timer_expired(&mut self) {
        self.sched.timer = None;
        self.sched.stale = true;
        let now = self.platform.now();
        while let Some(thread) = self.deadlines.take(&mut self.store, now) {
            let Ok(tcb) = self.store.get(thread) else {
                return;
            };
            match (tcb.state, tcb.deadline) {
                // It was for an earlier wait, which ended before.
                (ThreadState::Ready | ThreadState::Dead, _) | (_, FOREVER) => {}
                (_, deadline) if deadline > now => {
                    self.must(|k| k.deadlines.arm(&mut k.store, thread));
                }
                (ThreadState::Waiting(..), _) => self.wake(thread, Ok([0; 3]), false),
                _ => self.wake(thread, Err(Error::TimedOut), false),
            }
        }
        if now >= self.sched.slice_end {
            self.yield_now();
        }
    }

    /// Sends the current thread to the end of its queue.
    pub(crate) fn yield_now(&mut self) {
        if let Some(thread) = self.sched.current.take() {
            let priority = self.sched.priority;
            self.must(|k| k.sched.enqueue(&mut k.store, thread, priority, false));
        }
    }

    /// A new thread may run.
    pub(crate) fn make_ready(&mut self, thread: Ref<Tcb>) -> Result<(), Error> {
        let priority = self.store.get(thread)?.priority;
        self.sched.enqueue(&mut self.store, thread, priority, false)
    }

    /// Makes the current thread wait in `state`, until `deadline`. It is in the queue of what it waits for already.
    pub(crate) fn block(
        &mut self,
        thread: Ref<Tcb>,
        state: ThreadState,
        deadline: u64,
    ) -> Result<(), Error> {
        let tcb = self.store.get_mut(thread)?;
        tcb.state = state;
        tcb.deadline = deadline;
        let is_seen_to = deadline == FOREVER || tcb.timer.armed && tcb.timer.key <= deadline;
        self.sched.current = None;
        match is_seen_to {
            true => Ok(()),
            false => self.deadlines.arm(&mut self.store, thread),
        }
    }

    /// Ends a thread's wait with this result. `front`: it is the next of its priority.
    pub(crate) fn wake(&mut self, thread: Ref<Tcb>, result: Result<[u64; 3], Error>, front: bool) {
        self.must(|k| {
            k.leave_queue(thread)?;
            let woken = k.store.get_mut::<Thread<P::Context>>(thread.cast())?;
            woken.tcb.state = ThreadState::Ready;
            set_result(&mut woken.context, result);
            let priority = woken.tcb.priority;
            k.sched.enqueue(&mut k.store, thread, priority, front)
        });
    }

    /// Takes a thread out of whatever queue it is in, and disarms its deadline.
    pub(crate) fn leave(&mut self, thread: Ref<Tcb>) -> Result<(), Error> {
        self.leave_queue(thread)?;
        self.sched.stale = true;
        self.deadlines.disarm(&mut self.store, thread)
    }

    /// Takes a thread out of whatever queue it is in.
    pub(crate) fn leave_queue(&mut self, thread: Ref<Tcb>) -> Result<(), Error> {
        let store = &mut self.store;
        let tcb = store.get(thread)?;
        let priority = tcb.priority;
        match tcb.state {
            ThreadState::Dead => {}
            ThreadState::Ready if self.sched.current == Some(thread) => self.sched.current = None,
            ThreadState::Ready => self.sched.dequeue(store, thread, priority)?,
            ThreadState::Waiting(notification, _) => {
                let entry = store.get_mut(notification)?;
                if !entry.waiters.remove_only() {
                    let mut list = entry.waiters;
                    list.remove(store, Chain::Queue, thread)?;
                    store.get_mut::<Notification>(notification)?.waiters = list;
                }
            }
            ThreadState::Calling(endpoint) => {
                let mut list = store.get(endpoint)?.callers;
                list.remove(store, Chain::Queue, thread)?;
                store.get_mut::<Endpoint>(endpoint)?.callers = list;
            }
            ThreadState::Receiving(endpoint, _) => {
                let mut list = store.get(endpoint)?.receivers;
                list.remove(store, Chain::Queue, thread)?;
                store.get_mut::<Endpoint>(endpoint)?.receivers = list;
            }
            ThreadState::Served(endpoint, server) => {
                let mut list = store.get(endpoint)?.served;
                list.remove(store, Chain::Queue, thread)?;
                store.get_mut::<Endpoint>(endpoint)?.served = list;
                let mut list = store.get(server)?.serving;
                list.remove(store, Chain::Service, thread)?;
                store.get_mut::<Process>(server)?.serving = list;
            }
        }
        Ok(())
    }

    /// Changes a thread's priority.
    pub(crate) fn set_priority(&mut self, thread: Ref<Tcb>, priority: u8) -> Result<(), Error> {
        let tcb = self.store.get_mut(thread)?;
        let old = core::mem::replace(&mut tcb.priority, priority);
        let is_ready = tcb.state == ThreadState::Ready;
        self.sched.stale = true;
        if self.sched.current == Some(thread) {
            self.sched.priority = priority;
        } else if is_ready {
            self.sched.dequeue(&mut self.store, thread, old)?;
            self.sched
                .enqueue(&mut self.store, thread, priority, false)?;
        }
        Ok(())
    }

    /// Makes a ready thread the current one, out of turn.
    #[cfg(any(test, feature = "testing"))]
    #[allow(clippy::unwrap_used, reason = "for tests")]
    pub(crate) fn run_next(&mut self, thread: Ref<Tcb>) {
        let tcb = self.store.get_mut(thread).unwrap();
        assert_eq!(tcb.state, ThreadState::Ready, "it waits");
        self.yield_now();
        self.set_priority(thread, 15).unwrap();
        self.sched.dequeue(&mut self.store, thread, 15).unwrap();
        self.switch(Some(thread));
        assert_eq!(self.schedule(), Some(thread));
    }
}
