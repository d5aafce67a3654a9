//! Every interleaving of two ends of a channel or a FIFO, and every value that the memory model allows them to see:
//! `RUSTFLAGS="--cfg loom" cargo test -p ipc-proto --release --test loom`. Touches loom's model of memory only.
//!
//! `messages`, `streams`: two honest sides. Bytes in their model report each access that the index words do not order, so no
//! test has to look for torn slots. `hostile`, `hostile_fifo`: one honest side, and one that writes anything at any time.
#![cfg(loom)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod hostile;
mod hostile_fifo;
mod messages;
mod streams;

use core::sync::atomic::Ordering;
use ipc_proto::{
    channel::{Channel, Geometry, Side},
    frame::{Offload, ToDriver, ToStack},
    shm::Shm,
    socket::{Reply, Request},
};
use loom::{
    model::Builder,
    sync::{Arc, Condvar, Mutex},
};

type Driver = Channel<ToStack, ToDriver>;
type Stack = Channel<ToDriver, ToStack>;
type Client = Channel<Request, Reply>;
type Server = Channel<Reply, Request>;

const SMALL: Geometry = Geometry {
    slot_size: 16,
    slots: 2,
    sockets: 64,
};

/// For messages of sockets.
const LARGE: Geometry = Geometry {
    slot_size: 288,
    ..SMALL
};

/// Where the index words of a channel lie.
const INDEX_WORDS: [usize; 4] = [0, 4, 64, 68];

/// Explores every interleaving of `scenario`.
fn explore(scenario: impl Fn() + Sync + Send + 'static) {
    check(None, scenario);
}

/// Explores the interleavings with at most `preemptions` switches away from a thread that could go on: for scenarios that have too
/// many.
fn explore_bounded(preemptions: usize, scenario: impl Fn() + Sync + Send + 'static) {
    check(Some(preemptions), scenario);
}

fn check(preemptions: Option<usize>, scenario: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    // An endless loop is reported.
    builder.max_branches = 2_000;
    builder.check(scenario);
}

/// Both ends of a channel whose indices have come to `start`.
fn pair_at(start: u32, geometry: Geometry) -> (Driver, Stack, Shm) {
    let memory = Shm::heap(Driver::bytes(geometry));
    for word in INDEX_WORDS {
        memory.store(word, start, Ordering::Relaxed).unwrap();
    }
    let mut driver = Driver::new(memory.clone(), Side::Client, geometry).unwrap();
    let mut stack = Stack::new(memory.clone(), Side::Stack, geometry).unwrap();
    driver.start_at(start);
    stack.start_at(start);
    (driver, stack, memory)
}

/// The wrap of the indices comes after the first message.
fn pair() -> (Driver, Stack, Shm) {
    pair_at(u32::MAX, SMALL)
}

fn message(n: u16) -> ToDriver {
    ToDriver::Transmit {
        buffer: n,
        len: 1000 + n,
        offload: Offload::Nothing,
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
