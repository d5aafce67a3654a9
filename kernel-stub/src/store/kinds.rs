//! Which types may live in frames, and as what. The promises of [`Object`] and [`Zeroed`] in one place.

use super::{FrameKind, Object, Zeroed};
use crate::cap::CapTable;
use crate::object::{
    Budget, Device, Endpoint, Interrupt, MapTable, Memory, Notification, PageList, Process, Tcb,
    Thread,
};

macro_rules! objects {
    ($($name:ident),*) => {$(
        // SAFETY: the only type of its kind; `Store::create` asserts, when it is compiled, that it fits and has no
        // `Drop`; it holds numbers and `Ref`s only.
        unsafe impl Object for $name {
            const KIND: FrameKind = FrameKind::$name;
        }
    )*};
}

objects!(
    Budget,
    Memory,
    Process,
    Endpoint,
    Notification,
    Interrupt,
    Device,
    PageList,
    MapTable,
    CapTable
);

// SAFETY: a `repr(C)` prefix of `Thread`, which is the only other type of the kind.
unsafe impl Object for Tcb {
    const KIND: FrameKind = FrameKind::Thread;
}

// SAFETY: a store belongs to one kernel, which has one type of context; a context is the registers of a
// thread, saved: numbers. `Store::create` asserts size and `Drop`.
unsafe impl<C> Object for Thread<C> {
    const KIND: FrameKind = FrameKind::Thread;
}

// SAFETY: integers and arrays of integers only.
unsafe impl Zeroed for Memory {}
// SAFETY: an array of integers.
unsafe impl Zeroed for PageList {}
// SAFETY: integers and arrays of structures of integers only.
unsafe impl Zeroed for MapTable {}
// SAFETY: an array of structures of integers.
unsafe impl Zeroed for CapTable {}
