//! Children that commit every fault there is. Each must end the child, with the exception that belongs to it, and nobody else.
//! `unsafe` only to find their code, which is copied into them.

use crate::{
    campaign::{Attack, Outcome},
    child::{CODE, Child, DATA},
};
use alloc::format;
use core::arch::global_asm;
use rt::{Notification, ProcessState};

/// Frames of a child's budget.
const FRAMES: u64 = 32;
/// How a child says that an instruction was executed which should have been its last.
const SURVIVED: u64 = 77;
/// What an emulator may let pass: QEMU's knows no alignment check.
const MAY_SURVIVE: &str = "misaligned with AC";
/// A child faults at once or not at all: how long it may take, in nanoseconds.
const PATIENCE: u64 = 2 * rt::time::SECOND;

/// What each kind of child does, and the exceptions that may end it (SDM volume 3, table 6-1).
const KINDS: &[(&str, &[u8])] = &[
    ("read null", &[14]),
    ("read the kernel", &[14]),
    ("write code", &[14]),
    ("run data", &[14]),
    ("hlt", &[13]),
    ("in", &[13]),
    ("ud2", &[6]),
    ("divide", &[0]),
    ("a register that the kernel does not switch", &[6, 7]),
    ("jump to a non-canonical address", &[13]),
    ("overflow the stack", &[14]),
    ("single-step", &[1]),
    ("int3", &[3, 13]),
    ("int 0x80", &[13]),
    ("int 14", &[13]),
    // Not every machine checks alignment: see `MAY_SURVIVE`.
    ("misaligned with AC", &[17]),
    ("a call at the end of user memory", &[14]),
    ("sysenter", &[6, 13]),
    ("wrmsr", &[13]),
    ("load cr3", &[13]),
    ("iretq to the kernel", &[13, 14]),
    ("lgdt", &[13]),
    ("load a kernel segment", &[13]),
    ("swapgs", &[13]),
    ("cli", &[13]),
    ("rdtsc", &[13]),
    ("wrgsbase", &[6]),
    ("push to a non-canonical address", &[12, 13]),
    ("sgdt", &[13]),
    ("write the kernel", &[14]),
    ("jump into the kernel", &[14]),
    ("return to a non-canonical address", &[13]),
    // The latter two where the kernel switches no such registers.
    ("x87 division by zero", &[16, 6, 7]),
    ("int3 with the stack in the kernel", &[3, 13]),
    ("fault with the direction flag", &[14]),
];

// rdi: which kind, by position in `KINDS`. What comes back exits with a code of its own.
global_asm!(
    r#"
    .section .text.crash, "ax"
    crash_start:
        lea rsp, [{data} + 4096]
        xor eax, eax
        cmp edi, 0
        jne 2f
        mov rax, [rax]
        jmp 99f
    2:  cmp edi, 1
        jne 2f
        mov rax, -4096
        mov rax, [rax]
        jmp 99f
    2:  cmp edi, 2
        jne 2f
        mov byte ptr [{code}], 0xc3
        jmp 99f
    2:  cmp edi, 3
        jne 2f
        mov byte ptr [{data}], 0xc3
        mov ecx, {data}
        call rcx
        jmp 99f
    2:  cmp edi, 4
        jne 2f
        hlt
        jmp 99f
    2:  cmp edi, 5
        jne 2f
        in al, 0x64
        jmp 99f
    2:  cmp edi, 6
        jne 2f
        ud2
        jmp 99f
    2:  cmp edi, 7
        jne 2f
        xor ecx, ecx
        div ecx
        jmp 99f
    2:  cmp edi, 8
        jne 2f
        vpxord zmm16, zmm16, zmm16
        jmp 99f
    2:  cmp edi, 9
        jne 2f
        movabs rcx, 0x8000000000000000
        jmp rcx
    2:  cmp edi, 10
        jne 2f
    3:  push rax
        jmp 3b
    2:  cmp edi, 11
        jne 2f
        pushfq
        or qword ptr [rsp], 0x100
        popfq
        nop
        jmp 99f
    2:  cmp edi, 12
        jne 2f
        int3
        jmp 99f
    2:  cmp edi, 13
        jne 2f
        int 0x80
        jmp 99f
    2:  cmp edi, 14
        jne 2f
        int 14
        jmp 99f
    2:  cmp edi, 15
        jne 2f
        pushfq
        or qword ptr [rsp], 0x40000
        popfq
        mov rax, [{data} + 1]
        jmp 99f
    2:  cmp edi, 16
        jne 2f
        mov eax, {clock}
        movabs rcx, {last}
        jmp rcx
    2:  cmp edi, 17
        jne 2f
        sysenter
        jmp 99f
    2:  cmp edi, 18
        jne 2f
        mov ecx, 0xc0000082
        wrmsr
        jmp 99f
    2:  cmp edi, 19
        jne 2f
        mov cr3, rax
        jmp 99f
    2:  cmp edi, 20
        jne 2f
        push 0
        push rsp
        pushfq
        push 8
        lea rcx, [rip + 99f]
        push rcx
        iretq
    2:  cmp edi, 21
        jne 2f
        lgdt [{data}]
        jmp 99f
    2:  cmp edi, 22
        jne 2f
        mov ecx, 0x10
        mov ss, ecx
        jmp 99f
    2:  cmp edi, 23
        jne 2f
        swapgs
        jmp 99f
    2:  cmp edi, 24
        jne 2f
        cli
        jmp 99f
    2:  cmp edi, 25
        jne 2f
        rdtsc
        jmp 99f
    2:  cmp edi, 26
        jne 2f
        wrgsbase rax
        jmp 99f
    2:  cmp edi, 27
        jne 2f
        movabs rsp, 0x800000000800
        push rax
        jmp 99f
    2:  cmp edi, 28
        jne 2f
        sgdt [{data}]
        jmp 99f
    2:  cmp edi, 29
        jne 2f
        mov rcx, -4096
        mov [rcx], rax
        jmp 99f
    2:  cmp edi, 30
        jne 2f
        mov rcx, -4096
        jmp rcx
    2:  cmp edi, 31
        jne 2f
        movabs rcx, 0xffff000000000000
        push rcx
        ret
    2:  cmp edi, 32
        jne 2f
        push 0x37b                          // the control word: that exception is not masked
        fldcw [rsp]
        fldz
        fld1
        fdivrp st(1), st
        fwait
        jmp 99f
    2:  cmp edi, 33
        jne 2f
        mov rsp, -4096
        int3
        jmp 99f
    2:  cmp edi, 34
        jne 99f
        std
        mov rax, [rax]
    99: mov edi, {survived}
        mov eax, {exit}
        syscall
        ud2
    crash_end:
    .text
    "#,
    code = const CODE,
    data = const DATA,
    last = const LAST + rt::PAGE_SIZE as u64 - 2,
    clock = const rt::kernel_abi::Syscall::ThreadYield as u64,
    survived = const SURVIVED,
    exit = const rt::kernel_abi::Syscall::ProcessExit as u64,
);

/// The last page of user memory: a `syscall` in its last two bytes returns to the first address behind it.
const LAST: u64 = rt::USER_END - rt::PAGE_SIZE as u64;

mod assembly {
    unsafe extern "C" {
        pub(super) static crash_start: u8;
        pub(super) static crash_end: u8;
    }
}

fn code() -> &'static [u8] {
    let start = &raw const assembly::crash_start;
    let len = (&raw const assembly::crash_end).addr() - start.addr();
    // SAFETY: the two labels enclose bytes of this program's code, which is readable and never written.
    unsafe { core::slice::from_raw_parts(start, len) }
}

/// A child of each kind, one after the other.
pub(crate) fn run(attack: &mut Attack<'_>) -> Outcome {
    let told = Notification::create(&attack.env.budget())?;
    for (kind, (what, wanted)) in KINDS.iter().enumerate() {
        let child = Child::new(&attack.env.budget(), FRAMES, code(), attack.priority)?;
        let last =
            rt::Memory::create(&child.budget, 1, false)?.map(rt::Prot::READ | rt::Prot::WRITE)?;
        // `syscall`
        last.shm()
            .write(rt::PAGE_SIZE - 2, &[0x0f, 0x05])
            .map_err(|_| rt::Error::BadAddress)?;
        let last = last.unmap();
        child
            .process
            .grant_and_map(&last, LAST, rt::Prot::READ | rt::Prot::EXEC)?;
        child.process.watch(&told, 1)?;
        child.process.start(CODE, 0, kind as u64, attack.priority)?;
        attack.tally.children += 1;
        told.wait(1, rt::time::now().saturating_add(PATIENCE));
        let state = child.process.status()?.state;
        let as_wanted = match state {
            ProcessState::Faulted { vector, .. } => wanted.contains(&vector),
            ProcessState::Exited(SURVIVED) => *what == MAY_SURVIVE,
            _ => false,
        };
        if !as_wanted {
            attack.surprise(format!("{what}: the child is {state:?}"));
        }
    }
    Ok(())
}
