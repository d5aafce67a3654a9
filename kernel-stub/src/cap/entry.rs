//! The entry of a capability table: 64 bytes, 64 in a frame. Data only.

use crate::object::{Notification, Watch};
use crate::store::{Ref, Store};
use kernel_abi::{Kind, Rights};

/// Where a capability is: frame of the table and index in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(crate) struct CapRef(pub(crate) u32);

impl CapRef {
    /// No capability.
    pub(crate) const NONE: CapRef = CapRef(0);

    /// Entry `index` (below 64) of the table in a frame (below 2^26: `store` hands out no other).
    pub(crate) const fn new(frame: u32, index: u16) -> CapRef {
        CapRef(frame << 6 | (index as u32 & 63))
    }

    const fn frame(self) -> u32 {
        self.0 >> 6
    }

    const fn index(self) -> usize {
        (self.0 & 63) as usize
    }

    /// The entry; `None` if there is no table.
    pub(crate) fn get(self, store: &Store) -> Option<&Cap> {
        store.at::<CapTable>(self.frame())?.0.get(self.index())
    }

    /// The entry, to be changed.
    pub(crate) fn get_mut(self, store: &mut Store) -> Option<&mut Cap> {
        store
            .at_mut::<CapTable>(self.frame())?
            .0
            .get_mut(self.index())
    }
}

/// A capability. All zero (but for the generation): an empty slot.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Cap {
    /// [`Kind`], zero if empty.
    pub(crate) kind: u8,
    has_watch: u8,
    /// Of the slot: how often it was emptied.
    pub(crate) generation: u16,
    /// [`Rights`] bits.
    pub(crate) rights: u32,
    pub(crate) badge: u64,
    /// Frame of the object, zero for singletons.
    pub(crate) frame: u32,
    pub(crate) object_generation: u32,
    pub(crate) parent: CapRef,
    /// First of those derived from it.
    pub(crate) child: CapRef,
    pub(crate) next: CapRef,
    pub(crate) prev: CapRef,
    watch_frame: u32,
    watch_generation: u32,
    watch_bits: u64,
    /// Frame of the process.
    pub(crate) owner: u32,
    /// Slot in the process's table.
    pub(crate) slot: u16,
    /// Mappings in the process that stand on it.
    pub(crate) mappings: u16,
}

const _: () = assert!(size_of::<Cap>() == 64);

impl Cap {
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::from_number(self.kind as u64)
    }

    pub(crate) fn rights(&self) -> Rights {
        Rights::from_bits_truncate(self.rights)
    }

    pub(crate) fn watch(&self) -> Option<Watch> {
        (self.has_watch != 0).then_some(Watch {
            notification: Ref::<Notification>::new(self.watch_frame, self.watch_generation),
            bits: self.watch_bits,
        })
    }

    pub(crate) fn set_watch(&mut self, watch: Option<Watch>) {
        self.has_watch = watch.is_some() as u8;
        if let Some(watch) = watch {
            self.watch_frame = watch.notification.frame();
            self.watch_generation = watch.notification.generation();
            self.watch_bits = watch.bits;
        }
    }

    /// Notes the way down to another capability, in the place of the watch. Only in a capability that is about to go.
    pub(crate) fn set_trail(&mut self, down: CapRef) {
        self.has_watch = 0;
        self.watch_frame = down.0;
    }

    /// The way down.
    pub(crate) fn trail(&self) -> CapRef {
        CapRef(self.watch_frame)
    }

    /// What an emptied slot holds.
    pub(crate) fn emptied(&self) -> Cap {
        Cap {
            kind: 0,
            has_watch: 0,
            generation: self.generation.wrapping_add(1),
            rights: 0,
            badge: 0,
            frame: 0,
            object_generation: 0,
            parent: CapRef::NONE,
            child: CapRef::NONE,
            next: CapRef::NONE,
            prev: CapRef::NONE,
            watch_frame: 0,
            watch_generation: 0,
            watch_bits: 0,
            owner: 0,
            slot: 0,
            mappings: 0,
        }
    }
}

/// A frame of capabilities.
pub(crate) struct CapTable(pub(crate) [Cap; 64]);
