//! The attacker on the wire: kinds of attack by layer, connections of its own, and forgeries for those of the peer.
//!
//! What it does not send, since no TCP without cryptography survives it: a reset, or data, with exactly the numbers that the peer
//! itself would use next. Everything else is fair.

mod forge;
mod internet;
mod link;
mod names;
mod own;
mod transport;

use super::{
    GUEST_MAC, PEER_MAC,
    frames::{self, Ipv4, Mac},
    shadow::Shadow,
};
use crate::lab::{GUEST, HOST};
use own::Own;
use std::{collections::BTreeMap, net::Ipv4Addr};

/// Where the choices come from (xorshift64*).
pub struct Random(u64);

impl Random {
    /// A generator of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        (self.word() >> 16) % bound.max(1)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.word() as u8).collect()
    }
}

/// A kind of attack: makes some frames.
type Kind = (&'static str, fn(&mut Attacker));

const KINDS: &[Kind] = &[
    ("ethernet", link::ethernet),
    ("broadcasts", link::broadcasts),
    ("arp", link::arp),
    ("ipv4", internet::ipv4),
    ("ipv4 fragments", internet::fragments),
    ("ipv6", internet::ipv6),
    ("icmp", internet::icmp),
    ("icmpv6", internet::icmpv6),
    ("neighbour discovery", internet::neighbours),
    ("udp", transport::udp),
    ("tcp", transport::tcp),
    ("syn flood", transport::syn_flood),
    ("dhcp", names::dhcp),
    ("dns", names::dns),
    ("forged segments", forge::segments),
    ("forged errors", forge::errors),
    ("damaged frames", forge::damaged),
];

/// The attacker.
pub struct Attacker {
    /// The peer's connections.
    pub shadow: Shadow,
    /// Frames to be sent.
    pub outward: Vec<Vec<u8>>,
    /// Frames of each kind.
    pub attacks: BTreeMap<&'static str, u64>,
    /// Own connections that the guest has answered.
    pub answered: u64,
    /// Whether it attacks; else it only takes its own connections down.
    pub is_attacking: bool,
    random: Random,
    own: Own,
    /// A frame of the guest's, to be sent back.
    heard: Vec<u8>,
}

impl Attacker {
    /// An attacker with the choices of this seed.
    pub fn new(seed: u64) -> Attacker {
        Attacker {
            shadow: Shadow::default(),
            outward: Vec::new(),
            attacks: BTreeMap::new(),
            answered: 0,
            is_attacking: false,
            random: Random::new(seed),
            own: Own::default(),
            heard: Vec::new(),
        }
    }

    /// Makes about so many frames, and what its own connections need.
    pub fn turn(&mut self, millis: u64, frames: usize) {
        let before = self.outward.len();
        self.connections(millis);
        self.count("own connections", before);
        if !self.is_attacking {
            return;
        }
        let end = self.outward.len() + frames;
        while self.outward.len() < end {
            let (name, attack) = self.random.pick(KINDS);
            let before = self.outward.len();
            attack(self);
            self.count(name, before);
            if self.outward.len() == before && end - before == 1 {
                // There was nothing to forge just now.
                break;
            }
        }
    }

    fn count(&mut self, name: &'static str, before: usize) {
        *self.attacks.entry(name).or_default() += (self.outward.len() - before) as u64;
    }

    /// A frame of the guest, to whomever.
    pub fn hear(&mut self, frame: &[u8]) {
        self.answer_own(frame);
        if self.is_attacking {
            self.answer_query(frame);
            if self.random.once_in(16) {
                self.heard = frame.to_vec();
            }
        }
    }

    /// Sends a frame to the guest from this station.
    fn send(&mut self, from: Mac, kind: u16, payload: &[u8]) {
        self.outward
            .push(frames::ethernet(GUEST_MAC, from, kind, payload));
    }

    /// Sends an IPv4 packet to the guest.
    fn send4(&mut self, header: &Ipv4<'_>, payload: &[u8]) {
        let from = self.station(header.from);
        self.send(from, frames::IPV4, &header.packet(payload));
    }

    /// The hardware address that frames from this address come from.
    fn station(&mut self, address: Ipv4Addr) -> Mac {
        if address == host() {
            return PEER_MAC;
        }
        let [_, _, c, d] = address.octets();
        [0x02, 0x66, 0x66, 0x66, c, d]
    }

    /// An address that might be anybody's.
    fn somebody(&mut self) -> Ipv4Addr {
        let random = &mut self.random;
        match random.below(8) {
            0 => host(),
            1..=3 => Ipv4Addr::new(10, 77, 0, 3 + random.below(250) as u8),
            _ => Ipv4Addr::from((random.word() as u32) | 0x0100_0000),
        }
    }

    /// An address that must not send.
    fn nobody(&mut self) -> Ipv4Addr {
        self.random.pick(&[
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::BROADCAST,
            Ipv4Addr::LOCALHOST,
            Ipv4Addr::new(224, 0, 0, 1),
            Ipv4Addr::new(10, 77, 0, 255),
            Ipv4Addr::new(10, 77, 0, 0),
            Ipv4Addr::new(0, 1, 2, 3),
            Ipv4Addr::new(240, 0, 0, 1),
            guest(),
        ])
    }
}

/// The guest's address.
fn guest() -> Ipv4Addr {
    GUEST.parse().unwrap_or(Ipv4Addr::UNSPECIFIED)
}

/// The peer's address.
fn host() -> Ipv4Addr {
    HOST.parse().unwrap_or(Ipv4Addr::UNSPECIFIED)
}
