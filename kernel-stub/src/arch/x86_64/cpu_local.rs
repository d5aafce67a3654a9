//! Everything that exists once a processor: the task state segment, descriptor tables, scratch words of
//! `trap.s`. GS points here while the kernel runs. One processor is used so far; a second gets a second
//! `CpuLocal`.

use super::context::{USER_CODE, USER_DATA};
use super::cpu::{self, Msr};
use super::trap;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Selector of the kernel's code segment.
const KERNEL_CODE: u16 = 0x08;
/// Selector of the kernel's stack segment; `syscall` loads the one after `KERNEL_CODE`.
const KERNEL_DATA: u16 = 0x10;
/// What `syscall` clears in the flags: TF, IF, DF, IOPL, NT, AC. (The kernel relies on IF, DF and AC being clear;
/// `iretq` faults with NT set.)
const SYSCALL_FLAG_MASK: u64 = 0x4_7700;
/// Stacks for exceptions that must not rely on any other stack: NMI, double fault, machine check.
const IST_STACKS: [u8; 3] = [2, 8, 18];
const IST_STACK_BYTES: usize = 8192;
const TSS_SELECTOR: u16 = 0x28;
const TSS_BYTES: u16 = 104;

/// State of one processor. The task state segment (SDM vol. 3, 8.7) starts at offset 4, which makes its 64-bit
/// fields aligned.
#[repr(C, align(64))]
pub(super) struct CpuLocal {
    padding: u32,
    tss_reserved0: u32,
    /// Stack for traps from user mode: the end of the running thread's context.
    pub(super) rsp0: AtomicU64,
    rsp1_rsp2_reserved: [u64; 3],
    ist: [AtomicU64; 7],
    tss_reserved1: u64,
    tss_reserved2: u16,
    /// At the limit of the segment: no I/O permission bitmap, so user mode reaches no port.
    io_map: u16,
    padding2: u32,
    /// Where `syscall_entry` keeps the user's stack pointer for some instructions.
    pub(super) user_stack: AtomicU64,
    /// The kernel's stack pointer while user code runs.
    pub(super) kernel_stack: AtomicU64,
    idle_vector: AtomicU8,
    gdt: UnsafeCell<[u64; 7]>,
    idt: UnsafeCell<[[u64; 2]; 256]>,
    stacks: UnsafeCell<[[u8; IST_STACK_BYTES]; IST_STACKS.len()]>,
}

const TSS_OFFSET: usize = 4;
const _: () = assert!(offset_of!(CpuLocal, rsp0) == TSS_OFFSET + 4);
const _: () = assert!(offset_of!(CpuLocal, ist) == TSS_OFFSET + 36);
const _: () = assert!(offset_of!(CpuLocal, io_map) == TSS_OFFSET + 102);
const _: () = assert!(offset_of!(CpuLocal, stacks).is_multiple_of(16));

// SAFETY: the atomics are shared by design. The cells are written by `load`, on the one processor that
// the value belongs to, and from then on by the processor itself only.
unsafe impl Sync for CpuLocal {}

static BOOT_CPU: CpuLocal = CpuLocal {
    padding: 0,
    tss_reserved0: 0,
    rsp0: AtomicU64::new(0),
    rsp1_rsp2_reserved: [0; 3],
    ist: [const { AtomicU64::new(0) }; 7],
    tss_reserved1: 0,
    tss_reserved2: 0,
    io_map: TSS_BYTES,
    padding2: 0,
    user_stack: AtomicU64::new(0),
    kernel_stack: AtomicU64::new(0),
    idle_vector: AtomicU8::new(0),
    gdt: UnsafeCell::new([0; 7]),
    idt: UnsafeCell::new([[0; 2]; 256]),
    stacks: UnsafeCell::new([[0; IST_STACK_BYTES]; IST_STACKS.len()]),
};

impl CpuLocal {
    /// Of the processor that runs this.
    pub(super) fn current() -> &'static CpuLocal {
        &BOOT_CPU
    }

    /// Sets where the processor pushes when user code traps.
    pub(super) fn set_trap_stack(&self, end: u64) {
        self.rsp0.store(end, Ordering::Relaxed);
    }

    /// Notes the interrupt that ended `hlt`.
    pub(super) fn set_idle_vector(&self, vector: u8) {
        self.idle_vector.store(vector, Ordering::Relaxed);
    }

    /// The interrupt that ended `hlt`; zero if there was none.
    pub(super) fn take_idle_vector(&self) -> u8 {
        let vector = self.idle_vector.load(Ordering::Relaxed);
        self.idle_vector.store(0, Ordering::Relaxed);
        vector
    }

    /// Fills the tables and makes the processor use them: segments, task register, interrupt gates, `syscall`, GS.
    ///
    /// # Safety
    /// Called once for each value, on the processor that it is for, with interrupts off.
    pub(super) unsafe fn load(&'static self) {
        let tss = core::ptr::from_ref(self).addr() as u64 + TSS_OFFSET as u64;
        let gdt = [
            0,
            0x00af_9b00_0000_ffff, // kernel code: 64-bit, level 0
            0x00cf_9300_0000_ffff, // kernel data
            0x00cf_f300_0000_ffff, // user data: level 3
            0x00af_fb00_0000_ffff, // user code: 64-bit, level 3
            (TSS_BYTES as u64 - 1)
                | (tss & 0xff_ffff) << 16
                | 0x89 << 40
                | (tss >> 24 & 0xff) << 56,
            tss >> 32,
        ];
        // SAFETY: by this function's contract nobody else looks at the table now.
        unsafe { self.gdt.get().write(gdt) };
        // SAFETY: as above.
        unsafe { self.idt.get().write(self.gates()) };

        let stacks = self.stacks.get().addr() as u64;
        for (index, slot) in self.ist.iter().take(IST_STACKS.len()).enumerate() {
            let end = stacks + (index as u64 + 1) * IST_STACK_BYTES as u64;
            slot.store(end, Ordering::Relaxed);
        }
        self.load_tables();
        self.load_syscall();
    }

    /// Interrupt gates, all for level 0: `int n` in user mode is a general protection fault.
    fn gates(&self) -> [[u64; 2]; 256] {
        core::array::from_fn(|vector| {
            let vector = vector as u8;
            let handler = trap::stub(vector);
            let ist = IST_STACKS
                .iter()
                .position(|&with_stack| with_stack == vector)
                .map_or(0, |index| index as u64 + 1);
            let low = handler & 0xffff
                | (KERNEL_CODE as u64) << 16
                | ist << 32
                | 0x8e << 40
                | (handler >> 16 & 0xffff) << 48;
            [low, handler >> 32]
        })
    }

    fn load_tables(&self) {
        #[repr(C, packed)]
        struct Pointer {
            limit: u16,
            base: u64,
        }
        let gdt = Pointer {
            limit: size_of_val(&self.gdt) as u16 - 1,
            base: self.gdt.get().addr() as u64,
        };
        let idt = Pointer {
            limit: size_of_val(&self.idt) as u16 - 1,
            base: self.idt.get().addr() as u64,
        };
        // SAFETY: the table is complete, lives for ever and holds the same code segment as the boot table.
        unsafe { asm!("lgdt [{}]", in(reg) &gdt, options(readonly, nostack, preserves_flags)) };
        // SAFETY: the gates lead to `trap.s`, which serves every vector.
        unsafe { asm!("lidt [{}]", in(reg) &idt, options(readonly, nostack, preserves_flags)) };
        // SAFETY: the selectors name entries of the table just loaded. No LDT: selectors into it fault.
        unsafe {
            asm!(
                "push {code}",
                "lea {scratch}, [rip + 2f]",
                "push {scratch}",
                "retfq",
                "2:",
                "mov ss, {data:x}",
                "ltr {task:x}",
                "lldt {zero:x}",
                "mov ds, {zero:x}",
                "mov es, {zero:x}",
                "mov fs, {zero:x}",
                "mov gs, {zero:x}",
                code = const KERNEL_CODE,
                data = in(reg) KERNEL_DATA as u32,
                task = in(reg) TSS_SELECTOR as u32,
                zero = in(reg) 0_u32,
                scratch = out(reg) _,
                options(preserves_flags),
            );
        }
    }

    fn load_syscall(&self) {
        // `sysret` loads CS from bits 48.. plus 16 and SS from it plus 8; `syscall` CS from bits 32.. and SS from it plus 8.
        const _: () =
            assert!(KERNEL_DATA + 8 == USER_DATA & !3 && KERNEL_DATA + 16 == USER_CODE & !3);
        const _: () = assert!(KERNEL_CODE + 8 == KERNEL_DATA);
        let selectors = (KERNEL_DATA as u64) << 48 | (KERNEL_CODE as u64) << 32;
        let here = core::ptr::from_ref(self).addr() as u64;
        for (register, value) in [
            (Msr::Star, selectors),
            (Msr::Lstar, trap::syscall_entry()),
            (Msr::Fmask, SYSCALL_FLAG_MASK),
            (Msr::FsBase, 0),
            (Msr::GsBase, here),
            // What `swapgs` puts into GS on the way out: the users' base is always zero.
            (Msr::KernelGsBase, 0),
        ] {
            // SAFETY: the entry code and this value stay where they are, and the selectors are those of the GDT.
            unsafe { cpu::write_msr(register, value) };
        }
    }
}
