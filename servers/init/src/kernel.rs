//! What init needs of the kernel, as a trait: [`crate::machine`] implements it with system calls, the tests with a fake.

use alloc::string::String;
use rt::{CapRecord, DeviceInfo, Error, MachineInfo, ProcessStatus, Prot, Rights, Slot};

/// A line of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogLine {
    /// Sequence number to ask for next.
    pub next: u64,
    /// Nanoseconds since boot.
    pub time: u64,
    /// 1 error .. 5 trace.
    pub level: u8,
    /// The text.
    pub text: String,
}

/// The kernel, as far as init uses it. All calls return at once.
pub trait Kernel {
    /// A capability of init's; dropping it deletes it.
    type Cap;

    /// Init itself.
    fn this_process(&self) -> &Self::Cap;
    /// The console with its log.
    fn console(&self) -> &Self::Cap;
    /// The clock.
    fn clock(&self) -> &Self::Cap;
    /// The machine.
    fn machine(&self) -> &Self::Cap;
    /// The devices.
    fn devices(&self) -> &[Self::Cap];

    /// What a device is.
    ///
    /// # Errors
    /// Those of the kernel, as with every method here.
    fn device_info(&self, device: &Self::Cap) -> Result<DeviceInfo, Error>;
    /// Stops a device: it can't reach memory any more.
    ///
    /// # Errors
    /// Those of the kernel.
    fn quiesce(&self, device: &Self::Cap) -> Result<(), Error>;
    /// Makes init's event loop look at its processes when this device is stopped because it strayed.
    ///
    /// # Errors
    /// Those of the kernel.
    fn watch_device(&self, device: &Self::Cap) -> Result<(), Error>;

    /// Pages that init's own budget has left.
    ///
    /// # Errors
    /// Those of the kernel.
    fn free_pages(&self) -> Result<u64, Error>;
    /// A new budget of `pages`, split off init's own.
    ///
    /// # Errors
    /// [`Error::NoBudget`].
    fn budget(&self, pages: u64) -> Result<Self::Cap, Error>;
    /// A new endpoint.
    ///
    /// # Errors
    /// [`Error::NoBudget`].
    fn endpoint(&self) -> Result<Self::Cap, Error>;
    /// A new, empty process.
    ///
    /// # Errors
    /// [`Error::NoBudget`].
    fn process(&self, budget: &Self::Cap, priority: u8) -> Result<Self::Cap, Error>;
    /// New zeroed memory, paid by `budget`.
    ///
    /// # Errors
    /// [`Error::NoBudget`].
    fn memory(&self, budget: &Self::Cap, pages: u64) -> Result<Self::Cap, Error>;
    /// Writes `bytes` into memory that nobody else has yet.
    ///
    /// # Errors
    /// [`Error::BadArgument`] beyond its end.
    fn fill(&self, memory: &Self::Cap, offset: u64, bytes: &[u8]) -> Result<(), Error>;
    /// Puts a capability derived from `cap` into `process` at slot index `index` (0: any free one).
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::Busy`], [`Error::TableFull`].
    fn grant(
        &self,
        process: &Self::Cap,
        cap: &Self::Cap,
        index: u16,
        rights: Rights,
        badge: u64,
    ) -> Result<Slot, Error>;
    /// Maps all `pages` of the memory in slot `memory` of `process` at `address` there.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::Busy`].
    fn map(
        &self,
        process: &Self::Cap,
        memory: Slot,
        address: u64,
        pages: u64,
        prot: Prot,
    ) -> Result<(), Error>;
    /// Starts the process's first thread, with its priority and the one that it is served with at first when it becomes ready.
    ///
    /// # Errors
    /// [`Error::NoBudget`].
    fn start(
        &self,
        process: &Self::Cap,
        entry: u64,
        stack: u64,
        argument: u64,
        priorities: [u8; 2],
    ) -> Result<(), Error>;
    /// Makes init's event loop look at its processes when this one ends.
    ///
    /// # Errors
    /// Those of the kernel.
    fn watch(&self, process: &Self::Cap) -> Result<(), Error>;
    /// Ends a process.
    ///
    /// # Errors
    /// [`Error::BadState`] if it has ended.
    fn kill(&self, process: &Self::Cap, code: u64) -> Result<(), Error>;

    /// State and use of resources of a process.
    ///
    /// # Errors
    /// Those of the kernel.
    fn status(&self, process: &Self::Cap) -> Result<ProcessStatus, Error>;
    /// Up to four capabilities of a process from slot index `from` on, and the index to go on at (0: end).
    ///
    /// # Errors
    /// [`Error::BadState`] if it has ended.
    fn caps(&self, process: &Self::Cap, from: u32) -> Result<([Option<CapRecord>; 4], u32), Error>;
    /// Counters of the machine.
    ///
    /// # Errors
    /// Those of the kernel.
    fn machine_info(&self) -> Result<MachineInfo, Error>;
    /// The line of the log at or after sequence number `from`.
    ///
    /// # Errors
    /// Those of the kernel.
    fn read_log(&self, from: u64) -> Result<Option<LogLine>, Error>;
    /// Shows log lines up to `level` on the console.
    ///
    /// # Errors
    /// Those of the kernel.
    fn echo(&self, level: u8) -> Result<(), Error>;
}
