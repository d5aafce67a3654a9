//! Routers that are none, promise too much, or take back what others promised (RFC 4861, RFC 4862), and their errors.

use super::{forge::put, wire::repair, *};
use core::net::{IpAddr, Ipv6Addr};

const HONEST: &str = "fe80::1:1";
const ROGUE: &str = "fe80::66";

/// An ICMPv6 message to the second host's link-local address, or to all nodes.
fn icmp(from: &str, to: &str, hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let octets = |text: &str| text.parse::<Ipv6Addr>().unwrap().octets();
    let mut bytes = std::vec![
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0
    ];
    bytes.extend((message.len() as u16).to_be_bytes());
    bytes.extend([58, hop_limit]);
    bytes.extend(octets(from));
    bytes.extend(octets(to));
    bytes.extend(message);
    repair(&mut bytes);
    bytes
}

/// An advertisement of a router's lifetime and a prefix (its third and fourth word, bits, seconds).
fn advertisement(seconds: u16, (net, subnet): (u16, u16), bits: u8, valid: u32) -> Vec<u8> {
    let mut message = std::vec![134, 0, 0, 0, 64, 0];
    message.extend(seconds.to_be_bytes());
    message.extend([0; 8]);
    message.extend([3, 4, bits, 0xc0]);
    message.extend(valid.to_be_bytes());
    message.extend(valid.to_be_bytes());
    message.extend([0; 4]);
    message.extend([0x20, 1, 0xd, 0xb8]);
    message.extend(net.to_be_bytes());
    message.extend(subnet.to_be_bytes());
    message.extend([0; 8]);
    message
}

fn tell(net: &mut Network, from: &str, message: &[u8]) -> Vec<Vec<u8>> {
    put(net, &icmp(from, "ff02::1", 255, message))
}

/// Global addresses and IPv6 routers of the second host.
fn learned(net: &Network) -> (usize, Vec<IpAddr>) {
    let info = net.hosts[1].stack.interface_info();
    let is_global =
        |address: &IpAddr| matches!(address, IpAddr::V6(v6) if !v6.is_unicast_link_local());
    let addresses = info.addresses.iter().filter(|(it, _)| is_global(it));
    (addresses.count(), info.routers.iter().copied().collect())
}

/// Two hosts, of which the second has heard an honest router.
fn routed() -> Network {
    let mut net = pair(1);
    tell(&mut net, HONEST, &advertisement(1800, (0, 1), 64, 3600));
    net.run(SECOND);
    assert_eq!(learned(&net), (1, [HONEST.parse().unwrap()].into()));
    net
}

#[test]
fn advertisements_from_beyond_the_link_or_of_nonsense_teach_nothing() {
    let mut net = pair(1);
    let good = advertisement(1800, (0, 1), 64, 3600);
    put(&mut net, &icmp(ROGUE, "ff02::1", 254, &good));
    put(&mut net, &icmp("2001:db8::1", "ff02::1", 255, &good));
    put(&mut net, &icmp("fe80::ff:fe00:2", "ff02::1", 255, &good));
    let mut broken = icmp(ROGUE, "ff02::1", 255, &good);
    broken[80] ^= 1;
    put(&mut net, &broken);
    for bits in [0, 1, 63, 65, 128, 255] {
        tell(&mut net, ROGUE, &advertisement(0, (0, 1), bits, 3600));
    }
    tell(&mut net, ROGUE, &advertisement(0, (0, 1), 64, 0));
    // Options of no length, and longer than there is.
    for len in [0, 3, 5, 255] {
        let mut message = advertisement(0, (0, 1), 64, 3600);
        message[17] = len;
        tell(&mut net, ROGUE, &message);
    }
    for cut in 4..16 {
        tell(&mut net, ROGUE, &good[..cut]);
    }
    net.run(SECOND);
    let (addresses, routers) = learned(&net);
    assert_eq!(addresses, 0);
    assert!(
        routers
            .iter()
            .all(|router| *router == ROGUE.parse::<IpAddr>().unwrap())
    );
}

#[test]
fn a_flood_of_promises_is_bounded_and_displaces_nobody() {
    let mut net = routed();
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    let mut sent = 0;
    for i in 0..3000u16 {
        let from = std::format!("fe80::{i:x}:77");
        let message = advertisement(9000, (1, i), 64, u32::MAX);
        sent += tell(&mut net, &from, &message).len();
    }
    net.run(SECOND * 10);
    let (addresses, routers) = learned(&net);
    assert!(
        addresses <= 3 && routers.len() <= 2,
        "{addresses} {routers:?}"
    );
    assert_eq!(routers[0], HONEST.parse::<IpAddr>().unwrap());
    assert!(sent < 50, "{sent}");
    net.hosts[1].stack.check_invariants();
    assert!(super::forge::lives(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far)
    ));
}

#[test]
fn what_a_router_promised_is_not_taken_back_at_once_by_another() {
    let mut net = routed();
    // The prefix stays for two hours at least, or as long as was promised; the router is another's to take back.
    for _ in 0..100 {
        tell(&mut net, ROGUE, &advertisement(0, (0, 1), 64, 1));
    }
    net.run(SECOND * 60);
    assert_eq!(learned(&net), (1, [HONEST.parse().unwrap()].into()));
    // Its own word ends it, and the end of its time.
    tell(&mut net, HONEST, &advertisement(0, (0, 1), 64, 3600));
    net.run(SECOND);
    assert!(learned(&net).1.is_empty());
    net.run(SECOND * 7200);
    assert_eq!(learned(&net).0, 0);
}

#[test]
fn redirects_and_sizes_of_paths_are_not_obeyed() {
    let mut net = routed();
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, _) = listen(&mut net, &mut b, "[::]:80".parse().unwrap(), 8).unwrap();
    let remote = "[fe80::ff:fe00:2]:80".parse().unwrap();
    let mut near = connect(&mut net, &mut a, remote).unwrap();
    let (mut far, _) = accept(&mut net, &mut b, listener).unwrap();
    let peer = "fe80::ff:fe00:1".parse::<Ipv6Addr>().unwrap().octets();
    for mtu in [0u32, 68, 1279, 1280, u32::MAX] {
        let mut message = std::vec![2, 0, 0, 0];
        message.extend(mtu.to_be_bytes());
        message.extend([0x60, 0, 0, 0, 0, 20, 6, 64]);
        message.extend([0; 60]);
        let answers = put(&mut net, &icmp(ROGUE, "fe80::ff:fe00:2", 64, &message));
        assert!(answers.is_empty());
    }
    let mut message = std::vec![137, 0, 0, 0, 0, 0, 0, 0];
    message.extend(ROGUE.parse::<Ipv6Addr>().unwrap().octets());
    message.extend(peer);
    message.extend([2, 1, 2, 9, 9, 9, 9, 9]);
    let answers = put(&mut net, &icmp(HONEST, "fe80::ff:fe00:2", 255, &message));
    assert!(answers.is_empty());
    net.log = Some(Vec::new());
    assert!(super::forge::lives(
        &mut net,
        (&mut b, &mut far),
        (&mut a, &mut near)
    ));
    let log = net.log.take().unwrap();
    let ours = log.iter().filter(|(host, _)| *host == 1);
    assert_eq!(ours.clone().map(|(_, bytes)| bytes.len()).max(), Some(1514));
    assert!(
        ours.into_iter()
            .all(|(_, bytes)| bytes[..6] == [2, 0, 0, 0, 0, 1])
    );
}
