//! A message on its way through the kernel, in the form that it has in memory. Data only.

use kernel_abi::{MESSAGE_BYTES, MESSAGE_CAPS, Message, Slot};

/// Bytes of a message before its data: lengths of data and capabilities, then the slots of these, four bytes each.
pub(crate) const HEADER: usize = size_of::<Message>() - MESSAGE_BYTES;

/// A [`Message`]. Behind the data in use is anything: only what is in use is ever passed on.
#[derive(Clone)]
pub(crate) struct Letter([u8; size_of::<Message>()]);

impl Letter {
    pub(crate) const EMPTY: Letter = Letter([0; size_of::<Message>()]);

    fn word(&self, index: usize) -> u32 {
        let (words, _) = self.0.as_chunks::<4>();
        words.get(index).map_or(0, |word| u32::from_le_bytes(*word))
    }

    /// Bytes of data in use, as whoever wrote the header has it.
    pub(crate) fn len(&self) -> usize {
        self.word(0) as usize
    }

    /// Capabilities, as whoever wrote the header has it.
    pub(crate) fn cap_count(&self) -> usize {
        self.word(1) as usize
    }

    /// All slots of capabilities.
    pub(crate) fn caps(&self) -> [Slot; MESSAGE_CAPS] {
        core::array::from_fn(|index| Slot(self.word(2 + index)))
    }

    pub(crate) fn set_caps(&mut self, caps: [Slot; MESSAGE_CAPS]) {
        let (words, _) = self.0.as_chunks_mut::<4>();
        for (word, slot) in words.iter_mut().skip(2).zip(caps) {
            *word = slot.0.to_le_bytes();
        }
    }

    /// The header, to be written.
    pub(crate) fn header_mut(&mut self) -> &mut [u8] {
        self.0.split_at_mut(HEADER).0
    }

    /// The data in use, to be written; `None` if the header names more than there can be.
    pub(crate) fn data_mut(&mut self) -> Option<&mut [u8]> {
        let len = self.len();
        self.0.split_at_mut(HEADER).1.get_mut(..len)
    }

    /// All that is in use.
    pub(crate) fn bytes(&self) -> &[u8] {
        let end = HEADER + self.len().min(MESSAGE_BYTES);
        self.0.get(..end).unwrap_or(&self.0)
    }

    /// Takes over what is in use of another.
    pub(crate) fn copy_from(&mut self, other: &Letter) {
        let bytes = other.bytes();
        if let Some(place) = self.0.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }
}
