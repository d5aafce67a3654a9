//! Who was asked for, and when, and where they said they are.
//!
//! smoltcp asks for one neighbour a second over all destinations, so that a dead one could keep live ones waiting; here
//! each neighbour is asked for by itself. And smoltcp believes every claim; here one that contradicts a live
//! neighbour, or answers what nobody asked, is found out before it gets there. Touches nothing.

use crate::time::Instant;
use alloc::{collections::BTreeMap, vec::Vec};
use core::{net::IpAddr, time::Duration};

/// Neighbours remembered. Beyond that the one asked for longest ago is forgotten.
const MAX_NEIGHBORS: usize = 256;
/// Time between two requests for a neighbour (RFC 1122 section 2.3.2.1, RFC 4861 section 10).
const INTERVAL: Duration = Duration::from_secs(1);
/// An answer is good for so long: less than smoltcp's 60 seconds, so that the next request comes before it forgets.
const FRESH: Duration = Duration::from_secs(45);

/// A neighbour that was heard this long ago is alive: nobody else takes its address. It is smoltcp's 60 seconds.
const LIVE: Duration = Duration::from_secs(60);
/// An answer that comes later was not asked for.
const ANSWER: Duration = Duration::from_secs(3);
/// Live neighbours that came by themselves. More are answered, but smoltcp's table has room for those that were asked for too.
const MAX_UNASKED: usize = 128;

#[derive(Clone, Copy, Default)]
struct Neighbor {
    asked: Option<Instant>,
    heard: Option<Instant>,
    /// Where it is, and when a frame from there came last.
    seen: Option<([u8; 6], Instant)>,
    /// It came by itself.
    unasked: bool,
}

impl Neighbor {
    fn live(&self, now: Instant) -> Option<[u8; 6]> {
        let (mac, at) = self.seen?;
        (now.since(at) < LIVE).then_some(mac)
    }
}

/// The neighbours.
#[derive(Default)]
pub(crate) struct Neighbors {
    known: BTreeMap<IpAddr, Neighbor>,
    waiting: Vec<crate::slab::Id>,
    /// Changes whenever one is forgotten, or somewhere else.
    epoch: u64,
}

/// Flows that may wait for a neighbour to be found. The others look again after a second.
const MAX_WAITING: usize = 1024;

impl Neighbors {
    fn entry(&mut self, neighbor: IpAddr) -> &mut Neighbor {
        if self.known.len() >= MAX_NEIGHBORS
            && !self.known.contains_key(&neighbor)
            // Those that never answered go before those that are somewhere.
            && let Some(oldest) = self
                .known
                .iter()
                .min_by_key(|(_, entry)| (entry.seen.map(|(_, at)| at), entry.asked))
                .map(|(address, _)| *address)
        {
            self.known.remove(&oldest);
            self.epoch = self.epoch.wrapping_add(1);
        }
        self.known.entry(neighbor).or_default()
    }

    /// Whether a request for this neighbour should be sent now. Notes that it was.
    pub(crate) fn should_ask(&mut self, neighbor: IpAddr, now: Instant) -> bool {
        let entry = self.entry(neighbor);
        let fresh = |at: Option<Instant>, age| at.is_some_and(|at| now.since(at) < age);
        if fresh(entry.heard, FRESH) || fresh(entry.asked, INTERVAL) {
            return false;
        }
        entry.asked = Some(now);
        true
    }

    /// A request for this neighbour was sent by somebody else.
    pub(crate) fn note_asked(&mut self, neighbor: IpAddr, now: Instant) {
        self.entry(neighbor).asked = Some(now);
    }

    /// A packet from this address came from this station.
    pub(crate) fn seen(&mut self, neighbor: IpAddr, mac: &[u8; 6], now: Instant) {
        if let Some(entry) = self.known.get_mut(&neighbor)
            && let Some((known, at)) = &mut entry.seen
            && known == mac
        {
            *at = now;
        }
    }

    /// Where a neighbour is that was heard of late, and until when that can be said, as long as the [`epoch`](Self::epoch) is the same.
    pub(crate) fn find(&self, neighbor: IpAddr, now: Instant) -> Option<([u8; 6], Instant)> {
        let neighbor = self.known.get(&neighbor)?;
        let (_, at) = neighbor.seen?;
        Some((neighbor.live(now)?, at.after(LIVE)))
    }

    /// Changes whenever a neighbour is forgotten, or somewhere else than before.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether to believe that a neighbour is at a station: what contradicts a live neighbour is not believed, nor an
    /// answer (`is_answer`) that nobody asked for. What is believed is noted.
    pub(crate) fn believes(
        &mut self,
        neighbor: IpAddr,
        mac: [u8; 6],
        is_answer: bool,
        now: Instant,
    ) -> bool {
        let known = self.known.get(&neighbor).copied().unwrap_or_default();
        let asked = known.asked.is_some_and(|at| now.since(at) < ANSWER);
        let believed = match known.live(now) {
            Some(live) => live == mac,
            None if is_answer || asked => asked,
            None => {
                let unasked = |entry: &&Neighbor| entry.unasked && entry.live(now).is_some();
                self.known.values().filter(unasked).count() < MAX_UNASKED
            }
        };
        if believed {
            let entry = self.entry(neighbor);
            let moves = entry.seen.is_some_and(|(before, _)| before != mac);
            entry.unasked = !asked && (entry.unasked || known.live(now).is_none());
            entry.seen = Some((mac, now));
            self.epoch = self.epoch.wrapping_add(moves.into());
        }
        believed
    }

    /// A flow waits for a neighbour.
    pub(crate) fn wait(&mut self, flow: crate::slab::Id) {
        if self.waiting.len() < MAX_WAITING && !self.waiting.contains(&flow) {
            self.waiting.push(flow);
        }
    }

    /// A neighbour said where it is. Returns the flows to look at if it was asked for: of others nothing is kept.
    pub(crate) fn heard(&mut self, neighbor: IpAddr, now: Instant) -> Option<Vec<crate::slab::Id>> {
        let entry = self.known.get_mut(&neighbor)?;
        entry.heard = Some(now);
        entry.asked?;
        Some(core::mem::take(&mut self.waiting))
    }

    /// Panics if a table is larger than it may be.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self) {
        assert!(self.known.len() <= MAX_NEIGHBORS, "neighbours");
        assert!(self.waiting.len() <= MAX_WAITING, "flows that wait");
    }

    /// The engine has forgotten where they are: all have to be asked again. Who is alive, and where, is still known.
    pub(crate) fn forgotten(&mut self) {
        for entry in self.known.values_mut() {
            entry.heard = None;
        }
    }

    /// Forgets everything, as after a change of network.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
        self.epoch = self.epoch.wrapping_add(1);
    }
}
