//! System calls on endpoints and notifications.

use super::{Caller, DONE, made};
use crate::cap::{Grant, Recalled};
use crate::kernel::{Kernel, Outcome};
use crate::object::{Budget, Endpoint, Notification, Tcb, ThreadList, Watch};
use crate::platform::Platform;
use crate::store::Ref;
use kernel_abi::{Error, Kind, Rights, Slot};

impl<P: Platform> Kernel<P> {
    pub(super) fn endpoint_create(&mut self, me: Caller, budget: u64) -> Result<Outcome, Error> {
        let found = self.own(me, budget, Kind::Budget, Rights::ALLOC)?;
        let endpoint = Endpoint {
            callers: ThreadList::EMPTY,
            receivers: ThreadList::EMPTY,
            served: ThreadList::EMPTY,
            receive_caps: 0,
            bound: None,
        };
        let endpoint = self
            .store
            .create(Some(found.object::<Budget>()), endpoint)?;
        let rights = Rights::CALL | Rights::RECV | Rights::GRANT | Rights::MANAGE;
        self.hand_over(me.process, Grant::new(Kind::Endpoint, rights, endpoint))
            .map(made)
    }

    pub(super) fn endpoint_call(
        &mut self,
        me: Caller,
        endpoint: u64,
        message: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, endpoint, Kind::Endpoint, Rights::CALL)?;
        self.call(me.thread, found.object(), found.badge, message, deadline)
    }

    pub(super) fn endpoint_recv(
        &mut self,
        me: Caller,
        endpoint: u64,
        message: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, endpoint, Kind::Endpoint, Rights::RECV)?;
        self.receive(me.thread, found.object(), message, deadline)
    }

    pub(super) fn endpoint_reply(
        &mut self,
        me: Caller,
        endpoint: u64,
        token: u64,
        message: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, endpoint, Kind::Endpoint, Rights::RECV)?;
        self.reply(me.thread, found.object(), token, message)?;
        Ok(DONE)
    }

    pub(super) fn endpoint_bind(
        &mut self,
        me: Caller,
        endpoint: u64,
        notification: u64,
        bits: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, endpoint, Kind::Endpoint, Rights::RECV)?;
        let watch = self.optional_watch(me, notification, bits)?;
        let entry = self.store.get_mut(found.object::<Endpoint>())?;
        entry.bound = watch;
        let calls_wait = !entry.callers.is_empty();
        if let Some(watch) = watch.filter(|_| calls_wait) {
            self.signal_watch(watch);
        }
        Ok(DONE)
    }

    pub(super) fn notification_create(
        &mut self,
        me: Caller,
        budget: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, budget, Kind::Budget, Rights::ALLOC)?;
        let notification = Notification {
            bits: 0,
            waiters: ThreadList::EMPTY,
        };
        let notification = self
            .store
            .create(Some(found.object::<Budget>()), notification)?;
        let rights = Rights::SIGNAL | Rights::WAIT | Rights::GRANT;
        let grant = Grant::new(Kind::Notification, rights, notification);
        self.hand_over(me.process, grant).map(made)
    }

    pub(super) fn notification_signal(
        &mut self,
        me: Caller,
        notification: u64,
        bits: u64,
    ) -> Result<Outcome, Error> {
        let memo = &self.store.get(me.thread)?.memo;
        let watch = match memo.ring(self.deleted, notification, bits) {
            Some(watch) => watch,
            None => self.look_up_ring(me, notification, bits)?,
        };
        self.signal(watch.notification, watch.bits)?;
        Ok(DONE)
    }

    fn look_up_ring(&mut self, me: Caller, slot: u64, bits: u64) -> Result<Watch, Error> {
        let found = self.own(me, slot, Kind::Notification, Rights::SIGNAL)?;
        let memo = &mut self.store.get_mut(me.thread)?.memo;
        memo.note_ring(self.deleted, slot, found.object(), found.badge);
        self.watch(me, slot, bits)
    }

    /// A wait whose capabilities have to be looked up.
    pub(super) fn notification_wait(
        &mut self,
        me: Caller,
        notification: u64,
        mask: u64,
        deadline: u64,
        [ring, acknowledge]: [u64; 2],
    ) -> Result<Outcome, Error> {
        let null = Slot::NULL.0 as u64;
        let found = self.own(me, notification, Kind::Notification, Rights::WAIT)?;
        let memo = &mut self.store.get_mut(me.thread)?.memo;
        memo.note_wait(self.deleted, notification, found.object());
        if acknowledge != null {
            let found = self.own(me, acknowledge, Kind::Interrupt, Rights::MANAGE)?;
            let memo = &mut self.store.get_mut(me.thread)?.memo;
            memo.note_acknowledge(self.deleted, acknowledge, found.object());
            self.acknowledge(found.object())?;
        }
        if ring != null {
            self.notification_signal(me, ring, 0)?;
        }
        self.wait(me.thread, found.object(), mask, deadline)
    }

    /// A wait whose capabilities were looked up before.
    #[inline(always)]
    pub(crate) fn wait_as_before(
        &mut self,
        thread: Ref<Tcb>,
        known: Recalled,
        mask: u64,
        deadline: u64,
    ) -> Result<Outcome, Error> {
        if let Some(interrupt) = known.acknowledge {
            self.acknowledge(interrupt)?;
        }
        if let Some(watch) = known.ring {
            self.signal_here(watch.notification, watch.bits)?;
        }
        self.wait_here(thread, known.notification, mask, deadline)
    }
}
