//! The last words of the kernel, and the ways to end the machine. Usable in any state: needs no
//! memory, no interrupt and no lock.

use super::cpu::{halt, outb, outw};
use super::uart::Uart;
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU16, Ordering};

/// Port of QEMU's `isa-debug-exit` device.
const DEBUG_EXIT: u16 = 0xf4;
/// ACPI: sleep type 0 (which is S5 on QEMU's machines), sleep enable.
const SLEEP_S5: u16 = 1 << 13;

/// Port of the PM1a control register; q35's until the firmware's tables were read.
static PM1A_CONTROL: AtomicU16 = AtomicU16::new(0x604);

/// Sets the power management port that the firmware names.
pub(super) fn set_power_port(port: u16) {
    PM1A_CONTROL.store(port, Ordering::Relaxed);
}

/// Writes to the console, whoever uses it at the moment.
pub fn write(text: fmt::Arguments<'_>) {
    struct Console(Uart);
    impl Write for Console {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.send(text.as_bytes());
            Ok(())
        }
    }
    // The console takes everything, so only a `Display` of ours could fail; there is nobody to tell.
    let _ = Console(Uart::existing()).write_fmt(text);
}

/// Ends the machine. With QEMU's debug exit device its exit status is `((0x10 + status) << 1) | 1`;
/// without it the machine is switched off by ACPI (and QEMU's exit status is 0).
pub fn end(status: u8) -> ! {
    // SAFETY: QEMU ends here if the device is there; without it nobody listens on the port.
    unsafe { outb(DEBUG_EXIT, 0x10_u8.saturating_add(status)) };
    // SAFETY: the register that switches the machine off; its effect is what is wanted.
    unsafe { outw(PM1A_CONTROL.load(Ordering::Relaxed), SLEEP_S5) };
    halt()
}
