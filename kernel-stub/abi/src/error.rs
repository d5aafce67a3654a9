//! Error codes of system calls.

use core::fmt;

/// Why a system call failed. Whatever the arguments were, an error is all that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Error {
    /// There is no system call of that number.
    BadSyscall = 1,
    /// The slot is empty, stale or outside the table.
    BadSlot = 2,
    /// The capability names an object of another kind.
    WrongKind = 3,
    /// The capability lacks a right that the call needs.
    NoRights = 4,
    /// A value is out of its range, unaligned or contradicts another.
    BadArgument = 5,
    /// A pointer leads outside the caller's own, suitably mapped memory.
    BadAddress = 6,
    /// The budget has no frames left for this.
    NoBudget = 7,
    /// The capability table has no free slot.
    TableFull = 8,
    /// The deadline passed first.
    TimedOut = 9,
    /// The other side, or the object, no longer exists.
    Gone = 10,
    /// The address, slot, vector or object is already in use.
    Busy = 11,
    /// Writable and executable at the same time, or another request that is refused for safety.
    Refused = 12,
    /// The machine lacks what the call needs (no MSI-X entry, no such BAR).
    NotSupported = 13,
    /// The process is not in a state that allows the call (already dead, say).
    BadState = 14,
}

impl Error {
    /// Every error, in the order of the codes.
    pub const ALL: [Error; 14] = [
        Error::BadSyscall,
        Error::BadSlot,
        Error::WrongKind,
        Error::NoRights,
        Error::BadArgument,
        Error::BadAddress,
        Error::NoBudget,
        Error::TableFull,
        Error::TimedOut,
        Error::Gone,
        Error::Busy,
        Error::Refused,
        Error::NotSupported,
        Error::BadState,
    ];

    /// The code in `rax`.
    pub const fn code(self) -> u64 {
        self as u64
    }

    /// The error of a code; `None` for zero (success) and for codes that no kernel returns.
    pub fn from_code(code: u64) -> Option<Error> {
        Error::ALL.into_iter().find(|error| error.code() == code)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::BadSyscall => "no such system call",
            Error::BadSlot => "no capability in that slot",
            Error::WrongKind => "capability of the wrong kind",
            Error::NoRights => "capability lacks the right",
            Error::BadArgument => "invalid argument",
            Error::BadAddress => "bad address",
            Error::NoBudget => "memory budget exhausted",
            Error::TableFull => "capability table full",
            Error::TimedOut => "timed out",
            Error::Gone => "the other side is gone",
            Error::Busy => "already in use",
            Error::Refused => "refused",
            Error::NotSupported => "not supported by this machine",
            Error::BadState => "not possible in this state",
        })
    }
}

impl core::error::Error for Error {}
