//! What names an object. Plain numbers: touches nothing.
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroU64;

/// Names an object: frame and generation. Checked at each use.
///
/// One word that is never zero (nor is the frame of an object), so that one that may be missing is a word, too.
pub(crate) struct Ref<T> {
    word: NonZeroU64,
    kind: PhantomData<fn() -> T>,
}

impl<T> Ref<T> {
    pub(crate) const fn new(frame: u32, generation: u32) -> Ref<T> {
        Ref {
            word: match NonZeroU64::new((generation as u64) << 32 | frame as u64) {
                Some(word) => word,
                // Names nothing: there is no such frame.
                None => NonZeroU64::MAX,
            },
            kind: PhantomData,
        }
    }

    pub(crate) const fn frame(self) -> u32 {
        self.word.get() as u32
    }

    pub(crate) const fn generation(self) -> u32 {
        (self.word.get() >> 32) as u32
    }

    /// The same frame taken as another type; the store checks whether it is.
    pub(crate) const fn cast<U>(self) -> Ref<U> {
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
