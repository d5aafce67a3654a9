//! Rings, channels and messages between processes that do not trust each other.
//!
//! Knows no kernel and no server. What lies in shared memory is reached only through [`shm::Shm`]; every
//! message is a `serde` type in postcard encoding, decoded from a private copy.
#![cfg_attr(not(test), no_std)]

pub mod codec;
pub mod frame;
pub mod hello;
pub mod policy;
pub mod setup;
pub mod socket;
pub mod system;
