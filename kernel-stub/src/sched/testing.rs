//! The scheduler as tests see it: threads run out of turn, and all that is ready is in one list.
#![allow(clippy::unwrap_used, reason = "for tests")]

use super::Scheduler;
use crate::kernel::Kernel;
use crate::object::{Chain, Tcb, Thread, ThreadList, ThreadState};
use crate::platform::Platform;
use crate::store::{Ref, Store};

impl Scheduler {
    /// All threads that are ready and do not run, with the priority that each has here.
    pub(crate) fn waiting_to_run(&self, store: &Store) -> Vec<(Ref<Tcb>, u8)> {
        let mut all = Vec::new();
        for (priority, queue) in (0..).zip(&self.queues) {
            assert_eq!(self.ready >> priority & 1 != 0, !queue.is_empty());
            let chain = |thread: &Ref<Tcb>| ThreadList::next(store, Chain::Queue, *thread);
            let threads = std::iter::successors(queue.head, chain);
            // The patient stand in front.
            let is_patient = |thread| store.get::<Tcb>(thread).unwrap().urgent > priority;
            let behind = threads.clone().skip_while(|it| is_patient(*it));
            assert!(
                !behind.into_iter().any(is_patient),
                "a patient thread behind another"
            );
            all.extend(threads.map(|thread| (thread, priority)));
        }
        if let Some(next) = self.next {
            let most = all.iter().map(|(_, priority)| *priority).max();
            assert!(most.is_none_or(|most| most < self.next_priority));
            all.push((next, self.next_priority));
        }
        all
    }
}

impl<P: Platform> Kernel<P> {
    /// Makes a ready thread the current one, out of turn. It stays patient, for when it has waited.
    pub(crate) fn run_next(&mut self, thread: Ref<Tcb>) {
        let tcb = self.store.get_mut(thread).unwrap();
        assert_eq!(tcb.state, ThreadState::Ready, "it waits");
        let patient = tcb.patient;
        self.yield_now();
        self.set_priorities(thread, 15, 15).unwrap();
        self.sched.dequeue(&mut self.store, thread, 15).unwrap();
        self.enter(thread);
        self.store.get_mut(thread).unwrap().patient = patient;
        self.sched.patient |= 1 << patient;
        assert_eq!(self.choose(), Some(thread));
    }

    /// Makes the chosen thread the current one.
    pub(crate) fn enter(&mut self, thread: Ref<Tcb>) {
        let next = self.deadlines.next();
        let waits = self.sched.patient_waits(&self.store);
        let chosen = self.store.split::<Thread<P::Context>>(thread.cast());
        let (chosen, others) = chosen.unwrap();
        self.sched.enter(
            &mut self.platform,
            next,
            thread,
            &mut chosen.tcb,
            &others,
            waits,
        );
    }
}
