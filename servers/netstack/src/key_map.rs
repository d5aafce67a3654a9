//! A table by the addresses of connections: a look takes as long whether there are ten or ten thousand. Touches nothing else.
//!
//! Peers choose most of a key, so its place is drawn with secret numbers. Who does not know them can't make keys meet more often than
//! chance does: the sums are those of UMAC (RFC 4418 section 5.2), of which two are equal once in 2^32.

use crate::{connection::FlowKey, random::Random};
use core::net::{IpAddr, SocketAddr};
use hashbrown::{HashTable, hash_table::Entry};

/// A table by connection.
pub(crate) struct KeyMap<V> {
    entries: HashTable<(FlowKey, V)>,
    secret: Secret,
}

/// Secret numbers: a pair for each pair of words of a key, and one to spread the sum over all bits.
#[derive(Clone, Copy)]
struct Secret {
    ports: [u32; 2],
    addresses: [[u32; 2]; 4],
    spread: u64,
}

impl Secret {
    fn new(random: &mut Random) -> Secret {
        let mut pair = || [random.u32(), random.u32()];
        Secret {
            ports: pair(),
            addresses: [pair(), pair(), pair(), pair()],
            spread: random.u64() | 1,
        }
    }

    #[inline]
    fn place(&self, key: &FlowKey) -> u64 {
        let (ports, words) = match (&key.remote, &key.local) {
            (SocketAddr::V4(remote), SocketAddr::V4(local)) => {
                let [first, ..] = self.addresses;
                let words = product([remote.ip().to_bits(), local.ip().to_bits()], first);
                (pair(remote.port(), local.port()), words)
            }
            (remote, local) => {
                let ports = pair(remote.port(), local.port());
                let (mut remote, mut local) = (bits(remote.ip()), bits(local.ip()));
                let mut sum = 0_u64;
                for secret in self.addresses {
                    sum = sum.wrapping_add(product([remote as u32, local as u32], secret));
                    (remote, local) = (remote >> u32::BITS, local >> u32::BITS);
                }
                (ports, sum)
            }
        };
        let family = u32::from(key.remote.is_ipv6());
        let sum = words.wrapping_add(product([ports, family], self.ports));
        let wide = u128::from(sum).wrapping_mul(u128::from(self.spread));
        wide as u64 ^ (wide >> u64::BITS) as u64
    }
}

fn pair(remote: u16, local: u16) -> u32 {
    u32::from(remote) << 16 | u32::from(local)
}

#[inline]
fn product([a, b]: [u32; 2], [k, l]: [u32; 2]) -> u64 {
    u64::from(a.wrapping_add(k)).wrapping_mul(u64::from(b.wrapping_add(l)))
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl<V> KeyMap<V> {
    /// An empty table.
    pub(crate) fn new(random: &mut Random) -> KeyMap<V> {
        KeyMap {
            entries: HashTable::new(),
            secret: Secret::new(random),
        }
    }

    /// Entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What belongs to a key.
    #[inline]
    pub(crate) fn get(&self, key: &FlowKey) -> Option<&V> {
        if self.entries.is_empty() {
            return None;
        }
        let place = self.secret.place(key);
        let found = self.entries.find(place, |(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    /// What belongs to a key, to be changed.
    pub(crate) fn get_mut(&mut self, key: &FlowKey) -> Option<&mut V> {
        let place = self.secret.place(key);
        let found = self.entries.find_mut(place, |(known, _)| known == key);
        found.map(|(_, value)| value)
    }

    /// Whether something belongs to a key.
    pub(crate) fn contains_key(&self, key: &FlowKey) -> bool {
        self.get(key).is_some()
    }

    /// Adds an entry in place of an earlier one.
    pub(crate) fn insert(&mut self, key: FlowKey, value: V) {
        let secret = self.secret;
        let place = secret.place(&key);
        let again = |(key, _): &(FlowKey, V)| secret.place(key);
        match self.entries.entry(place, |(known, _)| *known == key, again) {
            Entry::Occupied(mut entry) => entry.get_mut().1 = value,
            Entry::Vacant(entry) => {
                entry.insert((key, value));
            }
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &FlowKey) -> Option<V> {
        self.remove_if(key, |_| true)
    }

    /// Takes an entry out if it is the one that is meant.
    pub(crate) fn remove_if(&mut self, key: &FlowKey, is_meant: impl Fn(&V) -> bool) -> Option<V> {
        if self.entries.is_empty() {
            return None;
        }
        let place = self.secret.place(key);
        let fits = |(known, value): &(FlowKey, V)| known == key && is_meant(value);
        let ((_, value), _) = self.entries.find_entry(place, fits).ok()?.remove();
        Some(value)
    }

    /// Keeps some.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.entries.retain(|(_, value)| keep(value));
    }

    /// All of them.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&FlowKey, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Another one for each number below 65,536.
    fn key(number: u32) -> FlowKey {
        let port = (number % 50) as u16;
        let [_, _, b, c] = number.to_be_bytes();
        let (local, remote): ([u8; 4], [u8; 4]) = ([10, 0, 0, 1], [10, 0, b, c]);
        match number % 3 {
            0 => FlowKey {
                local: (local, 80).into(),
                remote: (remote, port).into(),
            },
            1 => FlowKey {
                local: (local, port).into(),
                remote: (remote, 80).into(),
            },
            _ => {
                let v6 = |[a, b, c, d]: [u8; 4]| {
                    [0xfe80, 0, 0, a.into(), b.into(), c.into(), 1, d.into()]
                };
                FlowKey {
                    local: SocketAddr::from((v6(local), 80)),
                    remote: SocketAddr::from((v6(remote), port)),
                }
            }
        }
    }

    #[test]
    fn it_is_a_table() {
        let mut map = KeyMap::new(&mut Random::new([7; 32]));
        let mut model: BTreeMap<u32, u32> = BTreeMap::new();
        let mut seed = 1_u32;
        for round in 0..60_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (seed >> 8) % 3000;
            let key = key(number);
            if round % 20_000 < 10_000 || seed.is_multiple_of(3) {
                map.insert(key, round);
                model.insert(number, round);
            } else {
                assert_eq!(map.remove(&key), model.remove(&number));
            }
            assert_eq!(map.get(&key), model.get(&number));
            assert_eq!(map.len(), model.len());
        }
        assert!(model.len() > 500 && map.iter().count() == model.len());
        map.retain(|value| value.is_multiple_of(2));
        model.retain(|_, value| value.is_multiple_of(2));
        assert_eq!((map.len(), map.is_empty()), (model.len(), false));
    }

    /// Keys that differ in few bits, or by what is added to one word and taken from another, lie as far apart as any.
    #[test]
    fn near_keys_are_apart() {
        let mut random = Random::new([9; 32]);
        for _ in 0..20 {
            let secret = Secret::new(&mut random);
            let mut places = std::vec![0_u32; 1 << 12];
            for number in 0..1 << 14 {
                let [a, b] = (number as u16).to_be_bytes();
                let key = FlowKey {
                    local: ([10, 0, 0, 1], 80).into(),
                    remote: ([10, 0, a, 255 - a], 1000 + u16::from(b)).into(),
                };
                places[secret.place(&key) as usize % (1 << 12)] += 1;
            }
            // Four in each on average.
            assert!(places.iter().max() < Some(&24));
        }
    }
}
