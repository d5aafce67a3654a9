//! What the stack is told at its start.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where addresses come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Addressing {
    /// From a DHCPv4 server.
    Dhcp,
    /// From here.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// Length of its prefix, 0..=32.
        bits: u8,
        /// The router.
        router: Option<Ipv4Addr>,
    },
    /// There is no IPv4 address.
    None,
}

/// What the stack is told at its start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where the IPv4 address comes from.
    pub ipv4: Addressing,
    /// Whether IPv6 is spoken: a link-local address, and others by router advertisements (RFC 4862).
    pub ipv6: bool,
    /// A static IPv6 address with its prefix length, besides those.
    pub ipv6_static: Option<(Ipv6Addr, u8)>,
    /// Name servers, asked before those from DHCP and router advertisements.
    pub name_servers: Vec<IpAddr>,
    /// Most sessions at once.
    pub max_sessions: usize,
    /// Bytes of TCP buffers for each direction of a connection, at most; a power of two.
    pub tcp_buffer: usize,
    /// Most bytes of socket buffers over all sessions.
    pub max_memory: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            ipv4: Addressing::Dhcp,
            ipv6: true,
            ipv6_static: None,
            name_servers: Vec::new(),
            max_sessions: 64,
            tcp_buffer: 64 * 1024,
            max_memory: 64 * 1024 * 1024,
        }
    }
}
