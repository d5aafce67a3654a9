//! What a peer may write where it should not: an error at most, and bounded work.

use super::*;
use proptest::prelude::*;
use std::string::ToString;

#[test]
fn a_message_of_nonsense_is_an_error_and_consumed() {
    let memory = Shm::heap(Driver::bytes(FRAME_CHANNEL));
    let mut stack = Stack::new(memory.clone(), Side::Stack, FRAME_CHANNEL).unwrap();
    let slots = FRAME_CHANNEL.client().slots;
    let nonsense: [(&[u8], PeerError); 5] = [
        (&[0, 0], PeerError::Decode(codec::DecodeError::Malformed)),
        (&[15, 0, 0], PeerError::Length),
        (&[1, 0, 9], PeerError::Decode(codec::DecodeError::Malformed)),
        (
            &[3, 0, 2, 0, 0],
            PeerError::Decode(codec::DecodeError::TrailingBytes),
        ),
        (
            &[3, 0, 0x81, 0, 7],
            PeerError::Decode(codec::DecodeError::Malformed),
        ),
    ];
    for (slot, (bytes, _)) in nonsense.iter().enumerate() {
        memory.write(slots + slot * 16, bytes).unwrap();
    }
    memory.store(0, 5, Ordering::Relaxed).unwrap();
    for (bytes, error) in nonsense {
        assert_eq!(stack.receive(), Err(error), "{bytes:?}");
    }
    assert_eq!(stack.receive(), Ok(None));
}

#[test]
fn an_index_out_of_range_is_work_and_then_an_error() {
    let memory = Shm::heap(Driver::bytes(FRAME_CHANNEL));
    let mut stack = Stack::new(memory.clone(), Side::Stack, FRAME_CHANNEL).unwrap();
    assert!(stack.prepare_sleep());
    memory.store(0, 1025, Ordering::Relaxed).unwrap();
    assert!(!stack.prepare_sleep());
    assert_eq!(stack.receive(), Err(PeerError::Index));
    memory.store(4, 1, Ordering::Relaxed).unwrap();
    assert_eq!(stack.room(), Err(PeerError::Index));
    assert_eq!(
        PeerError::Index.to_string(),
        "the peer published an index out of range"
    );
}

#[derive(Clone, Debug)]
enum Step {
    Send,
    Receive,
    Room,
    Raise(u16),
    Take,
    Flush,
    Sleep,
    Awake,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Send),
        Just(Step::Receive),
        Just(Step::Room),
        (0_u16..80).prop_map(Step::Raise),
        Just(Step::Take),
        Just(Step::Flush),
        Just(Step::Sleep),
        Just(Step::Awake),
    ]
}

proptest! {
    #![proptest_config(crate::property_tests(256))]

    /// Whatever a peer writes anywhere: no panic, no event out of range, bounded work.
    #[test]
    fn no_memory_content_breaks_an_end(
        steps in prop::collection::vec(
            (step(), 0_usize..200, prop_oneof![any::<u32>(), 0_u32..8]),
            0..crate::STEPS,
        ),
    ) {
        let small = Geometry { slot_size: 16, slots: 4, sockets: 40 };
        let memory = Shm::heap(Driver::bytes(small));
        let mut stack = Stack::new(memory.clone(), Side::Stack, small).unwrap();
        for (step, place, value) in steps {
            let offset = match place {
                // The words at the starts of the lines, then all the rest.
                0..32 => place / 2 * 64 + place % 2 * 4,
                other => other * 4 % memory.len(),
            };
            let _ = memory.store(offset, value, Ordering::Relaxed);
            match step {
                Step::Send => { let _ = stack.send(&receive(1)); }
                Step::Receive => { let _ = stack.receive(); }
                Step::Room => if let Ok(room) = stack.room() { prop_assert!(room <= 4); },
                Step::Raise(index) => stack.raise(index),
                Step::Take => {
                    let mut count = 0;
                    let mut last = None;
                    stack.take_events(&mut |index| {
                        assert!(index < 40 && last < Some(index));
                        last = Some(index);
                        count += 1;
                    });
                    prop_assert!(count <= 40);
                }
                Step::Flush => { let _ = stack.flush(); }
                Step::Sleep => { let _ = stack.prepare_sleep(); }
                Step::Awake => stack.awake(),
            }
        }
    }
}
