//! Every interleaving of two ends of a channel, and every value that the memory model allows them to see:
//! `RUSTFLAGS="--cfg loom" cargo test -p ipc-proto --release --test loom`. Touches loom's model of memory only.
//!
//! Bytes in the model report each access that the index words do not order, so no test has to look for torn slots.
#![cfg(loom)]
#![expect(clippy::unwrap_used, reason = "tests")]

use core::sync::atomic::Ordering;
use ipc_proto::{
    channel::{Channel, Geometry, SendError, Side},
    fifo::{self, End, StreamEnds},
    frame::{ToDriver, ToStack},
    shm::Shm,
    socket::Buffers,
};
use loom::{
    model::Builder,
    sync::{Arc, Condvar, Mutex},
    thread,
};

type Driver = Channel<ToStack, ToDriver>;
type Stack = Channel<ToDriver, ToStack>;

const SMALL: Geometry = Geometry {
    slot_size: 16,
    slots: 2,
    sockets: 64,
};

/// Explores `scenario` with at most `preemptions` switches away from a thread that could go on.
fn explore(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(scenario);
}

fn pair() -> (Driver, Stack, Shm) {
    let memory = Shm::heap(Driver::bytes(SMALL));
    (
        Channel::new(memory.clone(), Side::Client, SMALL).unwrap(),
        Channel::new(memory.clone(), Side::Stack, SMALL).unwrap(),
        memory,
    )
}

fn message(n: u16) -> ToDriver {
    ToDriver::Transmit {
        buffer: n,
        len: 1000 + n,
    }
}

/// The kernel's notification of one side: a signal is remembered until it is taken.
#[derive(Clone)]
struct Doorbell(Arc<(Mutex<bool>, Condvar)>);

impl Doorbell {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(false), Condvar::new())))
    }

    fn ring(&self) {
        let (rung, changed) = &*self.0;
        *rung.lock().unwrap() = true;
        changed.notify_one();
    }

    /// Blocks for ever without a ring, which loom reports as a deadlock.
    fn wait(&self) {
        let (rung, changed) = &*self.0;
        let mut rung = rung.lock().unwrap();
        while !*rung {
            rung = changed.wait(rung).unwrap();
        }
        *rung = false;
    }
}

#[test]
fn no_message_is_lost_torn_or_reordered() {
    explore(3, || {
        let (mut driver, mut stack, _) = pair();
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while sent < 3 {
                match stack.send(&message(sent)) {
                    Ok(()) => sent += 1,
                    Err(SendError::Full) => thread::yield_now(),
                    Err(SendError::Peer(error)) => panic!("{error}"),
                }
                let _ = stack.flush();
            }
        });
        let mut received = 0;
        while received < 3 {
            match driver.receive().unwrap() {
                Some(got) => {
                    assert_eq!(got, message(received));
                    received += 1;
                }
                None => thread::yield_now(),
            }
            let _ = driver.flush();
        }
        sender.join().unwrap();
    });
}

/// The receiver sleeps whenever it may: a lost wake-up is a deadlock.
#[test]
fn no_wake_up_for_messages_is_lost() {
    explore(3, || {
        let (mut driver, mut stack, _) = pair();
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        let sender = thread::spawn(move || {
            for n in 0..2 {
                stack.send(&message(n)).unwrap();
                if stack.flush() {
                    bell.ring();
                }
            }
        });
        let mut received = 0;
        while received < 2 {
            while let Some(got) = driver.receive().unwrap() {
                assert_eq!(got, message(received));
                received += 1;
            }
            let _ = driver.flush();
            if received < 2 && driver.prepare_sleep() {
                doorbell.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// Both sides sleep whenever they may: the sender waits for room, the receiver for messages.
#[test]
fn no_wake_up_for_room_is_lost() {
    explore(2, || {
        let (mut driver, mut stack, _) = pair();
        let (to_stack, to_driver) = (Doorbell::new(), Doorbell::new());
        let (ring_stack, ring_driver) = (to_stack.clone(), to_driver.clone());
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while sent < 4 {
                let full = match stack.send(&message(sent)) {
                    Ok(()) => {
                        sent += 1;
                        false
                    }
                    Err(SendError::Full) => true,
                    Err(SendError::Peer(error)) => panic!("{error}"),
                };
                if (full || sent == 4) && stack.flush() {
                    ring_driver.ring();
                }
                if full && stack.prepare_sleep() {
                    to_stack.wait();
                    stack.awake();
                }
            }
        });
        let mut received = 0;
        while received < 4 {
            while let Some(got) = driver.receive().unwrap() {
                assert_eq!(got, message(received));
                received += 1;
            }
            if driver.flush() {
                ring_stack.ring();
            }
            if received < 4 && driver.prepare_sleep() {
                to_driver.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// What was written to a FIFO before the event was raised is there when the event is taken, and the wake-up for an event is
/// not lost, also when its bit or its summary bit is being taken.
#[test]
fn no_event_is_lost() {
    explore(3, || {
        let (mut driver, mut stack, memory) = pair();
        let doorbell = Doorbell::new();
        let bell = doorbell.clone();
        // Words that nothing else uses stand for the FIFO indices of sockets 3 and 4.
        let fifo = [memory.word(8).unwrap(), memory.word(12).unwrap()];
        let theirs = fifo.clone();
        let sender = thread::spawn(move || {
            for (socket, value) in [(0, 1), (1, 1), (0, 2)] {
                theirs[socket].store(value, Ordering::Relaxed);
                stack.raise(3 + socket as u16);
                if stack.flush() {
                    bell.ring();
                }
            }
        });
        let mut seen = [0; 2];
        while seen != [2, 1] {
            driver.take_events(&mut |index| {
                let socket = usize::from(index) - 3;
                seen[socket] = fifo[socket].load(Ordering::Relaxed);
                assert_ne!(seen[socket], 0, "event before its cause");
            });
            if seen != [2, 1] && driver.prepare_sleep() {
                doorbell.wait();
                driver.awake();
            }
        }
        sender.join().unwrap();
    });
}

/// A peer that writes whatever it likes to the words: errors, never a panic, an access out of bounds, or an endless loop.
#[test]
fn hostile_words_are_errors_at_worst() {
    explore(2, || {
        let (mut driver, mut stack, memory) = pair();
        let hostile = thread::spawn(move || {
            // Index words of the stack, both wake words, summary and bitmap of the driver.
            for (offset, value) in [
                (64, 2),
                (68, 9),
                (128, u32::MAX),
                (192, u32::MAX),
                (256, u32::MAX),
                (320, u32::MAX),
            ] {
                memory.store(offset, value, Ordering::Release).unwrap();
            }
        });
        stack.send(&message(1)).unwrap();
        let _ = stack.flush();
        let mut received = 0;
        for _ in 0..2 {
            if matches!(driver.receive(), Ok(Some(_))) {
                received += 1;
            }
            let _ = driver.send(&ToStack::Link { up: true });
            let mut events = 0;
            driver.take_events(&mut |index| {
                assert!(index < 64);
                events += 1;
            });
            assert!(events <= 64);
            let _ = driver.flush();
            if driver.prepare_sleep() {
                driver.awake();
            }
        }
        assert!(received <= 2);
        hostile.join().unwrap();
    });
}

fn fifos() -> (StreamEnds, StreamEnds) {
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
    )
}

/// The end of a stream is seen behind its last byte, never before.
#[test]
fn the_end_of_a_stream_comes_last() {
    explore(3, || {
        let (mut client, mut stack) = fifos();
        let sender = thread::spawn(move || {
            assert_eq!(stack.writer.write(b"8 bytes."), Ok(8));
            assert_eq!(stack.writer.write(b"8 more.."), Ok(8));
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
        assert_eq!(stream, b"8 bytes.8 more..");
        sender.join().unwrap();
    });
}

/// A writer that waits for room writes over bytes only after they were read.
#[test]
fn bytes_are_not_overwritten_before_they_are_read() {
    explore(2, || {
        let (mut client, mut stack) = fifos();
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
