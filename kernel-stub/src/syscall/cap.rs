//! System calls on capabilities and budgets.

use super::{Caller, DONE, made};
use crate::cap::{CapRef, Grant, find};
use crate::kernel::{Kernel, Outcome};
use crate::object::Budget;
use crate::platform::Platform;
use kernel_abi::{Error, Kind, Rights};

/// Rights of a number; bits without a meaning are an error.
pub(super) fn rights(bits: u64) -> Result<Rights, Error> {
    let bits = u32::try_from(bits).map_err(|_| Error::BadArgument)?;
    Rights::from_bits(bits).ok_or(Error::BadArgument)
}

impl<P: Platform> Kernel<P> {
    pub(super) fn cap_derive(
        &mut self,
        me: Caller,
        slot: u64,
        bits: u64,
        badge: u64,
    ) -> Result<Outcome, Error> {
        let found = find(&self.store, me.process, slot)?;
        let grant = Grant::derived(&found, rights(bits)?, badge)?;
        self.insert(me.process, 0, grant).map(made)
    }

    pub(super) fn cap_delete(&mut self, me: Caller, slot: u64) -> Result<Outcome, Error> {
        let found = find(&self.store, me.process, slot)?;
        self.delete(found.at);
        Ok(DONE)
    }

    pub(super) fn cap_revoke(&mut self, me: Caller, slot: u64) -> Result<Outcome, Error> {
        let found = find(&self.store, me.process, slot)?;
        self.revoke(found.at);
        Ok(DONE)
    }

    pub(super) fn cap_info(&mut self, me: Caller, slot: u64) -> Result<Outcome, Error> {
        let found = find(&self.store, me.process, slot)?;
        let entry = found.at.get(&self.store).ok_or(Error::BadSlot)?;
        let has_children = entry.child != CapRef::NONE;
        let kind =
            found.kind as u64 | (found.rights.bits() as u64) << 8 | (has_children as u64) << 32;
        Ok(Outcome::Done([kind, found.badge, entry.frame as u64]))
    }

    pub(super) fn cap_watch(
        &mut self,
        me: Caller,
        slot: u64,
        notification: u64,
        bits: u64,
    ) -> Result<Outcome, Error> {
        let found = find(&self.store, me.process, slot)?;
        let watch = self.optional_watch(me, notification, bits)?;
        self.watch_cap(found.at, watch)?;
        Ok(DONE)
    }

    pub(super) fn budget_create(
        &mut self,
        me: Caller,
        slot: u64,
        frames: u64,
    ) -> Result<Outcome, Error> {
        let found = self.own(me, slot, Kind::Budget, Rights::ALLOC)?;
        let parent = found.object::<Budget>();
        let entry = self.store.get(parent)?;
        // One more frame holds the new budget itself.
        if frames >= entry.limit.saturating_sub(entry.used) {
            return Err(Error::NoBudget);
        }
        if frames == 0 {
            return Err(Error::BadArgument);
        }
        let child = Budget {
            parent: Some(parent),
            limit: frames,
            used: 0,
        };
        let child = self.store.create(Some(parent), child)?;
        self.store.get_mut(parent)?.used += frames;
        let rights = Rights::ALLOC | Rights::READ | Rights::GRANT | Rights::MANAGE;
        self.hand_over(me.process, Grant::new(Kind::Budget, rights, child))
            .map(made)
    }

    pub(super) fn budget_info(&mut self, me: Caller, slot: u64) -> Result<Outcome, Error> {
        let found = self.own(me, slot, Kind::Budget, Rights::empty())?;
        let entry = self.store.get(found.object::<Budget>())?;
        Ok(Outcome::Done([entry.limit, entry.used, 0]))
    }
}
