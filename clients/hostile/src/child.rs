//! A process that is made to be wasted: one page of code, one of data, nothing else. Safe.

use rt::{Budget, Error, Memory, Process, Prot, Rights, SLOT_BUDGET, SLOT_SELF};

/// Where a child has its code.
pub(crate) const CODE: u64 = 0x40_0000;
/// Where it has its page of data, with its stack at the end.
pub(crate) const DATA: u64 = 0x50_0000;

/// A child, and what it pays with.
pub(crate) struct Child {
    /// The process.
    pub(crate) process: Process,
    /// Its budget.
    pub(crate) budget: Budget,
}

impl Child {
    /// A process with `frames` frames split off `budget` and this code (a page at most), whose threads have at most this priority.
    pub(crate) fn new(
        budget: &Budget,
        frames: u64,
        code: &[u8],
        priority: u8,
    ) -> Result<Child, Error> {
        let budget = budget.split(frames)?;
        let process = Process::create(&budget, priority)?;
        process.grant(process.slot(), SLOT_SELF.index(), Rights::READ, 0)?;
        process.grant(budget.slot(), SLOT_BUDGET.index(), Rights::ALLOC, 0)?;
        let page = Memory::create(&budget, 1, false)?.map(Prot::READ | Prot::WRITE)?;
        page.shm().write(0, code).map_err(|_| Error::BadAddress)?;
        let page = page.unmap();
        let slot = process.grant(page.slot(), 0, Rights::READ | Rights::EXEC, 0)?;
        process.map(slot, CODE, 0, 1, Prot::READ | Prot::EXEC)?;
        let data = Memory::create(&budget, 1, false)?;
        let slot = process.grant(data.slot(), 0, Rights::READ | Rights::WRITE, 0)?;
        process.map(slot, DATA, 0, 1, Prot::READ | Prot::WRITE)?;
        Ok(Child { process, budget })
    }
}
