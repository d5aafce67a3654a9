//! The book of a world: what programs sent and received, who was harmed when, and what was found. Programs write into it; what does not fit
//! together is a finding.

mod datagrams;
mod pattern;
mod streams;

use crate::{
    stats::Stats,
    trace::{Note, Trace},
};
pub use datagrams::Datagram;
pub use pattern::{DATAGRAM_HEADER, fill, stream_key};
use std::{cell::RefCell, collections::BTreeMap, net::IpAddr, rc::Rc};
pub use streams::{Connection, Direction};

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
