//! The registers of a user thread, in the order in which `trap.s` and the processor push them. Plain data.

use super::extended::State;
use crate::platform;
use kernel_abi::USER_END;

/// Selector of the users' data segment, privilege level 3.
pub(super) const USER_DATA: u16 = 0x1b;
/// Selector of the users' code segment; `sysret` loads the one after `USER_DATA`.
pub(super) const USER_CODE: u16 = 0x23;

/// Stands in `vector` of a context that `syscall` saved; interrupts have 0..=255.
pub(super) const SYSCALL: u64 = 256;
/// Stands in `vector` of a context that has not run.
pub(super) const FRESH: u64 = 257;

/// Interrupt enable. User mode runs with it set and (at I/O privilege level 0) cannot clear it.
pub(super) const INTERRUPT_FLAG: u64 = 1 << 9;
/// Bit 1 of the flags is always one.
const FIXED_FLAGS: u64 = 1 << 1;

/// A thread's registers.
#[derive(Clone, Debug)]
#[repr(C)]
#[cfg_attr(
    test,
    expect(unreachable_pub, reason = "a port shows it as a type of `Platform`")
)]
pub struct Context {
    /// Those that only an interrupt saves.
    pub(super) extended: State,
    pub(super) registers: Registers,
}

/// The general registers. Their end is where the processor pushes to when user code is interrupted, which
/// it aligns to 16 bytes: hence the alignment, and a size that keeps it.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub(super) struct Registers {
    pub(super) r15: u64,
    pub(super) r14: u64,
    pub(super) r13: u64,
    pub(super) r12: u64,
    pub(super) r11: u64,
    pub(super) r10: u64,
    pub(super) r9: u64,
    pub(super) r8: u64,
    pub(super) rbp: u64,
    pub(super) rdi: u64,
    pub(super) rsi: u64,
    pub(super) rdx: u64,
    pub(super) rcx: u64,
    pub(super) rbx: u64,
    pub(super) rax: u64,
    /// Why the context was saved: a vector, [`SYSCALL`] or [`FRESH`]. Also decides how it is resumed.
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) rip: u64,
    pub(super) cs: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
    pub(super) ss: u64,
}

const _: () =
    assert!(size_of::<Registers>() == 22 * 8 && size_of::<Registers>().is_multiple_of(16));

impl platform::Context for Context {
    fn new(entry: u64, stack: u64, argument: u64) -> Self {
        let registers = Registers {
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            r11: 0,
            r10: 0,
            r9: 0,
            r8: 0,
            rbp: 0,
            rdi: argument,
            rsi: 0,
            rdx: 0,
            rcx: 0,
            rbx: 0,
            rax: 0,
            // The first entry is by `iretq`, which loads every field.
            vector: FRESH,
            error: 0,
            // `iretq` to an address that is not canonical would fault in the kernel (SDM vol. 2, IRET). USER_END
            // is canonical and never mapped, so that the thread faults there itself.
            rip: entry.min(USER_END),
            cs: USER_CODE as u64,
            rflags: INTERRUPT_FLAG | FIXED_FLAGS,
            rsp: stack,
            ss: USER_DATA as u64,
        };
        Context {
            extended: State::initial(),
            registers,
        }
    }

    fn syscall(&self) -> (u64, [u64; 6]) {
        let saved = &self.registers;
        (
            saved.rax,
            [
                saved.rdi, saved.rsi, saved.rdx, saved.r10, saved.r8, saved.r9,
            ],
        )
    }

    fn set_result(&mut self, error: u64, values: [u64; 3]) {
        self.registers.rax = error;
        [self.registers.rdx, self.registers.r8, self.registers.r9] = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Context as _;

    #[test]
    fn entry_outside_of_user_half_becomes_a_user_fault() {
        for entry in [USER_END, 1 << 47, 0xffff_7fff_ffff_ffff, u64::MAX] {
            assert_eq!(Context::new(entry, 0, 0).registers.rip, USER_END);
        }
        assert_eq!(Context::new(USER_END - 1, 0, 0).registers.rip, USER_END - 1);
    }

    #[test]
    fn new_context_is_unprivileged_and_empty() {
        let context = Context::new(0x1000, 0x2000, 3);
        assert_eq!(context.syscall(), (0, [3, 0, 0, 0, 0, 0]));
        let registers = context.registers;
        assert_eq!(registers.cs & 3, 3);
        assert_eq!(registers.ss & 3, 3);
        assert_eq!(registers.rflags, 0x202);
        assert_eq!(registers.rsp, 0x2000);
        assert_eq!(registers.vector, FRESH);
    }

    #[test]
    fn arguments_and_results_are_in_the_registers_of_the_abi() {
        let mut context = Context::new(0, 0, 0);
        context.registers.rax = 9;
        context.registers.rdi = 10;
        context.registers.rsi = 11;
        context.registers.rdx = 12;
        context.registers.r10 = 13;
        context.registers.r8 = 14;
        context.registers.r9 = 15;
        assert_eq!(context.syscall(), (9, [10, 11, 12, 13, 14, 15]));
        context.set_result(1, [2, 3, 4]);
        let saved = &context.registers;
        assert_eq!((saved.rax, saved.rdx, saved.r8, saved.r9), (1, 2, 3, 4));
        assert_eq!((saved.rdi, saved.rsi, saved.r10), (10, 11, 13));
    }
}
