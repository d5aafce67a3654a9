//! Attacks by a process with ordinary capabilities: on the kernel, on the network stack, on its own memory.
//!
//! Each module is one kind of attack, bounded in time; `campaign` has the list and what is counted. Used by the program
//! `hostile`, and by `probe` of the system tests. `unsafe` only in `wild`, `crashes` and `registers`, to find the code of their children.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
pub mod campaign;
#[cfg(target_os = "none")]
mod child;
#[cfg(target_os = "none")]
pub mod churn;
#[cfg(target_os = "none")]
mod clients;
#[cfg(target_os = "none")]
mod crashes;
#[cfg(target_os = "none")]
mod exhaust;
#[cfg(target_os = "none")]
mod guess;
#[cfg(target_os = "none")]
mod mapping;
#[cfg(target_os = "none")]
mod quota;
pub mod random;
#[cfg(target_os = "none")]
pub mod registers;
#[cfg(target_os = "none")]
pub mod scribble;
#[cfg(target_os = "none")]
mod shapes;
#[cfg(target_os = "none")]
mod storm;
#[cfg(target_os = "none")]
pub mod wild;

/// What an attack found out: a sentence for the log either way.
#[cfg(target_os = "none")]
pub type Finding = Result<alloc::string::String, alloc::string::String>;
