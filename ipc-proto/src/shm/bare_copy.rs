//! Bulk copies between shared and private memory, and from shared to shared memory, in the programs of the image: inline assembly (see the module above for why that is
//! sound), with the widest registers that the process has. Touches only the bytes that it is given.

/// Fills `out` from shared memory.
///
/// # Safety
/// `out.len()` bytes at `from` are valid, and this process accesses them atomically or by this module only.
#[inline]
pub(super) unsafe fn load(from: *mut u8, out: &mut [u8]) {
    // SAFETY: valid by this function's contract; private memory is never shared, so the two are apart.
    unsafe { bulk::copy(out.as_mut_ptr(), from, out.len()) };
}

/// Copies `bytes` to shared memory.
///
/// # Safety
/// `bytes.len()` bytes at `to` are valid, and this process accesses them atomically or by this module only.
#[inline]
pub(super) unsafe fn store(to: *mut u8, bytes: &[u8]) {
    // SAFETY: as in `load`.
    unsafe { bulk::copy(to, bytes.as_ptr(), bytes.len()) };
}

/// Copies `len` bytes from shared to shared memory. If the two overlap, any mix of their bytes arrives.
///
/// # Safety
/// `len` bytes at `from` and at `to` are valid, and this process accesses them atomically or by this module only.
#[inline]
pub(super) unsafe fn pass(to: *mut u8, from: *const u8, len: usize) {
    // SAFETY: valid by this function's contract; who writes them meanwhile, be it this copy itself, changes only which bytes arrive.
    unsafe { bulk::copy(to, from, len) };
}
