//! What the kernel and user space agree on: system call numbers, rights, object kinds, error codes
//! and the layout of the few records that cross the boundary in memory. No behaviour.
//!
//! # Calling convention (x86_64)
//!
//! `syscall` with the number in `rax` and up to six arguments in `rdi rsi rdx r10 r8 r9`. On return
//! `rax` is zero or an [`Error`] code, and `rdx r8 r9` hold up to three result values (zero where a
//! call has none). `rcx` and `r11` are destroyed; every other register is kept.
//!
//! Times are nanoseconds since boot. A deadline is absolute: zero (or any past time) polls and
//! [`FOREVER`] never ends. Memory sizes are in pages of [`PAGE_SIZE`] bytes unless a name says otherwise.
#![no_std]
#![forbid(unsafe_code)]

mod error;
mod records;
mod rights;
mod syscall;

pub use error::Error;
pub use records::{
    BarInfo, BudgetUse, CapRecord, DeviceInfo, MachineInfo, Message, ProcessState, ProcessStatus,
    Words,
};
pub use rights::{Kind, Prot, Rights};
pub use syscall::Syscall;

/// Bytes in a page, and in a physical frame.
pub const PAGE_SIZE: usize = 4096;

/// A deadline that never comes.
pub const FOREVER: u64 = u64::MAX;

/// First address past the user half. User addresses below [`USER_START`] are never mapped, so that a
/// null pointer (and what lies near it) faults.
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// Lowest address that can be mapped in a process.
pub const USER_START: u64 = 0x1_0000;

/// Most bytes that an inline message carries.
pub const MESSAGE_BYTES: usize = 232;

/// Most capabilities that a message carries.
pub const MESSAGE_CAPS: usize = 4;

/// Thread priorities are `0..PRIORITIES`, the highest number is served first.
pub const PRIORITIES: u8 = 16;

/// Most capabilities that one process can hold.
pub const CAP_SLOTS: usize = 4096;

/// Names a slot of the caller's capability table: index in the low 16 bits, generation above.
///
/// A slot's generation grows each time that it is emptied, so a stale number is an error
/// ([`Error::BadSlot`]) and never another capability. In a new process every generation is zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct Slot(pub u32);

impl Slot {
    /// Never holds a capability. Where a system call takes an optional capability, this says "none".
    pub const NULL: Slot = Slot(0);

    /// The slot with this index in a table where it was never used before.
    pub const fn fresh(index: u16) -> Slot {
        Slot(index as u32)
    }

    /// Position in the table.
    pub const fn index(self) -> u16 {
        self.0 as u16
    }

    /// How often the position had been emptied when this name was made, modulo 65,536.
    pub const fn generation(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// The name of position `index` in its `generation`.
    pub const fn new(index: u16, generation: u16) -> Slot {
        Slot((generation as u32) << 16 | index as u32)
    }
}

/// Where every new process finds the capability to itself (granted by whoever makes it).
pub const SLOT_SELF: Slot = Slot::fresh(1);
/// Where every new process finds its memory budget.
pub const SLOT_BUDGET: Slot = Slot::fresh(2);

/// The first process (`init`) is started by the kernel with these capabilities, all rights each.
pub mod boot_slots {
    use super::Slot;

    /// Console.
    pub const CONSOLE: Slot = Slot::fresh(3);
    /// Clock.
    pub const CLOCK: Slot = Slot::fresh(4);
    /// Machine: power, counters, command line.
    pub const MACHINE: Slot = Slot::fresh(5);
    /// The boot archive (`-initrd`), a read-only memory object; [`super::Syscall::MemoryInfo`] tells its size.
    pub const ARCHIVE: Slot = Slot::fresh(6);
    /// PCI functions, one a slot, from here up to the first empty slot.
    pub const FIRST_DEVICE: Slot = Slot::fresh(8);
}

/// Top of the stack that the kernel gives the first process (the page below the stack is a guard). It is so little above a
/// multiple of 2 MiB that one page table serves the upper part of the stack, and what our programs have behind it.
pub const BOOT_STACK_TOP: u64 = 0x3001_0000;
