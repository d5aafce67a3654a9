//! Attacks by answers that nobody asked for, or that answer something else: DHCP and DNS.

use super::{Attacker, guest, host};
use crate::wire::frames::{self, Ipv4};
use std::net::Ipv4Addr;

/// Offers, acknowledgments and refusals with any options.
pub(super) fn dhcp(attacker: &mut Attacker) {
    let from = attacker
        .random
        .pick(&[host(), Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 77, 0, 66)]);
    let random = &mut attacker.random;
    let mut message = vec![2, 1, 6, 0];
    message.extend(random.bytes(4));
    message.resize(16, 0);
    let offered = random.pick(&[
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(10, 66, 6, 6),
        Ipv4Addr::new(224, 1, 1, 1),
    ]);
    message.extend_from_slice(&offered.octets());
    message.resize(28, 0);
    message.extend_from_slice(&crate::wire::GUEST_MAC);
    message.resize(236, 0);
    message.extend_from_slice(&[99, 130, 83, 99]);
    message.extend_from_slice(&[53, 1, random.below(9) as u8]);
    for _ in 0..random.below(12) {
        let option: &[u8] = random.pick(&[
            &[51, 4, 0, 0, 0, 0][..],
            &[51, 4, 255, 255, 255, 255],
            &[54, 4, 10, 77, 0, 66],
            &[54, 2, 10, 77],
            &[1, 4, 0, 0, 0, 0],
            &[3, 4, 10, 77, 0, 66],
            &[3, 255],
            &[6, 0],
            &[58, 4, 255, 0, 0, 0],
            &[59, 4, 0, 0, 0, 1],
            &[52, 1, 3],
        ]);
        message.extend_from_slice(option);
    }
    if random.once_in(2) {
        message.push(255);
    }
    if random.once_in(4) {
        message.truncate(random.below(300) as usize);
    }
    let to = random.pick(&[guest(), Ipv4Addr::BROADCAST]);
    let datagram = frames::udp4((from, 67), (to, 68), &message);
    attacker.send4(&Ipv4::new(from, to, 17), &datagram);
}

/// A name that is none, or one that has no end.
fn name(attacker: &mut Attacker) -> Vec<u8> {
    let random = &mut attacker.random;
    match random.below(6) {
        0 => vec![0xc0, 0x0c],
        1 => vec![63; 300],
        2 => vec![0xc0],
        3 => vec![0x80, 1, 2],
        4 => {
            let len = random.below(300);
            random.bytes(len)
        }
        _ => b"\x05known\x03lab\x00".to_vec(),
    }
}

/// An answer with this id, to this question if there is one.
fn answer(attacker: &mut Attacker, id: u16, question: &[u8]) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    let random = &mut attacker.random;
    message.extend_from_slice(&(0x8180 | (random.word() as u16) & 0x060f).to_be_bytes());
    let answers = random.pick(&[0u16, 1, 3, 1000, 65_535]);
    for count in [1, answers, 0, 0] {
        message.extend_from_slice(&count.to_be_bytes());
    }
    if question.is_empty() {
        let name = name(attacker);
        message.extend(name);
        message.extend_from_slice(&[0, 1, 0, 1]);
    } else {
        message.extend_from_slice(question);
    }
    for _ in 0..answers.min(30) {
        let name = name(attacker);
        message.extend(name);
        let random = &mut attacker.random;
        // A, CNAME or AAAA, with data as long as it should be, or not.
        message.extend_from_slice(&[0, random.pick(&[1, 5, 28]), 0, 1, 0, 0, 0, 9]);
        let len = random.pick(&[0u16, 4, 4, 16, 16, 2, 255, 65_535]);
        message.extend_from_slice(&len.to_be_bytes());
        message.extend(random.bytes(u64::from(len.min(20))));
    }
    message.truncate(1400);
    message
}

/// Answers to any port.
pub(super) fn dns(attacker: &mut Attacker) {
    let id = attacker.random.word() as u16;
    let message = answer(attacker, id, &[]);
    let port = 1024 + attacker.random.below(64_000) as u16;
    let datagram = frames::udp4((host(), 53), (guest(), port), &message);
    attacker.send4(&Ipv4::new(host(), guest(), 17), &datagram);
}

impl Attacker {
    /// The guest asks for a name: it gets answers to other questions, with other ids, to other ports; and garbage with the right ones.
    pub(super) fn answer_query(&mut self, frame: &[u8]) {
        let is_query = frame.get(12..14) == Some(&[8, 0])
            && frame.get(23) == Some(&17)
            && frame.get(36..38) == Some(&[0, 53]);
        let (true, Some(query)) = (is_query, frame.get(42..)) else {
            return;
        };
        let (Some(id), Some(port)) = (query.first_chunk::<2>(), frame.get(34..36)) else {
            return;
        };
        let (id, port) = (
            u16::from_be_bytes(*id),
            u16::from_be_bytes([port[0], port[1]]),
        );
        let question = query.get(12..).unwrap_or_default().to_vec();
        let before = self.outward.len();
        for _ in 0..4 {
            let (id, port, question) = match self.random.below(4) {
                0 => (id ^ 1 << self.random.below(16), port, &question[..]),
                1 => (id, port ^ 1, &question[..]),
                2 => (id, port, &[][..]),
                _ => (id, port, &question[..]),
            };
            let message = answer(self, id, question);
            let from = if self.random.once_in(4) {
                Ipv4Addr::new(10, 77, 0, 66)
            } else {
                host()
            };
            let datagram = frames::udp4((from, 53), (guest(), port), &message);
            self.send4(&Ipv4::new(from, guest(), 17), &datagram);
        }
        self.count("dns", before);
    }
}
