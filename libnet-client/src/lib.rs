//! Sockets for client programs: blocking and async, over a session with the network stack.
#![no_std]
#![forbid(unsafe_code)]

pub mod system;

pub use system::{OpenError, Opened, System, Wake};
