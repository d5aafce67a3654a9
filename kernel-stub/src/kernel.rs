//! The kernel: its state, and the event loop that all of it runs in.
//!
//! Everything is reached through one `&mut Kernel`, which is the one kernel lock. The kernel is never
//! preempted; a system call runs to its end, or leaves its thread waiting in a queue.
#![forbid(unsafe_code)]

use crate::boot::{BootError, BootInfo};
use crate::console::Console;
use crate::deadline::Deadlines;
use crate::device::pci::MAX_DEVICES;
use crate::log::Log;
use crate::object::{Budget, Device, Process, Tcb, Thread};
use crate::platform::{Context, Platform, Trap};
use crate::sched::Scheduler;
use crate::store::{Ref, Store};
use crate::vectors::Vectors;
use kernel_abi::{Error, ProcessState, Syscall};

/// Longest kernel command line that is kept.
const COMMAND_LINE: usize = 1024;

/// How a system call ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// With these results.
    Done([u64; 3]),
    /// Later: the thread waits.
    Blocked,
}

/// The kernel of a machine. What every switch of processes touches stands together, in front, and in one page.
#[repr(C, align(4096))]
pub struct Kernel<P: Platform> {
    pub(crate) store: Store,
    pub(crate) sched: Scheduler,
    pub(crate) deadlines: Deadlines,
    pub(crate) syscalls: u64,
    pub(crate) interrupts: u64,
    /// Capabilities deleted since boot.
    pub(crate) deleted: u64,
    /// Number of the last call of an endpoint.
    pub(crate) sequence: u32,
    pub(crate) vectors: Vectors,
    pub(crate) platform: P,
    pub(crate) console: Console,
    pub(crate) log: Log,
    /// All devices, also those that nobody has a capability to any more.
    pub(crate) devices: heapless::Vec<Ref<Device>, MAX_DEVICES>,
    pub(crate) root_budget: Ref<Budget>,
    /// The first process: the machine ends with it.
    pub(crate) first: Option<Ref<Process>>,
    pub(crate) command_line: heapless::String<COMMAND_LINE>,
    pub(crate) processors: u32,
    pub(crate) pci: bool,
    /// Number of the last process.
    pub(crate) last_id: u64,
}

impl<P: Platform> Kernel<P> {
    /// Builds the pools over all usable memory, finds the devices, and loads `init` from the boot archive.
    ///
    /// # Errors
    /// See [`BootError`]: the machine can't be used, and the message says why.
    pub fn new(platform: P, info: BootInfo<'_>) -> Result<Kernel<P>, BootError> {
        if info.archive.is_empty() {
            return Err(BootError::NoArchive);
        }
        let short = |_| BootError::TooLittleMemory;
        let mut store = Store::new(info.memory, info.usable, &info.archive)?;
        let log = Log::new(&mut store).map_err(short)?;
        let root_budget = store
            .create(
                None,
                Budget {
                    parent: None,
                    limit: 0,
                    used: 0,
                },
            )
            .map_err(short)?;
        // The kernel keeps the root of all budgets, whoever drops it.
        store.retain(root_budget.frame());
        let free = store.free_frames() as u64;
        store.get_mut(root_budget).map_err(short)?.limit = free;
        let mut command_line = heapless::String::new();
        for character in info.command_line.chars() {
            if command_line.push(character).is_err() {
                break;
            }
        }
        let now = platform.now();
        let vectors = Vectors::new(platform.device_vectors());
        let mut kernel = Kernel {
            platform,
            store,
            sched: Scheduler::new(now),
            deadlines: Deadlines::EMPTY,
            console: Console::default(),
            log,
            vectors,
            devices: heapless::Vec::new(),
            root_budget,
            first: None,
            command_line,
            processors: info.processors,
            pci: info.pci,
            last_id: 0,
            sequence: 0,
            syscalls: 0,
            interrupts: 0,
            deleted: 0,
        };
        kernel.start_init(info.archive)?;
        Ok(kernel)
    }

    /// Runs the machine. (Not part of who starts it: what runs all the time is not to lie between what runs once.)
    #[inline(never)]
    pub fn run(&mut self) -> ! {
        loop {
            self.step();
        }
    }

    /// Runs one thread until something happens, and handles that.
    pub(crate) fn step(&mut self) {
        let next = self.choose();
        let deadline = self.deadlines.next();
        let Some(thread) = next else {
            self.rest(deadline);
            return;
        };
        let waits = self.sched.stale && self.sched.patient_waits(&self.store);
        let Ok((running, others)) = self.store.split::<Thread<P::Context>>(thread.cast()) else {
            debug_assert!(false, "the current thread was destroyed");
            self.sched.current = None;
            return;
        };
        let (sched, platform) = (&mut self.sched, &mut self.platform);
        if sched.stale {
            sched.enter(platform, deadline, thread, &mut running.tcb, &others, waits);
        }
        match platform.run_user(sched.root(), &mut running.context) {
            Trap::Syscall => {
                let (number, [a0, a1, a2, a3, a4, _]) = running.context.syscall();
                let tcb = &mut running.tcb;
                // (No counter of 64 bits comes round.)
                tcb.usage.syscalls = tcb.usage.syscalls.wrapping_add(1);
                self.syscalls = self.syscalls.wrapping_add(1);
                let known = match number == Syscall::NotificationWait as u64 {
                    true => tcb.memo.wait(self.deleted, a0, [a3, a4]),
                    false => None,
                };
                let outcome = match known {
                    Some(known) => self.wait_as_before(thread, known, a1, a2),
                    None => self.syscall(thread),
                };
                match outcome {
                    Ok(Outcome::Blocked) => {}
                    Ok(Outcome::Done(values)) => self.set_result(thread, Ok(values)),
                    Err(error) => self.set_result(thread, Err(error)),
                }
            }
            Trap::Fault {
                vector,
                error,
                address,
                instruction,
            } => self.handle_fault(
                thread,
                ProcessState::Faulted {
                    vector,
                    error,
                    address,
                    instruction,
                },
            ),
            trap => self.handle_event(trap),
        }
        self.reap();
    }

    /// Waits for something to happen, and handles that.
    #[inline(never)]
    fn rest(&mut self, deadline: u64) {
        self.sched.rest(&mut self.platform, deadline);
        let trap = self.platform.idle();
        self.handle_event(trap);
        self.reap();
    }

    /// What the system call of a thread returns when it runs next. A thread that ended has no use for it.
    #[inline]
    fn set_result(&mut self, thread: Ref<Tcb>, result: Result<[u64; 3], Error>) {
        let Ok(caller) = self.store.get_mut::<Thread<P::Context>>(thread.cast()) else {
            return;
        };
        set_result(&mut caller.context, result);
    }

    #[inline(never)]
    fn handle_event(&mut self, trap: Trap) {
        self.interrupts = self.interrupts.wrapping_add(1);
        match trap {
            Trap::Timer => self.timer_expired(),
            Trap::Interrupt(vector) => self.deliver_interrupt(vector),
            Trap::Console => self.console_input(),
            Trap::DmaFault => self.dma_faulted(),
            // Only user code makes these, and `step` handles them where it ran some.
            Trap::Syscall | Trap::Fault { .. } => {}
        }
    }

    /// Carries out what can't fail as long as the kernel's own tables are right; the tests check that it doesn't.
    pub(crate) fn must(&mut self, what: impl FnOnce(&mut Self) -> Result<(), Error>) {
        let done = what(self);
        debug_assert_eq!(done, Ok(()), "a table of the kernel is wrong");
    }
}

/// What a system call returns.
#[inline]
pub(crate) fn set_result<C: Context>(context: &mut C, result: Result<[u64; 3], Error>) {
    match result {
        Ok(values) => context.set_result(0, values),
        Err(error) => context.set_result(error.code(), [0; 3]),
    }
}
