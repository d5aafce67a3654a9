//! Capabilities: entries of capability tables, linked into trees of derivation. Touches
//! tables and trees only; what the objects do when a capability goes is in `tree`.
#![forbid(unsafe_code)]

mod entry;
mod memo;
mod tree;

use crate::kernel::Kernel;
use crate::object::{Process, TABLES, Watch};
use crate::platform::Platform;
use crate::store::{Object, Ref, Store};
pub(crate) use entry::{Cap, CapRef, CapTable};
use kernel_abi::{CAP_SLOTS, Error, Kind, Rights, Slot};
pub(crate) use memo::{Memo, Recalled};
#[cfg(test)]
pub(crate) use tree::take_links;

/// What a lookup found: a copy of the entry, and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub(crate) at: CapRef,
    pub(crate) rights: Rights,
    pub(crate) badge: u64,
    pub(crate) kind: Kind,
    frame: u32,
    generation: u32,
}

impl Found {
    /// The object, taken as a `T`; the store checks whether it is one.
    pub(crate) fn object<T: Object>(&self) -> Ref<T> {
        Ref::new(self.frame, self.generation)
    }
}

/// What a new capability shall be.
#[derive(Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) kind: Kind,
    pub(crate) rights: Rights,
    pub(crate) badge: u64,
    pub(crate) frame: u32,
    pub(crate) generation: u32,
    /// Derived from.
    pub(crate) parent: CapRef,
}

impl Grant {
    /// A first capability to an object.
    pub(crate) fn new<T>(kind: Kind, rights: Rights, object: Ref<T>) -> Grant {
        Grant {
            kind,
            rights,
            badge: 0,
            frame: object.frame(),
            generation: object.generation(),
            parent: CapRef::NONE,
        }
    }

    /// To a thing of which there is one, and which is no object in a frame.
    pub(crate) fn to_singleton(kind: Kind, rights: Rights) -> Grant {
        Grant {
            kind,
            rights,
            badge: 0,
            frame: 0,
            generation: 0,
            parent: CapRef::NONE,
        }
    }

    /// Derived from another: rights can only go, a badge can be set once.
    pub(crate) fn derived(from: &Found, rights: Rights, badge: u64) -> Result<Grant, Error> {
        let badge = match (badge, from.badge) {
            (0, old) => old,
            (_, 0) => match from.kind {
                Kind::Endpoint | Kind::Notification | Kind::Console => badge,
                _ => return Err(Error::BadArgument),
            },
            _ => return Err(Error::Refused),
        };
        Ok(Grant {
            kind: from.kind,
            rights: from.rights & rights,
            badge,
            frame: from.frame,
            generation: from.generation,
            parent: from.at,
        })
    }
}

/// The entry at a slot of a process, and where it is.
fn entry(store: &Store, process: Ref<Process>, slot: u64) -> Result<(CapRef, &Cap), Error> {
    let slot = Slot(u32::try_from(slot).map_err(|_| Error::BadSlot)?);
    let (table, index) = (slot.index() as usize / 64, slot.index() % 64);
    let tables = &store.get(process)?.tables;
    let frame = *tables.get(table).ok_or(Error::BadSlot)?;
    let at = CapRef::new(frame, index);
    let cap = at.get(store).ok_or(Error::BadSlot)?;
    match cap.kind {
        0 => Err(Error::BadSlot),
        _ if cap.generation != slot.generation() => Err(Error::BadSlot),
        _ => Ok((at, cap)),
    }
}

/// The capability in a slot, whatever its kind.
pub(crate) fn find(store: &Store, process: Ref<Process>, slot: u64) -> Result<Found, Error> {
    let (at, cap) = entry(store, process, slot)?;
    Ok(Found {
        at,
        rights: cap.rights(),
        badge: cap.badge,
        kind: cap.kind().ok_or(Error::BadSlot)?,
        frame: cap.frame,
        generation: cap.object_generation,
    })
}

/// The capability in a slot: the only way from a number to an object.
pub(crate) fn lookup(
    store: &Store,
    process: Ref<Process>,
    slot: u64,
    kind: Kind,
    rights: Rights,
) -> Result<Found, Error> {
    let (at, cap) = entry(store, process, slot)?;
    if cap.kind != kind as u8 {
        return Err(Error::WrongKind);
    }
    if cap.rights & rights.bits() != rights.bits() {
        return Err(Error::NoRights);
    }
    Ok(Found {
        at,
        rights: cap.rights(),
        badge: cap.badge,
        kind,
        frame: cap.frame,
        generation: cap.object_generation,
    })
}

impl<P: Platform> Kernel<P> {
    /// Puts a capability into a process's table: at `index`, or at any free one for 0.
    ///
    /// Errors: `Busy` if the index is taken, `TableFull`, `NoBudget` for a frame of the table.
    pub(crate) fn insert(
        &mut self,
        process: Ref<Process>,
        index: u16,
        grant: Grant,
    ) -> Result<Slot, Error> {
        let owner = self.store.get(process)?;
        if !owner.is_alive() {
            return Err(Error::BadState);
        }
        let index = match index {
            0 => free_slot(owner).ok_or(Error::TableFull)?,
            _ if index as usize >= CAP_SLOTS => return Err(Error::BadArgument),
            _ => index,
        };
        let (table, bit) = (index as usize / 64, index % 64);
        let word = *owner.used.get(table).ok_or(Error::BadArgument)?;
        if word & 1 << bit != 0 {
            return Err(Error::Busy);
        }
        let frame = match owner.tables.get(table) {
            Some(0) | None => {
                let budget = owner.budget;
                let frame = self.store.create_zeroed::<CapTable>(Some(budget))?.frame();
                if let Some(place) = self.store.get_mut(process)?.tables.get_mut(table) {
                    *place = frame;
                }
                frame
            }
            Some(frame) => *frame,
        };
        let at = CapRef::new(frame, bit);
        self.put(process, at, index, grant)?;
        let owner = self.store.get_mut(process)?;
        owner.caps += 1;
        if let Some(word) = owner.used.get_mut(table) {
            *word |= 1 << bit;
        }
        let generation = at.get(&self.store).map_or(0, |cap| cap.generation);
        Ok(Slot::new(index, generation))
    }

    /// Gives a process the first capability to a new object. If that fails, the object goes, too.
    pub(crate) fn hand_over(&mut self, process: Ref<Process>, grant: Grant) -> Result<Slot, Error> {
        // Held, so that letting go destroys it if nobody else holds it.
        self.store.retain(grant.frame);
        let slot = self.insert(process, 0, grant);
        self.store.release(grant.frame);
        slot
    }

    /// Watches for the end of everything derived from a capability; `None` ends the watch.
    pub(crate) fn watch_cap(&mut self, at: CapRef, watch: Option<Watch>) -> Result<(), Error> {
        let cap = at.get_mut(&mut self.store).ok_or(Error::BadSlot)?;
        cap.set_watch(watch);
        if cap.child == CapRef::NONE
            && let Some(watch) = watch
        {
            self.signal_watch(watch);
        }
        Ok(())
    }
}

/// A free slot. From the top of each frame downwards, because explicit places are asked for at the bottom.
fn free_slot(owner: &Process) -> Option<u16> {
    let (table, word) = owner
        .used
        .iter()
        .enumerate()
        .take(TABLES)
        .find(|(_, word)| **word != u64::MAX)?;
    let bit = 63 - (!word).leading_zeros();
    u16::try_from(table * 64 + bit as usize).ok()
}
