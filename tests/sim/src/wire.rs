//! The wire between the hosts: it delays, loses, doubles, reorders and damages frames, for each direction of each pair of hosts in its own
//! way, and can be cut.

use crate::{
    book::Book,
    random::Random,
    trace::{Inside, Note, hash_of},
};
use std::collections::BTreeSet;

/// What a link does to frames, in thousandths, and how long it takes, in microseconds.
#[derive(Clone, Copy, Default, Debug)]
pub struct Link {
    /// Frames lost.
    pub loss: u64,
    /// Frames that come twice.
    pub double: u64,
    /// Frames damaged.
    pub damage: u64,
    /// Frames that come much later than others.
    pub late: u64,
    /// Shortest time.
    pub delay: u64,
    /// Longest time on top of it.
    pub jitter: u64,
}

/// The wire.
pub struct Wire {
    /// Links by sender and receiver.
    pub links: Vec<Vec<Link>>,
    /// Pairs that are cut, in this direction.
    pub cut: BTreeSet<(usize, usize)>,
}

/// A frame under way.
pub struct Flight {
    /// Who gets it.
    pub to: usize,
    /// In how many microseconds.
    pub micros: u64,
    /// The frame.
    pub frame: Vec<u8>,
}

impl Wire {
    /// From now on nothing is lost, late or damaged.
    pub fn heal(&mut self) {
        self.cut.clear();
        for link in self.links.iter_mut().flatten() {
            *link = Link {
                delay: link.delay.min(500),
                jitter: link.jitter.min(500),
                ..Link::default()
            };
        }
    }

    /// Carries a frame to all whom its address means.
    pub fn transmit(
        &self,
        from: usize,
        frame: &[u8],
        macs: &[[u8; 6]],
        random: &mut Random,
        book: &Book,
    ) -> Vec<Flight> {
        book.count(|stats| &mut stats.frames);
        book.note(&Note::Sent {
            host: from,
            len: frame.len(),
            hash: hash_of(frame),
            inside: Inside::of(frame),
        });
        let mut flights = Vec::new();
        let mut whole = 0;
        for (to, mac) in macs.iter().enumerate() {
            let is_group = frame.first().is_some_and(|first| first & 1 == 1);
            if to == from || !is_group && frame.get(..6) != Some(mac) {
                continue;
            }
            if self.cut.contains(&(from, to)) {
                book.count(|stats| &mut stats.frames_cut_off);
                book.note(&Note::Wire { host: to, what: 3 });
                continue;
            }
            let link = self.links[from][to];
            if random.chance(link.loss) {
                book.count(|stats| &mut stats.frames_lost);
                book.note(&Note::Wire { host: to, what: 0 });
                continue;
            }
            let double = random.chance(link.double);
            if double {
                book.count(|stats| &mut stats.frames_doubled);
                book.note(&Note::Wire { host: to, what: 1 });
            }
            for _ in 0..=usize::from(double) {
                let mut micros = link.delay + random.below(link.jitter + 1);
                if random.chance(link.late) {
                    book.count(|stats| &mut stats.frames_late);
                    micros += random.magnitude(100, 500_000);
                }
                let mut frame = frame.to_vec();
                if random.chance(link.damage) {
                    book.count(|stats| &mut stats.frames_damaged);
                    book.note(&Note::Wire { host: to, what: 2 });
                    if !damage(&mut frame, random) {
                        continue;
                    }
                }
                // A damaged one may still carry its datagram: the damage can be behind it, or in front.
                whole += 1;
                flights.push(Flight { to, micros, frame });
            }
        }
        book.on_wire(frame, whole);
        flights
    }
}

/// Damages a frame in a way that the Internet checksum detects (RFC 1071: any burst of up to 15 bits; the length is checked
/// elsewhere). False if nothing is left of it: ARP has no checksum, and a real wire's frame check sequence would tell.
fn damage(frame: &mut Vec<u8>, random: &mut Random) -> bool {
    if frame.get(12..14) == Some(&[8, 6]) {
        return false;
    }
    if random.chance(200) {
        let len = random.range(14, frame.len() as u64);
        frame.truncate(len as usize);
        return true;
    }
    let at = random.index(frame.len());
    let burst = (random.number() as u16 & 0x7fff) << 1 | 1 << random.below(16);
    let [high, low] = (burst >> random.below(9)).to_be_bytes();
    frame[at] ^= high;
    if let Some(next) = frame.get_mut(at + 1) {
        *next ^= low;
    }
    true
}
