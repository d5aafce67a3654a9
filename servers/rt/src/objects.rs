//! Budgets, notifications, processes, clock, console, machine: thin typed calls. Safe.

use crate::{cap::kind, memory::Memory, syscall};
use kernel_abi::{
    BudgetUse, CapRecord, Error, FOREVER, MachineInfo, ProcessStatus, Prot, Rights, Slot, Syscall,
    Words,
};

kind! {
    /// Frames that may be allocated.
    Budget
}
kind! {
    /// A word of bits that can be signalled and waited for.
    Notification
}
kind! {
    /// An address space with a capability table.
    Process
}
kind! {
    /// A flow of control in a process.
    Thread
}
kind! {
    /// The time since boot.
    Clock
}
kind! {
    /// The serial console and the log.
    Console
}
kind! {
    /// Power, counters, command line.
    Machine
}

impl Budget {
    /// Splits `frames` off into a new budget.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::TableFull`].
    pub fn split(&self, frames: u64) -> Result<Budget, Error> {
        let [slot, ..] = syscall::values(
            Syscall::BudgetCreate,
            [self.slot().0.into(), frames, 0, 0, 0, 0],
        )?;
        Ok(Budget::from_raw(Slot(slot as u32)))
    }

    /// Limit and use, in frames.
    ///
    /// # Errors
    /// [`Error::BadSlot`].
    pub fn usage(&self) -> Result<BudgetUse, Error> {
        let [limit, used, _] = syscall::simple(Syscall::BudgetInfo, self.slot())?;
        Ok(BudgetUse { limit, used })
    }
}

impl Notification {
    /// Makes one, paid by `budget`.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::TableFull`].
    pub fn create(budget: &Budget) -> Result<Notification, Error> {
        let [slot, ..] = syscall::simple(Syscall::NotificationCreate, budget.slot())?;
        Ok(Notification::from_raw(Slot(slot as u32)))
    }

    /// Sets bits: the capability's badge if it has one, else `bits`.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::BadSlot`] when the other side took it back.
    pub fn signal(&self, bits: u64) -> Result<(), Error> {
        let args = [self.slot().0.into(), bits, 0, 0, 0, 0];
        syscall::values(Syscall::NotificationSignal, args).map(drop)
    }

    /// Waits until `deadline` (nanoseconds since boot; 0 polls, [`FOREVER`] never ends) for any bit of `mask`, and
    /// returns the bits, now cleared. Zero at the deadline; also zero if the capability can't be waited on.
    pub fn wait(&self, mask: u64, deadline: u64) -> u64 {
        let args = [self.slot().0.into(), mask, deadline, 0, 0, 0];
        match syscall::values(Syscall::NotificationWait, args) {
            Ok([bits, ..]) => bits,
            Err(_) => 0,
        }
    }

    /// [`Notification::wait`], behind what usually comes before it: lets `interrupt` come again and signals `bell` with its
    /// badge, all in one system call. If the other side of either is gone, that is skipped.
    pub fn ring_and_wait(
        &self,
        bell: Option<Slot>,
        interrupt: Option<Slot>,
        mask: u64,
        deadline: u64,
    ) -> u64 {
        let [first, second] = [bell, interrupt].map(|slot| slot.unwrap_or(Slot::NULL).0.into());
        let args = [self.slot().0.into(), mask, deadline, first, second, 0];
        match syscall::values(Syscall::NotificationWait, args) {
            Ok([bits, ..]) => bits,
            Err(_) if bell.is_some() && interrupt.is_some() => {
                self.ring_and_wait(bell, None, mask, deadline)
            }
            Err(_) if bell.is_some() || interrupt.is_some() => self.wait(mask, deadline),
            Err(_) => 0,
        }
    }

    /// Waits for ever for any bit of `mask`.
    pub fn wait_forever(&self, mask: u64) -> u64 {
        self.wait(mask, FOREVER)
    }

    /// A copy for somebody who may only signal, always `badge`.
    ///
    /// # Errors
    /// [`Error::TableFull`], [`Error::Refused`] if this one is badged.
    pub fn doorbell(&self, badge: u64) -> Result<Notification, Error> {
        crate::cap::derive(self.slot(), Rights::SIGNAL | Rights::GRANT, badge)
            .map(Notification::from_raw)
    }
}

impl Process {
    /// Makes an empty process that pays with `budget`; its threads have at most priority `priority`.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::TableFull`], [`Error::BadArgument`].
    pub fn create(budget: &Budget, priority: u8) -> Result<Process, Error> {
        let args = [budget.slot().0.into(), priority.into(), 0, 0, 0, 0];
        let [slot, ..] = syscall::values(Syscall::ProcessCreate, args)?;
        Ok(Process::from_raw(Slot(slot as u32)))
    }

    /// Puts a capability derived from `slot` into slot index `index` there (0: any free one). Returns its slot there.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::TableFull`], [`Error::NoRights`], [`Error::Refused`] for a second badge.
    pub fn grant(&self, slot: Slot, index: u16, rights: Rights, badge: u64) -> Result<Slot, Error> {
        let args = [
            self.slot().0.into(),
            slot.0.into(),
            index.into(),
            rights.bits().into(),
            badge,
            0,
        ];
        let [there, ..] = syscall::values(Syscall::ProcessGrant, args)?;
        Ok(Slot(there as u32))
    }

    /// Maps `pages` of the memory in *its* slot `memory`, from page `first` on, at `address` there.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Refused`] for writable and executable, [`Error::NoBudget`], [`Error::BadArgument`].
    pub fn map(
        &self,
        memory: Slot,
        address: u64,
        first: u64,
        pages: u64,
        prot: Prot,
    ) -> Result<(), Error> {
        let args = [
            self.slot().0.into(),
            memory.0.into(),
            address,
            first,
            pages,
            prot.bits().into(),
        ];
        syscall::values(Syscall::MemoryMap, args).map(drop)
    }

    /// Starts a thread in another process.
    ///
    /// # Errors
    /// [`Error::NoBudget`], [`Error::BadArgument`], [`Error::BadState`] if it is dead.
    pub fn start(
        &self,
        entry: u64,
        stack: u64,
        argument: u64,
        priority: u8,
    ) -> Result<Thread, Error> {
        let args = [
            self.slot().0.into(),
            entry,
            stack,
            argument,
            priority.into(),
            0,
        ];
        let [slot, ..] = syscall::values(Syscall::ThreadCreate, args)?;
        Ok(Thread::from_raw(Slot(slot as u32)))
    }

    /// Ends it at once with this code.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadState`] if it is dead.
    pub fn kill(&self, code: u64) -> Result<(), Error> {
        let args = [self.slot().0.into(), code, 0, 0, 0, 0];
        syscall::values(Syscall::ProcessKill, args).map(drop)
    }

    /// When it ends, signal `bits` on `notification`; at once if it has ended.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn watch(&self, notification: &Notification, bits: u64) -> Result<(), Error> {
        let args = [
            self.slot().0.into(),
            notification.slot().0.into(),
            bits,
            0,
            0,
            0,
        ];
        syscall::values(Syscall::ProcessWatch, args).map(drop)
    }

    /// State and use of resources.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn status(&self) -> Result<ProcessStatus, Error> {
        let words = syscall::record::<16>(Syscall::ProcessStatus, self.slot())?;
        ProcessStatus::from_words(&words).ok_or(Error::BadState)
    }

    /// Up to four capabilities that it holds, from slot index `from` on; then the index to go on at (0: end).
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadState`] if it is dead.
    pub fn caps(&self, from: u32) -> Result<([Option<CapRecord>; 4], u32), Error> {
        let mut words = [0; 16];
        let (count, next) = syscall::process_caps(self.slot(), from, &mut words)?;
        let mut records = [None; 4];
        for (record, words) in records.iter_mut().zip(words.as_chunks::<4>().0).take(count) {
            *record = CapRecord::from_words(words);
        }
        Ok((records, next))
    }
}

impl Thread {
    /// The calling thread lets others run; see [`Syscall::ThreadYield`].
    pub fn give_way() {
        // It has no arguments that could be wrong.
        let _ = syscall::values(Syscall::ThreadYield, [0; 6]);
    }

    /// Has it served with `priority` at first, whenever it becomes ready; see [`Syscall::ThreadPatience`].
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadArgument`], [`Error::BadState`] if it has ended.
    pub fn set_patience(&self, priority: u8) -> Result<(), Error> {
        let args = [self.slot().0.into(), priority.into(), 0, 0, 0, 0];
        syscall::values(Syscall::ThreadPatience, args).map(drop)
    }
}

impl Clock {
    /// Nanoseconds since boot; never goes back.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn now(&self) -> Result<u64, Error> {
        syscall::simple(Syscall::ClockNow, self.slot()).map(|[now, ..]| now)
    }

    /// The processor's counter at boot, and nanoseconds a tick with 32 bits after the point. From now on this process may
    /// read the counter, until it loses a clock.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn scale(&self) -> Result<(u64, u64), Error> {
        syscall::simple(Syscall::ClockScale, self.slot()).map(|[start, scale, _]| (start, scale))
    }
}

/// A record of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogRecord<'a> {
    /// Nanoseconds since boot.
    pub time: u64,
    /// Badge of the console capability that it was written with.
    pub badge: u64,
    /// 1 error .. 5 trace.
    pub level: u8,
    /// The line.
    pub text: &'a [u8],
    /// Sequence number to ask for next.
    pub next: u64,
}

impl Console {
    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn write(&self, mut bytes: &[u8]) -> Result<(), Error> {
        while !bytes.is_empty() {
            let [written, ..] = syscall::send(
                Syscall::ConsoleWrite,
                [self.slot().0.into(), 0, 0, 0, 0, 0],
                1,
                bytes,
            )?;
            // No progress would be a loop without end.
            bytes = match bytes.get(written as usize..) {
                Some(rest) if written > 0 => rest,
                _ => return Err(Error::BadState),
            };
        }
        Ok(())
    }

    /// Reads what was typed, without waiting. Returns how many bytes.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let room = buffer.len();
        let args = [self.slot().0.into(), 0, 0, 0, 0, 0];
        let [count, ..] = syscall::receive(Syscall::ConsoleRead, args, 1, buffer)?;
        Ok((count as usize).min(room))
    }

    /// When something is typed, signal `bits` on `notification`; at once if something has been.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn bind(&self, notification: &Notification, bits: u64) -> Result<(), Error> {
        let args = [
            self.slot().0.into(),
            notification.slot().0.into(),
            bits,
            0,
            0,
            0,
        ];
        syscall::values(Syscall::ConsoleBind, args).map(drop)
    }

    /// Appends one line (at most 512 bytes, no line end) of `level` (1 error .. 5 trace) to the log.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn log(&self, level: u8, line: &[u8]) -> Result<(), Error> {
        let args = [self.slot().0.into(), level.into(), 0, 0, 0, 0];
        syscall::send(Syscall::LogWrite, args, 2, line).map(drop)
    }

    /// The record of the log at or after sequence number `from`; `None` at the end. `buffer` must hold the
    /// record (544 bytes hold any).
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn read_log<'a>(
        &self,
        from: u64,
        buffer: &'a mut [u8],
    ) -> Result<Option<LogRecord<'a>>, Error> {
        let args = [self.slot().0.into(), from, 0, 0, 0, 0];
        let [len, next, _] = syscall::receive(Syscall::LogRead, args, 2, buffer)?;
        let Some(record) = buffer.get(..len as usize) else {
            return Err(Error::BadState);
        };
        let Some((head, text)) = record.split_at_checked(32) else {
            return Ok(None);
        };
        let [_, time, badge, level] = head.as_chunks::<8>().0 else {
            return Ok(None);
        };
        Ok(Some(LogRecord {
            time: u64::from_le_bytes(*time),
            badge: u64::from_le_bytes(*badge),
            level: u64::from_le_bytes(*level).min(5) as u8,
            text,
            next,
        }))
    }

    /// Shows log lines up to `level` on the console; 0 shows none.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn echo(&self, level: u8) -> Result<(), Error> {
        let args = [self.slot().0.into(), level.into(), 0, 0, 0, 0];
        syscall::values(Syscall::LogEcho, args).map(drop)
    }
}

impl Machine {
    /// Ends the machine with a status for the host (0..=100). Returns only if that was refused.
    pub fn power_off(&self, status: u8) -> Error {
        let args = [self.slot().0.into(), status.into(), 0, 0, 0, 0];
        match syscall::values(Syscall::MachinePower, args) {
            Ok(_) => Error::BadState,
            Err(error) => error,
        }
    }

    /// Counters.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn info(&self) -> Result<MachineInfo, Error> {
        let words = syscall::record::<8>(Syscall::MachineInfo, self.slot())?;
        MachineInfo::from_words(&words).ok_or(Error::BadState)
    }

    /// The kernel command line into `buffer`, cut to it. Returns its full length.
    ///
    /// # Errors
    /// [`Error::NoRights`], [`Error::BadSlot`].
    pub fn command_line(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        let args = [self.slot().0.into(), 0, 0, 0, 0, 0];
        let [len, ..] = syscall::receive(Syscall::MachineCommandLine, args, 1, buffer)?;
        Ok(len as usize)
    }
}

/// Memory that several kinds of caller need as an argument; kept here so that `memory` stays small.
impl Process {
    /// Grants `memory` (any free slot there) and maps all of it at `address` there.
    ///
    /// # Errors
    /// Those of [`Process::grant`] and [`Process::map`].
    pub fn grant_and_map(&self, memory: &Memory, address: u64, prot: Prot) -> Result<(), Error> {
        let mut rights = Rights::READ;
        rights.set(Rights::WRITE, prot.contains(Prot::WRITE));
        rights.set(Rights::EXEC, prot.contains(Prot::EXEC));
        let pages = memory.pages()?;
        let there = self.grant(memory.slot(), 0, rights, 0)?;
        self.map(there, address, 0, pages, prot)
    }
}
