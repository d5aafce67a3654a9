//! The numbers of the well-behaved peer's connections, read off the wire: an attack on them has to know which numbers
//! would be exact, in order to send all others. Touches nothing.

use super::frames::flag;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Connections remembered.
const MOST: usize = 64;

/// A TCP segment that passed.
#[derive(Clone, Copy, Debug)]
pub struct Passed {
    /// Sender.
    pub from: (IpAddr, u16),
    /// Receiver.
    pub to: (IpAddr, u16),
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgment number.
    pub ack: u32,
    /// Flags.
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Shift of the window scale option, if there is one.
    pub scale: Option<u8>,
    /// Bytes of data.
    pub len: u32,
}

/// Reads a frame; `None` if it is no whole TCP segment.
pub fn read(frame: &[u8]) -> Option<Passed> {
    let be16 = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let (from, to, start, end): (IpAddr, IpAddr, usize, usize) = match be16(12)? {
        0x0800 if *frame.get(23)? == 6 => {
            let source: [u8; 4] = frame.get(26..30)?.try_into().ok()?;
            let target: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
            let start = 14 + usize::from(frame[14] & 0xf) * 4;
            (
                Ipv4Addr::from(source).into(),
                Ipv4Addr::from(target).into(),
                start,
                14 + usize::from(be16(16)?),
            )
        }
        0x86dd if *frame.get(20)? == 6 => {
            let source: [u8; 16] = frame.get(22..38)?.try_into().ok()?;
            let target: [u8; 16] = frame.get(38..54)?.try_into().ok()?;
            (
                Ipv6Addr::from(source).into(),
                Ipv6Addr::from(target).into(),
                54,
                54 + usize::from(be16(18)?),
            )
        }
        _ => return None,
    };
    let segment = frame.get(start..end)?;
    let word = |at: usize| {
        Some(u32::from_be_bytes(
            segment.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    let header = usize::from(*segment.get(12)? >> 4) * 4;
    let mut options = segment.get(20..header)?;
    let mut scale = None;
    while let [kind, rest @ ..] = options {
        match (kind, rest) {
            (0, _) => break,
            (1, rest) => options = rest,
            (kind, [len, ..]) if *len >= 2 => {
                if *kind == 3 {
                    scale = options.get(2).copied();
                }
                options = options.get(usize::from(*len)..)?;
            }
            _ => break,
        }
    }
    Some(Passed {
        from: (from, be16(start)?),
        to: (to, be16(start + 2)?),
        seq: word(4)?,
        ack: word(8)?,
        flags: segment[13],
        window: be16(start + 14)?,
        scale,
        len: segment.len().checked_sub(header)? as u32,
    })
}

/// A connection between peer and guest.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The peer's end.
    pub peer: (IpAddr, u16),
    /// The guest's end.
    pub guest: (IpAddr, u16),
    /// The number behind all that the peer has sent.
    pub peer_next: u32,
    /// What the guest has acknowledged of it.
    pub peer_acked: u32,
    /// Bytes that the guest is willing to take from there on.
    pub window: u32,
    /// The number behind all that the guest has sent.
    pub guest_next: u32,
    /// What the peer has acknowledged of it.
    pub guest_acked: u32,
    scale: u8,
    established: bool,
}

/// The connections.
#[derive(Default)]
pub struct Shadow {
    connections: BTreeMap<(IpAddr, u16, u16), Connection>,
}

/// Whether a number lies behind another on the circle.
fn is_behind(number: u32, other: u32) -> bool {
    (number.wrapping_sub(other) as i32) > 0
}

impl Shadow {
    /// A segment of the peer goes out.
    pub fn from_peer(&mut self, segment: &Passed) {
        let key = (segment.from.0, segment.from.1, segment.to.1);
        if segment.flags & flag::RST != 0 {
            self.connections.remove(&key);
            return;
        }
        let control =
            u32::from(segment.flags & flag::SYN != 0) + u32::from(segment.flags & flag::FIN != 0);
        let next = segment.seq.wrapping_add(segment.len).wrapping_add(control);
        if segment.flags & flag::SYN != 0 {
            if self.connections.len() >= MOST
                && let Some(key) = self.connections.keys().next().copied()
            {
                self.connections.remove(&key);
            }
            self.connections.insert(
                key,
                Connection {
                    peer: segment.from,
                    guest: segment.to,
                    peer_next: next,
                    peer_acked: segment.seq,
                    window: 0,
                    guest_next: 0,
                    guest_acked: 0,
                    scale: 0,
                    established: false,
                },
            );
        } else if let Some(known) = self.connections.get_mut(&key) {
            if is_behind(next, known.peer_next) {
                known.peer_next = next;
            }
            if segment.flags & flag::ACK != 0 {
                known.guest_acked = segment.ack;
            }
        }
    }

    /// A segment of the guest came.
    pub fn from_guest(&mut self, segment: &Passed) {
        let key = (segment.to.0, segment.to.1, segment.from.1);
        let Some(known) = self.connections.get_mut(&key) else {
            return;
        };
        if segment.flags & flag::RST != 0 {
            self.connections.remove(&key);
            return;
        }
        let control =
            u32::from(segment.flags & flag::SYN != 0) + u32::from(segment.flags & flag::FIN != 0);
        let next = segment.seq.wrapping_add(segment.len).wrapping_add(control);
        if segment.flags & flag::SYN != 0 {
            known.scale = segment.scale.unwrap_or(0).min(14);
            known.guest_next = next;
            known.guest_acked = segment.seq;
            known.established = true;
        } else if is_behind(next, known.guest_next) {
            known.guest_next = next;
        }
        known.peer_acked = segment.ack;
        let scale = if segment.flags & flag::SYN != 0 {
            0
        } else {
            known.scale
        };
        known.window = u32::from(segment.window) << scale;
    }

    /// The established connections.
    pub fn established(&self) -> Vec<Connection> {
        self.connections
            .values()
            .filter(|known| known.established)
            .copied()
            .collect()
    }
}
