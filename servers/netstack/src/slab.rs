//! Objects by number. A number is never used again for another object: it carries a generation.

use crate::session::BELLS;
use alloc::vec::Vec;

/// Number of an object of the stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Id {
    index: u32,
    generation: u32,
}

impl Id {
    /// Position in the slab, for listings.
    pub fn index(self) -> u32 {
        self.index
    }

    /// The doorbell of the session of this number, below 56.
    pub fn bell(self) -> u32 {
        self.index % BELLS
    }
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

/// Objects by number.
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// An empty one.
    pub(crate) const fn new() -> Slab<T> {
        Slab {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Objects in it.
    pub(crate) fn len(&self) -> usize {
        self.entries.len().saturating_sub(self.free.len())
    }

    /// Adds an object.
    pub(crate) fn insert(&mut self, value: T) -> Id {
        if let Some(index) = self.free.pop()
            && let Some(entry) = self.entries.get_mut(index as usize)
        {
            entry.value = Some(value);
            return Id {
                index,
                generation: entry.generation,
            };
        }
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            generation: 0,
            value: Some(value),
        });
        Id {
            index,
            generation: 0,
        }
    }

    /// The object of this number, if it is still there.
    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        let entry = self.entries.get(id.index as usize)?;
        (entry.generation == id.generation)
            .then_some(entry.value.as_ref())
            .flatten()
    }

    /// The object of this number, if it is still there.
    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.index as usize)?;
        (entry.generation == id.generation)
            .then_some(entry.value.as_mut())
            .flatten()
    }

    /// Takes the object out.
    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        let entry = self.entries.get_mut(id.index as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(value)
    }

    /// The first object at or behind a position.
    pub(crate) fn at_or_after(&self, position: u32) -> Option<(Id, &T)> {
        let rest = self.entries.get(position as usize..)?;
        rest.iter().zip(position..).find_map(|(entry, index)| {
            let value = entry.value.as_ref()?;
            Some((
                Id {
                    index,
                    generation: entry.generation,
                },
                value,
            ))
        })
    }

    /// The number of the object at a position, if there is one.
    pub(crate) fn id_at(&self, position: u32) -> Option<Id> {
        let entry = self.entries.get(position as usize)?;
        entry.value.as_ref()?;
        Some(Id {
            index: position,
            generation: entry.generation,
        })
    }

    /// Positions that objects have, or had.
    pub(crate) fn positions(&self) -> core::ops::Range<u32> {
        0..self.entries.len() as u32
    }

    /// The numbers of all objects.
    pub(crate) fn ids(&self) -> Vec<Id> {
        self.iter().map(|(id, _)| id).collect()
    }

    /// Panics unless free places are those without an object, each once.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        let empty = self.entries.iter().filter(|entry| entry.value.is_none());
        assert_eq!(empty.count(), self.free.len(), "free places of a slab");
        for (at, index) in self.free.iter().enumerate() {
            let entry = self.entries.get(*index as usize);
            assert!(entry.is_some_and(|entry| entry.value.is_none()), "{index}");
            assert!(!self.free.iter().skip(at + 1).any(|other| other == index));
        }
    }

    /// All objects.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().zip(0..).filter_map(|(entry, index)| {
            let id = Id {
                index,
                generation: entry.generation,
            };
            Some((id, entry.value.as_ref()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_valid_for_the_next_object() {
        let mut slab = Slab::new();
        let first = slab.insert('a');
        assert_eq!(slab.remove(first), Some('a'));
        let second = slab.insert('b');
        assert_eq!(second.index(), first.index());
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&'b'));
        assert_eq!(slab.len(), 1);
    }
}
