//! Deadlines in order.

use crate::time::Instant;
use alloc::collections::{BTreeMap, BTreeSet};

/// Deadlines in order, at most one for each key.
pub(crate) struct Timers<K> {
    order: BTreeSet<(Instant, K)>,
    current: BTreeMap<K, Instant>,
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
        if self.current.get(&key).copied() == deadline {
            return;
        }
        if let Some(old) = self.current.remove(&key) {
            self.order.remove(&(old, key));
        }
        if let Some(deadline) = deadline {
            self.current.insert(key, deadline);
            self.order.insert((deadline, key));
        }
    }

    /// The first deadline.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// All keys that have a deadline. Panics if the two tables disagree.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = K> + '_ {
        assert_eq!(self.order.len(), self.current.len(), "tables of deadlines");
        for (key, deadline) in &self.current {
            assert!(self.order.contains(&(*deadline, *key)), "lost deadline");
        }
        self.current.keys().copied()
    }

    /// Takes a key whose deadline has passed.
    pub(crate) fn due(&mut self, now: Instant) -> Option<K> {
        let (deadline, key) = *self.order.first()?;
        if deadline > now {
            return None;
        }
        self.set(key, None);
        Some(key)
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
        timers.set('a', Some(at(1)));
        assert_eq!(timers.first(), Some(at(1)));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!(timers.due(at(9)), Some('a'));
        assert_eq!(timers.due(at(9)), Some('b'));
        assert_eq!(timers.due(at(9)), None);
    }
}
