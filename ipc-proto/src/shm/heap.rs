//! Heap memory in the place of shared memory, for tests and simulations on the host.

use super::Shm;
use core::{ptr::NonNull, sync::atomic::AtomicU64};
use std::sync::Arc;

/// Keeps the memory alive.
pub(super) type Owner = Arc<[Line]>;

/// One cache line. Atomic inside, so that writes through pointers made from a shared reference are allowed.
#[repr(align(64))]
pub(super) struct Line(#[expect(dead_code, reason = "reached by pointer")] [AtomicU64; 8]);

impl Line {
    fn zeroed() -> Self {
        Self([const { AtomicU64::new(0) }; 8])
    }
}

impl Shm {
    /// Zeroed memory from the heap, freed with the last clone.
    #[must_use]
    pub fn heap(len: usize) -> Self {
        let owner: Owner = (0..len.div_ceil(64)).map(|_| Line::zeroed()).collect();
        let base = NonNull::from(&*owner).cast::<u8>();
        // SAFETY: `base` points to at least `len` bytes in 64-aligned lines, which live as long as the `owner` kept beside the
        // pointer and in all its copies; nothing else refers to them.
        let mut shm = unsafe { Self::new(base, len) };
        shm.owner = Some(owner);
        shm
    }
}
