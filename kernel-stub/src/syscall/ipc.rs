//! System calls on endpoints and notifications.

use super::{Caller, DONE, made};
use crate::cap::Grant;
use crate::kernel::{Kernel, Outcome};
use crate::object::{Budget, Endpoint, Notification, ThreadList};
use crate::platform::Platform;
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
        let calls_wait = entry.callers.len > 0;
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
        let watch = self.watch(me, notification, bits)?;
        self.signal(watch.notification, watch.bits)?;
        Ok(DONE)
    }

    pub(super) fn notification_wait(
        &mut self,
        me: Caller,
        notification: u64,
        mask: u64,
        deadline: u64,
        [ring, acknowledge]: [u64; 2],
    ) -> Result<Outcome, Error> {
        let found = self.own(me, notification, Kind::Notification, Rights::WAIT)?;
        if acknowledge != Slot::NULL.0 as u64 {
            self.interrupt_ack(me, acknowledge)?;
        }
        if ring != Slot::NULL.0 as u64 {
            self.notification_signal(me, ring, 0)?;
        }
        self.wait(me.thread, found.object(), mask, deadline)
    }
}
