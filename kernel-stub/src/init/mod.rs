//! The first process: loaded from the boot archive, with capabilities to everything there is. Touches the
//! archive, and all of the kernel while it is built; runs once.
#![forbid(unsafe_code)]

mod archive;
mod program;

use crate::boot::BootError;
use crate::cap::{self, Grant};
use crate::device::pci::{self, MAX_DEVICES};
use crate::kernel::Kernel;
use crate::memory::{Layout, MapRequest};
use crate::object::{Device, Memory, Process};
use crate::phys::{Frame, PhysAddr};
use crate::platform::Platform;
use crate::store::Ref;
use core::ops::Range;
use kernel_abi::{
    BOOT_STACK_TOP, Error, Kind, PAGE_SIZE, PRIORITIES, Prot, Rights, SLOT_BUDGET, SLOT_SELF, Slot,
    boot_slots,
};
use program::{Program, Segment};

/// File of the archive that becomes the first process.
const INIT: &str = "init";

/// Pages of its stack.
const STACK_PAGES: u64 = 32;

/// Rights of whoever makes a memory object.
pub(crate) const MEMORY_RIGHTS: Rights = Rights::READ
    .union(Rights::WRITE)
    .union(Rights::EXEC)
    .union(Rights::GRANT)
    .union(Rights::DMA)
    .union(Rights::MANAGE);

impl<P: Platform> Kernel<P> {
    /// Finds the devices, makes the first process, and lets it run.
    pub(crate) fn start_init(&mut self, archive: Range<u64>) -> Result<(), BootError> {
        let program = {
            let bytes = self.store.memory.slice(archive.clone());
            let bytes = bytes.map_err(|_| BootError::BadArchivePlace)?;
            let file = archive::find(bytes, INIT)?;
            let image = bytes.get(file.clone()).ok_or(BootError::BadArchive)?;
            let at = archive.start.saturating_add(file.start as u64);
            program::examine(image, at)?
        };
        let short = |_| BootError::TooLittleMemory;
        let most = (PRIORITIES - 1) as u64;
        let budget = self.root_budget;
        let process = self.create_process(budget, most).map_err(short)?;
        self.endow(process, archive).map_err(short)?;
        for segment in &program.segments {
            self.load(process, segment).map_err(|error| match error {
                Error::NoBudget => BootError::TooLittleMemory,
                _ => BootError::BadInit("its segments overlap or lie outside of user memory"),
            })?;
        }
        self.start_program(process, &program).map_err(short)?;
        self.first = Some(process);
        self.reap();
        Ok(())
    }

    /// Gives the first process the capabilities of [`boot_slots`].
    fn endow(&mut self, process: Ref<Process>, archive: Range<u64>) -> Result<(), Error> {
        let budget = self.root_budget;
        let bytes = archive.end.saturating_sub(archive.start);
        let first = Frame::containing(PhysAddr(archive.start)).ok_or(Error::BadAddress)?;
        let archive = self.create_window(budget, first, bytes, false)?;
        let process_rights = Rights::READ | Rights::MANAGE | Rights::GRANT;
        let budget_rights = Rights::ALLOC | Rights::GRANT | Rights::READ;
        let all = Rights::READ | Rights::GRANT;
        let write = all | Rights::WRITE | Rights::MANAGE;
        for (slot, grant) in [
            (
                SLOT_SELF,
                Grant::new(Kind::Process, process_rights, process),
            ),
            (SLOT_BUDGET, Grant::new(Kind::Budget, budget_rights, budget)),
            (
                boot_slots::CONSOLE,
                Grant::to_singleton(Kind::Console, write),
            ),
            (boot_slots::CLOCK, Grant::to_singleton(Kind::Clock, all)),
            (
                boot_slots::MACHINE,
                Grant::to_singleton(Kind::Machine, all | Rights::MANAGE),
            ),
            (boot_slots::ARCHIVE, Grant::new(Kind::Memory, all, archive)),
        ] {
            self.insert(process, slot.index(), grant)?;
        }
        self.endow_devices(process)
    }

    fn endow_devices(&mut self, process: Ref<Process>) -> Result<(), Error> {
        if !self.pci {
            return Ok(());
        }
        let mut found = heapless::Vec::<Ref<Device>, MAX_DEVICES>::new();
        let (mut missed, mut failure) = (0u32, None);
        let (budget, store) = (self.root_budget, &mut self.store);
        pci::enumerate(&mut self.platform, |_, mut device| {
            device.number = found.len() as u16 + 1;
            match found.is_full() {
                true => missed += 1,
                false => match store.create(Some(budget), device) {
                    Ok(device) => missed += found.push(device).is_err() as u32,
                    Err(error) => failure = Some(error),
                },
            };
        });
        if let Some(error) = failure {
            return Err(error);
        }
        let rights = Rights::READ | Rights::MANAGE | Rights::DMA | Rights::GRANT;
        self.devices = found.clone();
        self.isolate_devices()?;
        for (index, device) in (boot_slots::FIRST_DEVICE.index()..).zip(found) {
            self.distrust_msix(device)?;
            self.insert(process, index, Grant::new(Kind::Device, rights, device))?;
        }
        if missed > 0 {
            self.report(
                2,
                format_args!("kernel: {missed} PCI functions too many, ignored"),
            );
        }
        Ok(())
    }

    /// Copies a segment of the program into memory of its own, and maps it.
    fn load(&mut self, process: Ref<Process>, segment: &Segment) -> Result<(), Error> {
        let memory = self.map_new(process, segment.address, segment.pages, segment.prot)?;
        let page = PAGE_SIZE as u64;
        let (mut from, mut left) = (segment.source, segment.bytes);
        let mut into = segment.offset;
        while left > 0 {
            let number = u32::try_from(into / page).map_err(|_| Error::BadArgument)?;
            let frame = self.page_frame(memory, number)?;
            let now = left.min(page - into % page);
            let to = frame.address().offset(into % page);
            let copied = self
                .store
                .memory
                .copy_within(PhysAddr(from), to, now as usize);
            copied.map_err(|_| Error::BadAddress)?;
            from += now;
            into += now;
            left -= now;
        }
        Ok(())
    }

    /// New memory of the first process, mapped there.
    fn map_new(
        &mut self,
        process: Ref<Process>,
        address: u64,
        pages: u64,
        prot: Prot,
    ) -> Result<Ref<Memory>, Error> {
        let memory = self.create_memory(self.root_budget, pages, Layout::Anywhere)?;
        let grant = Grant::new(Kind::Memory, MEMORY_RIGHTS, memory);
        let slot = self.insert(process, 0, grant)?;
        let found = cap::find(&self.store, process, slot.0 as u64)?;
        let request = MapRequest {
            cap: found.at,
            memory,
            address,
            first: 0,
            pages: u32::try_from(pages).map_err(|_| Error::BadArgument)?,
            prot: prot | Prot::READ,
        };
        self.map(process, request)?;
        Ok(memory)
    }

    fn start_program(&mut self, process: Ref<Process>, program: &Program) -> Result<(), Error> {
        let stack = STACK_PAGES * PAGE_SIZE as u64;
        let bottom = BOOT_STACK_TOP - stack;
        self.map_new(process, bottom, STACK_PAGES, Prot::WRITE)?;
        let most = (PRIORITIES - 1) as u64;
        let start = [program.entry, BOOT_STACK_TOP, 0, most];
        let thread = self.create_thread(process, start)?;
        self.start_thread(thread)
    }
}

const _: () = assert!(boot_slots::FIRST_DEVICE.index() as usize + MAX_DEVICES < 60);
const _: () = assert!(Slot::fresh(0).0 == Slot::NULL.0);
