//! The root server and its children, which make any system calls: arguments that fit, arguments that don't, any bytes in
//! their memory. Whatever they do, the kernel's tables stay right, and everything comes back in the end.

use super::fits::{Fit, fits};
use super::{Bench, Child, SCRATCH, SimContext};
use crate::cap::CapRef;
use crate::object::{Chain, Process, Tcb, Thread, ThreadList, ThreadState};
use crate::platform::Trap;
use crate::store::{FrameKind, Ref};
use kernel_abi::{FOREVER, Kind, ProcessState, Rights, Syscall};
use std::collections::BTreeMap;

const ALL: u64 = Rights::all().bits() as u64;

/// An argument of a system call.
#[derive(Clone, Copy, Debug)]
pub enum Argument {
    /// One that fits the call, chosen by a number.
    Fitting(u64),
    /// This.
    Raw(u64),
}

impl Argument {
    fn number(self) -> u64 {
        match self {
            Argument::Fitting(number) | Argument::Raw(number) => number,
        }
    }
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// The thread makes a system call. Those that send a message find one with valid capabilities in their page.
    Call(Syscall, [Argument; 6]),
    /// The thread makes the system call of this number, if there is one, with these registers and whatever is in its memory.
    Number(u64, [Argument; 6]),
    /// The thread writes bytes to its page, from this offset on.
    Write(u64, Vec<u8>),
    /// A device interrupts, while the thread runs.
    Interrupt(u8),
    /// Its time is over.
    Timer,
}

/// One step: which of the threads that are ready, and what it does.
#[derive(Clone, Debug)]
pub struct Step {
    /// Chooses the thread.
    pub who: u64,
    /// What happens.
    pub event: Event,
}

/// The root server and its wild children.
pub struct Zoo {
    bench: Bench,
    /// Frames of a child's budget.
    budget: u64,
    children: Vec<Child>,
    shared: Vec<u64>,
    tokens: Vec<u64>,
    outcomes: Outcomes,
}

/// How often each system call worked, waited and failed, by these words and its number.
pub type Outcomes = BTreeMap<(&'static str, u64), u32>;

impl Zoo {
    /// A machine with so many frames of memory (512 at least), on which four children have budgets of so many (40 at least).
    ///
    /// # Panics
    /// If they are too few.
    #[must_use]
    pub fn new(frames: u32, budget: u64) -> Zoo {
        let mut bench = Bench::with_frames(frames);
        let init = bench.init;
        let shared = vec![
            bench.get(init, Syscall::EndpointCreate, &[2]),
            bench.get(init, Syscall::NotificationCreate, &[2]),
            bench.get(init, Syscall::MemoryCreate, &[2, 5, 1]),
        ];
        let mut zoo = Zoo {
            bench,
            budget,
            children: Vec::new(),
            shared,
            tokens: Vec::new(),
            outcomes: BTreeMap::new(),
        };
        for _ in 0..4 {
            let child = zoo.child();
            zoo.children.push(child);
        }
        zoo
    }

    /// A process with all that a root server could give away, and with power over another.
    fn child(&mut self) -> Child {
        let init = self.bench.init;
        let child = self.bench.spawn(init, self.budget);
        for cap in self.shared.iter().copied().chain([3, 4, 5, 8, 9, 10]) {
            // Killing the machine is no bug.
            let rights = if cap == 5 {
                Rights::READ.bits() as u64
            } else {
                ALL
            };
            let grant = [child.slot, cap, 0, rights, 0];
            self.bench.get(init, Syscall::ProcessGrant, &grant);
        }
        if let Some(other) = self.children.last().map(|other| other.slot) {
            self.bench.grant(init, other, child.slot);
        }
        child
    }

    /// Capabilities of a thread's process, by kind.
    fn caps(&self, thread: Ref<Tcb>) -> Vec<(u64, u8)> {
        let store = &self.bench.kernel.store;
        let owner = store.get(self.bench.process(thread)).unwrap();
        let tables = owner.tables.iter().filter(|table| **table != 0);
        let entries = tables.flat_map(|table| (0..64).map(|at| CapRef::new(*table, at)));
        let caps = entries
            .filter_map(|at| at.get(store))
            .filter(|cap| cap.kind != 0);
        caps.map(|cap| (cap.slot as u64 | (cap.generation as u64) << 16, cap.kind))
            .collect()
    }

    fn choose(&self, thread: Ref<Tcb>, fit: Fit, number: u64) -> u64 {
        let pick = |kind: Option<Kind>| {
            let caps = self.caps(thread);
            let fit: Vec<_> = caps
                .iter()
                .filter(|(_, k)| kind.is_none_or(|kind| kind as u8 == *k))
                .collect();
            fit.get(number as usize % fit.len().max(1))
                .map_or(number % 64, |cap| cap.0)
        };
        match fit {
            Fit::Of(kind) => pick(Some(kind)),
            Fit::Cap => pick(None),
            Fit::Maybe(_) if number.is_multiple_of(3) => 0,
            Fit::Maybe(kind) => pick(Some(kind)),
            Fit::Place => SCRATCH + number % 3 * 1024,
            Fit::Page => 0x1000_0000 + (number % 8) * 4096,
            Fit::Deadline => match number % 4 {
                0 => 0,
                1 => FOREVER,
                _ => self.bench.kernel.platform.clock + number % 50_000,
            },
            Fit::Token => {
                let at = number as usize % self.tokens.len().max(1);
                self.tokens.get(at).copied().unwrap_or(number)
            }
            Fit::Rights => match number % 4 {
                0 => number % (ALL + 1),
                _ => ALL,
            },
            Fit::Below(most) => number % most,
        }
    }

    /// A thread of a child that can make a system call.
    fn actor(&mut self, number: u64) -> Option<Ref<Tcb>> {
        for index in 0..self.children.len() {
            let child = self.children[index];
            if self.family(child).is_empty() {
                let init = self.bench.init;
                // It ended: its parent clears up, and starts another.
                self.children[index] = self.child();
                self.bench.get(init, Syscall::CapDelete, &[child.slot]);
            }
        }
        let all: Vec<_> = self
            .children
            .iter()
            .flat_map(|child| self.family(*child))
            .collect();
        let ready: Vec<_> = all
            .into_iter()
            .filter(|thread| self.bench.state(*thread) == ThreadState::Ready)
            .collect();
        ready.get(number as usize % ready.len().max(1)).copied()
    }

    fn family(&self, child: Child) -> Vec<Ref<Tcb>> {
        let store = &self.bench.kernel.store;
        let init = self.bench.process(self.bench.init);
        let found = crate::cap::find(store, init, child.slot).unwrap();
        let list = store.get(found.object::<Process>()).unwrap().threads;
        std::iter::successors(list.head, |thread| {
            ThreadList::next(store, Chain::Family, *thread)
        })
        .collect()
    }

    /// Does a step.
    ///
    /// # Panics
    /// If the kernel does.
    pub fn step(&mut self, step: &Step) {
        let kernel = &self.bench.kernel;
        let budget = kernel.store.get(kernel.root_budget).unwrap();
        // All children may have to be replaced before the next look.
        if budget.limit - budget.used < 5 * self.budget && !self.children.is_empty() {
            self.cull();
        }
        let Some(thread) = self.actor(step.who) else {
            self.bench.kernel.platform.clock += 1_000_000;
            self.bench.kernel.timer_expired();
            // All wait for ever for each other: one of them has to go.
            if self.actor(step.who).is_none() {
                let at = step.who as usize % self.children.len();
                let (init, slot) = (self.bench.init, self.children[at].slot);
                self.bench.get(init, Syscall::ProcessKill, &[slot, 0]);
            }
            return;
        };
        match &step.event {
            Event::Interrupt(vector) => self.bench.trap(thread, Trap::Interrupt(*vector)),
            Event::Timer => self.bench.trap(thread, Trap::Timer),
            Event::Write(offset, bytes) => {
                let root = self.bench.process(thread);
                let root = self.bench.kernel.store.get(root).unwrap().root;
                // Beyond the page, or the page may have been unmapped by its owner.
                let _ =
                    self.bench
                        .kernel
                        .copy_to_user(root, SCRATCH.saturating_add(*offset), bytes);
            }
            Event::Call(call, arguments) => {
                if matches!(call, Syscall::EndpointCall | Syscall::EndpointReply) {
                    self.prepare_message(thread, arguments.map(Argument::number));
                }
                self.issue(thread, *call as u64, arguments);
            }
            Event::Number(number, arguments) => self.issue(thread, *number, arguments),
        }
    }

    /// Counts the tables anew.
    ///
    /// # Panics
    /// If one contradicts another.
    pub fn check(&self) {
        self.bench.check();
    }

    fn issue(&mut self, thread: Ref<Tcb>, number: u64, arguments: &[Argument; 6]) {
        // Ends the machine, and this test.
        if number == Syscall::MachinePower as u64 {
            return;
        }
        let mut fits = Syscall::from_number(number).map(fits).unwrap_or_default();
        fits.resize(6, Fit::Below(u64::MAX));
        let mut registers = [0; 6];
        for ((register, argument), fit) in registers.iter_mut().zip(arguments).zip(fits) {
            *register = match argument {
                Argument::Fitting(number) => self.choose(thread, fit, *number),
                Argument::Raw(number) => *number,
            };
        }
        let answer = self.bench.issue(thread, number, &registers);
        let outcome = match answer {
            None => "waits",
            Some(Ok([_, token, _])) => {
                self.tokens.push(token);
                "works"
            }
            Some(Err(_)) => "fails",
        };
        *self.outcomes.entry((outcome, number)).or_default() += 1;
        // A server's token comes with the call, while it waits.
        for thread in self
            .children
            .iter()
            .map(|child| child.thread)
            .collect::<Vec<_>>()
        {
            let child = self
                .bench
                .kernel
                .store
                .get::<Thread<SimContext>>(thread.cast());
            if let Ok(child) = child
                && let Some((0, [_, token, _])) = child.context.result
            {
                self.tokens.push(token);
            }
        }
        let excess = self.tokens.len().saturating_sub(16);
        self.tokens.drain(..excess);
    }

    fn prepare_message(&mut self, thread: Ref<Tcb>, numbers: [u64; 6]) {
        let caps: Vec<u64> = numbers[..(numbers[5] % 5) as usize % 4]
            .iter()
            .map(|number| self.choose(thread, Fit::Cap, *number >> 9))
            .collect();
        let root = self
            .bench
            .kernel
            .store
            .get(self.bench.process(thread))
            .unwrap()
            .root;
        // The page may have been unmapped by its owner.
        if self
            .bench
            .kernel
            .copy_to_user(root, SCRATCH, &[0; 2304])
            .is_ok()
        {
            for place in [0, 1024, 2048] {
                self.bench
                    .put_message(thread, SCRATCH + place, b"wild", &caps);
            }
        }
    }

    /// Ends processes that the children started and that run by themselves.
    fn cull(&mut self) {
        let kernel = &mut self.bench.kernel;
        let init = kernel.store.get(self.bench.init).unwrap().process;
        for frame in 0..kernel.store.memory.frames() {
            let Some(process) = kernel.store.live::<Process>(frame) else {
                continue;
            };
            if process != init {
                kernel.end_process(process, ProcessState::Killed(9));
            }
        }
        kernel.reap();
        self.quiesce();
    }

    /// What devices can reach is held by them, whoever is dead.
    fn quiesce(&mut self) {
        let init = self.bench.init;
        for slot in 8..11 {
            self.bench.get(init, Syscall::DeviceQuiesce, &[slot]);
        }
    }

    /// Everybody goes; what is left is what there was. Returns what the system calls came to.
    ///
    /// # Panics
    /// If something is lost, or a table contradicts another.
    pub fn end(mut self) -> Outcomes {
        let init = self.bench.init;
        self.quiesce();
        for child in self.children.clone() {
            // It may have ended already.
            let _ended = self
                .bench
                .call(init, Syscall::ProcessKill, &[child.slot, 0]);
            self.bench.get(init, Syscall::CapDelete, &[child.slot]);
        }
        self.bench.check();
        for cap in self.shared.clone() {
            self.bench.get(init, Syscall::CapDelete, &[cap]);
        }
        self.cull();
        self.bench.check();
        let kernel = &self.bench.kernel;
        let caps = kernel.store.get(self.bench.process(init)).unwrap().caps;
        assert_eq!(caps, 6 + 3 + 3, "init has what it had at boot");
        let frames = (0..kernel.store.memory.frames()).map(crate::phys::Frame);
        let kinds = frames.map(|frame| kernel.store.kind(frame));
        let of = |kind| kinds.clone().filter(|other| *other == kind).count();
        assert_eq!((of(FrameKind::Thread), of(FrameKind::Endpoint)), (1, 0));
        assert_eq!((of(FrameKind::Budget), of(FrameKind::Notification)), (1, 0));
        assert_eq!((of(FrameKind::Interrupt), of(FrameKind::Memory)), (0, 4));
        assert_eq!((of(FrameKind::Process), of(FrameKind::MapTable)), (1, 1));
        self.outcomes
    }
}
