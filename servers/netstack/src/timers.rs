//! Deadlines in order.

use crate::{slab::Id, time::Instant};
use alloc::vec::Vec;

/// Deadlines in order, at most one for each flow: a binary heap that knows where each flow's is. Most deadlines move again and again and
/// never come (of a delayed acknowledgment or a retransmission, say), so moving one has to be cheap.
pub(crate) struct Timers {
    /// None is before the one above it, which for place `n` is at `(n - 1) / 2`.
    heap: Vec<(Instant, Id)>,
    /// The place in the heap by the flow's position: [`NOWHERE`], or one that may be out of date only if another flow's deadline is there.
    places: Vec<u32>,
}

/// Beyond any heap.
const NOWHERE: u32 = u32::MAX;

impl Timers {
    /// No deadlines.
    pub(crate) const fn new() -> Timers {
        Timers {
            heap: Vec::new(),
            places: Vec::new(),
        }
    }

    /// Sets, moves or removes the deadline of a flow.
    pub(crate) fn set(&mut self, key: Id, deadline: Option<Instant>) {
        match (self.place(key), deadline) {
            (Some(place), Some(deadline)) => self.settle(place, (deadline, key)),
            (None, Some(deadline)) => self.add(deadline, key),
            (Some(place), None) => self.take(place),
            (None, None) => {}
        }
    }

    /// Forgets a flow.
    pub(crate) fn remove(&mut self, key: Id) {
        self.set(key, None);
    }

    /// The first deadline.
    #[inline]
    pub(crate) fn first(&self) -> Option<Instant> {
        self.heap.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a flow whose deadline has passed.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Id> {
        let (deadline, key) = *self.heap.first()?;
        (deadline <= now).then(|| {
            self.take(0);
            key
        })
    }

    /// All flows that have a deadline. Panics if one of them would come too late, or could not be found.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = Id> + '_ {
        for (place, (deadline, key)) in self.heap.iter().enumerate() {
            assert_eq!(self.place(*key), Some(place), "lost deadline");
            let above = self.heap.get(place.saturating_sub(1) / 2);
            assert!(above.is_some_and(|(above, _)| above <= deadline), "order");
        }
        self.heap.iter().map(|(_, key)| *key)
    }

    /// Where a flow's deadline is.
    #[inline]
    fn place(&self, key: Id) -> Option<usize> {
        let place = *self.places.get(key.index() as usize)? as usize;
        let (_, found) = self.heap.get(place)?;
        (*found == key).then_some(place)
    }

    #[inline(never)]
    fn add(&mut self, deadline: Instant, key: Id) {
        let index = key.index() as usize;
        if self.places.len() <= index {
            self.places.resize(index.saturating_add(1), NOWHERE);
        }
        self.heap.push((deadline, key));
        self.settle(self.heap.len().saturating_sub(1), (deadline, key));
    }

    /// Takes out what is at a place; the last one moves there.
    fn take(&mut self, place: usize) {
        let Some(last) = self.heap.pop() else {
            return;
        };
        match self.heap.get(place) {
            Some((_, key)) => {
                let index = key.index() as usize;
                if let Some(known) = self.places.get_mut(index) {
                    *known = NOWHERE;
                }
                self.settle(place, last);
            }
            None => self.note(last.1, NOWHERE),
        }
    }

    /// Puts an entry where it belongs, instead of what is at this place.
    fn settle(&mut self, mut place: usize, entry: (Instant, Id)) {
        while place > 0 {
            let above = place.wrapping_sub(1) / 2;
            let Some(other) = self.heap.get(above).copied().filter(|it| it.0 > entry.0) else {
                break;
            };
            self.put(place, other);
            place = above;
        }
        loop {
            let below = place.wrapping_mul(2).wrapping_add(1);
            let Some(&left) = self.heap.get(below) else {
                break;
            };
            let (below, other) = match self.heap.get(below.wrapping_add(1)) {
                Some(&right) if right.0 < left.0 => (below.wrapping_add(1), right),
                _ => (below, left),
            };
            if other.0 >= entry.0 {
                break;
            }
            self.put(place, other);
            place = below;
        }
        self.put(place, entry);
    }

    #[inline]
    fn put(&mut self, place: usize, entry: (Instant, Id)) {
        if let Some(at) = self.heap.get_mut(place) {
            *at = entry;
        }
        self.note(entry.1, place as u32);
    }

    #[inline]
    fn note(&mut self, key: Id, place: u32) {
        if let Some(known) = self.places.get_mut(key.index() as usize) {
            *known = place;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Slab;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn deadlines_come_in_order_and_can_be_moved() {
        let mut slab = Slab::new();
        let [a, b, c, d] = [(); 4].map(|()| slab.insert(()));
        let mut timers = Timers::new();
        let at = Instant::from_millis;
        timers.set(a, Some(at(5)));
        timers.set(b, Some(at(3)));
        timers.set(c, Some(at(4)));
        timers.set(c, None);
        timers.set(d, Some(at(2)));
        timers.remove(d);
        timers.set(a, Some(at(1)));
        assert_eq!(timers.first(), Some(at(1)));
        assert_eq!(timers.due(at(0)), None);
        assert_eq!(timers.due(at(9)), Some(a));
        assert_eq!(timers.due(at(9)), Some(b));
        assert_eq!(timers.due(at(9)), None);
        assert_eq!(timers.check().count(), 0);
    }

    #[test]
    fn the_next_flow_at_a_position_has_a_deadline_of_its_own() {
        let mut slab = Slab::new();
        let mut timers = Timers::new();
        let at = Instant::from_millis;
        let first = slab.insert(());
        timers.set(first, Some(at(1)));
        timers.remove(first);
        slab.remove(first);
        let second = slab.insert(());
        timers.set(second, Some(at(2)));
        timers.remove(first);
        assert_eq!(timers.due(at(2)), Some(second));
    }

    proptest! {
        /// Against a table that is searched.
        #[test]
        fn each_comes_at_its_time(
            steps in proptest::collection::vec((0..40usize, proptest::option::of(0..99u64), 0..99u64), 1..300),
        ) {
            let mut slab = Slab::new();
            let keys: Vec<Id> = (0..40).map(|_| slab.insert(())).collect();
            let (mut timers, mut known) = (Timers::new(), BTreeMap::new());
            for (key, deadline, now) in steps {
                let deadline = deadline.map(Instant::from_millis);
                timers.set(keys[key], deadline);
                match deadline {
                    Some(deadline) => known.insert(keys[key], deadline),
                    None => known.remove(&keys[key]),
                };
                prop_assert_eq!(timers.check().count(), known.len());
                let first = known.values().min().copied();
                prop_assert_eq!(timers.first(), first);
                let now = Instant::from_millis(now);
                let due = timers.due(now);
                prop_assert_eq!(due.is_some(), first.is_some_and(|first| first <= now));
                if let Some(due) = due {
                    prop_assert_eq!(known.remove(&due), first);
                }
            }
        }
    }
}
