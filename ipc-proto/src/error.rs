//! What may be wrong with memory, a layout or a peer. Touches nothing.
#![forbid(unsafe_code)]

use crate::codec::DecodeError;
use core::fmt;

/// An access outside a window of shared memory, or to a misaligned word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBounds;

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("outside the shared memory")
    }
}

impl core::error::Error for OutOfBounds {}

/// The peer broke the protocol. Nothing that it says can be trusted from here on: close its channel or socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PeerError {
    /// An index went backwards, or further than the capacity.
    Index,
    /// A length is longer than the place where the bytes are.
    Length,
    /// The bytes are not a message.
    Decode(DecodeError),
}

impl From<DecodeError> for PeerError {
    fn from(error: DecodeError) -> Self {
        PeerError::Decode(error)
    }
}

impl From<OutOfBounds> for PeerError {
    /// Only an index or a length makes an access leave the memory.
    fn from(OutOfBounds: OutOfBounds) -> Self {
        PeerError::Length
    }
}

impl fmt::Display for PeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerError::Index => f.write_str("the peer published an index out of range"),
            PeerError::Length => f.write_str("the peer published a length out of range"),
            PeerError::Decode(error) => write!(f, "the peer published nonsense: {error}"),
        }
    }
}

impl core::error::Error for PeerError {}
