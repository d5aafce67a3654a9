//! Frames that the server sends on its own account: neighbour discovery and announcements.

use super::Engine;
use alloc::{vec, vec::Vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
        Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
        RawHardwareAddress,
    },
};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// A frame that asks who has an address: ARP (RFC 826) or neighbour solicitation (RFC 4861 section 4.3). `None`
/// without a source address of that family.
pub(crate) fn solicit(engine: &Engine, target: IpAddr) -> Option<Vec<u8>> {
    match (target, engine.source_for(target)?) {
        (IpAddr::V4(target), IpAddr::V4(own)) => Some(arp(engine, own, target, None)),
        (IpAddr::V6(target), IpAddr::V6(own)) => {
            let [.., a, b, c] = target.octets();
            let group = Ipv6Addr::new(
                0xff02,
                0,
                0,
                0,
                0,
                1,
                0xff00 | u16::from(a),
                u16::from_be_bytes([b, c]),
            );
            let message = NdiscRepr::NeighborSolicit {
                target_addr: target,
                lladdr: Some(link_layer(engine)),
            };
            Some(ndisc(engine, own, (group, None), message))
        }
        _ => None,
    }
}

/// A frame that tells the neighbours of an own address: gratuitous ARP (RFC 5227 section 3) or unsolicited
/// neighbour advertisement (RFC 4861 section 7.2.6).
pub(crate) fn announce(engine: &Engine, own: IpAddr) -> Vec<u8> {
    match own {
        IpAddr::V4(own) => arp(engine, own, own, None),
        IpAddr::V6(own) => {
            let to = (ALL_NODES, None);
            advertise(engine, own, to, NdiscNeighborFlags::OVERRIDE)
        }
    }
}

/// A frame that answers a question for an own address, to the hardware address that asked. `None` for addresses of different
/// families.
pub(crate) fn answer(
    engine: &Engine,
    own: IpAddr,
    (asker, mac): (IpAddr, [u8; 6]),
) -> Option<Vec<u8>> {
    match (own, asker) {
        (IpAddr::V4(own), IpAddr::V4(asker)) => Some(arp(engine, own, asker, Some(mac))),
        (IpAddr::V6(own), IpAddr::V6(asker)) => {
            let to = (asker, Some(mac));
            Some(advertise(engine, own, to, NdiscNeighborFlags::SOLICITED))
        }
        _ => None,
    }
}

/// A frame that says where an own IPv6 address is.
fn advertise(
    engine: &Engine,
    own: Ipv6Addr,
    to: (Ipv6Addr, Option<[u8; 6]>),
    flags: NdiscNeighborFlags,
) -> Vec<u8> {
    let message = NdiscRepr::NeighborAdvert {
        flags,
        target_addr: own,
        lladdr: Some(link_layer(engine)),
    };
    ndisc(engine, own, to, message)
}

/// A frame that asks for routers (RFC 4861 section 4.1).
pub(crate) fn solicit_router(engine: &Engine) -> Vec<u8> {
    let message = NdiscRepr::RouterSolicit {
        lladdr: Some(link_layer(engine)),
    };
    ndisc(
        engine,
        Engine::link_local(engine.mac()),
        (ALL_ROUTERS, None),
        message,
    )
}

/// Whether the checksum of an ICMPv6 message is right (RFC 4443 section 2.3).
pub(crate) fn is_intact_icmpv6(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> bool {
    Icmpv6Packet::new_checked(message).is_ok_and(|packet| packet.verify_checksum(&from, &to))
}

fn link_layer(engine: &Engine) -> RawHardwareAddress {
    RawHardwareAddress::from(EthernetAddress(engine.mac()))
}

/// A question for `target`, or with `asker` the answer to it.
fn arp(engine: &Engine, own: Ipv4Addr, target: Ipv4Addr, asker: Option<[u8; 6]>) -> Vec<u8> {
    let message = ArpRepr::EthernetIpv4 {
        operation: match asker {
            None => ArpOperation::Request,
            Some(_) => ArpOperation::Reply,
        },
        source_hardware_addr: EthernetAddress(engine.mac()),
        source_protocol_addr: own,
        target_hardware_addr: EthernetAddress(asker.unwrap_or([0; 6])),
        target_protocol_addr: target,
    };
    let mut bytes = vec![0; EthernetFrame::<&[u8]>::buffer_len(message.buffer_len())];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(engine.mac()));
    frame.set_dst_addr(asker.map_or(EthernetAddress::BROADCAST, EthernetAddress));
    frame.set_ethertype(EthernetProtocol::Arp);
    message.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}

/// A message to an address, which without a hardware address must be that of a group.
fn ndisc(
    engine: &Engine,
    from: Ipv6Addr,
    (to, mac): (Ipv6Addr, Option<[u8; 6]>),
    message: NdiscRepr<'_>,
) -> Vec<u8> {
    let message = Icmpv6Repr::Ndisc(message);
    let header = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: 255,
    };
    let total = header.buffer_len().saturating_add(message.buffer_len());
    let mut bytes = vec![0; EthernetFrame::<&[u8]>::buffer_len(total)];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    let [.., a, b, c, d] = to.octets();
    frame.set_src_addr(EthernetAddress(engine.mac()));
    // A multicast destination's hardware address is known without asking (RFC 2464 section 7).
    frame.set_dst_addr(EthernetAddress(mac.unwrap_or([0x33, 0x33, a, b, c, d])));
    frame.set_ethertype(EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    header.emit(&mut packet);
    message.emit(
        &from,
        &to,
        &mut Icmpv6Packet::new_unchecked(packet.payload_mut()),
        &ChecksumCapabilities::default(),
    );
    bytes
}
