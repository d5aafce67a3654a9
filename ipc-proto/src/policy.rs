//! What a session may do on the network. A holder can derive a narrower policy, never a wider one.

use crate::codec::size;
use core::net::IpAddr;
use heapless::Vec;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

/// Most prefixes or port ranges in a list of a policy.
pub const MAX_RULES: usize = 3;

/// An IPv4 or IPv6 prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub struct Prefix {
    /// An address in it.
    pub address: IpAddr,
    /// How many leading bits count: 0..=32 or 0..=128.
    pub bits: u8,
}

/// Ports from `first` to `last`, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, MaxSize, Schema)]
pub struct PortRange {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

/// The kinds of use that a policy allows, one flag each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, MaxSize, Schema)]
pub struct Allow {
    /// Open TCP connections.
    pub tcp_connect: bool,
    /// Accept TCP connections.
    pub tcp_listen: bool,
    /// Exchange UDP datagrams.
    pub udp: bool,
    /// Send ICMP echo requests.
    pub ping: bool,
    /// Resolve names.
    pub resolve: bool,
    /// See addresses, and the counters and sockets of everybody (`ip`, `netstat`).
    pub inspect: bool,
}

/// What a session may do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, Schema)]
pub struct Policy {
    /// Which kinds of use.
    pub allow: Allow,
    /// Remote addresses that it may talk to: in any of these (empty: none at all).
    pub remote: Vec<Prefix, MAX_RULES>,
    /// Remote ports of connects and outgoing datagrams: in any of these.
    pub remote_ports: Vec<PortRange, MAX_RULES>,
    /// Local ports that it may name in bind and listen (an ephemeral port is always possible).
    pub local_ports: Vec<PortRange, MAX_RULES>,
    /// Sockets open at once, listeners and pending accepts included.
    pub max_sockets: u16,
    /// Bytes of socket buffers that the stack keeps for it.
    pub max_buffer_bytes: u32,
    /// Packets a second that it may cause to be sent; 0 is unlimited.
    pub packets_per_second: u32,
}

impl Policy {
    /// No encoding is longer.
    pub(crate) const MAX_SIZE: usize = Allow::POSTCARD_MAX_SIZE
        + (size::TAG + MAX_RULES * (size::IP + size::U8))
        + 2 * (size::TAG + MAX_RULES * PortRange::POSTCARD_MAX_SIZE)
        + size::U16
        + 2 * size::U32;
}
