//! The handshake: both sides name the protocol, its version and a hash of its schema before anything else.
#![forbid(unsafe_code)]

use core::fmt;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::{Schema, key::Key};
use serde::{Deserialize, Serialize};

/// What each side says of the protocol that it speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub struct Hello {
    /// Which protocol.
    pub protocol: Protocol,
    /// Raised with every change of the protocol.
    pub version: u16,
    /// Hash over the types of both directions: differs when a type was changed and the version forgotten.
    pub schema: [u8; 8],
}

/// The protocols.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum Protocol {
    /// Client and stack: [`crate::socket`].
    Socket,
    /// Driver and stack: [`crate::frame`].
    Frame,
    /// Tools and init: [`crate::system`].
    System,
}

/// Version of [`Protocol::Socket`].
pub const SOCKET_VERSION: u16 = 2;
/// Version of [`Protocol::Frame`].
pub const FRAME_VERSION: u16 = 4;
/// Version of [`Protocol::System`].
pub const SYSTEM_VERSION: u16 = 1;

/// Rotated, so that exchanging the directions changes the hash.
const fn both(a: Key, b: Key) -> [u8; 8] {
    let (a, b) = (
        u64::from_be_bytes(a.to_bytes()),
        u64::from_be_bytes(b.to_bytes()),
    );
    (a ^ b.rotate_left(3)).to_be_bytes()
}

impl Hello {
    /// What this build says for the socket protocol.
    pub const SOCKET: Hello = Hello {
        protocol: Protocol::Socket,
        version: SOCKET_VERSION,
        schema: both(
            Key::for_path::<crate::socket::Request>("socket/request"),
            Key::for_path::<crate::socket::Reply>("socket/reply"),
        ),
    };

    /// What this build says for the frame protocol.
    pub const FRAME: Hello = Hello {
        protocol: Protocol::Frame,
        version: FRAME_VERSION,
        schema: both(
            Key::for_path::<crate::frame::ToDriver>("frame/to-driver"),
            Key::for_path::<crate::frame::ToStack>("frame/to-stack"),
        ),
    };

    /// What this build says for the system protocol.
    pub const SYSTEM: Hello = Hello {
        protocol: Protocol::System,
        version: SYSTEM_VERSION,
        schema: both(
            Key::for_path::<crate::system::Request>("system/request"),
            Key::for_path::<crate::system::Reply>("system/reply"),
        ),
    };

    /// Compares what the peer said with what this side speaks.
    ///
    /// # Errors
    /// [`Mismatch`], which names both.
    pub fn check(&self, theirs: &Hello) -> Result<(), Mismatch> {
        if self == theirs {
            Ok(())
        } else {
            Err(Mismatch {
                ours: *self,
                theirs: *theirs,
            })
        }
    }
}

/// The two sides were built from different protocols. Retrying cannot help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// This side.
    pub ours: Hello,
    /// The peer.
    pub theirs: Hello,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, theirs) = (&self.ours, &self.theirs);
        write!(
            f,
            "protocol mismatch: this side speaks {:?} version {} (schema {:016x}), the peer {:?} version {} (schema {:016x})",
            ours.protocol,
            ours.version,
            u64::from_be_bytes(ours.schema),
            theirs.protocol,
            theirs.version,
            u64::from_be_bytes(theirs.schema),
        )
    }
}

impl core::error::Error for Mismatch {}
