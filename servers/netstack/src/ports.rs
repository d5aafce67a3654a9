//! Who listens at which port.

use crate::slab::Id;
use alloc::{collections::BTreeMap, vec::Vec};

/// First of the ports that are given out by themselves (RFC 6335 section 6).
const FIRST_EPHEMERAL: u16 = 49152;

/// Adds a user of a port.
pub(crate) fn add(ports: &mut BTreeMap<u16, Vec<Id>>, port: u16, id: Id) {
    ports.entry(port).or_default().push(id);
}

/// Removes a user of a port.
pub(crate) fn remove(ports: &mut BTreeMap<u16, Vec<Id>>, port: u16, id: Id) {
    if let Some(users) = ports.get_mut(&port) {
        users.retain(|user| *user != id);
        if users.is_empty() {
            ports.remove(&port);
        }
    }
}

/// An unused port, searched from a random `start` on. `None` if all are in use.
pub(crate) fn ephemeral(start: u16, is_used: impl Fn(u16) -> bool) -> Option<u16> {
    // One more than the span is a power of two: no port is likelier than another.
    let span = u16::MAX - FIRST_EPHEMERAL;
    (0..=span)
        .map(|step| FIRST_EPHEMERAL | (start.wrapping_add(step) & span))
        .find(|port| !is_used(*port))
}

/// First of the ports that need no privilege anywhere (RFC 6335 section 6).
const FIRST_USER: u16 = 1024;

/// An unused port from the whole range, for who has to be unpredictable (RFC 5452 section 9.2). `None` if all are in use.
pub(crate) fn unpredictable(
    mut draw: impl FnMut() -> u16,
    is_used: impl Fn(u16) -> bool,
) -> Option<u16> {
    // One in 64 is too small; the last resort is not likelier than its neighbours by much.
    let start = (0..8).map(|_| draw()).find(|port| *port >= FIRST_USER);
    let start = start.unwrap_or(FIRST_EPHEMERAL);
    (0..=u16::MAX)
        .map(|step| start.wrapping_add(step))
        .find(|port| *port >= FIRST_USER && !is_used(*port))
}
