//! What memory a device reaches: the objects that were pinned for it, and, where the machine has a unit that checks
//! accesses, nothing else. Touches the tables of those units (through the platform) and the pins of devices.
//!
//! A device that tries to reach anything else is stopped at once, as a thread is that faults, and whoever watches it is
//! told. It starts again only after it was quiesced.
#![forbid(unsafe_code)]

use super::{PAGE, pci};
use crate::kernel::Kernel;
use crate::object::{Budget, Device, Memory, Pin, Watch};
use crate::phys::{Frame, PhysMemory};
use crate::platform::{DmaFault, MapError, Platform};
use crate::store::{FrameKind, Ref};
use kernel_abi::Error;

/// Spare frames for tables, kept while frames are added.
const SPARE: usize = 4;

/// Records taken at one interrupt. A unit that has more tells so again.
const MAX_FAULTS: usize = 16;

impl<P: Platform> Kernel<P> {
    /// Puts every device behind the machine's units, if there are any: none reaches memory from here on.
    pub(crate) fn isolate_devices(&mut self) -> Result<(), Error> {
        if !self.platform.isolates_dma() {
            return Ok(());
        }
        let payer = self.root_budget;
        for device in self.devices.clone() {
            let address = self.store.get(device)?.address;
            self.with_tables(payer, |kernel, allocate| {
                let memory = &mut kernel.store.memory;
                kernel.platform.dma_add(memory, address, allocate)
            })?;
        }
        match self.platform.dma_begin() {
            true => Ok(()),
            false => Err(Error::NotSupported),
        }
    }

    /// Calls `what` with a source of zeroed frames for tables, enough for one call of the platform.
    fn with_tables(
        &mut self,
        payer: Ref<Budget>,
        what: impl FnOnce(
            &mut Self,
            &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
        ) -> Result<(), MapError>,
    ) -> Result<(), Error> {
        const { assert!(P::MAX_DMA_TABLES <= SPARE) };
        let mut spare = heapless::Vec::<Frame, SPARE>::new();
        // With fewer (the budget is short) it may still work out.
        while spare.len() < P::MAX_DMA_TABLES {
            match self.store.alloc_zeroed(Some(payer), FrameKind::PageTable) {
                Ok(frame) if spare.push(frame).is_ok() => {}
                _ => break,
            }
        }
        let result = what(self, &mut |_| spare.pop());
        for frame in spare {
            self.store.free(frame);
        }
        result.map_err(|error| match error {
            MapError::NoFrame => Error::NoBudget,
            MapError::Busy => Error::NotSupported,
        })
    }

    /// Lets a device read a memory object, and write to it if it `writes`; address and bytes for the device. `payer` pays for
    /// tables.
    pub(crate) fn pin_memory(
        &mut self,
        payer: Ref<Budget>,
        device: Ref<Device>,
        memory: Ref<Memory>,
        writes: bool,
    ) -> Result<(u64, u64), Error> {
        // Nothing keeps it from writing where no unit checks it.
        let writes = writes || !self.platform.isolates_dma();
        let object = self.store.get(memory)?;
        let (pages, is_busy) = (object.pages, writes && object.executers > 0);
        let first = self.page_frame(memory, 0)?;
        if !object.is_contiguous() || self.store.kind(first) != FrameKind::User {
            return Err(Error::BadArgument);
        }
        if is_busy {
            return Err(Error::Busy);
        }
        let place = (first.address().0, pages as u64 * PAGE);
        let pins = &self.store.get(device)?.pins;
        if let Some(pin) = pins.iter().flatten().find(|pin| pin.memory == memory) {
            // A unit may go on as it was until the device is quiesced: what is pinned to be read stays so.
            return match writes && !pin.writes {
                true => Err(Error::Busy),
                false => Ok(place),
            };
        }
        let free = pins.iter().position(Option::is_none).ok_or(Error::Busy)?;
        if self.platform.isolates_dma() {
            self.open_domain(payer, device, (first, pages), writes)?;
        }
        if let Some(pin) = self.store.get_mut(device)?.pins.get_mut(free) {
            *pin = Some(Pin { memory, writes });
        }
        self.store.retain(memory.frame());
        // A device writes as it likes, so nobody may execute this.
        self.store.get_mut(memory)?.writers += writes as u32;
        Ok(place)
    }

    /// Lets frames in a row through, all or none.
    fn open_domain(
        &mut self,
        payer: Ref<Budget>,
        device: Ref<Device>,
        (first, pages): (Frame, u32),
        writes: bool,
    ) -> Result<(), Error> {
        let entry = self.store.get(device)?;
        let (address, number) = (entry.address, entry.number);
        let (old, new) = match entry.domain {
            Some(root) => (Some(root), root),
            None => (
                None,
                self.store.alloc_zeroed(Some(payer), FrameKind::PageTable)?,
            ),
        };
        let mut result = Ok(());
        let mut done = 0;
        while done < pages && result.is_ok() {
            let frame = Frame(first.0 + done);
            result = self.with_tables(payer, |kernel, allocate| {
                let memory = &mut kernel.store.memory;
                let platform = &mut kernel.platform;
                platform.dma_map(memory, new, frame, writes, allocate)
            });
            done += result.is_ok() as u32;
        }
        let memory = &mut self.store.memory;
        if result.is_ok() && !self.platform.dma_attach(memory, address, number, Some(new)) {
            result = Err(Error::NotSupported);
        }
        if result.is_ok() {
            self.store.get_mut(device)?.domain = Some(new);
            return Ok(());
        }
        // No unit has seen these entries: it looks again where nothing was, and nothing is accessed there yet.
        for frame in first.0..first.0 + done {
            self.platform.dma_unmap(memory, new, Frame(frame));
        }
        if old.is_none() {
            self.free_tables(|platform, memory, free| platform.free_dma_tables(memory, new, free));
            self.store.free(new);
        }
        result
    }

    /// Takes everything out of a device's reach. Its bus mastering is off.
    pub(super) fn close_domain(&mut self, device: Ref<Device>) -> Result<(), Error> {
        let entry = self.store.get_mut(device)?;
        let (address, number) = (entry.address, entry.number);
        let Some(root) = entry.domain else {
            return Ok(());
        };
        let memory = &mut self.store.memory;
        if !self.platform.dma_attach(memory, address, number, None) {
            // The unit may still walk the tables: they, and what the device was given, stay allocated.
            return Err(Error::BadState);
        }
        self.free_tables(|platform, memory, free| platform.free_dma_tables(memory, root, free));
        self.store.free(root);
        self.store.get_mut(device)?.domain = None;
        Ok(())
    }

    /// Says whom to tell when a device strays.
    pub(crate) fn watch_device(
        &mut self,
        device: Ref<Device>,
        watch: Option<Watch>,
    ) -> Result<(), Error> {
        self.store.get_mut(device)?.watch = watch;
        Ok(())
    }

    /// A unit has refused accesses: stops the devices that made them.
    #[cold]
    #[inline(never)]
    pub(crate) fn dma_faulted(&mut self) {
        for _ in 0..MAX_FAULTS {
            match self.platform.dma_fault() {
                Some(fault) => self.stop_stray(fault),
                None => return,
            }
        }
    }

    fn stop_stray(&mut self, fault: DmaFault) {
        let devices = self.devices.clone();
        let strayed = devices.into_iter().find(|device| {
            let entry = self.store.get(*device);
            entry.is_ok_and(|entry| entry.address == fault.device)
        });
        let Some(device) = strayed else {
            // Nobody has a capability to it: it can't be started again.
            pci::set_command(&mut self.platform, fault.device, 0, pci::BUS_MASTER);
            return;
        };
        pci::set_command(&mut self.platform, fault.device, 0, pci::BUS_MASTER);
        let Ok(entry) = self.store.get_mut(device) else {
            return;
        };
        // What was under way when it was stopped comes as further faults.
        if core::mem::replace(&mut entry.has_strayed, true) {
            return;
        }
        entry.strays = entry.strays.saturating_add(1);
        let watch = entry.watch;
        let what = if fault.write { "write" } else { "read" };
        self.report(
            1,
            format_args!(
                "kernel: device {:02x}:{:02x}.{} tried to {what} memory at {:#x} that it was not given; stopped",
                fault.device >> 8,
                fault.device >> 3 & 0x1f,
                fault.device & 7,
                fault.address,
            ),
        );
        if let Some(watch) = watch {
            self.signal_watch(watch);
        }
    }
}
