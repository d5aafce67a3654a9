//! What a thread found behind the slots that it names again and again: in its waits, which ring and acknowledge as well.
//! Touches nothing: it says what a look at the table would.
//!
//! What is in a slot changes only when the capability in it is deleted, so that one number says that nothing changed: how many
//! capabilities were deleted on this machine. Whatever deletes one (its holder, a revocation, the end of a process) makes every
//! memo worthless at once. What is noted are [`Ref`]s, which the store checks at each use as any others. Who deletes capabilities all the
//! time makes others look at their tables again, and nothing worse.

use crate::object::{Interrupt, Notification, Watch};
use crate::store::{Object, Ref};
use kernel_abi::Slot;
#[cfg(any(test, feature = "testing"))]
use kernel_abi::{Kind, Rights};

/// Capabilities to ring with that are kept in mind, in pairs: a server has some peers.
const PAIRS: usize = 4;

/// A slot, and what is behind it.
struct Entry<T> {
    /// NULL: nothing is noted.
    slot: u64,
    /// Of the capability.
    badge: u64,
    object: Ref<T>,
}

impl<T: Object> Entry<T> {
    const EMPTY: Entry<T> = Entry {
        slot: Slot::NULL.0 as u64,
        badge: 0,
        object: Ref::new(0, 0),
    };

    fn new(slot: u64, badge: u64, object: Ref<T>) -> Entry<T> {
        Entry {
            slot,
            badge,
            object,
        }
    }
}

/// The memo of a thread.
pub(crate) struct Memo {
    /// Capabilities deleted on this machine up to then.
    deleted: u64,
    /// To be waited for.
    wait: Entry<Notification>,
    acknowledge: Entry<Interrupt>,
    /// By the last bits of the slot, what was noted last before what was noted before: two peers whose slots end alike, and which are
    /// rung in turns, do not push each other out.
    rings: [[Entry<Notification>; 2]; PAIRS],
}

/// What a wait is about.
#[derive(Clone, Copy)]
pub(crate) struct Recalled {
    pub(crate) notification: Ref<Notification>,
    pub(crate) ring: Option<Watch>,
    pub(crate) acknowledge: Option<Ref<Interrupt>>,
}

impl Memo {
    pub(crate) const EMPTY: Memo = Memo {
        deleted: 0,
        wait: Entry::EMPTY,
        acknowledge: Entry::EMPTY,
        rings: [const { [Entry::EMPTY; 2] }; PAIRS],
    };

    /// All that a wait names. `None`: it has to be looked up.
    #[inline]
    pub(crate) fn wait(
        &self,
        deleted: u64,
        notification: u64,
        [ring, acknowledge]: [u64; 2],
    ) -> Option<Recalled> {
        let null = Slot::NULL.0 as u64;
        if self.deleted != deleted || self.wait.slot != notification || notification == null {
            return None;
        }
        let interrupt = match acknowledge == null {
            true => None,
            false if self.acknowledge.slot == acknowledge => Some(self.acknowledge.object),
            false => return None,
        };
        let ring = match ring == null {
            true => None,
            false => Some(self.ring_noted(ring, 0)?),
        };
        Some(Recalled {
            notification: self.wait.object,
            ring,
            acknowledge: interrupt,
        })
    }

    /// What a slot rings; `bits` are for a capability without a badge. `None`: it has to be looked up.
    #[inline]
    pub(crate) fn ring(&self, deleted: u64, slot: u64, bits: u64) -> Option<Watch> {
        if self.deleted != deleted || slot == Slot::NULL.0 as u64 {
            return None;
        }
        self.ring_noted(slot, bits)
    }

    #[inline]
    fn ring_noted(&self, slot: u64, bits: u64) -> Option<Watch> {
        let pair = self.rings.get(slot as usize % PAIRS)?;
        let entry = pair.iter().find(|entry| entry.slot == slot)?;
        Some(Watch {
            notification: entry.object,
            bits: if entry.badge != 0 { entry.badge } else { bits },
        })
    }

    /// Forgets what is out of date.
    fn renew(&mut self, deleted: u64) {
        if self.deleted != deleted {
            *self = Memo {
                deleted,
                ..Memo::EMPTY
            };
        }
    }

    /// Notes what a slot was found to be, with the right to wait.
    pub(crate) fn note_wait(&mut self, deleted: u64, slot: u64, object: Ref<Notification>) {
        self.renew(deleted);
        self.wait = Entry::new(slot, 0, object);
    }

    /// The same, with the right to acknowledge.
    pub(crate) fn note_acknowledge(&mut self, deleted: u64, slot: u64, object: Ref<Interrupt>) {
        self.renew(deleted);
        self.acknowledge = Entry::new(slot, 0, object);
    }

    /// The same, with the right to signal, and this badge.
    pub(crate) fn note_ring(
        &mut self,
        deleted: u64,
        slot: u64,
        object: Ref<Notification>,
        badge: u64,
    ) {
        self.renew(deleted);
        if let Some([last, before]) = self.rings.get_mut(slot as usize % PAIRS) {
            *before = core::mem::replace(last, Entry::new(slot, badge, object));
        }
    }

    /// What holds at present.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn noted(&self, deleted: u64) -> Vec<Noted> {
        fn note<T: Object>(entry: &Entry<T>, kind: Kind, rights: Rights) -> Noted {
            Noted {
                slot: entry.slot,
                kind,
                rights,
                object: (entry.object.frame(), entry.object.generation()),
                badge: entry.badge,
            }
        }
        let mut all = vec![
            note(&self.wait, Kind::Notification, Rights::WAIT),
            note(&self.acknowledge, Kind::Interrupt, Rights::MANAGE),
        ];
        let rings = self.rings.iter().flatten();
        all.extend(rings.map(|entry| note(entry, Kind::Notification, Rights::SIGNAL)));
        all.retain(|note| self.deleted == deleted && note.slot != Slot::NULL.0 as u64);
        all
    }
}

/// A slot, and what it was found to be.
#[cfg(any(test, feature = "testing"))]
pub(crate) struct Noted {
    pub(crate) slot: u64,
    pub(crate) kind: Kind,
    pub(crate) rights: Rights,
    /// Frame and generation.
    pub(crate) object: (u32, u32),
    /// Only of what rings.
    pub(crate) badge: u64,
}
