//! Picks the processor architecture that the kernel is built for. Everything that knows a register,
//! an instruction or a fixed address of a machine lies below this folder.
//!
//! A port is a folder with these names:
//! - `Machine`: implements [`crate::platform::Platform`];
//! - `boot(u64) -> Result<Booted, BootFailure>`: takes over from the boot loader (the argument is what the
//!   port's entry code received), once;
//! - `emergency`: `write(fmt::Arguments)` and `end(u8) -> !`, usable at any time, also in a panic;
//! - the entry code, which calls `extern "C" fn kernel_main(u64) -> !`;
//! - a linker script in the root of the package, passed by `build.rs`.
//!
//! The parts of a port that are plain arithmetic on tables (page tables, firmware tables) also build
//! on the development host, where their tests run.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(all(target_arch = "x86_64", target_os = "none"))]
pub use x86_64::{BootFailure, Booted, Machine, boot, emergency};
