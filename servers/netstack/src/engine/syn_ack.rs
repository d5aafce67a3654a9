//! The answer to a SYN (RFC 9293 section 3.10.7.2): what a smoltcp socket with these buffers would send, without one. Touches nothing.

use super::Engine;
use crate::classify::{self, ETHERNET, Frame};
use alloc::{vec, vec::Vec};
use core::net::IpAddr;
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv4Repr,
        Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

const HOPS: u8 = 64;
/// Bytes of a TCP header without options.
const TCP: u16 = 20;

/// The SYN-ACK for the SYN in a frame, to a station, with `isn` and the window of a receive buffer of so many bytes. Its TCP
/// checksum stays zero: whoever sends frames fills it in. `None` if the SYN's options make no sense.
pub(crate) fn syn_ack(
    engine: &Engine,
    syn: &[u8],
    mac: [u8; 6],
    isn: u32,
    buffer: usize,
) -> Option<Vec<u8>> {
    let Frame::Ip(packet) = classify::frame(syn) else {
        return None;
    };
    let (from, to) = (packet.dst, packet.src);
    let ignored = ChecksumCapabilities::ignored();
    let segment = TcpPacket::new_checked(packet.body).ok()?;
    let syn = TcpRepr::parse(&segment, &to.into(), &from.into(), &ignored).ok()?;
    let header = if from.is_ipv4() { 20 } else { 40 };
    let answer = TcpRepr {
        src_port: syn.dst_port,
        dst_port: syn.src_port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(isn as i32),
        ack_number: Some(syn.seq_number + 1),
        // Never scaled in a SYN (RFC 7323 section 2.2).
        window_len: u16::try_from(buffer).unwrap_or(u16::MAX),
        window_scale: syn.window_scale.map(|_| shift(buffer)),
        max_seg_size: Some(engine.mtu().saturating_sub(header + TCP)),
        sack_permitted: syn.sack_permitted,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let len = answer.buffer_len();
    let mut bytes = vec![0; ETHERNET + usize::from(header) + len];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(EthernetAddress(engine.mac()));
    frame.set_dst_addr(EthernetAddress(mac));
    match (from, to) {
        (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) => {
            frame.set_ethertype(EthernetProtocol::Ipv4);
            let ip = Ipv4Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::Tcp,
                payload_len: len,
                hop_limit: HOPS,
            };
            let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
            ip.emit(&mut packet, &ChecksumCapabilities::default());
            let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
            answer.emit(&mut segment, &from.into(), &to.into(), &ignored);
        }
        (IpAddr::V6(src_addr), IpAddr::V6(dst_addr)) => {
            frame.set_ethertype(EthernetProtocol::Ipv6);
            let ip = Ipv6Repr {
                src_addr,
                dst_addr,
                next_header: IpProtocol::Tcp,
                payload_len: len,
                hop_limit: HOPS,
            };
            let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
            ip.emit(&mut packet);
            let mut segment = TcpPacket::new_unchecked(packet.payload_mut());
            answer.emit(&mut segment, &from.into(), &to.into(), &ignored);
        }
        _ => return None,
    }
    Some(bytes)
}

/// How far smoltcp shifts the window of a buffer.
fn shift(buffer: usize) -> u8 {
    let bits = usize::BITS.saturating_sub(buffer.leading_zeros());
    bits.saturating_sub(16) as u8
}
