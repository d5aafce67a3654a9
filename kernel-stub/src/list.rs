//! Doubly linked lists of threads that run through the threads' own frames: no allocation, removal
//! anywhere in constant time. Touches the links only.
//!
//! The owner keeps the [`ThreadList`] in its object and writes it back after a change.
#![forbid(unsafe_code)]

use crate::object::{Chain, Links, Tcb, ThreadList};
use crate::store::{Ref, Store};
use kernel_abi::Error;

fn links(store: &mut Store, thread: Ref<Tcb>, chain: Chain) -> Result<&mut Links, Error> {
    let links = store.get_mut(thread)?.links.get_mut(chain as usize);
    links.ok_or(Error::Gone)
}

impl ThreadList {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// The thread of a list of one.
    #[inline]
    pub(crate) fn only(&self) -> Option<Ref<Tcb>> {
        self.head.filter(|head| self.tail == Some(*head))
    }

    /// Empties the list. Clears no links: those of a list of one are clear.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.head = None;
    }

    /// Puts a thread that is in no list of this chain into the list if that is empty. Its links are clear, and stay so.
    #[inline]
    pub(crate) fn push_only(&mut self, thread: Ref<Tcb>) -> bool {
        let is_empty = self.is_empty();
        if is_empty {
            self.head = Some(thread);
            self.tail = Some(thread);
        }
        is_empty
    }

    /// Removes the thread of a list of one.
    #[inline]
    pub(crate) fn remove_only(&mut self) -> bool {
        let is_only = self.only().is_some();
        if is_only {
            self.clear();
        }
        is_only
    }

    /// Appends a thread that is in no list of this chain.
    #[inline]
    pub(crate) fn push_back(
        &mut self,
        store: &mut Store,
        chain: Chain,
        thread: Ref<Tcb>,
    ) -> Result<(), Error> {
        match self.push_only(thread) {
            true => Ok(()),
            false => self.push_behind(store, chain, thread),
        }
    }

    #[inline(never)]
    fn push_behind(
        &mut self,
        store: &mut Store,
        chain: Chain,
        thread: Ref<Tcb>,
    ) -> Result<(), Error> {
        *links(store, thread, chain)? = Links {
            prev: self.tail,
            next: None,
        };
        match self.tail {
            Some(tail) => links(store, tail, chain)?.next = Some(thread),
            None => self.head = Some(thread),
        }
        self.tail = Some(thread);
        Ok(())
    }

    /// Puts a thread that is in no list of this chain first.
    pub(crate) fn push_front(
        &mut self,
        store: &mut Store,
        chain: Chain,
        thread: Ref<Tcb>,
    ) -> Result<(), Error> {
        if self.push_only(thread) {
            return Ok(());
        }
        *links(store, thread, chain)? = Links {
            prev: None,
            next: self.head,
        };
        match self.head {
            Some(head) => links(store, head, chain)?.prev = Some(thread),
            None => self.tail = Some(thread),
        }
        self.head = Some(thread);
        Ok(())
    }

    /// Removes a thread that is in this list.
    #[inline]
    pub(crate) fn remove(
        &mut self,
        store: &mut Store,
        chain: Chain,
        thread: Ref<Tcb>,
    ) -> Result<(), Error> {
        match self.remove_only() {
            true => Ok(()),
            false => self.remove_among(store, chain, thread),
        }
    }

    #[inline(never)]
    fn remove_among(
        &mut self,
        store: &mut Store,
        chain: Chain,
        thread: Ref<Tcb>,
    ) -> Result<(), Error> {
        let Links { prev, next } = core::mem::take(links(store, thread, chain)?);
        match prev {
            Some(prev) => links(store, prev, chain)?.next = next,
            None => self.head = next,
        }
        match next {
            Some(next) => links(store, next, chain)?.prev = prev,
            None => self.tail = prev,
        }
        Ok(())
    }

    /// The thread after this one.
    pub(crate) fn next(store: &Store, chain: Chain, thread: Ref<Tcb>) -> Option<Ref<Tcb>> {
        store.get(thread).ok()?.links.get(chain as usize)?.next
    }
}
