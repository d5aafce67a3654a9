//! The Causeway microkernel.
//!
//! Objects (processes, threads, memory, endpoints, notifications, devices...) reached only through
//! capabilities, and the scheduler; no driver, no protocol, no policy. The portable part is generic over
//! [`platform::Platform`], so that it also runs (and is tested) inside a host process.
#![cfg_attr(not(any(test, feature = "testing")), no_std)]

mod allowance;
pub mod arch;
pub mod boot;
mod cap;
mod console;
mod deadline;
mod device;
mod init;
mod ipc;
pub mod kernel;
mod list;
mod log;
mod memory;
mod notify;
mod object;
pub mod phys;
pub mod platform;
mod process;
mod sched;
mod store;
mod syscall;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod user;
mod vectors;
mod waiting;
