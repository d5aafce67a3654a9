//! How a process ended, in words for the log.

use core::fmt;
use rt::{BOOT_STACK_TOP, EXIT_PANIC, PAGE_SIZE, ProcessState};

/// Faults that far below a stack are taken for its overflow, in bytes: larger frames are rare.
const OVERFLOW: u64 = 1 << 20;

/// How a process with a stack of this many pages ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    state: ProcessState,
    stack: u32,
}

impl Ending {
    /// The end `state` of a process whose stack has `stack` pages.
    pub(crate) const fn new(state: ProcessState, stack: u32) -> Ending {
        Ending { state, stack }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.state {
            ProcessState::Running => f.write_str("runs"),
            ProcessState::Exited(EXIT_PANIC) => f.write_str("panicked"),
            ProcessState::Exited(code) => write!(f, "exited with code {code}"),
            ProcessState::Killed(code) => write!(f, "was killed (code {code})"),
            ProcessState::Faulted {
                vector,
                address,
                instruction,
                ..
            } => {
                let bytes = u64::from(self.stack) * PAGE_SIZE as u64;
                let bottom = BOOT_STACK_TOP.saturating_sub(bytes);
                // SDM vol. 3, table 6-1.
                match vector {
                    0 => f.write_str("divided by zero")?,
                    6 => f.write_str("executed an invalid instruction")?,
                    13 => f.write_str("broke a protection rule")?,
                    14 if (bottom.saturating_sub(OVERFLOW)..bottom).contains(&address) => {
                        write!(f, "overflowed its stack of {} KiB", bytes >> 10)?;
                    }
                    14 => write!(f, "accessed bad address {address:#x}")?,
                    other => write!(f, "faulted with exception {other}")?,
                }
                write!(f, " (instruction at {instruction:#x})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(vector: u8, address: u64) -> String {
        let state = ProcessState::Faulted {
            vector,
            error: 6,
            address,
            instruction: 0x20_0000,
        };
        Ending::new(state, 16).to_string()
    }

    #[test]
    fn faults_are_told_in_words() {
        let below = BOOT_STACK_TOP - 16 * PAGE_SIZE as u64 - 8;
        assert_eq!(
            fault(14, below),
            "overflowed its stack of 64 KiB (instruction at 0x200000)"
        );
        assert_eq!(
            fault(14, 8),
            "accessed bad address 0x8 (instruction at 0x200000)"
        );
        assert!(fault(14, BOOT_STACK_TOP).starts_with("accessed bad address"));
        assert!(fault(13, below).starts_with("broke a protection rule"));
        assert!(fault(7, 0).starts_with("faulted with exception 7"));
    }

    #[test]
    fn other_ends_are_told_in_words() {
        let told = |state| Ending::new(state, 16).to_string();
        assert_eq!(told(ProcessState::Exited(101)), "panicked");
        assert_eq!(told(ProcessState::Exited(3)), "exited with code 3");
        assert_eq!(told(ProcessState::Killed(1)), "was killed (code 1)");
    }
}
