//! Postcard's format with the two checks that `postcard::from_bytes` lacks: nothing may follow a message,
//! and a message has one encoding only. Touches no shared memory.
#![forbid(unsafe_code)]

use crate::{decoder::Decoder, encoder::Encoder};
use core::fmt;
use serde::{Serialize, de::DeserializeOwned};

/// A type that travels between processes.
pub trait Message: Serialize + DeserializeOwned {
    /// No encoding is longer. Known at compile time, so that slots and buffers can be sized by it; the tests
    /// encode the longest value of each type and compare.
    const MAX_SIZE: usize;

    /// Whether there are any that [can wait](Self::can_wait).
    const SOME_CAN_WAIT: bool = false;

    /// Whether a receiver that sleeps need not hear of it at once: it hurts nobody if it is read with the next message.
    fn can_wait(&self) -> bool {
        false
    }
}

/// Longest encodings of the parts that messages are made of (postcard's specification: a variant number and every
/// integer wider than a byte are varints of 7 bits a byte).
pub(crate) mod size {
    /// Variant number of an enum with fewer than 128 variants; `bool`; `Option` without its content; a length below 128.
    pub(crate) const TAG: usize = 1;
    pub(crate) const U8: usize = 1;
    pub(crate) const U16: usize = 3;
    pub(crate) const U32: usize = 5;
    pub(crate) const U64: usize = 10;
    pub(crate) const IP: usize = TAG + 16;
    pub(crate) const SOCKET_ADDR: usize = IP + U16;

    /// The largest of several sizes.
    pub(crate) const fn largest(sizes: &[usize]) -> usize {
        let mut rest = sizes;
        let mut largest = 0;
        while let [first, others @ ..] = rest {
            if *first > largest {
                largest = *first;
            }
            rest = others;
        }
        largest
    }
}

/// Why bytes are not a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DecodeError {
    /// Truncated, an unknown variant, a number or length out of range or encoded longer than need be.
    Malformed,
    /// A message, and then something else.
    TrailingBytes,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DecodeError::Malformed => "malformed message",
            DecodeError::TrailingBytes => "bytes after the message",
        })
    }
}

impl core::error::Error for DecodeError {}

/// The buffer is smaller than the message ([`Message::MAX_SIZE`] bytes are always enough).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferTooSmall;

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("buffer too small for the message")
    }
}

impl core::error::Error for BufferTooSmall {}

/// Writes `message` to the start of `buffer` and returns its length.
///
/// # Errors
/// [`BufferTooSmall`] if it does not fit.
#[inline]
pub fn encode<M: Message>(message: &M, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
    let room = buffer.len();
    let mut encoder = Encoder::new(buffer);
    message.serialize(&mut encoder)?;
    Ok(room.saturating_sub(encoder.left()))
}

/// Reads a message that fills `bytes` exactly.
///
/// # Errors
/// [`DecodeError`], whatever the bytes are; never more work than the bytes are long.
#[inline]
pub fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut decoder = Decoder::new(bytes);
    // What is returned in any case, so that a large message is not moved.
    let mut decoded = M::deserialize(&mut decoder);
    if decoded.is_ok() && !decoder.is_at_end() {
        decoded = Err(DecodeError::TrailingBytes);
    }
    decoded
}
