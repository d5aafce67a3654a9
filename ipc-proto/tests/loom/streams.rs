//! Two honest ends of a socket's FIFOs, alone and with the events of their channel: no byte, datagram or wake-up is lost.

use super::*;
use core::net::SocketAddr;
use ipc_proto::{
    fifo::{self, End, StreamEnds},
    socket::Buffers,
};
use loom::thread;

/// The index words of the control block.
const WORDS: [usize; 4] = [0, 4, 64, 68];

/// Both ends of FIFOs whose indices have come to `start`.
fn fifos(start: u32) -> (StreamEnds, StreamEnds) {
    let buffers = Buffers {
        control: 0,
        rx: 128,
        rx_log2: 10,
        tx: 1152,
        tx_log2: 10,
    };
    let memory = Shm::heap(2176);
    for word in WORDS {
        memory.store(word, start, Ordering::Relaxed).unwrap();
    }
    let end = |which| {
        let mut ends = fifo::ends(&memory, &buffers, which, 0).unwrap();
        ends.start_at(start);
        ends
    };
    (end(End::Client), end(End::Stack))
}

/// The end of a stream is seen behind its last byte, never before.
#[test]
fn the_end_of_a_stream_comes_last() {
    explore(|| {
        // The first write crosses the end of the FIFO and the wrap of the indices.
        let (mut client, mut stack) = fifos(u32::MAX - 7);
        let sender = thread::spawn(move || {
            assert_eq!(stack.writer.write(b"sixteen bytes..."), Ok(16));
            let pool = Shm::heap(16);
            pool.write(8, b"8 more..").unwrap();
            assert_eq!(stack.writer.stage(&pool, 8, 8), Ok(true));
            assert_eq!(stack.writer.publish_staged(8), 8);
            stack.status.store(fifo::Status {
                established: true,
                peer_closed: true,
                error: None,
            });
        });
        let mut stream = Vec::new();
        loop {
            let status = client.status.load();
            let mut bytes = [0; 16];
            let len = client.reader.read(&mut bytes).unwrap();
            stream.extend_from_slice(&bytes[..len]);
            if len == 0 {
                if status.peer_closed {
                    break;
                }
                thread::yield_now();
            }
        }
        assert_eq!(stream, b"sixteen bytes...8 more..");
        sender.join().unwrap();
    });
}

/// A writer that waits for room writes over bytes only after they were read.
#[test]
fn bytes_are_not_overwritten_before_they_are_read() {
    explore_bounded(4, || {
        let (mut client, mut stack) = fifos(0);
        let expected: std::sync::Arc<Vec<u8>> =
            std::sync::Arc::new((0..2048).map(|n| (n / 8) as u8).collect());
        let bytes = expected.clone();
        assert_eq!(client.writer.write(&bytes[..1016]), Ok(1016));
        let sender = thread::spawn(move || {
            let mut at = 1016;
            while at < 1048 {
                let len = client.writer.write(&bytes[at..1048]).unwrap();
                at += len;
                if len == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut stream = Vec::new();
        while stream.len() < 1048 {
            let mut out = [0; 16];
            // Whole grains of the model only.
            let wanted = if stream.is_empty() { 1008 } else { 16 };
            let mut large = [0; 1008];
            let out = if wanted > 16 {
                &mut large[..]
            } else {
                &mut out[..]
            };
            let len = stack.reader.read(out).unwrap();
            stream.extend_from_slice(&out[..len]);
            if len == 0 {
                thread::yield_now();
            }
        }
        assert_eq!(stream, expected[..1048]);
        sender.join().unwrap();
    });
}

/// Bytes that come straight from other shared memory are seen when they are published, across the end of the FIFO, and no earlier.
#[test]
fn staged_bytes_are_not_seen_before_they_are_published() {
    explore(|| {
        let (mut client, mut stack) = fifos(u32::MAX - 7);
        let sender = thread::spawn(move || {
            let pool = Shm::heap(32);
            pool.write(8, b"sixteen bytes...").unwrap();
            // Not wanted after all.
            assert_eq!(stack.writer.stage(&pool, 0, 24), Ok(true));
            assert_eq!(stack.writer.publish_staged(0), 0);
            assert_eq!(stack.writer.stage(&pool, 8, 16), Ok(true));
            assert_eq!(stack.writer.publish_staged(16), 16);
        });
        let (mut bytes, mut len) = ([0; 16], 0);
        while len < 16 {
            match client.reader.read(&mut bytes[len..]).unwrap() {
                0 => thread::yield_now(),
                more => len += more,
            }
        }
        assert_eq!(&bytes, b"sixteen bytes...");
        sender.join().unwrap();
    });
}

/// A datagram is seen as a whole or not at all, across the end of the FIFO and the wrap of the indices.
#[test]
fn datagrams_are_whole() {
    explore(|| {
        let (mut client, mut stack) = fifos(u32::MAX - 15);
        let from: SocketAddr = "10.0.2.2:53".parse().unwrap();
        let sender = thread::spawn(move || {
            assert_eq!(stack.writer.write_record(from, b"one"), Ok(true));
            assert_eq!(stack.writer.write_record(from, b"and two..."), Ok(true));
        });
        for expected in [b"one".as_slice(), b"and two..."] {
            let mut bytes = [0; 16];
            let record = loop {
                match client.reader.read_record(&mut bytes).unwrap() {
                    Some(record) => break record,
                    None => thread::yield_now(),
                }
            };
            assert_eq!((record.peer, record.len), (from, expected.len()));
            assert_eq!(&bytes[..record.len], expected);
        }
        sender.join().unwrap();
    });
}

/// A writer that finds the FIFO full, and a reader that finds it empty, sleep until the other side raises the socket's event:
/// what `libnet-client` and the stack do.
#[test]
fn no_wake_up_of_a_stream_is_lost() {
    explore_bounded(2, || {
        let (mut driver, mut stack, _) = pair();
        let (mut client_ends, mut stack_ends) = fifos(0);
        let (to_stack, to_driver) = (Doorbell::new(), Doorbell::new());
        let (ring_stack, ring_driver) = (to_stack.clone(), to_driver.clone());
        // 8 bytes of room are left.
        assert_eq!(stack_ends.writer.write(&[7; 1016]), Ok(1016));
        let sender = thread::spawn(move || {
            let mut left = 2;
            while left > 0 {
                stack.take_events(&mut |index| assert_eq!(index, 5));
                while left > 0 && stack_ends.writer.write(&[left; 8]).unwrap() == 8 {
                    stack.raise(5);
                    left -= 1;
                }
                if stack.flush() {
                    ring_driver.ring();
                }
                if left > 0 && stack.prepare_sleep() {
                    to_stack.wait();
                    stack.awake();
                }
            }
        });
        let (mut bytes, mut received) = ([0; 1024], 0);
        while received < 1032 {
            driver.take_events(&mut |index| assert_eq!(index, 5));
            loop {
                let len = client_ends.reader.read(&mut bytes).unwrap();
                if len == 0 {
                    break;
                }
                received += len;
                driver.raise(5);
            }
            if driver.flush() {
                ring_stack.ring();
            }
            if received < 1032 && driver.prepare_sleep() {
                to_driver.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}
