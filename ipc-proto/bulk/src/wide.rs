//! Runs of more than 32 bytes, once for each width of the registers. Touches what `lib.rs` lets it.
//!
//! `.irp n, LIST` ... `.endr` repeats lines of assembly for every `\\n` of the list: the number of a register.

use crate::level::Level;

/// Copies upwards.
///
/// # Safety
/// As for [`crate::copy`]; `len` is more than [`crate::SMALL`].
#[inline(never)]
pub(crate) unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise, and the process may use these registers.
    unsafe { copy_up_with(Level::current(), to, from, len) }
}

/// # Safety
/// As for [`copy_up`]; the process may use the registers of `level`.
#[inline(always)]
pub(crate) unsafe fn copy_up_with(level: Level, to: *mut u8, from: *const u8, len: usize) {
    match level {
        // SAFETY: the caller's promise.
        Level::Avx => unsafe { avx::copy_up(to, from, len) },
        // SAFETY: the caller's promise.
        Level::Sse => unsafe { sse::copy_up(to, from, len) },
        // SAFETY: the caller's promise.
        Level::General => unsafe { general::copy_up(to, from, len) },
    }
}

/// Copies downwards: `to` may be within the bytes at `from`.
///
/// # Safety
/// As for [`crate::copy_overlapping`], but `to` is not below `from`; `len` is more than [`crate::SMALL`].
#[inline(never)]
pub(crate) unsafe fn copy_down(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: the caller's promise, and the process may use these registers.
    unsafe { copy_down_with(Level::current(), to, from, len) }
}

/// # Safety
/// As for [`copy_down`]; the process may use the registers of `level`.
#[inline(always)]
pub(crate) unsafe fn copy_down_with(level: Level, to: *mut u8, from: *const u8, len: usize) {
    match level {
        // SAFETY: the caller's promise.
        Level::Avx => unsafe { avx::copy_down(to, from, len) },
        // SAFETY: the caller's promise.
        Level::Sse => unsafe { sse::copy_down(to, from, len) },
        // SAFETY: the caller's promise.
        Level::General => unsafe { general::copy_down(to, from, len) },
    }
}

/// Fills with a pattern of eight equal bytes.
///
/// # Safety
/// As for [`crate::fill`]; `len` is more than [`crate::SMALL`].
#[inline(never)]
pub(crate) unsafe fn fill(to: *mut u8, pattern: u64, len: usize) {
    // SAFETY: the caller's promise, and the process may use these registers.
    unsafe { fill_with(Level::current(), to, pattern, len) }
}

/// # Safety
/// As for [`fill`]; the process may use the registers of `level`.
#[inline(always)]
pub(crate) unsafe fn fill_with(level: Level, to: *mut u8, pattern: u64, len: usize) {
    match level {
        // SAFETY: the caller's promise.
        Level::Avx => unsafe { avx::fill(to, pattern, len) },
        // SAFETY: the caller's promise.
        Level::Sse => unsafe { sse::fill(to, pattern, len) },
        // SAFETY: the caller's promise.
        Level::General => unsafe { general::fill(to, pattern, len) },
    }
}

/// The functions of one width: `$mov` loads and stores registers of `$width` bytes whose names begin with `$reg`; `$spread` fills
/// number 0 with the pattern in `{p}`.
macro_rules! vector {
    ($name:ident, $width:literal, $reg:literal, $mov:literal, [$($spread:literal),*]) => {
        mod $name {
            use core::arch::asm;

            /// Bytes of eight registers.
            const ROUND: usize = 8 * $width;

            /// Bytes of all rounds but the last, which covers the rest and overlaps the one before. `len` is not zero.
            #[inline(always)]
            fn before_last(len: usize) -> usize {
                len.wrapping_sub(1) & !(ROUND - 1)
            }

            /// Copies up to eight registers' worth of bytes, all loaded before one is stored: half of them from the front and half
            /// from the back.
            ///
            /// # Safety
            /// As for [`super::copy_down`]; `len` is at most [`ROUND`].
            #[inline(always)]
            unsafe fn copy_once(to: *mut u8, from: *const u8, len: usize) {
                if len <= 2 * $width {
                    // SAFETY: two registers within the more than one register's worth of bytes at either place.
                    unsafe {
                        asm!(
                            ".irp n, 0",
                            concat!($mov, " ", $reg, "\\n, [{from} + ", $width, " * \\n]"),
                            ".endr",
                            ".irp n, 1",
                            concat!($mov, " ", $reg, "\\n, [{from} + {len} + ", $width, " * (\\n - 2)]"),
                            ".endr",
                            ".irp n, 0",
                            concat!($mov, " [{to} + ", $width, " * \\n], ", $reg, "\\n"),
                            ".endr",
                            ".irp n, 1",
                            concat!($mov, " [{to} + {len} + ", $width, " * (\\n - 2)], ", $reg, "\\n"),
                            ".endr",
                            from = in(reg) from, to = in(reg) to, len = in(reg) len,
                            out("ymm0") _, out("ymm1") _,
                            options(nostack, preserves_flags),
                        );
                    }
                } else if len <= 4 * $width {
                    // SAFETY: four registers within the more than two registers' worth of bytes at either place.
                    unsafe {
                        asm!(
                            ".irp n, 0, 1",
                            concat!($mov, " ", $reg, "\\n, [{from} + ", $width, " * \\n]"),
                            ".endr",
                            ".irp n, 2, 3",
                            concat!($mov, " ", $reg, "\\n, [{from} + {len} + ", $width, " * (\\n - 4)]"),
                            ".endr",
                            ".irp n, 0, 1",
                            concat!($mov, " [{to} + ", $width, " * \\n], ", $reg, "\\n"),
                            ".endr",
                            ".irp n, 2, 3",
                            concat!($mov, " [{to} + {len} + ", $width, " * (\\n - 4)], ", $reg, "\\n"),
                            ".endr",
                            from = in(reg) from, to = in(reg) to, len = in(reg) len,
                            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                            options(nostack, preserves_flags),
                        );
                    }
                } else {
                    // SAFETY: eight registers within the more than four registers' worth of bytes at either place.
                    unsafe {
                        asm!(
                            ".irp n, 0, 1, 2, 3",
                            concat!($mov, " ", $reg, "\\n, [{from} + ", $width, " * \\n]"),
                            ".endr",
                            ".irp n, 4, 5, 6, 7",
                            concat!($mov, " ", $reg, "\\n, [{from} + {len} + ", $width, " * (\\n - 8)]"),
                            ".endr",
                            ".irp n, 0, 1, 2, 3",
                            concat!($mov, " [{to} + ", $width, " * \\n], ", $reg, "\\n"),
                            ".endr",
                            ".irp n, 4, 5, 6, 7",
                            concat!($mov, " [{to} + {len} + ", $width, " * (\\n - 8)], ", $reg, "\\n"),
                            ".endr",
                            from = in(reg) from, to = in(reg) to, len = in(reg) len,
                            out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                            out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                            options(nostack, preserves_flags),
                        );
                    }
                }
            }

            /// # Safety
            /// As for [`super::copy_up`]; `len` is at least `$width`.
            #[inline(always)]
            pub(super) unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
                if len <= ROUND {
                    // SAFETY: the caller's promise, and `len` is checked.
                    return unsafe { copy_once(to, from, len) };
                }
                let (whole, last) = (before_last(len), len.wrapping_sub(ROUND));
                // A round is the right size for emulators, too: they make so much code of it that four at a time don't fit where the host
                // keeps decoded instructions.
                // SAFETY: the rounds cover `whole < len` bytes from the front, the last one `ROUND < len` bytes at the back. Each
                // half of a round loads before it stores, and going up it stores nothing that a later one loads; the last is loaded first.
                unsafe {
                    asm!(
                        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
                        concat!($mov, " ", $reg, "\\n, [{last_from} + ", $width, " * (\\n - 8)]"),
                        ".endr",
                        "2:",
                        ".irp half, 0, 4",
                        ".irp n, 0, 1, 2, 3",
                        concat!($mov, " ", $reg, "\\n, [{from} + ", $width, " * (\\half + \\n)]"),
                        ".endr",
                        ".irp n, 0, 1, 2, 3",
                        concat!($mov, " [{to} + ", $width, " * (\\half + \\n)], ", $reg, "\\n"),
                        ".endr",
                        ".endr",
                        concat!("add {from}, 8 * ", $width),
                        concat!("add {to}, 8 * ", $width),
                        "cmp {from}, {end}",
                        "jne 2b",
                        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
                        concat!($mov, " [{last_to} + ", $width, " * (\\n - 8)], ", $reg, "\\n"),
                        ".endr",
                        from = inout(reg) from => _, to = inout(reg) to => _, end = in(reg) from.wrapping_add(whole),
                        last_from = in(reg) from.wrapping_add(last), last_to = in(reg) to.wrapping_add(last),
                        out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                        out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                        out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                        options(nostack),
                    );
                }
            }

            /// # Safety
            /// As for [`super::copy_down`]; `len` is at least `$width`.
            #[inline(always)]
            pub(super) unsafe fn copy_down(to: *mut u8, from: *const u8, len: usize) {
                if len <= ROUND {
                    // SAFETY: the caller's promise, and `len` is checked.
                    return unsafe { copy_once(to, from, len) };
                }
                let whole = before_last(len);
                let rest = len.wrapping_sub(whole);
                // SAFETY: as in `copy_up`, from the back to the front: the rounds cover the `whole` bytes from `rest` on, the last one
                // the first `ROUND < len` bytes.
                unsafe {
                    asm!(
                        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
                        concat!($mov, " ", $reg, "\\n, [{last_from} + ", $width, " * (\\n - 8)]"),
                        ".endr",
                        "2:",
                        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
                        concat!($mov, " ", $reg, "\\n, [{from} + {at} + ", $width, " * (\\n - 8)]"),
                        ".endr",
                        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
                        concat!($mov, " [{to} + {at} + ", $width, " * (\\n - 8)], ", $reg, "\\n"),
                        ".endr",
                        concat!("sub {at}, 8 * ", $width),
                        "jnz 2b",
                        ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
                        concat!($mov, " [{last_to} + ", $width, " * (\\n - 8)], ", $reg, "\\n"),
                        ".endr",
                        from = in(reg) from.wrapping_add(rest), to = in(reg) to.wrapping_add(rest),
                        at = inout(reg) whole => _,
                        last_from = in(reg) from, last_to = in(reg) to,
                        out("ymm0") _, out("ymm1") _, out("ymm2") _, out("ymm3") _,
                        out("ymm4") _, out("ymm5") _, out("ymm6") _, out("ymm7") _,
                        out("ymm8") _, out("ymm9") _, out("ymm10") _, out("ymm11") _,
                        out("ymm12") _, out("ymm13") _, out("ymm14") _, out("ymm15") _,
                        options(nostack),
                    );
                }
            }

            /// # Safety
            /// As for [`super::fill`]; `len` is at least `$width`.
            #[inline(always)]
            pub(super) unsafe fn fill(to: *mut u8, pattern: u64, len: usize) {
                let whole = before_last(len);
                if whole > 0 {
                    // SAFETY: the rounds cover `whole < len` bytes from the front, the last one `ROUND < len` bytes at the back.
                    unsafe {
                        asm!(
                            $($spread,)*
                            "2:",
                            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
                            concat!($mov, " [{to} + {at} + ", $width, " * \\n], ", $reg, "0"),
                            ".endr",
                            concat!("add {at}, 8 * ", $width),
                            "jnz 2b",
                            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7",
                            concat!($mov, " [{last} + ", $width, " * \\n], ", $reg, "0"),
                            ".endr",
                            to = in(reg) to.wrapping_add(whole), p = in(reg) pattern,
                            at = inout(reg) whole.wrapping_neg() => _,
                            last = in(reg) to.wrapping_add(len).wrapping_sub(ROUND),
                            out("ymm0") _,
                            options(nostack),
                        );
                    }
                    return;
                }
                // Up to four registers from the front and as many from the back, as far as needed.
                // SAFETY: each store is of one register, ends at most at `len`, and begins at `to` or later.
                unsafe {
                    asm!(
                        $($spread,)*
                        concat!($mov, " [{to}], ", $reg, "0"),
                        concat!($mov, " [{to} + {len} - ", $width, "], ", $reg, "0"),
                        concat!("cmp {len}, 2 * ", $width),
                        "jbe 3f",
                        concat!($mov, " [{to} + ", $width, "], ", $reg, "0"),
                        concat!($mov, " [{to} + {len} - 2 * ", $width, "], ", $reg, "0"),
                        concat!("cmp {len}, 4 * ", $width),
                        "jbe 3f",
                        concat!($mov, " [{to} + 2 * ", $width, "], ", $reg, "0"),
                        concat!($mov, " [{to} + 3 * ", $width, "], ", $reg, "0"),
                        concat!($mov, " [{to} + {len} - 4 * ", $width, "], ", $reg, "0"),
                        concat!($mov, " [{to} + {len} - 3 * ", $width, "], ", $reg, "0"),
                        "3:",
                        to = in(reg) to, len = in(reg) len, p = in(reg) pattern,
                        out("ymm0") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

vector!(
    sse,
    16,
    "xmm",
    "movups",
    ["movq xmm0, {p}", "punpcklqdq xmm0, xmm0"]
);
vector!(
    avx,
    32,
    "ymm",
    "vmovdqu",
    [
        "vmovq xmm0, {p}",
        "vpunpcklqdq xmm0, xmm0, xmm0",
        "vinsertf128 ymm0, ymm0, xmm0, 1"
    ]
);

/// Where there are no vector registers: string instructions, eight bytes a step.
mod general {
    use core::arch::asm;

    /// # Safety
    /// As for [`super::copy_up`].
    #[inline(always)]
    pub(super) unsafe fn copy_up(to: *mut u8, from: *const u8, len: usize) {
        let last = len.wrapping_sub(8);
        // SAFETY: steps of eight bytes from the front, and eight bytes at the back that are loaded before all. The direction flag
        // is clear, as the calling convention wants it.
        unsafe {
            asm!(
                "mov {end}, [{last_from}]",
                "rep movsq",
                "mov [{last_to}], {end}",
                end = out(reg) _,
                last_from = in(reg) from.wrapping_add(last), last_to = in(reg) to.wrapping_add(last),
                inout("rcx") len / 8 => _, inout("rsi") from => _, inout("rdi") to => _,
                options(nostack, preserves_flags),
            );
        }
    }

    /// # Safety
    /// As for [`super::copy_down`].
    #[inline(always)]
    pub(super) unsafe fn copy_down(to: *mut u8, from: *const u8, len: usize) {
        let last = len.wrapping_sub(8);
        // SAFETY: as in `copy_up`, from the back to the front; the direction flag is clear again afterwards.
        unsafe {
            asm!(
                "mov {end}, [{first_from}]",
                "std",
                "rep movsq",
                "cld",
                "mov [{first_to}], {end}",
                end = out(reg) _,
                first_from = in(reg) from, first_to = in(reg) to,
                inout("rcx") len / 8 => _,
                inout("rsi") from.wrapping_add(last) => _, inout("rdi") to.wrapping_add(last) => _,
                options(nostack),
            );
        }
    }

    /// # Safety
    /// As for [`super::fill`].
    #[inline(always)]
    pub(super) unsafe fn fill(to: *mut u8, pattern: u64, len: usize) {
        // SAFETY: steps of eight bytes from the front, and eight bytes at the back.
        unsafe {
            asm!(
                "mov [{last}], rax",
                "rep stosq",
                last = in(reg) to.wrapping_add(len).wrapping_sub(8),
                in("rax") pattern, inout("rcx") len / 8 => _, inout("rdi") to => _,
                options(nostack, preserves_flags),
            );
        }
    }
}
