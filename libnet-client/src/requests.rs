//! The requests of a session that have no answer yet, found by their numbers without a search.

use crate::{arena::Area, sockets::Key, wakers::WakerSet};
use alloc::{boxed::Box, vec::Vec};
use ipc_proto::socket::{Reply, RequestId};

/// What an answer is for.
pub(crate) enum Pending {
    /// Opens this socket.
    Open(Key),
    /// Takes a connection from this listener, into this area.
    Accept { listener: Key, area: Area },
    /// As the two above, but nobody wants the socket any more.
    Orphan(Option<Area>),
    /// Closes a socket, whose area is free with the answer.
    Close(Option<Area>),
    /// Nobody wants to know.
    Ignore,
    /// A future waits.
    Answer(WakerSet),
    /// A future has not yet fetched it.
    Answered(Box<Reply>),
}

/// Places in the beginning: a power of two, as always.
const FIRST: usize = 16;

/// A table of twice as many places as there are requests, at least. A request lies at its number modulo the places: numbers that
/// would fall on an older request are passed over.
pub(crate) struct Requests {
    places: Vec<Option<(RequestId, Pending)>>,
    count: usize,
    next: RequestId,
}

impl Requests {
    pub(crate) fn new() -> Requests {
        Requests {
            places: (0..FIRST).map(|_| None).collect(),
            count: 0,
            next: 1,
        }
    }

    /// Notes a request, and gives it its number.
    pub(crate) fn insert(&mut self, pending: Pending) -> RequestId {
        if self.count >= self.places.len() / 2 {
            self.grow();
        }
        loop {
            let id = self.next;
            self.next = id.wrapping_add(1);
            // Half of the places are free.
            let at = self.at(id);
            if let Some(place @ None) = self.places.get_mut(at) {
                *place = Some((id, pending));
                self.count += 1;
                return id;
            }
        }
    }

    /// What the answer to a request is for.
    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Pending> {
        let at = self.at(id);
        match self.places.get_mut(at)? {
            Some((known, pending)) if *known == id => Some(pending),
            _ => None,
        }
    }

    /// The request is no more.
    pub(crate) fn remove(&mut self, id: RequestId) -> Option<Pending> {
        let at = self.at(id);
        let (_, pending) = self
            .places
            .get_mut(at)?
            .take_if(|(known, _)| *known == id)?;
        self.count -= 1;
        Some(pending)
    }

    /// All of them.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Pending> {
        self.places.iter().flatten().map(|(_, pending)| pending)
    }

    /// All of them, for the last time.
    pub(crate) fn into_values(self) -> impl Iterator<Item = Pending> {
        self.places
            .into_iter()
            .flatten()
            .map(|(_, pending)| pending)
    }

    fn at(&self, id: RequestId) -> usize {
        id as usize & (self.places.len() - 1)
    }

    /// Twice the places: two numbers that differed modulo the old ones do so modulo the new ones.
    fn grow(&mut self) {
        let places = self.places.len() * 2;
        let old = core::mem::replace(&mut self.places, (0..places).map(|_| None).collect());
        for (id, pending) in old.into_iter().flatten() {
            let at = self.at(id);
            if let Some(place) = self.places.get_mut(at) {
                *place = Some((id, pending));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A request that can be told from others.
    fn marked(mark: u32) -> Pending {
        Pending::Open(Key::numbered(mark))
    }

    fn mark(pending: &Pending) -> Key {
        match pending {
            Pending::Open(key) => *key,
            _ => unreachable!(),
        }
    }

    #[test]
    fn numbers_are_those_of_one_request_each() {
        let mut requests = Requests::new();
        // Soon after, numbers begin anew.
        requests.next = u32::MAX - 1_000;
        let mut model: BTreeMap<RequestId, Key> = BTreeMap::new();
        let mut seed = 1_u32;
        for round in 0..18_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let grows = round % 4_000 < 2_000;
            if (seed >> 16) % 4 < if grows { 3 } else { 1 } {
                let id = requests.insert(marked(round));
                assert_eq!(model.insert(id, Key::numbered(round)), None);
            } else if let Some(id) = model.keys().nth(seed as usize % model.len().max(1)) {
                let (id, expected) = (*id, model.remove(&{ *id }));
                assert_eq!(requests.get_mut(id).map(|found| mark(found)), expected);
                assert_eq!(requests.remove(id).map(|found| mark(&found)), expected);
                assert!(requests.remove(id).is_none() && requests.get_mut(id).is_none());
            }
            assert_eq!(requests.count, model.len());
            assert!(requests.count <= requests.places.len() / 2);
        }
        assert!(model.len() > 100, "{}", model.len());
        assert!(
            requests
                .values()
                .all(|found| model.values().any(|key| *key == mark(found)))
        );
        assert_eq!(requests.into_values().count(), model.len());
    }
}
