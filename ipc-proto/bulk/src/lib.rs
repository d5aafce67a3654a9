//! Copies, fills and sums memory for the programs of the image: 32 bytes an instruction where the kernel lets processes use AVX, 16 with SSE
//! only, else 8. Touches only the bytes that it is given, and not the stack.
//!
//! Two use it: `ipc_proto::shm`, whose memory a peer may change meanwhile, and `rt`, which defines `memcpy` and its kin by it. Hence
//! every access is inline assembly: the compiler assumes nothing about what it reads, and has no loop in which it would recognise
//! a `memcpy` to call. (`rep movs` is for machines without SSE: emulators execute it element by element.)
//!
//! Up to eight registers' worth of bytes is loaded in full before any is stored. What is longer goes in rounds of eight
//! registers, and the last round, which overlaps the one before, is loaded before the first is stored.
#![no_std]
#![cfg(target_arch = "x86_64")]

mod level;
mod sum;
mod wide;

#[cfg(test)]
mod tests;

use core::arch::asm;
pub use sum::sum;

/// Longest run that general registers copy at once.
const SMALL: usize = 32;

/// Copies `len` bytes. The two places may overlap only if `to` is below `from`.
///
/// # Safety
/// `len` bytes at `from` may be read and `len` bytes at `to` written. Somebody outside of this program may change them
/// meanwhile; then any mix of old and new bytes arrives.
#[inline]
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) {
    if len <= SMALL {
        // SAFETY: the caller's promise, and `len` is small.
        unsafe { copy_small(to, from, len) };
    } else {
        // SAFETY: the caller's promise, and `len` is not small.
        unsafe { wide::copy_up(to, from, len) };
    }
}

/// Copies `len` bytes. The two places may overlap in any way.
///
/// # Safety
/// As for [`copy`].
#[inline]
pub unsafe fn copy_overlapping(to: *mut u8, from: *const u8, len: usize) {
    if len <= SMALL {
        // SAFETY: the caller's promise, and `len` is small.
        unsafe { copy_small(to, from, len) };
    } else if to.addr().wrapping_sub(from.addr()) >= len {
        // SAFETY: the caller's promise, and `len` is not small; `to` is below `from`, or behind its bytes.
        unsafe { wide::copy_up(to, from, len) };
    } else {
        // SAFETY: as above, but for `to` being within the bytes at `from`.
        unsafe { wide::copy_down(to, from, len) };
    }
}

/// Fills `len` bytes with `byte`.
///
/// # Safety
/// `len` bytes at `to` may be written.
#[inline]
pub unsafe fn fill(to: *mut u8, byte: u8, len: usize) {
    let pattern = u64::from(byte) * 0x0101_0101_0101_0101;
    if len <= SMALL {
        // SAFETY: the caller's promise, and `len` is small.
        unsafe { fill_small(to, pattern, len) };
    } else {
        // SAFETY: the caller's promise, and `len` is not small.
        unsafe { wide::fill(to, pattern, len) };
    }
}

/// Copies up to 32 bytes, all loaded before one is stored: pieces from the front and the back that overlap in the middle.
///
/// # Safety
/// As for [`copy_overlapping`]; `len` is at most [`SMALL`].
#[inline]
unsafe fn copy_small(to: *mut u8, from: *const u8, len: usize) {
    if len >= 16 {
        // SAFETY: four pieces of 8 bytes within the 16 to 32 at either place.
        unsafe {
            asm!(
                "mov {a}, [{from}]",
                "mov {b}, [{from} + 8]",
                "mov {c}, [{from} + {len} - 16]",
                "mov {d}, [{from} + {len} - 8]",
                "mov [{to}], {a}",
                "mov [{to} + 8], {b}",
                "mov [{to} + {len} - 16], {c}",
                "mov [{to} + {len} - 8], {d}",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    } else if len >= 8 {
        // SAFETY: two pieces of 8 bytes within the 8 to 15 at either place.
        unsafe {
            asm!(
                "mov {a}, [{from}]",
                "mov {b}, [{from} + {len} - 8]",
                "mov [{to}], {a}",
                "mov [{to} + {len} - 8], {b}",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    } else if len >= 4 {
        // SAFETY: two pieces of 4 bytes within the 4 to 7 at either place.
        unsafe {
            asm!(
                "mov {a:e}, [{from}]",
                "mov {b:e}, [{from} + {len} - 4]",
                "mov [{to}], {a:e}",
                "mov [{to} + {len} - 4], {b:e}",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    } else if len >= 2 {
        // SAFETY: two pieces of 2 bytes within the 2 or 3 at either place.
        unsafe {
            asm!(
                "movzx {a:e}, word ptr [{from}]",
                "movzx {b:e}, word ptr [{from} + {len} - 2]",
                "mov [{to}], {a:x}",
                "mov [{to} + {len} - 2], {b:x}",
                from = in(reg) from, to = in(reg) to, len = in(reg) len,
                a = out(reg) _, b = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    } else if len == 1 {
        // SAFETY: one byte at either place.
        unsafe {
            asm!(
                "movzx {a:e}, byte ptr [{from}]",
                "mov [{to}], {a:l}",
                from = in(reg) from, to = in(reg) to, a = out(reg) _,
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Fills up to 32 bytes with a pattern of eight equal ones, in pieces that overlap.
///
/// # Safety
/// As for [`fill`]; `len` is at most [`SMALL`].
#[inline]
unsafe fn fill_small(to: *mut u8, pattern: u64, len: usize) {
    if len >= 16 {
        // SAFETY: four pieces of 8 bytes within the 16 to 32.
        unsafe {
            asm!(
                "mov [{to}], {p}",
                "mov [{to} + 8], {p}",
                "mov [{to} + {len} - 16], {p}",
                "mov [{to} + {len} - 8], {p}",
                to = in(reg) to, len = in(reg) len, p = in(reg) pattern,
                options(nostack, preserves_flags),
            );
        }
    } else if len >= 8 {
        // SAFETY: two pieces of 8 bytes within the 8 to 15.
        unsafe {
            asm!(
                "mov [{to}], {p}",
                "mov [{to} + {len} - 8], {p}",
                to = in(reg) to, len = in(reg) len, p = in(reg) pattern,
                options(nostack, preserves_flags),
            );
        }
    } else if len >= 4 {
        // SAFETY: two pieces of 4 bytes within the 4 to 7.
        unsafe {
            asm!(
                "mov [{to}], {p:e}",
                "mov [{to} + {len} - 4], {p:e}",
                to = in(reg) to, len = in(reg) len, p = in(reg) pattern,
                options(nostack, preserves_flags),
            );
        }
    } else if len >= 2 {
        // SAFETY: two pieces of 2 bytes within the 2 or 3.
        unsafe {
            asm!(
                "mov [{to}], {p:x}",
                "mov [{to} + {len} - 2], {p:x}",
                to = in(reg) to, len = in(reg) len, p = in(reg) pattern,
                options(nostack, preserves_flags),
            );
        }
    } else if len == 1 {
        // SAFETY: one byte.
        unsafe {
            asm!(
                "mov [{to}], {p:l}",
                to = in(reg) to, p = in(reg) pattern,
                options(nostack, preserves_flags),
            );
        }
    }
}
