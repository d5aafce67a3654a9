//! The web server of the standard image: status page, metrics, test data.
//!
//! A library without kernel and network: connections are anything that implements [`embedded_io_async`]'s traits, time and the
//! state of the system come through [`Outside`]. What it is in the image is `program`; `main.rs` starts that.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod connection;
pub mod data;
mod head;
mod json;
mod metrics;
#[cfg(target_os = "none")]
mod outside;
mod page;
#[cfg(target_os = "none")]
pub mod program;
pub mod registry;
mod response;
pub mod site;
pub mod snapshot;

pub use connection::{Limits, serve};
pub use registry::Registry;
pub use site::Site;
pub use snapshot::{Outside, Snapshot, Timer};

#[cfg(test)]
mod fake;
