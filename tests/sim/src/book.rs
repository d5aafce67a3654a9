//! The book of a world: what programs sent and received, who was harmed when, and what was found. Programs write into it; what does not fit
//! together is a finding.

use crate::{
    stats::Stats,
    trace::{Note, Trace},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

/// Who can be harmed by a fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Party {
    /// A host: its stack, its driver, its clock or its cable.
    Host(usize),
    /// A client.
    Client(usize),
}

/// How long after a fault things may still go wrong because of it.
const GRACE: u64 = 15_000_000_000;

/// How long a stack keeps a handshake of whose end it has not heard, in nanoseconds: that of `netstack`'s listeners.
const HALF_OPEN_AGE: u64 = 20_000_000_000;

/// One direction of a connection.
#[derive(Clone, Copy, Default, Debug)]
pub struct Direction {
    /// Bytes that `write` accepted.
    pub sent: u64,
    /// Bytes that `read` returned.
    pub received: u64,
    /// The sender has ended it behind those.
    pub ended: bool,
    /// The receiver has seen the end.
    pub complete: bool,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who opened it.
    pub from: usize,
    /// Where to.
    pub to: SocketAddr,
    /// Who listens there.
    pub server: usize,
    /// Since when.
    pub since: u64,
    /// From client to server, and back.
    pub directions: [Direction; 2],
    /// One side ended it early, on purpose.
    pub cut_short: bool,
    /// It was accepted.
    pub accepted: bool,
}

/// A datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    from: usize,
    to: SocketAddr,
    len: usize,
    since: u64,
    frames: u32,
    arrivals: u32,
    received: u32,
}

#[derive(Default)]
struct Pages {
    trace: Trace,
    now: u64,
    connections: BTreeMap<u64, Connection>,
    datagrams: BTreeMap<u64, Datagram>,
    /// Faults that last, and when the last one ended or happened.
    harm: BTreeMap<Party, (u32, u64)>,
    /// Till when a client's memory was scribbled over.
    hostile: BTreeMap<usize, u64>,
    homes: Vec<usize>,
    addresses: BTreeMap<IpAddr, usize>,
    stats: Stats,
    finding: Option<String>,
    next: u64,
    jobs: u64,
}

impl Pages {
    /// Whether a fault of somebody explains what happens to something that began then.
    fn hurt(&self, party: Party, since: u64) -> bool {
        self.harm
            .get(&party)
            .is_some_and(|(lasting, until)| *lasting > 0 || until + GRACE >= since)
    }
}

/// The book. Clones are the same.
#[derive(Clone, Default)]
pub struct Book(Rc<RefCell<Pages>>);

/// The eight bytes of a stream at a multiple of eight.
fn word(key: u64, at: u64) -> [u8; 8] {
    let z = key ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z ^ (z >> 32)).to_le_bytes()
}

/// Fills a buffer with the bytes of stream `key` from position `at` on. No two places of all streams look alike.
pub fn fill(key: u64, at: u64, buffer: &mut [u8]) {
    for (index, byte) in buffer.iter_mut().enumerate() {
        let at = at + index as u64;
        *byte = word(key, at / 8)[(at % 8) as usize];
    }
}

/// The first byte that is not as [`fill`] makes it.
fn differs(key: u64, at: u64, bytes: &[u8]) -> Option<usize> {
    let mut expected = vec![0; bytes.len()];
    fill(key, at, &mut expected);
    bytes.iter().zip(&expected).position(|(a, b)| a != b)
}

/// The key of a direction of a connection.
#[must_use]
pub fn stream_key(key: u64, direction: usize) -> u64 {
    (key << 1 | direction as u64).wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// Bytes in front of a datagram's pattern: a magic number and its number.
pub const DATAGRAM_HEADER: usize = 12;
const MAGIC: &[u8; 4] = b"SIMD";

/// The number in front of a datagram.
fn datagram_number(bytes: &[u8]) -> Option<u64> {
    let number = bytes.strip_prefix(MAGIC)?.first_chunk()?;
    Some(u64::from_le_bytes(*number))
}

impl Book {
    /// A new book; with text, the trace is kept as lines.
    #[must_use]
    pub fn new(text: bool) -> Book {
        let book = Book::default();
        if text {
            book.0.borrow_mut().trace.lines = Some(Vec::new());
        }
        book
    }

    /// The world's time.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.0.borrow().now
    }

    /// Time goes on.
    pub fn set_now(&self, now: u64) {
        self.0.borrow_mut().now = now;
    }

    /// Notes what happens.
    pub fn note(&self, note: &Note) {
        let mut pages = self.0.borrow_mut();
        let now = pages.now;
        pages.trace.note(now, note);
    }

    /// Counts something.
    pub fn count(&self, which: impl FnOnce(&mut Stats) -> &mut u64) {
        self.add(1, which);
    }

    /// Counts several.
    pub fn add(&self, number: u64, which: impl FnOnce(&mut Stats) -> &mut u64) {
        *which(&mut self.0.borrow_mut().stats) += number;
    }

    /// Something is wrong. The first finding counts.
    pub fn fail(&self, finding: impl Into<String>) {
        let finding = finding.into();
        self.0.borrow_mut().finding.get_or_insert(finding);
    }

    /// What was found.
    #[must_use]
    pub fn finding(&self) -> Option<String> {
        self.0.borrow().finding.clone()
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.0.borrow().stats
    }

    /// The trace's hash, its length, and its text.
    #[must_use]
    pub fn trace(&self) -> ((u64, u64), Vec<String>) {
        let pages = self.0.borrow();
        let lines = pages.trace.lines.clone().unwrap_or_default();
        (pages.trace.digest(), lines)
    }

    /// A client lives on a host.
    pub fn settle(&self, client: usize, host: usize) {
        let mut pages = self.0.borrow_mut();
        if pages.homes.len() <= client {
            pages.homes.resize(client + 1, 0);
        }
        pages.homes[client] = host;
    }

    /// A host has an address.
    pub fn address(&self, address: IpAddr, host: usize) {
        self.0.borrow_mut().addresses.insert(address, host);
    }

    /// A number that was not used before.
    #[must_use]
    pub fn number(&self) -> u64 {
        let mut pages = self.0.borrow_mut();
        pages.next += 1;
        pages.next
    }

    /// A job begins (or ends).
    pub fn job(&self, begins: bool) {
        let mut pages = self.0.borrow_mut();
        pages.jobs = if begins {
            pages.jobs + 1
        } else {
            pages.jobs - 1
        };
    }

    /// Jobs under way.
    #[must_use]
    pub fn jobs(&self) -> u64 {
        self.0.borrow().jobs
    }

    /// A fault happens to somebody now.
    pub fn harm(&self, party: Party) {
        self.harm_lasts(party, true);
        self.harm_lasts(party, false);
    }

    /// A fault begins, or ends.
    pub fn harm_lasts(&self, party: Party, begins: bool) {
        let mut pages = self.0.borrow_mut();
        let now = pages.now;
        let (lasting, until) = pages.harm.entry(party).or_insert((0, now));
        *until = now;
        if begins {
            *lasting += 1;
        } else {
            *lasting -= 1;
        }
    }

    /// Whether a fault of somebody explains what happens now.
    #[must_use]
    pub fn was_harmed(&self, party: Party) -> bool {
        let now = self.now();
        self.0.borrow().hurt(party, now)
    }

    /// Whether a fault explains that something went wrong for a client, and for the host that it talked to, since then.
    #[must_use]
    pub fn is_excused(&self, clients: &[usize], remote: Option<IpAddr>, since: u64) -> bool {
        let pages = self.0.borrow();
        let hurt = |party| pages.hurt(party, since);
        clients
            .iter()
            .any(|client| hurt(Party::Client(*client)) || hurt(Party::Host(pages.homes[*client])))
            || remote.is_some_and(|remote| {
                pages
                    .addresses
                    .get(&remote.to_canonical())
                    .is_some_and(|host| hurt(Party::Host(*host)))
            })
    }

    /// Whether a client itself was harmed since then, whatever happened to its host.
    #[must_use]
    pub fn is_client_harmed(&self, client: usize, since: u64) -> bool {
        self.0.borrow().hurt(Party::Client(client), since)
    }

    /// A client opens a connection: its key.
    #[must_use]
    pub fn open(&self, from: usize, to: SocketAddr, server: usize) -> u64 {
        let key = self.number();
        let mut pages = self.0.borrow_mut();
        let connection = Connection {
            from,
            to,
            server,
            since: pages.now,
            directions: [Direction::default(); 2],
            cut_short: false,
            accepted: false,
        };
        pages.connections.insert(key, connection);
        key
    }

    /// Looks at a connection, or changes it.
    pub fn connection<T>(&self, key: u64, look: impl FnOnce(&mut Connection) -> T) -> Option<T> {
        self.0.borrow_mut().connections.get_mut(&key).map(look)
    }

    /// Whether a fault, or one of its ends, explains that a connection ended early.
    #[must_use]
    pub fn is_connection_excused(&self, key: u64) -> bool {
        self.connection(key, |connection| connection.clone())
            .is_some_and(|it| {
                it.cut_short
                    || self.is_excused(&[it.from, it.server], None, it.since)
                    || self.was_passed_over(key, &it)
            })
    }

    /// Whether others have taken each place of a backlog that came free, until the stack forgot the handshake.
    fn was_passed_over(&self, key: u64, connection: &Connection) -> bool {
        let pages = self.0.borrow();
        let waited = pages.now.saturating_sub(connection.since);
        let mut later = pages.connections.range(key..).map(|(_, it)| it);
        !connection.accepted
            && waited > HALF_OPEN_AGE
            && later.any(|it| it.to.port() == connection.to.port() && it.accepted)
    }

    fn is_garbled(&self, key: u64) -> bool {
        self.connection(key, |it| (it.from, it.server, it.since))
            .is_some_and(|(from, server, since)| self.is_excused(&[from, server], None, since))
    }

    /// Bytes were read from a connection.
    pub fn received(&self, key: u64, direction: usize, bytes: &[u8]) {
        self.add(bytes.len() as u64, |stats| &mut stats.stream_bytes);
        let found = self.connection(key, |connection| {
            let direction = &mut connection.directions[direction];
            let at = direction.received;
            direction.received += bytes.len() as u64;
            (at, direction.sent, direction.received)
        });
        let Some((at, sent, received)) = found else {
            return;
        };
        if let Some(index) = differs(stream_key(key, direction), at, bytes) {
            self.stream_finding(
                key,
                direction,
                &format!("byte {} is wrong", at + index as u64),
            );
        }
        if received > sent {
            self.stream_finding(
                key,
                direction,
                &format!("{received} bytes received of {sent} sent"),
            );
        }
    }

    /// The end of a direction was read.
    pub fn end(&self, key: u64, direction: usize) {
        let found = self.connection(key, |connection| {
            let direction = &mut connection.directions[direction];
            direction.complete = true;
            *direction
        });
        let Some(it) = found else { return };
        let is_whole = it.ended && it.received == it.sent;
        if !is_whole && !self.is_garbled(key) {
            self.fail(format!(
                "connection {key} direction {direction}: end behind {} of {} bytes, ended: {}",
                it.received, it.sent, it.ended
            ));
        }
    }

    /// What is wrong with the bytes of a stream. Only the memory of one of its ends, scribbled over, explains that.
    fn stream_finding(&self, key: u64, direction: usize, what: &str) {
        let ends = self.connection(key, |it| ([it.from, it.server], it.since));
        let scribbled = ends.is_some_and(|(ends, since)| {
            let pages = self.0.borrow();
            ends.iter().any(|client| {
                let until = pages.hostile.get(client);
                until.is_some_and(|until| until.saturating_add(GRACE) >= since)
            })
        });
        if !scribbled {
            self.fail(format!("connection {key} direction {direction}: {what}"));
        }
    }

    /// A datagram is about to be sent: its bytes.
    #[must_use]
    pub fn datagram(&self, from: usize, to: SocketAddr, len: usize) -> (u64, Vec<u8>) {
        let number = self.number();
        let mut bytes = vec![0; len.max(DATAGRAM_HEADER)];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..DATAGRAM_HEADER].copy_from_slice(&number.to_le_bytes());
        fill(number, 0, &mut bytes[DATAGRAM_HEADER..]);
        let mut pages = self.0.borrow_mut();
        let datagram = Datagram {
            from,
            to,
            len: bytes.len(),
            since: pages.now,
            frames: 0,
            arrivals: 0,
            received: 0,
        };
        pages.datagrams.insert(number, datagram);
        pages.stats.datagrams_sent += 1;
        (number, bytes)
    }

    /// A frame goes onto the wire, so often to its receiver: if it carries a datagram of ours, that is known.
    pub fn on_wire(&self, frame: &[u8], copies: u32) {
        let at = match frame.get(12..14) {
            Some([8, 0]) if frame.get(23) == Some(&17) => 42,
            Some([0x86, 0xdd]) if frame.get(20) == Some(&17) => 62,
            _ => return,
        };
        let Some(number) = frame.get(at..).and_then(datagram_number) else {
            return;
        };
        let twice = {
            let mut pages = self.0.borrow_mut();
            let Some(datagram) = pages.datagrams.get_mut(&number) else {
                return;
            };
            datagram.frames += 1;
            datagram.arrivals += copies;
            (datagram.frames > 1).then_some((datagram.from, datagram.since))
        };
        if let Some((from, since)) = twice
            && !self.is_excused(&[from], None, since)
        {
            self.fail(format!("datagram {number} was sent twice"));
        }
    }

    /// A datagram was received. Its number, and who sent it.
    pub fn got(&self, by: usize, at: SocketAddr, bytes: &[u8]) -> Option<(u64, usize)> {
        let now = self.now();
        let number = datagram_number(bytes);
        let known = number.and_then(|number| {
            let mut pages = self.0.borrow_mut();
            let datagram = pages.datagrams.get_mut(&number)?;
            datagram.received += 1;
            let datagram = *datagram;
            pages.stats.datagrams_received += 1;
            pages.stats.datagrams_doubled += u64::from(datagram.received > 1);
            Some((number, datagram))
        });
        let Some((number, datagram)) = known else {
            // Its sender may be a client whose memory was scribbled over: then nobody can say whose it was.
            if !self.is_excused(&[by], None, now) && !self.anybody_hostile() {
                self.fail(format!("client {by}: a datagram that nobody sent"));
            }
            return None;
        };
        let garbled = self.is_excused(&[by, datagram.from], None, datagram.since);
        let wrong = if bytes.len() != datagram.len {
            Some(format!("{} bytes of {}", bytes.len(), datagram.len))
        } else if let Some(at) = differs(number, 0, &bytes[DATAGRAM_HEADER..]) {
            Some(format!("byte {at} is wrong"))
        } else if at.port() != datagram.to.port() {
            Some(format!("meant for {}, received on {at}", datagram.to))
        } else if datagram.received > datagram.arrivals {
            Some(format!(
                "received {} times, came {} times",
                datagram.received, datagram.arrivals
            ))
        } else {
            None
        };
        match wrong {
            Some(wrong) if !garbled => {
                self.fail(format!("datagram {number} for client {by}: {wrong}"));
                None
            }
            Some(_) => None,
            None => Some((number, datagram.from)),
        }
    }

    /// Whether anybody's memory was scribbled over.
    #[must_use]
    pub fn anybody_hostile(&self) -> bool {
        !self.0.borrow().hostile.is_empty()
    }

    /// A client's memory is scribbled over from now on, or is no more.
    pub fn hostile(&self, client: usize, lasts: bool) {
        if self.is_hostile(client) == lasts {
            return;
        }
        self.harm_lasts(Party::Client(client), lasts);
        let mut pages = self.0.borrow_mut();
        let until = if lasts { u64::MAX } else { pages.now };
        pages.hostile.insert(client, until);
    }

    /// Whether a client's memory is scribbled over now.
    #[must_use]
    pub fn is_hostile(&self, client: usize) -> bool {
        self.0.borrow().hostile.get(&client) == Some(&u64::MAX)
    }
}
