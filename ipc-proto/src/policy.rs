//! What a session may do on the network. A holder can derive a narrower policy, never a wider one. Touches nothing.
#![forbid(unsafe_code)]

use crate::codec::size;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::Vec;
use postcard::experimental::max_size::MaxSize;
use postcard_schema::Schema;
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

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

impl Prefix {
    /// Whether an address lies in it. An IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2) counts as its IPv4 address; a prefix with
    /// more bits than an address has contains nothing.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, width) = number(address);
        self.canonical().is_some_and(|(prefix, bits, its_width)| {
            width == its_width && same_bits(prefix, address, bits, width)
        })
    }

    /// Whether every address in it is in `wider`.
    #[must_use]
    pub fn within(&self, wider: &Prefix) -> bool {
        let Some((prefix, bits, width)) = self.canonical() else {
            return true; // Contains nothing.
        };
        wider
            .canonical()
            .is_some_and(|(its_prefix, its_bits, its_width)| {
                width == its_width
                    && its_bits <= bits
                    && same_bits(prefix, its_prefix, its_bits, width)
            })
    }

    /// Address, bits that count, and bits of an address. `None` if it contains nothing.
    fn canonical(&self) -> Option<(u128, u32, u32)> {
        let bits = u32::from(self.bits);
        if let IpAddr::V6(address) = self.address {
            if let (Some(mapped), Some(bits)) = (
                address.to_ipv4_mapped(),
                bits.checked_sub(V6_WIDTH - V4_WIDTH),
            ) {
                return (bits <= V4_WIDTH).then_some((mapped.to_bits().into(), bits, V4_WIDTH));
            }
            return (bits <= V6_WIDTH).then_some((address.to_bits(), bits, V6_WIDTH));
        }
        let (address, width) = number(self.address);
        (bits <= width).then_some((address, bits, width))
    }
}

const V4_WIDTH: u32 = Ipv4Addr::BITS;
const V6_WIDTH: u32 = Ipv6Addr::BITS;

/// An address as a number, and its bits; mapped ones as IPv4.
fn number(address: IpAddr) -> (u128, u32) {
    match address.to_canonical() {
        IpAddr::V4(address) => (address.to_bits().into(), V4_WIDTH),
        IpAddr::V6(address) => (address.to_bits(), V6_WIDTH),
    }
}

/// Whether the first `bits` of two addresses of `width` bits are the same.
fn same_bits(a: u128, b: u128, bits: u32, width: u32) -> bool {
    // A shift by all 128 bits leaves nothing to differ.
    (a ^ b).checked_shr(width - bits).unwrap_or(0) == 0
}

impl PortRange {
    /// Every port.
    pub const ALL: PortRange = PortRange {
        first: 0,
        last: u16::MAX,
    };

    /// Whether a port lies in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    /// Whether every port in it is in `wider`.
    #[must_use]
    pub fn within(&self, wider: &PortRange) -> bool {
        self.first > self.last || (wider.first <= self.first && self.last <= wider.last)
    }
}

impl Allow {
    /// Everything.
    pub const ALL: Allow = Allow {
        tcp_connect: true,
        tcp_listen: true,
        udp: true,
        ping: true,
        resolve: true,
        inspect: true,
    };

    /// Whether everything that it allows `wider` allows too.
    #[must_use]
    pub fn within(&self, wider: &Allow) -> bool {
        self.tcp_connect <= wider.tcp_connect
            && self.tcp_listen <= wider.tcp_listen
            && self.udp <= wider.udp
            && self.ping <= wider.ping
            && self.resolve <= wider.resolve
            && self.inspect <= wider.inspect
    }
}

impl Policy {
    /// No restriction at all.
    #[must_use]
    pub fn everything() -> Self {
        let every = |address| Prefix { address, bits: 0 };
        Self {
            allow: Allow::ALL,
            remote: [
                every(Ipv4Addr::UNSPECIFIED.into()),
                every(Ipv6Addr::UNSPECIFIED.into()),
            ]
            .into_iter()
            .collect(),
            remote_ports: [PortRange::ALL].into_iter().collect(),
            local_ports: [PortRange::ALL].into_iter().collect(),
            max_sockets: crate::socket::MAX_SOCKETS,
            max_buffer_bytes: u32::MAX,
            packets_per_second: 0,
        }
    }

    /// Nothing is permitted.
    #[must_use]
    pub fn nothing() -> Self {
        Self {
            allow: Allow::default(),
            remote: Vec::new(),
            remote_ports: Vec::new(),
            local_ports: Vec::new(),
            max_sockets: 0,
            max_buffer_bytes: 0,
            packets_per_second: 1,
        }
    }

    /// Whether `wider` permits everything that this policy permits.
    ///
    /// Each prefix and each range has to lie within a single one of `wider`: two that cover it only together are not enough.
    #[must_use]
    pub fn within(&self, wider: &Policy) -> bool {
        let ports = |narrow: &[PortRange], wide: &[PortRange]| {
            narrow.iter().all(|range| {
                range.first > range.last || wide.iter().any(|other| range.within(other))
            })
        };
        let rate = match (self.packets_per_second, wider.packets_per_second) {
            (_, 0) => true,
            (0, _) => false,
            (mine, its) => mine <= its,
        };
        self.allow.within(&wider.allow)
            && self.remote.iter().all(|prefix| {
                prefix.canonical().is_none()
                    || wider.remote.iter().any(|other| prefix.within(other))
            })
            && ports(&self.remote_ports, &wider.remote_ports)
            && ports(&self.local_ports, &wider.local_ports)
            && self.max_sockets <= wider.max_sockets
            && self.max_buffer_bytes <= wider.max_buffer_bytes
            && rate
    }

    /// Whether it permits to exchange packets with a remote address and port.
    #[must_use]
    pub fn permits_remote(&self, address: IpAddr, port: u16) -> bool {
        self.permits_address(address) && self.remote_ports.iter().any(|range| range.contains(port))
    }

    /// Whether it permits to exchange packets with a remote address, for protocols without ports and peers that
    /// choose their port themselves.
    #[must_use]
    pub fn permits_address(&self, address: IpAddr) -> bool {
        self.remote.iter().any(|prefix| prefix.contains(address))
    }

    /// Whether it permits to name a local port in bind and listen; 0, an ephemeral one, always.
    #[must_use]
    pub fn permits_local_port(&self, port: u16) -> bool {
        port == 0 || self.local_ports.iter().any(|range| range.contains(port))
    }

    /// No encoding is longer.
    pub(crate) const MAX_SIZE: usize = Allow::POSTCARD_MAX_SIZE
        + (size::TAG + MAX_RULES * (size::IP + size::U8))
        + 2 * (size::TAG + MAX_RULES * PortRange::POSTCARD_MAX_SIZE)
        + size::U16
        + 2 * size::U32;
}
