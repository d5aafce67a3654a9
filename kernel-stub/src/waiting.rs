//! How threads begin to wait, and stop. Touches the queues that they wait in, the ready queues and the deadlines.
#![forbid(unsafe_code)]

use crate::kernel::{Kernel, set_result};
use crate::object::{Chain, Endpoint, Notification, Process, Tcb, Thread, ThreadState};
use crate::platform::Platform;
use crate::store::Ref;
use kernel_abi::Error;

impl<P: Platform> Kernel<P> {
    /// What time it is, if that is before a deadline.
    #[inline]
    pub(crate) fn before(&self, deadline: u64) -> Option<u64> {
        if deadline == 0 {
            return None;
        }
        let now = self.platform.now();
        (now < deadline).then_some(now)
    }

    /// Makes the current thread wait in `state`, until `deadline`, from `now` on. It is in the queue of what it waits for already.
    pub(crate) fn block(
        &mut self,
        thread: Ref<Tcb>,
        state: ThreadState,
        deadline: u64,
        now: u64,
    ) -> Result<(), Error> {
        let tcb = self.store.get_mut(thread)?;
        self.sched.stop(tcb, now);
        match tcb.begin_wait(state, deadline) {
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
            k.sched.make_ready(&mut k.store, thread, priority, front)
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
            ThreadState::Ready if self.sched.current == Some(thread) => {
                let now = self.platform.now();
                self.sched.stop(store.get_mut(thread)?, now);
            }
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
}
