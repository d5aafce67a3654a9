//! The root server. Wires the library to the kernel: reads the boot archive, then serves for ever.
//!
//! Holds every capability of the machine; waits on one notification and nothing else.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![forbid(unsafe_code)]

#[cfg(target_os = "none")]
mod program;

#[cfg(target_os = "none")]
rt::entry!(program::main);

#[cfg(not(target_os = "none"))]
fn main() {
    println!("This program runs in the Causeway image only; see run-qemu.sh.");
}
