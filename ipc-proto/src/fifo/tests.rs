//! Tests of the FIFOs over heap memory: what all share, streams, and the status word.

mod properties;
mod records;

use super::*;
use crate::socket::NetError;
use core::{net::SocketAddr, sync::atomic::Ordering};
use std::{vec, vec::Vec};

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
