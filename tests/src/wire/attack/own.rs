//! Connections of the attacker's own, which do what nobody should: never read, open their window by a byte, send byte by byte or with
//! holes, overlap themselves, stay silent, vanish.

use super::{Attacker, guest};
use crate::wire::{
    frames::{self, ARP, Ipv4, Tcp, flag},
    shadow::{self, Passed},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
};

/// Connections at once: with those that have left fewer than the services take, so that there is room for the well-behaved.
const MOST: usize = 32;
/// Milliseconds between two new ones.
const INTERVAL: u64 = 60;
/// Milliseconds that one lives at most.
const LIFE: u64 = 12_000;
/// Milliseconds after which the guest learns that one has left without a word.
const SILENCE: u64 = 10_000;
/// Connections remembered of which the guest was told.
const TOLD: usize = 256;
/// Milliseconds between two steps of one.
const STEP: u64 = 80;
/// The last octets of its addresses.
const ADDRESSES: std::ops::Range<u8> = 200..216;
/// What a web server is asked, a byte at a time or at once.
const REQUEST: &[u8] = b"GET /1m HTTP/1.1\r\nHost: guest\r\n\r\n";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manner {
    NeverRead,
    TinyWindow,
    Windows,
    OneByte,
    Slowly,
    Overlap,
    Holes,
    Urgent,
    Sack,
    Fins,
    Idle,
}

const MANNERS: &[(Manner, u16)] = &[
    (Manner::NeverRead, 19),
    (Manner::NeverRead, 80),
    (Manner::TinyWindow, 80),
    (Manner::TinyWindow, 19),
    (Manner::Windows, 80),
    (Manner::OneByte, 7),
    (Manner::OneByte, 9),
    (Manner::Slowly, 80),
    (Manner::Overlap, 7),
    (Manner::Holes, 9),
    (Manner::Holes, 7),
    (Manner::Urgent, 7),
    (Manner::Sack, 19),
    (Manner::Fins, 11),
    (Manner::Idle, 7),
    (Manner::Idle, 80),
];

type Key = (Ipv4Addr, u16, u16);

struct Connection {
    manner: Manner,
    next: u32,
    ack: u32,
    open: bool,
    born: u64,
    step_at: u64,
    steps: u32,
}

/// The connections.
#[derive(Default)]
pub(super) struct Own {
    known: BTreeMap<Key, Connection>,
    /// Those that left without a word, of which the guest may not know.
    left: Vec<(Key, Connection)>,
    /// Those of which the guest was told.
    told: VecDeque<Key>,
    next_at: u64,
}

impl Attacker {
    /// Opens, drives and ends its own connections.
    pub(super) fn connections(&mut self, millis: u64) {
        if self.is_attacking && millis >= self.own.next_at && self.own.known.len() < MOST {
            self.own.next_at = millis + INTERVAL;
            self.open(millis);
        }
        let keys: Vec<Key> = self.own.known.keys().copied().collect();
        for key in keys {
            let Some(mut known) = self.own.known.remove(&key) else {
                continue;
            };
            let is_old = millis.saturating_sub(known.born) > LIFE;
            if is_old || !self.is_attacking {
                // Half of them leave without a word.
                if !self.is_attacking || self.random.once_in(2) {
                    self.segment(key, &known, flag::RST | flag::ACK, 0, vec![], 0);
                } else {
                    self.own.left.push((key, known));
                }
                continue;
            }
            if known.open && millis >= known.step_at {
                known.step_at = millis + STEP;
                known.steps += 1;
                self.step(key, &mut known);
            }
            self.own.known.insert(key, known);
        }
        // At some time the guest may know. If a number was not exact, its challenge is answered by a reset that is.
        let (keep, tell) = std::mem::take(&mut self.own.left).into_iter().partition(
            |(_, known): &(Key, Connection)| {
                self.is_attacking && millis.saturating_sub(known.born) < LIFE + SILENCE
            },
        );
        self.own.left = keep;
        let tell: Vec<(Key, Connection)> = tell;
        for (key, known) in &tell {
            self.segment(*key, known, flag::RST | flag::ACK, 0, vec![], 0);
            self.own.told.push_back(*key);
        }
        while self.own.told.len() > TOLD {
            self.own.told.pop_front();
        }
    }

    fn open(&mut self, millis: u64) {
        let random = &mut self.random;
        let (manner, port) = random.pick(MANNERS);
        let last = ADDRESSES.start + random.below(u64::from(ADDRESSES.end - ADDRESSES.start)) as u8;
        let key = (
            Ipv4Addr::new(10, 77, 0, last),
            1024 + random.below(60_000) as u16,
            port,
        );
        let known = Connection {
            manner,
            next: random.word() as u32,
            ack: 0,
            open: false,
            born: millis,
            step_at: 0,
            steps: 0,
        };
        self.segment(key, &known, flag::SYN, 0, vec![], 4096);
        self.own.known.insert(
            key,
            Connection {
                next: known.next.wrapping_add(1),
                ..known
            },
        );
    }

    /// A segment of an own connection, `ahead` of what was sent.
    fn segment(
        &mut self,
        key: Key,
        known: &Connection,
        flags: u8,
        ahead: u32,
        data: Vec<u8>,
        window: u16,
    ) {
        let (from, port, to) = key;
        let options = match known.manner {
            Manner::Sack if known.open => {
                let mut options = vec![1, 1, 5, 10];
                options.extend(self.random.bytes(8));
                options
            }
            _ => vec![],
        };
        let segment = Tcp {
            from: port,
            to,
            seq: known.next.wrapping_add(ahead),
            ack: known.ack,
            flags,
            window,
            urgent: 3,
            options,
            data,
        };
        let bytes = segment.bytes(|len| frames::pseudo4(from, guest(), 6, len));
        self.send4(&Ipv4::new(from, guest(), 6), &bytes);
    }

    fn window(&mut self, known: &Connection) -> u16 {
        match known.manner {
            Manner::NeverRead => 0,
            Manner::TinyWindow => 1 + self.random.below(16) as u16,
            Manner::Windows => self.random.pick(&[0, 0, 1, 536, 4096]),
            _ => 4096,
        }
    }

    fn step(&mut self, key: Key, known: &mut Connection) {
        const DATA: u8 = flag::ACK | flag::PSH;
        let window = self.window(known);
        match known.manner {
            Manner::OneByte => {
                self.segment(key, known, DATA, 0, vec![b'1'], window);
                known.next = known.next.wrapping_add(1);
            }
            Manner::Slowly => {
                let byte = *REQUEST.get(known.steps as usize).unwrap_or(&b'x');
                self.segment(key, known, DATA, 0, vec![byte], window);
                known.next = known.next.wrapping_add(1);
            }
            Manner::NeverRead | Manner::TinyWindow | Manner::Windows => {
                if known.steps == 1 && key.2 == 80 {
                    self.segment(key, known, DATA, 0, REQUEST.to_vec(), window);
                    known.next = known.next.wrapping_add(REQUEST.len() as u32);
                } else if known.manner == Manner::Windows {
                    self.segment(key, known, flag::ACK, 0, vec![], window);
                }
            }
            Manner::Overlap => {
                self.segment(key, known, DATA, 0, vec![b'a'; 10], window);
                self.segment(key, known, DATA, 5, vec![b'b'; 10], window);
                self.segment(key, known, DATA, 2, vec![b'c'; 4], window);
                known.next = known.next.wrapping_add(15);
            }
            Manner::Holes => {
                for hole in 0..8 {
                    let ahead = 1 + 2 * (known.steps * 8 + hole);
                    self.segment(key, known, DATA, ahead, vec![b'h'], window);
                }
            }
            Manner::Urgent => {
                self.segment(key, known, DATA | flag::URG, 0, vec![b'u'; 8], window);
                known.next = known.next.wrapping_add(8);
            }
            Manner::Sack => self.segment(key, known, flag::ACK, 0, vec![], window),
            Manner::Fins => self.segment(key, known, flag::FIN | flag::ACK, 0, vec![], window),
            Manner::Idle => {}
        }
    }

    /// Takes what the guest sends to the attacker's own addresses: questions for its station, and segments.
    pub(super) fn answer_own(&mut self, frame: &[u8]) {
        if frame.get(12..14) == Some(&ARP.to_be_bytes()) {
            self.answer_arp(frame);
        } else if let Some(segment) = shadow::read(frame)
            && let IpAddr::V4(to) = segment.to.0
            && is_own(to)
        {
            self.take_segment(to, &segment);
        }
    }

    fn answer_arp(&mut self, frame: &[u8]) {
        let Some(target) = frame.get(38..42).and_then(|bytes| bytes.first_chunk::<4>()) else {
            return;
        };
        let target = Ipv4Addr::from(*target);
        if frame.get(20..22) == Some(&[0, 1]) && is_own(target) {
            let station = self.station(target);
            let answer = frames::arp(2, (station, target), (crate::wire::GUEST_MAC, guest()));
            self.send(station, ARP, &answer);
        }
    }

    fn take_segment(&mut self, to: Ipv4Addr, segment: &Passed) {
        let key = (to, segment.to.1, segment.from.1);
        let Some(mut known) = self.own.known.remove(&key) else {
            let may_know = !self.is_attacking || self.own.told.contains(&key);
            if may_know && segment.flags & flag::RST == 0 {
                // The guest still believes in a connection whose other end has vanished.
                let ghost = Connection {
                    manner: Manner::Idle,
                    next: segment.ack,
                    ack: segment.seq.wrapping_add(segment.len),
                    open: false,
                    born: 0,
                    step_at: 0,
                    steps: 0,
                };
                self.segment(key, &ghost, flag::RST | flag::ACK, 0, vec![], 0);
            }
            return;
        };
        if segment.flags & flag::RST != 0 {
            return;
        }
        if segment.flags & flag::SYN != 0 {
            if !known.open {
                self.answered += 1;
            }
            known.open = true;
            known.ack = segment.seq.wrapping_add(1);
        } else if known.manner != Manner::NeverRead && segment.seq == known.ack {
            let fin = u32::from(segment.flags & flag::FIN != 0);
            known.ack = known.ack.wrapping_add(segment.len).wrapping_add(fin);
        }
        if segment.flags & flag::SYN != 0 || segment.len > 0 && known.manner != Manner::NeverRead {
            let window = self.window(&known);
            self.segment(key, &known, flag::ACK, 0, vec![], window);
        }
        self.own.known.insert(key, known);
    }
}

fn is_own(address: Ipv4Addr) -> bool {
    let [a, b, c, d] = address.octets();
    [a, b, c] == [10, 77, 0] && ADDRESSES.contains(&d)
}
