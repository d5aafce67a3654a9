//! Set-up by synchronous call: opening and deriving sessions, attaching a driver.
//!
//! These messages travel inline in an endpoint call (at most [`MAX_INLINE`] bytes and four capabilities), once per
//! session. The badge of the endpoint capability tells the stack which policy applies.
#![forbid(unsafe_code)]

use crate::{
    codec::{Message, size},
    frame::{Offloads, Pool},
    hello::Hello,
    policy::Policy,
};
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Bytes that an endpoint message carries.
pub const MAX_INLINE: usize = 232;

/// Client to stack, on the endpoint `net`.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub enum NetRequest {
    /// Opens a session. Capabilities: \[0\] the session memory (READ, WRITE; the client's), \[1\] the client's
    /// doorbell (SIGNAL).
    Open {
        /// The protocol that the client speaks.
        hello: Hello,
        /// Bytes of the session memory that belong to the session: channel first, then the arena.
        len: u32,
    },
    /// Makes a narrower session capability. The reply carries a new endpoint capability.
    Derive {
        /// Must be within the caller's policy.
        policy: Policy,
    },
    /// Ends every session opened with capabilities derived by [`NetRequest::Derive`] from the caller's.
    RevokeDerived,
}

/// Stack to client.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub enum NetReply {
    /// The session is open. Capability \[0\]: the stack's doorbell (SIGNAL).
    Opened {
        /// Sockets that the session may have: indices on the event bitmaps stay below this.
        max_sockets: u16,
    },
    /// Capability \[0\]: the narrower endpoint capability (CALL, GRANT).
    Derived,
    /// Done.
    Done,
    /// Refused.
    Refused(Refusal),
}

/// Why a session was not opened, derived or attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum Refusal {
    /// The two sides were built from different protocols; this is what the stack speaks.
    Mismatch(Hello),
    /// The request is malformed, capabilities are missing or of the wrong kind, or the memory is too small.
    BadRequest,
    /// The policy asked for is wider than the caller's, or the capability was revoked.
    Denied,
    /// No room for another session.
    Exhausted,
}

/// Driver to stack, on the endpoint `netdev`.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum DevRequest {
    /// Attaches a driver; an earlier one is detached. Capability \[0\]: the driver's doorbell (SIGNAL).
    Attach {
        /// The protocol that the driver speaks.
        hello: Hello,
        /// Hardware address.
        mac: [u8; 6],
        /// Largest IP packet that fits in a frame.
        mtu: u16,
        /// Whether the link is up.
        link_up: bool,
        /// What the device can do with frames.
        offloads: Offloads,
    },
}

/// Stack to driver.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum DevReply {
    /// Attached. Capabilities: \[0\] channel memory (READ, WRITE), \[1\] the pool to receive into (READ, WRITE, DMA), \[2\] the
    /// pool to send from (READ, DMA), \[3\] the stack's doorbell (SIGNAL).
    Attached {
        /// Grows with every attachment.
        generation: u32,
        /// Buffers to receive into: the driver will be given all of them, at most.
        receive: Pool,
        /// Buffers to send from.
        send: Pool,
        /// What the device is to do with frames: nothing that it can't.
        offloads: Offloads,
    },
    /// Refused.
    Refused(Refusal),
}

impl Message for NetRequest {
    const MAX_SIZE: usize =
        size::TAG + size::largest(&[Hello::POSTCARD_MAX_SIZE + size::U32, Policy::MAX_SIZE]);
}

impl Message for NetReply {
    const MAX_SIZE: usize = size::TAG + size::largest(&[size::U16, Refusal::POSTCARD_MAX_SIZE]);
}

impl Message for DevRequest {
    const MAX_SIZE: usize = <Self as MaxSize>::POSTCARD_MAX_SIZE;
}

impl Message for DevReply {
    const MAX_SIZE: usize = <Self as MaxSize>::POSTCARD_MAX_SIZE;
}

const _: () = assert!(NetRequest::MAX_SIZE <= MAX_INLINE);
const _: () = assert!(NetReply::MAX_SIZE <= MAX_INLINE);
const _: () = assert!(DevRequest::MAX_SIZE <= MAX_INLINE);
const _: () = assert!(DevReply::MAX_SIZE <= MAX_INLINE);
