//! Attacks on Ethernet and ARP.

use super::{Attacker, guest, host};
use crate::wire::{
    GUEST_MAC, PEER_MAC,
    frames::{self, ARP, BROADCAST, Ipv4},
};
use std::net::Ipv4Addr;

const ZERO: [u8; 6] = [0; 6];
const GROUP: [u8; 6] = [1, 0, 0x5e, 0, 0, 1];

/// Runts, giants, strangers, noise.
pub(super) fn ethernet(attacker: &mut Attacker) {
    let random = &mut attacker.random;
    let (from, kind) = match random.below(9) {
        0 => {
            let len = 1 + random.below(13);
            let runt = random.bytes(len);
            return attacker.outward.push(runt);
        }
        1 => {
            // Longer than the card takes, or the stack.
            let len = 1501 + random.below(9000);
            let payload = Ipv4::new(host(), guest(), 17).packet(&random.bytes(len));
            return attacker.send(PEER_MAC, frames::IPV4, &payload);
        }
        2 => (
            [0x03, 0, 0, 0, 0, 1],
            random.pick(&[frames::IPV4, ARP, frames::IPV6]),
        ),
        3 => (PEER_MAC, 0x8100),
        // A length, as in IEEE 802.3.
        4 => (PEER_MAC, random.below(1501) as u16),
        5 => (BROADCAST, frames::IPV4),
        6 => (GUEST_MAC, frames::IPV4),
        7 => (ZERO, random.pick(&[frames::IPV4, frames::IPV6, ARP])),
        _ => (PEER_MAC, random.word() as u16),
    };
    let len = random.below(200);
    let payload = random.bytes(len);
    attacker.send(from, kind, &payload);
}

/// A burst to everybody.
pub(super) fn broadcasts(attacker: &mut Attacker) {
    let from = attacker.somebody();
    let mac = attacker.station(from);
    for _ in 0..20 {
        let random = &mut attacker.random;
        let to = random.pick(&[BROADCAST, GROUP, [0x33, 0x33, 0, 0, 0, 1]]);
        let frame = match random.below(3) {
            0 => {
                let target = Ipv4Addr::new(10, 77, 0, random.below(256) as u8);
                frames::ethernet(to, mac, ARP, &frames::arp(1, (mac, from), (ZERO, target)))
            }
            1 => {
                let port = random.pick(&[7, 19, 68, 137, 5353]);
                let all = random.pick(&[
                    Ipv4Addr::BROADCAST,
                    Ipv4Addr::new(10, 77, 0, 255),
                    Ipv4Addr::new(224, 0, 0, 251),
                ]);
                let datagram = frames::udp4((from, 4000), (all, port), b"to all");
                frames::ethernet(
                    to,
                    mac,
                    frames::IPV4,
                    &Ipv4::new(from, all, 17).packet(&datagram),
                )
            }
            _ => {
                // The smurf attack: an echo request to everybody.
                let ping = frames::icmp4(8, 0, 7, b"smurf");
                let packet = Ipv4::new(from, Ipv4Addr::BROADCAST, 1).packet(&ping);
                frames::ethernet(to, mac, frames::IPV4, &packet)
            }
        };
        attacker.outward.push(frame);
    }
}

/// Lies about who is where, and ARP packets that are none.
pub(super) fn arp(attacker: &mut Attacker) {
    let random = &mut attacker.random;
    let evil = [0x02, 0x66, 0, 0, 0, random.word() as u8];
    let stranger = Ipv4Addr::new(10, 77, 0, 3 + random.below(250) as u8);
    let (operation, from, to) = match random.below(9) {
        // The peer is said to be elsewhere, by an answer that nobody asked for and by a question.
        0 => (2, (evil, host()), (GUEST_MAC, guest())),
        1 => (1, (evil, host()), (ZERO, guest())),
        // Gratuitously.
        2 => (random.pick(&[1, 2]), (evil, host()), (BROADCAST, host())),
        // Somebody claims the guest's own address.
        3 => (random.pick(&[1, 2]), (evil, guest()), (ZERO, guest())),
        // One more neighbour than the table has room for.
        4 => (1, (evil, stranger), (ZERO, guest())),
        5 => (
            2,
            (random.pick(&[BROADCAST, GROUP, ZERO]), host()),
            (GUEST_MAC, guest()),
        ),
        6 => (random.word() as u16, (evil, stranger), (GUEST_MAC, guest())),
        7 => {
            let nobody = attacker.nobody();
            (2, (evil, nobody), (GUEST_MAC, guest()))
        }
        _ => (1, (evil, Ipv4Addr::UNSPECIFIED), (ZERO, guest())),
    };
    let mut packet = frames::arp(operation, from, to);
    if attacker.random.once_in(4) {
        let at = attacker.random.below(8) as usize;
        packet[at] = attacker.random.word() as u8;
    }
    if attacker.random.once_in(4) {
        packet.truncate(attacker.random.below(28) as usize);
    }
    attacker.send(evil, ARP, &packet);
}
