//! Interrupt controllers: the processor's local APIC with its timer (SDM vol. 3, chapter 11), the I/O APIC for the
//! console, and the old 8259 pair, which is silenced. Owns their registers.

use super::cpu::{self, Msr, outb};
use super::window::{Registers, Window};
use core::ops::Range;

/// Vectors for MSI-X.
pub(super) const DEVICE_VECTORS: Range<u8> = 0x40..0xe0;
/// Vector of console input.
pub(super) const CONSOLE_VECTOR: u8 = 0x30;
/// Vector of a device that was kept from accessing memory.
pub(super) const DMA_FAULT_VECTOR: u8 = 0xe4;
/// Vector of the timer.
pub(super) const TIMER_VECTOR: u8 = 0xe8;
/// Vector that the local APIC delivers when an interrupt vanished; it wants no end-of-interrupt.
pub(super) const SPURIOUS_VECTOR: u8 = 0xff;

const ID: u16 = 0x20;
const TASK_PRIORITY: u16 = 0x80;
const END_OF_INTERRUPT: u16 = 0xb0;
const SPURIOUS: u16 = 0xf0;
const COMMAND: u16 = 0x300;
const LVT_TIMER: u16 = 0x320;
const LVT_LINT0: u16 = 0x350;
const LVT_LINT1: u16 = 0x360;
const LVT_ERROR: u16 = 0x370;
const TIMER_INITIAL: u16 = 0x380;
const TIMER_CURRENT: u16 = 0x390;
const TIMER_DIVIDE: u16 = 0x3e0;

const MASKED: u32 = 1 << 16;
const ASSERT: u32 = 1 << 14;
/// The timer counts every 16th cycle: some 60 s at most with a cycle of 1 ns.
const DIVIDE_BY_16: u32 = 3;

/// The local APIC of this processor.
pub(super) struct LocalApic {
    registers: Registers,
}

impl LocalApic {
    /// Switches the controller on, timer stopped; `None` if its registers cannot be reached (x2APIC mode).
    pub(super) fn initialise(window: &Window) -> Option<LocalApic> {
        let base = cpu::read_msr(Msr::ApicBase);
        if base & 1 << 10 != 0 {
            return None;
        }
        // SAFETY: sets the global enable bit and leaves the address where it is.
        unsafe { cpu::write_msr(Msr::ApicBase, base | 1 << 11) };
        let registers = window.pin(base & 0x000f_ffff_ffff_f000)?;
        let mut apic = LocalApic { registers };
        for (register, value) in [
            (LVT_TIMER, MASKED),
            (LVT_LINT0, MASKED),
            (LVT_LINT1, MASKED),
            (LVT_ERROR, MASKED),
            (TASK_PRIORITY, 0),
            (TIMER_DIVIDE, DIVIDE_BY_16),
            (SPURIOUS, 1 << 8 | SPURIOUS_VECTOR as u32),
            (TIMER_INITIAL, 0),
            (LVT_TIMER, TIMER_VECTOR as u32), // one shot
        ] {
            apic.registers.write(register, value);
        }
        Some(apic)
    }

    /// Number of this processor, for messages to it.
    pub(super) fn id(&self) -> u8 {
        (self.registers.read(ID) >> 24) as u8
    }

    /// The interrupt that was delivered last is served.
    pub(super) fn end_of_interrupt(&mut self) {
        self.registers.write(END_OF_INTERRUPT, 0);
    }

    /// Makes this interrupt pending on this processor.
    pub(super) fn interrupt_self(&mut self, vector: u8) {
        const TO_SELF: u32 = 1 << 18;
        self.registers
            .write(COMMAND, TO_SELF | ASSERT | vector as u32);
    }

    /// Starts the timer: one interrupt after `ticks`; zero stops it.
    pub(super) fn start_timer(&mut self, ticks: u32) {
        self.registers.write(TIMER_INITIAL, ticks);
    }

    /// Ticks left.
    pub(super) fn timer_left(&self) -> u32 {
        self.registers.read(TIMER_CURRENT)
    }
}

/// Masks everything at the 8259 pair, with vectors that no exception has, should one still slip through.
pub(super) fn silence_8259() {
    for (port, value) in [
        (0x20, 0x11),
        (0xa0, 0x11),
        (0x21, 0x20),
        (0xa1, 0x28),
        (0x21, 4),
        (0xa1, 2),
        (0x21, 1),
        (0xa1, 1),
        (0x21, 0xff),
        (0xa1, 0xff),
    ] {
        // SAFETY: the ports of the 8259 pair, which only this function uses.
        unsafe { outb(port, value) };
    }
}

/// Masks all inputs of the I/O APIC at `address`, except that `input` (edge triggered, active high as every ISA
/// interrupt) raises the console's vector on the processor `destination`.
pub(super) fn route_console(window: &Window, address: u64, input: u8, destination: u8) {
    const VERSION: u32 = 1;
    const FIRST_ENTRY: u32 = 0x10;
    let Some(mut registers) = window.pin(address) else {
        return;
    };
    let mut select = |index: u32, value: Option<u32>| {
        registers.write(0, index);
        match value {
            Some(value) => {
                registers.write(0x10, value);
                0
            }
            None => registers.read(0x10),
        }
    };
    let last = select(VERSION, None) >> 16 & 0xff;
    for entry in 0..=last {
        select(FIRST_ENTRY + 2 * entry, Some(MASKED));
    }
    let entry = FIRST_ENTRY + 2 * input as u32;
    select(entry + 1, Some((destination as u32) << 24));
    select(entry, Some(CONSOLE_VECTOR as u32));
}
