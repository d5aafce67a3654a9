//! The Causeway microkernel.
//!
//! Objects (processes, threads, memory, endpoints, notifications, devices...) reached only through
//! capabilities, and the scheduler; no driver, no protocol, no policy. The portable part is generic over
//! [`platform::Platform`], so that it also runs (and is tested) inside a host process.
#![cfg_attr(not(test), no_std)]

pub mod boot;
pub mod phys;
pub mod platform;
