//! Random system calls from several processes: mostly arguments that fit, some that don't. Whatever they do,
//! the kernel's tables stay right, and everything comes back in the end.

use crate::cap::CapRef;
use crate::object::{Chain, Process, Tcb, ThreadList, ThreadState};
use crate::platform::Trap;
use crate::store::{FrameKind, Ref};
use crate::testing::{Bench, Child, SCRATCH};
use kernel_abi::{BOOT_STACK_TOP, FOREVER, Kind, ProcessState, Rights, Syscall, USER_END};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::HashMap;

const ALL: u64 = Rights::all().bits() as u64;

/// One step: random numbers for who, what, how, and for each argument.
type Step = [u64; 9];

/// What fits as an argument.
#[derive(Clone, Copy)]
enum Fit {
    /// A capability of this kind.
    Of(Kind),
    /// Any capability.
    Cap,
    /// NULL, or a capability of this kind.
    Maybe(Kind),
    /// A place in the process's own page.
    Place,
    /// Where to map.
    Page,
    Deadline,
    Token,
    Rights,
    /// A number below this.
    Below(u64),
}

/// What fits a system call.
fn fits(call: Syscall) -> Vec<Fit> {
    use Fit::*;
    let watch = |first| vec![first, Maybe(Kind::Notification), Below(9)];
    match call {
        Syscall::CapDerive => vec![Cap, Rights, Below(3)],
        Syscall::CapDelete | Syscall::CapRevoke | Syscall::CapInfo => vec![Cap],
        Syscall::CapWatch => watch(Cap),
        Syscall::BudgetCreate => vec![Of(Kind::Budget), Below(9)],
        Syscall::BudgetInfo => vec![Of(Kind::Budget)],
        Syscall::MemoryCreate => vec![Of(Kind::Budget), Below(9), Below(2)],
        Syscall::MemoryMap => vec![
            Below(1),
            Of(Kind::Memory),
            Page,
            Below(3),
            Below(4),
            Below(8),
        ],
        Syscall::MemoryUnmap => vec![Maybe(Kind::Process), Page, Below(6)],
        Syscall::MemoryInfo => vec![Of(Kind::Memory)],
        Syscall::ProcessCreate => vec![Of(Kind::Budget), Below(17)],
        Syscall::ProcessGrant => vec![Of(Kind::Process), Cap, Below(80), Rights, Below(2)],
        Syscall::ProcessKill => vec![Of(Kind::Process), Below(9)],
        Syscall::ProcessExit => vec![Below(9)],
        Syscall::ProcessWatch => vec![Of(Kind::Process), Of(Kind::Notification), Below(9)],
        Syscall::ProcessStatus => vec![Of(Kind::Process), Place],
        Syscall::ProcessCaps => vec![Of(Kind::Process), Below(70), Place, Below(20)],
        Syscall::ThreadCreate => vec![Maybe(Kind::Process), Page, Page, Below(9), Below(16)],
        Syscall::ThreadExit | Syscall::ThreadYield => vec![],
        Syscall::ThreadPriority => vec![Of(Kind::Thread), Below(16)],
        Syscall::EndpointCreate | Syscall::NotificationCreate => vec![Of(Kind::Budget)],
        Syscall::EndpointCall => vec![Of(Kind::Endpoint), Place, Deadline],
        Syscall::EndpointRecv => vec![Of(Kind::Endpoint), Place, Deadline],
        Syscall::EndpointReply => vec![Of(Kind::Endpoint), Token, Place],
        Syscall::EndpointBind => watch(Of(Kind::Endpoint)),
        Syscall::NotificationSignal => vec![Of(Kind::Notification), Below(16)],
        Syscall::NotificationWait => vec![Of(Kind::Notification), Below(16), Deadline],
        Syscall::DeviceInfo => vec![Of(Kind::Device), Place],
        Syscall::DeviceConfigRead => vec![Of(Kind::Device), Below(4097), Below(5)],
        Syscall::DeviceBar => vec![Of(Kind::Device), Below(7)],
        Syscall::DeviceDmaMap => vec![Of(Kind::Device), Of(Kind::Memory)],
        Syscall::DeviceInterrupt => {
            vec![Of(Kind::Device), Below(5), Of(Kind::Notification), Below(9)]
        }
        Syscall::DeviceStart | Syscall::DeviceQuiesce => vec![Of(Kind::Device)],
        Syscall::DeviceWatch => watch(Of(Kind::Device)),
        Syscall::InterruptAck => vec![Of(Kind::Interrupt)],
        Syscall::ClockNow => vec![Of(Kind::Clock)],
        Syscall::ConsoleWrite | Syscall::ConsoleRead => {
            vec![Of(Kind::Console), Place, Below(600)]
        }
        Syscall::ConsoleBind => watch(Of(Kind::Console)),
        Syscall::LogWrite => vec![Of(Kind::Console), Below(7), Place, Below(520)],
        Syscall::LogRead => vec![Of(Kind::Console), Below(90), Place, Below(600)],
        Syscall::LogEcho => vec![Of(Kind::Console), Below(7)],
        // Ends the test.
        Syscall::MachinePower => vec![Below(9)],
        Syscall::MachineInfo => vec![Of(Kind::Machine), Place],
        Syscall::MachineCommandLine => vec![Of(Kind::Machine), Place, Below(90)],
    }
}

/// Seldom made: they end what makes the test interesting.
fn is_fatal(call: Syscall) -> bool {
    matches!(
        call,
        Syscall::CapDelete
            | Syscall::CapRevoke
            | Syscall::ProcessExit
            | Syscall::ProcessKill
            | Syscall::ThreadExit
    )
}

/// The root server and its wild children.
struct Zoo {
    bench: Bench,
    children: Vec<Child>,
    shared: Vec<u64>,
    tokens: Vec<u64>,
    outcomes: HashMap<(&'static str, u64), u32>,
}

impl Zoo {
    fn new() -> Zoo {
        let mut bench = Bench::new();
        let init = bench.init;
        let shared = vec![
            bench.get(init, Syscall::EndpointCreate, &[2]),
            bench.get(init, Syscall::NotificationCreate, &[2]),
            bench.get(init, Syscall::MemoryCreate, &[2, 5, 1]),
        ];
        let mut zoo = Zoo {
            bench,
            children: Vec::new(),
            shared,
            tokens: Vec::new(),
            outcomes: HashMap::new(),
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
        let child = self.bench.spawn(init, 100);
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

    /// Anything at all.
    fn anything(number: u64) -> u64 {
        let odd = [
            0,
            1,
            FOREVER,
            1 << 63,
            1 << 47,
            USER_END,
            BOOT_STACK_TOP,
            SCRATCH + 4090,
        ];
        match number % 3 {
            0 => odd[(number / 3) as usize % odd.len()],
            1 => number >> 2 & 0xfff,
            _ => number,
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

    fn step(&mut self, step: Step) {
        let [who, what, how, numbers @ ..] = step;
        let kernel = &self.bench.kernel;
        let budget = kernel.store.get(kernel.root_budget).unwrap();
        if budget.limit - budget.used < 300 && !self.children.is_empty() {
            self.cull();
        }
        let Some(thread) = self.actor(who) else {
            self.bench.kernel.platform.clock += 1_000_000;
            self.bench.kernel.timer_expired();
            // All wait for ever for each other: one of them has to go.
            if self.actor(who).is_none() {
                let (init, slot) = (self.bench.init, self.children[how as usize % 4].slot);
                self.bench.get(init, Syscall::ProcessKill, &[slot, 0]);
            }
            return;
        };
        let call = Syscall::ALL[what as usize % Syscall::ALL.len()];
        match how % 64 {
            0 => {
                return self
                    .bench
                    .trap(thread, Trap::Interrupt(0x50 + (who % 9) as u8));
            }
            1 => return self.bench.trap(thread, Trap::Timer),
            _ => {}
        }
        if is_fatal(call) && !(how / 64).is_multiple_of(12) {
            return;
        }
        let mut arguments = numbers.map(|number| Zoo::anything(number >> 3));
        for ((argument, number), fit) in arguments.iter_mut().zip(numbers).zip(fits(call)) {
            if number % 8 != 0 {
                *argument = self.choose(thread, fit, number >> 3);
            }
        }
        if matches!(call, Syscall::EndpointCall | Syscall::EndpointReply) {
            self.prepare_message(thread, numbers);
        }
        let number = if how % 640 == 2 {
            numbers[0] % 200
        } else {
            call as u64
        };
        if number == Syscall::MachinePower as u64 {
            return;
        }
        let answer = self.bench.issue(thread, number, &arguments);
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
            if let Ok(tcb) = self.bench.kernel.store.get(thread)
                && let Some(Ok([_, token, _])) = tcb.result
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
    }

    /// Everybody goes; what is left is what there was.
    fn end(mut self) -> HashMap<(&'static str, u64), u32> {
        let init = self.bench.init;
        for slot in 8..11 {
            self.bench.get(init, Syscall::DeviceQuiesce, &[slot]);
        }
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

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::with_cases(16)
    })]

    #[test]
    fn random_system_calls_break_nothing(steps in prop::collection::vec(any::<Step>(), 100..300)) {
        let mut zoo = Zoo::new();
        for step in steps {
            zoo.step(step);
            zoo.bench.check();
        }
        zoo.end();
    }
}

#[test]
fn many_random_system_calls_from_a_fixed_seed_break_nothing() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut outcomes: HashMap<_, u32> = HashMap::new();
    for _ in 0..6 {
        let mut zoo = Zoo::new();
        for index in 0..2500 {
            zoo.step(std::array::from_fn(|_| random.next_u64()));
            if index % 100 == 0 {
                zoo.bench.check();
            }
        }
        for (key, count) in zoo.end() {
            *outcomes.entry(key).or_default() += count;
        }
    }
    // A test of errors alone would be a poor one: every call worked (or waited) sometimes, and failed sometimes.
    for call in Syscall::ALL {
        let count = |outcome| outcomes.get(&(outcome, *call as u64)).copied().unwrap_or(0);
        let [works, waits, fails] = ["works", "waits", "fails"].map(count);
        match call {
            Syscall::MachinePower => {}
            Syscall::ThreadYield | Syscall::ThreadExit | Syscall::ProcessExit => {
                assert!(works + waits > 0, "{call:?}");
            }
            _ => assert!(
                works + waits > 0 && fails > 0,
                "{call:?}: {works} worked, {waits} waited, {fails} failed"
            ),
        }
    }
}
