//! What a session with `inspect` may see of the stack: the interface, sockets, counters. Messages only; touches nothing.
//! `docs/protocol.md` is written from the comments here.
#![forbid(unsafe_code)]

use crate::codec::size;
use core::net::{IpAddr, SocketAddr};
use heapless::Vec;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

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

impl InterfaceInfo {
    pub(super) const MAX_SIZE: usize = 6
        + size::TAG
        + size::U16
        + (size::TAG + 6 * (size::IP + size::U8))
        + (size::TAG + 2 * size::IP)
        + (size::TAG + 3 * size::IP)
        + AddressSource::POSTCARD_MAX_SIZE
        + 2 * size::U32;
}

impl SocketInfo {
    pub(super) const MAX_SIZE: usize = size::U64
        + SocketState::POSTCARD_MAX_SIZE
        + size::SOCKET_ADDR
        + size::TAG
        + size::SOCKET_ADDR
        + 2 * size::U32;
}
