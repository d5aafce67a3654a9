//! The only way to the memory of processes: a walk of the process's page tables for each page, and a copy
//! through the direct map. A bad address is an error of the system call; the kernel can't fault on it.
#![forbid(unsafe_code)]

use crate::kernel::Kernel;
use crate::object::{HEADER, Letter};
use crate::phys::{Frame, PhysAddr};
use crate::platform::Platform;
use crate::store::FrameKind;
use kernel_abi::{Error, MESSAGE_CAPS, Message, PAGE_SIZE, Prot, USER_END, USER_START};

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

    /// Reads a message; only the part of the data that is in use. With [`Access::Write`], all of its place must be writable.
    pub(crate) fn letter_from_user(
        &self,
        root: Frame,
        address: u64,
        access: Access,
    ) -> Result<Letter, Error> {
        const WHOLE: usize = size_of::<Message>();
        if !in_user_half(address, WHOLE) {
            // Perhaps what is in use ends before the end of the user half.
            return self.letter_in_pieces(root, address, access);
        }
        let (place, in_page) = self.user_byte(root, address, access)?;
        if in_page < WHOLE {
            return self.letter_in_pieces(root, address, access);
        }
        let mut letter = Letter::EMPTY;
        let memory = &self.store.memory;
        let copied = memory.copy_out(place, letter.header_mut());
        copied.map_err(|_| Error::BadAddress)?;
        let data = body(&mut letter)?;
        let copied = memory.copy_out(place.offset(HEADER as u64), data);
        copied.map_err(|_| Error::BadAddress)?;
        Ok(letter)
    }

    /// The same where it may not lie in one page.
    #[inline(never)]
    fn letter_in_pieces(&self, root: Frame, address: u64, access: Access) -> Result<Letter, Error> {
        let mut letter = Letter::EMPTY;
        self.copy_from_user(root, address, letter.header_mut())?;
        let data = body(&mut letter)?;
        self.copy_from_user(root, address.saturating_add(HEADER as u64), data)?;
        if access == Access::Write {
            self.check_user(root, address, size_of::<Message>(), access)?;
        }
        Ok(letter)
    }
}

/// Where the data of a message goes whose header was read.
fn body(letter: &mut Letter) -> Result<&mut [u8], Error> {
    if letter.cap_count() > MESSAGE_CAPS {
        return Err(Error::BadArgument);
    }
    letter.data_mut().ok_or(Error::BadArgument)
}
