//! The control set: what belongs to no flow (ARP, neighbour discovery, ICMP, resets), and the DHCPv4 client.

use super::Sockets;
use alloc::{boxed::Box, vec, vec::Vec};
use core::{net::Ipv4Addr, time::Duration};
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::dhcpv4,
};

/// An address that a server leased (RFC 2131).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    /// The address.
    pub(crate) address: Ipv4Addr,
    /// Length of the prefix.
    pub(crate) bits: u8,
    /// The router.
    pub(crate) router: Option<Ipv4Addr>,
    /// Name servers.
    pub(crate) servers: Vec<Ipv4Addr>,
    /// For how long.
    pub(crate) lifetime: Duration,
}

/// What happened to the lease.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DhcpEvent {
    /// There is one, or it was changed.
    Leased(Lease),
    /// There is none any more.
    Lost,
}

/// The control set.
pub(crate) struct Dhcp {
    set: SocketSet<'static>,
    client: Option<SocketHandle>,
}

/// Bytes of a DHCP message that are kept to be read (RFC 2131 section 2: 576 at least).
const MESSAGE: usize = 1500;

impl Sockets for Dhcp {
    fn set(&mut self) -> &mut SocketSet<'static> {
        &mut self.set
    }
}

/// Leases shorter than this are not taken: renewing them would be all that the host does.
const SHORTEST: u32 = 10;

/// Whether a frame with a DHCP message names a lease too short to be taken. Options are read as RFC 2132 section 2 says;
/// what can't be read is the engine's business.
pub(crate) fn is_short_lease(frame: &[u8]) -> bool {
    let length = || {
        let header = usize::from(frame.get(crate::classify::ETHERNET)? & 0xf).checked_mul(4)?;
        let fields = crate::classify::ETHERNET
            .checked_add(header)?
            .checked_add(8)?;
        // Behind the fixed fields (RFC 2131 section 2) and the cookie.
        let mut options = frame.get(fields.checked_add(240)?..)?;
        let mut shortest: Option<u32> = None;
        loop {
            match *options {
                [0, ref rest @ ..] => options = rest,
                [255, ..] | [] => return shortest,
                [kind, len, ref rest @ ..] => {
                    let (data, behind) = rest.split_at_checked(len.into())?;
                    if let (51, Some(four)) = (kind, data.first_chunk()) {
                        let seconds = u32::from_be_bytes(*four);
                        shortest = Some(shortest.map_or(seconds, |other| other.min(seconds)));
                    }
                    options = behind;
                }
                [_] => return shortest,
            }
        }
    };
    length().is_some_and(|seconds| seconds < SHORTEST)
}

impl Dhcp {
    /// A control set, with a DHCP client or without.
    pub(crate) fn new(client: bool) -> Dhcp {
        let mut set = SocketSet::new(vec![]);
        let client = client.then(|| {
            let mut socket = dhcpv4::Socket::new();
            let mut retry = socket.get_retry_config();
            // A machine that boots has nobody to wait for: the first answer is often lost while a bridge learns.
            retry.discover_timeout = smoltcp::time::Duration::from_secs(3);
            retry.initial_request_timeout = smoltcp::time::Duration::from_secs(2);
            socket.set_retry_config(retry);
            // One buffer for the life of the process.
            socket.set_receive_packet_buffer(Box::leak(Box::new([0; MESSAGE])));
            set.add(socket)
        });
        Dhcp { set, client }
    }

    /// Starts over, as after a change of network.
    pub(crate) fn restart(&mut self) {
        if let Some(handle) = self.client {
            self.set.get_mut::<dhcpv4::Socket<'_>>(handle).reset();
        }
    }

    /// What happened since the last call.
    pub(crate) fn poll(&mut self) -> Option<DhcpEvent> {
        let socket: &mut dhcpv4::Socket<'_> = self.set.get_mut(self.client?);
        let config = match socket.poll()? {
            dhcpv4::Event::Deconfigured => return Some(DhcpEvent::Lost),
            dhcpv4::Event::Configured(config) => config,
        };
        let lifetime = config
            .packet
            .as_ref()
            .and_then(|packet| {
                // Option 51, IP address lease time in seconds (RFC 2132 section 9.2).
                let option = packet.options().find(|option| option.kind == 51)?;
                let seconds: &[u8; 4] = option.data.first_chunk()?;
                Some(u32::from_be_bytes(*seconds))
            })
            .unwrap_or(0);
        Some(DhcpEvent::Leased(Lease {
            address: config.address.address(),
            bits: config.address.prefix_len(),
            router: config.router,
            servers: config.dns_servers.iter().copied().collect(),
            lifetime: Duration::from_secs(lifetime.into()),
        }))
    }
}
