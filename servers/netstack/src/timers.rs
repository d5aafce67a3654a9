//! Deadlines in order.

use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// Deadlines in order, at most one for each key.
///
/// Most deadlines move back again and again and never come: of a retransmission with each acknowledgment, say. So one that moves back
/// stays where it is in the order, and is moved when its old time has come.
pub(crate) struct Timers<K> {
    order: BTreeSet<(Instant, K)>,
    current: BTreeMap<K, Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    /// Where it stands in the order: not behind `wanted`.
    listed: Instant,
    /// When it is due, if it still is.
    wanted: Option<Instant>,
}

impl<K: Copy + Ord> Timers<K> {
    /// No deadlines.
    pub(crate) const fn new() -> Timers<K> {
        Timers {
            order: BTreeSet::new(),
            current: BTreeMap::new(),
        }
    }

    /// Sets, moves or removes the deadline of a key.
    pub(crate) fn set(&mut self, key: K, deadline: Option<Instant>) {
        match (self.current.get_mut(&key), deadline) {
            (Some(entry), None) => entry.wanted = None,
            (Some(entry), Some(deadline)) if entry.listed <= deadline => {
                entry.wanted = Some(deadline);
            }
            (_, Some(deadline)) => {
                self.remove(key);
                let wanted = Some(deadline);
                let listed = deadline;
                self.current.insert(key, Entry { listed, wanted });
                self.order.insert((listed, key));
            }
            (None, None) => {}
        }
    }

    /// Forgets a key.
    pub(crate) fn remove(&mut self, key: K) {
        if let Some(entry) = self.current.remove(&key) {
            self.order.remove(&(entry.listed, key));
        }
    }

    /// Not later than the first deadline.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.order.first().map(|(listed, _)| *listed)
    }

    /// All keys that have a deadline, or had one. Panics if the two tables disagree.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = K> + '_ {
        assert_eq!(self.order.len(), self.current.len(), "tables of deadlines");
        for (key, entry) in &self.current {
            assert!(self.order.contains(&(entry.listed, *key)), "lost deadline");
            assert!(entry.wanted.is_none_or(|wanted| entry.listed <= wanted));
        }
        self.current.keys().copied()
    }

    /// Takes a key whose deadline has passed.
    pub(crate) fn due(&mut self, now: Instant) -> Option<K> {
        loop {
            let (listed, key) = *self.order.first()?;
            if listed > now {
                return None;
            }
            let wanted = self.current.get(&key).and_then(|entry| entry.wanted);
            self.remove(key);
            match wanted {
                Some(wanted) if wanted > now => self.set(key, Some(wanted)),
                Some(_) => return Some(key),
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_can_be_moved() {
        let mut timers = Timers::new();
        let at = Instant::from_millis;
        timers.set('a', Some(at(5)));
        timers.set('b', Some(at(3)));
        timers.set('c', Some(at(4)));
        timers.set('c', None);
        timers.set('d', Some(at(2)));
        timers.remove('d');
        timers.set('a', Some(at(1)));
        assert_eq!(timers.first(), Some(at(1)));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!(timers.due(at(9)), Some('a'));
        assert_eq!(timers.due(at(9)), Some('b'));
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.check().count(), 0);
    }

    #[test]
    fn a_deadline_that_moved_back_comes_then_and_not_before() {
        let mut timers = Timers::new();
        let at = Instant::from_millis;
        timers.set('a', Some(at(2)));
        timers.set('a', Some(at(7)));
        timers.set('b', Some(at(3)));
        timers.set('b', None);
        assert!(timers.first() <= Some(at(7)));
        assert_eq!(timers.due(at(6)), None);
        assert_eq!(timers.first(), Some(at(7)));
        assert_eq!(timers.check().collect::<alloc::vec::Vec<_>>(), ['a']);
        assert_eq!(timers.due(at(7)), Some('a'));
        assert_eq!(timers.first(), None);
    }
}
