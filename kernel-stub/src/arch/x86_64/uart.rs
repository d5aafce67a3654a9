//! The serial port COM1 (16550). Owns its eight I/O ports and nothing else.

use super::cpu::{inb, outb};

const BASE: u16 = 0x3f8;
const DATA: u16 = BASE;
const INTERRUPT_ENABLE: u16 = BASE + 1;
const FIFO_CONTROL: u16 = BASE + 2;
const LINE_CONTROL: u16 = BASE + 3;
const MODEM_CONTROL: u16 = BASE + 4;
const LINE_STATUS: u16 = BASE + 5;

const DATA_READY: u8 = 1 << 0;
const TRANSMIT_EMPTY: u8 = 1 << 5;
/// Bytes that the transmit FIFO takes once it is empty.
const FIFO: usize = 16;
/// Looks at the status before output is given up (some 20 ms; 16 bytes take 1.4 ms at 115,200 baud).
const PATIENCE: u32 = 20_000;

/// The port. Several handles may exist (a panic makes one of its own): each operation is one access.
pub(super) struct Uart {
    /// A byte that had arrived before the port was set up, which clears its FIFO.
    early: Option<u8>,
    /// The receiver did not take the last bytes: it is not waited for again before it takes some.
    stuck: bool,
}

impl Uart {
    /// A handle on the port in whatever state it is.
    pub(super) const fn existing() -> Uart {
        Uart {
            early: None,
            stuck: false,
        }
    }

    /// Sets the port up: 115,200 baud, 8N1, FIFOs on, no interrupts.
    pub(super) fn initialise() -> Uart {
        let early = Uart::existing().receive();
        for (port, value) in [
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 0x80), // divisor latch
            (DATA, 1),
            (INTERRUPT_ENABLE, 0),
            (LINE_CONTROL, 3),
            (FIFO_CONTROL, 7), // enable, clear both, interrupt at the first byte
            (MODEM_CONTROL, 0x0b), // DTR, RTS, OUT2 (which lets interrupts through)
        ] {
            write(port, value);
        }
        Uart {
            early,
            stuck: false,
        }
    }

    /// Interrupts whenever input arrives, and now if some has. (The line is edge triggered, so this comes after
    /// the interrupt controller is ready.) Returns whether there is input that no interrupt will tell of.
    pub(super) fn listen(&mut self) -> bool {
        write(INTERRUPT_ENABLE, 1);
        self.early.is_some()
    }

    /// Sends bytes. What a stuck receiver does not take within some milliseconds is dropped, and so is at once
    /// whatever follows until it takes some again: the kernel does nothing else while it waits here.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        for burst in bytes.chunks(FIFO) {
            let patience = if self.stuck { 1 } else { PATIENCE };
            let is_empty = || {
                let is_empty = read(LINE_STATUS) & TRANSMIT_EMPTY != 0;
                if !is_empty {
                    super::cpu::relax();
                }
                is_empty
            };
            self.stuck = !(0..patience).any(|_| is_empty());
            if self.stuck {
                return;
            }
            for &byte in burst {
                write(DATA, byte);
            }
        }
    }

    /// Takes a received byte, if there is one.
    pub(super) fn receive(&mut self) -> Option<u8> {
        self.early
            .take()
            .or_else(|| (read(LINE_STATUS) & DATA_READY != 0).then(|| read(DATA)))
    }
}

fn read(port: u16) -> u8 {
    // SAFETY: callers pass ports of the UART, which this module owns.
    unsafe { inb(port) }
}

fn write(port: u16, value: u8) {
    // SAFETY: callers pass ports of the UART, which this module owns; it does no DMA.
    unsafe { outb(port, value) }
}
