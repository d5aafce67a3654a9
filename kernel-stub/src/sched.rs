//! The scheduler: 16 priorities, round robin inside each, no tick. Touches the ready queues, the deadlines and
//! the accounts of processor time.
//!
//! A thread can be patient: when it becomes ready, it is served with a lower priority than its own at first, so that work under way is finished
//! and more comes together for it. Once it runs, or two milliseconds later, it is as urgent as it is.
//!
//! The running thread (`current`) is in no queue, nor need be the one that runs next. The timer is only ever set for the next deadline, for
//! the end of a slice while another thread of the same priority is ready, or for the end of patience while a patient one is.
#![forbid(unsafe_code)]

pub(crate) mod patience;
#[cfg(any(test, feature = "testing"))]
mod testing;

use crate::kernel::Kernel;
use crate::object::{Chain, Process, Tcb, Thread, ThreadList, ThreadState};
use crate::phys::Frame;
use crate::platform::Platform;
use crate::store::{Others, Ref, Store};
use kernel_abi::{Error, FOREVER, PRIORITIES};

/// How long a thread runs while others of its priority are ready.
pub(crate) const SLICE_NS: u64 = 10_000_000;

/// Who runs and who could.
pub(crate) struct Scheduler {
    queues: [ThreadList; PRIORITIES as usize],
    /// Which queues have threads, one bit each.
    ready: u16,
    /// A thread that is ready and in no queue, since none of the threads in queues is as urgent.
    next: Option<Ref<Tcb>>,
    next_priority: u8,
    pub(crate) current: Option<Ref<Tcb>>,
    /// Priority of the current thread.
    priority: u8,
    /// Whether something happened since the last choice that can change it, or the timer.
    pub(crate) stale: bool,
    /// Page tables of the current thread.
    root: Frame,
    slice_end: u64,
    /// Priorities with which patient threads are (or were) served.
    patient: u16,
    /// When those that wait become urgent ([`FOREVER`]: none waits).
    hurry: u64,
    /// What the platform's timer is set to ([`FOREVER`]: it is off); zero if that is unknown.
    timer: u64,
    /// Up to when all time was booked, which is when the last thread stopped if none runs.
    since: u64,
    /// No thread runs since then.
    idle: bool,
    /// Process of the last address space.
    last_process: Option<Ref<Process>>,
    /// How often any process was allowed to read the counter, or no longer.
    count_changes: u64,
    pub(crate) idle_ns: u64,
    pub(crate) switches: u64,
}

impl Scheduler {
    pub(crate) fn new(now: u64) -> Scheduler {
        Scheduler {
            queues: [ThreadList::EMPTY; PRIORITIES as usize],
            ready: 0,
            next: None,
            next_priority: 0,
            current: None,
            priority: 0,
            stale: true,
            root: Frame(0),
            slice_end: 0,
            patient: 0,
            hurry: FOREVER,
            timer: 0,
            since: now,
            idle: true,
            last_process: None,
            count_changes: 0,
            idle_ns: 0,
            switches: 0,
        }
    }

    /// Page tables of the current thread.
    pub(crate) fn root(&self) -> Frame {
        self.root
    }

    /// Highest priority with a thread in its queue.
    fn best(&self) -> Option<u8> {
        self.ready.checked_ilog2().map(|bit| bit as u8)
    }

    /// A thread became ready, as the first or last of its priority. Mostly nobody else is, and it runs as soon as the current one stops.
    #[inline(always)]
    pub(crate) fn make_ready(
        &mut self,
        store: &mut Store,
        thread: Ref<Tcb>,
        priority: u8,
        front: bool,
    ) -> Result<(), Error> {
        if self.next.is_some() || self.ready.wrapping_shr(priority.into()) != 0 {
            return self.enqueue(store, thread, priority, front);
        }
        self.next = Some(thread);
        self.next_priority = priority;
        self.stale = true;
        Ok(())
    }

    /// Puts a ready thread into its queue.
    #[inline(never)]
    pub(crate) fn enqueue(
        &mut self,
        store: &mut Store,
        thread: Ref<Tcb>,
        priority: u8,
        front: bool,
    ) -> Result<(), Error> {
        self.settle(store)?;
        self.push(store, thread, priority, front)
    }

    /// From here on all threads that are ready are in queues.
    fn settle(&mut self, store: &mut Store) -> Result<(), Error> {
        match self.next.take() {
            Some(thread) => self.push(store, thread, self.next_priority, true),
            None => Ok(()),
        }
    }

    fn push(
        &mut self,
        store: &mut Store,
        thread: Ref<Tcb>,
        priority: u8,
        front: bool,
    ) -> Result<(), Error> {
        // Patient threads stand in front of all others: who looks for them looks at the first.
        let is_patient = store.get(thread)?.urgent > priority;
        let front = is_patient || front && self.first_patient(store, priority).is_none();
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

    pub(crate) fn dequeue(
        &mut self,
        store: &mut Store,
        thread: Ref<Tcb>,
        priority: u8,
    ) -> Result<(), Error> {
        self.settle(store)?;
        let queue = self.queues.get_mut(priority as usize);
        let queue = queue.ok_or(Error::BadArgument)?;
        queue.remove(store, Chain::Queue, thread)?;
        if queue.is_empty() {
            self.ready &= !(1 << priority);
        }
        self.stale = true;
        Ok(())
    }

    #[inline]
    fn pop(&mut self, store: &mut Store) -> Option<Ref<Tcb>> {
        match self.next.take() {
            Some(thread) => Some(thread),
            None if self.ready == 0 => None,
            None => self.pop_queued(store),
        }
    }

    #[inline(never)]
    fn pop_queued(&mut self, store: &mut Store) -> Option<Ref<Tcb>> {
        let best = self.best()?;
        let thread = self.queues.get(best as usize)?.head?;
        self.dequeue(store, thread, best).ok()?;
        Some(thread)
    }

    /// Books the time up to now for the thread that ran. (Neither the clock nor its sum comes round.)
    #[inline]
    fn book(&mut self, tcb: &mut Tcb, now: u64) {
        let spent = now.wrapping_sub(self.since);
        self.since = now;
        tcb.usage.cpu_ns = tcb.usage.cpu_ns.wrapping_add(spent);
    }

    /// Time up to now that is still nobody's, if the last thread has stopped and none was chosen yet. It counts as booked.
    pub(crate) fn between<P: Platform>(&mut self, platform: &P) -> Option<u64> {
        if self.current.is_some() || self.idle {
            return None;
        }
        let now = platform.now();
        Some(now.wrapping_sub(core::mem::replace(&mut self.since, now)))
    }

    /// The current thread stops.
    #[inline]
    pub(crate) fn stop(&mut self, tcb: &mut Tcb, now: u64) {
        self.book(tcb, now);
        self.current = None;
        self.stale = true;
    }

    /// Makes the chosen thread the current one if it is not yet, and sets the timer: `next` is the next deadline, and a patient
    /// thread `waits`.
    #[inline]
    pub(crate) fn enter<P: Platform>(
        &mut self,
        platform: &mut P,
        next: u64,
        thread: Ref<Tcb>,
        tcb: &mut Tcb,
        others: &Others<'_, Thread<P::Context>>,
        waits: bool,
    ) {
        if self.current != Some(thread) {
            self.current = Some(thread);
            // Whoever runs has been patient.
            tcb.priority = tcb.urgent;
            self.priority = tcb.urgent;
            if self.idle {
                self.end_idle(platform);
            }
            // Used up, unless it is preempted before.
            let slice = core::mem::replace(&mut tcb.slice, SLICE_NS);
            self.slice_end = self.since.saturating_add(slice);
            if self.last_process != Some(tcb.process) {
                self.last_process = Some(tcb.process);
                self.root = tcb.root;
                self.switches = self.switches.wrapping_add(1);
                tcb.usage.switches = tcb.usage.switches.wrapping_add(1);
                if tcb.counts.1 != self.count_changes {
                    let counts = others.get(tcb.process).is_ok_and(|process| process.counts);
                    tcb.counts = (counts, self.count_changes);
                }
                platform.let_user_count(tcb.counts.0);
            }
        }
        let timer = match self.next.is_none() && self.ready == 0 {
            true => {
                self.hurry = FOREVER;
                next
            }
            false => self.end_of_turn(platform, next, waits),
        };
        self.set_timer(platform, timer);
        self.stale = false;
    }

    /// Nobody runs from now on. The time until somebody does is idle time.
    pub(crate) fn rest<P: Platform>(&mut self, platform: &mut P, next: u64) {
        self.idle = true;
        self.set_timer(platform, next);
    }

    #[inline(never)]
    fn end_idle<P: Platform>(&mut self, platform: &P) -> u64 {
        let now = platform.now();
        self.idle_ns = self.idle_ns.wrapping_add(now.wrapping_sub(self.since));
        self.since = now;
        self.idle = false;
        now
    }

    #[inline]
    fn set_timer<P: Platform>(&mut self, platform: &mut P, timer: u64) {
        if self.timer != timer {
            self.timer = timer;
            platform.set_timer((timer != FOREVER).then_some(timer));
        }
    }
}

impl<P: Platform> Kernel<P> {
    /// Chooses who runs now. `None`: nobody.
    #[inline]
    pub(crate) fn choose(&mut self) -> Option<Ref<Tcb>> {
        match self.sched.current {
            Some(thread) if !self.sched.stale => Some(thread),
            Some(thread) => self.choose_again(thread),
            None => self.sched.pop(&mut self.store),
        }
    }

    /// Whether the current thread has to make room for another.
    #[inline(never)]
    fn choose_again(&mut self, thread: Ref<Tcb>) -> Option<Ref<Tcb>> {
        let next = self.sched.next.map(|_| self.sched.next_priority);
        let best = self.sched.best().max(next);
        if best.is_none_or(|best| best <= self.sched.priority) {
            return Some(thread);
        }
        self.preempt(thread);
        self.sched.pop(&mut self.store)
    }

    /// A more urgent thread takes over. The current one stays first in its queue as long as there is something left
    /// of its slice: a new slice each time would starve its equals.
    fn preempt(&mut self, thread: Ref<Tcb>) {
        let now = self.platform.now();
        let left = self.sched.slice_end.saturating_sub(now);
        self.must(|k| {
            let tcb = k.store.get_mut(thread)?;
            tcb.slice = if left > 0 { left } else { SLICE_NS };
            k.sched.stop(tcb, now);
            let priority = k.sched.priority;
            k.sched.enqueue(&mut k.store, thread, priority, left > 0)
        });
    }

    /// Whether the threads of a process may read the processor's counter. They learn of it when they run next.
    pub(crate) fn let_count(&mut self, process: Ref<Process>, allowed: bool) -> Result<(), Error> {
        self.store.get_mut(process)?.counts = allowed;
        self.sched.count_changes += 1;
        if self.sched.last_process == Some(process) {
            self.platform.let_user_count(allowed);
        }
        Ok(())
    }

    /// Books the time since the last booking; returns what time it is.
    pub(crate) fn account(&mut self) -> u64 {
        if self.sched.idle {
            let now = self.sched.end_idle(&self.platform);
            self.sched.idle = true;
            return now;
        }
        let now = self.platform.now();
        // Between two threads it is the next one's time.
        if let Some(thread) = self.sched.current {
            self.must(|k| {
                k.sched.book(k.store.get_mut(thread)?, now);
                Ok(())
            });
        }
        now
    }

    /// The timer went off (or may have): ends waits whose deadline passed, and the slice.
    #[inline(never)]
    pub(crate) fn timer_expired(&mut self) {
        self.sched.timer = 0;
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
        if now >= self.sched.hurry {
            self.must(|k| k.sched.hurry(&mut k.store));
        }
    }

    /// Sends the current thread to the end of its queue.
    pub(crate) fn yield_now(&mut self) {
        self.requeue(|tcb| tcb.priority);
    }

    /// The current thread lets others run: a patient one those that are more urgent than its first priority.
    pub(crate) fn give_way(&mut self) {
        self.requeue(|tcb| tcb.urgent.min(tcb.patient));
    }

    /// The current thread stops, and is ready with that priority.
    fn requeue(&mut self, priority: impl Fn(&Tcb) -> u8) {
        if let Some(thread) = self.sched.current {
            let now = self.platform.now();
            self.must(|k| {
                let tcb = k.store.get_mut(thread)?;
                k.sched.stop(tcb, now);
                tcb.priority = priority(tcb);
                let priority = tcb.priority;
                k.sched.enqueue(&mut k.store, thread, priority, false)
            });
        }
    }

    /// A new thread may run.
    pub(crate) fn make_ready(&mut self, thread: Ref<Tcb>) -> Result<(), Error> {
        let priority = self.store.get(thread)?.priority;
        self.sched
            .make_ready(&mut self.store, thread, priority, false)
    }
}
