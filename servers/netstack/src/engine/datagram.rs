//! Datagrams to neighbours that are known: their headers are written here and not by a socket of smoltcp's, which would copy
//! the data twice more. Touches the place that frames are sent from, or if there is none the engine's scratch buffer.

use super::{Engine, FrameSink, Last};
use crate::{
    checksum::{self, Unfinished},
    classify::ETHERNET,
};
use core::net::{IpAddr, SocketAddr};

/// Bytes of a UDP header.
const UDP: usize = 8;
const UDP_PROTOCOL: u8 = 17;
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

/// Ethernet, IPv4 or IPv6, and UDP headers.
const HEAD_V4: usize = ETHERNET + 20 + UDP;
const HEAD_V6: usize = ETHERNET + 40 + UDP;

/// The same, without UDP.
const NETWORK_V4: usize = ETHERNET + 20;
const NETWORK_V6: usize = ETHERNET + 40;

/// The Ethernet and IP headers of packets that go one way from the station with this hardware address: whether they are those of IPv4,
/// which are shorter; the bytes, with lengths and checksum zero; and the sum of the addresses. `None` if their families differ.
pub(super) fn network(
    way: &Way,
    mac: [u8; 6],
    protocol: u8,
) -> Option<(bool, [u8; NETWORK_V6], u64)> {
    let hops = if way.hops == 0 { HOPS } else { way.hops };
    let [a, b, c, d, e, f] = way.mac;
    let [g, h, i, j, k, l] = mac;
    let mut bytes = [0; NETWORK_V6];
    match (way.from.ip(), way.to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [s0, s1, s2, s3] = from.octets();
            let [d0, d1, d2, d3] = to.octets();
            // Not to be fragmented (RFC 6864 section 4.1: so it needs no identification).
            let headers: [u8; NETWORK_V4] = [
                a, b, c, d, e, f, g, h, i, j, k, l, 0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0x40, 0, hops,
                protocol, 0, 0, s0, s1, s2, s3, d0, d1, d2, d3,
            ];
            *bytes.first_chunk_mut()? = headers;
            let addresses = checksum::of_bytes(&[s0, s1, s2, s3, d0, d1, d2, d3]);
            Some((true, bytes, addresses))
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let ethernet = [a, b, c, d, e, f, g, h, i, j, k, l, 0x86, 0xdd];
            let ip = [0x60, 0, 0, 0, 0, 0, protocol, hops];
            let (from, to) = (from.octets(), to.octets());
            concat(&mut bytes, &[&ethernet, &ip, &from, &to]);
            let addresses = checksum::sums(checksum::of_bytes(&from), checksum::of_bytes(&to));
            Some((false, bytes, addresses))
        }
        _ => None,
    }
}

/// The headers of datagrams that go one way: all but what depends on their length.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    is_ipv4: bool,
    /// Lengths and checksums are zero.
    bytes: [u8; HEAD_V6],
    /// The sum of the IPv4 header, and that of the addresses.
    header: u64,
    addresses: u64,
}

impl Head {
    /// The headers of datagrams from the station with this hardware address. `None` if the families of the addresses differ.
    fn new(way: &Way, mac: [u8; 6]) -> Option<Head> {
        let (is_ipv4, front, addresses) = network(way, mac, UDP_PROTOCOL)?;
        let (from, to) = (way.from.port().to_be_bytes(), way.to.port().to_be_bytes());
        let ports = [from[0], from[1], to[0], to[1], 0, 0, 0, 0];
        let mut bytes = [0; HEAD_V6];
        let (front, header) = match (is_ipv4, front.first_chunk::<NETWORK_V4>()) {
            (true, Some(front)) => (&front[..], checksum::of_bytes(&front[ETHERNET..])),
            _ => (&front[..], 0),
        };
        concat(&mut bytes, &[front, &ports]);
        Some(Head {
            is_ipv4,
            bytes,
            header,
            addresses,
        })
    }

    fn len(&self) -> usize {
        if self.is_ipv4 { HEAD_V4 } else { HEAD_V6 }
    }

    /// Writes the headers of a datagram whose UDP header and data have `len` bytes. The UDP checksum stays zero: whoever sends frames
    /// fills it in.
    fn write(&self, place: &mut [u8], len: u16) {
        let length = len.to_be_bytes();
        if let Some(place) = place.first_chunk_mut::<HEAD_V4>().filter(|_| self.is_ipv4)
            && let Some(bytes) = self.bytes.first_chunk()
        {
            *place = *bytes;
            let total = len.saturating_add(20).to_be_bytes();
            [place[16], place[17]] = total;
            [place[24], place[25]] = checksum::with_word(self.header, total);
            [place[38], place[39]] = length;
        } else if let Some(place) = place.first_chunk_mut::<HEAD_V6>() {
            *place = self.bytes;
            [place[18], place[19]] = length;
            [place[58], place[59]] = length;
        }
    }
}

impl Engine {
    /// Whether a datagram to this address is one for this host: to its own address, to all, or to a group that it is in.
    pub(crate) fn hears(&self, address: IpAddr) -> bool {
        let all = matches!(address, IpAddr::V4(v4) if self.is_broadcast(v4));
        all || self.has_address(address) || self.iface.has_multicast_group(address)
    }

    /// The headers of datagrams that go this way from here. `None` if the families of the addresses differ.
    pub(crate) fn head(&self, way: &Way) -> Option<Head> {
        Head::new(way, self.mac)
    }

    /// Sends a datagram of `len` bytes, which `write` writes. False if it is longer than a packet: then nothing was written.
    ///
    /// # Errors
    /// Those of `write`; then nothing is sent.
    pub(crate) fn send_datagram<E>(
        &mut self,
        head: &Head,
        len: usize,
        sink: &mut dyn FrameSink,
        write: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<bool, E> {
        let start = head.len();
        let total = start.saturating_add(len);
        if total > usize::from(self.mtu).saturating_add(ETHERNET) {
            return Ok(false);
        }
        let place = sink.place(total, None);
        let is_placed = place.is_some();
        let Some((place, body)) = place
            .or_else(|| self.scratch.get_mut(..total))
            .and_then(|frame| frame.split_at_mut_checked(start))
        else {
            return Ok(false);
        };
        write(body)?;
        // `len` is bounded by the MTU.
        let len = (UDP + len) as u16;
        head.write(place, len);
        if is_placed {
            let unfinished = Unfinished::of_datagram((start - UDP) as u8, head.addresses, len);
            sink.send_placed(Some(unfinished), None);
        } else {
            sink.send(self.scratch.get(..total).unwrap_or_default());
        }
        self.last = Last::Nothing;
        Ok(true)
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
    use alloc::{vec, vec::Vec};
    use smoltcp::wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, Ipv4Packet, Ipv6Packet, UdpPacket,
    };

    /// What was sent, and the place for the next.
    struct Sent(Vec<Vec<u8>>, Vec<u8>);

    impl FrameSink for Sent {
        fn has_room(&self) -> bool {
            true
        }
        fn send(&mut self, frame: &[u8]) {
            self.0.push(frame.to_vec());
        }

        fn place(&mut self, len: usize, size: Option<u16>) -> Option<&mut [u8]> {
            assert_eq!(size, None);
            self.1 = vec![0xaa; len];
            Some(&mut self.1)
        }

        fn send_placed(&mut self, unfinished: Option<Unfinished>, size: Option<u16>) {
            assert_eq!(size, None);
            let (found, known) = (Unfinished::find(&self.1).unwrap(), unfinished.unwrap());
            assert_eq!(found.pseudo(), known.pseudo());
            assert_eq!(found.place(), known.place());
            self.0.push(self.1.clone());
        }

        fn send_segments(&mut self, _frame: &[u8], size: u16) {
            panic!("a datagram in pieces of {size} bytes");
        }
    }

    fn sent(from: &str, to: &str, hops: u8, data: &[u8]) -> (bool, Vec<Vec<u8>>) {
        let mut engine = Engine::new([2, 3, 4, 5, 6, 7], (1500, 0), 1, Instant::from_nanos(0));
        let mut sink = Sent(Vec::new(), Vec::new());
        let way = Way {
            mac: [8, 9, 10, 11, 12, 13],
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            hops,
        };
        let Some(head) = engine.head(&way) else {
            return (false, sink.0);
        };
        let done = engine.send_datagram(&head, data.len(), &mut sink, |place| {
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
