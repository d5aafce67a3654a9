//! What happened, step by step: always as a hash, and as text if somebody wants to read it. Touches nothing.

use std::{
    fmt::Debug,
    hash::{Hash, Hasher},
};

/// What happens in a world.
#[expect(missing_docs, reason = "the fields are named for what they are")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Note {
    /// A stack took a step: `state` is 0 for a pass, 1 for going to sleep (or not), 2 for waking up.
    Stack { host: usize, state: u8 },
    /// A driver moved messages.
    Driver {
        host: usize,
        taken: usize,
        given: usize,
        asleep: bool,
    },
    /// A client ran.
    Client { client: usize, until: Option<u64> },
    /// A frame goes onto the wire.
    Sent {
        host: usize,
        len: usize,
        hash: u64,
        inside: Inside,
    },
    /// A frame comes off the wire.
    Arrived { host: usize, len: usize, hash: u64 },
    /// The wire did something to a frame: 0 lost, 1 twice, 2 damaged, 3 cut off by a partition, 4 no buffer.
    Wire { host: usize, what: u8 },
    /// A doorbell.
    Bell { to: crate::bells::Target, fate: u8 },
    /// A session was opened, or not.
    Open { client: usize, opened: bool },
    /// A fault.
    Fault {
        kind: crate::faults::Kind,
        on: usize,
    },
    /// A program's step: what, about which connection or datagram, and how much or which error.
    Program {
        client: usize,
        what: &'static str,
        key: u64,
        value: u64,
    },
    /// The world enters its next part.
    Part(u8),
}

/// What a frame carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "the fields are named for what they are")]
pub enum Inside {
    /// A segment: flags as in its header (FIN 1, SYN 2, RST 4, PSH 8, ACK 16).
    Tcp {
        from: u16,
        to: u16,
        seq: u32,
        ack: u32,
        flags: u8,
        window: u16,
    },
    /// A datagram.
    Udp { from: u16, to: u16 },
    /// Another protocol over IPv4 or IPv6.
    Ip(u8),
    /// Another type of frame.
    Ether(u16),
}

impl Inside {
    /// Reads a frame that a stack sends.
    #[must_use]
    pub fn of(frame: &[u8]) -> Inside {
        let byte = |at: usize| frame.get(at).copied().unwrap_or(0);
        let be16 = |at| u16::from_be_bytes([byte(at), byte(at + 1)]);
        let be32 = |at| u32::from(be16(at)) << 16 | u32::from(be16(at + 2));
        let (protocol, at) = match be16(12) {
            0x800 => (byte(23), 14 + usize::from(byte(14) & 15) * 4),
            0x86dd => (byte(20), 54),
            other => return Inside::Ether(other),
        };
        match protocol {
            6 => Inside::Tcp {
                from: be16(at),
                to: be16(at + 2),
                seq: be32(at + 4),
                ack: be32(at + 8),
                flags: byte(at + 13),
                window: be16(at + 14),
            },
            17 => Inside::Udp {
                from: be16(at),
                to: be16(at + 2),
            },
            other => Inside::Ip(other),
        }
    }
}

/// A hash that is the same on every machine and in every run (FNV-1a).
#[derive(Clone)]
pub struct Fnv(pub u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

/// The hash of some bytes.
#[must_use]
pub fn hash_of(bytes: &[u8]) -> u64 {
    let mut hash = Fnv::default();
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash.write_u64(u64::from_le_bytes(word));
    }
    hash.write_usize(bytes.len());
    hash.0
}

/// What happened.
#[derive(Clone, Default)]
pub struct Trace {
    hash: Fnv,
    notes: u64,
    /// As text, if it is kept.
    pub lines: Option<Vec<String>>,
}

impl Trace {
    /// Adds what happens now.
    pub fn note<T: Hash + Debug>(&mut self, now: u64, note: &T) {
        self.hash.write_u64(now);
        note.hash(&mut self.hash);
        self.notes += 1;
        if let Some(lines) = &mut self.lines {
            let (seconds, nanos) = (now / 1_000_000_000, now % 1_000_000_000);
            lines.push(format!("{seconds:>4}.{nanos:09} {note:?}"));
        }
    }

    /// The hash of everything, and how much it was.
    #[must_use]
    pub fn digest(&self) -> (u64, u64) {
        (self.hash.0, self.notes)
    }
}
