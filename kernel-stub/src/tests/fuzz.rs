//! Random system calls from several processes: mostly arguments that fit, some that don't. Whatever they do,
//! the kernel's tables stay right, and everything comes back in the end.

use crate::testing::{Argument, Event, SCRATCH, Step, Zoo};
use kernel_abi::{BOOT_STACK_TOP, FOREVER, Syscall, USER_END};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::collections::BTreeMap;

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

/// A step from random numbers. `None` if it would be one of those that are seldom made.
fn step(numbers: [u64; 9]) -> Option<Step> {
    let [who, what, how, numbers @ ..] = numbers;
    let call = Syscall::ALL[what as usize % Syscall::ALL.len()];
    let arguments = numbers.map(|number| match number % 8 {
        0 => Argument::Raw(anything(number >> 3)),
        _ => Argument::Fitting(number >> 3),
    });
    let event = match how % 64 {
        0 => Event::Interrupt(0x50 + (who % 9) as u8),
        1 => Event::Timer,
        _ if is_fatal(call) && !(how / 64).is_multiple_of(12) => return None,
        _ if how % 640 == 2 => Event::Number(numbers[0] % 200, arguments),
        _ => Event::Call(call, arguments),
    };
    Some(Step { who, event })
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::with_cases(16)
    })]

    #[test]
    fn random_system_calls_break_nothing(steps in prop::collection::vec(any::<[u64; 9]>(), 100..300)) {
        let mut zoo = Zoo::new(2048, 100);
        for step in steps.into_iter().filter_map(step) {
            zoo.step(&step);
            zoo.check();
        }
        zoo.end();
    }
}

#[test]
fn many_random_system_calls_from_a_fixed_seed_break_nothing() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut outcomes: BTreeMap<_, u32> = BTreeMap::new();
    for _ in 0..20 {
        let mut zoo = Zoo::new(2048, 100);
        for index in 0..2500 {
            if let Some(step) = step(std::array::from_fn(|_| random.next_u64())) {
                zoo.step(&step);
            }
            if index % 100 == 0 {
                zoo.check();
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
