//! Attacks on UDP and TCP that need no connection.

use super::{Attacker, guest, host};
use crate::wire::frames::{self, Ipv4, Tcp, flag};
use std::net::Ipv4Addr;

/// Ports that somebody listens on.
const OPEN: &[u16] = &[7, 9, 11, 13, 19, 80];
/// SYNs of one burst.
const FLOOD: usize = 24;

/// Lengths and checksums that lie, ports that are none, services set upon each other.
pub(super) fn udp(attacker: &mut Attacker) {
    let mut from = attacker.somebody();
    let random = &mut attacker.random;
    let (source, target) = match random.below(5) {
        // Echo and chargen, made to talk to each other for ever.
        0 => (random.pick(&[7, 19]), random.pick(&[7, 19])),
        1 => (0, 7),
        2 => (4000, 0),
        3 => (random.word() as u16, random.word() as u16),
        _ => (random.word() as u16, 7),
    };
    let len = random.below(300);
    let data = random.bytes(len);
    if random.once_in(8) {
        from = guest();
    }
    let mut datagram = frames::udp4((from, source), (guest(), target), &data);
    match random.below(6) {
        0 => {
            let len = random.pick(&[0u16, 1, 7, 8, 9, 2000, 65_535]);
            datagram[4..6].copy_from_slice(&len.to_be_bytes());
        }
        1 => datagram[6] ^= 0x11,
        2 => datagram[6..8].fill(0),
        3 => datagram.truncate(random.below(9) as usize),
        _ => {}
    }
    attacker.send4(&Ipv4::new(from, guest(), 17), &datagram);
}

fn options(attacker: &mut Attacker) -> Vec<u8> {
    let random = &mut attacker.random;
    let some: &[u8] = random.pick(&[
        &[2, 4, 0, 0][..],                      // MSS 0
        &[2, 4, 0, 1],                          // MSS 1
        &[2, 4, 0xff, 0xff],                    // MSS 65,535
        &[3, 3, 15, 0],                         // a shift that is too wide
        &[3, 3, 255, 0],                        // the widest
        &[2, 0, 0, 0],                          // no length
        &[2, 1, 0, 0],                          // a length that is too short
        &[8, 200, 0, 0],                        // one that is too long
        &[5, 10, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0], // SACK, backwards
        &[5, 6, 0, 0, 0, 9, 0, 0],              // SACK, cut off
        &[4, 2, 4, 2],                          // twice the same
        &[8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], // timestamps of zero
        &[1; 40],
        &[0xff; 40],
        &[254, 2, 253, 2],
        &[2, 4, 5, 180],
    ]);
    let mut options = some.to_vec();
    if random.once_in(3) {
        let len = 4 * random.below(10);
        options = random.bytes(len);
    }
    options
}

/// Every combination of flags and options, to ports that are open and to others; LAND; offsets that lie.
pub(super) fn tcp(attacker: &mut Attacker) {
    let options = options(attacker);
    let mut from = match attacker.random.below(4) {
        0 => attacker.nobody(),
        _ => attacker.somebody(),
    };
    let random = &mut attacker.random;
    let len = if random.once_in(2) {
        0
    } else {
        random.below(200)
    };
    let mut segment = Tcp {
        from: random.word() as u16,
        to: if random.once_in(4) {
            random.word() as u16
        } else {
            random.pick(OPEN)
        },
        seq: random.word() as u32,
        ack: random.word() as u32,
        flags: random.word() as u8,
        window: random.word() as u16,
        urgent: random.word() as u16,
        options,
        data: random.bytes(len),
    };
    match random.below(8) {
        0 => {
            // LAND: from itself to itself.
            from = guest();
            segment.from = segment.to;
            segment.flags = flag::SYN;
        }
        1 => segment.from = 0,
        2 => segment.to = 0,
        _ => {}
    }
    // Not one that might be exact for a connection of the peer.
    if from == host() {
        segment.from = 1 + segment.from % 1000;
    }
    let mut bytes = segment.bytes(|len| frames::pseudo4(from, guest(), 6, len));
    let random = &mut attacker.random;
    match random.below(8) {
        0 => {
            bytes[12] = random.word() as u8;
            let sum = {
                bytes[16..18].fill(0);
                frames::checksum(&[&frames::pseudo4(from, guest(), 6, bytes.len()), &bytes])
            };
            bytes[16..18].copy_from_slice(&sum.to_be_bytes());
        }
        1 => bytes[16] ^= 1,
        2 => bytes.truncate(random.below(20) as usize),
        _ => {}
    }
    attacker.send4(&Ipv4::new(from, guest(), 6), &bytes);
}

/// Connections that are begun and nothing else, from anywhere.
pub(super) fn syn_flood(attacker: &mut Attacker) {
    let port = attacker.random.pick(OPEN);
    for _ in 0..FLOOD {
        let random = &mut attacker.random;
        let from = if random.once_in(3) {
            Ipv4Addr::new(10, 77, 0, 3 + random.below(250) as u8)
        } else {
            Ipv4Addr::new(
                1 + random.below(100) as u8,
                random.word() as u8,
                random.word() as u8,
                9,
            )
        };
        let segment = Tcp {
            from: 1024 + random.below(60_000) as u16,
            to: port,
            seq: random.word() as u32,
            flags: flag::SYN,
            window: random.word() as u16,
            options: vec![2, 4, 5, 180],
            ..Tcp::default()
        };
        let bytes = segment.bytes(|len| frames::pseudo4(from, guest(), 6, len));
        attacker.send4(&Ipv4::new(from, guest(), 6), &bytes);
    }
}
