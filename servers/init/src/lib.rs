//! The root server's library: reads the boot archive, starts each process with exactly what the manifest names,
//! supervises, restarts, and answers the `system` protocol.
//!
//! Effects go through [`kernel::Kernel`], time comes in as an argument, so that all of it runs in host tests against a
//! fake. Holds every capability of the machine: it never waits for a child and never calls one.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod archive;
pub mod backoff;
pub mod command_line;
mod ending;
pub mod endow;
pub mod gate;
pub mod kernel;
pub mod loader;
pub mod machine;
pub mod spawn;
pub mod supervisor;
pub mod system;
#[cfg(test)]
mod testing;
