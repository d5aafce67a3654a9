//! Why a request fails or a connection ends: numbers that replies and status words carry. Touches nothing.
//! `docs/protocol.md` is written from the comments here.
#![forbid(unsafe_code)]

use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Why a request failed or a connection ended. The number is what a status word carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, MaxSize, Schema)]
#[repr(u8)]
pub enum NetError {
    /// The session's policy does not permit this. Retrying cannot help.
    Denied = 1,
    /// The session's limit of sockets or buffer bytes, or the stack's own, is reached. Closing something helps.
    Exhausted = 2,
    /// No such socket (closed, of an earlier generation, never issued).
    BadHandle = 3,
    /// Not possible for this kind of socket or in its state.
    BadState = 4,
    /// An argument is out of range.
    BadArgument = 5,
    /// The port is taken.
    AddressInUse = 6,
    /// The local address is not one of this host.
    AddressNotAvailable = 7,
    /// The peer answered with a reset: nobody listens there.
    ConnectionRefused = 8,
    /// The peer reset the connection, or the stack was restarted.
    ConnectionReset = 9,
    /// The connection was given up on this side.
    ConnectionAborted = 10,
    /// The socket is not connected (any more).
    NotConnected = 11,
    /// Nobody answered in time.
    TimedOut = 12,
    /// No route, or a router or host reported the destination as unreachable.
    Unreachable = 13,
    /// The network is down: no link, or no address yet.
    NetworkDown = 14,
    /// The name does not exist (NXDOMAIN) or has no address of that family.
    NameNotFound = 15,
    /// No name server is known, or it failed.
    NameServerFailed = 16,
    /// The request was taken back.
    Cancelled = 17,
    /// The datagram is larger than the socket or the network carries.
    MessageTooLong = 18,
}

impl NetError {
    /// Every error, in the order of the numbers, which start at 1.
    pub const ALL: [NetError; 18] = {
        use NetError::*;
        [
            Denied,
            Exhausted,
            BadHandle,
            BadState,
            BadArgument,
            AddressInUse,
            AddressNotAvailable,
            ConnectionRefused,
            ConnectionReset,
            ConnectionAborted,
            NotConnected,
            TimedOut,
            Unreachable,
            NetworkDown,
            NameNotFound,
            NameServerFailed,
            Cancelled,
            MessageTooLong,
        ]
    };

    /// The error with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        let position = usize::from(number).checked_sub(1)?;
        Self::ALL.get(position).copied()
    }
}
