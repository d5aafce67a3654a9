//! Answers to lookups from those who were not asked, to other questions, and of nonsense (RFC 5452).

use super::{
    forge::{packet, put},
    *,
};
use crate::classify::{Frame, Payload, be16, frame};
use ipc_proto::socket::Family;

/// A question as it went over the wire.
struct Asked {
    port: u16,
    message: Vec<u8>,
}

/// A second host that asks 10.0.0.1, and 10.0.0.3 if that does not answer.
fn asking() -> (Network, Client, u32, Asked) {
    let mut net = Network::new(1);
    net.add(config(1));
    net.add(Config {
        name_servers: [[10, 0, 0, 1].into(), [10, 0, 0, 3].into()].into(),
        ..config(2)
    });
    net.run(SECOND);
    let mut client = net.hosts[1].client(1);
    let (id, asked) = question(&mut net, &mut client);
    (net, client, id, asked)
}

fn question(net: &mut Network, client: &mut Client) -> (u32, Asked) {
    net.log = Some(Vec::new());
    let id = client.id();
    client.send(&Request::Resolve {
        id,
        name: "host.test".try_into().unwrap(),
        family: Family::V4,
        timeout_ms: 5000,
    });
    net.run(Duration::from_millis(10));
    let log = net.log.take().unwrap();
    let mut sent = log.iter().filter(|(host, _)| *host == 1);
    let asked = sent.find_map(|(_, bytes)| match frame(bytes) {
        Frame::Ip(packet) if matches!(packet.payload, Payload::Udp { dst_port: 53, .. }) => {
            Some(Asked {
                port: be16(bytes, 34).unwrap(),
                message: bytes[42..].to_vec(),
            })
        }
        _ => None,
    });
    (id, asked.unwrap())
}

/// An answer with so many records behind the question.
fn answer(asked: &Asked, records: u16, bytes: &[u8]) -> Vec<u8> {
    let mut message = asked.message.clone();
    message[2] |= 0x80;
    message[6..8].copy_from_slice(&records.to_be_bytes());
    message.extend(bytes);
    message
}

/// host.test A 10.9.9.`last`, with a lifetime of zero.
fn record(last: u8) -> Vec<u8> {
    std::vec![0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 10, 9, 9, last]
}

fn datagram(from: [u8; 4], ports: (u16, u16), message: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(ports.0.to_be_bytes());
    body.extend(ports.1.to_be_bytes());
    body.extend((8 + message.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(message);
    packet(from, [10, 0, 0, 2], 17, &body)
}

const SERVER: [u8; 4] = [10, 0, 0, 1];

/// What the client learns from the right server in the end.
fn learns(net: &mut Network, client: &mut Client, id: u32, asked: &Asked) -> Reply {
    let right = answer(asked, 1, &record(1));
    put(net, &datagram(SERVER, (53, asked.port), &right));
    net.run(Duration::from_millis(10));
    client.answer(id).expect("no answer")
}

fn is_right(reply: &Reply) -> bool {
    let right = [core::net::IpAddr::from([10, 9, 9, 1])];
    matches!(reply, Reply::Resolved { addresses, .. } if addresses[..] == right)
}

#[test]
fn only_who_was_asked_is_believed_and_only_about_what_was_asked() {
    let (mut net, mut client, id, asked) = asking();
    let lie = answer(&asked, 1, &record(66));
    let changed = |at: usize, by: u8| {
        let mut message = lie.clone();
        message[at] ^= by;
        message
    };
    let end = asked.message.len();
    for (name, from, ports, message) in [
        ("a stranger", [10, 0, 0, 9], (53, asked.port), lie.clone()),
        (
            "not yet asked",
            [10, 0, 0, 3],
            (53, asked.port),
            lie.clone(),
        ),
        ("port of the server", SERVER, (54, asked.port), lie.clone()),
        ("own port", SERVER, (53, asked.port ^ 1), lie.clone()),
        ("identifier", SERVER, (53, asked.port), changed(0, 1)),
        ("identifier", SERVER, (53, asked.port), changed(1, 1)),
        ("a question", SERVER, (53, asked.port), changed(2, 0x80)),
        ("opcode", SERVER, (53, asked.port), changed(2, 8)),
        ("questions", SERVER, (53, asked.port), changed(5, 3)),
        ("name", SERVER, (53, asked.port), changed(13, 1)),
        ("kind", SERVER, (53, asked.port), changed(end - 3, 29)),
        ("class", SERVER, (53, asked.port), changed(end - 1, 2)),
    ] {
        put(&mut net, &datagram(from, ports, &message));
        net.run(Duration::from_millis(1));
        assert_eq!(client.answer(id), None, "{name}");
    }
    assert!(is_right(&learns(&mut net, &mut client, id, &asked)));
}

#[test]
fn all_identifiers_but_one_are_guessed_in_vain() {
    let (mut net, mut client, id, asked) = asking();
    let mut lie = answer(&asked, 1, &record(66));
    for guess in 0..=u16::MAX {
        if asked.message[..2] != guess.to_be_bytes() {
            lie[..2].copy_from_slice(&guess.to_be_bytes());
            put(&mut net, &datagram(SERVER, (53, asked.port), &lie));
        }
    }
    assert_eq!(client.answer(id), None);
    assert!(is_right(&learns(&mut net, &mut client, id, &asked)));
}

#[test]
fn nonsense_from_the_right_server_is_bounded_work_and_no_address() {
    let mut many = Vec::new();
    for i in 0..75 {
        many.extend(record(i));
    }
    // host.test CNAME a.test CNAME host.test, and an address of a third name.
    let mut circle = std::vec![0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 0, 0, 4, 1, b'a', 0xc0, 17];
    circle.extend([1, b'a', 0xc0, 17, 0, 5, 0, 1, 0, 0, 0, 0, 0, 2, 0xc0, 12]);
    let mut stranger = record(66);
    stranger[1] = 17;
    circle.extend(stranger);
    let endless: Vec<u8> = [63]
        .into_iter()
        .chain([b'a'; 63])
        .cycle()
        .take(64 * 5)
        .collect();
    for (name, records, bytes) in [
        ("none", 0, std::vec![]),
        ("a thousand that are not there", 1000, std::vec![]),
        ("pointer to itself", 1, std::vec![0xc0, 27, 0, 1, 0, 1]),
        ("pointer forwards", 1, std::vec![0xc0, 200, 0, 1, 0, 1]),
        ("label of 64", 1, std::vec![64; 80]),
        ("name of 320", 1, endless),
        ("aliases in a circle", 3, circle),
        ("address of five bytes", 1, {
            let mut long = record(1);
            long[11] = 5;
            long.push(1);
            long
        }),
        ("cut", 1, record(1)[..15].to_vec()),
    ] {
        let (mut net, mut client, id, asked) = asking();
        let message = answer(&asked, records, &bytes);
        put(&mut net, &datagram(SERVER, (53, asked.port), &message));
        net.run(Duration::from_millis(10));
        match client.answer(id) {
            Some(Reply::Failed { error, .. }) => assert_eq!(error, NetError::NameNotFound),
            other => panic!("{name}: {other:?}"),
        }
    }
    // More than can be told: some are.
    let (mut net, mut client, id, asked) = asking();
    let message = answer(&asked, 1000, &many);
    put(&mut net, &datagram(SERVER, (53, asked.port), &message));
    net.run(Duration::from_millis(10));
    match client.answer(id) {
        Some(Reply::Resolved { addresses, .. }) => assert!(!addresses.is_empty()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ports_and_identifiers_of_questions_use_their_whole_range() {
    let (mut net, mut client, _, first) = asking();
    let mut seen = std::collections::BTreeSet::new();
    let (mut bits, mut low) = ([0u32; 32], 0);
    const QUESTIONS: u32 = 4000;
    let mut asked = first;
    for _ in 0..QUESTIONS {
        let id = be16(&asked.message, 0).unwrap();
        seen.insert((asked.port, id));
        low += u32::from(asked.port < 32768);
        for (bit, count) in bits.iter_mut().enumerate() {
            let both = u32::from(asked.port) << 16 | u32::from(id);
            *count += both >> bit & 1;
        }
        assert!(asked.port >= 1024);
        put(
            &mut net,
            &datagram(SERVER, (53, asked.port), &answer(&asked, 1, &record(1))),
        );
        client.receive();
        client.replies.clear();
        asked = question(&mut net, &mut client).1;
    }
    // 32 random bits but for the 1024 ports that nobody is given.
    assert!(seen.len() as u32 >= QUESTIONS - 1);
    let even = |count: &u32| (QUESTIONS * 45 / 100..QUESTIONS * 55 / 100).contains(count);
    assert!(bits.iter().all(even), "{bits:?}");
    assert!(even(&low), "{low}");
}
