//! Four processes that make any system calls with any arguments, on the kernel's simulated machine.
//!
//! The kernel's own checker counts all of its tables anew every few steps; in the end everything is killed and every
//! frame must be back.

use crate::generate;
use arbitrary::Unstructured;
use kernel_abi::{BOOT_STACK_TOP, FOREVER, Syscall, USER_END};
use kernel_stub::testing::{Argument, Event, Step, Zoo, arguments};

const MAX_STEPS: usize = 250;
const STEPS_PER_CHECK: usize = 10;
/// As small as the zoo can be: memory that runs out is part of it.
const FRAMES: u32 = 512;
const BUDGET: u64 = 40;

/// What looks odd to somebody who checks addresses and numbers.
const ODD: [u64; 14] = [
    0,
    1,
    0xfff,
    0x1000,
    0xffff,
    1 << 31,
    u32::MAX as u64,
    1 << 47,
    1 << 63,
    USER_END - 1,
    USER_END,
    BOOT_STACK_TOP - 8,
    FOREVER - 1,
    FOREVER,
];

/// Steps until the input ends.
pub fn run(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let mut zoo = Zoo::new(FRAMES, BUDGET);
    for count in 1..=MAX_STEPS {
        if input.is_empty() {
            break;
        }
        zoo.step(&Step {
            event: event(&mut input),
            who: generate::byte(&mut input).into(),
        });
        if count % STEPS_PER_CHECK == 0 {
            zoo.check();
        }
    }
    zoo.check();
    zoo.end();
}

fn event(input: &mut Unstructured<'_>) -> Event {
    match generate::byte(input) {
        kind @ 0..=223 => {
            let call = Syscall::ALL[usize::from(kind) % Syscall::ALL.len()];
            let mut all = [Argument::Raw(0); 6];
            all[..arguments(call)].fill_with(|| argument(input));
            match kind {
                200.. => Event::Number(call as u64, all),
                _ => Event::Call(call, all),
            }
        }
        224..=229 => Event::Number(
            generate::number(input, 8),
            std::array::from_fn(|_| argument(input)),
        ),
        230..=245 => {
            let offset = generate::number(input, 2);
            let len = generate::byte(input).into();
            Event::Write(offset, generate::bytes(input, len).to_vec())
        }
        246..=252 => Event::Interrupt(generate::byte(input)),
        _ => Event::Timer,
    }
}

fn argument(input: &mut Unstructured<'_>) -> Argument {
    match generate::byte(input) {
        number @ 0..=207 => Argument::Fitting(number.into()),
        208..=223 => Argument::Fitting(generate::number(input, 4)),
        odd @ 224..=247 => Argument::Raw(ODD[usize::from(odd - 224) % ODD.len()]),
        _ => Argument::Raw(generate::number(input, 8)),
    }
}
