//! Every width that this processor has, against slices: all lengths around every limit, all alignments, every overlap, and guards
//! on both sides.

use crate::{SMALL, copy, copy_overlapping, fill, level::Level, sum::sum_rounds_plain, wide};
use proptest::prelude::*;
extern crate std;
use std::{vec, vec::Vec};

/// Bytes on both sides that must stay as they are.
const GUARD: usize = 64;

/// The widths that can be tested here.
fn levels() -> impl Iterator<Item = Level> {
    [Level::General, Level::Sse, Level::Avx]
        .into_iter()
        .filter(|level| *level <= Level::current())
}

/// Bytes that differ from their neighbours, and from those of another `seed`.
fn noise(len: usize, seed: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at.wrapping_mul(31) ^ at >> 8).wrapping_add(seed) as u8)
        .collect()
}

/// Copies in a buffer, `len` bytes from one offset to another, in all ways that the overlap permits.
fn check_copy(from: usize, to: usize, len: usize) {
    let mut expected = noise(from.max(to) + len + GUARD, len);
    let original = expected.clone();
    expected.copy_within(from..from + len, to);
    let check = |what: &str, run: &dyn Fn(*mut u8, *const u8)| {
        let mut buffer = original.clone();
        let base = buffer.as_mut_ptr();
        run(base.wrapping_add(to), base.wrapping_add(from));
        assert!(
            buffer == expected,
            "{what}: {len} bytes from {from} to {to}"
        );
    };
    let apart = from.abs_diff(to) >= len;
    let up = to <= from || apart;
    // SAFETY: here and below, both places lie in `buffer`, whose only reference is idle; `up` and `down` say what the functions want.
    check("any", &|to, from| unsafe {
        copy_overlapping(to, from, len)
    });
    if up {
        // SAFETY: as above.
        check("up", &|to, from| unsafe { copy(to, from, len) });
    }
    if len <= SMALL {
        return;
    }
    for level in levels() {
        if up {
            // SAFETY: as above.
            check("up", &|to, from| unsafe {
                wide::copy_up_with(level, to, from, len)
            });
        }
        if to >= from || apart {
            // SAFETY: as above.
            check("down", &|to, from| unsafe {
                wide::copy_down_with(level, to, from, len)
            });
        }
    }
}

fn check_fill(to: usize, byte: u8, len: usize) {
    let original = noise(to + len + GUARD, len);
    let mut expected = original.clone();
    expected[to..to + len].fill(byte);
    let check = |what: &str, run: &dyn Fn(*mut u8)| {
        let mut buffer = original.clone();
        run(buffer.as_mut_ptr().wrapping_add(to));
        assert!(buffer == expected, "{what}: {len} bytes at {to}");
    };
    // SAFETY: the place lies in `buffer`, whose only reference is idle.
    check("any", &|to| unsafe { fill(to, byte, len) });
    let pattern = u64::from_ne_bytes([byte; 8]);
    for level in levels().filter(|_| len > SMALL) {
        // SAFETY: as above.
        check("fill", &|to| unsafe {
            wide::fill_with(level, to, pattern, len)
        });
    }
}

#[test]
fn every_length_arrives_whole() {
    for len in 0..=1100 {
        check_copy(GUARD, 2 * GUARD + len, len);
        check_fill(GUARD, 0xa5, len);
    }
}

#[test]
fn every_alignment_does() {
    for len in [1, 7, 8, 15, 16, 31, 33, 64, 65, 128, 200, 256, 257, 600] {
        for from in 0..64 {
            for to in [0, 1, 7, 8, 31, 32, 63] {
                check_copy(GUARD + from, 2 * GUARD + 64 + len + to, len);
            }
            check_fill(GUARD + from, 0, len);
        }
    }
}

#[test]
fn every_overlap_of_some_lengths_does() {
    for len in [
        1, 5, 16, 32, 33, 64, 100, 128, 129, 255, 256, 257, 300, 513, 600,
    ] {
        for shift in 0..=len + 1 {
            check_copy(GUARD, GUARD + shift, len);
            check_copy(GUARD + shift, GUARD, len);
        }
    }
}

#[test]
fn nothing_is_touched_when_there_is_nothing_to_do() {
    let nowhere = core::ptr::null_mut();
    // SAFETY: no bytes at either place.
    unsafe { copy(nowhere, nowhere, 0) };
    // SAFETY: as above.
    unsafe { copy_overlapping(nowhere, nowhere, 0) };
    // SAFETY: as above.
    unsafe { fill(nowhere, 1, 0) };
}

/// A peer that writes all the time: the copy ends, and each byte is one that was written.
#[test]
fn copies_may_race() {
    use core::sync::atomic::{AtomicU8, Ordering};
    let shared: Vec<AtomicU8> = (0..600).map(|_| AtomicU8::new(0)).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..100 {
                for byte in &shared {
                    byte.store(round, Ordering::Relaxed);
                }
            }
        });
        for len in 0..600 {
            let mut out = vec![0xff; len];
            // SAFETY: the bytes live, and whoever changes them is what the function allows for.
            unsafe { copy(out.as_mut_ptr(), shared.as_ptr().cast(), len) };
            assert!(out.iter().all(|byte| *byte < 100));
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_copy_is_that_of_a_slice(from in 0_usize..3000, to in 0_usize..3000, len in 0_usize..3000) {
        check_copy(GUARD + from, GUARD + to, len);
    }

    #[test]
    fn any_fill_is_that_of_a_slice(to in 0_usize..64, byte in any::<u8>(), len in 0_usize..3000) {
        check_fill(GUARD + to, byte, len);
    }
}

/// The sum a byte at a time, as numbers that do not wrap.
fn plain_sum(bytes: &[u8]) -> u64 {
    let mut sum: u128 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        sum += u128::from(*byte) << (at % 8 * 8);
    }
    while sum > u128::from(u64::MAX) {
        sum = (sum >> 64) + (sum & u128::from(u64::MAX));
    }
    sum as u64
}

#[test]
fn sums_of_all_lengths_and_alignments_are_right() {
    let bytes = noise(700, 3);
    for start in 0..9 {
        for end in start..bytes.len() {
            let part = &bytes[start..end];
            assert_eq!(crate::sum(part), plain_sum(part), "{start}..{end}");
        }
    }
}

#[test]
fn processors_without_adx_sum_the_same() {
    let bytes = [noise(640, 5), vec![0xff; 640]].concat();
    let (rounds, _) = bytes.as_chunks();
    for count in 1..rounds.len() {
        let rounds = &rounds[..count];
        let expected = plain_sum(rounds.as_flattened());
        assert_eq!(sum_rounds_plain(rounds), expected, "{count} rounds");
    }
}

#[test]
fn carries_come_back() {
    for len in [8, 64, 72, 128, 200, 4096] {
        let ones = vec![0xff; len];
        assert_eq!(crate::sum(&ones), u64::MAX, "{len}");
        let mut mixed = ones.clone();
        mixed[0] = 1;
        assert_eq!(crate::sum(&mixed), plain_sum(&mixed), "{len}");
    }
    assert_eq!(crate::sum(&[]), 0);
}

proptest! {
    #[test]
    fn sums_of_any_bytes_are_right(bytes in proptest::collection::vec(prop_oneof![Just(0xffu8), any::<u8>()], 0..400)) {
        prop_assert_eq!(crate::sum(&bytes), plain_sum(&bytes));
    }
}
