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

use crate::{
    codec::{Message, size},
    rings::RingInfo,
};
use core::net::{IpAddr, SocketAddr};
use heapless::{String, Vec};
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

/// State of the interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub struct InterfaceInfo {
    /// Hardware address.
    pub mac: [u8; 6],
    /// Whether a driver is attached and its link up.
    pub link_up: bool,
    /// Largest IP packet.
    pub mtu: u16,
    /// Addresses with prefix lengths.
    pub addresses: Vec<(IpAddr, u8), 6>,
    /// Default routers.
    pub routers: Vec<IpAddr, 2>,
    /// Name servers.
    pub name_servers: Vec<IpAddr, 3>,
    /// Where the IPv4 address came from.
    pub source: AddressSource,
    /// Seconds until the DHCP lease must be renewed; zero without one.
    pub lease_seconds: u32,
    /// How often a driver has attached.
    pub attachments: u32,
}

/// Where an IPv4 address came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub enum AddressSource {
    /// There is none yet.
    None,
    /// From DHCP.
    Dhcp,
    /// From the manifest or the command line.
    Static,
}

/// One socket, for `netstat`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub struct SocketInfo {
    /// The badge of the session that owns it, zero if it waits in a backlog.
    pub session: u64,
    /// TCP state (RFC 9293 section 3.3.2), or UDP.
    pub state: SocketState,
    /// Its own address.
    pub local: SocketAddr,
    /// The peer's, if it has one.
    pub remote: Option<SocketAddr>,
    /// Bytes received and not yet read.
    pub rx_queued: u32,
    /// Bytes written and not yet acknowledged.
    pub tx_queued: u32,
}

/// State of a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
#[expect(missing_docs, reason = "the names are those of RFC 9293")]
pub enum SocketState {
    Udp,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// What the stack has counted since it started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, MaxSize, Schema)]
pub struct Counters {
    /// Frames from the driver.
    pub rx_frames: u64,
    /// Their bytes.
    pub rx_bytes: u64,
    /// Frames to the driver.
    pub tx_frames: u64,
    /// Their bytes.
    pub tx_bytes: u64,
    /// Frames dropped because they made no sense.
    pub rx_malformed: u64,
    /// Frames dropped for want of a socket, a buffer or room.
    pub rx_dropped: u64,
    /// Frames not sent for want of a buffer.
    pub tx_dropped: u64,
    /// SYNs dropped because a backlog or the table of half-open connections was full.
    pub syn_dropped: u64,
    /// Sessions open.
    pub sessions: u32,
    /// Sessions ended for breaking the protocol.
    pub violations: u32,
    /// Sockets open.
    pub sockets: u32,
    /// Connections accepted and opened.
    pub connections: u64,
    /// Requests refused by policy or quota.
    pub refused: u64,
    /// Times that a driver broke the protocol.
    pub driver_violations: u32,
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

impl InterfaceInfo {
    const MAX_SIZE: usize = 6
        + size::TAG
        + size::U16
        + (size::TAG + 6 * (size::IP + size::U8))
        + (size::TAG + 2 * size::IP)
        + (size::TAG + 3 * size::IP)
        + AddressSource::POSTCARD_MAX_SIZE
        + 2 * size::U32;
}

impl SocketInfo {
    const MAX_SIZE: usize = size::U64
        + SocketState::POSTCARD_MAX_SIZE
        + size::SOCKET_ADDR
        + size::TAG
        + size::SOCKET_ADDR
        + 2 * size::U32;
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
