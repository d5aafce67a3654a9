//! Neighbours that lie about where they are, and those that come in crowds.

use super::{wire::repair, *};
use crate::classify::{Frame, frame};

/// ARP to 10.0.0.2: operation, sender's address, its hardware address.
fn arp(operation: u8, sender: [u8; 4], mac: [u8; 6]) -> Vec<u8> {
    let mut bytes = std::vec![2, 0, 0, 0, 0, 2];
    bytes.extend(mac);
    bytes.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    bytes.extend(mac);
    bytes.extend(sender);
    bytes.extend([0; 6]);
    bytes.extend([10, 0, 0, 2]);
    assert!(matches!(frame(&bytes), Frame::Arp(_)));
    bytes
}

/// A neighbour message to the second host.
fn neighbor(kind: u8, from: &str, target: &str, mac: [u8; 6]) -> Vec<u8> {
    let octets = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
    let mut bytes = std::vec![2, 0, 0, 0, 0, 2];
    bytes.extend(mac);
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    bytes.extend(octets(from));
    bytes.extend(octets("ff02::1:ff00:2"));
    // Solicited and override.
    bytes.extend([kind, 0, 0, 0, 0x60, 0, 0, 0]);
    bytes.extend(octets(target));
    bytes.extend([kind - 134, 1]);
    bytes.extend(mac);
    repair(&mut bytes);
    bytes
}

const LIAR: [u8; 6] = [2, 9, 9, 9, 9, 9];

fn put(net: &mut Network, frame: &[u8]) -> Vec<Vec<u8>> {
    net.hosts[1].nic.as_mut().unwrap().put(frame);
    net.hosts[1].stack.poll(net.now);
    net.hosts[1].nic.as_mut().unwrap().take()
}

#[test]
fn a_live_neighbor_is_not_displaced() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    for round in 0..30u32 {
        put(&mut net, &arp(2, [10, 0, 0, 1], LIAR));
        let answers = put(&mut net, &arp(1, [10, 0, 0, 1], LIAR));
        // Who asks is told, and only that.
        assert!(answers.iter().all(|frame| frame[..6] == LIAR));
        let bytes = pattern(1000 + round as usize);
        let got = transfer(
            &mut net,
            (&mut b, &mut far),
            (&mut a, &mut near),
            &bytes,
            SECOND,
        );
        assert!(got == bytes, "round {round}: {} bytes", got.len());
        net.run(SECOND * 10);
    }
}

#[test]
fn a_live_neighbor_is_not_displaced_in_ipv6() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let ping = |net: &mut Network, client: &mut Client| {
        ask(net, client, |id| Request::Ping {
            id,
            remote: "fe80::ff:fe00:1".parse().unwrap(),
            sequence: 1,
            len: 60,
            timeout_ms: 3000,
        })
    };
    let (first, us) = ("fe80::ff:fe00:1", "fe80::ff:fe00:2");
    assert!(matches!(ping(&mut net, &mut b), Reply::Pong { .. }));
    for _ in 0..10 {
        put(&mut net, &neighbor(136, first, first, LIAR));
        let answers = put(&mut net, &neighbor(135, first, us, LIAR));
        assert!(answers.iter().all(|frame| frame[..6] == LIAR));
        assert!(matches!(ping(&mut net, &mut b), Reply::Pong { .. }));
        net.run(SECOND * 10);
    }
    let _ = &mut a;
}

#[test]
fn a_neighbor_that_moved_is_found_again() {
    let mut net = pair(1);
    let mut b = net.hosts[1].client(2);
    put(&mut net, &arp(1, [10, 0, 0, 1], LIAR));
    // The liar was first. He is silent, and after a minute the real one is asked for.
    net.run(SECOND * 61);
    let reply = ask(&mut net, &mut b, |id| Request::Ping {
        id,
        remote: [10, 0, 0, 1].into(),
        sequence: 1,
        len: 60,
        timeout_ms: 3000,
    });
    assert!(matches!(reply, Reply::Pong { .. }), "{reply:?}");
}

#[test]
fn answers_that_nobody_asked_for_teach_nothing() {
    let mut net = pair(1);
    let mut b = net.hosts[1].client(2);
    assert!(put(&mut net, &arp(2, [10, 0, 0, 77], LIAR)).is_empty());
    net.log = Some(Vec::new());
    start(&mut net, &mut b, address(77, 9)).unwrap();
    net.run(SECOND);
    let log = net.log.take().unwrap();
    assert!(!log.is_empty());
    assert!(log.iter().all(|(_, bytes)| bytes[..6] != LIAR));
}

#[test]
fn a_crowd_of_strangers_displaces_nobody() {
    let mut net = Network::new(1);
    for last in 1..3 {
        let mut config = config(last);
        if let crate::Addressing::Static { bits, .. } = &mut config.ipv4 {
            *bits = 8;
        }
        net.add(config);
    }
    net.run(SECOND);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    for stranger in 0..5000u16 {
        let [high, low] = stranger.to_be_bytes();
        put(
            &mut net,
            &arp(1, [10, 1, high, low], [2, 1, 1, 1, high, low]),
        );
    }
    net.log = Some(Vec::new());
    let bytes = pattern(5000);
    let got = transfer(
        &mut net,
        (&mut b, &mut far),
        (&mut a, &mut near),
        &bytes,
        SECOND,
    );
    assert!(got == bytes);
    // It did not have to ask again.
    let log = net.log.take().unwrap();
    assert!(log.iter().all(|(_, bytes)| bytes[12..14] != [8, 6]));
}

#[test]
fn who_probes_for_an_own_address_learns_that_it_is_taken() {
    let mut net = pair(1);
    let answers = put(&mut net, &arp(1, [0; 4], LIAR));
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0][..14], [2, 9, 9, 9, 9, 9, 2, 0, 0, 0, 0, 2, 8, 6]);
    // An answer from the own address to the one who asked.
    assert_eq!(answers[0][20..22], [0, 2]);
    assert_eq!(answers[0][28..32], [10, 0, 0, 2]);
    let answers = put(&mut net, &neighbor(135, "::", "fe80::ff:fe00:2", LIAR));
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0][54], answers[0][0]), (136, 0x33));
    // Whoever claims it is contradicted, though not without end.
    let claims = (0..100).map(|_| put(&mut net, &arp(1, [10, 0, 0, 2], LIAR)).len());
    assert_eq!(claims.sum::<usize>(), 1);
}

/// A router advertisement to all nodes, from a router of this lifetime, with a prefix that ends in `prefix` if there is one.
fn advertisement(lifetime: u16, prefix: Option<u8>) -> Vec<u8> {
    let octets = |text: &str| text.parse::<core::net::Ipv6Addr>().unwrap().octets();
    let mut message = std::vec![134, 0, 0, 0, 64, 0];
    message.extend(lifetime.to_be_bytes());
    message.extend([0; 8]);
    if let Some(prefix) = prefix {
        message.extend([3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, prefix, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let mut bytes = std::vec![0x33, 0x33, 0, 0, 0, 1];
    bytes.extend(LIAR);
    bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, message.len() as u8, 58, 255]);
    bytes.extend(octets("fe80::66"));
    bytes.extend(octets("ff02::1"));
    bytes.extend(message);
    repair(&mut bytes);
    bytes
}

/// Whoever advertises and withdraws a router of IPv6 does not make the host forget its neighbours, least of all those of IPv4.
#[test]
fn routers_that_come_and_go_cost_no_neighbor() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(20_000);
    for round in 0..10 {
        for lifetime in [1800, 0] {
            let sent = put(&mut net, &advertisement(lifetime, None));
            let asks = sent
                .iter()
                .any(|bytes| matches!(frame(bytes), Frame::Arp(arp) if arp.is_request));
            assert!(!asks, "round {round}: a neighbour is asked for");
        }
        let (from, to) = ((&mut b, &mut far), (&mut a, &mut near));
        let got = transfer(&mut net, from, to, &bytes, SECOND / 4);
        assert!(got == bytes, "round {round}: {} bytes", got.len());
    }
}

/// A question that does not say where its sender is teaches nothing: he is asked for all the same.
#[test]
fn questions_without_an_address_keep_nobody_from_being_found() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (first, us) = ("fe80::ff:fe00:1", "fe80::ff:fe00:2");
    let local = (us.parse::<core::net::Ipv6Addr>().unwrap(), 0).into();
    let (listener, local) = listen(&mut net, &mut b, local, 8).unwrap();
    let mut near = connect(&mut net, &mut a, local).unwrap();
    let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
    let mut bare = neighbor(135, first, us, LIAR);
    bare.truncate(bare.len() - 8);
    bare[19] = 24;
    repair(&mut bare);
    let bytes = pattern(20_000);
    for prefix in 0..3 {
        // The engine forgets where the first host is, and somebody else is asked for behind that.
        put(&mut net, &advertisement(1800, Some(prefix)));
        start(&mut net, &mut b, address(77, 9)).unwrap();
        net.run(Duration::from_millis(1));
        put(&mut net, &bare);
        let (from, to) = ((&mut b, &mut far), (&mut a, &mut near));
        let got = transfer(&mut net, from, to, &bytes, SECOND * 3);
        assert!(got == bytes, "prefix {prefix}: {} bytes", got.len());
    }
}

/// With a new address the engine forgets its neighbours. They are asked for at once, however lately they were heard.
#[test]
fn a_new_address_does_not_stop_a_connection() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let bytes = pattern(20_000);
    for prefix in 0..3 {
        put(&mut net, &advertisement(1800, Some(prefix)));
        let (from, to) = ((&mut b, &mut far), (&mut a, &mut near));
        let got = transfer(&mut net, from, to, &bytes, SECOND * 2);
        assert!(got == bytes, "prefix {prefix}: {} bytes", got.len());
    }
}
