//! Devices: what a driver may do with a PCI function. Touches configuration space, MSI-X tables and the
//! device and interrupt objects. The driver itself never gets at any of these three.
#![forbid(unsafe_code)]

mod dma;
mod msix;
pub(crate) mod pci;

use crate::kernel::Kernel;
use crate::object::{Bar, Budget, Device, Interrupt, Memory, Pin, Watch};
use crate::phys::{Frame, PhysAddr};
use crate::platform::Platform;
use crate::store::{FrameKind, Ref};
use kernel_abi::{BarInfo, DeviceInfo, Error, PAGE_SIZE};

const PAGE: u64 = PAGE_SIZE as u64;

impl<P: Platform> Kernel<P> {
    /// What a device is.
    pub(crate) fn device_info(&self, device: Ref<Device>) -> Result<DeviceInfo, Error> {
        let entry = self.store.get(device)?;
        Ok(DeviceInfo {
            vendor: entry.vendor,
            device: entry.device,
            address: entry.address,
            class: entry.class,
            msix_entries: entry.msix.map_or(0, |msix| msix.entries),
            bars: entry.bars.map(|bar| BarInfo { len: bar.len }),
            strays: entry.strays,
        })
    }

    /// Reads 1, 2 or 4 aligned bytes of configuration space.
    pub(crate) fn device_config(
        &self,
        device: Ref<Device>,
        offset: u64,
        width: u64,
    ) -> Result<u64, Error> {
        let offset = u16::try_from(offset).map_err(|_| Error::BadArgument)?;
        if !matches!(width, 1 | 2 | 4) || !(offset as u64).is_multiple_of(width) || offset >= 4096 {
            return Err(Error::BadArgument);
        }
        let address = self.store.get(device)?.address;
        let word = self.platform.config_read(address, offset & !3) as u64;
        let mask = u64::MAX >> (64 - 8 * width);
        Ok(word >> (8 * (offset & 3)) & mask)
    }

    /// A memory object over a base address register, without what belongs to MSI-X.
    pub(crate) fn device_bar(
        &mut self,
        payer: Ref<Budget>,
        device: Ref<Device>,
        index: u64,
    ) -> Result<Ref<Memory>, Error> {
        let index = usize::try_from(index).map_err(|_| Error::BadArgument)?;
        let entry = self.store.get(device)?;
        let bar = *entry.bars.get(index).ok_or(Error::BadArgument)?;
        if bar.len == 0 {
            return Err(Error::NotSupported);
        }
        let mut holes = [0; 4];
        if let Some(msix) = entry.msix {
            let [first, end, first2, end2] = &mut holes;
            for ((place, len), (from, to)) in [
                (msix.table_place, (first, end)),
                (msix.pending_place, (first2, end2)),
            ]
            .map(|((bar, offset, len), hole)| (((bar, offset), len), hole))
            {
                if place.0 as usize == index {
                    let last = place.1.saturating_add(len).div_ceil(PAGE);
                    *from = u32::try_from(place.1 / PAGE).unwrap_or(u32::MAX);
                    *to = u32::try_from(last).unwrap_or(u32::MAX);
                }
            }
        }
        let (first, pages) = self.bar_frames(bar)?;
        let memory = self.create_window_with(payer, first, bar.len, holes)?;
        let entry = self.store.get(memory)?;
        if (0..pages).all(|page| entry.is_hole(page)) {
            self.destroy_memory(Frame(memory.frame()));
            return Err(Error::Refused);
        }
        Ok(memory)
    }

    fn create_window_with(
        &mut self,
        payer: Ref<Budget>,
        first: Frame,
        bytes: u64,
        holes: [u32; 4],
    ) -> Result<Ref<Memory>, Error> {
        let memory = self.create_window(payer, first, bytes, true)?;
        self.store.get_mut(memory)?.holes = holes;
        Ok(memory)
    }

    /// Whole pages of a BAR, none of which is RAM: the register's content is the device's word.
    fn bar_frames(&self, bar: Bar) -> Result<(Frame, u32), Error> {
        let whole = bar.base.is_multiple_of(PAGE) && bar.len.is_multiple_of(PAGE);
        let first = Frame::containing(PhysAddr(bar.base));
        let pages = u32::try_from(bar.len / PAGE).ok();
        let (Some(first), Some(pages), true) = (first, pages, whole) else {
            return Err(Error::NotSupported);
        };
        let end = first.0.checked_add(pages).ok_or(Error::NotSupported)?;
        let is_ram = |frame| self.store.kind(Frame(frame)) != FrameKind::Reserved;
        if first.0 == 0 || (first.0..end.min(self.store.memory.frames())).any(is_ram) {
            return Err(Error::Refused);
        }
        Ok((first, pages))
    }

    /// Forgets the MSI-X of a device that claims to keep its table in RAM: the kernel would write there.
    pub(crate) fn distrust_msix(&mut self, device: Ref<Device>) -> Result<(), Error> {
        let entry = self.store.get(device)?;
        let bar = entry.msix.map(|msix| msix.table_place.0 as usize);
        let bar = bar.and_then(|index| entry.bars.get(index).copied());
        if bar.is_some_and(|bar| self.bar_frames(bar).is_err()) {
            self.store.get_mut(device)?.msix = None;
        }
        Ok(())
    }

    /// Lets the device act as bus master.
    pub(crate) fn start_device(&mut self, device: Ref<Device>) -> Result<(), Error> {
        let entry = self.store.get(device)?;
        if entry.has_strayed {
            return Err(Error::BadState);
        }
        let address = entry.address;
        pci::set_command(&mut self.platform, address, pci::BUS_MASTER, 0);
        Ok(())
    }

    /// Stops the device, and only then gives back what it could write to.
    pub(crate) fn quiesce_device(&mut self, device: Ref<Device>) -> Result<(), Error> {
        let address = self.store.get(device)?.address;
        pci::set_command(&mut self.platform, address, 0, pci::BUS_MASTER);
        self.disable_msix(device)?;
        self.close_domain(device)?;
        let entry = self.store.get_mut(device)?;
        entry.has_strayed = false;
        let interrupts = core::mem::replace(&mut entry.interrupts, [None; _]);
        let pins = core::mem::replace(&mut entry.pins, [None; _]);
        for interrupt in interrupts.into_iter().flatten() {
            if let Ok(entry) = self.store.get_mut::<Interrupt>(interrupt) {
                entry.device = None;
                let vector = entry.vector;
                self.vectors.set_owner(vector, None);
            }
        }
        for Pin { memory, writes } in pins.into_iter().flatten() {
            self.store.get_mut(memory)?.writers -= writes as u32;
            self.store.release(memory.frame());
        }
        Ok(())
    }

    /// The last capability went: the device is quiet for ever.
    pub(crate) fn destroy_device(&mut self, frame: Frame) {
        if let Some(device) = self.store.live(frame.0) {
            self.must(|k| k.quiesce_device(device));
        }
        self.store.free(frame);
    }

    /// Routes an MSI-X entry to a notification.
    pub(crate) fn create_interrupt(
        &mut self,
        payer: Ref<Budget>,
        device: Ref<Device>,
        number: u64,
        watch: Watch,
    ) -> Result<Ref<Interrupt>, Error> {
        let entry = self.store.get(device)?;
        let msix = entry.msix.ok_or(Error::NotSupported)?;
        let number = u16::try_from(number).map_err(|_| Error::BadArgument)?;
        if number >= msix.entries {
            return Err(Error::NotSupported);
        }
        let taken = entry.interrupts.iter().flatten();
        let is_taken = |other: &Ref<Interrupt>| {
            self.store
                .get(*other)
                .is_ok_and(|other| other.entry == number)
        };
        if taken.clone().any(is_taken) {
            return Err(Error::Busy);
        }
        let free = entry.interrupts.iter().position(Option::is_none);
        let free = free.ok_or(Error::NotSupported)?;
        let vector = self.vectors.find_free().ok_or(Error::NotSupported)?;
        let interrupt = Interrupt {
            device: Some(device),
            entry: number,
            vector,
            came: false,
            masked: false,
            watch,
        };
        let interrupt = self.store.create(Some(payer), interrupt)?;
        if let Some(place) = self.store.get_mut(device)?.interrupts.get_mut(free) {
            *place = Some(interrupt);
        }
        self.vectors.set_owner(vector, Some(interrupt));
        self.enable_entry(device, number, vector)?;
        Ok(interrupt)
    }

    /// A device interrupt arrived. The second that nobody acknowledged masks it, so that no device can take more of the
    /// processor than its driver lets it; the first does not, since reaching the device's table takes longer than all else.
    pub(crate) fn deliver_interrupt(&mut self, vector: u8) {
        let Some(interrupt) = self.vectors.owner(vector) else {
            return;
        };
        let Ok(entry) = self.store.get_mut(interrupt) else {
            return;
        };
        let (device, number, watch) = (entry.device, entry.entry, entry.watch);
        if core::mem::replace(&mut entry.came, true)
            && let Some(device) = device
        {
            entry.masked = true;
            self.must(|k| k.mask_entry(device, number, true));
        }
        self.signal_watch(watch);
    }

    /// Lets an interrupt come again.
    pub(crate) fn acknowledge(&mut self, interrupt: Ref<Interrupt>) -> Result<(), Error> {
        let entry = self.store.get_mut(interrupt)?;
        let (device, number) = (entry.device.ok_or(Error::Gone)?, entry.entry);
        entry.came = false;
        match core::mem::take(&mut entry.masked) {
            true => self.mask_entry(device, number, false),
            false => Ok(()),
        }
    }

    /// The last capability to an interrupt went.
    pub(crate) fn destroy_interrupt(&mut self, frame: Frame) {
        let Some(interrupt) = self.store.live::<Interrupt>(frame.0) else {
            return;
        };
        let entry = self
            .store
            .get(interrupt)
            .map(|e| (e.device, e.entry, e.vector));
        if let Ok((Some(device), number, vector)) = entry {
            self.must(|k| k.mask_entry(device, number, true));
            self.vectors.set_owner(vector, None);
            if let Ok(entry) = self.store.get_mut(device) {
                for place in entry.interrupts.iter_mut() {
                    place.take_if(|other| *other == interrupt);
                }
            }
        }
        self.store.free(frame);
    }
}
