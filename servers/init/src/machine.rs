//! [`Kernel`] by system calls: thin, no decisions.

use crate::kernel::{Kernel, LogLine};
use alloc::{string::String, vec::Vec};
use rt::{
    Budget, Cap, CapRecord, Console, Device, DeviceInfo, Endpoint, Env, Error, Machine,
    MachineInfo, Memory, MissingCap, Notification, PAGE_SIZE, Process, ProcessStatus, Prot, Rights,
    Slot,
};

/// Bit of init's notification: a process has ended.
pub const PROCESS_ENDED: u64 = 1;
/// Bit of init's notification: a device was stopped.
pub const DEVICE_STRAYED: u64 = 4;

/// Longest record of the log: 32 bytes of numbers and the line.
const LOG_RECORD: usize = 32 + 512;

/// The kernel below init.
#[derive(Debug)]
pub struct System {
    this: Cap,
    console: Cap,
    clock: Cap,
    machine: Cap,
    devices: Vec<Cap>,
    budget: Budget,
    events: Notification,
}

impl System {
    /// From what the kernel starts the first process with.
    ///
    /// # Errors
    /// [`MissingCap`], if this is not the first process.
    pub fn new(env: &Env, events: Notification) -> Result<System, MissingCap> {
        Ok(System {
            this: Cap::borrowed(rt::SLOT_SELF),
            console: Cap::borrowed(env.cap("console")?),
            clock: Cap::borrowed(env.cap("clock")?),
            machine: Cap::borrowed(env.cap("machine")?),
            devices: rt::boot::devices()
                .into_iter()
                .map(|device| Cap::borrowed(device.into_raw()))
                .collect(),
            budget: env.budget(),
            events,
        })
    }

    /// What init waits on.
    pub const fn events(&self) -> &Notification {
        &self.events
    }
}

/// A typed view of a capability that stays where it is.
fn process(cap: &Cap) -> Process {
    Process::borrowed(cap.slot())
}

impl Kernel for System {
    type Cap = Cap;

    fn this_process(&self) -> &Cap {
        &self.this
    }

    fn console(&self) -> &Cap {
        &self.console
    }

    fn clock(&self) -> &Cap {
        &self.clock
    }

    fn machine(&self) -> &Cap {
        &self.machine
    }

    fn devices(&self) -> &[Cap] {
        &self.devices
    }

    fn device_info(&self, device: &Cap) -> Result<DeviceInfo, Error> {
        Device::borrowed(device.slot()).info()
    }

    fn quiesce(&self, device: &Cap) -> Result<(), Error> {
        Device::borrowed(device.slot()).quiesce()
    }

    fn watch_device(&self, device: &Cap) -> Result<(), Error> {
        Device::borrowed(device.slot()).watch(&self.events, DEVICE_STRAYED)
    }

    fn free_pages(&self) -> Result<u64, Error> {
        let usage = self.budget.usage()?;
        Ok(usage.limit.saturating_sub(usage.used))
    }

    fn budget(&self, pages: u64) -> Result<Cap, Error> {
        Ok(Cap::owned(self.budget.split(pages)?.into_raw()))
    }

    fn endpoint(&self) -> Result<Cap, Error> {
        Ok(Cap::owned(Endpoint::create(&self.budget)?.into_raw()))
    }

    fn process(&self, budget: &Cap, priority: u8) -> Result<Cap, Error> {
        let process = Process::create(&Budget::borrowed(budget.slot()), priority)?;
        Ok(Cap::owned(process.into_raw()))
    }

    fn memory(&self, budget: &Cap, pages: u64) -> Result<Cap, Error> {
        let memory = Memory::create(&Budget::borrowed(budget.slot()), pages, false)?;
        Ok(Cap::owned(memory.into_raw()))
    }

    fn fill(&self, memory: &Cap, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let mapping = Memory::borrowed(memory.slot()).map(Prot::READ | Prot::WRITE)?;
        let offset = usize::try_from(offset).map_err(|_| Error::BadArgument)?;
        mapping
            .shm()
            .write(offset, bytes)
            .map_err(|_| Error::BadArgument)
    }

    fn grant(
        &self,
        target: &Cap,
        cap: &Cap,
        index: u16,
        rights: Rights,
        badge: u64,
    ) -> Result<Slot, Error> {
        process(target).grant(cap.slot(), index, rights, badge)
    }

    fn map(
        &self,
        target: &Cap,
        memory: Slot,
        address: u64,
        pages: u64,
        prot: Prot,
    ) -> Result<(), Error> {
        process(target).map(memory, address, 0, pages, prot)
    }

    fn start(
        &self,
        target: &Cap,
        entry: u64,
        stack: u64,
        argument: u64,
        [priority, patient]: [u8; 2],
    ) -> Result<(), Error> {
        // The thread lives on without init's capability to it.
        let thread = process(target).start(entry, stack, argument, priority)?;
        match patient < priority {
            true => thread.set_patience(patient),
            false => Ok(()),
        }
    }

    fn watch(&self, target: &Cap) -> Result<(), Error> {
        process(target).watch(&self.events, PROCESS_ENDED)
    }

    fn kill(&self, target: &Cap, code: u64) -> Result<(), Error> {
        process(target).kill(code)
    }

    fn status(&self, target: &Cap) -> Result<ProcessStatus, Error> {
        process(target).status()
    }

    fn caps(&self, target: &Cap, from: u32) -> Result<([Option<CapRecord>; 4], u32), Error> {
        process(target).caps(from)
    }

    fn machine_info(&self) -> Result<MachineInfo, Error> {
        Machine::borrowed(self.machine.slot()).info()
    }

    fn read_log(&self, from: u64) -> Result<Option<LogLine>, Error> {
        let mut buffer = [0; LOG_RECORD];
        let console = Console::borrowed(self.console.slot());
        let record = console.read_log(from, &mut buffer)?;
        Ok(record.map(|record| LogLine {
            next: record.next,
            time: record.time,
            level: record.level,
            text: String::from_utf8_lossy(record.text).into_owned(),
        }))
    }

    fn echo(&self, level: u8) -> Result<(), Error> {
        Console::borrowed(self.console.slot()).echo(level)
    }
}

/// Bytes of a number of frames, in MiB.
pub const fn mebibytes(frames: u64) -> u64 {
    frames / (1024 * 1024 / PAGE_SIZE as u64)
}
