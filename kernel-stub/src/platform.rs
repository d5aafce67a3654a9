//! The line between the portable kernel and a machine.
//!
//! The kernel is an event loop: it picks a thread, calls [`Platform::run_user`], and gets control back
//! with the reason. It never blocks and is never interrupted, so one stack a processor is enough and
//! all of its state is reached through one `&mut`. (With more processors that `&mut` is the
//! guard of the one kernel lock, and each processor has a `Platform` of its own.)

use crate::phys::{Frame, PhysAddr, PhysMemory};
use kernel_abi::Prot;

/// Why user code stopped running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// A system call; number and arguments are in the context.
    Syscall,
    /// The timer set by [`Platform::set_timer`] went off (or may have: the kernel looks at the clock).
    Timer,
    /// A device interrupt on this vector; end-of-interrupt has been sent.
    Interrupt(u8),
    /// The console has input.
    Console,
    /// The processor refused an instruction of the user (fields as in [`kernel_abi::ProcessState::Faulted`]).
    Fault {
        /// Exception vector.
        vector: u8,
        /// Error code or zero.
        error: u64,
        /// Faulting address or zero.
        address: u64,
        /// Instruction pointer.
        instruction: u64,
    },
}

/// The registers of a thread while it does not run.
pub trait Context: Sized {
    /// A thread about to execute `entry` with this stack pointer and first argument, in user mode,
    /// interrupts on, every other register zero.
    fn new(entry: u64, stack: u64, argument: u64) -> Self;
    /// Number and arguments `a0..a5` of the system call that was made.
    fn syscall(&self) -> (u64, [u64; 6]);
    /// What the system call returns: error code (0: none) and `v0..v2`.
    fn set_result(&mut self, error: u64, values: [u64; 3]);
}

/// Why pages could not be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError {
    /// `allocate` gave no frame for a page table.
    NoFrame,
    /// Something is mapped there.
    Busy,
}

/// A machine, as far as the kernel needs one. `arch/x86_64` has the real one, the tests a simulated one.
pub trait Platform {
    /// Saved registers.
    type Context: Context;

    /// Most frames that a call of [`Platform::map`] asks `allocate` for.
    const MAX_TABLES_PER_MAP: usize;

    /// Nanoseconds since boot, never going back.
    fn now(&self) -> u64;
    /// Interrupt at this time (at once if it is past); `None` turns the timer off.
    fn set_timer(&mut self, deadline: Option<u64>);
    /// Continues user code in the address space `root` until something happens.
    fn run_user(&mut self, root: Frame, context: &mut Self::Context) -> Trap;
    /// Nothing to run: waits with interrupts on until something happens.
    fn idle(&mut self) -> Trap;

    /// Makes an empty address space in the zeroed frame `root` (which shares the kernel's half).
    fn init_root(&mut self, memory: &mut PhysMemory, root: Frame);
    /// Maps one page; `device` memory is mapped uncached. `allocate` returns zeroed frames for page tables.
    #[expect(
        clippy::too_many_arguments,
        reason = "a structure would only be taken apart again at once"
    )]
    fn map(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        address: u64,
        frame: Frame,
        prot: Prot,
        device: bool,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError>;
    /// Unmaps one page and forgets its translation; returns what was mapped.
    fn unmap(&mut self, memory: &mut PhysMemory, root: Frame, address: u64) -> Option<Frame>;
    /// Where a *user* page's byte lies and how it is mapped; `None` if it is not mapped for the user, and for device
    /// memory: a system call must never be made to touch device registers.
    fn translate(&self, memory: &PhysMemory, root: Frame, address: u64)
    -> Option<(PhysAddr, Prot)>;
    /// Hands each page-table frame of the user half to `free`. `root` itself is not freed, and must not be the
    /// current address space afterwards (the platform switches away if it is).
    fn free_tables(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        free: &mut dyn FnMut(&mut PhysMemory, Frame),
    );

    /// Writes bytes to the console.
    fn console_write(&mut self, bytes: &[u8]);
    /// One byte of console input, if there is one.
    fn console_read(&mut self) -> Option<u8>;

    /// Reads an aligned 32-bit word of PCI configuration space. `address` = bus << 8 | device << 3 | function.
    fn config_read(&self, address: u16, offset: u16) -> u32;
    /// Writes an aligned 32-bit word of PCI configuration space.
    fn config_write(&mut self, address: u16, offset: u16, value: u32);
    /// Reads a device register (32 bits) at a physical address: the MSI-X table.
    fn mmio_read(&mut self, address: PhysAddr) -> u32;
    /// Writes a device register (32 bits) at a physical address: the MSI-X table.
    fn mmio_write(&mut self, address: PhysAddr, value: u32);
    /// The message (address, data) that raises `vector` on this processor.
    fn msi_message(&self, vector: u8) -> (u64, u32);
    /// Vectors that devices may use.
    fn device_vectors(&self) -> core::ops::Range<u8>;

    /// Ends the machine with this status.
    fn power_off(&mut self, status: u8) -> !;
}
