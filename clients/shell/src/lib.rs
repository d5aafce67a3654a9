//! The shell on the serial console: line editor, command line, commands.
//!
//! Everything outside is reached through [`platform::Platform`], so that all of it runs on the host under test. The
//! program around it is `main.rs`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

#[macro_use]
mod commands;
pub mod editor;
pub mod input;
pub mod platform;
mod race;
mod shell;
pub mod words;

pub use shell::{Shell, Start};

#[cfg(test)]
mod fake;
