//! The derivation tree: putting a capability in, deleting, revoking. Everything is iterative, and bounded by the number of
//! capabilities concerned.

use super::{Cap, CapRef, Grant};
use crate::kernel::Kernel;
use crate::object::{Endpoint, Process};
use crate::phys::Frame;
use crate::platform::Platform;
use crate::store::{FrameKind, Ref, Store};
use kernel_abi::{Error, Kind, Rights};

/// Whether a capability counts as a reference to its object. A process does not keep itself alive.
fn counts(cap: &Cap) -> bool {
    cap.frame != 0 && !(cap.kind == Kind::Process as u8 && cap.frame == cap.owner)
}

fn may_receive(cap: &Cap) -> bool {
    cap.kind == Kind::Endpoint as u8 && cap.rights().contains(Rights::RECV)
}

#[cfg(test)]
std::thread_local! {
    /// Calls of [`link`]: what handing up costs.
    static LINKS: core::cell::Cell<u32> = const { core::cell::Cell::new(0) };
}

/// How many capabilities were linked since the last call.
#[cfg(test)]
pub(crate) fn take_links() -> u32 {
    LINKS.take()
}

/// Makes `at` the first child of `parent`, or a root.
fn link(store: &mut Store, at: CapRef, parent: CapRef) {
    #[cfg(test)]
    LINKS.set(LINKS.get() + 1);
    let next = match parent.get_mut(store) {
        Some(cap) => core::mem::replace(&mut cap.child, at),
        None => CapRef::NONE,
    };
    if let Some(cap) = next.get_mut(store) {
        cap.prev = at;
    }
    if let Some(cap) = at.get_mut(store) {
        cap.parent = parent;
        cap.next = next;
        cap.prev = CapRef::NONE;
    }
}

/// Takes `at` out from among its siblings.
fn unlink(store: &mut Store, at: CapRef) {
    let Some((parent, prev, next)) = at.get(store).map(|cap| (cap.parent, cap.prev, cap.next))
    else {
        return;
    };
    match prev.get_mut(store) {
        Some(cap) => cap.next = next,
        None => {
            if let Some(cap) = parent.get_mut(store) {
                cap.child = next;
            }
        }
    }
    if let Some(cap) = next.get_mut(store) {
        cap.prev = prev;
    }
}

impl<P: Platform> Kernel<P> {
    /// Fills the empty entry `at`, slot `slot` of `owner`.
    pub(super) fn put(
        &mut self,
        owner: Ref<Process>,
        at: CapRef,
        slot: u16,
        grant: Grant,
    ) -> Result<(), Error> {
        let cap = at.get_mut(&mut self.store).ok_or(Error::TableFull)?;
        cap.kind = grant.kind as u8;
        cap.rights = grant.rights.bits();
        cap.badge = grant.badge;
        cap.frame = grant.frame;
        cap.object_generation = grant.generation;
        cap.child = CapRef::NONE;
        cap.owner = owner.frame();
        cap.slot = slot;
        cap.mappings = 0;
        cap.set_watch(None);
        let cap = *cap;
        link(&mut self.store, at, grant.parent);
        if counts(&cap) {
            self.store.retain(cap.frame);
        }
        if may_receive(&cap)
            && let Some(endpoint) = self.store.at_mut::<Endpoint>(cap.frame)
        {
            endpoint.receive_caps += 1;
        }
        Ok(())
    }

    /// Empties a slot. Children pass to the parent; the object may die of it (at [`Kernel::reap`]).
    pub(crate) fn delete(&mut self, at: CapRef) {
        let Some(cap) = at.get(&self.store).copied().filter(|cap| cap.kind != 0) else {
            return;
        };
        if cap.mappings > 0
            && let Some(process) = self.store.live::<Process>(cap.owner)
        {
            self.unmap_cap(process, at);
        }
        self.hand_children_up(at, cap);
        unlink(&mut self.store, at);
        if let Some(entry) = at.get_mut(&mut self.store) {
            *entry = cap.emptied();
        }
        // Nothing that anybody remembers of a slot counts any more.
        self.deleted += 1;
        if let Some(owner) = self.store.at_mut::<Process>(cap.owner) {
            owner.caps -= 1;
            if let Some(word) = owner.used.get_mut(cap.slot as usize / 64) {
                *word &= !(1 << (cap.slot % 64));
            }
        }
        if cap.kind == Kind::Clock as u8
            && let Some(owner) = self.store.live(cap.owner)
        {
            self.must(|k| k.let_count(owner, false));
        }
        let bereft = cap
            .parent
            .get(&self.store)
            .filter(|parent| parent.child == CapRef::NONE);
        if let Some(watch) = bereft.and_then(Cap::watch) {
            self.signal_watch(watch);
        }
        if may_receive(&cap)
            && let Some(endpoint) = self.store.live::<Endpoint>(cap.frame)
        {
            self.receiver_gone(endpoint, cap.owner);
        }
        if counts(&cap) {
            self.store.release(cap.frame);
        }
    }

    /// Empties a slot of a process that ended, after those of its slots from which this capability was derived directly
    /// or not. So nothing is handed up from one capability to another that goes as well: each is handed up once at
    /// most, and the work grows with the number of capabilities and not with its square.
    pub(crate) fn delete_from_the_top(&mut self, at: CapRef) {
        let Some(owner) = at.get(&self.store).map(|cap| cap.owner) else {
            return;
        };
        let mut here = at;
        while let Some(parent) = here.get(&self.store).map(|cap| cap.parent)
            && let Some(entry) = parent.get_mut(&mut self.store)
            && entry.owner == owner
        {
            entry.set_trail(here);
            here = parent;
        }
        while here != at {
            let next = here.get(&self.store).map_or(at, Cap::trail);
            self.delete(here);
            here = next;
        }
        self.delete(at);
    }

    /// Children of a capability that goes become children of its parent, or roots if it has none.
    fn hand_children_up(&mut self, at: CapRef, cap: Cap) {
        let mut next = cap.child;
        while let Some(child) = next.get(&self.store).copied() {
            let this = core::mem::replace(&mut next, child.next);
            link(&mut self.store, this, cap.parent);
        }
        if let Some(entry) = at.get_mut(&mut self.store) {
            entry.child = CapRef::NONE;
        }
    }

    /// Deletes everything derived from a capability. Mappings that stood on it show scratch pages from now on: whoever
    /// gives memory away must not be able to make the receiver fault by taking it back.
    pub(crate) fn revoke(&mut self, at: CapRef) {
        // Down to a leaf, delete it, up to its parent: every edge is passed twice.
        let mut here = at;
        while let Some(cap) = here.get(&self.store) {
            if cap.child != CapRef::NONE {
                here = cap.child;
            } else if here == at {
                break;
            } else {
                let leaf = core::mem::replace(&mut here, cap.parent);
                self.strand_mappings(leaf);
                self.delete(leaf);
            }
        }
    }

    fn strand_mappings(&mut self, at: CapRef) {
        if let Some(cap) = at.get(&self.store)
            && cap.mappings > 0
            && let Some(process) = self.store.live::<Process>(cap.owner)
        {
            self.strand_cap(process, at);
        }
    }

    /// Destroys objects whose last reference went, and those that die with them.
    pub(crate) fn reap(&mut self) {
        while let Some((kind, frame)) = self.store.next_dead() {
            self.destroy(kind, frame);
        }
    }

    /// An object whose last reference is gone.
    #[cold]
    #[inline(never)]
    fn destroy(&mut self, kind: FrameKind, frame: Frame) {
        match kind {
            FrameKind::Memory => self.destroy_memory(frame),
            FrameKind::Process => self.destroy_process(frame),
            FrameKind::Interrupt => self.destroy_interrupt(frame),
            FrameKind::Device => self.destroy_device(frame),
            FrameKind::Endpoint => self.destroy_endpoint(frame),
            FrameKind::Notification => self.destroy_notification(frame),
            _ => self.store.free(frame),
        }
    }
}
