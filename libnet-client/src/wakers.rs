//! Wakers: sets of those who wait for one thing, timers, and the flag that a blocking call waits on.

use alloc::{collections::BTreeMap, sync::Arc, task::Wake, vec::Vec};
use core::{
    sync::atomic::{AtomicBool, Ordering},
    task::Waker,
};

/// Those who wait for one thing. All are woken together and look again. Nearly always one at most: the first needs no memory.
#[derive(Default)]
pub(crate) struct WakerSet {
    first: Option<Waker>,
    /// Empty without a first.
    others: Vec<Waker>,
}

impl WakerSet {
    /// Adds a waiter, once.
    pub(crate) fn add(&mut self, waker: &Waker) {
        match &self.first {
            None => self.first = Some(waker.clone()),
            Some(first) if first.will_wake(waker) => {}
            Some(_) => {
                if !self.others.iter().any(|known| known.will_wake(waker)) {
                    self.others.push(waker.clone());
                }
            }
        }
    }

    /// Moves all of them to `woken`.
    pub(crate) fn wake(&mut self, woken: &mut Vec<Waker>) {
        if let Some(first) = self.first.take() {
            woken.push(first);
            if !self.others.is_empty() {
                woken.append(&mut self.others);
            }
        }
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }
}

/// Names a timer: when, and which of those at that time.
pub(crate) type TimerKey = (u64, u64);

/// Who is to be woken when.
pub(crate) struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    issued: u64,
    /// When the next timer runs out; `u64::MAX` without one.
    next: u64,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            waiting: BTreeMap::new(),
            issued: 0,
            next: u64::MAX,
        }
    }
}

impl Timers {
    /// Wakes `waker` at `deadline`.
    pub(crate) fn insert(&mut self, deadline: u64, waker: Waker) -> TimerKey {
        self.issued = self.issued.wrapping_add(1);
        let key = (deadline, self.issued);
        self.waiting.insert(key, waker);
        self.next = self.next.min(deadline);
        key
    }

    /// Forgets a timer.
    pub(crate) fn remove(&mut self, key: TimerKey) {
        self.waiting.remove(&key);
        self.note_next();
    }

    /// Moves those whose time has come to `woken`.
    #[inline]
    pub(crate) fn expire(&mut self, now: u64, woken: &mut Vec<Waker>) {
        if self.next <= now {
            self.expire_some(now, woken);
        }
    }

    #[inline(never)]
    fn expire_some(&mut self, now: u64, woken: &mut Vec<Waker>) {
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                break;
            }
            woken.push(first.remove());
        }
        self.note_next();
    }

    fn note_next(&mut self) {
        let first = self.waiting.first_key_value();
        self.next = first.map_or(u64::MAX, |((deadline, _), _)| *deadline);
    }

    /// When the next timer runs out; `u64::MAX` is never.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

/// Set by its waker: what one future that is driven on the caller's stack waits on.
pub(crate) struct Flag(AtomicBool);

impl Flag {
    /// A flag that is set, so that the first look polls.
    pub(crate) fn raised() -> Arc<Flag> {
        Arc::new(Flag(AtomicBool::new(true)))
    }

    /// Takes it down; whether it was up.
    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// Whether it is up.
    pub(crate) fn is_up(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
