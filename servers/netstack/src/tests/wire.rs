//! Frames that lie, floods, and claims to the host's address.

use super::*;
use crate::classify::{Frame, Payload, frame};

/// Frames of every kind that the stack speaks.
fn corpus() -> Vec<Vec<u8>> {
    let mut net = pair(3);
    net.log = Some(Vec::new());
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &pattern(3000),
        SECOND,
    );
    close(&mut net, &mut a, near.handle, false);
    close(&mut net, &mut b, far.handle, false);
    connect(&mut net, &mut a, address(2, 9)).err();
    connect(&mut net, &mut a, "[fe80::ff:fe00:2]:9".parse().unwrap()).err();
    for remote in ["10.0.0.2", "fe80::ff:fe00:2"] {
        ask(&mut net, &mut a, |id| Request::Ping {
            id,
            remote: remote.parse().unwrap(),
            sequence: 1,
            len: 60,
            timeout_ms: 500,
        });
    }
    net.set_driver(0, true);
    net.run(SECOND);
    let log = net.log.unwrap();
    let mut frames: Vec<_> = log.into_iter().map(|(_, frame)| frame).collect();
    frames.dedup();
    frames
}

#[test]
fn no_frame_panics_whatever_was_changed_in_it() {
    let corpus = corpus();
    assert!(corpus.len() > 20, "{}", corpus.len());
    let mut net = pair(4);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (_near, _far) = connected(&mut net, &mut a, &mut b);
    listen(&mut net, &mut b, "[::]:9".parse().unwrap(), 8).unwrap();
    let mut random = crate::random::Random::new([9; 32]);
    for round in 0..30_000u32 {
        let mut frame = corpus[random.u32() as usize % corpus.len()].clone();
        for _ in 0..random.u32() % 4 {
            let at = random.u32() as usize % frame.len();
            frame[at] = match random.u32() % 3 {
                0 => 0,
                1 => 0xff,
                _ => random.u32() as u8,
            };
        }
        if random.u32().is_multiple_of(8) {
            frame.truncate(14 + random.u32() as usize % frame.len());
        }
        repair(&mut frame);
        // Some are truncated below what a driver may deliver.
        if frame.len() >= 14 {
            let nic = net.hosts[1].nic.as_mut().unwrap();
            nic.put(&frame);
        }
        net.hosts[1].stack.poll(net.now);
        net.hosts[1].nic.as_mut().unwrap().take();
        if round % 500 == 0 {
            net.run(SECOND);
        }
    }
    net.run(SECOND * 100);
    // Whatever happened, a new connection works.
    let (mut c, mut d) = (net.hosts[0].client(11), net.hosts[1].client(12));
    net.run(SECOND * 60);
    connected(&mut net, &mut c, &mut d);
}

/// Puts checksums right, so that changed frames get further. Half of the changes are in headers that have none.
pub(crate) fn repair(frame: &mut [u8]) {
    let sum = |bytes: &[u8], start: u32| {
        let mut sum = start;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    };
    let set = |frame: &mut [u8], at: usize, value: u16| {
        if let Some(place) = frame.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    };
    let v4 = frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34;
    let v6 = frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.len() >= 54;
    let (addresses, body, protocol) = if v4 {
        let header = usize::from(frame[14] & 15) * 4;
        if header < 20 || 14 + header > frame.len() {
            return;
        }
        set(frame, 24, 0);
        let value = sum(&frame[14..14 + header], 0);
        set(frame, 24, value);
        (26..34, 14 + header, frame[23])
    } else if v6 {
        (22..54, 54, frame[20])
    } else {
        return;
    };
    let Some(at) = (match protocol {
        6 => Some(body + 16),
        17 => Some(body + 6),
        1 | 58 => Some(body + 2),
        _ => None,
    }) else {
        return;
    };
    set(frame, at, 0);
    let len = frame.len().saturating_sub(body) as u32;
    let pseudo = if protocol == 1 {
        0
    } else {
        u32::from(!sum(&frame[addresses], u32::from(protocol) + len))
    };
    let value = sum(frame.get(body..).unwrap_or_default(), pseudo);
    set(frame, at, value);
}

/// A SYN to 10.0.0.2:80 from anywhere.
pub(crate) fn syn(from: [u8; 4], port: u16, seq: u32) -> Vec<u8> {
    let mut frame = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0]);
    frame.extend(from);
    frame.extend([10, 0, 0, 2]);
    frame.extend(port.to_be_bytes());
    frame.extend([0, 80]);
    frame.extend(seq.to_be_bytes());
    frame.extend([0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0]);
    repair(&mut frame);
    frame
}

#[test]
fn a_flood_of_syns_takes_little_and_real_clients_still_connect() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (listener, local) = listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    let mut random = crate::random::Random::new([1; 32]);
    let flood = |net: &mut Network, random: &mut crate::random::Random, count| {
        for _ in 0..count {
            let from = [10, 0, 0, 100 + (random.u32() % 100) as u8];
            let frame = syn(from, random.u16() | 1, random.u32());
            net.hosts[1].nic.as_mut().unwrap().put(&frame);
            net.hosts[1].stack.poll(net.now);
            for frame in net.hosts[1].nic.as_mut().unwrap().take() {
                net.transmit(1, &frame);
            }
        }
    };
    flood(&mut net, &mut random, 5000);
    let stack = &net.hosts[1].stack;
    assert_eq!(
        (stack.half_open.len(), stack.flows.len(), stack.memory_used),
        (crate::listener::MAX_HALF_OPEN, 0, 0)
    );
    // A few came from the same place.
    assert!(stack.counters().syn_dropped >= 2900);
    let start_at = net.now;
    let near = start(&mut net, &mut a, local).unwrap();
    net.run_until(SECOND * 10, |net| {
        flood(net, &mut random, 20);
        near.status.load().established
    });
    assert!(near.status.load().established);
    assert!(net.now.since(start_at) < SECOND * 3);
    accept(&mut net, &mut b, listener).unwrap();
    // The rest ages.
    net.run(SECOND * 30);
    assert_eq!(net.hosts[1].stack.half_open.len(), 0);
}

#[test]
fn senders_that_cannot_be_get_nothing() {
    let mut net = pair(1);
    let mut b = net.hosts[1].client(2);
    listen(&mut net, &mut b, address(2, 80), 8).unwrap();
    for from in [
        [0, 0, 0, 0],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [255, 255, 255, 255],
        [10, 0, 0, 2],
        [10, 0, 0, 255],
    ] {
        let before = net.hosts[1].stack.counters();
        net.hosts[1].nic.as_mut().unwrap().put(&syn(from, 5, 1));
        net.hosts[1].stack.poll(net.now);
        assert!(net.hosts[1].nic.as_mut().unwrap().take().is_empty());
        let after = net.hosts[1].stack.counters();
        let refused = |one: &ipc_proto::socket::Counters| one.rx_malformed + one.rx_dropped;
        assert_eq!(refused(&after), refused(&before) + 1, "{from:?}");
        assert_eq!(net.hosts[1].stack.half_open.len(), 0);
    }
}

#[test]
fn answers_to_those_who_ask_in_vain_are_limited() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    // So that they know each other.
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    let mut answers = 0;
    for port in 0..2000 {
        let mut frame = syn([10, 0, 0, 1], port | 1, 1);
        frame[37] = 81;
        repair(&mut frame);
        net.hosts[1].nic.as_mut().unwrap().put(&frame);
        net.hosts[1].stack.poll(net.now);
        answers += net.hosts[1].nic.as_mut().unwrap().take().len();
    }
    assert!((100..=250).contains(&answers), "{answers}");
}

#[test]
fn nobody_takes_the_hosts_own_address() {
    let mut net = pair(1);
    let (mut a, mut b) = (net.hosts[0].client(1), net.hosts[1].client(2));
    let (mut near, mut far) = connected(&mut net, &mut a, &mut b);
    // An ARP reply that claims 10.0.0.2 for another machine, to 10.0.0.2 itself.
    let mut lie = std::vec![2, 0, 0, 0, 0, 2, 2, 9, 9, 9, 9, 9, 8, 6];
    lie.extend([0, 1, 8, 0, 6, 4, 0, 2, 2, 9, 9, 9, 9, 9, 10, 0, 0, 2]);
    lie.extend([2, 0, 0, 0, 0, 2, 10, 0, 0, 2]);
    net.hosts[1].nic.as_mut().unwrap().put(&lie);
    let got = transfer(
        &mut net,
        (&mut a, &mut near),
        (&mut b, &mut far),
        &pattern(5000),
        SECOND,
    );
    assert!(got == pattern(5000));
    assert!(matches!(frame(&lie), Frame::Arp(_)));
    let unreachable: &[u8] = &[0; 20];
    assert!(matches!(frame(unreachable), Frame::Foreign));
    assert!(!matches!(
        frame(&syn([10, 0, 0, 1], 1, 1)),
        Frame::Ip(packet) if packet.payload == Payload::Other
    ));
}

/// A part of a datagram from 10.0.0.1 to 10.0.0.2.
pub(crate) fn part(protocol: u8, offset: usize, more: bool, to: [u8; 4], bytes: &[u8]) -> Vec<u8> {
    let mut frame = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend((20 + bytes.len() as u16).to_be_bytes());
    frame.extend([0, 7]);
    frame.extend(((offset / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes());
    frame.extend([64, protocol, 0, 0, 10, 0, 0, 1]);
    frame.extend(to);
    let header = frame.len();
    // Only the header's checksum: the other is over the whole.
    frame.extend([0; 24]);
    frame[23] = 0xfd;
    repair(&mut frame);
    frame.truncate(header);
    frame[23] = protocol;
    let sum = u16::from_be_bytes([frame[24], frame[25]]);
    let (low, over) = sum.overflowing_add(u16::from(0xfd - protocol));
    frame[24..26].copy_from_slice(&(low + u16::from(over)).to_be_bytes());
    frame.extend(bytes);
    frame
}

fn answers(net: &mut Network, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    for frame in frames {
        net.hosts[1].nic.as_mut().unwrap().put(frame);
    }
    net.hosts[1].stack.poll(net.now);
    net.hosts[1].nic.as_mut().unwrap().take()
}

#[test]
fn datagrams_in_parts_get_answers_only_where_whole_ones_would() {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    // So that they know each other.
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    let mut whole = syn([10, 0, 0, 1], 5, 5);
    whole.extend([1; 60]);
    whole[17] += 60;
    repair(&mut whole);
    let tcp = &whole[34..];
    let us = [10, 0, 0, 2];
    // A segment to nobody: whole it would be reset.
    let parts = [
        part(6, 0, true, us, &tcp[..40]),
        part(6, 40, false, us, &tcp[40..]),
    ];
    assert_eq!(answers(&mut net, &[whole.clone()]).len(), 1);
    assert_eq!(answers(&mut net, &parts).len(), 1);
    let mut echo = std::vec![8, 0, 0, 0, 0, 1, 0, 1];
    echo.extend([7; 56]);
    // One's complement of the sum of all words.
    let mut sum: u32 = echo
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]))
        .sum();
    sum = (sum & 0xffff) + (sum >> 16);
    echo[2..4].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    for (to, count) in [(us, 1), ([10, 0, 0, 255], 0), ([255; 4], 0)] {
        let parts = [
            part(1, 0, true, to, &echo[..32]),
            part(1, 32, false, to, &echo[32..]),
        ];
        assert_eq!(answers(&mut net, &parts).len(), count, "{to:?}");
    }
}

#[test]
fn mapped_addresses_do_not_come_from_a_wire() {
    let mut frame_v6 = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    frame_v6.extend([0x60, 0, 0, 0, 0, 8, 17, 64]);
    frame_v6.extend(
        "::ffff:10.0.0.1"
            .parse::<core::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    frame_v6.extend(
        "fe80::ff:fe00:2"
            .parse::<core::net::Ipv6Addr>()
            .unwrap()
            .octets(),
    );
    frame_v6.extend([0, 9, 0, 9, 0, 8, 1, 1]);
    assert_eq!(frame(&frame_v6), Frame::Malformed);
    frame_v6[22 + 10] = 1;
    assert!(matches!(frame(&frame_v6), Frame::Ip(_)));
}
