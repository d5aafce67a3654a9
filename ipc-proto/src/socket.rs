//! The socket protocol: client and stack.
//!
//! Requests and replies travel on the two rings of the session's channel. Bytes never do: each
//! socket has a receive FIFO and a transmit FIFO in the session's arena ([`crate::fifo`]), and both sides tell each
//! other "look at socket N" by a bit in the channel's event bitmaps.
//!
//! # Life of a socket
//! `TcpConnect`, `TcpListen`, `UdpBind` are answered by `Opened` with a handle, `TcpAccept` by `Accepted` once a connection is
//! there. A connecting stream says in its status word when it is established or why not. `Shutdown` ends
//! the sending direction behind the bytes already in the FIFO. `Close` ends the socket: what is in the transmit FIFO
//! is still sent; `Closed` answers when the stack no longer touches the socket's part of the arena.
//!
//! Requests carry a number chosen by the client, which the answer repeats.
#![forbid(unsafe_code)]

mod error;
mod info;

use crate::{
    codec::{Message, size},
    rings::RingInfo,
};
use core::net::{IpAddr, SocketAddr};
pub use error::NetError;
use heapless::{String, Vec};
pub use info::{AddressSource, Counters, InterfaceInfo, SocketInfo, SocketState};
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of a slot on a socket ring: a `Resolve` with the longest name fits.
pub const SLOT_SIZE: usize = 288;
/// Slots of each ring of a socket channel.
pub const RING_SLOTS: u32 = 64;
/// Most sockets of a session.
pub const MAX_SOCKETS: u16 = 1024;
/// Longest domain name in presentation format (RFC 1035 section 2.3.4).
pub const MAX_NAME: usize = 253;
/// Most addresses in an answer to `Resolve`.
pub const MAX_ADDRESSES: usize = 8;

/// Number of a request, chosen by the client.
pub type RequestId = u32;

/// A socket of this session: index (below the session's `max_sockets`) and generation.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Debug,
    Serialize,
    Deserialize,
    MaxSize,
    Schema,
)]
pub struct Handle {
    /// Position: names the socket's bit in the event bitmaps.
    pub index: u16,
    /// Grows each time that the position is used again.
    pub generation: u16,
}

/// Where a socket's FIFOs lie in the arena. Offsets count from the start of the session memory, are multiples
/// of 64, and must lie behind the channel. Parts that overlap garble that client's own data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub struct Buffers {
    /// The control block ([`crate::fifo::CONTROL_SIZE`] bytes), zeroed by the client before the request.
    pub control: u32,
    /// First byte of the receive FIFO.
    pub rx: u32,
    /// Its capacity is 1 << this: 10..=22.
    pub rx_log2: u8,
    /// First byte of the transmit FIFO.
    pub tx: u32,
    /// Its capacity is 1 << this: 10..=22.
    pub tx_log2: u8,
}

/// A setting of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum SocketOption {
    /// Send small segments at once (TCP; RFC 1122 section 4.2.3.4).
    NoDelay(bool),
    /// Probe an idle connection at this interval in milliseconds; `None` turns it off (TCP; RFC 1122 section 4.2.3.6).
    KeepAlive(Option<u32>),
    /// Give up a connection whose peer is silent for this many milliseconds; `None` is never (TCP; RFC 9293 section 3.9.1).
    UserTimeout(Option<u32>),
    /// Time to live or hop limit, 1..=255.
    HopLimit(u8),
}

/// Client to stack.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
#[expect(
    clippy::large_enum_variant,
    reason = "a message is decoded in place, without a heap; the large one is rare"
)]
pub enum Request {
    /// Opens a connection. Answer: `Opened` at once; the status word tells the rest.
    TcpConnect {
        /// Number of the request.
        id: RequestId,
        /// To whom.
        remote: SocketAddr,
        /// From which port; 0: an ephemeral one.
        local_port: u16,
        /// Its memory.
        buffers: Buffers,
    },
    /// Listens. Answer: `Opened`. The event bit of the listener says that `TcpAccept` would find a connection.
    TcpListen {
        /// Number of the request.
        id: RequestId,
        /// Address (unspecified: all; `::` takes both families) and port (0: an ephemeral one).
        local: SocketAddr,
        /// Connections that may wait to be accepted: 1..=128 (0 counts as 1).
        backlog: u16,
    },
    /// Takes a connection from a listener, now or when one comes. Answer: `Accepted`; or `Failed`, with
    /// `Cancelled` after `Cancel` and `NotConnected` when the listener is closed.
    TcpAccept {
        /// Number of the request.
        id: RequestId,
        /// The listener.
        listener: Handle,
        /// Memory of the connection.
        buffers: Buffers,
    },
    /// Opens a UDP socket. Answer: `Opened`.
    UdpBind {
        /// Number of the request.
        id: RequestId,
        /// Address (unspecified: all; `::` takes both families) and port (0: an ephemeral one).
        local: SocketAddr,
        /// Its memory: record FIFOs ([`crate::fifo`]).
        buffers: Buffers,
    },
    /// Changes a setting. Answer: `Done`.
    SetOption {
        /// Number of the request.
        id: RequestId,
        /// The socket.
        socket: Handle,
        /// The setting.
        option: SocketOption,
    },
    /// Ends the sending direction of a connection behind what is in the FIFO (FIN). Answer: `Done`.
    Shutdown {
        /// Number of the request.
        id: RequestId,
        /// The connection.
        socket: Handle,
    },
    /// Closes a socket. Answer: `Closed`, when the bytes in its transmit FIFO have been taken over or can't be sent any more.
    Close {
        /// Number of the request.
        id: RequestId,
        /// The socket.
        socket: Handle,
        /// Drop what is unsent and reset the connection (RST).
        abort: bool,
    },
    /// Takes a waiting `TcpAccept`, `Resolve` or `Ping` back. Answer: `Done`; the request itself fails with `Cancelled`
    /// unless its answer is on its way already.
    Cancel {
        /// Number of this request.
        id: RequestId,
        /// Number of the request to take back.
        target: RequestId,
    },
    /// Looks a name up. Answer: `Resolved`.
    Resolve {
        /// Number of the request.
        id: RequestId,
        /// The name.
        name: String<MAX_NAME>,
        /// Which addresses.
        family: Family,
        /// How long to try, in milliseconds.
        timeout_ms: u32,
    },
    /// Sends one ICMP echo request. Answer: `Pong`, or `Failed` with `TimedOut` or `Unreachable`.
    Ping {
        /// Number of the request.
        id: RequestId,
        /// To whom.
        remote: IpAddr,
        /// Sequence number.
        sequence: u16,
        /// Bytes of data behind the ICMP header, at most 1,452.
        len: u16,
        /// How long to wait, in milliseconds.
        timeout_ms: u32,
    },
    /// Asks for addresses, routes and servers. Answer: `Interface`. Needs `inspect`.
    Interface {
        /// Number of the request.
        id: RequestId,
    },
    /// Asks for the socket at or after a position among all sockets of all sessions. Answer: `Socket`. Needs `inspect`.
    Inspect {
        /// Number of the request.
        id: RequestId,
        /// Position: 0 to start, then `next` of the last answer.
        position: u32,
    },
    /// Asks for counters. Answer: `Counters`. Needs `inspect`.
    Counters {
        /// Number of the request.
        id: RequestId,
    },
    /// Asks for the rings at or after a position among those of the driver and of all sessions. Answer: `Ring`. Needs `inspect`.
    Ring {
        /// Number of the request.
        id: RequestId,
        /// Position: 0 to start, then `next` of the last answer.
        position: u32,
    },
}

/// Which addresses of a name are wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
    /// Both.
    Any,
}

/// Stack to client.
///
/// Variant order is the wire discriminant: append new variants, never reorder or remove one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub enum Reply {
    /// The socket is there.
    Opened {
        /// Number of the request.
        id: RequestId,
        /// The socket.
        socket: Handle,
        /// Its own address (port filled in).
        local: SocketAddr,
    },
    /// A connection was taken from the backlog.
    Accepted {
        /// Number of the request.
        id: RequestId,
        /// The connection.
        socket: Handle,
        /// Its own address.
        local: SocketAddr,
        /// The peer's.
        remote: SocketAddr,
    },
    /// Done.
    Done {
        /// Number of the request.
        id: RequestId,
    },
    /// The stack touches the socket's part of the arena no more.
    Closed {
        /// Number of the request.
        id: RequestId,
    },
    /// Addresses of a name; at least one.
    Resolved {
        /// Number of the request.
        id: RequestId,
        /// The addresses.
        addresses: Vec<IpAddr, MAX_ADDRESSES>,
    },
    /// The answer to an echo request.
    Pong {
        /// Number of the request.
        id: RequestId,
        /// Who answered.
        from: IpAddr,
        /// Round-trip time in microseconds.
        micros: u32,
        /// Time to live of the answer.
        hop_limit: u8,
        /// Bytes of data in the answer.
        len: u16,
    },
    /// Addresses, routes and servers.
    Interface {
        /// Number of the request.
        id: RequestId,
        /// The interface.
        interface: InterfaceInfo,
    },
    /// One socket; `None` at the end.
    Socket {
        /// Number of the request.
        id: RequestId,
        /// Position to ask for next.
        next: u32,
        /// The socket.
        socket: Option<SocketInfo>,
    },
    /// The counters.
    Counters {
        /// Number of the request.
        id: RequestId,
        /// The counters.
        counters: Counters,
    },
    /// The request failed.
    Failed {
        /// Number of the request.
        id: RequestId,
        /// Why.
        error: NetError,
    },
    /// The rings of one channel; `None` at the end.
    Ring {
        /// Number of the request.
        id: RequestId,
        /// Position to ask for next.
        next: u32,
        /// The rings.
        ring: Option<RingInfo>,
    },
}

impl Message for Request {
    const MAX_SIZE: usize = size::TAG
        + size::U32
        + size::largest(&[
            size::SOCKET_ADDR + size::U16 + Buffers::POSTCARD_MAX_SIZE,
            Handle::POSTCARD_MAX_SIZE + SocketOption::POSTCARD_MAX_SIZE,
            2 + MAX_NAME + Family::POSTCARD_MAX_SIZE + size::U32,
        ]);
}

impl Message for Reply {
    const MAX_SIZE: usize = size::TAG
        + size::U32
        + size::largest(&[
            Handle::POSTCARD_MAX_SIZE + 2 * size::SOCKET_ADDR,
            size::TAG + MAX_ADDRESSES * size::IP,
            InterfaceInfo::MAX_SIZE,
            size::U32 + size::TAG + SocketInfo::MAX_SIZE,
            Counters::POSTCARD_MAX_SIZE,
            size::U32 + size::TAG + RingInfo::POSTCARD_MAX_SIZE,
        ]);

    const SOME_CAN_WAIT: bool = true;

    /// A program that has room goes on without what a closed socket gives back.
    fn can_wait(&self) -> bool {
        matches!(self, Reply::Closed { .. })
    }
}

const _: () = assert!(Request::MAX_SIZE + 2 <= SLOT_SIZE);
const _: () = assert!(Reply::MAX_SIZE + 2 <= SLOT_SIZE);
