//! A look at a frame before the engine gets it: to whom it belongs, and whether it may be believed at all.
//!
//! Everything here is read from a private copy, bounds checked; checksums are the business of `checksum`.

mod icmp;
mod parts;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use icmp::{icmp_v4, icmp_v6};
pub(crate) use parts::{Arp, FragmentKey, Frame, Packet, Part, Payload, Quoted, Segment};

/// Length of an Ethernet header.
pub(crate) const ETHERNET: usize = 14;

/// Length of a TCP header without options.
pub(crate) const TCP: usize = 20;

fn byte(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Two bytes in network order.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*pair))
}

/// Four bytes in network order.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}

/// An IPv4 address.
pub(crate) fn ipv4(bytes: &[u8], at: usize) -> Option<Ipv4Addr> {
    let four: &[u8; 4] = bytes.get(at..)?.first_chunk()?;
    Some(Ipv4Addr::from(*four))
}

/// An IPv6 address.
pub(crate) fn ipv6(bytes: &[u8], at: usize) -> Option<Ipv6Addr> {
    let all: &[u8; 16] = bytes.get(at..)?.first_chunk()?;
    Some(Ipv6Addr::from(*all))
}

/// Whether an address can be that of one host on the network.
pub(crate) fn is_host(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !(v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_loopback())
                && v4.octets()[0] != 0
        }
        IpAddr::V6(v6) => {
            !(v6.is_unspecified() || v6.is_multicast() || v6.is_loopback())
                && v6.to_ipv4_mapped().is_none()
        }
    }
}

/// Looks at a frame.
pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    inspect(bytes).unwrap_or(Frame::Malformed)
}

/// The Ethernet and IPv4 headers of a frame.
pub(crate) fn header(bytes: &[u8]) -> Option<&[u8]> {
    let words = usize::from(byte(bytes, ETHERNET)? & 0xf);
    bytes.get(..words.checked_mul(4)?.checked_add(ETHERNET)?)
}

/// The TCP segment in a frame that was built here, which lies about nothing.
pub(crate) fn own_tcp(frame: &[u8]) -> Option<Segment> {
    let at = match be16(frame, 12)? {
        0x0800 if byte(frame, ETHERNET + 9)? == 6 => header(frame)?.len(),
        0x86dd if byte(frame, ETHERNET + 6)? == 6 => ETHERNET + 40,
        _ => return None,
    };
    segment(frame.get(at..)?)
}

/// The TCP segment in a frame.
pub(crate) fn tcp(bytes: &[u8]) -> Option<Segment> {
    match frame(bytes) {
        Frame::Ip(Packet {
            payload: Payload::Tcp(segment),
            ..
        }) => Some(segment),
        _ => None,
    }
}

fn inspect(bytes: &[u8]) -> Option<Frame<'_>> {
    let payload = bytes.get(ETHERNET..)?;
    // A sender's hardware address with the group bit can't be one (IEEE 802.3 section 3.2.3).
    if byte(bytes, 6)? & 1 != 0 {
        return None;
    }
    match be16(bytes, 12)? {
        0x0806 => arp(payload).map(Frame::Arp),
        0x0800 => packet_v4(payload),
        0x86dd => packet_v6(payload),
        _ => Some(Frame::Foreign),
    }
}

fn arp(bytes: &[u8]) -> Option<Arp> {
    let mac: &[u8; 6] = bytes.get(8..)?.first_chunk()?;
    let operation = be16(bytes, 6)?;
    let sender = ipv4(bytes, 14)?;
    let is_ethernet = bytes.starts_with(&[0, 1, 8, 0, 6, 4]) && matches!(operation, 1 | 2);
    let is_station = mac[0] & 1 == 0 && *mac != [0; 6];
    if !is_ethernet || !is_station || !(is_host(sender.into()) || sender.is_unspecified()) {
        return None;
    }
    Some(Arp {
        is_request: operation == 1,
        sender,
        mac: *mac,
        target: ipv4(bytes, 24)?,
    })
}

fn packet_v4(bytes: &[u8]) -> Option<Frame<'_>> {
    let header = usize::from(byte(bytes, 0)? & 0xf).checked_mul(4)?;
    let total = usize::from(be16(bytes, 2)?);
    if byte(bytes, 0)? >> 4 != 4 || header < 20 {
        return None;
    }
    let body = bytes.get(header..total)?;
    if is_source_routed(bytes.get(20..header)?) {
        return None;
    }
    let (src, dst) = (ipv4(bytes, 12)?, ipv4(bytes, 16)?);
    // DHCP servers may be at 0.0.0.0, nobody else; loopback never comes from a wire (RFC 1122 section 3.2.1.3).
    let sender = is_host(IpAddr::V4(src)) || src.is_unspecified();
    if !sender || dst.is_loopback() || dst.is_unspecified() {
        return None;
    }
    let (protocol, flags) = (byte(bytes, 9)?, be16(bytes, 6)?);
    let (offset, more) = (usize::from(flags & 0x1fff) * 8, flags & 0x2000 != 0);
    let part = (offset != 0 || more).then_some(Part {
        key: FragmentKey {
            src,
            dst,
            protocol,
            id: be16(bytes, 4)?,
        },
        offset,
        more,
        bytes: body,
    });
    let makes_sense = |part: Part<'_>| {
        // Only the last part may end anywhere, and none beyond what a total length can say (ping of death).
        let units = body.len().is_multiple_of(8) || !more;
        !body.is_empty() && units && part.end().saturating_add(header) <= usize::from(u16::MAX)
    };
    if !part.is_none_or(makes_sense) {
        return None;
    }
    let payload = if offset != 0 {
        Payload::LaterFragment
    } else {
        match protocol {
            6 => Payload::Tcp(segment(body)?),
            17 => udp(body)?,
            1 => icmp_v4(body)?,
            _ => Payload::Other,
        }
    };
    if src.is_unspecified() && !matches!(payload, Payload::Udp { .. }) {
        return None;
    }
    Some(Frame::Ip(Packet {
        src: src.into(),
        dst: dst.into(),
        hop_limit: byte(bytes, 8)?,
        part,
        payload,
        header: bytes.get(..header)?,
        body,
    }))
}

/// Whether the options of an IPv4 header tell a route to take (RFC 7126 section 4.3: dropped), or make no sense.
fn is_source_routed(mut options: &[u8]) -> bool {
    // Bounded: an option has at least one byte.
    loop {
        match *options {
            [] | [0, ..] => return false,
            [1, ref rest @ ..] => options = rest,
            [131 | 137, ..] => return true,
            [_, len, ..] if len >= 2 => match options.get(len.into()..) {
                Some(rest) => options = rest,
                None => return true,
            },
            _ => return true,
        }
    }
}

fn packet_v6(bytes: &[u8]) -> Option<Frame<'_>> {
    if byte(bytes, 0)? >> 4 != 6 {
        return None;
    }
    let (src, dst) = (ipv6(bytes, 8)?, ipv6(bytes, 24)?);
    // A mapped address never appears on a wire, where it would slip past what is said of IPv4 (RFC 4291 section 2.5.5.2).
    let mapped = src.to_ipv4_mapped().or(dst.to_ipv4_mapped()).is_some();
    let senders = !(src.is_multicast() || src.is_loopback() || mapped);
    if !senders || dst.is_loopback() || dst.is_unspecified() {
        return None;
    }
    let total = usize::from(be16(bytes, 4)?).checked_add(40)?;
    let mut body = bytes.get(40..total)?;
    let mut next = byte(bytes, 6)?;
    // One hop-by-hop header, as the engine reads it (RFC 8200 section 4.3).
    if next == 0 {
        next = byte(body, 0)?;
        let len = usize::from(byte(body, 1)?).checked_add(1)?.checked_mul(8)?;
        body = body.get(len..)?;
    }
    let hop_limit = byte(bytes, 7)?;
    let payload = match next {
        6 => Payload::Tcp(segment(body)?),
        // Without a checksum only in IPv4 (RFC 8200 section 8.1).
        17 if be16(body, 6)? == 0 => return None,
        17 => udp(body)?,
        58 => icmp_v6(body, hop_limit)?,
        _ => Payload::Other,
    };
    Some(Frame::Ip(Packet {
        src: src.into(),
        dst: dst.into(),
        hop_limit,
        part: None,
        payload,
        header: bytes.get(..40)?,
        body,
    }))
}

/// The header of a TCP segment.
pub(crate) fn segment(body: &[u8]) -> Option<Segment> {
    let header = usize::from(byte(body, 12)? >> 4).checked_mul(4)?;
    if header < TCP {
        return None;
    }
    Some(Segment {
        src_port: be16(body, 0)?,
        dst_port: be16(body, 2)?,
        seq: be32(body, 4)?,
        ack: be32(body, 8)?,
        flags: byte(body, 13)?,
        window: be16(body, 14)?,
        len: body.get(header..)?.len(),
    })
}

/// The data of a UDP datagram at the start of a packet's body.
pub(crate) fn datagram(body: &[u8]) -> Option<&[u8]> {
    body.get(8..usize::from(be16(body, 4)?))
}

fn udp(body: &[u8]) -> Option<Payload<'static>> {
    if body.len() < 8 || be16(body, 4)? < 8 {
        return None;
    }
    Some(Payload::Udp {
        src_port: be16(body, 0)?,
        dst_port: be16(body, 2)?,
    })
}
