//! The places of a service: how many connections it serves at once, and which one makes room for another.
//!
//! When all places are taken and somebody waits for one, the connection on which nothing has moved for longest is ended, if that is long
//! enough; else the new one waits. Touches nothing else.

use alloc::{rc::Rc, vec::Vec};
use core::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Duration,
};
use libnet_client::{Net, select};

/// A connection on which something moved so lately makes room for nobody.
pub(crate) const LEAST_IDLE: Duration = Duration::from_secs(20);

/// The places of a service.
pub(crate) struct Places {
    limit: usize,
    entries: RefCell<Vec<Rc<Entry>>>,
    /// Who waits for a place.
    waiting: RefCell<Option<Waker>>,
}

struct Entry {
    /// When something moved.
    moved: Cell<u64>,
    ended: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// One of them, free again when dropped.
pub(crate) struct Place {
    places: Rc<Places>,
    entry: Rc<Entry>,
}

impl Places {
    /// So many places.
    pub(crate) fn new(limit: usize) -> Rc<Places> {
        Rc::new(Places {
            limit,
            entries: RefCell::default(),
            waiting: RefCell::default(),
        })
    }

    /// Waits for a place, for a connection that has been accepted. Only the accepting loop does.
    pub(crate) async fn take(self: &Rc<Places>, net: &Net) -> Place {
        while !self.has_room() {
            let patience = net.sleep_until(self.make_room(net.turn_began()));
            select(self.freed(), patience).await;
        }
        let entry = Rc::new(Entry {
            moved: Cell::new(net.turn_began()),
            ended: Cell::new(false),
            waker: RefCell::default(),
        });
        self.entries.borrow_mut().push(Rc::clone(&entry));
        Place {
            places: Rc::clone(self),
            entry,
        }
    }

    fn has_room(&self) -> bool {
        self.entries.borrow().len() < self.limit
    }

    async fn freed(&self) {
        poll_fn(|context| {
            if self.has_room() {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Ends the connection that has been idle for longest, unless one is ending. If it is too early for that: when to look again.
    fn make_room(&self, now: u64) -> u64 {
        let entries = self.entries.borrow();
        if entries.iter().any(|entry| entry.ended.get()) {
            return u64::MAX;
        }
        let Some(oldest) = entries.iter().min_by_key(|entry| entry.moved.get()) else {
            return u64::MAX;
        };
        let idle = oldest
            .moved
            .get()
            .saturating_add(LEAST_IDLE.as_nanos() as u64);
        if idle > now {
            return idle;
        }
        oldest.ended.set(true);
        if let Some(waker) = oldest.waker.borrow_mut().take() {
            waker.wake();
        }
        u64::MAX
    }
}

impl Place {
    /// Something has moved.
    pub(crate) fn moved(&self, now: u64) {
        self.entry.moved.set(now);
    }

    /// Whether the connection has to make room; if not, its task is woken when it has.
    pub(crate) fn poll_ended(&self, context: &Context<'_>) -> Poll<()> {
        if self.entry.ended.get() {
            return Poll::Ready(());
        }
        let waker = context.waker();
        match &mut *self.entry.waker.borrow_mut() {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places
            .entries
            .borrow_mut()
            .retain(|entry| !Rc::ptr_eq(entry, &self.entry));
        if let Some(waiting) = self.places.waiting.borrow_mut().take() {
            waiting.wake();
        }
    }
}
