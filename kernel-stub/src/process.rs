//! Processes and threads: making them, ending them, taking them apart. Touches processes, threads and
//! whatever a process owns.
#![forbid(unsafe_code)]

use crate::cap::CapRef;
use crate::kernel::Kernel;
use crate::object::{
    Budget, Chain, FamilyLinks, MapTable, Process, Tcb, Thread, ThreadList, ThreadState, Watch,
};
use crate::phys::Frame;
use crate::platform::{Context, Platform};
use crate::store::{FrameKind, Ref};
use core::fmt;
use kernel_abi::{Error, PRIORITIES, ProcessState, ProcessStatus, USER_END};

/// Status of the machine after the end of the first process.
const STATUS_FIRST_ENDED: u8 = 104;

/// How a process ended, in words.
struct Ending(ProcessState);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ProcessState::Exited(code) => write!(f, "exited with code {code}"),
            ProcessState::Killed(code) => write!(f, "was killed with code {code}"),
            ProcessState::Faulted { vector, .. } => write!(f, "faulted with vector {vector}"),
            ProcessState::Running => f.write_str("runs"),
        }
    }
}

impl<P: Platform> Kernel<P> {
    /// An empty process.
    pub(crate) fn create_process(
        &mut self,
        budget: Ref<Budget>,
        max_priority: u64,
    ) -> Result<Ref<Process>, Error> {
        let max_priority = priority(max_priority, PRIORITIES - 1)?;
        let root = self
            .store
            .alloc_zeroed(Some(budget), FrameKind::PageTable)?;
        let scratch = match self.store.alloc_zeroed(Some(budget), FrameKind::User) {
            Ok(frame) => frame,
            Err(error) => {
                self.store.free(root);
                return Err(error);
            }
        };
        let id = self.last_id + 1;
        let process = Process::new(id, budget, [root, scratch], max_priority);
        match self.store.create(Some(budget), process) {
            Ok(process) => {
                self.platform.init_root(&mut self.store.memory, root);
                self.last_id = id;
                Ok(process)
            }
            Err(error) => {
                self.store.free(scratch);
                self.store.free(root);
                Err(error)
            }
        }
    }

    /// A thread that does not run yet, and is gone if nobody takes a reference to it.
    pub(crate) fn create_thread(
        &mut self,
        process: Ref<Process>,
        [entry, stack, argument, urgency]: [u64; 4],
    ) -> Result<Ref<Tcb>, Error> {
        if entry >= USER_END || stack > USER_END {
            return Err(Error::BadArgument);
        }
        let owner = self.store.get(process)?;
        if !owner.is_alive() {
            return Err(Error::BadState);
        }
        let urgency = priority(urgency, owner.max_priority)?;
        let budget = owner.budget;
        let thread = Thread {
            tcb: Tcb::new(process, owner, urgency),
            context: P::Context::new(entry, stack, argument),
        };
        Ok(self.store.create(Some(budget), thread)?.cast::<Tcb>())
    }

    /// Lets a new thread run. From here on it needs no capability, and neither does its process.
    pub(crate) fn start_thread(&mut self, thread: Ref<Tcb>) -> Result<(), Error> {
        let tcb = self.store.get_mut(thread)?;
        tcb.state = ThreadState::Ready;
        let process = tcb.process;
        self.store.retain(thread.frame());
        let mut list = self.store.get(process)?.threads;
        if list.is_empty() {
            self.store.retain(process.frame());
        }
        list.push_back(&mut self.store, Chain::Family, thread)?;
        self.store.get_mut(process)?.threads = list;
        self.make_ready(thread)
    }

    /// Ends a thread, and its process with the last one.
    pub(crate) fn exit_thread(&mut self, thread: Ref<Tcb>) -> Result<(), Error> {
        let process = self.store.get(thread)?.process;
        if self.store.get(process)?.threads.only() == Some(thread) {
            self.end_process(process, ProcessState::Exited(0));
            return Ok(());
        }
        self.end_thread(process, thread)
    }

    fn end_thread(&mut self, process: Ref<Process>, thread: Ref<Tcb>) -> Result<(), Error> {
        self.leave(thread)?;
        let tcb = self.store.get_mut(thread)?;
        tcb.state = ThreadState::Dead;
        let usage = tcb.usage;
        let mut list = self.store.get(process)?.threads;
        list.remove(&mut self.store, Chain::Family, thread)?;
        let entry = self.store.get_mut(process)?;
        entry.threads = list;
        entry.usage = entry.usage.plus(usage);
        self.store.release(thread.frame());
        Ok(())
    }

    /// A thread's instruction was refused by the processor: its process ends.
    #[cold]
    #[inline(never)]
    pub(crate) fn handle_fault(&mut self, thread: Ref<Tcb>, state: ProcessState) {
        let Ok(tcb) = self.store.get(thread) else {
            return;
        };
        let process = tcb.process;
        let id = self.store.get(process).map_or(0, |process| process.id);
        if let ProcessState::Faulted {
            vector,
            error,
            address,
            instruction,
        } = state
        {
            self.report_of(
                process,
                1,
                format_args!(
                    "kernel: process {id} faulted: vector {vector} error {error:#x} address {address:#x} ip {instruction:#x}"
                ),
            );
        }
        self.end_process(process, state);
    }

    /// Ends a process and all that it made, directly or not. (Those who hold a capability to one of these can still be
    /// anybody; the only one who answers for it is its maker.)
    pub(crate) fn end_process(&mut self, process: Ref<Process>, state: ProcessState) {
        if self.first == Some(process) {
            self.end_machine(state);
        }
        self.disown(process);
        self.end_one(process, state);
        while let Some(made) = self.store.get(process).ok().and_then(|p| p.made) {
            self.disown(made);
            // What it made is next: no recursion, however long the chain is.
            self.adopt_from(process, made);
            self.end_one(made, ProcessState::Killed(0));
        }
    }

    /// Without the first process nothing can be restarted, so that the machine has no use any more.
    fn end_machine(&mut self, state: ProcessState) -> ! {
        // Said in any case, whatever the log shows.
        self.log.echo = self.log.echo.max(1);
        let why = Ending(state);
        self.report(
            1,
            format_args!(
                "kernel: the first process {why}: nothing can be restarted, the machine ends"
            ),
        );
        self.platform.power_off(STATUS_FIRST_ENDED)
    }

    /// Enters a new process among those that `maker` made.
    pub(crate) fn adopt(
        &mut self,
        maker: Ref<Process>,
        process: Ref<Process>,
    ) -> Result<(), Error> {
        let is_first = self.first == Some(maker);
        let maker_entry = self.store.get_mut(maker)?;
        let speaker = match is_first {
            true => Some(process),
            false => maker_entry.speaker,
        };
        let next = maker_entry.made.replace(process);
        if let Some(next) = next {
            self.store.get_mut(next)?.made_links.prev = Some(process);
        }
        let entry = self.store.get_mut(process)?;
        entry.maker = Some(maker);
        entry.speaker = speaker;
        entry.made_links = FamilyLinks { prev: None, next };
        Ok(())
    }

    /// Takes a process out from among those that its maker made.
    fn disown(&mut self, process: Ref<Process>) {
        let Ok(entry) = self.store.get_mut(process) else {
            return;
        };
        let Some(maker) = entry.maker.take() else {
            return;
        };
        let FamilyLinks { prev, next } = core::mem::take(&mut entry.made_links);
        self.must(|k| {
            match prev {
                Some(prev) => k.store.get_mut(prev)?.made_links.next = next,
                None => k.store.get_mut(maker)?.made = next,
            }
            if let Some(next) = next {
                k.store.get_mut(next)?.made_links.prev = prev;
            }
            Ok(())
        });
    }

    /// Hands all that `from` made over to `to`.
    fn adopt_from(&mut self, to: Ref<Process>, from: Ref<Process>) {
        while let Some(process) = self.store.get(from).ok().and_then(|p| p.made) {
            self.disown(process);
            self.must(|k| k.adopt(to, process));
        }
    }

    /// Ends a process: everything that it has is returned at once. What is left is the status, for those who hold a capability.
    fn end_one(&mut self, process: Ref<Process>, state: ProcessState) {
        let Ok(entry) = self.store.get_mut(process) else {
            return;
        };
        if !entry.is_alive() {
            return;
        }
        entry.state = state;
        let had_threads = self.store.get(process).is_ok_and(|p| !p.threads.is_empty());
        while let Some(thread) = self.store.get(process).ok().and_then(|p| p.threads.head) {
            self.must(|k| k.end_thread(process, thread));
        }
        while let Some(caller) = self.store.get(process).ok().and_then(|p| p.serving.head) {
            self.wake(caller, Err(Error::Gone), false);
        }
        self.free_address_space(process);
        self.free_capabilities(process);
        let watches = match self.store.get_mut(process) {
            Ok(entry) => core::mem::take(&mut entry.watches),
            Err(_) => return,
        };
        for watch in watches.into_iter().flatten() {
            self.signal_watch(watch);
        }
        // If it was running: nobody else's time, nor idle.
        if let Some(spent) = self.sched.between(&self.platform)
            && let Ok(entry) = self.store.get_mut(process)
        {
            entry.usage.cpu_ns = entry.usage.cpu_ns.wrapping_add(spent);
        }
        if had_threads {
            self.store.release(process.frame());
        }
    }

    fn free_address_space(&mut self, process: Ref<Process>) {
        self.forget_mappings(process);
        let Ok(entry) = self.store.get_mut(process) else {
            return;
        };
        let root = core::mem::replace(&mut entry.root, Frame(0));
        let scratch = core::mem::replace(&mut entry.scratch, Frame(0));
        let mut next = core::mem::take(&mut entry.maps);
        entry.map_count = 0;
        entry.pages = 0;
        while let Some(table) = self.store.at::<MapTable>(next) {
            let frame = core::mem::replace(&mut next, table.next);
            self.store.free(Frame(frame));
        }
        self.free_tables(|platform, memory, free| platform.free_tables(memory, root, free));
        self.store.free(scratch);
        self.store.free(root);
    }

    fn free_capabilities(&mut self, process: Ref<Process>) {
        let Ok(entry) = self.store.get(process) else {
            return;
        };
        let tables = entry.tables;
        for (place, frame) in tables
            .into_iter()
            .enumerate()
            .filter(|(_, frame)| *frame != 0)
        {
            for index in 0..64 {
                self.delete_from_the_top(CapRef::new(frame, index));
            }
            self.store.free(Frame(frame));
            if let Ok(entry) = self.store.get_mut(process)
                && let Some(table) = entry.tables.get_mut(place)
            {
                *table = 0;
            }
        }
    }

    /// The last reference went. A process that was never started ends now.
    pub(crate) fn destroy_process(&mut self, frame: Frame) {
        if let Some(process) = self.store.live::<Process>(frame.0) {
            self.end_process(process, ProcessState::Killed(0));
        }
        self.store.free(frame);
    }

    /// Signals when the process ends; at once if it has.
    pub(crate) fn watch_process(
        &mut self,
        process: Ref<Process>,
        watch: Watch,
    ) -> Result<(), Error> {
        let entry = self.store.get(process)?;
        if !entry.is_alive() {
            self.signal_watch(watch);
            return Ok(());
        }
        let watches = entry.watches;
        // A place of the same notification, an empty one, or one whose notification is gone.
        let place = watches
            .iter()
            .position(|old| old.is_some_and(|old| old.notification == watch.notification))
            .or_else(|| {
                watches
                    .iter()
                    .position(|old| old.is_none_or(|old| self.store.get(old.notification).is_err()))
            })
            .ok_or(Error::Busy)?;
        if let Some(place) = self.store.get_mut(process)?.watches.get_mut(place) {
            *place = Some(watch);
        }
        Ok(())
    }

    /// State and use of resources.
    pub(crate) fn process_status(&mut self, process: Ref<Process>) -> Result<ProcessStatus, Error> {
        self.account();
        let entry = self.store.get(process)?;
        let mut usage = entry.usage;
        let (mut next, mut threads) = (entry.threads.head, 0);
        while let Some(thread) = next {
            usage = usage.plus(self.store.get(thread)?.usage);
            threads += 1;
            next = ThreadList::next(&self.store, Chain::Family, thread);
        }
        // A zombie keeps its budget alive, since the budget pays for it.
        let budget = self.store.get(entry.budget)?;
        Ok(ProcessStatus {
            state: entry.state,
            id: entry.id,
            cpu_ns: usage.cpu_ns,
            caps: entry.caps as u64,
            threads,
            pages: entry.pages,
            syscalls: usage.syscalls,
            switches: usage.switches,
            budget_used: budget.used,
            budget_limit: budget.limit,
        })
    }
}

/// A priority within bounds.
pub(crate) fn priority(number: u64, most: u8) -> Result<u8, Error> {
    let number = u8::try_from(number).map_err(|_| Error::BadArgument)?;
    match number <= most {
        true => Ok(number),
        false => Err(Error::BadArgument),
    }
}
