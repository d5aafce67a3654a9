//! Tests of the window: bounds, and copies at every alignment.

use super::*;
use proptest::prelude::*;
use std::{thread, vec, vec::Vec};

#[test]
fn bounds_are_checked_without_overflow() {
    let shm = Shm::heap(100);
    assert_eq!(shm.len(), 100);
    assert!(!shm.is_empty());
    for (offset, len) in [
        (101, 0),
        (0, 101),
        (100, 1),
        (usize::MAX, 1),
        (1, usize::MAX),
    ] {
        assert!(shm.part(offset, len).is_none(), "{offset} {len}");
    }
    assert!(shm.part(100, 0).is_some_and(|part| part.is_empty()));
    for offset in [97, 100, 1, 2, 3, usize::MAX, usize::MAX - 3] {
        assert_eq!(shm.load(offset, Ordering::Relaxed), Err(OutOfBounds));
        assert_eq!(shm.store(offset, 1, Ordering::Relaxed), Err(OutOfBounds));
        assert_eq!(shm.swap(offset, 1, Ordering::Relaxed), Err(OutOfBounds));
        assert_eq!(shm.fetch_or(offset, 1, Ordering::Relaxed), Err(OutOfBounds));
        assert!(shm.word(offset).is_err());
    }
    assert_eq!(shm.read(99, &mut [0; 2]), Err(OutOfBounds));
    assert_eq!(shm.write(99, &[1; 2]), Err(OutOfBounds));
    assert_eq!(shm.write(usize::MAX, &[1; 2]), Err(OutOfBounds));
    let other = Shm::heap(50);
    for (offset, at, len) in [
        (0, 0, 51),
        (99, 0, 2),
        (0, 49, 2),
        (usize::MAX, 0, 1),
        (0, usize::MAX, 1),
        (0, 0, usize::MAX),
    ] {
        assert_eq!(shm.pass(offset, &other, at, len), Err(OutOfBounds));
        assert_eq!(other.pass(at, &shm, offset, len), Err(OutOfBounds));
    }
    assert_eq!(shm.pass(100, &other, 50, 0), Ok(()));
    let mut all = [7; 100];
    shm.read(0, &mut all).unwrap();
    assert_eq!(all, [0; 100], "a refused access has changed something");
}

#[test]
fn words_of_a_misaligned_part_are_refused() {
    let shm = Shm::heap(64);
    let part = shm.part(2, 62).unwrap();
    assert!(part.word(0).is_err());
    part.store(2, 5, Ordering::Relaxed).unwrap();
    assert_eq!(shm.load(4, Ordering::Relaxed), Ok(5));
}

#[test]
fn parts_and_words_keep_the_memory_alive() {
    let (part, word) = {
        let shm = Shm::heap(64);
        (shm.part(8, 8).unwrap(), shm.word(8).unwrap())
    };
    assert_eq!(word.fetch_or(3, Ordering::AcqRel), 0);
    assert_eq!(word.swap(9, Ordering::AcqRel), 3);
    word.store(word.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    assert_eq!(part.load(0, Ordering::Relaxed), Ok(10));
}

/// A peer that writes all the time: the copy ends, and each byte is one that was written.
#[test]
fn copies_may_race() {
    let shm = Shm::heap(256);
    let peer = shm.clone();
    let writer = thread::spawn(move || {
        for round in 0..100_u8 {
            peer.write(0, &[round; 256]).unwrap();
        }
    });
    for _ in 0..100 {
        let mut copy = [0; 256];
        shm.read(0, &mut copy).unwrap();
        assert!(copy.iter().all(|byte| *byte < 100));
        let other = Shm::heap(256);
        // In the moves that the writer makes: the language describes no others that race (see the module).
        shm.pass(0, &other, 7, 248).unwrap();
        shm.pass(0, &shm, 8, 248).unwrap();
        other.read(0, &mut copy).unwrap();
        assert!(copy.iter().all(|byte| *byte < 100));
    }
    writer.join().unwrap();
}

proptest! {
    #![proptest_config(crate::property_tests(256))]

    /// Equivalent to a slice, whatever the alignment of both sides and the length.
    #[test]
    fn copies_are_those_of_a_slice(
        writes in prop::collection::vec((0_usize..300, prop::collection::vec(any::<u8>(), 0..200)), 1..8),
        reads in prop::collection::vec((0_usize..300, 0_usize..200, 0_usize..8), 1..8),
    ) {
        let shm = Shm::heap(300);
        let other = Shm::heap(250);
        let mut model = vec![0_u8; 300];
        for (offset, bytes) in writes {
            let place = model.get_mut(offset..offset + bytes.len());
            prop_assert_eq!(shm.write(offset, &bytes).is_ok(), place.is_some());
            if let Some(place) = place {
                place.copy_from_slice(&bytes);
            }
        }
        for (offset, len, shift) in reads {
            let expected = model.get(offset..offset + len);
            let mut out: Vec<u8> = vec![0xaa; shift + len];
            let result = shm.read(offset, &mut out[shift..]);
            prop_assert_eq!(result.is_ok(), expected.is_some());
            if let Some(expected) = expected {
                prop_assert_eq!(&out[shift..], expected);
                prop_assert_eq!(&out[..shift], &vec![0xaa; shift]);
            }
            let (at, fits) = (shift * 13, shift * 13 + len <= 250);
            let passed = shm.pass(offset, &other, at, len);
            prop_assert_eq!(passed.is_ok(), expected.is_some() && fits);
            if let (Some(expected), true) = (expected, fits) {
                let mut all = vec![0; 250];
                other.read(0, &mut all).unwrap();
                prop_assert_eq!(&all[at..at + len], expected);
                prop_assert!(all[..at].iter().chain(&all[at + len..]).all(|byte| *byte == 0));
                other.write(at, &vec![0; len]).unwrap();
            }
        }
    }
}
