//! Datagrams in parts that overlap, never end, are too long or too many (teardrop, ping of death, RFC 1858, FragmentSmack).

use super::{
    forge::{packet, put},
    wire::part,
    *,
};

const US: [u8; 4] = [10, 0, 0, 2];

/// Two hosts that know each other.
fn acquainted() -> Network {
    let mut net = pair(1);
    let mut a = net.hosts[0].client(1);
    assert!(connect(&mut net, &mut a, address(2, 81)).is_err());
    net
}

/// An echo request of 8 bytes and so many more, checksum and all.
fn echo(len: usize) -> Vec<u8> {
    let mut body = std::vec![8, 0, 0, 0, 0, 1, 0, 1];
    body.extend(pattern(len));
    packet([10, 0, 0, 1], US, 1, &body)[34..].to_vec()
}

/// A part with an identifier of its own.
fn numbered(id: u16, mut frame: Vec<u8>) -> Vec<u8> {
    frame[18..20].copy_from_slice(&id.to_be_bytes());
    reseal(&mut frame);
    frame
}

/// Puts the checksum of the IP header right.
fn reseal(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let words = frame[14..34].chunks(2);
    let sum: u32 = words
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

fn answers(net: &mut Network, frames: &[Vec<u8>]) -> usize {
    let sent = frames.iter().map(|frame| put(net, frame).len());
    sent.sum()
}

#[test]
fn parts_are_put_together_in_any_order() {
    let mut net = acquainted();
    let echo = echo(120);
    let parts: [Vec<u8>; 4] =
        core::array::from_fn(|i| part(1, i * 32, i < 3, US, &echo[i * 32..(i * 32 + 32).min(128)]));
    for (id, order) in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]]
        .into_iter()
        .enumerate()
    {
        let frames = order.map(|i| numbered(id as u16, parts[i].clone()));
        assert_eq!(answers(&mut net, &frames), 1, "{order:?}");
    }
    // One that comes twice is no attack.
    let frames = [0, 0, 1, 2, 2, 3].map(|i| numbered(9, parts[i].clone()));
    assert_eq!(answers(&mut net, &frames), 1);
    // Headers that were changed under way are not believed.
    let mut frames = [0, 1, 2, 3].map(|i| numbered(10, parts[i].clone()));
    frames[2][24] ^= 1;
    assert_eq!(answers(&mut net, &frames), 0);
}

#[test]
fn a_large_datagram_arrives_whole() {
    let mut net = acquainted();
    let mut b = net.hosts[1].client(2);
    let id = b.id();
    let (buffers, ends) = b.buffers(17);
    b.send(&Request::UdpBind {
        id,
        local: address(2, 7),
        buffers,
    });
    let (handle, _) = opened(wait(&mut net, &mut b, id)).unwrap();
    let mut socket = Socket::new(handle, ends);
    let data = pattern(60_000);
    let mut body = std::vec![0x30, 0x39, 0, 7];
    body.extend((8 + data.len() as u16).to_be_bytes());
    body.extend([0, 0]);
    body.extend(&data);
    for (i, bytes) in body.chunks(1480).enumerate() {
        let more = (i + 1) * 1480 < body.len();
        put(&mut net, &part(17, i * 1480, more, US, bytes));
    }
    let mut got = std::vec![0; 65_536];
    let record = socket.reader.read_record(&mut got).unwrap().unwrap();
    assert!(got[..record.len] == data);
    assert_eq!(record.peer, address(1, 12345));
}

#[test]
fn parts_that_overlap_spoil_their_datagram() {
    let echo = echo(120);
    let whole = |start: usize, end: usize| part(1, start, end < 128, US, &echo[start..end]);
    let other = |start: usize, end: usize| {
        let mut frame = whole(start, end);
        frame[40] ^= 1;
        frame
    };
    for (name, frames) in [
        (
            "teardrop",
            std::vec![whole(0, 64), whole(24, 48), whole(64, 128)],
        ),
        (
            "the same again, but different",
            std::vec![whole(0, 64), other(0, 64), whole(64, 128)],
        ),
        (
            "over the end of the one before",
            std::vec![whole(0, 64), whole(56, 128)],
        ),
        (
            "over the start of the one behind",
            std::vec![whole(64, 128), whole(0, 72)],
        ),
        (
            "around another",
            std::vec![whole(32, 64), whole(0, 96), whole(96, 128)],
        ),
        (
            "two ends",
            std::vec![
                whole(64, 128),
                part(1, 64, false, US, &echo[64..120]),
                whole(0, 64)
            ],
        ),
        (
            "behind the end",
            std::vec![
                part(1, 64, false, US, &echo[64..96]),
                whole(96, 128),
                whole(0, 64)
            ],
        ),
    ] {
        let mut net = acquainted();
        assert_eq!(answers(&mut net, &frames), 0, "{name}");
        // What comes late to a spoilt datagram does not make it whole.
        assert_eq!(
            answers(&mut net, &[whole(0, 64), whole(64, 128)]),
            0,
            "{name}"
        );
        net.run(SECOND * 60);
        let again = [whole(0, 64), whole(64, 128)];
        assert_eq!(answers(&mut net, &again), 1, "{name}");
    }
}

#[test]
fn what_would_be_too_long_or_makes_no_sense_is_dropped() {
    let mut net = acquainted();
    let malformed = |net: &Network| net.hosts[1].stack.counters().rx_malformed;
    let before = malformed(&net);
    let frames = [
        // The ping of death: its last part ends behind 65,535.
        part(1, 65_528, false, US, &[1; 400]),
        part(1, 65_120, true, US, &[1; 1480]),
        // A middle part that is no multiple of eight, and empty ones.
        part(1, 8, true, US, &[1; 13]),
        part(1, 0, true, US, &[]),
        part(1, 64, false, US, &[]),
        // A first part that holds half of TCP's header (RFC 1858).
        part(6, 0, true, US, &[1; 16]),
    ];
    assert_eq!(answers(&mut net, &frames), 0);
    assert_eq!(malformed(&net), before + frames.len() as u64);
}

#[test]
fn a_flood_of_first_parts_stops_nobody_elses_datagrams() {
    let mut net = acquainted();
    let echo = echo(120);
    let mut random = crate::random::Random::new([4; 32]);
    let (mut answered, mut asked) = (0, 0);
    for round in 0..20_000u32 {
        let mut frame = part(1, 0, true, US, &[7; 1480]);
        frame[26..30].copy_from_slice(&[10, 0, 0, 3 + (random.u32() % 200) as u8]);
        put(&mut net, &numbered(random.u16(), frame));
        if round % 100 == 0 {
            asked += 1;
            let id = round as u16;
            answered += answers(
                &mut net,
                &[
                    numbered(id, part(1, 0, true, US, &echo[..64])),
                    numbered(id, part(1, 64, false, US, &echo[64..])),
                ],
            );
            net.run(Duration::from_millis(1));
        }
    }
    assert!(answered * 10 >= asked * 9, "{answered} of {asked}");
}

#[test]
fn a_flood_of_tiny_parts_takes_little() {
    let mut net = acquainted();
    for i in 0..65_536u32 {
        // Every second eight bytes of one datagram after the other.
        let at = (i as usize % 4000) * 16;
        let frame = part(1, at, true, US, &[1; 8]);
        put(&mut net, &numbered((i / 4000) as u16, frame));
    }
    let (datagrams, bytes) = net.hosts[1].stack.reassembly.size();
    assert!(datagrams <= 17 && bytes < 10_000, "{datagrams} {bytes}");
    net.hosts[1].stack.check_invariants();
    let echo = echo(120);
    let parts = [
        numbered(900, part(1, 0, true, US, &echo[..64])),
        numbered(900, part(1, 64, false, US, &echo[64..])),
    ];
    assert_eq!(answers(&mut net, &parts), 1);
}

#[test]
fn parts_that_nothing_comes_behind_are_forgotten() {
    let mut net = acquainted();
    for id in 0..300 {
        let frame = part(1, 0, true, US, &pattern(1400));
        put(&mut net, &numbered(id, frame));
    }
    assert!(net.hosts[1].stack.reassembly.size().1 > 80_000);
    net.run(SECOND * 29);
    assert!(net.hosts[1].stack.reassembly.size().1 > 80_000);
    // Nothing comes: time alone ends them.
    net.run(SECOND * 2);
    assert_eq!(net.hosts[1].stack.reassembly.size(), (0, 0));
}
