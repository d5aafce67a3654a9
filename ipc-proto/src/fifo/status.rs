//! The status word of a socket. Touches that word.
//!
//! Bit 0: established. Bit 1: nothing more will be appended to the receive FIFO. Bits 8 to 15: number of a [`NetError`], or zero.
#![forbid(unsafe_code)]

use crate::{shm::Word, socket::NetError};
use core::sync::atomic::Ordering;

const ESTABLISHED: u32 = 1;
const PEER_CLOSED: u32 = 2;
const ERROR_SHIFT: u32 = 8;

/// What the stack says of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// The connection was established (it may have ended since).
    pub established: bool,
    /// No more bytes will be appended to the receive FIFO.
    pub peer_closed: bool,
    /// Why the connection ended, or did not come about.
    pub error: Option<NetError>,
}

impl Status {
    fn to_word(self) -> u32 {
        let mut word = self.error.map_or(0, |error| error as u32) << ERROR_SHIFT;
        if self.established {
            word |= ESTABLISHED;
        }
        if self.peer_closed {
            word |= PEER_CLOSED;
        }
        word
    }

    fn from_word(word: u32) -> Self {
        let error = match (word >> ERROR_SHIFT) as u8 {
            0 => None,
            number => Some(NetError::from_number(number).unwrap_or(NetError::ConnectionReset)),
        };
        Self {
            established: word & ESTABLISHED != 0,
            peer_closed: word & PEER_CLOSED != 0,
            error,
        }
    }
}

/// The status word, written by the stack and read by the client.
#[derive(Clone, Debug)]
pub struct StatusCell {
    word: Word,
}

impl StatusCell {
    pub(super) fn new(word: Word) -> Self {
        Self { word }
    }

    /// Loads the status, whatever the stack has written: bits without a meaning are ignored, an error without a name is
    /// [`NetError::ConnectionReset`].
    #[must_use]
    pub fn load(&self) -> Status {
        Status::from_word(self.word.load(Ordering::Acquire))
    }

    /// Stores the status, behind everything written to the receive FIFO so far. The stack's only.
    pub fn store(&self, status: Status) {
        self.word.store(status.to_word(), Ordering::Release);
    }
}
