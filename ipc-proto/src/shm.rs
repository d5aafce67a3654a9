//! Memory that another process may change at any instant.
//!
//! The one module of this crate with `unsafe` and the only holder of pointers to shared memory. It knows nothing of what
//! lies in the memory.
//!
//! # Why every access is atomic
//! The peer is another process, perhaps a hostile one: it may write any byte while this side reads it. Rust's memory
//! model calls a plain access that races undefined behaviour, and the compiler may also read a plain location twice and find two values.
//! Atomic accesses may race: each yields some value, once. So words are [`AtomicU32`] with the ordering that the protocol asks for.
//! Bulk copies (`copy`) are, on a host, relaxed `AtomicU64` accesses, eight bytes a move, with `AtomicU8` for the unaligned bytes at
//! both ends. Relaxed accesses are ordinary `mov` instructions; what they forbid is merging, repeating or tearing. An honest peer orders bulk
//! bytes by the acquire and release accesses to the indices around them, so that between two honest sides nothing ever races.
//!
//! In the programs of the image, bulk copies are inline assembly (the crate `bulk`), up to 32 bytes a move. The compiler does not look
//! into it: it can neither repeat what it loads nor assume that it stays, and what it does is what relaxed accesses
//! to single bytes could have done. That takes that nothing else accesses these bytes but words and blocks by atomic accesses,
//! which holds as before. A byte where two moves overlap is loaded twice, but arrives in private memory before anybody looks at it, with one of
//! the two values. The moves stay between the atomic accesses around them: the assembly may touch any memory as far as
//! the compiler knows, and the processor reorders them no more than other loads and stores.
//!
//! A hostile peer can race, with accesses of other sizes too: the language does not describe that, since the peer is not part
//! of the program; on x86 the outcome is a mix of old and new bytes (SDM volume 3, 11.1), which this side sees as
//! just another byte string.
//!
//! References to the memory exist only as `&Atomic*` for the length of one access: their contents may change under them.
//!
//! Under `cfg(loom)` the module `shm_model` takes the place of this one.

#![expect(
    unsafe_code,
    reason = "pointers to shared memory are dereferenced here and nowhere else"
)]

use crate::error::OutOfBounds;
use core::{
    ptr::NonNull,
    sync::atomic::{self, AtomicU32, AtomicU64, Ordering},
};

#[cfg(not(all(target_os = "none", target_arch = "x86_64")))]
mod copy;
#[cfg(all(target_os = "none", target_arch = "x86_64"))]
#[path = "shm/bare_copy.rs"]
mod copy;
#[cfg(any(feature = "std", test))]
mod heap;
#[cfg(test)]
mod tests;

/// A window on memory shared with a peer. Cheap to clone; every access is checked against its bounds.
#[derive(Clone)]
pub struct Shm {
    base: NonNull<u8>,
    len: usize,
    #[cfg(any(feature = "std", test))]
    owner: Option<heap::Owner>,
}

// SAFETY: all accesses through a `Shm` are atomic, whichever thread makes them; `Shm::new` requires the memory to stay valid
// for all clones, wherever they are.
unsafe impl Send for Shm {}
// SAFETY: as for `Send`: `&Shm` allows atomic accesses only.
unsafe impl Sync for Shm {}

impl Shm {
    /// Wraps `len` bytes at `base`.
    ///
    /// # Safety
    /// - `base` is a multiple of 64 and points to `len` bytes, mapped readable and writable until the last clone,
    ///   [`part`](Self::part) and [`Word`] of the result is gone.
    /// - In this process, nothing else accesses these bytes in another way than through a `Shm`.
    #[must_use]
    pub const unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self {
            base,
            len,
            #[cfg(any(feature = "std", test))]
            owner: None,
        }
    }

    /// Length in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The window of `len` bytes from `offset` on; `None` if it does not lie within this one.
    #[must_use]
    pub fn part(&self, offset: usize, len: usize) -> Option<Self> {
        Some(Self {
            base: self.locate(offset, len).ok()?,
            len,
            #[cfg(any(feature = "std", test))]
            owner: self.owner.clone(),
        })
    }

    /// The word at `offset`, checked once and for all.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned word.
    pub fn word(&self, offset: usize) -> Result<Word, OutOfBounds> {
        let at = self.locate(offset, size_of::<u32>())?.cast::<AtomicU32>();
        if !at.is_aligned() {
            return Err(OutOfBounds);
        }
        Ok(Word {
            at,
            #[cfg(any(feature = "std", test))]
            _owner: self.owner.clone(),
        })
    }

    /// Loads the word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned word.
    ///
    /// # Panics
    /// If `order` is not an ordering for loads.
    #[inline]
    pub fn load(&self, offset: usize, order: Ordering) -> Result<u32, OutOfBounds> {
        Ok(self.atomic::<AtomicU32>(offset)?.load(order))
    }

    /// Stores the word at `offset`.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned word.
    ///
    /// # Panics
    /// If `order` is not an ordering for stores.
    #[inline]
    pub fn store(&self, offset: usize, value: u32, order: Ordering) -> Result<(), OutOfBounds> {
        self.atomic::<AtomicU32>(offset)?.store(value, order);
        Ok(())
    }

    /// Exchanges the word at `offset` and returns the old one.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned word.
    #[inline]
    pub fn swap(&self, offset: usize, value: u32, order: Ordering) -> Result<u32, OutOfBounds> {
        Ok(self.atomic::<AtomicU32>(offset)?.swap(value, order))
    }

    /// Sets bits of the word at `offset` and returns the old word.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned word.
    #[inline]
    pub fn fetch_or(&self, offset: usize, bits: u32, order: Ordering) -> Result<u32, OutOfBounds> {
        Ok(self.atomic::<AtomicU32>(offset)?.fetch_or(bits, order))
    }

    /// Copies bytes from `offset` on into private memory: `out` is filled.
    ///
    /// # Errors
    /// [`OutOfBounds`]; then nothing was copied.
    #[inline]
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.locate(offset, out.len())?.as_ptr();
        // SAFETY: `locate` checked that the bytes lie within the window, which `Shm::new` requires to be valid.
        unsafe { copy::load(from, out) };
        Ok(())
    }

    /// Copies private bytes to `offset` and on.
    ///
    /// # Errors
    /// [`OutOfBounds`]; then nothing was copied.
    #[inline]
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), OutOfBounds> {
        let to = self.locate(offset, bytes.len())?.as_ptr();
        // SAFETY: `locate` checked that the bytes lie within the window, which `Shm::new` requires to be valid.
        unsafe { copy::store(to, bytes) };
        Ok(())
    }

    /// Copies `len` bytes from `offset` on to `at` and on in another window, without a look at them. Where the two are the same memory,
    /// any mix of its bytes arrives.
    ///
    /// # Errors
    /// [`OutOfBounds`] in either; then nothing was copied.
    #[inline]
    pub fn pass(&self, offset: usize, to: &Self, at: usize, len: usize) -> Result<(), OutOfBounds> {
        let from = self.locate(offset, len)?.as_ptr();
        let to = to.locate(at, len)?.as_ptr();
        // SAFETY: `locate` checked that the bytes lie within the windows, which `Shm::new` requires to be valid.
        unsafe { copy::pass(to, from, len) };
        Ok(())
    }

    /// Copies the eight bytes at `offset`, a multiple of 8: [`read`](Self::read) without its loops.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for misaligned ones.
    #[inline]
    pub(crate) fn read_eight(&self, offset: usize) -> Result<u64, OutOfBounds> {
        let eight = self.atomic::<AtomicU64>(offset)?.load(Ordering::Relaxed);
        Ok(u64::from_le(eight))
    }

    /// Copies eight bytes to `offset`, a multiple of 8: [`write`](Self::write) without its loops.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for misaligned ones.
    #[inline]
    pub(crate) fn write_eight(&self, offset: usize, eight: u64) -> Result<(), OutOfBounds> {
        self.atomic::<AtomicU64>(offset)?
            .store(eight.to_le(), Ordering::Relaxed);
        Ok(())
    }

    /// Copies the block at `offset`, a multiple of 8, in two moves.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned block.
    #[inline]
    pub(crate) fn read_block(&self, offset: usize) -> Result<u128, OutOfBounds> {
        let halves = self.atomic::<[AtomicU64; 2]>(offset)?;
        let [low, high] = halves
            .each_ref()
            .map(|half| u128::from(u64::from_le(half.load(Ordering::Relaxed))));
        Ok(low | high << u64::BITS)
    }

    /// Copies a block to `offset`, a multiple of 8, in two moves.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a misaligned block.
    #[inline]
    pub(crate) fn write_block(&self, offset: usize, block: u128) -> Result<(), OutOfBounds> {
        let [low, high] = self.atomic::<[AtomicU64; 2]>(offset)?;
        low.store((block as u64).to_le(), Ordering::Relaxed);
        high.store(((block >> u64::BITS) as u64).to_le(), Ordering::Relaxed);
        Ok(())
    }

    /// The one bounds check: the address of `offset` if `len` bytes from there on are within the window.
    #[inline]
    fn locate(&self, offset: usize, len: usize) -> Result<NonNull<u8>, OutOfBounds> {
        if offset > self.len || len > self.len - offset {
            return Err(OutOfBounds);
        }
        // SAFETY: `offset` is at most the length of the window, one allocation by the contract of `Shm::new`.
        Ok(unsafe { self.base.add(offset) })
    }

    #[inline]
    fn atomic<T: Atomic>(&self, offset: usize) -> Result<&T, OutOfBounds> {
        let at = self.locate(offset, size_of::<T>())?.cast::<T>();
        if !at.is_aligned() {
            return Err(OutOfBounds);
        }
        // SAFETY: within the window (`locate`), aligned, and valid as long as `self` by the contract of `Shm::new`;
        // every access to it by this process is atomic, and an `Atomic` is any bits.
        Ok(unsafe { at.as_ref() })
    }
}

/// Types that shared memory may be seen as: any bits are a value, and a shared reference writes by atomic access only.
trait Atomic {}
impl Atomic for AtomicU32 {}
impl Atomic for AtomicU64 {}
impl Atomic for [AtomicU64; 2] {}

impl core::fmt::Debug for Shm {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Shm({} bytes)", self.len)
    }
}

/// One word of shared memory, whose place was checked when it was made.
#[derive(Clone)]
pub struct Word {
    at: NonNull<AtomicU32>,
    #[cfg(any(feature = "std", test))]
    _owner: Option<heap::Owner>,
}

// SAFETY: as for `Shm`: atomic accesses only, to memory that stays valid.
unsafe impl Send for Word {}
// SAFETY: as for `Send`.
unsafe impl Sync for Word {}

impl Word {
    /// Loads it.
    ///
    /// # Panics
    /// If `order` is not an ordering for loads.
    #[inline]
    #[must_use]
    pub fn load(&self, order: Ordering) -> u32 {
        self.atomic().load(order)
    }

    /// Stores it.
    ///
    /// # Panics
    /// If `order` is not an ordering for stores.
    #[inline]
    pub fn store(&self, value: u32, order: Ordering) {
        self.atomic().store(value, order);
    }

    /// Exchanges it and returns the old value.
    #[inline]
    #[must_use]
    pub fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.atomic().swap(value, order)
    }

    /// Sets bits and returns the old value.
    #[inline]
    pub fn fetch_or(&self, bits: u32, order: Ordering) -> u32 {
        self.atomic().fetch_or(bits, order)
    }

    #[inline]
    fn atomic(&self) -> &AtomicU32 {
        // SAFETY: `Shm::word` checked bounds and alignment; the memory is valid as long as `self` by the contract of
        // `Shm::new`; every access to it by this process is atomic.
        unsafe { self.at.as_ref() }
    }
}

impl core::fmt::Debug for Word {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Word({:#x})", self.load(Ordering::Relaxed))
    }
}

/// A full fence: stores before it are visible to the peer before loads after it are made.
#[inline]
pub(crate) fn fence() {
    atomic::fence(Ordering::SeqCst);
}
