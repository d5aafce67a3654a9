//! Devices and their interrupts. Safe: registers are reached through mapped [`Memory`], and which memory the
//! device reaches is the kernel's affair.

use crate::{cap::kind, memory::Memory, objects::Notification, syscall};
use kernel_abi::{DeviceInfo, Error, Slot, Syscall, Words};

kind! {
    /// One PCI function.
    Device
}
kind! {
    /// One MSI-X vector of a device.
    Interrupt
}

impl Device {
    /// What it is.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn info(&self) -> Result<DeviceInfo, Error> {
        let words = syscall::record::<12>(Syscall::DeviceInfo, self.slot())?;
        DeviceInfo::from_words(&words).ok_or(Error::BadState)
    }

    /// Reads `width` (1, 2 or 4) bytes of PCI configuration space.
    ///
    /// # Errors
    /// [`Error::BadArgument`] outside of it or unaligned.
    pub fn config_read(&self, offset: u16, width: u8) -> Result<u32, Error> {
        let args = [self.slot().0.into(), offset.into(), width.into(), 0, 0, 0];
        let [value, ..] = syscall::values(Syscall::DeviceConfigRead, args)?;
        Ok(value as u32)
    }

    /// The memory behind base address register `index`.
    ///
    /// # Errors
    /// [`Error::NotSupported`], [`Error::Refused`] for the page of the MSI-X table.
    pub fn bar(&self, index: u8) -> Result<Memory, Error> {
        let args = [self.slot().0.into(), index.into(), 0, 0, 0, 0];
        let [slot, ..] = syscall::values(Syscall::DeviceBar, args)?;
        Ok(Memory::from_raw(Slot(slot as u32)))
    }

    /// Lets the device read contiguous `memory`, and write to it if the capability has WRITE. It stays allocated until the
    /// device is quiesced. Returns the address for the device, and the length in bytes.
    ///
    /// # Errors
    /// [`Error::NoRights`] without DMA on both and READ on the memory, [`Error::BadArgument`] if it isn't contiguous.
    pub fn dma_map(&self, memory: &Memory) -> Result<(u64, u64), Error> {
        let args = [self.slot().0.into(), memory.slot().0.into(), 0, 0, 0, 0];
        let [address, len, _] = syscall::values(Syscall::DeviceDmaMap, args)?;
        Ok((address, len))
    }

    /// Routes MSI-X entry `entry` to `bits` of `notification`. Delivered twice at most, then masked until
    /// [`Interrupt::ack`].
    ///
    /// # Errors
    /// [`Error::NotSupported`] if there is no such entry, [`Error::Busy`].
    pub fn interrupt(
        &self,
        entry: u16,
        notification: &Notification,
        bits: u64,
    ) -> Result<Interrupt, Error> {
        let args = [
            self.slot().0.into(),
            entry.into(),
            notification.slot().0.into(),
            bits,
            0,
            0,
        ];
        let [slot, ..] = syscall::values(Syscall::DeviceInterrupt, args)?;
        Ok(Interrupt::from_raw(Slot(slot as u32)))
    }

    /// Signals `bits` of `notification` whenever the device is stopped because it tried to reach memory that it was not
    /// given ([`DeviceInfo::strays`] counts). Never on a machine without an IOMMU.
    ///
    /// # Errors
    /// [`Error::NoRights`] without GRANT.
    pub fn watch(&self, notification: &Notification, bits: u64) -> Result<(), Error> {
        let args = [
            self.slot().0.into(),
            notification.slot().0.into(),
            bits,
            0,
            0,
            0,
        ];
        syscall::values(Syscall::DeviceWatch, args).map(drop)
    }

    /// Turns bus mastering on: from here on it can write to what was mapped.
    ///
    /// # Errors
    /// [`Error::NoRights`].
    pub fn start(&self) -> Result<(), Error> {
        syscall::simple(Syscall::DeviceStart, self.slot()).map(drop)
    }

    /// Turns bus mastering off, takes its interrupts away, and releases the memory that it could reach.
    ///
    /// # Errors
    /// [`Error::NoRights`].
    pub fn quiesce(&self) -> Result<(), Error> {
        syscall::simple(Syscall::DeviceQuiesce, self.slot()).map(drop)
    }
}

impl Interrupt {
    /// Unmasks it again.
    ///
    /// # Errors
    /// [`Error::BadSlot`] once the device was quiesced.
    pub fn ack(&self) -> Result<(), Error> {
        syscall::simple(Syscall::InterruptAck, self.slot()).map(drop)
    }
}
