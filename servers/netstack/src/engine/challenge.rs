//! Making the engine tell a peer what was received (RFC 5961 section 7: at most once a second for each connection).

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket,
    TcpSeqNumber,
};

use alloc::vec::Vec;

/// A frame with a TCP segment, changed to an acknowledgment of `ack`: of what was never sent, so that the engine answers with
/// a challenge. `None` if the segment's checksum is wrong, or it lies behind an extension header.
pub(crate) fn challenging(frame: &[u8], ack: u32) -> Option<Vec<u8>> {
    let mut bytes = frame.to_vec();
    let mut ethernet = EthernetFrame::new_checked(&mut bytes).ok()?;
    match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => {
            let mut packet = Ipv4Packet::new_checked(ethernet.payload_mut()).ok()?;
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            acknowledge(packet.payload_mut(), from, to, ack)?;
        }
        EthernetProtocol::Ipv6 => {
            let mut packet = Ipv6Packet::new_checked(ethernet.payload_mut()).ok()?;
            let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
            let is_tcp = packet.next_header() == IpProtocol::Tcp;
            is_tcp.then(|| acknowledge(packet.payload_mut(), from, to, ack))??;
        }
        _ => return None,
    }
    Some(bytes)
}

fn acknowledge(bytes: &mut [u8], from: IpAddress, to: IpAddress, ack: u32) -> Option<()> {
    let mut segment = TcpPacket::new_checked(bytes).ok()?;
    if !segment.verify_checksum(&from, &to) {
        return None;
    }
    segment.clear_flags();
    segment.set_ack(true);
    segment.set_ack_number(TcpSeqNumber(ack as i32));
    segment.fill_checksum(&from, &to);
    Some(())
}
