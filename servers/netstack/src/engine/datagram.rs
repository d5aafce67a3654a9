//! Datagrams to neighbours that are known: their headers are written here and not by a socket of smoltcp's, which would copy
//! the data twice more. Touches the engine's scratch buffer.

use super::{Engine, FrameSink};
use crate::{checksum, classify::ETHERNET};
use core::net::{IpAddr, SocketAddr};

/// Bytes of a UDP header.
const UDP: usize = 8;
/// The time to live where a socket asks for none (RFC 1700).
const HOPS: u8 = 64;

/// Where a datagram goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Way {
    /// The hardware address of the next station.
    pub(crate) mac: [u8; 6],
    /// The sender, an own address.
    pub(crate) from: SocketAddr,
    /// The receiver, of the same family.
    pub(crate) to: SocketAddr,
    /// Time to live; 0 for the usual one.
    pub(crate) hops: u8,
}

impl Engine {
    /// Whether a datagram to this address is one for this host: to its own address, to all, or to a group that it is in.
    pub(crate) fn hears(&self, address: IpAddr) -> bool {
        let all = matches!(address, IpAddr::V4(v4) if self.is_broadcast(v4));
        all || self.has_address(address) || self.iface.has_multicast_group(address)
    }

    /// Sends a datagram of `len` bytes, which `write` writes. False if it is longer than a packet or the families differ: then
    /// nothing was written.
    ///
    /// # Errors
    /// Those of `write`; then nothing is sent.
    pub(crate) fn send_datagram<E>(
        &mut self,
        way: &Way,
        len: usize,
        sink: &mut dyn FrameSink,
        write: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let header = match (way.from.ip(), way.to.ip()) {
            (IpAddr::V4(_), IpAddr::V4(_)) => 20,
            (IpAddr::V6(_), IpAddr::V6(_)) => 40,
            _ => return Ok(false),
        };
        if len > self.max_payload(way.to.ip(), UDP) {
            return Ok(false);
        }
        let start = ETHERNET + header + UDP;
        let total = start.saturating_add(len);
        let Some((head, body)) = self
            .scratch
            .get_mut(..total)
            .and_then(|frame| frame.split_at_mut_checked(start))
        else {
            return Ok(false);
        };
        write(body)?;
        // `len` is bounded by the MTU.
        write_head(head, way, self.mac, (UDP + len) as u16);
        self.last = total;
        sink.send(self.last_frame());
        Ok(true)
    }
}

/// Ethernet, IP and UDP headers of a datagram whose UDP header and data have `len` bytes. The UDP checksum stays zero: whoever
/// sends frames fills it in.
fn write_head(head: &mut [u8], way: &Way, mac: [u8; 6], len: u16) {
    let (hops, udp) = (if way.hops == 0 { HOPS } else { way.hops }, 17);
    let [len0, len1] = len.to_be_bytes();
    let [a, b, c, d, e, f] = way.mac;
    let [g, h, i, j, k, l] = mac;
    let (from, to) = (way.from.port().to_be_bytes(), way.to.port().to_be_bytes());
    let ports = [from[0], from[1], to[0], to[1], len0, len1, 0, 0];
    match (way.from.ip(), way.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [t0, t1] = len.saturating_add(20).to_be_bytes();
            let [s0, s1, s2, s3] = from.octets();
            let [d0, d1, d2, d3] = to.octets();
            let ethernet = [a, b, c, d, e, f, g, h, i, j, k, l, 0x08, 0x00];
            // Not to be fragmented (RFC 6864 section 4.1: so it needs no identification).
            let mut ip = [
                0x45, 0, t0, t1, 0, 0, 0x40, 0, hops, udp, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
            ];
            let [c0, c1] = checksum::of_header(&ip);
            (ip[10], ip[11]) = (c0, c1);
            concat(head, &[&ethernet, &ip, &ports]);
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ethernet = [a, b, c, d, e, f, g, h, i, j, k, l, 0x86, 0xdd];
            let ip = [0x60, 0, 0, 0, len0, len1, udp, hops];
            concat(
                head,
                &[&ethernet, &ip, &from.octets(), &to.octets(), &ports],
            );
        }
        _ => {}
    }
}

/// Copies pieces one behind the other, as far as there is room.
fn concat(mut to: &mut [u8], pieces: &[&[u8]]) {
    for piece in pieces {
        let Some((place, rest)) = to.split_at_mut_checked(piece.len()) else {
            return;
        };
        place.copy_from_slice(piece);
        to = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;
    use alloc::vec::Vec;
    use smoltcp::wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet, UdpPacket,
    };

    struct Sent(Vec<Vec<u8>>);

    impl FrameSink for Sent {
        fn has_room(&self) -> bool {
            true
        }
        fn send(&mut self, frame: &[u8]) {
            self.0.push(frame.to_vec());
        }

        fn send_segments(&mut self, _frame: &[u8], size: u16) {
            panic!("a datagram in pieces of {size} bytes");
        }
    }

    fn sent(from: &str, to: &str, hops: u8, data: &[u8]) -> (bool, Vec<Vec<u8>>) {
        let mut engine = Engine::new([2, 3, 4, 5, 6, 7], (1500, 0), 1, Instant::from_nanos(0));
        let mut sink = Sent(Vec::new());
        let way = Way {
            mac: [8, 9, 10, 11, 12, 13],
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            hops,
        };
        let done = engine.send_datagram(&way, data.len(), &mut sink, |place| {
            place.copy_from_slice(data);
            Ok::<(), ()>(())
        });
        (done.unwrap(), sink.0)
    }

    #[test]
    fn a_datagram_over_ipv4_is_what_smoltcp_reads() {
        for len in [0, 1, 17, 1472] {
            let data: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let (done, frames) = sent("10.0.0.1:7", "10.0.0.2:9000", 3, &data);
            assert!(done);
            let frame = EthernetFrame::new_checked(&frames[0][..]).unwrap();
            assert_eq!(frame.src_addr(), EthernetAddress([2, 3, 4, 5, 6, 7]));
            assert_eq!(frame.dst_addr(), EthernetAddress([8, 9, 10, 11, 12, 13]));
            assert_eq!(frame.ethertype(), EthernetProtocol::Ipv4);
            let packet = Ipv4Packet::new_checked(frame.payload()).unwrap();
            assert!(packet.verify_checksum() && packet.dont_frag());
            assert_eq!(packet.hop_limit(), 3);
            assert_eq!(packet.src_addr().octets(), [10, 0, 0, 1]);
            assert_eq!(packet.dst_addr().octets(), [10, 0, 0, 2]);
            let udp = UdpPacket::new_checked(packet.payload()).unwrap();
            assert_eq!((udp.src_port(), udp.dst_port()), (7, 9000));
            assert_eq!(udp.payload(), data);
        }
    }

    #[test]
    fn a_datagram_over_ipv6_is_what_smoltcp_reads() {
        let (done, frames) = sent("[fd00::1]:7", "[fd00::2]:9000", 0, b"hello");
        assert!(done);
        let frame = EthernetFrame::new_checked(&frames[0][..]).unwrap();
        assert_eq!(frame.ethertype(), EthernetProtocol::Ipv6);
        let packet = Ipv6Packet::new_checked(frame.payload()).unwrap();
        assert_eq!(packet.hop_limit(), 64);
        assert_eq!(packet.src_addr().to_string(), "fd00::1");
        assert_eq!(packet.dst_addr().to_string(), "fd00::2");
        let udp = UdpPacket::new_checked(packet.payload()).unwrap();
        assert_eq!(udp.payload(), b"hello");
    }

    #[test]
    fn what_does_not_fit_or_goes_to_another_family_is_not_written() {
        let too_long = [0; 1473];
        assert_eq!(
            sent("10.0.0.1:7", "10.0.0.2:9", 0, &too_long),
            (false, Vec::new())
        );
        assert_eq!(
            sent("10.0.0.1:7", "[fd00::2]:9", 0, b""),
            (false, Vec::new())
        );
    }
}
