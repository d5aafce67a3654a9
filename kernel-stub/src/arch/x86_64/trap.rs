//! Entering user mode, and what to do about traps in kernel mode. The assembly is in `trap.s`.

use super::context::{INTERRUPT_FLAG, Registers, SYSCALL, USER_CODE, USER_DATA};
use super::cpu_local::CpuLocal;
use super::{cpu, emergency};
use core::arch::global_asm;
use core::mem::offset_of;

/// Status of the machine when the kernel itself made a fault, see [`emergency::end`].
const STATUS_KERNEL_FAULT: u8 = 102;

global_asm!(
    include_str!("trap.s"),
    rsp0 = const offset_of!(CpuLocal, rsp0),
    user_stack = const offset_of!(CpuLocal, user_stack),
    kernel_stack = const offset_of!(CpuLocal, kernel_stack),
    vector_after_r12 = const offset_of!(Registers, vector) - offset_of!(Registers, r11),
    user_data = const USER_DATA,
    user_code = const USER_CODE,
    syscall = const SYSCALL,
    kernel_trap = sym kernel_trap,
);

mod assembly {
    unsafe extern "C" {
        pub(super) static trap_stubs: u8;
        pub(super) static syscall_entry: u8;
        pub(super) fn enter_user(registers: *mut super::Registers);
    }
}

/// Address of the code for an interrupt vector.
pub(super) fn stub(vector: u8) -> u64 {
    (&raw const assembly::trap_stubs).addr() as u64 + 16 * vector as u64
}

/// Address of the code for the `syscall` instruction.
pub(super) fn syscall_entry() -> u64 {
    (&raw const assembly::syscall_entry).addr() as u64
}

/// Runs user code until it traps; `registers.vector` then says why.
///
/// # Safety
/// 1. `local` is what this processor's GS base points at, its GDT, IDT and task register are loaded, and interrupts
///    are off.
/// 2. The current address space is the one that the thread belongs to, and no other thread's values are in the extended state.
pub(super) unsafe fn enter_user(local: &CpuLocal, registers: &mut Registers) {
    let registers: *mut Registers = registers;
    local.set_trap_stack(registers.wrapping_add(1).addr() as u64);
    // SAFETY: `registers` is exclusively ours during the call, and aligned by its type. Its selectors and flags are the
    // users' (they are set by `Context::new` and by the processor only); the caller answers for the rest.
    unsafe { assembly::enter_user(registers) };
}

/// A trap while the kernel ran: the end of `hlt`, or the end of everything.
extern "C" fn kernel_trap(frame: &mut Registers) {
    // Exceptions first: they may come before (or because) GS is set up.
    if let 0..32 = frame.vector {
        die(frame);
    }
    CpuLocal::current().set_idle_vector(frame.vector as u8);
    // One interrupt ends one `hlt`; further ones wait for the next.
    frame.rflags &= !INTERRUPT_FLAG;
}

/// Prints what there is to know and ends the machine. No process can cause this: it is a bug, or the hardware.
fn die(frame: &Registers) -> ! {
    let what = match frame.vector {
        0 => "divide error",
        1 => "debug exception",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        6 => "invalid instruction",
        7 => "floating point",
        8 => "double fault (kernel stack exhausted?)",
        13 => "general protection fault",
        14 => "page fault",
        18 => "machine check",
        _ => "exception",
    };
    emergency::write(format_args!(
        "\nkernel: {what} in the kernel, vector {} error {:#x} address {:#x}\n",
        frame.vector,
        frame.error,
        cpu::fault_address(),
    ));
    emergency::write(format_args!(
        "  rip {:016x} cs {:x} flags {:x} rsp {:016x} ss {:x}\n",
        frame.rip, frame.cs, frame.rflags, frame.rsp, frame.ss
    ));
    for [(a, x), (b, y), (c, z)] in [
        [("rax", frame.rax), ("rbx", frame.rbx), ("rcx", frame.rcx)],
        [("rdx", frame.rdx), ("rsi", frame.rsi), ("rdi", frame.rdi)],
        [("rbp", frame.rbp), ("r8 ", frame.r8), ("r9 ", frame.r9)],
        [("r10", frame.r10), ("r11", frame.r11), ("r12", frame.r12)],
        [("r13", frame.r13), ("r14", frame.r14), ("r15", frame.r15)],
    ] {
        emergency::write(format_args!("  {a} {x:016x} {b} {y:016x} {c} {z:016x}\n"));
    }
    emergency::end(STATUS_KERNEL_FAULT)
}
