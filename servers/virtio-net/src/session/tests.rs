//! A session between a fake device and a hand-driven stack: the rig, and correct traffic.

mod events;
mod halves;
mod hostile;
mod offloads;

use super::{terms::MS, *};
use crate::{
    fake::{self, EVENT_IDX, FakeNic, frame},
    queue::SENT_AT_ONCE,
};
use ipc_proto::{
    frame::{Checksum, HEADROOM, Offload, Offloads},
    shm::Shm,
};
use std::{boxed::Box, sync::MutexGuard, vec, vec::Vec};

/// Buffers to receive into, and as many to send from.
const BUFFERS: u16 = 32;

struct Rig {
    device: FakeNic,
    session: Session<FakeNic>,
    stack: Channel<ToDriver, ToStack>,
    pool: Shm,
    /// The pool to send from.
    frames: Shm,
    now: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(BUFFERS, BUFFERS)
    }

    fn with(receive: u16, send: u16) -> Rig {
        Rig::offloading([receive, send].map(fake::small), Offloads::default())
    }

    fn offloading([receive, send]: [Pool; 2], offloads: Offloads) -> Rig {
        Rig::on(FakeNic::new(), [receive, send], offloads)
    }

    /// With a device that knows no indices of events.
    fn old() -> Rig {
        let device = FakeNic::new();
        device.0.borrow_mut().offered &= !EVENT_IDX;
        Rig::on(device, [fake::small(BUFFERS); 2], Offloads::default())
    }

    fn on(device: FakeNic, [receive, send]: [Pool; 2], offloads: Offloads) -> Rig {
        let turn = fake::take_turn();
        let [pool, frames] = fake::pools(&device, [receive, send]);
        let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let nic = Nic::start(device.transport(), fake::memory([receive, send]), offloads).unwrap();
        let shared = Shared {
            channel: memory.clone(),
            pool: pool.clone(),
            receive,
            send,
            offloads,
        };
        Rig {
            device,
            session: Session::new(nic, shared, true, 0).unwrap(),
            stack: Channel::new(memory, Side::Stack, FRAME_CHANNEL).unwrap(),
            pool,
            frames,
            now: 0,
            _turn: turn,
        }
    }

    fn give(&mut self, message: ToDriver) {
        self.stack.send(&message).unwrap();
        let _ = self.stack.flush();
    }

    fn give_receive(&mut self, buffers: core::ops::Range<u16>) {
        for buffer in buffers {
            self.give(receive(buffer, 1));
        }
    }

    /// Where the frame of a buffer starts in the pool to receive into.
    fn place(&self, buffer: u16) -> usize {
        let [receive, _] = self.device.0.borrow().layouts;
        receive.place(buffer).unwrap().0 + HEADROOM
    }

    /// Has the stack send a frame.
    fn send(&mut self, buffer: u16, bytes: &[u8]) {
        self.send_with(buffer, bytes, Offload::Nothing);
    }

    fn send_with(&mut self, buffer: u16, bytes: &[u8], offload: Offload) {
        let place = self.session.send.place(buffer).unwrap().0 + HEADROOM;
        self.frames.write(place, bytes).unwrap();
        let len = bytes.len() as u16;
        self.give(ToDriver::Transmit {
            buffer,
            len,
            offload,
        });
    }

    fn pass(&mut self) -> Result<Pass, SessionError> {
        self.session.pass(self.now, Wake::default())
    }

    /// What the stack is told.
    fn told(&mut self) -> Vec<ToStack> {
        core::iter::from_fn(|| self.stack.receive().unwrap()).collect()
    }

    /// The error that a pass ends with.
    fn device_error(&mut self) -> DeviceError {
        match self.pass() {
            Err(SessionError::Device(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    fn stack_error(&mut self) -> StackError {
        match self.pass() {
            Err(SessionError::Stack(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

/// What the stack is told of a frame, where checksums are its own business.
fn received(buffer: u16, len: u32) -> ToStack {
    ToStack::Received {
        buffer,
        len,
        checksum: Checksum::Unknown,
    }
}

/// Empty buffers.
fn receive(first: u16, count: u16) -> ToDriver {
    ToDriver::Receive {
        buffers: Run { first, count },
    }
}

/// Buffers that come back.
fn transmitted(first: u16, count: u16) -> ToStack {
    ToStack::Transmitted {
        buffers: Run { first, count },
    }
}

/// A complete frame to send.
fn transmit(buffer: u16, len: u16) -> ToDriver {
    ToDriver::Transmit {
        buffer,
        len,
        offload: Offload::Nothing,
    }
}

#[test]
fn frames_travel_both_ways_and_buffers_come_back() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    for round in 0..1000u16 {
        let bytes = frame(round as u8, 14 + usize::from(round) % 1500);
        let buffer = rig.device.receive(&bytes).unwrap();
        rig.send(8, &bytes);
        rig.pass().unwrap();
        let sent = rig.device.transmit();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0][..12], [0; 12]);
        assert_eq!(sent[0][12..], *bytes);
        rig.session
            .pass(
                0,
                Wake {
                    watchdog: true,
                    ..Wake::default()
                },
            )
            .unwrap();
        let len = bytes.len() as u32;
        let expected = [received(buffer, len), transmitted(8, 1)];
        assert_eq!(rig.told(), expected);
        let mut content = Box::<[u8]>::from(std::vec![0; bytes.len()]);
        rig.pool.read(rig.place(buffer), &mut content).unwrap();
        assert_eq!(content, bytes);
        rig.give(receive(buffer, 1));
    }
    let counters = rig.session.counters();
    assert_eq!((counters.received, counters.transmitted), (1000, 1000));
}

#[test]
fn only_the_features_in_use_are_negotiated() {
    let rig = Rig::new();
    let accepted = rig.device.0.borrow().accepted;
    assert_eq!(
        accepted,
        1 << 3 | 1 << 5 | 1 << 16 | EVENT_IDX | 1 << 32 | 1 << 33
    );
}

#[test]
fn a_batch_takes_one_kick_and_one_doorbell() {
    let mut rig = Rig::new();
    rig.give_receive(0..30);
    for buffer in 8..28 {
        rig.send(buffer, &frame(1, 60));
    }
    assert!(rig.stack.prepare_sleep());
    rig.pass().unwrap();
    let kicks = rig.device.0.borrow().queues.map(|queue| queue.kicks);
    assert_eq!(kicks, [1, 1]);
    for seed in 0..10 {
        rig.device.receive(&frame(seed, 100)).unwrap();
    }
    assert!(rig.pass().unwrap().ring_stack);
    let pass = rig.pass().unwrap();
    assert!(!pass.ring_stack && !pass.waits_for_stack, "{pass:?}");
    assert_eq!(rig.told().len(), 10);
}

#[test]
fn a_sleeping_stack_is_not_woken_for_one_sent_frame_but_gets_it_back_in_time() {
    let mut rig = Rig::new();
    rig.send(8, &frame(1, 60));
    rig.pass().unwrap();
    let deadline = rig.session.prepare_sleep(rig.now).unwrap().unwrap();
    assert_eq!(deadline, RETURN_WITHIN);
    assert!(
        !rig.device.wants_interrupt(1),
        "one frame is not worth an interrupt"
    );
    rig.device.transmit();
    assert!(rig.stack.prepare_sleep());
    assert!(!rig.pass().unwrap().ring_stack);
    assert_eq!(rig.told(), []);
    let watchdog = Wake {
        watchdog: true,
        ..Wake::default()
    };
    assert!(rig.session.pass(deadline, watchdog).unwrap().ring_stack);
    assert_eq!(rig.told(), [transmitted(8, 1)]);
    assert_eq!(rig.session.prepare_sleep(0).unwrap(), Some(WATCHDOG));
}

#[test]
fn sent_buffers_go_along_with_received_frames_several_at_a_time() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    for (sent, back) in [(8, None), (9, Some(transmitted(8, 2)))] {
        rig.send(sent, &frame(1, 60));
        rig.pass().unwrap();
        rig.device.transmit();
        let buffer = rig.device.receive(&frame(1, 60)).unwrap();
        rig.pass().unwrap();
        let expected = [received(buffer, 60)].into_iter().chain(back);
        assert_eq!(rig.told(), expected.collect::<Vec<_>>());
    }
}

/// The watchdog barks only when nothing happens.
#[test]
fn a_sent_buffer_comes_back_in_time_while_frames_keep_coming() {
    let mut rig = Rig::with(256, 256);
    rig.give_receive(0..200);
    rig.send(44, &frame(1, 60));
    rig.pass().unwrap();
    rig.device.transmit();
    let mut told = Vec::new();
    while rig.now <= RETURN_WITHIN + 10 * MS {
        rig.device.receive(&frame(2, 60)).unwrap();
        rig.pass().unwrap();
        told.extend(rig.told());
        assert!(rig.session.prepare_sleep(rig.now).unwrap().is_some());
        rig.now += 10 * MS;
    }
    assert!(told.contains(&transmitted(44, 1)), "{told:?}");
}

#[test]
fn more_buffers_than_descriptors_wait_their_turn() {
    let mut rig = Rig::with(400, 300);
    rig.give_receive(0..400);
    for buffer in 0..300 {
        rig.send(buffer, &frame(1, 60));
    }
    while rig.pass().unwrap().again {}
    for at_once in [SENT_AT_ONCE, SENT_AT_ONCE, 300 - 2 * SENT_AT_ONCE] {
        assert_eq!(rig.device.transmit().len(), at_once);
        rig.pass().unwrap();
    }
    for _ in 0..400 {
        rig.device
            .receive(&frame(1, 60))
            .or_else(|| {
                rig.pass().unwrap();
                rig.device.receive(&frame(1, 60))
            })
            .unwrap();
    }
    while rig.pass().unwrap().again {}
    rig.pass().unwrap();
    let (mut received, mut sent) = (0, 0);
    for message in rig.told() {
        match message {
            ToStack::Received { .. } => received += 1,
            ToStack::Transmitted { buffers } => sent += buffers.count,
            ToStack::Link { .. } => {}
        }
    }
    assert_eq!((received, sent), (400, 300));
}

#[test]
fn a_stack_that_does_not_read_costs_neither_buffers_nor_time() {
    // More buffers than slots on the ring, so that the ring can fill.
    let mut rig = Rig::with(2500, 500);
    let mut given = 0;
    let mut received = 0;
    while given < 2500 {
        let batch = (2500 - given).min(200);
        rig.give_receive(given..given + batch);
        given += batch;
        rig.pass().unwrap();
        while rig.device.receive(&frame(1, 60)).is_some() {
            received += 1;
        }
        rig.pass().unwrap();
    }
    // The ring is full: the driver sleeps without looking at what the device goes on to receive.
    assert!(received > 1024);
    let pass = rig.pass().unwrap();
    assert!(!pass.ring_stack && pass.waits_for_stack, "{pass:?}");
    let mut told = Vec::new();
    for _ in 0..100 {
        if rig.session.prepare_sleep(0).unwrap().is_some() {
            let before = told.len();
            while let Some(message) = rig.stack.receive().unwrap() {
                told.push(message);
            }
            if told.len() > before && told.len() <= 2048 {
                assert!(
                    rig.stack.flush(),
                    "the driver asked to be woken when there is room"
                );
            }
        }
        rig.pass().unwrap();
        while rig.device.receive(&frame(1, 60)).is_some() {
            received += 1;
        }
    }
    told.extend(rig.told());
    assert_eq!((told.len(), received), (2500, 2500));
}

#[test]
fn runts_are_dropped_and_their_buffers_used_again() {
    let mut rig = Rig::new();
    rig.give_receive(0..1);
    rig.pass().unwrap();
    for len in [0, 1, 13] {
        rig.device.receive(&frame(1, len)).unwrap();
        rig.pass().unwrap();
    }
    assert_eq!(rig.told(), []);
    assert_eq!(rig.session.counters().runts, 3);
    rig.device.receive(&frame(1, 14)).unwrap();
    rig.pass().unwrap();
    assert_eq!(rig.told(), [received(0, 14)]);
}

#[test]
fn link_changes_are_reported_once() {
    let mut rig = Rig::new();
    let config = Wake {
        config_changed: true,
        ..Wake::default()
    };
    rig.session.pass(0, config).unwrap();
    assert_eq!(rig.told(), []);
    rig.device.set_link(false);
    rig.session.pass(0, config).unwrap();
    rig.session.pass(0, config).unwrap();
    assert_eq!(rig.told(), [ToStack::Link { up: false }]);
    rig.device.set_link(true);
    rig.session.pass(0, config).unwrap();
    assert_eq!(rig.told(), [ToStack::Link { up: true }]);
}
