//! Registers and instructions of the processor: ports, model specific registers, control registers,
//! features. Each function is one instruction or a short fixed sequence; the only other file with inline
//! assembly is `trap.rs`.

use super::extended::{Offer, State};
use crate::phys::Frame;
use core::arch::asm;
use core::arch::x86_64::{__cpuid, _rdtsc};

/// CR4.TSD: `rdtsc` faults in user mode.
const TIME_STAMP_DISABLE: u64 = 1 << 2;

/// Reads a byte from an I/O port.
///
/// # Safety
/// The port belongs to a device that the caller drives, and reading has no effect that breaks another.
pub(super) unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: `in` touches no memory; the caller answers for the device.
    unsafe {
        asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// Writes a byte to an I/O port.
///
/// # Safety
/// As for [`inb`]; and the device does nothing to memory because of it.
pub(super) unsafe fn outb(port: u16, value: u8) {
    // SAFETY: `out` touches no memory; the caller answers for the device.
    unsafe {
        asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags));
    }
}

/// Writes two bytes to an I/O port.
///
/// # Safety
/// As for [`outb`].
pub(super) unsafe fn outw(port: u16, value: u16) {
    // SAFETY: as in `outb`.
    unsafe {
        asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags));
    }
}

/// Reads four bytes from an I/O port.
///
/// # Safety
/// As for [`inb`].
pub(super) unsafe fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as in `inb`.
    unsafe {
        asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// Writes four bytes to an I/O port.
///
/// # Safety
/// As for [`outb`].
pub(super) unsafe fn outl(port: u16, value: u32) {
    // SAFETY: as in `outb`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags));
    }
}

/// The time stamp counter.
pub(super) fn timestamp() -> u64 {
    // SAFETY: every 64-bit processor has the counter and the kernel may always read it.
    unsafe { _rdtsc() }
}

/// Whether `rdtsc` works in user mode (CR4.TSD); the kernel may always use it.
#[cold]
#[inline(never)]
pub(super) fn let_user_count(allowed: bool) {
    let mut cr4: u64;
    // SAFETY: reading a control register has no effect.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags)) };
    match allowed {
        true => cr4 &= !TIME_STAMP_DISABLE,
        false => cr4 |= TIME_STAMP_DISABLE,
    }
    // SAFETY: no other bit changes, and this one concerns user mode only.
    unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nomem, nostack, preserves_flags)) };
}

/// Address of the last page fault.
pub(super) fn fault_address() -> u64 {
    let value;
    // SAFETY: reading CR2 has no effect.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
}

/// Makes `root` the current address space; forgets all translations that are not global.
///
/// # Safety
/// `root` is a root table whose upper half is the kernel's and whose tables stay intact while it is current.
pub(super) unsafe fn set_root(root: Frame) {
    // SAFETY: the kernel's half is the same before and after, so the code and stack in use stay mapped.
    unsafe { asm!("mov cr3, {}", in(reg) root.address().0, options(nostack, preserves_flags)) };
}

/// Writes all that the caches hold back to memory, for devices that do not look into them.
pub(super) fn write_back_caches() {
    // SAFETY: changes no value that is seen by this processor (SDM vol. 2, WBINVD).
    unsafe { asm!("wbinvd", options(nostack, preserves_flags)) };
}

/// Forgets the translation of one page in the current address space.
pub(super) fn flush_page(address: u64) {
    // SAFETY: forgetting a translation costs time and nothing else.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Empties the data segment registers, which a process can load with the user data selector (or one of the
/// null selectors): neither the next process nor the kernel may see what was left there. Their bases stay zero.
pub(super) fn clear_segments() {
    let used: u64;
    // SAFETY: reading selectors has no effect.
    unsafe {
        asm!(
            "mov {used:e}, ds",
            "mov {other:e}, es",
            "or {used:e}, {other:e}",
            "mov {other:e}, fs",
            "or {used:e}, {other:e}",
            "mov {other:e}, gs",
            "or {used:e}, {other:e}",
            used = out(reg) used,
            other = out(reg) _,
            options(nomem, nostack),
        );
    }
    // Loading them is slow, and hardly any program touches them.
    if used == 0 {
        return;
    }
    // SAFETY: the kernel uses none of DS, ES and FS. GS is loaded between two `swapgs`, so that the
    // kernel's base, hidden meanwhile, survives; interrupts are off and NMIs don't use it.
    unsafe {
        asm!(
            "mov ds, {zero:e}",
            "mov es, {zero:e}",
            "mov fs, {zero:e}",
            "swapgs",
            "mov gs, {zero:e}",
            "swapgs",
            zero = in(reg) 0_u64,
            options(nomem, nostack, preserves_flags),
        );
    }
}

/// Saves the extended state.
///
/// # Safety
/// [`Features::enable`] has switched it on.
pub(super) unsafe fn save_extended(state: &mut State) {
    // SAFETY: writes the components of XCR0 in the standard form, which `State` has the room and the alignment for
    // (`Offer::accept`).
    unsafe {
        asm!("xsave64 [{}]", in(reg) state, in("eax") !0, in("edx") !0, options(nostack, preserves_flags));
    }
}

/// Loads the extended state.
///
/// # Safety
/// [`Features::enable`] has switched it on.
pub(super) unsafe fn load_extended(state: &State) {
    // SAFETY: `state` is the initial one or was filled by `save_extended` since, so that it is one that the instruction takes. The
    // kernel uses none of the registers.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) state, in("eax") !0, in("edx") !0, options(readonly, nostack, preserves_flags));
    }
}

/// Waits, with interrupts on, until one was handled (see `trap.rs`: its handler leaves them off).
pub(super) fn wait_for_interrupt() {
    // SAFETY: `sti` takes effect after the next instruction, so that an interrupt that is already pending ends
    // the `hlt` instead of slipping in before it. The handler saves all registers.
    unsafe { asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Stops for ever.
pub(super) fn halt() -> ! {
    loop {
        // SAFETY: with interrupts off, nothing but a reset follows.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Lets the processor relax in a loop that polls.
pub(super) fn relax() {
    core::hint::spin_loop();
}

/// A model specific register (SDM vol. 4).
#[derive(Clone, Copy)]
#[repr(u32)]
pub(super) enum Msr {
    ApicBase = 0x1b,
    Efer = 0xc000_0080,
    Star = 0xc000_0081,
    Lstar = 0xc000_0082,
    Fmask = 0xc000_0084,
    FsBase = 0xc000_0100,
    GsBase = 0xc000_0101,
    KernelGsBase = 0xc000_0102,
}

/// Reads a model specific register.
pub(super) fn read_msr(register: Msr) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every register of the enumeration exists on every 64-bit processor with an APIC.
    unsafe {
        asm!("rdmsr", in("ecx") register as u32, out("eax") low, out("edx") high,
            options(nomem, nostack, preserves_flags));
    }
    (high as u64) << 32 | low as u64
}

/// Writes a model specific register.
///
/// # Safety
/// The value keeps the kernel's own entry points, segment bases and modes valid.
pub(super) unsafe fn write_msr(register: Msr, value: u64) {
    // SAFETY: the register exists (see `read_msr`); the caller answers for the value.
    unsafe {
        asm!("wrmsr", in("ecx") register as u32, in("eax") value as u32, in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags));
    }
}

/// What this processor can do, as far as the kernel asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Features {
    /// Pages that cannot be executed. Required.
    pub(super) no_execute: bool,
    /// Local APIC. Required.
    pub(super) apic: bool,
    /// 1 GiB pages.
    pub(super) huge_pages: bool,
    /// Global pages.
    pub(super) global_pages: bool,
    /// Components of the extended state for user code; zero: none.
    pub(super) extended: u64,
    machine_check: bool,
    smep: bool,
    smap: bool,
    umip: bool,
}

impl Features {
    /// Asks the processor.
    pub(super) fn detect() -> Features {
        let max = __cpuid(0).eax;
        let max_extended = __cpuid(0x8000_0000).eax;
        let basic = __cpuid(1);
        // Leaves above the maximum answer with the data of another leaf.
        let structured = (max >= 7).then(|| core::arch::x86_64::__cpuid_count(7, 0));
        let extended = (max_extended >= 0x8000_0001).then(|| __cpuid(0x8000_0001));
        let extended_state = |part| match max >= 0xd {
            true => core::arch::x86_64::__cpuid_count(0xd, part),
            false => core::arch::x86_64::CpuidResult {
                eax: 0,
                ebx: 0,
                ecx: 0,
                edx: 0,
            },
        };
        let (components, avx) = (extended_state(0), extended_state(2));
        let offer = Offer {
            basic: basic.ecx,
            components: (components.edx as u64) << 32 | components.eax as u64,
            avx: (avx.eax, avx.ebx),
        };
        let bit = |word: u32, bit: u32| word & 1 << bit != 0;
        Features {
            no_execute: extended.is_some_and(|leaf| bit(leaf.edx, 20)),
            apic: bit(basic.edx, 9),
            huge_pages: extended.is_some_and(|leaf| bit(leaf.edx, 26)),
            global_pages: bit(basic.edx, 13),
            extended: offer.accept(),
            machine_check: bit(basic.edx, 7),
            smep: structured.is_some_and(|leaf| bit(leaf.ebx, 7)),
            smap: structured.is_some_and(|leaf| bit(leaf.ebx, 20)),
            umip: structured.is_some_and(|leaf| bit(leaf.ecx, 2)),
        }
    }

    /// Switches on what protects: no-execute and write protection, SMEP, SMAP, UMIP; makes `rdtsc` fault in user mode (the time is
    /// behind a capability: [`let_user_count`]), and every floating point or vector instruction whose registers the kernel does not switch.
    pub(super) fn enable(self) {
        let efer = read_msr(Msr::Efer);
        // SAFETY: SCE (bit 0) and NXE (bit 11) add `syscall` and the NX bit; the current mode stays.
        unsafe { write_msr(Msr::Efer, efer | 1 | 1 << 11) };

        let mut cr4: u64;
        // SAFETY: reading a control register has no effect.
        unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags)) };
        // Cleared: PCE, OSFXSR, OSXMMEXCPT, FSGSBASE, PCIDE, OSXSAVE, PKE, which give user mode registers
        // that the kernel does not switch. It switches those of the components in XCR0, if any.
        let switched = 1 << 9 | 1 << 10 | 1 << 18;
        cr4 |= TIME_STAMP_DISABLE;
        cr4 &= !(1 << 8 | switched | 1 << 16 | 1 << 17 | 1 << 22);
        if self.extended != 0 {
            cr4 |= switched;
        }
        // Without MCE a machine check resets the machine without a word.
        for (present, bit) in [
            (self.machine_check, 6),
            (self.global_pages, 7),
            (self.umip, 11),
            (self.smep, 20),
            (self.smap, 21),
        ] {
            if present {
                cr4 |= 1 << bit;
            }
        }
        // SAFETY: paging and the mode stay as they are; the kernel touches no user page and no FPU.
        unsafe { asm!("mov cr4, {}", in(reg) cr4, options(nostack, preserves_flags)) };
        if self.extended != 0 {
            // SAFETY: OSXSAVE was just set, and the processor offers these components (`Offer::accept`).
            unsafe {
                asm!("xsetbv", in("ecx") 0, in("eax") self.extended as u32, in("edx") (self.extended >> 32) as u32,
                    options(nomem, nostack, preserves_flags));
            }
        }

        let mut cr0: u64;
        // SAFETY: reading a control register has no effect.
        unsafe { asm!("mov {}, cr0", out(reg) cr0, options(nomem, nostack, preserves_flags)) };
        // MP, NE, WP on; AM, NW, CD off. EM and TS on: no floating point.
        let no_floating_point = 1 << 2 | 1 << 3;
        cr0 |= 1 << 1 | no_floating_point | 1 << 5 | 1 << 16;
        cr0 &= !(1 << 18 | 1 << 29 | 1 << 30);
        if self.extended != 0 {
            cr0 &= !no_floating_point;
        }
        // SAFETY: as for CR4; the kernel's own pages are mapped with the rights that it needs.
        unsafe { asm!("mov cr0, {}", in(reg) cr0, options(nostack, preserves_flags)) };
    }
}
