//! Forgeries in the name of the peer: segments for its connections with numbers that are near but not exact, errors
//! about them, and frames of the guest that come back damaged.

use super::{Attacker, host};
use crate::wire::{
    PEER_MAC,
    frames::{self, Ipv4, Tcp, flag},
    shadow::Connection,
};
use std::net::IpAddr;

/// Numbers this far away are in nobody's window.
const FAR: u64 = 1 << 24;
/// How far, at most.
const FARTHEST: u64 = 1 << 30;
/// Largest window of the guest, and of the peer: what is older than that is not to be believed (RFC 5961 section 5.2).
const LARGEST_WINDOW: u32 = 1 << 20;

impl Attacker {
    fn victim(&mut self) -> Option<Connection> {
        let connections = self.shadow.established();
        if connections.is_empty() {
            return None;
        }
        Some(self.random.pick(&connections))
    }

    /// A number that is in the window but is not the next one, nor any that has been or is being sent.
    fn inexact(&mut self, victim: &Connection) -> Option<u32> {
        let end = victim.peer_acked.wrapping_add(victim.window);
        let room = end.wrapping_sub(victim.peer_next) as i32;
        if room < 2 {
            return None;
        }
        let offset = 1 + self.random.below(room as u64 - 1) as u32;
        Some(victim.peer_next.wrapping_add(offset))
    }

    /// A number before the window, or far behind it.
    fn outside(&mut self, victim: &Connection) -> u32 {
        if self.random.once_in(2) {
            victim
                .peer_acked
                .wrapping_sub(1 + self.random.below(FARTHEST) as u32)
        } else {
            victim
                .peer_next
                .wrapping_add((FAR + self.random.below(FARTHEST)) as u32)
        }
    }

    /// An acknowledgment of what was never sent, or of what is long forgotten.
    fn wrong_ack(&mut self, victim: &Connection) -> u32 {
        if self.random.once_in(2) {
            victim
                .guest_next
                .wrapping_add((FAR + self.random.below(FARTHEST)) as u32)
        } else {
            victim
                .guest_acked
                .wrapping_sub(LARGEST_WINDOW + self.random.below(FARTHEST) as u32)
        }
    }

    fn forge(&mut self, victim: &Connection, segment: &Tcp) {
        match (victim.peer.0, victim.guest.0) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let bytes = segment.bytes(|len| frames::pseudo4(from, to, 6, len));
                self.send(
                    PEER_MAC,
                    frames::IPV4,
                    &Ipv4::new(from, to, 6).packet(&bytes),
                );
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let bytes = segment.bytes(|len| frames::pseudo6(from, to, 6, len));
                self.send(
                    PEER_MAC,
                    frames::IPV6,
                    &frames::ipv6(from, to, 6, 64, &bytes),
                );
            }
            _ => {}
        }
    }
}

/// Segments for a connection of the peer (RFC 5961).
pub(super) fn segments(attacker: &mut Attacker) {
    let Some(victim) = attacker.victim() else {
        return;
    };
    let kind = attacker.random.below(9);
    let inexact = attacker.inexact(&victim);
    let outside = attacker.outside(&victim);
    let near = inexact.unwrap_or(outside);
    let wrong_ack = attacker.wrong_ack(&victim);
    let len = 1 + attacker.random.below(600);
    let noise = attacker.random.bytes(len);
    let (seq, ack, flags, data) = match kind {
        // A reset in the window asks for a challenge, one outside is nothing.
        0 => (near, victim.guest_next, flag::RST, vec![]),
        1 => (outside, victim.guest_next, flag::RST | flag::ACK, vec![]),
        // A SYN is answered by a challenge, whatever its number: even the exact one.
        2 => (near, 0, flag::SYN, vec![]),
        3 => (
            victim.peer_next,
            victim.guest_next,
            flag::SYN | flag::ACK,
            vec![],
        ),
        4 => (outside, victim.guest_next, flag::FIN | flag::ACK, vec![]),
        5 => {
            // Other bytes in place of what was acknowledged already.
            let len = noise.len() as u32;
            (
                victim.peer_acked.wrapping_sub(len),
                victim.guest_acked,
                flag::ACK | flag::PSH,
                noise,
            )
        }
        6 => (outside, victim.guest_next, flag::ACK | flag::URG, noise),
        // In the window, with an acknowledgment that gives it away.
        7 => (near, wrong_ack, flag::ACK | flag::PSH, noise),
        // No more window, says somebody who does not know the numbers.
        _ => (near, wrong_ack, flag::ACK, vec![]),
    };
    let segment = Tcp {
        from: victim.peer.1,
        to: victim.guest.1,
        seq,
        ack,
        flags,
        window: 0,
        urgent: 1,
        options: vec![],
        data,
    };
    attacker.forge(&victim, &segment);
}

/// Messages that a connection of the peer can't go on: unreachable, too big, time exceeded, quench.
pub(super) fn errors(attacker: &mut Attacker) {
    let Some(victim) = attacker.victim() else {
        return;
    };
    let random = &mut attacker.random;
    let seq = if random.once_in(2) {
        victim.guest_acked
    } else {
        random.word() as u32
    };
    let mut quoted = Vec::new();
    quoted.extend_from_slice(&victim.guest.1.to_be_bytes());
    quoted.extend_from_slice(&victim.peer.1.to_be_bytes());
    quoted.extend_from_slice(&seq.to_be_bytes());
    match (victim.guest.0, victim.peer.0) {
        (IpAddr::V4(guest), IpAddr::V4(peer)) => {
            let packet = Ipv4::new(guest, peer, 6).packet(&quoted);
            let (kind, code) = random.pick(&[
                (3, 0),
                (3, 1),
                (3, 2),
                (3, 3),
                (3, 4),
                (4, 0),
                (11, 0),
                (12, 0),
            ]);
            let mtu = random.pick(&[0, 68, 552, 65_535]);
            let message = frames::icmp4(kind, code, mtu, &packet);
            attacker.send4(&Ipv4::new(host(), guest, 1), &message);
        }
        (IpAddr::V6(guest), IpAddr::V6(peer)) => {
            let packet = frames::ipv6(guest, peer, 6, 64, &quoted);
            let (kind, code) = random.pick(&[(1, 0), (1, 4), (2, 0), (3, 0), (4, 1)]);
            let body = [&[0, 0, 0, 0][..], &packet].concat();
            let message = frames::icmp6(peer, guest, kind, code, &body);
            attacker.send(
                PEER_MAC,
                frames::IPV6,
                &frames::ipv6(peer, guest, 58, 64, &message),
            );
        }
        _ => {}
    }
}

/// A frame of the guest's own comes back, as it was or with some bits turned.
pub(super) fn damaged(attacker: &mut Attacker) {
    let mut frame = attacker.heard.clone();
    if frame.len() < 14 {
        return;
    }
    if attacker.random.once_in(2) {
        frame.copy_within(0..6, 6);
        frame[..6].copy_from_slice(&crate::wire::GUEST_MAC);
    }
    for _ in 0..attacker.random.below(6) {
        let at = attacker.random.below(frame.len() as u64) as usize;
        frame[at] ^= 1 << attacker.random.below(8);
    }
    if attacker.random.once_in(4) {
        frame.truncate(attacker.random.below(frame.len() as u64) as usize);
    }
    attacker.outward.push(frame);
}
