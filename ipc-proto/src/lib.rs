//! Rings, channels and messages between processes that do not trust each other.
//!
//! Knows no kernel and no server. What lies in shared memory is reached only through [`shm::Shm`]; every
//! message is a `serde` type in postcard encoding, decoded from a private copy.
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "std", test, loom))]
extern crate std;

pub mod channel;
pub mod codec;
pub mod error;
pub mod fifo;
pub mod frame;
pub mod hello;
pub mod policy;
pub mod ring;
pub mod setup;
#[cfg(not(loom))]
pub mod shm;
#[cfg(loom)]
#[path = "shm_model.rs"]
pub mod shm;
pub mod socket;
pub mod system;

pub use error::{OutOfBounds, PeerError};

/// Settings of the property tests: `cases` of them, a few in an interpreter.
#[cfg(test)]
fn property_tests(cases: u32) -> proptest::prelude::ProptestConfig {
    proptest::prelude::ProptestConfig {
        cases: if cfg!(miri) { 4 } else { cases },
        failure_persistence: None,
        ..Default::default()
    }
}
