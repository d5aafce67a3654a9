//! One honest end of a socket's FIFOs, and a peer that writes anything to its control block and bytes at any time.

use super::*;
use ipc_proto::{
    fifo::{self, End, HEADER_SIZE, PeerError, StreamEnds},
    socket::Buffers,
};
use loom::thread;

/// The words of a control block that an end looks at.
fn words(which: End) -> &'static [usize] {
    match which {
        End::Client => &[0, 4, 8],
        End::Stack => &[64, 68],
    }
}

const CAPACITY: u32 = 1024;
const BUFFERS: Buffers = Buffers {
    control: 0,
    rx: 128,
    rx_log2: 10,
    tx: 1152,
    tx_log2: 10,
};

fn values(start: u32) -> Vec<u32> {
    let distances = [0, 1, 8, CAPACITY - 1, CAPACITY, CAPACITY + 1, 1 << 31];
    let mut values: Vec<u32> = distances.map(|by| start.wrapping_add(by)).into();
    values.extend([start.wrapping_sub(1), 0, u32::MAX]);
    values.sort_unstable();
    values.dedup();
    values
}

fn end(memory: &Shm, which: End, start: u32) -> StreamEnds {
    for word in [0, 4, 64, 68] {
        memory.store(word, start, Ordering::Relaxed).unwrap();
    }
    let mut ends = fifo::ends(memory, &BUFFERS, which, 0).unwrap();
    ends.start_at(start);
    ends
}

/// Everything that a side does with a stream; an error ends it.
fn use_stream(ends: &mut StreamEnds) -> Result<(), PeerError> {
    let _ = ends.status.load();
    assert!(ends.writer.free()? <= CAPACITY as usize);
    assert!(ends.writer.write(b"8 bytes.")? <= 8);
    let pool = Shm::racing(8);
    let staged = ends.writer.stage(&pool, 0, 8)?;
    assert_eq!(ends.writer.publish_staged(9), if staged { 8 } else { 0 });
    let waiting = ends.reader.available()?;
    assert!(waiting <= CAPACITY as usize);
    let mut bytes = [0; 8];
    let peeked = ends.reader.peek(&mut bytes)?;
    assert!(peeked <= 8 && peeked >= waiting.min(8));
    assert_eq!(ends.reader.skip(peeked), peeked, "what was seen stays");
    assert!(ends.reader.read(&mut bytes)? <= 8);
    let _ = ends.writer.is_drained()?;
    Ok(())
}

#[test]
fn a_word_that_changes_twice_is_an_error_at_worst() {
    for which in [End::Client, End::Stack] {
        for start in [u32::MAX - 3] {
            for &word in words(which) {
                for first in values(start) {
                    for second in values(start) {
                        explore_bounded(3, move || {
                            let memory = Shm::racing(2176);
                            let mut ends = end(&memory, which, start);
                            let hostile = thread::spawn(move || {
                                memory.store(word, first, Ordering::Release).unwrap();
                                memory.store(word, second, Ordering::Release).unwrap();
                            });
                            let _ = use_stream(&mut ends);
                            hostile.join().unwrap();
                        });
                    }
                }
            }
        }
    }
}

/// The header of a datagram that was looked at is the one that is read, whatever the peer has made of it in between.
#[test]
fn a_header_that_changes_is_read_once() {
    let header = |len: u16, family: u8, pad: u8| {
        let [low, high] = len.to_le_bytes();
        [low, high, 53, 0, family, pad, 0, 0]
    };
    // As much as waits, less, more, as much as the FIFO holds, too much, and two that are no header.
    let headers = [
        header(8, 4, 0),
        header(1, 4, 0),
        header(9, 4, 0),
        header(1000, 4, 0),
        header(u16::MAX, 6, 0),
        header(8, 5, 0),
        header(8, 4, 1),
    ];
    for first in headers {
        for second in headers {
            for published in [HEADER_SIZE as u32 + 8, 8, CAPACITY, CAPACITY + 8] {
                explore_bounded(3, move || {
                    let memory = Shm::racing(2176);
                    let mut ends = end(&memory, End::Client, 0);
                    let bytes = BUFFERS.rx as usize;
                    memory.write(bytes, &first).unwrap();
                    let hostile = thread::spawn(move || {
                        memory.store(0, published, Ordering::Release).unwrap();
                        memory.write(bytes, &second).unwrap();
                    });
                    let mut out = [0; 16];
                    if let Ok(Some(&seen)) = ends.reader.peek_record() {
                        assert!(HEADER_SIZE + seen.len <= published as usize);
                        assert!(published <= CAPACITY);
                        let of =
                            |header: [u8; 8]| u16::from_le_bytes([header[0], header[1]]).into();
                        assert!(seen.len == of(first) || seen.len == of(second));
                        assert_eq!(ends.reader.read_record(&mut out), Ok(Some(seen)));
                        let rest = ends.reader.available().unwrap();
                        assert!(rest <= CAPACITY as usize - HEADER_SIZE);
                    }
                    hostile.join().unwrap();
                });
            }
        }
    }
}
