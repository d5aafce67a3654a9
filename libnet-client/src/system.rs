//! What this crate needs from the system that it runs on: time, a session with the stack, two doorbells.
//!
//! The run-time of the image, the simulation and the tests implement [`System`]; nothing else here knows which.

use core::fmt;
use ipc_proto::{setup::Refusal, shm::Shm};

/// What this crate needs from the system that it runs on.
pub trait System {
    /// Nanoseconds since some start; never goes back.
    fn now(&self) -> u64;

    /// Opens a session: allocates `len` bytes of zeroed session memory and hands it to the stack together with our
    /// doorbell and [`ipc_proto::hello::Hello::SOCKET`]. Never blocks for long: a stack that is not there is
    /// [`OpenError::Unavailable`], and this crate tries again later.
    ///
    /// A session opened earlier is over with this call, whether the stack died or broke the protocol. Everything that
    /// this crate kept of its memory was dropped before the call, so the memory may be given back, or zeroed and used again once
    /// the earlier stack cannot reach it any more.
    ///
    /// # Errors
    /// [`OpenError`].
    fn open(&mut self, len: usize) -> Result<Opened, OpenError>;

    /// Rings the stack's doorbell. Without a session, or with a dead stack, nothing happens.
    fn ring(&mut self);

    /// Sleeps until our doorbell rings, the stack dies, another event of the process arrives, or `deadline` (as
    /// [`System::now`] counts; `u64::MAX` is never) has passed. A deadline in the past only collects what is there.
    ///
    /// A doorbell that rang before the call is not lost: it ends the wait at once. Returning early for no reason is harmless.
    fn wait(&mut self, deadline: u64) -> Wake;

    /// [`System::ring`], then [`System::wait`]: in one go, where the system can do that.
    fn ring_and_wait(&mut self, deadline: u64) -> Wake {
        self.ring();
        self.wait(deadline)
    }
}

/// A session with the stack.
#[derive(Clone)]
pub struct Opened {
    /// The session memory: channel first, then the arena. Zeroed.
    pub memory: Shm,
    /// Sockets that the session may have; their indices stay below this.
    pub max_sockets: u16,
}

/// Why [`System::wait`] returned. All false: the deadline passed, or no reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wake {
    /// Our doorbell rang.
    pub doorbell: bool,
    /// The stack died (told once for each session).
    pub stack_gone: bool,
    /// An event that is not this crate's came, console input for example: see [`crate::Net::on_event`].
    pub other: bool,
}

/// Why a session could not be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// The stack refused. Retrying helps only for [`Refusal::Exhausted`].
    Refused(Refusal),
    /// The stack is not there (yet, or just now). Retrying helps.
    Unavailable,
    /// The process's budget does not cover the session memory.
    NoMemory,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Refused(Refusal::Mismatch(theirs)) => {
                write!(
                    f,
                    "the network stack speaks another protocol ({:?} version {})",
                    theirs.protocol, theirs.version
                )
            }
            OpenError::Refused(Refusal::BadRequest) => {
                f.write_str("the network stack rejected the session request")
            }
            OpenError::Refused(Refusal::Denied) => {
                f.write_str("the network capability was refused")
            }
            OpenError::Refused(Refusal::Exhausted) => {
                f.write_str("the network stack has no room for another session")
            }
            OpenError::Unavailable => f.write_str("the network stack is not running"),
            OpenError::NoMemory => f.write_str("not enough memory for a session"),
        }
    }
}

impl core::error::Error for OpenError {}
