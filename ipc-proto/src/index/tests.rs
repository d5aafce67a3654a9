//! Every state of the indices and every claim of the peer, against integers that do not wrap. Touches nothing.
//!
//! The widest run takes all states of 8-bit indices with all claims; the same code with 32 bits is run around the places
//! where a distance could go wrong: the wrap, the sign bit, zero.

use super::*;
use std::{collections::HashSet, vec, vec::Vec};

impl Width for u8 {
    fn wrapping_add(self, other: Self) -> Self {
        u8::wrapping_add(self, other)
    }

    fn wrapping_sub(self, other: Self) -> Self {
        u8::wrapping_sub(self, other)
    }
}

/// Converts between indices and the model's integers.
trait Number: Width + core::fmt::Debug {
    const VALUES: i64;
    fn from_model(number: i64) -> Self;
    fn to_model(self) -> i64;
}

impl Number for u8 {
    const VALUES: i64 = 1 << 8;
    fn from_model(number: i64) -> Self {
        number as u8
    }
    fn to_model(self) -> i64 {
        self.into()
    }
}

impl Number for u32 {
    const VALUES: i64 = 1 << 32;
    fn from_model(number: i64) -> Self {
        number as u32
    }
    fn to_model(self) -> i64 {
        self.into()
    }
}

/// The integer nearest to `base` that a claim can stand for when it may only have grown.
fn grown_from<I: Number>(base: i64, claim: I) -> i64 {
    base + (claim.to_model() - base).rem_euclid(I::VALUES)
}

/// Checks one claim against one state: positions without wrap, `a <= b <= c <= a + capacity`.
fn check_writing<I: Number>(capacity: i64, [head, published, tail]: [i64; 3], claim: I) {
    let mut indices = Writing {
        capacity: I::from_model(capacity),
        tail: I::from_model(tail),
        published: I::from_model(published),
        head: I::from_model(head),
    };
    let before = indices;
    let meant = grown_from(head, claim);
    let acceptable = meant <= published;
    assert_eq!(
        indices.look(claim).is_ok(),
        acceptable,
        "{before:?} {claim:?}"
    );
    if !acceptable {
        assert_eq!(indices, before, "a refused claim leaves no trace");
    }
    let head = if acceptable { meant } else { head };
    assert_eq!(indices.used().to_model(), tail - head);
    assert_eq!(indices.free().to_model(), capacity - (tail - head));
    assert_eq!(indices.is_staged(), published != tail);
    assert!(indices.queued(claim) <= indices.capacity());
    if acceptable {
        assert_eq!(indices.queued(claim).to_model(), tail - head);
    }
}

/// As [`check_writing`], for the other side.
fn check_reading<I: Number>(capacity: i64, [published, head, tail]: [i64; 3], claim: I) {
    let mut indices = Reading {
        capacity: I::from_model(capacity),
        head: I::from_model(head),
        published: I::from_model(published),
        tail: I::from_model(tail),
    };
    let before = indices;
    let meant = grown_from(tail, claim);
    let acceptable = meant <= published + capacity;
    assert_eq!(
        indices.look(claim).is_ok(),
        acceptable,
        "{before:?} {claim:?}"
    );
    if !acceptable {
        assert_eq!(indices, before, "a refused claim leaves no trace");
    }
    let tail = if acceptable { meant } else { tail };
    assert_eq!(indices.waiting().to_model(), tail - head);
    assert!(indices.waiting() <= indices.capacity());
    assert_eq!(indices.is_staged(), published != head);
    assert!(indices.queued(claim) <= indices.capacity());
    if acceptable {
        assert_eq!(indices.queued(claim).to_model(), tail - head);
    }
}

/// Every triple of positions from `start` on that the invariant allows.
fn states(capacity: i64, start: i64) -> impl Iterator<Item = [i64; 3]> {
    (0..=capacity)
        .flat_map(move |last| (0..=last).map(move |middle| [start, start + middle, start + last]))
}

/// All states of 8-bit indices with all 256 claims, for every capacity up to half of all values.
#[test]
fn every_claim_in_every_narrow_state() {
    let capacities: &[i64] = if cfg!(miri) { &[1] } else { &[1, 2, 4, 8, 128] };
    for &capacity in capacities {
        // The largest capacity has 8,385 states from each start: of those, one from which all indices wrap.
        let starts = match capacity {
            128 => 200..201,
            _ if cfg!(miri) => 250..256,
            _ => 0..256,
        };
        for start in starts {
            for state in states(capacity, start) {
                for claim in 0..=u8::MAX {
                    check_writing(capacity, state, claim);
                    check_reading(capacity, state, claim);
                }
            }
        }
    }
}

/// The same code at its real width: small capacities, all states, claims around everything that could matter.
#[test]
fn claims_near_every_edge_of_the_real_width() {
    let capacities: &[i64] = if cfg!(miri) {
        &[2]
    } else {
        &[1, 2, 4, 8, 1 << 16, 1 << 22]
    };
    let edges = [0, 1 << 16, 1 << 31, (1 << 32) - 1];
    for &capacity in capacities {
        // Of a large capacity, the states at its ends.
        let small = capacity.min(8);
        for base in edges {
            for start in base - 2 * small..=base + 2 * small {
                for state in states(small, start) {
                    let spread = |position: i64| {
                        if position - start > small / 2 {
                            position + (capacity - small)
                        } else {
                            position
                        }
                    };
                    let state = state.map(spread);
                    let near = [start, start + capacity, base, base + (1 << 31)];
                    for claim in near
                        .into_iter()
                        .flat_map(|at| at - 2 * small..=at + 2 * small)
                    {
                        check_writing(capacity, state, u32::from_model(claim));
                        check_reading(capacity, state, u32::from_model(claim));
                    }
                }
            }
        }
    }
}

/// No sequence of calls leads out of the invariant, whatever the peer claims in between: all states that can be reached from the empty
/// one, with 8-bit indices.
#[test]
fn no_claims_lead_out_of_the_invariant() {
    for capacity in [1_u8, 2, 4] {
        let mut seen = HashSet::new();
        let mut open = vec![(Writing::new(capacity, 0), Reading::new(capacity, 0))];
        while let Some((writing, reading)) = open.pop() {
            if !seen.insert((
                [writing.tail, writing.published, writing.head],
                [reading.tail, reading.published, reading.head],
            )) {
                continue;
            }
            assert!(writing.used() <= capacity && writing.free() <= capacity);
            assert!(writing.tail.wrapping_sub(writing.published) <= writing.used());
            assert!(reading.tail.wrapping_sub(reading.published) <= capacity);
            assert!(reading.waiting() <= reading.tail.wrapping_sub(reading.published));
            if cfg!(miri) && seen.len() > 50 {
                break;
            }
            // The two sides are independent: steps of one with the other unchanged are enough.
            for claim in 0..=u8::MAX {
                let (mut w, mut r) = (writing, reading);
                if w.look(claim).is_ok() && w != writing {
                    open.push((w, Reading::new(capacity, 0)));
                }
                if r.look(claim).is_ok() && r != reading {
                    open.push((Writing::new(capacity, 0), r));
                }
            }
            let (mut w, mut r) = (writing, reading);
            w.publish();
            r.publish();
            open.push((w, Reading::new(capacity, 0)));
            open.push((Writing::new(capacity, 0), r));
            if writing.free() > 0 {
                let mut w = writing;
                w.advance(1);
                open.push((w, Reading::new(capacity, 0)));
            }
            if reading.waiting() > 0 {
                let mut r = reading;
                r.advance(1);
                open.push((Writing::new(capacity, 0), r));
            }
        }
    }
}

/// Two honest sides are a queue: every order of steps of a small one, against its length.
#[test]
fn honest_sides_are_a_queue() {
    type State = (Writing<u8>, Reading<u8>, [i64; 4]);
    for (capacity, start) in [(1_u8, 255_u8), (2, 254), (2, 127), (4, 253)] {
        let mut seen = HashSet::new();
        // The model: written, made visible, taken, given back.
        let first = (
            Writing::new(capacity, start),
            Reading::new(capacity, start),
            [0; 4],
        );
        let mut open: Vec<State> = vec![first];
        while let Some((writing, reading, model)) = open.pop() {
            let [written, visible, taken, returned] = model;
            if written > 3 * i64::from(capacity) || (cfg!(miri) && seen.len() > 50) {
                continue;
            }
            if !seen.insert((
                [writing.tail, writing.published, writing.head],
                [reading.tail, reading.published, reading.head],
                model,
            )) {
                continue;
            }
            let (mut w, mut r) = (writing, reading);
            w.look(r.published).unwrap();
            assert_eq!(i64::from(w.used()), written - returned);
            open.push((w, reading, model));
            r.look(w.published).unwrap();
            assert_eq!(i64::from(r.waiting()), visible - taken);
            open.push((writing, r, model));
            let mut w = writing;
            assert_eq!(w.publish(), start.wrapping_add(written as u8));
            open.push((w, reading, [written, written, taken, returned]));
            let mut r = reading;
            assert_eq!(r.publish(), start.wrapping_add(taken as u8));
            open.push((writing, r, [written, visible, taken, taken]));
            if writing.free() > 0 {
                let mut w = writing;
                w.advance(1);
                open.push((w, reading, [written + 1, visible, taken, returned]));
            }
            if reading.waiting() > 0 {
                let mut r = reading;
                r.advance(1);
                open.push((writing, r, [written, visible, taken + 1, returned]));
            }
        }
        assert!(seen.len() > 10, "{} states", seen.len());
    }
}

/// Both parts of a split lie inside, and each place of the transfer is where its own index says.
#[test]
fn splits_cover_each_place_once() {
    for capacity in [1_u32, 2, 4, 8] {
        for base in [0_u32, 1 << 31, u32::MAX] {
            for shift in 0..4 * capacity {
                let index = base.wrapping_sub(2 * capacity).wrapping_add(shift);
                assert!(place(index, capacity) < capacity);
                assert_eq!(
                    u64::from(place(index, capacity)),
                    u64::from(index) % u64::from(capacity)
                );
                for len in 0..=capacity as usize {
                    let (offset, first) = split(index, capacity, len);
                    assert!(first <= len && offset + first <= capacity as usize);
                    assert!(len - first <= offset, "the second part runs into the first");
                    for k in 0..len {
                        let at = if k < first { offset + k } else { k - first };
                        assert_eq!(at as u32, place(index.wrapping_add(k as u32), capacity));
                    }
                }
            }
        }
    }
}
