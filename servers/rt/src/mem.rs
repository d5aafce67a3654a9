//! `memcpy`, `memmove` and `memset`, which the compiler calls for what it does not move by itself. They take the place of those of
//! `compiler_builtins`, which are string instructions. Touches only the bytes that they are given.

/// # Safety
/// As in C: `len` bytes at `from` may be read, `len` bytes at `to` written, and the two are apart.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: by this function's contract.
    unsafe { bulk::copy(to, from, len) };
    to
}

/// # Safety
/// As in C: `len` bytes at `from` may be read, `len` bytes at `to` written.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: by this function's contract.
    unsafe { bulk::copy_overlapping(to, from, len) };
    to
}

/// # Safety
/// As in C: `len` bytes at `to` may be written. Of `value` only the low byte counts.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: by this function's contract.
    unsafe { bulk::fill(to, value as u8, len) };
    to
}
