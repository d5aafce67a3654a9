//! Notifications: signalling and waiting. Touches notifications and the threads that wait for them.
#![forbid(unsafe_code)]

use crate::kernel::{Kernel, Outcome, set_result};
use crate::object::{Chain, Notification, Tcb, Thread, ThreadList, ThreadState, Watch};
use crate::phys::Frame;
use crate::platform::Platform;
use crate::store::Ref;
use kernel_abi::Error;

impl<P: Platform> Kernel<P> {
    /// Sets bits, and wakes the waiters that they are for, the longest waiting first.
    #[inline(never)]
    pub(crate) fn signal(
        &mut self,
        notification: Ref<Notification>,
        bits: u64,
    ) -> Result<(), Error> {
        self.signal_here(notification, bits)
    }

    /// [`Kernel::signal`] as part of its caller: for the one on the data path.
    #[inline(always)]
    pub(crate) fn signal_here(
        &mut self,
        notification: Ref<Notification>,
        bits: u64,
    ) -> Result<(), Error> {
        let (entry, mut others) = self.store.split(notification)?;
        entry.bits |= bits;
        let Some(thread) = entry.waiters.head else {
            return Ok(());
        };
        // One waiter is nearly always all there is, so it takes no general way through the lists.
        if entry.waiters.tail != Some(thread) {
            return self.signal_each(notification);
        }
        let woken = others.get_mut::<Thread<P::Context>>(thread.cast())?;
        let ThreadState::Waiting(_, mask) = woken.tcb.state else {
            return Ok(());
        };
        let found = entry.bits & mask;
        if found == 0 {
            return Ok(());
        }
        entry.bits ^= found;
        entry.waiters.clear();
        woken.tcb.state = ThreadState::Ready;
        set_result(&mut woken.context, Ok([found, 0, 0]));
        let priority = woken.tcb.priority;
        self.sched
            .make_ready(&mut self.store, thread, priority, false)
    }

    #[cold]
    #[inline(never)]
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
    #[inline(never)]
    pub(crate) fn wait(
        &mut self,
        thread: Ref<Tcb>,
        notification: Ref<Notification>,
        mask: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        self.wait_here(thread, notification, mask, deadline)
    }

    /// [`Kernel::wait`] as part of its caller.
    #[inline(always)]
    pub(crate) fn wait_here(
        &mut self,
        thread: Ref<Tcb>,
        notification: Ref<Notification>,
        mask: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let (entry, mut others) = self.store.split(notification)?;
        let found = entry.bits & mask;
        if found != 0 {
            entry.bits ^= found;
            return Ok(Outcome::Done([found, 0, 0]));
        }
        let now = match deadline {
            0 => return Ok(Outcome::Done([0; 3])),
            _ => self.platform.now(),
        };
        if deadline <= now {
            return Ok(Outcome::Done([0; 3]));
        }
        if !entry.waiters.push_only(thread) {
            self.wait_behind(thread, notification)?;
            self.block(
                thread,
                ThreadState::Waiting(notification, mask),
                deadline,
                now,
            )?;
            return Ok(Outcome::Blocked);
        }
        let tcb = others.get_mut(thread)?;
        self.sched.stop(tcb, now);
        if !tcb.begin_wait(ThreadState::Waiting(notification, mask), deadline) {
            self.deadlines.arm(&mut self.store, thread)?;
        }
        Ok(Outcome::Blocked)
    }

    /// Puts a thread behind the others that wait.
    #[cold]
    #[inline(never)]
    fn wait_behind(
        &mut self,
        thread: Ref<Tcb>,
        notification: Ref<Notification>,
    ) -> Result<(), Error> {
        let mut list = self.store.get(notification)?.waiters;
        list.push_back(&mut self.store, Chain::Queue, thread)?;
        self.store.get_mut(notification)?.waiters = list;
        Ok(())
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
