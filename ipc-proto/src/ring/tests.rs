//! Tests of the ring against a queue, at the edges of capacity and index, and against a peer that lies.

use super::*;
use proptest::prelude::*;
use std::{collections::VecDeque, vec, vec::Vec};

const SIZE: usize = 32;
const TAIL: usize = 0;
const HEAD: usize = 64;
const SLOTS: usize = 128;

/// Both ends of a ring whose indices have already come to `start`, and its memory.
fn ring(count: u32, start: u32) -> (Producer, Consumer, Shm) {
    let memory = Shm::heap(SLOTS + SIZE * count as usize);
    memory.store(TAIL, start, Ordering::Relaxed).unwrap();
    memory.store(HEAD, start, Ordering::Relaxed).unwrap();
    let slots = memory.part(SLOTS, SIZE * count as usize).unwrap();
    let word = |offset| memory.word(offset).unwrap();
    let mut producer = Producer::new(slots.clone(), SIZE, count, word(TAIL), word(HEAD)).unwrap();
    let mut consumer = Consumer::new(slots, SIZE, count, word(TAIL), word(HEAD)).unwrap();
    producer.start_at(start);
    consumer.start_at(start);
    (producer, consumer, memory)
}

fn push(producer: &mut Producer, bytes: &[u8]) -> Result<bool, PeerError> {
    let mut slot = [0xee; MAX_SLOT];
    slot[LENGTH_SIZE..LENGTH_SIZE + bytes.len()].copy_from_slice(bytes);
    producer.push(&mut slot, LENGTH_SIZE + bytes.len())
}

fn pop(consumer: &mut Consumer) -> Result<Option<Vec<u8>>, PeerError> {
    let mut slot = [0; MAX_SLOT];
    Ok(consumer.pop(&mut slot)?.map(<[u8]>::to_vec))
}

#[test]
fn bad_geometries_are_refused() {
    let memory = Shm::heap(4096);
    let word = memory.word(0).unwrap();
    for (size, count, fits) in [
        (16, 1, true),
        (288, 8, true),
        (256, 16, true),
        (256, 32, false),
        (8, 4, false),
        (20, 4, false),
        (296, 4, false),
        (16, 0, false),
        (16, 3, false),
        (16, 1 << 17, false),
    ] {
        let producer = Producer::new(memory.clone(), size, count, word.clone(), word.clone());
        let consumer = Consumer::new(memory.clone(), size, count, word.clone(), word.clone());
        assert_eq!(producer.is_some(), fits, "{size} {count}");
        assert_eq!(consumer.is_some(), fits, "{size} {count}");
    }
}

#[test]
fn indices_wrap_around() {
    let (mut producer, mut consumer, _) = ring(4, u32::MAX - 1);
    for n in 0..20 {
        for k in 0..4 {
            assert_eq!(push(&mut producer, &[n, k]), Ok(true));
        }
        assert_eq!(push(&mut producer, &[9]), Ok(false));
        assert_eq!(producer.room(), Ok(0));
        assert!(producer.publish());
        assert!(!producer.publish());
        assert_eq!(consumer.waiting(), Ok(4));
        for k in 0..4 {
            assert_eq!(pop(&mut consumer), Ok(Some(vec![n, k])));
        }
        assert_eq!(pop(&mut consumer), Ok(None));
        assert_eq!(producer.room(), Ok(0), "not given back yet");
        assert!(consumer.publish());
        assert!(!consumer.publish());
        assert_eq!(producer.room(), Ok(4));
    }
}

#[test]
fn slots_carry_from_nothing_to_the_whole_slot() {
    let (mut producer, mut consumer, _) = ring(1, 0);
    for len in 0..=SIZE - LENGTH_SIZE {
        let bytes: Vec<u8> = (0..len as u8).collect();
        assert_eq!(push(&mut producer, &bytes), Ok(true));
        producer.publish();
        assert_eq!(pop(&mut consumer), Ok(Some(bytes)));
        consumer.publish();
    }
    let long = [0; SIZE - LENGTH_SIZE + 1];
    assert_eq!(push(&mut producer, &long), Err(PeerError::Length));
    let mut slot = [0; MAX_SLOT];
    assert_eq!(producer.push(&mut slot, 1), Err(PeerError::Length));
}

#[test]
fn nothing_private_is_left_in_the_padding() {
    let (mut producer, _, memory) = ring(1, 0);
    push(&mut producer, &[1, 2, 3]).unwrap();
    let mut slot = [0; SIZE];
    memory.read(SLOTS, &mut slot).unwrap();
    assert_eq!(slot[..8], [3, 0, 1, 2, 3, 0, 0, 0]);
    assert_eq!(slot[8..], [0; SIZE - 8]);
}

#[test]
fn a_head_out_of_range_is_an_error_for_the_producer() {
    for (head, result) in [
        (0, Ok(2)),
        (2, Ok(4)),
        (3, Err(PeerError::Index)), // beyond what was published
        (u32::MAX, Err(PeerError::Index)),
        (1 << 31, Err(PeerError::Index)),
    ] {
        let (mut producer, _, memory) = ring(4, 0);
        push(&mut producer, &[]).unwrap();
        push(&mut producer, &[]).unwrap();
        producer.publish();
        memory.store(HEAD, head, Ordering::Relaxed).unwrap();
        assert_eq!(producer.room(), result, "head {head}");
    }
    let (mut producer, _, memory) = ring(4, 0);
    for _ in 0..4 {
        push(&mut producer, &[]).unwrap();
    }
    memory.store(HEAD, 1, Ordering::Relaxed).unwrap();
    assert_eq!(producer.room(), Err(PeerError::Index), "staged only");
    producer.publish();
    memory.store(HEAD, 3, Ordering::Relaxed).unwrap();
    assert_eq!(producer.room(), Ok(3));
    memory.store(HEAD, 2, Ordering::Relaxed).unwrap();
    assert_eq!(producer.room(), Err(PeerError::Index), "backwards");
}

#[test]
fn a_tail_out_of_range_is_an_error_for_the_consumer() {
    for (tail, result) in [
        (0, Ok(0)),
        (4, Ok(4)),
        (5, Err(PeerError::Index)),
        (u32::MAX, Err(PeerError::Index)),
        (1 << 31, Err(PeerError::Index)),
    ] {
        let (_, mut consumer, memory) = ring(4, 0);
        memory.store(TAIL, tail, Ordering::Relaxed).unwrap();
        assert_eq!(consumer.waiting(), result, "tail {tail}");
    }
    let (_, mut consumer, memory) = ring(4, 0);
    memory.store(TAIL, 3, Ordering::Relaxed).unwrap();
    assert_eq!(consumer.waiting(), Ok(3));
    memory.store(TAIL, 2, Ordering::Relaxed).unwrap();
    assert_eq!(consumer.waiting(), Err(PeerError::Index), "backwards");
    memory.store(TAIL, 4, Ordering::Relaxed).unwrap();
    for _ in 0..4 {
        pop(&mut consumer).unwrap();
    }
    memory.store(TAIL, 5, Ordering::Relaxed).unwrap();
    assert_eq!(
        consumer.waiting(),
        Err(PeerError::Index),
        "into a slot not given back"
    );
    consumer.publish();
    assert_eq!(consumer.waiting(), Ok(1));
}

#[test]
fn a_length_beyond_the_slot_is_an_error_and_consumed() {
    let (mut producer, mut consumer, memory) = ring(4, 0);
    for length in [SIZE as u16 - 1, SIZE as u16, u16::MAX] {
        push(&mut producer, &[1]).unwrap();
        push(&mut producer, &[2]).unwrap();
        let bad = SLOTS
            + producer
                .slots
                .offset(producer.indices.next().wrapping_sub(2));
        memory.write(bad, &length.to_le_bytes()).unwrap();
        producer.publish();
        assert_eq!(pop(&mut consumer), Err(PeerError::Length));
        assert_eq!(pop(&mut consumer), Ok(Some(vec![2])));
        consumer.publish();
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(Vec<u8>),
    Pop,
    PublishProducer,
    PublishConsumer,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..=SIZE - LENGTH_SIZE).prop_map(Step::Push),
        3 => Just(Step::Pop),
        1 => Just(Step::PublishProducer),
        1 => Just(Step::PublishConsumer),
    ]
}

proptest! {
    #![proptest_config(crate::property_tests(256))]

    /// A ring is a queue whose entries appear, and whose places become free, when they are published.
    #[test]
    fn a_ring_is_a_queue(
        log2 in 0_u32..5,
        before_wrap in 0_u32..40,
        steps in prop::collection::vec(step(), 0..crate::STEPS),
    ) {
        let count = 1 << log2;
        let (mut producer, mut consumer, _) = ring(count as u32, 0_u32.wrapping_sub(before_wrap));
        let (mut staged, mut queue) = (VecDeque::new(), VecDeque::new());
        let mut taken = 0;
        for step in steps {
            match step {
                Step::Push(bytes) => {
                    let fits = staged.len() + queue.len() + taken < count;
                    prop_assert_eq!(push(&mut producer, &bytes), Ok(fits));
                    if fits {
                        staged.push_back(bytes);
                    }
                }
                Step::Pop => {
                    let next = queue.pop_front();
                    taken += usize::from(next.is_some());
                    prop_assert_eq!(pop(&mut consumer), Ok(next));
                }
                Step::PublishProducer => {
                    prop_assert_eq!(producer.is_staged(), !staged.is_empty());
                    prop_assert_eq!(producer.publish(), !staged.is_empty());
                    queue.append(&mut staged);
                }
                Step::PublishConsumer => {
                    prop_assert_eq!(consumer.is_staged(), taken > 0);
                    prop_assert_eq!(consumer.publish(), taken > 0);
                    taken = 0;
                }
            }
        }
    }

    /// Whatever a peer writes anywhere: no panic, and never more slots than there are.
    #[test]
    fn no_memory_content_breaks_an_end(
        steps in prop::collection::vec((step(), 0_usize..64, prop_oneof![any::<u32>(), 0_u32..12]), 0..crate::STEPS),
    ) {
        let (mut producer, mut consumer, memory) = ring(4, 0);
        let mut popped = 0;
        for (step, place, value) in steps {
            // Both index words are hit as often as the slots.
            let offset = match place { 0..16 => TAIL, 16..32 => HEAD, other => SLOTS + (other - 32) * 4 };
            memory.store(offset, value, Ordering::Relaxed).unwrap();
            match step {
                Step::Push(bytes) => { let _ = push(&mut producer, &bytes); }
                Step::Pop => match pop(&mut consumer) {
                    Ok(Some(bytes)) => {
                        prop_assert!(bytes.len() <= SIZE - LENGTH_SIZE);
                        popped += 1;
                    }
                    Ok(None) => {}
                    Err(_) => break,
                },
                Step::PublishProducer => { producer.publish(); }
                Step::PublishConsumer => { consumer.publish(); popped = 0; }
            }
            prop_assert!(popped <= 4, "more slots than the ring has, without giving any back");
            if let Ok(room) = producer.room() { prop_assert!(room <= 4); }
            if let Ok(waiting) = consumer.waiting() { prop_assert!(waiting <= 4); }
        }
    }
}
