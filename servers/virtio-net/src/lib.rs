//! Driver of virtio network devices (VIRTIO 1.2 section 5.1) as a library.
//!
//! Owns one device: its registers, two virtqueues and its MSI-X vectors. Moves descriptors between the
//! virtqueues and the frame channel of the stack; reads no byte of a packet. Knows no kernel: time, memory,
//! interrupts and the stack's endpoint come in through [`server::Platform`]; only `card`, which is in the image alone, is
//! the device by system calls, for whoever implements that.
//!
//! Two parties may lie: the device (whatever is read from its registers, its capabilities and the used
//! rings is a claim, checked against private tables) and the stack (whatever its messages say). A
//! device that lies is reset and attached anew, and given up after several times; a stack that lies loses its channel.
//!
//! `unsafe` is in three modules: [`mmio`] (device registers), [`hal`] (memory that the device reaches) and `card` (what is
//! mapped where).
#![no_std]

extern crate alloc;
#[cfg(any(test, feature = "testing"))]
extern crate std;

#[cfg(target_os = "none")]
pub mod card;
pub mod device;
pub mod error;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a part of tests: what goes wrong there fails the test"
)]
pub mod fake;
pub mod hal;
mod headers;
mod lookout;
pub mod mmio;
pub mod nic;
pub mod offload;
pub mod pci;
pub mod queue;
pub mod registers;
mod sent;
pub mod server;
pub mod session;
pub mod transport;
