//! Listeners: handshakes under way, and connections that wait to be accepted.
//!
//! A half-open connection is what its SYN offered and two numbers, no socket: thousands cost little, the
//! oldest makes room for the newest, and they age. A listener that is full drops SYNs and never sends a reset, so that
//! the peer tries again.

use crate::{
    Instant, connection::FlowKey, engine::Offer, key_map::KeyMap, random::Random, session::Owner,
    slab::Id,
};
#[cfg(any(test, feature = "testing"))]
use alloc::collections::BTreeSet;
use alloc::{boxed::Box, collections::VecDeque};
use core::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use ipc_proto::{fifo::StreamEnds, socket::RequestId};

/// Most half-open connections, over all listeners.
pub(crate) const MAX_HALF_OPEN: usize = 2048;
/// Half-open connections older than this are forgotten.
const HALF_OPEN_AGE: Duration = Duration::from_secs(20);
/// Most accepts that wait at one listener.
pub(crate) const MAX_ACCEPTS: usize = 128;
/// Largest backlog.
pub(crate) const MAX_BACKLOG: u16 = 128;

/// A client that waits for a connection.
pub(crate) struct Accept {
    /// Its request.
    pub(crate) id: RequestId,
    /// The FIFOs for the connection.
    pub(crate) ends: StreamEnds,
}

/// A listener.
pub(crate) struct Listener {
    /// Address and port.
    pub(crate) local: SocketAddr,
    /// Its client's socket.
    pub(crate) owner: Owner,
    /// Connections that may wait.
    pub(crate) backlog: usize,
    /// Connections that wait.
    pub(crate) ready: VecDeque<Id>,
    /// Clients that wait.
    pub(crate) accepts: VecDeque<Accept>,
}

impl Listener {
    /// Whether it takes connections to this address: its own, or all (`::` both families).
    pub(crate) fn covers(&self, address: IpAddr) -> bool {
        covers(self.local.ip(), address)
    }

    /// Whether there is room for another connection.
    pub(crate) fn has_room(&self) -> bool {
        self.ready.len() < self.backlog
    }
}

/// Whether a socket bound to `bound` gets what is sent to `address`.
pub(crate) fn covers(bound: IpAddr, address: IpAddr) -> bool {
    match bound {
        IpAddr::V6(any) if any.is_unspecified() => true,
        IpAddr::V4(any) if any.is_unspecified() => address.is_ipv4(),
        _ => bound == address,
    }
}

/// Whether two sockets on one port would get the same packets.
pub(crate) fn overlap(a: IpAddr, b: IpAddr) -> bool {
    covers(a, b) || covers(b, a)
}

/// A connection whose handshake is under way.
pub(crate) struct HalfOpen {
    /// Whose it will be.
    pub(crate) listener: Id,
    /// Our initial sequence number.
    pub(crate) isn: u32,
    /// The peer's.
    pub(crate) peer_isn: u32,
    /// What its SYN offered.
    pub(crate) offer: Offer,
    /// Bytes of the connection's buffers, each way, of which the SYN-ACK tells.
    pub(crate) buffer: usize,
    /// When the SYN came.
    pub(crate) born: Instant,
    /// SYN-ACKs sent again.
    pub(crate) resent: u8,
}

/// The handshakes under way.
pub(crate) struct HalfOpens {
    entries: KeyMap<HalfOpen>,
    /// In order of birth. What is not in the table, or was born at another time, is out of date.
    order: VecDeque<(Instant, FlowKey)>,
    next_age: Option<Instant>,
}

/// Time between two looks at the handshakes under way.
const AGE_INTERVAL: Duration = Duration::from_millis(500);

impl HalfOpens {
    /// None.
    pub(crate) fn new(random: &mut Random) -> HalfOpens {
        HalfOpens {
            entries: KeyMap::new(random),
            order: VecDeque::new(),
            next_age: None,
        }
    }

    /// Handshakes under way.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The handshake with this peer.
    pub(crate) fn get(&self, key: &FlowKey) -> Option<&HalfOpen> {
        self.entries.get(key)
    }

    /// Adds one. True if the oldest had to make room.
    pub(crate) fn insert(&mut self, key: FlowKey, entry: HalfOpen) -> bool {
        let mut evicted = false;
        if !self.entries.contains_key(&key) {
            while self.entries.len() >= MAX_HALF_OPEN {
                let Some((born, oldest)) = self.order.pop_front() else {
                    break;
                };
                evicted |= self.remove_if_born(born, &oldest).is_some();
            }
        }
        self.next_age.get_or_insert(entry.born.after(AGE_INTERVAL));
        self.order.push_back((entry.born, key));
        self.entries.insert(key, entry);
        // Entries that were replaced or completed leave their place in the order behind.
        if self.order.len() > MAX_HALF_OPEN.saturating_mul(4) {
            let entries = &self.entries;
            self.order
                .retain(|(born, key)| entries.get(key).is_some_and(|entry| entry.born == *born));
        }
        evicted
    }

    /// Puts one back that was taken out, with the place in the order that it had.
    pub(crate) fn put_back(&mut self, key: FlowKey, entry: HalfOpen) {
        self.entries.insert(key, entry);
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, key: &FlowKey) -> Option<HalfOpen> {
        self.entries.remove(key)
    }

    fn remove_if_born(&mut self, born: Instant, key: &FlowKey) -> Option<HalfOpen> {
        self.entries.remove_if(key, |entry| entry.born == born)
    }

    /// Forgets those of a listener.
    pub(crate) fn forget(&mut self, listener: Id) {
        self.entries.retain(|entry| entry.listener != listener);
    }

    /// Keys and listeners. Panics if one could be forgotten and never age, or a table is larger than it may be.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = (FlowKey, Id)> + '_ {
        assert!(self.entries.len() <= MAX_HALF_OPEN, "handshakes");
        assert!(self.order.len() <= 4 * MAX_HALF_OPEN, "order of handshakes");
        assert!(
            self.entries.is_empty() || self.next_age.is_some(),
            "no ageing"
        );
        let order: BTreeSet<_> = self.order.iter().copied().collect();
        self.entries.iter().map(move |(key, entry)| {
            assert!(order.contains(&(entry.born, *key)), "{key:?} never ages");
            (*key, entry.listener)
        })
    }

    /// Forgets the old ones. Returns those whose SYN-ACK should be sent again (after 1, 3, 7 and 15 seconds), at most `most`.
    pub(crate) fn age(&mut self, now: Instant, most: usize) -> alloc::vec::Vec<FlowKey> {
        while let Some((born, key)) = self.order.front().copied() {
            if now.since(born) < HALF_OPEN_AGE && self.entries.contains_key(&key) {
                break;
            }
            self.order.pop_front();
            self.remove_if_born(born, &key);
        }
        self.next_age = (!self.order.is_empty()).then(|| now.after(AGE_INTERVAL));
        let mut again = alloc::vec::Vec::new();
        // Under a flood, sending again would only help the flood.
        for (born, key) in self.order.iter().take(most) {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            let wait = Duration::from_secs((2u64 << entry.resent.min(8)).saturating_sub(1));
            if entry.born == *born && now.since(*born) >= wait && entry.resent < 4 {
                entry.resent = entry.resent.saturating_add(1);
                again.push(*key);
            }
        }
        again
    }

    /// When [`age`](Self::age) should be called next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next_age
    }
}

/// Ended connections whose last acknowledgment may have to be sent again (RFC 9293 section 3.6.1, TIME-WAIT).
pub(crate) struct TimeWaits {
    entries: KeyMap<(Instant, Box<[u8]>)>,
    order: VecDeque<(Instant, FlowKey)>,
}

/// Most connections remembered.
const MAX_TIME_WAITS: usize = 4096;
/// How long they are. RFC 9293 says two maximum segment lifetimes; ten seconds are what smoltcp uses.
const TIME_WAIT: Duration = Duration::from_secs(10);

impl TimeWaits {
    /// None.
    pub(crate) fn new(random: &mut Random) -> TimeWaits {
        TimeWaits {
            entries: KeyMap::new(random),
            order: VecDeque::new(),
        }
    }

    /// Connections remembered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Remembers a connection by its last acknowledgment.
    pub(crate) fn insert(&mut self, key: FlowKey, ack: Box<[u8]>, now: Instant) {
        while self.entries.len() >= MAX_TIME_WAITS {
            let Some((until, oldest)) = self.order.pop_front() else {
                break;
            };
            self.remove_if(until, &oldest);
        }
        let until = now.after(TIME_WAIT);
        self.entries.insert(key, (until, ack));
        self.order.push_back((until, key));
        // Those that began anew leave their place in the order behind.
        if self.order.len() > MAX_TIME_WAITS.saturating_mul(4) {
            let entries = &self.entries;
            self.order
                .retain(|(until, key)| entries.get(key).is_some_and(|(at, _)| at == until));
        }
    }

    fn remove_if(&mut self, until: Instant, key: &FlowKey) {
        self.entries.remove_if(key, |(at, _)| *at == until);
    }

    /// The last acknowledgment of a connection.
    pub(crate) fn get(&self, key: &FlowKey) -> Option<&[u8]> {
        self.entries.get(key).map(|(_, ack)| &**ack)
    }

    /// Forgets a connection: its addresses are used anew.
    pub(crate) fn remove(&mut self, key: &FlowKey) {
        self.entries.remove(key);
    }

    /// Keys. Panics if one could be kept for ever, or a table is larger than it may be.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) -> impl Iterator<Item = FlowKey> + '_ {
        assert!(
            self.entries.len() <= MAX_TIME_WAITS,
            "connections that have ended"
        );
        assert!(self.order.len() <= 4 * MAX_TIME_WAITS, "their order");
        let order: BTreeSet<_> = self.order.iter().copied().collect();
        self.entries.iter().map(move |(key, (until, _))| {
            assert!(order.contains(&(*until, *key)), "{key:?} never ends");
            *key
        })
    }

    /// Forgets what is over.
    pub(crate) fn age(&mut self, now: Instant) {
        while let Some((until, key)) = self.order.front().copied() {
            if until > now {
                break;
            }
            self.order.pop_front();
            self.remove_if(until, &key);
        }
    }

    /// When the next one is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_end_and_begin_anew_leave_nothing_behind() {
        let mut ended = TimeWaits::new(&mut Random::new([0; 32]));
        let any = SocketAddr::from(([10, 0, 0, 1], 80));
        let key = FlowKey {
            local: any,
            remote: any,
        };
        for at in 0..10 * MAX_TIME_WAITS as u64 {
            ended.insert(key, [].into(), Instant::from_nanos(at));
            ended.remove(&key);
        }
        assert_eq!(ended.check().count(), 0);
    }
}
