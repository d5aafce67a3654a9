//! Who was asked for, and when. smoltcp asks for one neighbour a second over all destinations, so that a dead one
//! could keep live ones waiting; here each neighbour is asked for by itself.

use crate::time::Instant;
use alloc::{collections::BTreeMap, vec::Vec};
use core::{net::IpAddr, time::Duration};

/// Neighbours remembered. Beyond that the one asked for longest ago is forgotten.
const MAX_NEIGHBORS: usize = 256;
/// Time between two requests for a neighbour (RFC 1122 section 2.3.2.1, RFC 4861 section 10).
const INTERVAL: Duration = Duration::from_secs(1);
/// An answer is good for so long: less than smoltcp's 60 seconds, so that the next request comes before it forgets.
const FRESH: Duration = Duration::from_secs(45);

#[derive(Clone, Copy, Default)]
struct Neighbor {
    asked: Option<Instant>,
    heard: Option<Instant>,
}

/// The neighbours.
#[derive(Default)]
pub(crate) struct Neighbors {
    known: BTreeMap<IpAddr, Neighbor>,
    waiting: Vec<crate::slab::Id>,
}

/// Flows that may wait for a neighbour to be found. The others look again after a second.
const MAX_WAITING: usize = 1024;

impl Neighbors {
    /// Whether a request for this neighbour should be sent now. Notes that it was.
    pub(crate) fn should_ask(&mut self, neighbor: IpAddr, now: Instant) -> bool {
        if self.known.len() >= MAX_NEIGHBORS
            && !self.known.contains_key(&neighbor)
            && let Some(oldest) = self
                .known
                .iter()
                .min_by_key(|(_, entry)| entry.asked.max(entry.heard))
                .map(|(address, _)| *address)
        {
            self.known.remove(&oldest);
        }
        let entry = self.known.entry(neighbor).or_default();
        let fresh = |at: Option<Instant>, age| at.is_some_and(|at| now.since(at) < age);
        if fresh(entry.heard, FRESH) || fresh(entry.asked, INTERVAL) {
            return false;
        }
        entry.asked = Some(now);
        true
    }

    /// A flow waits for a neighbour.
    pub(crate) fn wait(&mut self, flow: crate::slab::Id) {
        if self.waiting.len() < MAX_WAITING && !self.waiting.contains(&flow) {
            self.waiting.push(flow);
        }
    }

    /// A neighbour said where it is. Returns the flows to look at if it was asked for: of others nothing is kept.
    pub(crate) fn heard(&mut self, neighbor: IpAddr, now: Instant) -> Option<Vec<crate::slab::Id>> {
        self.known.get_mut(&neighbor)?.heard = Some(now);
        Some(core::mem::take(&mut self.waiting))
    }

    /// Forgets everything, as after a change of network.
    pub(crate) fn clear(&mut self) {
        self.known.clear();
    }
}
