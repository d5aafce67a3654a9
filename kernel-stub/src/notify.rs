//! Notifications: signalling and waiting. Touches notifications and the threads that wait for them.
#![forbid(unsafe_code)]

use crate::kernel::{Kernel, Outcome, set_result};
use crate::object::{Chain, Notification, Tcb, Thread, ThreadList, ThreadState, Watch};
use crate::phys::Frame;
use crate::platform::Platform;
use crate::store::Ref;
use kernel_abi::{Error, FOREVER};

impl<P: Platform> Kernel<P> {
    /// Sets bits, and wakes the waiters that they are for, the longest waiting first.
    pub(crate) fn signal(
        &mut self,
        notification: Ref<Notification>,
        bits: u64,
    ) -> Result<(), Error> {
        let entry = self.store.get_mut(notification)?;
        entry.bits |= bits;
        match (entry.waiters.head, entry.waiters.len) {
            (None, _) => Ok(()),
            (Some(thread), 1) => self.signal_only(notification, thread),
            (Some(_), _) => self.signal_each(notification),
        }
    }

    /// Gives the bits to the only waiter, if they are for it. That is what nearly every signal comes to, so it takes
    /// no general way through the lists.
    fn signal_only(
        &mut self,
        notification: Ref<Notification>,
        thread: Ref<Tcb>,
    ) -> Result<(), Error> {
        let mask = match self.store.get(thread)?.state {
            ThreadState::Waiting(_, mask) => mask,
            _ => return Ok(()),
        };
        let entry = self.store.get_mut(notification)?;
        let found = entry.bits & mask;
        if found == 0 {
            return Ok(());
        }
        entry.bits &= !mask;
        entry.waiters = ThreadList::EMPTY;
        let woken = self.store.get_mut::<Thread<P::Context>>(thread.cast())?;
        woken.tcb.state = ThreadState::Ready;
        set_result(&mut woken.context, Ok([found, 0, 0]));
        let priority = woken.tcb.priority;
        self.sched.enqueue(&mut self.store, thread, priority, false)
    }

    fn signal_each(&mut self, notification: Ref<Notification>) -> Result<(), Error> {
        let entry = self.store.get(notification)?;
        let (mut left, mut next) = (entry.bits, entry.waiters.head);
        while let Some(thread) = next.filter(|_| left != 0) {
            next = ThreadList::next(&self.store, Chain::Queue, thread);
            if let ThreadState::Waiting(_, mask) = self.store.get(thread)?.state
                && left & mask != 0
            {
                self.wake(thread, Ok([left & mask, 0, 0]), false);
                left &= !mask;
            }
        }
        self.store.get_mut(notification)?.bits = left;
        Ok(())
    }

    /// Signals what was asked for, if the notification still exists.
    pub(crate) fn signal_watch(&mut self, watch: Watch) {
        if let Err(gone) = self.signal(watch.notification, watch.bits) {
            debug_assert_eq!(gone, Error::Gone);
        }
    }

    /// Takes the bits of the mask, or waits for one of them.
    pub(crate) fn wait(
        &mut self,
        thread: Ref<Tcb>,
        notification: Ref<Notification>,
        mask: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let entry = self.store.get_mut(notification)?;
        let found = entry.bits & mask;
        if found != 0 {
            entry.bits &= !mask;
            return Ok(Outcome::Done([found, 0, 0]));
        }
        if self.is_past(deadline) {
            return Ok(Outcome::Done([0; 3]));
        }
        let entry = self.store.get_mut(notification)?;
        if !entry.waiters.push_only(thread) {
            let mut list = entry.waiters;
            list.push_back(&mut self.store, Chain::Queue, thread)?;
            self.store.get_mut(notification)?.waiters = list;
        }
        self.block(thread, ThreadState::Waiting(notification, mask), deadline)?;
        Ok(Outcome::Blocked)
    }

    /// Whether a deadline has passed. Looks at the clock only if that can be.
    pub(crate) fn is_past(&self, deadline: u64) -> bool {
        match deadline {
            0 => true,
            FOREVER => false,
            _ => deadline <= self.platform.now(),
        }
    }

    /// The last capability is gone: nobody can signal it any more.
    pub(crate) fn destroy_notification(&mut self, frame: Frame) {
        while let Some(thread) = self
            .store
            .at::<Notification>(frame.0)
            .and_then(|entry| entry.waiters.head)
        {
            self.wake(thread, Err(Error::Gone), false);
        }
        self.store.free(frame);
    }
}
