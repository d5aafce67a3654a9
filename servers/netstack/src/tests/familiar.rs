//! Frames like earlier ones take a shorter way: it must lead to where the long one does.

use super::{
    forge::{ACK, Forged, known, packet, put},
    udp::{bind, receive},
    wire::repair,
    *,
};
use crate::recent::Recent;
use ipc_proto::policy::{Policy, Prefix};
use proptest::prelude::*;

/// A datagram from 10.0.0.1, port 12345, to port 7.
fn datagram(bytes: &[u8]) -> Vec<u8> {
    let mut body = std::vec![0x30, 0x39, 0, 7];
    body.extend((8 + bytes.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(bytes);
    packet([10, 0, 0, 1], [10, 0, 0, 2], 17, &body)
}

/// The second host with a socket at port 7 and a connection.
struct Victim {
    net: Network,
    client: Client,
    socket: Socket,
    stream: Socket,
    right: Forged,
    /// Whether it remembers no frame.
    forgets: bool,
    _peers: (Client, Socket, Client),
}

impl Victim {
    fn new(forgets: bool) -> Victim {
        let mut net = pair(1);
        let (a, near, b, far, right) = known(&mut net);
        net.log = None;
        let mut client = net.hosts[1].client(3);
        let socket = bind(&mut net, &mut client, address(2, 7)).unwrap();
        Victim {
            net,
            client,
            socket,
            stream: far,
            right,
            forgets,
            _peers: (a, near, b),
        }
    }

    /// All that comes of a frame: what is sent, counted, and received.
    fn hears(&mut self, frame: &[u8], vouches: bool) -> impl PartialEq + core::fmt::Debug {
        let stack = &mut self.net.hosts[1].stack;
        if self.forgets {
            stack.recent = Recent::default();
        }
        stack.ingress(&mut frame.to_vec(), vouches);
        stack.poll(self.net.now);
        let sent = self.net.hosts[1].nic.as_mut().unwrap().take();
        self.client.touch(&self.socket);
        let datagram = receive(&mut self.socket).map(|(record, bytes)| (record.peer, bytes));
        let mut bytes = [0; 2000];
        let read = self.stream.reader.read(&mut bytes).unwrap();
        let stack = &self.net.hosts[1].stack;
        (sent, stack.counters(), datagram, bytes[..read].to_vec())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_short_way_leads_to_the_same(
        steps in proptest::collection::vec(
            (
                any::<bool>(),
                proptest::collection::vec((0usize..64, any::<u8>()), 0..3),
                any::<[bool; 2]>(),
                0usize..20,
            ),
            1..60,
        ),
    ) {
        let (mut short, mut long) = (Victim::new(false), Victim::new(true));
        for (is_tcp, changes, [repaired, vouches], len) in steps {
            let data = pattern(len);
            let whole = match is_tcp {
                false => datagram(&data),
                true => {
                    let mut segment = short.right.clone();
                    segment.data = data;
                    short.right.seq = segment.seq.wrapping_add(len as u32);
                    segment.frame()
                }
            };
            let mut changed = whole.clone();
            for (at, byte) in &changes {
                if let Some(place) = changed.get_mut(*at) {
                    *place = *byte;
                }
            }
            if repaired {
                repair(&mut changed);
            }
            // The right one is behind, so that there is always one to be like.
            for frame in [&changed, &whole] {
                let (one, other) = (short.hears(frame, vouches), long.hears(frame, vouches));
                prop_assert_eq!(one, other, "{:?}", frame);
            }
        }
        short.net.hosts[1].stack.check_invariants();
    }
}

#[test]
fn nobody_is_taken_for_who_was_there_before() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[1].client(1), net.hosts[1].client(2));
    let mut first = bind(&mut net, &mut a, address(2, 7)).unwrap();
    for _ in 0..2 {
        assert_eq!(put(&mut net, &datagram(b"one")).len(), 0);
        assert_eq!(receive(&mut first).unwrap().1, b"one");
    }
    close(&mut net, &mut a, first.handle, false);
    // Nobody is there: an ICMP message says so.
    assert_eq!(put(&mut net, &datagram(b"two")).len(), 1);
    let mut second = bind(&mut net, &mut b, "[::]:7".parse().unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(put(&mut net, &datagram(b"three")).len(), 0);
        assert_eq!(receive(&mut second).unwrap().1, b"three");
    }
    assert!(receive(&mut first).is_none());
    // The host moves to another address.
    let moved = [(address(3, 0).ip(), 24)];
    net.hosts[1].stack.engine.configure(&moved, &[]);
    assert_eq!(put(&mut net, &datagram(b"four")).len(), 0);
    assert!(receive(&mut second).is_none());
}

#[test]
fn a_connection_that_has_ended_is_not_taken_for_the_next_one() {
    let mut net = pair(1);
    let (_a, _near, mut b, far, right) = known(&mut net);
    let plain = Forged {
        flags: ACK,
        ..right.clone()
    };
    assert_eq!(plain.put(&mut net), Vec::<Vec<u8>>::new());
    close(&mut net, &mut b, far.handle, true);
    // It was reset: what comes now is answered by another reset, as from nobody.
    let answers = plain.put(&mut net);
    assert_eq!(answers.len(), 1);
    assert!(super::forge::segment(&answers[0]).unwrap().is_reset());
}

/// What had waited is delivered with the datagram of somebody who may not send here.
#[test]
fn a_datagram_that_is_refused_is_not_remembered() {
    let mut net = pair(1);
    let mut policy = Policy::everything();
    policy.remote.clear();
    let only = Prefix {
        address: address(1, 0).ip(),
        bits: 32,
    };
    policy.remote.push(only).unwrap();
    let mut client = Client::open(&mut net.hosts[1].stack, 9, policy).unwrap();
    let mut socket = bind(&mut net, &mut client, address(2, 7)).unwrap();
    let from = |last: u8, bytes: &[u8]| {
        let mut body = std::vec![0x30, 0x39, 0, 7];
        body.extend((8 + bytes.len() as u16).to_be_bytes());
        body.extend([0, 0]);
        body.extend(bytes);
        packet([10, 0, 0, last], [10, 0, 0, 2], 17, &body)
    };
    let permitted = from(1, &pattern(1400));
    // More than the client's memory has room for.
    for _ in 0..100 {
        put(&mut net, &permitted);
    }
    let mut read = 0;
    for _ in 0..3 {
        while let Some((record, _)) = receive(&mut socket) {
            assert_eq!(record.peer.ip(), address(1, 0).ip());
            read += 1;
        }
        put(&mut net, &from(9, b"refused"));
    }
    assert!(read > 91, "{read}: some have waited");
    assert!(receive(&mut socket).is_none());
    client.touch(&socket);
    net.run(SECOND);
    assert_eq!(net.hosts[1].stack.counters().refused, 3);
}
