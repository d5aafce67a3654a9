//! The open connections: how many there may be, and which one makes room for another.
//!
//! When all places are taken, the connection that has been waiting longest for a request is asked to end; one that is
//! being answered never is. Without such a connection the new one waits: here, or in the listener's backlog.

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
};

/// What the server has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HttpCounters {
    /// Connections accepted.
    pub connections: u64,
    /// Connections open.
    pub active: u64,
    /// Requests answered with success.
    pub requests: u64,
    /// Requests answered with an error of the client's.
    pub refused: u64,
    /// Connections that ended by a failure or a timeout.
    pub failed: u64,
    /// Connections ended to make room.
    pub evicted: u64,
    /// Bytes of answers.
    pub bytes: u64,
}

/// The open connections.
#[derive(Debug)]
pub struct Registry {
    limit: usize,
    entries: RefCell<Vec<Rc<Entry>>>,
    /// The accept loop, when it waits for a place.
    waiting: RefCell<Option<Waker>>,
    counters: RefCell<HttpCounters>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Since when it waits for a request; `None` while one is being answered.
    idle_since: Cell<Option<u64>>,
    evicted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Registry {
    /// Makes a registry with places for `limit` connections.
    pub fn new(limit: usize) -> Rc<Registry> {
        Rc::new(Registry {
            limit,
            entries: RefCell::default(),
            waiting: RefCell::default(),
            counters: RefCell::default(),
        })
    }

    /// Waits for a place for one more connection, and asks the longest idle one to end if there is none.
    pub async fn place(self: &Rc<Registry>) -> Place {
        poll_fn(|context| {
            if self.entries.borrow().len() < self.limit {
                return Poll::Ready(());
            }
            self.evict();
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        let entry = Rc::new(Entry::default());
        self.entries.borrow_mut().push(entry.clone());
        self.count(|counters| {
            counters.connections = counters.connections.saturating_add(1);
            counters.active = counters.active.saturating_add(1);
        });
        Place {
            registry: self.clone(),
            entry,
        }
    }

    /// Asks the connection that has been idle longest to end, unless one was asked and will do so at once. One that has got a request
    /// in between first answers it: others need not wait for that.
    fn evict(&self) {
        let entries = self.entries.borrow();
        let idle = || {
            entries
                .iter()
                .filter(|entry| entry.idle_since.get().is_some())
        };
        if idle().any(|entry| entry.evicted.get()) {
            return;
        }
        if let Some(oldest) = idle().min_by_key(|entry| entry.idle_since.get()) {
            oldest.evicted.set(true);
            self.count(|counters| counters.evicted = counters.evicted.saturating_add(1));
            if let Some(waker) = oldest.waker.borrow_mut().take() {
                waker.wake();
            }
        }
    }

    /// Changes the counters.
    pub(crate) fn count(&self, change: impl FnOnce(&mut HttpCounters)) {
        change(&mut self.counters.borrow_mut());
    }

    /// What was counted so far.
    pub fn counters(&self) -> HttpCounters {
        *self.counters.borrow()
    }

    fn wake_waiting(&self) {
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    registry: Rc<Registry>,
    entry: Rc<Entry>,
}

impl Place {
    /// Says since when the connection waits for a request, or that it does not.
    pub(crate) fn set_idle(&self, since: Option<u64>) {
        self.entry.idle_since.set(since);
        if since.is_some() {
            // It may be the one to make room now.
            self.registry.wake_waiting();
        }
    }

    /// Whether the connection is asked to end; if not, its task is woken when it is.
    pub(crate) fn poll_evicted(&self, context: &Context<'_>) -> Poll<()> {
        if self.entry.evicted.get() {
            return Poll::Ready(());
        }
        let waker = context.waker();
        match &mut *self.entry.waker.borrow_mut() {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }

    /// The registry.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.registry
            .entries
            .borrow_mut()
            .retain(|entry| !Rc::ptr_eq(entry, &self.entry));
        self.registry
            .count(|counters| counters.active = counters.active.saturating_sub(1));
        self.registry.wake_waiting();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    /// One that was asked to end and got a request in between must not keep the others from being asked.
    #[test]
    fn a_busy_one_that_was_asked_does_not_hold_up_the_next() {
        let registry = Registry::new(2);
        let context = &mut Context::from_waker(Waker::noop());
        let mut place = || {
            let registry = registry.clone();
            match pin!(async move { registry.place().await }).poll(context) {
                Poll::Ready(place) => Some(place),
                Poll::Pending => None,
            }
        };
        let (first, second) = (place().unwrap(), place().unwrap());
        first.set_idle(Some(1));
        second.set_idle(Some(2));
        assert!(place().is_none());
        assert!(first.entry.evicted.get() && !second.entry.evicted.get());
        assert!(place().is_none());
        assert!(!second.entry.evicted.get());
        first.set_idle(None);
        assert!(place().is_none());
        assert!(second.entry.evicted.get());
        drop(second);
        assert!(place().is_some());
        assert_eq!(registry.counters().evicted, 2);
    }
}
