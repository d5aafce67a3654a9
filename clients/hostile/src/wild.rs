//! Processes that make random system calls, as fast as they can, with random flags of the processor: half of them with
//! arguments at random, half with arguments that are mostly right. `unsafe` only to find their code, which is copied into them.

use crate::{
    Finding,
    campaign::{Attack, Outcome},
    shapes::{SHAPES, VALUES},
};
use alloc::{format, string::ToString};
use core::{arch::global_asm, time::Duration};
use rt::{
    Budget, Endpoint, Env, Error, Memory, Notification, Process, Prot, Rights, Slot, USER_END,
    USER_START,
};

/// Where a wild process has its code, and its page of data (with its stack).
pub(crate) const CODE: u64 = 0x40_0000;
pub(crate) const DATA: u64 = 0x50_0000;
/// Where it may happen to map something.
pub(crate) const FIELD: u64 = 0x2000_0000;
/// Where in the page of code the shapes of calls lie, and the values of kinds of arguments.
const SHAPES_AT: u64 = 2048;
const VALUES_AT: u64 = 3072;
/// Frames of its budget.
const FRAMES: u64 = 48;
/// Its threads. They share the stack, on which nothing but random flags is put.
const THREADS: u16 = 4;
/// How long it lives.
const LIFE: Duration = Duration::from_millis(20);
/// Slots that its random numbers hardly ever hit: what it stands on.
const FOUNDATION: u16 = 100;

// rbx: state of the generator (xorshift64), r12: the page of data, r13: the odd numbers, r14: the call, r15: the flags,
// r11: the shape of the call, or of none.
global_asm!(
    r#"
    .macro wild_next
        mov rax, rbx
        shl rax, 13
        xor rbx, rax
        mov rax, rbx
        shr rax, 7
        xor rbx, rax
        mov rax, rbx
        shl rax, 17
        xor rbx, rax
    .endm

    .macro wild_argument register position
        wild_next
        movzx eax, byte ptr [r11 + \position]
        test eax, eax
        jz 21f
        test ebx, 0x700000                  // mostly as the shape says
        jz 21f
        shl eax, 4
        mov \register, rbx
        shr \register, 24
        and \register, [rax + {values} + 8]
        add \register, [rax + {values}]
        jmp 29f
    21: mov \register, rbx
        shr \register, 8
        mov eax, ebx
        and eax, 7
        cmp eax, 3
        jb 22f
        je 23f
        cmp eax, 5
        jb 25f
        je 26f
        cmp eax, 6
        je 27f
        mov \register, rbx                  // anything
        jmp 29f
    22: and \register, 15                   // a slot that is in use, or a small number
        jmp 29f
    23: and \register, 63
        jmp 29f
    25: and \register, 0x13ff               // in the page of data, or past its end
        add \register, r12
        jmp 29f
    26: and \register, 15                   // an odd number
        mov \register, [r13 + 8 * \register]
        jmp 29f
    27: and \register, 0xfff
    29:
    .endm

    .section .text.wild, "ax"
    wild_start:
        mov rbx, rdi
        mov r12d, {data}
        lea r13, [rip + wild_odd]
        lea rsp, [r12 + 4096]
    2:
        wild_next                           // a message: length, number of capabilities, capabilities
        mov eax, ebx
        and eax, 0xff
        mov [r12], eax
        mov rax, rbx
        shr rax, 8
        and eax, 7
        mov [r12 + 4], eax
        mov rax, rbx
        shr rax, 11
        and eax, 15
        mov [r12 + 8], eax
        mov rax, rbx
        shr rax, 15
        and eax, 15
        mov [r12 + 12], eax
        wild_next                           // the call; seldom one that ends it
        mov r14, rbx
        shr r14, 8
        and r14d, 127
        cmp r14d, {exit_process}
        je 3f
        cmp r14d, {exit_thread}
        jne 4f
    3:  test ebx, 0x3f
        jnz 2b
    4:
        wild_next                           // alignment check, nested task, direction
        mov r15, rbx
        and r15d, 0x44400
        test ebx, 0x7fff
        jnz 5f
        or r15d, 0x100                      // trap: goes off right after the call
    5:
        lea r11, [r14 * 8 + {shapes}]       // half of the calls by their shape, half by that of a call that is none
        test ebx, 0x100000
        jnz 6f
        mov r11d, {shapes} + 127 * 8
    6:
        wild_argument rdi, 0
        wild_argument rsi, 1
        wild_argument rdx, 2
        wild_argument r10, 3
        wild_argument r8, 4
        wild_argument r9, 5
        mov eax, r14d
        push r15
        popfq
        syscall
        jmp 2b
    .balign 8
    wild_odd:
        .quad 0, 1, -1, 1 << 63, 1 << 47, 0xffff800000000000, {user_start}, {user_start} - 1
        .quad {user_end}, {user_end} - 1, {user_end} - 4096, {field}, {field} + 4096, {field} + 8192
        .quad {data} + 256, 1 << 32
    wild_end:
    .text
    "#,
    data = const DATA,
    shapes = const CODE + SHAPES_AT,
    values = const CODE + VALUES_AT,
    field = const FIELD,
    user_start = const USER_START,
    user_end = const USER_END,
    exit_process = const rt::kernel_abi::Syscall::ProcessExit as u64,
    exit_thread = const rt::kernel_abi::Syscall::ThreadExit as u64,
);

mod assembly {
    unsafe extern "C" {
        pub(super) static wild_start: u8;
        pub(super) static wild_end: u8;
    }
}

fn code() -> &'static [u8] {
    let start = &raw const assembly::wild_start;
    let len = (&raw const assembly::wild_end).addr() - start.addr();
    // SAFETY: the two labels enclose bytes of this program's code, which is readable and never written.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Starts pairs of wild processes, which have power over each other, for the seconds of the argument. Afterwards the budget
/// must be used exactly as before.
pub fn call_at_random(env: &Env) -> Finding {
    let seconds = env.arg("seconds").and_then(|text| text.parse().ok());
    let life = Duration::from_secs(seconds.unwrap_or(5));
    let shared = Shared::new(env).map_err(|error| format!("nothing to share: {error}"))?;
    // The first ones pay for what stays (a page of the capability table, say).
    pair(env, &shared, 1).map_err(|error| format!("the first: {error}"))?;
    let before = env.budget().usage().map_err(|error| error.to_string())?;
    let end = rt::time::now().saturating_add(life.as_nanos() as u64);
    let (mut pairs, mut calls) = (0u64, 0u64);
    while rt::time::now() < end {
        pairs += 1;
        let made = pair(env, &shared, pairs);
        calls += made.map_err(|error| format!("pair {pairs}: {error}"))?;
    }
    let after = env.budget().usage().map_err(|error| error.to_string())?;
    if before.used != after.used {
        return Err(format!(
            "{} frames in use before, {} after",
            before.used, after.used
        ));
    }
    Ok(format!(
        "{pairs} pairs of processes made {calls} system calls"
    ))
}

/// A few pairs.
pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    let shared = Shared::new(attack.env)?;
    for _ in 0..4 {
        attack.tally.calls += pair(attack.env, &shared, attack.random.word())?;
        attack.tally.children += 2;
    }
    Ok(())
}

/// What all wild processes get, besides what is their own.
struct Shared {
    endpoint: Endpoint,
    notification: Notification,
    memory: Memory,
    /// Rung by nobody: for waiting until a time.
    silence: Notification,
}

impl Shared {
    fn new(env: &Env) -> Result<Shared, Error> {
        let budget = env.budget();
        Ok(Shared {
            endpoint: Endpoint::create(&budget)?,
            notification: Notification::create(&budget)?,
            memory: Memory::create(&budget, 2, true)?,
            silence: Notification::create(&budget)?,
        })
    }
}

/// Lets two run for a while; how many system calls they made.
fn pair(env: &Env, shared: &Shared, number: u64) -> Result<u64, Error> {
    let first = prepare(env, shared)?;
    let second = prepare(env, shared)?;
    for (one, other) in [(&first, &second), (&second, &first)] {
        one.grant(other.slot(), 9, Rights::all(), 0)?;
    }
    for (index, process) in [&first, &second].into_iter().enumerate() {
        for thread in 0..THREADS {
            // Odd, so never the zero at which the generator stands still.
            let seed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
                ^ (index as u64) << 40
                ^ u64::from(thread) << 44
                | 1;
            // They run only while this program sleeps, so that all of them start.
            let started = process.start(CODE, 0, seed, 0)?;
            process.grant(started.slot(), 10 + thread, Rights::all(), 0)?;
        }
    }
    let until = rt::time::now().saturating_add(LIFE.as_nanos() as u64);
    shared.silence.wait(1, until);
    let mut calls = 0;
    for process in [first, second] {
        calls += process.status()?.syscalls;
        match process.kill(0) {
            Ok(()) | Err(Error::BadState) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(calls)
}

/// A process with capabilities of most kinds that has not been started.
fn prepare(env: &Env, shared: &Shared) -> Result<Process, Error> {
    let budget: Budget = env.budget().split(FRAMES)?;
    let process = Process::create(&budget, 0)?;
    let grant = |slot: Slot, index| process.grant(slot, index, Rights::all(), 0);
    grant(process.slot(), 1)?;
    grant(budget.slot(), 2)?;
    grant(shared.endpoint.slot(), 3)?;
    grant(shared.notification.slot(), 4)?;
    grant(shared.memory.slot(), 5)?;
    process.grant(shared.notification.slot(), 6, Rights::SIGNAL, 2)?;
    // Its holder may not be allowed to pass it on.
    let _ = process.grant(env.clock().slot(), 14, Rights::READ, 0);

    let page = Memory::create(&budget, 1, false)?.map(Prot::READ | Prot::WRITE)?;
    let code = code();
    if code.len() as u64 > SHAPES_AT {
        return Err(Error::BadArgument);
    }
    let window = page.shm();
    let write = |at: u64, bytes: &[u8]| {
        window
            .write(at as usize, bytes)
            .map_err(|_| Error::BadAddress)
    };
    write(0, code)?;
    write(SHAPES_AT, &SHAPES)?;
    for (at, value) in (VALUES_AT..).step_by(8).zip(VALUES.as_flattened()) {
        write(at, &value.to_le_bytes())?;
    }
    let page = page.unmap();
    let slot = grant(page.slot(), FOUNDATION)?;
    process.map(slot, CODE, 0, 1, Prot::READ | Prot::EXEC)?;
    let data = Memory::create(&budget, 1, false)?;
    let slot = grant(data.slot(), FOUNDATION + 1)?;
    process.map(slot, DATA, 0, 1, Prot::READ | Prot::WRITE)?;
    grant(data.slot(), 7)?;
    grant(page.slot(), 8)?;
    Ok(process)
}
