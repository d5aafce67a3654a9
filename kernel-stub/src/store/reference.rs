//! What names an object. Plain numbers: touches nothing.
#![forbid(unsafe_code)]

use super::Object;
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;

/// Frames beyond 256 GiB are left alone: a reference, and one to a capability, has 26 bits for the frame.
pub(super) const MAX_FRAMES: u32 = 1 << 26;

/// Names an object: frame, kind and generation. Checked at each use, by one comparison with what the store has for the frame.
///
/// One word that is never zero (nor is the frame of an object), so that one that may be missing is a word, too.
pub(crate) struct Ref<T> {
    /// From below: frame (26 bits), kind (6), generation (32).
    word: NonZeroU64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    pub(crate) const fn frame(self) -> u32 {
        self.word.get() as u32 % MAX_FRAMES
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.word.get() >> 32) as u32
    }

    pub(super) const fn word(self) -> u64 {
        self.word.get()
    }
}

impl<T: Object> Ref<T> {
    pub(crate) const fn new(frame: u32, generation: u32) -> Ref<T> {
        let word = (generation as u64) << 32 | Ref::<T>::low(frame) as u64;
        Ref {
            word: match NonZeroU64::new(word) {
                Some(word) => word,
                // No kind is zero that an object has.
                None => NonZeroU64::MAX,
            },
            kind: PhantomData,
        }
    }

    /// The lower half: frame and kind.
    pub(super) const fn low(frame: u32) -> u32 {
        const { assert!((T::KIND as u32) < 64 && T::KIND as u32 != 0) };
        T::KIND as u32 * MAX_FRAMES + frame % MAX_FRAMES
    }

    /// The same object taken as another type of its kind.
    pub(crate) const fn cast<U: Object>(self) -> Ref<U> {
        const { assert!(T::KIND as u8 == U::KIND as u8) };
        Ref {
            word: self.word,
            kind: PhantomData,
        }
    }
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ref<T> {}
impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.word == other.word
    }
}
impl<T> Eq for Ref<T> {}
impl<T> fmt::Debug for Ref<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.frame(), self.generation())
    }
}
