//! Which interrupt object owns which vector of the processor. No hardware is touched here.
#![forbid(unsafe_code)]

use crate::object::Interrupt;
use crate::store::Ref;
use core::ops::Range;

const COUNT: usize = 256;

/// Owners of the processor's vectors.
pub(crate) struct Vectors {
    usable: Range<u8>,
    owners: [Option<Ref<Interrupt>>; COUNT],
}

impl Vectors {
    pub(crate) fn new(usable: Range<u8>) -> Vectors {
        Vectors {
            usable,
            owners: [None; COUNT],
        }
    }

    /// A vector without an owner.
    pub(crate) fn find_free(&self) -> Option<u8> {
        let mut usable = self.usable.clone();
        usable.find(|vector| self.owner(*vector).is_none())
    }

    pub(crate) fn owner(&self, vector: u8) -> Option<Ref<Interrupt>> {
        *self.owners.get(vector as usize)?
    }

    pub(crate) fn set_owner(&mut self, vector: u8, owner: Option<Ref<Interrupt>>) {
        if let Some(place) = self.owners.get_mut(vector as usize) {
            *place = owner;
        }
    }
}
