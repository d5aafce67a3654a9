//! Tests of the FIFOs over heap memory.

use super::*;
use crate::socket::NetError;
use core::{net::SocketAddr, sync::atomic::Ordering};
use proptest::prelude::*;
use std::{collections::VecDeque, vec, vec::Vec};

const ARENA: usize = 64;

const BUFFERS: Buffers = Buffers {
    control: 64,
    rx: 192,
    rx_log2: 10,
    tx: 1216,
    tx_log2: 11,
};

fn session() -> Shm {
    Shm::heap(ARENA + CONTROL_SIZE + 3 * 1024)
}

fn pair() -> (StreamEnds, StreamEnds) {
    pair_in(&session(), 0)
}

/// Both ends, with all indices already come to `start`.
fn pair_in(session: &Shm, start: u32) -> (StreamEnds, StreamEnds) {
    for offset in [RX_TAIL, TX_HEAD, RX_HEAD, TX_TAIL] {
        session
            .store(ARENA + offset, start, Ordering::Relaxed)
            .unwrap();
    }
    let end = |which| {
        let mut ends = ends(session, &BUFFERS, which, ARENA).unwrap();
        ends.reader.start_at(start);
        ends.writer.start_at(start);
        ends
    };
    (end(End::Client), end(End::Stack))
}

fn peer(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// As one write of all of them would be, wherever the FIFO ends or is full.
#[test]
fn runs_are_written_one_behind_the_other() {
    let bytes: Vec<u8> = (0..5000).map(|n| (n % 251) as u8).collect();
    for start in [0, 5, 1500, 2047] {
        for lengths in [
            [0, 0, 0],
            [1, 0, 9],
            [0, 700, 33],
            [40, 41, 2000],
            [2048, 0, 1],
            [2049, 3, 3],
        ] {
            let (mut client, mut stack) = pair();
            let mut out = vec![0; 4000];
            assert_eq!(client.writer.write(&bytes[..start]), Ok(start));
            assert_eq!(stack.reader.read(&mut out), Ok(start));
            let (first, rest) = bytes.split_at(lengths[0]);
            let (second, rest) = rest.split_at(lengths[1]);
            let parts = [first, second, &rest[..lengths[2]]];
            let len = lengths.iter().sum::<usize>().min(2048);
            assert_eq!(client.writer.write_parts(&parts), Ok(len));
            assert_eq!(stack.reader.read(&mut out), Ok(len));
            assert_eq!(out[..len], bytes[..len], "{start} {lengths:?}");
            assert_eq!(client.writer.write(b"next"), Ok(4));
        }
    }
}

#[test]
fn writes_are_short_when_the_fifo_fills() {
    let (mut client, mut stack) = pair();
    let bytes: Vec<u8> = (0..3000).map(|n| n as u8).collect();
    assert_eq!(client.writer.write(&bytes), Ok(2048));
    assert_eq!(client.writer.write(&bytes), Ok(0));
    let mut out = vec![0; 4000];
    assert_eq!(stack.reader.read(&mut out[..100]), Ok(100));
    assert_eq!(client.writer.write(&bytes[2048..]), Ok(100));
    assert_eq!(client.writer.is_drained(), Ok(false));
    assert_eq!(stack.reader.read(&mut out[100..]), Ok(2048));
    assert_eq!(out[..2148], bytes[..2148]);
    assert_eq!(client.writer.is_drained(), Ok(true));
}

#[test]
fn staged_bytes_are_seen_when_they_are_published_and_no_earlier() {
    let (mut client, mut stack) = pair();
    let pool = Shm::heap(1500);
    pool.write(100, b"abcdefgh").unwrap();
    assert_eq!(stack.writer.publish_staged(9), 0, "nothing was staged");
    assert_eq!(stack.writer.stage(&pool, 100, 8), Ok(true));
    assert_eq!(client.reader.available(), Ok(0));
    assert_eq!(stack.writer.publish_staged(3), 3);
    assert_eq!(stack.writer.publish_staged(3), 0, "the rest is forgotten");
    assert_eq!(stack.writer.stage(&pool, 103, 5), Ok(true));
    assert_eq!(stack.writer.publish_staged(usize::MAX), 5);
    let mut out = [0; 8];
    assert_eq!(client.reader.read(&mut out), Ok(8));
    assert_eq!(&out, b"abcdefgh");
    // What is written takes the place of what was staged.
    assert_eq!(stack.writer.stage(&pool, 100, 8), Ok(true));
    assert_eq!(stack.writer.write(b"new"), Ok(3));
    assert_eq!(stack.writer.publish_staged(8), 0);
    // More than there is, here or there.
    for (offset, len) in [(0, 1022), (1499, 2), (usize::MAX, 1), (0, usize::MAX)] {
        assert_eq!(stack.writer.stage(&pool, offset, len), Ok(false));
        assert_eq!(stack.writer.publish_staged(len), 0);
    }
    assert_eq!(stack.writer.stage(&pool, 0, 1021), Ok(true));
    assert_eq!(client.reader.available(), Ok(3));
}

#[test]
fn records_keep_their_bounds_and_peers() {
    let (mut client, mut stack) = pair();
    let peers: [SocketAddr; 2] = [
        "10.1.2.3:7".parse().unwrap(),
        "[fe80::1]:9".parse().unwrap(),
    ];
    assert_eq!(stack.writer.write_record(peers[0], b"one"), Ok(true));
    assert_eq!(stack.writer.write_record(peers[1], b""), Ok(true));
    let mut out = [0; 2];
    let first = Record {
        peer: peers[0],
        len: 3,
    };
    assert_eq!(client.reader.peek_record(), Ok(Some(&first)));
    assert_eq!(client.reader.read_record(&mut out), Ok(Some(first)));
    assert_eq!(&out, b"on");
    let second = Record {
        peer: peers[1],
        len: 0,
    };
    assert_eq!(client.reader.read_record(&mut out), Ok(Some(second)));
    assert_eq!(client.reader.read_record(&mut out), Ok(None));
}

#[test]
fn bad_buffers_are_refused() {
    let session = session();
    let check = |buffers: Buffers| ends(&session, &buffers, End::Stack, ARENA).map(|_| ());
    assert_eq!(check(BUFFERS), Ok(()));
    let cases = [
        (
            Buffers {
                control: 65,
                ..BUFFERS
            },
            BadBuffers::Misaligned,
        ),
        (Buffers { rx: 200, ..BUFFERS }, BadBuffers::Misaligned),
        (Buffers { tx: 1, ..BUFFERS }, BadBuffers::Misaligned),
        (
            Buffers {
                control: 0,
                ..BUFFERS
            },
            BadBuffers::OutOfBounds,
        ),
        (Buffers { rx: 0, ..BUFFERS }, BadBuffers::OutOfBounds),
        (Buffers { tx: 0, ..BUFFERS }, BadBuffers::OutOfBounds),
        (
            Buffers {
                tx: 1280,
                ..BUFFERS
            },
            BadBuffers::OutOfBounds,
        ),
        (
            Buffers {
                tx: u32::MAX - 63,
                ..BUFFERS
            },
            BadBuffers::OutOfBounds,
        ),
        (
            Buffers {
                control: 3200,
                ..BUFFERS
            },
            BadBuffers::OutOfBounds,
        ),
        (
            Buffers {
                tx_log2: 12,
                ..BUFFERS
            },
            BadBuffers::OutOfBounds,
        ),
        (
            Buffers {
                tx_log2: 22,
                ..BUFFERS
            },
            BadBuffers::OutOfBounds,
        ),
        (
            Buffers {
                tx_log2: 9,
                ..BUFFERS
            },
            BadBuffers::Capacity,
        ),
        (
            Buffers {
                rx_log2: 23,
                ..BUFFERS
            },
            BadBuffers::Capacity,
        ),
        (
            Buffers {
                rx_log2: 255,
                ..BUFFERS
            },
            BadBuffers::Capacity,
        ),
    ];
    for (buffers, error) in cases {
        assert_eq!(check(buffers), Err(error), "{buffers:?}");
    }
}

#[test]
fn a_peek_takes_nothing_and_a_skip_only_what_was_seen() {
    let (mut client, mut stack) = pair();
    client.writer.write(b"abcdef").unwrap();
    assert_eq!(stack.reader.skip(3), 0, "not looked yet");
    let mut out = [0; 4];
    assert_eq!(stack.reader.peek(&mut out), Ok(4));
    assert_eq!(&out, b"abcd");
    assert_eq!(stack.reader.skip(1), 1);
    client.writer.write(b"gh").unwrap();
    assert_eq!(stack.reader.peek(&mut out), Ok(4));
    assert_eq!(&out, b"bcde");
    assert_eq!(stack.reader.skip(100), 5);
    assert_eq!(stack.reader.available(), Ok(2));
}

#[test]
fn a_record_larger_than_the_fifo_never_fits() {
    let (mut client, mut stack) = pair();
    let to = peer("192.0.2.1:53");
    let largest = client.writer.largest_record();
    assert_eq!(largest, 2048 - HEADER_SIZE);
    assert_eq!(
        client.writer.write_record(to, &vec![1; largest + 1]),
        Ok(false)
    );
    assert_eq!(client.writer.write_record(to, &vec![1; largest]), Ok(true));
    assert_eq!(client.writer.write_record(to, &[]), Ok(false), "full");
    assert_eq!(stack.reader.skip_record(), Ok(true));
    assert_eq!(stack.reader.skip_record(), Ok(false));
    assert_eq!(client.writer.write_record(to, &[]), Ok(true));
}

#[test]
fn a_datagram_longer_than_its_header_can_say_is_refused() {
    let session = Shm::heap(128 + 1024 + (1 << 17));
    let buffers = Buffers {
        control: 0,
        rx: 128,
        rx_log2: 10,
        tx: 1152,
        tx_log2: 17,
    };
    let mut client = ends(&session, &buffers, End::Client, 0).unwrap();
    assert_eq!(client.writer.largest_record(), 65_535);
    assert_eq!(
        client
            .writer
            .write_record(peer("[::1]:1"), &vec![0; 65_536]),
        Ok(false)
    );
    assert_eq!(
        client
            .writer
            .write_record(peer("[::1]:1"), &vec![0; 65_535]),
        Ok(true)
    );
}

#[test]
fn the_header_of_a_record_is_fetched_once() {
    let session = session();
    let (mut client, mut stack) = pair_in(&session, 0);
    client
        .writer
        .write_record(peer("10.0.0.1:1"), b"abc")
        .unwrap();
    let looked = *stack.reader.peek_record().unwrap().unwrap();
    // The client changes address and length after they were checked.
    let tx = session.part(1216, 2048).unwrap();
    tx.write(0, &[200, 0, 9, 9, 4, 0, 0, 0, 99, 99, 99, 99])
        .unwrap();
    let mut out = [0; 300];
    assert_eq!(stack.reader.read_record(&mut out), Ok(Some(looked)));
    assert_eq!(stack.reader.available(), Ok(0));
    assert_eq!(out[3..], [0; 297]);
}

/// The bytes of a header.
fn header(from: &str, len: usize) -> [u8; HEADER_SIZE] {
    let words = record::encode(peer(from), len).map(u64::to_le_bytes);
    words.concat().try_into().unwrap()
}

#[test]
fn records_of_nonsense_are_errors() {
    let good = header("10.0.0.1:1", 3);
    let with = |at: usize, value: u8| {
        let mut header = good;
        header[at] = value;
        header
    };
    let cases = [
        (good, 24, PeerError::Length), // shorter than the datagram
        (good, 23, PeerError::Length), // shorter than a header
        (with(0, 9), 32, PeerError::Length),
        (with(1, 255), 32, PeerError::Length),
        (
            with(4, 5),
            32,
            PeerError::Decode(crate::codec::DecodeError::Malformed),
        ),
        (
            with(5, 1),
            32,
            PeerError::Decode(crate::codec::DecodeError::Malformed),
        ),
        (
            with(12, 1),
            32,
            PeerError::Decode(crate::codec::DecodeError::Malformed),
        ),
    ];
    for (header, published, error) in cases {
        let session = session();
        let (_, mut stack) = pair_in(&session, 0);
        session.write(1216, &header).unwrap();
        session
            .store(ARENA + TX_TAIL, published, Ordering::Relaxed)
            .unwrap();
        assert_eq!(
            stack.reader.read_record(&mut [0; 8]),
            Err(error),
            "{header:?}"
        );
    }
}

#[test]
fn headers_have_golden_bytes() {
    assert_eq!(
        header("10.1.2.3:258", 0x0504),
        [
            4, 5, 2, 1, 4, 0, 0, 0, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(
        header("[2001:db8::ff]:53", 65_535),
        [
            255, 255, 53, 0, 6, 0, 0, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255
        ]
    );
}

#[test]
fn indices_out_of_range_are_errors() {
    for (offset, value) in [(TX_TAIL, 2049), (TX_TAIL, u32::MAX), (TX_TAIL, 99)] {
        let session = session();
        let (mut client, mut stack) = pair_in(&session, 0);
        client.writer.write(&[1; 100]).unwrap();
        assert_eq!(stack.reader.available(), Ok(100));
        session
            .store(ARENA + offset, value, Ordering::Relaxed)
            .unwrap();
        assert_eq!(stack.reader.available(), Err(PeerError::Index));
        assert_eq!(stack.reader.read(&mut [0; 200]), Err(PeerError::Index));
        assert_eq!(
            stack.reader.read(&mut [0; 100]),
            Ok(100),
            "what was seen before is still there"
        );
    }
    for value in [101, u32::MAX] {
        let session = session();
        let (mut client, mut stack) = pair_in(&session, 0);
        stack.writer.write(&[1; 100]).unwrap();
        session
            .store(ARENA + RX_HEAD, value, Ordering::Relaxed)
            .unwrap();
        assert_eq!(stack.writer.free(), Err(PeerError::Index));
        assert_eq!(stack.writer.is_drained(), Err(PeerError::Index));
        assert_eq!(stack.writer.write(&[1; 1000]), Err(PeerError::Index));
        assert_eq!(client.reader.available(), Ok(100));
    }
    let session = session();
    let (_, mut stack) = pair_in(&session, 0);
    stack.writer.write(&[1; 100]).unwrap();
    session
        .store(ARENA + RX_HEAD, 50, Ordering::Relaxed)
        .unwrap();
    assert_eq!(stack.writer.free(), Ok(1024 - 50));
    session
        .store(ARENA + RX_HEAD, 49, Ordering::Relaxed)
        .unwrap();
    assert_eq!(stack.writer.free(), Err(PeerError::Index), "backwards");
}

#[test]
fn every_status_survives_the_word() {
    let (client, stack) = pair();
    assert_eq!(client.status.load(), Status::default());
    for error in core::iter::once(None).chain(NetError::ALL.map(Some)) {
        for (established, peer_closed) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let status = Status {
                established,
                peer_closed,
                error,
            };
            stack.status.store(status);
            assert_eq!(client.status.load(), status);
        }
    }
}

#[test]
fn a_status_of_nonsense_is_still_a_status() {
    let session = session();
    let (client, _) = pair_in(&session, 0);
    let load = |word| {
        session
            .store(ARENA + STATUS, word, Ordering::Relaxed)
            .unwrap();
        client.status.load()
    };
    assert_eq!(load(0xffff_00fc), Status::default());
    assert_eq!(
        load(0x0000_1300).error,
        Some(NetError::ConnectionReset),
        "19 has no name"
    );
    assert_eq!(load(u32::MAX).error, Some(NetError::ConnectionReset));
    assert_eq!(load(0x0601).error, Some(NetError::AddressInUse));
}

#[test]
fn numbers_of_errors_are_those_of_the_enum() {
    for (position, error) in NetError::ALL.into_iter().enumerate() {
        assert_eq!(error as usize, position + 1);
        assert_eq!(NetError::from_number(error as u8), Some(error));
    }
    assert_eq!(NetError::from_number(0), None);
    assert_eq!(NetError::from_number(NetError::ALL.len() as u8 + 1), None);
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Stage(usize, usize),
    Read(usize),
    Peek(usize),
    Skip(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![0_usize..64, 0_usize..1500];
    (0..5, len).prop_map(|(kind, len)| match kind {
        0 | 1 => Step::Write(len),
        4 => Step::Stage(len, len * 7 % (len + 2)),
        2 => Step::Read(len),
        _ if len % 2 == 0 => Step::Peek(len),
        _ => Step::Skip(len),
    })
}

proptest! {
    #![proptest_config(crate::property_tests(256))]

    /// A FIFO is a queue of bytes.
    #[test]
    fn a_stream_is_a_queue_of_bytes(
        before_wrap in 0_u32..3000,
        steps in prop::collection::vec(step(), 0..crate::STEPS / 2),
    ) {
        let (mut client, mut stack) = pair_in(&session(), 0_u32.wrapping_sub(before_wrap));
        let mut queue = VecDeque::new();
        let mut next = 0_u8;
        for step in steps {
            match step {
                Step::Write(len) => {
                    let bytes: Vec<u8> = (0..len).map(|n| next.wrapping_add(n as u8)).collect();
                    let fits = len.min(1024 - queue.len());
                    prop_assert_eq!(stack.writer.write(&bytes), Ok(fits));
                    queue.extend(&bytes[..fits]);
                    next = next.wrapping_add(fits as u8);
                }
                Step::Stage(len, seen) => {
                    let bytes: Vec<u8> = (0..len).map(|n| next.wrapping_add(n as u8)).collect();
                    let pool = Shm::heap(len + 3);
                    pool.write(3, &bytes).unwrap();
                    let fits = len <= 1024 - queue.len();
                    prop_assert_eq!(stack.writer.stage(&pool, 3, len), Ok(fits));
                    let seen = if fits { seen.min(len) } else { 0 };
                    prop_assert_eq!(stack.writer.publish_staged(seen), seen);
                    queue.extend(&bytes[..seen]);
                    next = next.wrapping_add(seen as u8);
                }
                Step::Read(len) => {
                    let mut out = vec![0; len];
                    let got = client.reader.read(&mut out).unwrap();
                    let expected: Vec<u8> = queue.drain(..len.min(queue.len())).collect();
                    prop_assert_eq!(&out[..got], &expected[..]);
                }
                Step::Peek(len) => {
                    let mut out = vec![0; len];
                    let got = client.reader.peek(&mut out).unwrap();
                    let expected: Vec<u8> = queue.iter().copied().take(len).collect();
                    prop_assert_eq!(&out[..got], &expected[..]);
                }
                Step::Skip(len) => {
                    prop_assert_eq!(client.reader.available(), Ok(queue.len()));
                    let skipped = client.reader.skip(len);
                    prop_assert_eq!(skipped, len.min(queue.len()));
                    queue.drain(..skipped);
                }
            }
            prop_assert_eq!(stack.writer.free(), Ok(1024 - queue.len()));
            prop_assert_eq!(stack.writer.is_drained(), Ok(queue.is_empty()));
        }
    }

    /// A FIFO is a queue of records.
    #[test]
    fn records_are_a_queue(
        before_wrap in 0_u32..3000,
        steps in prop::collection::vec((step(), any::<SocketAddr>()), 0..crate::STEPS / 2),
    ) {
        // Indices of records are multiples of 8.
        let (mut client, mut stack) = pair_in(&session(), 0_u32.wrapping_sub(before_wrap * 8));
        let mut queue: VecDeque<(SocketAddr, Vec<u8>)> = VecDeque::new();
        let mut used = 0;
        for (step, from) in steps {
            let from = SocketAddr::new(from.ip(), from.port());
            match step {
                Step::Write(len) | Step::Stage(len, _) => {
                    let bytes: Vec<u8> = (0..len).map(|n| n as u8).collect();
                    let fits = used + record::size(len) <= 1024;
                    prop_assert_eq!(stack.writer.write_record(from, &bytes), Ok(fits));
                    if fits {
                        used += record::size(len);
                        queue.push_back((from, bytes));
                    }
                }
                Step::Peek(_) => {
                    let expected = queue.front().map(|(peer, bytes)| Record { peer: *peer, len: bytes.len() });
                    prop_assert_eq!(client.reader.peek_record(), Ok(expected.as_ref()));
                }
                Step::Read(len) | Step::Skip(len) => {
                    let mut out = vec![0; len];
                    let got = client.reader.read_record(&mut out).unwrap();
                    let Some((peer, bytes)) = queue.pop_front() else {
                        prop_assert_eq!(got, None);
                        continue;
                    };
                    used -= record::size(bytes.len());
                    prop_assert_eq!(got, Some(Record { peer, len: bytes.len() }));
                    let copied = len.min(bytes.len());
                    prop_assert_eq!(&out[..copied], &bytes[..copied]);
                    prop_assert!(out[copied..].iter().all(|byte| *byte == 0));
                }
            }
        }
    }

    /// Whatever a peer writes anywhere: no panic, and never more than the capacity at once.
    #[test]
    fn no_memory_content_breaks_an_end(
        steps in prop::collection::vec(
            (step(), any::<bool>(), 0_usize..40, prop_oneof![any::<u32>(), 0_u32..3000]),
            0..crate::STEPS / 2,
        ),
    ) {
        let session = session();
        let (mut client, mut stack) = pair_in(&session, 0);
        for (step, records, place, value) in steps {
            let offset = match place { 0..32 => ARENA + place * 4, other => 192 + (other - 32) * 4 };
            session.store(offset, value, Ordering::Relaxed).unwrap();
            for end in [&mut client, &mut stack] {
                let _ = end.status.load();
                if let Ok(free) = end.writer.free() { prop_assert!(free <= end.writer.capacity()); }
                if let Ok(waiting) = end.reader.available() { prop_assert!(waiting <= end.reader.capacity()); }
                match step {
                    Step::Write(len) if records => {
                        let _ = end.writer.write_record(peer("[::1]:7"), &vec![1; len]);
                    }
                    Step::Write(len) => { let _ = end.writer.write(&vec![1; len]); }
                    Step::Stage(len, seen) => {
                        let _ = end.writer.stage(&session, offset, len);
                        prop_assert!(end.writer.publish_staged(seen) <= seen.min(len));
                    }
                    Step::Read(len) if records => {
                        if let Ok(Some(record)) = end.reader.read_record(&mut vec![0; len]) {
                            prop_assert!(record::size(record.len) <= end.reader.capacity());
                        }
                    }
                    Step::Read(len) => {
                        if let Ok(got) = end.reader.read(&mut vec![0; len]) { prop_assert!(got <= len); }
                    }
                    Step::Peek(len) => { let _ = end.reader.peek(&mut vec![0; len]); }
                    Step::Skip(len) => { end.reader.skip(len); }
                }
            }
        }
    }
}
