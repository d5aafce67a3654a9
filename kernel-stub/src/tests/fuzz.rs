//! Random system calls with random arguments from several processes. Whatever they do, the kernel's tables
//! stay right, and everything comes back in the end.

use crate::object::{Tcb, ThreadState};
use crate::platform::Trap;
use crate::store::Ref;
use crate::testing::{Bench, Child, SCRATCH};
use kernel_abi::{FOREVER, Rights, Syscall, USER_END};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// One step: who, what, six arguments each as a way to choose and a number.
type Step = (usize, u64, [(u8, u64); 6]);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let argument = (any::<u8>(), any::<u64>());
    let step = (any::<usize>(), 0u64..100, prop::array::uniform6(argument));
    prop::collection::vec(step, 200..600)
}

/// Arguments that often mean something.
fn argument(bench: &Bench, thread: Ref<Tcb>, (way, number): (u8, u64), tokens: &[u64]) -> u64 {
    match way % 12 {
        // A slot in use, with its generation.
        0..=4 => {
            let owner = bench.kernel.store.get(bench.process(thread)).unwrap();
            let slots: Vec<u64> = (0..256u64)
                .filter(|slot| owner.used[*slot as usize / 64] & 1 << (slot % 64) != 0)
                .collect();
            let slot = slots[number as usize % slots.len()];
            let at = crate::cap::CapRef::new(owner.tables[slot as usize / 64], (slot % 64) as u16);
            let generation = at.get(&bench.kernel.store).map_or(0, |cap| cap.generation);
            slot | (generation as u64) << 16
        }
        5 => SCRATCH + number % 4200,
        6 => number % 8,
        7 => [0x1000_0000, 0x1000_1000, 0x4000_0000, SCRATCH, USER_END][number as usize % 5],
        8 => number % 70,
        9 => [0, FOREVER, 1 << 63, 1 << 47, u64::MAX - 4096][number as usize % 5],
        10 => tokens
            .get(number as usize % tokens.len().max(1))
            .copied()
            .unwrap_or(number),
        _ => number,
    }
}

/// Everything that a root server could have made for four processes that then go wild.
fn wild(steps: &[Step], check_every: usize) {
    let mut bench = Bench::new();
    let init = bench.init;
    let all = Rights::all().bits() as u64;
    let free = bench.free_frames();
    let endpoint = bench.get(init, Syscall::EndpointCreate, &[2]);
    let bell = bench.get(init, Syscall::NotificationCreate, &[2]);
    let memory = bench.get(init, Syscall::MemoryCreate, &[2, 5, 1]);
    let mut children: Vec<Child> = Vec::new();
    for index in 0..4u64 {
        let child = bench.spawn(init, 60 + 20 * index);
        for cap in [endpoint, bell, memory, 3, 4, 8, 9, 10] {
            bench.get(init, Syscall::ProcessGrant, &[child.slot, cap, 0, all, 0]);
        }
        // Each holds the one before it: they can map, grant, start and kill there.
        if let Some(before) = children.last() {
            bench.get(
                init,
                Syscall::ProcessGrant,
                &[child.slot, before.slot, 0, all, 0],
            );
        }
        children.push(child);
    }
    let mut tokens = Vec::new();
    for (index, (who, number, arguments)) in steps.iter().enumerate() {
        let threads: Vec<Ref<Tcb>> = children
            .iter()
            .map(|child| child.thread)
            .filter(|thread| bench.state(*thread) == ThreadState::Ready)
            .collect();
        if index % check_every == 0 {
            bench.check();
        }
        if threads.is_empty() {
            bench.kernel.platform.clock += 1 << 40;
            bench.kernel.timer_expired();
            if children
                .iter()
                .all(|child| bench.state(child.thread) == ThreadState::Dead)
            {
                break;
            }
            continue;
        }
        let thread = threads[who % threads.len()];
        let arguments: Vec<u64> = arguments
            .iter()
            .map(|choice| argument(&bench, thread, *choice, &tokens))
            .collect();
        // The end of all is in other tests; too early an end of a process makes this one dull.
        if *number == Syscall::ProcessExit as u64 && index % 16 != 0 {
            continue;
        }
        if *number == 99 && index % 32 == 0 {
            bench.trap(thread, Trap::Interrupt(0x50 + (index % 8) as u8));
            continue;
        }
        let answer = bench.issue(thread, *number, &arguments);
        if let Some(Ok([_, token, _])) = answer {
            tokens.push(token);
        }
    }
    bench.check();
    for slot in 8..11 {
        bench.get(init, Syscall::DeviceQuiesce, &[slot]);
    }
    for child in &children {
        // They may be dead already.
        let _ended = bench.call(init, Syscall::ProcessKill, &[child.slot, 0]);
        bench.get(init, Syscall::CapDelete, &[child.slot]);
    }
    bench.check();
    for cap in [endpoint, bell, memory] {
        bench.get(init, Syscall::CapDelete, &[cap]);
    }
    bench.check();
    let orphans = bench.kernel.store.get(bench.process(init)).unwrap();
    assert_eq!(orphans.caps, 6 + 3 + 3, "init has what it had at boot");
    assert!(
        free - bench.free_frames() <= orphan_frames(&bench),
        "frames are lost"
    );
}

/// What may be left: processes that the wild ones started on their budgets and that still run.
fn orphan_frames(bench: &Bench) -> u32 {
    let frames = 0..bench.kernel.store.memory.frames();
    let running = frames.filter(|frame| {
        let process = bench.kernel.store.at::<crate::object::Process>(*frame);
        process.is_some_and(|process| process.id > 5)
    });
    match running.count() {
        0 => 0,
        _ => 600,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn random_system_calls_break_nothing(steps in steps()) {
        wild(&steps, 5);
    }
}

#[test]
fn many_random_system_calls_from_a_fixed_seed_break_nothing() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for _ in 0..8 {
        let steps: Vec<Step> = (0..3000)
            .map(|_| {
                let mut word = || rand_word(&mut random);
                let arguments = std::array::from_fn(|_| (word() as u8, word()));
                (word() as usize, word() % 100, arguments)
            })
            .collect();
        wild(&steps, 50);
    }
}

fn rand_word(random: &mut TestRng) -> u64 {
    use proptest::prelude::Rng;
    random.next_u64()
}
