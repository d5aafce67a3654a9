//! Attacks on IPv4, IPv6, ICMP and neighbour discovery.

use super::{Attacker, guest, host};
use crate::wire::{
    GUEST_MAC, PEER_MAC,
    frames::{self, Ipv4},
    peer::peer_address6,
};
use std::net::{Ipv4Addr, Ipv6Addr};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn guest6() -> Ipv6Addr {
    frames::link_local(GUEST_MAC)
}

/// Headers that lie.
pub(super) fn ipv4(attacker: &mut Attacker) {
    let from = attacker.somebody();
    let mac = attacker.station(from);
    let protocol = attacker
        .random
        .pick(&[0, 1, 2, 4, 6, 17, 41, 47, 50, 58, 255]);
    let len = attacker.random.below(120);
    let payload = attacker.random.bytes(len);
    let mut header = Ipv4::new(from, guest(), protocol);
    let kind = attacker.random.below(10);
    let options: &[u8] = match kind {
        // Loose source route, record route, timestamp, no end, a length of zero, a length that is too long.
        0 => attacker.random.pick(&[
            &[131, 7, 4, 10, 77, 0, 9, 0][..],
            &[7, 39, 4, 0],
            &[68, 12, 5, 0],
            &[130, 0, 0, 0],
            &[9, 255, 1, 1],
            &[0xff; 40],
        ]),
        _ => &[],
    };
    header.options = options;
    match kind {
        1 => header.ttl = 0,
        2 => header.from = attacker.nobody(),
        3 => header.to = attacker.nobody(),
        _ => {}
    }
    let mut packet = header.packet(&payload);
    match kind {
        // Header length, version, total length.
        4 => packet[0] = attacker.random.word() as u8,
        5 => {
            let total = attacker.random.pick(&[0u16, 1, 19, 20, 21, 1501, 65_535]);
            packet[2..4].copy_from_slice(&total.to_be_bytes());
        }
        6 => packet.truncate(attacker.random.below(20) as usize),
        7 => packet[10] ^= 0x55,
        8 => packet[6] |= 0x80,
        _ => {}
    }
    if !matches!(kind, 6 | 7) && packet.len() >= 20 {
        frames::seal(&mut packet);
    }
    attacker.send(mac, frames::IPV4, &packet);
}

/// Fragments that overlap, never end, begin too small or reach too far.
pub(super) fn fragments(attacker: &mut Attacker) {
    let from = attacker.somebody();
    let id = attacker.random.word() as u16;
    let protocol = attacker.random.pick(&[1, 6, 17]);
    let piece = |attacker: &mut Attacker, at: u16, more: bool, len: u64| {
        let mut header = Ipv4::new(from, guest(), protocol);
        header.id = id;
        header.fragment = at | if more { 0x2000 } else { 0 };
        let bytes = attacker.random.bytes(len);
        attacker.send4(&header, &bytes);
    };
    match attacker.random.below(7) {
        0 => {
            // Teardrop: the second lies within the first.
            piece(attacker, 0, true, 64);
            piece(attacker, 3, false, 8);
        }
        1 => {
            piece(attacker, 0, true, 64);
            piece(attacker, 4, true, 64);
            piece(attacker, 2, false, 100);
        }
        2 => piece(attacker, 0, true, 1480),
        3 => piece(attacker, 0, true, 8),
        4 => {
            // The ping of death: it ends behind 65,535.
            piece(attacker, 0, true, 1480);
            piece(attacker, 8189, false, 1000);
        }
        5 => {
            for at in 0..8 {
                piece(attacker, 8190 - at, true, 8);
            }
        }
        _ => {
            // The last one first, and no middle.
            piece(attacker, 185, false, 33);
            piece(attacker, 0, true, 740);
        }
    }
}

/// Extension headers in chains, lengths that lie.
pub(super) fn ipv6(attacker: &mut Attacker) {
    let random = &mut attacker.random;
    let mut payload = Vec::new();
    let first = random.pick(&[0u8, 43, 44, 50, 51, 59, 60, 135, 6, 17, 58, 255]);
    for _ in 0..random.below(12) {
        let next = random.pick(&[0u8, 43, 44, 51, 59, 60, 6, 17, 58]);
        let units = if random.once_in(8) {
            random.word() as u8
        } else {
            random.below(3) as u8
        };
        payload.extend_from_slice(&[next, units]);
        let len = 6 + 8 * u64::from(units.min(3));
        payload.extend(random.bytes(len));
    }
    let len = random.below(80);
    payload.extend(random.bytes(len));
    let from = random.pick(&[
        peer_address6(),
        Ipv6Addr::UNSPECIFIED,
        Ipv6Addr::LOCALHOST,
        ALL_NODES,
        guest6(),
        guest().to_ipv6_mapped(),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    ]);
    let to = random.pick(&[
        guest6(),
        guest6(),
        guest6(),
        ALL_NODES,
        Ipv6Addr::LOCALHOST,
        guest().to_ipv6_mapped(),
    ]);
    let hops = random.pick(&[0, 1, 64, 255]);
    let mut packet = frames::ipv6(from, to, first, hops, &payload);
    match random.below(5) {
        0 => {
            let len = random.word() as u16;
            packet[4..6].copy_from_slice(&len.to_be_bytes());
        }
        1 => packet.truncate(random.below(40) as usize),
        2 => packet[0] = random.word() as u8,
        _ => {}
    }
    attacker.send(PEER_MAC, frames::IPV6, &packet);
}

/// Messages of every type; redirects; echo requests that are too long or lie.
pub(super) fn icmp(attacker: &mut Attacker) {
    let from = attacker.somebody();
    let random = &mut attacker.random;
    let len = random.below(60);
    let data = random.bytes(len);
    let mut message = match random.below(6) {
        0 => {
            // Another router, for the way to the peer.
            let quoted = Ipv4::new(guest(), host(), 6).packet(&random.bytes(8));
            frames::icmp4(
                5,
                random.below(4) as u8,
                u32::from(Ipv4Addr::new(10, 77, 0, 66)),
                &quoted,
            )
        }
        1 => frames::icmp4(8, 0, random.word() as u32, &random.bytes(1400)),
        2 => frames::icmp4(0, 0, random.word() as u32, &data),
        3 => frames::icmp4(3, random.word() as u8, random.word() as u32, &data),
        _ => frames::icmp4(
            random.word() as u8,
            random.word() as u8,
            random.word() as u32,
            &data,
        ),
    };
    match random.below(6) {
        0 => message.truncate(random.below(8) as usize),
        1 => message[2] ^= 1,
        _ => {}
    }
    attacker.send4(&Ipv4::new(from, guest(), 1), &message);
}

/// The same for IPv6, and router advertisements.
pub(super) fn icmpv6(attacker: &mut Attacker) {
    let random = &mut attacker.random;
    let from = random.pick(&[
        peer_address6(),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x66),
    ]);
    let to = random.pick(&[guest6(), ALL_NODES]);
    let (kind, body) = match random.below(5) {
        0 => {
            // A router that does not live, with prefixes of any length and lifetime.
            let mut body = vec![64, random.word() as u8, 0, 0];
            body.extend(random.bytes(8));
            for _ in 0..random.below(20) {
                body.extend_from_slice(&[3, 4, random.word() as u8, 0xc0]);
                body.extend(random.bytes(28));
            }
            (134, body)
        }
        1 => {
            let len = random.below(100);
            (134, random.bytes(len))
        }
        2 => {
            let len = random.below(100);
            (137, random.bytes(len))
        }
        3 => (2, random.bytes(48)),
        _ => {
            let len = random.below(100);
            (random.word() as u8, random.bytes(len))
        }
    };
    let message = frames::icmp6(from, to, kind, random.below(3) as u8, &body);
    let hops = random.pick(&[255, 255, 64]);
    let packet = frames::ipv6(from, to, 58, hops, &message);
    attacker.send([0x02, 0x66, 0, 0, 1, 1], frames::IPV6, &packet);
}

/// Lies about who is where.
pub(super) fn neighbours(attacker: &mut Attacker) {
    let random = &mut attacker.random;
    let evil = [0x02, 0x66, 0, 0, 2, random.word() as u8];
    let stranger = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, random.word() as u16);
    let about = random.pick(&[peer_address6(), guest6(), stranger]);
    let (kind, from, flags) = match random.below(4) {
        // Solicited, override, router: whatever makes it believed.
        0 | 1 => (136, about, (random.word() as u32) & 0xe000_0000),
        2 => (135, about, 0),
        _ => (135, Ipv6Addr::UNSPECIFIED, 0),
    };
    let target = if kind == 135 { guest6() } else { about };
    let mut body = flags.to_be_bytes().to_vec();
    body.extend_from_slice(&target.octets());
    for _ in 0..1 + random.below(2) {
        body.extend_from_slice(&[if kind == 135 { 1 } else { 2 }, 1]);
        body.extend_from_slice(&evil);
    }
    match random.below(5) {
        // An option of no length, or of a wrong one.
        0 => body[21] = random.word() as u8,
        1 => body.truncate(random.below(28) as usize),
        _ => {}
    }
    let message = frames::icmp6(from, guest6(), kind, 0, &body);
    let packet = frames::ipv6(from, guest6(), 58, 255, &message);
    attacker.send(evil, frames::IPV6, &packet);
}
