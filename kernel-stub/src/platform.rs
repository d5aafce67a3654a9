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
    /// A device was kept from accessing memory: see [`Platform::dma_fault`].
    DmaFault,
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

/// An access to memory by a device that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DmaFault {
    /// Bus, device, function as in configuration addresses.
    pub device: u16,
    /// Page that it wanted.
    pub address: u64,
    /// It wanted to write there.
    pub write: bool,
}

/// A machine, as far as the kernel needs one. `arch/x86_64` has the real one, the tests a simulated one.
pub trait Platform {
    /// Saved registers.
    type Context: Context;

    /// Most frames that a call of [`Platform::map`] asks `allocate` for.
    const MAX_TABLES_PER_MAP: usize;

    /// Nanoseconds since boot, never going back.
    fn now(&self) -> u64;
    /// The counter that [`Platform::now`] comes from: its value at boot, and nanoseconds a tick with 32 bits after the point.
    fn counter(&self) -> (u64, u64);
    /// Whether user code may read the counter from now on; at first it may not.
    fn let_user_count(&mut self, allowed: bool);
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

    /// Most frames that a call of [`Platform::dma_map`] or [`Platform::dma_add`] asks `allocate` for.
    const MAX_DMA_TABLES: usize;

    /// Whether something stands between devices and memory that lets through what was mapped, and nothing else. If not,
    /// none of the methods below is called.
    fn isolates_dma(&self) -> bool;
    /// Prepares isolation for a device. `allocate` returns zeroed frames for tables, which are never freed.
    fn dma_add(
        &mut self,
        memory: &mut PhysMemory,
        device: u16,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError>;
    /// Switches isolation on, once all devices were added: from here on none reaches anything. `false` if that failed.
    fn dma_begin(&mut self) -> bool;
    /// Adds one frame to what the tables below `root` (a frame that was zeroed) let through, at its physical address: reads, and
    /// writes if it `writes`.
    fn dma_map(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        frame: Frame,
        writes: bool,
        allocate: &mut dyn FnMut(&mut PhysMemory) -> Option<Frame>,
    ) -> Result<(), MapError>;
    /// Takes one frame away again. It is out of reach after the next [`Platform::dma_attach`].
    fn dma_unmap(&mut self, memory: &mut PhysMemory, root: Frame, frame: Frame);
    /// Lets a device reach what the tables below `root` let through (`None`: nothing), as they are now, under a number that
    /// no other device has. `false` if it may still reach what it did before.
    fn dma_attach(
        &mut self,
        memory: &mut PhysMemory,
        device: u16,
        number: u16,
        root: Option<Frame>,
    ) -> bool;
    /// Hands each table below `root`, which no device is attached to, to `free`. `root` itself is not freed.
    fn free_dma_tables(
        &mut self,
        memory: &mut PhysMemory,
        root: Frame,
        free: &mut dyn FnMut(&mut PhysMemory, Frame),
    );
    /// The next access that was refused.
    fn dma_fault(&mut self) -> Option<DmaFault>;

    /// Ends the machine with this status.
    fn power_off(&mut self, status: u8) -> !;
}
