//! Messages, and the shared memory that they travel through. Touches memory only through [`shm`].
//!
#![doc = include_str!("../README.md")]
#![no_std]
#![deny(unsafe_code)]

#[cfg(any(feature = "std", test, loom))]
extern crate std;

pub mod channel;
pub mod codec;
mod decoder;
mod encoder;
pub mod error;
pub mod fifo;
pub mod frame;
pub mod hello;
mod index;
pub mod policy;
#[cfg(test)]
mod racing;
pub mod ring;
pub mod rings;
pub mod setup;
#[cfg(not(loom))]
pub mod shm;
#[cfg(loom)]
#[path = "shm_model.rs"]
pub mod shm;
pub mod socket;
pub mod system;

pub use error::{OutOfBounds, PeerError};

/// Most steps of a property test that takes many: fewer in an interpreter.
#[cfg(test)]
const STEPS: usize = if cfg!(miri) { 12 } else { 200 };

/// Settings of the property tests: `cases` of them, two in an interpreter.
#[cfg(test)]
fn property_tests(cases: u32) -> proptest::prelude::ProptestConfig {
    proptest::prelude::ProptestConfig {
        cases: if cfg!(miri) { 2 } else { cases },
        failure_persistence: None,
        ..Default::default()
    }
}
