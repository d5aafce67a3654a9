//! The only way to the memory of processes: a walk of the process's page tables for each page, and a copy
//! through the direct map. A bad address is an error of the system call; the kernel can't fault on it.
#![forbid(unsafe_code)]

use crate::kernel::Kernel;
use crate::phys::{Frame, PhysAddr};
use crate::platform::Platform;
use crate::store::FrameKind;
use kernel_abi::{
    Error, MESSAGE_BYTES, MESSAGE_CAPS, Message, PAGE_SIZE, Prot, Slot, USER_END, USER_START,
};

/// Bytes of a message before its data.
const HEADER: usize = size_of::<Message>() - MESSAGE_BYTES;

/// What the caller is about to do with user memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Whether these bytes lie in the user half.
fn in_user_half(address: u64, len: usize) -> bool {
    let end = address.checked_add(len as u64);
    address >= USER_START && end.is_some_and(|end| end <= USER_END)
}

impl<P: Platform> Kernel<P> {
    /// Where a user's byte lies, if it is RAM that the user may reach so. How many bytes follow in the page.
    fn user_byte(
        &self,
        root: Frame,
        address: u64,
        access: Access,
    ) -> Result<(PhysAddr, usize), Error> {
        let (place, prot) = self
            .platform
            .translate(&self.store.memory, root, address)
            .ok_or(Error::BadAddress)?;
        if access == Access::Write && !prot.contains(Prot::WRITE) {
            return Err(Error::BadAddress);
        }
        // Never registers of a device: reading them can have effects, and the direct map may not have them.
        let frame = Frame::containing(place).ok_or(Error::BadAddress)?;
        match self.store.kind(frame) {
            FrameKind::User | FrameKind::Archive => {}
            _ => return Err(Error::BadAddress),
        }
        Ok((place, PAGE_SIZE - (address as usize % PAGE_SIZE)))
    }

    /// Whether all of a range can be accessed.
    pub(crate) fn check_user(
        &self,
        root: Frame,
        address: u64,
        len: usize,
        access: Access,
    ) -> Result<(), Error> {
        if !in_user_half(address, len) {
            return Err(Error::BadAddress);
        }
        let mut done = 0;
        while done < len {
            done += self.user_byte(root, address + done as u64, access)?.1;
        }
        Ok(())
    }

    /// Copies from user memory.
    pub(crate) fn copy_from_user(
        &self,
        root: Frame,
        address: u64,
        mut out: &mut [u8],
    ) -> Result<(), Error> {
        if !in_user_half(address, out.len()) {
            return Err(Error::BadAddress);
        }
        let mut address = address;
        while !out.is_empty() {
            let (place, in_page) = self.user_byte(root, address, Access::Read)?;
            let (now, rest) = out.split_at_mut(in_page.min(out.len()));
            let copied = self.store.memory.copy_out(place, now);
            copied.map_err(|_| Error::BadAddress)?;
            address += now.len() as u64;
            out = rest;
        }
        Ok(())
    }

    /// Copies to user memory. On an error, part of it may have been written.
    pub(crate) fn copy_to_user(
        &mut self,
        root: Frame,
        address: u64,
        mut bytes: &[u8],
    ) -> Result<(), Error> {
        if !in_user_half(address, bytes.len()) {
            return Err(Error::BadAddress);
        }
        let mut address = address;
        while !bytes.is_empty() {
            let (place, in_page) = self.user_byte(root, address, Access::Write)?;
            let (now, rest) = bytes.split_at(in_page.min(bytes.len()));
            let copied = self.store.memory.copy_in(place, now);
            copied.map_err(|_| Error::BadAddress)?;
            address += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Writes words.
    pub(crate) fn words_to_user(
        &mut self,
        root: Frame,
        address: u64,
        words: &[u64],
    ) -> Result<(), Error> {
        let mut address = address;
        for word in words {
            self.copy_to_user(root, address, &word.to_le_bytes())?;
            address = address.saturating_add(8);
        }
        Ok(())
    }

    /// Reads a message; only the part of the data that is in use.
    pub(crate) fn message_from_user(&self, root: Frame, address: u64) -> Result<Message, Error> {
        let mut message = Message::new();
        let mut header = [0; HEADER];
        self.copy_from_user(root, address, &mut header)?;
        let (words, _) = header.as_chunks::<4>();
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        message.len = words.next().unwrap_or(0);
        message.cap_count = words.next().unwrap_or(0);
        for (slot, word) in message.caps.iter_mut().zip(words) {
            *slot = Slot(word);
        }
        if message.cap_count as usize > MESSAGE_CAPS {
            return Err(Error::BadArgument);
        }
        let data = message.data.get_mut(..message.len as usize);
        let data = data.ok_or(Error::BadArgument)?;
        self.copy_from_user(root, address.saturating_add(HEADER as u64), data)?;
        Ok(message)
    }

    /// Writes a message; only the part of the data that is in use.
    pub(crate) fn message_to_user(
        &mut self,
        root: Frame,
        address: u64,
        message: &Message,
    ) -> Result<(), Error> {
        let mut bytes = [0; size_of::<Message>()];
        let words = [message.len, message.cap_count]
            .into_iter()
            .chain(message.caps.iter().map(|slot| slot.0));
        let (places, _) = bytes.as_chunks_mut::<4>();
        for (place, word) in places.iter_mut().zip(words) {
            *place = word.to_le_bytes();
        }
        let (_, data) = bytes.split_at_mut(HEADER);
        data.copy_from_slice(&message.data);
        let len = HEADER + (message.len as usize).min(MESSAGE_BYTES);
        self.copy_to_user(root, address, bytes.get(..len).unwrap_or(&bytes))
    }
}
