//! A writer that waits for room until it is told gets on, whatever the capacity and the sizes are. Over heap memory.

use super::*;
use proptest::prelude::*;
use std::{vec, vec::Vec};

const FROM: core::net::SocketAddr =
    core::net::SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 7);

/// A writer that tries again only when it was told, and its reader.
struct Pair {
    writer: Writer,
    reader: Reader,
    records: bool,
    /// What the writer waits to write.
    waiting: Option<usize>,
    memory: Vec<u8>,
}

impl Pair {
    fn new(log2: u8, records: bool) -> Pair {
        let capacity = 1 << log2;
        let session = Shm::heap(1216 + capacity);
        let buffers = Buffers {
            control: 64,
            rx: 192,
            rx_log2: 10,
            tx: 1216,
            tx_log2: log2,
        };
        let end = |which| ends(&session, &buffers, which, 64).unwrap();
        Pair {
            writer: end(End::Client).writer,
            reader: end(End::Stack).reader,
            records,
            waiting: None,
            memory: vec![0; capacity],
        }
    }

    /// Writes as many bytes, or that which waits, if there is room.
    fn write(&mut self, len: usize) {
        let len = self.waiting.unwrap_or(len);
        let bytes = &self.memory[..len];
        let done = if self.records {
            self.writer.write_record(FROM, bytes).unwrap()
        } else {
            len == 0 || self.writer.write(bytes).unwrap() > 0
        };
        self.waiting = (!done).then_some(len);
    }

    /// Reads several times, and tells.
    fn read(&mut self, times: usize, len: usize) {
        for _ in 0..times {
            if self.records {
                self.reader.read_record(&mut self.memory[..len]).unwrap();
            } else {
                self.reader.read(&mut self.memory[..len]).unwrap();
            }
        }
        let tells = if self.records {
            self.reader.tells_room_for_record().unwrap()
        } else {
            self.reader.tells_room()
        };
        if tells && self.waiting.is_some() {
            self.write(0);
        }
    }
}

proptest! {
    #![proptest_config(crate::property_tests(256))]

    #[test]
    fn nobody_waits_for_ever(
        log2 in 10_u8..19,
        records in any::<bool>(),
        steps in prop::collection::vec((0_usize..=65_535, 0_usize..6, 0_usize..4), 1..60),
    ) {
        let mut pair = Pair::new(log2, records);
        for (size, writes, reads) in steps {
            // From next to nothing to all of it.
            let len = (size & (pair.memory.len() - 1)).min(pair.writer.largest_record());
            for _ in 0..writes {
                if pair.waiting.is_none() {
                    pair.write(len);
                }
            }
            pair.read(reads, len);
        }
        // All is read: whoever still waits has not been told.
        while !pair.reader.is_empty().unwrap() {
            pair.read(1, 1 << 10);
        }
        prop_assert_eq!(pair.waiting, None);
    }
}

#[test]
fn a_writer_is_not_told_of_each_read() {
    let mut pair = Pair::new(18, true);
    let mut told = 0;
    for _ in 0..1000 {
        pair.write(64);
        pair.reader.read_record(&mut [0; 64]).unwrap();
        told += u32::from(pair.reader.tells_room_for_record().unwrap());
    }
    assert_eq!(told, 0);
    let mut pair = Pair::new(10, false);
    let told: Vec<usize> = (0..64)
        .filter(|_| {
            pair.write(64);
            pair.reader.read(&mut [0; 64]).unwrap();
            pair.reader.tells_room()
        })
        .collect();
    assert_eq!(told, [7, 15, 23, 31, 39, 47, 55, 63]);
}
