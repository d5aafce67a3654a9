//! Two objects at a time: one, and any of the other kinds. Part of the store: `unsafe`, see there.

use super::{Object, Ref, Store};
use core::marker::PhantomData;
use kernel_abi::Error;

/// All objects but those of `T`'s kind, while one of these is borrowed.
pub(crate) struct Others<'a, T> {
    store: &'a mut Store,
    kind: PhantomData<fn() -> T>,
}

impl<T: Object> Others<'_, T> {
    /// As [`Store::get`].
    #[inline]
    pub(crate) fn get<U: Object>(&self, object: Ref<U>) -> Result<&U, Error> {
        const { assert!(T::KIND as u8 != U::KIND as u8) };
        self.store.get(object)
    }

    /// As [`Store::get_mut`].
    #[inline]
    pub(crate) fn get_mut<U: Object>(&mut self, object: Ref<U>) -> Result<&mut U, Error> {
        const { assert!(T::KIND as u8 != U::KIND as u8) };
        self.store.get_mut(object)
    }
}

impl Store {
    /// The object, to be changed, together with all objects of other kinds.
    #[inline]
    pub(crate) fn split<T: Object>(
        &mut self,
        object: Ref<T>,
    ) -> Result<(&mut T, Others<'_, T>), Error> {
        let mut place = self.find(object).ok_or(Error::Gone)?;
        // SAFETY: as in `get_mut`, but for `Others`, which leads to objects of another kind only: they are in other frames.
        let value = unsafe { place.as_mut() };
        let others = Others {
            store: self,
            kind: PhantomData,
        };
        Ok((value, others))
    }
}
