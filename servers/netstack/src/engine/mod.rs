//! The one place that knows smoltcp. The rest of the server speaks of flows, addresses and frames, so that another
//! protocol engine could take its place.
//!
//! smoltcp walks every socket of a set for each packet, so each flow has a set of its own, and whoever calls
//! [`Engine::ingress`] picks the set that the packet belongs to. Neither does it look at the checksums of IPv4 headers, TCP and UDP in
//! what it receives, nor fill those of TCP and UDP in what it sends: see [`crate::checksum`].

mod behind;
mod challenge;
mod datagram;
mod device;
mod dhcp;
mod dhcp_message;
mod emit;
mod fragments;
mod handshake;
mod headers;
mod icmp;
mod late;
mod quiet;
mod segment;
mod sockets;
#[cfg(test)]
mod tests;
mod udp;

pub(crate) use behind::{Bare, Unknown};
pub(crate) use challenge::{Acknowledging, ajar, bare, challenging, with_other_window};
pub(crate) use datagram::{Head, Way};
pub(crate) use device::FrameSink;
pub(crate) use dhcp::{Dhcp, DhcpEvent, Lease};
pub(crate) use emit::{announce, answer, is_intact_icmpv6, solicit, solicit_router};
pub(crate) use fragments::whole;
pub(crate) use handshake::Completed;
pub(crate) use headers::{FIN_ACK, Headers, Offer, SYN_ACK};
pub(crate) use icmp::Ping;
pub(crate) use late::Heard;
pub(crate) use segment::{Says, SegmentHead};
pub(crate) use sockets::{Glance, TcpSocket, TcpState};
pub(crate) use udp::UdpSocket;

use crate::time::Instant;
use alloc::{boxed::Box, collections::VecDeque, vec};
use behind::NO_FRAME;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
pub(crate) use device::LONGEST_SEGMENT;
use device::{Last, OneFrame, SCRATCH, Steps};
use smoltcp::{
    iface::{Config, Interface, Route, SocketSet},
    phy::Medium,
    wire::{EthernetAddress, HardwareAddress, IpCidr},
};

/// Most addresses of the interface (smoltcp's table, set when building; one is left for a change-over).
pub(crate) const MAX_ADDRESSES: usize = 6;

/// A set of sockets that the engine can work on.
pub(crate) trait Sockets {
    /// The set.
    fn set(&mut self) -> &mut SocketSet<'static>;

    /// What the engine does not know of it.
    fn unknown(&self) -> Unknown {
        Unknown::default()
    }
}

/// What one step of the engine did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sent {
    /// Frames handed to the sink.
    pub(crate) frames: u32,
}

/// The protocol engine: addresses, routes, neighbours, and nothing of any flow.
pub(crate) struct Engine {
    /// Apart: large, and not needed for most frames.
    iface: Box<Interface>,
    scratch: Box<[u8]>,
    /// The frame that was sent last, and the neighbour that it asks for.
    last: Last,
    last_asked: Option<IpAddr>,
    /// Neighbours that it has asked for by itself, since somebody looked.
    asked: VecDeque<IpAddr>,
    /// It has forgotten all neighbours, since somebody looked.
    forgot: bool,
    mac: [u8; 6],
    mtu: u16,
    /// Changes with its addresses and routers.
    epoch: u64,
}

/// Questions for neighbours that are remembered.
const MAX_ASKED: usize = 64;

pub(crate) fn smol(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_micros((now.nanos() / 1000) as i64)
}

fn own(at: smoltcp::time::Instant) -> Instant {
    Instant::from_nanos((at.total_micros().max(0) as u64).saturating_mul(1000))
}

impl Engine {
    /// An engine without addresses. `mtu` is the largest IP packet in bytes, but TCP
    /// segments over IPv4 may make frames of up to `segment` bytes, which the sink cuts; `mac` must not be a group address (the group bit is cleared if it is). `seed` must be unpredictable.
    pub(crate) fn new(
        mac: [u8; 6],
        (mtu, segment): (u16, usize),
        seed: u64,
        now: Instant,
    ) -> Engine {
        let mac = unicast(mac);
        let room = segment.clamp(SCRATCH, LONGEST_SEGMENT);
        let mut scratch = vec![0; room].into_boxed_slice();
        let mut nothing = device::Nowhere;
        let mut device = OneFrame::new(Medium::Ethernet, mtu, None, &mut nothing, &mut scratch);
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
        config.random_seed = seed;
        let iface = Box::new(Interface::new(config, &mut device, smol(now)));
        Engine {
            iface,
            scratch,
            last: Last::Nothing,
            last_asked: None,
            asked: VecDeque::new(),
            forgot: false,
            mac,
            mtu,
            epoch: 0,
        }
    }

    /// Takes the place of an earlier engine, whose times are over.
    pub(crate) fn succeed(&mut self, earlier: &Engine) {
        self.epoch = earlier.epoch.wrapping_add(1);
    }

    /// Changes whenever its addresses or routers may have, and never goes back.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The hardware address.
    pub(crate) fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// The largest IP packet in bytes.
    pub(crate) fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Largest payload of a datagram or echo to this address, behind `header` bytes of its own header.
    pub(crate) fn max_payload(&self, to: IpAddr, header: usize) -> usize {
        let ip = if to.is_ipv4() { 20 } else { 40 };
        usize::from(self.mtu).saturating_sub(header.saturating_add(ip))
    }

    /// Bytes of a TCP segment's data to or from this address, at most (RFC 6691).
    pub(crate) fn max_segment(&self, address: IpAddr) -> u16 {
        let headers = if address.is_ipv4() { 40 } else { 60 };
        self.mtu.saturating_sub(headers)
    }

    /// Gives a frame to a set of sockets. Answers go to the sink.
    pub(crate) fn ingress(
        &mut self,
        now: Instant,
        frame: &[u8],
        sockets: &mut impl Sockets,
        sink: &mut dyn FrameSink,
    ) -> Sent {
        if sockets.unknown().shifts() {
            return self.ingress_last(now, &mut frame.to_vec(), sockets, sink);
        }
        self.take(now, frame, sockets, sink)
    }

    /// The same with a frame that nobody will look at any more.
    pub(crate) fn ingress_last(
        &mut self,
        now: Instant,
        frame: &mut [u8],
        sockets: &mut impl Sockets,
        sink: &mut dyn FrameSink,
    ) -> Sent {
        let unknown = sockets.unknown();
        if unknown.shifts() {
            unknown.received(frame);
        }
        self.take(now, frame, sockets, sink)
    }

    /// Gives a connection a segment without the data that came with it.
    pub(crate) fn ingress_bare(
        &mut self,
        now: Instant,
        bare: &Bare<'_>,
        sockets: &mut impl Sockets,
        sink: &mut dyn FrameSink,
    ) -> Sent {
        let mut frame = NO_FRAME;
        let len = bare.write(&mut frame, &sockets.unknown());
        match len.and_then(|len| frame.get(..len)) {
            Some(frame) => self.take(now, frame, sockets, sink),
            None => Sent::default(),
        }
    }

    fn take(
        &mut self,
        now: Instant,
        frame: &[u8],
        sockets: &mut impl Sockets,
        sink: &mut dyn FrameSink,
    ) -> Sent {
        let mut device = OneFrame::new(
            Medium::Ethernet,
            self.mtu,
            Some(frame),
            sink,
            &mut self.scratch,
        );
        device.does_not_know(sockets.unknown());
        self.iface
            .poll_ingress_single(smol(now), &mut device, sockets.set());
        let done = device.finish();
        self.finish(done)
    }

    /// Lets each socket of a set send at most one packet.
    pub(crate) fn egress(
        &mut self,
        now: Instant,
        sockets: &mut impl Sockets,
        sink: &mut dyn FrameSink,
    ) -> Sent {
        let mut device = OneFrame::new(Medium::Ethernet, self.mtu, None, sink, &mut self.scratch);
        device.does_not_know(sockets.unknown());
        self.iface
            .poll_egress(smol(now), &mut device, sockets.set());
        let done = device.finish();
        self.finish(done)
    }

    fn finish(&mut self, done: Steps) -> Sent {
        let Steps {
            frames,
            last,
            asked,
        } = done;
        if frames > 0 {
            self.last = last;
            self.last_asked = asked;
            if let Some(neighbor) = asked {
                if self.asked.len() >= MAX_ASKED {
                    self.asked.pop_front();
                }
                self.asked.push_back(neighbor);
            }
        }
        Sent { frames }
    }

    /// The frame that was sent last, to this sink.
    pub(crate) fn last_frame<'a>(&'a self, sink: &'a dyn FrameSink) -> &'a [u8] {
        match self.last {
            Last::Nothing => &[],
            Last::Scratch(len) => self.scratch.get(..len).unwrap_or_default(),
            Last::Placed => sink.last_placed(),
        }
    }

    /// Whether the frame that was sent last asks for a neighbour: then nothing else of its set is sent before the answer.
    pub(crate) fn asked_for_neighbor(&self) -> bool {
        self.last_asked.is_some()
    }

    /// A neighbour that the engine has asked for by itself, each once.
    pub(crate) fn take_asked(&mut self) -> Option<IpAddr> {
        self.asked.pop_front()
    }

    /// When a set wants to be looked at again.
    pub(crate) fn poll_at(&mut self, now: Instant, sockets: &mut impl Sockets) -> Option<Instant> {
        self.iface.poll_at(smol(now), sockets.set()).map(own)
    }

    /// Whether it has forgotten all neighbours since the last call.
    pub(crate) fn take_forgot(&mut self) -> bool {
        core::mem::take(&mut self.forgot)
    }

    /// Replaces addresses (with prefix lengths) and default routers. What can't be an address of a host, or is too much, is left out.
    pub(crate) fn configure(&mut self, addresses: &[(IpAddr, u8)], routers: &[IpAddr]) {
        self.epoch = self.epoch.wrapping_add(1);
        let most = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
        let mut wanted = heapless::Vec::<IpCidr, MAX_ADDRESSES>::new();
        for (address, bits) in addresses {
            if crate::classify::is_host(*address) && *bits <= most(address) {
                // Full: the address is left out, as documented.
                let _ = wanted.push(IpCidr::new((*address).into(), *bits));
            }
        }
        // Only if need be: smoltcp then forgets its neighbours, of both families.
        if self.iface.ip_addrs() != wanted.as_slice() {
            self.forgot = true;
            self.iface.update_ip_addrs(|list| {
                list.clear();
                // smoltcp's table is larger.
                let _ = list.extend_from_slice(&wanted);
            });
        }
        self.iface.routes_mut().update(|list| {
            list.clear();
            for router in routers {
                let route = match router {
                    IpAddr::V4(v4) => Route::new_ipv4_gateway(*v4),
                    IpAddr::V6(v6) => Route::new_ipv6_gateway(*v6),
                };
                // Full: the router is left out, as documented.
                let _ = list.push(route);
            }
        });
    }

    /// Whether this is an address of the interface.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.iface.has_ip_addr(address)
    }

    /// The address from which a packet to `to` would come.
    pub(crate) fn source_for(&self, to: IpAddr) -> Option<IpAddr> {
        match to {
            IpAddr::V4(v4) => self.iface.get_source_address_ipv4(&v4).map(IpAddr::V4),
            IpAddr::V6(v6) => {
                let source = self.iface.get_source_address_ipv6(&v6);
                (!source.is_unspecified() && !source.is_loopback()).then_some(IpAddr::V6(source))
            }
        }
    }

    /// The neighbour to which a packet to `to` would go; itself if it is on the link.
    pub(crate) fn next_hop(&self, to: IpAddr) -> Option<IpAddr> {
        let address = to.into();
        if self
            .iface
            .ip_addrs()
            .iter()
            .any(|cidr| cidr.contains_addr(&address))
            || self.is_group(to)
        {
            return Some(to);
        }
        let routes = self.iface.routes();
        match to {
            IpAddr::V4(_) => routes.get_default_ipv4_route(),
            IpAddr::V6(_) => routes.get_default_ipv6_route(),
        }
        .map(|route| route.via_router.into())
    }

    /// Whether an address is that of a group or a broadcast on this network.
    pub(crate) fn is_group(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4.is_multicast() || self.is_broadcast(v4),
            IpAddr::V6(v6) => v6.is_multicast(),
        }
    }

    fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast()
            || self.iface.ip_addrs().iter().any(|cidr| match cidr {
                IpCidr::Ipv4(own) => own.broadcast() == Some(address),
                IpCidr::Ipv6(_) => false,
            })
    }

    /// The link-local IPv6 address that belongs to a hardware address (RFC 4291 appendix A).
    pub(crate) fn link_local(mac: [u8; 6]) -> Ipv6Addr {
        interface_address([0xfe80, 0, 0, 0], mac)
    }
}

/// A prefix of 64 bits and the interface identifier of a hardware address (modified EUI-64, RFC 4291 appendix A).
pub(crate) fn interface_address(prefix: [u16; 4], mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    let [p0, p1, p2, p3] = prefix;
    Ipv6Addr::new(
        p0,
        p1,
        p2,
        p3,
        u16::from_be_bytes([a ^ 2, b]),
        u16::from_be_bytes([c, 0xff]),
        u16::from_be_bytes([0xfe, d]),
        u16::from_be_bytes([e, f]),
    )
}

/// Clears the group bit, which the address of a host can't have.
fn unicast(mut mac: [u8; 6]) -> [u8; 6] {
    mac[0] &= !1;
    if mac == [0; 6] {
        // All zeroes is what an uninitialised device reads as; a locally administered address serves.
        mac[0] = 2;
    }
    mac
}
