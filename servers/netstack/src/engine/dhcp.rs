//! The control set: what belongs to no flow (ARP, neighbour discovery, ICMP, resets), and the DHCPv4 client.

use super::{
    Sockets,
    dhcp_message::{ACK, DISCOVER, Message, NAK, OFFER, REQUEST},
};
use crate::Instant;
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
    awaited: Awaited,
    /// Who leased the address.
    server: Option<Ipv4Addr>,
    /// When the next message may be sent: a server that refuses at once must not be asked at once.
    pause: Option<Instant>,
}

/// Time from a refusal to the next question.
const PAUSE: Duration = Duration::from_secs(1);
/// Time from a lease that can't be used to the next question.
const REFUSED: Duration = Duration::from_secs(10);
/// Bytes of a DHCP message that are kept to be read (RFC 2131 section 2: 576 at least).
const MESSAGE: usize = 1500;

impl Sockets for Dhcp {
    fn set(&mut self) -> &mut SocketSet<'static> {
        &mut self.set
    }
}

/// What a server may say now (RFC 2131 section 4.4: whatever else comes is discarded).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Awaited {
    /// Nothing was asked.
    Nothing,
    /// An offer.
    Offer,
    /// The answer to a request: of this server, or of any.
    Answer(Option<Ipv4Addr>),
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
        Dhcp {
            set,
            client,
            awaited: Awaited::Nothing,
            server: None,
            pause: None,
        }
    }

    /// Whether there is a client, to which the port belongs.
    pub(crate) fn is_client(&self) -> bool {
        self.client.is_some()
    }

    /// Learns from a frame that the set has sent what a server may answer.
    pub(crate) fn note_sent(&mut self, frame: &[u8]) {
        let Some(message) = Message::sent(frame) else {
            return;
        };
        self.awaited = match message.kind {
            DISCOVER => Awaited::Offer,
            // While it renews, it names no server, and asks its own until it asks all.
            REQUEST if message.server.is_none() && !message.is_broadcast => {
                Awaited::Answer(self.server)
            }
            REQUEST => Awaited::Answer(message.server),
            _ => return,
        };
    }

    /// Whether a frame with a DHCP message is one that was asked for, and can be lived with.
    pub(crate) fn expects(&mut self, frame: &[u8], now: Instant) -> bool {
        let Some(message) = Message::received(frame) else {
            return false;
        };
        let awaited = match self.awaited {
            Awaited::Nothing => false,
            Awaited::Offer => message.kind == OFFER,
            Awaited::Answer(server) => {
                matches!(message.kind, ACK | NAK) && (server.is_none() || message.server == server)
            }
        };
        if awaited && message.kind == NAK {
            self.awaited = Awaited::Nothing;
            self.pause = Some(now.after(PAUSE));
        }
        awaited && !message.is_short()
    }

    /// What was leased can't be used: asks again, a little later (RFC 2131 section 3.1 number 5).
    pub(crate) fn refuse(&mut self, now: Instant) {
        self.restart();
        self.pause = Some(now.after(REFUSED));
    }

    /// When the set may send again, if it may not now.
    pub(crate) fn pause(&self, now: Instant) -> Option<Instant> {
        self.pause.filter(|until| *until > now)
    }

    /// Starts over, as after a change of network.
    pub(crate) fn restart(&mut self) {
        self.awaited = Awaited::Nothing;
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
        self.awaited = Awaited::Nothing;
        self.server = Some(config.server.identifier);
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
