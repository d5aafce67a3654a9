use super::*;
use crate::time::Instant;
use proptest::prelude::*;
use smoltcp::wire::{Icmpv6Packet, NdiscRepr, RawHardwareAddress};
use std::{vec, vec::Vec};

#[derive(Default)]
struct Wire(Vec<Vec<u8>>);

impl FrameSink for Wire {
    fn has_room(&self) -> bool {
        true
    }

    fn send(&mut self, frame: &[u8]) {
        self.0.push(frame.to_vec());
    }

    fn send_segments(&mut self, frame: &[u8], _size: u16) {
        panic!("{} bytes to cut", frame.len());
    }
}

fn engine(last: u8) -> Engine {
    let mut engine = Engine::new([2, 0, 0, 0, 0, last], (1500, 0), 7, Instant::ZERO);
    engine.configure(&[(IpAddr::from([10, 0, 0, last]), 24)], &[]);
    engine
}

fn syn_of(isn: u32, wire: &mut Wire) -> (Engine, TcpSocket) {
    let mut engine = engine(1);
    let mut socket = TcpSocket::new(4096);
    let (local, remote) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (local, remote) = ((local, 50000).into(), (remote, 80).into());
    let opened = socket.connect(&engine, Instant::ZERO, local, remote, isn);
    assert_eq!(opened, Ok(()));
    // The neighbour is learned from its ARP request.
    let peer = super::tests::engine(2);
    let request = solicit(&peer, [10, 0, 0, 1].into()).unwrap();
    let mut control = Dhcp::new(false);
    engine.ingress(Instant::ZERO, &request, &mut control, wire);
    wire.0.clear();
    engine.egress(Instant::ZERO, &mut socket, wire);
    (engine, socket)
}

#[test]
fn the_chosen_sequence_number_is_drawn() {
    for isn in [0, 1, 0x8000_0000, 0xdead_beef, u32::MAX] {
        let mut wire = Wire::default();
        let _ = syn_of(isn, &mut wire);
        let frame = wire.0.pop().unwrap();
        let crate::classify::Frame::Ip(packet) = crate::classify::frame(&frame) else {
            panic!("no IP packet");
        };
        let crate::classify::Payload::Tcp(segment) = packet.payload else {
            panic!("no segment");
        };
        assert!(segment.is_opening());
        assert_eq!(segment.seq, isn);
    }
}

#[test]
fn a_replayed_handshake_gives_a_connection() {
    let mut wire = Wire::default();
    let (mut client, mut connecting) = syn_of(1000, &mut wire);
    let syn = wire.0.pop().unwrap();
    let mut server = engine(2);
    let mut control = Dhcp::new(false);
    let request = solicit(&client, [10, 0, 0, 2].into()).unwrap();
    server.ingress(Instant::ZERO, &request, &mut control, &mut wire);
    wire.0.clear();

    let mut handshake = Handshake::default();
    let syn_ack = syn_ack(&server, &syn, client.mac(), 77, 4096).unwrap();
    client.ingress(Instant::ZERO, &syn_ack, &mut connecting, &mut wire);
    assert_eq!(connecting.state(), TcpState::Established);
    client.egress(Instant::ZERO, &mut connecting, &mut wire);
    let ack = wire.0.pop().unwrap();
    let mut accepted = handshake
        .complete(
            &mut server,
            Instant::ZERO,
            (&syn, 80),
            &ack,
            (77, TcpSocket::new(4096)),
            &mut wire,
        )
        .unwrap();
    accepted
        .send(|room| {
            room[..5].copy_from_slice(b"hello");
            Ok::<_, ()>(5)
        })
        .unwrap();
    server.egress(Instant::ZERO, &mut accepted, &mut wire);
    let data = wire.0.pop().unwrap();
    client.ingress(Instant::ZERO, &data, &mut connecting, &mut wire);
    let mut got = vec![];
    connecting
        .receive(|bytes| {
            got.extend_from_slice(bytes);
            Ok::<_, ()>(bytes.len())
        })
        .unwrap();
    assert_eq!(got, b"hello");
}

/// What is answered without a socket is what the socket that comes later would have said.
#[test]
fn a_syn_ack_says_what_smoltcp_would_say() {
    let server = engine(2);
    let mut compared = 0;
    for options in [
        &[][..],
        &[2, 4, 5, 180],
        &[2, 4, 5, 180, 4, 2, 3, 3, 7, 0, 0, 0],
        &[4, 2, 1, 1],
        &[3, 3, 14, 1],
        &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1],
        &[2, 4, 0, 0],
    ] {
        for buffer in [2048, 65_535, 65_536, 1 << 20] {
            let syn = crate::tests::forge::Forged {
                src_port: 50_000,
                dst_port: 80,
                seq: u32::MAX,
                flags: 2,
                window: 1000,
                options: options.to_vec(),
                ..Default::default()
            };
            let syn = syn.frame();
            let mut socket = TcpSocket::new(buffer);
            let mut wire = Wire::default();
            let heard = Handshake::default().bring_up(
                &server,
                Instant::ZERO,
                &mut socket,
                (&syn, 80),
                0xdead_beef,
                &mut wire,
            );
            assert_eq!(heard, Some(()));
            let ours = syn_ack(&server, &syn, [9; 6], 0xdead_beef, buffer).unwrap();
            assert_eq!(ours[..14], [9, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 2, 8, 0]);
            assert_eq!(ours[14..], wire.0[0], "{options:?} {buffer}");
            compared += 1;
        }
    }
    assert_eq!(compared, 28);
}

proptest! {
    /// Who counts as heard is in smoltcp's table: it reads the same address out of the same options, or none of the two reads one.
    #[test]
    fn a_station_is_heard_only_where_smoltcp_learns_it(
        kind in 135u8..=136,
        options in proptest::collection::vec(
            (prop_oneof![1u8..=5, 14u8..=14], 0u8..=6, -1isize..=1), 0..4,
        ),
    ) {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        for (option, units, more) in options {
            let len = (isize::from(units.max(1)) * 8 + more).max(0) as usize;
            let mut bytes = vec![2; len];
            bytes[..2].copy_from_slice(&[option, units]);
            message.extend(bytes);
        }
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0];
        frame.extend((message.len() as u16).to_be_bytes());
        frame.extend([58, 255]);
        frame.extend([0xfe; 32]);
        frame.extend(&message);
        let heard = match crate::classify::frame(&frame) {
            crate::classify::Frame::Ip(packet) => match packet.payload {
                crate::classify::Payload::NeighborSolicitation { mac, .. }
                | crate::classify::Payload::NeighborAdvertisement { mac, .. } => mac,
                _ => None,
            },
            _ => None,
        };
        let packet = Icmpv6Packet::new_unchecked(&message[..]);
        let learned = match NdiscRepr::parse(&packet) {
            Ok(NdiscRepr::NeighborSolicit { lladdr, .. } | NdiscRepr::NeighborAdvert { lladdr, .. }) => lladdr,
            _ => None,
        };
        if let Some(mac) = heard {
            prop_assert_eq!(learned, Some(RawHardwareAddress::from_bytes(&mac)));
        }
    }
}
