use super::*;
use crate::classify;
use crate::time::Instant;
use proptest::prelude::*;
use smoltcp::wire::{Icmpv6Packet, NdiscRepr, RawHardwareAddress};
use std::{format, vec, vec::Vec};

mod late;

/// What was sent, and the place where frames are built, if it gives one: full of other bytes.
#[derive(Default)]
struct Wire(Vec<Vec<u8>>, Option<Vec<u8>>);

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

    fn place(&mut self, len: usize, size: Option<u16>) -> Option<&mut [u8]> {
        assert_eq!(size, None);
        let place = self.1.as_mut()?;
        *place = vec![0xaa; len];
        Some(place)
    }

    fn send_placed(&mut self, unfinished: Option<crate::checksum::Unfinished>, _: Option<u16>) {
        assert_eq!(unfinished, None);
        self.0.extend(self.1.clone());
    }

    fn last_placed(&self) -> &[u8] {
        self.1.as_deref().unwrap_or_default()
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

/// A frame is the same wherever it is built, and can be read back.
#[test]
fn nothing_of_an_earlier_frame_shows_in_one_built_in_its_place() {
    let [elsewhere, in_place] = [None, Some(vec![])].map(|place| {
        let mut wire = Wire(vec![], place);
        let (engine, _) = syn_of(1, &mut wire);
        assert_eq!(wire.0.last().unwrap(), engine.last_frame(&wire));
        assert!(!engine.asked_for_neighbor());
        let mut frames = wire.0;
        // DHCP, and a question for a neighbour.
        let mut wire = Wire(vec![], wire.1);
        let mut engine = super::tests::engine(3);
        let mut control = Dhcp::new(true);
        engine.egress(Instant::ZERO, &mut control, &mut wire);
        assert_eq!(wire.0.last().unwrap(), engine.last_frame(&wire));
        let mut socket = TcpSocket::new(4096);
        let (local, remote) = (([10, 0, 0, 3], 50000).into(), ([10, 0, 0, 4], 80).into());
        socket
            .connect(&engine, Instant::ZERO, local, remote, 5)
            .unwrap();
        engine.egress(Instant::ZERO, &mut socket, &mut wire);
        assert!(engine.asked_for_neighbor());
        assert_eq!(engine.take_asked(), Some([10, 0, 0, 4].into()));
        frames.extend(wire.0);
        frames
    });
    assert_eq!(elsewhere.len(), 3);
    assert_eq!(elsewhere, in_place);
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

    let answer = answer(&server, &syn, client.mac(), 77, 4096);
    client.ingress(Instant::ZERO, &answer, &mut connecting, &mut wire);
    assert_eq!(connecting.state(), TcpState::Established);
    client.egress(Instant::ZERO, &mut connecting, &mut wire);
    let ack = wire.0.pop().unwrap();
    let completed = Completed {
        local: ([10, 0, 0, 2], 80).into(),
        remote: ([10, 0, 0, 1], 50_000).into(),
        numbers: (77, 1000),
        offer: offer(&syn),
        ack: &ack,
        window: classify::tcp(&ack).unwrap().window,
        is_bare: true,
    };
    let socket = TcpSocket::new(4096);
    let mut accepted = completed
        .bring_up(&mut server, Instant::ZERO, socket, &mut wire)
        .unwrap();
    assert!(wire.0.is_empty());
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

fn offer(syn: &[u8]) -> Offer {
    let classify::Frame::Ip(packet) = classify::frame(syn) else {
        panic!("no IP packet");
    };
    Offer::of(packet.body).unwrap()
}

/// The SYN-ACK for a SYN from 10.0.0.1, from the second host.
fn answer(server: &Engine, syn: &[u8], mac: [u8; 6], isn: u32, buffer: usize) -> Vec<u8> {
    let segment = classify::tcp(syn).unwrap();
    let way = Way {
        mac,
        from: ([10, 0, 0, 2], segment.dst_port).into(),
        to: ([10, 0, 0, 1], segment.src_port).into(),
        hops: 0,
    };
    let offer = offer(syn).answer(server.max_segment(way.from.ip()), buffer);
    let numbers = (isn, segment.seq.wrapping_add(1));
    let window = u16::try_from(buffer).unwrap_or(u16::MAX);
    let rest = (SYN_ACK, window);
    let answer = Headers::new(&way, server.mac(), numbers, rest, &offer).unwrap();
    let found = crate::checksum::Unfinished::find(answer.bytes());
    assert_eq!(found, Some(answer.unfinished()));
    answer.bytes().to_vec()
}

/// A SYN with these options.
fn forged(options: &[u8]) -> crate::tests::forge::Forged {
    crate::tests::forge::Forged {
        src_port: 50_000,
        dst_port: 80,
        seq: u32::MAX,
        flags: 2,
        window: 1000,
        options: options.to_vec(),
        ..Default::default()
    }
}

const OPTIONS: [&[u8]; 7] = [
    &[],
    &[2, 4, 5, 180],
    &[2, 4, 5, 180, 4, 2, 3, 3, 7, 0, 0, 0],
    &[4, 2, 1, 1],
    &[3, 3, 14, 1],
    &[8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1],
    &[2, 4, 0, 0],
];

/// A socket that has heard a SYN, and what it answers, without Ethernet.
fn listening(server: &Engine, syn: &[u8], isn: u32, buffer: usize) -> (TcpSocket, Vec<u8>) {
    let mut socket = TcpSocket::new(buffer);
    socket.socket().listen(80).unwrap();
    let mut seeder = handshake::seeder(server.mtu(), isn, Instant::ZERO);
    let (mut wire, mut scratch) = (Wire::default(), [0; SCRATCH]);
    let packet = &syn[crate::classify::ETHERNET..];
    let mut device = OneFrame::new(Medium::Ip, 1500, Some(packet), &mut wire, &mut scratch);
    seeder.poll_ingress_single(smol(Instant::ZERO), &mut device, socket.set());
    seeder.poll_egress(smol(Instant::ZERO), &mut device, socket.set());
    assert_eq!(socket.state(), TcpState::SynReceived);
    (socket, wire.0.pop().unwrap())
}

/// What is answered without a socket is what a socket would have said.
#[test]
fn a_syn_ack_says_what_smoltcp_would_say() {
    let server = engine(2);
    for options in OPTIONS {
        for buffer in [2048, 65_535, 65_536, 1 << 20] {
            let syn = forged(options).frame();
            let ours = answer(&server, &syn, [9; 6], 0xdead_beef, buffer);
            let (_, theirs) = listening(&server, &syn, 0xdead_beef, buffer);
            assert_eq!(ours[..14], [9, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 2, 8, 0]);
            assert_eq!(ours[14..], theirs, "{options:?} {buffer}");
        }
    }
}

/// What a socket is like, and sends from a time on, if it is given much to send and then closed.
fn says(server: &mut Engine, socket: &mut TcpSocket, now: Instant) -> (Vec<usize>, Vec<Vec<u8>>) {
    let mut wire = Wire::default();
    let mut answers = vec![socket.state() as usize, socket.received()];
    let sent = socket.send(|room| {
        room[..30_000].fill(7);
        Ok::<_, ()>(30_000)
    });
    answers.push(sent.unwrap());
    socket.close();
    let mut at = now;
    // As long as the neighbour is known.
    while at < Instant::from_millis(30_000) && answers.len() < 30 {
        server.egress(at, socket, &mut wire);
        let next = server.poll_at(at, socket);
        at = next.map_or(at, |next| next.max(at));
        answers.push(at.nanos() as usize);
    }
    (answers, wire.0)
}

/// A socket that hears late of the peer's end and its own says what one would that has heard of them in time.
#[test]
fn a_quiet_connection_is_as_any_other() {
    let mut server = engine(2);
    let request = solicit(&engine(1), [10, 0, 0, 2].into()).unwrap();
    let mut wire = Wire::default();
    server.ingress(Instant::ZERO, &request, &mut Dhcp::new(false), &mut wire);
    let times = [10, 20, 30].map(Instant::from_millis);
    for (options, steps, buffer) in OPTIONS
        .into_iter()
        .flat_map(|options| (0..4).map(move |steps| (options, steps)))
        .flat_map(|(options, steps)| [40_000, 200_000].map(|buffer| (options, steps, buffer)))
    {
        let name = (options, steps, buffer);
        let syn = forged(options);
        let from_peer = |seq, flags, window| crate::tests::forge::Forged {
            seq,
            ack: 78,
            flags,
            window,
            options: Vec::new(),
            ..syn.clone()
        };
        let window = if options.contains(&3) { 3 } else { 900 };
        let ack = from_peer(0, 0x10, window).frame();
        let fin = from_peer(0, FIN_ACK, window + 1).frame();
        let syn = syn.frame();
        let (mut heard, _) = listening(&server, &syn, 77, buffer);
        server.ingress(times[0], &ack, &mut heard, &mut wire);
        let completed = Completed {
            local: ([10, 0, 0, 2], 80).into(),
            remote: ([10, 0, 0, 1], 50_000).into(),
            numbers: (77, u32::MAX),
            offer: offer(&syn),
            ack: &ack,
            window,
            is_bare: true,
        };
        let socket = TcpSocket::new(buffer);
        let mut quiet = completed
            .bring_up(&mut server, times[0], socket, &mut wire)
            .unwrap();
        if steps > 0 {
            server.ingress(times[1], &fin, &mut heard, &mut wire);
            quiet.end_quietly(window + 1, times[1]);
        }
        if steps > 1 {
            heard.close();
            quiet.close();
        }
        wire.0.clear();
        if steps > 2 {
            server.egress(times[2], &mut heard, &mut wire);
            let ours = quiet.quiet_fin(server.mac(), [2, 0, 0, 0, 0, 1], times[2]);
            assert_eq!(ours.unwrap().bytes(), wire.0[0], "{name:?}");
        }
        assert!(quiet.quiet().is_some());
        assert_eq!(heard.glance(), quiet.glance(), "{name:?}");
        assert_eq!(heard.at_end(), quiet.at_end(), "{name:?}");
        assert_eq!(heard.can_send(), quiet.can_send(), "{name:?}");
        assert_eq!(
            heard.receive_next(u32::MAX),
            quiet.receive_next(u32::MAX),
            "{name:?}"
        );
        assert!(quiet.quiet().is_some());
        let said = [&mut heard, &mut quiet].map(|socket| says(&mut server, socket, times[2]));
        let [(theirs, frames), (ours, own)] = said;
        assert_eq!(theirs, ours, "{name:?}");
        assert!(frames == own && !own.is_empty(), "{name:?}");
    }
}

/// A socket that is brought up says what one would that has listened, whatever the peer's first acknowledgment is.
#[test]
fn a_socket_that_is_brought_up_is_as_one_that_has_listened() {
    let mut server = engine(2);
    let client = engine(1);
    let request = solicit(&client, [10, 0, 0, 2].into()).unwrap();
    let mut wire = Wire::default();
    server.ingress(Instant::ZERO, &request, &mut Dhcp::new(false), &mut wire);
    for options in OPTIONS {
        for (flags, window, data) in [
            (0x10, 1000, ""),
            (0x10, 0, ""),
            (0x10, u16::MAX, ""),
            (0x18, 2, "GET /"),
            (0x11, 400, ""),
            (0x11, u16::MAX, "bye"),
        ] {
            let syn = forged(options);
            let ack = crate::tests::forge::Forged {
                seq: 0,
                ack: 78,
                flags,
                window,
                options: Vec::new(),
                data: data.into(),
                ..syn.clone()
            };
            let (syn, ack) = (syn.frame(), ack.frame());
            let (mut listened, _) = listening(&server, &syn, 77, 65_536);
            wire.0.clear();
            server.ingress(Instant::ZERO, &ack, &mut listened, &mut wire);
            let completed = Completed {
                local: ([10, 0, 0, 2], 80).into(),
                remote: ([10, 0, 0, 1], 50_000).into(),
                numbers: (77, u32::MAX),
                offer: offer(&syn),
                ack: &ack,
                window,
                is_bare: flags == 0x10 && data.is_empty(),
            };
            let socket = TcpSocket::new(65_536);
            let mut brought = completed
                .bring_up(&mut server, Instant::ZERO, socket, &mut wire)
                .unwrap();
            let at = Instant::ZERO;
            let said = [&mut listened, &mut brought].map(|socket| says(&mut server, socket, at));
            let name = (options, flags, window, data);
            let [(listened, theirs), (brought, ours)] = said;
            assert_eq!(listened, brought, "{name:?}");
            assert!(ours == theirs && !ours.is_empty(), "{name:?}");
        }
    }
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
