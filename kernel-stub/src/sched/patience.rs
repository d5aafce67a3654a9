//! Patience: who waits for others first, how long, and when it is looked for. Touches the ready queues and the threads in them.
//!
//! Patient threads stand in front of their queue, so that whoever looks for them looks at the first of each.
#![forbid(unsafe_code)]

use super::Scheduler;
use crate::kernel::Kernel;
use crate::object::{Tcb, ThreadState};
use crate::platform::Platform;
use crate::store::{Ref, Store};
use kernel_abi::{Error, FOREVER, PRIORITIES};

/// How long threads that are patient wait for others that are not more urgent than they are.
pub(crate) const PATIENCE_NS: u64 = 2_000_000;

impl Scheduler {
    /// When the current thread's time is over, as others are ready; `next` at the latest.
    #[inline(never)]
    pub(super) fn end_of_turn<P: Platform>(&mut self, platform: &P, next: u64, waits: bool) -> u64 {
        let end = match self.others_ready(self.priority) {
            true => self.slice_end,
            false => FOREVER,
        };
        if !waits {
            self.hurry = FOREVER;
        } else if self.hurry == FOREVER {
            self.hurry = platform.now().saturating_add(PATIENCE_NS);
        }
        next.min(end).min(self.hurry)
    }

    fn others_ready(&self, priority: u8) -> bool {
        self.ready.wrapping_shr(priority.into()) & 1 != 0
            || self.next.is_some() && self.next_priority == priority
    }

    /// Whether a patient thread waits for its turn.
    #[inline]
    pub(crate) fn patient_waits(&self, store: &Store) -> bool {
        (self.next.is_some() || self.ready != 0) && self.look_for_patient(store)
    }

    #[inline(never)]
    fn look_for_patient(&self, store: &Store) -> bool {
        let is_patient = |next: Ref<Tcb>| {
            let tcb = store.get(next);
            tcb.is_ok_and(|tcb| tcb.urgent > self.next_priority)
        };
        let mut all = 0..PRIORITIES;
        self.next.is_some_and(is_patient)
            || all.any(|priority| self.first_patient(store, priority).is_some())
    }

    /// The first patient thread of a queue.
    pub(super) fn first_patient(&self, store: &Store, priority: u8) -> Option<Ref<Tcb>> {
        if self.ready & self.patient & 1 << priority == 0 {
            return None;
        }
        let first = self.queues.get(priority as usize)?.head?;
        let is_patient = store.get(first).is_ok_and(|tcb| tcb.urgent > priority);
        is_patient.then_some(first)
    }

    /// Patient threads have waited long enough.
    #[cold]
    #[inline(never)]
    pub(super) fn hurry(&mut self, store: &mut Store) -> Result<(), Error> {
        self.hurry = FOREVER;
        self.settle(store)?;
        for priority in 0..PRIORITIES {
            while let Some(thread) = self.first_patient(store, priority) {
                let tcb = store.get_mut(thread)?;
                let urgent = tcb.urgent;
                tcb.priority = urgent;
                self.dequeue(store, thread, priority)?;
                self.push(store, thread, urgent, false)?;
            }
        }
        Ok(())
    }
}

impl<P: Platform> Kernel<P> {
    /// Changes a thread's priority.
    pub(crate) fn set_priority(&mut self, thread: Ref<Tcb>, urgent: u8) -> Result<(), Error> {
        let patient = self.store.get(thread)?.patient;
        self.set_priorities(thread, urgent, patient)
    }

    /// Changes a thread's priority, and the most that it is served with at first when it becomes ready.
    pub(crate) fn set_priorities(
        &mut self,
        thread: Ref<Tcb>,
        urgent: u8,
        patient: u8,
    ) -> Result<(), Error> {
        let tcb = self.store.get_mut(thread)?;
        (tcb.urgent, tcb.patient) = (urgent, patient);
        let first = urgent.min(patient);
        if first < urgent {
            self.sched.patient |= 1 << first;
        }
        let runs = self.sched.current == Some(thread);
        let priority = if runs { urgent } else { first };
        let old = core::mem::replace(&mut tcb.priority, priority);
        let is_ready = tcb.state == ThreadState::Ready;
        self.sched.stale = true;
        if runs {
            self.sched.priority = priority;
        } else if is_ready {
            self.sched.dequeue(&mut self.store, thread, old)?;
            self.sched
                .enqueue(&mut self.store, thread, priority, false)?;
        }
        Ok(())
    }
}
