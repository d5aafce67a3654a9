//! System calls on processes and threads.

use super::cap::rights;
use super::{Caller, DONE, made};
use crate::cap::{CapRef, Grant, find};
use crate::kernel::{Kernel, Outcome};
use crate::object::{Budget, Process, Tcb, ThreadState};
use crate::platform::Platform;
use crate::process::priority;
use crate::store::Ref;
use kernel_abi::{
    CAP_SLOTS, CapRecord, Error, Kind, PRIORITIES, ProcessState, Rights, Slot, Words,
};

/// Most records that one call lists.
const MAX_RECORDS: u64 = 256;

impl<P: Platform> Kernel<P> {
    pub(super) fn process_create(
        &mut self,
        me: Caller,
        budget: u64,
        max_priority: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, budget, Kind::Budget, Rights::ALLOC)?;
        // Nobody can give more urgency than he has.
        if max_priority > self.store.get(me.process)?.max_priority as u64 {
            return Err(Error::BadArgument);
        }
        let process = self.create_process(found.object::<Budget>(), max_priority)?;
        self.adopt(me.process, process)?;
        let rights = Rights::READ | Rights::MANAGE | Rights::GRANT;
        self.hand_over(me.process, Grant::new(Kind::Process, rights, process))
            .map(made)
    }

    pub(super) fn process_grant(
        &mut self,
        me: Caller,
        process: u64,
        slot: u64,
        [index, bits, badge]: [u64; 3],
    ) -> Result<Outcome, Error> {
        let target = self.own(me, process, Kind::Process, Rights::MANAGE)?;
        let found = find(&self.store, me.process, slot)?;
        if !found.rights.contains(Rights::GRANT) {
            return Err(Error::NoRights);
        }
        let grant = Grant::derived(&found, rights(bits)?, badge)?;
        let index = u16::try_from(index).map_err(|_| Error::BadArgument)?;
        self.insert(target.object(), index, grant).map(made)
    }

    pub(super) fn process_kill(
        &mut self,
        me: Caller,
        process: u64,
        code: u64,
    ) -> Result<Outcome, Error> {
        let target = self.own(me, process, Kind::Process, Rights::MANAGE)?;
        let target = target.object::<Process>();
        if !self.store.get(target)?.is_alive() {
            return Err(Error::BadState);
        }
        self.end_process(target, ProcessState::Killed(code));
        Ok(DONE)
    }

    pub(super) fn process_exit(&mut self, me: Caller, code: u64) -> Result<Outcome, Error> {
        self.end_process(me.process, ProcessState::Exited(code));
        Ok(DONE)
    }

    pub(super) fn process_watch(
        &mut self,
        me: Caller,
        process: u64,
        notification: u64,
        bits: u64,
    ) -> Result<Outcome, Error> {
        let target = self.own(me, process, Kind::Process, Rights::READ)?;
        let watch = self.watch(me, notification, bits)?;
        self.watch_process(target.object(), watch)?;
        Ok(DONE)
    }

    pub(super) fn process_get_status(
        &mut self,
        me: Caller,
        process: u64,
        to: u64,
    ) -> Result<Outcome, Error> {
        let target = self.own(me, process, Kind::Process, Rights::READ)?;
        let status = self.process_status(target.object())?;
        self.words_to_user(self.sched.root(), to, &status.to_words())?;
        Ok(DONE)
    }

    pub(super) fn process_caps(
        &mut self,
        me: Caller,
        process: u64,
        from: u64,
        to: u64,
        room: u64,
    ) -> Result<Outcome, Error> {
        let target = self.own(me, process, Kind::Process, Rights::READ)?;
        let target = target.object::<Process>();
        let root = self.sched.root();
        let (mut written, mut address) = (0, to);
        let mut index = usize::try_from(from).unwrap_or(CAP_SLOTS).min(CAP_SLOTS);
        while index < CAP_SLOTS {
            let Some(record) = self.cap_record(target, index)? else {
                index += 1;
                continue;
            };
            if written == room.min(MAX_RECORDS) {
                return Ok(Outcome::Done([written, index as u64, 0]));
            }
            self.words_to_user(root, address, &record.to_words())?;
            address = address.saturating_add(32);
            written += 1;
            index += 1;
        }
        Ok(Outcome::Done([written, 0, 0]))
    }

    fn cap_record(&self, process: Ref<Process>, index: usize) -> Result<Option<CapRecord>, Error> {
        let owner = self.store.get(process)?;
        let table = owner.tables.get(index / 64).copied().unwrap_or(0);
        let at = CapRef::new(table, (index % 64) as u16);
        let Some(cap) = at.get(&self.store) else {
            return Ok(None);
        };
        Ok(cap.kind().map(|kind| CapRecord {
            slot: Slot::new(index as u16, cap.generation),
            kind,
            rights: cap.rights(),
            badge: cap.badge,
            object: cap.frame as u64,
        }))
    }

    pub(super) fn thread_create(
        &mut self,
        me: Caller,
        process: u64,
        start: [u64; 4],
    ) -> Result<Outcome, Error> {
        let target = self.process_or_self(me, process)?;
        let thread = self.create_thread(target, start)?;
        let rights = Rights::MANAGE | Rights::READ | Rights::GRANT;
        let grant = Grant::new(Kind::Thread, rights, thread);
        let slot = self.hand_over(me.process, grant)?;
        self.start_thread(thread)?;
        Ok(made(slot))
    }

    pub(super) fn thread_priority(
        &mut self,
        me: Caller,
        thread: u64,
        number: u64,
    ) -> Result<Outcome, Error> {
        let target = self.managed_thread(me, thread)?;
        let process = self.store.get(target)?.process;
        let most = self.store.get(process)?.max_priority;
        self.set_priority(target, priority(number, most)?)?;
        Ok(DONE)
    }

    pub(super) fn thread_patience(
        &mut self,
        me: Caller,
        thread: u64,
        number: u64,
    ) -> Result<Outcome, Error> {
        let target = self.managed_thread(me, thread)?;
        let urgent = self.store.get(target)?.urgent;
        self.set_priorities(target, urgent, priority(number, PRIORITIES - 1)?)?;
        Ok(DONE)
    }

    /// A thread that has not ended, which the caller may change.
    fn managed_thread(&self, me: Caller, thread: u64) -> Result<Ref<Tcb>, Error> {
        let found = self.own(me, thread, Kind::Thread, Rights::MANAGE)?;
        let target = found.object::<Tcb>();
        match self.store.get(target)?.state {
            ThreadState::Dead => Err(Error::BadState),
            _ => Ok(target),
        }
    }
}
