//! The TCP/IP stack of Causeway, as a library: sessions and drivers come in as shared memory, time and entropy as
//! arguments, effects go out through traits. Knows no kernel, no clock, no device.
//!
//! A frame from the driver is copied out of the pool (`frames`), looked at (`classify`), and given to the flow that
//! it belongs to (`ingress`). A flow (`flow`) is a connection, a UDP socket, a lookup or an echo request; it has a
//! socket of its own in the engine, and turns in which it moves bytes and sends. Requests of clients come in
//! `requests` and `queries`. Everything is driven by [`Stack::poll`], whose work is bounded.
#![cfg_attr(not(any(test, feature = "testing")), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod addressing;
mod arrivals;
mod blind;
mod burst;
mod checksum;
mod claims;
mod classify;
mod clients;
mod config;
mod connection;
mod control;
mod dns;
mod drivers;
mod engine;
mod flow;
mod frames;
mod ingress;
#[cfg(any(test, feature = "testing"))]
mod invariants;
mod key_map;
mod listener;
mod neighbors;
mod passive;
mod ping;
mod policy;
mod ports;
mod queries;
mod random;
mod reassembly;
mod recent;
mod requests;
mod resolver;
mod session;
mod slaac;
mod slab;
mod spares;
mod split;
mod stack;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a part of tests: what goes wrong there fails the test"
)]
pub mod testing;
#[cfg(test)]
mod tests;
mod time;
mod timers;
mod train;
mod turn;
mod udp;

pub use config::{Addressing, BadArgument, Config, RECEIVE_BUFFERS, pools};
pub use frames::{FramePool, SendMemory};
#[cfg(any(test, feature = "testing"))]
pub use invariants::Holdings;
pub use slab::Id;
pub use stack::{DRIVER_BELL, Next, SessionId, Stack};
pub use time::Instant;

/// Tells another process that there is something for it.
pub trait Doorbell {
    /// Rings. May be lost if the other process is gone.
    fn ring(&mut self);
}
