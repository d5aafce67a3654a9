//! What the book says of connections: who opened them, and what was sent and received in each direction. Touches the book's pages.

use super::{
    Book, GRACE,
    pattern::{differs, stream_key},
};
use std::net::SocketAddr;

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

impl Book {
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
}
