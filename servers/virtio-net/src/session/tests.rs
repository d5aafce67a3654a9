//! A session between a fake device and a hand-driven stack: correct traffic, then everything that either may do wrong.

use super::*;
use crate::fake::{self, FakeNic, NEEDS_RESET, frame};
use proptest::prelude::*;
use std::{boxed::Box, sync::MutexGuard};

const BUFFERS: u16 = 64;
const RECEIVE_BUFFERS: u16 = 32;

struct Rig {
    device: FakeNic,
    session: Session<FakeNic>,
    stack: Channel<ToDriver, ToStack>,
    pool: Shm,
    now: u64,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(BUFFERS, RECEIVE_BUFFERS)
    }

    fn with(buffers: u16, receive_buffers: u16) -> Rig {
        let turn = fake::take_turn();
        let device = FakeNic::new();
        let pool = fake::pool(&device, buffers);
        let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
        let nic = Nic::start(device.transport(), fake::memory(buffers)).unwrap();
        let shared = Shared {
            channel: memory.clone(),
            pool: pool.clone(),
            buffers,
            receive_buffers,
        };
        Rig {
            device,
            session: Session::new(nic, shared, true, 0).unwrap(),
            stack: Channel::new(memory, Side::Stack, FRAME_CHANNEL).unwrap(),
            pool,
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
            self.give(ToDriver::Receive { buffer });
        }
    }

    /// Has the stack send a frame.
    fn send(&mut self, buffer: u16, bytes: &[u8]) {
        let at = usize::from(buffer) * BUFFER_SIZE + HEADER_START + HEADER;
        self.pool.write(at, bytes).unwrap();
        let len = bytes.len() as u16;
        self.give(ToDriver::Transmit { buffer, len });
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

#[test]
fn frames_travel_both_ways_and_buffers_come_back() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    for round in 0..1000u16 {
        let bytes = frame(round as u8, 14 + usize::from(round) % 1500);
        let buffer = rig.device.receive(&bytes).unwrap();
        rig.send(40, &bytes);
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
        let len = bytes.len() as u16;
        let expected = [
            ToStack::Received { buffer, len },
            ToStack::Transmitted { buffer: 40 },
        ];
        assert_eq!(rig.told(), expected);
        let mut received = Box::<[u8]>::from(std::vec![0; bytes.len()]);
        let at = usize::from(buffer) * BUFFER_SIZE + HEADER_START + HEADER;
        rig.pool.read(at, &mut received).unwrap();
        assert_eq!(received, bytes);
        rig.give(ToDriver::Receive { buffer });
    }
    let counters = rig.session.counters();
    assert_eq!((counters.received, counters.transmitted), (1000, 1000));
}

#[test]
fn only_the_features_in_use_are_negotiated() {
    let rig = Rig::new();
    let accepted = rig.device.0.borrow().accepted;
    assert_eq!(accepted, 1 << 3 | 1 << 5 | 1 << 16 | 1 << 32 | 1 << 33);
}

#[test]
fn a_batch_takes_one_kick_and_one_doorbell() {
    let mut rig = Rig::new();
    rig.give_receive(0..30);
    for buffer in 40..60 {
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
    assert!(!rig.pass().unwrap().ring_stack);
    assert_eq!(rig.told().len(), 10);
}

#[test]
fn a_sleeping_stack_is_not_woken_for_one_sent_frame_but_gets_it_back_in_time() {
    let mut rig = Rig::new();
    rig.send(40, &frame(1, 60));
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
    assert_eq!(rig.told(), [ToStack::Transmitted { buffer: 40 }]);
    assert_eq!(rig.session.prepare_sleep(0).unwrap(), Some(WATCHDOG));
}

#[test]
fn a_stack_short_of_buffers_gets_them_back_by_interrupt() {
    let mut rig = Rig::new();
    for buffer in 32..64 {
        rig.send(buffer, &frame(1, 60));
    }
    rig.pass().unwrap();
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    assert!(rig.device.wants_interrupt(1));
    rig.device.transmit();
    rig.pass().unwrap();
    assert_eq!(rig.told().len(), 32);
}

#[test]
fn interrupts_are_off_while_polling_and_on_while_asleep() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    assert!(!rig.device.wants_interrupt(0));
    assert!(rig.session.prepare_sleep(0).unwrap().is_some());
    assert!(rig.device.wants_interrupt(0));
    rig.pass().unwrap();
    assert!(!rig.device.wants_interrupt(0));
}

#[test]
fn a_frame_that_arrives_while_falling_asleep_is_not_missed() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    rig.device.receive(&frame(1, 60)).unwrap();
    assert_eq!(rig.session.prepare_sleep(0).unwrap(), None);
    rig.pass().unwrap();
    assert_eq!(rig.told().len(), 1);
    rig.give_receive(10..11);
    assert_eq!(rig.session.prepare_sleep(0).unwrap(), None);
}

#[test]
fn more_buffers_than_descriptors_wait_their_turn() {
    let mut rig = Rig::with(700, 400);
    rig.give_receive(0..400);
    for buffer in 400..700 {
        rig.send(buffer, &frame(1, 60));
    }
    while rig.pass().unwrap().again {}
    assert_eq!(rig.device.transmit().len(), QUEUE_SIZE);
    rig.pass().unwrap();
    assert_eq!(rig.device.transmit().len(), 300 - QUEUE_SIZE);
    rig.pass().unwrap();
    for _ in 0..400 {
        rig.device
            .receive(&frame(1, 60))
            .or_else(|| {
                rig.pass().unwrap();
                rig.device.receive(&frame(1, 60))
            })
            .unwrap();
    }
    rig.pass().unwrap();
    rig.pass().unwrap();
    let told = rig.told();
    let received = told
        .iter()
        .filter(|message| matches!(message, ToStack::Received { .. }));
    assert_eq!(received.count(), 400);
    assert_eq!(told.len(), 700);
}

#[test]
fn a_stack_that_does_not_read_costs_neither_buffers_nor_time() {
    // More buffers than slots on the ring, so that the ring can fill.
    let mut rig = Rig::with(3000, 2500);
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
    assert_eq!(rig.told(), [ToStack::Received { buffer: 0, len: 14 }]);
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

// ---- a hostile or broken device ----

#[test]
fn used_ids_that_are_not_in_flight_end_the_session() {
    for id in [4, 255, 256, 65535, 0x1_0000, 0x1_0001, u32::MAX] {
        let mut rig = Rig::new();
        rig.give_receive(0..4);
        rig.pass().unwrap();
        rig.device.push_used(0, id, 100);
        let expected = DeviceError::UsedId { queue: 0, id };
        assert_eq!(rig.device_error(), expected);
        assert_eq!(rig.told(), []);
    }
}

#[test]
fn a_descriptor_returned_twice_ends_the_session_and_is_delivered_once() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    rig.device.push_used(0, 2, 100);
    rig.device.push_used(0, 2, 100);
    let expected = DeviceError::UsedId { queue: 0, id: 2 };
    assert_eq!(rig.device_error(), expected);
}

#[test]
fn used_lengths_beyond_the_buffer_or_below_the_header_end_the_session() {
    for len in [0, 11, 2043, 65536, u32::MAX] {
        let mut rig = Rig::new();
        rig.give_receive(0..4);
        rig.pass().unwrap();
        rig.device.push_used(0, 0, len);
        let expected = DeviceError::UsedLength { queue: 0, len };
        assert_eq!(rig.device_error(), expected);
        assert_eq!(rig.told(), []);
    }
}

#[test]
fn a_used_index_that_jumps_or_runs_backwards_ends_the_session() {
    for index in [5, 257, 0x8000, u16::MAX] {
        let mut rig = Rig::new();
        rig.give_receive(0..4);
        rig.pass().unwrap();
        rig.device.set_used_index(0, index);
        let expected = DeviceError::UsedIndex {
            queue: 0,
            claimed: index,
            in_flight: 4,
        };
        assert_eq!(rig.device_error(), expected);
    }
}

#[test]
fn descriptors_changed_by_the_device_have_no_effect() {
    let mut rig = Rig::new();
    rig.give_receive(0..4);
    rig.pass().unwrap();
    rig.device.corrupt_descriptors(0);
    rig.device.push_used(0, 1, 112);
    rig.pass().unwrap();
    let expected = ToStack::Received {
        buffer: 1,
        len: 100,
    };
    assert_eq!(rig.told(), [expected]);
}

#[test]
fn a_device_that_asks_for_a_reset_ends_the_session() {
    let mut rig = Rig::new();
    rig.device.0.borrow_mut().status |= NEEDS_RESET;
    let watchdog = Wake {
        watchdog: true,
        ..Wake::default()
    };
    let error = rig.session.pass(0, watchdog).unwrap_err();
    assert_eq!(error, SessionError::Device(DeviceError::NeedsReset));
}

#[test]
fn a_device_that_sits_on_frames_is_stuck_unless_the_link_is_down() {
    let mut rig = Rig::new();
    rig.send(40, &frame(1, 60));
    rig.pass().unwrap();
    rig.now = STUCK_AFTER - 1;
    rig.pass().unwrap();
    rig.device.set_link(false);
    let config = Wake {
        config_changed: true,
        ..Wake::default()
    };
    rig.session.pass(rig.now, config).unwrap();
    rig.now = 10 * STUCK_AFTER;
    rig.pass().unwrap();
    rig.device.set_link(true);
    rig.session.pass(rig.now, config).unwrap();
    rig.now += STUCK_AFTER;
    assert_eq!(rig.device_error(), DeviceError::Stuck);
}

#[test]
fn an_ended_session_leaves_the_device_reset() {
    let rig = Rig::new();
    let device = rig.device.clone();
    let resets = device.0.borrow().resets;
    drop(rig);
    assert_eq!(device.0.borrow().status, 0);
    assert_eq!(device.0.borrow().resets, resets + 1);
}

// ---- a hostile stack ----

#[test]
fn buffers_outside_the_pool_end_the_session() {
    for buffer in [BUFFERS, 65535] {
        let mut rig = Rig::new();
        rig.give(ToDriver::Receive { buffer });
        assert_eq!(rig.stack_error(), StackError::NoSuchBuffer(buffer));
        drop(rig);
        let mut rig = Rig::new();
        rig.give(ToDriver::Transmit { buffer, len: 60 });
        assert_eq!(rig.stack_error(), StackError::NoSuchBuffer(buffer));
    }
}

#[test]
fn a_buffer_given_twice_ends_the_session() {
    let mut rig = Rig::new();
    rig.give(ToDriver::Receive { buffer: 3 });
    rig.pass().unwrap();
    rig.give(ToDriver::Transmit { buffer: 3, len: 60 });
    assert_eq!(rig.stack_error(), StackError::NotYours(3));
}

#[test]
fn frames_of_impossible_length_end_the_session() {
    for len in [0, 13, 2031, 65535] {
        let mut rig = Rig::new();
        rig.give(ToDriver::Transmit { buffer: 3, len });
        let expected = StackError::BadLength { buffer: 3, len };
        assert_eq!(rig.stack_error(), expected);
        assert!(rig.device.take_frames().is_empty());
    }
}

#[test]
fn the_longest_and_the_shortest_frame_are_sent() {
    let mut rig = Rig::new();
    rig.send(3, &frame(1, MAX_FRAME));
    rig.send(4, &frame(1, ETHERNET_HEADER));
    rig.pass().unwrap();
    let lengths: Vec<usize> = rig.device.transmit().iter().map(Vec::len).collect();
    assert_eq!(lengths, [HEADER + MAX_FRAME, HEADER + ETHERNET_HEADER]);
}

#[test]
fn memory_that_is_too_small_is_refused() {
    let _turn = fake::take_turn();
    let device = FakeNic::new();
    let channel_len = Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL);
    let full = usize::from(BUFFERS) * BUFFER_SIZE;
    for (channel, pool) in [
        (channel_len - 64, full),
        (0, full),
        (channel_len, full - 1),
        (channel_len, 0),
    ] {
        let nic = Nic::start(device.transport(), fake::memory(BUFFERS)).unwrap();
        let shared = Shared {
            channel: Shm::heap(channel),
            pool: Shm::heap(pool),
            buffers: BUFFERS,
            receive_buffers: RECEIVE_BUFFERS,
        };
        let error = Session::new(nic, shared, true, 0).err();
        assert_eq!(error, Some(SessionError::Stack(StackError::BadMemory)));
    }
}

#[test]
fn garbage_on_the_channel_ends_the_session() {
    let mut rig = Rig::new();
    let memory = Shm::heap(Channel::<ToStack, ToDriver>::bytes(FRAME_CHANNEL));
    for at in (0..memory.len()).step_by(4) {
        memory
            .store(at, 0xffff_fffe, core::sync::atomic::Ordering::Relaxed)
            .unwrap();
    }
    rig.session.channel = Channel::new(memory, Side::Client, FRAME_CHANNEL).unwrap();
    assert_eq!(rig.stack_error(), StackError::Channel);
}

// ---- anything ----

#[derive(Clone, Debug)]
enum Step {
    Give(ToDriver),
    Receive(usize),
    Transmit,
    Used(usize, u32, u32),
    Index(usize, u16),
    Pass,
    Sleep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..BUFFERS).prop_map(|buffer| Step::Give(ToDriver::Receive { buffer })),
        8 => (0..BUFFERS, 14u16..1500)
            .prop_map(|(buffer, len)| Step::Give(ToDriver::Transmit { buffer, len })),
        8 => (0usize..1514).prop_map(Step::Receive),
        4 => Just(Step::Transmit),
        1 => (0usize..2, prop_oneof![any::<u32>(), 0u32..300], any::<u32>())
            .prop_map(|(queue, id, len)| Step::Used(queue, id, len)),
        1 => (0usize..2, any::<u16>()).prop_map(|(queue, index)| Step::Index(queue, index)),
        8 => Just(Step::Pass),
        2 => Just(Step::Sleep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever device and stack do, nothing panics, and a buffer comes back at most once for each time it was given.
    #[test]
    fn no_buffer_is_delivered_twice(steps in proptest::collection::vec(step(), 1..200)) {
        let mut rig = Rig::new();
        let mut given = [false; BUFFERS as usize];
        for step in steps {
            let outcome = match step {
                Step::Give(message) => {
                    let (ToDriver::Receive { buffer } | ToDriver::Transmit { buffer, .. }) = message;
                    // Given once only; what happens otherwise is tested above.
                    if !core::mem::replace(&mut given[usize::from(buffer)], true) {
                        rig.give(message);
                    }
                    Ok(())
                }
                Step::Receive(len) => {
                    rig.device.receive(&frame(7, len));
                    Ok(())
                }
                Step::Transmit => {
                    rig.device.transmit();
                    Ok(())
                }
                Step::Used(queue, id, len) => {
                    rig.device.push_used(queue, id, len);
                    Ok(())
                }
                Step::Index(queue, index) => {
                    rig.device.set_used_index(queue, index);
                    Ok(())
                }
                Step::Pass => rig.pass().map(|_| ()),
                Step::Sleep => rig.session.prepare_sleep(0).map(|_| ()),
            };
            for message in rig.told() {
                let (ToStack::Received { buffer, .. } | ToStack::Transmitted { buffer }) = message else {
                    continue;
                };
                prop_assert!(given[usize::from(buffer)], "{message:?}");
                given[usize::from(buffer)] = false;
                if let ToStack::Received { len, .. } = message {
                    prop_assert!((ETHERNET_HEADER..=MAX_FRAME).contains(&usize::from(len)));
                }
            }
            if outcome.is_err() {
                break;
            }
        }
    }
}
