//! Which buffers of a pool are in the driver's hands, or the device's: the stack has given them, and was not told yet that they are its own
//! again. Touches nothing else.

use crate::error::StackError;
use alloc::{vec, vec::Vec};
use ipc_proto::frame::Run;

/// For each buffer of a pool, whether it is.
pub(super) struct Hands(Vec<bool>);

impl Hands {
    /// Of a pool of so many buffers, none.
    pub(super) fn new(count: usize) -> Hands {
        Hands(vec![false; count])
    }

    /// The stack gives buffers.
    ///
    /// # Errors
    /// [`StackError`] if there are none such, or one was given before.
    #[inline]
    pub(super) fn take(&mut self, buffers: Run) -> Result<(), StackError> {
        let taken = self
            .0
            .get_mut(buffers.range())
            .filter(|taken| !taken.is_empty())
            .ok_or(StackError::NoSuchBuffer(buffers.first))?;
        if taken.iter().any(|taken| *taken) {
            return Err(StackError::NotYours(buffers.first));
        }
        for taken in taken {
            *taken = true;
        }
        Ok(())
    }

    /// The stack is told that buffers are its own again.
    #[inline]
    pub(super) fn give_back(&mut self, buffers: Run) {
        for taken in self.0.get_mut(buffers.range()).unwrap_or_default() {
            *taken = false;
        }
    }
}
