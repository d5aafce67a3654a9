//! Deadlines of waiting threads: a pairing heap that runs through the threads' own frames.
//! Arming is constant time, taking the earliest logarithmic (amortised); no allocation. Touches only the heap's links.
//!
//! A thread whose wait ends before its deadline, as most do, stays in the heap: when its time has come there, the scheduler
//! looks what it waits for now. So the usual wait costs no work here, and the timer is not set anew for each.
#![forbid(unsafe_code)]

use crate::object::{Tcb, TimerLinks};
use crate::store::{Ref, Store};
use kernel_abi::{Error, FOREVER};

/// All armed deadlines.
pub(crate) struct Deadlines {
    root: Link,
    /// Key of the root; [`FOREVER`] if there is none.
    next: u64,
}

type Link = Option<Ref<Tcb>>;

fn timer(store: &mut Store, thread: Ref<Tcb>) -> Result<&mut TimerLinks, Error> {
    Ok(&mut store.get_mut(thread)?.timer)
}

/// Makes one heap of two; the later root becomes the first child of the earlier one.
fn meld(store: &mut Store, a: Link, b: Link) -> Result<Link, Error> {
    let (Some(a), Some(b)) = (a, b) else {
        return Ok(a.or(b));
    };
    let (first, later) = match store.get(a)?.timer.key <= store.get(b)?.timer.key {
        true => (a, b),
        false => (b, a),
    };
    let links = timer(store, first)?;
    let child = links.child.replace(later);
    let links = timer(store, later)?;
    links.next = child;
    links.prev = Some(first);
    if let Some(child) = child {
        timer(store, child)?.prev = Some(later);
    }
    Ok(Some(first))
}

/// Takes the first heap off a chain of siblings.
fn detach(store: &mut Store, chain: &mut Link) -> Result<Link, Error> {
    let Some(head) = *chain else {
        return Ok(None);
    };
    let links = timer(store, head)?;
    *chain = links.next.take();
    links.prev = None;
    Ok(Some(head))
}

/// Makes one heap of a chain of siblings: melds them in pairs, then the pairs from the last to the first.
fn combine(store: &mut Store, mut chain: Link) -> Result<Link, Error> {
    let mut pairs: Link = None;
    while chain.is_some() {
        let a = detach(store, &mut chain)?;
        let b = detach(store, &mut chain)?;
        if let Some(pair) = meld(store, a, b)? {
            timer(store, pair)?.next = pairs;
            pairs = Some(pair);
        }
    }
    let mut root = None;
    while pairs.is_some() {
        let pair = detach(store, &mut pairs)?;
        root = meld(store, root, pair)?;
    }
    Ok(root)
}

impl Deadlines {
    pub(crate) const EMPTY: Deadlines = Deadlines {
        root: None,
        next: FOREVER,
    };

    fn set_root(&mut self, store: &Store, root: Link) -> Result<(), Error> {
        self.root = root;
        self.next = match root {
            Some(root) => store.get(root)?.timer.key,
            None => FOREVER,
        };
        Ok(())
    }

    /// When to look at the first thread: no deadline is earlier. [`FOREVER`] if nothing is armed.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Sees to it that the thread is looked at when its `deadline` comes, or before.
    pub(crate) fn arm(&mut self, store: &mut Store, thread: Ref<Tcb>) -> Result<(), Error> {
        let tcb = store.get(thread)?;
        let key = tcb.deadline;
        if tcb.timer.armed {
            if tcb.timer.key <= key {
                return Ok(());
            }
            self.disarm(store, thread)?;
        }
        *timer(store, thread)? = TimerLinks {
            armed: true,
            key,
            ..TimerLinks::default()
        };
        let root = meld(store, self.root, Some(thread))?;
        self.set_root(store, root)
    }

    /// Takes the first thread out if its time has come.
    pub(crate) fn take(&mut self, store: &mut Store, now: u64) -> Option<Ref<Tcb>> {
        let thread = self.root.filter(|_| self.next <= now)?;
        self.disarm(store, thread).ok()?;
        Some(thread)
    }

    /// Removes a thread; does nothing if it is not armed.
    pub(crate) fn disarm(&mut self, store: &mut Store, thread: Ref<Tcb>) -> Result<(), Error> {
        let links = core::mem::take(timer(store, thread)?);
        if !links.armed {
            return Ok(());
        }
        let mut rest = self.root;
        if let Some(prev) = links.prev {
            let before = timer(store, prev)?;
            match before.child == Some(thread) {
                true => before.child = links.next,
                false => before.next = links.next,
            }
            if let Some(next) = links.next {
                timer(store, next)?.prev = Some(prev);
            }
        } else {
            rest = None;
        }
        let children = combine(store, links.child)?;
        let root = meld(store, rest, children)?;
        self.set_root(store, root)
    }

    /// Threads in the heap; none is earlier than the one that it hangs from.
    #[cfg(any(test, feature = "testing"))]
    #[allow(clippy::unwrap_used, reason = "for tests")]
    pub(crate) fn count(&self, store: &Store) -> u32 {
        let first = self.root.map(|root| store.get(root).unwrap().timer.key);
        assert_eq!(self.next, first.unwrap_or(FOREVER));
        let mut left: Vec<_> = self.root.into_iter().collect();
        let mut count = 0;
        while let Some(thread) = left.pop() {
            count += 1;
            let tcb = store.get(thread).unwrap();
            assert!(tcb.timer.armed);
            let (mut next, mut prev) = (tcb.timer.child, thread);
            while let Some(child) = next {
                let below = store.get(child).unwrap();
                assert!(below.timer.key >= tcb.timer.key);
                assert_eq!(below.timer.prev, Some(prev));
                left.push(child);
                prev = child;
                next = below.timer.next;
            }
        }
        count
    }
}
