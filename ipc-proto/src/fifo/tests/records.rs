//! Tests of records: their bounds and peers, their headers, and nonsense in these.

use super::*;

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
