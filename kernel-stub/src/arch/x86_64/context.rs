//! The registers of a user thread, in the order in which `trap.s` and the processor push them. Plain data.

use crate::platform;
use kernel_abi::USER_END;

/// Selector of the users' data segment, privilege level 3.
pub(super) const USER_DATA: u16 = 0x1b;
/// Selector of the users' code segment; `sysret` loads the one after `USER_DATA`.
pub(super) const USER_CODE: u16 = 0x23;

/// Stands in `vector` of a context that `syscall` saved; interrupts have 0..=255.
pub(super) const SYSCALL: u64 = 256;

/// Interrupt enable. User mode runs with it set and (at I/O privilege level 0) cannot clear it.
pub(super) const INTERRUPT_FLAG: u64 = 1 << 9;
/// Bit 1 of the flags is always one.
const FIXED_FLAGS: u64 = 1 << 1;

/// A thread's registers. Its end is where the processor pushes to when user code is interrupted, which
/// it aligns to 16 bytes: hence the alignment, and a size that keeps it.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
#[cfg_attr(
    test,
    expect(unreachable_pub, reason = "a port shows it as a type of `Platform`")
)]
pub struct Context {
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
    /// Why the context was saved: a vector, or [`SYSCALL`]. Also decides how it is resumed.
    pub(super) vector: u64,
    pub(super) error: u64,
    pub(super) rip: u64,
    pub(super) cs: u64,
    pub(super) rflags: u64,
    pub(super) rsp: u64,
    pub(super) ss: u64,
}

const _: () = assert!(size_of::<Context>() == 22 * 8 && size_of::<Context>().is_multiple_of(16));

impl platform::Context for Context {
    fn new(entry: u64, stack: u64, argument: u64) -> Self {
        Context {
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
            // Anything but SYSCALL: the first entry is by `iretq`, which loads every field.
            vector: 0,
            error: 0,
            // `iretq` to an address that is not canonical would fault in the kernel (SDM vol. 2, IRET). USER_END
            // is canonical and never mapped, so that the thread faults there itself.
            rip: entry.min(USER_END),
            cs: USER_CODE as u64,
            rflags: INTERRUPT_FLAG | FIXED_FLAGS,
            rsp: stack,
            ss: USER_DATA as u64,
        }
    }

    fn syscall(&self) -> (u64, [u64; 6]) {
        (
            self.rax,
            [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9],
        )
    }

    fn set_result(&mut self, error: u64, values: [u64; 3]) {
        self.rax = error;
        [self.rdx, self.r8, self.r9] = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Context as _;

    #[test]
    fn entry_outside_of_user_half_becomes_a_user_fault() {
        for entry in [USER_END, 1 << 47, 0xffff_7fff_ffff_ffff, u64::MAX] {
            assert_eq!(Context::new(entry, 0, 0).rip, USER_END);
        }
        assert_eq!(Context::new(USER_END - 1, 0, 0).rip, USER_END - 1);
    }

    #[test]
    fn new_context_is_unprivileged_and_empty() {
        let context = Context::new(0x1000, 0x2000, 3);
        assert_eq!(context.cs & 3, 3);
        assert_eq!(context.ss & 3, 3);
        assert_eq!(context.rflags, 0x202);
        assert_eq!(context.syscall(), (0, [3, 0, 0, 0, 0, 0]));
        assert_eq!(context.rsp, 0x2000);
        assert_ne!(context.vector, SYSCALL);
    }

    #[test]
    fn arguments_and_results_are_in_the_registers_of_the_abi() {
        let mut context = Context::new(0, 0, 0);
        context.rax = 9;
        context.rdi = 10;
        context.rsi = 11;
        context.rdx = 12;
        context.r10 = 13;
        context.r8 = 14;
        context.r9 = 15;
        assert_eq!(context.syscall(), (9, [10, 11, 12, 13, 14, 15]));
        context.set_result(1, [2, 3, 4]);
        assert_eq!(
            (context.rax, context.rdx, context.r8, context.r9),
            (1, 2, 3, 4)
        );
        assert_eq!((context.rdi, context.rsi, context.r10), (10, 11, 13));
    }
}
