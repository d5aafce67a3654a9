//! Tests of the FIFOs over heap memory.

use super::*;
use core::net::SocketAddr;
use std::{vec, vec::Vec};

const ARENA: usize = 64;

fn pair() -> (StreamEnds, StreamEnds) {
    let session = Shm::heap(ARENA + CONTROL_SIZE + 3 * 1024);
    let buffers = Buffers {
        control: 64,
        rx: 192,
        rx_log2: 10,
        tx: 1216,
        tx_log2: 11,
    };
    (
        ends(&session, &buffers, End::Client, ARENA).unwrap(),
        ends(&session, &buffers, End::Stack, ARENA).unwrap(),
    )
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
    assert_eq!(client.reader.peek_record(), Ok(Some(first)));
    assert_eq!(client.reader.read_record(&mut out), Ok(Some(first)));
    assert_eq!(&out, b"on");
    let second = Record {
        peer: peers[1],
        len: 0,
    };
    assert_eq!(client.reader.read_record(&mut out), Ok(Some(second)));
    assert_eq!(client.reader.read_record(&mut out), Ok(None));
}
