//! Frames that are not for this host, errors that quote what was never sent, and senders that want to be answered where no
//! answer is due (smurf, redirects, forged path MTU, etherleak).

use super::{
    forge::{ACK, Forged, known, lives, packet, put, segment},
    wire::{repair, syn},
    *,
};

const US: [u8; 4] = [10, 0, 0, 2];
const THEM: [u8; 4] = [10, 0, 0, 1];

fn refused(net: &Network) -> u64 {
    let counters = net.hosts[1].stack.counters();
    counters.rx_malformed + counters.rx_dropped
}

/// Gives the second host a frame that must be dropped, counted once, and not answered.
fn ignored(net: &mut Network, name: &str, frame: &[u8]) {
    let before = refused(net);
    let answers = put(net, frame);
    assert!(answers.is_empty(), "{name}: {answers:?}");
    assert_eq!(refused(net), before + 1, "{name}");
}

fn udp(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut body = std::vec![0x30, 0x39];
    body.extend(port.to_be_bytes());
    body.extend((8 + bytes.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(bytes);
    packet(THEM, US, 17, &body)
}

fn echo(bytes: &[u8]) -> Vec<u8> {
    let mut body = std::vec![8, 0, 0, 0, 0, 1, 0, 1];
    body.extend(bytes);
    packet(THEM, US, 1, &body)
}

/// Two hosts that know each other.
fn acquainted() -> Network {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    net
}

/// What the second host would answer, if it were asked as is right.
fn questions() -> [(&'static str, Vec<u8>); 4] {
    [
        ("SYN", syn(THEM, 5, 5)),
        ("datagram to a closed port", udp(9, b"x")),
        ("echo request", echo(b"x")),
        ("unknown protocol", packet(THEM, US, 99, b"x")),
    ]
}

#[test]
fn what_is_right_is_answered() {
    let mut net = acquainted();
    for (name, frame) in questions() {
        assert_eq!(put(&mut net, &frame).len(), 1, "{name}");
    }
}

#[test]
fn frames_for_other_stations_are_not_heard() {
    let mut net = acquainted();
    let mut more = std::vec![2, 0, 0, 0, 0, 2, 2, 9, 9, 9, 9, 9, 8, 6];
    more.extend([0, 1, 8, 0, 6, 4, 0, 1, 2, 9, 9, 9, 9, 9, 10, 0, 0, 9]);
    more.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    for (name, mut frame) in questions().into_iter().chain([("ARP", more)]) {
        frame[5] = 77;
        ignored(&mut net, name, &frame);
    }
}

#[test]
fn what_went_to_all_stations_is_not_answered() {
    let mut net = acquainted();
    for (name, mut frame) in questions() {
        for to in [[0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
            frame[..6].copy_from_slice(&to);
            ignored(&mut net, name, &frame);
        }
    }
    for to in [[10, 0, 0, 255], [255; 4], [224, 0, 0, 1]] {
        for (name, mut frame) in questions() {
            frame[30..34].copy_from_slice(&to);
            repair(&mut frame);
            ignored(&mut net, name, &frame);
        }
    }
}

#[test]
fn errors_about_nothing_change_nothing_and_are_not_answered() {
    let mut net = pair(1);
    let (mut a, mut near, mut b, mut far, right) = known(&mut net);
    let sent = super::forge::last(&net, 1);
    let mut quote = packet(US, THEM, 6, &[0; 8])[14..].to_vec();
    quote[20..22].copy_from_slice(&sent.src_port.to_be_bytes());
    quote[22..24].copy_from_slice(&sent.dst_port.to_be_bytes());
    quote[24..28].copy_from_slice(&sent.seq.to_be_bytes());
    // Unreachable (with a path MTU of 0, 68, 552), source quench, redirect to 10.0.0.66, time exceeded, bad parameter.
    for kind in [3, 4, 5, 11, 12] {
        for code in 0..16 {
            for rest in [[0; 4], [0, 0, 0, 68], [0, 0, 2, 40], [10, 0, 0, 66]] {
                let mut body = std::vec![kind, code, 0, 0];
                body.extend(rest);
                body.extend(&quote);
                ignored(&mut net, "error", &packet(THEM, US, 1, &body));
                body.truncate(10);
                ignored(&mut net, "cut", &packet(THEM, US, 1, &body));
            }
        }
    }
    net.log = Some(Vec::new());
    assert!(lives(&mut net, (&mut b, &mut far), (&mut a, &mut near)));
    let log = net.log.take().unwrap();
    let ours = log.iter().filter(|(host, _)| *host == 1);
    let longest = ours.clone().map(|(_, bytes)| bytes.len()).max();
    assert_eq!(longest, Some(1514));
    assert!(
        ours.into_iter()
            .all(|(_, bytes)| bytes[..6] == [2, 0, 0, 0, 0, 1])
    );
    let _ = right;
}

#[test]
fn source_routes_are_not_taken() {
    let mut net = acquainted();
    let routed = |options: &[u8]| {
        let mut frame = echo(b"x");
        frame.splice(34..34, options.iter().copied());
        frame[14] += (options.len() / 4) as u8;
        frame[17] += options.len() as u8;
        repair(&mut frame);
        frame
    };
    for (name, options) in [
        ("loose", [131, 7, 4, 10, 0, 0, 9, 0]),
        ("strict", [137, 7, 4, 10, 0, 0, 9, 0]),
        ("behind another", [1, 1, 131, 3, 4, 0, 0, 0]),
        ("longer than there is", [131, 200, 4, 0, 0, 0, 0, 0]),
        ("of no length", [7, 0, 131, 3, 4, 0, 0, 0]),
    ] {
        ignored(&mut net, name, &routed(&options));
    }
    // Others are passed over.
    assert_eq!(put(&mut net, &routed(&[148, 4, 0, 0])).len(), 1);
}

#[test]
fn frames_of_no_use_are_dropped_and_counted() {
    let mut net = acquainted();
    let header = |kind: u16| {
        let mut frame = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        frame.extend(kind.to_be_bytes());
        frame
    };
    for kind in [0x0800, 0x86dd, 0x0806, 0x8100, 0x88cc, 0x05dc, 0, 0xffff] {
        ignored(&mut net, "nothing behind the header", &header(kind));
        let mut frame = header(kind);
        frame.extend([0; 46]);
        ignored(&mut net, "zeroes", &frame);
        frame.fill(0xff);
        frame[..14].copy_from_slice(&header(kind));
        ignored(&mut net, "ones", &frame);
    }
    let mut tagged = header(0x8100);
    tagged.extend([0, 7]);
    tagged.extend(&echo(b"x")[12..]);
    ignored(&mut net, "VLAN", &tagged);
    ignored(&mut net, "jumbo", &echo(&[0; 1473]));
    let mut group = echo(b"x");
    group[6] |= 1;
    ignored(&mut net, "group as sender", &group);
}

#[test]
fn lengths_and_checksums_of_datagrams_are_checked() {
    let mut net = acquainted();
    let mut b = net.hosts[1].client(2);
    let id = b.id();
    let (buffers, ends) = b.buffers(16);
    b.send(&Request::UdpBind {
        id,
        local: "[::]:7".parse().unwrap(),
        buffers,
    });
    let (handle, _) = opened(wait(&mut net, &mut b, id)).unwrap();
    let mut socket = Socket::new(handle, ends);
    let got = |socket: &mut Socket| {
        let mut bytes = [0; 100];
        let record = socket.reader.read_record(&mut bytes).unwrap();
        record.map(|record| record.len)
    };
    put(&mut net, &udp(7, b"good"));
    assert_eq!(got(&mut socket), Some(4));
    for len in [0u16, 7, 13, 100, u16::MAX] {
        let mut frame = udp(7, b"good");
        frame[38..40].copy_from_slice(&len.to_be_bytes());
        assert!(put(&mut net, &frame).is_empty());
        assert_eq!(got(&mut socket), None, "{len}");
    }
    let mut bad = udp(7, b"good");
    bad[41] ^= 1;
    put(&mut net, &bad);
    assert_eq!(got(&mut socket), None);
    // None at all is allowed in IPv4, and not in IPv6 (RFC 8200 section 8.1).
    let mut none = udp(7, b"good");
    none[40..42].fill(0);
    put(&mut net, &none);
    assert_eq!(got(&mut socket), Some(4));
    let mut v6 = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    v6.extend([0x60, 0, 0, 0, 0, 12, 17, 64]);
    for address in ["fe80::ff:fe00:1", "fe80::ff:fe00:2"] {
        v6.extend(address.parse::<core::net::Ipv6Addr>().unwrap().octets());
    }
    v6.extend([0x30, 0x39, 0, 7, 0, 12, 0, 0]);
    v6.extend(b"good");
    put(&mut net, &v6);
    assert_eq!(got(&mut socket), None);
    repair(&mut v6);
    put(&mut net, &v6);
    assert_eq!(got(&mut socket), Some(4));
}

#[test]
fn without_ipv6_nothing_of_it_is_heard() {
    let mut net = Network::new(1);
    for last in 1..3 {
        net.add(Config {
            ipv6: false,
            ..config(last)
        });
    }
    net.run(SECOND);
    let mut v6 = std::vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd];
    v6.extend([0x60, 0, 0, 0, 0, 8, 58, 255]);
    for address in ["fe80::ff:fe00:1", "fe80::ff:fe00:2"] {
        v6.extend(address.parse::<core::net::Ipv6Addr>().unwrap().octets());
    }
    v6.extend([128, 0, 0, 0, 0, 1, 0, 1]);
    repair(&mut v6);
    ignored(&mut net, "echo request", &v6);
    let info = net.hosts[1].stack.interface_info();
    assert!(info.addresses.iter().all(|(address, _)| address.is_ipv4()));
}

#[test]
fn short_answers_hold_nothing_of_what_was_there_before() {
    let mut net = acquainted();
    for _ in 0..600 {
        put(&mut net, &echo(&[0x53; 1400]));
    }
    let mut short = echo(b"x");
    // Padding that an Ethernet sender adds is not echoed either.
    short.resize(60, 0x53);
    let answers = put(&mut net, &short);
    assert_eq!(answers.len(), 1);
    assert_eq!(answers[0].len(), 14 + 20 + 8 + 1);
    assert!(!answers[0].contains(&0x53));
    let right = Forged {
        src_port: 5,
        dst_port: 81,
        flags: ACK,
        ..Forged::default()
    };
    let reset = right.put(&mut net);
    assert_eq!(reset.len(), 1);
    assert!(segment(&reset[0]).unwrap().is_reset() && !reset[0].contains(&0x53));
}

#[test]
fn how_many_are_answered_tells_nothing_of_what_else_was_asked() {
    let mut net = acquainted();
    // As many unreachables as there are, behind a hundred that somebody else was the cause of.
    let mut count = || {
        net.run(SECOND * 2);
        for _ in 0..100 {
            put(&mut net, &udp(9, b"guess"));
        }
        let answers = (0..1000).map(|_| put(&mut net, &udp(9, b"x")).len());
        answers.sum::<usize>()
    };
    let counts: [usize; 20] = core::array::from_fn(|_| count());
    let distinct: std::collections::BTreeSet<_> = counts.iter().collect();
    assert!(distinct.len() > 5, "{counts:?}");
    let mean = counts.iter().sum::<usize>() / counts.len();
    assert!((50..150).contains(&mean), "{mean}");
}
