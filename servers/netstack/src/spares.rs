//! Sockets of connections that have ended, for the next ones: their buffers are there, and need not be zeroed.
//!
//! They are no more than a crowd leaves, are not kept for long, and make room as soon as a connection needs it. Each serves the account that
//! it served before, so that not even a mistake could show one client's bytes to another. Touches nothing else.

use crate::{Instant, engine::TcpSocket};
use alloc::collections::VecDeque;
use core::time::Duration;

/// Most sockets kept.
const MOST: usize = 32;
/// A part of all memory for connections that they take at most.
const SHARE: usize = 2;
/// How long one is kept.
const AGE: Duration = Duration::from_secs(10);

struct Spare {
    root: u64,
    /// Bytes of its buffers, each way.
    buffer: usize,
    since: Instant,
    socket: TcpSocket,
}

/// The sockets, the oldest first.
#[derive(Default)]
pub(crate) struct Spares {
    entries: VecDeque<Spare>,
    bytes: usize,
}

impl Spares {
    /// Bytes of their buffers.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a socket of an account whose connection has ended in order; `memory` is what all connections may take.
    pub(crate) fn put(&mut self, root: u64, socket: TcpSocket, memory: usize, now: Instant) {
        let buffer = socket.receive_capacity();
        self.bytes = self.bytes.saturating_add(buffer.saturating_mul(2));
        self.entries.push_back(Spare {
            root,
            buffer,
            since: now,
            socket,
        });
        if self.entries.len() > MOST {
            self.drop_oldest();
        }
        self.shrink(memory / SHARE);
    }

    /// A socket for a connection of an account: one that was kept, or a new one.
    pub(crate) fn take(&mut self, root: Option<u64>, buffer: usize) -> TcpSocket {
        let fits = |spare: &Spare| Some(spare.root) == root && spare.buffer == buffer;
        // The latest is likelier to be in the processor's cache.
        let at = self.entries.iter().rposition(fits);
        let spare = at.and_then(|at| self.entries.remove(at));
        let Some(spare) = spare else {
            return TcpSocket::new(buffer);
        };
        self.bytes = self.bytes.saturating_sub(buffer.saturating_mul(2));
        spare.socket.renewed()
    }

    /// Lets go of the oldest, until there are no more than so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        while self.bytes > bytes {
            self.drop_oldest();
        }
    }

    /// When the oldest is let go of.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        Some(self.entries.front()?.since.after(AGE))
    }

    /// Lets go of those that nobody has needed for a while.
    pub(crate) fn age(&mut self, now: Instant) {
        while let Some(oldest) = self.entries.front()
            && now.since(oldest.since) >= AGE
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        match self.entries.pop_front() {
            Some(spare) => {
                let bytes = spare.buffer.saturating_mul(2);
                self.bytes = self.bytes.saturating_sub(bytes);
            }
            None => self.bytes = 0,
        }
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Panics unless they are as few as they may be.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn check(&self, memory: usize) {
        let bytes = self.entries.iter().map(|spare| spare.buffer * 2);
        assert_eq!(bytes.sum::<usize>(), self.bytes, "bytes of spare sockets");
        assert!(self.entries.len() <= MOST && self.bytes <= memory / SHARE);
    }
}
