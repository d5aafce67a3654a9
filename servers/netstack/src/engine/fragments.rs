//! The IPv4 header of datagrams that come in parts.

use crate::classify::ETHERNET;
use alloc::vec::Vec;
use smoltcp::wire::Ipv4Packet;

/// A frame with a whole datagram, from the headers of its first part and its body. `None` if they make no packet.
pub(crate) fn whole(mut header: Vec<u8>, body: &[u8]) -> Option<Vec<u8>> {
    let total = header
        .len()
        .checked_sub(ETHERNET)?
        .checked_add(body.len())?;
    let total = u16::try_from(total).ok()?;
    header.extend_from_slice(body);
    let mut packet = Ipv4Packet::new_unchecked(header.get_mut(ETHERNET..)?);
    packet.check_len().ok()?;
    packet.set_total_len(total);
    packet.set_more_frags(false);
    packet.fill_checksum();
    Some(header)
}
