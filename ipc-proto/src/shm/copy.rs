//! Bulk copies between shared and private memory, and from shared to shared memory, by relaxed atomic moves. Touches only the bytes that it is given.
//!
//! The shared side is aligned, the private side need not be. A round of eight moves is one straight piece of code: neither a
//! library call, nor `rep movs` (which emulators execute byte by byte), nor vector registers.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes of a move.
const MOVE: usize = size_of::<u64>();
/// Bytes of a round.
const ROUND: usize = 8 * MOVE;

/// Fills `out` from shared memory.
///
/// # Safety
/// `out.len()` bytes at `from` are valid, and this process accesses them atomically only.
#[inline]
pub(super) unsafe fn load(from: *mut u8, out: &mut [u8]) {
    let (head, rest) = out.split_at_mut(unaligned(from).min(out.len()));
    let mut at = from;
    for byte in head {
        // SAFETY: `at` has moved by less than `out.len()` bytes.
        *byte = unsafe { load_byte(at) };
        at = at.wrapping_add(1);
    }
    let (rounds, rest) = rest.as_chunks_mut::<ROUND>();
    for round in rounds {
        for eight in round.as_chunks_mut::<MOVE>().0 {
            // SAFETY: `at` is aligned after the head, and so many bytes of `out` are left.
            *eight = unsafe { load_eight(at) };
            at = at.wrapping_add(MOVE);
        }
    }
    let (moves, tail) = rest.as_chunks_mut::<MOVE>();
    for eight in moves {
        // SAFETY: as above.
        *eight = unsafe { load_eight(at) };
        at = at.wrapping_add(MOVE);
    }
    for byte in tail {
        // SAFETY: `at` has moved by less than `out.len()` bytes.
        *byte = unsafe { load_byte(at) };
        at = at.wrapping_add(1);
    }
}

/// Copies `bytes` to shared memory.
///
/// # Safety
/// `bytes.len()` bytes at `to` are valid, and this process accesses them atomically only.
#[inline]
pub(super) unsafe fn store(to: *mut u8, bytes: &[u8]) {
    let (head, rest) = bytes.split_at(unaligned(to).min(bytes.len()));
    let mut at = to;
    for byte in head {
        // SAFETY: `at` has moved by less than `bytes.len()` bytes.
        unsafe { store_byte(at, *byte) };
        at = at.wrapping_add(1);
    }
    let (rounds, rest) = rest.as_chunks::<ROUND>();
    for round in rounds {
        for eight in round.as_chunks::<MOVE>().0 {
            // SAFETY: `at` is aligned after the head, and so many bytes are left.
            unsafe { store_eight(at, *eight) };
            at = at.wrapping_add(MOVE);
        }
    }
    let (moves, tail) = rest.as_chunks::<MOVE>();
    for eight in moves {
        // SAFETY: as above.
        unsafe { store_eight(at, *eight) };
        at = at.wrapping_add(MOVE);
    }
    for byte in tail {
        // SAFETY: `at` has moved by less than `bytes.len()` bytes.
        unsafe { store_byte(at, *byte) };
        at = at.wrapping_add(1);
    }
}

/// Copies `len` bytes from shared to shared memory. If the two overlap, any mix of their bytes arrives.
///
/// # Safety
/// `len` bytes at `from` and at `to` are valid, and this process accesses them atomically only.
#[inline]
pub(super) unsafe fn pass(to: *mut u8, from: *mut u8, len: usize) {
    let mut bytes = [0; ROUND];
    let (mut to, mut from, mut left) = (to, from, len);
    while left > 0 {
        let (piece, _) = bytes.split_at_mut(left.min(ROUND));
        // SAFETY: so many bytes are left at either place.
        unsafe { load(from, piece) };
        // SAFETY: as above.
        unsafe { store(to, piece) };
        to = to.wrapping_add(piece.len());
        from = from.wrapping_add(piece.len());
        left -= piece.len();
    }
}

/// Bytes from `at` to the next multiple of a move.
#[inline]
fn unaligned(at: *mut u8) -> usize {
    at.addr().wrapping_neg() % MOVE
}

/// # Safety
/// `at` is valid and accessed atomically only.
#[inline(always)]
unsafe fn load_byte(at: *mut u8) -> u8 {
    // SAFETY: by this function's contract; a byte is always aligned.
    unsafe { AtomicU8::from_ptr(at) }.load(Ordering::Relaxed)
}

/// # Safety
/// `at` is valid and accessed atomically only.
#[inline(always)]
unsafe fn store_byte(at: *mut u8, value: u8) {
    // SAFETY: by this function's contract; a byte is always aligned.
    unsafe { AtomicU8::from_ptr(at) }.store(value, Ordering::Relaxed);
}

/// # Safety
/// `at` is a multiple of 8, and 8 bytes there are valid and accessed atomically only.
#[inline(always)]
unsafe fn load_eight(at: *mut u8) -> [u8; MOVE] {
    // SAFETY: by this function's contract.
    unsafe { AtomicU64::from_ptr(at.cast()) }
        .load(Ordering::Relaxed)
        .to_ne_bytes()
}

/// # Safety
/// `at` is a multiple of 8, and 8 bytes there are valid and accessed atomically only.
#[inline(always)]
unsafe fn store_eight(at: *mut u8, value: [u8; MOVE]) {
    // SAFETY: by this function's contract.
    unsafe { AtomicU64::from_ptr(at.cast()) }.store(u64::from_ne_bytes(value), Ordering::Relaxed);
}
