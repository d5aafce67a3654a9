//! Processes that look for what others left in the vector registers, while those take turns with them. Some keep a pattern of their
//! own in all registers without ever calling the kernel: whatever interrupts them, it must stay. `unsafe` only to find their code,
//! which is copied into them.

use crate::{
    Finding,
    child::{CODE, Child, DATA},
};
use alloc::{format, string::String, string::ToString, vec::Vec};
use core::arch::{global_asm, x86_64::__cpuid};
use rt::{Env, Error, Memory, Notification, ProcessState, Prot};

/// Frames of a child's budget.
const FRAMES: u64 = 32;
/// Where a child finds the page whose first word tells it to end.
const STOP: u64 = 0x60_0000;
/// Children that run at a time, at one priority: those with an odd number call the kernel all the time, the others never.
const TOGETHER: u64 = 5;
/// Children one after the other.
const IN_A_ROW: u64 = 20;
/// How often each of those together must have been interrupted for another before the result counts.
const SWITCHES: u64 = 10;
/// How long that may take, and how long it takes to end, in nanoseconds.
const PATIENCE: u64 = 60 * rt::time::SECOND;
const PAUSE: u64 = rt::time::SECOND / 20;

/// CPUID.01H:ECX.OSXSAVE and AVX.
const NEEDED: u32 = 1 << 27 | 1 << 28;

/// Exit codes of the children.
const ENDS: [&str; 4] = [
    "as it should",
    "found something of another in its registers at its start",
    "lost a register without a system call",
    "found something of another in its registers after a system call",
];

// rdi: number * 2 + (1: call the kernel all the time). rbx: the pattern of register 0, one less than that of register 1.
global_asm!(
    r#"
    .section .text.registers, "ax"
    registers_start:
        mov r12, rdi
        mov esi, {data}
        mov edi, 1
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovdqu [rsi], ymm\n
        mov rax, [rsi]
        or rax, [rsi + 8]
        or rax, [rsi + 16]
        or rax, [rsi + 24]
        jne 99f
        .endr
        stmxcsr [rsi]
        cmp dword ptr [rsi], 0x1f80
        jne 99f
        movq rax, mm0
        test rax, rax
        jne 99f
        mov rbx, r12
        shr rbx
        movabs rax, 0x0101010101010100
        imul rbx, rax
    10: .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        lea rax, [rbx + \n]
        mov [rsi], rax
        mov [rsi + 8], rax
        mov [rsi + 16], rax
        mov [rsi + 24], rax
        vmovdqu ymm\n, [rsi]
        .endr
        movq mm0, rbx
    20: xor edi, edi
        cmp dword ptr [{stop}], 0
        jne 99f
        test r12b, 1
        jnz 30f
        mov edi, 2
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        lea rax, [rbx + \n]
        vmovdqu [rsi], ymm\n
        cmp rax, [rsi]
        jne 99f
        cmp rax, [rsi + 8]
        jne 99f
        cmp rax, [rsi + 16]
        jne 99f
        cmp rax, [rsi + 24]
        jne 99f
        .endr
        movq rax, mm0
        cmp rax, rbx
        jne 99f
        jmp 20b
    30: mov eax, {pause}
        syscall
        mov edi, 3
        .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        vmovdqu [rsi], ymm\n
        mov rax, [rsi]
        cmp rax, [rsi + 8]
        jne 99f
        cmp rax, [rsi + 16]
        jne 99f
        cmp rax, [rsi + 24]
        jne 99f
        test rax, rax
        jz 31f
        sub rax, rbx
        cmp rax, \n
        jne 99f
    31:
        .endr
        jmp 10b
    99: mov eax, {exit}
        syscall
        ud2
    registers_end:
    .text
    "#,
    data = const DATA,
    stop = const STOP,
    pause = const rt::kernel_abi::Syscall::ThreadYield as u64,
    exit = const rt::kernel_abi::Syscall::ProcessExit as u64,
);

mod assembly {
    unsafe extern "C" {
        pub(super) static registers_start: u8;
        pub(super) static registers_end: u8;
    }
}

fn code() -> &'static [u8] {
    let start = &raw const assembly::registers_start;
    let len = (&raw const assembly::registers_end).addr() - start.addr();
    // SAFETY: the two labels enclose bytes of this program's code, which is readable and never written.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// Processes one after the other, then several that take turns: none may see what another left, and none may lose anything but
/// over a system call.
pub fn keep_apart(env: &Env) -> Finding {
    if __cpuid(1).ecx & NEEDED != NEEDED {
        return Ok(String::from("this machine has no AVX"));
    }
    for _ in 0..IN_A_ROW {
        round(env, 1, 0)?;
    }
    let switches = round(env, TOGETHER, SWITCHES)?;
    Ok(format!(
        "{IN_A_ROW} processes in a row, {TOGETHER} together in {switches} turns"
    ))
}

/// Lets processes run until each had this many turns; returns how many all had.
fn round(env: &Env, count: u64, turns: u64) -> Result<u64, String> {
    let failed = |error: Error| error.to_string();
    let stop = Memory::create(&env.budget(), 1, false)
        .and_then(|memory| memory.map(Prot::READ | Prot::WRITE))
        .map_err(failed)?;
    let set = |value: u8| stop.shm().write(0, &[value]).map_err(|e| e.to_string());
    set(u8::from(turns == 0))?;
    let told = Notification::create(&env.budget()).map_err(failed)?;
    let start = |number: u64| {
        let child = Child::new(&env.budget(), FRAMES, code(), 1)?;
        child
            .process
            .grant_and_map(stop.memory(), STOP, Prot::READ)?;
        child.process.watch(&told, 1 << number)?;
        child.process.start(CODE, 0, number << 1 | number & 1, 1)?;
        Ok(child)
    };
    let children: Vec<Child> = (1..=count)
        .map(start)
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let end = rt::time::now().saturating_add(PATIENCE);
    let all = (1 << (count + 1)) - 2;
    let mut ended = 0;
    while ended != all {
        if rt::time::now() > end {
            return Err(String::from("the children do not get on"));
        }
        ended |= told.wait(all, rt::time::now().saturating_add(PAUSE));
        let mut all_had = true;
        for child in &children {
            all_had &= child.process.status().map_err(failed)?.switches >= turns;
        }
        // One that ends before it is told has found something: the others need not go on.
        if all_had || ended != 0 {
            set(1)?;
        }
    }
    let mut switches = 0;
    for child in &children {
        let status = child.process.status().map_err(failed)?;
        switches += status.switches;
        match status.state {
            ProcessState::Exited(0) => {}
            ProcessState::Exited(code) => {
                let what = ENDS.get(code as usize).unwrap_or(&"has ended");
                return Err(format!("a process {what}"));
            }
            other => return Err(format!("a process is {other:?}")),
        }
    }
    Ok(switches)
}
