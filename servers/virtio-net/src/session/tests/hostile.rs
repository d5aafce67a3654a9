//! Everything that device and stack may do wrong.

use super::*;
use crate::{device::MAX_FRAME, fake::NEEDS_RESET};
use proptest::prelude::*;

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
    let expected = received(1, 100);
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
    rig.send(8, &frame(1, 60));
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
        rig.give(receive(buffer, 1));
        assert_eq!(rig.stack_error(), StackError::NoSuchBuffer(buffer));
        drop(rig);
        let mut rig = Rig::new();
        rig.give(transmit(buffer, 60));
        assert_eq!(rig.stack_error(), StackError::NoSuchBuffer(buffer));
    }
}

#[test]
fn runs_of_buffers_that_make_no_sense_end_the_session() {
    for (first, count) in [
        (0, 0),
        (BUFFERS - 1, 2),
        (0, BUFFERS + 1),
        (1, u16::MAX),
        (u16::MAX, u16::MAX),
    ] {
        let mut rig = Rig::new();
        rig.give(receive(first, count));
        assert_eq!(rig.stack_error(), StackError::NoSuchBuffer(first));
    }
    let mut rig = Rig::new();
    rig.give(receive(3, 1));
    rig.give(receive(0, 8));
    assert_eq!(rig.stack_error(), StackError::NotYours(0));
}

#[test]
fn a_buffer_given_twice_ends_the_session() {
    let mut rig = Rig::new();
    rig.give(receive(3, 1));
    rig.pass().unwrap();
    rig.give(receive(3, 1));
    assert_eq!(rig.stack_error(), StackError::NotYours(3));
    drop(rig);
    let mut rig = Rig::new();
    // Its namesake in the other pool is another buffer.
    rig.give(receive(3, 1));
    rig.send(3, &frame(1, 60));
    rig.pass().unwrap();
    rig.give(transmit(3, 60));
    assert_eq!(rig.stack_error(), StackError::NotYours(3));
}

#[test]
fn of_a_frame_to_send_only_the_first_descriptor_is_one_that_comes_back() {
    for id in [1, 2, 3, 254, 255, 256] {
        let mut rig = Rig::new();
        rig.send(5, &frame(1, 60));
        rig.pass().unwrap();
        rig.device.push_used(1, id, 0);
        let expected = DeviceError::UsedId { queue: 1, id };
        assert_eq!(rig.device_error(), expected);
        assert_eq!(rig.told(), []);
    }
}

#[test]
fn what_a_device_writes_over_descriptors_of_frames_to_send_has_no_effect() {
    let mut rig = Rig::new();
    rig.send(5, &frame(1, 60));
    rig.pass().unwrap();
    rig.device.corrupt_descriptors(1);
    rig.device.push_used(1, 0, u32::MAX);
    let watchdog = Wake {
        watchdog: true,
        ..Wake::default()
    };
    rig.session.pass(0, watchdog).unwrap();
    assert_eq!(rig.told(), [transmitted(5, 1)]);
}

#[test]
fn frames_of_impossible_length_end_the_session() {
    for len in [0, 13, 2031, 65535] {
        let mut rig = Rig::new();
        rig.give(transmit(3, len));
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
    let full = fake::small(BUFFERS).bytes();
    for (channel, pool) in [
        (channel_len - 64, full),
        (0, full),
        (channel_len, full - 1),
        (channel_len, 0),
    ] {
        let nic = Nic::start(
            device.transport(),
            fake::memory([fake::small(BUFFERS); 2]),
            Offloads::default(),
        )
        .unwrap();
        let shared = Shared {
            channel: Shm::heap(channel),
            pool: Shm::heap(pool),
            receive: fake::small(BUFFERS),
            send: fake::small(BUFFERS),
            offloads: Offloads::default(),
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
        8 => (0..BUFFERS - 3, 1u16..4)
            .prop_map(|(first, count)| Step::Give(receive(first, count))),
        8 => (0..BUFFERS, 14u16..1500)
            .prop_map(|(buffer, len)| Step::Give(transmit(buffer, len))),
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
        // By pool.
        let mut given = [[false; BUFFERS as usize]; 2];
        for step in steps {
            let outcome = match step {
                Step::Give(message) => {
                    let (pool, range) = match message {
                        ToDriver::Receive { buffers } => (0, buffers.range()),
                        ToDriver::Transmit { buffer, .. } => (1, Run::one(buffer).range()),
                    };
                    // Given once only; what happens otherwise is tested above.
                    let given = &mut given[pool][range];
                    if !given.contains(&true) {
                        given.fill(true);
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
                let (pool, range) = match message {
                    ToStack::Received { buffer, .. } => (0, Run::one(buffer).range()),
                    ToStack::Transmitted { buffers } => (1, buffers.range()),
                    ToStack::Link { .. } => continue,
                };
                let given = &mut given[pool][range];
                prop_assert!(!given.contains(&false), "{message:?}");
                given.fill(false);
                if let ToStack::Received { len, .. } = message {
                    prop_assert!((ETHERNET_HEADER..=MAX_FRAME).contains(&(len as usize)));
                }
            }
            if outcome.is_err() {
                break;
            }
        }
    }
}
