//! Real threads on one shared memory, for Miri with many seeds: each seed is another interleaving and other values for what
//! races. Between honest sides nothing may be lost or torn; a third thread that writes anywhere may cost the
//! channel, and nothing else. Touches the heap only.
//!
//! All accesses to one place have one size here (words, or eight bytes), as Miri asks for.

use crate::{
    channel::{Channel, Geometry, SendError, Side},
    fifo::{self, End, StreamEnds},
    frame::{Offload, ToDriver, ToStack},
    shm::Shm,
    socket::Buffers,
};
use core::sync::atomic::Ordering;
use std::{thread, vec::Vec};

type Driver = Channel<ToStack, ToDriver>;
type Stack = Channel<ToDriver, ToStack>;

const SMALL: Geometry = Geometry {
    slot_size: 16,
    slots: 4,
    sockets: 64,
};
/// Messages and bytes that cross, and tries that a side has at a channel that somebody spoils.
const MESSAGES: u16 = if cfg!(miri) { 16 } else { 2_000 };
const BYTES: usize = if cfg!(miri) { 3_000 } else { 300_000 };
const TRIES: u32 = if cfg!(miri) { 24 } else { 5_000 };

fn pair() -> (Driver, Stack, Shm) {
    let memory = Shm::heap(Driver::bytes(SMALL));
    let driver = Driver::new(memory.clone(), Side::Client, SMALL).unwrap();
    let stack = Stack::new(memory.clone(), Side::Stack, SMALL).unwrap();
    (driver, stack, memory)
}

fn message(number: u16) -> ToDriver {
    ToDriver::Transmit {
        buffer: number,
        len: number ^ 0x55aa,
        offload: Offload::Nothing,
    }
}

#[test]
fn messages_between_threads_arrive_whole_and_in_order() {
    let (mut driver, mut stack, _) = pair();
    let sender = thread::spawn(move || {
        for number in 0..MESSAGES {
            while let Err(SendError::Full) = stack.send(&message(number)) {
                let _ = stack.flush();
                thread::yield_now();
            }
            stack.raise(number % 64);
        }
        let _ = stack.flush();
    });
    let mut next = 0;
    let mut events = 0_u64;
    while next < MESSAGES {
        driver.take_events(&mut |index| events |= 1 << index);
        match driver.receive().unwrap() {
            Some(got) => {
                assert_eq!(got, message(next));
                next += 1;
            }
            None => thread::yield_now(),
        }
        let _ = driver.flush();
    }
    sender.join().unwrap();
    driver.take_events(&mut |index| events |= 1 << index);
    let raised = (0..MESSAGES.min(64)).fold(0, |bits, index| bits | 1 << index);
    assert_eq!(events, raised);
}

fn fifos() -> (StreamEnds, StreamEnds, Shm) {
    let buffers = Buffers {
        control: 0,
        rx: 128,
        rx_log2: 10,
        tx: 1152,
        tx_log2: 10,
    };
    let memory = Shm::heap(2176);
    (
        fifo::ends(&memory, &buffers, End::Client, 0).unwrap(),
        fifo::ends(&memory, &buffers, End::Stack, 0).unwrap(),
        memory,
    )
}

#[test]
fn a_stream_between_threads_arrives_whole() {
    let (mut client, mut stack, _) = fifos();
    let byte = |at: usize| (at / 8 * 37) as u8;
    let sender = thread::spawn(move || {
        let bytes: Vec<u8> = (0..BYTES).map(byte).collect();
        let mut sent = 0;
        while sent < BYTES {
            // Whole grains of eight bytes.
            let len = client.writer.write(&bytes[sent..]).unwrap();
            sent += len;
            if len == 0 {
                thread::yield_now();
            }
        }
    });
    let mut got = 0;
    let mut chunk = [0; 512];
    while got < BYTES {
        let len = stack.reader.read(&mut chunk).unwrap();
        for (offset, value) in chunk[..len].iter().enumerate() {
            assert_eq!(*value, byte(got + offset), "byte {}", got + offset);
        }
        got += len;
        if len == 0 {
            thread::yield_now();
        }
    }
    sender.join().unwrap();
}

/// Numbers in no order, the interesting ones among them (xorshift).
struct Chaos(u64);

impl Chaos {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn word(&mut self) -> u32 {
        match self.next() % 6 {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << 31,
            3 => (self.next() % 8) as u32,
            _ => self.next() as u32,
        }
    }
}

/// Writes to any word of the channel and to any eight bytes of its slots.
fn spoil(memory: &Shm, chaos: &mut Chaos) {
    let slots = SMALL.client().slots;
    if chaos.next().is_multiple_of(2) {
        let word = chaos.next() as usize % (slots / 4) * 4;
        memory.store(word, chaos.word(), Ordering::Relaxed).unwrap();
    } else {
        let place = slots + chaos.next() as usize % ((memory.len() - slots) / 8) * 8;
        let bytes = chaos.next().to_le_bytes();
        memory.write(place, &bytes).unwrap();
    }
}

#[test]
fn a_channel_that_somebody_spoils_ends_with_an_error_at_worst() {
    for seed in 1..4 {
        let (mut driver, mut stack, memory) = pair();
        let spoiler = thread::spawn(move || {
            let mut chaos = Chaos(seed);
            for _ in 0..TRIES {
                spoil(&memory, &mut chaos);
            }
        });
        let other = thread::spawn(move || {
            for number in 0..TRIES {
                if stack.send(&message(number as u16)).is_err() && stack.receive().is_err() {
                    return;
                }
                stack.raise(number as u16 % 64);
                let _ = stack.flush();
                let _ = stack.prepare_sleep();
                stack.awake();
            }
        });
        let mut events = 0;
        for _ in 0..TRIES {
            if driver.receive().is_err() || driver.send(&ToStack::Link { up: true }).is_err() {
                break;
            }
            driver.take_events(&mut |index| {
                assert!(index < 64);
                events += 1;
            });
            let _ = driver.flush();
            let _ = driver.prepare_sleep();
            driver.awake();
        }
        assert!(events <= 64 * TRIES);
        spoiler.join().unwrap();
        other.join().unwrap();
    }
}

#[test]
fn a_stream_that_somebody_spoils_stays_within_its_buffer() {
    for seed in 1..4 {
        let (mut client, mut stack, memory) = fifos();
        let spoiler = thread::spawn(move || {
            let mut chaos = Chaos(seed);
            for _ in 0..TRIES {
                let word = chaos.next() as usize % 32 * 4;
                // Whole grains of eight bytes, so that nobody is led to copy single ones.
                let value = chaos.word() & !7;
                memory.store(word, value, Ordering::Relaxed).unwrap();
                let place = 128 + chaos.next() as usize % 256 * 8;
                memory.write(place, &chaos.next().to_le_bytes()).unwrap();
            }
        });
        let writer = thread::spawn(move || {
            for _ in 0..TRIES {
                match client.writer.write(&[7; 256]) {
                    Ok(len) => assert!(len <= 256),
                    Err(_) => return,
                }
                let _ = client.status.load();
            }
        });
        for _ in 0..TRIES {
            match stack.reader.read(&mut [0; 256]) {
                Ok(len) => assert!(len <= 256),
                Err(_) => break,
            }
        }
        spoiler.join().unwrap();
        writer.join().unwrap();
    }
}
